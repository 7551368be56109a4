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
#[cfg(not(feature = "sql"))]
fn without_sql_the_help_and_the_error_say_how_to_get_it() {
    let words = |text: String| text.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(words(stdout(&rdp(&["--help"]))).contains("not in this rdp"), "{}", stdout(&rdp(&["--help"])));
    let output = rdp(&["sql", "SELECT 1", "--config", "no-such-file.toml"]);
    assert_eq!(output.status.code(), Some(17), "{}", stderr(&output));
    let said = words(stderr(&output));
    assert!(said.contains("built without SQL") && said.contains("make build"), "{said}");
}

#[test]
#[cfg(feature = "sql")]
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

    #[cfg(feature = "sql")]
    {
        let counts = "SELECT COUNT(*) AS n, COUNT(_rdp_error) AS quarantined FROM orders";
        let output = rdp(&["sql", counts, "--landing", &format!("{demo}/landing"), "--output", "ndjson"]);
        assert_eq!(stdout(&output).trim(), r#"{"n":20000,"quarantined":4}"#, "{}", stderr(&output));
    }

    let config = format!("{demo}/orders.toml");
    let output = rdp(&["audit", &config, "--offline"]);
    assert_eq!(output.status.code(), Some(0), "{}{}", stdout(&output), stderr(&output));
}

#[test]
fn the_demo_asks_by_sql_and_names_a_query_next_only_where_there_is_sql() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = folder.path().join("demo");
    let output = rdp(&["demo", "--records", "2000", "--folder", demo.to_str().expect("a plain path")]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let told = stdout(&output);
    let (shown, next) = told.split_once("Next, over what").expect("it says what is next");
    assert_eq!(shown.contains("SELECT status"), cfg!(feature = "sql"), "{told}");
    let query = next.find("rdp sql").expect("a query is named");
    let build = next.find("make build");
    assert!(if cfg!(feature = "sql") { build.is_none() } else { build.is_some_and(|build| build < query) }, "{told}");
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

/// A config of one's own in a folder of its own.
fn config(folder: &Path, name: &str, text: &str) -> String {
    let path = folder.join(name);
    std::fs::write(&path, text).expect("a file");
    path.to_str().expect("a plain path").to_owned()
}

#[test]
fn check_refuses_what_load_would_end_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let source = "[source]\nbrokers = \"localhost:1\"\ngroup_id = \"g\"\n";
    let sink = format!("[sink.parquet]\nurl = \"file:{}/landing\"\n", folder.path().display());
    for (number, (lines, says)) in [
        ("topics = \"^(\"\n", "regex parse error"),
        ("topics = \"../x\"\n", "no topic can be called"),
        ("topics = \"t\"\n[source.librdkafka]\nsession.timeout.ms = 400_000\n", "max.poll.interval.ms"),
        (
            "topics = \"t\"\n[source.librdkafka]\nsecurity.protocol = \"SSL\"\nssl.ca.location = \"/none\"\n",
            "ssl.ca.location",
        ),
        ("topics = \"t\"\n[source.librdkafka]\nfetch.max.bytes = 1\n", "fetch.max.bytes"),
        ("topics = \"t\"\n[source.librdkafka]\nreconnect.backoff.max.ms = 1\n", "reconnect.backoff.max.ms"),
        ("topics = \"t\"\n[load]\nschema = []\n", "the schema names no field"),
    ]
    .into_iter()
    .enumerate()
    {
        let path = config(folder.path(), &format!("{number}.toml"), &format!("{source}{lines}{sink}"));
        for command in ["check", "load"] {
            let output = rdp(&[command, &path]);
            assert_eq!(output.status.code(), Some(10), "{command} {lines}: {}{}", stdout(&output), stderr(&output));
            assert!(command != "check" || !folder.path().join("landing").exists(), "nothing was made");
            assert!(stderr(&output).contains(says), "{command} {lines}: {}", stderr(&output));
            let _ = std::fs::remove_dir(folder.path().join("landing"));
        }
    }
    for url in ["file://host/x", "file:", "file:/dev/null", "file:/dev/null/landing"] {
        let text = format!("{source}topics = \"t\"\n[sink.parquet]\nurl = {url:?}\n");
        let path = config(folder.path(), "place.toml", &text);
        for command in ["check", "load"] {
            let output = rdp(&[command, &path]);
            assert_eq!(output.status.code(), Some(10), "{command} {url}: {}", stderr(&output));
        }
    }
}

