//! What an audit says: per partition, in total, and each finding with what to do about it.

use std::fmt;

use serde::Serialize;

use super::hole::Holes;
use crate::kafka::Watermarks;
use crate::offset::{OffsetRange, TopicPartition};

/// What an audit found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AuditReport {
    /// Whether the broker was asked too, or the ledger and the landed rows alone.
    pub against_broker: bool,
    /// Every partition that has landed or, against a broker, exists; in order.
    pub partitions: Vec<PartitionAudit>,
    /// What is wrong with the landing as a whole.
    pub landing: Vec<Finding>,
    /// What could not be looked at, and what that means for the rest. Not findings.
    pub notes: Vec<String>,
}

impl AuditReport {
    /// Whether nothing is wrong: no finding, and no offset that is missing without an explanation.
    pub fn is_clean(&self) -> bool {
        self.findings().next().is_none() && self.partitions.iter().all(|partition| partition.holes.unexplained == 0)
    }

    /// All findings: the landing's, then by partition.
    pub fn findings(&self) -> impl Iterator<Item = &Finding> {
        self.landing.iter().chain(self.partitions.iter().flat_map(|partition| &partition.findings))
    }

    /// Takes findings of this kind for what somebody wanted: they become notes.
    pub fn accept(&mut self, kind: FindingKind) {
        for findings in self.partitions.iter_mut().map(|partition| &mut partition.findings).chain([&mut self.landing]) {
            let accepted = findings.extract_if(.., |finding| finding.kind == kind);
            self.notes.extend(accepted.map(|finding| finding.to_string()));
        }
    }

    /// The sums over all partitions.
    pub fn totals(&self) -> AuditTotals {
        let mut totals = AuditTotals::default();
        for partition in &self.partitions {
            totals.partition_count += 1;
            totals.commit_count += partition.commit_count;
            totals.record_count += partition.record_count;
            totals.row_count += partition.row_count;
            totals.quarantined_count += partition.quarantined_count;
            totals.tombstone_count += partition.tombstone_count;
            totals.holes += partition.holes;
            totals.lag = totals.lag.saturating_add(partition.lag.unwrap_or(0));
        }
        totals.finding_count = self.findings().count() as u64;
        totals
    }
}

/// Sums over the partitions of an audit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct AuditTotals {
    /// Partitions looked at.
    pub partition_count: u64,
    /// Commits in the ledger: files, for a Parquet landing.
    pub commit_count: u64,
    /// Records that the ledger says were consumed, quarantined ones and tombstones included.
    pub record_count: u64,
    /// Rows that were found in the landing.
    pub row_count: u64,
    /// Records of these that are quarantined.
    pub quarantined_count: u64,
    /// Records of these that are tombstones.
    pub tombstone_count: u64,
    /// Offsets of landed ranges that have no row, by explanation.
    pub holes: Holes,
    /// Offsets between the landing's end and the log's.
    pub lag: u64,
    /// Findings.
    pub finding_count: u64,
}

/// What an audit says of one partition.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct PartitionAudit {
    /// The partition.
    #[serde(flatten)]
    pub topic_partition: TopicPartition,
    /// From the first commit's start to the last one's end; `None` where nothing has landed.
    pub landed: Option<OffsetRange>,
    /// Commits in the ledger: files, for a Parquet landing.
    pub commit_count: u64,
    /// Records that the ledger says were consumed, quarantined ones and tombstones included.
    pub record_count: u64,
    /// Rows that were found in the landing.
    pub row_count: u64,
    /// Records of these that are quarantined.
    pub quarantined_count: u64,
    /// Records of these that are tombstones.
    pub tombstone_count: u64,
    /// Offsets of landed ranges that have no row, by explanation.
    pub holes: Holes,
    /// Both ends of the broker's log, where it was asked.
    pub log: Option<Watermarks>,
    /// Offsets between the landing's end (or, with nothing landed, the log's start) and the log's end.
    pub lag: Option<u64>,
    /// What is wrong.
    pub findings: Vec<Finding>,
}

impl PartitionAudit {
    /// A partition of which nothing is known yet.
    pub(super) fn new(topic_partition: TopicPartition) -> Self {
        PartitionAudit {
            topic_partition,
            landed: None,
            commit_count: 0,
            record_count: 0,
            row_count: 0,
            quarantined_count: 0,
            tombstone_count: 0,
            holes: Holes::default(),
            log: None,
            lag: None,
            findings: Vec::new(),
        }
    }

