//! Asked to end, the loader lands what it holds.

use std::time::{Duration, Instant};

use rdp_testing::{KafkaServer, RdpConfig, RdpProcess, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn stopped_in_order_it_lands_the_window_in_hand() {
    let topic = KafkaServer::shared().create_topic("shutdown", 3);
    topic.produce(orders(7, 4_500));
    let config = RdpConfig::orders(&topic).window(400, "60s");
    let mut process = rdp("run").arg(config.path()).spawn();
    let deadline = Instant::now() + LIMIT;
    while config.landed_files().is_empty() {
        assert!(!process.has_ended(), "it ended before anything landed:\n{}", process.stderr());
        assert!(Instant::now() < deadline, "nothing landed within {LIMIT:?}:\n{}", process.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
    process.term();
    process.wait(LIMIT).assert_success();
    oracle::check_landed_so_far(&config).assert_exact();

    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(&config);
    verdict.assert_exact();
    assert_eq!((verdict.records, verdict.unverifiable), (4_500, 0));
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
}

/// Longer than a process needs that is told to end, on a busy machine, and shorter than any look-up waits.
const SOON: Duration = Duration::from_secs(6);

/// `rdp run` and `rdp load` with this config, a moment after they began.
fn waiting(config: &RdpConfig) -> Vec<RdpProcess> {
    let processes = ["run", "load"].map(|command| rdp(command).arg(config.path()).spawn());
    std::thread::sleep(Duration::from_millis(1_500));
    processes.into()
}

/// A config of a topic on a broker of its own.
fn with_broker(name: &str) -> (KafkaServer, RdpConfig) {
    let broker = KafkaServer::start();
    let topic = broker.create_topic(name, 1);
    topic.produce(orders(8, 100));
    let config = RdpConfig::orders(&topic);
    (broker, config)
}

#[test]
#[ignore = "needs a broker"]
fn a_second_signal_ends_it_whatever_it_waits_for() {
    let (broker, config) = with_broker("second-signal");
    let end_soon = |what: &str| {
        for mut process in waiting(&config) {
            process.term();
            std::thread::sleep(Duration::from_millis(200));
            process.term();
            let exit = process.wait(SOON);
            assert_eq!(exit.code(), Some(130), "{what}:\n{}", exit.stderr);
        }
    };
    broker.pause();
    end_soon("the broker is frozen");
    broker.resume();
    broker.kill();
    end_soon("nobody listens");
}

#[test]
#[ignore = "needs a broker"]
fn a_stop_before_anything_was_read_comes_soon_and_says_so() {
    let (broker, config) = with_broker("first-signal");
    let end_soon = |what: &str| {
        for mut process in waiting(&config) {
            process.term();
            let exit = process.wait(SOON);
            assert_eq!(exit.code(), Some(0), "{what}:\n{}", exit.stderr);
            assert!(exit.stderr.contains("stopped: nothing landed"), "{what}:\n{}", exit.stderr);
        }
    };
    broker.pause();
    end_soon("the broker is frozen");
    broker.resume();
    broker.kill();
    end_soon("nobody listens");
}

#[test]
#[ignore = "needs a broker"]
fn a_stop_with_records_left_does_not_claim_to_be_up_to_date() {
    let topic = KafkaServer::shared().create_topic("stopped-early", 1);
    // A transaction that is open: there is nothing to land yet.
    let open = topic.transaction(orders(9, 10));
    let config = RdpConfig::orders(&topic);
    let mut process = rdp("run").arg(config.path()).spawn();
    std::thread::sleep(Duration::from_secs(5));
    process.term();
    let exit = process.wait(LIMIT);
    exit.assert_success();
    assert!(exit.stderr.contains("stopped: nothing landed"), "{}", exit.stderr);
    assert!(!exit.stderr.contains("up to date"), "{}", exit.stderr);
    open.commit();
}
