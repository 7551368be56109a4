//! Where reading begins, and whether the source is still the one that was read before: promise 6.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::brokers::Brokers;
use super::executor::Executor;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::kafka::{
    Cluster, Isolation, KafkaConsumerBuilder, Notes, Place, StartPosition, Survey, SurveyedTopic, Watermarks,
};
use crate::load::LoadPlan;
use crate::offset::{Positions, TopicPartition};
use crate::sink::{Claim, LandedPosition, Sink, SourceIdentity, Sources};

pub(super) struct Source {
    brokers: Box<dyn Brokers>,
    sink: Arc<dyn Sink>,
    start: StartPosition,
    isolation: Isolation,
    /// Whether the run reads some partitions of its topics, and no others.
    is_of_named_partitions: bool,
    /// The partitions as of the run's start, once it has begun. What comes later is read from the beginning of its log.
    present: Option<BTreeSet<TopicPartition>>,
    /// What columns landed rows will have.
    load: LoadPlan,
    /// The topics that the sink was prepared for.
    prepared: Mutex<BTreeSet<Arc<str>>>,
    /// Of every topic that was looked at to be read.
    identities: Sources,
    /// What topics' landings are called, as far as was asked; `None` where they have no name.
    landing_ids: Mutex<BTreeMap<Arc<str>, Option<String>>>,
}

/// Where a partition's next window starts, and where reading does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Start {
    /// How far it has landed; the claimed start where nothing of it has.
    pub(super) landed: i64,
    /// From where on it is read: where it landed, or, where nothing has and retention took the claimed start, at what is left.
    pub(super) place: Place,
}

/// Starts of many partitions.
pub(super) type Starts = BTreeMap<TopicPartition, Start>;

impl Source {
    /// Connects. `patience`: how long the run has it with brokers, where it gives up.
    pub(super) fn connect(
        builder: &KafkaConsumerBuilder,
        sink: Arc<dyn Sink>,
        load: LoadPlan,
        patience: Option<Duration>,
    ) -> Result<Self> {
        let timeout = patience.map_or(LOOK_UP_TIMEOUT, |patience| patience.clamp(SHORTEST_LOOK_UP, LOOK_UP_TIMEOUT));
        let cluster = Cluster::connect_within(builder, timeout)?;
        Ok(Self::new(Box::new(cluster), builder, sink, load))
    }

    pub(super) fn new(
        brokers: Box<dyn Brokers>,
        builder: &KafkaConsumerBuilder,
        sink: Arc<dyn Sink>,
        load: LoadPlan,
    ) -> Self {
        Source {
            brokers,
            sink,
            start: builder.start_position().clone(),
            isolation: builder.isolation_level(),
            is_of_named_partitions: builder.assigned_partitions().is_some(),
            present: None,
            load,
            prepared: Mutex::default(),
            identities: Sources::new(),
            landing_ids: Mutex::default(),
        }
    }

    pub(super) fn partitions(&self) -> Result<Vec<TopicPartition>> {
        self.brokers.partitions()
    }

    /// Notes the partitions as of the run's start.
    pub(super) fn begin(&mut self, present: &[TopicPartition]) {
        self.present = Some(present.iter().cloned().collect());
    }

    /// The last stable offset of each partition, as of now.
    pub(super) fn log_ends(&self, of: &[TopicPartition]) -> Result<Positions> {
        let marks = self.brokers.ends(of, self.isolation)?;
        Ok(marks.into_iter().map(|(partition, marks)| (partition, marks.high)).collect())
    }

    /// The identity of every topic that was assigned so far.
    pub(super) fn identities(&self) -> &Sources {
        &self.identities
    }

