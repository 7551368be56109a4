//! How a consumer is described: brokers, topics, where reading begins, and every librdkafka key that RDP does not own.
//!
//! The description is plain data. Nothing here talks to a broker; `cluster` and `consumer` do, with the client
//! configuration that comes out of [`KafkaConsumerBuilder::client_config`].

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::config::RDKafkaLogLevel;

use super::error::setting_error;
use super::keys::{KNOWN, nearly, owned_by, stays_with_consumer};
use super::secrets::{named, remember, shown};
use crate::error::{Error, Result};
use crate::offset::TopicPartition;

/// Where reading begins for a partition that the sink does not know.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum StartPosition {
    /// The oldest record that the log still has.
    Earliest,
    /// The log's end as of now.
    Latest,
    /// The first record at or after this time, in milliseconds since 1970-01-01 UTC.
    Time(i64),
    /// These offsets; a partition that is not named is a `Config` error.
    Offsets(BTreeMap<TopicPartition, i64>),
}

/// Which records of transactions a reader sees.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Isolation {
    /// Those of committed transactions, up to the last stable offset. The default.
    ReadCommitted,
    /// All.
    ReadUncommitted,
}

impl Isolation {
    /// librdkafka's value of `isolation.level`.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Isolation::ReadCommitted => "read_committed",
            Isolation::ReadUncommitted => "read_uncommitted",
        }
    }
}

/// Describes a consumer.
///
/// ```
/// use rdp_elt::kafka::KafkaConsumerBuilder;
///
/// # fn main() -> rdp_elt::Result<()> {
/// let builder = KafkaConsumerBuilder::new("localhost:9092")
///     .topics(["orders", "^payments-.*"])
///     .group_id("rdp-orders")
///     .set("fetch.wait.max.ms", "100")?;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct KafkaConsumerBuilder {
    brokers: String,
    topics: Vec<String>,
    /// Instead of all partitions of the topics.
    partitions: Option<Vec<TopicPartition>>,
    group_id: Option<String>,
    start: StartPosition,
    isolation: Isolation,
    queue_bytes: usize,
    /// Whether the end of a partition is an event.
    end_events: bool,
    /// librdkafka's keys as they were given; they win over RDP's defaults.
    settings: BTreeMap<String, String>,
}

impl KafkaConsumerBuilder {
    /// A consumer of these brokers: `host:port`, several split by commas.
    pub fn new(brokers: impl Into<String>) -> Self {
        KafkaConsumerBuilder {
            brokers: brokers.into(),
            topics: Vec::new(),
            partitions: None,
            group_id: None,
            start: StartPosition::Earliest,
            isolation: Isolation::ReadCommitted,
            queue_bytes: DEFAULT_QUEUE_BYTES,
            end_events: false,
            settings: BTreeMap::new(),
        }
    }

    /// Adds topics. A name that begins with `^` is a regular expression over all topics of the cluster.
    #[must_use]
    pub fn topics<T: Into<String>>(mut self, topics: impl IntoIterator<Item = T>) -> Self {
        self.topics.extend(topics.into_iter().map(Into::into));
        self
    }

    /// Joins this consumer group, which shares the partitions out among its members. Without a group the consumer takes
    /// every partition of its topics for itself.
    #[must_use]
    pub fn group_id(mut self, group_id: impl Into<String>) -> Self {
        self.group_id = Some(group_id.into());
        self
    }

    /// Reads these partitions and no others, whatever [`topics`](Self::topics) says. A group then shares nothing out; it
    /// only bears the reported positions.
    #[must_use]
    pub fn partitions(mut self, partitions: impl IntoIterator<Item = TopicPartition>) -> Self {
        self.partitions.get_or_insert_default().extend(partitions);
        self
    }

    /// Where reading begins for a partition that the sink does not know. Default [`StartPosition::Earliest`].
    #[must_use]
    pub fn start(mut self, start: StartPosition) -> Self {
        self.start = start;
        self
    }

    /// Which records of transactions are read. Default [`Isolation::ReadCommitted`].
    #[must_use]
    pub fn isolation(mut self, isolation: Isolation) -> Self {
        self.isolation = isolation;
        self
    }

