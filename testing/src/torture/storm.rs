//! Rebalance storm: members of one group join, leave, die and freeze past their session while records keep coming.
//!
//! Four processes at most share twelve partitions and one landing. What happens when is decided by the seed. At the end
//! everybody is let go on and asked to end, one more load fetches the rest, and the oracle compares.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::oracle_count::Count;
use super::{LIMIT, Sink, Total, Victim, table};
use crate::order::orders;
use crate::rdp::RdpProcess;
use crate::rdp_config::RdpConfig;
use crate::server::KafkaServer;

/// A way in which a group hands partitions over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Protocol {
    /// Everybody gives everything back at each rebalance (`range`).
    Eager,
    /// Only what moves is given back (`cooperative-sticky`).
    Cooperative,
    /// The broker decides (KIP-848, `group.protocol=consumer`).
    Consumer,
}

impl Protocol {
    /// Every protocol.
    pub const ALL: [Protocol; 3] = [Protocol::Eager, Protocol::Cooperative, Protocol::Consumer];

    fn configure(self, config: RdpConfig) -> RdpConfig {
        let timeout = SESSION_TIMEOUT.as_millis().to_string();
        let classic = |config: RdpConfig, strategy: &str| {
            config
                .librdkafka("partition.assignment.strategy", strategy)
                .librdkafka("session.timeout.ms", timeout.clone())
                .librdkafka("heartbeat.interval.ms", "500")
        };
        match self {
            Protocol::Eager => classic(config, "range"),
            Protocol::Cooperative => classic(config, "cooperative-sticky"),
            // The timeouts are the broker's to set.
            Protocol::Consumer => config.librdkafka("group.protocol", "consumer"),
        }
    }
}

/// A storm to come.
#[derive(Debug, Clone)]
pub struct Storm {
    /// The binary under test.
    pub binary: PathBuf,
    /// How partitions are handed over.
    pub protocol: Protocol,
    /// How long it lasts.
    pub time: Duration,
    /// Decides what happens when.
    pub seed: u64,
}

/// What happened in a storm, and what became of the records.
#[derive(Debug, Clone)]
pub struct StormReport {
    protocol: Protocol,
    joins: u64,
    leaves: u64,
    kills: u64,
    freezes: u64,
    /// Members that stopped by themselves because another was quicker.
    conflicts: u64,
    /// Times that a member was given partitions.
    assignments: u64,
    /// Times that a member was robbed of partitions.
    revocations: u64,
    /// Members that ended as none should, and what they said.
    failures: Vec<String>,
    count: Count,
}

enum Seat {
    Empty,
    Running(RdpProcess),
    Frozen(RdpProcess, Instant),
}

impl Storm {
    /// Lets it blow.
    ///
    /// # Panics
    /// Where a process hangs, or does not come to its end however often it is started.
    pub fn run(&self) -> StormReport {
        let topic = KafkaServer::shared().create_topic("storm", 12);
        let victim = self.victim(&self.binary, &topic);
        let mut report = StormReport::new(self.protocol);
        let mut random = fastrand::Rng::with_seed(self.seed);
        let mut seats: Vec<Seat> = (0..MEMBERS).map(|_| Seat::Empty).collect();
        let producer = topic.producer(&[]);
        let mut records = orders(self.seed, usize::MAX);
        let began = Instant::now();
        let mut next_event = began;
        while began.elapsed() < self.time {
            records.by_ref().take(RECORDS_PER_TICK).for_each(|record| producer.send(record));
            for seat in &mut seats {
                seat.look(&mut report);
            }
            if Instant::now() >= next_event {
                let seat = &mut seats[random.usize(..MEMBERS)];
                seat.shake(&mut random, &victim, &mut report);
                next_event = Instant::now() + Duration::from_millis(random.u64(200..1_200));
            }
            std::thread::sleep(TICK);
        }
        producer.flush();
        seats.iter_mut().for_each(Seat::thaw);
        // Those that were frozen learn first that they were given up.
        std::thread::sleep(Duration::from_secs(1));
        seats.into_iter().for_each(|seat| seat.end(&mut report));
        victim.restart_until_done();
        report.count = victim.judge();
        report
    }

    fn victim(&self, binary: &Path, topic: &crate::topic::Topic) -> Victim {
        let [sink] = Sink::ALL;
        let grouped = self.protocol.configure(sink.config(topic).window(400, "300ms"));
        let alone = sink.config(topic).window(4_000, "1s").without_group().landing_of(&grouped);
        Victim { binary: binary.to_owned(), grouped, alone }
    }
}

