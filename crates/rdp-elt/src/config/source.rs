//! `[source]`: which records, from where on, and how to reach the broker.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value;

use super::mistake::told;
use super::section::{Section, whole_number};
use crate::kafka::{Isolation, KafkaConsumerBuilder, StartPosition, check_topic, is_secret_key};
use crate::offset::TopicPartition;

/// What `[source]` says.
#[derive(Clone)]
pub struct SourceConfig {
    brokers: String,
    group_id: Option<String>,
    topics: Vec<String>,
    partitions: Vec<TopicPartition>,
    /// The consumer without its group.
    peek: KafkaConsumerBuilder,
}

impl SourceConfig {
    /// The brokers to begin with, `host:port`, split by commas.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The consumer group; without one a process takes every partition for itself.
    pub fn group_id(&self) -> Option<&str> {
        self.group_id.as_deref()
    }

    /// The topics: names, or regular expressions that begin with `^`.
    pub fn topics(&self) -> &[String] {
        &self.topics
    }

    /// The partitions to read, where the file names them; empty where the group shares them out.
    pub fn partitions(&self) -> &[TopicPartition] {
        &self.partitions
    }

    /// The consumer.
    pub(super) fn builder(&self) -> KafkaConsumerBuilder {
        match &self.group_id {
            Some(group_id) => self.peek.clone().group_id(group_id.as_str()),
            None => self.peek.clone(),
        }
    }

    /// The consumer without its group. It learns where logs end: markers of transactions stand there too, and are no record
    /// that a look would wait for.
    pub(super) fn peek(&self) -> KafkaConsumerBuilder {
        self.peek.clone().with_end_events()
    }
}

/// Reads `[source]`.
pub(super) fn read(section: &Section<'_>) -> Option<SourceConfig> {
    let brokers = section.required_text("brokers", "the brokers to begin with, such as \"localhost:9092\"");
    let group_id = section.text("group_id", "a group's name");
    let topics = read_topics(section);
    let partitions = read_partitions(section, &topics);
    let topics = if topics.is_empty() { topics_of(&partitions) } else { topics };
    if topics.is_empty() && !section.has("topics") && !section.has("partitions") {
        section.missing::<()>("topics", "expected the topics' names, such as [\"orders\"]");
    }

    let mut peek = KafkaConsumerBuilder::new(brokers.clone().unwrap_or_default());
    peek = match partitions.is_empty() {
        true => peek.topics(topics.iter().map(String::as_str)),
        false => peek.partitions(partitions.iter().cloned()),
    };
    if let Some(start) = read_start(section, &topics) {
        peek = peek.start(start);
    }
    let isolation = [("read_committed", Isolation::ReadCommitted), ("read_uncommitted", Isolation::ReadUncommitted)];
    if let Some(isolation) = section.choice("isolation", &isolation) {
        peek = peek.isolation(isolation);
    }
    let peek = from_environment(section, pass_through(&section.section("librdkafka"), peek));
    section.finish();
    Some(SourceConfig { brokers: brokers?, group_id, topics, partitions, peek })
}

fn read_topics(section: &Section<'_>) -> Vec<String> {
    let expected = "expected the topics' names, such as [\"orders\"], or a regular expression that begins with ^";
    let topics = match section.value("topics") {
        None => return Vec::new(),
        Some(Value::String(topic)) => vec![topic.clone()],
        Some(Value::Array(topics)) => topics.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        Some(_) => Vec::new(),
    };
    let all = section.value("topics").and_then(Value::as_array).map_or(topics.len(), Vec::len);
    if topics.is_empty() || topics.len() != all || topics.iter().any(|topic| topic.trim().is_empty()) {
        section.wrong::<()>("topics", expected);
    } else if let Some(problem) = topics.iter().find_map(|topic| problem_of(topic)) {
        section.wrong::<()>("topics", problem);
    }
    topics
}

/// `[0, 1]` of the one topic, or `["orders:0", "payments:3"]`.
fn read_partitions(section: &Section<'_>, topics: &[String]) -> Vec<TopicPartition> {
    let Some(value) = section.value("partitions") else { return Vec::new() };
    let items = value.as_array().map(Vec::as_slice).unwrap_or_default();
    let partitions: Vec<TopicPartition> = items
        .iter()
        .filter_map(|item| match item {
            Value::String(text) => partition(text, topics),
            other => partition(&other.to_string(), topics),
        })
        .collect();
    if partitions.is_empty() || partitions.len() != items.len() {
        section.wrong::<()>(
            "partitions",
            "expected partition numbers of the one topic, such as [0, 1], or names with their topic, such as [\"orders:0\"]",
        );
    }
    // Those of `topics` are looked at there.
    if let Some(problem) = partitions.iter().filter(|_| topics.is_empty()).find_map(|of| problem_of(&of.topic)) {
        section.wrong::<()>("partitions", problem);
    }
    partitions
}

