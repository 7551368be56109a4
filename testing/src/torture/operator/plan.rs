//! What operators do: a sequence that a seed decides, all of it before anything is done, so that the seed alone replays it.

use super::model::Start;

/// What a sequence is about, beside the usual.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ground {
    /// A topic on the broker that all share.
    Shared,
    /// The same, compacted.
    Compacted,
    /// A broker of its own, to be backed up and restored.
    OwnBroker,
}

/// One thing that an operator does. What cannot be done where it stands (there is no file to remove) is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Operation {
    /// So many records, on all partitions or on one.
    Produce(u64, Option<u8>),
    /// Retention on a partition, up to so many hundredths of what has landed, or of what is in the log.
    Retain {
        partition: u8,
        percent: u8,
        landed_only: bool,
    },
    AddPartition,
    Delete,
    Recreate,
    Compact,
    BackUp,
    /// The logs alone, or all that the broker keeps.
    Restore {
        logs_alone: bool,
    },
    RemoveOldest(u8, u8),
    RemoveNewest(u8, u8),
    RemoveAll(u8),
    CopyLanding,
    LandAnew,
    Change(Change),
    Load,
    /// `rdp load` that is killed: at this visit of this step.
    LoadKilled(&'static str, u8),
    /// `rdp load` that is killed after so many milliseconds.
    LoadKilledAfter(u64),
    /// `rdp run`, while this happens, until all has landed.
    Run(During),
    /// `rdp run` while records come, killed at this visit of this step, or when it has landed them.
    RunKilled(&'static str, u8),
    /// Two `rdp run` in a group; one of them may be killed half way.
    Pair {
        kill_one: bool,
    },
}

/// What happens while `rdp run` runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum During {
    Nothing,
    Produce(u64),
    AddPartition,
    Recreate,
}

/// A change of the config.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Adds the column, or drops it.
    Column(&'static str),
    Window(usize),
    Start(Start),
    Group(Group),
    Protocol(Protocol),
    Lanes(u8),
    /// Only the partitions with an even number, or all.
    EvenOnly(bool),
    /// By a regular expression, or by name.
    Pattern(bool),
}

/// The config's group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Group {
    None,
    First,
    Second,
}

/// How the group hands partitions over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Protocol {
    Cooperative,
    Eager,
    Consumer,
}

/// The ground and the operations of the sequence with this seed.
pub(super) fn sequence(seed: u64, length: usize) -> (Ground, Vec<Operation>) {
    let ground = match seed % 6 {
        5 => Ground::OwnBroker,
        4 => Ground::Compacted,
        _ => Ground::Shared,
    };
    let mut random = fastrand::Rng::with_seed(seed);
    let mut operations = Vec::new();
    for _ in 0..random.u8(..4) {
        operations.push(Operation::Change(change(&mut random, ground, operations.len() as u64)));
    }
    if random.u8(..4) > 0 {
        operations.push(Operation::Produce(random.u64(5..60), None));
    }
    if ground == Ground::OwnBroker {
        operations.extend([Operation::Load, Operation::BackUp]);
    }
    let end = operations.len() + length;
    while operations.len() < end {
        let about = operations.len() as u64 * 20;
        match random.u8(..10) {
            0..5 => operations.push(run(&mut random)),
            5..7 => operations.push(produce(&mut random)),
            7 => operations.push(Operation::Change(change(&mut random, ground, about))),
            _ => match (ground, random.u8(..3)) {
                (Ground::OwnBroker, 0) => operations.push(Operation::BackUp),
                (Ground::OwnBroker, 1) => operations.extend(restore(&mut random)),
                (Ground::Compacted, 0) => operations.push(Operation::Compact),
                _ => operations.push(deed(&mut random)),
            },
        }
    }
    // Whatever the last did shows in a run.
    operations.extend([Operation::Produce(9, None), Operation::Load]);
    (ground, operations)
}

