//! Extraction: what a consumer takes from a real broker, and where a bounded run ends.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdp_elt::kafka::{KafkaConsumer, KafkaConsumerBuilder, StartPosition, WindowEnd, WindowLimits};
use rdp_elt::sink::MemorySink;
use rdp_elt::{ErrorKind, TopicPartition};
use rdp_testing::{KafkaServer, Record, TopicOptions};

use crate::{assert_tiles, land, landed_offsets, source};

fn numbered(count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(|number| Record::new(format!("{{\"n\":{number}}}")).key(format!("k{number}")).partition(0))
}

#[test]
#[ignore = "needs Kafka"]
fn every_codec_lands_alike() {
    let broker = KafkaServer::shared();
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let topic = broker.create_topic(&format!("codec-{codec}"), 1);
        topic.produce_with(&[("compression.codec", codec)], numbered(1_200));
        let sink = Arc::new(MemorySink::new());
        let report = land(source(&topic), &sink).expect(codec);
        assert_eq!(report.record_count, 1_200, "{codec}");
        assert_eq!(landed_offsets(&sink, &topic)[&0], (0..1_200).collect::<Vec<_>>(), "{codec}");
    }
}

#[test]
#[ignore = "needs Kafka"]
fn a_bounded_run_ends_behind_markers_and_aborted_records() {
    let topic = KafkaServer::shared().create_topic("transactions", 1);
    topic.transaction(numbered(10)).commit();
    topic.transaction(numbered(7)).abort();
    topic.transaction(numbered(5)).commit();
    topic.transaction(numbered(3)).abort();
    let sink = Arc::new(MemorySink::new());
    let report = land(source(&topic), &sink).expect("a load");
    assert_eq!(report.record_count, 15);
    // 25 records and 4 markers.
    assert_tiles(&sink, &topic, 0, 0, 29);
    assert_eq!(land(source(&topic), &sink).expect("a second load").record_count, 0);
    assert_tiles(&sink, &topic, 0, 0, 29);
}

#[test]
#[ignore = "needs Kafka"]
fn a_bounded_run_ends_at_an_open_transaction() {
    let topic = KafkaServer::shared().create_topic("open-transaction", 1);
    topic.produce(numbered(10));
    let open = topic.transaction(numbered(5));
    topic.produce(numbered(20));
    let sink = Arc::new(MemorySink::new());
    assert_eq!(land(source(&topic), &sink).expect("a load").record_count, 10);
    assert_tiles(&sink, &topic, 0, 0, 10);
    open.commit();
    assert_eq!(land(source(&topic), &sink).expect("a second load").record_count, 25);
    assert_tiles(&sink, &topic, 0, 0, 36);
}

#[test]
#[ignore = "needs Kafka"]
fn a_log_of_nothing_but_aborted_records_is_landed_to_its_end() {
    let topic = KafkaServer::shared().create_topic("only-aborted", 1);
    topic.transaction(numbered(10)).abort();
    let sink = Arc::new(MemorySink::new());
    assert_eq!(land(source(&topic), &sink).expect("a load").record_count, 0);
    assert_tiles(&sink, &topic, 0, 0, 11);
}

#[test]
#[ignore = "needs Kafka"]
fn empty_and_idle_partitions_do_not_hold_a_run_up() {
    let broker = KafkaServer::shared();
    let topic = broker.create_topic("idle", 48);
    topic.produce(numbered(100));
    for group in [None, Some("idle-group")] {
        let sink = Arc::new(MemorySink::new());
        let source = group.iter().fold(source(&topic), |source, group| source.group_id(*group));
        assert_eq!(land(source, &sink).expect("a load").record_count, 100);
    }
    let empty = broker.create_topic("empty", 3);
    assert_eq!(land(source(&empty), &Arc::new(MemorySink::new())).expect("a load of nothing").record_count, 0);
}

#[test]
#[ignore = "needs Kafka"]
fn several_topics_and_a_regex_land_side_by_side() {
    let broker = KafkaServer::shared();
    let (one, two) = (broker.create_topic("many-a", 2), broker.create_topic("many-b", 2));
    one.produce(numbered(30));
    two.produce(numbered(40));
    for group in [None, Some("many-group")] {
        let named = KafkaConsumerBuilder::new(broker.brokers()).topics([one.name(), two.name()]);
        let regex = KafkaConsumerBuilder::new(broker.brokers()).topics([format!("^{}$", one.name())]);
        let with_group = |source: KafkaConsumerBuilder, name: &str| match group {
            Some(group) => source.group_id(format!("{group}-{name}")),
            None => source,
        };
        let sink = Arc::new(MemorySink::new());
        assert_eq!(land(with_group(named, "named"), &sink).expect("named topics").record_count, 70);
        let sink = Arc::new(MemorySink::new());
        assert_eq!(land(with_group(regex, "regex"), &sink).expect("a regex").record_count, 30);
    }
}

