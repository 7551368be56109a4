//! Fills a topic with purchases, in a process of its own: what it holds in memory would count as the peak of every child
//! that is started later.

use std::time::Duration;

use rdkafka::config::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer};
use rdkafka::types::RDKafkaErrorCode;
use rdp_testing::Purchases;

/// Produces `record_count` records in lz4, by key over all partitions, and waits until the broker has them.
pub(crate) fn fill(brokers: &str, topic: &str, record_count: u64, seed: u64) {
    let producer: BaseProducer = ClientConfig::new()
        .set("bootstrap.servers", brokers)
        .set("compression.codec", "lz4")
        .set("enable.idempotence", "true")
        .set("linger.ms", "100")
        .set("queue.buffering.max.messages", "500000")
        .create()
        .unwrap_or_else(|error| panic!("open a producer to {brokers}: {error}"));
    let mut purchases = Purchases::new(seed);
    let mut payload = Vec::new();
    for _ in 0..record_count {
        payload.clear();
        let key = purchases.write_next(&mut payload).to_string();
        let mut record = BaseRecord::to(topic).key(&key).payload(&payload);
        while let Err((error, refused)) = producer.send(record) {
            let full = KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull);
            assert!(error == full, "produce to {topic}: {error}");
            producer.poll(Duration::from_millis(20));
            record = refused;
        }
    }
    producer.flush(Duration::from_secs(300)).unwrap_or_else(|error| panic!("flush to {topic}: {error}"));
}
