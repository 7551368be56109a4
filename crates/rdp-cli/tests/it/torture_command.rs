//! `rdp torture` kills, compares, tells what is wrong, and leaves nothing behind.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rdp_testing::{Exit, KafkaServer, RdpConfig, RdpProcess, orders};
use serde_json::Value;

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn a_torture_kills_and_compares_and_leaves_nothing_behind() {
    let topic = KafkaServer::shared().create_topic("tortured", 1);
    topic.produce(orders(61, 500));
    let config = RdpConfig::orders(&topic);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let landed = config.landed_files();

    let arguments = ["--kills", "20", "--records", "6000", "--partitions", "3", "--seed", "5", "--output", "json"];
    let exit = rdp("torture").arg(config.path()).args(arguments).run(LIMIT * 3);
    exit.assert_success();
    let report = report(&exit);
    assert_eq!(report["is_clean"], true, "{report:#}");
    assert_eq!(report["struck"], 20, "{report:#}");
    let strikes = report["strikes"].as_array().expect("a list");
    let struck = |of: &Value| of["struck"].as_u64().unwrap_or(0);
    assert_eq!(strikes.iter().map(struck).sum::<u64>(), 20, "{report:#}");
    assert!(strikes.iter().filter(|of| struck(of) > 0).count() >= 10, "most steps are struck: {report:#}");
    let count = |key: &str| report["comparison"][key].as_u64().unwrap_or_else(|| panic!("{key} in {report:#}"));
    assert_eq!((count("record_count"), count("row_count"), count("lost")), (6_000, 6_000, 0));
    let totals = &report["audit"]["totals"];
    assert_eq!(totals["record_count"], 6_000);
    assert!(report["poisoned_count"].as_u64() > Some(50), "{report:#}");
    assert_eq!(totals["quarantined_count"], report["poisoned_count"]);
    assert_eq!(totals["tombstone_count"], report["tombstone_count"]);

    assert_topic_goes(KafkaServer::shared(), report["topic"].as_str().expect("a name"));
    assert_eq!(scratch_folders(&config), Vec::<PathBuf>::new());
    assert_eq!(config.landed_files(), landed, "the config's own landing is as it was");
}

#[test]
#[ignore = "needs a broker"]
fn what_is_kept_can_be_audited() {
    let config = RdpConfig::orders(&KafkaServer::shared().create_topic("kept", 1));
    let arguments = ["--kills", "2", "--records", "400", "--partitions", "2", "--keep", "--output", "json"];
    let exit = rdp("torture").arg(config.path()).args(arguments).run(LIMIT);
    exit.assert_success();
    let report = report(&exit);
    assert!(exit.stderr.contains("kafka-topics.sh"), "how to remove the topic is told: {}", exit.stderr);
    let folder = PathBuf::from(report["kept"]["folder"].as_str().expect("a folder"));
    rdp("audit").arg(folder.join("rdp.json")).run(LIMIT).assert_success();
    let kept = report["topic"].as_str().expect("a name");
    assert!(KafkaServer::shared().topic_names().iter().any(|name| name == kept), "{kept} is still there");
}

#[test]
#[ignore = "needs a broker"]
fn a_file_that_vanishes_under_way_is_found_and_the_evidence_kept() {
    let config = RdpConfig::orders(&KafkaServer::shared().create_topic("vanishes", 1));
    let arguments = ["--kills", "40", "--records", "20000", "--partitions", "1"];
    let mut process = rdp("torture").arg(config.path()).args(arguments).spawn();
    // The newest file says where the loader goes on; nobody looks at those before it again but the judges.
    wait_for(&mut process, |_| files_in(&config).len() > 3);
    fs::remove_file(&files_in(&config)[1]).expect("a file in the middle");

    let exit = process.wait(LIMIT * 3);
    exit.assert_code(3);
    let verdict = exit.stdout.lines().last().expect("a verdict");
    assert!(verdict.starts_with("not clean: killed 40 times") && !verdict.contains(" 0 lost"), "{}", exit.stdout);
    assert!(verdict.contains("0 duplicated, 0 altered, 0 that nobody produced; audit: not clean"), "{}", exit.stdout);
    assert!(exit.stdout.contains(" gap: "), "the audit names the gap: {}", exit.stdout);
    assert!(exit.stderr.contains("the same again: rdp torture"), "{}", exit.stderr);
    assert_eq!(scratch_folders(&config).len(), 1, "what is wrong is kept to be looked at");
}

#[test]
#[ignore = "needs a broker"]
fn an_interrupted_torture_removes_topic_and_folder() {
    let config = RdpConfig::orders(&KafkaServer::shared().create_topic("interrupted", 1));
    // By a key, by a service manager, and by a terminal that is closed.
    // Where these tests run without one, what they start does not mind that it goes.
    for signal in ["INT", "TERM", "HUP"].into_iter().filter(|signal| *signal != "HUP" || !hang_ups_are_ignored()) {
        let exit = interrupted(&config, signal, || {});
        exit.assert_code(130);
        assert!(exit.stdout.is_empty(), "an interrupted torture has no verdict: {}", exit.stdout);
        assert_topic_goes(KafkaServer::shared(), &topic_in(&exit.stderr));
        assert_eq!(scratch_folders(&config), Vec::<PathBuf>::new(), "{signal}");
    }
}

/// Whether this process was told to ignore SIGHUP, as by `nohup`; its children inherit that.
fn hang_ups_are_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").expect("it tells");
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:")).expect("a mask");
    u64::from_str_radix(ignored.trim(), 16).expect("a mask in hex") & 1 == 1
}

