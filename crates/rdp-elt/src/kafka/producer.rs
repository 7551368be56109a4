//! Appends records to topics, and tells where each of them arrived: for topics that RDP itself fills, to show what it does
//! or to be tried on. What has landed is never sent from here.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::ClientContext;
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer, ProducerContext, PurgeConfig};

use super::error::from_kafka;
use super::watch::Watch;
use crate::error::{Error, ErrorKind, Result};
use crate::record::KafkaStreamRecord;

/// A producer that waits for every record's arrival.
pub(crate) struct KafkaProducer {
    client: BaseProducer<Deliveries>,
    /// What arrives is counted per call, so there is one call at a time.
    calls: Mutex<()>,
}

/// Where a record arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Delivery {
    pub(crate) partition: i32,
    pub(crate) offset: i64,
}

impl KafkaProducer {
    /// Opens a client. The configuration should ask for idempotence: a record that is sent again is then in the log once.
    pub(crate) fn open(config: &ClientConfig) -> Result<Self> {
        let client = config.create_with_context(Deliveries::default());
        Ok(KafkaProducer {
            client: client.map_err(|error| from_kafka("open a producer", error))?,
            calls: Mutex::default(),
        })
    }

    /// Appends records to their partitions' logs, in order, and waits until the brokers have them all; tells where each
    /// arrived, in the order of the records. A record without a timestamp gets the present; its offset is not looked at.
    ///
    /// Gives up as soon as `is_unwanted` says that nobody waits any more.
    ///
    /// # Errors
    /// The first record's that did not arrive; some of the others then may have.
    pub(crate) fn produce(
        &self,
        records: impl IntoIterator<Item = KafkaStreamRecord>,
        is_unwanted: impl Fn() -> bool,
    ) -> Result<Vec<Delivery>> {
        let _one = self.calls.lock().unwrap_or_else(PoisonError::into_inner);
        self.client.context().begin();
        let mut sent = 0;
        for record in records {
            self.send(&record, sent)
                .map_err(|error| not_sent(&format!("{DOING} {}[{}]", record.topic, record.partition), error))?;
            sent += 1;
        }
        let began = Instant::now();
        while let Err(error) = self.client.flush(FLUSH_SLICE) {
            if began.elapsed() < FLUSH_WAIT && !is_unwanted() {
                continue;
            }
            // Nothing of this call may arrive during the next one.
            self.client.purge(PurgeConfig::default().queue().inflight());
            let _ = self.client.flush(PURGE_WAIT);
            return Err(not_sent(DOING, error));
        }
        let arrived = self.client.context().end();
        if let Some((count, place, error)) = arrived.failed {
            return Err(not_sent(&format!("{DOING} {place}: {count} records did not arrive"), error));
        }
        match arrived.deliveries.into_iter().collect::<Option<Vec<_>>>() {
            Some(deliveries) if deliveries.len() == sent => Ok(deliveries),
            _ => Err(Error::internal(format!("{DOING}: librdkafka does not tell what became of every record"))),
        }
    }

    fn send(&self, record: &KafkaStreamRecord, number: usize) -> Result<(), KafkaError> {
        let mut out: BaseRecord<'_, [u8], [u8], usize> = BaseRecord::with_opaque_to(&record.topic, number);
        out.partition = Some(record.partition);
        out.key = record.key.as_deref();
        out.payload = record.value.as_deref();
        out.timestamp = record.timestamp;
        if !record.headers.is_empty() {
            let headers = OwnedHeaders::new_with_capacity(record.headers.len());
            out.headers = Some(record.headers.iter().fold(headers, |headers, header| {
                headers.insert(Header { key: &header.name, value: header.value.as_deref() })
            }));
        }
        loop {
            match self.client.send(out) {
                Ok(()) => return Ok(()),
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), back)) => {
                    out = back;
                    self.client.poll(Duration::from_millis(10));
                }
                Err((error, _)) => return Err(error),
            }
        }
    }
}

/// Our error for a record that did not arrive. The rights that a producer lacks are not a reader's.
fn not_sent(doing: &str, error: KafkaError) -> Error {
    let error = from_kafka(doing, error);
    match error.kind() {
        ErrorKind::Denied => error
            .with_help("grant WRITE and DESCRIBE on the topic; before Kafka 3.0 also IDEMPOTENT_WRITE on the cluster"),
        _ => error,
    }
}

/// Notes where each record arrived, and the first reason why one did not.
#[derive(Default)]
struct Deliveries {
    watch: Watch,
    arrived: Mutex<Arrived>,
}

#[derive(Default)]
struct Arrived {
    /// By the record's number in the call.
    deliveries: Vec<Option<Delivery>>,
    /// How many did not arrive, and where and why the first of them did not.
    failed: Option<(u64, String, KafkaError)>,
}

impl Deliveries {
    fn begin(&self) {
        *self.lock() = Arrived::default();
    }

    fn end(&self) -> Arrived {
        std::mem::take(&mut *self.lock())
    }

    fn lock(&self) -> MutexGuard<'_, Arrived> {
        self.arrived.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Deliveries {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.watch.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.watch.error(error, reason);
    }
}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = usize;

    fn delivery(&self, delivery: &DeliveryResult<'_>, number: usize) {
        let mut arrived = self.lock();
        match delivery {
            Ok(record) => {
                if arrived.deliveries.len() <= number {
                    arrived.deliveries.resize(number + 1, None);
                }
                arrived.deliveries[number] = Some(Delivery { partition: record.partition(), offset: record.offset() });
            }
            Err((error, record)) => {
                let place = || format!("{}[{}]", record.topic(), record.partition());
                arrived.failed.get_or_insert_with(|| (0, place(), error.clone())).0 += 1;
            }
        }
    }
}

const DOING: &str = "produce to";
/// Longer than librdkafka goes on trying to deliver a record, so that it says itself which did not arrive.
const FLUSH_WAIT: Duration = Duration::from_secs(75);
const FLUSH_SLICE: Duration = Duration::from_millis(200);
const PURGE_WAIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::{EmbeddedBroker, KafkaConsumerBuilder};

    #[test]
    fn every_delivery_is_told_in_the_order_of_the_records() {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 2).expect("made");
        let source = KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]);
        let producer = KafkaProducer::open(&source.producer_config()).expect("opens");
        let record = |partition| KafkaStreamRecord {
            topic: "orders".into(),
            partition,
            offset: 0,
            timestamp: None,
            key: None,
            headers: Vec::new(),
            value: None,
        };
        let places = |deliveries: Vec<Delivery>| -> Vec<(i32, i64)> {
            deliveries.iter().map(|delivery| (delivery.partition, delivery.offset)).collect()
        };
        let first = producer.produce([1, 0, 1].map(record), || false).expect("produced");
        assert_eq!(places(first), [(1, 0), (0, 0), (1, 1)]);
        let second = producer.produce([1, 0].map(record), || false).expect("produced");
        assert_eq!(places(second), [(1, 2), (0, 1)]);
        assert_eq!(producer.produce([], || false).expect("nothing to do").len(), 0);
    }
}
