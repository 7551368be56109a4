//! Logs of every shape: transactions, holes, keys and headers, timestamps, sizes, codecs, many partitions.

use std::thread::sleep;
use std::time::{Duration, Instant};

use rdp_testing::oracle::{self, Verdict};
use rdp_testing::{KafkaServer, RdpConfig, Record, Topic, TopicOptions, orders};

use crate::{LIMIT, rdp};

/// Loads to the log's end; oracle and audit both find the landing exact.
#[track_caller]
fn lands_exactly(config: &RdpConfig) -> Verdict {
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(config);
    verdict.assert_exact();
    assert_eq!((verdict.ambiguous, verdict.unverifiable), (0, 0), "{verdict:?}");
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
    verdict
}

fn numbered(numbers: std::ops::Range<usize>) -> impl Iterator<Item = Record> {
    numbers.map(|number| Record::new(format!("v{number}")).key(format!("k{number}")).partition(0))
}

#[test]
#[ignore = "needs a broker"]
fn a_bounded_run_ends_at_a_transaction_that_is_open_and_the_next_lands_the_rest() {
    let topic = KafkaServer::shared().create_topic("open-bounded", 2);
    topic.produce(orders(71, 600));
    let open = topic.transaction(orders(72, 300));
    open.produce(orders(73, 300));
    let behind = topic.produce(orders(74, 500)).len() as u64;
    let config = RdpConfig::orders(&topic).window(200, "5s");

    assert_eq!(lands_exactly(&config).records, 600);
    let ends: Vec<i64> = (0..2).map(|partition| topic.last_stable_offset(partition)).collect();
    let files = config.landed_files();
    lands_exactly(&config);
    assert_eq!(config.landed_files(), files, "nothing more can be read");

    open.commit();
    let verdict = lands_exactly(&config);
    assert_eq!(verdict.records, 600 + 600 + behind);
    assert!((0..2).all(|partition| topic.last_stable_offset(partition) > ends[partition as usize]));
}

#[test]
#[ignore = "needs a broker"]
fn an_unbounded_run_goes_past_a_transaction_when_it_ends() {
    for commits in [true, false] {
        let topic = KafkaServer::shared().create_topic("open-unbounded", 1);
        topic.produce(orders(75, 200));
        let open = topic.transaction(orders(76, 100));
        topic.produce(orders(77, 300));
        let config = RdpConfig::orders(&topic).window(1_000, "200ms");
        let mut process = rdp("run").arg(config.path()).spawn();
        wait_for(&config, 200);
        // It stays there, however long it is asked to.
        sleep(Duration::from_secs(2));
        assert_eq!(oracle::check_landed_so_far(&config).records, 200);

        if commits {
            open.commit()
        } else {
            open.abort()
        }
        let expected = if commits { 600 } else { 500 };
        wait_for(&config, expected);
        process.term();
        process.wait(LIMIT).assert_success();
        assert_eq!(lands_exactly(&config).records, expected);
    }
}

#[test]
#[ignore = "needs a broker"]
fn control_markers_at_the_tail_are_landed_past_once() {
    let topic = KafkaServer::shared().create_topic("tail-markers", 1);
    topic.transaction(numbered(0..50)).commit();
    let config = RdpConfig::raw(&topic).window(20, "5s");
    assert_eq!(lands_exactly(&config).records, 50);
    let files = config.landed_files();
    lands_exactly(&config);
    assert_eq!(config.landed_files(), files, "a marker is no news twice");

    topic.transaction(numbered(50..60)).abort();
    topic.transaction(numbered(60..70)).abort();
    assert_eq!(lands_exactly(&config).records, 50);
    let files = config.landed_files();
    lands_exactly(&config);
    assert_eq!(config.landed_files(), files, "aborted records are no news twice");

    topic.transaction(numbered(70..80)).commit();
    assert_eq!(lands_exactly(&config).records, 60);
}