    /// Where reading begins: the sink's positions, checked against the cluster. A partition that the sink does not know is
    /// claimed first, at the start where the config has it begin; so whatever happens from then on, it begins there.
    ///
    /// # Errors
    /// `SourceChanged` where retention overtook a position, where it lies beyond the log's end, or where the topic is
    /// not the one that was landed before; `Schema` where what lands does not fit what has landed.
    pub(super) fn starts(&self, of: &[TopicPartition], executor: &Executor) -> Result<Starts> {
        let mut held = executor.block_on(self.sink.positions(of))?;
        failpoint::pass("positions_read")?;
        let topics = self.look_up(of)?;
        self.prepare(topics.keys(), executor)?;
        let unknown: Vec<_> = of.iter().filter(|partition| !held.contains_key(*partition)).cloned().collect();
        if !unknown.is_empty() {
            self.claim(&unknown, &topics, executor)?;
            held = executor.block_on(self.sink.positions(of))?;
        }
        let logs = self.brokers.ends(of, self.isolation)?;
        let mut starts = Starts::new();
        for partition in of {
            let log = logs.get(partition).ok_or_else(|| no_answer("read the ends of its log", partition))?;
            let held = held.get(partition).ok_or_else(|| {
                Error::internal(format!("claim {partition}: {} does not know it afterwards", self.sink.describe()))
            })?;
            if let Some(topic) = topics.get(&partition.topic).filter(|topic| differs(&held.source, &topic.identity)) {
                return Err(recreated(&partition.topic, &held.source, &topic.identity));
            }
            starts.insert(partition.clone(), self.start_of(partition, held, *log)?);
        }
        Ok(starts)
    }

