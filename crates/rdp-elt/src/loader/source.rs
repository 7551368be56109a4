//! Where reading begins, and whether the source is still the one that was read before: promise 6.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::kafka::{Cluster, KafkaConsumerBuilder, StartPosition};
use crate::offset::{Positions, TopicPartition};
use crate::sink::{LandedPosition, Sink, SourceIdentity};

pub(super) struct Source {
    cluster: Cluster,
    sink: Arc<dyn Sink>,
    start: StartPosition,
    /// Where reading began for partitions that the sink does not know: looked up once, or `latest` would creep forward
    /// past records whenever a first window has to be read again.
    starts: Mutex<Positions>,
    identities: Mutex<Arc<BTreeMap<Arc<str>, SourceIdentity>>>,
}

impl Source {
    pub(super) fn connect(builder: &KafkaConsumerBuilder, sink: Arc<dyn Sink>) -> Result<Self> {
        Ok(Source {
            cluster: Cluster::connect(builder)?,
            sink,
            start: builder.start_position().clone(),
            starts: Mutex::default(),
            identities: Mutex::default(),
        })
    }

    pub(super) fn partitions(&self) -> Result<Vec<TopicPartition>> {
        self.cluster.partitions()
    }

    /// The last stable offset of every partition, as of now.
    pub(super) fn log_ends(&self) -> Result<Positions> {
        let marks = self.cluster.watermarks(&self.partitions()?)?;
        Ok(marks.into_iter().map(|(partition, marks)| (partition, marks.high)).collect())
    }

    /// The identity of every topic that was assigned so far.
    pub(super) fn identities(&self) -> Arc<BTreeMap<Arc<str>, SourceIdentity>> {
        self.identities.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Where reading begins: the sink's positions, checked against the cluster, and the start where it has none.
    ///
    /// # Errors
    /// `SourceChanged` where retention overtook a position, where it lies beyond the log's end, or where the topic is
    /// not the one that was landed before.
    pub(super) fn positions(&self, of: &[TopicPartition], runtime: &Handle) -> Result<Positions> {
        let landed = runtime.block_on(self.sink.positions(of))?;
        failpoint::pass("positions_read")?;
        let identities = self.look_up_identities(of)?;
        let marks = self.cluster.watermarks(of)?;
        for (partition, landed) in &landed {
            self.check_identity(partition, landed, identities.get(&partition.topic))?;
            let Some(marks) = marks.get(partition) else { continue };
            if landed.position < marks.low {
                return Err(overtaken(partition, landed.position, marks.low));
            }
            if landed.position > marks.high {
                return Err(beyond_the_end(partition, landed.position, marks.high));
            }
        }
        let low = |partition: &TopicPartition| marks.get(partition).map_or(0, |marks| marks.low);
        self.with_starts(of, &landed, low)
    }

    /// As [`positions`](Self::positions), without a check: how far the sink has come.
    pub(super) fn positions_unchecked(&self, of: &[TopicPartition], runtime: &Handle) -> Result<Positions> {
        let landed = runtime.block_on(self.sink.positions(of))?;
        self.with_starts(of, &landed, |_| 0)
    }

    /// Makes sure that the topics are still those that were assigned. A broker that does not answer is no proof of the
    /// contrary: the next window asks again.
    pub(super) fn check_unchanged(&self, topics: &BTreeSet<Arc<str>>) -> Result<()> {
        let known = self.identities();
        let topics: Vec<_> = topics.iter().cloned().collect();
        let now = match self.cluster.identity(&topics) {
            Ok(now) => now,
            Err(error) if error.is_retryable() => return Ok(()),
            Err(error) => return Err(error),
        };
        for (topic, was) in known.iter().filter(|(topic, _)| topics.contains(topic)) {
            if let Some(is) = now.get(topic).filter(|is| differs(was, is)) {
                return Err(recreated(topic, was, is));
            }
        }
        Ok(())
    }

    fn with_starts(
        &self,
        of: &[TopicPartition],
        landed: &BTreeMap<TopicPartition, LandedPosition>,
        low: impl Fn(&TopicPartition) -> i64,
    ) -> Result<Positions> {
        let mut positions: Positions =
            landed.iter().map(|(partition, landed)| (partition.clone(), landed.position)).collect();
        let mut starts = self.starts.lock().unwrap_or_else(PoisonError::into_inner);
        let unknown = of.iter().filter(|partition| !landed.contains_key(partition));
        let (known, new): (Vec<_>, Vec<_>) =
            unknown.cloned().partition(|partition| starts.position(partition).is_some());
        if !new.is_empty() {
            let found = self.cluster.start_offsets(&new, &self.start)?;
            starts.extend(found.iter().map(|(partition, position)| (partition.clone(), position)));
        }
        for partition in known.into_iter().chain(new) {
            // Nothing of it has landed, so nothing is lost from the landing where retention moved the log's start on.
            let start = starts.position(&partition).unwrap_or(0).max(low(&partition));
            positions.insert(partition, start);
        }
        Ok(positions)
    }

    fn look_up_identities(&self, of: &[TopicPartition]) -> Result<Arc<BTreeMap<Arc<str>, SourceIdentity>>> {
        let topics: BTreeSet<_> = of.iter().map(|partition| partition.topic.clone()).collect();
        let found = self.cluster.identity(&topics.into_iter().collect::<Vec<_>>())?;
        let mut identities = self.identities.lock().unwrap_or_else(PoisonError::into_inner);
        let mut all = BTreeMap::clone(&identities);
        all.extend(found);
        *identities = Arc::new(all);
        Ok(identities.clone())
    }

    fn check_identity(
        &self,
        partition: &TopicPartition,
        landed: &LandedPosition,
        now: Option<&SourceIdentity>,
    ) -> Result<()> {
        match now.filter(|now| differs(&landed.source, now)) {
            Some(now) => Err(recreated(&partition.topic, &landed.source, now)),
            None => Ok(()),
        }
    }
}

/// Ids that a broker did not tell prove nothing.
fn differs(was: &SourceIdentity, is: &SourceIdentity) -> bool {
    let differ = |was: &str, is: &str| !was.is_empty() && !is.is_empty() && was != is;
    differ(&was.topic_id, &is.topic_id) || differ(&was.cluster_id, &is.cluster_id)
}

fn recreated(topic: &str, was: &SourceIdentity, is: &SourceIdentity) -> Error {
    Error::new(
        ErrorKind::SourceChanged,
        format!(
            "topic {topic} is not the one that was landed: landed from topic id {:?} of cluster {:?}, found topic id {:?} \
             of cluster {:?}",
            was.topic_id, was.cluster_id, is.topic_id, is.cluster_id
        ),
    )
    .with_help("it was deleted and created again, or the brokers are another cluster's. What landed is untouched: land the new topic in a new folder")
}

fn overtaken(partition: &TopicPartition, position: i64, low: i64) -> Error {
    Error::new(
        ErrorKind::SourceChanged,
        format!(
            "retention overtook the reader: {partition} landed up to {position}, but the log now begins at {low}; records \
             in [{position}, {low}) that were not landed are gone"
        ),
    )
    .with_help("what landed is untouched. Keep it, land what is left in a new folder, and give the topic a longer retention")
}

fn beyond_the_end(partition: &TopicPartition, position: i64, high: i64) -> Error {
    Error::new(
        ErrorKind::SourceChanged,
        format!("{partition} landed up to {position}, but the log ends at {high}: the log was truncated or the topic re-created"),
    )
    .with_help("what landed is untouched. If the topic was re-created, land it in a new folder")
}