#[test]
#[ignore = "needs a broker"]
fn compaction_holes_at_head_middle_and_tail_land_as_holes() {
    let topic = KafkaServer::shared()
        .create_topic_with("holes", TopicOptions::new(1).compacted().config("delete.retention.ms", 100));
    let keyed = |keys: std::ops::Range<usize>, value: &'static str| {
        keys.map(move |key| Record::new(value).key(format!("k{key}")).partition(0))
    };
    // Each step in segments of its own: only those that are full are compacted.
    let pause = || sleep(Duration::from_millis(250));
    let early = RdpConfig::raw(&topic).window(7, "5s");
    topic.produce(keyed(0..20, "head: written again below"));
    pause();
    topic.produce(keyed(20..40, "kept"));
    pause();
    rdp("load").arg(early.path()).run(LIMIT).assert_success();
    topic.produce(keyed(40..60, "middle: written again below"));
    pause();
    topic.produce(keyed(0..20, "kept").chain(keyed(40..60, "kept")));
    pause();
    topic.produce((60..70).map(|key| Record::tombstone(format!("k{key}")).partition(0)));
    let tail = topic.transaction(keyed(70..80, "tail: aborted"));
    pause();
    tail.abort();

    // What stands at the very end is the marker of the abort, alone in its segment.
    let (_, end) = topic.offsets(0);
    let kept: Vec<i64> = (20..40).chain(60..100).collect();
    let deadline = Instant::now() + LIMIT;
    while topic.readable_offsets(0) != kept {
        assert!(Instant::now() < deadline, "not compacted: {:?}", topic.readable_offsets(0));
        // A log is looked at again when it has grown; an aborted record makes it grow and leaves nothing.
        pause();
        topic.transaction(keyed(70..71, "tail: aborted")).abort();
    }
    assert!(end > 110 && topic.offsets(0).0 == 0, "the log begins and ends with holes");

    let late = RdpConfig::raw(&topic).window(7, "5s");
    assert_eq!(lands_exactly(&late).records, 60);
    let files = late.landed_files();
    rdp("load").arg(late.path()).run(LIMIT).assert_success();
    assert_eq!(late.landed_files(), files);

    // Half of it landed before it was compacted: those rows stay, and stand behind no record now.
    rdp("load").arg(early.path()).run(LIMIT).assert_success();
    let verdict = oracle::check_with(&early, &["--compacted"]);
    verdict.assert_exact();
    assert_eq!((verdict.records, verdict.unverifiable), (60, 20));
    rdp("audit").arg(early.path()).run(LIMIT).assert_success();
}

#[test]
#[ignore = "needs a broker"]
fn log_append_time_lands_as_the_broker_has_it() {
    let before = now();
    let topic = KafkaServer::shared()
        .create_topic_with("append-time", TopicOptions::new(2).config("message.timestamp.type", "LogAppendTime"));
    // The broker's clock counts, whatever the producer says.
    topic.produce(orders(81, 500));
    let config = RdpConfig::orders(&topic);
    assert_eq!(lands_exactly(&config).records, 500);
    let earliest =
        first_number(&config, &format!("SELECT MIN(EPOCH_MS(_kafka_timestamp)) AS n FROM \"{}\"", topic.name()));
    assert!((before..=now()).contains(&earliest), "{earliest} is not a time of this test");
}

#[test]
#[ignore = "needs a broker"]
fn a_record_without_a_timestamp_lands_with_null() {
    let topic = KafkaServer::shared().create_topic("no-timestamp", 1);
    topic.produce([
        Record::new("none").timestamp(-1),
        Record::new("the first moment after 1970").timestamp(1),
        Record::new("before 1970").timestamp(-2),
        Record::new("none again").timestamp(-1),
    ]);
    let config = RdpConfig::raw(&topic);
    assert_eq!(lands_exactly(&config).records, 4);
    let nulls = format!("SELECT COUNT(*) AS n FROM \"{}\" WHERE _kafka_timestamp IS NULL", topic.name());
    assert_eq!(first_number(&config, &nulls), 2);
    let before = format!("SELECT EPOCH_MS(_kafka_timestamp) AS n FROM \"{}\" WHERE _kafka_offset = 2", topic.name());
    assert_eq!(first_number(&config, &before), -2);
}

#[test]
#[ignore = "needs a broker"]
fn an_empty_payload_is_quarantined_and_a_tombstone_is_not() {
    let topic = KafkaServer::shared().create_topic("nothing", 1);
    topic.produce([Record::new(""), Record::tombstone("k"), Record::new("").key(""), Record::new("{\"order_id\":1}")]);
    let verdict = lands_exactly(&RdpConfig::orders(&topic));
    assert_eq!((verdict.records, verdict.tombstones, verdict.quarantined), (4, 1, 2));
}

