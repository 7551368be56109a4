//! Facts about whole runs: the columns beside the payload, tombstones, headers, quarantine, policies.

use arrow::array::{Array, AsArray};
use arrow::datatypes::{Int32Type, Int64Type, TimestampMillisecondType};

use super::testing::{cell, error, failing, json_options, load, load_payloads, one_field, record, views};
use super::*;
use crate::record::{KafkaStreamRecord, RecordHeader};
use crate::schema::*;

fn header(name: &str, value: Option<&[u8]>) -> RecordHeader {
    RecordHeader { name: name.to_owned(), value: value.map(<[u8]>::to_vec) }
}

#[test]
fn rdp_s_own_columns_follow_the_payload_s() {
    let loaded = load_payloads(&one_field("int64"), &["{}"]);
    let schema = loaded.rows.schema();
    let names: Vec<&str> = schema.fields().iter().map(|field| field.name().as_str()).collect();
    let own = [
        KAFKA_TOPIC,
        KAFKA_PARTITION,
        KAFKA_OFFSET,
        KAFKA_TIMESTAMP,
        KAFKA_KEY,
        KAFKA_HEADERS,
        KAFKA_TOMBSTONE,
        KAFKA_VALUE,
        RDP_ERROR,
    ];
    assert_eq!(names[0], "a");
    assert_eq!(names[1..], own);
    assert!(schema.field(0).is_nullable());
}

#[test]
fn raw_records_land_byte_for_byte() {
    let records = [
        KafkaStreamRecord { key: Some(b"k\xff".to_vec()), ..record(7, Some(b"\x00\xfe")) },
        KafkaStreamRecord { key: Some(Vec::new()), timestamp: None, ..record(9, Some(b"")) },
        record(12, None),
    ];
    let loaded = load(&LoadOptions::default(), &records);
    let column = |name: &str| loaded.rows.column_by_name(name).expect("it is there");
    let (keys, values) = (column(KAFKA_KEY).as_binary::<i32>(), column(KAFKA_VALUE).as_binary::<i32>());
    assert_eq!(keys.iter().collect::<Vec<_>>(), [Some(b"k\xff".as_slice()), Some(b""), None]);
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some(b"\x00\xfe".as_slice()), Some(b""), None]);
    assert_eq!(column(KAFKA_OFFSET).as_primitive::<Int64Type>().values(), &[7, 9, 12]);
    assert_eq!(column(KAFKA_PARTITION).as_primitive::<Int32Type>().values(), &[3, 3, 3]);
    let timestamps = column(KAFKA_TIMESTAMP).as_primitive::<TimestampMillisecondType>();
    assert_eq!(timestamps.iter().collect::<Vec<_>>(), [Some(1_700_000_000_000), None, Some(1_700_000_000_000)]);
    let tombstones: Vec<_> = column(KAFKA_TOMBSTONE).as_boolean().iter().collect();
    assert_eq!(tombstones, [Some(false), Some(false), Some(true)]);
    assert_eq!((loaded.quarantined_count, loaded.tombstone_count), (0, 1));
}

#[test]
fn headers_keep_order_repeats_and_nulls() {
    let headers = vec![header("b", Some(b"1")), header("a", None), header("b", Some(b"")), header("", Some(b"\xff"))];
    let records = [KafkaStreamRecord { headers, ..record(0, Some(b"x")) }, record(1, Some(b"y"))];
    let loaded = load(&LoadOptions::default(), &records);
    let lists = loaded.rows.column_by_name(KAFKA_HEADERS).expect("it is there").as_list::<i32>().clone();
    let first = lists.value(0);
    let (names, values) =
        (first.as_struct().column(0).as_string::<i32>(), first.as_struct().column(1).as_binary::<i32>());
    assert_eq!(names.iter().collect::<Vec<_>>(), [Some("b"), Some("a"), Some("b"), Some("")]);
    assert_eq!(values.iter().collect::<Vec<_>>(), [Some(b"1".as_slice()), None, Some(b""), Some(b"\xff")]);
    assert_eq!((lists.value(1).len(), lists.null_count()), (0, 0));
}

