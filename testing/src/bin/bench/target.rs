//! The targets, each beside what was measured.

use std::fmt::{self, Display};

/// One target.
#[derive(Debug)]
pub(crate) struct Target {
    what: String,
    measured: f64,
    bound: Bound,
}

#[derive(Debug, Clone, Copy)]
enum Bound {
    AtMost(f64),
    AtLeast(f64),
}

impl Target {
    pub(crate) fn at_most(bound: f64, what: impl Into<String>, measured: f64) -> Self {
        Target { what: what.into(), measured, bound: Bound::AtMost(bound) }
    }

    pub(crate) fn at_least(bound: f64, what: impl Into<String>, measured: f64) -> Self {
        Target { what: what.into(), measured, bound: Bound::AtLeast(bound) }
    }

    /// Held against the bound to three figures, as it is printed; what could not be measured is not met.
    fn is_met(&self) -> bool {
        match self.bound {
            Bound::AtMost(bound) => rounded(self.measured) <= bound,
            Bound::AtLeast(bound) => rounded(self.measured) >= bound,
        }
    }
}

impl Display for Bound {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Bound::AtMost(bound) => write!(out, "at most {bound}"),
            Bound::AtLeast(bound) => write!(out, "at least {bound}"),
        }
    }
}

/// All targets, and how many are met.
pub(crate) fn print(targets: &[Target]) {
    println!("\n| target | measured | bound | |");
    println!("| --- | --- | --- | --- |");
    for target in targets {
        let verdict = if target.is_met() { "met" } else { "**missed**" };
        println!("| {} | {} | {} | {verdict} |", target.what, rounded(target.measured), target.bound);
    }
    let met = targets.iter().filter(|target| target.is_met()).count();
    println!("\n{met} of {} targets met.", targets.len());
}

fn rounded(number: f64) -> f64 {
    (number * 100.0).round() / 100.0
}
