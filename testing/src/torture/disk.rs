//! Disks that fail, to the binary: many seeded schedules of faults side by side, each with a topic and a landing of its own.
//!
//! `rdp load` or `rdp run` lands under the faults, which are its process's: it has to wait and say so, or to end with an error
//! that fits and names path and cause. A clean load then lands the rest, and oracle and audit judge all of it. In the end an
//! audit runs under faults of its own, and may call nothing clean that it could not read, nor anything else than clean.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::trial::{Life, Tally, Trial, Wrong, end_by_force};
use super::{LIMIT, Total, Victim, readable_ends};
use crate::disk::{Call, FailingDisk, Fault, Length, Mode, Place, Schedule, What};
use crate::order::orders;
use crate::rdp::{Exit, Rdp, RdpProcess};
use crate::rdp_config::RdpConfig;
use crate::server::KafkaServer;
use crate::topic::Topic;

/// What is tried.
#[derive(Debug, Clone)]
pub struct Disk {
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
pub struct DiskReport(Trial<Mode>);

impl Disk {
    /// Tries it all.
    pub fn run(&self) -> DiskReport {
        self.run_these((self.seed..self.seed + self.schedules).map(Schedule::generate).collect())
    }

    /// Tries these.
    pub fn run_these(&self, schedules: Vec<Schedule>) -> DiskReport {
        let these = (schedules, self.threads);
        let trial = Trial::of("disk", &Mode::ALL, these, |schedule| schedule.mode, |schedule| self.attempt(schedule));
        DiskReport(trial.of_audits_too())
    }

    fn attempt(&self, schedule: &Schedule) -> (Tally, Vec<String>) {
        let topic = KafkaServer::shared().create_topic("disk", schedule.partitions);
        let victim = self.victim(&topic, schedule);
        produce(&topic, schedule, 0);
        if schedule.has_landed {
            victim.rdp("load", &victim.alone).run(LIMIT).assert_success();
            produce(&topic, schedule, 1);
        }
        let (mut tally, mut failures) = (Tally::of_one(), Vec::new());
        match afflict(&victim, &topic, schedule, &mut tally.struck) {
            Ok(ended_well) => tally.errors += u64::from(!ended_well),
            Err(wrong) => failures.push(tally.note(wrong)),
        }
        let clean = victim.rdp("load", &victim.alone).run(LIMIT);
        if clean.code() != Some(0) {
            let why = format!("of the clean load: {}, {}", clean.status, clean.stderr);
            failures.push(tally.note(Wrong::End(why)));
        }
        tally.count = victim.judge();
        if !tally.count.is_exact() {
            failures.push(format!("NOT EXACT {:?}", tally.count));
        }
        match audit(&victim, schedule, &mut tally.struck) {
            Ok(has_read) => tally.unread += u64::from(!has_read),
            Err(why) => {
                tally.wrong_audits += 1;
                failures.push(format!("WRONG AUDIT {why}"));
            }
        }
        (tally, failures)
    }

