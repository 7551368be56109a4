//! A broker in the process.
/// A broker in the process.
pub struct EmbeddedBroker {}
