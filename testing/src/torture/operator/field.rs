//! One sequence as it is done: the topic, its landing and its config, with the model beside them.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::wait_until;
use super::model::{Ended, Expected, Model};
use super::plan::{During, Ground, Group, Operation};
use super::record::Maker;
use super::setup::Setup;
use crate::landed;
use crate::rdp::{Exit, Rdp, RdpProcess};
use crate::rdp_config::RdpConfig;
use crate::server::{Backup, KafkaServer};
use crate::topic::{Topic, TopicOptions};

/// A topic, a landing of it, and what must be true of both.
pub(super) struct Field {
    binary: PathBuf,
    topic: Topic,
    /// Dropped after the topic's user: the broker of the sequence's own.
    own_broker: Option<KafkaServer>,
    backup: Option<(Backup, Model, Topic)>,
    home: RdpConfig,
    setup: Setup,
    model: Model,
    ground: Ground,
    next_id: u64,
    /// Oldest files were removed: what an audit makes of that is not judged here.
    is_thinned: bool,
    /// Runs in a row that rightly refused.
    refusals: u32,
    random: fastrand::Rng,
    pub(super) tally: Tally,
}

/// What was done.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) runs: u64,
    pub(super) kills: u64,
    pub(super) refusals: u64,
    pub(super) audits: u64,
    pub(super) records: u64,
}

/// What one operation came to.
#[derive(Debug, Default)]
pub(super) struct Step {
    /// What was expected and found.
    pub(super) said: String,
    /// What is wrong; a sequence ends with it.
    pub(super) wrong: Vec<String>,
    /// What is odd, and not held against anybody here.
    pub(super) odd: Vec<String>,
}

impl Field {
    pub(super) fn new(binary: &Path, ground: Ground, seed: u64) -> Self {
        let own_broker = (ground == Ground::OwnBroker).then(KafkaServer::start);
        let broker = own_broker.as_ref().unwrap_or_else(|| KafkaServer::shared());
        let options = TopicOptions::new(PARTITIONS);
        let (options, keys) = match ground {
            Ground::Compacted => (options.compacted(), Some(4)),
            _ => (options, None),
        };
        let topic = broker.create_topic_with("operator", options);
        Field {
            binary: binary.to_owned(),
            home: RdpConfig::raw(&topic),
            topic,
            own_broker,
            backup: None,
            setup: Setup::new(),
            model: Model::new(PARTITIONS, Maker { keys }),
            ground,
            next_id: 0,
            is_thinned: false,
            refusals: 0,
            random: fastrand::Rng::with_seed(seed ^ 0xf1e1d),
            tally: Tally::default(),
        }
    }

    /// Does it, and judges.
    pub(super) fn act(&mut self, operation: Operation) -> Step {
        let mut step = Step::default();
        if self.refusals >= 2 && operation.is_run() {
            self.land_anew();
            step.said = "(lands anew) ".to_owned();
        }
        if self.model.is_deleted && !operation.bears_deleted() {
            self.recreate();
            step.said += "(makes the topic anew) ";
        }
        match operation {
            Operation::Load => self.load(None, None, &mut step),
            Operation::LoadKilled(at, visit) => self.load(Some(format!("{at}=kill@{visit}")), None, &mut step),
            Operation::LoadKilledAfter(milliseconds) => {
                self.load(None, Some(Duration::from_millis(milliseconds)), &mut step);
            }
            Operation::Run(during) => self.run(during, None, &mut step),
            Operation::RunKilled(at, visit) => {
                self.run(During::Produce(30), Some(format!("{at}=kill@{visit}")), &mut step);
            }
            Operation::Pair { kill_one } => self.pair(kill_one, &mut step),
            other => step.said += &self.deed(other).unwrap_or_else(|| "nothing to do".to_owned()),
        }
        step
    }

