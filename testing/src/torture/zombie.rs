//! Zombies: a member is frozen at a step until the group has given it up and another has landed what it held; then it is
//! let go on. It must land nothing, and go on or stop in order.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::oracle_count::Count;
use super::step::{STEPS, Step, Way};
use super::{LIMIT, Sink, Total, Victim, side_by_side, table, wait_until};
use crate::order::orders;
use crate::rdp::RdpProcess;
use crate::server::KafkaServer;
use crate::topic::Topic;

/// Which zombies to raise.
#[derive(Debug, Clone)]
pub struct Zombies {
    /// The binary under test.
    pub binary: PathBuf,
    /// Zombies per step, at visits in turn.
    pub repeats: u64,
    /// Decides about the records.
    pub seed: u64,
    /// Zombies at the same time.
    pub threads: usize,
}

/// What became of them.
#[derive(Debug, Clone)]
pub struct ZombieReport(Vec<Zombie>);

#[derive(Debug, Clone)]
struct Zombie {
    step: &'static str,
    /// Tries, frozen at the step, told Conflict, lost its partitions first, still landing afterwards.
    tries: u64,
    frozen: u64,
    conflicts: u64,
    lost_first: u64,
    went_on: u64,
    /// Files that it brought forth after it was overtaken.
    landed_files: u64,
    failures: Vec<String>,
    count: Count,
}

impl Zombies {
    /// Raises them all.
    ///
    /// What hangs, or does not come to its end however often it is started, is a failure in the report.
    pub fn run(&self) -> ZombieReport {
        ZombieReport(side_by_side(STEPS.to_vec(), self.threads, |step| {
            let mut zombie = Zombie::new(step.name);
            for round in 0..self.repeats {
                let (way, visit) = way_of(&step, round);
                zombie.tries += 1;
                // What hangs is a failure of its own step, and has said why.
                let raise = std::panic::AssertUnwindSafe(|| zombie.raise(&self.binary, self.seed + round, way, visit));
                if std::panic::catch_unwind(raise).is_err() {
                    zombie.failures.push(format!("{}=stop@{visit} by {way:?}: see the panic above", step.name));
                }
            }
            zombie
        }))
    }
}

impl ZombieReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for zombie in &self.0 {
            total.zombies += zombie.frozen;
            total.count += zombie.count;
        }
        total
    }

    /// Whether every zombie was one, landed nothing, and nothing was lost, duplicated or altered.
    pub fn is_clean(&self) -> bool {
        self.0.iter().all(|zombie| {
            zombie.frozen == zombie.tries
                && (zombie.step == BEFORE_JOINING || zombie.conflicts + zombie.lost_first >= zombie.tries)
                && zombie.landed_files == 0
                && zombie.failures.is_empty()
                && zombie.count.is_exact()
        })
    }
}

impl std::fmt::Display for ZombieReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let own = ["frozen at", "tries", "frozen", "said Conflict", "lost first", "went on", "files", "failures"];
        let header = [own.as_slice(), &Count::HEADER].concat();
        let row = |zombie: &Zombie| {
            let Zombie { tries, frozen, conflicts, lost_first, went_on, landed_files, .. } = zombie;
            let numbers =
                [*tries, *frozen, *conflicts, *lost_first, *went_on, *landed_files, zombie.failures.len() as u64];
            let mut row = vec![zombie.step.to_owned()];
            row.extend(numbers.map(|number| number.to_string()));
            row.extend(zombie.count.cells());
            row
        };
        out.write_str(&table::text(&header, 1, &self.0.iter().map(row).collect::<Vec<_>>()))?;
        self.0.iter().flat_map(|zombie| &zombie.failures).try_for_each(|failure| writeln!(out, "{failure}"))
    }
}

impl Zombie {
    fn new(step: &'static str) -> Self {
        Zombie {
            step,
            tries: 0,
            frozen: 0,
            conflicts: 0,
            lost_first: 0,
            went_on: 0,
            landed_files: 0,
            failures: Vec::new(),
            count: Count::default(),
        }
    }

