//! Schedules of faults, tried side by side: what became of them, by the mode in which the loader reads.

use std::fmt::{self, Debug, Display};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use super::oracle_count::Count;
use super::{Victim, side_by_side, table};
use crate::rdp::RdpProcess;

/// How a run ended that should not have.
pub(super) enum Wrong {
    Hang(String),
    Silence(String),
    End(String),
}

/// What became of the schedules of one mode.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tally {
    pub(super) tried: u64,
    /// What was struck.
    pub(super) struck: u64,
    /// Runs that ended with an error that fits.
    pub(super) errors: u64,
    hangs: u64,
    silences: u64,
    wrong_ends: u64,
    /// Audits that could not be done, and said so.
    pub(super) unread: u64,
    /// Audits that said of a clean landing what is not so, or that it is clean where they could not read.
    pub(super) wrong_audits: u64,
    pub(super) count: Count,
}

/// What all of it came to.
#[derive(Debug, Clone)]
pub(super) struct Trial<M> {
    tallies: Vec<(M, Tally)>,
    /// Each schedule that failed, in a form that is read back, and why.
    failures: Vec<String>,
    /// Whether audits were done under faults too.
    of_audits: bool,
}

/// What a loader says and lands, watched.
pub(super) struct Life {
    began: Instant,
    sign: (usize, usize),
    signed: Instant,
}

impl Tally {
    /// One schedule, about to be tried.
    pub(super) fn of_one() -> Self {
        Tally { tried: 1, ..Tally::default() }
    }

    /// Counts a run that ended wrongly; returns why, for a person.
    pub(super) fn note(&mut self, wrong: Wrong) -> String {
        let (count, name, why) = match wrong {
            Wrong::Hang(why) => (&mut self.hangs, "HANG", why),
            Wrong::Silence(why) => (&mut self.silences, "SILENCE", why),
            Wrong::End(why) => (&mut self.wrong_ends, "WRONG END", why),
        };
        *count += 1;
        format!("{name} {why}")
    }

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

    fn cells(&self) -> [u64; HEADER.len()] {
        let Tally { tried, struck, errors, hangs, silences, wrong_ends, unread, wrong_audits, count: _ } = *self;
        [tried, struck, errors, hangs, silences, wrong_ends, unread, wrong_audits]
    }
}

impl<M: Copy + PartialEq + Debug + Send> Trial<M> {
    /// Tries all of these, so many at a time. `attempt` says what became of one, and why it failed where it did; `part` is the
    /// machine's name, by which one is tried again.
    pub(super) fn of<S: Display + Send>(
        part: &str,
        modes: &[M],
        (schedules, threads): (Vec<S>, usize),
        mode: impl Fn(&S) -> M + Sync,
        attempt: impl Fn(&S) -> (Tally, Vec<String>) + Sync,
    ) -> Self {
        let outcomes = side_by_side(schedules, threads, |schedule| {
            let tried = catch_unwind(AssertUnwindSafe(|| attempt(&schedule)));
            let (tally, failures) = tried.unwrap_or_else(|_| {
                (Tally { wrong_ends: 1, ..Tally::of_one() }, vec!["see the panic above".to_owned()])
            });
            let again = |why| format!("torture {part} --schedule \"{schedule}\"\n  {why}");
            let failures: Vec<String> = failures.into_iter().map(again).collect();
            failures.iter().for_each(|failure| eprintln!("FAILED {failure}"));
            (mode(&schedule), tally, failures)
        });
        let tallies = modes.iter().map(|mode| (*mode, Tally::default())).collect();
        let mut trial = Trial { tallies, failures: Vec::new(), of_audits: false };
        for (mode, tally, failures) in outcomes {
            trial.tallies.iter_mut().filter(|(of, _)| *of == mode).for_each(|(_, sum)| sum.add(tally));
            trial.failures.extend(failures);
        }
        trial
    }

    /// The same with what became of audits.
    pub(super) fn of_audits_too(self) -> Self {
        Trial { of_audits: true, ..self }
    }

    /// The sum over all modes.
    pub(super) fn sum(&self) -> Tally {
        let mut sum = Tally::default();
        self.tallies.iter().for_each(|(_, tally)| sum.add(*tally));
        sum
    }

    /// Whether none failed, and the faults struck.
    pub(super) fn is_clean(&self) -> bool {
        let sum = self.sum();
        self.failures.is_empty() && sum.tried > 0 && sum.struck > 0
    }
}

impl<M: Copy + PartialEq + Debug + Send> Display for Trial<M> {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = if self.of_audits { HEADER.len() } else { HEADER.len() - 2 };
        let header = [&["mode"], &HEADER[..columns], &Count::HEADER].concat();
        let named = self.tallies.iter().map(|(mode, tally)| (format!("{mode:?}").to_lowercase(), *tally));
        let rows = named.chain([("all".to_owned(), self.sum())]).map(|(name, tally)| {
            let numbers = tally.cells().into_iter().take(columns).map(|number| number.to_string());
            [name].into_iter().chain(numbers).chain(tally.count.cells()).collect()
        });
        out.write_str(&table::text(&header, 1, &rows.collect::<Vec<_>>()))?;
        self.failures.iter().try_for_each(|failure| writeln!(out, "FAILED {failure}"))
    }
}

impl Life {
    pub(super) fn begin() -> Self {
        Life { began: Instant::now(), sign: (0, 0), signed: Instant::now() }
    }

    /// For how long neither a file nor a word has come.
    pub(super) fn look(&mut self, victim: &Victim, process: &RdpProcess) -> Duration {
        let now = (victim.grouped.landed_files().len(), process.stderr().len());
        if now != self.sign {
            (self.sign, self.signed) = (now, Instant::now());
        }
        self.signed.elapsed()
    }

    /// What is wrong with it by now.
    pub(super) fn verdict(&self) -> Option<fn(String) -> Wrong> {
        match (self.signed.elapsed() > LONGEST_SILENCE, self.began.elapsed() > BOUND) {
            (true, _) => Some(Wrong::Silence),
            (_, true) => Some(Wrong::Hang),
            _ => None,
        }
    }
}

/// Kills it; returns its last words.
pub(super) fn end_by_force(mut process: RdpProcess) -> String {
    process.kill();
    format!("stderr: {}", process.stderr())
}

const HEADER: [&str; 8] = ["tried", "struck", "errors", "hangs", "silences", "wrong ends", "unread", "wrong audits"];
/// Faults have ended, or are over soon: what then takes longer does not end at all.
pub(super) const BOUND: Duration = Duration::from_secs(60);
/// The longest that a loader may have something to land, not land it, and say nothing.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
