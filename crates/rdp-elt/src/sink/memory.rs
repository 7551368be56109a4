//! A sink in memory, for tests: the contract with nothing behind it, and failures to order.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::RecordBatch;
use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use futures::stream::{self, StreamExt};

use super::{
    BroughtBy, Claim, Claimed, Commit, LandedPosition, LedgerEntry, MARK_COMMITS, Receipt, RecordMark, Sink,
    SourceIdentity, WindowId, WindowInfo, WindowWriter, evolution,
};
use crate::error::{Error, ErrorKind, Result};
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, OffsetRanges, TopicPartition};
use crate::reader::{Ledger, Reader, RowStream, known_ledger};

/// Lands windows in memory. Clones share what has landed.
#[derive(Clone, Default)]
pub struct MemorySink(Arc<Mutex<Inner>>);

/// What [`MemorySink`] shall do instead of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum CommitFailure {
    /// Fail as [`Unavailable`](ErrorKind::Unavailable); nothing lands.
    BeforeEffect,
    /// Land everything and then fail as [`Unavailable`](ErrorKind::Unavailable): the outcome that looks like a failure.
    AfterEffect,
    /// The same, and forget which window it was: positions then say [`Forgotten`](BroughtBy::Forgotten), until the next.
    Forgotten,
    /// Fail as [`Conflict`](ErrorKind::Conflict); nothing lands.
    Conflict,
}

#[derive(Default)]
struct Inner {
    partitions: BTreeMap<TopicPartition, Vec<LandedFile>>,
    claims: BTreeMap<TopicPartition, (i64, SourceIdentity)>,
    partition_counts: BTreeMap<Arc<str>, i32>,
    landing_ids: BTreeMap<Arc<str>, String>,
    failures: VecDeque<CommitFailure>,
    /// Whether nobody knows which window was the last.
    forgets: bool,
}

struct LandedFile {
    entry: LedgerEntry,
    rows: Vec<RecordBatch>,
}

struct MemoryWindow {
    sink: MemorySink,
    window: WindowInfo,
    pending: BTreeMap<TopicPartition, Pending>,
    memory_bytes: usize,
}

#[derive(Default)]
struct Pending {
    rows: Vec<RecordBatch>,
    quarantined_count: u64,
    tombstone_count: u64,
    newest: Option<RecordMark>,
}

impl MemorySink {
    /// A sink in which nothing has landed.
    pub fn new() -> Self {
        Self::default()
    }

    /// Everything that has landed of a topic, by partition and offset.
    pub fn rows(&self, topic: &str) -> Vec<RecordBatch> {
        let inner = self.lock();
        let of_topic = inner.partitions.iter().filter(|(partition, _)| &*partition.topic == topic);
        of_topic.flat_map(|(_, files)| files.iter().flat_map(|file| file.rows.iter().cloned())).collect()
    }

