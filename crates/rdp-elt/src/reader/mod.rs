//! Reads what has landed: rows by partition and range, and what each commit says of itself.
//!
//! A reader shares no code with the sink that wrote, so that an audit by it proves something. It changes nothing.

mod files;
mod parquet;

use std::sync::Arc;

use arrow::array::{AsArray, BooleanArray, RecordBatch};
use arrow::compute::filter_record_batch;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use futures::stream::{self, BoxStream, StreamExt, TryStreamExt};

use crate::error::{Error, Result};
use crate::ledger::LedgerEntry;
use crate::offset::{OffsetRange, TopicPartition};
use crate::schema::KAFKA_OFFSET;

pub use self::parquet::ParquetReader;

/// Rows as they come.
pub type RowStream = BoxStream<'static, Result<RecordBatch>>;

/// What reads a landing.
#[async_trait]
pub trait Reader: Send + Sync {
    /// The topics of which something has landed or is claimed, by name.
    async fn topics(&self) -> Result<Vec<String>>;

    /// The partitions of a topic of which something has landed, ascending.
    async fn partitions(&self, topic: &str) -> Result<Vec<i32>>;

    /// The commits of a partition that reach past `from`.
    async fn ledger(&self, of: &TopicPartition, from: i64) -> Result<Ledger>;

    /// The rows of one commit, all of them or these columns, after it was proved that they are what was written.
    ///
    /// # Errors
    /// [`Data`](crate::ErrorKind::Data) where they are not, or where the commit is not there any more.
    async fn rows_of(&self, commit: &LedgerEntry, columns: Option<&[&str]>) -> Result<RowStream>;

    /// What others who read the landing would take for rows of it, and what nobody landed, each in words: a file that was
    /// put there by other hands.
    async fn strays(&self) -> Result<Vec<String>>;
}

/// The commits of one partition.
pub struct Ledger {
    /// Where the oldest commit that is still known starts; `None` where there is none.
    pub begins_at: Option<i64>,
    /// The commits, by start.
    pub commits: BoxStream<'static, Result<LedgerEntry>>,
}

/// Every commit of a topic, by partition and start.
///
/// # Errors
/// Those of [`Reader::ledger`].
pub async fn commits_of(reader: &dyn Reader, topic: &str) -> Result<Vec<LedgerEntry>> {
    let topic: Arc<str> = topic.into();
    let mut commits = Vec::new();
    for partition in reader.partitions(&topic).await? {
        let ledger = reader.ledger(&TopicPartition::new(topic.clone(), partition), 0).await?;
        commits.extend(ledger.commits.try_collect::<Vec<_>>().await?);
    }
    Ok(commits)
}

/// The rows of a range of a partition, in the order of their offsets; all columns, or these and the offset.
///
/// # Errors
/// Those of [`Reader::ledger`]; while it is read, those of [`Reader::rows_of`].
pub async fn rows(
    reader: Arc<dyn Reader>,
    of: &TopicPartition,
    range: OffsetRange,
    columns: Option<Vec<String>>,
) -> Result<RowStream> {
    let columns = columns.map(|mut columns| {
        if !columns.iter().any(|column| column == KAFKA_OFFSET) {
            columns.push(KAFKA_OFFSET.to_owned());
        }
        columns
    });
    let ledger = reader.ledger(of, range.start()).await?;
    let reaching = ledger.commits.try_take_while(move |commit| {
        let is_before_the_end = commit.range.start() < range.end();
        async move { Ok(is_before_the_end) }
    });
    let rows = reaching.and_then(move |commit| {
        let (reader, columns) = (reader.clone(), columns.clone());
        async move {
            let columns: Option<Vec<&str>> =
                columns.as_ref().map(|columns| columns.iter().map(String::as_str).collect());
            Ok(reader.rows_of(&commit, columns.as_deref()).await?.boxed())
        }
    });
    Ok(rows.try_flatten().and_then(move |rows| async move { within(&rows, range) }).boxed())
}

/// The rows of a range alone.
fn within(rows: &RecordBatch, range: OffsetRange) -> Result<RecordBatch> {
    let Some(offsets) = rows.column_by_name(KAFKA_OFFSET).and_then(|column| column.as_primitive_opt::<Int64Type>())
    else {
        return Err(Error::internal(format!("landed rows have no {KAFKA_OFFSET}")));
    };
    let is_within: BooleanArray =
        offsets.values().iter().map(|offset| Some((range.start()..range.end()).contains(offset))).collect();
    filter_record_batch(rows, &is_within).map_err(|error| Error::internal("take rows of a range").with_source(error))
}

/// A ledger that is known already.
pub(crate) fn known_ledger(commits: Vec<LedgerEntry>, from: i64) -> Ledger {
    let begins_at = commits.iter().map(|commit| commit.range.start()).min();
    let reaching = commits.into_iter().filter(move |commit| commit.range.end() > from);
    Ledger { begins_at, commits: stream::iter(reaching.map(Ok)).boxed() }
}
