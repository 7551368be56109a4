//! The harness is tested too: a broker that does not do what a test believes proves nothing.

mod broker;
