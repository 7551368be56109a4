use std::time::{Duration, Instant};

use rdp_testing::{
    Delivered, Fault, FaultProxy, KafkaCluster, KafkaOptions, KafkaServer, Record, TopicOptions, orders,
};

#[test]
#[ignore = "needs a broker"]
fn a_broker_keeps_its_records_over_a_kill() {
    let broker = KafkaServer::start();
    let topic = broker.create_topic("kept", 2);
    let delivered = topic.produce([Record::new("a").partition(0), Record::new("b").partition(1)]);
    assert_eq!(delivered, [Delivered { partition: 0, offset: 0 }, Delivered { partition: 1, offset: 0 }]);
    broker.kill();
    broker.restart();
    assert_eq!(topic.offsets(0), (0, 1));
    broker.stop();
    broker.restart();
    assert_eq!(topic.offsets(1), (0, 1));
}

#[test]
#[ignore = "needs a broker"]
fn a_frozen_broker_goes_on_where_it_was() {
    let broker = KafkaServer::start();
    let topic = broker.create_topic("frozen", 1);
    broker.pause();
    std::thread::sleep(Duration::from_millis(300));
    broker.resume();
    topic.produce([Record::new("a")]);
    assert_eq!(topic.offsets(0), (0, 1));
}

#[test]
#[ignore = "needs a broker"]
fn a_topic_can_be_cut_altered_grown_and_made_anew() {
    let mut topic = KafkaServer::shared().create_topic("changing", 1);
    topic.produce((0..10).map(|n| Record::new(n.to_string())));
    topic.delete_records(0, 4);
    assert_eq!(topic.offsets(0), (4, 10));
    topic.alter_config("max.message.bytes", 100_000);
    topic.add_partitions(3);
    assert_eq!(topic.offsets(2), (0, 0));
    topic.recreate();
    assert_eq!(topic.offsets(0), (0, 0));
}

#[test]
#[ignore = "needs a broker"]
fn every_codec_and_transaction_outcome_can_be_produced() {
    let options = TopicOptions::new(1).config("max.message.bytes", 20_000_000);
    let topic = KafkaServer::shared().create_topic_with("shapes", options);
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        topic.produce_with(&[("compression.codec", codec)], orders(1, 20));
    }
    assert_eq!(topic.offsets(0), (0, 100));
    topic.transaction(orders(2, 5)).commit();
    topic.transaction(orders(3, 5)).abort();
    // Each transaction ends with a marker that takes an offset.
    assert_eq!(topic.offsets(0), (0, 112));
    let _open = topic.transaction([Record::new(vec![b'x'; 10_000_000])]);
    assert_eq!(topic.offsets(0), (0, 113));
    assert_eq!(topic.last_stable_offset(0), 112);
    assert_eq!(topic.readable_offsets(0).len(), 105);
}

#[test]
#[ignore = "needs a broker"]
fn compaction_happens_while_a_test_waits() {
    let topic = KafkaServer::shared().create_topic_with("compacted", TopicOptions::new(1).compacted());
    for _ in 0..10 {
        topic.produce((0..10).map(|n| Record::new("v").key(n.to_string())));
        std::thread::sleep(Duration::from_millis(110));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    // Ten keys are left, and the last segment, which is never compacted.
    while topic.readable_offsets(0).len() > 30 {
        assert!(Instant::now() < deadline, "nothing was compacted within 30 s");
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
#[ignore = "needs a broker"]
fn a_broker_behind_a_proxy_is_reached_only_through_it() {
    let proxy = FaultProxy::start();
    let broker = KafkaServer::start_with(KafkaOptions::default().proxied(&proxy));
    let topic = broker.create_topic("proxied", 1);
    let through = topic.through(&proxy.address());
    through.produce([Record::new("a")]);
    assert!(proxy.connection_count() >= 2, "bootstrap and data pass through it");
    let producer = through.producer(&[("message.timeout.ms", "3000")]);
    proxy.set(Fault::BlackHole);
    producer.send(Record::new("b"));
    std::thread::sleep(Duration::from_millis(500));
    assert_eq!(topic.offsets(0), (0, 1));
    proxy.set(Fault::Pass);
    producer.flush();
    assert_eq!(topic.offsets(0), (0, 2));
}

#[test]
#[ignore = "needs a broker"]
fn a_cluster_elects_another_leader() {
    let cluster = KafkaCluster::start(3);
    let topic = cluster.create_topic("replicated", 1);
    topic.produce([Record::new("a")]);
    let leader = topic.leader(0);
    cluster.node(leader).kill();
    topic.produce([Record::new("b")]);
    assert_ne!(topic.leader(0), leader);
    cluster.node(leader).restart();
    cluster.wait_until_whole();
    assert_eq!(topic.offsets(0), (0, 2));
}
