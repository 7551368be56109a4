//! What disks do: full, read-only, folder gone, files spoiled or strange. Each gives an error that names the path and what
//! to do; nothing is half-visible, and nothing is lost once it is mended.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rdp_testing::disk::FailingDisk;
use rdp_testing::{Exit, KafkaServer, Rdp, RdpConfig, RdpProcess, Topic, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker and the right to mount"]
fn a_full_disk_is_an_error_and_room_mends_it() {
    let (topic, config) = landed("full", 600);
    let disk = SmallDisk::mount(&config, "size=1500k");
    topic.produce(orders(1, 40_000));
    // It lands until the disk is full.
    let exit = rdp("load").arg(config.path()).run(LIMIT);
    assert_error(&exit, UNAVAILABLE, disk.path(), "make room on the disk");
    assert!(config.landed_files().len() > 3, "nothing landed before the disk was full");
    oracle::check_landed_so_far(&config).assert_exact();

    disk.remount("size=200m");
    end_well(&config);
}

#[test]
#[ignore = "needs a broker and the right to mount"]
fn a_run_waits_for_room_and_goes_on() {
    let (topic, config) = landed("waits", 600);
    let disk = SmallDisk::mount(&config, "size=1500k");
    topic.produce(orders(2, 40_000));
    let config = config.set("/loader/give_up_after", "never");
    let mut process = rdp("run").arg(config.path()).spawn();
    wait_until(&mut process, |process| process.stderr().contains("not available, again in"));
    let files = config.landed_files().len();
    disk.remount("size=200m");
    wait_until(&mut process, |_| config.landed_files().len() > files);
    process.term();
    process.wait(LIMIT).assert_success();
    end_well(&config);
}

#[test]
#[ignore = "needs a broker and the right to mount"]
fn a_read_only_disk_is_an_error_that_says_so() {
    let (topic, config) = landed("read-only", 600);
    let disk = SmallDisk::mount(&config, "size=50m");
    topic.produce(orders(3, 500));
    disk.remount("ro");
    let exit = rdp("load").arg(config.path()).run(LIMIT);
    assert_error(&exit, DENIED, disk.path(), "mounted read-only");
    disk.remount("rw");
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn a_permission_that_was_taken_away_is_an_error_that_says_so() {
    let (topic, config) = landed("permission", 600);
    topic.produce(orders(4, 500));
    let folder = partition(&config, 0);
    set_mode(&folder, 0o555);
    let exit = without_privileges("load", &config).run(LIMIT);
    set_mode(&folder, 0o755);
    assert_error(&exit, DENIED, &folder, "the right to read and write");
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn a_folder_that_was_taken_away_stops_the_loader_and_can_be_put_back() {
    let (topic, config) = landed("removed", 600);
    let files = config.landed_files().len();
    let mut process = rdp("run").arg(config.path()).spawn();
    topic.produce(orders(5, 300));
    wait_until(&mut process, |_| config.landed_files().len() > files);
    // Everything has landed, and no window is open, when nothing comes any more.
    let mut last = (Instant::now(), 0);
    wait_until(&mut process, |_| {
        let files = config.landed_files().len();
        if files != last.1 {
            last = (Instant::now(), files);
        }
        last.0.elapsed() > Duration::from_secs(1)
    });
    let away = config.folder().join("away");
    fs::rename(config.landing(), &away).expect("our own folder can be moved");
    topic.produce(orders(6, 300));
    let exit = process.wait(LIMIT);
    assert_error(&exit, CONFLICT, &config.landing(), "put the files back");
    assert_eq!(config.landed_files(), Vec::<PathBuf>::new(), "something landed where the folder had been");

    let _ = fs::remove_dir_all(config.landing());
    fs::rename(&away, config.landing()).expect("our own folder can be moved back");
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn a_foreign_file_is_named_by_the_audit() {
    let (topic, config) = landed("foreign", 600);
    let foreign = partition(&config, 0).join("notes.parquet");
    fs::copy(&config.landed_files()[0], &foreign).expect("a file can be copied");
    topic.produce(orders(7, 300));
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let audit = rdp("audit").arg(config.path()).run(LIMIT);
    assert_named(&audit, &foreign, "move it out of the landing");
    fs::remove_file(foreign).expect("it is ours");
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn what_was_removed_is_found_until_somebody_says_that_it_was_meant() {
    let (topic, config) = landed("removed", 600);
    let oldest = config.landed_files().into_iter().min().expect("a file");
    let away = config.landing().with_extension("away");
    fs::rename(&oldest, &away).expect("it can be moved");
    let audit = rdp("audit").arg(config.path()).run(LIMIT);
    assert_eq!(audit.code(), Some(NOT_CLEAN), "{}{}", audit.stdout, audit.stderr);
    assert!(audit.stdout.contains("--allow-removed"), "{}", audit.stdout);
    rdp("audit").arg("--allow-removed").arg(config.path()).run(LIMIT).assert_success();
    fs::rename(&away, &oldest).expect("it can be moved back");
    topic.produce(orders(9, 10));
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn who_only_looks_makes_nothing() {
    let topic = KafkaServer::shared().create_topic("looked-at", 1);
    topic.produce(orders(1, 10));
    let config = RdpConfig::orders(&topic);
    let positions = rdp("positions").arg(config.path()).run(LIMIT);
    positions.assert_success();
    let audit = rdp("audit").arg(config.path()).run(LIMIT);
    assert_eq!(audit.code(), Some(CONFIG), "{}{}", audit.stdout, audit.stderr);
    assert!(audit.stderr.contains("there is no landing"), "{}", audit.stderr);
    assert!(!config.landing().exists(), "somebody made the landing");
}

#[test]
#[ignore = "needs a broker"]
fn a_newest_file_that_was_cut_short_stops_the_loader_and_is_named() {
    let (topic, config) = landed("cut", 600);
    let newest = newest(&config);
    let content = fs::read(&newest).expect("it can be read");
    fs::write(&newest, &content[..content.len() / 2]).expect("it can be written");
    topic.produce(orders(8, 300));
    let exit = rdp("load").arg(config.path()).run(LIMIT);
    assert_error(&exit, DATA, &newest, "restore the file from a copy");
    assert_named(&rdp("audit").arg(config.path()).run(LIMIT), &newest, "restore the file");
    fs::write(&newest, content).expect("it can be written");
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn a_flipped_bit_in_any_file_is_found_by_the_audit() {
    let (_, config) = landed("bit", 600);
    let files = config.landed_files();
    let mut random = fastrand::Rng::with_seed(9);
    for file in [files[0].clone(), newest(&config)] {
        let content = fs::read(&file).expect("it can be read");
        for _ in 0..4 {
            let mut spoiled = content.clone();
            spoiled[random.usize(..content.len())] ^= 1 << random.u8(..8);
            fs::write(&file, spoiled).expect("it can be written");
            assert_named(&rdp("audit").arg(config.path()).run(LIMIT), &file, "restore the file");
        }
        fs::write(&file, content).expect("it can be written");
    }
    end_well(&config);
}

/// Without a group each of them reads everything: they race for every window.
#[test]
#[ignore = "needs a broker"]
fn of_two_loaders_of_one_landing_each_range_is_landed_by_one() {
    let topic = KafkaServer::shared().create_topic("two", 3);
    topic.produce(orders(10, 12_000));
    let config = RdpConfig::orders(&topic).without_group().window(500, "1s");
    let twins = [(); 2].map(|()| rdp("load").arg(config.path()).spawn());
    for exit in twins.map(|twin| twin.wait(LIMIT)) {
        match exit.code() {
            Some(0) => {}
            Some(CONFLICT) => {
                assert!(exit.stderr.contains("help") && exit.stderr.contains("nothing of this"), "{}", exit.stderr);
            }
            _ => panic!("one of two loaders ended with {}:\n{}", exit.status, exit.stderr),
        }
    }
    oracle::check_landed_so_far(&config).assert_exact();
    end_well(&config);
}

/// What is visible and not durable would be gone after a loss of power, and the group had been told of it.
#[test]
#[ignore = "needs a broker"]
fn what_is_not_durable_has_not_landed() {
    let (topic, config) = landed("durable", 600);
    topic.produce(orders(11, 300));
    for fault in ["sync:EIO:partition:1:ever", "name:EIO+:file:1:ever sync:EIO:partition:1:ever"] {
        let (exit, _) = under(fault, rdp("load").arg(config.path()), &config);
        assert_error(&exit, UNAVAILABLE, &config.landing(), "Input/output error");
        assert!(exit.stderr.contains("not available, again in"), "{}", exit.stderr);
    }
    end_well(&config);
}

#[test]
#[ignore = "needs a broker"]
fn who_waits_for_a_disk_says_why() {
    let (topic, config) = landed("why", 600);
    topic.produce(orders(12, 300));
    let config = config.set("/loader/give_up_after", "30s");
    let (exit, strikes) = under("write:ENOSPC:temporary:1:3", rdp("load").arg(config.path()), &config);
    exit.assert_success();
    assert_eq!(strikes.len(), 3);
    let why = exit.stderr.lines().find(|line| line.contains("not available, again in"));
    assert!(why.is_some_and(|why| why.contains("No space left on device")), "{}", exit.stderr);
    end_well(&config);
}

/// As one that is mounted late, or is away for a while: from the start, and in the middle of a window.
#[test]
#[ignore = "needs a broker"]
fn a_landing_whose_folder_comes_back_is_waited_for() {
    for (fault, said) in [
        ("any:ENOENT:any:1:1500ms", "waiting for the landing"),
        ("any:ENOENT:any:60:1500ms", "not available, again in"),
        ("any:ENOENT:any:90:1500ms", "not available, again in"),
        ("any:ENOENT:any:120:1500ms", "not available, again in"),
    ] {
        let (topic, config) = landed("back", 600);
        topic.produce(orders(16, 300));
        let config = config.set("/loader/give_up_after", "30s");
        let (exit, _) = under(fault, rdp("load").arg(config.path()), &config);
        exit.assert_success();
        let line = exit.stderr.lines().find(|line| line.contains(said));
        assert!(line.is_some_and(|line| line.contains("No such file or directory")), "{fault}: {}", exit.stderr);
        end_well(&config);
    }
}

/// As on a file server that tells late of new names.
#[test]
#[ignore = "needs a broker"]
fn a_claim_that_somebody_has_and_nobody_sees_is_not_asked_for_without_end() {
    let topic = KafkaServer::shared().create_topic("disk-claim", 1);
    topic.produce(orders(13, 10));
    let config = RdpConfig::orders(&topic).without_group().set("/loader/give_up_after", "1s");
    let (exit, _) = under("name:EEXIST:claim:1:ever", rdp("load").arg(config.path()), &config);
    assert_error(&exit, UNAVAILABLE, &config.landing(), "_claim.000000.json");
    end_well(&config);
}

/// Each call that an audit makes fails once: it may neither say that the landing is clean nor that it is not. (The first
/// `stat` is the config's, which only looks whether something else stands there; those of claims only ask how much to read.)
#[test]
#[ignore = "needs a broker"]
fn an_audit_that_could_not_read_says_nothing_of_the_landing() {
    let topic = KafkaServer::shared().create_topic("disk-audit", 1);
    topic.produce(orders(14, 20));
    let config = RdpConfig::orders(&topic).without_group();
    for round in 0..2 {
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        topic.produce(orders(15 + round, 20));
    }
    for call in ["open", "read", "list", "next", "stat"] {
        let first = if call == "stat" { 2 } else { 1 };
        for nth in first.. {
            let fault = format!("{call}:EIO:any:{nth}:1");
            let audit = rdp("audit").arg(config.path()).arg("--offline");
            let (exit, strikes) = under(&fault, audit, &config);
            if strikes.is_empty() {
                assert!(nth > first, "an audit makes no {call}");
                exit.assert_success();
                break;
            }
            if strikes[0].starts_with("stat claim") {
                continue;
            }
            assert_eq!(exit.code(), Some(UNAVAILABLE), "{fault}: {}{}", exit.stdout, exit.stderr);
            assert_says(&exit.stderr, &config.landing(), "Input/output error");
        }
    }
}

/// Runs it on a disk that fails so; says what was struck.
fn under(faults: &str, process: Rdp, config: &RdpConfig) -> (Exit, Vec<String>) {
    let faults: Vec<_> = faults.split(' ').map(|fault| fault.parse().expect("a fault")).collect();
    let (process, disk) = FailingDisk::under(process, &config.landing(), &faults);
    let exit = process.run(LIMIT);
    (exit, disk.strikes())
}

/// A topic, and a config in whose landing its first records are. Its loader gives up soon.
fn landed(name: &str, records: usize) -> (Topic, RdpConfig) {
    let topic = KafkaServer::shared().create_topic(&format!("disk-{name}"), 3);
    let config = RdpConfig::orders(&topic).without_group().window(150, "300ms").set("/loader/give_up_after", "1s");
    if name != "full" && name != "waits" && name != "read-only" {
        topic.produce(orders(0, records));
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
    }
    (topic, config)
}

fn end_well(config: &RdpConfig) {
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    oracle::check(config).assert_exact();
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
}

/// The error has its kind, names the path, and says what to do.
#[track_caller]
fn assert_error(exit: &Exit, code: i32, path: &Path, help: &str) {
    exit.assert_code(code);
    assert_says(&exit.stderr, path, help);
}

/// The audit fails and names the file.
#[track_caller]
fn assert_named(audit: &Exit, path: &Path, help: &str) {
    assert!(audit.code().is_some_and(|code| code != 0), "the audit passed:\n{}", audit.stdout);
    assert_says(&format!("{}{}", audit.stdout, audit.stderr), path, help);
}

#[track_caller]
fn assert_says(said: &str, path: &Path, help: &str) {
    let path = path.display().to_string();
    assert!(said.contains(&path), "it does not name {path}:\n{said}");
    assert!(said.contains(help), "it does not say {help:?}:\n{said}");
}

fn partition(config: &RdpConfig, partition: i32) -> PathBuf {
    config.landing().join(format!("topic={}/partition={partition}", config.topic()))
}

fn newest(config: &RdpConfig) -> PathBuf {
    let files = config.landed_files();
    files.into_iter().rfind(|file| file.starts_with(partition(config, 0))).expect("partition 0 has landed")
}

#[track_caller]
fn wait_until(process: &mut RdpProcess, mut holds: impl FnMut(&RdpProcess) -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds(process) {
        assert!(!process.has_ended(), "it ended:\n{}", process.stderr());
        assert!(Instant::now() < deadline, "it did not come to pass:\n{}", process.stderr());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn set_mode(folder: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(folder, fs::Permissions::from_mode(mode)).expect("our own folder's mode can be set");
}

/// Root may write where nobody may, so it gives that right up first.
fn without_privileges(command: &str, config: &RdpConfig) -> Rdp {
    use std::os::unix::fs::MetadataExt;
    match fs::metadata("/proc/self").expect("there is a /proc").uid() {
        0 => Rdp::at("setpriv", "--bounding-set=-dac_override,-dac_read_search")
            .args([env!("CARGO_BIN_EXE_rdp"), command])
            .arg(config.path()),
        _ => rdp(command).arg(config.path()),
    }
}

/// A file system in memory in the landing's place, with a size of its own.
struct SmallDisk(PathBuf);

impl SmallDisk {
    fn mount(config: &RdpConfig, options: &str) -> Self {
        let disk = SmallDisk(config.landing());
        fs::create_dir_all(disk.path()).expect("a folder can be made in our own folder");
        disk.act("mount", &["-t", "tmpfs", "-o", options, "rdp-test"]);
        disk
    }

    fn remount(&self, options: &str) {
        self.act("mount", &["-o", &format!("remount,{options}")]);
    }

    fn path(&self) -> &Path {
        &self.0
    }

    fn act(&self, command: &str, arguments: &[&str]) {
        let output = Command::new(command).args(arguments).arg(&self.0).output();
        let output = output.unwrap_or_else(|error| panic!("start {command}: {error}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command} {arguments:?} needs root, or `unshare -rm make test`: {said}");
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("--lazy").arg(&self.0).output();
    }
}

const NOT_CLEAN: i32 = 3;
const CONFIG: i32 = 10;
const UNAVAILABLE: i32 = 12;
const DENIED: i32 = 11;
const DATA: i32 = 13;
const CONFLICT: i32 = 15;
