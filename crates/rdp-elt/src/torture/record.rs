//! The records: everything that a Kafka record may be, computed from a seed and a number, so that nobody has to remember
//! what was produced.

use std::fmt::Write as _;
use std::sync::Arc;

use fastrand::Rng;

use crate::record::{KafkaStreamRecord, RecordHeader};

/// All the records of one seed.
#[derive(Debug, Clone)]
pub(super) struct Records {
    topic: Arc<str>,
    partition_count: i32,
    seed: u64,
}

/// One record, and what has to become of its value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Made {
    /// Its offset is the broker's to give.
    pub(super) record: KafkaStreamRecord,
    pub(super) fate: Fate,
}

/// What has to become of a value.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Fate {
    /// There is none.
    Tombstone,
    /// It does not fit the schema.
    Quarantined,
    /// It lands in these columns.
    Fits(Box<Fields>),
}

/// A value's columns.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Fields {
    pub(super) id: i64,
    pub(super) text: Option<String>,
    /// In ten-thousandths.
    pub(super) amount: Option<i128>,
    /// In microseconds.
    pub(super) at: Option<i64>,
    pub(super) flag: Option<bool>,
    pub(super) ratio: Option<f64>,
    pub(super) city: Option<&'static str>,
    pub(super) tags: Option<Vec<&'static str>>,
    pub(super) extra: Option<String>,
}

impl Records {
    pub(super) fn new(topic: impl Into<Arc<str>>, partition_count: i32, seed: u64) -> Self {
        Records { topic: topic.into(), partition_count, seed }
    }

    pub(super) fn topic(&self) -> &Arc<str> {
        &self.topic
    }

    pub(super) fn partition_count(&self) -> i32 {
        self.partition_count
    }