    /// Sets any key of librdkafka, verbatim.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where RDP owns the key, or librdkafka does not know it or refuses the value.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<String>) -> Result<Self> {
        let (key, value) = (key.into(), value.into());
        if let Some(instead) = owned_by(&key) {
            return Err(Error::config(format!("set librdkafka key {key:?}: RDP owns it")).with_help(instead));
        }
        // It would end the value for librdkafka, which is written in C.
        if key.contains('\0') || value.contains('\0') {
            return Err(Error::config(format!("set librdkafka key {:?}: a NUL byte stands in it", named(&key))));
        }
        ClientConfig::new().set(&key, &value).create_native_config().map_err(setting_error)?;
        self.settings.insert(key, value);
        Ok(self)
    }

    /// Takes librdkafka keys from the environment: `KAFKA_SECURITY_PROTOCOL` is `security.protocol`. A key that was
    /// already set stays as it is; variables of other programs (`KAFKA_HEAP_OPTS`) are passed over, with a warning where
    /// the name is nearly that of a key.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub fn from_env(self) -> Result<Self> {
        self.with_variables(
            std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value.into_string().ok()?))),
        )
    }

    /// The brokers, as given.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The topics' names and, beginning with `^`, regular expressions.
    pub fn topic_names(&self) -> &[String] {
        &self.topics
    }

    /// The partitions that are read instead of whole topics, where any were named.
    pub fn assigned_partitions(&self) -> Option<&[TopicPartition]> {
        self.partitions.as_deref()
    }

    /// The consumer group.
    pub fn group(&self) -> Option<&str> {
        self.group_id.as_deref()
    }

    /// Where reading begins for a partition that the sink does not know.
    pub fn start_position(&self) -> &StartPosition {
        &self.start
    }

    /// Which records of transactions are read.
    pub fn isolation_level(&self) -> Isolation {
        self.isolation
    }

    /// Whether the group deals the partitions out. Partitions that were named are read whoever else is in the group,
    /// which is then only told how far they have come.
    pub(crate) fn joins_group(&self) -> bool {
        self.group_id.is_some() && self.partitions.is_none()
    }

    /// Asks for an event at the end of each partition: a bounded read ends by it, and a position steps over markers.
    ///
    /// Only for who keeps positions of its own: a batch call counts the event as a record and remembers the position behind it
    /// as consumed. A cooperative rebalance goes on reading from there, and the next record of the partition is lost.
    pub(crate) fn with_end_events(mut self) -> Self {
        self.end_events = true;
        self
    }

    /// Caps what librdkafka holds in its queues, in bytes. Default 48 MiB. One fetch response that is under way comes on
    /// top, of at most half of it.
    pub(crate) fn with_queue_bytes(mut self, bytes: usize) -> Self {
        self.queue_bytes = bytes.max(MIN_QUEUE_BYTES);
        self
    }

    /// How often added partitions are looked for: librdkafka does it for a group's members, and the loader for itself
    /// where there is no group.
    pub(crate) fn metadata_interval(&self) -> Duration {
        let set = self.setting(METADATA_INTERVAL).and_then(|text| text.parse().ok()).filter(|millis| *millis > 0);
        Duration::from_millis(set.unwrap_or(DEFAULT_METADATA_INTERVAL))
    }

    /// Whether it names topics by regular expressions.
    pub(crate) fn has_patterns(&self) -> bool {
        self.topics.iter().any(|topic| topic.starts_with('^'))
    }

    /// The same source of these topics.
    pub(crate) fn with_topics(mut self, topics: impl IntoIterator<Item = String>) -> Self {
        self.topics = topics.into_iter().collect();
        self
    }

    /// The same source with all partitions of its topics.
    pub(crate) fn without_partitions(mut self) -> Self {
        self.partitions = None;
        self
    }

    /// The same source without a group: nothing is joined, nothing reported.
    pub(crate) fn without_group(mut self) -> Self {
        self.group_id = None;
        self
    }

    /// The same brokers and settings for one other topic: all of it, from its oldest record on, without a group.
    pub(crate) fn of_topic(&self, topic: &str) -> Self {
        KafkaConsumerBuilder {
            topics: vec![topic.to_owned()],
            partitions: None,
            group_id: None,
            start: StartPosition::Earliest,
            ..self.clone()
        }
    }

    /// The value of a librdkafka key, where one was set.
    pub(crate) fn setting(&self, key: &str) -> Option<&str> {
        self.settings.get(key).map(String::as_str)
    }

    /// Sets a key without asking; for keys and values that the caller knows to be right.
    pub(crate) fn with_setting(mut self, key: &str, value: impl Into<String>) -> Self {
        self.settings.insert(key.to_owned(), value.into());
        self
    }

    /// The configuration of a consumer's client: RDP's defaults, then the keys that were set, then those that RDP owns.
    ///
    /// librdkafka assigns partitions only to a client with a group, so without one a group's name stands in that is
    /// never joined and never committed to.
    pub(crate) fn client_config(&self) -> Result<ClientConfig> {
        self.check()?;
        let mut config = ClientConfig::new();
        // Our own subscriber decides what is shown; without this librdkafka's warnings would be dropped before it.
        config.set_log_level(RDKafkaLogLevel::Debug);
        for (key, value) in DEFAULTS {
            config.set(*key, *value);
        }
        // librdkafka reads its words in any case.
        if !self.setting("group.protocol").is_some_and(|protocol| protocol.eq_ignore_ascii_case("consumer")) {
            // The new protocol assigns on the broker's side, and librdkafka refuses these keys beside it.
            config.set("partition.assignment.strategy", "cooperative-sticky");
            // Who dies keeps its partitions from the others for so long. The landing's fence makes it safe to be quick.
            let millis = |key, default: u64| self.setting(key).and_then(|text| text.parse().ok()).unwrap_or(default);
            let session = millis("session.timeout.ms", SESSION_TIMEOUT.min(millis("max.poll.interval.ms", u64::MAX)));
            config.set("session.timeout.ms", session.to_string());
            config.set("heartbeat.interval.ms", (session / 3).max(1).to_string());
        }
        // One answer comes whole, beside a queue that is nearly full: decompressed, and a message at a time, it takes many
        // times its size. librdkafka refuses one that is smaller than a message may be.
        let bytes = |key| self.setting(key).and_then(|bytes| bytes.parse::<usize>().ok());
        let largest = bytes("message.max.bytes").unwrap_or(DEFAULT_MESSAGE_BYTES);
        let receivable =
            bytes("receive.message.max.bytes").map_or(usize::MAX, |most| most.saturating_sub(FRAMING_BYTES));
        let fetch_bytes = (self.queue_bytes / 8).clamp(MIN_QUEUE_BYTES, MAX_FETCH_BYTES).min(receivable).max(largest);
        config.set("queued.max.messages.kbytes", (self.queue_bytes / 1024).min(MAX_QUEUE_KBYTES).to_string());
        config.set("fetch.max.bytes", fetch_bytes.to_string());
        for (key, value) in &self.settings {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        config.set("group.id", self.group().unwrap_or(STAND_IN_GROUP));
        config.set("isolation.level", self.isolation.as_str());
        for (key, value) in FIXED {
            config.set(*key, *value);
        }
        config.set("enable.partition.eof", self.end_events.to_string());
        self.remember_secrets();
        Ok(config)
    }

    /// The configuration of a producer's client that reaches the brokers as this consumer does: by the same connection and
    /// the same credentials. What only a consumer knows stays behind, and what is sent again arrives once.
    pub(crate) fn producer_config(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config.set_log_level(RDKafkaLogLevel::Debug);
        config.set("client.id", "rdp");
        for (key, value) in self.settings.iter().filter(|(key, _)| !stays_with_consumer(key)) {
            config.set(key, value);
        }
        config.set("bootstrap.servers", &self.brokers);
        for (key, value) in PRODUCER_FIXED {
            config.set(*key, *value);
        }
        self.remember_secrets();
        config
    }

    /// Before a client has them and may repeat them.
    fn remember_secrets(&self) {
        remember(self.settings.iter().map(|(key, value)| (key.as_str(), value.as_str())));
    }

    fn check(&self) -> Result<()> {
        if self.brokers.trim().is_empty() {
            return Err(Error::config("describe a consumer: `brokers` is empty").with_help("name them as host:port"));
        }
        if self.group_id.as_deref() == Some("") {
            return Err(Error::config("describe a consumer: `group_id` is empty").with_help("name it or leave it out"));
        }
        if self.topics.is_empty() && self.partitions.is_none() {
            return Err(Error::config(format!("describe a consumer of {}: it reads no topic", self.brokers))
                .with_help("name at least one in `topics`"));
        }
        Ok(())
    }

    fn with_variables(mut self, variables: impl Iterator<Item = (String, String)>) -> Result<Self> {
        for (name, value) in variables {
            let Some(rest) = name.strip_prefix("KAFKA_") else { continue };
            let key = rest.to_ascii_lowercase().replace('_', ".");
            if self.settings.contains_key(&key) || rest == KAFKAS_OWN {
                continue;
            }
            if owned_by(&key).is_none() && !KNOWN.contains(&key.as_str()) {
                if let Some(meant) = nearly(&key) {
                    let meant = format!("KAFKA_{}", meant.to_ascii_uppercase().replace('.', "_"));
                    tracing::warn!("variable {name} is passed over: librdkafka has no such key; {meant} is read");
                }
                continue;
            }
            self = self.set(key, value)?;
        }
        Ok(self)
    }
}

