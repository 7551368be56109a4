//! Producing: plain, and in transactions that are committed, aborted or left open.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::message::{Header, Message, OwnedHeaders};
use rdkafka::producer::{BaseProducer, BaseRecord, DeliveryResult, Producer as _, ProducerContext};
use rdkafka::types::RDKafkaErrorCode;

use crate::record::Record;
use crate::topic::Topic;

/// Where the broker put a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Delivered {
    /// The partition.
    pub partition: i32,
    /// The offset in it.
    pub offset: i64,
}

/// A producer to one topic.
pub struct Producer {
    inner: BaseProducer<Deliveries>,
    topic: Topic,
}

impl Producer {
    pub(crate) fn open(topic: Topic, settings: &[(&str, &str)]) -> Self {
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", topic.brokers()).set("linger.ms", "5");
        // Orders of tests are fixed: a retry must not change them.
        config.set("enable.idempotence", "true").set("message.max.bytes", "20000000");
        settings.iter().for_each(|(key, value)| {
            config.set(*key, *value);
        });
        let inner = config.create_with_context(Deliveries::default());
        let inner = inner.unwrap_or_else(|error| panic!("open a producer with {settings:?}: {error}"));
        Producer { inner, topic }
    }

    /// Hands a record over; [`Producer::flush`] waits until the broker has it.
    pub fn send(&self, record: impl Into<Record>) {
        let Record { partition, timestamp, key, value, headers } = record.into();
        let mut next = BaseRecord::<[u8], [u8], Box<usize>>::with_opaque_to(
            self.topic.name(),
            Box::new(self.inner.context().reserve()),
        );
        next.partition = partition;
        next.timestamp = timestamp;
        next.key = key.as_deref();
        next.payload = value.as_deref();
        if !headers.is_empty() {
            let empty = OwnedHeaders::new_with_capacity(headers.len());
            let all = headers
                .iter()
                .fold(empty, |all, (name, value)| all.insert(Header { key: name, value: value.as_deref() }));
            next.headers = Some(all);
        }
        while let Err((error, refused)) = self.inner.send(next) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(error == full, "produce to {}: {error}", self.topic.name());
            self.inner.poll(Duration::from_millis(50));
            next = refused;
        }
    }

    /// Waits until the broker has every record sent so far; says where each is, in the order of sending.
    pub fn flush(&self) -> Vec<Delivered> {
        let flushed = self.inner.flush(Duration::from_secs(120));
        flushed.unwrap_or_else(|error| panic!("flush to {}: {error}", self.topic.name()));
        let delivered = std::mem::take(&mut *self.inner.context().slots());
        let place = |slot: Option<Result<Delivered, KafkaError>>| {
            let outcome = slot.expect("a flushed producer has reported every record");
            outcome.unwrap_or_else(|error| panic!("produce to {}: {error}", self.topic.name()))
        };
        delivered.into_iter().map(place).collect()
    }
}

/// A transaction with records in it. Dropped without commit or abort it stays open until its timeout of 10 minutes: a
/// `read_committed` reader does not get past it.
#[must_use = "dropped, it stays open: say so by keeping it"]
pub struct Transaction(Producer);

impl Transaction {
    pub(crate) fn begin<R: Into<Record>>(topic: Topic, records: impl IntoIterator<Item = R>) -> Self {
        let id = format!("test-{:016x}", fastrand::u64(..));
        let producer = Producer::open(topic, &[("transactional.id", &id), ("transaction.timeout.ms", "600000")]);
        let began = producer.inner.init_transactions(LIMIT).and_then(|()| producer.inner.begin_transaction());
        began.unwrap_or_else(|error| panic!("begin a transaction: {error}"));
        let transaction = Transaction(producer);
        transaction.produce(records);
        transaction
    }

    /// Sends more records in it, and waits until the broker has them.
    pub fn produce<R: Into<Record>>(&self, records: impl IntoIterator<Item = R>) -> Vec<Delivered> {
        records.into_iter().for_each(|record| self.0.send(record));
        self.0.flush()
    }

    /// Commits it: its records become visible to `read_committed` readers.
    pub fn commit(self) {
        let outcome = self.0.inner.commit_transaction(LIMIT);
        outcome.unwrap_or_else(|error| panic!("commit a transaction: {error}"));
    }

    /// Aborts it: its records stay in the log and no `read_committed` reader sees them.
    pub fn abort(self) {
        let outcome = self.0.inner.abort_transaction(LIMIT);
        outcome.unwrap_or_else(|error| panic!("abort a transaction: {error}"));
    }
}

/// What became of each record, by the order of sending.
#[derive(Default)]
struct Deliveries(Arc<Mutex<Vec<Slot>>>);

type Slot = Option<Result<Delivered, KafkaError>>;

impl Deliveries {
    fn slots(&self) -> std::sync::MutexGuard<'_, Vec<Slot>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn reserve(&self) -> usize {
        let mut slots = self.slots();
        slots.push(None);
        slots.len() - 1
    }
}

impl ClientContext for Deliveries {}

impl ProducerContext for Deliveries {
    type DeliveryOpaque = Box<usize>;

    fn delivery(&self, result: &DeliveryResult<'_>, place: Box<usize>) {
        let outcome = match result {
            Ok(message) => Ok(Delivered { partition: message.partition(), offset: message.offset() }),
            Err((error, _)) => Err(error.clone()),
        };
        // A producer that is dropped purges after its slots were taken.
        if let Some(slot) = self.slots().get_mut(*place) {
            *slot = Some(outcome);
        }
    }
}

const LIMIT: Duration = Duration::from_secs(30);
