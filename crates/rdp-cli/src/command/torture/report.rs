//! What a torture came to: for a person two tables and a sentence, for a machine an object.

use std::time::Duration;

use rdp_elt::Error;
use rdp_elt::audit::AuditReport;
use rdp_elt::torture::Comparison;
use serde_json::{Value, json};

use super::plan::Plan;
use super::scratch::Kept;
use super::strike::Strikes;
use crate::command::audit;
use crate::number::{counted, grouped, seconds};
use crate::screen::error_object;
use crate::table::Table;

/// The outcome.
pub(super) struct Report {
    pub(super) plan: Plan,
    pub(super) strikes: Strikes,
    pub(super) comparison: Comparison,
    pub(super) audit: AuditReport,
    pub(super) tombstone_count: u64,
    pub(super) poisoned_count: u64,
    pub(super) time: Duration,
}

impl Report {
    /// Whether all is well, and the loader was killed as often as it should have been.
    pub(super) fn is_clean(&self) -> bool {
        self.is_exact() && self.strikes.struck() >= self.plan.kills
    }

    fn is_exact(&self) -> bool {
        self.comparison.is_exact() && self.audit.is_clean()
    }

    /// All of it, the verdict last.
    pub(super) fn text(&self) -> String {
        let mut lines = vec![self.strike_table().to_string(), String::new(), self.outcome_table().to_string()];
        if !self.audit.is_clean() {
            lines.extend([String::new(), audit::table(&self.audit).to_string(), audit::verdict(&self.audit)]);
        }
        if !self.comparison.differences.is_empty() {
            lines.push(String::new());
            lines.extend(self.comparison.differences.iter().map(|difference| format!("  {difference}")));
            let found = self.found();
            let told = self.comparison.differences.iter().map(|difference| difference.range.len()).sum();
            if found > told {
                lines.push(format!("  and {} more", grouped(found - told)));
            }
        }
        lines.extend([String::new(), self.verdict()]);
        lines.join("\n")
    }

    pub(super) fn to_json(&self, kept: Option<&Kept>) -> Value {
        let Plan { topic, seed, kills, record_count: _, partition_count } = &self.plan;
        json!({
            "is_clean": self.is_clean(),
            "verdict": self.verdict(),
            "topic": topic,
            "seed": seed,
            "partition_count": partition_count,
            "tombstone_count": self.tombstone_count,
            "poisoned_count": self.poisoned_count,
            "kills": kills,
            "struck": self.strikes.struck(),
            "strikes": self.strikes.by_step,
            "starts": self.strikes.starts,
            "comparison": self.comparison,
            "audit": audit::with_verdict(&self.audit),
            "kept": kept.map(|kept| json!({ "topic": kept.topic, "folder": kept.folder })),
            "seconds": self.time.as_secs_f64(),
        })
    }

    /// The one sentence.
    pub(super) fn verdict(&self) -> String {
        let Comparison { record_count, lost, duplicated, altered, foreign, .. } = &self.comparison;
        let (struck, kills) = (self.strikes.struck(), self.plan.kills);
        let killed = if struck == 1 { "once".to_owned() } else { format!("{} times", grouped(struck)) };
        if !self.is_exact() {
            return format!(
                "not clean: killed {killed}, of {}: {} lost, {} duplicated, {} altered, {} that nobody produced; audit: {}",
                counted(*record_count, "record"),
                grouped(*lost),
                grouped(*duplicated),
                grouped(*altered),
                grouped(*foreign),
                self.audit_word(),
            );
        }
        let exact = format!("each of {} landed once and as it was", counted(*record_count, "record"));
        match struck >= kills {
            true => format!("clean: killed {killed}, and {exact}"),
            false => format!(
                "not proved: only {} of {} struck, the other loaders had ended before; {exact}; give it more --records",
                grouped(struck),
                counted(kills, "kill")
            ),
        }
    }

    fn strike_table(&self) -> Table {
        let mut table = Table::new().text("killed at").number("tried").number("struck");
        for row in &self.strikes.by_step {
            table.row([row.step.to_owned(), grouped(row.tried), grouped(row.struck)]);
        }
        table.row(["all".to_owned(), grouped(self.strikes.tried()), grouped(self.strikes.struck())]);
        table
    }

    fn outcome_table(&self) -> Table {
        let numbers = ["records", "tombstones", "poisoned", "starts", "files", "rows", "lost", "duplicated", "altered"];
        let table = numbers.into_iter().fold(Table::new(), |table, name| table.number(name));
        let mut table = table.text("audit").number("time");
        let comparison = &self.comparison;
        let mut row: Vec<String> = [
            comparison.record_count,
            self.tombstone_count,
            self.poisoned_count,
            self.strikes.starts,
            comparison.file_count,
            comparison.row_count,
            comparison.lost,
            comparison.duplicated,
            comparison.altered,
        ]
        .map(grouped)
        .to_vec();
        row.extend([self.audit_word().to_owned(), seconds(self.time)]);
        table.row(row);
        table
    }

    fn audit_word(&self) -> &'static str {
        if self.audit.is_clean() { "clean" } else { "not clean" }
    }

    fn found(&self) -> u64 {
        let Comparison { lost, duplicated, altered, foreign, .. } = &self.comparison;
        lost + duplicated + altered + foreign
    }
}

/// A torture that could not be carried to its end, for what the loader, or the landing, had come to.
pub(super) struct Broken {
    pub(super) plan: Plan,
    pub(super) error: Error,
}

impl Broken {
    /// The verdict.
    pub(super) fn text(&self) -> String {
        format!("not clean: {}", self.error)
    }

    pub(super) fn to_json(&self, kept: Option<&Kept>) -> Value {
        let Plan { topic, seed, kills, record_count: _, partition_count } = &self.plan;
        json!({
            "is_clean": false,
            "verdict": self.text(),
            "topic": topic,
            "seed": seed,
            "partition_count": partition_count,
            "kills": kills,
            "error": error_object(&self.error),
            "kept": kept.map(|kept| json!({ "topic": kept.topic, "folder": kept.folder })),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::super::strike::ByStep;
    use super::*;

    fn report(struck: u64, lost: u64) -> Report {
        let plan = Plan { topic: "rdp-torture-0".into(), seed: 7, kills: 3, record_count: 100, partition_count: 1 };
        let comparison =
            Comparison { record_count: 100, row_count: 100 - lost, file_count: 9, lost, ..Comparison::default() };
        Report {
            plan,
            strikes: Strikes { by_step: vec![ByStep { step: "file_visible", tried: 4, struck }], starts: 5 },
            comparison,
            audit: AuditReport { against_broker: true, partitions: Vec::new(), landing: Vec::new(), notes: Vec::new() },
            tombstone_count: 1,
            poisoned_count: 2,
            time: Duration::from_secs(3),
        }
    }

    #[test]
    fn the_verdict_is_the_last_line_and_says_what_was_found() {
        let clean = report(3, 0);
        assert!(clean.is_clean());
        assert!(clean.text().ends_with("clean: killed 3 times, and each of 100 records landed once and as it was"));
        let lossy = report(3, 2);
        assert!(!lossy.is_clean());
        assert!(lossy.verdict().starts_with("not clean: killed 3 times, of 100 records: 2 lost, 0 duplicated"));
    }

    #[test]
    fn too_few_strikes_prove_nothing() {
        let report = report(2, 0);
        assert!(!report.is_clean());
        assert!(report.verdict().starts_with("not proved: only 2 of 3 kills struck"), "{}", report.verdict());
    }
}
