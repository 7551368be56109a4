//! TLS and SASL.