impl Seat {
    /// Lets something happen to whoever sits here.
    fn shake(&mut self, random: &mut fastrand::Rng, victim: &Victim, report: &mut StormReport) {
        let mut process = match std::mem::replace(self, Seat::Empty) {
            Seat::Running(process) => process,
            Seat::Empty => {
                report.joins += 1;
                *self = Seat::Running(victim.rdp("run", &victim.grouped).spawn());
                return;
            }
            frozen @ Seat::Frozen(..) => {
                *self = frozen;
                return;
            }
        };
        // A classic group waits out the session of each that dies or freezes: were there many, it would never settle.
        match random.u8(..20) {
            0..14 => {
                report.leaves += 1;
                process.term();
                report.ended(process, End::Asked);
            }
            14..17 => {
                report.kills += 1;
                process.kill();
                report.ended(process, End::Killed);
            }
            _ => {
                report.freezes += 1;
                process.stop();
                let time = SESSION_TIMEOUT + Duration::from_millis(random.u64(500..3_000));
                *self = Seat::Frozen(process, Instant::now() + time);
            }
        }
    }

    /// Thaws who has been frozen long enough, and notes who has ended by itself.
    fn look(&mut self, report: &mut StormReport) {
        if matches!(self, Seat::Frozen(_, until) if Instant::now() >= *until) {
            self.thaw();
        }
        let Seat::Running(process) = self else { return };
        if process.has_ended()
            && let Seat::Running(process) = std::mem::replace(self, Seat::Empty)
        {
            report.ended(process, End::ByItself);
        }
    }

    fn thaw(&mut self) {
        *self = match std::mem::replace(self, Seat::Empty) {
            Seat::Frozen(mut process, _) => {
                process.cont();
                Seat::Running(process)
            }
            other => other,
        };
    }

    fn end(self, report: &mut StormReport) {
        if let Seat::Running(mut process) | Seat::Frozen(mut process, _) = self {
            process.term();
            report.ended(process, End::Asked);
        }
    }
}

#[derive(PartialEq)]
enum End {
    Asked,
    Killed,
    ByItself,
}

impl StormReport {
    fn new(protocol: Protocol) -> Self {
        StormReport {
            protocol,
            joins: 0,
            leaves: 0,
            kills: 0,
            freezes: 0,
            conflicts: 0,
            assignments: 0,
            revocations: 0,
            failures: Vec::new(),
            count: Count::default(),
        }
    }

    fn ended(&mut self, process: RdpProcess, how: End) {
        let exit = process.wait(LIMIT);
        self.assignments += exit.stderr.matches("partitions assigned").count() as u64;
        self.revocations += exit.stderr.matches("partitions revoked").count() as u64;
        match exit.code() {
            None if how == End::Killed && exit.was_killed() => {}
            Some(0) if how == End::Asked => {}
            Some(CONFLICT) => self.conflicts += 1,
            _ => self.failures.push(format!("{}: {}", exit.status, exit.stderr)),
        }
    }

    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let StormReport { kills, freezes, assignments, revocations, count, .. } = *self;
        Total { kills, freezes, rebalances: assignments + revocations, count, ..Total::default() }
    }

    /// Whether nothing was lost, duplicated or altered, nobody ended as none should, and it was a storm at all.
    pub fn is_clean(&self) -> bool {
        self.count.is_exact()
            && self.failures.is_empty()
            && self.count.records > 0
            && self.kills > 0
            && self.freezes > 0
            && self.leaves > 0
            && self.revocations > 0
    }

    /// The reports as a table, and what those said that ended as none should.
    pub fn table(reports: &[StormReport]) -> String {
        let header = [
            ["protocol", "joins", "leaves", "kills", "freezes", "assigned", "revoked", "conflicts", "failures"]
                .as_slice(),
            &Count::HEADER,
        ]
        .concat();
        let row = |report: &StormReport| {
            let mut row = vec![format!("{:?}", report.protocol).to_lowercase()];
            let numbers = [report.joins, report.leaves, report.kills, report.freezes, report.assignments];
            let numbers = numbers.into_iter().chain([report.revocations, report.conflicts]);
            row.extend(numbers.chain([report.failures.len() as u64]).map(|number| number.to_string()));
            row.extend(report.count.cells());
            row
        };
        let mut text = table::text(&header, 1, &reports.iter().map(row).collect::<Vec<_>>());
        for failure in reports.iter().flat_map(|report| &report.failures) {
            text.push_str(failure);
        }
        text
    }
}

const MEMBERS: usize = 4;
const SESSION_TIMEOUT: Duration = Duration::from_secs(6);
const TICK: Duration = Duration::from_millis(50);
const RECORDS_PER_TICK: usize = 20;
/// The exit code of a loader that was overtaken again and again.
const CONFLICT: i32 = 15;
