//! Logs that lost what was to be read next: retention and truncation.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use rdp_elt::kafka::WindowLimits;
use rdp_elt::reader::commits_of;
use rdp_elt::sink::MemorySink;
use rdp_elt::{LoadEvent, Until};
use rdp_testing::{Fault, KafkaCluster, KafkaServer, Record, TopicOptions};

use super::{MODES, Produced, Running, assert_landed, eager, in_mode, landed, wait_until, wait_within};
use crate::{assert_source_changed, assert_tiles, block_on, land, loader, proxied_broker};

#[test]
#[ignore = "needs Apache Kafka"]
fn retention_that_overtakes_a_running_reader_stops_it_once_the_open_window_has_landed() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("overtaken", 1);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, [0], 100);
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let loaded = Arc::new(AtomicU64::new(0));
        let count = loaded.clone();
        let limits = WindowLimits { max_wait: Duration::from_secs(600), ..WindowLimits::default() };
        let loader = loader(source, &sink).with_limits(limits).with_observer(move |event| {
            if let LoadEvent::Loaded { record_count } = event {
                count.fetch_add(record_count, Ordering::SeqCst);
            }
        });
        let running = Running::start(loader, Until::Stopped);
        wait_until("the first records are polled", || loaded.load(Ordering::SeqCst) == 100);
        // No fetch is under way while the log changes.
        proxy.set(Fault::Reset);
        thread::sleep(Duration::from_millis(500));
        Produced::default().add(&topic, [0], 200);
        topic.delete_records(0, 250);
        proxy.set(Fault::Pass);
        let error = running.end().expect_err("records are gone");
        let partition = format!("{}[0]", topic.name());
        assert_source_changed(&error, &[&partition, "[100, 250)", "begins at 250", "ends at 300"]);
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_log_that_ends_with_markers_is_read_to_its_end_and_nobody_waits_for_them() {
    let broker = KafkaServer::shared();
    for group in MODES {
        let (topic, sink) = (broker.create_topic("markers", 1), Arc::new(MemorySink::new()));
        topic.transaction((0..5).map(|number| Record::new(number.to_string()))).commit();
        topic.transaction((0..3).map(|number| Record::new(number.to_string()))).abort();
        topic.wait_for_markers();
        let waits = Arc::new(AtomicU64::new(0));
        let count = waits.clone();
        let loader = loader(in_mode(eager(&topic), &topic, group), &sink).with_observer(move |event| {
            if let LoadEvent::Waiting { reason, .. } = event {
                println!("waits: {reason}");
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
        let running = Running::start(loader, Until::Stopped);
        running.wait_until_landed(&sink, &topic, 5);
        // As long as it takes to be told of what does not come, and some.
        thread::sleep(Duration::from_secs(23));
        running.stop().expect("it stops");
        assert_eq!(waits.load(Ordering::SeqCst), 0, "all has landed, and there is nothing to wait for");
        assert_tiles(&sink, &topic, 0, 0, 10);
        // Retention empties the log: nothing that was to land is gone.
        topic.delete_records(0, 10);
        land(in_mode(eager(&topic), &topic, group), &sink).expect("there is nothing to land");
    }
}

/// Without a stop, and without a record that comes along.
#[test]
#[ignore = "needs Apache Kafka"]
fn a_run_that_goes_on_lands_that_it_has_passed_markers() {
    let (topic, sink) = (KafkaServer::shared().create_topic("passed-markers", 1), Arc::new(MemorySink::new()));
    topic.transaction((0..3).map(|number| Record::new(number.to_string()))).abort();
    topic.wait_for_markers();
    let running = Running::start(loader(eager(&topic), &sink), Until::Stopped);
    wait_within(Duration::from_secs(100), "its position is behind them", || {
        !block_on(commits_of(&*sink, topic.name())).expect("a ledger").is_empty()
    });
    assert_tiles(&sink, &topic, 0, 0, 4);
    running.stop().expect("it stops");
}

#[test]
#[ignore = "needs Apache Kafka"]
fn retention_before_anything_landed_moves_the_start() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("moved-start", 1);
        let sink = Arc::new(MemorySink::new());
        let assigned = Arc::new(AtomicBool::new(false));
        let told = assigned.clone();
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let loader = loader(source, &sink).with_observer(move |event| {
            if let LoadEvent::Assigned { .. } = event {
                told.store(true, Ordering::SeqCst);
            }
        });
        let running = Running::start(loader, Until::Stopped);
        wait_until("the partition is assigned", || assigned.load(Ordering::SeqCst));
        proxy.set(Fault::Reset);
        thread::sleep(Duration::from_millis(500));
        let mut produced = Produced::default();
        produced.add(&topic, [0], 100);
        topic.delete_records(0, 60);
        proxy.set(Fault::Pass);
        running.wait_until_landed(&sink, &topic, 40);
        running.stop().expect("it ends well");
        produced.0.retain(|(_, offset), _| *offset >= 60);
        assert!(landed(&sink, &topic) == produced.0, "other records landed than were left");
        // The landing begins where it was claimed to, before anything was read.
        assert_tiles(&sink, &topic, 0, 0, 100);
    }
}

/// A follower that missed half of the log becomes the leader: under a running loader, and before the next one starts.
#[test]
#[ignore = "needs Apache Kafka"]
fn a_log_that_was_cut_below_the_position_stops_the_loader() {
    let cluster = KafkaCluster::start(3);
    let options = TopicOptions::new(1).replicas(2);
    let options = options.config("min.insync.replicas", 1).config("unclean.leader.election.enable", true);
    let topic = cluster.create_topic_with("cut-log", options);
    let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
    produced.add(&topic, [0], 100);
    let running = Running::start(loader(eager(&topic), &sink), Until::Stopped);
    running.wait_until_landed(&sink, &topic, 100);

    let leader = topic.leader(0);
    let follower = topic.replicas(0).into_iter().find(|node| *node != leader).expect("a second replica");
    cluster.node(follower).kill();
    produced.add(&topic, [0], 150);
    running.wait_until_landed(&sink, &topic, 250);
    cluster.node(leader).kill();
    cluster.node(follower).restart();

    let says = [format!("{}[0]", topic.name()), "from 250".to_owned(), "ends at 100".to_owned()];
    let error = running.end().expect_err("the log was cut");
    assert_source_changed(&error, &says.each_ref().map(String::as_str));
    let error = Running::start(loader(eager(&topic), &sink), Until::LogEnd).end().expect_err("it is still cut");
    assert_source_changed(&error, &says.each_ref().map(String::as_str));
    assert_landed(&sink, &topic, &produced);
}
