//! What operators do between two runs, and to a run: topics made anew, brokers restored, partitions added, files removed.
//!
//! The machine that finds more of it by itself is `torture::operator`.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use rdp_testing::{KafkaServer, RdpConfig, RdpProcess, Record, Topic, oracle};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn a_topic_that_was_discovered_later_and_then_made_anew_does_not_land_behind_its_old_rows() {
    discovered_later_and_made_anew(RdpConfig::without_group);
}

#[test]
#[ignore = "needs a broker"]
fn a_topic_that_a_group_discovered_later_and_that_was_made_anew_does_not_land_behind_its_old_rows() {
    discovered_later_and_made_anew(|config| config);
}

fn discovered_later_and_made_anew(grouped: impl Fn(RdpConfig) -> RdpConfig) {
    let broker = KafkaServer::shared();
    let old = broker.create_topic("early", 1);
    // Its successor's name is known by its beginning alone.
    let pattern = format!("^({}|late-{}-.*)$", old.name(), old.name());
    let config = grouped(RdpConfig::raw(&old))
        .set("/source/topics", vec![pattern])
        .window(100_000, "4s")
        .librdkafka("topic.metadata.refresh.interval.ms", "1000");
    let mut process = spawn_run(&config);
    wait_for_assignment(&mut process, 1);

    // A window is open all the time, so the new topic's records come into one that knew nothing of it when it began.
    old.produce(values(0, 1, 0));
    let new = broker.create_topic(&format!("late-{}", old.name()), 1);
    new.produce(values(0, 50, 0));
    let began = Instant::now();
    while landed_of(&config, &new).is_empty() {
        assert!(began.elapsed() < LIMIT && !process.has_ended(), "it was not discovered:\n{}", process.stderr());
        old.produce(values(0, 1, 0));
        std::thread::sleep(Duration::from_millis(100));
    }
    process.term();
    process.wait(LIMIT).assert_success();

    let landed = landed_of(&config, &new);
    new.recreate();
    new.produce(values(0, 300, 0));
    rdp("load").arg(config.path()).run(LIMIT).assert_code(SOURCE_CHANGED);
    assert_eq!(landed_of(&config, &new), landed);
}

#[test]
#[ignore = "needs a broker"]
fn a_log_that_was_restored_below_the_position_and_grew_past_it_is_noticed() {
    let broker = KafkaServer::start();
    let (topic, config) = restored_and_grown(&broker, |backup, topic| broker.restore_logs(backup, topic));
    assert_noticed(&topic, &config);
}

/// Here no leader epoch gives it away: the cluster's own count was put back too, and every restart raises it by one.
#[test]
#[ignore = "needs a broker"]
fn a_broker_that_was_restored_as_a_whole_and_whose_log_grew_past_the_position_is_noticed() {
    let broker = KafkaServer::start();
    let (topic, config) = restored_and_grown(&broker, |backup, _| broker.restore(backup));
    assert_noticed(&topic, &config);
}

/// Lands 160 records, takes the log back to its first 100, and lets it grow to 200.
fn restored_and_grown(broker: &KafkaServer, restore: impl Fn(&rdp_testing::Backup, &Topic)) -> (Topic, RdpConfig) {
    let topic = broker.create_topic("restored", 1);
    topic.produce(values(0, 100, 0));
    let backup = broker.back_up();
    topic.produce(values(100, 60, 0));
    let config = RdpConfig::raw(&topic).without_group();
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    restore(&backup, &topic);
    assert_eq!(topic.offsets(0), (0, 100));
    topic.produce(values(1_000, 100, 0));
    (topic, config)
}

fn assert_noticed(topic: &Topic, config: &RdpConfig) {
    let landed = landed_of(config, topic);
    rdp("load").arg(config.path()).run(LIMIT).assert_code(SOURCE_CHANGED);
    assert_eq!(landed_of(config, topic), landed);
}

