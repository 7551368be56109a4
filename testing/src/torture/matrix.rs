//! Every step × every sink × kill, error and delay, at the first visit and at later ones; and kills at random moments.
//!
//! One cell is one topic and one landing that grows: each round produces more, strikes once, starts the loader again
//! until it ends with 0, and so goes on from what the round before left. The oracle compares the whole landing at the end
//! of the cell, or after `ROUNDS_PER_LANDING` rounds: nothing that a round did can have gone by then, since a landing
//! only grows.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::oracle_count::Count;
use super::step::{STEPS, Step, Way};
use super::{LIMIT, Sink, Total, Victim, side_by_side, table};
use crate::order::orders;
use crate::rdp::{Exit, RdpProcess};
use crate::server::KafkaServer;
use crate::topic::Topic;

/// What is tried how often.
#[derive(Debug, Clone)]
pub struct Matrix {
    /// The binary under test.
    pub binary: PathBuf,
    /// Strikes at each step: a third kills, a third fails, a third delays.
    pub repeats: u64,
    /// Kills at random moments, per sink.
    pub random_kills: u64,
    /// Decides about everything random.
    pub seed: u64,
    /// Cells tried at the same time.
    pub threads: usize,
}

/// What one cell came to.
#[derive(Debug, Clone)]
pub struct Cell {
    sink: Sink,
    step: &'static str,
    action: Action,
    tries: u64,
    struck: u64,
    restarts: u64,
    count: Count,
}

/// What all of it came to.
#[derive(Debug, Clone)]
pub struct MatrixReport(Vec<Cell>);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Kill,
    Error,
    Delay,
}

impl Matrix {
    /// Tries it all.
    ///
    /// What hangs, or does not come to its end however often it is started, counts as a strike that did not strike.
    pub fn run(&self) -> MatrixReport {
        let mut cells = Vec::new();
        for sink in Sink::ALL {
            // The long ones first, so that no thread is left with one at the end.
            cells.push((sink, None, Action::Kill));
            for step in STEPS.iter().rev() {
                cells.extend(ACTIONS.map(|action| (sink, Some(*step), action)));
            }
        }
        MatrixReport(side_by_side(cells, self.threads, |(sink, step, action)| {
            // What hangs or never ends well fails its own cell, and has said why.
            let tried = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| match step {
                Some(step) => self.cell(sink, step, action),
                None => self.random(sink),
            }));
            tried.unwrap_or_else(|_| Cell {
                tries: self.rounds(),
                ..Cell::new(sink, step.map_or(ANY_MOMENT, |step| step.name), action)
            })
        }))
    }

    fn cell(&self, sink: Sink, step: Step, action: Action) -> Cell {
        let mut cell = Cell::new(sink, step.name, action);
        let per_landing = if step.needs_new_landing() { 1 } else { ROUNDS_PER_LANDING };
        for rounds in pieces(self.rounds(), per_landing) {
            let field = Field::new(&self.binary, sink, self.seed);
            for round in rounds {
                let (way, visit) = step.visits[(round % step.visits.len() as u64) as usize];
                field.produce(round);
                cell.tries += 1;
                let exit = field.strike(step.name, action, way, visit, round % 4 == 3);
                let struck = match action {
                    Action::Kill => exit.was_killed(),
                    // An error while it ends is an end with an error: there is nobody to try again.
                    Action::Error => exit.code() == Some(0) || exit.code() == Some(UNAVAILABLE),
                    Action::Delay => exit.code() == Some(0),
                };
                match struck && has_struck(&exit.stderr, step.name) {
                    true => cell.struck += 1,
                    false => eprintln!("{}={action:?}@{visit} by {way:?}: {}\n{}", step.name, exit.status, exit.stderr),
                }
                cell.restarts += field.victim.restart_until_done();
            }
            cell.count += field.victim.judge();
        }
        cell
    }

    /// Rounds of each cell.
    fn rounds(&self) -> u64 {
        self.repeats.div_ceil(ACTIONS.len() as u64)
    }

    fn random(&self, sink: Sink) -> Cell {
        let mut cell = Cell::new(sink, ANY_MOMENT, Action::Kill);
        let mut random = fastrand::Rng::with_seed(self.seed);
        for rounds in pieces(self.random_kills, ROUNDS_PER_LANDING) {
            let field = Field::new(&self.binary, sink, self.seed ^ 0x5eed);
            for round in rounds {
                field.produce(round);
                cell.tries += 1;
                cell.struck += u64::from(field.kill_at_random(&mut random, round % 4 == 3));
                cell.restarts += field.victim.restart_until_done();
            }
            cell.count += field.victim.judge();
        }
        cell
    }
}

impl Cell {
    fn new(sink: Sink, step: &'static str, action: Action) -> Self {
        Cell { sink, step, action, tries: 0, struck: 0, restarts: 0, count: Count::default() }
    }
}

impl MatrixReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for cell in &self.0 {
            total.strikes += cell.struck;
            total.kills += if cell.action == Action::Kill { cell.struck } else { 0 };
            total.count += cell.count;
        }
        total
    }

    /// Whether every strike really struck, and nothing was lost, duplicated or altered.
    pub fn is_clean(&self) -> bool {
        self.0.iter().all(|cell| cell.struck == cell.tries && cell.tries > 0 && cell.count.is_exact())
    }
}

