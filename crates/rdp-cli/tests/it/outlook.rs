//! What `rdp check --connect` and `rdp positions` say is what `rdp load` then does; and they change nothing.

use std::path::{Path, PathBuf};

use rdp_testing::{KafkaServer, RdpConfig, Record, Topic};
use serde_json::{Value, json};

use crate::{LIMIT, rdp};

/// Asks both, then loads; how many records landed where all is well, and else the exit code that all three end with.
#[track_caller]
fn foreseen(config: &RdpConfig) -> Result<i64, i32> {
    let before = tree(config.folder());
    let checked = rdp("check").arg(config.path()).arg("--connect").run(LIMIT);
    let told = rdp("positions").arg(config.path()).args(["--output", "json"]).run(LIMIT);
    assert_eq!(tree(config.folder()), before, "asking changes nothing");
    let loaded = rdp("load").arg(config.path()).args(["--output", "json"]).run(LIMIT);
    let codes = [&checked, &told, &loaded].map(|exit| exit.code());
    let said = format!("{}{}\n{}\n{}", checked.stdout, checked.stderr, told.stderr, loaded.stderr);
    assert!(codes.iter().all(|code| *code == codes[2]), "check, positions and load end with {codes:?}:\n{said}");
    if codes[2] != Some(0) {
        return Err(codes[2].expect("none was killed"));
    }
    let report: Value = serde_json::from_str(&loaded.stdout).expect("a report");
    let landed = report["record_count"].as_i64().expect("a number");
    let rows: Vec<Value> = serde_json::from_str(&told.stdout).expect("rows");
    assert_eq!(rows.iter().filter_map(|row| row["lag"].as_i64()).sum::<i64>(), landed, "{said}\n{}", told.stdout);
    assert!(checked.stdout.contains(&format!("; {landed} offsets to land")), "{landed} landed\n{said}");
    Ok(landed)
}

/// Every path below a folder.
fn tree(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut paths: Vec<_> = entries.flat_map(|path| tree(&path).into_iter().chain([path])).collect();
    paths.sort();
    paths
}

fn values(partition: i32, count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(move |number| Record::new(format!("value {number}")).partition(partition))
}

fn filled(name: &str) -> Topic {
    let topic = KafkaServer::shared().create_topic(name, 2);
    topic.produce(values(0, 60).chain(values(1, 40)));
    topic
}

fn config(topic: &Topic) -> RdpConfig {
    RdpConfig::raw(topic).without_group().set("/loader/give_up_after", "30s")
}

#[test]
#[ignore = "needs a broker"]
fn what_lands_is_what_was_said_wherever_reading_begins() {
    let topic = filled("foreseen");
    let config = config(&topic);
    assert_eq!(foreseen(&config), Ok(100));
    assert_eq!(foreseen(&config), Ok(0), "all of it has landed");
    topic.produce(values(1, 7));
    assert_eq!(foreseen(&config), Ok(7));

    let starting = |start: Value| foreseen(&self::config(&topic).set("/source/start", start));
    assert_eq!(starting(json!("latest")), Ok(0));
    assert_eq!(starting(json!("2999-01-01T00:00:00Z")), Ok(0));
    assert_eq!(starting(json!("1999-01-01T00:00:00Z")), Ok(107));
    assert_eq!(starting(json!({ "0": 50, "1": 47 })), Ok(10));
    assert_eq!(foreseen(&self::config(&topic).set("/source/partitions", vec![0])), Ok(60));
}

#[test]
#[ignore = "needs a broker"]
fn a_partition_that_was_added_is_foreseen_from_its_beginning() {
    let mut topic = filled("foreseen-added");
    let config = config(&topic).set("/source/start", "latest");
    assert_eq!(foreseen(&config), Ok(0));
    topic.add_partitions(3);
    topic.produce(values(2, 5).chain(values(0, 3)));
    assert_eq!(foreseen(&config), Ok(8), "latest is for what was there");
}

#[test]
#[ignore = "needs a broker"]
fn what_the_config_gets_wrong_of_the_cluster_is_said_before() {
    let topic = filled("foreseen-wrong");
    let wrong = |pointer: &str, value: Value| foreseen(&config(&topic).set(pointer, value));
    assert_eq!(wrong("/source/start", json!({ "0": 5 })), Err(CONFIG), "no offset for partition 1");
    assert_eq!(wrong("/source/start", json!({ "0": 5, "1": 999 })), Err(CONFIG), "no such offset");
    assert_eq!(wrong("/source/partitions", json!([0, 9])), Err(CONFIG), "no such partition");
    assert_eq!(wrong("/source/topics", json!(["no-such-topic-anywhere"])), Err(CONFIG));
}

#[test]
#[ignore = "needs a broker"]
fn a_source_that_changed_is_said_before() {
    let topic = filled("foreseen-anew");
    let config = config(&topic);
    assert_eq!(foreseen(&config), Ok(100));
    topic.recreate();
    topic.produce(values(0, 3));
    assert_eq!(foreseen(&config), Err(SOURCE_CHANGED));

    let topic = filled("foreseen-retention");
    let config = self::config(&topic);
    assert_eq!(foreseen(&config), Ok(100));
    topic.produce(values(0, 20));
    topic.delete_records(0, 70);
    assert_eq!(foreseen(&config), Err(SOURCE_CHANGED));
}

#[test]
#[ignore = "needs a broker"]
fn a_landing_that_takes_no_file_is_not_called_right() {
    let topic = filled("foreseen-read-only");
    // Not even root writes there.
    for url in ["file:/proc/self", "file:/proc/no-such-landing"] {
        let config = config(&topic).set("/sink/parquet/url", url).set("/loader/give_up_after", "2s");
        let checked = rdp("check").arg(config.path()).arg("--connect").run(LIMIT);
        let loaded = rdp("load").arg(config.path()).run(LIMIT);
        assert_eq!(checked.code(), loaded.code(), "{url}: {}\n{}", checked.stderr, loaded.stderr);
        assert_ne!(checked.code(), Some(0), "{url}");
    }
}

const CONFIG: i32 = 10;
const SOURCE_CHANGED: i32 = 16;
