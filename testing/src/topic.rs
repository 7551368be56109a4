//! A topic of a test: made with a unique name, filled, altered, deleted.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use rdkafka::admin::{
    AdminClient, AdminOptions, AlterConfig, NewPartitions, NewTopic, ResourceSpecifier, TopicReplication,
};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::error::KafkaError;
use rdkafka::{Message, Offset, TopicPartitionList};

use crate::producer::{Delivered, Producer, Transaction};
use crate::record::Record;

/// How a topic is made.
#[derive(Debug, Clone)]
pub struct TopicOptions {
    partitions: i32,
    replicas: Option<i32>,
    /// The broker's alter call resets what it is not told, so the topic remembers everything.
    configs: Vec<(String, String)>,
}

impl TopicOptions {
    /// A topic with this many partitions and `retention.ms=-1`: without it the broker would empty a topic of old
    /// timestamps while one looks at it.
    pub fn new(partitions: i32) -> Self {
        TopicOptions { partitions, replicas: None, configs: vec![("retention.ms".to_owned(), "-1".to_owned())] }
    }

    /// Sets a topic config.
    #[must_use]
    pub fn config(mut self, key: &str, value: impl ToString) -> Self {
        set(&mut self.configs, key, value.to_string());
        self
    }

    /// A topic that compacts as soon as it can: segments roll after 100 ms at the next record, nothing waits.
    #[must_use]
    pub fn compacted(self) -> Self {
        self.config("cleanup.policy", "compact")
            .config("segment.ms", 100)
            .config("min.cleanable.dirty.ratio", "0.01")
            .config("delete.retention.ms", 60_000)
    }

    /// Sets the number of replicas; by default one, and in a cluster one on every node.
    #[must_use]
    pub fn replicas(mut self, replicas: i32) -> Self {
        self.replicas = Some(replicas);
        self
    }

    pub(crate) fn replicas_or(mut self, replicas: i32) -> Self {
        self.replicas.get_or_insert(replicas);
        self
    }
}

/// A topic on a broker.
#[derive(Debug, Clone)]
pub struct Topic {
    brokers: Arc<str>,
    name: Arc<str>,
    options: TopicOptions,
}

impl Topic {
    pub(crate) fn create(brokers: &str, name: &str, options: TopicOptions) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let name = format!("{name}-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed));
        let topic = Topic { brokers: brokers.into(), name: name.into(), options };
        topic.create_now();
        topic
    }

    /// The same topic as a client sees it that bootstraps elsewhere: through a proxy, or from one node.
    #[must_use]
    pub fn through(&self, brokers: &str) -> Self {
        Topic { brokers: brokers.into(), ..self.clone() }
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The bootstrap addresses.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// How many partitions it has.
    pub fn partitions(&self) -> i32 {
        self.options.partitions
    }

    /// Produces records and waits until the broker has them all; says where each is, in the order given.
    pub fn produce<R: Into<Record>>(&self, records: impl IntoIterator<Item = R>) -> Vec<Delivered> {
        self.produce_with(&[], records)
    }

    /// Produces with settings of librdkafka's, such as `compression.codec`.
    pub fn produce_with<R: Into<Record>>(
        &self,
        settings: &[(&str, &str)],
        records: impl IntoIterator<Item = R>,
    ) -> Vec<Delivered> {
        let producer = self.producer(settings);
        records.into_iter().for_each(|record| producer.send(record));
        producer.flush()
    }

    /// A producer to this topic, with settings of librdkafka's.
    pub fn producer(&self, settings: &[(&str, &str)]) -> Producer {
        Producer::open(self.clone(), settings)
    }

    /// Begins a transaction and sends records in it: commit it, abort it, or keep it to leave it open.
    pub fn transaction<R: Into<Record>>(&self, records: impl IntoIterator<Item = R>) -> Transaction {
        Transaction::begin(self.clone(), records)
    }

    /// Deletes the topic and waits until it is gone.
    pub fn delete(&self) {
        let deleted = block_on(self.admin().delete_topics(&[&self.name], &patient()));
        let outcome = deleted.and_then(|results| results.into_iter().next().map_or(Ok(Ok(String::new())), Ok));
        if !matches!(outcome, Ok(Ok(_))) {
            panic!("delete topic {}: {outcome:?}", self.name);
        }
        self.wait_for_partitions(0);
    }

    /// Deletes the topic and creates it again under the same name: empty, and another topic to the broker.
    pub fn recreate(&self) {
        self.delete();
        self.create_now();
    }

    /// Deletes the records of a partition before `offset`, as retention does.
    pub fn delete_records(&self, partition: i32, offset: i64) {
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Offset(offset)).expect("an offset can be named");
        let outcome = block_on(self.admin().delete_records(&list, &patient()));
        let outcome = outcome.and_then(|list| list.elements().iter().try_for_each(|element| element.error()));
        outcome.unwrap_or_else(|error| panic!("delete records of {}[{partition}] before {offset}: {error}", self.name));
    }

