//! A long-lived consumer: what it owns, how far it has come, and slices of records.
//!
//! The loader drives it slice by slice and answers rebalances itself, since the sink knows the positions.
//! [`KafkaConsumer::poll_window`] is the same loop for hosts, with the slices kept and the group's positions.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use super::builder::KafkaConsumerBuilder;
use super::cluster::Cluster;
use super::error;
use super::native::{NativeConsumer, Rebalance};
use super::slice::{Group, Message, Slice};
use super::window::{PollWindow, WindowEnd, WindowLimits};
use crate::error::{Error, ErrorKind, Result};
use crate::load::{LoadOptions, RecordLoader};
use crate::offset::{OffsetRange, Positions, TopicPartition};

/// A long-lived consumer of one or many topics.
///
/// Not for several threads at once: one thread polls it, and everything happens there. Dropping it leaves the group.
pub struct KafkaConsumer {
    native: NativeConsumer,
    builder: KafkaConsumerBuilder,
    owned: Vec<Owned>,
    ends: Option<Positions>,
    /// In assign mode, the assignment that nobody else will announce.
    own_assignment: Option<Vec<TopicPartition>>,
    /// An error that came behind records; the records are given out first.
    late_error: Option<Error>,
    /// The partition that `late_error` says cannot be read on.
    lost: Option<TopicPartition>,
    /// Partitions that librdkafka gave up to read. It refuses to seek them; they have to be assigned again.
    stalled: BTreeSet<TopicPartition>,
    /// Whether fetching is held back as a whole.
    held: bool,
    average_record_bytes: usize,
}

/// What one poll brought.
pub(crate) enum Polled {
    /// Records, or at least end-of-partition events that moved positions.
    Slice(Slice),
    /// Partitions come or go: to be answered by [`KafkaConsumer::assign`] or [`KafkaConsumer::revoke`].
    Rebalance(Rebalance),
    /// Nothing came within the time.
    Nothing,
}

struct Owned {
    partition: TopicPartition,
    /// The next offset to read; behind an end-of-partition event, the position there.
    position: i64,
    /// Where a bounded run is done with it.
    end: Option<i64>,
    /// Its group in the slice that is being filled.
    group: Option<usize>,
    paused: bool,
    must_seek: bool,
}

impl Owned {
    fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end)
    }
}

impl KafkaConsumer {
    /// Connects, and joins the group where the builder names one.
    ///
    /// # Errors
    /// `Config` for settings that librdkafka refuses or topics that do not exist, `Denied`, `Unavailable`.
    pub fn open(builder: &KafkaConsumerBuilder) -> Result<Self> {
        let native = NativeConsumer::open(&builder.client_config()?)?;
        let mut own_assignment = None;
        if builder.joins_group() {
            native.subscribe(builder.topic_names())?;
        } else {
            own_assignment = Some(match builder.assigned_partitions() {
                Some(partitions) => partitions.to_vec(),
                None => Cluster::connect(builder)?.partitions()?,
            });
        }
        Ok(KafkaConsumer {
            native,
            builder: builder.clone(),
            owned: Vec::new(),
            ends: None,
            own_assignment,
            late_error: None,
            lost: None,
            stalled: BTreeSet::new(),
            held: false,
            average_record_bytes: 256,
        })
    }

    /// Polls one window: blocks until a limit is reached. An idle topic gives an empty window after `max_wait`.
    ///
    /// Reading begins at the group's committed positions and, where it has none, at the builder's start. The window's
    /// records are at-least-once: call [`commit`](Self::commit) with `window.ranges.ends()` when they are safe.
    ///
    /// # Errors
    /// `Unavailable` where the window would be empty because no broker answers, `Denied`, `SourceChanged`.
    pub fn poll_window(&mut self, limits: &WindowLimits) -> Result<PollWindow> {
        let mut loader = RecordLoader::new(&LoadOptions::default())?;
        let mut window = PollWindow::empty();
        let mut starts = self.positions();
        let (mut record_count, mut byte_count) = (0, 0);
        let mut deadline = Instant::now() + limits.max_wait;
        window.closed_by = loop {
            if record_count >= limits.max_records {
                break WindowEnd::Records;
            }
            if byte_count >= limits.max_bytes {
                break WindowEnd::Bytes;
            }
            if !self.owned.is_empty() && self.is_done() {
                break WindowEnd::EndOffsets;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break WindowEnd::Wait;
            }
            match self.poll(limits.max_records - record_count, left.min(Duration::from_millis(100)))? {
                Polled::Nothing => {}
                Polled::Slice(slice) => {
                    if record_count == 0 && slice.record_count > 0 {
                        deadline = Instant::now() + limits.max_wait;
                    }
                    record_count += slice.record_count;
                    byte_count += slice.byte_count;
                    for group in &slice.groups {
                        window.records.push(loader.load(&group.partition, &mut slice.records(group))?.rows);
                    }
                }
                Polled::Rebalance(Rebalance::Assign(partitions)) => {
                    let positions = self.default_positions(&partitions)?;
                    starts.extend(positions.iter().map(|(partition, position)| (partition.clone(), position)));
                    self.assign(positions)?;
                }
                Polled::Rebalance(Rebalance::Revoke { partitions, .. }) => {
                    for (partition, position) in self.positions().iter() {
                        window.cover(partition, starts.position(partition), position)?;
                    }
                    self.revoke(&partitions)?;
                    if record_count > 0 {
                        return Ok(PollWindow { closed_by: WindowEnd::Revoked, ..window });
                    }
                }
            }
        };
        for (partition, position) in self.positions().iter() {
            window.cover(partition, starts.position(partition), position)?;
        }
        match self.native.take_trouble() {
            Some(trouble) if record_count == 0 && trouble.is_retryable() => Err(trouble),
            _ => Ok(window),
        }
    }