    /// Has the sink prepared for each of these topics, once.
    fn prepare<'a>(&self, topics: impl Iterator<Item = &'a Arc<str>>, executor: &Executor) -> Result<()> {
        for topic in topics {
            let mut prepared = self.prepared.lock().unwrap_or_else(PoisonError::into_inner);
            if !prepared.contains(topic) {
                executor.block_on(self.sink.prepare(topic, &self.load.columns(topic)?))?;
                prepared.insert(topic.clone());
            }
        }
        Ok(())
    }

    /// Says what became of a partition that cannot be read on at `position`, by what the client says in `error`. `is_outside`:
    /// that it asked for an offset that the log does not have. `Ok` where nothing of it has landed and reading can begin at what is left.
    ///
    /// # Errors
    /// `SourceChanged` otherwise, as exact as the cluster's answers allow.
    pub(super) fn explain(
        &self,
        partition: &TopicPartition,
        position: i64,
        error: &Error,
        is_outside: bool,
        executor: &Executor,
    ) -> Result<()> {
        let of = [partition.clone()];
        self.starts(&of, executor)?;
        if is_outside {
            // The client was elsewhere, as after a batch that it could not read: the log has our position. Whether that is
            // still the one it was shows when it is read again.
            tracing::warn!(%partition, position, %error, "the client left the log: it is read again from where it landed");
            return Ok(());
        }
        let has_landed = executor.block_on(self.sink.positions(&of))?.values().any(|held| held.has_landed());
        if !has_landed && self.start == StartPosition::Earliest {
            tracing::warn!(%partition, position, %error, "nothing of it has landed: reading begins at what is left");
            return Ok(());
        }
        // The log has the position again: it was cut below it, and has grown past it since.
        let now = self.brokers.ends(&of, self.isolation)?.get(partition).map_or_else(String::new, describe);
        let message = format!("{partition} was read up to {position}, {now}: {}", error.message());
        let help = "what landed is untouched. Its newest records may not be in the log any more: compare the two";
        Err(Error::new(ErrorKind::SourceChanged, message).with_help(help))
    }

    /// How far the sink has come, without a check.
    pub(super) fn landed(&self, of: &[TopicPartition], executor: &Executor) -> Result<Positions> {
        let held = executor.block_on(self.sink.positions(of))?;
        Ok(held.into_iter().map(|(partition, held)| (partition, held.position)).collect())
    }

    /// What each of these topics' landing is called, for the group to keep: so it shows later whose position it was told.
    pub(super) fn landing_notes(&self, of: &Positions, executor: &Executor) -> Result<Notes> {
        let mut known = self.landing_ids.lock().unwrap_or_else(PoisonError::into_inner);
        let mut notes = Notes::new();
        for TopicPartition { topic, .. } in of.partitions() {
            if !known.contains_key(topic) {
                known.insert(topic.clone(), executor.block_on(self.sink.claimed(topic))?.landing_id);
            }
            if let Some(id) = known.get(topic).and_then(Option::as_ref) {
                notes.entry(topic.clone()).or_insert_with(|| id.clone());
            }
        }
        Ok(notes)
    }

    /// Makes sure that these partitions' logs still reach to where a bounded run is to end.
    ///
    /// # Errors
    /// `SourceChanged` where one does not: it was cut meanwhile.
    pub(super) fn check_reach(&self, ends: &Positions) -> Result<()> {
        let of: Vec<_> = ends.partitions().cloned().collect();
        let logs = self.brokers.ends(&of, Isolation::ReadUncommitted)?;
        for (partition, end) in ends.iter() {
            if let Some(log) = logs.get(partition).filter(|log| log.high < end) {
                return Err(beyond_the_end(partition, end, *log));
            }
        }
        Ok(())
    }

    /// Makes sure that the cluster tells of every partition that the sink knows: a topic never has fewer than it had. A broker
    /// that has just started may not know all of them.
    ///
    /// # Errors
    /// `Unavailable` where it does not.
    pub(super) fn check_whole(&self, present: &[TopicPartition], executor: &Executor) -> Result<()> {
        if self.is_of_named_partitions {
            return Ok(());
        }
        let present: BTreeSet<_> = present.iter().collect();
        let topics: BTreeSet<_> = present.iter().map(|partition| &partition.topic).collect();
        for topic in topics {
            let known = executor.block_on(self.sink.claimed(topic))?.starts;
            let mut known = known.into_keys().map(|partition| TopicPartition::new(topic.clone(), partition));
            if let Some(missing) = known.find(|partition| !present.contains(partition)) {
                let doing = "list partitions: the cluster does not tell of all that the landing has";
                return Err(Error::unavailable(format!("{doing}, {missing} is missing")).with_help(
                    "check that all brokers run, and that the topic was not made anew with fewer partitions",
                ));
            }
        }
        Ok(())
    }

    /// Makes sure that the topics are still those that were assigned. Asked after the records of a window were polled, it
    /// tells that none of them is another topic's; so nothing is taken for an answer but an answer.
    pub(super) fn check_unchanged(&self, topics: &BTreeSet<Arc<str>>) -> Result<()> {
        let topics: Vec<_> = topics.iter().cloned().collect();
        for (topic, now) in self.brokers.identities(&topics)? {
            self.check_same(&topic, now)?;
        }
        Ok(())
    }

    /// Looks at the topics: those that were assigned and those that are new.
    ///
    /// # Errors
    /// `SourceChanged` where a topic is not the one that was assigned. A topic that is missing is no error here.
    pub(super) fn look(&self) -> Result<Survey> {
        let known = self.identities.all();
        let survey = self.brokers.survey(&known.keys().cloned().collect())?;
        for (topic, seen) in &survey.topics {
            if let Some(was) = known.get(topic).filter(|was| differs(was, &seen.identity)) {
                return Err(recreated(topic, was, &seen.identity));
            }
        }
        Ok(survey)
    }

    /// Whether there are partitions now that were not there at the run's start. A topic that is gone by now has none.
    pub(super) fn overlooked_some(&self) -> Result<bool> {
        let (Some(present), false) = (&self.present, self.is_of_named_partitions) else { return Ok(false) };
        Ok(self.look()?.partitions().any(|partition| !present.contains(&partition)))
    }

    /// Stores where partitions begin that the sink does not know. Those that were added to a topic after its landing began
    /// are read from the beginning of their logs: by `latest` or a time, what was written to them before anybody saw them
    /// would be lost.
    fn claim(
        &self,
        unknown: &[TopicPartition],
        topics: &BTreeMap<Arc<str>, SurveyedTopic>,
        executor: &Executor,
    ) -> Result<()> {
        let mut counts = BTreeMap::new();
        for topic in topics.keys() {
            counts.insert(topic, executor.block_on(self.sink.claimed(topic))?.partition_count);
        }
        let was_added = |of: &TopicPartition| {
            self.present.as_ref().is_some_and(|present| !present.contains(of))
                || counts.get(&of.topic).copied().flatten().is_some_and(|count| of.partition >= count)
        };
        let (added, old): (Vec<_>, Vec<_>) = unknown.iter().cloned().partition(was_added);
        let mut found = Positions::new();
        for (partitions, start) in [(old, &self.start), (added, &StartPosition::Earliest)] {
            if !partitions.is_empty() {
                let starts = self.brokers.starts(&partitions, start)?;
                found.extend(starts.iter().map(|(partition, position)| (partition.clone(), position)));
            }
        }
        for (topic, seen) in topics {
            let of_topic = unknown.iter().filter(|partition| partition.topic == *topic);
            let starts = of_topic.map(|partition| {
                let start = found.position(partition).filter(|start| *start >= 0);
                Ok((partition.partition, start.ok_or_else(|| no_answer("find where to start", partition))?))
            });
            let starts = starts.collect::<Result<BTreeMap<_, _>>>()?;
            if starts.is_empty() {
                continue;
            }
            tracing::debug!(%topic, ?starts, "claiming where reading begins");
            let claim = Claim {
                topic: topic.clone(),
                source: seen.identity.clone(),
                partition_count: seen.partition_count,
                starts,
            };
            executor.block_on(self.sink.claim(&claim))?;
        }
        Ok(())
    }

    fn start_of(&self, partition: &TopicPartition, held: &LandedPosition, log: Watermarks) -> Result<Start> {
        let landed = held.position;
        let mut place = Place { position: landed, newest: held.newest };
        if landed < log.low {
            // From the earliest on is from what is left, as long as nothing has landed that it would have to follow.
            if held.has_landed() || self.start != StartPosition::Earliest {
                return Err(overtaken(partition, landed, log));
            }
            tracing::warn!(%partition, claimed = landed, low = log.low, "retention was quicker: reading begins at what is left");
            place.position = log.low;
        }
        if landed > log.high {
            // It may lie in an open transaction, past the last stable offset, but not past the log's end.
            let log = self.brokers.ends(std::slice::from_ref(partition), Isolation::ReadUncommitted)?;
            let log = log.get(partition).ok_or_else(|| no_answer("read the ends of its log", partition))?;
            if landed > log.high {
                return Err(beyond_the_end(partition, landed, *log));
            }
        }
        // Of what retention took, the log confirms nothing.
        place.newest = place.newest.filter(|newest| newest.offset >= log.low && newest.offset < landed);
        Ok(Start { landed, place })
    }

    /// What the cluster says of the topics of these partitions, which have to be there and the ones that they were.
    fn look_up(&self, of: &[TopicPartition]) -> Result<BTreeMap<Arc<str>, SurveyedTopic>> {
        let wanted: BTreeSet<Arc<str>> = of.iter().map(|partition| partition.topic.clone()).collect();
        let mut survey = self.brokers.survey(&wanted)?;
        survey.topics.retain(|topic, _| wanted.contains(topic));
        for topic in &wanted {
            let Some(seen) = survey.topics.get(topic) else {
                // It was there a moment ago. Whether it is gone is for the lookout to say.
                return Err(Error::unavailable(format!("look topic {topic} up: the cluster does not have it now")));
            };
            // Also where nothing has landed yet: what was polled, and where reading began, are the first one's.
            self.check_same(topic, seen.identity.clone())?;
        }
        Ok(survey.topics)
    }

    /// Notes a topic's identity, which has to be the one that was noted before.
    fn check_same(&self, topic: &Arc<str>, now: SourceIdentity) -> Result<()> {
        let was = self.identities.note(topic.clone(), now.clone());
        if differs(&was, &now) { Err(recreated(topic, &was, &now)) } else { Ok(()) }
    }
}

fn no_answer(doing: &str, partition: &TopicPartition) -> Error {
    Error::unavailable(format!("{doing}: nothing was answered for {partition}"))
        .with_help("check that the brokers run and can be reached from here")
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
             ends at {high}; what was in [{position}, {low}) is gone, records that were not landed or markers of transactions"
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
/// Brokers that are well need no longer, as a rule.
const SHORTEST_LOOK_UP: Duration = Duration::from_secs(2);
