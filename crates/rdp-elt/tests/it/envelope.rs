//! Keys, headers and values as a real broker has them, value by value: nothing is taken for something like it.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryArray};
use arrow::compute::concat_batches;
use rdp_elt::sink::MemorySink;
use rdp_testing::{KafkaServer, Record};

use crate::{land, source};

#[test]
#[ignore = "needs Kafka"]
fn null_empty_and_binary_are_three_things_in_keys_values_and_headers() {
    let topic = KafkaServer::shared().create_topic("envelope", 1);
    topic.produce([
        Record::new("null key"),
        Record::new("").key(""),
        Record::tombstone([0]),
        Record::new([0, 255]).key([0xff, 0, 0xfe]),
        Record::new("h")
            .header("b", "1")
            .header("a", "")
            .null_header("a")
            .header("b", "1")
            .header("", [0, 255])
            .header("b", "0"),
    ]);
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("a load");
    let batches = sink.rows(topic.name());
    let rows = concat_batches(&batches[0].schema(), &batches).expect("one schema");
    let bytes =
        |column: &BinaryArray| -> Vec<Option<Vec<u8>>> { column.iter().map(|it| it.map(<[u8]>::to_vec)).collect() };
    let column = |name: &str| bytes(rows.column_by_name(name).expect("it is there").as_binary());

    assert_eq!(column("_kafka_key"), [None, Some(vec![]), Some(vec![0]), Some(vec![0xff, 0, 0xfe]), None]);
    let values = [Some(b"null key".to_vec()), Some(vec![]), None, Some(vec![0, 255]), Some(b"h".to_vec())];
    assert_eq!(column("_kafka_value"), values);
    let tombstones = rows.column_by_name("_kafka_tombstone").expect("it is there").as_boolean();
    assert_eq!(
        tombstones.iter().map(Option::unwrap_or_default).collect::<Vec<_>>(),
        [false, false, true, false, false]
    );

    let headers = rows.column_by_name("_kafka_headers").expect("it is there").as_list::<i32>();
    assert_eq!(headers.null_count(), 0);
    assert!((0..4).all(|row| headers.value(row).is_empty()));
    let headers = headers.value(4);
    let names = headers.as_struct().column(0).as_string::<i32>().iter().map(Option::unwrap_or_default);
    assert_eq!(names.collect::<Vec<_>>(), ["b", "a", "a", "b", "", "b"]);
    let one = || Some(b"1".to_vec());
    let values = [one(), Some(vec![]), None, one(), Some(vec![0, 255]), Some(b"0".to_vec())];
    assert_eq!(bytes(headers.as_struct().column(1).as_binary()), values);
}

#[test]
#[ignore = "needs Kafka"]
fn names_of_headers_land_whole_wherever_a_nul_is_in_them() {
    let topic = KafkaServer::shared().create_topic("header-names", 1);
    let names = ["", "\0", "\0a", "a\0b", "a\0", "\0\0", "plain"];
    let record = names
        .iter()
        .fold(Record::new("h"), |record, name| record.header(name, "value").header(name, "").null_header(name));
    topic.produce([record]);
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("a load");
    let rows = sink.rows(topic.name());
    let headers = rows[0].column_by_name("_kafka_headers").expect("it is there").as_list::<i32>().value(0);
    let found = headers.as_struct().column(0).as_string::<i32>().iter().map(Option::unwrap_or_default);
    assert_eq!(found.collect::<Vec<_>>(), names.iter().flat_map(|name| [*name; 3]).collect::<Vec<_>>());
    let values = headers.as_struct().column(1).as_binary::<i32>();
    let of_each = [Some(b"value".as_slice()), Some(b"".as_slice()), None];
    assert!(values.iter().eq(names.iter().flat_map(|_| of_each)));
}