impl fmt::Debug for KafkaConsumerBuilder {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let settings: BTreeMap<&str, &str> =
            self.settings.iter().map(|(key, value)| (key.as_str(), shown(key, value))).collect();
        out.debug_struct("KafkaConsumerBuilder")
            .field("brokers", &self.brokers)
            .field("topics", &self.topics)
            .field("partitions", &self.partitions)
            .field("group_id", &self.group_id)
            .field("start", &self.start)
            .field("isolation", &self.isolation)
            .field("queue_bytes", &self.queue_bytes)
            .field("settings", &settings)
            .finish()
    }
}

/// Where librdkafka's own defaults are unsafe, slow or silent. Anybody may override them.
const DEFAULTS: &[(&str, &str)] = &[
    ("client.id", "rdp"),
    ("check.crcs", "true"),
    ("allow.auto.create.topics", "false"),
    // librdkafka waits a whole second whenever its queue was full, which halves the throughput.
    ("fetch.queue.backoff.ms", "10"),
    // Added partitions and topics show within half a minute instead of five. As DEFAULT_METADATA_INTERVAL.
    (METADATA_INTERVAL, "30000"),
];

/// What the engine's promises rest on. Nobody overrides them.
const FIXED: &[(&str, &str)] =
    &[("auto.offset.reset", "error"), ("enable.auto.commit", "false"), ("enable.auto.offset.store", "false")];

