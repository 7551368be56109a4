//! Where a lane's asynchronous calls run: on the host's runtime, or, in the deterministic tests, step by step on the
//! lane's own thread.

use std::future::Future;

use tokio::runtime::Handle;
use tokio::task::JoinHandle;

use crate::error::Error;
use crate::sink::Commit;

/// Runs what a sink does.
#[derive(Clone)]
pub(super) enum Executor {
    /// The host's runtime.
    Runtime(Handle),
    /// One step at a time, whenever somebody looks; time passes between two steps.
    #[cfg(test)]
    Steps(std::sync::Arc<dyn crate::clock::Clock>),
}

/// A commit that goes on beside the lane.
pub(super) enum Background {
    Task(JoinHandle<Commit>),
    #[cfg(test)]
    Steps(steps::Steps<Commit>),
}

impl Executor {
    /// Waits for a call. Never inside an async task.
    pub(super) fn block_on<T>(&self, call: impl Future<Output = T>) -> T {
        match self {
            Executor::Runtime(runtime) => runtime.block_on(call),
            #[cfg(test)]
            Executor::Steps(clock) => steps::run(call, &**clock),
        }
    }

    /// Starts a commit beside whatever comes next.
    pub(super) fn spawn(&self, commit: impl Future<Output = Commit> + Send + 'static) -> Background {
        match self {
            Executor::Runtime(runtime) => Background::Task(runtime.spawn(commit)),
            #[cfg(test)]
            Executor::Steps(_) => Background::Steps(steps::Steps::new(commit)),
        }
    }
}

impl Background {
    pub(super) fn is_finished(&mut self) -> bool {
        match self {
            Background::Task(task) => task.is_finished(),
            #[cfg(test)]
            Background::Steps(steps) => steps.step(),
        }
    }

    /// Waits for its end.
    pub(super) fn wait(&mut self, executor: &Executor) -> Commit {
        match self {
            Background::Task(task) => {
                let ended = executor.block_on(task);
                ended.unwrap_or_else(|cause| Commit::Unknown(Error::internal("commit a window").with_source(cause)))
            }
            #[cfg(test)]
            Background::Steps(steps) => executor.block_on(std::future::poll_fn(|_| steps.poll())),
        }
    }
}

#[cfg(test)]
mod steps {
    use std::future::Future;
    use std::pin::{Pin, pin};
    use std::task::{Context, Poll, Waker};
    use std::time::Duration;

    use crate::clock::Clock;

    /// A future that is polled by hand.
    pub(in crate::loader) struct Steps<T> {
        future: Pin<Box<dyn Future<Output = T> + Send>>,
        outcome: Option<T>,
    }

    impl<T> Steps<T> {
        pub(super) fn new(future: impl Future<Output = T> + Send + 'static) -> Self {
            Steps { future: Box::pin(future), outcome: None }
        }

        /// One step; whether that was the last.
        pub(super) fn step(&mut self) -> bool {
            if self.outcome.is_none()
                && let Poll::Ready(outcome) = self.future.as_mut().poll(&mut Context::from_waker(Waker::noop()))
            {
                self.outcome = Some(outcome);
            }
            self.outcome.is_some()
        }

        pub(super) fn poll(&mut self) -> Poll<T> {
            self.step();
            self.outcome.take().map_or(Poll::Pending, Poll::Ready)
        }
    }

    pub(super) fn run<T>(call: impl Future<Output = T>, clock: &dyn Clock) -> T {
        let mut call = pin!(call);
        loop {
            if let Poll::Ready(outcome) = call.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
                return outcome;
            }
            clock.sleep(Duration::from_millis(1));
        }
    }
}
