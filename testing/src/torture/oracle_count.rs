//! What the oracle and the audit found, as numbers that add up.

use std::ops::AddAssign;

use crate::oracle::Verdict;

/// Records, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Records of the log that were compared.
    pub records: u64,
    /// Records that did not land.
    pub lost: u64,
    /// Records that landed twice.
    pub duplicated: u64,
    /// Rows that differ from their record, and ranges that do not tile.
    pub altered: u64,
    /// Landings that `rdp audit` did not pass.
    pub audits_failed: u64,
}

impl Count {
    pub(super) fn of(verdict: &Verdict, audit_passed: bool) -> Self {
        Count {
            records: verdict.records,
            lost: verdict.lost,
            duplicated: verdict.duplicated,
            altered: verdict.altered + verdict.untiled,
            audits_failed: u64::from(!audit_passed),
        }
    }

    /// Whether nothing is lost, duplicated or altered, and every audit passed.
    pub fn is_exact(&self) -> bool {
        self.lost == 0 && self.duplicated == 0 && self.altered == 0 && self.audits_failed == 0
    }

    pub(super) fn cells(&self) -> [String; 5] {
        [self.records, self.lost, self.duplicated, self.altered, self.audits_failed].map(|number| number.to_string())
    }

    pub(super) const HEADER: [&str; 5] = ["records", "lost", "duplicated", "altered", "audits failed"];
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.altered += other.altered;
        self.audits_failed += other.audits_failed;
    }
}
