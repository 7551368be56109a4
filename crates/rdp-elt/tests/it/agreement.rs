//! Load against an independent JSON implementation, over generated documents and over documents that were damaged.

use std::cell::RefCell;

use arrow::array::Array;
use proptest::prelude::*;
use rdp_elt::load::{UnknownFields, infer_schema};
use rdp_elt::{KafkaStreamRecord, Schema, elt_load_kafka_records};

use crate::judge::{Given, GivenHeaders, Judge};

/// Number literals, nasty ones first.
fn number() -> impl Strategy<Value = String> {
    let nasty = prop::sample::select(vec![
        "-0",
        "0",
        "-0.0",
        "0.0",
        "1.0",
        "1e3",
        "1E-3",
        "127",
        "-128",
        "128",
        "255",
        "256",
        "-32768",
        "32768",
        "65536",
        "2147483648",
        "-2147483648",
        "4294967296",
        "9223372036854775807",
        "9223372036854775808",
        "-9223372036854775808",
        "-9223372036854775809",
        "18446744073709551615",
        "18446744073709551616",
        "1e308",
        "1e309",
        "3.4028236e38",
        "5e-324",
        "0.1",
        "123456789012345678901234567890",
        "9007199254740993",
        "1.7976931348623157e308",
        "2.2250738585072011e-308",
        "0e5",
        "100000000000000000000000000000000000000",
        "1e99999999999999999999",
        "8210266876799",
        "9300000000000000",
    ]);
    prop_oneof![
        nasty.prop_map(str::to_owned),
        any::<i64>().prop_map(|number| number.to_string()),
        (-1000_i64..1000).prop_map(|number| number.to_string()),
        "-?(0|[1-9][0-9]{0,25})(\\.[0-9]{1,25})?([eE][+-]?[0-9]{1,2})?",
    ]
}

/// String literals, with and without escapes.
fn string() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[a-zA-Z0-9 :.,{}\\[\\]é😀-]{0,20}",
        1 => prop::sample::select(vec!["\\n", "\\\"", "\\\\", "\\/", "\\u0000", "\\u00e9", "\\ud83d\\ude00", "\\ud800", "\\udc00", "\u{7f}"]).prop_map(str::to_owned),
    ];
    let date = "(0000|19[67][0-9]|2[0-9]{3}|9999)-(0[0-9]|1[0-3])-([0-2][0-9]|3[0-2])";
    let time = "[Tt ][0-2][0-9]:[0-5][0-9]:[0-6][0-9](\\.[0-9]{0,10}0{0,3})?(|Z|z|[+-][01][0-9]:[0-5][0-9])";
    prop_oneof![
        4 => prop::collection::vec(part, 0..4).prop_map(|parts| format!("\"{}\"", parts.concat())),
        1 => date.prop_map(|date| format!("\"{date}\"")),
        2 => (date, time).prop_map(|(date, time)| format!("\"{date}{time}\"")),
        1 => number().prop_map(|number| format!("\"{number}\"")),
        1 => "([A-Za-z0-9+/]{4}){0,3}(|[A-Za-z0-9+/][AQgw]==|[A-Za-z0-9+/]{2}[AEIMQUYcgkosw048]=|[A-Z]={1,3})"
            .prop_map(|text| format!("\"{text}\"")),
    ]
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "a",
        "b",
        "c",
        "d",
        "e",
        "f",
        "g",
        "h",
        "i",
        "j",
        "k",
        "l",
        "m",
        "n",
        "o",
        "\\u0061",
        "",
        "x.y",
        "city",
        "at",
        "lat",
        "c.d",
        "é\\\"f",
        "b c",
        "_kafka_offset",
        "\\ud800",
    ])
}

/// Any JSON value, as text.
fn value() -> impl Strategy<Value = String> {
    let leaf =
        prop_oneof![number(), string(), prop::sample::select(vec!["true", "false", "null"]).prop_map(str::to_owned)];
    leaf.prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(|items| format!("[{}]", items.join(" , "))),
            prop::collection::vec((name(), inner), 0..5).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("\"{name}\": {value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

fn object() -> impl Strategy<Value = String> {
    prop::collection::vec((name(), value()), 0..6).prop_map(|members| {
        let members: Vec<String> = members.into_iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
        format!("{{{}}}", members.join(","))
    })
}

/// An object with some bytes changed, added or taken out.
fn damaged() -> impl Strategy<Value = Vec<u8>> {
    let damage = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>(), 0..3_u8), 0..3);
    (object(), damage).prop_map(|(text, damage)| {
        let mut bytes = text.into_bytes();
        for (place, byte, how) in damage {
            if bytes.is_empty() {
                break;
            }
            let place = place.index(bytes.len());
            match how {
                0 => bytes[place] = byte,
                1 => bytes.insert(place, byte),
                _ => drop(bytes.remove(place)),
            }
        }
        bytes
    })
}

