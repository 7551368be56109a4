//! What a loader's memory is shared out to. Each lane has its part of all of it.

use super::LoaderOptions;

/// One lane's memory, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Budget {
    memory_bytes: usize,
}

impl Budget {
    /// A part of so much memory in so many lanes.
    pub(crate) fn of(memory_bytes: usize, lanes: usize) -> Self {
        Budget { memory_bytes: memory_bytes / lanes.max(1) }
    }

    /// What librdkafka's queues hold: a quarter.
    pub(crate) fn queue_bytes(self) -> usize {
        self.memory_bytes / 4
    }

    /// What the open files of one window hold: three eighths, since the window in flight holds as much.
    pub(crate) fn writer_bytes(self) -> usize {
        self.memory_bytes / 8 * 3
    }

    /// At what an open window closes early: half, where a sink holds more than it was told to.
    pub(crate) fn window_bytes(self) -> usize {
        self.memory_bytes / 2
    }
}

impl LoaderOptions {
    pub(crate) fn budget(&self) -> Budget {
        Budget::of(self.memory_bytes, self.lanes)
    }
}
