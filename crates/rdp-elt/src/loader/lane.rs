//! A lane: one consumer with its load and its open landing on one thread.
//!
//! Each turn polls a slice, loads it and appends it while it is hot in the cache; a full window is committed beside the
//! next one. Whatever goes wrong ends in the same place: the open window is given up, the sink is asked how far it has
//! come, and reading goes on from there.

mod mend;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::runtime::Handle;

use super::commit::{InFlight, OpenWindow, Outcome};
use super::run::{Patience, Run};
use super::{LoadEvent, LoadReport};
use crate::error::{Error, Result};
use crate::failpoint;
use crate::kafka::{KafkaConsumer, KafkaConsumerBuilder, Polled, Rebalance, Slice, WindowEnd};
use crate::load::RecordLoader;
use crate::offset::{OffsetRange, OffsetRanges, Positions, TopicPartition};
use crate::sink::{Receipt, WindowId, WindowInfo};

pub(super) struct Lane {
    number: usize,
    run: Arc<Run>,
    runtime: Handle,
    /// What was polled while something else had to be waited for. Dropped before the consumer, which would wait for ever
    /// for its records to be given back.
    waiting: Option<Polled>,
    consumer: KafkaConsumer,
    loading: RecordLoader,
    window: Option<OpenWindow>,
    in_flight: Option<InFlight>,
    /// Where the open window's ranges start: behind what landed and what is in flight.
    begun: Positions,
    /// Whether reading has to go back to the sink's positions before anything else: what lies between was given up.
    must_rewind: bool,
    /// What went wrong while it waited for something else to be mended.
    met: Option<Error>,
    /// For the brokers: ended by what they send.
    patience: Patience,
    /// For the landing: ended by a window that landed, and not by what was polled for the next try.
    landing_patience: Patience,
    /// Conflicts since a window of this lane landed.
    conflict_count: u32,
    in_group: bool,
    report: LoadReport,
}

#[derive(PartialEq)]
enum Turn {
    GoOn,
    Ended,
}

impl Lane {
    pub(super) fn open(number: usize, source: KafkaConsumerBuilder, run: Arc<Run>, runtime: Handle) -> Result<Self> {
        let mut patience = run.patience();
        let mut consumer = loop {
            match KafkaConsumer::open(&source) {
                Ok(consumer) => break consumer,
                Err(error) => std::thread::sleep(patience.wait(error, &run.shutdown, &|event| run.tell(event))?),
            }
        };
        if let Some(ends) = &run.ends {
            consumer.set_ends(ends.clone());
        }
        Ok(Lane {
            number,
            loading: RecordLoader::new(&run.load)?,
            patience: run.patience(),
            landing_patience: run.patience(),
            in_group: source.joins_group(),
            run,
            runtime,
            consumer,
            window: None,
            in_flight: None,
            begun: Positions::new(),
            must_rewind: false,
            met: None,
            waiting: None,
            conflict_count: 0,
            report: LoadReport::default(),
        })
    }

    /// Lands window after window until the run is over.
    pub(super) fn run(mut self) -> Result<LoadReport> {
        loop {
            match self.turn() {
                Ok(Turn::GoOn) => {}
                Ok(Turn::Ended) => return Ok(self.report),
                Err(error) => self.recover(error)?,
            }
        }
    }

    fn turn(&mut self) -> Result<Turn> {
        if self.run.shutdown.is_immediate() {
            self.discard();
            return Ok(Turn::Ended);
        }
        if self.run.is_failed() {
            self.discard();
            // The run's error says how far it has come; this lane's own trouble is not the reason any more.
            if let Err(error) = self.settle() {
                tracing::debug!(?error, "not settled at the end");
            }
            return Ok(Turn::Ended);
        }
        if let Some(met) = self.met.take() {
            return Err(met);
        }
        if self.in_flight.as_ref().is_some_and(InFlight::is_finished) {
            self.settle()?;
        }
        if self.must_rewind {
            self.rewind()?;
        }
        if self.run.shutdown.is_requested() {
            failpoint::pass("shutdown_begun")?;
            self.close_window(WindowEnd::Shutdown)?;
            self.settle()?;
            return Ok(Turn::Ended);
        }
        // Positions are ahead of a slice that still waits: the end is reached when it has been taken.
        if self.run.ends.is_some() && self.waiting.is_none() && self.consumer.is_done() {
            self.close_window(WindowEnd::EndOffsets)?;
            self.settle()?;
            if self.run.is_over(&self.runtime)? {
                return Ok(Turn::Ended);
            }
        } else if let Some(end) = self.is_full() {
            self.close_window(end)?;
        }
        match self.poll()? {
            Polled::Slice(slice) => self.take(&slice)?,
            Polled::Rebalance(Rebalance::Assign(partitions)) => self.take_over(partitions)?,
            Polled::Rebalance(Rebalance::Revoke { partitions, lost }) => self.give_back(partitions, lost)?,
            Polled::Nothing => {}
        }
        Ok(Turn::GoOn)
    }

