//! Where landings go: the contract of every sink, and the ledger that each commit leaves behind.
//!
//! The loader appends loaded rows to an open [`WindowWriter`] slice by slice, and commits it when the poll window closes. A
//! sink never talks to a broker and never retries: retries live in the loader.

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use crate::error::{Error, ErrorKind, Result};
use crate::load::LoadedRows;
use crate::offset::{OffsetRanges, Positions, TopicPartition};
use crate::reader::Reader;

mod claim;
pub mod conformance;
mod evolution;
mod memory;
mod parquet;
mod source;
mod window;

pub use crate::ledger::{LedgerEntry, SourceIdentity, WindowId};
pub use crate::record::RecordMark;
pub use claim::{Claim, Claimed};
pub use memory::{CommitFailure, MemorySink};
pub use parquet::{ParquetSink, ParquetSinkOptions};
pub use source::Sources;
pub use window::WindowInfo;

/// Where rows land, together with the positions that they bring a partition to.
///
/// # Contract
///
/// * **One step.** [`WindowWriter::commit`] makes a partition's rows and its new position visible together or not at all. A
///   sink that cannot do so for all partitions of a window at once does it partition by partition; a commit that is not
///   [`Landed`](Commit::Landed) may then have landed some of them, and [`Sink::positions`] tells which.
/// * **Fence.** A commit of `[start, end)` lands only where the partition's position in the sink is `start`: the end of
///   its newest commit, or the claimed start where nothing has landed. Else it is [`Overtaken`](Commit::Overtaken) and
///   nothing of that partition becomes visible. A sink that is asked to commit a partition that nobody has claimed claims it
///   itself, at the commit's start.
/// * **Claims.** Per partition the first claim holds, for as long as the landing exists, and is in the sink before anything
///   is read. So a start that was looked up once (the end of a log, a time) is the start after every crash.
/// * **Schema.** [`Sink::prepare`] is called before the first row of a topic, with the columns that its rows will have.
/// * **Three outcomes.** A [`Commit`] is yes, no, or unknown. What is not a yes is settled by the caller, who reads
///   [`Sink::positions`] and compares position and window id. A sink does not try again by itself.
/// * **Durable.** What landed survives power loss, and so does what `positions` tells whoever lands here: a commit that did
///   not answer may have become visible and no more than that.
/// * **Nothing half-visible.** Before the commit, and after [`WindowWriter::discard`] or a drop, no reader sees a row.
/// * **Concurrency.** All methods may be called from several threads and processes at once.
///
/// What has landed is read by a [`Reader`], which shares no code with the sink that wrote it.
#[async_trait]
pub trait Sink: Send + Sync {
    /// What a person calls it in logs and errors: `parquet at landing/`.
    fn describe(&self) -> String;

    /// Makes sure that rows with these columns can land beside what has landed of the topic, before any is read. Widening
    /// that loses nothing is no obstacle.
    ///
    /// # Errors
    /// [`Schema`](crate::ErrorKind::Schema) names the column, both types and the way out.
    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()>;

    /// How far each of these partitions has landed; the claimed start where nothing of it has. A partition that is neither
    /// landed nor claimed is absent.
    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>>;

    /// Stores where reading of a topic's partitions begins, in one step for all of them; durable when it returns. The first
    /// claim of a partition holds: for one that is claimed or has landed, this changes nothing. What holds is what
    /// [`positions`](Self::positions) says afterwards.
    async fn claim(&self, claim: &Claim) -> Result<()>;

    /// What is claimed of a topic; empty where nothing is.
    async fn claimed(&self, topic: &str) -> Result<Claimed>;

    /// Opens a writer for one poll window.
    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn WindowWriter>>;

    /// What reads back what has landed here.
    fn reader(&self) -> Arc<dyn Reader>;
}

/// The rows of one poll window on their way into a sink.
#[async_trait]
pub trait WindowWriter: Send {
    /// Takes rows of one partition, in the order of their offsets. They are not visible yet.
    ///
    /// Encodes on the caller's thread. A sink that sends what it encoded does so from a task of its own, through a bounded
    /// channel: waiting for room in it is all that this waits for.
    async fn append(&mut self, rows: &LoadedRows) -> Result<()>;

    /// Bytes of memory that rows appended so far still hold; what was written out does not count.
    fn memory_bytes(&self) -> usize;

    /// Makes rows and positions visible in one step per partition. `ranges` names every partition that has rows here,
    /// and may name partitions without rows, whose position moves all the same.
    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Commit;

    /// Gives everything up; nothing becomes visible.
    async fn discard(self: Box<Self>);
}

/// How a commit ended.
#[derive(Debug)]
#[must_use]
pub enum Commit {
    /// Yes: all of it is visible and durable.
    Landed(Receipt),
    /// No: another writer was there, and nothing of a partition that it had overtaken became visible.
    Overtaken(Error),
    /// Unknown: nothing, some or all of it may have landed.
    Unknown(Error),
}

impl Commit {
    /// What landed, or why it did not or may not have.
    ///
    /// # Errors
    /// That of [`Overtaken`](Self::Overtaken) or [`Unknown`](Self::Unknown).
    pub fn landed(self) -> Result<Receipt> {
        match self {
            Commit::Landed(receipt) => Ok(receipt),
            Commit::Overtaken(error) | Commit::Unknown(error) => Err(error),
        }
    }
}

/// By the kind of the error: a [`Conflict`](ErrorKind::Conflict) is a no, all else is unknown.
impl From<Result<Receipt>> for Commit {
    fn from(landed: Result<Receipt>) -> Self {
        match landed {
            Ok(receipt) => Commit::Landed(receipt),
            Err(error) if error.kind() == ErrorKind::Conflict => Commit::Overtaken(error),
            Err(error) => Commit::Unknown(error),
        }
    }
}

/// How far a partition has landed, and who brought it there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LandedPosition {
    /// The next offset to read.
    pub position: i64,
    /// Who brought it there.
    pub brought_by: BroughtBy,
    /// Where the newest commit's rows came from; of a claim, where they will come from.
    pub source: SourceIdentity,
    /// The newest landed record whose leader epoch is known, looked for in the last few commits.
    pub newest: Option<RecordMark>,
}

impl LandedPosition {
    /// Whether anything has landed.
    pub fn has_landed(&self) -> bool {
        self.brought_by != BroughtBy::Claim
    }
}

/// Who brought a partition to its position.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BroughtBy {
    /// A claim: nothing has landed.
    Claim,
    /// The window of the newest commit.
    Window(WindowId),
    /// A commit of which the sink has kept the position and not the window. Whose it was, its rows tell.
    Forgotten,
}

/// What a commit did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Receipt {
    /// The position of every partition of the window after the commit.
    pub positions: Positions,
    /// Bytes that the commit added to the sink.
    pub landed_bytes: u64,
}

/// So many commits back a mark is looked for: the newest may be a range of transaction markers alone.
const MARK_COMMITS: usize = 4;
