//! Everything that was tried, and what became of the records: the last lines of a torture run.

use std::fmt;
use std::ops::AddAssign;

use super::Count;

/// A sum over all parts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Total {
    /// Failpoints that struck, and kills at random moments.
    pub strikes: u64,
    /// Processes that were killed.
    pub kills: u64,
    /// Members that were frozen past their session, at random moments.
    pub freezes: u64,
    /// Members that were frozen at a step until another had taken over.
    pub zombies: u64,
    /// Answers of brokers that were spoilt, kept back or held up.
    pub answers: u64,
    /// Calls on a landing's files that failed, or were slow or short.
    pub calls: u64,
    /// Times that a member was given partitions, or robbed of them, in a storm.
    pub rebalances: u64,
    /// What operators did between runs, the runs included.
    pub operations: u64,
    /// What became of the records.
    pub count: Count,
}

impl AddAssign for Total {
    fn add_assign(&mut self, other: Self) {
        self.strikes += other.strikes;
        self.kills += other.kills;
        self.freezes += other.freezes;
        self.zombies += other.zombies;
        self.answers += other.answers;
        self.calls += other.calls;
        self.rebalances += other.rebalances;
        self.operations += other.operations;
        self.count += other.count;
    }
}

impl fmt::Display for Total {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Total { strikes, kills, freezes, zombies, answers, calls, rebalances, operations, count } = self;
        writeln!(
            out,
            "tried: {strikes} strikes, {kills} kills, {freezes} freezes, {zombies} zombies, {answers} wrong answers, \
             {calls} spoilt calls of a disk; members were given or robbed of partitions {rebalances} times; operators did {operations} things"
        )?;
        let Count { records, quarantined, lost, duplicated, altered, audits_failed } = count;
        writeln!(out, "of {records} records, {quarantined} of them bad input (quarantined):")?;
        write!(out, "{lost} lost, {duplicated} duplicated, {altered} altered; {audits_failed} audits failed")
    }
}
