//! What a cluster says of itself: topics, ends of the logs, offsets by time, identities. The engine asks here where
//! reading begins and ends; nothing is read or changed. Every call blocks, so async code calls from a blocking thread.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::Offset;
use serde::Serialize;

use super::admin::Admin;
use super::builder::{Isolation, KafkaConsumerBuilder, StartPosition};
use super::description::TopicDescription;
use super::fetcher::{Fetcher, Told};
use super::keys::near;
use super::line::Line;
use super::naming::compile;
use super::native::NativeConsumer;
use super::question::Missing;
use crate::error::{Error, Result};
use crate::ledger::SourceIdentity;
use crate::offset::{Positions, TopicPartition};

/// A view of the cluster that a [`KafkaConsumerBuilder`] describes.
///
/// What is no answer is asked again within the longest wait: silence, answers that cannot be read, answers that leave out
/// what was asked, leaders that change. One answer that a topic does not exist is not believed either. A client that does
/// not hear the brokers any more is replaced by a new one.
///
/// # Errors
/// All methods fail with [`Unavailable`](crate::ErrorKind::Unavailable) where no answer comes in time,
/// [`Denied`](crate::ErrorKind::Denied) where the broker refuses us, and [`Config`](crate::ErrorKind::Config) where a
/// topic or a partition does not exist.
pub struct Cluster {
    pub(super) line: Line,
    pub(super) timeout: Duration,
    source: KafkaConsumerBuilder,
}

/// A topic that the builder's names match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TopicInfo {
    /// The topic's name.
    pub name: Arc<str>,
    /// How many partitions it has.
    pub partition_count: i32,
}

/// What the cluster has of the topics that a run reads.
#[derive(Debug, Default)]
pub(crate) struct Survey {
    pub(crate) topics: BTreeMap<Arc<str>, SurveyedTopic>,
    /// Topics that the cluster says it does not have.
    pub(crate) missing: BTreeSet<Arc<str>>,
}

impl Survey {
    /// Every partition of the topics that are there.
    pub(crate) fn partitions(&self) -> impl Iterator<Item = TopicPartition> {
        self.topics.iter().flat_map(|(topic, seen)| {
            (0..seen.partition_count).map(|partition| TopicPartition::new(topic.clone(), partition))
        })
    }
}

#[derive(Debug)]
pub(crate) struct SurveyedTopic {
    pub(crate) partition_count: i32,
    pub(crate) identity: SourceIdentity,
}

/// Both ends of one partition's log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Watermarks {
    /// The oldest offset that the log still has.
    pub low: i64,
    /// The position after the newest record that a reader sees: under `read_committed` the last stable offset.
    pub high: i64,
}

impl Cluster {
    /// Connects and asks the brokers for a sign of life; waits at most 30 s, here and in every later call.
    ///
    /// # Errors
    /// As for [`Cluster`]; besides, `Config` where librdkafka refuses the settings.
    pub fn connect(source: &KafkaConsumerBuilder) -> Result<Cluster> {
        Self::connect_within(source, DEFAULT_TIMEOUT)
    }

    /// [`connect`](Self::connect) with another longest wait.
    ///
    /// # Errors
    /// As [`connect`](Self::connect).
    pub fn connect_within(source: &KafkaConsumerBuilder, timeout: Duration) -> Result<Cluster> {
        let mut config = source.client_config()?;
        // Neither is of use without a subscription; with a group librdkafka would look for its coordinator.
        config.remove("group.id").remove("group.instance.id");
        let cluster = Cluster { line: Line::open(config)?, timeout, source: source.clone() };
        let doing = cluster.doing("connect to the brokers");
        cluster.ask(|admin, wait| admin.reach(&doing, wait))?;
        Ok(cluster)
    }

    /// The topics that the builder's names and regular expressions match, by name.
    ///
    /// # Errors
    /// As for [`Cluster`]; `Config` names a topic that does not exist and the nearest that do.
    pub fn topics(&self) -> Result<Vec<TopicInfo>> {
        let doing = self.doing("list topics");
        let (patterns, names): (Vec<&str>, Vec<&str>) =
            self.wanted_topics().into_iter().partition(|name| name.starts_with('^'));
        let described = self.describe(&doing, &names)?;
        let matched = self.surely_matching(&doing, &patterns)?;
        let found: BTreeMap<_, _> =
            described.into_iter().chain(matched).map(|topic| (topic.name, topic.partition_count)).collect();
        Ok(found.into_iter().map(|(name, partition_count)| TopicInfo { name, partition_count }).collect())
    }

