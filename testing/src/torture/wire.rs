//! Brokers that answer what is wrong, to the binary: many seeded schedules of faults side by side, each with a topic, a
//! proxy and a landing of its own.
//!
//! Faults end after seconds. Then `rdp load` has to end, and well where it can; `rdp run` has to go on. Nobody may be
//! silent for long while there is something to land. A clean load lands the rest, and oracle and audit judge all of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::oracle_count::Count;
use super::{LIMIT, Total, Victim, side_by_side, table};
use crate::order::orders;
use crate::rdp::{Rdp, RdpProcess};
use crate::rdp_config::RdpConfig;
use crate::server::KafkaServer;
use crate::topic::Topic;
use crate::wire::{Mode, Schedule, WireProxy};

/// What is tried.
#[derive(Debug, Clone)]
pub struct Wire {
    /// The binary under test.
    pub binary: PathBuf,
    /// How many schedules.
    pub schedules: u64,
    /// The seed of the first; the others follow.
    pub seed: u64,
    /// Schedules at the same time.
    pub threads: usize,
}

/// What became of the schedules of one mode.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    tried: u64,
    struck: u64,
    /// Runs that ended with an error that fits.
    errors: u64,
    hangs: u64,
    silences: u64,
    wrong_ends: u64,
    count: Count,
}

/// What all of it came to.
#[derive(Debug, Clone, Default)]
pub struct WireReport {
    tallies: Vec<(Mode, Tally)>,
    /// Each schedule that failed, in a form that is read back, and why.
    failures: Vec<String>,
}

/// How a run ended that should not have.
enum Wrong {
    Hang(String),
    Silence(String),
    End(String),
}

impl Wire {
    /// Tries it all.
    pub fn run(&self) -> WireReport {
        let schedules = (self.seed..self.seed + self.schedules).map(Schedule::generate).collect();
        self.run_these(schedules)
    }

    /// Tries these.
    pub fn run_these(&self, schedules: Vec<Schedule>) -> WireReport {
        let broker = KafkaServer::start();
        let outcomes = side_by_side(schedules, self.threads, |schedule| {
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.attempt(&broker, &schedule)));
            let (tally, failure) = tried.unwrap_or_else(|_| {
                (Tally { tried: 1, wrong_ends: 1, ..Tally::default() }, Some("see the panic above".to_owned()))
            });
            let failure = failure.map(|why| format!("{schedule}\n  {why}"));
            if let Some(failure) = &failure {
                eprintln!("FAILED {failure}");
            }
            (schedule.mode, tally, failure)
        });
        let mut report =
            WireReport { tallies: Mode::ALL.map(|mode| (mode, Tally::default())).into(), failures: vec![] };
        for (mode, tally, failure) in outcomes {
            report.tallies.iter_mut().filter(|(of, _)| *of == mode).for_each(|(_, sum)| sum.add(tally));
            report.failures.extend(failure);
        }
        report
    }

    fn attempt(&self, broker: &KafkaServer, schedule: &Schedule) -> (Tally, Option<String>) {
        let topic = broker.create_topic("wire", schedule.partitions);
        produce(&topic, schedule, 0, 90);
        let proxy = WireProxy::start(broker);
        let victim = self.victim(&topic, &proxy, schedule);
        let (struck, outcome) = afflict(&victim, &topic, &proxy, schedule);
        let mut tally = Tally { tried: 1, struck, ..Tally::default() };
        let mut failure = match outcome {
            Ok(ended_well) => {
                tally.errors += u64::from(!ended_well);
                None
            }
            Err(Wrong::Hang(why)) => {
                tally.hangs += 1;
                Some(format!("HANG {why}"))
            }
            Err(Wrong::Silence(why)) => {
                tally.silences += 1;
                Some(format!("SILENCE {why}"))
            }
            Err(Wrong::End(why)) => {
                tally.wrong_ends += 1;
                Some(format!("WRONG END {why}"))
            }
        };
        victim.restart_until_done();
        tally.count = victim.judge();
        if !tally.count.is_exact() {
            failure = Some(format!("{} {:?}", failure.unwrap_or_default(), tally.count));
        }
        (tally, failure)
    }

    /// The landing, read through the proxy as the schedule says, and without either as `alone`.
    fn victim(&self, topic: &Topic, proxy: &WireProxy, schedule: &Schedule) -> Victim {
        let tortured = RdpConfig::orders(&topic.through(&proxy.address())).window(40, "200ms");
        let tortured = if schedule.mode.has_group() { tortured } else { tortured.without_group() };
        let settings = Schedule::SETTINGS.iter().chain(schedule.mode.settings());
        let tortured = settings.fold(tortured, |config, (key, value)| config.librdkafka(key, *value));
        let patience = format!("{}s", Schedule::GIVE_UP_AFTER.as_secs());
        let tortured = tortured
            .set("/loader/lanes", schedule.mode.lanes())
            .set("/loader/retry_cap", "500ms")
            .set("/loader/give_up_after", patience);
        let alone = RdpConfig::orders(topic).window(4_000, "1s").without_group().landing_of(&tortured);
        Victim { binary: self.binary.clone(), grouped: tortured, alone }
    }
}

