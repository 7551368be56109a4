//! `rdp bench` measures, and leaves nothing behind.

use rdp_testing::{KafkaServer, RdpConfig, orders};
use serde_json::Value;

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn a_bench_measures_every_stage_and_leaves_landing_and_group_alone() {
    let topic = KafkaServer::shared().create_topic("bench", 3);
    topic.produce(orders(51, 3_000));
    let config = RdpConfig::orders(&topic);

    let exit = rdp("bench").arg(config.path()).args(["--output", "json"]).run(LIMIT);
    exit.assert_success();
    let rows: Vec<Value> = serde_json::from_str(&exit.stdout).expect("a list of rows");
    let stages: Vec<_> = rows.iter().map(|row| (row["stage"].as_str(), row["record_count"].as_u64())).collect();
    assert_eq!(stages, ["consume", "load", "land"].map(|stage| (Some(stage), Some(3_000))));
    assert!(rows.iter().all(|row| row["peak_bytes"].as_u64() > Some(1 << 20)), "{rows:?}");

    assert_eq!(config.landed_files().len(), 0);
    let left: Vec<_> = std::fs::read_dir(config.folder())
        .expect("a folder")
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(".rdp-bench"))
        .collect();
    assert!(left.is_empty(), "{left:?}");
    // The group has read nothing: everything is still there to land.
    let exit = rdp("load").arg(config.path()).args(["--output", "json"]).run(LIMIT);
    let landed: Value = serde_json::from_str(&exit.assert_success().stdout).expect("an object");
    assert_eq!(landed["record_count"], 3_000);
}

#[test]
#[ignore = "needs a broker"]
fn a_bench_that_fails_in_a_stage_ends_with_that_stages_code() {
    let topic = KafkaServer::shared().create_topic("bench-fails", 1);
    topic.produce(orders(52, 1_000));
    let config = RdpConfig::orders(&topic).set("/load/on_error", "fail");
    let exit = rdp("bench").arg(config.path()).args(["--stage", "load"]).run(LIMIT);
    exit.assert_code(i32::from(rdp_elt::ErrorKind::Data.exit_code()));
    assert!(exit.stderr.contains("Data"), "{}", exit.stderr);
}
