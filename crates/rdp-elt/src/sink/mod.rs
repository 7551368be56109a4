//! Where landings go: the contract of every sink, and the ledger that each commit leaves behind.
//!
//! The loader appends loaded rows to an open [`Landing`] slice by slice, and commits it when the poll window closes. A
//! sink never talks to a broker and never retries: retries live in the loader.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, OffsetRanges, Positions, TopicPartition};

pub mod conformance;
mod memory;
mod parquet;

pub use memory::{CommitFailure, MemorySink};
pub use parquet::{ParquetSink, ParquetSinkOptions};

/// Where rows land, together with the positions that they bring a partition to.
///
/// # Contract
///
/// * **One step.** [`Landing::commit`] makes a partition's rows and its new position visible together or not at all. A
///   sink that cannot do so for all partitions of a window at once does it partition by partition; a failed commit may
///   then have landed some of them, and [`Sink::positions`] tells which.
/// * **Fence.** A commit of `[start, end)` lands only where the partition's position in the sink is `start` (or, for a
///   partition that the sink does not know, where no other first commit was quicker). Else it fails with
///   [`Conflict`](crate::ErrorKind::Conflict) and nothing of that partition becomes visible.
/// * **Three outcomes.** `Ok` is yes, `Conflict` is no, every other error is unknown: the caller reads
///   [`Sink::positions`] and compares position and window id. A sink does not try again by itself.
/// * **Durable.** What `commit` answered `Ok` for survives power loss.
/// * **Nothing half-visible.** Before the commit, and after [`Landing::discard`] or a drop, no reader sees a row.
/// * **Concurrency.** All methods may be called from several threads and processes at once.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What a person calls it in logs and errors: `parquet at landing/`.
    fn describe(&self) -> String;

    /// How far each of these partitions has landed. A partition that the sink does not know is absent.
    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>>;

    /// Opens a landing for one poll window.
    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn Landing>>;

    /// Everything that was ever committed for a topic, by partition and start.
    async fn ledger(&self, topic: &str) -> Result<Vec<LedgerEntry>>;

    /// The offsets of the rows that one commit landed, ascending. Read for the audit only.
    async fn landed_offsets(&self, entry: &LedgerEntry) -> Result<Vec<i64>>;
}

/// The rows of one poll window on their way into a sink.
#[async_trait]
pub trait Landing: Send {
    /// Takes rows of one partition, in the order of their offsets. They are not visible yet.
    async fn append(&mut self, rows: &LoadedRows) -> Result<()>;

    /// Bytes of memory that rows appended so far still hold; what was written out does not count.
    fn memory_bytes(&self) -> usize;

    /// Makes rows and positions visible in one step per partition. `ranges` names every partition that has rows here,
    /// and may name partitions without rows, whose position moves all the same.
    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Result<Receipt>;

    /// Gives everything up; nothing becomes visible.
    async fn discard(self: Box<Self>);
}

/// The name of one poll window, unique over all time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowId(Arc<str>);

impl WindowId {
    /// A new name (UUID version 7, so that names sort by time).
    pub fn generate() -> Self {
        WindowId(uuid::Uuid::now_v7().to_string().into())
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WindowId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Which topic of which cluster the rows come from, so that a topic re-created under the same name is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The cluster's id; empty where the broker does not tell.
    pub cluster_id: String,
    /// The topic's id (KIP-516); empty where the broker does not tell.
    pub topic_id: String,
}

/// What a sink is told of a window when its landing is opened.
#[derive(Debug, Clone)]
pub struct WindowInfo {
    /// The window's name.
    pub id: WindowId,
    /// The identity of every topic that the window may hold.
    pub sources: Arc<BTreeMap<Arc<str>, SourceIdentity>>,
}

impl WindowInfo {
    /// The identity of a topic; the empty identity where none is known.
    pub fn source(&self, topic: &str) -> SourceIdentity {
        self.sources.get(topic).cloned().unwrap_or_default()
    }
}

/// How far a partition has landed, and who brought it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedPosition {
    /// The next offset to read.
    pub position: i64,
    /// The window of the newest commit; `None` where a first commit is claimed and has not landed yet.
    pub window: Option<WindowId>,
    /// Where the newest commit's rows came from.
    pub source: SourceIdentity,
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The position of every partition of the window after the commit.
    pub positions: Positions,
    /// Bytes that the commit added to the sink.
    pub landed_bytes: u64,
}

/// What one commit says of itself for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The partition.
    #[serde(flatten)]
    pub topic_partition: TopicPartition,
    /// The offsets that the commit covers.
    #[serde(flatten)]
    pub range: OffsetRange,
    /// Records in the range, quarantined ones and tombstones included.
    pub record_count: u64,
    /// Records of these that are quarantined.
    pub quarantined_count: u64,
    /// Records of these that are tombstones.
    pub tombstone_count: u64,
    /// The window that landed it.
    pub window: WindowId,
    /// Where the rows came from.
    pub source: SourceIdentity,
    /// Where the rows are: a file's path, a table's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
}
