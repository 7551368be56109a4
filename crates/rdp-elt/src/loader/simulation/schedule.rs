//! One seed's story: members come, die and freeze, logs grow, everything fails now and then; then the faults end, and a last
//! member has to land what is left.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use super::judge::Judge;
use super::member::{Habit, Member, is_fitting};
use super::world::World;
use crate::clock::Clock;
use crate::error::ErrorKind;
use crate::kafka::StartPosition;
use crate::loader::Until;
use crate::loader::executor::Executor;
use crate::sink::{MemorySink, Sink};

/// What one schedule did, or many.
#[derive(Debug, Default)]
pub(super) struct Outcome {
    pub(super) trace: u64,
    record_count: u64,
    turn_count: u64,
    struck: BTreeMap<&'static str, u64>,
}

impl Outcome {
    pub(super) fn add(&mut self, other: &Outcome) {
        self.record_count += other.record_count;
        self.turn_count += other.turn_count;
        for (what, count) in &other.struck {
            *self.struck.entry(what).or_default() += count;
        }
    }

    pub(super) fn assert_all_struck(&self) {
        for what in ALL_FAULTS {
            assert!(self.struck.contains_key(what), "{what} never happened: {:?}", self.struck);
        }
    }
}

impl fmt::Display for Outcome {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{} turns, {} records landed; {:?}", self.turn_count, self.record_count, self.struck)
    }
}

struct Story {
    world: World,
    executor: Executor,
    sink: Arc<MemorySink>,
    judge: Judge,
    members: Vec<Member>,
    member_count: u64,
    turn_count: u64,
    /// A log was cut below what has landed of it.
    cut: bool,
    /// Which.
    cut_number: i32,
    is_over: bool,
    /// Faults are over, and one member is at work all by itself.
    is_alone: bool,
}

/// Plays one seed's story. `Err` says what broke.
pub(super) fn play(seed: u64) -> Result<Outcome, String> {
    let world = World::new(seed);
    let clock: Arc<dyn Clock> = Arc::new(world.clone());
    let mut story = Story {
        world,
        executor: Executor::Steps(clock),
        sink: Arc::new(MemorySink::new()),
        judge: Judge::default(),
        members: Vec::new(),
        member_count: 0,
        turn_count: 0,
        cut: false,
        cut_number: 0,
        is_over: false,
        is_alone: false,
    };
    story.play()?;
    let state = story.world.lock();
    let struck = state.struck.clone();
    Ok(Outcome { trace: state.trace, record_count: story.judge.landed_count, turn_count: story.turn_count, struck })
}

impl Story {
    fn play(&mut self) -> Result<(), String> {
        let (steps, in_group) = {
            let mut state = self.world.lock();
            let count = state.logs.len();
            (0..count).for_each(|number| {
                let records = state.random.usize(0..30);
                state.produce(number, records);
            });
            (state.random.u32(50..600), state.random.bool())
        };
        let until = || if self.world.lock().random.u32(..3) == 0 { Until::LogEnd } else { Until::Stopped };
        let start =
            if self.world.lock().random.u32(..3) == 0 { StartPosition::Latest } else { StartPosition::Earliest };
        let max_records = self.world.lock().random.usize(3..40);
        let habit = Habit { in_group, until: until(), start, max_records };
        let may_cut = self.world.lock().random.u32(..10) == 0;
        for _ in 0..steps {
            self.step(&habit, may_cut)?;
            if self.cut {
                return self.end_on_a_cut_log(&habit);
            }
            if self.is_over {
                return Ok(());
            }
        }
        self.end(&habit)
    }

    /// One thing that happens.
    fn step(&mut self, habit: &Habit, may_cut: bool) -> Result<(), String> {
        let dice = self.world.lock().random.u32(..1_000);
        match dice {
            0..60 => {
                let mut state = self.world.lock();
                let number = state.any_log();
                let records = state.random.usize(1..15);
                state.produce(number, records);
            }
            60..80 => {
                let mut state = self.world.lock();
                let number = state.any_log();
                state.elect(number);
            }
            80..100 if habit.in_group => self.world.lock().share_out(),
            100..115 => self.kill(),
            115..130 => self.freeze(),
            130..160 => self.members.iter().for_each(Member::look),
            160..165 if may_cut => self.cut(),
            _ => {
                let wanted = if habit.in_group { 3 } else { 2 };
                if self.members.is_empty() || dice > 980 && self.members.len() < wanted {
                    self.start(habit)?;
                }
                self.turn()?;
            }
        }
        Ok(())
    }

