//! One poll window on its way: open while records come in, then in flight while it commits.

use std::collections::BTreeMap;
use std::time::Duration;

use futures::stream::TryStreamExt;

use super::executor::{Background, Executor};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::kafka::WindowEnd;
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, OffsetRanges, TopicPartition};
use crate::reader;
use crate::sink::{BroughtBy, Commit, LandedPosition, Sink, WindowId, WindowInfo, WindowWriter};

/// What a window holds, counted.
#[derive(Debug, Clone, Default)]
pub(super) struct Counts {
    pub(super) record_count: u64,
    pub(super) quarantined_count: u64,
    pub(super) tombstone_count: u64,
}

/// A window that records still come into.
pub(super) struct OpenWindow {
    pub(super) id: WindowId,
    pub(super) writer: Box<dyn WindowWriter>,
    pub(super) counts: Counts,
    pub(super) records_of: BTreeMap<TopicPartition, u64>,
    pub(super) byte_count: usize,
    pub(super) opened_at: Moment,
}

impl OpenWindow {
    pub(super) fn open(sink: &dyn Sink, info: &WindowInfo, now: Moment, executor: &Executor) -> Result<Self> {
        Ok(OpenWindow {
            id: info.id.clone(),
            writer: executor.block_on(sink.open(info))?,
            counts: Counts::default(),
            records_of: BTreeMap::new(),
            byte_count: 0,
            opened_at: now,
        })
    }

    /// Appends rows of one partition and counts them.
    pub(super) fn append(&mut self, rows: &LoadedRows, executor: &Executor) -> Result<()> {
        executor.block_on(self.writer.append(rows))?;
        let record_count = rows.rows.num_rows() as u64;
        self.counts.record_count += record_count;
        self.counts.quarantined_count += rows.quarantined_count;
        self.counts.tombstone_count += rows.tombstone_count;
        *self.records_of.entry(rows.topic_partition.clone()).or_default() += record_count;
        Ok(())
    }

    /// Begins the commit, beside whatever comes next.
    pub(super) fn commit(self, ranges: OffsetRanges, end: WindowEnd, now: Moment, executor: &Executor) -> InFlight {
        let closed = Closed { by: end, at: now, open_for: now.saturating_sub(self.opened_at) };
        let (writer, to_land) = (self.writer, ranges.clone());
        let outcome = executor.spawn(async move {
            match failpoint::pass("commit_begun") {
                Ok(()) => writer.commit(&to_land).await,
                Err(error) => Commit::Unknown(error),
            }
        });
        InFlight { id: self.id, ranges, counts: self.counts, records_of: self.records_of, closed, outcome }
    }
}

/// How a window closed.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closed {
    pub(super) by: WindowEnd,
    pub(super) at: Moment,
    pub(super) open_for: Duration,
}

/// A window that is being committed.
pub(super) struct InFlight {
    pub(super) id: WindowId,
    pub(super) ranges: OffsetRanges,
    pub(super) counts: Counts,
    pub(super) closed: Closed,
    records_of: BTreeMap<TopicPartition, u64>,
    outcome: Background,
}

impl InFlight {
    pub(super) fn is_finished(&mut self) -> bool {
        self.outcome.is_finished()
    }

    /// Waits for the commit to end.
    pub(super) fn wait(&mut self, executor: &Executor) -> Commit {
        self.outcome.wait(executor)
    }

    /// Decides from what the sink holds now. `Ok(true)`: it was ours, and all of it landed. `Ok(false)`: some or all of
    /// it did not, and reading again from the sink's positions mends it.
    ///
    /// # Errors
    /// `Conflict` where another writer landed at one of its positions; those of the sink's reader where it has to be asked.
    pub(super) fn resolve(&self, sink: &dyn Sink, executor: &Executor) -> Result<bool> {
        let partitions: Vec<_> = self.ranges.iter().map(|(partition, _)| partition.clone()).collect();
        let stored = executor.block_on(sink.positions(&partitions))?;
        let mut all_landed = true;
        for (partition, range) in self.ranges.iter() {
            let Some(stored) = stored.get(partition).filter(|stored| stored.position != range.start()) else {
                all_landed = false;
                continue;
            };
            let is_ours = stored.position == range.end()
                && match &stored.brought_by {
                    BroughtBy::Window(id) => *id == self.id,
                    BroughtBy::Forgotten => executor.block_on(self.has_rows_of(sink, partition, *range))?,
                    BroughtBy::Claim => false,
                };
            if !is_ours {
                return Err(self.overtaken(partition, *range, stored));
            }
        }
        Ok(all_landed)
    }

    /// Whether the sink has as many rows of a range as this window has: whoever landed them, they are the log's records.
    async fn has_rows_of(&self, sink: &dyn Sink, of: &TopicPartition, range: OffsetRange) -> Result<bool> {
        let mut rows = reader::rows(sink.reader(), of, range, Some(Vec::new())).await?;
        let mut count = 0;
        while let Some(rows) = rows.try_next().await? {
            count += rows.num_rows() as u64;
        }
        Ok(count == self.records_of.get(of).copied().unwrap_or_default())
    }

    fn overtaken(&self, of: &TopicPartition, range: OffsetRange, stored: &LandedPosition) -> Error {
        let by = match &stored.brought_by {
            BroughtBy::Window(id) => format!("window {id}"),
            BroughtBy::Claim => "a claim".to_owned(),
            BroughtBy::Forgotten => "a window that is not known".to_owned(),
        };
        let message = format!(
            "land window {}: {of} {range} was overtaken, the landing is at {} by {by}",
            self.id, stored.position
        );
        Error::new(ErrorKind::Conflict, message)
            .with_help("another loader lands the same topic here; nothing of this window was lost or landed twice")
    }
}
