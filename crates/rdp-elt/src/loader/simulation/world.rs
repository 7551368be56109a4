//! Logs, time, and a group that hands partitions out.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::clock::{Clock, Moment};
use crate::error::{Error, Result};
use crate::kafka::{Isolation, Rebalance, StartPosition, Survey, SurveyedTopic, Watermarks};
use crate::loader::brokers::Brokers;
use crate::offset::{Positions, TopicPartition};
use crate::sink::SourceIdentity;

/// One world; clones are handles to the same one.
#[derive(Clone)]
pub(super) struct World(Arc<Mutex<State>>);

pub(super) struct State {
    pub(super) now: Moment,
    pub(super) random: fastrand::Rng,
    pub(super) logs: Vec<Log>,
    pub(super) topic_id: u32,
    pub(super) group: Group,
    /// The client of each process, by which the group knows it; a process may open another.
    pub(super) clients: BTreeMap<u64, u64>,
    /// While false nothing fails any more.
    pub(super) faulty: bool,
    /// How often each fault struck.
    pub(super) struck: BTreeMap<&'static str, u64>,
    /// Everything that happened, as a number that differs where anything does.
    pub(super) trace: u64,
}

/// One partition's log, and all that was ever in it.
#[derive(Default)]
pub(super) struct Log {
    pub(super) start: i64,
    pub(super) entries: Vec<Entry>,
    epoch: i32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    pub(super) kind: Kind,
    pub(super) epoch: i32,
    pub(super) value: [u8; 8],
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Record,
    /// A marker, an aborted record, or what compaction took: no reader sees it.
    Hidden,
}

impl Log {
    pub(super) fn end(&self) -> i64 {
        self.entries.len() as i64
    }

    pub(super) fn entry(&self, offset: i64) -> Option<Entry> {
        (offset >= self.start).then(|| self.entries.get(usize::try_from(offset).ok()?).copied()).flatten()
    }

    /// Offsets of the records in `[from, to)` that a reader sees, or saw before retention.
    pub(super) fn visible(&self, from: i64, to: i64) -> impl Iterator<Item = i64> {
        let is_record = |offset: &i64| {
            self.entries.get(usize::try_from(*offset).unwrap_or(usize::MAX)).is_some_and(|e| e.kind == Kind::Record)
        };
        (from..to).filter(is_record)
    }

    /// Where this epoch and all before it end (KIP-320).
    pub(super) fn end_of_epoch(&self, epoch: i32) -> i64 {
        self.entries.iter().take_while(|entry| entry.epoch <= epoch).count() as i64
    }
}

/// Who owns what, and what each member has still to be told or to answer.
#[derive(Default)]
pub(super) struct Group {
    pub(super) cooperative: bool,
    members: BTreeSet<u64>,
    owners: BTreeMap<TopicPartition, u64>,
    events: BTreeMap<u64, VecDeque<Rebalance>>,
    /// Partitions on their way, once their owner has given them back.
    promised: BTreeMap<TopicPartition, u64>,
}

impl World {
    pub(super) fn new(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let logs = (0..random.usize(1..4)).map(|_| Log::default()).collect();
        let group = Group { cooperative: random.bool(), ..Group::default() };
        World(Arc::new(Mutex::new(State {
            now: Duration::from_secs(1_000),
            random,
            logs,
            topic_id: 1,
            group,
            clients: BTreeMap::new(),
            faulty: true,
            struck: BTreeMap::new(),
            trace: seed,
        })))
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn partitions(&self) -> Vec<TopicPartition> {
        (0..self.lock().logs.len()).map(|number| partition(number as i32)).collect()
    }
}

pub(super) fn partition(number: i32) -> TopicPartition {
    TopicPartition::new(TOPIC, number)
}

impl State {
    /// Whether a fault strikes that does so once in so many times.
    pub(super) fn strikes(&mut self, what: &'static str, once_in: u32) -> bool {
        if !self.faulty || self.random.u32(..once_in) > 0 {
            return false;
        }
        self.note(what);
        true
    }

    /// The number of some log.
    pub(super) fn any_log(&mut self) -> usize {
        let count = self.logs.len();
        self.random.usize(..count)
    }

    /// Counts something that happened.
    pub(super) fn note(&mut self, what: &'static str) {
        *self.struck.entry(what).or_default() += 1;
        let moment = self.now.as_micros() as u64;
        self.mark(moment ^ what.len() as u64);
    }

    /// Takes a number into the trace.
    pub(super) fn mark(&mut self, number: u64) {
        self.trace = (self.trace ^ number).wrapping_mul(0x0000_0100_0000_01b3).rotate_left(17);
    }

    /// Appends records to a log, some of them hidden.
    pub(super) fn produce(&mut self, number: usize, count: usize) {
        for _ in 0..count {
            let kind = if self.random.u32(..6) == 0 { Kind::Hidden } else { Kind::Record };
            let value = self.random.u64(..).to_le_bytes();
            let log = &mut self.logs[number];
            log.entries.push(Entry { kind, epoch: log.epoch, value });
        }
        // A transaction ends in a marker.
        if self.random.bool() {
            let log = &mut self.logs[number];
            log.entries.push(Entry { kind: Kind::Hidden, epoch: log.epoch, value: [0; 8] });
        }
    }

    /// Another replica leads from now on.
    pub(super) fn elect(&mut self, number: usize) {
        self.logs[number].epoch += 1;
        self.note("election");
    }

