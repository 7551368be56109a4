//! What is measured: the stages of `rdp bench`, `rdp load`, a loader written by hand, and decoders alone.

use std::path::{Path, PathBuf};
use std::process::Command;

use rdp_testing::{RdpConfig, RunFolder, Topic, purchases_schema};

use crate::measure::{Measure, run};
use crate::processors::keep_on_one;

/// CPU-seconds per million payloads of the decoders alone, on one thread.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decoders {
    pub(crate) record_loader: f64,
    pub(crate) arrow_json: f64,
}

/// `rdp bench --stage consume` or `load`: reads all of a topic and lands nothing.
pub(crate) fn rehearse(topic: &Topic, stage: &str, record_count: u64) -> Measure {
    let config = RdpConfig::json(topic, purchases_schema());
    let mut command = Command::new(built("rdp"));
    command.arg("bench").arg(config.path()).args(["--stage", stage, "--quiet", "--output", "json"]);
    let (measure, told) = run(command);
    checked(measure, told[0]["record_count"].as_u64(), record_count, stage)
}

/// How one `rdp load` differs from its defaults.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Setup {
    /// So many lanes, without a group: its members would wait for each other at the start, and not always as long. `None`
    /// is one lane in a group.
    pub(crate) lanes: Option<usize>,
    /// Whether it has only one of the processors.
    pub(crate) on_one_processor: bool,
    /// When windows close instead, however many records they have.
    pub(crate) max_wait: Option<&'static str>,
}

/// `rdp load` into a fresh folder.
pub(crate) fn land(topic: &Topic, setup: Setup, record_count: u64) -> Measure {
    // A group of its own: nobody who has just left is waited for.
    let group = format!("bench-{:016x}", fastrand::u64(..));
    let config = RdpConfig::json(topic, purchases_schema());
    let mut config = match setup.lanes {
        None => config.set("/source/group_id", group),
        Some(lanes) => config.without_group().set("/loader/lanes", lanes),
    };
    if let Some(max_wait) = setup.max_wait {
        config = config.window(MANY_RECORDS, max_wait).set("/window/max_bytes", "1TiB");
    }
    let mut command = Command::new(built("rdp"));
    command.arg("load").arg(config.path()).args(["--quiet", "--output", "json"]);
    if setup.on_one_processor {
        keep_on_one(&mut command);
    }
    let (measure, told) = run(command);
    assert_eq!(told["quarantined_count"], 0, "every payload fits");
    checked(measure, told["record_count"].as_u64(), record_count, "rdp load")
}

/// The hand-written loader into a fresh folder.
pub(crate) fn land_by_hand(topic: &Topic, record_count: u64) -> Measure {
    let folder = RunFolder::create("handwritten");
    let mut command = Command::new(rdp_testing::python());
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("bench/handwritten.py"));
    command.args(["--brokers", topic.brokers(), "--topic", topic.name(), "--landing"]).arg(folder.path());
    let (measure, told) = run(command);
    checked(measure, told["record_count"].as_u64(), record_count, "the hand-written loader")
}

/// The decoders alone, on the first payloads of the same seed.
pub(crate) fn decode(record_count: u64, seed: u64) -> Decoders {
    let mut command = Command::new(built("examples/bench_load"));
    command.args([record_count.min(MOST_DECODED).to_string(), seed.to_string(), "json".to_owned()]);
    let (_, told) = run(command);
    let number = |name: &str| told[name].as_f64().unwrap_or_else(|| panic!("bench_load told no {name}: {told}"));
    Decoders { record_loader: number("record_loader"), arrow_json: number("arrow_json") }
}

fn checked(measure: Measure, found: Option<u64>, expected: u64, name: &str) -> Measure {
    assert_eq!(found, Some(expected), "records that {name} tells of");
    Measure { record_count: expected, ..measure }
}

/// A binary that was built together with this one.
fn built(name: &str) -> PathBuf {
    let own = std::env::current_exe().expect("a process knows its binary");
    let binary = own.parent().map(|folder| folder.join(name)).filter(|binary| binary.is_file());
    binary.unwrap_or_else(|| panic!("no {name} beside {}: run `make bench`", own.display()))
}

/// More than any topic here has.
const MANY_RECORDS: usize = 1_000_000_000;

/// The decoders hold all payloads in memory.
const MOST_DECODED: u64 = 1_000_000;