    /// What is no run. `None` where it cannot be done as things stand.
    fn deed(&mut self, operation: Operation) -> Option<String> {
        match operation {
            Operation::Produce(count, on) => self.produce(count, on.map(i32::from)),
            Operation::Change(change) => self.setup.change(change),
            Operation::Retain { partition, percent, landed_only } => {
                return self.retain(partition, i64::from(percent), landed_only);
            }
            Operation::AddPartition => self.add_partition().then_some(())?,
            Operation::Delete => {
                self.topic.delete();
                self.model.deleted();
            }
            Operation::Recreate => self.recreate(),
            Operation::Compact => self.compact(),
            Operation::BackUp => {
                let backup = self.own_broker.as_ref()?.back_up();
                self.backup = Some((backup, self.model.clone(), self.topic.clone()));
            }
            Operation::Restore { logs_alone } => return self.restore(logs_alone),
            Operation::RemoveOldest(partition, count) => {
                let partition = self.number(partition);
                let count = usize::from(count).min(self.file_count(partition).saturating_sub(1));
                self.is_thinned |= count > 0;
                return self.remove_files(partition, count, true);
            }
            Operation::RemoveNewest(partition, count) => {
                return self.remove_files(self.number(partition), usize::from(count), false);
            }
            Operation::RemoveAll(partition) => {
                let partition = self.number(partition);
                return self.remove_files(partition, self.file_count(partition), false);
            }
            Operation::CopyLanding => {
                self.home.landing().is_dir().then_some(())?;
                self.home = self.home.duplicate();
            }
            Operation::LandAnew => self.land_anew(),
            _ => return None,
        }
        Some("done".to_owned())
    }

    fn produce(&mut self, count: u64, on: Option<i32>) {
        let ids = self.next_id..self.next_id + count;
        let partitions = self.topic.partitions();
        let partition_of = |id: u64| on.unwrap_or((id % 1_000) as i32).rem_euclid(partitions);
        let maker = self.model.maker;
        let delivered = self.topic.produce(ids.clone().map(|id| maker.record(id, partition_of(id))));
        for (id, at) in ids.zip(delivered) {
            self.model.produced(at.partition, at.offset, id);
        }
        self.next_id += count;
    }

    fn retain(&mut self, partition: u8, percent: i64, landed_only: bool) -> Option<String> {
        let partition = self.number(partition);
        let of = &self.model.partitions[partition as usize];
        let to = if landed_only { of.files.last().map_or(of.low, |file| file.end).min(of.high) } else { of.high };
        let before = of.low + (to - of.low) * percent / 100;
        // A topic that is compacted and nothing else refuses it.
        if before <= of.low || self.ground == Ground::Compacted {
            return None;
        }
        self.topic.delete_records(partition, before);
        self.model.retained(partition, before);
        self.check_model();
        Some(format!("partition {partition} begins at {before}"))
    }

    fn add_partition(&mut self) -> bool {
        let total = self.topic.partitions() + 1;
        if total > MOST_PARTITIONS {
            return false;
        }
        self.topic.add_partitions(total);
        self.model.added(total);
        true
    }

    fn recreate(&mut self) {
        match self.model.is_deleted {
            true => self.topic.create_now(),
            false => self.topic.recreate(),
        }
        self.model.recreated();
    }

    /// Records of few keys, in segments that roll, until the cleaner has been there.
    fn compact(&mut self) {
        for _ in 0..3 {
            self.produce(24, None);
            std::thread::sleep(Duration::from_millis(130));
        }
        let held = self.model.partitions[0].log.len();
        wait_until(Duration::from_secs(4), || self.topic.readable_offsets(0).len() < held);
    }

    fn restore(&mut self, logs_alone: bool) -> Option<String> {
        let (broker, (backup, then, topic)) = (self.own_broker.as_ref()?, self.backup.as_ref()?);
        let mut fit = self.model.partitions.iter().zip(&then.partitions);
        let logs_alone = logs_alone && self.model.is_same_topic(then) && fit.all(|(now, was)| now.low <= was.high);
        match logs_alone {
            true => broker.restore_logs(backup, topic),
            false => {
                broker.restore(backup);
                self.topic = topic.clone();
            }
        }
        self.model.restored(then, logs_alone);
        self.check_model();
        Some(format!("done, logs_alone: {logs_alone}, ends {:?}", self.ends()))
    }

    fn remove_files(&mut self, partition: i32, count: usize, oldest: bool) -> Option<String> {
        let removed = self.model.remove_files(partition, count, oldest);
        for start in &removed {
            let name = format!("topic={}/partition={partition}/{start:020}.parquet", self.topic.name());
            let path = self.home.landing().join(name);
            fs::remove_file(&path).unwrap_or_else(|error| panic!("remove {}: {error}", path.display()));
        }
        (!removed.is_empty()).then(|| format!("partition {partition}: files at {removed:?} removed"))
    }