/// What makes a record that is sent again arrive once, and in its place.
const PRODUCER_FIXED: &[(&str, &str)] =
    &[("enable.idempotence", "true"), ("acks", "all"), ("message.timeout.ms", "60000"), ("linger.ms", "5")];

/// The shortest that a broker allows by default (`group.min.session.timeout.ms`), in milliseconds.
const SESSION_TIMEOUT: u64 = 6_000;

const METADATA_INTERVAL: &str = "topic.metadata.refresh.interval.ms";

const DEFAULT_METADATA_INTERVAL: u64 = 30_000;

const STAND_IN_GROUP: &str = "rdp-without-group";

const DEFAULT_QUEUE_BYTES: usize = 48 << 20;

/// librdkafka wants room for one message of the default `message.max.bytes`.
const MIN_QUEUE_BYTES: usize = 1 << 20;

/// The most that librdkafka takes for `queued.max.messages.kbytes`.
const MAX_QUEUE_KBYTES: usize = 2_097_151;

/// librdkafka's default of `fetch.max.bytes`.
const MAX_FETCH_BYTES: usize = 50 << 20;

/// librdkafka's default of `message.max.bytes`.
const DEFAULT_MESSAGE_BYTES: usize = 1_000_000;

/// What librdkafka wants `receive.message.max.bytes` to be above `fetch.max.bytes`.
const FRAMING_BYTES: usize = 512;

