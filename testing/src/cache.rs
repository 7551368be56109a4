//! Where setup.sh put things, and a folder of its own for everything that a test starts.

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Once;
use std::sync::atomic::{AtomicU32, Ordering};

/// A folder that belongs to this test process and is removed when dropped.
///
/// What a process that was killed leaves behind is swept by the next one.
#[derive(Debug)]
pub struct RunFolder(PathBuf);

impl RunFolder {
    /// Makes a folder whose name ends with `name`.
    pub fn create(name: &str) -> Self {
        static SWEPT: Once = Once::new();
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let runs = cache().join("run");
        SWEPT.call_once(|| sweep(&runs));
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let folder = runs.join(format!("{}-{count}-{name}", std::process::id()));
        fs::create_dir_all(&folder).unwrap_or_else(|error| panic!("create {}: {error}", folder.display()));
        RunFolder(folder)
    }

    /// The folder's path.
    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for RunFolder {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("kept for a look until the next run of the tests: {}", self.0.display());
        } else {
            let _ = fs::remove_dir_all(&self.0);
        }
    }
}

/// The folder that setup.sh fills: `$RDP_CACHE`, else `~/.cache/rdp`.
pub(crate) fn cache() -> PathBuf {
    match std::env::var_os("RDP_CACHE") {
        Some(cache) => cache.into(),
        None => PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache/rdp"),
    }
}

/// The broker's folder in the cache, of the version that the pom names.
pub(crate) fn kafka() -> PathBuf {
    let pom = include_str!("../kafka/pom.xml");
    let version = pom.split_once("<kafka.version>").and_then(|(_, rest)| rest.split_once('<'));
    let (version, _) = version.expect("the pom names the broker's version");
    prepared(cache().join(format!("kafka-{version}")), "formatted/meta.properties")
}

/// The Python that has the readers and clients.
pub fn python() -> PathBuf {
    prepared(cache().join("venv"), "bin/python").join("bin/python")
}

/// The java that setup.sh checked.
pub(crate) fn java() -> OsString {
    match std::env::var_os("JAVA_HOME") {
        Some(home) if !home.is_empty() => Path::new(&home).join("bin/java").into(),
        _ => "java".into(),
    }
}

fn prepared(folder: PathBuf, proof: &str) -> PathBuf {
    assert!(folder.join(proof).exists(), "{} is not there: run testing/setup.sh", folder.join(proof).display());
    folder
}

/// Copies a folder with all that is in it.
pub(crate) fn copy_folder(from: &Path, to: &Path) {
    let copy = || -> std::io::Result<()> {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            let target = to.join(entry.file_name());
            if entry.file_type()?.is_dir() {
                copy_folder(&entry.path(), &target);
            } else {
                fs::copy(entry.path(), target)?;
            }
        }
        Ok(())
    };
    copy().unwrap_or_else(|error| panic!("copy {} to {}: {error}", from.display(), to.display()));
}

/// Removes what processes that no longer live have left.
fn sweep(runs: &Path) {
    for entry in fs::read_dir(runs).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let owner = name.to_str().and_then(|name| name.split_once('-')).map(|(owner, _)| owner);
        if owner.is_some_and(|owner| !Path::new("/proc").join(owner).exists()) {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
