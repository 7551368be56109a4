//! The broker's side of the audit: what its log has, and which of the landing's missing offsets a reader still sees there.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::hole::{Evidence, explain, join_near};
use super::report::{AuditReport, FindingKind, PartitionAudit};
use super::{Landed, listed};
use crate::error::Result;
use crate::kafka::{Cluster, Isolation, KafkaConsumerBuilder, Watermarks, scan_offsets};
use crate::offset::{OffsetRange, TopicPartition};
use crate::sink::SourceIdentity;

/// What the cluster says of the source's topics, as of one moment.
pub(super) struct Broker {
    cluster: Cluster,
    /// Ends of the logs as the source's isolation sees them.
    visible: BTreeMap<TopicPartition, Watermarks>,
    /// Ends of the logs as they are stored.
    stored: BTreeMap<TopicPartition, Watermarks>,
    identities: BTreeMap<Arc<str>, SourceIdentity>,
}

impl Broker {
    pub(super) fn look_at(source: &KafkaConsumerBuilder) -> Result<Self> {
        let cluster = Cluster::connect(source)?;
        let topics: Vec<Arc<str>> = cluster.topics()?.into_iter().map(|topic| topic.name).collect();
        let partitions = cluster.partitions()?;
        Ok(Broker {
            visible: cluster.watermarks(&partitions)?,
            stored: cluster.watermarks_for(&partitions, Isolation::ReadUncommitted)?,
            identities: cluster.identity(&topics)?,
            cluster,
        })
    }

    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.identities.keys().cloned().collect()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.visible.keys()
    }

    /// Lays the landing beside the log.
    pub(super) fn compare(&self, mut landed: Vec<Landed>) -> Result<AuditReport> {
        if self.cluster.source().assigned_partitions().is_some() {
            // What landed of other partitions is not this source's.
            landed.retain(|landed| self.visible.contains_key(&landed.audit.topic_partition));
        }
        for partition in &mut landed {
            self.compare_ends(partition);
        }
        let mut notes = Vec::new();
        self.explain_holes(&mut landed, &mut notes)?;
        let partitions = landed.into_iter().map(|landed| landed.audit).collect();
        Ok(AuditReport { against_broker: true, partitions, notes })
    }

    fn compare_ends(&self, landed: &mut Landed) {
        let partition = landed.audit.topic_partition.clone();
        let (Some(visible), Some(stored)) = (self.visible.get(&partition), self.stored.get(&partition)) else {
            let what = "the topic has no such partition any more";
            return landed.audit.find(FindingKind::SourceChanged, landed.audit.landed, what);
        };
        landed.audit.log = Some(*visible);
        let end = landed.audit.landed.map_or(visible.low, |range| range.end());
        landed.audit.lag = Some(u64::try_from(visible.high - end).unwrap_or(0));
        if landed.audit.landed.is_none() {
            return;
        }
        if let Some(what) = self.identity_changed(&partition, &landed.source) {
            landed.audit.find(FindingKind::SourceChanged, landed.audit.landed, what);
        }
        if end > stored.high {
            let what = format!("the landing ends at {end}, the log at {}", stored.high);
            landed.audit.find(FindingKind::BeyondLogEnd, OffsetRange::new(stored.high, end).ok(), what);
        }
        if end < visible.low {
            let what = format!("the landing ends at {end}, the log now begins at {}", visible.low);
            landed.audit.find(FindingKind::Overtaken, OffsetRange::new(end, visible.low).ok(), what);
        }
    }

    fn identity_changed(&self, partition: &TopicPartition, landed: &SourceIdentity) -> Option<String> {
        let now = self.identities.get(&partition.topic)?;
        let differ = |one: &str, other: &str| !one.is_empty() && !other.is_empty() && one != other;
        if differ(&now.cluster_id, &landed.cluster_id) {
            return Some(format!(
                "it landed from cluster {}, the brokers are of cluster {}",
                landed.cluster_id, now.cluster_id
            ));
        }
        differ(&now.topic_id, &landed.topic_id)
            .then(|| format!("it landed from topic id {}, the topic's id now is {}", landed.topic_id, now.topic_id))
    }

    fn explain_holes(&self, landed: &mut [Landed], notes: &mut Vec<String>) -> Result<()> {
        let mut questions = BTreeMap::new();
        for partition in landed.iter_mut() {
            let (asked, unasked) = self.split_missing(partition);
            partition.audit.holes.unchecked += unasked;
            partition.missing = asked;
            if let Some(log) = &partition.audit.log {
                questions.insert(partition.audit.topic_partition.clone(), still_stored(&partition.missing, log.low)?);
            }
        }
        let source = self.cluster.source();
        let visible = seen_among(source, source.isolation_level(), &questions)?;
        let stored = match source.isolation_level() {
            Isolation::ReadCommitted => seen_among(source, Isolation::ReadUncommitted, &questions)?,
            Isolation::ReadUncommitted => visible.clone(),
        };
        let compacted = self.compacted_topics(landed, notes);
        for partition in landed.iter_mut().filter(|partition| !partition.missing.is_empty()) {
            let name = &partition.audit.topic_partition;
            let evidence = Evidence {
                log_start: partition.audit.log.map_or(0, |log| log.low),
                visible: visible.get(name).cloned().unwrap_or_default(),
                stored: stored.get(name).cloned().unwrap_or_default(),
                is_compacted: compacted.contains(&name.topic),
            };
            let (holes, unexplained) = explain(&partition.missing, &evidence)?;
            partition.audit.holes += holes;
            report_unexplained(&mut partition.audit, &unexplained);
        }
        Ok(())
    }

    /// The missing offsets that the broker can be asked about, and the number of the others: of another topic, or beyond
    /// the log's end, which are findings already.
    fn split_missing(&self, landed: &Landed) -> (Vec<OffsetRange>, u64) {
        let total: u64 = landed.missing.iter().map(OffsetRange::len).sum();
        let changed = landed.audit.findings.iter().any(|finding| finding.kind == FindingKind::SourceChanged);
        let Some(log) = landed.audit.log.filter(|_| !changed) else { return (Vec::new(), total) };
        let asked: Vec<OffsetRange> = landed
            .missing
            .iter()
            .filter_map(|range| OffsetRange::new(range.start(), range.end().min(log.high)).ok())
            .filter(|range| !range.is_empty())
            .collect();
        let unasked = total - asked.iter().map(OffsetRange::len).sum::<u64>();
        (asked, unasked)
    }

    fn compacted_topics(&self, landed: &[Landed], notes: &mut Vec<String>) -> BTreeSet<Arc<str>> {
        let with_holes: BTreeSet<&Arc<str>> = landed
            .iter()
            .filter(|landed| !landed.missing.is_empty())
            .map(|landed| &landed.audit.topic_partition.topic)
            .collect();
        let mut compacted = BTreeSet::new();
        for topic in with_holes {
            match self.cluster.is_compacted(topic) {
                Ok(true) => {
                    compacted.insert(Arc::clone(topic));
                }
                Ok(false) => {}
                Err(error) => notes.push(format!(
                    "cleanup.policy of topic {topic} cannot be read ({error}): offsets that compaction took count as markers"
                )),
            }
        }
        compacted
    }
}