    fn poll(&mut self) -> Result<Polled> {
        if let Some(waiting) = self.waiting.take() {
            return Ok(waiting);
        }
        let added = self.run.take_added(self.number);
        if !added.is_empty() {
            self.consumer.add(added);
        }
        let held = self.window.as_ref().map_or(0, |window| window.counts.record_count);
        let room = self.run.limits.max_records.saturating_sub(usize::try_from(held).unwrap_or(usize::MAX));
        let polled = self.consumer.poll(room, POLL_TIMEOUT)?;
        match (self.consumer.take_trouble(), &polled) {
            // librdkafka reconnects by itself; positions and window stay as they are meanwhile.
            (Some(trouble), Polled::Nothing) => {
                let wait = self.patience.wait(trouble, &self.run.shutdown, &|event| self.run.tell(event))?;
                std::thread::sleep(wait.min(Duration::from_secs(1)));
            }
            (Some(trouble), _) if !trouble.is_retryable() => return Err(trouble),
            (_, Polled::Slice(_)) => self.patience.reset(),
            _ => {}
        }
        Ok(polled)
    }

    /// Loads a slice and appends it to the open window.
    fn take(&mut self, slice: &Slice) -> Result<()> {
        if slice.record_count == 0 {
            return Ok(());
        }
        failpoint::pass("slice_polled")?;
        let mut window = match self.window.take() {
            Some(window) => window,
            None => self.open_window()?,
        };
        // The window stays out of its place until it has taken the whole slice: half a slice is never committed.
        for group in &slice.groups {
            let rows = self.loading.load(&group.partition, &mut slice.records(group))?;
            window.append(&rows, &self.runtime)?;
        }
        window.byte_count += slice.byte_count;
        self.window = Some(window);
        failpoint::pass("slice_appended")?;
        self.run.tell(LoadEvent::Loaded { record_count: slice.record_count as u64 });
        Ok(())
    }

    fn is_full(&self) -> Option<WindowEnd> {
        let window = self.window.as_ref()?;
        let limits = &self.run.limits;
        if window.counts.record_count >= limits.max_records as u64 {
            return Some(WindowEnd::Records);
        }
        if window.byte_count >= limits.max_bytes {
            return Some(WindowEnd::Bytes);
        }
        if window.landing.memory_bytes() >= self.run.options.memory_bytes / 2 / self.run.options.lanes.max(1) {
            return Some(WindowEnd::Memory);
        }
        (window.opened_at.elapsed() >= limits.max_wait).then_some(WindowEnd::Wait)
    }

    /// Begins the commit of the open window, once the one before has ended.
    ///
    /// A partition whose position moved over markers only has nothing to land; it goes along with its next records, or
    /// at the end of a bounded run, so that the landing says how far it has come.
    fn close_window(&mut self, end: WindowEnd) -> Result<()> {
        let ranges = self.ranges(end)?;
        if ranges.is_empty() {
            return Ok(());
        }
        self.await_in_flight()?;
        let topics: BTreeSet<_> = ranges.iter().map(|(partition, _)| partition.topic.clone()).collect();
        self.check_unchanged(&topics)?;
        let window = match self.window.take() {
            Some(window) => window,
            None => self.open_window()?,
        };
        failpoint::pass("window_closed")?;
        tracing::debug!(window = %window.id, records = window.counts.record_count, ?end, "window closed");
        for (partition, range) in ranges.iter() {
            self.begun.insert(partition.clone(), range.end());
        }
        self.in_flight = Some(window.commit(ranges, &self.runtime));
        Ok(())
    }

