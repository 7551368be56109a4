//! Ctrl-C and SIGTERM: the first lands the window in hand, the second stops at once.

use rdp_elt::{Error, Shutdown};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::screen::Screen;

/// Asks `shutdown` for the run's end at every signal, until the task is aborted.
pub(crate) fn watch(shutdown: &Shutdown, screen: &Screen) -> Result<JoinHandle<()>, Error> {
    watch_saying(shutdown, screen, LANDING)
}

/// The same, with what the person is told at the first, the second and every later signal.
pub(crate) fn watch_saying(
    shutdown: &Shutdown,
    screen: &Screen,
    words: [&'static str; 3],
) -> Result<JoinHandle<()>, Error> {
    let failed = |error| Error::internal("listen to signals").with_source(error);
    let mut interrupt = signal(SignalKind::interrupt()).map_err(failed)?;
    let mut terminate = signal(SignalKind::terminate()).map_err(failed)?;
    let (shutdown, screen) = (shutdown.clone(), screen.clone());
    Ok(tokio::spawn(async move {
        loop {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            screen.say(words[usize::from(shutdown.is_requested()) + usize::from(shutdown.is_immediate())]);
            shutdown.request();
        }
    }))
}

const LANDING: [&str; 3] = [
    "stopping: the window in hand lands first; once more stops at once",
    "stopping at once: the window in hand is given up and read again at the next start",
    "stopping already",
];