    /// Adds what is wrong.
    pub(super) fn find(&mut self, kind: FindingKind, range: Option<OffsetRange>, what: impl Into<String>) {
        let topic_partition = Some(self.topic_partition.clone());
        self.findings.push(Finding { topic_partition, range, kind, what: what.into(), help: kind.help() });
    }
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Where; `None` where it is the landing as a whole.
    #[serde(flatten)]
    pub topic_partition: Option<TopicPartition>,
    /// The offsets that it is about, where it is about some.
    pub range: Option<OffsetRange>,
    /// What sort of thing.
    pub kind: FindingKind,
    /// What exactly.
    pub what: String,
    /// What to do about it.
    pub help: &'static str,
}

impl Finding {
    /// What is wrong with a landing as a whole.
    pub(super) fn of_landing(kind: FindingKind, what: String) -> Self {
        Finding { topic_partition: None, range: None, kind, what, help: kind.help() }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.topic_partition {
            Some(partition) => write!(out, "{partition}")?,
            None => out.write_str("the landing")?,
        }
        if let Some(range) = &self.range {
            write!(out, " {range}")?;
        }
        write!(out, " {}: {}", self.kind.as_str(), self.what)
    }
}

/// What sort of thing is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum FindingKind {
    /// Between two commits, offsets were covered by neither.
    Gap,
    /// Two commits cover the same offsets.
    Overlap,
    /// An offset has more than one row in one commit.
    Duplicate,
    /// A row's offset lies outside its commit's range.
    OutsideRange,
    /// The rows, or the ledger's own numbers, do not add up.
    CountMismatch,
    /// The sink's position is not where the ledger ends.
    PositionMismatch,
    /// The commits come from more than one topic or cluster.
    MixedSource,
    /// The broker's topic is not the one that landed.
    SourceChanged,
    /// The landing goes beyond the log's end.
    BeyondLogEnd,
    /// Retention took records before they landed.
    Overtaken,
    /// A reader still sees records that have no row.
    Unexplained,
    /// A commit's rows cannot be read back.
    Unreadable,
    /// The oldest or the newest of what landed is not there any more.
    Removed,
    /// Readers of the landing would take it for landed rows, and nobody landed it.
    Stray,
}

impl FindingKind {
    /// The name that reports show.
    pub const fn as_str(self) -> &'static str {
        match self {
            FindingKind::Gap => "gap",
            FindingKind::Overlap => "overlap",
            FindingKind::Duplicate => "duplicate",
            FindingKind::OutsideRange => "outside range",
            FindingKind::CountMismatch => "count mismatch",
            FindingKind::PositionMismatch => "position mismatch",
            FindingKind::MixedSource => "mixed source",
            FindingKind::SourceChanged => "source changed",
            FindingKind::BeyondLogEnd => "beyond log end",
            FindingKind::Overtaken => "overtaken by retention",
            FindingKind::Unexplained => "unexplained",
            FindingKind::Unreadable => "unreadable",
            FindingKind::Removed => "removed",
            FindingKind::Stray => "stray",
        }
    }

    const fn help(self) -> &'static str {
        match self {
            FindingKind::Gap => {
                "look for a removed or moved file; land the range again from the topic into a new landing"
            }
            FindingKind::Overlap | FindingKind::Duplicate => {
                "stop all loaders of this landing, keep it as it is and report a bug; read it with one row per offset meanwhile"
            }
            FindingKind::OutsideRange | FindingKind::CountMismatch | FindingKind::PositionMismatch => {
                "was the landing changed by something else? If not, keep it as it is and report a bug"
            }
            FindingKind::MixedSource | FindingKind::SourceChanged => {
                "the topic was re-created, or the brokers are another cluster's: land it in a new landing"
            }
            FindingKind::BeyondLogEnd => {
                "the log was truncated or re-created: find out why before landing goes on, then land it in a new landing"
            }
            FindingKind::Overtaken => {
                "what was there is gone, records or markers of transactions: raise the topic's retention or run the loader more often"
            }
            FindingKind::Unexplained => {
                "keep landing and topic as they are and report a bug; land the range again into a new landing"
            }
            FindingKind::Removed => {
                "put the files back. If they were removed on purpose, say so: `rdp audit --allow-removed`"
            }
            FindingKind::Stray => "move it out of the landing: readers of the folder count it as rows",
            FindingKind::Unreadable => "restore the file from a copy, or land its range again into a new landing",
        }
    }
}
