//! Named steps at which a process can be told to die, fail or dawdle, so that crash tests meet the engine where it is
//! weakest.
//!
//! Nothing happens unless the environment variable `RDP_FAILPOINT` says so. It holds `STEP=ACTION` pairs split by `;`:
//! `RDP_FAILPOINT="file_written=kill"`. An action may say at which visit it strikes: `kill@3` (the third visit); without
//! it strikes at the first, and `delay` at every one. Actions: `kill` (the process ends at once, as by `kill -9`), `error`
//! (the step fails as `Unavailable`), `stop` (SIGSTOP to the own process), `delay:250` (milliseconds).
//!
//! Every strike is logged before it strikes, so that a test can tell that it did.

use std::collections::BTreeMap;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::error::{Error, Result};

/// Every step, in the order in which one window passes them, then those that only trouble, a group or an end bring about.
pub const STEPS: [&str; 17] = [
    "assigned",
    "positions_read",
    "origin_claimed",
    "slice_polled",
    "slice_appended",
    "window_closed",
    "commit_begun",
    "file_written",
    "fence_passed",
    "file_visible",
    "names_durable",
    "outcome_unclear",
    "commit_ended",
    "positions_reported",
    "rewound",
    "revoked",
    "shutdown_begun",
];

/// Passes a step: does what `RDP_FAILPOINT` asks for there, which is nothing unless somebody tests.
///
/// # Errors
/// [`Unavailable`](crate::ErrorKind::Unavailable) where the action is `error`.
pub fn pass(step: &'static str) -> Result<()> {
    debug_assert!(STEPS.contains(&step), "{step} is listed in STEPS");
    match ARMED.get_or_init(|| arm(&std::env::var("RDP_FAILPOINT").unwrap_or_default())).get(step) {
        None => Ok(()),
        Some(armed) => armed.strike(step),
    }
}

#[derive(Debug)]
struct Armed {
    action: Action,
    /// `None`: at every visit.
    at_visit: Option<u64>,
    visits: AtomicU64,
}

#[derive(Debug, PartialEq)]
enum Action {
    Kill,
    Fail,
    Stop,
    Delay(Duration),
}

impl Armed {
    fn strike(&self, step: &str) -> Result<()> {
        let visit = self.visits.fetch_add(1, Ordering::Relaxed) + 1;
        if self.at_visit.is_some_and(|at_visit| visit != at_visit) {
            return Ok(());
        }
        tracing::warn!(step, visit, action = ?self.action, "failpoint strikes");
        match &self.action {
            Action::Delay(time) => std::thread::sleep(*time),
            Action::Kill => signal_self(libc::SIGKILL),
            Action::Stop => signal_self(libc::SIGSTOP),
            Action::Fail => return Err(Error::unavailable(format!("failpoint {step} struck on visit {visit}"))),
        }
        Ok(())
    }
}

fn signal_self(signal: libc::c_int) {
    // SAFETY: kill and getpid take no pointers; the own process always exists.
    unsafe { libc::kill(libc::getpid(), signal) };
    // The signal may reach another thread first; this one must not go past the step meanwhile.
    match signal {
        libc::SIGKILL => loop {
            std::thread::sleep(Duration::from_secs(1));
        },
        // It goes on some time after SIGCONT.
        _ => std::thread::sleep(Duration::from_millis(100)),
    }
}

fn arm(text: &str) -> BTreeMap<String, Armed> {
    let mut armed = BTreeMap::new();
    for pair in text.split(';').filter(|pair| !pair.trim().is_empty()) {
        match parse(pair.trim()) {
            Some((step, point)) => {
                tracing::warn!(step, action = ?point.action, visit = ?point.at_visit, "failpoint armed");
                armed.insert(step.to_owned(), point);
            }
            None => {
                // A mistyped failpoint would make a crash test pass without a crash.
                panic!("RDP_FAILPOINT: {pair:?} is not STEP=kill|error|stop|delay:MS with @VISIT; steps: {STEPS:?}")
            }
        }
    }
    armed
}

fn parse(pair: &str) -> Option<(&str, Armed)> {
    let (step, action) = pair.split_once('=')?;
    let (action, at_visit) = match action.split_once('@') {
        Some((action, visit)) => (action, Some(visit.parse().ok()?)),
        None if action.starts_with("delay:") => (action, None),
        None => (action, Some(1)),
    };
    let action = match action {
        "kill" => Action::Kill,
        "error" => Action::Fail,
        "stop" => Action::Stop,
        _ => Action::Delay(Duration::from_millis(action.strip_prefix("delay:")?.parse().ok()?)),
    };
    STEPS.contains(&step).then_some((step, Armed { action, at_visit, visits: AtomicU64::new(0) }))
}

static ARMED: OnceLock<BTreeMap<String, Armed>> = OnceLock::new();

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failpoint_strikes_at_its_visit_only() {
        let (_, armed) = parse("file_written=error@2").expect("it parses");
        assert!(armed.strike("file_written").is_ok());
        assert!(armed.strike("file_written").is_err());
        assert!(armed.strike("file_written").is_ok());
    }

    #[test]
    fn a_mistyped_failpoint_is_refused() {
        assert!(parse("file_writen=kill").is_none());
        assert!(parse("file_written=kil").is_none());
    }
}
