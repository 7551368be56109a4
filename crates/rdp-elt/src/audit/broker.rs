//! The broker's side of the audit: what its log has, which of the landing's missing offsets a reader still sees there, and
//! what the group was told.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use super::Landed;
use super::hole::{Evidence, Holes, Seen, explain, join_near, length};
use super::report::FindingKind;
use crate::error::Result;
use crate::kafka::{Cluster, Isolation, KafkaConsumerBuilder, Told, Watermarks, scan_offsets};
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
    /// Topics that landed and that the cluster does not have.
    gone: BTreeSet<Arc<str>>,
    /// What the group was told.
    told: BTreeMap<TopicPartition, Told>,
    compacted: BTreeMap<Arc<str>, bool>,
    notes: Vec<String>,
}

impl Broker {
    /// Looks at the source's topics, and at those of the `known` ones that it means and that the cluster may not have.
    pub(super) fn look_at(source: &KafkaConsumerBuilder, known: &[String]) -> Result<Self> {
        let cluster = Cluster::connect(source)?;
        let mut broker = Broker {
            visible: BTreeMap::new(),
            stored: BTreeMap::new(),
            identities: BTreeMap::new(),
            gone: BTreeSet::new(),
            told: BTreeMap::new(),
            compacted: BTreeMap::new(),
            notes: Vec::new(),
            cluster,
        };
        let mut landed = BTreeSet::new();
        for topic in known {
            if source.means(topic)? {
                landed.insert(Arc::<str>::from(topic.as_str()));
            }
        }
        broker.look(&landed)?;
        let partitions: Vec<_> = broker.visible.keys().cloned().collect();
        match broker.cluster.told(&partitions) {
            Ok(told) => broker.told = told,
            Err(error) => broker.notes.push(format!("what the group was told cannot be read ({error})")),
        }
        Ok(broker)
    }

    /// The same with the logs' ends of now.
    pub(super) fn look_again(mut self) -> Result<Self> {
        let known = self.topics().into_iter().collect();
        self.look(&known)?;
        Ok(self)
    }

    fn look(&mut self, landed: &BTreeSet<Arc<str>>) -> Result<()> {
        let mut survey = self.cluster.survey(landed)?;
        // One answer that a topic is not there is not believed.
        for _ in 0..MISSING_LOOKS {
            if survey.missing.is_empty() {
                break;
            }
            std::thread::sleep(LOOK_AGAIN);
            survey = self.cluster.survey(landed)?;
        }
        if survey.missing.iter().any(|topic| !landed.contains(topic)) {
            // It says which, and which are near.
            self.cluster.topics()?;
        }
        self.gone = survey.missing;
        let of_topic = |(topic, partition_count): (&Arc<str>, i32)| {
            let topic = topic.clone();
            (0..partition_count).map(move |partition| TopicPartition::new(topic.clone(), partition))
        };
        let all = survey.topics.iter().map(|(topic, seen)| (topic, seen.partition_count)).flat_map(of_topic);
        let partitions: Vec<TopicPartition> = match self.cluster.source().assigned_partitions() {
            Some(_) if self.gone.is_empty() => self.cluster.partitions()?,
            Some(listed) => all.filter(|partition| listed.contains(partition)).collect(),
            None => all.collect(),
        };
        self.visible = self.cluster.watermarks(&partitions)?;
        self.stored = self.cluster.watermarks_for(&partitions, Isolation::ReadUncommitted)?;
        self.identities = survey.topics.into_iter().map(|(topic, seen)| (topic, seen.identity)).collect();
        Ok(())
    }

    /// The topics to audit: what the cluster has, and what landed and is gone.
    pub(super) fn topics(&self) -> Vec<Arc<str>> {
        self.identities.keys().chain(&self.gone).cloned().collect()
    }