    /// The landing as the schedule reads it, and as `alone` without a group.
    fn victim(&self, topic: &Topic, schedule: &Schedule) -> Victim {
        let patience = format!("{}s", Schedule::GIVE_UP_AFTER.as_secs());
        let tortured = RdpConfig::orders(topic)
            .window(40, "200ms")
            .librdkafka("max.partition.fetch.bytes", "8000")
            .librdkafka("fetch.wait.max.ms", "100")
            .set("/loader/lanes", if schedule.mode == Mode::Lanes { 2 } else { 1 })
            .set("/loader/retry_cap", "500ms")
            .set("/loader/give_up_after", patience);
        let tortured = match schedule.mode {
            Mode::Group => tortured.librdkafka("session.timeout.ms", "3000"),
            Mode::Alone | Mode::Lanes => tortured.without_group(),
        };
        let alone = RdpConfig::orders(topic).window(4_000, "1s").without_group().landing_of(&tortured);
        Victim { binary: self.binary.clone(), grouped: tortured, alone }
    }
}

/// Lets a loader run under the faults; says whether it ended with 0.
fn afflict(victim: &Victim, topic: &Topic, schedule: &Schedule, struck: &mut u64) -> Result<bool, Wrong> {
    let command = if schedule.endless { "run" } else { "load" };
    // At the default log level: what is not said there is not said.
    let process = Rdp::at(&victim.binary, command).arg(victim.grouped.path());
    let (process, disk) = FailingDisk::under(process, &victim.grouped.landing(), &schedule.faults);
    let before = victim.grouped.landed_files().len();
    let began = Instant::now();
    let process = process.spawn();
    if schedule.endless {
        produce(topic, schedule, 2);
    }
    let outcome = outlast(process, victim, topic, schedule);
    let strikes = disk.strikes();
    *struck += strikes.len() as u64;
    let ((exit, asked), lasted) = (outcome?, began.elapsed());
    let has_landed = victim.grouped.landed_files().len() > before;
    let wrong = |why: &str| Err(Wrong::End(format!("{why}, after {lasted:.1?}: {}, {}", exit.status, exit.stderr)));
    if exit.code() == Some(0) {
        return match !schedule.endless && !victim.has_landed_to(&readable_ends(topic, schedule.partitions)) {
            true => wrong("not all has landed"),
            false if is_never_durable(&schedule.faults, &strikes) => wrong("nothing of it was durable"),
            false => Ok(true),
        };
    }
    match misfit(&exit, victim, &schedule.faults) {
        Some(why) => wrong(why),
        // What passes is waited for, once there is a run, and for as long as nobody asked it to end.
        None if exit.code() == Some(UNAVAILABLE) && has_landed && !asked && lasted < Schedule::GIVE_UP_AFTER => {
            wrong("it gave up too soon")
        }
        None => Ok(false),
    }
}

/// Waits for the loader's end, and asks for it where it has landed all; says whether it did.
fn outlast(
    mut process: RdpProcess,
    victim: &Victim,
    topic: &Topic,
    schedule: &Schedule,
) -> Result<(Exit, bool), Wrong> {
    let (ends, mut life, mut asked) = (readable_ends(topic, schedule.partitions), Life::begin(), false);
    while !process.has_ended() {
        std::thread::sleep(Duration::from_millis(50));
        let quiet = life.look(victim, &process);
        if schedule.endless && !asked && quiet > Duration::from_millis(400) {
            asked = victim.has_landed_to(&ends);
            if asked {
                process.term();
            }
        }
        if let Some(wrong) = life.verdict() {
            return Err(wrong(end_by_force(process)));
        }
    }
    Ok((process.wait(LIMIT), asked))
}

/// Audits what has landed under the faults; says whether it could.
fn audit(victim: &Victim, schedule: &Schedule, struck: &mut u64) -> Result<bool, String> {
    let process = victim.rdp("audit", &victim.alone);
    let (process, disk) = FailingDisk::under(process, &victim.grouped.landing(), &schedule.of_audit);
    let before = victim.grouped.landed_files();
    let exit = process.run(LIMIT);
    let strikes = disk.strikes();
    *struck += strikes.len() as u64;
    // What is interrupted is done again by the one who called; nobody else has a second try.
    let harms = |fault: &Fault| fault.error().is_some_and(|error| error != "EINTR" || fault.call == Call::List);
    // And nothing depends on the first `stat` of all, which is the config's, and on those that only ask how much there is to
    // read of a claim; a folder that is there and was not found is listed again.
    let is_first = |fault: &Fault| {
        fault.first == 1
            && matches!(fault.call, Call::Any | Call::Stat)
            && matches!(fault.place, Place::Any | Place::Root)
    };
    let of_config = usize::from(schedule.of_audit.iter().any(is_first));
    let harmless = strikes.iter().take(of_config).take_while(|strike| strike.starts_with("stat root")).count();
    let is_not_found_once = |fault: &Fault| fault.error() == Some("ENOENT") && fault.length == Length::Calls(1);
    let lists_again = schedule.of_audit.iter().all(is_not_found_once);
    let has_no_second_try =
        |strike: &&String| !(strike.starts_with("stat claim") || (lists_again && strike.starts_with("list ")));
    let harming = strikes.iter().skip(harmless).filter(has_no_second_try).count();
    let failed = harming > 0 && schedule.of_audit.iter().any(harms);
    let wrong = |why: &str| Err(format!("{why}: {}, {}{}", exit.status, exit.stdout, exit.stderr));
    if victim.grouped.landed_files() != before {
        return wrong("it changed the landing");
    }
    match (exit.code(), failed) {
        (Some(0), false) => Ok(true),
        (Some(0), true) => wrong("it calls clean what it could not read"),
        _ => misfit(&exit, victim, &schedule.of_audit).map_or(Ok(false), wrong),
    }
}

/// Why an error does not fit what the disk did, or does not say it.
fn misfit(exit: &Exit, victim: &Victim, faults: &[Fault]) -> Option<&'static str> {
    let is_one = |errors: &[&str]| faults.iter().any(|fault| fault.error().is_some_and(|it| errors.contains(&it)));
    let fits = match exit.code() {
        Some(UNAVAILABLE) => faults.iter().any(|fault| fault.error().is_some()),
        Some(DENIED) => is_one(&["EACCES", "EPERM", "EROFS"]),
        Some(CONFIG) => is_one(&["ENAMETOOLONG", "ENOENT"]),
        _ => false,
    };
    let landing = victim.grouped.landing().display().to_string();
    let says = |fault: &Fault| fault.words().is_some_and(|words| exit.stderr.contains(&words));
    // Where there is no folder there is no landing, and a name that is always taken is another each time.
    let in_other_words = ["there is no landing", "too many temporary files exist"];
    let says_cause = faults.iter().any(says) || in_other_words.iter().any(|words| exit.stderr.contains(words));
    match (fits, exit.stderr.contains(&landing), says_cause) {
        (false, ..) => Some("that kind does not fit"),
        (_, false, _) => Some("it does not name the landing"),
        (.., false) => Some("it does not name the cause"),
        _ => None,
    }
}