    fn start(&mut self, habit: &Habit) -> Result<(), String> {
        self.member_count += 1;
        match Member::start(self.member_count, habit, &self.world, &self.sink) {
            Ok(member) => self.members.push(member),
            Err(error) if is_fitting(&error) => {}
            Err(error) => return Err(format!("a member could not start: {error:?}")),
        }
        Ok(())
    }

    fn turn(&mut self) -> Result<(), String> {
        if self.members.is_empty() {
            return Ok(());
        }
        let (place, now) = {
            let mut state = self.world.lock();
            (state.random.usize(..self.members.len()), state.now)
        };
        let member = &mut self.members[place];
        if member.frozen_until > now {
            self.world.lock().now += Duration::from_millis(50);
            return Ok(());
        }
        self.turn_count += 1;
        if let Some(ended) = member.turn() {
            self.members.remove(place);
            match ended {
                Ok(_) => self.world.lock().note("member ends well"),
                Err(error) if is_fitting(&error) && !self.is_alone => {
                    self.world.lock().note("member ends with an error");
                }
                Err(error) => return Err(format!("a member ended with {error:?}")),
            }
        }
        self.look()
    }

    fn look(&mut self) -> Result<(), String> {
        let state = self.world.lock();
        self.judge.look(&self.sink, &state, &self.executor)
    }

    fn kill(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let place = self.world.lock().random.usize(..self.members.len());
        let member = self.members.remove(place);
        self.world.lock().note("kill");
        drop(member);
    }

    /// A member stands still until the group has given up on it, and goes on later.
    fn freeze(&mut self) {
        if self.members.is_empty() {
            return;
        }
        let mut state = self.world.lock();
        let place = state.random.usize(..self.members.len());
        let member = &mut self.members[place];
        member.frozen_until = state.now + Duration::from_secs(state.random.u64(1..20));
        state.note("freeze");
        if member.in_group {
            state.expel_process(member.number);
        }
    }

    /// The newest records of a log are gone, and others come in their place.
    fn cut(&mut self) {
        let landed = self.landed_ends();
        let mut state = self.world.lock();
        let number = state.any_log();
        let Some((position, newest)) = landed.get(&(number as i32)).copied().filter(|(_, newest)| *newest > 0) else {
            return;
        };
        let end = state.random.i64(0..newest);
        let grow = state.random.usize(0..40);
        state.cut(number, end, grow);
        self.cut_number = number as i32;
        // A log that ends below the position, or has another record where the newest landed, tells it.
        let log = &state.logs[number];
        self.cut = log.end() < position || log.visible(newest, newest + 1).next().is_some();
        if !self.cut {
            // Nobody can tell. What is read behind it is no concern of this story.
            self.is_over = true;
        }
    }

    /// How far each partition has landed, and its newest record.
    fn landed_ends(&self) -> BTreeMap<i32, (i64, i64)> {
        let held = self.executor.block_on(self.sink.positions(&self.world.partitions())).unwrap_or_default();
        let ends = held.into_iter().filter_map(|(of, held)| Some((of.partition, (held.position, held.newest?.offset))));
        ends.collect()
    }

