//! How a lane's windows close and what becomes of their commits.

use std::collections::BTreeSet;
use std::time::Duration;

use super::super::commit::InFlight;
use super::super::{LoadEvent, TELL_AFTER, TELL_EVERY};
use super::Lane;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::kafka::{Fetcher, WindowEnd};
use crate::offset::{OffsetRange, OffsetRanges};
use crate::sink::{Commit, Receipt};

impl<F: Fetcher> Lane<F> {
    /// Begins the commit of the open window, once the one before has ended.
    ///
    /// A partition whose position moved over markers only has nothing to land; it goes along with its next records, or
    /// at the end of a run, or when none come for long, so that the landing says how far it has come.
    pub(super) fn close_window(&mut self, end: WindowEnd) -> Result<()> {
        let ranges = self.ranges(end)?;
        self.over_markers_since = None;
        if ranges.is_empty() {
            return Ok(());
        }
        self.await_in_flight()?;
        let topics: BTreeSet<_> = ranges.iter().map(|(partition, _)| partition.topic.clone()).collect();
        self.check_unchanged(&topics)?;
        // It may have come while something else was waited for.
        if let Some((partition, offset)) = self.consumer.belated() {
            return Err(Error::unavailable(format!(
                "poll {partition}: the record at {offset} came behind its successors"
            )));
        }
        let window = match self.window.take() {
            Some(window) => window,
            None => self.open_window()?,
        };
        failpoint::pass("window_closed")?;
        tracing::debug!(window = %window.id, records = window.counts.record_count, ?end, "window closed");
        for (partition, range) in ranges.iter() {
            self.begun.insert(partition.clone(), range.end());
        }
        self.in_flight = Some(window.commit(ranges, end, self.run.clock.now(), &self.executor));
        Ok(())
    }

    fn ranges(&self, end: WindowEnd) -> Result<OffsetRanges> {
        let takes_markers = match end {
            WindowEnd::EndOffsets | WindowEnd::Shutdown => true,
            _ => self.window.is_none(),
        };
        let mut ranges = OffsetRanges::new();
        for partition in self.consumer.positions().partitions() {
            let (Some(start), Some(taken)) = (self.begun.position(partition), self.taken.position(partition)) else {
                continue;
            };
            let has_records = self.window.as_ref().is_some_and(|window| window.records_of.contains_key(partition));
            if taken > start && (has_records || takes_markers) {
                ranges.insert(partition.clone(), OffsetRange::new(start, taken)?);
            }
        }
        Ok(ranges)
    }

    /// Waits for the commit in flight, and settles it. Past a second it holds fetching back and goes on polling, so that
    /// the group keeps this member.
    fn await_in_flight(&mut self) -> Result<()> {
        let began = self.run.clock.now();
        let (mut held, mut tell_at) = (false, TELL_AFTER);
        while self.in_flight.as_mut().is_some_and(|in_flight| !in_flight.is_finished()) {
            let waited = self.run.clock.since(began);
            if self.run.shutdown.is_immediate() {
                return Ok(());
            }
            if waited >= tell_at {
                tell_at += TELL_EVERY;
                let reason = format!("a commit to {} does not end", self.run.sink.describe());
                self.run.tell(LoadEvent::Waiting { reason, since: waited });
            }
            if waited < Duration::from_secs(1) || self.waiting.is_some() {
                self.run.clock.sleep(Duration::from_millis(1));
                continue;
            }
            if !std::mem::replace(&mut held, true) {
                self.consumer.pause()?;
            }
            self.keep_in_group()?;
        }
        if held {
            self.consumer.resume()?;
        }
        self.settle()
    }

    /// Waits for the commit in flight, and notes what it did.
    pub(super) fn settle(&mut self) -> Result<()> {
        let Some(mut in_flight) = self.in_flight.take() else { return Ok(()) };
        match in_flight.wait(&self.executor) {
            Commit::Landed(receipt) => self.landed(in_flight, receipt),
            Commit::Overtaken(error) | Commit::Unknown(error) => self.settle_by_reading(in_flight, error),
        }
    }

    /// Unknown is settled by reading the sink back, never by trying again.
    fn settle_by_reading(&mut self, in_flight: InFlight, error: Error) -> Result<()> {
        tracing::warn!(window = %in_flight.id, ?error, "commit without a yes: reading the sink back");
        failpoint::pass("outcome_unclear")?;
        let all_landed = loop {
            match in_flight.resolve(&*self.run.sink, &self.executor) {
                Ok(all_landed) => break all_landed,
                Err(unread) if self.run.is_failed() => return Err(unread),
                Err(unread) => {
                    let wait = self.landing_patience.wait(unread, &self.run.shutdown, &|event| self.run.tell(event))?;
                    self.run.clock.sleep(wait);
                }
            }
        };
        if !all_landed {
            return Err(error);
        }
        let positions = in_flight.ranges.ends();
        self.landed(in_flight, Receipt { positions, landed_bytes: 0 })
    }

    fn landed(&mut self, in_flight: InFlight, receipt: Receipt) -> Result<()> {
        failpoint::pass("commit_ended")?;
        self.landing_patience.reset();
        self.conflict_count = 0;
        let ends = in_flight.ranges.ends();
        let committed_in = self.run.clock.since(in_flight.closed.at);
        tracing::debug!(window = %in_flight.id, lane = self.number, closed = ?in_flight.closed, ?committed_in, "window landed");
        self.run.note_landed(&ends);
        self.report.window_count += 1;
        self.report.record_count += in_flight.counts.record_count;
        self.report.quarantined_count += in_flight.counts.quarantined_count;
        self.report.tombstone_count += in_flight.counts.tombstone_count;
        self.report.landed_bytes += receipt.landed_bytes;
        self.report.positions.extend(ends.iter().map(|(partition, position)| (partition.clone(), position)));
        self.run.tell(LoadEvent::Landed {
            window: in_flight.id,
            ranges: in_flight.ranges,
            record_count: in_flight.counts.record_count,
            quarantined_count: in_flight.counts.quarantined_count,
            receipt,
            lane: self.number,
            closed_by: in_flight.closed.by,
            open_for: in_flight.closed.open_for,
            committed_in,
        });
        if self.run.reports_positions() {
            let notes = self.run.source.landing_notes(&ends, &self.executor);
            if let Err(failed) = notes.and_then(|notes| self.consumer.report(&ends, &notes)) {
                tracing::debug!(error = ?failed, "positions were not reported to the group");
            }
        }
        failpoint::pass("positions_reported")
    }
}
