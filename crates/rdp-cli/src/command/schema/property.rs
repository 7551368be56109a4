//! What is printed is a config's section that `check` calls right, and under which `load` quarantines nothing that was
//! sampled: for payloads whose names and values a seed makes as unkind as JSON allows.

use fastrand::Rng;
use rdp_elt::config::{Config, ConfigSyntax};
use rdp_elt::kafka::EmbeddedBroker;
use rdp_elt::load::infer_schema;
use rdp_elt::{KafkaStreamRecord, Shutdown, Until, elt_load_kafka_records};
use serde_json::{Value, json};

use super::{as_toml, fields};
use crate::command::land::land;
use crate::command::poll::look;
use crate::output::Output;
use crate::screen::Screen;

/// Names that some part of the way could trip over.
const NAMES: &[&str] = &[
    "a",
    "b",
    "A",
    "a.b",
    "a.b.c",
    "a\\b",
    ".",
    "..",
    "\\",
    "\"",
    "'",
    "`",
    "",
    " ",
    "\t",
    "\n",
    "\u{0}",
    "\u{1}",
    "\u{7f}",
    "x\u{7f}y",
    "\u{80}",
    "\u{9f}",
    "\u{2028}",
    "\u{feff}",
    "ü",
    "表",
    "😀",
    "#",
    "=",
    "[",
    "]",
    "{",
    "}",
    ",",
    ":",
    "<",
    ">",
    "$",
    "${HOME}",
    "$${X}",
    "${",
    "name",
    "type",
    "path",
    "topic",
    "partition",
    "true",
    "null",
    "*",
    "-",
    "1",
    "1.5",
    "_kafka_offset",
    "_kafka_offset_",
    "payload_kafka_offset",
    "payload_kafka_offset_",
    "_kafka_topic",
    "_kafka_",
    "_rdp_error",
    "_rdp_extra",
    "payload_rdp_error",
    "payload_rdp_error_",
    "_rdp_",
    "payload",
    "_kafka",
    "struct<a: int64>",
];

/// Values as they stand in a payload.
const SCALARS: &[&str] = &[
    "null",
    "true",
    "false",
    "0",
    "-0",
    "1",
    "-1",
    "127",
    "2147483648",
    "9007199254740993",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "18446744073709551615",
    "18446744073709551616",
    "99999999999999999999999999999999999999",
    "999999999999999999999999999999999999999",
    "0.1",
    "-0.0",
    "1e0",
    "1E400",
    "1.7976931348623157e308",
    "5e-324",
    "1e-400",
    "\"\"",
    "\"text\"",
    "\"\\u0000\"",
    "\"\\ud83d\\ude00\"",
    "\"\\ud800\"",
    "\"\u{7f}\"",
    "\"2026-01-31\"",
    "\"2026-02-30\"",
    "\"0000-01-01\"",
    "\"9999-12-31\"",
    "\"2026-01-31T08:00:00Z\"",
    "\"2026-01-31T08:00:00\"",
    "\"2026-01-31T08:00:00.123456789Z\"",
    "\"2026-01-31T08:00:00.123456+02:00\"",
    "\"2026-01-31 08:00:00\"",
    "\"1677-01-01T00:00:00.000000001Z\"",
    "\"9999-12-31T23:59:59.999999Z\"",
    "\"12:00\"",
    "\"1\"",
    "\"true\"",
    "[]",
    "{}",
];

fn value(random: &mut Rng, depth: usize) -> String {
    match random.usize(..10) {
        0 if depth > 0 => {
            let items: Vec<String> = (0..random.usize(..4)).map(|_| value(random, depth - 1)).collect();
            format!("[{}]", items.join(" , "))
        }
        1 | 2 if depth > 0 => object(random, depth - 1, 4),
        _ => random.choice(SCALARS).copied().unwrap_or("null").to_owned(),
    }
}

fn object(random: &mut Rng, depth: usize, most: usize) -> String {
    let members: Vec<String> = (0..random.usize(..=most))
        .map(|_| {
            let name = random.choice(NAMES).copied().unwrap_or("a");
            format!("{}: {}", Value::from(name), value(random, depth))
        })
        .collect();
    format!("{{{}}}", members.join(", "))
}

/// Payloads that are alike, as those of one topic are: most are the first one, with other values here and there.
fn payloads(seed: u64) -> Vec<Vec<u8>> {
    let mut random = Rng::with_seed(seed);
    let first = object(&mut random, 7, 8);
    let mut payloads = vec![first.clone()];
    for _ in 0..random.usize(..5) {
        payloads.push(match random.usize(..6) {
            0 => first.clone(),
            1 => first.replace("null", "1"),
            2 => first.replace("\"text\"", "\"2026-01-31\""),
            3 => "[1] no object".to_owned(),
            _ => object(&mut random, 7, 8),
        });
    }
    payloads.into_iter().map(String::into_bytes).collect()
}