    fn land_anew(&mut self) {
        self.home = RdpConfig::raw(&self.topic);
        self.model.landed_anew();
        (self.is_thinned, self.refusals) = (false, 0);
    }

    fn load(&mut self, failpoint: Option<String>, kill_after: Option<Duration>, step: &mut Step) {
        let only = self.setup.only(self.topic.partitions());
        self.model.begun(self.setup.start, only.as_deref());
        let expected = self.model.expected(only.as_deref());
        let config = self.setup.write(&self.topic, &self.home);
        let rdp = self.rdp("load", &config);
        let may_be_killed = failpoint.is_some() || kill_after.is_some();
        let mut process = match failpoint {
            Some(failpoint) => rdp.failpoint(&failpoint).spawn(),
            None => rdp.spawn(),
        };
        if let Some(time) = kill_after {
            std::thread::sleep(time);
            process.kill();
        }
        let exit = process.wait(LIMIT);
        let ended = Ended { only, asked: self.asked(&exit.stderr), ..Ended::default() };
        self.judge_exit(&exit, &expected, may_be_killed, step);
        self.judge(ended, exit.code(), step);
        if exit.code().is_some() {
            self.audit(step);
        }
    }

    fn run(&mut self, during: During, failpoint: Option<String>, step: &mut Step) {
        let only = self.setup.only(self.topic.partitions());
        self.model.begun(self.setup.start, only.as_deref());
        let expected = self.model.expected(only.as_deref());
        let config = self.setup.write(&self.topic, &self.home);
        let rdp = self.rdp("run", &config);
        let is_killed = failpoint.is_some();
        let mut processes = [match failpoint {
            Some(failpoint) => rdp.failpoint(&failpoint).spawn(),
            None => rdp.spawn(),
        }];
        let mut anew = None;
        if self.wait_for_assignment(&mut processes, &expected, only.as_deref(), step) {
            match during {
                During::Nothing => {}
                During::Produce(count) => self.produce(count, None),
                During::AddPartition if self.add_partition() => self.produce(20, None),
                During::AddPartition => {}
                During::Recreate => {
                    self.produce(10, None);
                    std::thread::sleep(Duration::from_millis(self.random.u64(..400)));
                    anew = Some(self.recreate_under_it());
                }
            }
        }
        let expected =
            if anew.is_some() { Expected::Changed("it was made anew under the run".to_owned()) } else { expected };
        self.wait_for_end(&mut processes, &expected, only.as_deref());
        let [mut process] = processes;
        match is_killed {
            true => process.kill(),
            false => process.term(),
        }
        let exit = process.wait(LIMIT);
        let ended = Ended { only, asked: self.asked(&exit.stderr), ..Ended::default() };
        self.judge_exit(&exit, &expected, is_killed, step);
        self.judge(ended, exit.code(), step);
        if let Some(produced) = anew {
            self.model.recreated();
            produced.into_iter().for_each(|(partition, offset, id)| self.model.produced(partition, offset, id));
        }
        if !is_killed {
            self.audit(step);
        }
    }

    /// The new topic's records are told to the model once the run has ended: none of them may land.
    fn recreate_under_it(&mut self) -> Vec<(i32, i64, u64)> {
        self.topic.recreate();
        let (ids, partitions) = (self.next_id..self.next_id + 60, self.topic.partitions());
        let maker = self.model.maker;
        let delivered = self.topic.produce(ids.clone().map(|id| maker.record(id, (id % 1_000) as i32 % partitions)));
        self.next_id = ids.end;
        ids.zip(delivered).map(|(id, at)| (at.partition, at.offset, id)).collect()
    }