    fn raise(&mut self, binary: &Path, seed: u64, way: Way, visit: u64) {
        let topic = KafkaServer::shared().create_topic("zombie", 3);
        topic.produce(orders(seed, 400));
        let [sink] = Sink::ALL;
        let victim = Victim::new(binary, sink, &topic, Duration::from_secs(3));
        let failpoint = way.failpoint(self.step, "stop", visit);
        let mut process = victim.rdp("run", &victim.grouped).failpoint(&failpoint).spawn();
        let others = bring_to_stop(&victim, way, &mut process);
        if !process.is_stopped() {
            self.failures.push(format!("{failpoint} by {way:?} was never passed:\n{}", process.stderr()));
            return;
        }
        self.frozen += 1;
        end_in_order(others, self);

        // The successor ends only when everything has landed, so it has waited out the zombie's session.
        topic.produce(orders(seed + 1, 200));
        let successor = victim.rdp("load", &victim.grouped).run(LIMIT);
        if successor.code() != Some(0) {
            self.failures.push(format!("the successor ended with {}: {}", successor.status, successor.stderr));
        }
        let landed = victim.grouped.landed_files();
        let said_before = process.stderr().len();
        process.cont();
        let said = |process: &RdpProcess| process.stderr().get(said_before..).unwrap_or_default().to_owned();
        wait_until(Duration::from_secs(30), || notices(&said(&process)) || process.has_ended());
        // Whatever it still held has had the time to show.
        std::thread::sleep(Duration::from_millis(700));
        let words = said(&process);
        self.conflicts += u64::from(is_conflict(&words));
        self.lost_first += u64::from(!is_conflict(&words) && notices(&words));
        let now = victim.grouped.landed_files();
        self.landed_files += now.iter().filter(|file| !landed.contains(file)).count() as u64;
        if landed.iter().any(|file| !now.contains(file)) {
            self.failures.push("a landed file is gone".to_owned());
        }
        self.go_on(&victim, &topic, process, seed);
        victim.restart_until_done();
        self.count += victim.judge();
    }

    /// What comes after the zombie's awakening lands as usual, by it or by the next.
    fn go_on(&mut self, victim: &Victim, topic: &Topic, mut process: RdpProcess, seed: u64) {
        let before = victim.grouped.landed_files().len();
        topic.produce(orders(seed + 2, 100));
        let went_on = !process.has_ended() && {
            wait_until(Duration::from_secs(20), || victim.grouped.landed_files().len() > before || process.has_ended());
            victim.grouped.landed_files().len() > before
        };
        self.went_on += u64::from(went_on);
        process.term();
        let exit = process.wait(LIMIT);
        if !went_on && !matches!(exit.code(), Some(0 | CONFLICT)) || went_on && exit.code() != Some(0) {
            self.failures.push(format!("the zombie ended with {}: {}", exit.status, exit.stderr));
        }
    }
}

fn bring_to_stop(victim: &Victim, way: Way, process: &mut RdpProcess) -> Vec<RdpProcess> {
    match way {
        Way::Load | Way::Retry(_) => {
            wait_until(Duration::from_secs(20), || process.is_stopped());
            Vec::new()
        }
        Way::Shutdown => {
            victim.wait_for_files_beyond(0, process);
            process.term();
            wait_until(Duration::from_secs(20), || process.is_stopped());
            Vec::new()
        }
        Way::Rebalance => {
            victim.wait_for_files_beyond(0, process);
            victim.rebalance_until(|| process.is_stopped())
        }
    }
}

fn end_in_order(others: Vec<RdpProcess>, zombie: &mut Zombie) {
    for mut other in others {
        other.term();
        let exit = other.wait(LIMIT);
        if exit.code() != Some(0) {
            zombie.failures.push(format!("another member ended with {}: {}", exit.status, exit.stderr));
        }
    }
}

/// The zombie learns that it was overtaken by the sink's fence, or before that from its group.
fn notices(words: &str) -> bool {
    is_conflict(words) || words.contains("partitions revoked")
}

fn is_conflict(words: &str) -> bool {
    words.contains("Conflict") || words.contains("overtaken")
}

fn way_of(step: &Step, round: u64) -> (Way, u64) {
    // Positions are read once before the group is joined: who is frozen there holds nothing yet.
    let is_member = |(way, visit): &&(Way, u64)| step.name != "positions_read" || *way != Way::Load || *visit > 1;
    let visits: Vec<_> = step.visits.iter().filter(is_member).collect();
    *visits[(round % visits.len() as u64) as usize]
}

/// The exit code of a loader that was overtaken.
const CONFLICT: i32 = 15;

/// Where a member stands that has told the sink where reading begins, and not asked the group for anything: it has nothing
/// that it could lose.
const BEFORE_JOINING: &str = "origin_claimed";