fn record(topic: &str, offset: i64, value: &[u8]) -> KafkaStreamRecord {
    KafkaStreamRecord {
        topic: topic.into(),
        partition: 0,
        offset,
        timestamp: Some(0),
        key: None,
        headers: Vec::new(),
        value: Some(value.to_vec()),
    }
}

/// What is printed for these samples, pasted; `None` where the command finds nothing to propose.
fn pasted(samples: &[Vec<u8>], brokers: &str, topic: &str, landing: &str) -> Option<Config> {
    let inferred = infer_schema(samples.iter().map(Vec::as_slice)).expect("a proposal");
    if inferred.schema.is_empty() {
        return None;
    }
    let fields = fields(&inferred.schema).expect("fields");
    let source = format!("[source]\nbrokers = {brokers:?}\ntopics = [{topic:?}]\n");
    let text = format!("{source}[sink.parquet]\nurl = \"file:{landing}\"\n{}", as_toml("load", &fields));
    let config = Config::from_text(&text, ConfigSyntax::Toml).unwrap_or_else(|error| panic!("{error:?}\n{text}"));
    assert_eq!(config.load_plan().others().schema, inferred.schema, "{text}");
    // What a machine is given goes into a JSON config.
    let tree = json!({
        "source": { "brokers": brokers, "topics": topic },
        "load": { "schema": serde_json::to_value(&fields).expect("fields") },
        "sink": { "parquet": { "url": format!("file:{landing}") } },
    });
    let of_tree = Config::from_text(&tree.to_string(), ConfigSyntax::Json).expect("a config");
    assert_eq!(of_tree.load_plan().others().schema, inferred.schema);
    Some(config)
}

#[test]
fn what_is_printed_is_right_and_quarantines_no_sample() {
    let mut count = 0;
    for seed in 0..4_000 {
        let payloads = payloads(seed);
        let Some(config) = pasted(&payloads, "localhost:9092", "orders", "landing") else { continue };
        let is_object = |payload: &&Vec<u8>| infer_schema([payload.as_slice()]).is_ok_and(|of| of.not_json_count == 0);
        let records: Vec<_> = payloads
            .iter()
            .filter(is_object)
            .zip(0..)
            .map(|(payload, offset)| record("orders", offset, payload))
            .collect();
        let rows = elt_load_kafka_records(&records, &config.load_plan().others().schema).expect("they load");
        let rows: Vec<Value> = serde_json::from_str(&rows.to_json().expect("rows")).expect("JSON");
        let quarantined: Vec<_> = rows.iter().filter(|row| row["_rdp_error"].is_string()).collect();
        let shown: Vec<_> = payloads.iter().map(|payload| String::from_utf8_lossy(payload)).collect();
        assert!(quarantined.is_empty(), "seed {seed}: {quarantined:#?} of {shown:#?}");
        count += 1;
    }
    assert!(count > 3_000, "{count}");
}

#[test]
fn what_is_printed_lands() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let broker = EmbeddedBroker::start().expect("a broker");
    let folder = tempfile::tempdir().expect("a folder");
    let screen = Screen::new(Output::Json, true);
    for seed in 0..40 {
        let topic = format!("samples-{seed}");
        broker.create_topic(&topic, 1).expect("a topic");
        let payloads = payloads(seed);
        broker.produce(payloads.iter().map(|payload| record(&topic, 0, payload))).expect("produced");
        let landing = folder.path().join(&topic);
        let landing = landing.to_str().expect("a plain path");
        let Some(config) = pasted(&payloads, &broker.brokers(), &topic, landing) else { continue };
        config.try_out().expect("check calls it right");
        let sampled = runtime.block_on(look(&config, payloads.len())).expect("samples");
        assert_eq!(sampled.len(), payloads.len());
        let not_json = infer_schema(payloads.iter().map(Vec::as_slice)).expect("a proposal").not_json_count;
        let landed = runtime
            .block_on(land(&config, Until::LogEnd, &Shutdown::new(), &screen))
            .unwrap_or_else(|failure| panic!("seed {seed}: {failure:?}"));
        assert_eq!(landed.report.record_count, payloads.len() as u64, "seed {seed}");
        assert_eq!(landed.report.quarantined_count, not_json, "seed {seed}");
    }
}
