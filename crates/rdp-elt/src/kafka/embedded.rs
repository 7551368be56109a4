//! A broker in the process, for demos and quick tests: librdkafka's mock cluster.
//!
//! It speaks the real protocol on a loopback port, so consumers notice no difference, but it is no Kafka: it keeps the
//! newest 5 MB or so of a partition and nothing on disk, transactions have no effect on readers, and topics are made by
//! [`EmbeddedBroker::create_topic`] only.

use std::fmt;

use rdkafka::config::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
#[cfg(test)]
use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::error::from_kafka;
use super::producer::KafkaProducer;
use crate::error::{Error, Result};
use crate::record::KafkaStreamRecord;

/// A broker that lives as long as this value.
pub struct EmbeddedBroker {
    producer: KafkaProducer,
    cluster: MockCluster<'static, DefaultProducerContext>,
}

// SAFETY: the mock cluster is driven by messages to its own thread, and librdkafka allows its calls from any thread.
// Only a raw pointer keeps rdkafka's wrapper from saying so.
unsafe impl Send for EmbeddedBroker {}
// SAFETY: as above.
unsafe impl Sync for EmbeddedBroker {}

impl EmbeddedBroker {
    /// Starts a broker without topics.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where it cannot listen on a loopback port.
    pub fn start() -> Result<Self> {
        let doing = "start the embedded broker";
        let cluster = MockCluster::new(1).map_err(|error| from_kafka(doing, error))?;
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", cluster.bootstrap_servers())
            .set("client.id", "rdp-embedded")
            .set("enable.idempotence", "true")
            .set("linger.ms", "5")
            .set("batch.size", "1000000")
            .set("compression.codec", "none");
        Ok(EmbeddedBroker { producer: KafkaProducer::open(&config)?, cluster })
    }

    /// Where it listens, for [`KafkaConsumerBuilder::new`](super::KafkaConsumerBuilder::new).
    pub fn brokers(&self) -> String {
        self.cluster.bootstrap_servers()
    }

    /// Makes a topic.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the name is not a topic's or the topic exists.
    pub fn create_topic(&self, name: &str, partition_count: i32) -> Result<()> {
        let doing = format!("make topic {name} with {partition_count} partitions in the embedded broker");
        self.cluster.create_topic(name, partition_count, 1).map_err(|error| match error {
            KafkaError::MockCluster(RDKafkaErrorCode::TopicAlreadyExists) => {
                Error::config(format!("{doing}: it exists already"))
            }
            error => from_kafka(&doing, error),
        })
    }

    /// Appends records to their partitions' logs, in order, and waits until the broker has them all. The offset is the
    /// broker's to give: what a record says of it is not looked at. A record without a timestamp gets the present.
    ///
    /// # Errors
    /// [`Unavailable`](crate::ErrorKind::Unavailable) where a record does not arrive; some of the others then may have.
    pub fn produce(&self, records: impl IntoIterator<Item = KafkaStreamRecord>) -> Result<()> {
        self.producer.produce(records, || false).map(drop)
    }
}

impl fmt::Debug for EmbeddedBroker {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.debug_struct("EmbeddedBroker").field("brokers", &self.brokers()).finish_non_exhaustive()
    }
}

#[cfg(test)]
impl EmbeddedBroker {
    /// Lets the next requests of this API fail with these codes, one after the other; `ERR__TRANSPORT` cuts the connection
    /// instead of answering.
    pub(crate) fn fail_next(&self, api: RDKafkaApiKey, codes: &[RDKafkaRespErr]) {
        self.cluster.request_errors(api, codes);
    }

    /// Takes back what [`fail_next`](Self::fail_next) has left.
    pub(crate) fn forgive(&self, api: RDKafkaApiKey) {
        self.cluster.clear_request_errors(api);
    }

    /// Lets what is said of a topic bear this code from now on.
    pub(crate) fn fail_topic(&self, name: &str, code: RDKafkaRespErr) {
        self.cluster.topic_error(name, code).expect("the name is a C string");
    }

    /// Appends `count` records with the values "0", "1", and so on.
    pub(crate) fn produce_values(&self, topic: &str, partition: i32, count: usize) -> Result<()> {
        self.produce((0..count).map(|number| KafkaStreamRecord {
            topic: topic.into(),
            partition,
            offset: 0,
            timestamp: None,
            key: None,
            headers: Vec::new(),
            value: Some(number.to_string().into_bytes()),
        }))
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rdkafka::consumer::{BaseConsumer, Consumer};
    use rdkafka::message::Headers as _;
    use rdkafka::{Message as _, Offset, TopicPartitionList};

    use super::*;
    use crate::record::RecordHeader;

    #[test]
    fn records_come_out_as_they_went_in() {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 2).expect("made");
        let header =
            |name: &str, value: Option<&[u8]>| RecordHeader { name: name.into(), value: value.map(<[u8]>::to_vec) };
        let record = |value: Option<&[u8]>| KafkaStreamRecord {
            topic: "orders".into(),
            partition: 1,
            offset: 0,
            timestamp: Some(1_700_000_000_000),
            key: Some(b"k".to_vec()),
            headers: vec![header("a", None), header("a", Some(b""))],
            value: value.map(<[u8]>::to_vec),
        };
        broker.produce([record(None), record(Some(b"")), record(Some(b"v"))]).expect("produced");

        let consumer: BaseConsumer = ClientConfig::new()
            .set("bootstrap.servers", broker.brokers())
            .set("group.id", "g")
            .create()
            .expect("a consumer");
        let mut partitions = TopicPartitionList::new();
        partitions.add_partition_offset("orders", 1, Offset::Beginning).expect("an offset");
        consumer.assign(&partitions).expect("assigned");
        for (offset, value) in [None, Some(&b""[..]), Some(&b"v"[..])].into_iter().enumerate() {
            let message = consumer.poll(Duration::from_secs(10)).expect("a record").expect("no error");
            assert_eq!(message.offset(), i64::try_from(offset).expect("small"));
            assert_eq!(message.payload(), value);
            assert_eq!(message.timestamp().to_millis(), Some(1_700_000_000_000));
            let headers = message.headers().expect("headers");
            assert_eq!((headers.count(), headers.get(0).value, headers.get(1).value), (2, None, Some(&b""[..])));
        }
    }

    #[test]
    fn a_record_for_a_missing_partition_is_an_error() {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 1).expect("made");
        assert!(broker.produce_values("orders", 9, 1).is_err());
    }
}