    /// Commits positions to the group and waits for the coordinator. In assign mode there is no group: a `Config` error.
    pub fn commit(&self, positions: &Positions) -> Result<()> {
        if self.builder.group().is_none() {
            return Err(Error::config("commit positions to the group: this consumer has no group")
                .with_help("give the builder a group_id, or keep the positions yourself"));
        }
        if positions.is_empty() { Ok(()) } else { self.native.commit(positions, true) }
    }

    /// Goes on reading at these positions. They must be of partitions that it owns.
    pub fn seek(&mut self, positions: &Positions) -> Result<()> {
        if positions.is_empty() {
            return Ok(());
        }
        let fetched = positions.iter().filter(|(partition, _)| !self.stalled.contains(*partition));
        let fetched: Positions = fetched.map(|(partition, position)| (partition.clone(), position)).collect();
        self.native.seek(&fetched, SEEK_TIMEOUT)?;
        for owned in &mut self.owned {
            if let Some(position) = positions.position(&owned.partition) {
                owned.position = position;
            }
        }
        self.restart_stalled()?;
        self.sync_paused()
    }

    /// Stops fetching, and stays in the group as long as it is polled.
    pub fn pause(&mut self) -> Result<()> {
        self.held = true;
        self.sync_paused()
    }

    /// Fetches again what is not done.
    pub fn resume(&mut self) -> Result<()> {
        self.held = false;
        self.sync_paused()
    }

    /// The next offset to read of every partition that it owns.
    pub fn positions(&self) -> Positions {
        self.owned.iter().map(|owned| (owned.partition.clone(), owned.position)).collect()
    }

    /// How many offsets each owned partition is behind the log's end (the last stable offset).
    pub fn lag(&self) -> Result<Positions> {
        let partitions: Vec<_> = self.owned.iter().map(|owned| owned.partition.clone()).collect();
        let ends = Cluster::connect(&self.builder)?.watermarks(&partitions)?;
        let lag = self.owned.iter().filter_map(|owned| {
            let end = ends.get(&owned.partition)?.high;
            Some((owned.partition.clone(), (end - owned.position).max(0)))
        });
        Ok(lag.collect())
    }

    /// In assign mode: takes these besides what it has. They come as an assignment out of the next poll.
    pub(crate) fn add(&mut self, partitions: Vec<TopicPartition>) {
        self.own_assignment.get_or_insert_default().extend(partitions);
    }

    /// The partition that the newest `SourceChanged` of [`poll`](Self::poll) was about. It is not read any more until it
    /// is sought.
    pub(crate) fn take_lost(&mut self) -> Option<TopicPartition> {
        self.lost.take()
    }

    /// Makes reading bounded: a partition is done at its end. Records at or past it are not given out. Nothing is read
    /// of a partition that has no end here: it is younger than they are.
    pub(crate) fn set_ends(&mut self, ends: Positions) {
        for owned in &mut self.owned {
            owned.end = Some(ends.position(&owned.partition).unwrap_or(owned.position));
        }
        self.ends = Some(ends);
    }

    /// Whether every owned partition has come to its end.
    pub(crate) fn is_done(&self) -> bool {
        self.owned.iter().all(Owned::is_done)
    }