/// Lets a loader run under the faults, and until it has recovered from them; returns how often they struck, and whether
/// it ended with 0.
fn afflict(victim: &Victim, topic: &Topic, proxy: &WireProxy, schedule: &Schedule) -> (u64, Result<bool, Wrong>) {
    let inject = |from: Duration, to: Duration| {
        let due = schedule.faults.iter().filter(move |(at, _)| *at >= from && *at < to);
        due.map(|(_, fault)| proxy.inject(fault.clone())).collect::<Vec<_>>()
    };
    let tick = Duration::from_millis(20);
    let mut injected = inject(Duration::ZERO, tick);
    let command = if schedule.endless { "run" } else { "load" };
    // At the default log level: what is not said there is not said.
    let mut process = Rdp::at(&victim.binary, command).arg(victim.grouped.path()).spawn();
    let (began, mut seen) = (Instant::now(), tick);
    while seen < schedule.time && !process.has_ended() {
        std::thread::sleep(tick);
        let now = began.elapsed();
        injected.extend(inject(seen, now));
        seen = now;
    }
    proxy.lift();
    if schedule.endless {
        produce(topic, schedule, 1, 60);
    }
    let outcome = recover(process, victim, topic, schedule, began);
    (injected.iter().map(|one| one.struck()).sum(), outcome)
}

fn recover(
    mut process: RdpProcess,
    victim: &Victim,
    topic: &Topic,
    schedule: &Schedule,
    began: Instant,
) -> Result<bool, Wrong> {
    let ends: Vec<i64> = match schedule.endless {
        true => {
            (0..schedule.partitions).map(|at| topic.readable_offsets(at).last().map_or(0, |last| last + 1)).collect()
        }
        false => Vec::new(),
    };
    let (lifted, mut sign, mut signed) = (Instant::now(), (0, 0), Instant::now());
    let mut is_complete = false;
    while !process.has_ended() && !is_complete {
        std::thread::sleep(Duration::from_millis(100));
        let now = (victim.grouped.landed_files().len(), process.stderr().len());
        if now != sign {
            (sign, signed) = (now, Instant::now());
        } else if schedule.endless && signed.elapsed() > Duration::from_millis(500) {
            is_complete = victim.has_landed_to(&ends);
        }
        if signed.elapsed() > LONGEST_SILENCE {
            return Err(Wrong::Silence(end_by_force(process)));
        }
        if lifted.elapsed() > BOUND {
            return Err(Wrong::Hang(end_by_force(process)));
        }
    }
    if schedule.endless && process.has_ended() {
        let exit = process.wait(LIMIT);
        let why = format!("after {:.1?}: {}, {}", began.elapsed(), exit.status, exit.stderr);
        return match fits(schedule, exit.code(), began.elapsed()) && exit.code() != Some(0) {
            true => Ok(false),
            false => Err(Wrong::End(why)),
        };
    }
    process.term();
    let asked = Instant::now();
    while !process.has_ended() {
        if asked.elapsed() > BOUND {
            return Err(Wrong::Hang(end_by_force(process)));
        }
        std::thread::sleep(Duration::from_millis(20));
    }
    let exit = process.wait(LIMIT);
    if !fits(schedule, exit.code(), began.elapsed()) {
        return Err(Wrong::End(format!("after {:.1?}: {}, {}", began.elapsed(), exit.status, exit.stderr)));
    }
    if exit.code() == Some(0) && !schedule.endless && !victim.has_landed_to(&stable_ends(topic, schedule)) {
        return Err(Wrong::End(format!("with 0, and not all has landed: {}", exit.stderr)));
    }
    Ok(exit.code() == Some(0))
}

