//! The poll window: the bounded set of records that one poll cycle takes, and what closes it.

use std::time::Duration;

use arrow::array::RecordBatch;

use crate::offset::OffsetRanges;

/// When a poll window closes: at whichever limit comes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WindowLimits {
    /// Records. Default 1,000,000. More: fewer, larger files, and more to read again after a crash.
    pub max_records: usize,
    /// Bytes of keys, values and headers as they were on the wire, decompressed. Default 256 MiB.
    pub max_bytes: usize,
    /// Time since the window's first record. Default 60 s. Longer: fewer, larger files, and data later.
    pub max_wait: Duration,
}

impl Default for WindowLimits {
    fn default() -> Self {
        WindowLimits { max_records: 1_000_000, max_bytes: 256 << 20, max_wait: Duration::from_secs(60) }
    }
}

/// Why a poll window closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum WindowEnd {
    /// It holds `max_records`.
    Records,
    /// It holds `max_bytes`.
    Bytes,
    /// Its rows hold as much memory as the loader may use for them.
    Memory,
    /// `max_wait` is over.
    Wait,
    /// Every partition came to the bounded run's end offset.
    EndOffsets,
    /// The run was asked to end.
    Shutdown,
    /// Partitions were taken away.
    Revoked,
}

/// The bounded set of records that one poll cycle took from its topics.
#[derive(Debug, Clone)]
pub struct PollWindow {
    /// One range per partition that moved.
    pub ranges: OffsetRanges,
    /// The records as they came, in raw Arrow columns (`_kafka_*`, the value in `_kafka_value`), slice by slice.
    pub records: Vec<RecordBatch>,
    /// Why it closed.
    pub closed_by: WindowEnd,
}
