//! The engine's named steps, and what brings a process to each of them.

/// What brings a process to a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// It loads to the log's end.
    Load,
    /// It loads to the log's end, and a failpoint makes it try again on the way.
    Retry(&'static str),
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

impl Step {
    /// Whether a landing passes it once, when it begins, so that each strike needs a new one.
    pub(super) fn needs_new_landing(&self) -> bool {
        self.name == "origin_claimed"
    }
}

impl Way {
    /// The failpoint setting that brings a process this way and then does `action` at `visit` of `step`.
    pub(super) fn failpoint(self, step: &str, action: &str, visit: u64) -> String {
        match self {
            Way::Retry(before) => format!("{before};{step}={action}@{visit}"),
            Way::Load | Way::Rebalance | Way::Shutdown => format!("{step}={action}@{visit}"),
        }
    }
}

/// Every step. The engine's own list must be the same, which a test of the binary's package sees to.
pub const STEPS: [Step; 17] = [
    Step { name: "assigned", visits: &[(Way::Load, 1), (Way::Rebalance, 2)] },
    Step { name: "positions_read", visits: &[(Way::Load, 1), (Way::Load, 2), (Way::Rebalance, 3)] },
    Step { name: "origin_claimed", visits: &[(Way::Load, 1)] },
    Step { name: "slice_polled", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "slice_appended", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "window_closed", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "commit_begun", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "file_written", visits: &[(Way::Load, 1), (Way::Load, 2), (Way::Load, 4)] },
    Step { name: "fence_passed", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "file_visible", visits: &[(Way::Load, 1), (Way::Load, 2), (Way::Load, 4)] },
    Step { name: "names_durable", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "outcome_unclear", visits: &[(LANDED_NONE, 1), (LANDED_SOME, 1), (LANDED_ALL, 1)] },
    Step { name: "commit_ended", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "positions_reported", visits: &[(Way::Load, 1), (Way::Load, 3)] },
    Step { name: "rewound", visits: &[(LANDED_NONE, 1), (Way::Rebalance, 1)] },
    Step { name: "revoked", visits: &[(Way::Rebalance, 1), (Way::Rebalance, 2)] },
    Step { name: "shutdown_begun", visits: &[(Way::Shutdown, 1)] },
];

// Commits that fail before any of their effect, after a part of it (which is all of it in a window of one file, so that it
// does not always lead back), and after all of it.
const LANDED_NONE: Way = Way::Retry("commit_begun=error@2");
const LANDED_SOME: Way = Way::Retry("file_visible=error@2");
const LANDED_ALL: Way = Way::Retry("names_durable=error@2");