    fn pair(&mut self, kill_one: bool, step: &mut Step) {
        let mut setup = self.setup.clone();
        setup.even_only = false;
        if setup.group == Group::None {
            setup.group = Group::First;
        }
        self.model.begun(setup.start, None);
        let expected = self.model.expected(None);
        let config = setup.write(&self.topic, &self.home);
        let mut processes = [(); 2].map(|()| self.rdp("run", &config).spawn());
        if self.wait_for_assignment(&mut processes, &expected, None, step) {
            self.produce(40, None);
            if kill_one {
                std::thread::sleep(Duration::from_millis(self.random.u64(..500)));
                processes[1].kill();
                self.tally.kills += 1;
            }
        }
        self.wait_for_end(&mut processes, &expected, None);
        processes.iter_mut().for_each(RdpProcess::term);
        let exits = processes.map(|process| process.wait(LIMIT));
        let asked = exits.iter().flat_map(|exit| self.asked(&exit.stderr)).collect();
        // Whoever refuses stands for both: the other may have been given nothing that changed.
        let is_refused = |exit: &&Exit| exit.code() == Some(SOURCE_CHANGED);
        let spokesman = exits.iter().find(is_refused).unwrap_or(&exits[0]);
        self.judge_exit(spokesman, &expected, false, step);
        let second = &exits[1];
        let is_fine = matches!(second.code(), Some(0 | SOURCE_CHANGED)) || kill_one && second.was_killed();
        if !is_fine {
            step.wrong.push(format!("the second member ended with {}\n{}", second.status, tail(&second.stderr)));
        }
        self.judge(Ended { asked, ..Ended::default() }, spokesman.code(), step);
        self.audit(step);
    }

    /// Waits until all partitions are given out; `false` where a process ended before, or should.
    fn wait_for_assignment(
        &mut self,
        processes: &mut [RdpProcess],
        expected: &Expected,
        only: Option<&[i32]>,
        step: &mut Step,
    ) -> bool {
        if matches!(expected, Expected::Changed(_)) {
            return false;
        }
        let wanted: BTreeSet<i32> = match only {
            Some(only) => only.iter().copied().collect(),
            None => (0..self.topic.partitions()).collect(),
        };
        let mut asked = BTreeSet::new();
        let is_given_out = wait_until(PATIENCE, || {
            asked = processes.iter().flat_map(|process| self.asked(&process.stderr())).collect();
            asked.is_superset(&wanted) || processes.iter_mut().any(RdpProcess::has_ended)
        });
        if !is_given_out {
            step.wrong.push(format!("silent: of {wanted:?} only {asked:?} were assigned within {PATIENCE:?}"));
        }
        self.model.asked(&asked);
        is_given_out && !processes.iter_mut().any(RdpProcess::has_ended)
    }

    /// Waits until everything has landed, or, where that is expected, until a process has ended by itself.
    fn wait_for_end(&self, processes: &mut [RdpProcess], expected: &Expected, only: Option<&[i32]>) {
        let is_exact = !matches!(expected, Expected::Changed(_));
        wait_until(PATIENCE, || {
            std::thread::sleep(Duration::from_millis(100));
            let landed = landed::read(&self.home.landing(), self.topic.name());
            // A member that was killed has ended too.
            is_exact && self.model.is_landed(&landed, only) || processes[0].has_ended()
        });
    }

    fn judge_exit(&mut self, exit: &Exit, expected: &Expected, may_be_killed: bool, step: &mut Step) {
        self.tally.runs += 1;
        self.tally.kills += u64::from(may_be_killed && exit.was_killed());
        step.said += &format!("{expected:?}: {}", exit.status);
        let code = exit.code();
        let is_right = match expected {
            Expected::Exact => code == Some(0),
            Expected::Changed(_) => code == Some(SOURCE_CHANGED),
            Expected::Either(_) | Expected::Unprovable(_) => matches!(code, Some(0 | SOURCE_CHANGED)),
            Expected::Gone => matches!(code, Some(CONFIG | SOURCE_CHANGED)),
        };
        if !is_right && !(may_be_killed && exit.was_killed()) {
            step.wrong.push(format!("ended with {}, expected {expected:?}\n{}", exit.status, tail(&exit.stderr)));
        }
        if let (Expected::Unprovable(why), true) = (expected, code != Some(SOURCE_CHANGED)) {
            step.odd.push(format!("{}, went on in silence: {why}", exit.status));
            // What it landed is of two sources: there is nothing to be judged any more.
            self.land_anew();
        }
        if code == Some(SOURCE_CHANGED) {
            self.tally.refusals += 1;
            self.refusals += 1;
        }
    }