#[test]
fn a_header_name_that_is_not_utf8_quarantines_its_row_and_the_row_lands() {
    struct OddHeader;
    impl crate::record::Headers for OddHeader {
        fn visit(&self, each: &mut dyn FnMut(&[u8], Option<&[u8]>)) {
            each(b"caf\xe9", Some(b"v"));
        }
    }
    let view = |value| RecordView { offset: 5, timestamp: None, key: None, value, headers: &OddHeader };
    let mut loader = RecordLoader::new(&one_field("int64")).expect("the options are sound");
    let partition = TopicPartition::new("orders", 3);
    let loaded =
        loader.load(&partition, &mut [view(Some(b"{\"a\":1}".as_slice())), view(None)].into_iter()).expect("it loads");
    assert_eq!((loaded.quarantined_count, loaded.tombstone_count, loaded.rows.num_rows()), (2, 1, 2));
    assert!(error(&loaded, 0).is_some_and(|reason| reason.contains(r"caf\xe9") && reason.contains("offset 5")));
    assert_eq!(cell(&loaded, "a", 0), None);
    assert_eq!(cell(&loaded, KAFKA_VALUE, 0).as_deref(), Some("7b2261223a317d"));
    assert!(cell(&loaded, KAFKA_HEADERS, 0).is_some_and(|headers| headers.contains(r"caf\xe9")));
}