    fn ranges(&self, end: WindowEnd) -> Result<OffsetRanges> {
        let mut ranges = OffsetRanges::new();
        for (partition, position) in self.consumer.positions().iter() {
            let Some(start) = self.begun.position(partition) else { continue };
            let has_records = self.window.as_ref().is_some_and(|window| window.records_of.contains_key(partition));
            if position > start && (has_records || end == WindowEnd::EndOffsets) {
                ranges.insert(partition.clone(), OffsetRange::new(start, position)?);
            }
        }
        Ok(ranges)
    }

    /// Waits for the commit in flight, and settles it. Past a second it holds fetching back and goes on polling, so that
    /// the group keeps this member.
    fn await_in_flight(&mut self) -> Result<()> {
        let began = Instant::now();
        let mut held = false;
        while self.in_flight.as_ref().is_some_and(|in_flight| !in_flight.is_finished()) {
            if began.elapsed() < Duration::from_secs(1) || self.waiting.is_some() {
                std::thread::sleep(Duration::from_millis(1));
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
    fn settle(&mut self) -> Result<()> {
        let Some(mut in_flight) = self.in_flight.take() else { return Ok(()) };
        match in_flight.wait(&self.runtime) {
            Outcome::Landed(receipt) => self.landed(in_flight, receipt),
            Outcome::Unclear(error) => self.settle_by_reading(in_flight, error),
        }
    }

    /// Unknown is settled by reading the sink back, never by trying again.
    fn settle_by_reading(&mut self, in_flight: InFlight, error: Error) -> Result<()> {
        tracing::warn!(window = %in_flight.id, ?error, "commit without a yes: reading the sink back");
        failpoint::pass("outcome_unclear")?;
        let partitions: Vec<_> = in_flight.ranges.iter().map(|(partition, _)| partition.clone()).collect();
        let stored = loop {
            match self.runtime.block_on(self.run.sink.positions(&partitions)) {
                Ok(stored) => break stored,
                Err(unread) if self.run.is_failed() => return Err(unread),
                Err(unread) => {
                    let wait = self.landing_patience.wait(unread, &self.run.shutdown, &|event| self.run.tell(event))?;
                    std::thread::sleep(wait);
                }
            }
        };
        if !in_flight.resolve(&stored)? {
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
        });
        self.consumer.report(&ends);
        failpoint::pass("positions_reported")
    }

    /// Takes what the group gave: reading begins where the sink stands.
    fn take_over(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        let assigned = failpoint::pass("assigned")
            .and_then(|()| self.run.source.positions(&partitions, &self.runtime))
            .and_then(|positions| {
                self.consumer.assign(positions.clone())?;
                Ok(positions)
            });
        let positions = match assigned {
            Ok(positions) => positions,
            Err(error) => {
                // The group waits for the answer; it is given after the next try.
                self.waiting = Some(Polled::Rebalance(Rebalance::Assign(partitions)));
                return Err(error);
            }
        };
        tracing::debug!(%positions, "partitions assigned");
        self.run.note_landed(&positions);
        self.begun.extend(positions.iter().map(|(partition, position)| (partition.clone(), position)));
        self.run.tell(LoadEvent::Assigned { positions, ends: self.run.ends.clone() });
        Ok(())
    }

    /// Gives back what the group took: what is in flight ends first, the open window is given up, and what is kept is
    /// read again from where it has landed.
    fn give_back(&mut self, partitions: Vec<TopicPartition>, lost: bool) -> Result<()> {
        tracing::info!(count = partitions.len(), lost, "partitions revoked");
        let settled = failpoint::pass("revoked").and_then(|()| self.settle());
        self.discard();
        self.must_rewind = true;
        self.consumer.revoke(&partitions)?;
        self.run.tell(LoadEvent::Revoked { partitions });
        settled
    }

    fn discard(&mut self) {
        if let Some(window) = self.window.take() {
            self.runtime.block_on(window.landing.discard());
        }
    }

    fn keep_in_group(&mut self) -> Result<()> {
        match self.consumer.poll(usize::MAX, Duration::from_millis(50))? {
            Polled::Nothing => {}
            polled => self.waiting = Some(polled),
        }
        Ok(())
    }

    fn open_window(&self) -> Result<OpenWindow> {
        let info = WindowInfo { id: WindowId::generate(), sources: self.run.source.identities().clone() };
        OpenWindow::open(&*self.run.sink, &info, &self.runtime)
    }
}

/// How long a poll waits for something to come.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