/// Why no topic can have this name, or why it is no pattern.
fn problem_of(topic: &str) -> Option<String> {
    check_topic(topic).err().map(|error| told(&error))
}

/// `"0"` of the one topic that there is, or `"orders:0"`. A pattern has no partitions of its own.
fn partition(text: &str, topics: &[String]) -> Option<TopicPartition> {
    let (topic, number) = match (text.rsplit_once(':'), topics) {
        (Some((topic, number)), _) if topics.is_empty() || topics.iter().any(|known| known == topic) => (topic, number),
        (None, [topic]) if !topic.starts_with('^') => (topic.as_str(), text),
        _ => return None,
    };
    let number: i32 = number.parse().ok().filter(|number| *number >= 0)?;
    Some(TopicPartition::new(topic, number))
}

fn topics_of(partitions: &[TopicPartition]) -> Vec<String> {
    let names: std::collections::BTreeSet<&Arc<str>> = partitions.iter().map(|partition| &partition.topic).collect();
    names.into_iter().map(|name| name.to_string()).collect()
}

pub(super) fn read_start(section: &Section<'_>, topics: &[String]) -> Option<StartPosition> {
    match section.value("start")? {
        Value::String(word) if word == "earliest" => Some(StartPosition::Earliest),
        Value::String(word) if word == "latest" => Some(StartPosition::Latest),
        Value::String(time) => match chrono::DateTime::parse_from_rfc3339(time) {
            Ok(time) => Some(StartPosition::Time(time.timestamp_millis())),
            Err(_) => section.wrong("start", START_EXPECTED),
        },
        Value::Object(offsets) if !offsets.is_empty() => {
            let offsets: Option<BTreeMap<TopicPartition, i64>> = offsets
                .iter()
                .map(|(key, offset)| {
                    Some((partition(key, topics)?, whole_number(offset).filter(|offset| *offset >= 0)?))
                })
                .collect();
            match offsets {
                Some(offsets) => Some(StartPosition::Offsets(offsets)),
                None => section.wrong("start", START_EXPECTED),
            }
        }
        _ => section.wrong("start", START_EXPECTED),
    }
}

/// Hands librdkafka's own keys on. Dotted keys may stand quoted or, as TOML reads them bare, as nested tables.
fn pass_through(section: &Section<'_>, builder: KafkaConsumerBuilder) -> KafkaConsumerBuilder {
    let mut builder = builder;
    let (mut settings, mut written) = (Vec::new(), Vec::new());
    section.entries().for_each(|(key, value)| flatten(key.to_owned(), value, &mut settings));
    section.written_entries().for_each(|(key, value)| flatten(key.to_owned(), value, &mut written));
    // Variables stand in texts: what became of the tree has the form of the tree.
    for ((key, value), (_, written)) in settings.into_iter().zip(written) {
        let text = match value {
            Value::String(text) => text.clone(),
            Value::Number(_) | Value::Bool(_) => value.to_string(),
            _ => {
                section.valueless(&key, written);
                continue;
            }
        };
        match builder.clone().set(&key, text) {
            Ok(with_setting) => builder = with_setting,
            // The error repeats the value of a harmless key, which may not be what is meant where a variable stands in it.
            Err(_) if value != written && !is_secret_key(&key) => {
                section.refused(&key, written, "librdkafka does not take what the variable in it stands for");
            }
            Err(error) => section.refused(&key, written, told(&error)),
        }
    }
    builder
}

/// `KAFKA_SECURITY_PROTOCOL` and its like; what the file says goes first.
fn from_environment(section: &Section<'_>, builder: KafkaConsumerBuilder) -> KafkaConsumerBuilder {
    match builder.clone().from_env() {
        Ok(builder) => builder,
        Err(error) => {
            section.wrong_inside::<()>("librdkafka", format!("from a KAFKA_… environment variable: {}", told(&error)));
            builder
        }
    }
}

fn flatten<'a>(key: String, value: &'a Value, settings: &mut Vec<(String, &'a Value)>) {
    match value {
        Value::Object(table) => {
            for (inner, value) in table {
                flatten(format!("{key}.{inner}"), value, settings);
            }
        }
        value => settings.push((key, value)),
    }
}

const START_EXPECTED: &str = "expected \"earliest\", \"latest\", an RFC 3339 time such as \"2026-01-31T08:00:00Z\", \
     or offsets by partition such as { \"0\" = 120 } (with several topics { \"orders:0\" = 120 })";