/// Whether no name of a landed file can have been made durable.
fn is_never_durable(faults: &[Fault], strikes: &[String]) -> bool {
    let is_for_good = |fault: &Fault| {
        let of_names = matches!(fault.place, Place::Any | Place::Partition);
        let is_all = fault.first == 1 && fault.length == Length::Ever && matches!(fault.what, What::Error(_));
        fault.call == Call::Sync && of_names && is_all
    };
    faults.iter().any(is_for_good) && strikes.iter().any(|strike| strike.starts_with("sync partition"))
}

fn produce(topic: &Topic, schedule: &Schedule, round: u64) {
    let seed = schedule.seed.wrapping_mul(100).wrapping_add(10 * round);
    let count = 70 * usize::try_from(schedule.partitions).unwrap_or_default();
    topic.produce_with(&[("batch.num.messages", "10"), ("linger.ms", "2")], orders(seed, count));
    if schedule.seed.is_multiple_of(4) {
        topic.transaction(orders(seed + 1, 20)).commit();
        topic.transaction(orders(seed + 2, 20)).abort();
        topic.wait_for_markers();
    }
}

impl DiskReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let Tally { struck, count, .. } = self.0.sum();
        Total { calls: struck, count, ..Total::default() }
    }

    /// Whether nothing was lost, duplicated or altered, nobody hung or was silent, each ended as it may, no audit said what
    /// is not so, and the faults struck.
    pub fn is_clean(&self) -> bool {
        self.0.is_clean()
    }
}

impl std::fmt::Display for DiskReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(out)
    }
}

const CONFIG: i32 = 10;
const DENIED: i32 = 11;
const UNAVAILABLE: i32 = 12;
