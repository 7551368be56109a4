//! The strikes: at each step that a load passes, in turns and at seeded visits, and at random moments.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use rdp_elt::torture::TortureTopic;
use rdp_elt::{Error, Shutdown, failpoint};
use serde::Serialize;

use super::INTERRUPTED;
use super::loader::{End, Fate, Loader};
use super::plan::Plan;
use super::scratch::Scratch;
use crate::exit::Failure;

/// How often was aimed where, and how often that struck.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Strikes {
    pub(super) by_step: Vec<ByStep>,
    /// Loaders that were started.
    pub(super) starts: u64,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct ByStep {
    pub(super) step: &'static str,
    pub(super) tried: u64,
    pub(super) struck: u64,
}

impl Strikes {
    fn new() -> Self {
        let row = |step| ByStep { step, tried: 0, struck: 0 };
        Strikes { by_step: steps().chain([ANY_MOMENT]).map(row).collect(), starts: 0 }
    }

    pub(super) fn tried(&self) -> u64 {
        self.by_step.iter().map(|row| row.tried).sum()
    }

    pub(super) fn struck(&self) -> u64 {
        self.by_step.iter().map(|row| row.struck).sum()
    }

    fn count(&mut self, step: &str, end: End) {
        if let Some(row) = self.by_step.iter_mut().find(|row| row.step == step) {
            row.tried += 1;
            row.struck += u64::from(end == End::Struck);
        }
    }
}

/// Kills loaders until the plan is fulfilled, or so many have come to their own end that it never will be.
pub(super) fn strike(
    plan: &Plan,
    scratch: &mut Scratch,
    shutdown: &Shutdown,
    told: &dyn Fn(u64),
) -> Result<Strikes, Failure> {
    let mut aim = Aim::new(plan);
    let mut strikes = Strikes::new();
    let mut left = plan.record_count - plan.produced_before();
    while strikes.struck() < plan.kills && strikes.tried() < plan.kills * MOST_TRIES {
        let shot = aim.next();
        let more = plan.produced_beside().min(left);
        left -= more;
        let Scratch { topic, loader, .. } = scratch;
        let end = run_beside(topic, more, loader, &shot.fate, shutdown)?;
        strikes.starts += 1;
        strikes.count(shot.step, end);
        aim.learn(&shot, end);
        told(strikes.struck());
    }
    produce(&mut scratch.topic, left, shutdown)?;
    // What the killed ones left behind is landed by one that nobody disturbs.
    strikes.starts += 1;
    match scratch.loader.run(&Fate::default(), shutdown)? {
        End::Reached => Ok(strikes),
        End::Struck => Err(Error::internal("the last loader was killed, and not by us").into()),
    }
}

/// Produces so many records, in pieces, so that a request to end is heard.
pub(super) fn produce(topic: &mut TortureTopic, mut count: u64, shutdown: &Shutdown) -> Result<(), Failure> {
    while count > 0 {
        if shutdown.is_requested() {
            return Err(INTERRUPTED);
        }
        let piece = count.min(PIECE);
        topic.produce(piece, shutdown)?;
        count -= piece;
    }
    Ok(())
}

/// Runs a loader while more records come.
fn run_beside(
    topic: &mut TortureTopic,
    more: u64,
    loader: &Loader,
    fate: &Fate,
    shutdown: &Shutdown,
) -> Result<End, Failure> {
    std::thread::scope(|scope| {
        let producing = scope.spawn(|| produce(topic, more, shutdown));
        let end = loader.run(fate, shutdown);
        let produced =
            producing.join().unwrap_or_else(|_| Err(Error::internal("the producing thread panicked").into()));
        produced.and(end)
    })
}

/// One kill that is tried.
struct Shot {
    step: &'static str,
    /// Only once more, and then at the first visit.
    is_second_try: bool,
    fate: Fate,
}

/// Decides what is struck next.
struct Aim {
    random: Rng,
    /// Files that a window may have.
    files: u64,
    waiting: VecDeque<(&'static str, bool)>,
    has_begun: bool,
    /// A kill at a random moment comes within so many milliseconds: about as long as a loader lives.
    latest: u64,
}

impl Aim {
    fn new(plan: &Plan) -> Self {
        let partitions = u64::from(plan.partition_count.unsigned_abs());
        Aim {
            random: Rng::with_seed(plan.seed),
            files: partitions.min(plan.window_records()),
            waiting: VecDeque::new(),
            has_begun: false,
            latest: 300,
        }
    }

