//! A disk that fails by a schedule: a library in C that is preloaded into the process under test, and has its calls on files
//! below one folder fail, before or after they took effect, or be slow or short.
//!
//! The product is as it is shipped; nothing else than its calls to the system is touched.

mod fault;
mod schedule;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

pub use fault::{Call, Fault, Length, Place, What};
pub use schedule::{Mode, Schedule};

use crate::cache::RunFolder;
use crate::rdp::Rdp;

/// The faults of one process, and what becomes of them.
#[derive(Debug)]
pub struct FailingDisk {
    log: RunFolder,
}

impl FailingDisk {
    /// Has these faults strike a process, in its calls below this folder.
    pub fn under(process: Rdp, folder: &Path, faults: &[Fault]) -> (Rdp, FailingDisk) {
        let disk = FailingDisk { log: RunFolder::create("disk") };
        let faults: Vec<String> = faults.iter().map(Fault::to_string).collect();
        let process = process
            .env("LD_PRELOAD", library())
            .env("RDP_DISK_ROOT", folder)
            .env("RDP_DISK_FAULTS", faults.join(" "))
            .env("RDP_DISK_LOG", disk.log.path().join("strikes"));
        (process, disk)
    }

    /// What was struck so far: a line for each call.
    pub fn strikes(&self) -> Vec<String> {
        let log = fs::read_to_string(self.log.path().join("strikes")).unwrap_or_default();
        log.lines().map(str::to_owned).collect()
    }
}

/// The library, built once per test process.
fn library() -> &'static Path {
    static BUILT: OnceLock<(PathBuf, RunFolder)> = OnceLock::new();
    let (library, _) = BUILT.get_or_init(|| {
        let folder = RunFolder::create("disk-library");
        let (source, library) = (folder.path().join("disk.c"), folder.path().join("disk.so"));
        fs::write(&source, include_str!("../../disk.c")).expect("a file can be made in our own folder");
        let mut build = Command::new("cc");
        build.args(["-Wall", "-O1", "-shared", "-fPIC", "-o"]).arg(&library).arg(&source).arg("-ldl");
        let output = build.output().unwrap_or_else(|error| panic!("start {build:?}: {error}"));
        assert!(output.status.success(), "{build:?}: {}", String::from_utf8_lossy(&output.stderr));
        (library, folder)
    });
    library
}
