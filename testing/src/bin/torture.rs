//! `torture`: kills, fails, slows, freezes and rebalances the built `rdp`, and ends with 0 only where nothing was lost,
//! duplicated or altered. `make torture` runs it.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use rdp_testing::Rdp;
use rdp_testing::torture::matrix::Matrix;
use rdp_testing::torture::storm::{Protocol, Storm, StormReport};
use rdp_testing::torture::zombie::Zombies;

const USAGE: &str = "usage: torture [matrix] [storm] [zombies] [--repeats 200] [--minutes 10] [--seed 1] [--threads 4]
Without a name all three are done. --repeats: strikes per step and action, a twentieth of it zombies per step;
--minutes: the storm's time per protocol; --threads: landings at the same time.";

fn main() -> ExitCode {
    let Some(wanted) = Wanted::parse(std::env::args().skip(1)) else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    let began = Instant::now();
    let mut is_clean = true;
    if wanted.has("matrix") {
        let matrix = Matrix {
            binary: Rdp::built_binary(),
            repeats: wanted.repeats,
            random_kills: 5 * wanted.repeats,
            seed: wanted.seed,
            threads: wanted.threads,
        };
        let report = matrix.run();
        println!("{report}");
        is_clean &= report.is_clean();
    }
    if wanted.has("zombies") {
        let zombies = Zombies {
            binary: Rdp::built_binary(),
            repeats: wanted.repeats.div_ceil(20),
            seed: wanted.seed,
            threads: wanted.threads,
        };
        let report = zombies.run();
        println!("{report}");
        is_clean &= report.is_clean();
    }
    if wanted.has("storm") {
        let storm = |protocol| {
            Storm { binary: Rdp::built_binary(), protocol, time: wanted.storm_time, seed: wanted.seed }.run()
        };
        let reports = Protocol::ALL.map(storm);
        println!("{}", StormReport::table(&reports));
        is_clean &= reports.iter().all(StormReport::is_clean);
    }
    let verdict = if is_clean { "nothing lost, duplicated or altered" } else { "FAILED: see the tables" };
    println!("torture: {verdict}, in {} s, seed {}", began.elapsed().as_secs(), wanted.seed);
    if is_clean { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

struct Wanted {
    parts: Vec<String>,
    repeats: u64,
    storm_time: Duration,
    seed: u64,
    threads: usize,
}

impl Wanted {
    fn parse(mut arguments: impl Iterator<Item = String>) -> Option<Self> {
        let minutes = |text: &str| text.parse().ok().map(|minutes: f64| Duration::from_secs_f64(60.0 * minutes));
        let mut wanted =
            Wanted { parts: Vec::new(), repeats: 200, storm_time: Duration::from_secs(600), seed: 1, threads: 4 };
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "matrix" | "storm" | "zombies" => wanted.parts.push(argument),
                "--repeats" => wanted.repeats = arguments.next()?.parse().ok()?,
                "--minutes" => wanted.storm_time = minutes(&arguments.next()?)?,
                "--seed" => wanted.seed = arguments.next()?.parse().ok()?,
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
