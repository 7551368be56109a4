//! What the loader reads by: partitions that are owned, how far each has come, and slices of records.
//!
//! [`partition`] decides what becomes of one message, [`assignment`] takes partitions, gives them back and moves them. The
//! client behind the seam ([`Fetcher`]) fetches; where reading goes on is decided here alone.

mod assignment;
mod partition;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use self::partition::{Owned, Verdict};
use super::builder::KafkaConsumerBuilder;
use super::error;
use super::fetcher::{Event, Fetched, Fetcher, Notes, Rebalance};
use super::native::NativeConsumer;
use super::slice::{Group, Message, Reached, Slice};
use crate::clock::{Clock, SystemClock};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{Positions, TopicPartition};

/// A consumer of partitions that a group or its owner gives it.
///
/// Not for several threads at once: one thread polls it, and everything happens there. Dropping it leaves the group.
pub(crate) struct Consumer<F: Fetcher = NativeConsumer> {
    fetcher: F,
    clock: Arc<dyn Clock>,
    joins_group: bool,
    owned: Vec<Owned>,
    ends: Option<Positions>,
    /// Without a group, the assignment that nobody else will announce.
    own_assignment: Option<Vec<TopicPartition>>,
    /// An error that came behind records; the records are given out first.
    late_error: Option<Error>,
    /// The newest trouble that a message told of and that the client mends by itself.
    trouble: Option<Error>,
    /// The partition that `late_error` says cannot be read on.
    lost: Option<Lost>,
    /// A record that came behind its successors.
    belated: Option<(TopicPartition, i64)>,
    /// Partitions that the client gave up to read. It refuses to seek them; they have to be assigned again.
    stalled: BTreeSet<TopicPartition>,
    /// Whether fetching is held back as a whole.
    held: bool,
    average_record_bytes: usize,
}

/// A partition that cannot be read on.
pub(crate) struct Lost {
    pub(crate) partition: TopicPartition,
    /// Whether the client asked for an offset that the log does not have.
    pub(crate) is_outside: bool,
}

/// What one poll brought.
pub(crate) enum Polled<M = Message> {
    /// Records, or at least positions that moved.
    Slice(Slice<M>),
    /// Partitions come or go: to be answered by [`Consumer::assign`] or [`Consumer::revoke`].
    Rebalance(Rebalance),
    /// Nothing came within the time.
    Nothing,
}

impl Consumer {
    /// Connects. With a group it joins; without one it takes the partitions that the builder names.
    ///
    /// # Errors
    /// `Config` for settings that librdkafka refuses, or where the builder has a pattern in place of a name.
    pub(crate) fn open(builder: &KafkaConsumerBuilder) -> Result<Self> {
        let native = NativeConsumer::open(&builder.client_config()?)?;
        let own_partitions = match builder.joins_group() {
            true => None,
            false => Some(builder.assigned_partitions().unwrap_or_default().to_vec()),
        };
        let consumer = Self::new(native, Arc::new(SystemClock), own_partitions);
        if builder.joins_group() {
            consumer.subscribe(builder.topic_names())?;
        }
        Ok(consumer)
    }
}

impl<F: Fetcher> Consumer<F> {
    /// A consumer without partitions. Without a group it is told its own: they come as an assignment out of a poll.
    pub(crate) fn new(fetcher: F, clock: Arc<dyn Clock>, own_partitions: Option<Vec<TopicPartition>>) -> Self {
        Consumer {
            fetcher,
            clock,
            joins_group: own_partitions.is_none(),
            owned: Vec::new(),
            ends: None,
            own_assignment: own_partitions,
            late_error: None,
            trouble: None,
            lost: None,
            belated: None,
            stalled: BTreeSet::new(),
            held: false,
            average_record_bytes: 256,
        }
    }

    /// The next offset to read of every partition that it owns.
    pub(crate) fn positions(&self) -> Positions {
        self.owned.iter().map(|owned| (owned.partition.clone(), owned.position)).collect()
    }

