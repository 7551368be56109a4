//! A lane: one consumer with its load and its open window on one thread.
//!
//! Each turn polls a slice, loads it and appends it while it is hot in the cache; a full window is committed beside the
//! next one. Whatever goes wrong ends in the same place: the open window is given up, the sink is asked how far it has
//! come, and reading goes on from there. What does not come although it should, the [`watch`] sees.

mod commits;
mod mend;
#[cfg(test)]
mod tests;
mod watch;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use self::watch::Watch;
use super::commit::{InFlight, OpenWindow};
use super::executor::Executor;
use super::run::{Patience, Run};
use super::source::Starts;
use super::{LoadEvent, LoadReport};
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::kafka::{
    Consumer, Fetcher, KafkaConsumerBuilder, NativeConsumer, Place, Polled, Rebalance, Slice, WindowEnd,
};
use crate::load::RecordLoaders;
use crate::offset::{Positions, TopicPartition};
use crate::sink::{WindowId, WindowInfo};

pub(super) struct Lane<F: Fetcher = NativeConsumer> {
    number: usize,
    run: Arc<Run>,
    executor: Executor,
    /// What was polled while something else had to be waited for. Dropped before the consumer, which would wait for ever
    /// for its records to be given back.
    waiting: Option<Polled<F::Message>>,
    consumer: Consumer<F>,
    /// Makes another consumer, where this one does not find back to the brokers.
    open: Open<F>,
    loading: RecordLoaders,
    window: Option<OpenWindow>,
    in_flight: Option<InFlight>,
    /// Where the open window's ranges start: behind what landed and what is in flight.
    begun: Positions,
    /// Up to where the open window has taken each partition in. It follows the rows, not the reading.
    taken: Positions,
    /// Since when positions have moved over markers alone, without a window that would land them.
    over_markers_since: Option<Moment>,
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
    /// The topics that the group was told.
    topics: Vec<String>,
    watch: Watch,
    report: LoadReport,
}

/// Opens a consumer: of these partitions, or, without any, one that joins the group for these topics.
pub(super) type Open<F> = Box<dyn Fn(Assignment<'_>) -> Result<Consumer<F>> + Send>;

/// What a consumer is opened for.
pub(super) enum Assignment<'a> {
    Partitions(Vec<TopicPartition>),
    Topics(&'a [String]),
}

enum Turn {
    GoOn,
    Ended,
    /// Nothing has come for as long as the run is patient.
    GaveUp(Error),
}

impl Lane {
    pub(super) fn open(number: usize, source: KafkaConsumerBuilder, run: Arc<Run>, executor: Executor) -> Result<Self> {
        let own = match source.joins_group() {
            true => None,
            false => Some(source.assigned_partitions().unwrap_or_default().to_vec()),
        };
        let open = move |assignment: Assignment<'_>| {
            Consumer::open(&match assignment {
                Assignment::Partitions(partitions) => source.clone().without_partitions().partitions(partitions),
                Assignment::Topics(topics) => source.clone().with_topics(topics.iter().cloned()),
            })
        };
        Lane::start(number, own, Box::new(open), run, executor)
    }
}

impl<F: Fetcher> Lane<F> {
    /// A lane that reads `own` partitions, or those that a group gives it.
    pub(super) fn start(
        number: usize,
        own: Option<Vec<TopicPartition>>,
        open: Open<F>,
        run: Arc<Run>,
        executor: Executor,
    ) -> Result<Self> {
        let (in_group, topics) = (own.is_none(), run.topics());
        let mut patience = run.patience();
        let consumer = loop {
            let assignment = own.clone().map_or(Assignment::Topics(&topics), Assignment::Partitions);
            match open(assignment) {
                Ok(consumer) => break consumer,
                Err(error) => run.clock.sleep(patience.wait(error, &run.shutdown, &|event| run.tell(event))?),
            }
        };
        let mut lane = Lane {
            number,
            loading: RecordLoaders::new(&run.load)?,
            patience: run.patience(),
            landing_patience: run.patience(),
            in_group,
            topics,
            watch: Watch::new(run.clock.now()),
            executor,
            consumer,
            open,
            window: None,
            in_flight: None,
            begun: Positions::new(),
            taken: Positions::new(),
            over_markers_since: None,
            must_rewind: false,
            met: None,
            waiting: None,
            conflict_count: 0,
            report: LoadReport::default(),
            run,
        };
        lane.bound();
        Ok(lane)
    }