#[test]
fn a_tombstone_is_not_quarantined_for_what_it_lacks() {
    let options = json_options(r#"[{"name":"a","type":"int64","required":true}]"#);
    let loaded = load(&options, &[record(0, None), record(1, Some(b"")), record(2, Some(b"{\"a\":1}"))]);
    assert_eq!((loaded.quarantined_count, loaded.tombstone_count), (1, 1));
    assert_eq!([0, 1, 2].map(|row| error(&loaded, row).is_some()), [false, true, false]);
    assert_eq!(cell(&loaded, "a", 2).as_deref(), Some("1"));
    assert_eq!(cell(&loaded, KAFKA_VALUE, 2), None);
}

#[test]
fn values_are_kept_when_asked_for() {
    let options = LoadOptions { keep_value: true, ..one_field("int64") };
    let loaded = load(&options, &[record(0, Some(b"{\"a\":1}")), record(1, None)]);
    assert_eq!(cell(&loaded, KAFKA_VALUE, 0).as_deref(), Some("7b2261223a317d"));
    assert_eq!(cell(&loaded, KAFKA_VALUE, 1), None);
}

#[test]
fn with_fail_the_first_misfit_stops_the_load_and_the_loader_goes_on_afterwards() {
    let mut loader = RecordLoader::new(&failing(one_field("int64"))).expect("the options are sound");
    let partition = TopicPartition::new("orders", 3);
    let records = [record(0, Some(b"{\"a\":1}")), record(41, Some(b"{\"a\":\"x\"}"))];
    let error = loader.load(&partition, &mut views(&records)).expect_err("a string is no integer");
    assert_eq!(error.kind(), ErrorKind::Data);
    for part in ["orders", "partition 3", "offset 41", "`a`"] {
        assert!(error.message().contains(part), "{error} has no {part}");
    }
    let loaded = loader.load(&partition, &mut views(&records[..1])).expect("it fits");
    assert_eq!(loaded.rows.num_rows(), 1);
}

#[test]
fn runs_do_not_leak_into_one_another() {
    let mut loader = RecordLoader::new(&one_field("utf8")).expect("the options are sound");
    for (partition, count) in [(3, 5), (3, 2), (4, 9), (4, 0), (3, 1)] {
        let source = TopicPartition::new("orders", partition);
        let records: Vec<_> = (0..count).map(|offset| record(offset, Some(b"{\"a\":\"x\"}"))).collect();
        let loaded = loader.load(&source, &mut views(&records)).expect("it fits");
        assert_eq!(loaded.rows.num_rows(), records.len());
        assert_eq!(loaded.topic_partition, source);
        let partitions =
            loaded.rows.column_by_name(KAFKA_PARTITION).expect("it is there").as_primitive::<Int32Type>().clone();
        assert!(partitions.values().iter().all(|value| *value == partition));
    }
}

#[test]
fn format_and_schema_have_to_go_together() {
    let refused = |options| RecordLoader::new(&options).err().map(|error| error.kind());
    assert_eq!(refused(LoadOptions { format: Format::Json, ..LoadOptions::default() }), Some(ErrorKind::Config));
    assert_eq!(refused(LoadOptions { format: Format::Raw, ..one_field("int64") }), Some(ErrorKind::Config));
    assert_eq!(
        refused(LoadOptions { format: Format::Json, unknown_fields: UnknownFields::Keep, ..LoadOptions::default() }),
        None
    );
}

#[test]
fn records_in_json_form_land_as_the_records_do() {
    let records = [
        KafkaStreamRecord {
            key: Some(b"\xff".to_vec()),
            headers: vec![header("h", Some(b"\xfe")), header("h", None)],
            ..record(1, Some(b"{\"a\":1}"))
        },
        KafkaStreamRecord { timestamp: None, partition: 0, ..record(2, None) },
        record(2, Some(b"\xff")),
    ];
    let form = records_to_json(&records);
    assert_eq!(records_from_json(&form).expect("it reads what it writes"), records);
    let schema = Schema::from_json(r#"[{"name":"a","type":"int64"}]"#).expect("a schema");
    let loaded = elt_load_kafka_records_json(&form, &schema).expect("they load");
    assert_eq!(loaded, elt_load_kafka_records(&records, &schema).expect("they load"));
    assert_eq!(loaded.record_count(), 3);
    let json: serde_json::Value =
        serde_json::from_str(&loaded.to_json().expect("it has a JSON form")).expect("it is JSON");
    assert_eq!(json[0]["_kafka_tombstone"], true);
    assert_eq!((&json[1]["a"], &json[1]["_kafka_key"]), (&1.into(), &"/w==".into()));
    assert_eq!(json[1]["_kafka_headers"][0]["value"], "/g==");
    assert_eq!(json[1]["_kafka_timestamp"], "2023-11-14T22:13:20Z");
    assert!(json[2]["_rdp_error"].as_str().is_some_and(|reason| reason.contains("UTF-8")));
    assert_eq!(elt_load_kafka_records(&[], &schema).expect("nothing loads").to_json().expect("it is JSON"), "[]");
}

#[test]
fn records_in_another_form_are_refused() {
    for form in ["", "{}", r#"[{"topic":"t"}]"#, r#"[{"topic":"t","partition":0,"offset":1,"vale":"x"}]"#] {
        assert_eq!(records_from_json(form).err().map(|error| error.kind()), Some(ErrorKind::Data), "{form}");
    }
    let both = r#"[{"topic":"t","partition":0,"offset":1,"value":"x","value_base64":"eA=="}]"#;
    assert!(records_from_json(both).is_err_and(|error| error.message().contains("record 0")));
}

#[test]
fn schemas_are_inferred_from_samples() {
    let samples = [
        r#"{"id":1,"price":2,"at":"2024-05-31T23:59:59Z","day":"2024-05-31","tags":["x"],"address":{"city":"a","zip":1},"odd":1,"_kafka_x":1,"n":null}"#,
        r#"{"id":18446744073709551615,"price":2.5,"at":"2024-05-31T23:59:59.123456Z","day":"2024-06-01","tags":[],"address":{"city":null,"zip":2},"odd":"a"}"#,
        "not json",
    ];
    let inferred = infer_schema(samples.iter().map(|sample| sample.as_bytes())).expect("a schema");
    assert_eq!((inferred.sample_count, inferred.not_json_count), (2, 1));
    let types: Vec<String> =
        inferred.schema.fields().iter().map(|field| format!("{} {}", field.name, field.data_type)).collect();
    let expected = [
        "id uint64",
        "price float64",
        "at timestamp(us,UTC)",
        "day date",
        "tags list<utf8>",
        "address struct<city: utf8, zip: int64>",
        "odd json",
        "payload_kafka_x int64",
        "n json",
    ];
    assert_eq!(types, expected);
}