impl std::fmt::Display for MatrixReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let header = [["sink", "step", "action", "tries", "struck", "restarts"].as_slice(), &Count::HEADER].concat();
        let row = |sink: &str, step: &str, action: &str, numbers: [u64; 3], count: Count| {
            let mut row = vec![sink.to_owned(), step.to_owned(), action.to_owned()];
            row.extend(numbers.map(|number| number.to_string()));
            row.extend(count.cells());
            row
        };
        let (mut numbers, mut sum) = ([0; 3], Count::default());
        let mut rows = Vec::new();
        let order = |cell: &&Cell| STEPS.iter().position(|step| step.name == cell.step);
        let mut cells: Vec<&Cell> = self.0.iter().collect();
        cells.sort_by_key(order);
        for cell in cells {
            let of_cell = [cell.tries, cell.struck, cell.restarts];
            numbers.iter_mut().zip(of_cell).for_each(|(all, one)| *all += one);
            sum += cell.count;
            let action = format!("{:?}", cell.action).to_lowercase();
            rows.push(row(cell.sink.name(), cell.step, &action, of_cell, cell.count));
        }
        rows.push(row("all", "", "", numbers, sum));
        out.write_str(&table::text(&header, 3, &rows))
    }
}

/// One topic with its landing.
struct Field {
    topic: Topic,
    victim: Victim,
    seed: u64,
}

impl Field {
    fn new(binary: &Path, sink: Sink, seed: u64) -> Self {
        let topic = KafkaServer::shared().create_topic("torture", 3);
        let victim = Victim::new(binary, sink, &topic, Duration::from_secs(3));
        // Every join then takes every partition away from everybody.
        let Victim { binary, grouped, alone } = victim;
        let grouped = grouped.librdkafka("partition.assignment.strategy", "range");
        Field { topic, victim: Victim { binary, grouped, alone }, seed }
    }

    fn produce(&self, round: u64) {
        let seed = self.seed.wrapping_mul(10_000).wrapping_add(round);
        self.topic.produce(orders(seed, 270));
        if round % 5 == 1 {
            self.topic.transaction(orders(seed + 1, 40)).commit();
            self.topic.transaction(orders(seed + 2, 40)).abort();
        }
    }

    /// Brings a process to the step, and waits for its end.
    fn strike(&self, step: &str, action: Action, way: Way, visit: u64, in_group: bool) -> Exit {
        let action = match action {
            Action::Kill => "kill",
            Action::Error => "error",
            Action::Delay => "delay:300",
        };
        let failpoint = way.failpoint(step, action, visit);
        let config = if in_group { &self.victim.grouped } else { &self.victim.alone };
        let before = self.victim.grouped.landed_files().len();
        let run = || self.victim.rdp("run", &self.victim.grouped).failpoint(&failpoint).spawn();
        match way {
            Way::Load | Way::Retry(_) => self.victim.rdp("load", config).failpoint(&failpoint).run(LIMIT),
            Way::Shutdown => {
                let mut process = run();
                self.victim.wait_for_files_beyond(before, &mut process);
                process.term();
                process.wait(LIMIT)
            }
            Way::Rebalance => {
                let mut process = run();
                self.victim.wait_for_files_beyond(before, &mut process);
                let mut others =
                    self.victim.rebalance_until(|| process.has_ended() || has_struck(&process.stderr(), step));
                process.term();
                others.iter_mut().for_each(RdpProcess::term);
                for other in others {
                    other.wait(LIMIT).assert_success();
                }
                process.wait(LIMIT)
            }
        }
    }

    /// Kills a loader at some moment; one that had ended already is started anew and killed sooner.
    fn kill_at_random(&self, random: &mut fastrand::Rng, in_group: bool) -> bool {
        let config = if in_group { &self.victim.grouped } else { &self.victim.alone };
        let mut latest = 600;
        while latest > 10 {
            let mut process = self.victim.rdp("load", config).spawn();
            std::thread::sleep(Duration::from_millis(random.u64(5..latest)));
            let was_alive = !process.has_ended();
            process.kill();
            if was_alive {
                return true;
            }
            latest /= 2;
        }
        false
    }
}

/// So many rounds, in pieces that share a landing.
fn pieces(rounds: u64, per_landing: u64) -> impl Iterator<Item = std::ops::Range<u64>> {
    let starts = (0..rounds).step_by(usize::try_from(per_landing).unwrap_or(usize::MAX));
    starts.map(move |start| start..rounds.min(start + per_landing))
}

/// Whether the engine logged that the failpoint struck at this step.
fn has_struck(log: &str, step: &str) -> bool {
    let of_step = format!("step=\"{step}\"");
    log.lines().any(|line| line.contains("failpoint strikes") && line.contains(&of_step))
}

const ACTIONS: [Action; 3] = [Action::Kill, Action::Error, Action::Delay];
const ROUNDS_PER_LANDING: u64 = 25;
const ANY_MOMENT: &str = "(any moment)";
/// The exit code of an error that passes by itself.
const UNAVAILABLE: i32 = 12;