#[test]
#[ignore = "needs Kafka"]
fn reading_begins_where_it_was_told() {
    let topic = KafkaServer::shared().create_topic("start", 1);
    topic.produce((0..100).map(|number: i64| Record::new("v").timestamp(1_700_000_000_000 + number).partition(0)));
    let partition = TopicPartition::new(topic.name(), 0);
    let starts = [
        (StartPosition::Earliest, 0),
        (StartPosition::Latest, 100),
        (StartPosition::Time(1_700_000_000_040), 40),
        (StartPosition::Time(1_900_000_000_000), 100),
        (StartPosition::Offsets(BTreeMap::from([(partition, 77)])), 77),
    ];
    for (start, first) in starts {
        let sink = Arc::new(MemorySink::new());
        let report = land(source(&topic).start(start.clone()), &sink).expect("a load");
        assert_eq!(report.record_count, 100 - first, "{start:?}");
        let landed = landed_offsets(&sink, &topic).remove(&0).unwrap_or_default();
        assert_eq!(landed, (first as i64..100).collect::<Vec<_>>(), "{start:?}");
    }
}

#[test]
#[ignore = "needs Kafka"]
fn a_compacted_topic_lands_with_its_holes_inside_its_ranges() {
    let topic = KafkaServer::shared().create_topic_with("compacted", TopicOptions::new(1).compacted());
    for round in 0..5 {
        topic.produce((0..50).map(|key| Record::new(format!("{round}")).key(format!("k{key}")).partition(0)));
        std::thread::sleep(Duration::from_millis(150));
    }
    let sink = Arc::new(MemorySink::new());
    let report = land(source(&topic), &sink).expect("a load");
    assert_eq!(landed_offsets(&sink, &topic)[&0].len() as u64, report.record_count);
    let (_, end) = topic.offsets(0);
    assert_tiles(&sink, &topic, 0, 0, end);
}

#[test]
#[ignore = "needs Kafka"]
fn a_host_goes_on_behind_what_it_committed() {
    let topic = KafkaServer::shared().create_topic("host", 1);
    topic.produce(numbered(100));
    let limits = WindowLimits { max_records: 60, max_wait: Duration::from_secs(20), ..WindowLimits::default() };
    let builder = source(&topic).group_id("host-group");
    let mut consumer = KafkaConsumer::open(&builder).expect("a consumer");
    let window = consumer.poll_window(&limits).expect("a window");
    assert_eq!(window.closed_by, WindowEnd::Records);
    assert_eq!(window.records.iter().map(|records| records.num_rows()).sum::<usize>(), 60);
    consumer.commit(&window.ranges.ends()).expect("a commit");
    drop(consumer);

    let mut consumer = KafkaConsumer::open(&builder).expect("a second consumer");
    let limits = WindowLimits { max_records: 40, ..limits };
    let window = consumer.poll_window(&limits).expect("the rest");
    let (_, range) = window.ranges.iter().next().expect("one range");
    assert_eq!((range.start(), range.end()), (60, 100));

    consumer.seek(&[(TopicPartition::new(topic.name(), 0), 10)].into_iter().collect()).expect("a seek");
    let window = consumer.poll_window(&limits).expect("a window behind the seek");
    let (_, range) = window.ranges.iter().next().expect("one range");
    assert_eq!((range.start(), range.end()), (10, 50));
    let lag = consumer.lag().expect("a lag");
    assert_eq!(lag.position(&TopicPartition::new(topic.name(), 0)), Some(50));
}

#[test]
#[ignore = "needs Kafka"]
fn a_broker_that_is_down_is_an_error_and_not_an_empty_window() {
    let broker = KafkaServer::start();
    let topic = broker.create_topic("down", 1);
    topic.produce(numbered(10));
    let mut consumer = KafkaConsumer::open(&source(&topic)).expect("a consumer");
    let limits = WindowLimits { max_records: 10, max_wait: Duration::from_secs(5), ..WindowLimits::default() };
    assert_eq!(consumer.poll_window(&limits).expect("a window").closed_by, WindowEnd::Records);
    broker.kill();
    let error = consumer.poll_window(&limits).expect_err("a broker that is down");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    broker.restart();
    topic.produce(numbered(5));
    let limits = WindowLimits { max_records: 5, max_wait: Duration::from_secs(30), ..limits };
    let window = consumer.poll_window(&limits).expect("a window after the restart");
    assert_eq!(window.records.iter().map(|records| records.num_rows()).sum::<usize>(), 5);
}