/// Every type, as a schema's text names it.
const TYPES: [&str; 31] = [
    "bool",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "float32",
    "float64",
    "decimal(9,2)",
    "decimal(38,10)",
    "utf8",
    "binary",
    "date",
    "timestamp(s)",
    "timestamp(ms)",
    "timestamp(us)",
    "timestamp(ns)",
    "timestamp(s,UTC)",
    "timestamp(ms,UTC)",
    "timestamp(us,UTC)",
    "timestamp(ns,UTC)",
    "json",
    "list<int64>",
    "list<json>",
    "map<utf8,int64>",
    "map<utf8,json>",
    "struct<a: int8, b: utf8>",
    "struct<a: list<decimal(5,1)>, b: json>",
];

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn every_value_lands_under_every_type_as_another_implementation_reads_it(literals in prop::collection::vec(value(), 1..4)) {
        thread_local! {
            static JUDGES: RefCell<Vec<Judge>> = RefCell::new(TYPES.iter().map(|name| one_field(name)).collect());
        }
        let payloads: Vec<String> = literals.iter().map(|literal| format!("{{\"a\":{literal}}}")).collect();
        let records: Vec<Given> = payloads.iter().map(|payload| Given::payload(payload.as_bytes())).collect();
        JUDGES.with_borrow_mut(|judges| judges.iter_mut().for_each(|judge| judge.judge(&records)));
    }

    #[test]
    fn whole_records_land_as_another_implementation_reads_them(
        payloads in prop::collection::vec(prop::option::weighted(0.95, damaged()), 1..5),
        key in prop::option::of(prop::collection::vec(any::<u8>(), 0..4)),
        headers in prop::collection::vec((prop::collection::vec(prop_oneof![9 => 97..100_u8, 1 => any::<u8>()], 0..3), prop::option::of(prop::collection::vec(any::<u8>(), 0..3))), 0..3),
    ) {
        thread_local! {
            static JUDGES: RefCell<Vec<Judge>> = RefCell::new(Judge::all());
        }
        let headers = GivenHeaders(headers.into_iter().map(|(name, value)| (name.into(), value.map(Into::into))).collect());
        let records: Vec<Given> = payloads.iter().enumerate().map(|(place, payload)| Given {
            timestamp: Some(place as i64).filter(|place| *place > 0),
            key: key.as_deref().map(Into::into),
            headers: if place == 0 { headers.clone() } else { GivenHeaders::default() },
            payload: payload.as_deref().map(Into::into),
        }).collect();
        JUDGES.with_borrow_mut(|judges| judges.iter_mut().for_each(|judge| judge.judge(&records)));
    }

    #[test]
    fn random_bytes_never_crash_and_never_disappear(payloads in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..40), 1..20)) {
        thread_local! {
            static JUDGES: RefCell<Vec<Judge>> = RefCell::new(Judge::all());
        }
        let records: Vec<Given> = payloads.iter().map(|payload| Given::payload(payload.as_slice())).collect();
        JUDGES.with_borrow_mut(|judges| judges.iter_mut().for_each(|judge| judge.judge(&records)));
    }

    #[test]
    fn decimals_agree_with_arithmetic_on_strings(literal in number(), precision in 1..=38_u8, scale in 0..=38_u8) {
        let scale = scale.min(precision);
        let payloads = [format!("{{\"a\":{literal}}}"), format!("{{\"a\":\"{literal}\"}}")];
        let records = payloads.each_ref().map(|payload| Given::payload(payload.as_bytes()));
        one_field(&format!("decimal({precision},{scale})")).judge(&records);
    }

    #[test]
    fn samples_fit_the_schema_that_is_inferred_from_them(samples in prop::collection::vec(object(), 1..8)) {
        let inferred = infer_schema(samples.iter().map(String::as_bytes)).expect("samples make a schema");
        prop_assert_eq!(inferred.sample_count + inferred.not_json_count, samples.len() as u64);
        if !inferred.schema.is_empty() {
            let records: Vec<KafkaStreamRecord> = samples.iter().map(|sample| record(sample.as_bytes())).collect();
            let loaded = elt_load_kafka_records(&records, &inferred.schema).expect("samples load");
            let fits = |batch: &arrow::array::RecordBatch| batch.column_by_name("_rdp_error").expect("it is there").null_count();
            let fit_count: usize = loaded.batches().iter().map(fits).sum();
            prop_assert_eq!((samples.len() - fit_count) as u64, inferred.not_json_count, "{:?} under {}", samples, inferred.schema.to_json());
            let again = Schema::from_json(&inferred.schema.to_json()).expect("it reads what it writes");
            prop_assert_eq!(again, inferred.schema);
        }
    }
}

#[test]
#[should_panic(expected = "it does not fit, and is not quarantined")]
fn the_judge_notices_what_is_not_quarantined() {
    // A judge of int8 before a load of int64: as good as a load that forgot a range.
    let mut judge = one_field("int8").with_load_of(one_field("int64"));
    judge.judge(&[Given::payload(b"{\"a\":1000}".as_slice())]);
}

#[test]
#[should_panic(expected = "left")]
fn the_judge_tells_values_apart() {
    // The same types, other places.
    let swapped = r#"[{"name":"a","type":"int8","path":"b"},{"name":"b","type":"int8","path":"a"}]"#;
    let plain = r#"[{"name":"a","type":"int8"},{"name":"b","type":"int8"}]"#;
    let judge = |schema| Judge::new(schema, UnknownFields::Ignore);
    judge(plain).with_load_of(judge(swapped)).judge(&[Given::payload(b"{\"a\":1,\"b\":2}".as_slice())]);
}

fn one_field(data_type: &str) -> Judge {
    let schema = serde_json::json!([{ "name": "a", "type": data_type }]);
    Judge::new(&schema.to_string(), UnknownFields::Ignore)
}

fn record(payload: &[u8]) -> KafkaStreamRecord {
    KafkaStreamRecord {
        topic: "samples".into(),
        partition: 0,
        offset: 0,
        timestamp: None,
        key: None,
        headers: Vec::new(),
        value: Some(payload.to_vec()),
    }
}