/// What is behind `KAFKA_` in the one variable that is a key of librdkafka's and means something else to Kafka's scripts:
/// `KAFKA_DEBUG=y` has them wait for a debugger.
const KAFKAS_OWN: &str = "DEBUG";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn orders() -> KafkaConsumerBuilder {
        KafkaConsumerBuilder::new("localhost:9092").topics(["orders"])
    }

    #[test]
    fn an_owned_key_is_refused_with_the_setting_to_use() {
        let error = orders().set("group.id", "x").expect_err("owned");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("group.id"));
        assert!(error.help().is_some_and(|help| help.contains("group_id")));
    }

    #[test]
    fn an_answer_takes_an_eighth_of_the_queue_and_holds_the_largest_message() {
        let fetched = |builder: KafkaConsumerBuilder| {
            let config = builder.with_queue_bytes(64 << 20).client_config().expect("valid");
            config.get("fetch.max.bytes").map(str::to_owned)
        };
        assert_eq!(fetched(orders()).as_deref(), Some("8388608"));
        let large = orders().set("message.max.bytes", "20000000").expect("a key of librdkafka's");
        assert_eq!(fetched(large).as_deref(), Some("20000000"));
        let own = orders().set("fetch.max.bytes", "2000000").expect("a key of librdkafka's");
        assert_eq!(fetched(own).as_deref(), Some("2000000"));
    }

    #[test]
    fn a_mistyped_key_names_the_nearest() {
        let error = orders().set("sesion.timeout.ms", "6000").expect_err("unknown");
        assert!(error.message().contains("sesion.timeout.ms"), "{error:?}");
        assert!(error.help().is_some_and(|help| help.contains("session.timeout.ms")), "{error:?}");
    }

    #[test]
    fn a_bad_value_is_refused_before_anything_connects() {
        let error = orders().set("session.timeout.ms", "soon").expect_err("not a number");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.message().contains("soon") && error.message().contains("session.timeout.ms"), "{error:?}");
    }

    #[test]
    fn a_refused_secret_is_not_told() {
        let error = orders().set("sasl.oauthbearer.method", "hunter2").expect_err("not a method");
        assert!(error.message().contains("hunter2"));
        let builder = orders().set("sasl.password", "hunter2").expect("a password");
        assert!(!format!("{builder:?}").contains("hunter2"));
    }

    #[test]
    fn a_producer_is_let_in_as_the_consumer_is_and_knows_nothing_of_fetching() {
        let builder = [
            ("security.protocol", "SASL_SSL"),
            ("sasl.password", "hunter2"),
            ("ssl.ca.location", "/ca.pem"),
            ("fetch.wait.max.ms", "100"),
            ("session.timeout.ms", "6000"),
            ("acks", "1"),
            ("max.in.flight", "1000"),
        ]
        .into_iter()
        .try_fold(orders(), |builder, (key, value)| builder.set(key, value))
        .expect("valid");
        let config = builder.producer_config();
        for (key, value) in [
            ("security.protocol", Some("SASL_SSL")),
            ("sasl.password", Some("hunter2")),
            ("ssl.ca.location", Some("/ca.pem")),
            ("fetch.wait.max.ms", None),
            ("session.timeout.ms", None),
            ("max.in.flight", None),
            ("acks", Some("all")),
            ("bootstrap.servers", Some("localhost:9092")),
        ] {
            assert_eq!(config.get(key), value, "{key}");
        }
    }

    #[test]
    fn the_fixed_keys_win_and_the_defaults_give_way() {
        let config = orders().set("check.crcs", "false").and_then(|builder| builder.client_config()).expect("valid");
        assert_eq!(config.get("check.crcs"), Some("false"));
        assert_eq!(config.get("auto.offset.reset"), Some("error"));
        assert_eq!(config.get("partition.assignment.strategy"), Some("cooperative-sticky"));
    }

    #[test]
    fn the_new_group_protocol_gets_no_assignment_strategy() {
        let builder = orders().group_id("g").set("group.protocol", "consumer").expect("a protocol");
        let config = builder.client_config().expect("valid");
        assert_eq!(config.get("partition.assignment.strategy"), None);
    }

    #[test]
    fn a_consumer_without_topics_is_refused() {
        let error = KafkaConsumerBuilder::new("localhost:9092").client_config().map(|_| ()).expect_err("no topic");
        assert_eq!(error.kind(), ErrorKind::Config);
    }

    #[test]
    fn the_environment_adds_keys_and_overrides_none() {
        let variables = [
            ("KAFKA_SECURITY_PROTOCOL", "SASL_SSL"),
            ("KAFKA_CLIENT_ID", "other"),
            ("KAFKA_HEAP_OPTS", "-Xmx1g"),
            ("PATH", "/bin"),
        ];
        let builder = orders()
            .set("client.id", "mine")
            .and_then(|builder| builder.with_variables(variables.iter().map(|(k, v)| ((*k).into(), (*v).into()))))
            .expect("valid");
        assert_eq!(builder.setting("security.protocol"), Some("SASL_SSL"));
        assert_eq!(builder.setting("client.id"), Some("mine"));
    }

    #[test]
    fn an_owned_key_in_the_environment_is_refused() {
        let variables = [("KAFKA_GROUP_ID".to_owned(), "g".to_owned())];
        assert!(orders().with_variables(variables.into_iter()).is_err());
    }
}