    /// Makes a commit that is still to come fail: the first call the next commit, the second the one after, and so on.
    pub fn fail_next_commit(&self, how: CommitFailure) {
        self.lock().failures.push_back(how);
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for MemorySink {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("MemorySink").field("partitions", &self.lock().partitions.len()).finish()
    }
}

#[async_trait]
impl Sink for MemorySink {
    fn describe(&self) -> String {
        "memory".to_owned()
    }

    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()> {
        let inner = self.lock();
        let of_topic = inner.partitions.iter().filter(|(partition, _)| &*partition.topic == topic);
        let newest = of_topic.filter_map(|(_, files)| files.iter().rev().find_map(|file| file.rows.last()));
        newest.map(RecordBatch::schema).try_for_each(|landed| evolution::check(topic, &landed, "memory", columns))
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        let inner = self.lock();
        Ok(of.iter().filter_map(|partition| Some((partition.clone(), inner.position(partition)?))).collect())
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        claim.check()?;
        let mut inner = self.lock();
        for (partition, start) in &claim.starts {
            inner.claim(TopicPartition::new(claim.topic.clone(), *partition), *start, &claim.source);
        }
        let count = inner.partition_counts.entry(claim.topic.clone()).or_insert(claim.partition_count);
        *count = claim.partition_count.min(*count);
        Ok(())
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        let inner = self.lock();
        let of_topic = inner.claims.iter().filter(|(partition, _)| &*partition.topic == topic);
        Ok(Claimed {
            starts: of_topic.map(|(partition, (start, _))| (partition.partition, *start)).collect(),
            partition_count: inner.partition_counts.get(topic).copied(),
            landing_id: inner.landing_ids.get(topic).cloned(),
        })
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        let (pending, memory_bytes) = Default::default();
        Ok(Box::new(MemoryWindow { sink: self.clone(), window: window.clone(), pending, memory_bytes }))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Reader for MemorySink {
    async fn topics(&self) -> Result<Vec<String>> {
        let inner = self.lock();
        let named = inner.partitions.keys().chain(inner.claims.keys()).map(|partition| partition.topic.to_string());
        Ok(named.collect::<BTreeSet<_>>().into_iter().collect())
    }

    async fn partitions(&self, topic: &str) -> Result<Vec<i32>> {
        let inner = self.lock();
        let of_topic = inner.partitions.keys().filter(|partition| &*partition.topic == topic);
        Ok(of_topic.map(|partition| partition.partition).collect())
    }

    async fn ledger(&self, of: &TopicPartition, from: i64) -> Result<Ledger> {
        let inner = self.lock();
        let files = inner.partitions.get(of).map(Vec::as_slice).unwrap_or_default();
        Ok(known_ledger(files.iter().map(|file| file.entry.clone()).collect(), from))
    }

    async fn rows_of(&self, commit: &LedgerEntry, columns: Option<&[&str]>) -> Result<RowStream> {
        let inner = self.lock();
        let files = inner.partitions.get(&commit.topic_partition).map(Vec::as_slice).unwrap_or_default();
        let Some(file) = files.iter().find(|file| file.entry == *commit) else {
            let message = format!("read rows of {} {}: no such commit", commit.topic_partition, commit.range);
            return Err(Error::new(ErrorKind::Data, message));
        };
        let projected = |rows: &RecordBatch| match columns {
            None => Ok(rows.clone()),
            Some(columns) => {
                let places = columns.iter().filter_map(|name| rows.schema().index_of(name).ok()).collect::<Vec<_>>();
                rows.project(&places).map_err(|error| Error::internal("take columns of rows").with_source(error))
            }
        };
        Ok(stream::iter(file.rows.iter().map(projected).collect::<Vec<_>>()).boxed())
    }

    async fn strays(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[async_trait]
impl WindowWriter for MemoryWindow {
    async fn append(&mut self, rows: &LoadedRows) -> Result<()> {
        let pending = self.pending.entry(rows.topic_partition.clone()).or_default();
        pending.rows.push(rows.rows.clone());
        pending.quarantined_count += rows.quarantined_count;
        pending.tombstone_count += rows.tombstone_count;
        pending.newest = rows.newest.or(pending.newest);
        self.memory_bytes += rows.rows.get_array_memory_size();
        Ok(())
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Commit {
        self.land(ranges).into()
    }

    async fn discard(self: Box<Self>) {}
}

impl MemoryWindow {
    fn land(self, ranges: &OffsetRanges) -> Result<Receipt> {
        let MemoryWindow { sink, window, mut pending, memory_bytes } = self;
        if let Some(partition) =
            pending.keys().find(|partition| ranges.range(partition).is_none_or(|range| range.is_empty()))
        {
            return Err(Error::internal(format!("land {partition}: it has rows and no range")));
        }
        let mut inner = sink.lock();
        let failure = inner.failures.pop_front();
        match failure {
            Some(CommitFailure::BeforeEffect) => return Err(Error::unavailable("commit in memory: failed as told")),
            Some(CommitFailure::Conflict) => {
                return Err(Error::new(ErrorKind::Conflict, "commit in memory: overtaken as told"));
            }
            _ => {}
        }
        for (partition, range) in ranges.iter().filter(|(_, range)| !range.is_empty()) {
            inner.claim(partition.clone(), range.start(), &window.source(&partition.topic)?);
            inner.pass_fence(partition, *range)?;
        }
        for (partition, range) in ranges.iter().filter(|(_, range)| !range.is_empty()) {
            let rows = pending.remove(partition).unwrap_or_default();
            inner.land(partition, *range, rows, &window)?;
        }
        inner.forgets = failure == Some(CommitFailure::Forgotten);
        match failure {
            Some(CommitFailure::AfterEffect | CommitFailure::Forgotten) => {
                Err(Error::unavailable("commit in memory: landed, and failed as told"))
            }
            _ => Ok(Receipt { positions: ranges.ends(), landed_bytes: memory_bytes as u64 }),
        }
    }
}

impl Inner {
    fn position(&self, of: &TopicPartition) -> Option<LandedPosition> {
        let files = self.partitions.get(of).map(Vec::as_slice).unwrap_or_default();
        let Some(LandedFile { entry, .. }) = files.last() else {
            let (start, source) = self.claims.get(of)?;
            let (position, source) = (*start, source.clone());
            return Some(LandedPosition { position, brought_by: BroughtBy::Claim, source, newest: None });
        };
        Some(LandedPosition {
            position: entry.range.end(),
            brought_by: match self.forgets {
                true => BroughtBy::Forgotten,
                false => BroughtBy::Window(entry.window.clone()),
            },
            source: entry.source.clone(),
            newest: files.iter().rev().take(MARK_COMMITS).find_map(|file| file.entry.newest),
        })
    }

    fn claim(&mut self, partition: TopicPartition, start: i64, source: &SourceIdentity) {
        self.landing_ids.entry(partition.topic.clone()).or_insert_with(|| WindowId::generate().to_string());
        if !self.partitions.contains_key(&partition) {
            self.claims.entry(partition).or_insert_with(|| (start, source.clone()));
        }
    }

    fn pass_fence(&self, partition: &TopicPartition, range: OffsetRange) -> Result<()> {
        match self.position(partition).map(|landed| landed.position) {
            Some(position) if position != range.start() => {
                let message =
                    format!("land {partition} {range}: another writer was there: it has landed up to {position}");
                Err(Error::new(ErrorKind::Conflict, message))
            }
            _ => Ok(()),
        }
    }

    fn land(
        &mut self,
        partition: &TopicPartition,
        range: OffsetRange,
        pending: Pending,
        window: &WindowInfo,
    ) -> Result<()> {
        let entry = LedgerEntry {
            topic_partition: partition.clone(),
            range,
            record_count: pending.rows.iter().map(|rows| rows.num_rows() as u64).sum(),
            quarantined_count: pending.quarantined_count,
            tombstone_count: pending.tombstone_count,
            window: window.id.clone(),
            source: window.source(&partition.topic)?,
            newest: pending.newest,
            location: "memory".to_owned(),
        };
        self.partitions.entry(partition.clone()).or_default().push(LandedFile { entry, rows: pending.rows });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sink::conformance;

    #[tokio::test]
    async fn memory_passes_conformance() {
        let places = Mutex::new(BTreeMap::<String, MemorySink>::new());
        conformance::run(async |place: &str| {
            let mut places = places.lock().expect("no test panicked under it");
            Arc::new(places.entry(place.to_owned()).or_default().clone()) as Arc<dyn Sink>
        })
        .await;
    }

    #[tokio::test]
    async fn failures_come_as_ordered() {
        let sink = MemorySink::new();
        sink.fail_next_commit(CommitFailure::BeforeEffect);
        sink.fail_next_commit(CommitFailure::AfterEffect);
        let partition = TopicPartition::new("orders", 0);

        let failed = conformance::land(&sink, &partition, 0..3).await;
        assert_eq!(failed.expect_err("as ordered").kind(), ErrorKind::Unavailable);
        assert!(sink.positions(std::slice::from_ref(&partition)).await.expect("memory").is_empty());

        let failed = conformance::land(&sink, &partition, 0..3).await;
        assert_eq!(failed.expect_err("as ordered").kind(), ErrorKind::Unavailable);
        assert_eq!(sink.rows("orders").iter().map(RecordBatch::num_rows).sum::<usize>(), 3);
    }
}