    /// Lands window after window until the run is over.
    pub(super) fn run(mut self) -> Result<LoadReport> {
        loop {
            if let Some(ended) = self.step() {
                return ended.map(|()| self.report);
            }
        }
    }

    /// One turn, and what mends it where it failed. `Some` at the lane's end.
    pub(super) fn step(&mut self) -> Option<Result<()>> {
        match self.turn() {
            Ok(Turn::GoOn) => None,
            Ok(Turn::Ended) => Some(Ok(())),
            Ok(Turn::GaveUp(error)) => Some(Err(error)),
            Err(error) => self.recover(error).err().map(Err),
        }
    }

    #[cfg(test)]
    pub(super) fn state(&self) -> String {
        let positions = self.consumer.positions();
        format!("reading {positions}, taken {}, waiting {}", self.taken, self.waiting.is_some())
    }

    #[cfg(test)]
    pub(super) fn into_report(self) -> LoadReport {
        self.report
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
        if self.in_flight.as_mut().is_some_and(InFlight::is_finished) {
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
        // The end is reached when all that was read has been taken.
        if self.run.ends.is_some() && self.waiting.is_none() && self.consumer.is_done() {
            self.close_window(WindowEnd::EndOffsets)?;
            self.settle()?;
            if self.run.is_over(&self.executor)? {
                return self.end_confirmed();
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
        self.look_after_progress()
    }

    /// Ends, where the logs have been asked. A group that gave this lane nothing to read has not asked them, and what has
    /// landed to their ends may be of logs that were cut and have grown again: then it reads them by itself, to no avail
    /// but this.
    fn end_confirmed(&mut self) -> Result<Turn> {
        if !self.in_group || self.number > 0 || !self.begun.is_empty() {
            return Ok(Turn::Ended);
        }
        self.in_group = false;
        self.reopen_with(self.run.present().to_vec())?;
        Ok(Turn::GoOn)
    }

    fn poll(&mut self) -> Result<Polled<F::Message>> {
        if let Some(waiting) = self.waiting.take() {
            return Ok(waiting);
        }
        self.take_added()?;
        let held = self.window.as_ref().map_or(0, |window| window.counts.record_count);
        let room = self.run.limits.max_records.saturating_sub(usize::try_from(held).unwrap_or(usize::MAX));
        let polled = self.consumer.poll(room, POLL_TIMEOUT)?;
        match (self.consumer.take_trouble(), &polled) {
            // librdkafka reconnects by itself; positions and window stay as they are meanwhile.
            (Some(trouble), Polled::Nothing) => {
                self.watch.note(&trouble);
                self.run.nudge_lookout();
                // An idle topic sends nothing: that the brokers answer says as much.
                self.patience.reset_if_worked(self.run.heard_at());
                let wait = self.patience.wait(trouble, &self.run.shutdown, &|event| self.run.tell(event))?;
                self.run.clock.sleep(wait.min(Duration::from_secs(1)));
            }
            (Some(trouble), _) if !trouble.is_retryable() => {
                self.waiting = Some(polled);
                return Err(trouble);
            }
            (Some(trouble), _) => self.watch.note(&trouble),
            (None, Polled::Slice(_)) => {
                self.patience.reset();
                self.run.note_heard();
            }
            _ => {}
        }
        Ok(polled)
    }

    /// Takes what the lookout has found: partitions without a group, topics with one.
    fn take_added(&mut self) -> Result<()> {
        let added = self.run.take_added(self.number);
        if !added.is_empty() {
            self.consumer.add(added);
        }
        if self.in_group && self.run.topic_count() != self.topics.len() {
            let topics = self.run.topics();
            tracing::info!(?topics, "topics came");
            self.consumer.subscribe(&topics)?;
            self.topics = topics;
        }
        Ok(())
    }

    /// Loads a slice and appends it to the open window.
    fn take(&mut self, slice: &Slice<F::Message>) -> Result<()> {
        for reached in &slice.reached {
            if self.taken.position(&reached.partition) != Some(reached.from) {
                let message = format!("read {}: a slice was lost before {}", reached.partition, reached.from);
                return Err(Error::unavailable(message));
            }
        }
        if slice.record_count > 0 {
            failpoint::pass("slice_polled")?;
            let mut window = match self.window.take() {
                Some(window) => window,
                None => self.open_window()?,
            };
            // The window stays out of its place until it has taken the whole slice: half a slice is never committed.
            for group in &slice.groups {
                let mut rows =
                    self.loading.of(&group.partition.topic).load(&group.partition, &mut slice.records(group))?;
                rows.newest = slice.newest(group);
                window.append(&rows, &self.executor)?;
            }
            window.byte_count += slice.byte_count;
            self.window = Some(window);
        }
        self.taken.extend(slice.reached.iter().map(|reached| (reached.partition.clone(), reached.to)));
        if self.window.is_none() && !slice.reached.is_empty() {
            self.over_markers_since.get_or_insert(self.run.clock.now());
        }
        if slice.record_count > 0 {
            failpoint::pass("slice_appended")?;
            self.run.tell(LoadEvent::Loaded { record_count: slice.record_count as u64 });
        }
        Ok(())
    }

    fn is_full(&self) -> Option<WindowEnd> {
        let limits = &self.run.limits;
        let Some(window) = self.window.as_ref() else {
            let waited = self.over_markers_since.map(|since| self.run.clock.since(since));
            return waited.filter(|waited| *waited >= limits.max_wait.max(MARKERS_WAIT)).map(|_| WindowEnd::Wait);
        };
        if window.counts.record_count >= limits.max_records as u64 {
            return Some(WindowEnd::Records);
        }
        if window.byte_count >= limits.max_bytes {
            return Some(WindowEnd::Bytes);
        }
        if window.writer.memory_bytes() >= self.run.options.budget().window_bytes() {
            return Some(WindowEnd::Memory);
        }
        (self.run.clock.since(window.opened_at) >= limits.max_wait).then_some(WindowEnd::Wait)
    }

    /// Takes what the group gave: reading begins where the sink stands.
    fn take_over(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        if partitions.iter().any(|partition| self.window.as_ref().is_some_and(|w| w.records_of.contains_key(partition)))
        {
            // It was ours already: reading begins anew, so the rows of before must go.
            self.discard();
            self.must_rewind = true;
        }
        let assigned = failpoint::pass("assigned")
            .and_then(|()| self.run.source.starts(&partitions, &self.executor))
            .and_then(|starts| {
                self.consumer.assign(&places(&starts))?;
                Ok(starts)
            });
        let starts = match assigned {
            Ok(starts) => starts,
            Err(error) => {
                // The group waits for the answer; it is given after the next try.
                self.waiting = Some(Polled::Rebalance(Rebalance::Assign(partitions)));
                return Err(error);
            }
        };
        let positions = self.begin(&starts);
        tracing::debug!(%positions, "partitions assigned");
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
        if let Err(error) = self.consumer.revoke(&partitions) {
            self.waiting = Some(Polled::Rebalance(Rebalance::Revoke { partitions, lost }));
            return Err(error);
        }
        self.run.tell(LoadEvent::Revoked { partitions });
        settled
    }

    /// Notes that windows of these partitions begin here. Returns the positions.
    fn begin(&mut self, starts: &Starts) -> Positions {
        let landed: Positions = starts.iter().map(|(partition, start)| (partition.clone(), start.landed)).collect();
        self.run.note_landed(&landed);
        self.begun.extend(landed.iter().map(|(partition, position)| (partition.clone(), position)));
        self.taken.extend(starts.iter().map(|(partition, start)| (partition.clone(), start.place.position)));
        landed
    }

    fn bound(&mut self) {
        if let Some(ends) = &self.run.ends {
            self.consumer.set_ends(ends.clone());
        }
    }

    fn discard(&mut self) {
        if let Some(window) = self.window.take() {
            self.executor.block_on(window.writer.discard());
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
        OpenWindow::open(&*self.run.sink, &info, self.run.clock.now(), &self.executor)
    }
}

fn places(starts: &Starts) -> BTreeMap<TopicPartition, Place> {
    starts.iter().map(|(partition, start)| (partition.clone(), start.place)).collect()
}

/// For how long a position may have moved over markers alone before the landing is told: who dies before stands in front of
/// them, and once retention took them nobody can say any more that they were no records.
const MARKERS_WAIT: Duration = Duration::from_secs(60);
/// How long a poll waits for something to come.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