fn stable_ends(topic: &Topic, schedule: &Schedule) -> Vec<i64> {
    (0..schedule.partitions).map(|partition| topic.last_stable_offset(partition)).collect()
}

fn end_by_force(mut process: RdpProcess) -> String {
    process.kill();
    format!("stderr: {}", process.stderr())
}

/// Whether a loader may end so.
fn fits(schedule: &Schedule, code: Option<i32>, after: Duration) -> bool {
    let kind = match code {
        Some(0) => return true,
        Some(12) => return after >= Schedule::GIVE_UP_AFTER,
        Some(10) => "Config",
        Some(11) => "Denied",
        Some(13) => "Data",
        Some(16) => "SourceChanged",
        Some(17) => "Unsupported",
        _ => return false,
    };
    schedule.fitting_kinds().contains(&kind)
}

/// Produces about so many records to each partition, in small batches and in transactions where the schedule has some.
fn produce(topic: &Topic, schedule: &Schedule, round: u64, count: usize) {
    let seed = schedule.seed.wrapping_mul(100).wrapping_add(10 * round);
    let count = count * usize::try_from(schedule.partitions).unwrap_or_default();
    topic.produce_with(&[("batch.num.messages", "10"), ("linger.ms", "2")], orders(seed, count));
    if schedule.transactions {
        topic.transaction(orders(seed + 1, 20)).commit();
        topic.transaction(orders(seed + 2, 20)).abort();
        topic.transaction(orders(seed + 3, 20)).commit();
        topic.wait_for_markers();
    }
}

impl Tally {
    fn add(&mut self, other: Tally) {
        self.tried += other.tried;
        self.struck += other.struck;
        self.errors += other.errors;
        self.hangs += other.hangs;
        self.silences += other.silences;
        self.wrong_ends += other.wrong_ends;
        self.count += other.count;
    }

    fn cells(&self) -> impl Iterator<Item = String> {
        let numbers = [self.tried, self.struck, self.errors, self.hangs, self.silences, self.wrong_ends];
        numbers.map(|number| number.to_string()).into_iter().chain(self.count.cells())
    }
}

impl WireReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for (_, tally) in &self.tallies {
            total.answers += tally.struck;
            total.count += tally.count;
        }
        total
    }

    /// Whether nothing was lost, duplicated or altered, nobody hung or was silent, each ended as it may, and the faults
    /// struck.
    pub fn is_clean(&self) -> bool {
        let (tried, struck) =
            self.tallies.iter().fold((0, 0), |(tried, struck), (_, of)| (tried + of.tried, struck + of.struck));
        self.failures.is_empty() && tried > 0 && struck > 0
    }
}

impl std::fmt::Display for WireReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = ["mode", "tried", "struck", "errors", "hangs", "silences", "wrong ends"];
        let header = [header.as_slice(), &Count::HEADER].concat();
        let mut sum = Tally::default();
        self.tallies.iter().for_each(|(_, tally)| sum.add(*tally));
        let named = self.tallies.iter().map(|(mode, tally)| (format!("{mode:?}").to_lowercase(), tally));
        let rows = named
            .chain([("all".to_owned(), &sum)])
            .map(|(name, tally)| [name].into_iter().chain(tally.cells()).collect());
        out.write_str(&table::text(&header, 1, &rows.collect::<Vec<_>>()))?;
        self.failures.iter().try_for_each(|failure| writeln!(out, "FAILED {failure}"))
    }
}

/// Faults have ended: what then takes longer does not end at all.
const BOUND: Duration = Duration::from_secs(60);
/// The longest that a loader may have something to land, not land it, and say nothing.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
