//! The loader that is tortured: `rdp load` in a process of its own, which dies at a failpoint or by a signal of ours.

use std::fs::{self, File};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use rdp_elt::{Error, ErrorKind, Shutdown};

use super::INTERRUPTED;
use crate::exit::Failure;

/// How the loader is started.
#[derive(Debug)]
pub(super) struct Loader {
    binary: PathBuf,
    config: PathBuf,
    log: PathBuf,
}

/// What is to become of one loader.
#[derive(Debug, Clone, Default)]
pub(super) struct Fate {
    /// What `RDP_FAILPOINT` tells it.
    pub(super) failpoint: Option<String>,
    /// It is killed so long after its start.
    pub(super) kill_after: Option<Duration>,
    /// It is asked to end so long after its first step.
    pub(super) ask_after: Option<Duration>,
}

/// How a loader came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// It was killed.
    Struck,
    /// It came to its own end, and that was a good one.
    Reached,
}

impl Loader {
    pub(super) fn new(config: PathBuf, log: PathBuf) -> Result<Self, Error> {
        let binary = std::env::current_exe().map_err(|error| Error::internal("find this binary").with_source(error))?;
        Ok(Loader { binary, config, log })
    }

    pub(super) fn config(&self) -> &Path {
        &self.config
    }

    /// The folder of all that is the loader's.
    pub(super) fn folder(&self) -> &Path {
        self.config.parent().unwrap_or(&self.config)
    }

    /// Starts it and waits for its end. Blocks.
    ///
    /// # Errors
    /// Where it hangs, or ends in another way than by our strike or well; the message holds what it said.
    pub(super) fn run(&self, fate: &Fate, shutdown: &Shutdown) -> Result<End, Failure> {
        let failed = |error: std::io::Error| Error::internal("run the loader").with_source(error);
        let log = File::create(&self.log).map_err(failed)?;
        let mut command = Command::new(&self.binary);
        command.args(["load", "--log", "warn"]).arg(&self.config).env_remove("RDP_FAILPOINT").env_remove("RDP_LOG");
        if let Some(failpoint) = &fate.failpoint {
            command.env("RDP_FAILPOINT", failpoint);
        }
        // In a process group of its own: Ctrl-C is for us alone, and we know what to do with the loader then.
        command.process_group(0).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log);
        let mut child = command.spawn().map_err(failed)?;
        let ended = self.wait(&mut child, fate, shutdown);
        if ended.is_err() {
            let _ = child.kill();
            let _ = child.wait();
        }
        self.judge(ended?, fate)
    }

    fn wait(&self, child: &mut Child, fate: &Fate, shutdown: &Shutdown) -> Result<ExitStatus, Failure> {
        let failed = |error: std::io::Error| Error::internal("wait for the loader").with_source(error);
        let began = Instant::now();
        let mut kill_at = fate.kill_after.map(|after| began + after);
        let mut ask_after = fate.ask_after;
        let mut ask_at = None;
        loop {
            if let Some(status) = child.try_wait().map_err(failed)? {
                return Ok(status);
            }
            let now = Instant::now();
            if shutdown.is_requested() {
                return Err(INTERRUPTED);
            }
            if now.duration_since(began) > LIMIT {
                let error = Error::internal(format!("the loader hangs: no end within {LIMIT:?}"));
                return Err(error.with_source(self.last_words()).into());
            }
            if kill_at.take_if(|at| now >= *at).is_some() {
                child.kill().map_err(failed)?;
            }
            // Before its first step it does not listen to signals yet.
            if ask_after.is_some() && self.said(ARMED) {
                ask_at = ask_after.take().map(|after| now + after);
            }
            if ask_at.take_if(|at| now >= *at).is_some() {
                // SAFETY: kill takes no pointers, and the child is not reaped, so the id is still its own.
                unsafe { libc::kill(child.id().cast_signed(), libc::SIGTERM) };
            }
            std::thread::sleep(LOOK_EVERY);
        }
    }

    fn judge(&self, status: ExitStatus, fate: &Fate) -> Result<End, Failure> {
        // Somebody else may kill it too, such as a kernel that is out of memory.
        let was_struck = fate.kill_after.is_some() || (self.said(STRUCK) && self.said(BY_KILL));
        match (status.signal(), status.code()) {
            (Some(libc::SIGKILL), _) if was_struck => Ok(End::Struck),
            (_, Some(0)) => Ok(End::Reached),
            (_, code) => {
                let kind = ErrorKind::ALL.into_iter().find(|kind| Some(i32::from(kind.exit_code())) == code);
                let doing = format!("the loader ended by itself, and not well: {status}");
                Err(Error::new(kind.unwrap_or(ErrorKind::Internal), doing).with_source(self.last_words()).into())
            }
        }
    }

    fn said(&self, words: &str) -> bool {
        fs::read(&self.log).is_ok_and(|said| String::from_utf8_lossy(&said).contains(words))
    }

    /// The end of what it said.
    fn last_words(&self) -> String {
        let said = fs::read(&self.log).unwrap_or_default();
        let said = String::from_utf8_lossy(&said);
        let lines: Vec<&str> = said.lines().collect();
        format!("its last words:\n{}", lines[lines.len().saturating_sub(LAST_LINES)..].join("\n"))
    }
}

/// What a failpoint logs: when the first step is passed, and before it strikes.
const ARMED: &str = "failpoint armed";
const STRUCK: &str = "failpoint strikes";
const BY_KILL: &str = "action=Kill";

const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Longer than a loader waits for brokers that are away.
const LIMIT: Duration = Duration::from_secs(600);
const LAST_LINES: usize = 30;
