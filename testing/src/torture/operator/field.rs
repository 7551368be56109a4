//! One sequence as it is done: the topic, its landing and its config, with the model beside them.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::super::wait_until;
use super::model::Model;
use super::plan::{During, Ground, Operation};
use super::record::Maker;
use super::setup::Setup;
use crate::rdp::Rdp;
use crate::rdp_config::RdpConfig;
use crate::server::{Backup, KafkaServer};
use crate::topic::{Topic, TopicOptions};

/// A topic, a landing of it, and what must be true of both.
pub(super) struct Field {
    binary: PathBuf,
    pub(super) topic: Topic,
    /// Dropped after the topic's user: the broker of the sequence's own.
    own_broker: Option<KafkaServer>,
    backup: Option<(Backup, Model, Topic)>,
    pub(super) home: RdpConfig,
    pub(super) setup: Setup,
    pub(super) model: Model,
    pub(super) ground: Ground,
    pub(super) next_id: u64,
    /// Landed files were removed, and an audit has to be told that it was on purpose.
    pub(super) is_thinned: bool,
    /// Runs in a row that rightly refused.
    pub(super) refusals: u32,
    pub(super) random: fastrand::Rng,
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

    pub(super) fn produce(&mut self, count: u64, on: Option<i32>) {
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

    pub(super) fn add_partition(&mut self) -> bool {
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
        self.is_thinned |= !removed.is_empty();
        (!removed.is_empty()).then(|| format!("partition {partition}: files at {removed:?} removed"))
    }

    pub(super) fn land_anew(&mut self) {
        self.home = RdpConfig::raw(&self.topic);
        self.model.landed_anew();
        (self.is_thinned, self.refusals) = (false, 0);
    }

    pub(super) fn rdp(&self, command: &str, config: &RdpConfig) -> Rdp {
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

const PARTITIONS: i32 = 2;
const MOST_PARTITIONS: i32 = 5;
pub(super) const LIMIT: Duration = Duration::from_secs(90);
