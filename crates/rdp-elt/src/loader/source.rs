//! Where reading begins, and whether the source is still the one that was read before: promise 6.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use tokio::runtime::Handle;

use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::kafka::{Cluster, Isolation, KafkaConsumerBuilder, StartPosition, Survey, Watermarks};
use crate::offset::{Positions, TopicPartition};
use crate::sink::{LandedPosition, Sink, SourceIdentity, Sources};

pub(super) struct Source {
    cluster: Cluster,
    sink: Arc<dyn Sink>,
    start: StartPosition,
    /// The partitions as of the run's start; `None` until it has begun. Only to these does `start` apply.
    present: Option<BTreeSet<TopicPartition>>,
    /// Where reading began for partitions that the sink does not know: looked up once, or `latest` would creep forward
    /// past records whenever a first window has to be read again.
    starts: Mutex<Positions>,
    identities: Sources,
}

impl Source {
    pub(super) fn connect(builder: &KafkaConsumerBuilder, sink: Arc<dyn Sink>) -> Result<Self> {
        Ok(Source {
            cluster: Cluster::connect(builder)?.with_timeout(LOOK_UP_TIMEOUT),
            sink,
            start: builder.start_position().clone(),
            present: None,
            starts: Mutex::default(),
            identities: Sources::new(),
        })
    }

    pub(super) fn partitions(&self) -> Result<Vec<TopicPartition>> {
        self.cluster.partitions()
    }

    /// Notes the partitions as of the run's start. Those that come later are read from the beginning of their logs: by
    /// `latest` or a time, what was written to them before they were discovered would be lost.
    pub(super) fn begin(&mut self, partitions: Vec<TopicPartition>) {
        self.present = Some(partitions.into_iter().collect());
    }

    /// The partitions as of the run's start.
    pub(super) fn present(&self) -> Vec<TopicPartition> {
        self.present.iter().flatten().cloned().collect()
    }

    /// The last stable offset of each partition, as of now.
    pub(super) fn log_ends(&self, of: &[TopicPartition]) -> Result<Positions> {
        let marks = self.cluster.watermarks(of)?;
        Ok(marks.into_iter().map(|(partition, marks)| (partition, marks.high)).collect())
    }

