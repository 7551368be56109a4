//! Connections that are cut, slow or silent, and brokers that die.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use rdp_elt::Until;
use rdp_elt::sink::MemorySink;
use rdp_testing::{Fault, KafkaCluster, KafkaServer, Topic};

use super::{MODES, Produced, Running, assert_landed, eager, in_mode, landed, small};
use crate::{loader, proxied_broker};

/// One after the other, with quiet between them; cuts at lengths that fall into the middle of record batches.
fn faults() -> Vec<(Fault, Duration)> {
    let cuts = [40, 3_001, 17_011, 49_999, 50_100, 70_003, 131_111, 250_007].map(Fault::CutAfter);
    let short = [Fault::Reset, Fault::Close, Fault::Delay(Duration::from_millis(150))];
    let short = cuts.into_iter().chain(short).map(|fault| (fault, Duration::from_millis(500)));
    short.chain([(Fault::BlackHole, Duration::from_secs(4))]).collect()
}

#[test]
#[ignore = "needs Apache Kafka"]
fn fetches_that_are_cut_land_once() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("cut", 3);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..3, 100);
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let running = Running::start(loader(source, &sink), Until::Stopped);
        running.wait_until_landed(&sink, &topic, produced.len());
        let before = proxy.connection_count();
        for (fault, time) in faults() {
            proxy.set(fault);
            produced.add(&topic, 0..3, 200);
            thread::sleep(time);
            proxy.set(Fault::Pass);
            thread::sleep(Duration::from_millis(300));
        }
        running.wait_until_landed(&sink, &topic, produced.len());
        assert!(proxy.connection_count() >= before + 8, "the faults did not cut anything");
        running.stop().expect("it ends well");
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_bounded_run_whose_fetches_are_cut_lands_once() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("cut-bounded", 3);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..3, 8_000);
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let before = proxy.connection_count();
        let running = Running::start(small(loader(source, &sink)), Until::LogEnd);
        for (fault, time) in faults().into_iter().cycle() {
            if running.outcome.is_finished() {
                break;
            }
            proxy.set(fault);
            thread::sleep(time);
            proxy.set(Fault::Pass);
            thread::sleep(Duration::from_millis(100));
        }
        let report = running.end().expect("it ends by itself");
        assert!(proxy.connection_count() >= before + 8, "the faults did not cut anything");
        assert_eq!(report.record_count as usize, produced.len());
        assert_landed(&sink, &topic, &produced);
    }
}

/// Produces 100 records to each partition, again and again, until told to stop.
fn keep_producing(topic: &Topic) -> (Arc<AtomicBool>, JoinHandle<Produced>) {
    let (stop, topic) = (Arc::new(AtomicBool::new(false)), topic.clone());
    let asked = stop.clone();
    let producing = thread::spawn(move || {
        let mut produced = Produced::default();
        while !asked.load(Ordering::SeqCst) {
            produced.add(&topic, 0..topic.partitions(), 100);
            thread::sleep(Duration::from_millis(50));
        }
        produced
    });
    (stop, producing)
}

#[test]
#[ignore = "needs Apache Kafka"]
fn leaders_that_die_one_after_the_other_lose_and_double_nothing() {
    let cluster = KafkaCluster::start(3);
    for group in MODES {
        let topic = cluster.create_topic("leaders", 3);
        let sink = Arc::new(MemorySink::new());
        let source = in_mode(eager(&topic), &topic, group);
        let running = Running::start(loader(source, &sink), Until::Stopped);
        let (stop, producing) = keep_producing(&topic);
        for round in 0..3 {
            let leader = topic.leader(round);
            println!("node {leader} is killed");
            cluster.node(leader).kill();
            let count = landed(&sink, &topic).len();
            running.wait_until_landed(&sink, &topic, count + 600);
            cluster.node(leader).restart();
            cluster.wait_until_whole();
        }
        stop.store(true, Ordering::SeqCst);
        let produced = producing.join().expect("the producer goes on all the time");
        running.wait_until_landed(&sink, &topic, produced.len());
        running.stop().expect("it ends well");
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_broker_that_is_killed_within_a_window_loses_and_doubles_nothing() {
    for (group, until) in [(None, Until::Stopped), (None, Until::LogEnd), (Some("group"), Until::LogEnd)] {
        println!("{until:?}");
        let broker = KafkaServer::start();
        let topic = broker.create_topic("killed", 2);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..2, 20_000);
        let source = in_mode(eager(&topic), &topic, group);
        let running = Running::start(small(loader(source, &sink)), until);
        running.wait_until_landed(&sink, &topic, 500);
        broker.kill();
        assert!(landed(&sink, &topic).len() < produced.len(), "all had landed before the broker was killed");
        thread::sleep(Duration::from_secs(2));
        broker.restart();
        if until == Until::Stopped {
            produced.add(&topic, 0..2, 1_000);
        }
        running.wait_until_landed(&sink, &topic, produced.len());
        match until {
            Until::Stopped => running.stop().expect("it ends well"),
            _ => running.end().expect("it ends by itself"),
        };
        assert_landed(&sink, &topic, &produced);
    }
}
