//! From a slice of a poll window to landing rows: minimal parsing, straight into Arrow, nothing dropped.

use arrow::array::RecordBatch;

use crate::offset::TopicPartition;

/// The rows that a run of one partition's records became: payload columns, then the `_kafka_*` columns.
#[derive(Debug, Clone)]
pub struct LoadedRows {
    /// The partition that all rows are of.
    pub topic_partition: TopicPartition,
    /// The rows, by offset. One row per record: tombstones and quarantined records included.
    pub rows: RecordBatch,
    /// Rows of these that are quarantined.
    pub quarantined_count: u64,
    /// Rows of these that are tombstones.
    pub tombstone_count: u64,
}

/// How payloads become rows.
#[derive(Debug, Clone)]
pub struct LoadOptions {}