    /// The identity of every topic that was assigned so far.
    pub(super) fn identities(&self) -> &Sources {
        &self.identities
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
                return Err(overtaken(partition, landed.position, *marks));
            }
            if landed.position > marks.high {
                return Err(beyond_the_end(partition, landed.position, *marks));
            }
        }
        let low = |partition: &TopicPartition| marks.get(partition).map_or(0, |marks| marks.low);
        let positions = self.with_starts(of, &landed, low)?;
        for (partition, position) in positions.iter() {
            if marks.get(partition).is_some_and(|marks| position > marks.high) {
                self.check_start(partition, position)?;
            }
        }
        Ok(positions)
    }

    /// Says what became of a partition that librdkafka gave up to read at `position` with `error`: it is outside the log.
    /// `Ok` where nothing of it has landed and reading can begin at what is left.
    ///
    /// # Errors
    /// `SourceChanged` otherwise, as exact as the cluster's answers allow.
    pub(super) fn explain(
        &self,
        partition: &TopicPartition,
        position: i64,
        error: &Error,
        runtime: &Handle,
    ) -> Result<()> {
        let of = [partition.clone()];
        self.positions(&of, runtime)?;
        if !runtime.block_on(self.sink.positions(&of))?.contains_key(partition) {
            tracing::warn!(%partition, position, %error, "nothing of it has landed: reading begins at what is left");
            return Ok(());
        }
        // The log has the position again: it was cut below it, and has grown past it since.
        let now = self.cluster.watermarks(&of)?.get(partition).map_or_else(String::new, describe);
        let message = format!("{partition} was read up to {position}, {now}: {}", error.message());
        let help = "what landed is untouched. Its newest records may not be in the log any more: compare the two";
        Err(Error::new(ErrorKind::SourceChanged, message).with_help(help))
    }

    /// As [`positions`](Self::positions), without a check: how far the sink has come.
    pub(super) fn positions_unchecked(&self, of: &[TopicPartition], runtime: &Handle) -> Result<Positions> {
        let landed = runtime.block_on(self.sink.positions(of))?;
        self.with_starts(of, &landed, |_| 0)
    }

    /// Makes sure that the topics are still those that were assigned. Asked after the records of a window were polled, it
    /// tells that none of them is another topic's; so nothing is taken for an answer but an answer.
    pub(super) fn check_unchanged(&self, topics: &BTreeSet<Arc<str>>) -> Result<()> {
        let topics: Vec<_> = topics.iter().cloned().collect();
        check_same(&self.identities.all(), &self.cluster.identity(&topics)?)
    }

    /// Looks at all topics of the run, the assigned ones and those that are new.
    ///
    /// # Errors
    /// `SourceChanged` where a topic is not the one that was assigned. A topic that is missing is no error here.
    pub(super) fn look(&self) -> Result<Survey> {
        let known = self.identities.all();
        let survey = self.cluster.survey(&known.keys().cloned().collect())?;
        let now = survey.topics.iter().map(|(topic, seen)| (topic.clone(), seen.identity.clone())).collect();
        check_same(&known, &now)?;
        Ok(survey)
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
        let was_present =
            |partition: &TopicPartition| self.present.as_ref().is_none_or(|present| present.contains(partition));
        let (old, added): (Vec<_>, Vec<_>) = new.iter().cloned().partition(was_present);
        for (partitions, start) in [(old, &self.start), (added, &StartPosition::Earliest)] {
            if !partitions.is_empty() {
                let found = self.cluster.start_offsets(&partitions, start)?;
                starts.extend(found.iter().map(|(partition, position)| (partition.clone(), position)));
            }
        }
        for partition in known.into_iter().chain(new) {
            // Nothing of it has landed, so nothing is lost from the landing where retention moved the log's start on.
            let start = starts.position(&partition).unwrap_or(0).max(low(&partition));
            positions.insert(partition, start);
        }
        Ok(positions)
    }

    fn look_up_identities(&self, of: &[TopicPartition]) -> Result<BTreeMap<Arc<str>, SourceIdentity>> {
        let topics: BTreeSet<_> = of.iter().map(|partition| partition.topic.clone()).collect();
        let found = self.cluster.identity(&topics.into_iter().collect::<Vec<_>>())?;
        for (topic, is) in &found {
            // Also where nothing has landed yet: what was polled, and where reading began, are the first one's.
            let was = self.identities.note(topic.clone(), is.clone());
            if differs(&was, is) {
                return Err(recreated(topic, &was, is));
            }
        }
        Ok(found)
    }

    /// A start may lie in an open transaction, past the last stable offset, but not past the log's end.
    fn check_start(&self, partition: &TopicPartition, start: i64) -> Result<()> {
        let log = self.cluster.watermarks_for(std::slice::from_ref(partition), Isolation::ReadUncommitted)?;
        match log.get(partition).filter(|log| start > log.high) {
            Some(log) => Err(beyond_the_end(partition, start, *log)),
            None => Ok(()),
        }
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

/// Topics that are in both have to be the same ones.
fn check_same(was: &BTreeMap<Arc<str>, SourceIdentity>, is: &BTreeMap<Arc<str>, SourceIdentity>) -> Result<()> {
    for (topic, is) in is {
        if let Some(was) = was.get(topic).filter(|was| differs(was, is)) {
            return Err(recreated(topic, was, is));
        }
    }
    Ok(())
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
            "topic {topic} is not the one that was landed: read from topic id {:?} of cluster {:?}, found topic id {:?} \
             of cluster {:?}",
            was.topic_id, was.cluster_id, is.topic_id, is.cluster_id
        ),
    )
    .with_help("it was deleted and created again, or the brokers are another cluster's. What landed is untouched: land the new topic in a new folder")
}

/// Topics that the cluster has not had for as long as the lookout asks for certainty.
pub(super) fn gone(topics: &BTreeSet<Arc<str>>, landed: &Positions) -> Error {
    let names = topics.iter().map(|topic| &**topic).collect::<Vec<_>>().join(", ");
    let of_topics = landed.iter().filter(|(partition, _)| topics.contains(&partition.topic));
    let landed: Positions = of_topics.map(|(partition, position)| (partition.clone(), position)).collect();
    Error::new(ErrorKind::SourceChanged, format!("topic {names} is gone from the cluster: it landed up to {landed}"))
        .with_help("it was deleted. What landed is untouched. Take the topic out of the config; where it is created again, land it in a new folder")
}

fn overtaken(partition: &TopicPartition, position: i64, log: Watermarks) -> Error {
    let Watermarks { low, high } = log;
    Error::new(
        ErrorKind::SourceChanged,
        format!(
            "retention overtook the reader: {partition} landed up to {position}, but the log now begins at {low} and \
             ends at {high}; records in [{position}, {low}) that were not landed are gone"
        ),
    )
    .with_help(
        "what landed is untouched. Keep it, land what is left in a new folder, and give the topic a longer retention",
    )
}

fn beyond_the_end(partition: &TopicPartition, position: i64, log: Watermarks) -> Error {
    let Watermarks { low, high } = log;
    Error::new(
        ErrorKind::SourceChanged,
        format!(
            "{partition} is to be read on from {position}, but the log ends at {high} and begins at {low}: it was \
             truncated, and what was in [{high}, {position}) is not in it any more"
        ),
    )
    .with_help(
        "an unclean leader election or a restored backup does this. What landed is untouched: keep it, and land the topic \
         in a new folder; the two overlap below the place where the log was cut",
    )
}

fn describe(log: &Watermarks) -> String {
    format!("and the log now has [{}, {})", log.low, log.high)
}

/// A lane polls nothing while it looks up: shorter by far than what a group bears with.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(10);
