//! The `rdp` binary as a process: started, signalled, waited for.

use std::ffi::OsStr;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::time::Duration;

use crate::cache::RunFolder;
use crate::child::ChildProcess;

/// How to start `rdp`.
#[derive(Debug)]
pub struct Rdp {
    command: Command,
}

impl Rdp {
    /// `rdp COMMAND`, with the binary from `$RDP_BIN`, else from the target folder that this test was built in.
    pub fn new(command: &str) -> Self {
        Self::at(Self::built_binary(), command)
    }

    /// `rdp COMMAND` with this binary: in the binary's own package pass `env!("CARGO_BIN_EXE_rdp")`, which cargo has
    /// brought up to date.
    pub fn at(binary: impl AsRef<Path>, command: &str) -> Self {
        let mut process = Command::new(binary.as_ref());
        // What the person who runs the tests has set must not change them.
        process.arg(command).env_remove("RDP_FAILPOINT").env("NO_COLOR", "1").stdin(Stdio::null());
        Rdp { command: process }
    }

    /// The binary from `$RDP_BIN`, else from the target folder that this test was built in.
    pub fn built_binary() -> PathBuf {
        let named = std::env::var_os("RDP_BIN").map(PathBuf::from);
        let target = std::env::var_os("CARGO_TARGET_DIR").map(|target| Path::new(&target).join("release/rdp"));
        // A test binary is target/<profile>/deps/<name>.
        let own = std::env::current_exe().ok();
        let sibling = own.and_then(|own| Some(own.parent()?.parent()?.join("rdp")));
        let candidates = match named {
            Some(named) => vec![named],
            None => target.into_iter().chain(sibling).collect(),
        };
        let found = candidates.iter().find(|binary| binary.is_file()).cloned();
        found.unwrap_or_else(|| panic!("no rdp binary at {candidates:?}: run `make build`, or set RDP_BIN"))
    }

    /// Adds an argument.
    #[must_use]
    pub fn arg(mut self, argument: impl AsRef<OsStr>) -> Self {
        self.command.arg(argument);
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn args<A: AsRef<OsStr>>(mut self, arguments: impl IntoIterator<Item = A>) -> Self {
        self.command.args(arguments);
        self
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: impl AsRef<OsStr>) -> Self {
        self.command.env(key, value);
        self
    }

    /// Arms a failpoint: `file_written=kill@2`.
    #[must_use]
    pub fn failpoint(self, failpoint: &str) -> Self {
        self.env("RDP_FAILPOINT", failpoint)
    }

    /// Starts it.
    pub fn spawn(mut self) -> RdpProcess {
        let folder = RunFolder::create("rdp");
        let output = |name: &str| File::create(folder.path().join(name)).expect("a file can be made in our own folder");
        self.command.stdout(output("stdout")).stderr(output("stderr"));
        let name = format!("{:?}", self.command);
        let child = ChildProcess::spawn(self.command).unwrap_or_else(|error| panic!("start {name}: {error}"));
        RdpProcess { child, name, folder }
    }

    /// Starts it and waits for its end.
    pub fn run(self, limit: Duration) -> Exit {
        self.spawn().wait(limit)
    }
}

/// A running `rdp`; killed when dropped, and when the test process dies.
#[derive(Debug)]
pub struct RdpProcess {
    /// Dropped before its folder goes.
    child: ChildProcess,
    name: String,
    folder: RunFolder,
}

impl RdpProcess {
    /// The process id.
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&mut self) {
        self.child.kill();
    }

    /// Asks it to end, by SIGTERM.
    pub fn term(&mut self) {
        self.child.signal(libc::SIGTERM);
    }

    /// Freezes it, by SIGSTOP.
    pub fn stop(&mut self) {
        self.child.signal(libc::SIGSTOP);
    }

    /// Lets it go on, by SIGCONT.
    pub fn cont(&mut self) {
        self.child.signal(libc::SIGCONT);
    }

    /// Whether it has ended.
    pub fn has_ended(&mut self) -> bool {
        self.child.ended().is_some()
    }

    /// Whether all of it stands still: by [`RdpProcess::stop`], or at a failpoint with `stop`.
    pub fn is_stopped(&self) -> bool {
        let stat = fs::read_to_string(format!("/proc/{}/stat", self.id())).unwrap_or_default();
        // The state follows the name in brackets, which may itself hold brackets.
        stat.rsplit_once(") ").is_some_and(|(_, rest)| rest.starts_with('T'))
    }

    /// What it has written to stdout so far.
    pub fn stdout(&self) -> String {
        self.output("stdout")
    }

    /// What it has written to stderr so far.
    pub fn stderr(&self) -> String {
        self.output("stderr")
    }

    /// Waits for its end; one that does not come in time is a failure that shows what the process said.
    pub fn wait(mut self, limit: Duration) -> Exit {
        let Some(status) = self.child.wait(limit) else {
            self.child.kill();
            panic!("{} did not end within {limit:?}:\n{}", self.name, self.stderr());
        };
        Exit { status, stdout: self.stdout(), stderr: self.stderr(), name: self.name.clone() }
    }

    fn output(&self, name: &str) -> String {
        String::from_utf8_lossy(&fs::read(self.folder.path().join(name)).unwrap_or_default()).into_owned()
    }
}

/// How a run of `rdp` ended.
#[derive(Debug, Clone)]
pub struct Exit {
    /// The status.
    pub status: ExitStatus,
    /// All of stdout.
    pub stdout: String,
    /// All of stderr.
    pub stderr: String,
    name: String,
}

impl Exit {
    /// The exit code; `None` where a signal ended it.
    pub fn code(&self) -> Option<i32> {
        self.status.code()
    }

    /// Whether SIGKILL ended it.
    pub fn was_killed(&self) -> bool {
        self.status.signal() == Some(libc::SIGKILL)
    }

    /// Fails unless it ended with 0.
    #[track_caller]
    pub fn assert_success(&self) -> &Self {
        self.assert_code(0)
    }

    /// Fails unless it ended with this code.
    #[track_caller]
    pub fn assert_code(&self, code: i32) -> &Self {
        let Exit { status, stdout, stderr, name } = self;
        assert!(self.code() == Some(code), "{name}: {status}, expected exit code {code}\n{stderr}\n{stdout}");
        self
    }
}
