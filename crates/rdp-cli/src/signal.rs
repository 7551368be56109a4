//! Ctrl-C and SIGTERM: the first lands the window in hand, the second stops at once.

use rdp_elt::{Error, Shutdown};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::screen::Screen;

/// Asks `shutdown` for the run's end at every signal, until the task is aborted.
pub(crate) fn watch(shutdown: &Shutdown, screen: &Screen) -> Result<JoinHandle<()>, Error> {
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
            screen.say(match (shutdown.is_requested(), shutdown.is_immediate()) {
                (false, _) => "stopping: the window in hand lands first; once more stops at once",
                (true, false) => "stopping at once: the window in hand is given up and read again at the next start",
                (true, true) => "stopping already",
            });
            shutdown.request();
        }
    }))
}
