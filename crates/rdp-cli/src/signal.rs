//! Ctrl-C, SIGTERM and the terminal's going (SIGHUP): the first lands the window in hand, the second stops at once.

use std::time::Duration;

use rdp_elt::{Error, Shutdown};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::JoinHandle;

use crate::exit::{Failure, STOPPED};
use crate::screen::Screen;

/// Asks `shutdown` for the run's end at every signal, until the task is aborted. At the second one the run has a moment to
/// end by itself; then the process ends, whatever it waits for: to a landing that is no more than a `kill -9`.
pub(crate) fn watch(shutdown: &Shutdown, screen: &Screen) -> Result<JoinHandle<()>, Error> {
    let for_the_end = screen.clone();
    let at_once = move || {
        let screen = for_the_end.clone();
        // A thread of its own: nothing that hangs may keep it from ending.
        std::thread::spawn(move || {
            std::thread::sleep(LAST_MOMENT);
            screen.show_failure(&Failure::Stopped);
            crate::exit::leave(STOPPED);
        });
    };
    watch_for(shutdown, screen, LANDING, at_once)
}

/// The same, with what the person is told at the first, the second and every later signal, and without an end at once.
pub(crate) fn watch_saying(
    shutdown: &Shutdown,
    screen: &Screen,
    words: [&'static str; 3],
) -> Result<JoinHandle<()>, Error> {
    watch_for(shutdown, screen, words, || {})
}

fn watch_for(
    shutdown: &Shutdown,
    screen: &Screen,
    words: [&'static str; 3],
    at_once: impl Fn() + Send + 'static,
) -> Result<JoinHandle<()>, Error> {
    let failed = |error| Error::internal("listen to signals").with_source(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    // Under `nohup` the terminal may go.
    let mut hangup = match is_ignored(libc::SIGHUP) {
        true => None,
        false => Some(signal(SignalKind::hangup()).map_err(failed)?),
    };
    let (shutdown, screen) = (shutdown.clone(), screen.clone());
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
                () = next(hangup.as_mut()) => {}
            }
            screen.say(words[usize::from(shutdown.is_requested()) + usize::from(shutdown.is_immediate())]);
            if shutdown.is_requested() && !shutdown.is_immediate() {
                at_once();
            }
            shutdown.request();
        }
    }))
}

/// Waits for a signal; for ever for one that is not listened to.
async fn next(signal: Option<&mut Signal>) {
    match signal {
        Some(signal) => drop(signal.recv().await),
        None => std::future::pending().await,
    }
}

/// Whether whoever started us has had this signal ignored.
fn is_ignored(signal: libc::c_int) -> bool {
    // SAFETY: an all-zero sigaction is a valid value for the call to write over.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is changed where no new action is given, and the old one is written to a place of its own.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

/// How long a run that was told to stop at once may take for it.
const LAST_MOMENT: Duration = Duration::from_millis(500);

const LANDING: [&str; 3] = [
    "stopping: the window in hand lands first; once more stops at once",
    "stopping at once: the window in hand is given up and read again at the next start",
    "stopping already",
];
