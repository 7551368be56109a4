//! How long the next loader of a group waits for those that were killed.

use std::time::{Duration, Instant};

use rdp_testing::{KafkaOptions, KafkaServer, RdpConfig, orders};

use crate::{LIMIT, rdp};

/// RDP's own session settings, and a broker's.
#[test]
#[ignore = "needs a broker"]
fn after_four_kills_the_next_loader_of_a_group_lands_soon() {
    let options = KafkaOptions::default()
        .property("group.min.session.timeout.ms", 6_000)
        .property("group.initial.rebalance.delay.ms", 3_000)
        .property("group.consumer.min.session.timeout.ms", 45_000)
        .property("group.consumer.session.timeout.ms", 45_000)
        .property("group.consumer.min.heartbeat.interval.ms", 5_000)
        .property("group.consumer.heartbeat.interval.ms", 5_000);
    let broker = KafkaServer::start_with(options);
    let measured = std::thread::scope(|scope| {
        let measure = PROTOCOLS.map(|(name, key, value, bound)| {
            let broker = &broker;
            scope.spawn(move || (name, after_kills(broker, key, value), bound))
        });
        measure.map(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    });
    println!("{:<24} {:>14} {:>8}", "protocol", "first landing", "bound");
    for (name, took, bound) in measured {
        println!("{name:<24} {:>12.1} s {:>6} s", took.as_secs_f64(), bound.as_secs());
    }
    for (name, took, bound) in measured {
        assert!(took < bound, "{name}: {took:?} until the first record landed");
    }
}

/// Kills four loaders, and returns how long the fifth takes until it has landed something.
fn after_kills(broker: &KafkaServer, key: &str, value: &str) -> Duration {
    let topic = broker.create_topic("restart", 3);
    topic.produce(orders(71, 600));
    let config = RdpConfig::orders(&topic).window(100, "1s").librdkafka(key, value);
    for _ in 0..4 {
        // With partitions in hand, or waiting for those of the dead.
        let mut process = rdp("load").arg(config.path()).failpoint("slice_polled=kill").spawn();
        let began = Instant::now();
        while began.elapsed() < Duration::from_secs(5) && !process.has_ended() {
            std::thread::sleep(Duration::from_millis(20));
        }
        process.kill();
    }
    assert!(config.landed_files().is_empty(), "nobody lived long enough to land");
    let began = Instant::now();
    let mut process = rdp("load").arg(config.path()).spawn();
    while config.landed_files().is_empty() {
        assert!(began.elapsed() < 2 * LIMIT && !process.has_ended(), "{value}: it never landed:\n{}", process.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    let took = began.elapsed();
    process.wait(LIMIT).assert_success();
    took
}

/// Name, librdkafka's key and value, and a bound that no busy machine exceeds. Under the new protocol the session's length
/// is the broker's alone, 45 s by default.
const PROTOCOLS: [(&str, &str, &str, Duration); 3] = [
    ("classic, cooperative", "partition.assignment.strategy", "cooperative-sticky", Duration::from_secs(40)),
    ("classic, eager", "partition.assignment.strategy", "range", Duration::from_secs(40)),
    ("consumer", "group.protocol", "consumer", Duration::from_secs(90)),
];