    /// The record of this number: the same every time.
    pub(super) fn make(&self, number: u64) -> Made {
        // An odd factor gives every number a state of its own.
        let mut random = Rng::with_seed(self.seed ^ number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
        // The lower of two: partitions fill unevenly, as they do in life.
        let partition = random.i32(0..self.partition_count).min(random.i32(0..self.partition_count));
        let timestamp = FIRST + i64::try_from(number).unwrap_or(0) * 7 + random.i64(0..100);
        let (value, fate) = match random.u32(0..100) {
            0..2 => (None, Fate::Tombstone),
            2..4 => (Some(POISONS[random.usize(0..POISONS.len())].to_vec()), Fate::Quarantined),
            _ => {
                let (payload, fields) = payload(&mut random, number);
                (Some(payload), Fate::Fits(Box::new(fields)))
            }
        };
        let record = KafkaStreamRecord {
            topic: self.topic.clone(),
            partition,
            offset: 0,
            timestamp: Some(timestamp),
            key: key(&mut random, number),
            headers: headers(&mut random),
            value,
        };
        Made { record, fate }
    }
}

fn key(random: &mut Rng, number: u64) -> Option<Vec<u8>> {
    match random.u32(0..16) {
        0..2 => None,
        2 => Some(Vec::new()),
        3..6 => Some(bytes(random)),
        // Several records share a key.
        6..9 => Some(format!("key-{}", number / 50).into_bytes()),
        _ => Some(format!("key-{number}").into_bytes()),
    }
}

/// None to four; names repeat, values may be null, empty or no text.
fn headers(random: &mut Rng) -> Vec<RecordHeader> {
    let count = [0, 0, 0, 1, 1, 2, 3, 4][random.usize(0..8)];
    let header = |_| RecordHeader {
        name: HEADER_NAMES[random.usize(0..HEADER_NAMES.len())].to_owned(),
        value: match random.u32(0..5) {
            0 => None,
            1 => Some(Vec::new()),
            _ => Some(bytes(random)),
        },
    };
    (0..count).map(header).collect()
}

fn bytes(random: &mut Rng) -> Vec<u8> {
    let length = random.usize(1..13);
    std::iter::repeat_with(|| random.u8(..)).take(length).collect()
}

/// A value that fits: each field but the first may be null or absent.
fn payload(random: &mut Rng, number: u64) -> (Vec<u8>, Fields) {
    let id = i64::try_from(number).unwrap_or(i64::MAX);
    let text = some(random).then(|| text(random));
    let amount = some(random).then(|| i128::from(random.i64(-1_000_000_000_000..1_000_000_000_000)));
    let at = some(random).then(|| (FIRST + random.i64(0..10_000_000_000)) * 1_000 + random.i64(0..1_000));
    let flag = some(random).then(|| random.bool());
    let ratio = some(random).then(|| random.f64() * 2_000.0 - 1_000.0);
    let city = some(random).then(|| CITIES[random.usize(0..CITIES.len())]);
    let tags = some(random).then(|| (0..random.usize(0..4)).map(|_| TAGS[random.usize(0..TAGS.len())]).collect());
    let extra = some(random).then(|| format!(r#"{{"n":[{},2.50,null],"s":"\u0041"}}"#, random.u16(..)));
    let fields = Fields { id, text, amount, at, flag, ratio, city, tags, extra };

    let mut json = format!(r#"{{"id":{id}"#);
    field(&mut json, random, "text", fields.text.as_deref().map(quoted));
    field(&mut json, random, "amount", fields.amount.map(decimal));
    field(&mut json, random, "at", fields.at.map(|at| at.to_string()));
    field(&mut json, random, "flag", fields.flag.map(|flag| flag.to_string()));
    field(&mut json, random, "ratio", fields.ratio.map(|ratio| ratio.to_string()));
    field(&mut json, random, "place", fields.city.map(|city| format!(r#"{{"zip":1,"city":{}}}"#, quoted(city))));
    let list = |tags: &Vec<&str>| format!("[{}]", tags.iter().map(|tag| quoted(tag)).collect::<Vec<_>>().join(", "));
    field(&mut json, random, "tags", fields.tags.as_ref().map(list));
    field(&mut json, random, "extra", fields.extra.clone());
    json.push('}');
    (json.into_bytes(), fields)
}

fn some(random: &mut Rng) -> bool {
    random.u32(0..10) > 0
}

/// Adds a member; one without a value is there as null, or is not there.
fn field(json: &mut String, random: &mut Rng, name: &str, value: Option<String>) {
    match value {
        None if random.bool() => {}
        // Writing into a string does not fail.
        value => drop(write!(json, r#", "{name}":{}"#, value.as_deref().unwrap_or("null"))),
    }
}

/// Mostly short, with letters of all lengths; now and then long.
fn text(random: &mut Rng) -> String {
    let length = if random.u32(0..500) == 0 { random.usize(2_000..20_000) } else { random.usize(0..24) };
    std::iter::repeat_with(|| LETTERS[random.usize(0..LETTERS.len())]).take(length).collect()
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Ten-thousandths as a number with four digits after the point.
fn decimal(amount: i128) -> String {
    let sign = if amount < 0 { "-" } else { "" };
    format!("{sign}{}.{:04}", amount.unsigned_abs() / 10_000, amount.unsigned_abs() % 10_000)
}

/// 2024-01-01T00:00:00Z, in milliseconds.
const FIRST: i64 = 1_704_067_200_000;

const LETTERS: [char; 16] = ['a', 'b', 'e', 'n', 'r', 's', 't', ' ', '"', '\\', '\n', '\0', 'é', 'ß', '水', '🦀'];
const CITIES: [&str; 5] = ["Lisbon", "Oslo", "Łódź", "São Paulo", "東京"];
const TAGS: [&str; 4] = ["new", "", "a,b", "[x]"];
const HEADER_NAMES: [&str; 4] = ["trace", "trace", "source", "ключ"];

/// Values that do not fit, each in a way of its own.
const POISONS: [&[u8]; 16] = [
    br#"{"id": 1, "text": "cut o"#,
    b"not JSON at all",
    b"",
    b"null",
    br#"[{"id": 1}]"#,
    br#"{"id": "1"}"#,
    br#"{"id": 1.0}"#,
    br#"{"id": 9223372036854775808}"#,
    br#"{"text": "no id"}"#,
    br#"{"id": null}"#,
    br#"{"id": 1, "amount": 9.99999}"#,
    br#"{"id": 1, "at": "2026-02-30T08:00:00Z"}"#,
    br#"{"id": 1, "flag": "yes"}"#,
    br#"{"id": 1, "text": "\ud800"}"#,
    b"{\"id\": 1, \"text\": \"\xff\xfe\"}",
    br#"{"id": 1, "id": 2}"#,
];

#[cfg(test)]
mod tests {
    use super::*;

    fn made(seed: u64) -> Vec<Made> {
        let records = Records::new("t", 6, seed);
        (0..5_000).map(|number| records.make(number)).collect()
    }

    #[test]
    fn a_record_can_be_made_again_from_seed_and_number_alone() {
        let all = made(7);
        let records = Records::new("t", 6, 7);
        for number in [4_999, 0, 17] {
            assert_eq!(records.make(number), all[number as usize]);
        }
        assert_ne!(made(8), all);
    }

    #[test]
    fn there_is_something_of_everything() {
        let all = made(7);
        let share = |what: &dyn Fn(&Made) -> bool| all.iter().filter(|made| what(made)).count();
        let record_has = |what: &dyn Fn(&KafkaStreamRecord) -> bool| share(&|made| what(&made.record));
        let repeats = |record: &KafkaStreamRecord| {
            record
                .headers
                .iter()
                .enumerate()
                .any(|(place, header)| record.headers[..place].iter().any(|before| before.name == header.name))
        };
        for (count, what) in [
            (share(&|made| made.fate == Fate::Tombstone), "tombstones"),
            (share(&|made| made.fate == Fate::Quarantined), "poison"),
            (record_has(&|record| record.key.is_none()), "null keys"),
            (record_has(&|record| record.key.as_deref() == Some(b"")), "empty keys"),
            (record_has(&|record| record.key.as_ref().is_some_and(|key| std::str::from_utf8(key).is_err())), "bytes"),
            (record_has(&repeats), "repeated headers"),
            (record_has(&|record| record.headers.iter().any(|header| header.value.is_none())), "null headers"),
            (record_has(&|record| record.value.as_ref().is_some_and(|value| value.len() > 2_000)), "long values"),
            (record_has(&|record| record.partition == 5), "records of the last partition"),
        ] {
            assert!((1..5_000).contains(&count), "{count} {what}");
        }
    }

    #[test]
    fn a_decimal_keeps_its_sign_and_its_zeros() {
        assert_eq!(decimal(-5), "-0.0005");
        assert_eq!(decimal(1_230_000), "123.0000");
    }
}