fn produce(random: &mut fastrand::Rng) -> Operation {
    let on = (random.u8(..3) == 0).then(|| random.u8(..4));
    Operation::Produce(random.u64(1..70), on)
}

fn run(random: &mut fastrand::Rng) -> Operation {
    let step = STEPS[random.usize(..STEPS.len())];
    match random.u8(..20) {
        0..6 => Operation::Load,
        6..9 => Operation::LoadKilled(step, random.u8(1..4)),
        9 | 10 => Operation::LoadKilledAfter(random.u64(5..300)),
        11 | 12 => Operation::RunKilled(step, random.u8(1..4)),
        13..17 => Operation::Run(match random.u8(..8) {
            0 => During::Nothing,
            1..5 => During::Produce(random.u64(1..60)),
            5..7 => During::AddPartition,
            _ => During::Recreate,
        }),
        _ => Operation::Pair { kill_one: random.bool() },
    }
}

/// What was there may have landed in between, and the log may have grown past it again.
fn restore(random: &mut fastrand::Rng) -> Vec<Operation> {
    let restore = Operation::Restore { logs_alone: random.bool() };
    let mut story = match random.u8(..3) {
        0 => Vec::new(),
        _ => vec![Operation::Produce(random.u64(1..40), None), run(random)],
    };
    story.push(restore);
    if random.u8(..3) > 0 {
        story.push(Operation::Produce(random.u64(20..90), None));
    }
    story
}

fn deed(random: &mut fastrand::Rng) -> Operation {
    let partition = random.u8(..4);
    match random.u8(..20) {
        0..3 => Operation::Retain { partition, percent: random.u8(20..=100), landed_only: true },
        3..5 => Operation::Retain { partition, percent: random.u8(20..=100), landed_only: false },
        5..8 => Operation::AddPartition,
        8 => Operation::Delete,
        9 | 10 => Operation::Recreate,
        11..13 => Operation::RemoveOldest(partition, random.u8(1..3)),
        13..15 => Operation::RemoveNewest(partition, random.u8(1..3)),
        15 => Operation::RemoveAll(partition),
        16 | 17 => Operation::CopyLanding,
        _ => Operation::LandAnew,
    }
}

fn change(random: &mut fastrand::Rng, ground: Ground, about: u64) -> Change {
    match random.u8(..8) {
        0 => Change::Column(["word", "weight", "extra"][random.usize(..3)]),
        1 => Change::Window([3, 10, 25, 1_000][random.usize(..4)]),
        2 => Change::Start(match random.u8(..4) {
            0 => Start::Earliest,
            // Where the records of a time went, compaction decides.
            1 if ground != Ground::Compacted => Start::Time(random.u64(..=about)),
            _ => Start::Latest,
        }),
        3 => Change::Group([Group::None, Group::First, Group::Second][random.usize(..3)]),
        4 => Change::Protocol([Protocol::Cooperative, Protocol::Eager, Protocol::Consumer][random.usize(..3)]),
        5 => Change::Lanes(random.u8(1..3)),
        6 => Change::EvenOnly(random.bool()),
        _ => Change::Pattern(random.bool()),
    }
}

/// The steps that a load passes by itself.
const STEPS: [&str; 13] = [
    "assigned",
    "positions_read",
    "slice_polled",
    "slice_appended",
    "window_closed",
    "commit_begun",
    "origin_claimed",
    "fence_passed",
    "file_written",
    "file_visible",
    "names_durable",
    "commit_ended",
    "positions_reported",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_decides_a_sequence_and_every_ground_comes_up() {
        assert_eq!(sequence(7, 20), sequence(7, 20));
        assert_ne!(sequence(7, 20).1, sequence(13, 20).1);
        for ground in [Ground::Shared, Ground::Compacted, Ground::OwnBroker] {
            assert!((0..6).any(|seed| sequence(seed, 1).0 == ground), "{ground:?}");
        }
    }
}
