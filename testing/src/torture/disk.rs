//! Disks that fail, to the binary: many seeded schedules of faults side by side, each with a topic and a landing of its own.
//!
//! `rdp load` or `rdp run` lands under the faults, which are its process's: it has to wait and say so, or to end with an error
//! that fits and names path and cause. A clean load then lands the rest, and oracle and audit judge all of it. In the end an
//! audit runs under faults of its own, and may call nothing clean that it could not read, nor anything else than clean.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::oracle_count::Count;
use super::{LIMIT, Total, Victim, side_by_side, table};
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

/// What became of the schedules of one mode.
#[derive(Debug, Clone, Copy, Default)]
struct Tally {
    tried: u64,
    /// Calls that were struck.
    struck: u64,
    /// Runs that ended with an error that fits.
    errors: u64,
    hangs: u64,
    silences: u64,
    wrong_ends: u64,
    /// Audits that could not be done, and said so.
    unread: u64,
    /// Audits that said of a clean landing what is not so, or that it is clean where they could not read.
    wrong_audits: u64,
    count: Count,
}

/// What all of it came to.
#[derive(Debug, Clone, Default)]
pub struct DiskReport {
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

impl Disk {
    /// Tries it all.
    pub fn run(&self) -> DiskReport {
        self.run_these((self.seed..self.seed + self.schedules).map(Schedule::generate).collect())
    }