    /// Polls one slice: at most `max_records` and about [`SLICE_BYTES`], as soon as librdkafka has nothing more at hand.
    ///
    /// Every error it returns stands for records that were taken and not given out: go on by `seek` or a new consumer.
    pub(crate) fn poll(&mut self, max_records: usize, timeout: Duration) -> Result<Polled> {
        if let Some(late) = self.late_error.take() {
            return Err(late);
        }
        if let Some(partitions) = self.own_assignment.take() {
            return Ok(Polled::Rebalance(Rebalance::Assign(partitions)));
        }
        if let Some(rebalance) = self.native.next_rebalance() {
            return Ok(Polled::Rebalance(rebalance));
        }
        let deadline = Instant::now() + timeout;
        let max_records = max_records.clamp(1, SLICE_RECORDS);
        let mut slice = Slice::default();
        self.owned.iter_mut().for_each(|owned| owned.group = None);
        let mut moved = false;
        loop {
            let fitting = (SLICE_BYTES - slice.byte_count.min(SLICE_BYTES)) / self.average_record_bytes.max(1);
            let asked = fitting.clamp(16, 4096).min(max_records - slice.record_count);
            let from = slice.messages.len();
            let taken = self.native.consume_batch(&mut slice.messages, asked, BATCH_TIMEOUT);
            moved |= self.sort_in(&mut slice, from);
            let full = slice.record_count >= max_records || slice.byte_count >= SLICE_BYTES;
            let drained = taken < asked && (moved || slice.record_count > 0);
            if full || drained || self.late_error.is_some() || Instant::now() >= deadline {
                break;
            }
        }
        self.sync_paused()?;
        self.seek_where_ended()?;
        if let Some(average) = slice.byte_count.checked_div(slice.record_count) {
            self.average_record_bytes = average.max(1);
            return Ok(Polled::Slice(slice));
        }
        if let Some(late) = self.late_error.take() {
            return Err(late);
        }
        Ok(if moved { Polled::Slice(slice) } else { Polled::Nothing })
    }

    /// Takes what the group gave; reading begins at `positions`, which name every partition of it.
    pub(crate) fn assign(&mut self, positions: Positions) -> Result<()> {
        let incremental = self.is_incremental();
        if incremental || !self.builder.joins_group() {
            self.owned.retain(|owned| positions.position(&owned.partition).is_none());
        } else {
            self.owned.clear();
        }
        self.owned.extend(positions.iter().map(|(partition, position)| Owned {
            partition: partition.clone(),
            position,
            end: self.ends.as_ref().map(|ends| ends.position(partition).unwrap_or(position)),
            group: None,
            paused: false,
            must_seek: false,
        }));
        let assigned = if incremental { positions } else { self.positions() };
        self.begin_fetching(&assigned, incremental)?;
        self.restart_stalled()?;
        self.sync_paused()
    }

    fn begin_fetching(&mut self, assigned: &Positions, incremental: bool) -> Result<()> {
        self.native.assign(assigned, incremental)?;
        self.stalled.retain(|partition| assigned.position(partition).is_none());
        // librdkafka keeps a pause over a loss and a return of the partition.
        self.native.set_paused(assigned.partitions(), false)?;
        let resumed = |owned: &&mut Owned| assigned.position(&owned.partition).is_some();
        self.owned.iter_mut().filter(resumed).for_each(|owned| owned.paused = false);
        Ok(())
    }

    /// Assigns what librdkafka gave up to read once more, at the present positions. While a rebalance waits for its
    /// answer, that comes first: anything else would be taken for it.
    fn restart_stalled(&mut self) -> Result<()> {
        if self.stalled.is_empty() || self.native.is_rebalancing() {
            return Ok(());
        }
        let mut positions = self.positions();
        let incremental = self.is_incremental();
        if incremental {
            let stalled = positions.iter().filter(|(partition, _)| self.stalled.contains(*partition));
            positions = stalled.map(|(partition, position)| (partition.clone(), position)).collect();
            self.native.unassign(&positions.partitions().cloned().collect::<Vec<_>>(), true)?;
        }
        self.begin_fetching(&positions, incremental)
    }