    /// Cuts a log, as an unclean election or a restored backup does, and lets it grow again.
    /// Where all of the cluster is restored, the new records bear the epochs of those that are gone.
    pub(super) fn cut(&mut self, number: usize, end: i64, grow: usize) {
        self.logs[number].entries.truncate(usize::try_from(end).unwrap_or(0));
        self.logs[number].epoch += i32::from(self.random.bool());
        self.produce(number, grow);
        self.note("cut");
    }

    pub(super) fn is_member(&self, member: u64) -> bool {
        self.group.members.contains(&member)
    }

    /// The group gives up on a process.
    pub(super) fn expel_process(&mut self, process: u64) {
        if let Some(member) = self.clients.get(&process).copied() {
            self.expel(member);
        }
    }

    pub(super) fn join(&mut self, member: u64) {
        self.group.members.insert(member);
        self.group.events.entry(member).or_default();
        self.share_out();
    }

    /// A member is gone, or is taken for gone: what it had is another's.
    pub(super) fn expel(&mut self, member: u64) {
        let group = &mut self.group;
        if !group.members.remove(&member) {
            return;
        }
        let (lost, kept) = std::mem::take(&mut group.owners).into_iter().partition(|(_, owner)| *owner == member);
        group.owners = kept;
        let lost: BTreeMap<TopicPartition, u64> = lost;
        group.promised.retain(|_, to| *to != member);
        if let Some(events) = group.events.get_mut(&member).filter(|_| !lost.is_empty()) {
            events.push_back(Rebalance::Revoke { partitions: lost.into_keys().collect(), lost: true });
        }
        self.share_out();
    }

    /// Deals the partitions out anew, those that nobody reads and, now and then, others.
    pub(super) fn share_out(&mut self) {
        let members: Vec<u64> = self.group.members.iter().copied().collect();
        if members.is_empty() {
            return;
        }
        self.note("rebalance");
        for number in 0..self.logs.len() {
            let of = partition(number as i32);
            let to = members[self.random.usize(..members.len())];
            let group = &mut self.group;
            match group.owners.get(&of).copied() {
                Some(owner) if owner == to && group.cooperative => {}
                Some(owner) => {
                    let event = Rebalance::Revoke { partitions: vec![of.clone()], lost: false };
                    if group.promised.insert(of.clone(), to).is_none() {
                        group.events.entry(owner).or_default().push_back(event);
                    }
                }
                None => {
                    group.owners.insert(of.clone(), to);
                    group.events.entry(to).or_default().push_back(Rebalance::Assign(vec![of]));
                }
            }
        }
    }

    pub(super) fn next_rebalance(&mut self, member: u64) -> Option<Rebalance> {
        self.group.events.get_mut(&member)?.pop_front()
    }

    /// A member has given partitions back: whoever they were promised to gets them.
    pub(super) fn given_back(&mut self, member: u64, partitions: &[TopicPartition]) {
        let group = &mut self.group;
        for of in partitions {
            if group.owners.get(of) != Some(&member) {
                continue;
            }
            group.owners.remove(of);
            let promised = group.promised.remove(of).filter(|to| group.members.contains(to));
            let Some(to) = promised.or_else(|| group.members.first().copied()) else { continue };
            group.owners.insert(of.clone(), to);
            group.events.entry(to).or_default().push_back(Rebalance::Assign(vec![of.clone()]));
        }
    }
}

impl Clock for World {
    fn now(&self) -> Moment {
        self.lock().now
    }

    fn sleep(&self, time: Duration) {
        self.lock().now += time;
    }

    fn seed(&self) -> u64 {
        self.lock().random.u64(..)
    }
}

impl World {
    fn answer(&self) -> Result<MutexGuard<'_, State>> {
        let mut state = self.lock();
        if state.strikes("look-up without an answer", 25) {
            state.now += Duration::from_secs(1);
            return Err(Error::unavailable("no answer, as the seed has it"));
        }
        Ok(state)
    }
}

impl Brokers for World {
    fn partitions(&self) -> Result<Vec<TopicPartition>> {
        drop(self.answer()?);
        Ok(World::partitions(self))
    }

    fn ends(&self, of: &[TopicPartition], _isolation: Isolation) -> Result<BTreeMap<TopicPartition, Watermarks>> {
        let state = self.answer()?;
        let marks = |of: &TopicPartition| {
            let log = &state.logs[of.partition as usize];
            (of.clone(), Watermarks { low: log.start, high: log.end() })
        };
        Ok(of.iter().map(marks).collect())
    }

    fn starts(&self, of: &[TopicPartition], start: &StartPosition) -> Result<Positions> {
        let state = self.answer()?;
        let start = |of: &TopicPartition| {
            let log = &state.logs[of.partition as usize];
            (of.clone(), if *start == StartPosition::Latest { log.end() } else { log.start })
        };
        Ok(of.iter().map(start).collect())
    }

    fn identities(&self, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, SourceIdentity>> {
        let state = self.answer()?;
        Ok(topics.iter().map(|topic| (topic.clone(), state.identity())).collect())
    }

    fn survey(&self, _known: &BTreeSet<Arc<str>>) -> Result<Survey> {
        let state = self.answer()?;
        let topic = SurveyedTopic { partition_count: state.logs.len() as i32, identity: state.identity() };
        Ok(Survey { topics: BTreeMap::from([(TOPIC.into(), topic)]), missing: BTreeSet::new() })
    }
}

impl State {
    fn identity(&self) -> SourceIdentity {
        SourceIdentity { cluster_id: "simulated".to_owned(), topic_id: format!("topic-{}", self.topic_id) }
    }
}

pub(super) const TOPIC: &str = "orders";