    /// The partitions that are being read, and how far they have come: neither done nor held back.
    pub(crate) fn reading(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        let reading = self.owned.iter().filter(|owned| !self.held && !owned.is_done());
        reading.map(|owned| (&owned.partition, owned.position))
    }

    /// Whether it owns nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.owned.is_empty() && self.own_assignment.is_none()
    }

    /// Without a group: takes these besides what it has. They come as an assignment out of the next poll.
    pub(crate) fn add(&mut self, partitions: Vec<TopicPartition>) {
        self.own_assignment.get_or_insert_default().extend(partitions);
    }

    /// In a group: reads these topics instead of those that were named before. A pattern is not a name: what it means
    /// would be for the client, or for the broker, to say.
    pub(crate) fn subscribe(&self, topics: &[String]) -> Result<()> {
        if let Some(pattern) = topics.iter().find(|topic| topic.starts_with('^')) {
            return Err(Error::internal(format!("subscribe to {pattern:?}: it was not resolved to names")));
        }
        // librdkafka takes no empty list, and nothing is to be had.
        if topics.is_empty() { Ok(()) } else { self.fetcher.subscribe(topics) }
    }

    /// The partition that the newest `SourceChanged` of [`poll`](Self::poll) was about. It is not read any more until it
    /// is assigned again.
    pub(crate) fn take_lost(&mut self) -> Option<Lost> {
        self.lost.take()
    }

    /// A record that came behind its successors: what was taken of them has to be given up. It stays until reading goes on
    /// elsewhere.
    pub(crate) fn belated(&self) -> Option<&(TopicPartition, i64)> {
        self.belated.as_ref()
    }

    /// The newest trouble since the last call: the client goes on by itself, a person may want to know.
    pub(crate) fn take_trouble(&mut self) -> Option<Error> {
        self.fetcher.take_trouble().or_else(|| self.trouble.take())
    }

    /// Makes reading bounded: a partition is done at its end. Records at or past it are not given out. Nothing is read
    /// of a partition that has no end here: it is younger than they are.
    pub(crate) fn set_ends(&mut self, ends: Positions) {
        for owned in &mut self.owned {
            owned.end = Some(ends.position(&owned.partition).unwrap_or(owned.position));
        }
        self.ends = Some(ends);
    }

    /// Whether every owned partition has come to its end, and nothing is left to say.
    pub(crate) fn is_done(&self) -> bool {
        self.late_error.is_none() && self.own_assignment.is_none() && self.owned.iter().all(Owned::is_done)
    }

    /// Tells the group how far it has come, in the background. For lag tools only; losing it costs nothing.
    pub(crate) fn report(&self, positions: &Positions, notes: &Notes) -> Result<()> {
        self.fetcher.commit(positions, notes, false)
    }

    /// Commits positions to the group and waits for the coordinator.
    pub(super) fn commit(&self, positions: &Positions) -> Result<()> {
        self.fetcher.commit(positions, &Notes::new(), true)
    }

    /// The group's committed positions, where it has any.
    pub(super) fn committed(&self, partitions: &[TopicPartition], timeout: Duration) -> Result<Positions> {
        let told = self.fetcher.committed(partitions, timeout)?;
        Ok(told.into_iter().map(|(partition, told)| (partition, told.position)).collect())
    }

    /// Polls one slice: at most `max_records` and about [`SLICE_BYTES`], as soon as the client has nothing more at hand.
    ///
    /// What it takes it gives out: an error that comes beside records waits for the next call.
    pub(crate) fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Polled<F::Message>> {
        if let Some(late) = self.late_error.take() {
            return Err(late);
        }
        if let Some(partitions) = self.own_assignment.take() {
            return Ok(Polled::Rebalance(Rebalance::Assign(partitions)));
        }
        if let Some(rebalance) = self.fetcher.next_rebalance() {
            return Ok(Polled::Rebalance(rebalance));
        }
        self.seek_where_owed()?;
        let slice = self.take_slice(max_records, timeout);
        if let Err(failed) = self.sync_paused().and_then(|()| self.seek_where_owed()) {
            self.late_error.get_or_insert(failed);
        }
        match (slice.reached.is_empty(), self.late_error.take()) {
            (false, late) => {
                self.late_error = late;
                Ok(Polled::Slice(slice))
            }
            (true, Some(late)) => Err(late),
            (true, None) => Ok(Polled::Nothing),
        }
    }

    fn take_slice(&mut self, max_records: usize, timeout: Duration) -> Slice<F::Message> {
        let deadline = self.clock.now() + timeout;
        let max_records = max_records.clamp(1, SLICE_RECORDS);
        let mut slice = Slice::empty();
        for owned in &mut self.owned {
            owned.group = None;
            owned.slice_start = owned.position;
        }
        loop {
            let fitting = (SLICE_BYTES - slice.byte_count.min(SLICE_BYTES)) / self.average_record_bytes.max(1);
            let asked = fitting.clamp(16, 4096).min(max_records - slice.record_count);
            let from = slice.messages.len();
            let taken = self.fetcher.consume_batch(&mut slice.messages, asked, BATCH_TIMEOUT);
            self.sort_in(&mut slice, from);
            let full = slice.record_count >= max_records || slice.byte_count >= SLICE_BYTES;
            let has_moved = || self.owned.iter().any(|owned| owned.position != owned.slice_start);
            let drained = taken < asked && (slice.record_count > 0 || has_moved());
            if full || drained || self.late_error.is_some() || self.clock.now() >= deadline {
                break;
            }
        }
        for owned in self.owned.iter_mut().filter(|owned| owned.position != owned.slice_start) {
            if let Some(group) = owned.group {
                owned.note_newest(slice.newest(&slice.groups[group]));
            }
            let (partition, from, to) = (owned.partition.clone(), owned.slice_start, owned.position);
            slice.reached.push(Reached { partition, from, to });
        }
        if let Some(average) = slice.byte_count.checked_div(slice.record_count) {
            self.average_record_bytes = average.max(1);
        }
        slice
    }

    /// Sorts the messages from place `from` on into the slice's groups, and moves positions.
    fn sort_in(&mut self, slice: &mut Slice<F::Message>, from: usize) {
        // Messages come in long runs of one partition; only the first of a run is looked up.
        let mut run: Option<((usize, i32), Option<usize>)> = None;
        for place in from..slice.messages.len() {
            let message = &slice.messages[place];
            let key = (message.topic_handle(), message.partition());
            let owner = match run {
                Some((of, owner)) if of == key => owner,
                _ => {
                    let owner = self.owner(message);
                    run = Some((key, owner));
                    owner
                }
            };
            if !message.is_record() {
                self.take_event(&slice.messages[place], owner);
                continue;
            }
            // A record of a partition that was taken away meanwhile is the next owner's.
            let Some(owned) = owner.map(|owner| &mut self.owned[owner]) else { continue };
            match owned.judge(message.offset()) {
                Verdict::Take => {}
                Verdict::Done | Verdict::Pass => continue,
                Verdict::Below if !owned.contradicts(message.as_view().mark(message.leader_epoch())) => continue,
                Verdict::Below => {
                    let changed = written_anew(owned, message.offset());
                    // Nothing that follows is of the log that landed.
                    owned.must_seek = true;
                    let partition = owned.partition.clone();
                    self.give_up(Lost { partition, is_outside: false }, changed);
                    continue;
                }
                Verdict::OutOfOrder => {
                    let late = out_of_order(owned, message.offset());
                    owned.must_seek = true;
                    self.belated.get_or_insert((owned.partition.clone(), message.offset()));
                    self.late_error.get_or_insert(late);
                    continue;
                }
            }
            slice.byte_count += message.byte_count();
            slice.record_count += 1;
            let group = *owned.group.get_or_insert_with(|| {
                slice.groups.push(Group { partition: owned.partition.clone(), spans: Vec::new() });
                slice.groups.len() - 1
            });
            match slice.groups[group].spans.last_mut() {
                Some(span) if span.end == place => span.end += 1,
                _ => slice.groups[group].spans.push(place..place + 1),
            }
        }
    }

    fn take_event(&mut self, message: &F::Message, owner: Option<usize>) {
        let place = TopicPartition::new(message.topic(), message.partition());
        let owned = owner.map(|owner| &mut self.owned[owner]);
        let (code, text) = match message.event() {
            Event::EndOfPartition => return owned.map_or((), |owned| owned.reach_end(message.offset())),
            Event::Failed(code, text) => (code, text),
        };
        if place.topic.is_empty() {
            return self.take_group_event(code, &text);
        }
        let failed = error::from_code(&format!("poll {place}"), code, Some(&text));
        tracing::debug!(error = ?failed, "the client reports");
        let Some(owned) = owned else {
            // A partition that was taken away is not ours; a topic as a whole may be.
            if place.partition < 0 {
                self.tell(failed);
            }
            return;
        };
        // It counts the event as a record and would go on behind it: reading goes on from our position.
        owned.must_seek = true;
        owned.disturb();
        match failed.kind() {
            ErrorKind::SourceChanged => {
                owned.must_seek = false;
                self.stalled.insert(place.clone());
                self.give_up(Lost { partition: place, is_outside: code != RDKafkaErrorCode::LogTruncation }, failed);
            }
            // Behind a damaged batch the client takes bytes of records for the next one, of whatever version.
            ErrorKind::Data | ErrorKind::Unsupported if !owned.is_corrupt(self.clock.now()) => {
                self.trouble = Some(passing(&failed))
            }
            _ => self.tell(failed),
        }
    }

    /// An event of no topic is the group's, or the whole client's.
    fn take_group_event(&mut self, code: RDKafkaErrorCode, text: &str) {
        let fatal = (code == RDKafkaErrorCode::Fatal).then(|| self.fetcher.fatal_error()).flatten();
        let is_fatal = fatal.is_some();
        let failed = fatal.unwrap_or_else(|| error::from_code("take part in the group", code, Some(text)));
        tracing::debug!(error = ?failed, "the client reports");
        match failed.kind() {
            // Who could not read an answer asks again.
            ErrorKind::Data if !is_fatal => self.trouble = Some(passing(&failed)),
            _ => self.tell(failed),
        }
    }

    /// A partition cannot be read on.
    fn give_up(&mut self, lost: Lost, why: Error) {
        self.lost = self.lost.take().or(self.late_error.is_none().then_some(lost));
        self.late_error.get_or_insert(why);
    }

    /// What the client mends by itself is told, anything else ends the reading.
    fn tell(&mut self, failed: Error) {
        match failed.is_retryable() {
            true => self.trouble = Some(failed),
            false => drop(self.late_error.get_or_insert(failed)),
        }
    }

    fn owner(&self, message: &F::Message) -> Option<usize> {
        let (topic, partition) = (message.topic(), message.partition());
        self.owned.iter().position(|owned| owned.partition.partition == partition && &*owned.partition.topic == topic)
    }
}

fn passing(failed: &Error) -> Error {
    Error::unavailable(failed.message())
}

fn written_anew(owned: &Owned, offset: i64) -> Error {
    let Owned { partition, position, .. } = owned;
    let message =
        format!("poll {partition}: it landed up to {position}, where the log now has another record at {offset}");
    Error::new(ErrorKind::SourceChanged, message)
        .with_help("the log was cut and has grown again: compare the landing with it")
}

fn out_of_order(owned: &Owned, offset: i64) -> Error {
    let Owned { partition, position, .. } = owned;
    Error::unavailable(format!("poll {partition}: the record at {offset} came when it was read up to {position}"))
        .with_help("the brokers' answers were out of order; it is read again from where it landed")
}

/// Bytes of keys and values after which a slice is full.
pub(crate) const SLICE_BYTES: usize = 8 << 20;
/// Records after which a slice is full.
const SLICE_RECORDS: usize = 32_768;
/// How long one batch call waits for its messages to come together.
const BATCH_TIMEOUT: Duration = Duration::from_millis(10);