    /// Changes a config of the topic.
    pub fn alter_config(&mut self, key: &str, value: impl ToString) {
        set(&mut self.options.configs, key, value.to_string());
        let alter = AlterConfig::new(ResourceSpecifier::Topic(&self.name));
        let alter = self.options.configs.iter().fold(alter, |alter, (key, value)| alter.set(key, value));
        let outcome = block_on(self.admin().alter_configs([&alter], &patient()));
        if !matches!(outcome.as_deref(), Ok([Ok(_)])) {
            panic!("alter {key} of topic {}: {outcome:?}", self.name);
        }
    }

    /// Adds partitions up to `total`.
    pub fn add_partitions(&mut self, total: i32) {
        let wanted = NewPartitions::new(&self.name, usize::try_from(total).expect("a positive number"));
        let outcome = block_on(self.admin().create_partitions([&wanted], &patient()));
        if !matches!(outcome.as_deref(), Ok([Ok(_)])) {
            panic!("give topic {} {total} partitions: {outcome:?}", self.name);
        }
        self.options.partitions = total;
        self.wait_for_partitions(total);
    }

    /// The first offset that a partition still has, and the position after its last record or marker: an open
    /// transaction is before it.
    pub fn offsets(&self, partition: i32) -> (i64, i64) {
        self.watermarks(partition, "read_uncommitted")
    }

    /// The position up to which a `read_committed` reader gets: where the first open transaction begins, else the end.
    pub fn last_stable_offset(&self, partition: i32) -> i64 {
        self.watermarks(partition, "read_committed").1
    }

    /// Waits until no transaction is open: a coordinator answers before its markers are in the logs.
    pub fn wait_for_markers(&self) {
        let deadline = Instant::now() + Duration::from_secs(30);
        for partition in 0..self.options.partitions {
            while self.last_stable_offset(partition) < self.offsets(partition).1 {
                assert!(Instant::now() < deadline, "{}[{partition}] has an open transaction", self.name);
                thread::sleep(Duration::from_millis(10));
            }
        }
    }

    /// The offset of every record of a partition that a `read_committed` reader finds.
    pub fn readable_offsets(&self, partition: i32) -> Vec<i64> {
        let mut client = self.client();
        client.set("group.id", "rdp-testing").set("enable.partition.eof", "true").set("enable.auto.commit", "false");
        let consumer: BaseConsumer = client.create().expect("a plain client can be made");
        let mut list = TopicPartitionList::new();
        list.add_partition_offset(&self.name, partition, Offset::Beginning).expect("an offset can be named");
        consumer.assign(&list).unwrap_or_else(|error| panic!("read {}[{partition}]: {error}", self.name));
        let mut offsets = Vec::new();
        loop {
            match consumer.poll(Duration::from_secs(30)) {
                Some(Ok(record)) => offsets.push(record.offset()),
                Some(Err(KafkaError::PartitionEOF(_))) => return offsets,
                outcome => panic!("read {}[{partition}]: {outcome:?}", self.name),
            }
        }
    }

