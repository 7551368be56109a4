//! The engine's named steps, and what brings a process to each of them.

/// What brings a process to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It loads to the log's end.
    Load,
    /// Other members join its group.
    Rebalance,
    /// It is asked to end.
    Shutdown,
}

/// A step, and at which visits, by which way, it is struck.
#[derive(Debug, Clone, Copy)]
pub struct Step {
    /// The step's name, as failpoints spell it.
    pub name: &'static str,
    /// The way to the step, and the visit that is struck: tried in turns.
    pub visits: &'static [(Way, u64)],
}

/// Every step. The engine's own list must be the same, which a test of the binary's package sees to.
pub const STEPS: [Step; 12] = [
    Step { name: "assigned", visits: &[(Way::Load, 1), (Way::Rebalance, 2)] },
    Step { name: "positions_read", visits: &[(Way::Load, 1), (Way::Load, 2), (Way::Rebalance, 3)] },
    Step { name: "slice_polled", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "slice_appended", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "window_closed", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "commit_begun", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "file_written", visits: &[(Way::Load, 1), (Way::Load, 2), (Way::Load, 4)] },
    Step { name: "file_visible", visits: &[(Way::Load, 1), (Way::Load, 2), (Way::Load, 4)] },
    Step { name: "commit_ended", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "positions_reported", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "revoked", visits: &[(Way::Rebalance, 1), (Way::Rebalance, 2)] },
    Step { name: "shutdown_begun", visits: &[(Way::Shutdown, 1)] },
];
