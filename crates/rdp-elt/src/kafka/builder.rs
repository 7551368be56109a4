//! How a consumer is described.

use std::collections::BTreeMap;

use crate::offset::TopicPartition;

/// Where reading begins for a partition that the sink does not know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StartPosition {
    /// The oldest record that the log still has.
    Earliest,
    /// The log's end as of now.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970-01-01 UTC.
    Time(i64),
    /// These offsets; a partition that is not named is a `Config` error.
    Offsets(BTreeMap<TopicPartition, i64>),
}

/// Which records of transactions a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, up to the last stable offset. The default.
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

/// Describes a consumer.
#[derive(Clone)]
pub struct KafkaConsumerBuilder {}