    /// The id of the node that leads a partition.
    pub fn leader(&self, partition: i32) -> usize {
        let deadline = Instant::now() + Duration::from_secs(30);
        let consumer = self.consumer();
        loop {
            if let Ok(metadata) = consumer.fetch_metadata(Some(&self.name), Duration::from_secs(5)) {
                let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
                let leader = partitions.filter(|found| found.id() == partition).map(|found| found.leader()).next();
                if let Some(Ok(leader)) = leader.map(usize::try_from) {
                    return leader;
                }
            }
            assert!(Instant::now() < deadline, "{}[{partition}] has no leader", self.name);
            thread::sleep(Duration::from_millis(50));
        }
    }

    /// The ids of the nodes that hold a partition, its preferred leader first.
    pub fn replicas(&self, partition: i32) -> Vec<usize> {
        let metadata = self.consumer().fetch_metadata(Some(&self.name), Duration::from_secs(10));
        let metadata = metadata.unwrap_or_else(|error| panic!("ask who holds {}[{partition}]: {error}", self.name));
        let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
        let replicas = partitions.filter(|found| found.id() == partition).flat_map(|found| found.replicas().to_vec());
        replicas.filter_map(|node| usize::try_from(node).ok()).collect()
    }

    pub(crate) fn create_now(&self) {
        let replicas = TopicReplication::Fixed(self.options.replicas.unwrap_or(1));
        let wanted = NewTopic::new(&self.name, self.options.partitions, replicas);
        let wanted = self.options.configs.iter().fold(wanted, |wanted, (key, value)| wanted.set(key, value));
        let outcome = block_on(self.admin().create_topics([&wanted], &patient()));
        if !matches!(outcome.as_deref(), Ok([Ok(_)])) {
            panic!("create topic {}: {outcome:?}", self.name);
        }
        self.wait_for_partitions(self.options.partitions);
    }

    fn wait_for_partitions(&self, wanted: i32) {
        let deadline = Instant::now() + Duration::from_secs(30);
        let consumer = self.consumer();
        loop {
            if let Ok(metadata) = consumer.fetch_metadata(Some(&self.name), Duration::from_secs(5)) {
                let partitions = metadata.topics().iter().flat_map(|topic| topic.partitions());
                let led = partitions.filter(|partition| partition.leader() >= 0).count();
                if usize::try_from(wanted) == Ok(led) {
                    return;
                }
            }
            assert!(Instant::now() < deadline, "topic {} did not come to {wanted} led partitions in 30 s", self.name);
            thread::sleep(Duration::from_millis(20));
        }
    }

    fn watermarks(&self, partition: i32, isolation: &str) -> (i64, i64) {
        let consumer: BaseConsumer =
            self.client().set("isolation.level", isolation).create().expect("a plain client can be made");
        let deadline = Instant::now() + Duration::from_secs(30);
        loop {
            match consumer.fetch_watermarks(&self.name, partition, Duration::from_secs(10)) {
                Ok(marks) => return marks,
                // As behind a broker that was just started again.
                Err(_) if Instant::now() < deadline => thread::sleep(Duration::from_millis(100)),
                Err(error) => panic!("list offsets of {}[{partition}]: {error}", self.name),
            }
        }
    }

    fn consumer(&self) -> BaseConsumer {
        self.client().create().expect("a plain client can be made")
    }

    fn admin(&self) -> AdminClient<DefaultClientContext> {
        self.client().create().expect("a plain client can be made")
    }

    fn client(&self) -> ClientConfig {
        let mut client = ClientConfig::new();
        client.set("bootstrap.servers", &*self.brokers);
        client
    }
}

fn set(configs: &mut Vec<(String, String)>, key: &str, value: String) {
    configs.retain(|(known, _)| known != key);
    configs.push((key.to_owned(), value));
}

fn patient() -> AdminOptions {
    let limit = Some(Duration::from_secs(30));
    AdminOptions::new().request_timeout(limit).operation_timeout(limit)
}

/// Waits for a future of the admin client, which brings its own thread: no runtime is needed, and none is in the way.
fn block_on<F: Future>(future: F) -> F::Output {
    struct Unpark(Thread);
    impl Wake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let waker = Waker::from(Arc::new(Unpark(thread::current())));
    let mut future = pin!(future);
    loop {
        if let Poll::Ready(output) = future.as_mut().poll(&mut Context::from_waker(&waker)) {
            return output;
        }
        thread::park();
    }
}
