//! A topic lands, once.

use rdp_testing::{KafkaServer, RdpConfig, Record, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn a_topic_lands_exactly_and_a_second_load_lands_nothing_more() {
    let topic = KafkaServer::shared().create_topic("landing", 4);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        topic.produce_with(&[("compression.codec", codec)], orders(11, 2_000));
    }
    let config = RdpConfig::orders(&topic).window(3_000, "5s");

    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(&config);
    verdict.assert_exact();
    assert_eq!((verdict.records, verdict.ambiguous, verdict.unverifiable), (10_000, 0, 0));
    assert!(verdict.quarantined > 0 && verdict.tombstones > 0, "{verdict:?}");
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();

    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    assert_eq!(oracle::check(&config).files, verdict.files);
}

#[test]
#[ignore = "needs a broker"]
fn three_readers_read_a_landing_alike() {
    let topic = KafkaServer::shared().create_topic("readers", 2);
    topic.produce(orders(12, 3_000));
    let config = RdpConfig::orders(&topic);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let agreement = oracle::readers(&config.landing());
    assert!(agreement.agree && agreement.rows == 3_000, "{agreement:#?}");
}

#[test]
#[ignore = "needs a broker"]
fn transactions_land_as_a_committed_reader_sees_them() {
    let topic = KafkaServer::shared().create_topic("transactions", 2);
    topic.transaction(orders(13, 500)).commit();
    topic.transaction(orders(14, 500)).abort();
    topic.produce(orders(15, 500));
    topic.transaction(orders(16, 500)).abort();
    let _open = topic.transaction(orders(17, 500));
    let config = RdpConfig::orders(&topic);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(&config);
    verdict.assert_exact();
    assert_eq!(verdict.records, 1_000);
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
}

#[test]
#[ignore = "needs a broker"]
fn keys_values_and_headers_land_to_the_byte() {
    let topic = KafkaServer::shared().create_topic("bytes", 1);
    topic.produce([
        Record::new(""),
        Record::new([0, 255, 10]).key([0, 1, 255]),
        Record::new("no key, empty header").header("", "").null_header("h").header("h", [255]).header("h", "again"),
        Record::new("empty key").key(""),
        Record::tombstone("gone"),
        Record::tombstone(""),
        Record::new("at the epoch").timestamp(1),
        Record::new(vec![b'x'; 900_000]),
    ]);
    let config = RdpConfig::raw(&topic);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(&config);
    verdict.assert_exact();
    assert_eq!((verdict.records, verdict.tombstones, verdict.quarantined), (8, 2, 0));
}
