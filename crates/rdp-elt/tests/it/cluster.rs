//! What a real cluster says of itself.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use rdp_elt::kafka::{Cluster, Isolation, KafkaConsumerBuilder, Login, Sasl, StartPosition, Tls};
use rdp_elt::{ErrorKind, TopicPartition};
use rdp_testing::{Fault, FaultProxy, KafkaOptions, KafkaServer, Record, TopicOptions};

use crate::{proxied_broker, source};

#[test]
#[ignore = "needs Apache Kafka"]
fn the_end_for_a_committed_reader_is_the_last_stable_offset() {
    let topic = KafkaServer::shared().create_topic("ends", 1);
    topic.produce((0..10).map(|n| Record::new(n.to_string())));
    let open = topic.transaction([Record::new("open")]);
    topic.produce([Record::new("behind the open transaction")]);
    let all = [TopicPartition::new(topic.name(), 0)];

    let high = |isolation| {
        let cluster = Cluster::connect(&source(&topic).isolation(isolation)).expect("connected");
        cluster.watermarks(&all).expect("read")[&all[0]].high
    };

    assert_eq!(high(Isolation::ReadCommitted), topic.last_stable_offset(0));
    assert_eq!((high(Isolation::ReadCommitted), high(Isolation::ReadUncommitted)), (10, 12));
    open.abort();
    assert_eq!(high(Isolation::ReadCommitted), 13);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn many_partitions_are_asked_in_one_request() {
    let (broker, proxy) = proxied_broker();
    let topic = broker.create_topic("many", 192);
    let cluster = Cluster::connect(&source(&topic.through(&proxy.address()))).expect("connected");
    let all = cluster.partitions().expect("found");
    // One after the other, 192 answers would take a minute and a half.
    proxy.set(Fault::Delay(Duration::from_millis(250)));
    let began = Instant::now();
    let ends = cluster.watermarks(&all).expect("read");
    assert_eq!(ends.len(), 192);
    assert!(began.elapsed() < Duration::from_secs(45), "took {:?}", began.elapsed());
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_time_finds_the_first_record_at_or_after_it() {
    let topic = KafkaServer::shared().create_topic("times", 2);
    topic.produce((0..10).map(|n| Record::new("x").partition(0).timestamp(1_700_000_000_000 + n * 1_000)));
    let cluster = Cluster::connect(&source(&topic)).expect("connected");
    let all = cluster.partitions().expect("found");
    let starts = |time| {
        let found = cluster.start_offsets(&all, &StartPosition::Time(time)).expect("found");
        all.iter().map(|partition| found.position(partition)).collect::<Vec<_>>()
    };
    assert_eq!(starts(1_700_000_003_000), [Some(3), Some(0)]);
    assert_eq!(starts(1_700_000_003_001), [Some(4), Some(0)]);
    assert_eq!(starts(1_800_000_000_000), [Some(10), Some(0)]);
    assert_eq!(starts(-5), [Some(0), Some(0)]);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_re_created_topic_has_another_id() {
    let topic = KafkaServer::shared().create_topic("ids", 1);
    let cluster = Cluster::connect(&source(&topic)).expect("connected");
    let identity = || cluster.identity(&[topic.name().into()]).expect("read").remove(topic.name()).expect("told");
    let before = identity();
    assert!(!before.cluster_id.is_empty() && !before.topic_id.is_empty(), "{before:?}");
    topic.recreate();
    let after = identity();
    assert_eq!(before.cluster_id, after.cluster_id);
    assert_ne!(before.topic_id, after.topic_id);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn compaction_shows() {
    let broker = KafkaServer::shared();
    let plain = broker.create_topic("plain", 1);
    let compacted = broker.create_topic_with("compacted", TopicOptions::new(1).compacted());
    for (topic, wanted) in [(plain, false), (compacted, true)] {
        let cluster = Cluster::connect(&source(&topic)).expect("connected");
        assert_eq!(cluster.is_compacted(topic.name()).expect("read"), wanted);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn asking_for_a_missing_topic_makes_none() {
    let topic = KafkaServer::shared().create_topic("present", 1);
    let missing = format!("{}x", topic.name());
    let cluster = Cluster::connect(&source(&topic).topics([missing.as_str()])).expect("connected");
    for _ in 0..3 {
        let error = cluster.topics().expect_err("missing");
        assert_eq!(error.kind(), ErrorKind::Config);
        assert!(error.help().is_some_and(|help| help.contains(topic.name())), "{error:?}");
    }
    let everything = Cluster::connect(&source(&topic).topics(["^present"])).expect("connected");
    let names: BTreeSet<_> = everything.topics().expect("listed").into_iter().map(|topic| topic.name).collect();
    assert!(names.contains(topic.name()) && !names.contains(missing.as_str()), "{names:?}");
}

/// A broker of its own with one more listener, at the proxy's address, that wants user `loader` with password `right`.
fn broker_with_login() -> (KafkaServer, FaultProxy) {
    let proxy = FaultProxy::start();
    let module = "org.apache.kafka.common.security.plain.PlainLoginModule required user_loader=\"right\";";
    let options = KafkaOptions::default()
        .proxied(&proxy)
        .property("listener.security.protocol.map", "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,PROXIED0:SASL_PLAINTEXT")
        .property("listener.name.proxied0.sasl.enabled.mechanisms", "PLAIN")
        .property("listener.name.proxied0.plain.sasl.jaas.config", module);
    (KafkaServer::start_with(options), proxy)
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_refused_login_is_denied_at_once_and_says_why() {
    let (broker, proxy) = broker_with_login();
    let topic = broker.create_topic("login", 1);
    let connect = |sasl: Sasl| {
        let builder = KafkaConsumerBuilder::new(proxy.address()).topics([topic.name()]).sasl(sasl);
        let began = Instant::now();
        let outcome = Cluster::connect(&builder).and_then(|cluster| cluster.topics());
        assert!(began.elapsed() < Duration::from_secs(10), "took {:?}", began.elapsed());
        outcome
    };

    assert_eq!(connect(Sasl::Plain(Login::new("loader", "right"))).expect("let in").len(), 1);

    let error = connect(Sasl::Plain(Login::new("loader", "wrong"))).expect_err("refused");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().to_lowercase().contains("authentication"), "{error:?}");
    assert!(!format!("{error:?}").contains("wrong"), "{error:?}");

    let error = connect(Sasl::ScramSha256(Login::new("loader", "right"))).expect_err("no such mechanism there");
    assert_eq!(error.kind(), ErrorKind::Denied, "{error:?}");
    assert!(error.message().contains("PLAIN"), "it names what the broker offers: {error:?}");
}

#[test]
#[ignore = "needs Apache Kafka"]
fn tls_towards_a_listener_without_it_says_so() {
    let topic = KafkaServer::shared().create_topic("no-tls", 1);
    let error = Cluster::connect(&source(&topic).tls(Tls::new())).map(|_| ()).expect_err("no TLS there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    // It depends on who is quicker: the broker closes what it does not understand.
    let says_so = ["PLAINTEXT", "SSL_HANDSHAKE"].iter().any(|word| error.message().contains(word));
    assert!(says_so, "{error:?}");
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_broker_that_comes_back_is_found_again() {
    let broker = KafkaServer::start();
    let topic = broker.create_topic("back", 1);
    topic.produce([Record::new("x")]);
    let cluster = Cluster::connect(&source(&topic)).expect("connected");
    let all = cluster.partitions().expect("found");
    broker.kill();
    let error = cluster.watermarks(&all).expect_err("nobody is there");
    assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    broker.restart();
    let began = Instant::now();
    let ends = loop {
        match cluster.watermarks(&all) {
            Ok(ends) => break ends,
            Err(error) => assert!(began.elapsed() < Duration::from_secs(30), "{error:?}"),
        }
    };
    assert_eq!(ends[&all[0]].high, 1);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_broker_that_was_frozen_past_its_session_is_found_again() {
    let broker = KafkaServer::start();
    let topic = broker.create_topic("frozen", 2);
    topic.produce([Record::new("x").partition(0)]);
    let cluster = Cluster::connect_within(&source(&topic), Duration::from_secs(10)).expect("connected");
    let all = cluster.partitions().expect("found");
    cluster.watermarks(&all).expect("read");

    broker.pause();
    std::thread::sleep(Duration::from_secs(10));
    // For a moment it will be fenced: it answers what waits for it with topics and without brokers.
    let waiting = std::thread::scope(|scope| {
        let waiting = scope.spawn(|| cluster.watermarks(&all));
        std::thread::sleep(Duration::from_secs(2));
        broker.resume();
        waiting.join().expect("no panic")
    });
    if let Err(error) = waiting {
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    }
    let began = Instant::now();
    let ends = loop {
        match cluster.watermarks(&all) {
            Ok(ends) => break ends,
            Err(error) => {
                assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
                assert!(began.elapsed() < Duration::from_secs(20), "{error:?}");
            }
        }
    };
    assert_eq!((ends[&all[0]].high, ends[&all[1]].high), (1, 0));
    cluster.identity(&[topic.name().into()]).expect("everything is answered again");
}

#[test]
#[ignore = "needs Apache Kafka"]
fn look_ups_that_are_cut_short_never_give_a_number_that_no_broker_gave() {
    let (broker, proxy) = proxied_broker();
    let topic = broker.create_topic("cut", 6);
    topic.produce((0..60).map(|n| Record::new("x").partition(n % 6).timestamp(1_700_000_000_000 + i64::from(n))));
    let through = source(&topic.through(&proxy.address()));
    let mut answers = 0;
    for bytes in [0, 150, 400, 700, 1_000, 1_500] {
        let cluster = Cluster::connect_within(&through, Duration::from_secs(5));
        let cluster = cluster.unwrap_or_else(|error| panic!("before {bytes} bytes: {error:?}"));
        let all = cluster.partitions().expect("found");
        proxy.set(Fault::CutAfter(bytes));
        let starts = cluster.start_offsets(&all, &StartPosition::Time(1_700_000_000_030));
        let ends = cluster.watermarks(&all);
        proxy.set(Fault::Pass);
        for error in [starts.as_ref().err(), ends.as_ref().err()].into_iter().flatten() {
            assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        }
        if let Ok(starts) = starts {
            answers += 1;
            assert!(all.iter().all(|partition| starts.position(partition) == Some(5)), "{starts}");
        }
        if let Ok(ends) = ends {
            assert!(all.iter().all(|partition| (ends[partition].low, ends[partition].high) == (0, 10)), "{ends:?}");
        }
    }
    assert!(answers > 0, "nothing was ever answered");
}