    /// Tries these.
    pub fn run_these(&self, schedules: Vec<Schedule>) -> DiskReport {
        let outcomes = side_by_side(schedules, self.threads, |schedule| {
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| self.attempt(&schedule)));
            let (tally, failures) = tried.unwrap_or_else(|_| {
                (Tally { tried: 1, wrong_ends: 1, ..Tally::default() }, vec!["see the panic above".to_owned()])
            });
            let again = |why| format!("torture disk --schedule \"{schedule}\"\n  {why}");
            let failures: Vec<String> = failures.into_iter().map(again).collect();
            failures.iter().for_each(|failure| eprintln!("FAILED {failure}"));
            (schedule.mode, tally, failures)
        });
        let mut report =
            DiskReport { tallies: Mode::ALL.map(|mode| (mode, Tally::default())).into(), failures: vec![] };
        for (mode, tally, failures) in outcomes {
            report.tallies.iter_mut().filter(|(of, _)| *of == mode).for_each(|(_, sum)| sum.add(tally));
            report.failures.extend(failures);
        }
        report
    }

    fn attempt(&self, schedule: &Schedule) -> (Tally, Vec<String>) {
        let topic = KafkaServer::shared().create_topic("disk", schedule.partitions);
        let victim = self.victim(&topic, schedule);
        produce(&topic, schedule, 0);
        if schedule.has_landed {
            victim.rdp("load", &victim.alone).run(LIMIT).assert_success();
            produce(&topic, schedule, 1);
        }
        let mut tally = Tally { tried: 1, ..Tally::default() };
        let mut failures = Vec::new();
        match afflict(&victim, &topic, schedule, &mut tally.struck) {
            Ok(ended_well) => tally.errors += u64::from(!ended_well),
            Err(Wrong::Hang(why)) => {
                tally.hangs += 1;
                failures.push(format!("HANG {why}"));
            }
            Err(Wrong::Silence(why)) => {
                tally.silences += 1;
                failures.push(format!("SILENCE {why}"));
            }
            Err(Wrong::End(why)) => {
                tally.wrong_ends += 1;
                failures.push(format!("WRONG END {why}"));
            }
        }
        let clean = victim.rdp("load", &victim.alone).run(LIMIT);
        if clean.code() != Some(0) {
            tally.wrong_ends += 1;
            failures.push(format!("WRONG END of the clean load: {}, {}", clean.status, clean.stderr));
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
    let process = process.spawn();
    if schedule.endless {
        produce(topic, schedule, 2);
    }
    let began = Instant::now();
    let outcome = outlast(process, victim, topic, schedule);
    let strikes = disk.strikes();
    *struck += strikes.len() as u64;
    let (exit, lasted) = (outcome?, began.elapsed());
    let has_landed = victim.grouped.landed_files().len() > before;
    let wrong = |why: &str| Err(Wrong::End(format!("{why}, after {lasted:.1?}: {}, {}", exit.status, exit.stderr)));
    if exit.code() == Some(0) {
        return match !schedule.endless && !victim.has_landed_to(&ends(topic, schedule)) {
            true => wrong("not all has landed"),
            false if is_never_durable(&schedule.faults, &strikes) => wrong("nothing of it was durable"),
            false => Ok(true),
        };
    }
    match misfit(&exit, victim, &schedule.faults) {
        Some(why) => wrong(why),
        // What passes is waited for, once there is a run.
        None if exit.code() == Some(UNAVAILABLE) && has_landed && lasted < Schedule::GIVE_UP_AFTER => {
            wrong("it gave up too soon")
        }
        None => Ok(false),
    }
}

/// Waits for the loader's end, and brings it about where it has landed all.
fn outlast(mut process: RdpProcess, victim: &Victim, topic: &Topic, schedule: &Schedule) -> Result<Exit, Wrong> {
    let ends = ends(topic, schedule);
    let (began, mut sign, mut signed) = (Instant::now(), (0, 0), Instant::now());
    let mut asked = false;
    while !process.has_ended() {
        std::thread::sleep(Duration::from_millis(50));
        let now = (victim.grouped.landed_files().len(), process.stderr().len());
        if now != sign {
            (sign, signed) = (now, Instant::now());
        } else if schedule.endless && !asked && signed.elapsed() > Duration::from_millis(400) {
            asked = victim.has_landed_to(&ends);
            if asked {
                process.term();
            }
        }
        if signed.elapsed() > LONGEST_SILENCE {
            return Err(Wrong::Silence(end_by_force(process)));
        }
        if began.elapsed() > BOUND {
            return Err(Wrong::Hang(end_by_force(process)));
        }
    }
    Ok(process.wait(LIMIT))
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
    let failed = !strikes.is_empty() && schedule.of_audit.iter().any(harms);
    let wrong = |why: &str| Err(format!("{why}: {}, {}{}", exit.status, exit.stdout, exit.stderr));
    if victim.grouped.landed_files() != before {
        return wrong("it changed the landing");
    }
    match (exit.code(), failed) {
        (Some(0), false) => Ok(true),
        // What was asked twice may have been read all the same: then it says what an audit without faults says.
        (Some(0), true) if exit.stdout == victim.rdp("audit", &victim.alone).run(LIMIT).stdout => Ok(true),
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
    // Where there is no folder there is no landing, and that is how it is said.
    let says_cause = faults.iter().any(says) || exit.stderr.contains("there is no landing");
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

fn ends(topic: &Topic, schedule: &Schedule) -> Vec<i64> {
    (0..schedule.partitions)
        .map(|partition| topic.readable_offsets(partition).last().map_or(0, |last| last + 1))
        .collect()
}

fn end_by_force(mut process: RdpProcess) -> String {
    process.kill();
    format!("stderr: {}", process.stderr())
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

impl Tally {
    fn add(&mut self, other: Tally) {
        self.tried += other.tried;
        self.struck += other.struck;
        self.errors += other.errors;
        self.hangs += other.hangs;
        self.silences += other.silences;
        self.wrong_ends += other.wrong_ends;
        self.unread += other.unread;
        self.wrong_audits += other.wrong_audits;
        self.count += other.count;
    }

    fn cells(&self) -> impl Iterator<Item = String> {
        let Tally { tried, struck, errors, hangs, silences, wrong_ends, unread, wrong_audits, count } = self;
        let numbers = [tried, struck, errors, hangs, silences, wrong_ends, unread, wrong_audits];
        numbers.map(|number| number.to_string()).into_iter().chain(count.cells())
    }
}

impl DiskReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for (_, tally) in &self.tallies {
            total.calls += tally.struck;
            total.count += tally.count;
        }
        total
    }

    /// Whether nothing was lost, duplicated or altered, nobody hung or was silent, each ended as it may, no audit said what
    /// is not so, and the faults struck.
    pub fn is_clean(&self) -> bool {
        let (tried, struck) =
            self.tallies.iter().fold((0, 0), |(tried, struck), (_, of)| (tried + of.tried, struck + of.struck));
        self.failures.is_empty() && tried > 0 && struck > 0
    }
}

impl std::fmt::Display for DiskReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = ["mode", "tried", "struck", "errors", "hangs", "silences", "wrong ends", "unread", "wrong audits"];
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

/// What takes longer does not end at all.
const BOUND: Duration = Duration::from_secs(60);
/// The longest that a loader may have something to land, not land it, and say nothing.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
const CONFIG: i32 = 10;
const DENIED: i32 = 11;
const UNAVAILABLE: i32 = 12;
