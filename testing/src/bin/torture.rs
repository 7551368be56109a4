//! `torture`: kills, fails, slows, freezes and rebalances the built `rdp`, and ends with 0 only where nothing was lost,
//! duplicated or altered. `make torture` runs it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rdp_testing::Rdp;
use rdp_testing::disk;
use rdp_testing::torture::Total;
use rdp_testing::torture::disk::Disk;
use rdp_testing::torture::matrix::Matrix;
use rdp_testing::torture::operator::Operators;
use rdp_testing::torture::storm::{Protocol, Storm, StormReport};
use rdp_testing::torture::wire::Wire;
use rdp_testing::torture::zombie::Zombies;
use rdp_testing::wire::Schedule;

const USAGE: &str = "usage: torture [matrix] [storm] [zombies] [operator] [wire] [disk] [--repeats 200] [--minutes 10] [--seed 1]
               [--threads 6] [--schedule '…']
Without a name all six are done. --repeats: strikes per step, a third each kills, errors and delays; twice as many kills at
random moments, a fortieth of it zombies per step, as many sequences of an operator's, five times as many schedules of
wrong answers, and twice as many of failing disks; --schedule: one of either, as it was printed; --minutes: the storm's time per protocol; --threads: landings at
the same time.";

fn main() -> ExitCode {
    let Some(wanted) = Wanted::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let (mut is_clean, mut total) = (true, Total::default());
    for part in PARTS.into_iter().filter(|part| wanted.has(part)) {
        let part = match part {
            "matrix" => matrix(&wanted),
            "zombies" => zombies(&wanted),
            "operator" => operators(&wanted),
            "wire" => wire(&wanted),
            "disk" => disk(&wanted),
            _ => storm(&wanted),
        };
        println!("{}", part.table);
        is_clean &= part.is_clean;
        total += part.total;
    }
    println!("{total}");
    let verdict = if is_clean { "nothing lost, duplicated or altered" } else { "FAILED: see the tables" };
    println!("torture: {verdict}, in {} s, seed {}", began.elapsed().as_secs(), wanted.seed);
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// What a part of the torture came to.
struct Part {
    table: String,
    is_clean: bool,
    total: Total,
}

fn matrix(wanted: &Wanted) -> Part {
    let Wanted { repeats, seed, threads, .. } = *wanted;
    let report = Matrix { binary: Rdp::built_binary(), repeats, random_kills: 2 * repeats, seed, threads }.run();
    Part { table: report.to_string(), is_clean: report.is_clean(), total: report.total() }
}

fn zombies(wanted: &Wanted) -> Part {
    let Wanted { seed, threads, .. } = *wanted;
    let report = Zombies { binary: Rdp::built_binary(), repeats: wanted.repeats.div_ceil(40), seed, threads }.run();
    Part { table: report.to_string(), is_clean: report.is_clean(), total: report.total() }
}

fn operators(wanted: &Wanted) -> Part {
    let Wanted { repeats: sequences, seed, threads, .. } = *wanted;
    let report = Operators { binary: Rdp::built_binary(), seed, sequences, length: 12, threads }.run();
    Part { table: report.to_string(), is_clean: report.is_clean(), total: report.total() }
}

fn wire(wanted: &Wanted) -> Part {
    let Wanted { repeats, seed, .. } = *wanted;
    // They mostly wait.
    let wire = Wire { binary: Rdp::built_binary(), schedules: 5 * repeats, seed, threads: 4 * wanted.threads };
    let report = match &wanted.schedule {
        Some(schedule) => wire.run_these(vec![schedule.clone()]),
        None => wire.run(),
    };
    Part { table: report.to_string(), is_clean: report.is_clean(), total: report.total() }
}

fn disk(wanted: &Wanted) -> Part {
    let Wanted { repeats, seed, threads, .. } = *wanted;
    let disk = Disk { binary: Rdp::built_binary(), schedules: 2 * repeats, seed, threads: 2 * threads };
    let report = match &wanted.disk_schedule {
        Some(schedule) => disk.run_these(vec![schedule.clone()]),
        None => disk.run(),
    };
    Part { table: report.to_string(), is_clean: report.is_clean(), total: report.total() }
}

fn storm(wanted: &Wanted) -> Part {
    let Wanted { storm_time: time, seed, .. } = *wanted;
    let blow = move |protocol| Storm { binary: Rdp::built_binary(), protocol, time, seed }.run();
    // Storms mostly wait for sessions to end: they blow at the same time.
    let reports = std::thread::scope(|scope| {
        let storms = Protocol::ALL.map(|protocol| scope.spawn(move || blow(protocol)));
        storms.map(|storm| storm.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    let mut total = Total::default();
    reports.iter().for_each(|report| total += report.total());
    Part { table: StormReport::table(&reports), is_clean: reports.iter().all(StormReport::is_clean), total }
}

struct Wanted {
    parts: Vec<String>,
    repeats: u64,
    storm_time: Duration,
    seed: u64,
    threads: usize,
    schedule: Option<Schedule>,
    disk_schedule: Option<disk::Schedule>,
}

impl Wanted {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let minutes = |text: &str| text.parse().ok().map(|minutes: f64| Duration::from_secs_f64(60.0 * minutes));
        let storm_time = Duration::from_secs(600);
        let (schedule, disk_schedule) = (None, None);
        let mut wanted =
            Wanted { parts: Vec::new(), repeats: 200, storm_time, seed: 1, threads: 6, schedule, disk_schedule };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                part if PARTS.contains(&part) => wanted.parts.push(argument),
                "--repeats" => wanted.repeats = arguments.next()?.parse().ok()?,
                "--minutes" => wanted.storm_time = minutes(&arguments.next()?)?,
                "--seed" => wanted.seed = arguments.next()?.parse().ok()?,
                "--schedule" => {
                    let text = arguments.next()?;
                    (wanted.schedule, wanted.disk_schedule) = (text.parse().ok(), text.parse().ok());
                    (wanted.schedule.is_some() || wanted.disk_schedule.is_some()).then_some(())?;
                }
                "--threads" => wanted.threads = arguments.next()?.parse().ok()?,
                _ => return None,
            }
        }
        Some(wanted)
    }

    fn has(&self, part: &str) -> bool {
        self.parts.is_empty() || self.parts.iter().any(|wanted| wanted == part)
    }
}

const PARTS: [&str; 6] = ["matrix", "zombies", "operator", "wire", "disk", "storm"];
