//! The built `rdp`, as a person meets it.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

/// Runs `rdp` from the repository's root.
fn rdp(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_rdp"))
        .args(arguments)
        .current_dir(root())
        .env("NO_COLOR", "1")
        .env_remove("RDP_LOG")
        .env_remove("RDP_FAILPOINT")
        .output()
        .expect("rdp starts")
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn help_lists_the_commands_and_the_exit_codes() {
    let output = rdp(&["--help"]);
    assert!(output.status.success());
    let help = stdout(&output);
    for word in [
        "demo",
        "check",
        "load",
        "run",
        "poll",
        "schema",
        "sql",
        "audit",
        "positions",
        "bench",
        "torture",
        "completions",
    ] {
        assert!(help.contains(&format!("\n  {word} ")), "{word} is missing in\n{help}");
    }
    assert!(help.contains("Exit codes:"), "{help}");
    assert!(help.contains("10  Config"), "{help}");
    assert!(help.contains("    3  audit found something"), "{help}");
}

#[test]
fn the_example_config_is_right() {
    let output = rdp(&["check", "examples/orders.toml"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("orders at localhost:9092 as group rdp-orders"), "{}", stdout(&output));
    assert!(stderr(&output).contains("next: rdp check examples/orders.toml --connect"), "{}", stderr(&output));
}

#[test]
fn every_mistake_of_a_config_is_told_at_once() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("orders.toml");
    let text = "[source]\nbrokers = \"b:1\"\ngroup_id = \"g\"\ntopics = \"orders\"\n\
                [window]\nmax_waits = \"30s\"\nmax_bytes = \"lots\"\n\
                [sink.parquet]\nurl = \"file:landing\"\n";
    std::fs::write(&path, text).expect("a file");
    let output = rdp(&["check", path.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(10));
    let said = stderr(&output);
    assert!(stdout(&output).is_empty());
    // The report is wrapped to the width of a page: one space stands for any.
    let said = said.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(said.contains("2 mistakes"), "{said}");
    assert!(said.contains("window.max_waits: unknown key; did you mean window.max_wait?"), "{said}");
    assert!(said.contains("window.max_bytes = \"lots\": expected a size such as \"64MiB\""), "{said}");
}

#[test]
fn errors_are_json_beside_json() {
    let output = rdp(&["check", "no-such-file.toml", "--output", "json"]);
    assert_eq!(output.status.code(), Some(10));
    let error: Value = serde_json::from_str(stderr(&output).trim()).expect("one JSON object");
    assert_eq!(error["error"]["kind"], "Config");
    assert!(error["error"]["message"].as_str().is_some_and(|text| text.contains("no-such-file.toml")), "{error}");
}

#[test]
fn completions_are_a_script() {
    let output = rdp(&["completions", "bash"]);
    assert!(output.status.success());
    assert!(stdout(&output).contains("_rdp()"), "{}", stdout(&output));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_error() {
    let mut child = Command::new(env!("CARGO_BIN_EXE_rdp"))
        .args(["completions", "bash"])
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped())
        .spawn()
        .expect("rdp starts");
    drop(child.stdout.take());
    let output = child.wait_with_output().expect("it ends");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(output.stderr.is_empty(), "{}", stderr(&output));
}

#[test]
fn a_field_that_bears_a_folders_name_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let config = folder.path().join("orders.toml");
    let text = r#"
        source = { brokers = "localhost:9092", topics = ["orders"] }
        load.schema = [{ name = "id", type = "int64" }, { name = "Partition", type = "utf8" }]
        sink.parquet.url = "file:landing"
    "#;
    std::fs::write(&config, text).expect("a file");
    let output = rdp(&["check", config.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("Partition: readers that make columns of folders' names"), "{}", stdout(&output));
}

#[test]
fn an_unknown_table_is_told_what_to_name() {
    let output = rdp(&["sql", "SELECT * FROM no_such_table"]);
    assert_eq!(output.status.code(), Some(10));
    assert!(stderr(&output).contains("there is no table \"no_such_table\""), "{}", stderr(&output));
}

#[test]
fn the_demo_lands_every_record_once_though_its_loader_is_killed() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = folder.path().join("demo");
    let demo = demo.to_str().expect("a plain path");
    let output = rdp(&["demo", "--records", "20000", "--folder", demo, "--output", "json", "--quiet"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let report: Value = serde_json::from_str(&stdout(&output)).expect("one JSON object");
    let count = |key: &str| report[key].as_u64().unwrap_or_else(|| panic!("{key} is no number in {report}"));
    assert_eq!(report["audit"]["is_clean"], true, "{report}");
    assert!(count("landed_before_the_kill") > 0, "{report}");
    assert!(count("landed_after") > 0, "{report}");
    assert_eq!(count("landed_before_the_kill") + count("landed_after"), 20_000, "{report}");

    let counts = "SELECT COUNT(*) AS n, COUNT(_rdp_error) AS quarantined FROM orders";
    let output = rdp(&["sql", counts, "--landing", &format!("{demo}/landing"), "--output", "ndjson"]);
    assert_eq!(stdout(&output).trim(), r#"{"n":20000,"quarantined":4}"#, "{}", stderr(&output));

    let config = format!("{demo}/orders.toml");
    let output = rdp(&["audit", &config, "--offline"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn the_demo_leaves_a_foreign_folder_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("thesis.tex"), "years of work").expect("a file");
    let output = rdp(&["demo", "--folder", folder.path().to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(10));
    assert!(stderr(&output).contains("something else is there"), "{}", stderr(&output));
    assert!(folder.path().join("thesis.tex").exists());
}
