//! What the oracle and the audit found, as numbers that add up.

use std::ops::AddAssign;

use crate::oracle::Verdict;

/// Records, and what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Count {
    /// Records of the log that were compared.
    pub records: u64,
    /// Records of these whose payload does not fit, and that are quarantined.
    pub quarantined: u64,
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
            quarantined: verdict.quarantined,
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

    pub(super) fn cells(&self) -> [String; 6] {
        let Count { records, quarantined, lost, duplicated, altered, audits_failed } = self;
        [records, quarantined, lost, duplicated, altered, audits_failed].map(u64::to_string)
    }

    pub(super) const HEADER: [&str; 6] = ["records", "quarantined", "lost", "duplicated", "altered", "audits failed"];
}

impl AddAssign for Count {
    fn add_assign(&mut self, other: Self) {
        self.records += other.records;
        self.quarantined += other.quarantined;
        self.lost += other.lost;
        self.duplicated += other.duplicated;
        self.altered += other.altered;
        self.audits_failed += other.audits_failed;
    }
}
