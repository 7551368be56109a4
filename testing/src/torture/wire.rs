//! Brokers that answer what is wrong, to the binary: many seeded schedules of faults side by side, each with a topic, a
//! proxy and a landing of its own.
//!
//! Faults end after seconds. Then `rdp load` has to end, and well where it can; `rdp run` has to go on. Nobody may be
//! silent for long while there is something to land. A clean load lands the rest, and oracle and audit judge all of it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::trial::{BOUND, Life, Tally, Trial, Wrong, end_by_force};
use super::{LIMIT, Total, Victim, readable_ends};
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

/// What all of it came to.
#[derive(Debug, Clone)]
pub struct WireReport(Trial<Mode>);

impl Wire {
    /// Tries it all.
    pub fn run(&self) -> WireReport {
        let schedules = (self.seed..self.seed + self.schedules).map(Schedule::generate).collect();
        self.run_these(schedules)
    }

    /// Tries these.
    pub fn run_these(&self, schedules: Vec<Schedule>) -> WireReport {
        let (broker, these) = (KafkaServer::start(), (schedules, self.threads));
        let attempt = |schedule: &Schedule| self.attempt(&broker, schedule);
        WireReport(Trial::of("wire", &Mode::ALL, these, |schedule| schedule.mode, attempt))
    }

    fn attempt(&self, broker: &KafkaServer, schedule: &Schedule) -> (Tally, Vec<String>) {
        let topic = broker.create_topic("wire", schedule.partitions);
        produce(&topic, schedule, 0, 90);
        let proxy = WireProxy::start(broker);
        let victim = self.victim(&topic, &proxy, schedule);
        let (struck, outcome) = afflict(&victim, &topic, &proxy, schedule);
        let (mut tally, mut failures) = (Tally::of_one(), Vec::new());
        tally.struck = struck;
        match outcome {
            Ok(ended_well) => tally.errors += u64::from(!ended_well),
            Err(wrong) => failures.push(tally.note(wrong)),
        }
        victim.restart_until_done();
        tally.count = victim.judge();
        if !tally.count.is_exact() {
            failures.push(format!("NOT EXACT {:?}", tally.count));
        }
        (tally, failures)
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
    let ends = if schedule.endless { readable_ends(topic, schedule.partitions) } else { Vec::new() };
    let (mut life, mut is_complete) = (Life::begin(), false);
    while !process.has_ended() && !is_complete {
        std::thread::sleep(Duration::from_millis(100));
        let quiet = life.look(victim, &process);
        if schedule.endless && quiet > Duration::from_millis(500) {
            is_complete = victim.has_landed_to(&ends);
        }
        if let Some(wrong) = life.verdict() {
            return Err(wrong(end_by_force(process)));
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

impl WireReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let Tally { struck, count, .. } = self.0.sum();
        Total { answers: struck, count, ..Total::default() }
    }

    /// Whether nothing was lost, duplicated or altered, nobody hung or was silent, each ended as it may, and the faults
    /// struck.
    pub fn is_clean(&self) -> bool {
        self.0.is_clean()
    }
}

impl std::fmt::Display for WireReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}