#[test]
#[ignore = "needs a broker"]
fn records_of_ten_megabytes_land_with_the_settings_as_they_come() {
    let topic = large_topic("large");
    let large = || Record::new(noise(10 << 20)).partition(0);
    let small = || Record::new("small").partition(0);
    topic.produce([small(), large(), small(), large(), large(), small()]);
    topic.produce((0..6).map(|_| Record::new(noise(10 << 20)).partition(1)));
    topic.produce_with(&[("compression.codec", "zstd")], [Record::new(vec![b'z'; 10 << 20]).partition(1)]);
    assert_eq!(lands_exactly(&RdpConfig::raw(&topic)).records, 13);
    // Each is larger than the window, and than all the memory that the queues have a share of.
    let tight = RdpConfig::raw(&topic).set("/window/max_bytes", "1MiB").set("/loader/memory", "64MiB");
    assert_eq!(lands_exactly(&tight).records, 13);
}

#[test]
#[ignore = "needs a broker"]
fn a_json_payload_of_ten_megabytes_lands_in_its_columns() {
    let topic = large_topic("large-json");
    let name = "x".repeat(5 << 20);
    topic.produce([
        Record::new("{\"order_id\":1}").partition(0),
        Record::new(format!("{{\"order_id\":2,\"customer\":\"{name}\",\"items\":[\"{name}\"]}}")).partition(0),
        Record::new(format!("{{\"order_id\":\"{name}\"}}")).partition(0),
    ]);
    let verdict = lands_exactly(&RdpConfig::orders(&topic).set("/window/max_bytes", "64KiB"));
    assert_eq!((verdict.records, verdict.quarantined), (3, 1));
}

#[test]
#[ignore = "needs a broker"]
fn codecs_and_transactions_share_a_partition() {
    let topic = KafkaServer::shared().create_topic("mixed-codecs", 1);
    for (round, codec) in ["none", "gzip", "snappy", "lz4", "zstd"].into_iter().enumerate() {
        topic.produce_with(&[("compression.codec", codec)], orders(90 + round as u64, 400));
        topic.transaction(orders(100 + round as u64, 30)).abort();
        topic.transaction(orders(110 + round as u64, 30)).commit();
    }
    assert_eq!(lands_exactly(&RdpConfig::orders(&topic).window(300, "5s")).records, 5 * 430);
}

#[test]
#[ignore = "needs a broker"]
fn of_many_partitions_most_are_empty_and_the_run_ends() {
    let topic = KafkaServer::shared().create_topic("sparse", 192);
    let on = |partition: i32, count: usize| {
        (0..count).map(move |number| Record::new(format!("{number}")).partition(partition))
    };
    topic.produce(on(0, 100).chain(on(77, 1)).chain(on(191, 2_000)));
    // In a partition of nothing but aborted records the run has to get past them.
    topic.transaction(on(100, 5)).abort();
    for config in [RdpConfig::raw(&topic), RdpConfig::raw(&topic).without_group().set("/loader/lanes", 2)] {
        let verdict = lands_exactly(&config);
        assert_eq!((verdict.records, verdict.partitions), (2_101, 192));
        let files = config.landed_files();
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        assert_eq!(config.landed_files(), files);
    }
}

/// Waits until so many records have landed, and not one more.
#[track_caller]
fn wait_for(config: &RdpConfig, records: u64) {
    let deadline = Instant::now() + LIMIT;
    loop {
        let verdict = oracle::check_landed_so_far(config);
        verdict.assert_exact();
        if verdict.records == records {
            return;
        }
        assert!(verdict.records < records, "{} have landed, not {records}", verdict.records);
        assert!(Instant::now() < deadline, "{} have landed, not {records}", verdict.records);
    }
}

/// The number that a query has in its first row, under the name `n`.
fn first_number(config: &RdpConfig, query: &str) -> i64 {
    let exit = rdp("sql").arg(query).arg("--config").arg(config.path()).args(["--output", "ndjson"]).run(LIMIT);
    exit.assert_success();
    let row: serde_json::Value = serde_json::from_str(exit.stdout.lines().next().unwrap_or_default())
        .unwrap_or_else(|error| panic!("{error}: {}", exit.stdout));
    row["n"].as_i64().unwrap_or_else(|| panic!("no number: {row}"))
}

fn large_topic(name: &str) -> Topic {
    KafkaServer::shared().create_topic_with(name, TopicOptions::new(2).config("max.message.bytes", 12 << 20))
}

/// Bytes that no codec makes smaller, the same every time.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let step = |_| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state as u8
    };
    (0..size).map(step).collect()
}

fn now() -> i64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).expect("it is later than 1970");
    since.as_millis() as i64
}