/// The ranges to read: what the log still has of the missing offsets.
fn still_stored(missing: &[OffsetRange], low: i64) -> Result<Vec<OffsetRange>> {
    let stored = missing.iter().filter(|range| range.end() > low);
    let clipped =
        stored.map(|range| OffsetRange::new(range.start().max(low), range.end())).collect::<Result<Vec<_>>>()?;
    join_near(&clipped)
}

/// Which offsets of these ranges a reader sees.
fn seen_among(
    source: &KafkaConsumerBuilder,
    isolation: Isolation,
    ranges: &BTreeMap<TopicPartition, Vec<OffsetRange>>,
) -> Result<BTreeMap<TopicPartition, BTreeSet<i64>>> {
    let mut seen: BTreeMap<TopicPartition, BTreeSet<i64>> = BTreeMap::new();
    scan_offsets(source, isolation, ranges, |partition, offset| {
        seen.entry(partition.clone()).or_default().insert(offset);
    })?;
    Ok(seen)
}

fn report_unexplained(audit: &mut PartitionAudit, ranges: &[OffsetRange]) {
    for range in ranges.iter().take(SHOWN_RANGES) {
        let offsets: Vec<i64> = (range.start()..range.end()).collect();
        let what = listed(&offsets).unwrap_or_default();
        audit.find(
            FindingKind::Unexplained,
            Some(*range),
            format!("the log has a record at {what}, the landing has no row"),
        );
    }
    if let Some(rest) = ranges.get(SHOWN_RANGES..).filter(|rest| !rest.is_empty()) {
        let count: u64 = rest.iter().map(OffsetRange::len).sum();
        audit.find(FindingKind::Unexplained, None, format!("{count} more such offsets in {} more ranges", rest.len()));
    }
}

const SHOWN_RANGES: usize = 20;
