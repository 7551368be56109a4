//! Where landings go: the contract of every sink, and the ledger that each commit leaves behind.
//!
//! The loader appends loaded rows to an open [`Landing`] slice by slice, and commits it when the poll window closes. A
//! sink never talks to a broker and never retries: retries live in the loader.

use std::collections::BTreeMap;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use serde::{Deserialize, Serialize};

use crate::error::Result;
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, OffsetRanges, Positions, TopicPartition};

mod claim;
pub mod conformance;
mod memory;
mod parquet;
mod source;
mod window;

pub use crate::record::RecordMark;
pub use claim::{Claim, Claimed};
pub use memory::{CommitFailure, MemorySink};
pub use parquet::{ParquetSink, ParquetSinkOptions, local_folder};
pub use source::{SourceIdentity, Sources};
pub use window::{WindowId, WindowInfo};

/// Where rows land, together with the positions that they bring a partition to.
///
/// # Contract
///
/// * **One step.** [`Landing::commit`] makes a partition's rows and its new position visible together or not at all. A
///   sink that cannot do so for all partitions of a window at once does it partition by partition; a failed commit may
///   then have landed some of them, and [`Sink::positions`] tells which.
/// * **Fence.** A commit of `[start, end)` lands only where the partition's position in the sink is `start`: the end of
///   its newest commit, or the claimed start where nothing has landed. Else it fails with
///   [`Conflict`](crate::ErrorKind::Conflict) and nothing of that partition becomes visible. A sink that is asked to
///   commit a partition that nobody has claimed claims it itself, at the commit's start.
/// * **Claims.** Per partition the first claim holds, for as long as the landing exists, and is in the sink before anything
///   is read. So a start that was looked up once (the end of a log, a time) is the start after every crash.
/// * **Three outcomes.** `Ok` is yes, `Conflict` is no, every other error is unknown: the caller reads
///   [`Sink::positions`] and compares position and window id. A sink does not try again by itself.
/// * **Durable.** What `commit` answered `Ok` for survives power loss.
/// * **Nothing half-visible.** Before the commit, and after [`Landing::discard`] or a drop, no reader sees a row.
/// * **Concurrency.** All methods may be called from several threads and processes at once.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What a person calls it in logs and errors: `parquet at landing/`.
    fn describe(&self) -> String;

    /// How far each of these partitions has landed; the claimed start where nothing of it has. A partition that is neither
    /// landed nor claimed is absent.
    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>>;

    /// Stores where reading of a topic's partitions begins, in one step for all of them; durable when it returns. The first
    /// claim of a partition holds: for one that is claimed or has landed, this changes nothing. What holds is what
    /// [`positions`](Self::positions) says afterwards.
    async fn claim(&self, claim: &Claim) -> Result<()>;

    /// What is claimed of a topic; empty where nothing is.
    async fn claimed(&self, topic: &str) -> Result<Claimed>;

    /// Opens a landing for one poll window.
    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn Landing>>;

    /// Everything that was ever committed for a topic, by partition and start.
    async fn ledger(&self, topic: &str) -> Result<Vec<LedgerEntry>>;

    /// The rows that one commit landed, read back. For the audit only.
    async fn landed_rows(&self, entry: &LedgerEntry) -> Result<LandedRows>;

    /// The topics of which something has landed or is claimed.
    async fn topics(&self) -> Result<Vec<String>>;

    /// What readers of the landing would take for rows of it, and what nobody landed, each in words: a file that was put
    /// there by other hands.
    async fn strays(&self) -> Result<Vec<String>>;
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

/// How far a partition has landed, and who brought it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedPosition {
    /// The next offset to read.
    pub position: i64,
    /// The window of the newest commit; `None` where the partition is claimed and nothing of it has landed yet.
    pub window: Option<WindowId>,
    /// Where the newest commit's rows came from; of a claim, where they will come from.
    pub source: SourceIdentity,
    /// The newest landed record whose leader epoch is known, looked for in the last few commits.
    pub newest: Option<RecordMark>,
}

/// What the rows of one commit are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LandedRows {
    /// Their offsets, in the order in which they stand.
    pub offsets: Vec<i64>,
    /// Rows that are quarantined.
    pub quarantined_count: u64,
    /// Rows that are tombstones.
    pub tombstone_count: u64,
}

impl LandedRows {
    /// Counts rows in; `None` where a column of every landing is missing or of another type.
    pub(crate) fn add(&mut self, rows: &RecordBatch) -> Option<()> {
        let offsets = rows.column_by_name("_kafka_offset")?.as_primitive_opt::<Int64Type>()?;
        self.offsets.extend_from_slice(offsets.values());
        let errors = rows.column_by_name("_rdp_error")?;
        self.quarantined_count += (errors.len() - errors.null_count()) as u64;
        self.tombstone_count += rows.column_by_name("_kafka_tombstone")?.as_boolean_opt()?.true_count() as u64;
        Some(())
    }
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
    /// The newest record of the commit whose leader epoch is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RecordMark>,
    /// Where the rows are: a file's path, a table's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
}

/// So many commits back a mark is looked for: the newest may be a range of transaction markers alone.
const MARK_COMMITS: usize = 4;
