//! The demo's order events: seeded, so that the same seed gives the same events, with tombstones and poisoned payloads
//! among them.

use std::collections::BTreeSet;
use std::sync::Arc;

use rdp_elt::{KafkaStreamRecord, RecordHeader};

/// The partitions of the demo's topic.
pub(super) const PARTITION_COUNT: i32 = 6;

/// The landing schema of the events, as it stands in the demo's config.
pub(super) const SCHEMA: &str = r#"[
  { name = "order_id", type = "int64", required = true },
  { name = "customer", type = "utf8" },
  { name = "amount", type = "decimal(10,2)" },
  { name = "currency", type = "utf8" },
  { name = "status", type = "utf8" },
  { name = "placed_at", type = "timestamp(ms,UTC)" },
  { name = "paid", type = "bool" },
  { name = "city", type = "utf8", path = "address.city" },
  { name = "items", type = "json" },
]"#;

/// A stream of order events, in the order in which they are produced.
pub(super) struct OrderEvents {
    topic: Arc<str>,
    random: fastrand::Rng,
    record_count: u64,
    made: u64,
    poisoned: BTreeSet<u64>,
    tombstone_count: u64,
}

impl OrderEvents {
    /// `record_count` events; one in 5,000 of them is poisoned.
    pub(super) fn new(topic: &str, record_count: u64, seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let stride = 5_000.min(record_count);
        let poisoned = (0..record_count / stride).map(|place| place * stride + random.u64(0..stride)).collect();
        OrderEvents { topic: topic.into(), random, record_count, made: 0, poisoned, tombstone_count: 0 }
    }

    /// How many of the events so far are tombstones.
    pub(super) fn tombstone_count(&self) -> u64 {
        self.tombstone_count
    }

    /// How many of all the events do not fit the schema.
    pub(super) fn poisoned_count(&self) -> u64 {
        self.poisoned.len() as u64
    }

    /// One order's payload, about 190 bytes of JSON.
    fn order(&mut self, order_id: u64, placed_at: i64) -> Vec<u8> {
        let random = &mut self.random;
        let cents = 100 + random.u32(0..50_000);
        let (sku, quantity) = (random.u32(100..1_000), random.u32(1..5));
        let status = STATUSES[random.usize(0..STATUSES.len())];
        serde_json::json!({
            "order_id": order_id,
            "customer": format!("c-{:04}", random.u32(0..5_000)),
            "amount": f64::from(cents) / 100.0,
            "currency": CURRENCIES[random.usize(0..CURRENCIES.len())],
            "status": status,
            "placed_at": placed_at,
            "paid": status != "new",
            "address": { "city": CITIES[random.usize(0..CITIES.len())] },
            "items": [{ "sku": format!("sku-{sku}"), "quantity": quantity }],
        })
        .to_string()
        .into_bytes()
    }
}

impl Iterator for OrderEvents {
    type Item = KafkaStreamRecord;

    fn next(&mut self) -> Option<KafkaStreamRecord> {
        if self.made == self.record_count {
            return None;
        }
        let order_id = self.made;
        self.made += 1;
        let placed_at = FIRST_ORDER + i64::try_from(order_id).unwrap_or(0) * 25;
        let key = format!("order-{order_id}").into_bytes();
        let value = if let Some(place) = self.poisoned.iter().position(|poisoned| *poisoned == order_id) {
            Some(POISONS[place % POISONS.len()].to_vec())
        } else if self.random.u32(0..100) == 0 {
            self.tombstone_count += 1;
            None
        } else {
            Some(self.order(order_id, placed_at))
        };
        let header = |name: &str, value: &[u8]| RecordHeader { name: name.to_owned(), value: Some(value.to_vec()) };
        Some(KafkaStreamRecord {
            topic: self.topic.clone(),
            partition: self.random.i32(0..PARTITION_COUNT),
            offset: 0,
            timestamp: Some(placed_at),
            key: Some(key),
            headers: vec![header("source", b"shop"), header("trace", &self.random.u32(..).to_be_bytes())],
            value,
        })
    }
}

/// 2026-01-05T08:00:00Z.
const FIRST_ORDER: i64 = 1_767_600_000_000;

const STATUSES: [&str; 5] = ["new", "paid", "packed", "shipped", "returned"];
const CURRENCIES: [&str; 3] = ["EUR", "USD", "GBP"];
const CITIES: [&str; 6] = ["Lisbon", "Oslo", "Leeds", "Lyon", "Graz", "Porto"];

/// Payloads that do not fit, each in a way of its own.
const POISONS: [&[u8]; 20] = [
    br#"{"order_id": 1, "customer": "c-0001", "amou"#,
    b"not JSON at all",
    b"",
    br#"[{"order_id": 1}]"#,
    br#""order 1""#,
    b"null",
    br#"{"order_id": "1", "amount": 9.99}"#,
    br#"{"order_id": 1.0, "amount": 9.99}"#,
    br#"{"order_id": 9223372036854775808}"#,
    br#"{"customer": "c-0001", "amount": 9.99}"#,
    br#"{"order_id": null, "amount": 9.99}"#,
    br#"{"order_id": 1, "amount": 9.999}"#,
    br#"{"order_id": 1, "amount": 1234567890.12}"#,
    br#"{"order_id": 1, "placed_at": "2026-02-30T08:00:00Z"}"#,
    br#"{"order_id": 1, "placed_at": "2026-02-03T08:00:00"}"#,
    br#"{"order_id": 1, "paid": "yes"}"#,
    br#"{"order_id": 1, "customer": 17}"#,
    br#"{"order_id": 1, "customer": "\ud800"}"#,
    b"{\"order_id\": 1, \"customer\": \"\xff\xfe\"}",
    br#"{"order_id": 1, "order_id": 2}"#,
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_events() {
        let events = |seed| OrderEvents::new("orders", 1_000, seed).collect::<Vec<_>>();
        assert_eq!(events(7), events(7));
        assert_ne!(events(7), events(8));
    }

    #[test]
    fn the_events_are_as_many_as_they_say() {
        let mut events = OrderEvents::new("orders", 100_000, 7);
        let poisoned = events.poisoned_count();
        let made: Vec<KafkaStreamRecord> = events.by_ref().collect();
        assert_eq!((made.len(), poisoned), (100_000, 20));
        assert_eq!(made.iter().filter(|record| record.value.is_none()).count() as u64, events.tombstone_count());
        assert_eq!(made.iter().filter(|record| record.value.as_deref() == Some(b"")).count(), 1);
    }

    #[test]
    fn no_partition_outgrows_what_the_embedded_broker_keeps() {
        let mut bytes = [0usize; PARTITION_COUNT as usize];
        for record in OrderEvents::new("orders", 100_000, 7) {
            let key = record.key.map_or(0, |key| key.len());
            bytes[record.partition as usize] += record.value.map_or(0, |value| value.len()) + key + 40;
        }
        assert!(bytes.iter().all(|bytes| *bytes < 5_000_000), "{bytes:?}");
    }
}