    pub(super) fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.visible.keys()
    }

    /// Whether this source speaks of the partition: what landed of others than those that it names is not this source's.
    pub(super) fn is_asked_of(&self, landed: &Landed) -> bool {
        let named = self.cluster.source().assigned_partitions();
        named.is_none_or(|named| named.contains(&landed.audit.topic_partition))
    }

    /// What could not be looked at.
    pub(super) fn take_notes(&mut self) -> Vec<String> {
        std::mem::take(&mut self.notes)
    }

    /// Lays the ends of the log, and what the group was told, beside the landing.
    pub(super) fn compare(&self, landed: &mut Landed) {
        let partition = landed.audit.topic_partition.clone();
        let range = landed.audit.landed;
        let (Some(visible), Some(stored)) = (self.visible.get(&partition), self.stored.get(&partition)) else {
            let what = match self.gone.contains(&partition.topic) {
                true => "the cluster has no such topic any more",
                false => "the topic has no such partition any more",
            };
            // Of what was claimed alone, nothing can be wrong.
            return if range.is_some() {
                landed.audit.find(FindingKind::SourceChanged, range, what)
            };
        };
        landed.audit.log = Some(*visible);
        let end = range.map(|range| range.end());
        let position = end.unwrap_or_else(|| landed.claimed.unwrap_or(visible.low).max(visible.low));
        landed.audit.lag = Some(u64::try_from(visible.high - position).unwrap_or(0));
        self.compare_told(landed);
        let Some(end) = end else { return };
        if let Some(what) = self.identity_changed(&partition, &landed.source) {
            landed.audit.find(FindingKind::SourceChanged, range, what);
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

    /// Whoever loads this landing tells its group how far it has come, and what the landing is called.
    fn compare_told(&self, landed: &mut Landed) {
        let Some(told) = self.told.get(&landed.audit.topic_partition) else { return };
        let is_of_this = landed.landing_id.as_ref().is_some_and(|id| *id == told.note);
        let end = landed.audit.landed.map(|range| range.end()).or(landed.claimed).unwrap_or_default();
        if is_of_this && told.position > end {
            let what =
                format!("the group was told that it landed up to {}, what is there ends at {end}", told.position);
            landed.audit.find(FindingKind::Removed, OffsetRange::new(end, told.position).ok(), what);
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

    /// What explains these missing offsets, and which nothing does. `landed`: where the rows beside them came from.
    pub(super) fn explain(
        &mut self,
        missing: BTreeMap<TopicPartition, Vec<OffsetRange>>,
        landed: &BTreeMap<TopicPartition, SourceIdentity>,
    ) -> Result<BTreeMap<TopicPartition, (Holes, Vec<OffsetRange>)>> {
        let mut explained = BTreeMap::new();
        let mut asked = BTreeMap::new();
        let is_comparable = |of: &TopicPartition| {
            let source = landed.get(of).cloned().unwrap_or_default();
            self.visible.contains_key(of) && self.identity_changed(of, &source).is_none()
        };
        let of: Vec<_> = missing.keys().filter(|of| is_comparable(of)).cloned().collect();
        let logs = self.cluster.watermarks(&of)?;
        for (partition, missing) in missing {
            let total = length(&missing);
            // Of another topic, or beyond the log's end: a finding already.
            let within = match logs.get(&partition) {
                Some(log) => clipped(&missing, 0, log.high)?,
                None => Vec::new(),
            };
            let unchecked = total - length(&within);
            explained.insert(partition.clone(), (Holes { unchecked, ..Holes::default() }, Vec::new()));
            if !within.is_empty() {
                asked.insert(partition, within);
            }
        }
        let source = self.cluster.source();
        let visible = seen_among(source, source.isolation_level(), &asked, &logs)?;
        let stored = match source.isolation_level() {
            Isolation::ReadCommitted => seen_among(source, Isolation::ReadUncommitted, &asked, &logs)?,
            Isolation::ReadUncommitted => visible.clone(),
        };
        for (partition, missing) in asked {
            let evidence = Evidence {
                log_start: logs.get(&partition).map_or(0, |log| log.low),
                visible: visible.get(&partition).cloned().unwrap_or_default(),
                stored: stored.get(&partition).cloned().unwrap_or_default(),
                is_compacted: self.is_compacted(&partition.topic),
            };
            let (holes, unexplained) = explain(&missing, &evidence)?;
            if let Some(so_far) = explained.get_mut(&partition) {
                so_far.0 += holes;
                so_far.1 = unexplained;
            }
        }
        Ok(explained)
    }

    fn is_compacted(&mut self, topic: &Arc<str>) -> bool {
        if let Some(known) = self.compacted.get(topic) {
            return *known;
        }
        let is_compacted = self.cluster.is_compacted(topic).unwrap_or_else(|error| {
            self.notes.push(format!(
                "cleanup.policy of topic {topic} cannot be read ({error}): offsets that compaction took count as markers"
            ));
            false
        });
        self.compacted.insert(topic.clone(), is_compacted);
        is_compacted
    }
}

/// What of these ranges lies in `[low, high)`.
fn clipped(ranges: &[OffsetRange], low: i64, high: i64) -> Result<Vec<OffsetRange>> {
    let bounds = ranges.iter().map(|range| (range.start().max(low), range.end().min(high)));
    bounds.filter(|(start, end)| start < end).map(|(start, end)| OffsetRange::new(start, end)).collect()
}

/// Which of these missing offsets a reader sees.
fn seen_among(
    source: &KafkaConsumerBuilder,
    isolation: Isolation,
    missing: &BTreeMap<TopicPartition, Vec<OffsetRange>>,
    logs: &BTreeMap<TopicPartition, Watermarks>,
) -> Result<BTreeMap<TopicPartition, Vec<OffsetRange>>> {
    let mut seen: BTreeMap<&TopicPartition, Seen> = BTreeMap::new();
    let mut questions = BTreeMap::new();
    for (partition, missing) in missing {
        let low = logs.get(partition).map_or(0, |log| log.low);
        questions.insert(partition.clone(), join_near(&clipped(missing, low, i64::MAX)?)?);
        seen.insert(partition, Seen::among(missing.clone()));
    }
    let mut failed = None;
    scan_offsets(source, isolation, &questions, |partition, offset| {
        if let Some(seen) = seen.get_mut(partition) {
            failed = failed.take().or(seen.note(offset).err());
        }
    })?;
    match failed {
        Some(error) => Err(error),
        None => Ok(seen.into_iter().map(|(partition, seen)| (partition.clone(), seen.found())).collect()),
    }
}

/// How often, and how far apart, a topic that is not there is looked for again.
const MISSING_LOOKS: u32 = 3;
const LOOK_AGAIN: Duration = Duration::from_millis(500);
