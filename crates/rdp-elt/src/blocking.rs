//! Calls that block (of a disk, of a broker), made off the async threads.

use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::{Error, Result};

/// Runs what blocks off the async threads; in place where no runtime is at hand.
pub(crate) async fn blocking<R: Send + 'static>(act: impl FnOnce() -> Result<R> + Send + 'static) -> Result<R> {
    match Handle::try_current() {
        Err(_) => act(),
        Ok(runtime) => match on_thread_of(&runtime, act)?.await {
            Ok(result) => result,
            Err(error) if error.is_panic() => resume_unwind(error.into_panic()),
            Err(error) => Err(Error::unavailable("the process is shutting down").with_source(error)),
        },
    }
}

/// Starts what blocks. The runtime panics where it has no thread for it and can have none.
fn on_thread_of<R: Send + 'static>(
    runtime: &Handle,
    act: impl FnOnce() -> Result<R> + Send + 'static,
) -> Result<JoinHandle<Result<R>>> {
    let started = catch_unwind(AssertUnwindSafe(|| runtime.spawn_blocking(act)));
    started.map_err(|_| {
        Error::unavailable("start a thread to work with: there is none to be had").with_help(
            "raise the number of processes that the user may have (ulimit -u), or the container's limit of them",
        )
    })
}