#[test]
fn what_check_calls_right_load_does_not_end_with_as_a_mistake_in_the_config() {
    let folder = tempfile::tempdir().expect("a folder");
    let (mut right, mut loads) = (0, Vec::new());
    let settings = [
        ("loader", "memory", ["\"1MiB\"", "\"8GiB\"", "\"64TiB\""]),
        ("loader", "lanes", ["1", "3", "64"]),
        ("source.librdkafka", "message.max.bytes", ["1000", "5000000", "1000000000"]),
        ("source.librdkafka", "receive.message.max.bytes", ["1000", "1000512", "2147483647"]),
        ("source.librdkafka", "fetch.max.bytes", ["1000000", "0", "2147483135"]),
        ("source.librdkafka", "queued.max.messages.kbytes", ["1", "2097151", "64"]),
        ("source.librdkafka", "max.poll.interval.ms", ["1", "5999", "86400000"]),
        ("source.librdkafka", "session.timeout.ms", ["1", "300001", "3600000"]),
        ("source.librdkafka", "heartbeat.interval.ms", ["1", "50000", "3600000"]),
        ("source.librdkafka", "group.protocol", ["\"classic\"", "\"consumer\"", "\"CONSUMER\""]),
        ("source.librdkafka", "group.instance.id", ["\"a\"", "\"b\"", "\"\""]),
        ("source.librdkafka", "security.protocol", ["\"plaintext\"", "\"ssl\"", "\"SASL_PLAINTEXT\""]),
        ("source.librdkafka", "sasl.mechanisms", ["\"PLAIN\"", "\"SCRAM-SHA-256\"", "\"GSSAPI\""]),
        ("source.librdkafka", "sasl.password", ["\"p\"", "\"\"", "\"ü\""]),
        ("source.librdkafka", "ssl.key.pem", ["\"x\"", "\"-----BEGIN\"", "\"\""]),
        ("source.librdkafka", "partition.assignment.strategy", ["\"range\"", "\"none\"", "\"cooperative-sticky\""]),
    ];
    let mut seed = 7_u64;
    let mut drawn = |most: usize| {
        seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(seed >> 33).expect("it fits") % most
    };
    for number in 0..120 {
        let mut sections = std::collections::BTreeMap::<&str, Vec<String>>::new();
        for (section, key, values) in &settings {
            if drawn(5) == 0 {
                sections.entry(section).or_default().push(format!("{key} = {}\n", values[drawn(3)]));
            }
        }
        let group = if drawn(2) == 0 { "group_id = \"g\"\n" } else { "" };
        let mut text = format!("[source]\nbrokers = \"127.0.0.1:1\"\ntopics = \"t\"\n{group}");
        for (section, lines) in sections {
            text += &format!("[{section}]\n{}", lines.concat());
        }
        if !text.contains("[loader]") {
            text += "[loader]\n";
        }
        text = text.replace("[loader]\n", "[loader]\ngive_up_after = \"1ms\"\n");
        text += &format!("[sink.parquet]\nurl = \"file:{}/landing\"\n", folder.path().display());
        let path = config(folder.path(), &format!("{number}.toml"), &text);
        let checked = rdp(&["check", &path]);
        match checked.status.code() {
            Some(0) => right += 1,
            code => {
                assert_eq!(code, Some(10), "{text}\n{}", stderr(&checked));
                continue;
            }
        }
        // A broker that is not there is waited for, for a while.
        if right % 8 == 0 {
            let load = Command::new(env!("CARGO_BIN_EXE_rdp")).args(["load", "--quiet", &path]).spawn();
            loads.push((load.expect("rdp starts"), text));
        }
    }
    for (mut load, text) in loads {
        let code = load.wait().expect("it ends").code();
        assert!(![Some(0), Some(10)].contains(&code), "{code:?} of {text}");
    }
    assert!(right > 30, "{right} were right");
}

#[test]
fn only_a_variable_that_is_nearly_one_that_is_read_is_warned_of() {
    let said = |name: &str| {
        let output = Command::new(env!("CARGO_BIN_EXE_rdp"))
            .args(["check", "examples/orders.toml"])
            .current_dir(root())
            .env(name, "xq7vhunter2zk9w")
            .output()
            .expect("rdp starts");
        assert_eq!(output.status.code(), Some(0), "{name}: {}", stderr(&output));
        stderr(&output)
    };
    for name in
        ["KAFKA_HOME", "KAFKA_OPTS", "KAFKA_HEAP_OPTS", "KAFKA_LOG_DIRS", "KAFKA_PORT", "KAFKA_PASSWORD", "KAFKA_DEBUG"]
    {
        assert!(!said(name).contains("variable"), "{name}: {}", said(name));
    }
    let warned = said("KAFKA_SASL_PASWORD");
    assert!(warned.contains("KAFKA_SASL_PASWORD") && warned.contains("KAFKA_SASL_PASSWORD is read"), "{warned}");
    assert!(!warned.contains("hunter2"), "{warned}");
}

/// Runs a command whose reader is gone before it says anything, or whose output has no room.
fn rdp_unheard(arguments: &[&str], has_room: bool) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_rdp"));
    command.args(arguments).env_remove("RDP_LOG").stderr(std::process::Stdio::piped());
    if !has_room {
        let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a full device");
        return command.stdout(full).output().expect("rdp starts");
    }
    let mut child = command.stdout(std::process::Stdio::piped()).spawn().expect("rdp starts");
    drop(child.stdout.take());
    child.wait_with_output().expect("it ends")
}

#[test]
fn a_verdict_outranks_a_reader_that_has_gone() {
    let folder = tempfile::tempdir().expect("a folder");
    let demo = folder.path().join("demo");
    let demo = demo.to_str().expect("a plain path");
    assert_eq!(rdp(&["demo", "--records", "2000", "--folder", demo, "--quiet"]).status.code(), Some(0));
    let path = format!("{demo}/orders.toml");
    let audit = ["audit", path.as_str(), "--offline"];
    for form in ["table", "json"] {
        let arguments = [&audit[..], &["--output", form]].concat();
        assert_eq!(rdp_unheard(&arguments, true).status.code(), Some(0), "it is clean, and the reader has seen enough");
        assert_eq!(rdp_unheard(&arguments, false).status.code(), Some(12), "the report could not be written");
    }
    let partition = format!("{demo}/landing/topic=orders/partition=1");
    let mut files: Vec<_> =
        std::fs::read_dir(partition).expect("a folder").map(|entry| entry.expect("a file").path()).collect();
    files.sort();
    assert!(files.len() > 2, "{files:?}");
    std::fs::remove_file(&files[1]).expect("a file in the middle");
    for form in ["table", "json"] {
        let arguments = [&audit[..], &["--output", form]].concat();
        for output in [rdp(&arguments), rdp_unheard(&arguments, true), rdp_unheard(&arguments, false)] {
            assert_eq!(output.status.code(), Some(3), "{form}: {}", stderr(&output));
        }
    }
}
