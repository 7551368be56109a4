//! The loader against a real broker and a sink that fails on purpose.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rdp_elt::kafka::KafkaConsumerBuilder;
use rdp_elt::sink::{CommitFailure, MemorySink};
use rdp_elt::{LoadEvent, LoaderOptions, Shutdown, Until};
use rdp_testing::{KafkaServer, Record, Topic};

use crate::{assert_tiles, block_on, land, landed_offsets, loader, source};

fn spread(count: usize, partitions: usize) -> impl Iterator<Item = Record> {
    (0..count).map(move |number| Record::new(format!("{number}")).partition((number % partitions) as i32))
}

fn assert_landed_once(sink: &MemorySink, topic: &Topic, per_partition: i64) {
    let landed = landed_offsets(sink, topic);
    assert_eq!(landed.len(), topic.partitions() as usize);
    for (partition, offsets) in landed {
        assert_eq!(offsets, (0..per_partition).collect::<Vec<_>>(), "partition {partition}");
        assert_tiles(sink, topic, partition, 0, per_partition);
    }
}

#[test]
#[ignore = "needs Kafka"]
fn a_commit_that_failed_before_or_after_its_effect_lands_once() {
    let topic = KafkaServer::shared().create_topic("failing-commits", 4);
    topic.produce(spread(8_000, 4));
    for how in [CommitFailure::BeforeEffect, CommitFailure::AfterEffect] {
        let sink = Arc::new(MemorySink::new());
        for _ in 0..3 {
            sink.fail_next_commit(how);
        }
        land(source(&topic), &sink).expect("it goes on");
        assert_landed_once(&sink, &topic, 2_000);
    }
}

#[test]
#[ignore = "needs Kafka"]
fn two_lanes_land_what_one_lands() {
    let topic = KafkaServer::shared().create_topic("lanes", 6);
    topic.produce(spread(12_000, 6));
    for group in [None, Some("lanes-group")] {
        let sink = Arc::new(MemorySink::new());
        let source = group.iter().fold(source(&topic), |source, group| source.group_id(*group));
        let options = LoaderOptions { lanes: 2, ..LoaderOptions::default() };
        let report = block_on(loader(source, &sink).with_options(options).run(Until::LogEnd, &Shutdown::new()));
        assert_eq!(report.expect("a load").record_count, 12_000);
        assert_landed_once(&sink, &topic, 2_000);
    }
}

/// Three loaders of one group, of which one comes late and one leaves early, land everything once under each of the
/// ways in which a group hands partitions over.
#[test]
#[ignore = "needs Kafka"]
fn a_rebalance_loses_and_doubles_nothing() {
    let protocols: [BTreeMap<&str, &str>; 3] = [
        BTreeMap::from([("partition.assignment.strategy", "range,roundrobin")]),
        BTreeMap::from([("partition.assignment.strategy", "cooperative-sticky")]),
        BTreeMap::from([("group.protocol", "consumer")]),
    ];
    for (number, settings) in protocols.iter().enumerate() {
        println!("{settings:?}");
        let topic = KafkaServer::shared().create_topic("rebalance", 6);
        topic.produce(spread(6_000, 6));
        let sink = Arc::new(MemorySink::new());
        let member = |topic: &Topic| {
            settings.iter().fold(source(topic).group_id(format!("rebalance-{number}")), |source, (key, value)| {
                source.set(*key, *value).expect("a librdkafka key")
            })
        };
        let revocations = Arc::new(AtomicU64::new(0));
        block_on(async {
            let (first_stop, last_stop) = (Shutdown::new(), Shutdown::new());
            let run = |source: KafkaConsumerBuilder, stop: &Shutdown| {
                let revocations = revocations.clone();
                let loader = loader(source, &sink).with_observer(move |event| {
                    if let LoadEvent::Revoked { .. } = event {
                        revocations.fetch_add(1, Ordering::SeqCst);
                    }
                });
                let stop = stop.clone();
                tokio::spawn(async move { loader.run(Until::Stopped, &stop).await })
            };
            let first = run(member(&topic), &first_stop);
            tokio::time::sleep(Duration::from_secs(3)).await;
            let second = run(member(&topic), &last_stop);
            tokio::time::sleep(Duration::from_secs(3)).await;
            topic.produce(spread(6_000, 6));
            let third = run(member(&topic), &last_stop);
            tokio::time::sleep(Duration::from_secs(2)).await;
            first_stop.request();
            first.await.expect("no panic").expect("the first ends well");
            topic.produce(spread(6_000, 6));
            let deadline = std::time::Instant::now() + Duration::from_secs(60);
            while landed_offsets(&sink, &topic).values().map(Vec::len).sum::<usize>() < 18_000 {
                assert!(std::time::Instant::now() < deadline, "{settings:?}: the rest does not land");
                tokio::time::sleep(Duration::from_millis(200)).await;
            }
            last_stop.request();
            second.await.expect("no panic").expect("the second ends well");
            third.await.expect("no panic").expect("the third ends well");
        });
        assert!(revocations.load(Ordering::SeqCst) > 0, "{settings:?}: nothing was rebalanced");
        assert_landed_once(&sink, &topic, 3_000);
    }
}

#[test]
#[ignore = "needs Kafka"]
fn a_run_survives_its_broker() {
    let broker = KafkaServer::start();
    let topic = broker.create_topic("survive", 2);
    topic.produce(spread(4_000, 2));
    let sink = Arc::new(MemorySink::new());
    block_on(async {
        let stop = Shutdown::new();
        let loader = loader(source(&topic).group_id("survive"), &sink);
        let running = tokio::spawn({
            let stop = stop.clone();
            async move { loader.run(Until::Stopped, &stop).await }
        });
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.kill();
        tokio::time::sleep(Duration::from_secs(2)).await;
        broker.restart();
        topic.produce(spread(4_000, 2));
        let deadline = std::time::Instant::now() + Duration::from_secs(60);
        while landed_offsets(&sink, &topic).values().map(Vec::len).sum::<usize>() < 8_000 {
            assert!(std::time::Instant::now() < deadline, "the rest does not land");
            tokio::time::sleep(Duration::from_millis(200)).await;
        }
        stop.request();
        running.await.expect("no panic").expect("it ends well");
    });
    assert_landed_once(&sink, &topic, 4_000);
}
