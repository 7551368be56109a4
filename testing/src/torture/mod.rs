//! Torture: the loader is killed, failed, slowed, frozen and thrown about its group, and the oracle says what became of
//! the records.
//!
//! [`matrix`] strikes at every named step in every way, [`storm`] makes members join, leave, die and freeze, [`zombie`]
//! freezes a member until another has taken over, [`operator`] does what operators do between two runs, [`wire`] has
//! brokers answer what is wrong, [`disk`] has calls on the landing's files fail. All are seeded; `make test` runs them short
//! and `make torture` long.

pub mod disk;
pub mod matrix;
pub mod operator;
mod oracle_count;
mod step;
pub mod storm;
mod table;
mod total;
mod trial;
pub mod wire;
pub mod zombie;

pub use oracle_count::Count;
pub use step::{STEPS, Step, Way};
pub use total::Total;

use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::oracle;
use crate::rdp::{Rdp, RdpProcess};
use crate::rdp_config::RdpConfig;
use crate::topic::Topic;

/// Where a landing is kept. A new sink joins the torture by being listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sink {
    /// Parquet files in a local folder.
    Parquet,
}

impl Sink {
    /// Every sink there is.
    pub const ALL: [Sink; 1] = [Sink::Parquet];

    fn name(self) -> &'static str {
        match self {
            Sink::Parquet => "parquet",
        }
    }

    fn config(self, topic: &Topic) -> RdpConfig {
        match self {
            Sink::Parquet => RdpConfig::orders(topic),
        }
    }
}

/// One landing, and how the binary under test is started on it.
struct Victim {
    binary: PathBuf,
    /// With a consumer group that soon forgets a member that is gone.
    grouped: RdpConfig,
    /// The same landing, and no group.
    alone: RdpConfig,
}

impl Victim {
    fn new(binary: &Path, sink: Sink, topic: &Topic, session_timeout: Duration) -> Self {
        let grouped = sink
            .config(topic)
            .window(60, "300ms")
            .librdkafka("session.timeout.ms", session_timeout.as_millis().to_string())
            .librdkafka("heartbeat.interval.ms", "500");
        let alone = sink.config(topic).window(60, "300ms").without_group().landing_of(&grouped);
        Victim { binary: binary.to_owned(), grouped, alone }
    }

    fn rdp(&self, command: &str, config: &RdpConfig) -> Rdp {
        Rdp::at(&self.binary, command).env("RDP_LOG", "rdp_elt=info,rdp_elt::loader=debug,warn").arg(config.path())
    }

    /// Starts it again until it has come to the log's end; returns how often that was.
    fn restart_until_done(&self) -> u64 {
        for restarts in 1..=MAX_RESTARTS {
            let exit = self.rdp("load", &self.alone).run(LIMIT);
            if exit.code() == Some(0) {
                return restarts;
            }
            assert!(
                restarts < MAX_RESTARTS,
                "after {restarts} starts it still ends with {}:\n{}",
                exit.status,
                exit.stderr
            );
        }
        unreachable!("the loop returns or panics")
    }

    /// What the oracle and `rdp audit` say of everything landed so far.
    fn judge(&self) -> Count {
        let verdict = oracle::check(&self.grouped);
        let audit = self.rdp("audit", &self.alone).run(LIMIT);
        if !verdict.is_exact() || audit.code() != Some(0) {
            eprintln!("{verdict:#?}\n{}\n{}", audit.stdout, audit.stderr);
        }
        Count::of(&verdict, audit.code() == Some(0))
    }

    /// Lets other members join the group one after the other until `is_enough`; returns those that joined.
    fn rebalance_until(&self, mut is_enough: impl FnMut() -> bool) -> Vec<RdpProcess> {
        let mut others = Vec::new();
        while !is_enough() && others.len() < MOST_MEMBERS {
            others.push(self.rdp("run", &self.grouped).spawn());
            wait_until(Duration::from_secs(6), &mut is_enough);
        }
        others
    }

    /// Whether each partition has landed up to here, as `rdp positions` says.
    fn has_landed_to(&self, ends: &[i64]) -> bool {
        let exit = self.rdp("positions", &self.alone).args(["--output", "json"]).run(LIMIT);
        let rows: Vec<Value> = serde_json::from_str(&exit.stdout).unwrap_or_default();
        let landed = |partition: usize| {
            let row = rows.iter().find(|row| row["partition"] == partition);
            row.and_then(|row| row["landed"].as_i64()).unwrap_or_default()
        };
        ends.iter().enumerate().all(|(partition, end)| landed(partition) >= *end)
    }

    /// Waits until it has landed files beyond so many.
    fn wait_for_files_beyond(&self, count: usize, process: &mut RdpProcess) -> bool {
        wait_until(LIMIT, || self.grouped.landed_files().len() > count || process.has_ended());
        self.grouped.landed_files().len() > count
    }
}

/// Where a reader of committed records sees each partition end.
fn readable_ends(topic: &Topic, partitions: i32) -> Vec<i64> {
    (0..partitions).map(|at| topic.readable_offsets(at).last().map_or(0, |last| last + 1)).collect()
}

/// Polls until the condition holds or the time is over; says which.
fn wait_until(limit: Duration, mut holds: impl FnMut() -> bool) -> bool {
    let deadline = Instant::now() + limit;
    while !holds() {
        if Instant::now() > deadline {
            return false;
        }
        std::thread::sleep(Duration::from_millis(15));
    }
    true
}

/// Does the same to each, so many at a time, in the order given; a panic in one of them is the caller's.
fn side_by_side<T: Send, R: Send>(each: Vec<T>, threads: usize, act: impl Fn(T) -> R + Sync) -> Vec<R> {
    let waiting = Mutex::new(each.into_iter().enumerate());
    let done = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..threads.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).next();
                    let Some((place, one)) = next else { break };
                    let result = act(one);
                    done.lock().unwrap_or_else(PoisonError::into_inner).push((place, result));
                }
            });
        }
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// Longer than anything takes on a busy machine: what hangs fails.
const LIMIT: Duration = Duration::from_secs(120);
/// How often a loader may be started again before that is a failure.
const MAX_RESTARTS: u64 = 5;
const MOST_MEMBERS: usize = 6;