#[test]
#[ignore = "needs a broker"]
fn a_torture_without_a_terminal_does_not_mind_that_it_goes() {
    let config = RdpConfig::orders(&KafkaServer::shared().create_topic("nohup", 1));
    // As `nohup` does.
    let mut process = std::process::Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rdp"), "torture"])
        .arg(config.path())
        .args(["--kills", "3", "--records", "1000", "--quiet"])
        .stdout(std::process::Stdio::null())
        .spawn()
        .expect("it starts");
    let deadline = Instant::now() + LIMIT;
    while files_in(&config).is_empty() {
        assert!(Instant::now() < deadline, "nothing lands");
        std::thread::sleep(Duration::from_millis(10));
    }
    let sent = std::process::Command::new("kill").args(["-HUP", &process.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    assert_eq!(process.wait().expect("it ends").code(), Some(0));
}

#[test]
#[ignore = "needs a broker"]
fn a_landing_that_is_damaged_under_way_is_a_verdict_though_nobody_hears_it() {
    let config = RdpConfig::orders(&KafkaServer::shared().create_topic("damaged", 1));
    for (form, damages) in [("table", 1), ("json", usize::MAX)] {
        let mut process = std::process::Command::new(env!("CARGO_BIN_EXE_rdp"))
            .arg("torture")
            .arg(config.path())
            .args(["--kills", "40", "--records", "20000", "--partitions", "1", "--output", form])
            .stdout(std::process::Stdio::piped())
            .stderr(std::process::Stdio::piped())
            .spawn()
            .expect("it starts");
        // `rdp torture | head -1`, whose reader has gone before there is a word.
        drop(process.stdout.take());
        let deadline = Instant::now() + LIMIT;
        while files_in(&config).len() <= 3 {
            assert!(Instant::now() < deadline, "nothing lands");
            std::thread::sleep(Duration::from_millis(10));
        }
        // One in the middle, which only the judges read again, or all that there are, which the next loader does.
        let files = files_in(&config);
        for file in files[1..].iter().take(damages) {
            fs::write(file, "no Parquet").expect("it is written");
        }
        let output = process.wait_with_output().expect("it ends");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{form}: {stderr}");
        assert!(stderr.contains("the same again: rdp torture"), "{stderr}");
        let kept = scratch_folders(&config);
        assert_eq!(kept.len(), 1, "what is wrong is kept to be looked at");
        fs::remove_dir_all(&kept[0]).expect("it is removed");
    }
}

#[test]
#[ignore = "needs a broker"]
fn a_topic_that_cannot_be_removed_is_told() {
    let broker = KafkaServer::start();
    let config = RdpConfig::orders(&broker.create_topic("left", 1));
    let exit = interrupted(&config, "INT", || broker.kill());
    exit.assert_code(130);
    let by_hand = format!("--delete --topic {}", topic_in(&exit.stderr));
    assert!(exit.stderr.contains(&by_hand), "{}", exit.stderr);
    assert_eq!(scratch_folders(&config), Vec::<PathBuf>::new(), "the folder goes all the same");
}

#[test]
fn nonsense_is_refused_before_anything_is_made() {
    for arguments in [["--kills", "0"], ["--records", "0"], ["--partitions", "0"]] {
        rdp("torture").arg("orders.toml").args(arguments).run(LIMIT).assert_code(2);
    }
    rdp("torture").arg("no-such-file.toml").run(LIMIT).assert_code(10);
}

/// Interrupts a torture while it kills: INT is Ctrl-C.
fn interrupted(config: &RdpConfig, signal: &str, before: impl FnOnce()) -> Exit {
    let mut process = rdp("torture").arg(config.path()).args(["--kills", "500", "--records", "50000"]).spawn();
    wait_for(&mut process, |process| process.stderr().contains("killing the loader"));
    before();
    let sent = std::process::Command::new("kill").args([&format!("-{signal}"), &process.id().to_string()]).status();
    assert!(sent.expect("kill runs").success());
    process.wait(LIMIT)
}

fn report(exit: &Exit) -> Value {
    serde_json::from_str(&exit.stdout).unwrap_or_else(|error| panic!("{error}: {}", exit.stdout))
}

/// The topic that a torture says it makes.
fn topic_in(stderr: &str) -> String {
    let words = stderr.split_whitespace().find(|word| word.starts_with("rdp-torture-"));
    words.unwrap_or_else(|| panic!("no topic is told: {stderr}")).to_owned()
}

fn assert_topic_goes(broker: &KafkaServer, topic: &str) {
    let deadline = Instant::now() + LIMIT;
    while broker.topic_names().iter().any(|name| name == topic) {
        assert!(Instant::now() < deadline, "{topic} is still there");
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn wait_for(process: &mut RdpProcess, condition: impl Fn(&RdpProcess) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !condition(process) {
        assert!(!process.has_ended(), "it ended before:\n{}", process.stderr());
        assert!(Instant::now() < deadline, "not within {LIMIT:?}:\n{}", process.stderr());
        std::thread::sleep(Duration::from_millis(10));
    }
}

fn scratch_folders(config: &RdpConfig) -> Vec<PathBuf> {
    let entries = entries_of(config.folder()).into_iter();
    entries.filter(|path| path.to_string_lossy().contains("/.rdp-torture-")).collect()
}

/// The files that the loader under torture has landed in partition 0, the oldest first.
fn files_in(config: &RdpConfig) -> Vec<PathBuf> {
    let landings = scratch_folders(config).into_iter().flat_map(|folder| entries_of(&folder.join("landing")));
    let partitions = landings.flat_map(|topic| entries_of(&topic.join("partition=0")));
    let mut files: Vec<PathBuf> =
        partitions.filter(|path| path.extension().is_some_and(|ending| ending == "parquet")).collect();
    files.sort();
    files
}

fn entries_of(folder: &Path) -> Vec<PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}