    /// Faults are over: a last member lands all that is left, and says so if it takes long.
    fn end(&mut self, habit: &Habit) -> Result<(), String> {
        self.world.lock().faulty = false;
        // Those that are left go on too, or they would hold partitions that nobody reads.
        for member in &mut self.members {
            member.frozen_until = Duration::ZERO;
        }
        let wanted = self.ends();
        let habit = Habit { until: Until::LogEnd, ..habit.clone() };
        // Without a group, members that are still at work overtake each other: one by one, they end with a conflict.
        for _ in 0..=self.members.len() {
            self.land_the_rest(&habit)?;
        }
        for member in &self.members {
            member.shutdown.request();
        }
        for _ in 0..MOST_TURNS {
            if self.members.is_empty() {
                break;
            }
            self.turn()?;
        }
        if !self.members.is_empty() {
            return Err("a member does not stop".to_owned());
        }
        self.is_alone = true;
        self.land_the_rest(&habit)?;
        let landed =
            self.executor.block_on(self.sink.positions(&self.world.partitions())).map_err(|e| e.to_string())?;
        for (of, end) in wanted {
            let position =
                landed.iter().find(|(partition, _)| partition.partition == of).map(|(_, held)| held.position);
            if position.is_none_or(|position| position < end) {
                return Err(format!("[{of}] landed up to {position:?} of {end}"));
            }
        }
        Ok(())
    }

    /// A member that has to come to the log's end by itself.
    fn land_the_rest(&mut self, habit: &Habit) -> Result<(), String> {
        self.start(habit)?;
        let last = self.member_count;
        let mut moved_at = self.world.now();
        let mut landed_count = self.judge.landed_count;
        for _ in 0..MOST_TURNS {
            let Some(place) = self.members.iter().position(|member| member.number == last) else { break };
            self.turn()?;
            if self.world.lock().random.u32(..100) == 0 {
                self.members.iter().for_each(Member::look);
            }
            let now = self.world.now();
            if self.judge.landed_count != landed_count {
                landed_count = self.judge.landed_count;
                moved_at = now;
            }
            let Some(member) = self.members.get(place).filter(|member| member.number == last) else { continue };
            let silent = now.saturating_sub(moved_at.max(member.told_at()));
            if silent > SILENCE {
                let (members, state) = (self.members.len(), member.state());
                return Err(format!("{} s of silence with {members} members: {state}", silent.as_secs()));
            }
        }
        if self.members.iter().any(|member| member.number == last) {
            return Err(format!("the last member does not end; {} are at work", self.members.len()));
        }
        Ok(())
    }

    /// What landed is of a log that is no more: no run may go on behind it.
    fn end_on_a_cut_log(&mut self, habit: &Habit) -> Result<(), String> {
        self.members.clear();
        self.world.lock().faulty = false;
        let before = self.landed_ends();
        let habit = Habit { until: Until::LogEnd, ..habit.clone() };
        self.member_count += 1;
        let mut member = match Member::start(self.member_count, &habit, &self.world, &self.sink) {
            Err(error) if error.kind() == ErrorKind::SourceChanged => return Ok(()),
            Err(error) => return Err(format!("on a cut log a member could not start: {error:?}")),
            Ok(member) => member,
        };
        for _ in 0..MOST_TURNS {
            match member.turn() {
                None => {}
                Some(Err(error)) if error.kind() == ErrorKind::SourceChanged => {
                    let (of, after) = (self.cut_number, self.landed_ends());
                    return match after.get(&of) == before.get(&of) {
                        true => Ok(()),
                        false => Err(format!("[{of}] landed on from {before:?} to {after:?} behind a cut")),
                    };
                }
                Some(ended) => {
                    let after = self.landed_ends();
                    return Err(format!("a cut log was read on: {:?}; {before:?} to {after:?}", ended.err()));
                }
            }
        }
        Err("on a cut log a member does not end".to_owned())
    }

    fn ends(&self) -> Vec<(i32, i64)> {
        self.world.lock().logs.iter().zip(0..).map(|(log, of)| (of, log.end())).collect()
    }
}

const MOST_TURNS: u32 = 60_000;
/// How long a loader may be silent that has something to land: 10 s until it tells, 30 s until it tells again, and some.
const SILENCE: Duration = Duration::from_secs(45);
const ALL_FAULTS: [&str; 23] = [
    "all brokers down, it says",
    "append fails",
    "batches out of order",
    "claim fails",
    "claim fails after its effect",
    "client never finds back",
    "commit fails",
    "commit fails after its effect",
    "corrupt batch",
    "cut",
    "election",
    "fetch error",
    "freeze",
    "kill",
    "log cut below the position",
    "look-up without an answer",
    "message too large",
    "no leader",
    "partition falls silent for a while",
    "positions cannot be read",
    "seek fails",
    "slow commit",
    "window forgotten",
];
