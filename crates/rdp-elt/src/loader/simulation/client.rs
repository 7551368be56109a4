//! A client with the habits of librdkafka's, as far as they have cost records: an error and the end of a partition count as
//! consumed, a pause goes on from what was consumed, a rebalance pauses what is kept, and now and then it falls silent and
//! never finds back.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use super::world::{TOPIC, World};
use crate::clock::Moment;
use crate::error::{Error, Result};
use crate::kafka::{Event, Fetched, Fetcher, Notes, Place, Rebalance, Told};
use crate::offset::{Positions, TopicPartition};
use crate::record::{Headers, RecordHeader, RecordView};

pub(super) struct Client {
    world: World,
    member: u64,
    in_group: bool,
    parts: Mutex<BTreeMap<TopicPartition, Part>>,
    unanswered: Mutex<bool>,
    /// It will never fetch anything again.
    lost: bool,
}

/// What it knows of one partition.
struct Part {
    fetch_at: i64,
    /// Behind what the application consumed, by its own belief.
    consumed: Option<i64>,
    paused: bool,
    /// It gave up to read it.
    stalled: bool,
    silent_until: Moment,
    queue: VecDeque<Message>,
    told_end: Option<i64>,
    /// What the log has to confirm before it is read: a position and the epoch of the record before.
    to_confirm: Option<(i64, i32)>,
}

pub(super) struct Message {
    partition: i32,
    offset: i64,
    what: What,
}

enum What {
    Record { epoch: i32, value: [u8; 8] },
    End,
    Failed(RDKafkaErrorCode),
}

impl Client {
    pub(super) fn new(world: &World, process: u64, in_group: bool) -> Self {
        let member = {
            let mut state = world.lock();
            let member = process * 1_000 + state.random.u64(..1_000);
            state.clients.insert(process, member);
            member
        };
        Client {
            world: world.clone(),
            member,
            in_group,
            parts: Mutex::default(),
            unanswered: Mutex::new(false),
            lost: false,
        }
    }

