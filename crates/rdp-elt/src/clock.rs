//! Time as an input: the engine asks a clock, so that tests can decide what it says.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A point in time: how long after the clock's own beginning.
pub(crate) type Moment = Duration;

/// Tells the time, and waits.
pub(crate) trait Clock: Send + Sync {
    /// The present; never earlier than what was told before.
    fn now(&self) -> Moment;

    /// Waits for so long.
    fn sleep(&self, time: Duration);

    /// What waits are spread by.
    fn seed(&self) -> u64;

    /// How long ago a moment was.
    fn since(&self, moment: Moment) -> Duration {
        self.now().saturating_sub(moment)
    }
}

/// The machine's monotonic clock.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Moment {
        static BEGINNING: OnceLock<Instant> = OnceLock::new();
        BEGINNING.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, time: Duration) {
        std::thread::sleep(time);
    }

    fn seed(&self) -> u64 {
        fastrand::u64(..)
    }
}