    /// The partitions that the builder describes: its own list, or all of its topics'.
    ///
    /// # Errors
    /// As [`topics`](Self::topics).
    pub fn partitions(&self) -> Result<Vec<TopicPartition>> {
        let began = Instant::now();
        loop {
            let topics = self.topics()?;
            let all = topics.iter().flat_map(|topic| {
                (0..topic.partition_count).map(|partition| TopicPartition::new(Arc::clone(&topic.name), partition))
            });
            let all: BTreeSet<TopicPartition> = all.collect();
            let Some(listed) = self.source.assigned_partitions() else { return Ok(all.into_iter().collect()) };
            let Some(missing) = listed.iter().find(|partition| !all.contains(partition)) else {
                return Ok(listed.iter().cloned().collect::<BTreeSet<_>>().into_iter().collect());
            };
            // A broker that has just started may not know it yet.
            if began.elapsed() >= EMPTY_FOR {
                let doing = self.doing("list partitions");
                return Err(Error::config(format!("{doing}: there is no partition {missing}"))
                    .with_help("partitions are counted from 0"));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Both ends of these partitions' logs, as the builder's isolation sees them.
    ///
    /// # Errors
    /// As for [`Cluster`].
    pub fn watermarks(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Watermarks>> {
        self.watermarks_for(of, self.source.isolation_level())
    }

    /// The offset of the first record at or after a time, in milliseconds since 1970-01-01 UTC; the log's end where
    /// there is none.
    ///
    /// # Errors
    /// As for [`Cluster`].
    pub fn offsets_for_time(&self, of: &[TopicPartition], time: i64) -> Result<Positions> {
        let doing = self.doing(&format!("find offsets at time {time}"));
        // Negative times are the protocol's numbers for other questions.
        let isolation = self.source.isolation_level();
        let mut positions = self.list_offsets(&doing, of, Offset::Offset(time.max(0)), isolation)?;
        let later: Vec<TopicPartition> =
            positions.iter().filter(|(_, offset)| *offset < 0).map(|(partition, _)| partition.clone()).collect();
        let ends = self.list_offsets(&doing, &later, Offset::End, isolation)?;
        positions.extend(ends.iter().map(|(partition, end)| (partition.clone(), end)));
        Ok(positions)
    }

    /// The offset at which reading begins for each of these partitions.
    ///
    /// # Errors
    /// As for [`Cluster`]; `Config` where [`StartPosition::Offsets`] does not name a partition, or names an offset that
    /// its log does not have.
    pub fn start_offsets(&self, of: &[TopicPartition], start: &StartPosition) -> Result<Positions> {
        let doing = self.doing("find the offsets to start at");
        let isolation = self.source.isolation_level();
        match start {
            StartPosition::Earliest => self.list_offsets(&doing, of, Offset::Beginning, isolation),
            StartPosition::Latest => self.list_offsets(&doing, of, Offset::End, isolation),
            StartPosition::Time(time) => self.offsets_for_time(of, *time),
            StartPosition::Offsets(offsets) => {
                // Records of open transactions are in the log too: their offsets are as good a start as any.
                let logs = self.watermarks_for(of, Isolation::ReadUncommitted)?;
                logs.iter()
                    .map(|(partition, log)| Ok((partition.clone(), given_start(partition, log, offsets)?)))
                    .collect()
            }
        }
    }

    /// The cluster's and the topics' ids; empty where the broker does not tell.
    ///
    /// # Errors
    /// As for [`Cluster`].
    pub fn identity(&self, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, SourceIdentity>> {
        let names: Vec<&str> = topics.iter().map(|name| &**name).collect();
        let doing = self.doing("read the ids of topics");
        let described = self.describe(&doing, &names)?;
        let cluster_id = self.cluster_id(&doing)?;
        Ok(described
            .into_iter()
            .map(|topic| (topic.name, SourceIdentity { cluster_id: cluster_id.clone(), topic_id: topic.topic_id }))
            .collect())
    }

    /// Looks at the topics that the builder's names and patterns match, and at those that are `known` already. Unlike
    /// [`topics`](Self::topics) it takes a topic that the cluster does not have as an answer.
    pub(crate) fn survey(&self, known: &BTreeSet<Arc<str>>) -> Result<Survey> {
        let doing = self.doing("look at the topics");
        let (patterns, names): (Vec<&str>, Vec<&str>) =
            self.wanted_topics().into_iter().partition(|name| name.starts_with('^'));
        let matched = self.matching(&doing, &patterns)?;
        let names: BTreeSet<&str> = names
            .into_iter()
            .chain(matched.iter().map(|name| &**name))
            .chain(known.iter().map(|name| &**name))
            .collect();
        let names: Vec<&str> = names.into_iter().collect();
        let described = self.ask(|admin, wait| admin.describe_topics(&doing, wait, &names, Missing::Told))?;
        let cluster_id = self.cluster_id(&doing)?;
        let mut survey = Survey::default();
        for topic in described {
            if topic.is_missing() {
                survey.missing.insert(topic.name);
                continue;
            }
            let identity = SourceIdentity { cluster_id: cluster_id.clone(), topic_id: topic.topic_id };
            survey.topics.insert(topic.name, SurveyedTopic { partition_count: topic.partition_count, identity });
        }
        Ok(survey)
    }

    /// What the builder's group was told of these partitions, by whomever; nothing without a group.
    ///
    /// # Errors
    /// As for [`Cluster`]; it needs READ on the group.
    pub(crate) fn told(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, Told>> {
        match self.source.group() {
            None => Ok(BTreeMap::new()),
            // It joins nothing.
            Some(_) => NativeConsumer::open(&self.source.client_config()?)?.committed(of, self.timeout),
        }
    }

    /// Whether compaction takes records out of the topic's log.
    ///
    /// # Errors
    /// As for [`Cluster`]; reading a topic's configuration needs DESCRIBE_CONFIGS on it. `Unsupported` where the broker
    /// cannot tell.
    pub fn is_compacted(&self, topic: &str) -> Result<bool> {
        let doing = self.doing(&format!("read cleanup.policy of topic {topic}"));
        let policy = self.ask(|admin, wait| admin.topic_config(&doing, wait, topic, "cleanup.policy"))?;
        Ok(policy.is_some_and(|policy| policy.split(',').any(|one| one.trim() == "compact")))
    }

    /// The builder that it was connected by.
    pub(crate) fn source(&self) -> &KafkaConsumerBuilder {
        &self.source
    }

    /// Both ends of these partitions' logs, as a reader of this isolation sees them.
    pub(crate) fn watermarks_for(
        &self,
        of: &[TopicPartition],
        isolation: Isolation,
    ) -> Result<BTreeMap<TopicPartition, Watermarks>> {
        let doing = self.doing("read the ends of logs");
        let deadline = Instant::now() + self.timeout;
        loop {
            let lows = self.list_offsets(&doing, of, Offset::Beginning, isolation)?;
            let highs = self.list_offsets(&doing, of, Offset::End, isolation)?;
            let marks = |(partition, low): (&TopicPartition, i64)| {
                let high = highs.position(partition).filter(|high| *high >= low)?;
                Some((partition.clone(), Watermarks { low, high }))
            };
            let both: BTreeMap<_, _> = lows.iter().filter_map(marks).collect();
            // A log that is made anew or truncated between the two questions has ends that do not belong together.
            let Some(odd) = of.iter().find(|partition| !both.contains_key(partition)) else { return Ok(both) };
            if Instant::now() >= deadline {
                let told = format!("{:?} and {:?}", lows.position(odd), highs.position(odd));
                return Err(Error::unavailable(format!("{doing}: {odd} is said to begin and end at {told}")));
            }
            std::thread::sleep(LOOK_AGAIN);
        }
    }

    /// Asks within the longest wait; see [`Line::ask`].
    fn ask<T>(&self, ask: impl Fn(&Admin, Duration) -> Result<T>) -> Result<T> {
        self.line.ask(self.timeout, ask)
    }

    fn list_offsets(&self, doing: &str, of: &[TopicPartition], at: Offset, isolation: Isolation) -> Result<Positions> {
        let found = self.ask(|admin, wait| admin.list_offsets(doing, wait, of, at, isolation))?;
        Ok(found.into_iter().collect())
    }

    /// Empty where the brokers have none to tell.
    fn cluster_id(&self, doing: &str) -> Result<String> {
        let told = self.ask(|admin, wait| {
            // A client knows it from its first answer on.
            if !admin.has_answered() {
                admin.reach(doing, wait)?;
            }
            Ok(admin.cluster_id())
        })?;
        Ok(told.unwrap_or_default())
    }

    /// The topics that any of these patterns matches, as one look shows them.
    fn matching(&self, doing: &str, patterns: &[&str]) -> Result<Vec<Arc<str>>> {
        if patterns.is_empty() {
            return Ok(Vec::new());
        }
        let patterns = patterns.iter().map(|pattern| compile(pattern)).collect::<Result<Vec<_>>>()?;
        let topics = self.ask(|admin, wait| admin.all_topics(doing, wait))?;
        let names = topics.into_iter().filter(|topic| !topic.is_missing()).map(|topic| topic.name);
        Ok(names.filter(|name| patterns.iter().any(|pattern| pattern.is_match(name))).collect())
    }

    /// The same with their partitions. That nothing matches is believed after several looks: a broker that has just started
    /// has a list without topics.
    fn surely_matching(&self, doing: &str, patterns: &[&str]) -> Result<Vec<TopicDescription>> {
        let began = Instant::now();
        loop {
            let names = self.matching(doing, patterns)?;
            if names.is_empty() && !patterns.is_empty() && began.elapsed() < EMPTY_FOR {
                std::thread::sleep(LOOK_AGAIN);
                continue;
            }
            let names: Vec<&str> = names.iter().map(|name| &**name).collect();
            let mut described = self.ask(|admin, wait| admin.describe_topics(doing, wait, &names, Missing::Proved))?;
            // It was deleted since it was listed.
            described.retain(|topic| !topic.is_missing());
            return Ok(described);
        }
    }

    /// What the cluster says of topics that must exist.
    fn describe(&self, doing: &str, names: &[&str]) -> Result<Vec<TopicDescription>> {
        let described = self.ask(|admin, wait| admin.describe_topics(doing, wait, names, Missing::Proved))?;
        match described.iter().find(|topic| topic.is_missing()) {
            Some(missing) => Err(self.no_such_topic(doing, &missing.name)),
            None => Ok(described),
        }
    }

    fn no_such_topic(&self, doing: &str, name: &str) -> Error {
        let error = Error::config(format!("{doing}: there is no topic {name:?}")).of_missing_topic();
        let Ok(all) = self.ask(|admin, wait| admin.all_topics(doing, wait)) else { return error };
        let names: Vec<&str> =
            all.iter().map(|topic| &*topic.name).filter(|other| !other.starts_with("__") && *other != name).collect();
        error.with_help(match (near(name, names.iter().copied()).as_slice(), names.as_slice()) {
            ([], []) => "the cluster has no topic that we may see: make it, or grant DESCRIBE on it".to_owned(),
            ([], names) => format!("the cluster has {}", listed(names)),
            (near, _) => format!("did you mean {}?", near.join(" or ")),
        })
    }

    fn wanted_topics(&self) -> BTreeSet<&str> {
        match self.source.assigned_partitions() {
            Some(partitions) => partitions.iter().map(|partition| &*partition.topic).collect(),
            None => self.source.topic_names().iter().map(String::as_str).collect(),
        }
    }

    fn doing(&self, what: &str) -> String {
        format!("{what} at {}", self.source.brokers())
    }
}

fn given_start(partition: &TopicPartition, log: &Watermarks, given: &BTreeMap<TopicPartition, i64>) -> Result<i64> {
    let Some(offset) = given.get(partition).copied() else {
        return Err(Error::config(format!("start {partition}: no offset is given for it"))
            .with_help(format!("give one in [{}, {}]", log.low, log.high)));
    };
    if (log.low..=log.high).contains(&offset) {
        return Ok(offset);
    }
    Err(Error::config(format!("start {partition} at offset {offset}: its log has [{}, {})", log.low, log.high))
        .with_help(format!("start it anywhere in [{}, {}]", log.low, log.high)))
}

fn listed(names: &[&str]) -> String {
    let shown = names.iter().take(10).copied().collect::<Vec<_>>().join(", ");
    match names.len() {
        ..=10 => shown,
        more => format!("{shown} and {} more", more - 10),
    }
}

const DEFAULT_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a list without a topic that matches is looked at again.
const EMPTY_FOR: Duration = Duration::from_secs(2);
const LOOK_AGAIN: Duration = Duration::from_millis(400);

#[cfg(test)]
mod tests {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Response};

    use super::*;
    use crate::error::ErrorKind;
    use crate::kafka::EmbeddedBroker;

    fn partition(number: i32) -> TopicPartition {
        TopicPartition::new("orders", number)
    }

    fn broker_with_orders() -> EmbeddedBroker {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 3).expect("made");
        broker.create_topic("payments", 1).expect("made");
        broker
    }

    fn connect(builder: KafkaConsumerBuilder) -> Cluster {
        Cluster::connect_within(&builder, Duration::from_secs(10)).expect("connects")
    }

    #[test]
    fn names_and_patterns_find_topics() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["^pay", "orders"]));
        let topics = cluster.topics().expect("found");
        let found: Vec<_> = topics.iter().map(|topic| (&*topic.name, topic.partition_count)).collect();
        assert_eq!(found, [("orders", 3), ("payments", 1)]);
        assert_eq!(cluster.partitions().expect("found").len(), 4);
    }

    #[test]
    fn a_missing_topic_names_its_neighbours() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["order"]));
        let error = cluster.topics().expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.help().is_some_and(|help| help.contains("orders")), "{error:?}");
    }

    #[test]
    fn a_missing_partition_is_named() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).partitions([partition(7)]));
        let error = cluster.partitions().expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("orders[7]"), "{error:?}");
    }

    #[test]
    fn ends_and_starts_are_read_in_one_request() {
        let broker = broker_with_orders();
        broker.produce_values("orders", 1, 5).expect("produced");
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let all = cluster.partitions().expect("found");
        let ends = cluster.watermarks(&all).expect("read");
        assert_eq!(ends[&partition(0)], Watermarks { low: 0, high: 0 });
        assert_eq!(ends[&partition(1)], Watermarks { low: 0, high: 5 });
        let latest = cluster.start_offsets(&all, &StartPosition::Latest).expect("read");
        assert_eq!(latest.position(&partition(1)), Some(5));
    }

    #[test]
    fn a_start_outside_the_log_says_what_the_log_has() {
        let broker = broker_with_orders();
        broker.produce_values("orders", 1, 5).expect("produced");
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let start = |offset| StartPosition::Offsets(BTreeMap::from([(partition(1), offset)]));
        assert!(cluster.start_offsets(&[partition(1)], &start(5)).is_ok());
        let error = cluster.start_offsets(&[partition(1)], &start(6)).expect_err("outside");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("[0, 5)"), "{error:?}");
        assert!(cluster.start_offsets(&[partition(0)], &start(0)).is_err());
    }

    #[test]
    fn identities_come_quickly_even_where_there_are_none() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let began = std::time::Instant::now();
        let identity = cluster.identity(&["orders".into()]).expect("read");
        assert!(identity.contains_key("orders"));
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn a_question_that_the_broker_does_not_know_is_answered_quickly() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let began = std::time::Instant::now();
        let error = cluster.is_compacted("orders").expect_err("the embedded broker has no configuration");
        assert_eq!(error.kind(), ErrorKind::Unsupported, "{error:?}");
        assert!(began.elapsed() < Duration::from_secs(5));
    }

    #[test]
    fn answers_that_pass_are_asked_again() {
        let broker = broker_with_orders();
        broker.produce_values("orders", 1, 5).expect("produced");
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let all = cluster.partitions().expect("found");
        let codes = [
            Response::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            Response::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            Response::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            Response::RD_KAFKA_RESP_ERR_NOT_CONTROLLER,
            Response::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
            Response::RD_KAFKA_RESP_ERR_INVALID_REQUEST,
            Response::RD_KAFKA_RESP_ERR_UNKNOWN,
        ];
        for code in codes {
            broker.fail_next(RDKafkaApiKey::ListOffsets, &[code]);
            let ends = cluster.watermarks(&all).unwrap_or_else(|error| panic!("{code:?}: {error:?}"));
            assert_eq!((ends.len(), ends[&partition(1)]), (3, Watermarks { low: 0, high: 5 }), "{code:?}");
        }
    }

    #[test]
    fn what_librdkafka_presets_is_no_answer() {
        let broker = broker_with_orders();
        broker.produce_values("orders", 1, 5).expect("produced");
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let all = cluster.partitions().expect("found");
        for (start, wanted) in [(StartPosition::Earliest, 0), (StartPosition::Latest, 5)] {
            // librdkafka sends it again by itself once or twice.
            broker.fail_next(RDKafkaApiKey::ListOffsets, &[Response::RD_KAFKA_RESP_ERR__TRANSPORT; 6]);
            match cluster.start_offsets(&all, &start) {
                Ok(found) => assert_eq!(found.position(&partition(1)), Some(wanted), "{start:?}"),
                Err(error) => assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}"),
            }
            broker.forgive(RDKafkaApiKey::ListOffsets);
        }
    }

    #[test]
    fn a_refusal_is_believed_at_once() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
        let all = cluster.partitions().expect("found");
        broker.fail_next(RDKafkaApiKey::ListOffsets, &[Response::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED]);
        assert_eq!(cluster.watermarks(&all).expect_err("refused").kind(), ErrorKind::Denied);
    }

    #[test]
    fn one_look_does_not_prove_that_a_topic_is_missing() {
        let broker = broker_with_orders();
        let codes = [
            Response::RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART,
            Response::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE,
            Response::RD_KAFKA_RESP_ERR_TOPIC_EXCEPTION,
        ];
        for code in codes {
            let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]));
            broker.fail_topic("orders", code);
            let topics = std::thread::scope(|scope| {
                let looking = scope.spawn(|| cluster.topics());
                std::thread::sleep(Duration::from_millis(900));
                broker.fail_topic("orders", Response::RD_KAFKA_RESP_ERR_NO_ERROR);
                looking.join().expect("no panic")
            });
            assert_eq!(topics.unwrap_or_else(|error| panic!("{code:?}: {error:?}"))[0].partition_count, 3);
        }
    }

    #[test]
    fn a_survey_tells_a_missing_topic_at_once_and_waits_for_the_others() {
        let broker = broker_with_orders();
        let cluster = connect(KafkaConsumerBuilder::new(broker.brokers()).topics(["orders", "payments", "returns"]));
        broker.fail_topic("payments", Response::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        let survey = std::thread::scope(|scope| {
            let looking = scope.spawn(|| cluster.survey(&BTreeSet::new()));
            std::thread::sleep(Duration::from_millis(500));
            broker.fail_topic("payments", Response::RD_KAFKA_RESP_ERR_NO_ERROR);
            looking.join().expect("no panic")
        })
        .expect("seen");
        assert_eq!(survey.missing.iter().map(|name| &**name).collect::<Vec<_>>(), ["returns"]);
        assert_eq!(survey.topics.keys().map(|name| &**name).collect::<Vec<_>>(), ["orders", "payments"]);
    }

    #[test]
    fn a_topic_that_stays_without_leader_is_unavailable() {
        let broker = broker_with_orders();
        let source = KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]);
        let cluster = Cluster::connect_within(&source, Duration::from_secs(2)).expect("connects");
        broker.fail_topic("orders", Response::RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE);
        assert_eq!(cluster.topics().expect_err("no leader").kind(), ErrorKind::Unavailable);
    }

    #[test]
    fn a_broker_that_is_down_is_unavailable_and_says_why() {
        // The port was free a moment ago, and nobody listens there now.
        let port =
            std::net::TcpListener::bind("127.0.0.1:0").and_then(|socket| socket.local_addr()).expect("a port").port();
        let builder = KafkaConsumerBuilder::new(format!("127.0.0.1:{port}")).topics(["orders"]);
        let began = std::time::Instant::now();
        let error = Cluster::connect(&builder).map(|_| ()).expect_err("nobody listens");
        assert!(began.elapsed() < Duration::from_secs(15));
        assert_eq!(error.kind(), ErrorKind::Unavailable);
        assert!(error.message().contains("refused"), "{error:?}");
    }
}
