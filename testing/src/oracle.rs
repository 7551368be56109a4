//! The verdict of oracle.py and readers.py: broker and landing compared by code that shares nothing with the engine; and
//! doctor.py, which spoils landings to see whether it is noticed.

use std::path::Path;
use std::process::{Command, Output};

use serde::Deserialize;
use serde_json::Value;

use crate::cache;
use crate::rdp_config::RdpConfig;

/// What the oracle found.
#[derive(Debug, Clone, Deserialize)]
pub struct Verdict {
    /// Records of the log that are in no landed file.
    pub lost: u64,
    /// Records that landed more than once.
    pub duplicated: u64,
    /// Rows that differ from the broker's record, or that no record stands behind; wrong ledgers and types.
    pub altered: u64,
    /// Places where the ranges of a partition do not tile.
    pub untiled: u64,
    /// Rows whose record the broker no longer has: deleted or compacted since.
    pub unverifiable: u64,
    /// Rows whose payload the rules leave to the engine: both landed and quarantined would do.
    pub ambiguous: u64,
    /// Rows that are quarantined, rightly.
    pub quarantined: u64,
    /// Rows that are tombstones.
    pub tombstones: u64,
    /// Records compared.
    pub records: u64,
    /// Partitions compared.
    pub partitions: u64,
    /// Landed files.
    pub files: u64,
    /// The first findings, one line each.
    pub findings: Vec<String>,
}

impl Verdict {
    /// Whether nothing is lost, duplicated, altered or untiled.
    pub fn is_exact(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.altered == 0 && self.untiled == 0
    }

    /// Fails unless nothing is lost, duplicated, altered or untiled.
    #[track_caller]
    pub fn assert_exact(&self) -> &Self {
        assert!(self.is_exact(), "the landing is not what the broker has: {self:#?}");
        self
    }
}

/// What DuckDB, Polars and pyarrow make of the same files.
#[derive(Debug, Clone, Deserialize)]
pub struct Agreement {
    /// Whether row counts, sums and column types are equal in all three.
    pub agree: bool,
    /// Rows.
    pub rows: u64,
    /// Where they differ.
    pub findings: Vec<String>,
}

/// Compares the whole log, to its end, with the landing of this config.
pub fn check(config: &RdpConfig) -> Verdict {
    check_with(config, &[])
}

/// Compares only what has landed so far: for a loader that has not come to the log's end.
pub fn check_landed_so_far(config: &RdpConfig) -> Verdict {
    check_with(config, &["--until", "landed"])
}

/// Compares with more of oracle.py's arguments: see `oracle.py --help`.
pub fn check_with(config: &RdpConfig, arguments: &[&str]) -> Verdict {
    let load = config.load().to_string();
    let landing = config.landing();
    let landing = landing.to_str().expect("our own folder's name is UTF-8");
    let mut all = vec!["--brokers", config.brokers(), "--topic", config.topic(), "--landing", landing, "--load", &load];
    all.extend(arguments);
    run("oracle.py", &all)
}

/// Reads every landed file by DuckDB, Polars and pyarrow.
pub fn readers(landing: &Path) -> Agreement {
    run("readers.py", &[landing.to_str().expect("our own folder's name is UTF-8")])
}

/// What `rdp sql` and DuckDB make of the same questions about the same files.
#[derive(Debug, Clone, Deserialize)]
pub struct Answers {
    /// Questions asked.
    pub queries: u64,
    /// Those that both answer alike.
    pub agree: u64,
    /// Those that `rdp sql` does not run.
    pub refused: u64,
    /// Those whose number did not fit its type in DuckDB, and did in `rdp sql`.
    pub wider: u64,
    /// Where they differ.
    pub findings: Vec<String>,
}

/// Asks this binary and DuckDB generated questions, and DuckDB those that a page has.
pub fn sql_beside_duckdb(rdp: &str, queries: u64, seed: u64, page: &Path) -> Answers {
    let (queries, seed) = (queries.to_string(), seed.to_string());
    let page = page.to_str().expect("our own page's name is UTF-8");
    run("sql_beside_duckdb.py", &[rdp, "--queries", &queries, "--seed", &seed, "--readme", page])
}

/// The bugs that [`doctor`] can make a landing look like.
pub fn bugs() -> Vec<String> {
    doctor_with(&["--list"]).lines().map(str::to_owned).collect()
}

/// Changes a landing as this bug of the engine would have.
pub fn doctor(landing: &Path, bug: &str) {
    doctor_with(&[landing.to_str().expect("our own folder's name is UTF-8"), bug]);
}

fn doctor_with(arguments: &[&str]) -> String {
    let output = start("doctor.py", arguments);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "doctor.py {arguments:?}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn run<T: for<'a> Deserialize<'a>>(script: &str, arguments: &[&str]) -> T {
    let output = start(script, arguments);
    let stdout = String::from_utf8_lossy(&output.stdout);
    // Exit 1 is a verdict too; anything else without one is the script's own failure.
    let verdict = serde_json::from_str::<Value>(&stdout).and_then(serde_json::from_value);
    verdict.unwrap_or_else(|error| {
        panic!(
            "{script} gave no verdict ({}, {error}):\n{stdout}\n{}",
            output.status,
            String::from_utf8_lossy(&output.stderr)
        )
    })
}

fn start(script: &str, arguments: &[&str]) -> Output {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(script);
    let output = Command::new(cache::python()).arg(&path).args(arguments).output();
    output.unwrap_or_else(|error| panic!("start {}: {error}", path.display()))
}