#[test]
#[ignore = "needs a broker"]
fn a_start_at_the_end_is_kept_where_the_loader_is_killed_before_its_first_landing() {
    for step in ["slice_polled", "window_closed", "file_written"] {
        let (topic, config) = at_the_end(1);
        let mut process = rdp("run").arg(config.path()).env("RDP_LOG", LOG).failpoint(&format!("{step}=kill")).spawn();
        wait_for_assignment(&mut process, 1);
        topic.produce(values(10, 10, 0));
        let exit = process.wait(LIMIT);
        assert!(exit.was_killed(), "{step}: {}\n{}", exit.status, exit.stderr);
        topic.produce(values(20, 10, 0));
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        let verdict = oracle::check_with(&config, &["--from", r#"{"0": 10}"#]);
        assert!(verdict.is_exact() && verdict.records == 20, "killed at {step}: {verdict:#?}");
    }
}

#[test]
#[ignore = "needs a broker"]
fn a_start_at_the_end_is_kept_from_the_first_load_that_found_nothing_to_land() {
    let (topic, config) = at_the_end(1);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    topic.produce(values(10, 10, 0));
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check_with(&config, &["--from", r#"{"0": 10}"#]);
    assert!(verdict.is_exact() && verdict.records == 10, "{verdict:#?}");
}

#[test]
#[ignore = "needs a broker"]
fn a_start_at_the_end_is_kept_where_another_member_takes_over_before_the_first_landing() {
    let (topic, _) = at_the_end(2);
    let config = RdpConfig::raw(&topic)
        .set("/source/start", "latest")
        // What the first member has read is still in its open window when the second comes.
        .window(100_000, "30s")
        .librdkafka("session.timeout.ms", "3000")
        .librdkafka("heartbeat.interval.ms", "500");
    let mut first = spawn_run(&config);
    wait_for_assignment(&mut first, 2);
    topic.produce((0..2).flat_map(|partition| values(10, 10, partition)));
    std::thread::sleep(Duration::from_secs(1));
    let mut second = spawn_run(&config);
    wait_for_assignment(&mut second, 1);
    std::thread::sleep(Duration::from_secs(1));
    topic.produce((0..2).flat_map(|partition| values(20, 10, partition)));
    std::thread::sleep(Duration::from_secs(1));
    for mut member in [first, second] {
        member.term();
        member.wait(LIMIT).assert_success();
    }
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check_with(&config, &["--from", r#"{"0": 10, "1": 10}"#]);
    assert!(verdict.is_exact() && verdict.records == 40, "{verdict:#?}");
}

#[test]
#[ignore = "needs a broker"]
fn partitions_that_were_added_while_nobody_ran_are_read_from_their_beginning() {
    for start in ["latest", "2030-01-01T00:00:00Z"] {
        let (mut topic, config) = at_the_end(1);
        let config = config.set("/source/start", start);
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        topic.add_partitions(2);
        topic.produce(values(0, 10, 1));
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        let verdict = oracle::check_with(&config, &["--from", r#"{"0": 10}"#]);
        assert!(verdict.is_exact() && verdict.records == 10, "{start}: {verdict:#?}");
    }
}

#[test]
#[ignore = "needs a broker"]
fn an_overtaken_writer_lands_nothing_where_old_files_were_removed() {
    // The signal may reach it a moment too late, when it has landed already.
    let frozen = (0..20).map(|_| frozen_before_its_third_window()).find(|(_, slow)| starts(slow) == [0, 50]);
    let (mut frozen, slow) = frozen.expect("one in twenty is frozen in time");
    let quick = slow.duplicate().window(100, "30s").landing_of(&slow);
    rdp("load").arg(quick.path()).run(LIMIT).assert_success();
    assert_eq!(starts(&slow), [0, 50, 100, 200]);
    // Which the docs allow: a position is the end of the newest file.
    for old in &slow.landed_files()[..3] {
        std::fs::remove_file(old).expect("a landed file can be removed");
    }
    frozen.cont();
    let exit = frozen.wait(LIMIT);
    assert_eq!(starts(&slow), [200], "{}\n{}", exit.status, exit.stderr);
    rdp("load").arg(quick.path()).run(LIMIT).assert_success();
    assert_eq!(starts(&slow), [200]);
}

/// A loader that stands between fence and name, with files at 0 and 50 and records up to 250.
fn frozen_before_its_third_window() -> (RdpProcess, RdpConfig) {
    let topic = KafkaServer::shared().create_topic("overtaken", 1);
    topic.produce(values(0, 250, 0));
    let slow = RdpConfig::raw(&topic).without_group().window(50, "30s");
    let mut frozen = rdp("load").arg(slow.path()).failpoint("fence_passed=stop@3").spawn();
    let began = Instant::now();
    while !frozen.is_stopped() {
        assert!(began.elapsed() < LIMIT && !frozen.has_ended(), "it was never frozen:\n{}", frozen.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
    (frozen, slow)
}

/// A topic with ten records in each partition, and a config that begins behind them.
fn at_the_end(partitions: i32) -> (Topic, RdpConfig) {
    let topic = KafkaServer::shared().create_topic("latest", partitions);
    topic.produce((0..partitions).flat_map(|partition| values(0, 10, partition)));
    let config = RdpConfig::raw(&topic).without_group().set("/source/start", "latest").window(1_000, "300ms");
    (topic, config)
}

fn values(first: i32, count: i32, partition: i32) -> impl Iterator<Item = Record> {
    (first..first + count).map(move |number| Record::new(format!("value {number}")).partition(partition))
}

fn spawn_run(config: &RdpConfig) -> RdpProcess {
    rdp("run").arg(config.path()).env("RDP_LOG", LOG).spawn()
}

/// Waits until it has been given so many partitions, and so has looked up where to begin.
fn wait_for_assignment(process: &mut RdpProcess, partitions: usize) {
    let began = Instant::now();
    let assigned = |said: &str| {
        let lines = said.lines().filter(|line| line.contains("partitions assigned"));
        lines.flat_map(|line| line.split(['[', ']']).skip(1).step_by(2)).collect::<BTreeSet<_>>().len()
    };
    while assigned(&process.stderr()) < partitions {
        assert!(began.elapsed() < LIMIT && !process.has_ended(), "it was given nothing:\n{}", process.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn landed_of(config: &RdpConfig, topic: &Topic) -> Vec<PathBuf> {
    let folder = format!("topic={}", topic.name());
    let is_of_topic = |path: &PathBuf| path.components().any(|part| part.as_os_str() == folder.as_str());
    config.landed_files().into_iter().filter(is_of_topic).collect()
}

/// Where the landed files of a landing begin.
fn starts(config: &RdpConfig) -> Vec<i64> {
    let name = |path: PathBuf| path.file_stem()?.to_str()?.parse().ok();
    config.landed_files().into_iter().filter_map(name).collect()
}

const LOG: &str = "rdp_elt=info,rdp_elt::loader=debug,warn";
/// The exit code.
const SOURCE_CHANGED: i32 = 16;
