//! Order events: the stream that tests land, the same for the same seed.

use serde_json::{Value, json};

use crate::record::Record;

/// A seeded stream of `count` order events: about one in 200 a tombstone, about one in 100 with a payload that does not
/// fit [`orders_schema`]. Keys, headers and timestamps are set; the key's hash chooses the partition.
pub fn orders(seed: u64, count: usize) -> Orders {
    Orders { random: fastrand::Rng::with_seed(seed), next: 0, count }
}

/// The landing schema that every event fits that is not poisoned, in its JSON form.
pub fn orders_schema() -> Value {
    json!([
        { "name": "order_id", "type": "int64", "required": true },
        { "name": "customer", "type": "utf8" },
        { "name": "status", "type": "utf8" },
        { "name": "amount", "type": "decimal(12,2)" },
        { "name": "quantity", "type": "int32" },
        { "name": "weight", "type": "float64" },
        { "name": "gift", "type": "bool" },
        { "name": "placed_at", "type": "timestamp(ms,UTC)" },
        { "name": "city", "type": "utf8", "path": "address.city" },
        { "name": "items", "type": "json" },
    ])
}

/// What an [`Order`] is to the loader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OrderKind {
    /// It fits the schema.
    Fitting,
    /// It has no value.
    Tombstone,
    /// Its payload does not fit: it lands quarantined.
    Poisoned,
}

/// One event of the stream.
#[derive(Debug, Clone)]
pub struct Order {
    /// What it is to the loader.
    pub kind: OrderKind,
    /// The record to produce.
    pub record: Record,
}

impl From<Order> for Record {
    fn from(order: Order) -> Record {
        order.record
    }
}

/// The stream of [`orders`].
#[derive(Debug, Clone)]
pub struct Orders {
    random: fastrand::Rng,
    next: usize,
    count: usize,
}

impl Iterator for Orders {
    type Item = Order;

    fn next(&mut self) -> Option<Order> {
        if self.next == self.count {
            return None;
        }
        let id = self.next;
        self.next += 1;
        let (kind, value) = match self.random.u32(..1_000) {
            0..5 => (OrderKind::Tombstone, None),
            5..15 => (OrderKind::Poisoned, Some(self.poison(id))),
            _ => (OrderKind::Fitting, Some(self.payload(id).into_bytes())),
        };
        let key = format!("customer-{}", self.random.u32(..5_000));
        let mut record = Record { value, ..Record::tombstone(key) };
        record = record.timestamp(FIRST_TIMESTAMP + 250 * id as i64).header("source", "shop");
        if self.random.u8(..8) == 0 {
            record = record.header("trace", self.random.u64(..).to_be_bytes()).null_header("trace");
        }
        Some(Order { kind, record })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.count - self.next, Some(self.count - self.next))
    }
}

impl Orders {
    fn payload(&mut self, id: usize) -> String {
        let random = &mut self.random;
        let customer = random.u32(..5_000);
        let status = ["new", "paid", "packed", "sent", "returned"][random.usize(..5)];
        let (euros, cents) = (random.u32(..10_000), random.u32(..100));
        let quantity = random.i32(1..20);
        let weight = f64::from(random.u32(..100_000)) / 997.0;
        let placed = FIRST_TIMESTAMP + 250 * id as i64;
        let city =
            ["Gda\\u0144sk", "Zürich", "São \\\"Paulo\\\"", "東京", "Oslo", "Lima \\ud83d\\ude80"][random.usize(..6)];
        let items = random.u32(1..4);
        let items: Vec<String> = (0..items).map(|item| format!(r#"{{"sku": "S{item:04}","n":{item}}}"#)).collect();
        let gift = ["true", "false", "null"][random.usize(..3)];
        format!(
            r#"{{"order_id":{id},"customer":"customer-{customer}","status":"{status}","amount":{euros}.{cents:02},"quantity":{quantity},"weight":{weight},"gift":{gift},"placed_at":{placed},"address":{{"city":"{city}","zip":"{:05}"}},"items":[{}],"unnamed":{{"a":[1,2]}}}}"#,
            random.u32(..100_000),
            items.join(", ")
        )
    }

    fn poison(&mut self, id: usize) -> Vec<u8> {
        match self.random.u8(..10) {
            0 => self.payload(id).into_bytes()[..40].to_vec(),
            1 => format!(r#"{{"order_id":"{id}"}}"#).into_bytes(),
            2 => format!(r#"{{"order_id":{id},"quantity":3000000000}}"#).into_bytes(),
            3 => format!(r#"{{"order_id":{id}.5}}"#).into_bytes(),
            4 => format!(r#"{{"order_id":{id},"amount":1.005}}"#).into_bytes(),
            5 => b"[1, 2, 3]".to_vec(),
            6 => Vec::new(),
            7 => format!(r#"{{"order_id":{id},"order_id":{id}}}"#).into_bytes(),
            8 => [br#"{"order_id":1,"customer":""#.as_slice(), &[0xff, 0xfe], br#""}"#].concat(),
            _ => format!(r#"{{"customer":"customer-{id}"}}"#).into_bytes(),
        }
    }
}

/// 2026-01-01T00:00:00Z.
const FIRST_TIMESTAMP: i64 = 1_767_225_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_stream() {
        let stream = |seed| orders(seed, 500).map(Record::from).collect::<Vec<_>>();
        assert_eq!(stream(1), stream(1));
        assert_ne!(stream(1), stream(2));
    }

    #[test]
    fn every_kind_of_event_comes_up() {
        let all: Vec<Order> = orders(3, 5_000).collect();
        for kind in [OrderKind::Fitting, OrderKind::Tombstone, OrderKind::Poisoned] {
            assert!(all.iter().filter(|order| order.kind == kind).count() > 10, "{kind:?}");
        }
    }

    #[test]
    fn what_is_said_to_fit_is_json() {
        for order in orders(5, 2_000).filter(|order| order.kind == OrderKind::Fitting) {
            let value = order.record.value.expect("it has a value");
            serde_json::from_slice::<Value>(&value).expect("it is JSON");
        }
    }
}