    /// Holds the landing against the model.
    fn judge(&mut self, mut ended: Ended, code: Option<i32>, step: &mut Step) {
        // Where a run has gone on in silence, a new landing was begun, of which it knows nothing.
        let is_judged = step.odd.is_empty();
        ended.is_complete = is_judged && code == Some(0);
        if !is_judged {
            ended.asked.clear();
        }
        ended.is_refused = code == Some(SOURCE_CHANGED);
        ended.columns = self.setup.columns();
        if self.ground == Ground::Compacted && !self.model.is_deleted {
            let readable = (0..self.topic.partitions()).map(|partition| self.topic.readable_offsets(partition));
            ended.readable = Some(readable.map(|offsets| offsets.into_iter().collect()).collect());
        }
        let landed = landed::read(&self.home.landing(), self.topic.name());
        let before = self.model.row_count();
        step.wrong.extend(self.model.take(&landed, &ended));
        let rows = self.model.row_count() - before;
        self.tally.records += rows as u64;
        step.said += &format!("; {rows} rows landed, {} in all", self.model.row_count());
    }

    /// Holds the audit against the model.
    fn audit(&mut self, step: &mut Step) {
        if self.model.is_deleted || !step.wrong.is_empty() {
            return;
        }
        let mut setup = self.setup.clone();
        setup.even_only = false;
        let config = setup.write(&self.topic, &self.home);
        let exit = self.rdp("audit", &config).run(LIMIT);
        self.tally.audits += 1;
        let (expected, code) = (self.model.expected(None), exit.code());
        let words = || format!("the audit ended with {}; {expected:?}\n{}", exit.status, tail(&exit.stdout));
        let is_clean = code == Some(0);
        match &expected {
            Expected::Exact if !is_clean && self.is_thinned => step.odd.push(words()),
            Expected::Exact if !is_clean => step.wrong.push(words()),
            // An audit compares offsets, and they are the same.
            Expected::Changed(_) if is_clean && self.model.has_grown_again() => step.odd.push(words()),
            Expected::Changed(_) if is_clean => step.wrong.push(words()),
            _ => {}
        }
    }

    /// The partitions that a process has said it was assigned: it has looked up where to begin.
    fn asked(&self, stderr: &str) -> BTreeSet<i32> {
        let lines = stderr.lines().filter(|line| line.contains("partitions assigned"));
        let named = lines.flat_map(|line| line.split(self.topic.name()).skip(1));
        named.filter_map(|rest| rest.strip_prefix('[')?.split_once(']')?.0.parse().ok()).collect()
    }

    fn rdp(&self, command: &str, config: &RdpConfig) -> Rdp {
        Rdp::at(&self.binary, command).env("RDP_LOG", "rdp_elt=info,rdp_elt::loader=debug,warn").arg(config.path())
    }

    fn number(&self, partition: u8) -> i32 {
        i32::from(partition) % self.topic.partitions()
    }

    fn file_count(&self, partition: i32) -> usize {
        self.model.partitions[partition as usize].files.len()
    }

    fn ends(&self) -> Vec<(i64, i64)> {
        self.model.existing().map(|(_, of)| (of.low, of.high)).collect()
    }

    /// A model that is wrong about the log must not judge anybody.
    fn check_model(&self) {
        let found: Vec<_> = (0..self.topic.partitions()).map(|partition| self.topic.offsets(partition)).collect();
        assert_eq!(found, self.ends(), "left: the broker's log; right: the model's");
    }
}

impl Operation {
    fn is_run(self) -> bool {
        use Operation::{Load, LoadKilled, LoadKilledAfter, Pair, Run, RunKilled};
        matches!(self, Load | LoadKilled(..) | LoadKilledAfter(_) | Run(_) | RunKilled(..) | Pair { .. })
    }

    /// Whether it can be done where there is no topic.
    fn bears_deleted(self) -> bool {
        use Operation::{
            Change, CopyLanding, LandAnew, Load, LoadKilled, LoadKilledAfter, RemoveAll, RemoveNewest, RemoveOldest,
        };
        let is_load = matches!(self, Load | LoadKilled(..) | LoadKilledAfter(_));
        let is_landings = matches!(self, RemoveAll(_) | RemoveNewest(..) | RemoveOldest(..) | CopyLanding | LandAnew);
        is_load || is_landings || matches!(self, Change(_) | Operation::Recreate)
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(14)..].join("\n")
}

const PARTITIONS: i32 = 2;
const MOST_PARTITIONS: i32 = 5;
const LIMIT: Duration = Duration::from_secs(90);
/// Longer than any group takes to forget a member that was killed.
const PATIENCE: Duration = Duration::from_secs(45);
/// Exit codes.
const CONFIG: i32 = 10;
const SOURCE_CHANGED: i32 = 16;