    fn parts(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, Part>> {
        self.parts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn answered(&self) {
        *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = false;
    }

    /// What is kept over a rebalance is paused and resumed.
    fn shake(parts: &mut BTreeMap<TopicPartition, Part>) {
        for part in parts.values_mut() {
            part.rewind_to_consumed();
        }
    }
}

impl Part {
    fn at(position: i64) -> Self {
        Part {
            fetch_at: position,
            consumed: None,
            paused: false,
            stalled: false,
            silent_until: Moment::ZERO,
            queue: VecDeque::new(),
            told_end: None,
            to_confirm: None,
        }
    }

    fn rewind_to_consumed(&mut self) {
        self.fetch_at = self.consumed.unwrap_or(self.fetch_at.min(self.queue.front().map_or(i64::MAX, |m| m.offset)));
        self.queue.clear();
        self.told_end = None;
    }

    fn fetch(&mut self, partition: i32, world: &World) {
        let mut state = world.lock();
        if self.paused || self.stalled || state.now < self.silent_until || self.queue.len() > 20 {
            return;
        }
        let fail = |code| Message { partition, offset: self.fetch_at, what: What::Failed(code) };
        if let Some((position, epoch)) = self.to_confirm {
            if state.logs[partition as usize].end_of_epoch(epoch) < position {
                self.queue.push_back(fail(RDKafkaErrorCode::LogTruncation));
                self.stalled = true;
                state.note("log cut below the position");
                return;
            }
            self.to_confirm = None;
        }
        if state.strikes("partition falls silent for a while", 150) {
            self.silent_until = state.now + Duration::from_millis(state.random.u64(100..8_000));
            return;
        }
        for (what, code) in [
            ("fetch error", RDKafkaErrorCode::Unknown),
            ("no leader", RDKafkaErrorCode::LeaderNotAvailable),
            ("message too large", RDKafkaErrorCode::MessageSizeTooLarge),
            ("corrupt batch", RDKafkaErrorCode::BadMessage),
        ] {
            let is_of_records = matches!(code, RDKafkaErrorCode::MessageSizeTooLarge | RDKafkaErrorCode::BadMessage);
            if is_of_records && self.fetch_at >= state.logs[partition as usize].end() {
                continue;
            }
            if state.strikes(what, 120) {
                self.queue.push_back(fail(code));
                return;
            }
        }
        let (start, end) = (state.logs[partition as usize].start, state.logs[partition as usize].end());
        if self.fetch_at < start || self.fetch_at > end {
            self.queue.push_back(fail(RDKafkaErrorCode::AutoOffsetReset));
            self.stalled = true;
            return;
        }
        let to = end.min(self.fetch_at + state.random.i64(1..12));
        let log = &state.logs[partition as usize];
        let fetched: Vec<Message> = log
            .visible(self.fetch_at, to)
            .filter_map(|offset| {
                let entry = log.entry(offset)?;
                Some(Message { partition, offset, what: What::Record { epoch: entry.epoch, value: entry.value } })
            })
            .collect();
        self.queue.extend(fetched);
        self.fetch_at = to;
        if to == end && self.told_end != Some(end) {
            self.told_end = Some(end);
            self.queue.push_back(Message { partition, offset: end, what: What::End });
        }
    }
}

impl Fetcher for Client {
    type Message = Message;

    fn subscribe(&self, _topics: &[String]) -> Result<()> {
        self.world.lock().join(self.member);
        Ok(())
    }

    fn consume_batch(&mut self, into: &mut Vec<Message>, max: usize, timeout: Duration) -> usize {
        self.lost |= self.world.lock().strikes("client never finds back", 3_000);
        let mut parts = self.parts.lock().unwrap_or_else(PoisonError::into_inner);
        let before = into.len();
        let mut partitions: Vec<_> = parts.keys().cloned().collect();
        self.world.lock().random.shuffle(&mut partitions);
        for of in partitions.into_iter().filter(|_| !self.lost) {
            let Some(part) = parts.get_mut(&of) else { continue };
            part.fetch(of.partition, &self.world);
            let has_room = part.queue.len() <= max - (into.len() - before);
            let swaps = has_room && part.queue.len() > 1 && self.world.lock().strikes("batches out of order", 300);
            if swaps {
                let middle = part.queue.len() / 2;
                part.queue.rotate_left(middle);
            }
            // An answer with its batches out of order is consumed as one.
            let take = if swaps { part.queue.len() } else { self.world.lock().random.usize(..=part.queue.len()) };
            for _ in 0..take {
                if into.len() - before >= max {
                    break;
                }
                let Some(message) = part.queue.pop_front() else { break };
                // Whatever it is, it counts as consumed.
                part.consumed = Some(part.consumed.unwrap_or(0).max(message.offset + 1));
                into.push(message);
            }
        }
        self.world.lock().now += if into.len() == before { timeout } else { Duration::from_micros(500) };
        into.len() - before
    }

    fn next_rebalance(&self) -> Option<Rebalance> {
        if !self.in_group {
            return None;
        }
        let event = self.world.lock().next_rebalance(self.member)?;
        *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner) = true;
        Some(event)
    }

    fn is_rebalancing(&self) -> bool {
        *self.unanswered.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn take_trouble(&self) -> Option<Error> {
        let strikes = self.world.lock().strikes("all brokers down, it says", 400);
        strikes.then(|| Error::unavailable("brokers are down, as the seed has it"))
    }

    fn fatal_error(&self) -> Option<Error> {
        None
    }

    fn assign(&self, positions: &Positions, incremental: bool) -> Result<()> {
        let mut parts = self.parts();
        if !incremental {
            parts.clear();
        }
        Self::shake(&mut parts);
        for (of, position) in positions.iter() {
            parts.insert(of.clone(), Part::at(position));
        }
        self.answered();
        Ok(())
    }

    fn unassign(&self, partitions: &[TopicPartition], incremental: bool) -> Result<()> {
        let mut parts = self.parts();
        match incremental {
            true => parts.retain(|of, _| !partitions.contains(of)),
            false => parts.clear(),
        }
        Self::shake(&mut parts);
        let was_asked = self.is_rebalancing();
        self.answered();
        drop(parts);
        let mut state = self.world.lock();
        if was_asked {
            state.given_back(self.member, partitions);
        }
        // Who was given up joins again by itself.
        if self.in_group && !self.lost && !state.is_member(self.member) {
            state.join(self.member);
        }
        Ok(())
    }

    fn is_incremental(&self) -> bool {
        true
    }

    fn seek(&self, places: &[(TopicPartition, Place)], _timeout: Duration) -> Result<()> {
        if self.world.lock().strikes("seek fails", 200) {
            return Err(Error::unavailable("the seek failed, as the seed has it"));
        }
        let mut parts = self.parts();
        for (of, place) in places {
            let part = parts.get_mut(of).filter(|part| !part.stalled);
            let part = part.ok_or_else(|| Error::internal(format!("seek {of}: it is not being read")))?;
            let paused = part.paused;
            *part = Part::at(place.newest.map_or(place.position, |newest| newest.offset));
            part.paused = paused;
            part.to_confirm = place.newest.and_then(|newest| Some((newest.offset, newest.leader_epoch?)));
        }
        Ok(())
    }

    fn set_paused<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>, paused: bool) -> Result<()> {
        let mut parts = self.parts();
        for of in partitions {
            if let Some(part) = parts.get_mut(of) {
                if paused && !part.paused {
                    part.rewind_to_consumed();
                }
                part.paused = paused;
            }
        }
        Ok(())
    }

    fn commit(&self, _positions: &Positions, _notes: &Notes, _wait: bool) -> Result<()> {
        Ok(())
    }

    fn committed(&self, _partitions: &[TopicPartition], _timeout: Duration) -> Result<BTreeMap<TopicPartition, Told>> {
        Ok(BTreeMap::new())
    }
}

impl Drop for Client {
    fn drop(&mut self) {
        if self.in_group {
            self.world.lock().expel(self.member);
        }
    }
}

impl Fetched for Message {
    fn is_record(&self) -> bool {
        matches!(self.what, What::Record { .. })
    }

    fn event(&self) -> Event {
        match self.what {
            What::Failed(code) => Event::Failed(code, "as the seed has it".to_owned()),
            _ => Event::EndOfPartition,
        }
    }

    fn topic(&self) -> &str {
        TOPIC
    }

    fn topic_handle(&self) -> usize {
        1
    }

    fn partition(&self) -> i32 {
        self.partition
    }

    fn offset(&self) -> i64 {
        self.offset
    }

    fn leader_epoch(&self) -> Option<i32> {
        match self.what {
            What::Record { epoch, .. } => Some(epoch),
            _ => None,
        }
    }

    fn byte_count(&self) -> usize {
        8
    }

    fn as_view(&self) -> RecordView<'_> {
        let value: Option<&[u8]> = match &self.what {
            What::Record { value, .. } => Some(value),
            _ => None,
        };
        RecordView { offset: self.offset, timestamp: Some(0), key: None, value, headers: NO_HEADERS }
    }
}

const NO_HEADERS: &dyn Headers = &Vec::<RecordHeader>::new();
