//! One poll window on its way: open while records come in, then in flight while it commits.

use std::collections::BTreeMap;

use super::executor::{Background, Executor};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::load::LoadedRows;
use crate::offset::{OffsetRanges, TopicPartition};
use crate::sink::{LandedPosition, Landing, Receipt, Sink, WindowId, WindowInfo};

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
    pub(super) landing: Box<dyn Landing>,
    pub(super) counts: Counts,
    pub(super) records_of: BTreeMap<TopicPartition, u64>,
    pub(super) byte_count: usize,
    pub(super) opened_at: Moment,
}

impl OpenWindow {
    pub(super) fn open(sink: &dyn Sink, info: &WindowInfo, now: Moment, executor: &Executor) -> Result<Self> {
        Ok(OpenWindow {
            id: info.id.clone(),
            landing: executor.block_on(sink.open(info))?,
            counts: Counts::default(),
            records_of: BTreeMap::new(),
            byte_count: 0,
            opened_at: now,
        })
    }

    /// Appends rows of one partition and counts them.
    pub(super) fn append(&mut self, rows: &LoadedRows, executor: &Executor) -> Result<()> {
        executor.block_on(self.landing.append(rows))?;
        let record_count = rows.rows.num_rows() as u64;
        self.counts.record_count += record_count;
        self.counts.quarantined_count += rows.quarantined_count;
        self.counts.tombstone_count += rows.tombstone_count;
        *self.records_of.entry(rows.topic_partition.clone()).or_default() += record_count;
        Ok(())
    }

    /// Begins the commit, beside whatever comes next.
    pub(super) fn commit(self, ranges: OffsetRanges, executor: &Executor) -> InFlight {
        let (landing, to_land) = (self.landing, ranges.clone());
        let outcome = executor.spawn(async move {
            failpoint::pass("commit_begun")?;
            landing.commit(&to_land).await
        });
        InFlight { id: self.id, ranges, counts: self.counts, outcome }
    }
}

/// A window that is being committed.
pub(super) struct InFlight {
    pub(super) id: WindowId,
    pub(super) ranges: OffsetRanges,
    pub(super) counts: Counts,
    outcome: Background,
}

/// How a commit ended, as far as the sink's answer tells.
pub(super) enum Outcome {
    /// Yes.
    Landed(Receipt),
    /// Unknown, or no: the sink has to be read.
    Unclear(Error),
}

impl InFlight {
    pub(super) fn is_finished(&mut self) -> bool {
        self.outcome.is_finished()
    }

    /// Waits for the commit to end.
    pub(super) fn wait(&mut self, executor: &Executor) -> Outcome {
        match self.outcome.wait(executor) {
            Ok(receipt) => Outcome::Landed(receipt),
            Err(error) => Outcome::Unclear(error),
        }
    }

    /// Decides from what the sink holds now. `Ok(true)`: it was ours, and all of it landed. `Ok(false)`: some or all of
    /// it did not, and reading again from the sink's positions mends it.
    ///
    /// # Errors
    /// `Conflict` where another writer landed at one of its positions.
    pub(super) fn resolve(&self, stored: &BTreeMap<TopicPartition, LandedPosition>) -> Result<bool> {
        let mut all_landed = true;
        for (partition, range) in self.ranges.iter() {
            match stored.get(partition) {
                Some(stored) if stored.position == range.end() && stored.window.as_ref() == Some(&self.id) => {}
                Some(stored) if stored.position == range.start() => all_landed = false,
                None => all_landed = false,
                Some(stored) => {
                    return Err(Error::new(
                        ErrorKind::Conflict,
                        format!(
                            "land window {}: {partition} {range} was overtaken, the landing is at {} by window {}",
                            self.id,
                            stored.position,
                            stored.window.as_ref().map_or("none", WindowId::as_str)
                        ),
                    )
                    .with_help(
                        "another loader lands the same topic here; nothing of this window was lost or landed twice",
                    ));
                }
            }
        }
        Ok(all_landed)
    }
}
