//! Between runs: sequences of what operators do to a topic and its landing, with runs and kills in between, and after each
//! step a judgement by a model that knows every record and every deed, and shares nothing with the engine.
//!
//! A seed is a sequence: the same seed does the same again. A sequence ends at the first thing that is wrong.

mod field;
mod model;
mod partition;
mod plan;
mod record;
mod runs;
mod setup;

use std::collections::BTreeMap;
use std::path::PathBuf;

use self::field::{Field, Step, Tally};
use self::plan::Operation;
use super::{Count, Total, side_by_side};

/// Which sequences to do.
#[derive(Debug, Clone)]
pub struct Operators {
    /// The binary under test.
    pub binary: PathBuf,
    /// The first sequence's seed; the next ones follow.
    pub seed: u64,
    /// How many sequences.
    pub sequences: u64,
    /// Operations of each, beside those that begin and end it.
    pub length: usize,
    /// Sequences at the same time.
    pub threads: usize,
}

/// What all of them came to.
#[derive(Debug, Clone)]
pub struct OperatorReport(Vec<Sequence>);

#[derive(Debug, Clone)]
struct Sequence {
    seed: u64,
    operations: Vec<Operation>,
    /// Of each operation that was done: what was expected and found.
    said: Vec<String>,
    odd: Vec<String>,
    /// What was wrong with the last of them.
    wrong: Vec<String>,
    tally: Tally,
}

impl Operators {
    /// Does them all.
    pub fn run(&self) -> OperatorReport {
        let mut seeds: Vec<u64> = (self.seed..self.seed + self.sequences).collect();
        // Those that start a broker of their own take longest.
        seeds.sort_by_key(|seed| plan::sequence(*seed, 0).0 != plan::Ground::OwnBroker);
        OperatorReport(side_by_side(seeds, self.threads, |seed| {
            let sequence = self.sequence(seed);
            if !sequence.wrong.is_empty() {
                // Told at once: a long run may be ended before its report.
                eprintln!("{sequence}");
            }
            sequence
        }))
    }

    fn sequence(&self, seed: u64) -> Sequence {
        let (ground, operations) = plan::sequence(seed, self.length);
        let mut sequence = Sequence {
            seed,
            operations: operations.clone(),
            said: Vec::new(),
            odd: Vec::new(),
            wrong: Vec::new(),
            tally: Tally::default(),
        };
        let mut field = match caught(|| Field::new(&self.binary, ground, seed)) {
            Ok(field) => field,
            Err(panic) => {
                sequence.wrong.push(panic);
                return sequence;
            }
        };
        for operation in operations {
            let step = caught(|| field.act(operation));
            let step = step.unwrap_or_else(|panic| Step { wrong: vec![panic], ..Step::default() });
            sequence.said.push(step.said);
            sequence.odd.extend(step.odd);
            sequence.wrong = step.wrong;
            if !sequence.wrong.is_empty() {
                break;
            }
        }
        sequence.tally = field.tally;
        sequence
    }
}

/// What hangs fails its own sequence, and has said why.
fn caught<R>(act: impl FnOnce() -> R) -> Result<R, String> {
    std::panic::catch_unwind(std::panic::AssertUnwindSafe(act)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        text.or_else(|| panic.downcast_ref::<&str>().map(|&text| text.to_owned())).unwrap_or_default()
    })
}

impl OperatorReport {
    /// What it adds to the sum of everything tried.
    pub fn total(&self) -> Total {
        let mut total = Total::default();
        for Sequence { said, wrong, tally, .. } in &self.0 {
            let told = |what: &str| wrong.iter().filter(|wrong| wrong.contains(what)).count() as u64;
            total.operations += said.len() as u64;
            total.kills += tally.kills;
            total.count += Count {
                records: tally.records,
                lost: told("lost: "),
                duplicated: told("doubled: "),
                altered: told("altered: ") + told("mixed: "),
                audits_failed: told("the audit ended"),
                ..Count::default()
            };
        }
        total
    }

    /// Whether everything was as it must be after each step of each sequence.
    pub fn is_clean(&self) -> bool {
        !self.0.is_empty() && self.0.iter().all(|sequence| sequence.wrong.is_empty())
    }

    /// How often each sort of operation was done.
    fn operations(&self) -> BTreeMap<String, u64> {
        let mut counts = BTreeMap::new();
        for sequence in &self.0 {
            for operation in sequence.operations.iter().take(sequence.said.len()) {
                let name = format!("{operation:?}");
                let name = name.split(['(', ' ', '{']).next().unwrap_or_default();
                *counts.entry(name.to_owned()).or_default() += 1;
            }
        }
        counts
    }
}

impl std::fmt::Display for OperatorReport {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for sequence in self.0.iter().filter(|sequence| !sequence.wrong.is_empty()) {
            writeln!(out, "{sequence}")?;
        }
        for sequence in &self.0 {
            sequence.odd.iter().try_for_each(|odd| writeln!(out, "seed {}, not judged: {odd}", sequence.seed))?;
        }
        let operations: Vec<_> = self.operations().into_iter().map(|(name, count)| format!("{count} {name}")).collect();
        writeln!(out, "operations: {}", operations.join(", "))?;
        let sum = |of: fn(&Tally) -> u64| self.0.iter().map(|sequence| of(&sequence.tally)).sum::<u64>();
        writeln!(
            out,
            "{} sequences: {} runs, {} of them killed, {} that refused with SourceChanged, {} audits, {} records; {} failed",
            self.0.len(),
            sum(|tally| tally.runs),
            sum(|tally| tally.kills),
            sum(|tally| tally.refusals),
            sum(|tally| tally.audits),
            sum(|tally| tally.records),
            self.0.iter().filter(|sequence| !sequence.wrong.is_empty()).count()
        )
    }
}

impl std::fmt::Display for Sequence {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(out, "seed {}: {:?}", self.seed, self.operations)?;
        for (operation, said) in self.operations.iter().zip(&self.said) {
            writeln!(out, "    {operation:?}: {said}")?;
        }
        self.wrong.iter().try_for_each(|wrong| writeln!(out, "  WRONG {wrong}"))
    }
}
