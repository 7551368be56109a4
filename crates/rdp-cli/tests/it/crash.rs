//! Killed at every step, the loader loses nothing, lands nothing twice and alters nothing.
//!
//! Each test kills the process at a named step, starts it again until it has come to the log's end, and lets the oracle
//! compare broker and landing. `RDP_TORTURE=N` (`make torture`) does each N times, at other visits and moments.

use std::time::{Duration, Instant};

use rdp_testing::{Exit, KafkaServer, RdpConfig, RdpProcess, Topic, oracle, orders};

use crate::{LIMIT, rdp};

/// What brings a process to a step.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// It loads.
    Load,
    /// Another member joins its group.
    Rebalance,
    /// It is asked to end.
    Shutdown,
}

/// One test for each step and visit, and a check that no step is forgotten.
macro_rules! killed_at {
    ($($step:ident by $way:ident at $($name:ident = $visit:literal),+;)+) => {
        $(mod $step {
            $(#[test]
            #[ignore = "needs a broker"]
            fn $name() {
                super::kill_and_start_again(stringify!($step), super::Way::$way, $visit);
            })+
        })+

        #[test]
        fn every_step_is_killed_at() {
            assert_eq!([$(stringify!($step)),+], rdp_elt::failpoint::STEPS);
        }
    };
}

killed_at! {
    assigned by Rebalance at first_visit = 1, later_visit = 2;
    positions_read by Rebalance at first_visit = 1, later_visit = 2;
    slice_polled by Load at first_visit = 1, later_visit = 5;
    slice_appended by Load at first_visit = 1, later_visit = 5;
    window_closed by Load at first_visit = 1, later_visit = 4;
    commit_begun by Load at first_visit = 1, later_visit = 4;
    file_written by Load at first_visit = 1, later_visit = 5;
    file_visible by Load at first_visit = 1, later_visit = 5;
    commit_ended by Load at first_visit = 1, later_visit = 4;
    positions_reported by Load at first_visit = 1, later_visit = 4;
    revoked by Rebalance at first_visit = 1, later_visit = 2;
    shutdown_begun by Shutdown at first_visit = 1;
}

#[test]
#[ignore = "needs a broker"]
fn killed_at_random_moments_nothing_is_lost() {
    let mut random = fastrand::Rng::with_seed(20_26);
    for round in 0..repeats() {
        let (_, config) = filled(1_000 + round);
        let mut kills = 0;
        for _ in 0..6 {
            let mut process = rdp("load").arg(config.path()).spawn();
            std::thread::sleep(Duration::from_millis(random.u64(20..600)));
            kills += usize::from(!process.has_ended());
            process.kill();
        }
        assert!(kills > 0, "no run was still alive when it was killed");
        end_well(&config);
    }
}

#[test]
#[ignore = "needs a broker"]
fn stopped_in_order_it_lands_the_window_in_hand() {
    let (_, config) = filled(7);
    let config = config.set("/window/max_wait", "60s");
    let mut process = rdp("run").arg(config.path()).spawn();
    wait_for_first_file(&config, &mut process);
    process.term();
    process.wait(LIMIT).assert_success();
    end_well(&config);
}

fn kill_and_start_again(step: &str, way: Way, visit: u64) {
    for repeat in 0..repeats() {
        let visit = if visit == 1 { 1 } else { visit + repeat % 3 };
        let (_, config) = filled(repeat);
        let failpoint = format!("{step}=kill@{visit}");
        let exit = match way {
            Way::Load => rdp("load").arg(config.path()).failpoint(&failpoint).run(LIMIT),
            Way::Rebalance => {
                let process = rdp("run").arg(config.path()).failpoint(&failpoint).spawn();
                join_until_it_dies(&config, process)
            }
            Way::Shutdown => {
                let mut process = rdp("run").arg(config.path()).failpoint(&failpoint).spawn();
                wait_for_first_file(&config, &mut process);
                process.term();
                process.wait(LIMIT)
            }
        };
        assert!(exit.was_killed(), "{failpoint} was never passed: {}\n{}", exit.status, exit.stderr);
        end_well(&config);
    }
}

/// Starts again until the loader has come to the log's end, and asks the oracle and the audit.
fn end_well(config: &RdpConfig) {
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(config);
    verdict.assert_exact();
    assert_eq!(verdict.unverifiable, 0, "{verdict:?}");
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
}

/// A topic with every kind of record, and a config that lands it in about ten windows.
fn filled(seed: u64) -> (Topic, RdpConfig) {
    let topic = KafkaServer::shared().create_topic("crash", 3);
    topic.produce(orders(seed, 2_000));
    topic.transaction(orders(seed + 1, 1_000)).commit();
    topic.transaction(orders(seed + 2, 500)).abort();
    topic.produce(orders(seed + 3, 1_000));
    let config = RdpConfig::orders(&topic)
        .window(400, "1s")
        // The group must soon forget a member that was killed.
        .librdkafka("session.timeout.ms", "3000")
        .librdkafka("heartbeat.interval.ms", "500");
    (topic, config)
}

/// Lets other members join the group one by one, each of which takes partitions away from `process`, until it is dead.
fn join_until_it_dies(config: &RdpConfig, mut process: RdpProcess) -> Exit {
    // Alone at first it owns everything, so that there is something to take away.
    while config.landed_files().is_empty() && !process.has_ended() {
        std::thread::sleep(Duration::from_millis(10));
    }
    let mut others = Vec::new();
    while !process.has_ended() && others.len() < 6 {
        others.push(rdp("run").arg(config.path()).spawn());
        let deadline = Instant::now() + Duration::from_secs(5);
        while !process.has_ended() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(20));
        }
    }
    if !process.has_ended() {
        process.kill();
        panic!("six members joined its group, and it did not die:\n{}", process.stderr());
    }
    others.iter_mut().for_each(RdpProcess::term);
    for other in others {
        other.wait(LIMIT).assert_success();
    }
    process.wait(LIMIT)
}

fn wait_for_first_file(config: &RdpConfig, process: &mut RdpProcess) {
    let deadline = Instant::now() + LIMIT;
    while config.landed_files().is_empty() {
        assert!(!process.has_ended(), "it ended before anything landed:\n{}", process.stderr());
        assert!(Instant::now() < deadline, "nothing landed within {LIMIT:?}:\n{}", process.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn repeats() -> u64 {
    let wanted = std::env::var("RDP_TORTURE").ok().map(|text| text.parse().expect("RDP_TORTURE is a number"));
    wanted.unwrap_or(1)
}