    /// Gives back what the group took.
    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let incremental = self.is_incremental();
        match incremental {
            true => self.owned.retain(|owned| !partitions.contains(&owned.partition)),
            false => self.owned.clear(),
        }
        let owned = &self.owned;
        self.stalled.retain(|partition| owned.iter().any(|owned| owned.partition == *partition));
        self.native.unassign(partitions, incremental)
    }

    /// Tells the group how far it has come, in the background. For lag tools only; losing it costs nothing.
    pub(crate) fn report(&self, positions: &Positions) {
        if self.builder.group().is_none() || positions.is_empty() {
            return;
        }
        if let Err(failed) = self.native.commit(positions, false) {
            tracing::debug!(error = ?failed, "positions were not reported to the group");
        }
    }

    /// The newest trouble with brokers since the last call: librdkafka goes on by itself, a person may want to know.
    pub(crate) fn take_trouble(&self) -> Option<Error> {
        self.native.take_trouble()
    }

    fn default_positions(&self, partitions: &[TopicPartition]) -> Result<Positions> {
        let mut positions = match self.builder.group() {
            Some(_) => self.native.committed(partitions, SEEK_TIMEOUT)?,
            None => Positions::new(),
        };
        let unknown: Vec<_> =
            partitions.iter().filter(|partition| positions.position(partition).is_none()).cloned().collect();
        if !unknown.is_empty() {
            let starts = Cluster::connect(&self.builder)?.start_offsets(&unknown, self.builder.start_position())?;
            positions.extend(starts.iter().map(|(partition, position)| (partition.clone(), position)));
        }
        Ok(positions)
    }

    /// Sorts the messages from place `from` on into the slice's groups. Returns whether any position moved.
    fn sort_in(&mut self, slice: &mut Slice, from: usize) -> bool {
        let mut moved = false;
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
            if message.error_code() != rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR {
                moved |= self.take_event(&slice.messages[place], owner);
                continue;
            }
            // A record of a partition that was taken away meanwhile is the next owner's.
            let Some(owned) = owner.map(|owner| &mut self.owned[owner]) else { continue };
            let offset = message.offset();
            if offset < owned.position {
                tracing::warn!(partition = %owned.partition, offset, position = owned.position, "record seen before");
                continue;
            }
            moved = true;
            if let Some(end) = owned.end.filter(|end| offset >= *end) {
                owned.position = end;
                continue;
            }
            owned.position = offset + 1;
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
        moved
    }

    fn take_event(&mut self, message: &Message, owner: Option<usize>) -> bool {
        let code = message.error_code();
        let place = TopicPartition::new(message.topic(), message.partition());
        if code == rdkafka_sys::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            let Some(owned) = owner.map(|owner| &mut self.owned[owner]) else { return false };
            let reached = message.offset().min(owned.end.unwrap_or(i64::MAX));
            let moved = reached > owned.position;
            owned.position = owned.position.max(reached);
            // librdkafka now believes that the record at this position was consumed, and would go on behind it after a
            // pause. A partition that is done is sought before it is read again; any other one is sought now.
            owned.must_seek = !owned.is_done();
            return moved;
        }
        let failed = error::from_code(&format!("poll {place}"), code.into(), Some(&message.error_text()));
        tracing::debug!(error = ?failed, "librdkafka reports");
        // What librdkafka mends by itself is reported, not raised; and a partition that was taken away is not ours.
        if failed.is_retryable() || (owner.is_none() && place.partition >= 0) {
            return false;
        }
        if failed.kind() == ErrorKind::SourceChanged {
            self.stalled.insert(place.clone());
            self.lost = self.lost.take().or(self.late_error.is_none().then_some(place));
        }
        self.late_error.get_or_insert(failed);
        false
    }

    fn is_incremental(&self) -> bool {
        self.builder.joins_group() && self.native.is_incremental()
    }

    fn owner(&self, message: &Message) -> Option<usize> {
        let (topic, partition) = (message.topic(), message.partition());
        self.owned.iter().position(|owned| owned.partition.partition == partition && &*owned.partition.topic == topic)
    }

    fn seek_where_ended(&mut self) -> Result<()> {
        if !self.owned.iter().any(|owned| owned.must_seek) {
            return Ok(());
        }
        let ended = self.owned.iter().filter(|owned| owned.must_seek);
        let positions = ended.map(|owned| (owned.partition.clone(), owned.position)).collect();
        self.owned.iter_mut().for_each(|owned| owned.must_seek = false);
        self.seek(&positions)
    }

    /// Fetches what is to be fetched: nothing while held back, and no partition that is done.
    fn sync_paused(&mut self) -> Result<()> {
        for paused in [true, false] {
            let wanted = |owned: &Owned| (self.held || owned.is_done()) == paused && owned.paused != paused;
            if !self.owned.iter().any(wanted) {
                continue;
            }
            let changed = self.owned.iter().filter(|owned| wanted(owned)).map(|owned| &owned.partition);
            self.native.set_paused(changed, paused)?;
            let held = self.held;
            for owned in &mut self.owned {
                if (held || owned.is_done()) == paused {
                    owned.paused = paused;
                }
            }
        }
        Ok(())
    }
}

impl PollWindow {
    fn empty() -> Self {
        PollWindow { ranges: Default::default(), records: Vec::new(), closed_by: WindowEnd::Wait }
    }

    fn cover(&mut self, partition: &TopicPartition, start: Option<i64>, end: i64) -> Result<()> {
        let Some(start) = start else { return Ok(()) };
        if end > start {
            self.ranges.insert(partition.clone(), OffsetRange::new(start, end)?);
        }
        Ok(())
    }
}

/// Bytes of keys and values after which a slice is full.
pub(crate) const SLICE_BYTES: usize = 8 << 20;
/// Records after which a slice is full.
const SLICE_RECORDS: usize = 32_768;
/// How long one batch call waits for its messages to come together.
const BATCH_TIMEOUT: Duration = Duration::from_millis(10);
/// How long a seek or a look-up may take.
const SEEK_TIMEOUT: Duration = Duration::from_secs(30);
