//! A long-lived consumer.

/// A long-lived consumer of one or many topics.
pub struct KafkaConsumer {}