    fn next(&mut self) -> Shot {
        if self.waiting.is_empty() {
            let steps = steps().filter(|step| *step != FIRST_WINDOWS_ALONE);
            let mut round: Vec<_> = steps.chain([ANY_MOMENT; RANDOM_PER_ROUND]).collect();
            self.random.shuffle(&mut round);
            let first = (!std::mem::replace(&mut self.has_begun, true)).then_some(FIRST_WINDOWS_ALONE);
            self.waiting.extend(first.into_iter().chain(round).map(|step| (step, false)));
        }
        let (step, is_second_try) = self.waiting.pop_front().unwrap_or((ANY_MOMENT, true));
        let latest = if is_second_try { 1 } else { latest_visit(step, self.files).unwrap_or(1) };
        let failpoint = format!("{step}=kill@{}", self.random.u64(1..=latest));
        let failures = failures_before(step);
        let failure = if is_second_try { failures.first() } else { self.random.choice(failures) };
        let millis = |random: &mut Rng, latest| Some(Duration::from_millis(random.u64(0..latest)));
        let fate = match step {
            ANY_MOMENT => Fate { kill_after: millis(&mut self.random, self.latest), ..Fate::default() },
            // Slowed down, lest it end before it is asked to.
            "shutdown_begun" => Fate {
                failpoint: Some(format!("slice_appended=delay:20;{failpoint}")),
                ask_after: millis(&mut self.random, 150),
                ..Fate::default()
            },
            _ => {
                let before = failure.map(|failure| format!("{failure};")).unwrap_or_default();
                Fate { failpoint: Some(before + &failpoint), ..Fate::default() }
            }
        };
        Shot { step, is_second_try, fate }
    }

    fn learn(&mut self, shot: &Shot, end: End) {
        match (shot.step, end) {
            (ANY_MOMENT, End::Struck) => self.latest = (self.latest * 9 / 8).min(10_000),
            (ANY_MOMENT, End::Reached) => self.latest = (self.latest / 2).max(20),
            (_, End::Struck) => {}
            (step, End::Reached) if !shot.is_second_try => self.waiting.push_front((step, true)),
            (_, End::Reached) => {}
        }
    }
}

/// The steps that a load of a consumer without a group passes.
fn steps() -> impl Iterator<Item = &'static str> {
    failpoint::STEPS.into_iter().filter(|step| latest_visit(step, 1).is_some())
}

/// The last visit of a step that is sure to come where two windows are to land; `None` for one that does not come.
fn latest_visit(step: &str, files: u64) -> Option<u64> {
    match step {
        // Only a group takes partitions away.
        "revoked" => None,
        "assigned" | "shutdown_begun" | FIRST_WINDOWS_ALONE | "outcome_unclear" | "rewound" => Some(1),
        "file_written" | "file_visible" => Some(2 * files),
        _ => Some(2),
    }
}

/// Commits that fail, for the steps that only trouble brings about: before they have any effect, after a part of it (which
/// is all of it in a window of one file), and after all of it.
fn failures_before(step: &str) -> &'static [&'static str] {
    match step {
        "outcome_unclear" => &["commit_begun=error", "file_visible=error", "names_durable=error"],
        "rewound" => &["commit_begun=error", "file_visible=error"],
        _ => &[],
    }
}

/// The step that a landing passes when it begins, and never again.
const FIRST_WINDOWS_ALONE: &str = "origin_claimed";
/// How the kills at random moments are called among the steps.
const ANY_MOMENT: &str = "any moment";
const RANDOM_PER_ROUND: usize = 4;
/// So many loaders for each kill, at most.
const MOST_TRIES: u64 = 4;
/// Records that are produced between two looks whether to end.
const PIECE: u64 = 5_000;

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;
    use crate::args::{ConfigFile, Torture};

    fn plan(seed: u64) -> Plan {
        let file = ConfigFile { config: PathBuf::from("orders.toml") };
        let args = Torture { file, kills: 25, records: 100_000, partitions: 6, seed: Some(seed), keep: false };
        Plan::new(&args).expect("enough records")
    }

    #[test]
    fn every_step_is_aimed_at_but_that_of_groups() {
        let all: Vec<_> = failpoint::STEPS.into_iter().filter(|step| *step != "revoked").collect();
        assert_eq!(steps().collect::<Vec<_>>(), all);
    }

    #[test]
    fn a_round_aims_at_every_step_and_the_seed_decides_how() {
        let round = |seed| {
            let mut aim = Aim::new(&plan(seed));
            let shots = std::iter::repeat_with(|| aim.next()).take(steps().count() + RANDOM_PER_ROUND);
            shots.map(|shot| (shot.step, format!("{:?}", shot.fate))).collect::<Vec<_>>()
        };
        let shots = round(7);
        assert_eq!(shots[0].0, FIRST_WINDOWS_ALONE, "later it would not come");
        for step in steps() {
            assert_eq!(shots.iter().filter(|(aimed, _)| *aimed == step).count(), 1, "{step}");
        }
        assert_eq!(shots, round(7));
        assert_ne!(shots, round(8));
    }

    #[test]
    fn only_kills_count_as_struck() {
        let mut strikes = Strikes::new();
        strikes.count("file_visible", End::Struck);
        strikes.count("file_visible", End::Reached);
        strikes.count(ANY_MOMENT, End::Struck);
        assert_eq!((strikes.tried(), strikes.struck()), (3, 2));
        let row = strikes.by_step.iter().find(|row| row.step == "file_visible").expect("a step");
        assert_eq!((row.tried, row.struck), (2, 1));
    }

    #[test]
    fn a_missed_step_is_tried_once_more_at_its_first_visit() {
        let mut aim = Aim::new(&plan(7));
        let shot = std::iter::repeat_with(|| aim.next()).find(|shot| shot.step == "file_visible").expect("it comes");
        aim.learn(&shot, End::Reached);
        let again = aim.next();
        assert_eq!((again.step, again.fate.failpoint.as_deref()), ("file_visible", Some("file_visible=kill@1")));
        aim.learn(&again, End::Reached);
        assert!(!aim.next().is_second_try);
    }
}
