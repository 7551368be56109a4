//! Purchases: payloads to measure with, about 215 bytes of JSON with ten typed fields, the same for the same seed.

use std::io::Write;

use serde_json::{Value, json};

/// A seeded, endless stream of payloads that all fit [`purchases_schema`]; ids and amounts are different in nearly every
/// one, and a few fields have few values, as in a real topic.
#[derive(Debug, Clone)]
pub struct Purchases {
    random: fastrand::Rng,
    next_id: u64,
}

impl Purchases {
    /// The stream of this seed.
    pub fn new(seed: u64) -> Self {
        Purchases { random: fastrand::Rng::with_seed(seed), next_id: 1_000_000_000 }
    }

    /// Appends the next payload to `payload`, and returns the customer's id, which is the record's key.
    pub fn write_next(&mut self, payload: &mut Vec<u8>) -> u32 {
        let random = &mut self.random;
        let customer = random.u32(..10_000_000);
        write!(
            payload,
            r#"{{"order_id":{},"customer_id":{customer},"sku":"SKU-{:08}","quantity":{},"price":{}.{:02},"currency":"{}","#,
            self.next_id,
            random.u32(..100_000_000),
            random.u32(1..21),
            random.u32(..5_000),
            random.u32(..100),
            ["EUR", "USD", "GBP", "JPY"][random.usize(..4)],
        )
        .and_then(|()| {
            write!(
                payload,
                r#""paid":{},"created_at":"2026-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z","channel":"{}","note":"#,
                random.bool(),
                random.u32(1..13),
                random.u32(1..29),
                random.u32(..24),
                random.u32(..60),
                random.u32(..60),
                random.u32(..1_000),
                ["web", "mobile", "store", "partner"][random.usize(..4)],
            )
        })
        .and_then(|()| match random.usize(..4) {
            0 => write!(payload, "null}}"),
            length => write!(payload, "\"{}\"}}", &NOTE[..length * 12]),
        })
        .expect("a Vec takes every byte");
        self.next_id += 1;
        customer
    }
}

/// The landing schema of [`Purchases`], in its JSON form.
pub fn purchases_schema() -> Value {
    json!([
        { "name": "order_id", "type": "int64", "required": true },
        { "name": "customer_id", "type": "int64" },
        { "name": "sku", "type": "utf8" },
        { "name": "quantity", "type": "int32" },
        { "name": "price", "type": "float64" },
        { "name": "currency", "type": "utf8" },
        { "name": "paid", "type": "bool" },
        { "name": "created_at", "type": "timestamp(ms,UTC)" },
        { "name": "channel", "type": "utf8" },
        { "name": "note", "type": "utf8" },
    ])
}

const NOTE: &str = "deliver after six, ring twice, thanks";

#[cfg(test)]
mod tests {
    use super::*;

    fn payloads(seed: u64) -> Vec<Vec<u8>> {
        let mut purchases = Purchases::new(seed);
        let mut next = || {
            let mut payload = Vec::new();
            purchases.write_next(&mut payload);
            payload
        };
        (0..1_000).map(|_| next()).collect()
    }

    #[test]
    fn the_same_seed_gives_the_same_payloads() {
        assert_eq!(payloads(1), payloads(1));
        assert_ne!(payloads(1), payloads(2));
    }

    #[test]
    fn every_payload_is_json_with_the_fields_of_the_schema() {
        let schema = purchases_schema();
        for payload in payloads(3) {
            let value: Value = serde_json::from_slice(&payload).expect("it is JSON");
            for field in schema.as_array().expect("a list of fields") {
                let name = field["name"].as_str().expect("a name");
                assert!(value.get(name).is_some(), "{name} is missing in {value}");
            }
        }
    }
}
