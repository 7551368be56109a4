//! A handful of faults that a seed decides, and the loader and the audit that they are tried on.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use super::{Call, Fault, Length, Place, What};

/// How the loader under test reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Without a group.
    Alone,
    /// In two lanes without a group.
    Lanes,
    /// As the one member of a group.
    Group,
}

impl Mode {
    /// Every mode.
    pub const ALL: [Mode; 3] = [Mode::Alone, Mode::Lanes, Mode::Group];
}

/// What one try does; printed in one line, which is read back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schedule {
    /// Where it comes from; decides about the records too.
    pub seed: u64,
    /// How the loader reads.
    pub mode: Mode,
    /// `rdp run`, which is stopped once all has landed; else `rdp load`, which ends by itself.
    pub endless: bool,
    /// Whether something has landed before.
    pub has_landed: bool,
    /// Of the topic.
    pub partitions: i32,
    /// The faults of the loader.
    pub faults: Vec<Fault>,
    /// The faults of the audit of all that has landed in the end.
    pub of_audit: Vec<Fault>,
}

impl Schedule {
    /// How long a loader under test may be patient.
    pub const GIVE_UP_AFTER: Duration = Duration::from_secs(6);

    /// The schedule of this seed.
    pub fn generate(seed: u64) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let mut schedule = Schedule {
            seed,
            mode: Mode::ALL[random.usize(..Mode::ALL.len())],
            endless: random.u8(..3) == 0,
            has_landed: random.bool(),
            partitions: random.i32(1..4),
            faults: Vec::new(),
            of_audit: vec![fault(&mut random, &OF_AUDIT, false)],
        };
        for _ in 0..random.usize(1..4) {
            let fault = fault(&mut random, &OF_LOADER, true);
            // Such a disk links a file to its name, and unlinks the old one.
            if fault.call == Call::Link || (fault.call == Call::Unlink && random.bool()) {
                let what = What::Error(if random.bool() { "EINVAL" } else { "ENOSYS" });
                let instead = Fault { call: Call::Name, what, place: Place::Any, first: 1, length: Length::Ever };
                schedule.faults.push(instead);
            }
            schedule.faults.push(fault);
        }
        schedule
    }
}

/// A call, the errors that it may answer with, and what it is made on.
type Struck = (Call, &'static [&'static str], &'static [Place]);

fn fault(random: &mut fastrand::Rng, of: &[Struck], writes: bool) -> Fault {
    let (call, errors, places) = of[random.usize(..of.len())];
    let place = places[random.usize(..places.len())];
    let moves = matches!(call, Call::Read | Call::Write);
    let error = errors[random.usize(..errors.len())];
    let what = match random.u8(..10) {
        0 => What::Slow(Duration::from_millis(random.u64(5..400))),
        1..=3 if moves => What::Short,
        // A call that was interrupted has not begun, and one that a disk does not know is never done.
        4..=6 if writes && !NEVER_DONE.contains(&error) => What::DoneAndError(error),
        _ => What::Error(error),
    };
    let first = if random.bool() { 1 } else { random.u64(1..30) };
    let length = match random.u8(..8) {
        0..=2 => Length::Calls(1),
        3 | 4 => Length::Calls(random.u64(2..20)),
        5 | 6 => Length::Time(Duration::from_millis(random.u64(50..3_000))),
        _ => Length::Ever,
    };
    // An interrupted call is made again by the one who called, as often as it takes; and what is slow for good is no more
    // than slow.
    let length = match (what, length) {
        (What::Error("EINTR"), Length::Ever | Length::Time(_)) => Length::Calls(3),
        (What::Slow(_), Length::Ever) => Length::Time(Duration::from_secs(4)),
        (_, length) => length,
    };
    Fault { call, what, place, first, length }
}

const NEVER_DONE: [&str; 7] = ["EINTR", "EINVAL", "ENOSYS", "EMFILE", "ENFILE", "EROFS", "ENAMETOOLONG"];

const FOLDERS: &[Place] = &[Place::Any, Place::Root, Place::Topic, Place::Partition];
const FILES: &[Place] = &[Place::Any, Place::File, Place::Claim];
const WRITTEN: &[Place] = &[Place::Any, Place::Temporary, Place::Temporary, Place::Claim];
const NAMES: &[Place] = &[Place::Any, Place::File, Place::File, Place::Claim];
const ANY: &[Place] = &[Place::Any];

/// The more often listed, the more often tried.
const OF_LOADER: [Struck; 18] = [
    (Call::Any, &["EIO", "ESTALE", "ENOENT", "EROFS", "EACCES", "ETIMEDOUT", "EHOSTDOWN", "ENOMEM"], ANY),
    (Call::Open, &["EIO", "EACCES", "EMFILE", "ENFILE", "ENOENT", "ESTALE", "ENOMEM", "ETIMEDOUT", "EINTR"], ANY),
    (Call::Create, CREATE, WRITTEN),
    (Call::Create, CREATE, WRITTEN),
    (Call::Read, &["EIO", "ESTALE", "EAGAIN", "EINTR", "ETIMEDOUT", "ENOMEM"], FILES),
    (Call::Write, &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR", "EAGAIN", "ESTALE", "EPERM", "ETIMEDOUT"], WRITTEN),
    (Call::Write, &["EIO", "ENOSPC", "EDQUOT", "EFBIG", "EINTR", "EAGAIN", "ESTALE", "EPERM", "ETIMEDOUT"], WRITTEN),
    (Call::Sync, SYNC, &[Place::Any, Place::Temporary, Place::Claim, Place::Root, Place::Topic, Place::Partition]),
    (Call::Sync, SYNC, &[Place::Partition, Place::Topic]),
    (Call::Name, NAME, NAMES),
    (Call::Name, NAME, NAMES),
    (Call::Rename, NAME, WRITTEN),
    (Call::Link, &["EIO", "ENOSPC", "EACCES", "EPERM", "EROFS", "ENOENT", "EEXIST", "EMLINK", "ESTALE"], NAMES),
    (Call::Mkdir, &["EIO", "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "ENOENT", "EEXIST", "EMLINK"], FOLDERS),
    (Call::List, LIST, FOLDERS),
    (Call::Next, &["EIO", "ESTALE", "EACCES", "ENOENT", "ETIMEDOUT"], FOLDERS),
    (Call::Stat, &["EIO", "EACCES", "ENOENT", "ESTALE", "ELOOP", "ENAMETOOLONG", "ETIMEDOUT"], ANY),
    (Call::Unlink, &["EIO", "EACCES", "EPERM", "EBUSY", "EROFS", "ENOENT", "ESTALE", "ENOTEMPTY"], WRITTEN),
];

const OF_AUDIT: [Struck; 6] = [
    (Call::Any, &["EIO", "ESTALE", "EACCES", "ETIMEDOUT", "ENOMEM"], &[Place::Any, Place::File, Place::Claim]),
    (Call::Open, &["EIO", "EACCES", "EMFILE", "ENFILE", "ENOENT", "ESTALE", "EINTR"], FILES),
    (Call::Read, &["EIO", "ESTALE", "EAGAIN", "EINTR", "ETIMEDOUT"], FILES),
    (Call::List, LIST, FOLDERS),
    (Call::Next, &["EIO", "ESTALE", "EACCES", "ENOENT", "ETIMEDOUT"], FOLDERS),
    (Call::Stat, &["EIO", "EACCES", "ENOENT", "ESTALE", "ELOOP", "ETIMEDOUT"], &[Place::Any, Place::Root, Place::File]),
];

const CREATE: &[&str] = &[
    "EIO", "ENOSPC", "EDQUOT", "EACCES", "EPERM", "EROFS", "EMFILE", "ENFILE", "ENOENT", "ESTALE", "EEXIST", "EINTR",
    "ENOMEM",
];
const SYNC: &[&str] = &["EIO", "ENOSPC", "EDQUOT", "EROFS", "EINTR", "ESTALE", "ETIMEDOUT"];
const NAME: &[&str] = &[
    "EIO",
    "ENOSPC",
    "EDQUOT",
    "EACCES",
    "EPERM",
    "EROFS",
    "ENOENT",
    "EEXIST",
    "EXDEV",
    "EBUSY",
    "ESTALE",
    "EINTR",
    "EMLINK",
    "ENOTEMPTY",
    "ENAMETOOLONG",
    "ETIMEDOUT",
    "EINVAL",
    "ENOSYS",
];
const LIST: &[&str] = &["EIO", "EACCES", "EMFILE", "ENFILE", "ENOENT", "ESTALE", "ENOMEM", "ETIMEDOUT", "EINTR"];

impl fmt::Display for Schedule {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Schedule { seed, mode, endless, has_landed, partitions, faults, of_audit } = self;
        let command = if *endless { "run" } else { "load" };
        let landing = if *has_landed { "landed" } else { "new" };
        write!(out, "seed={seed} {command} {} {landing} partitions={partitions}", word(*mode))?;
        faults.iter().try_for_each(|fault| write!(out, " {fault}"))?;
        of_audit.iter().try_for_each(|fault| write!(out, " audit={fault}"))
    }
}

impl FromStr for Schedule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut schedule = Schedule { faults: Vec::new(), of_audit: Vec::new(), ..Schedule::generate(0) };
        for text in text.split_whitespace() {
            let wrong = |_| format!("{text:?} means nothing in a schedule");
            let mode = Mode::ALL.into_iter().find(|mode| word(*mode) == text);
            match (text, text.split_once('='), mode) {
                (_, _, Some(mode)) => schedule.mode = mode,
                ("run" | "load", ..) => schedule.endless = text == "run",
                ("landed" | "new", ..) => schedule.has_landed = text == "landed",
                (_, Some(("seed", seed)), _) => schedule.seed = seed.parse().map_err(wrong)?,
                (_, Some(("partitions", count)), _) => schedule.partitions = count.parse().map_err(wrong)?,
                (_, Some(("audit", fault)), _) => schedule.of_audit.push(fault.parse()?),
                (fault, ..) => schedule.faults.push(fault.parse()?),
            }
        }
        Ok(schedule)
    }
}

fn word(mode: Mode) -> String {
    format!("{mode:?}").to_lowercase()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn a_schedule_that_was_printed_is_read_back() {
        for seed in 0..500 {
            let schedule = Schedule::generate(seed);
            assert_eq!(schedule.to_string().parse(), Ok(schedule));
        }
    }

    #[test]
    fn every_kind_of_fault_comes_up() {
        let schedules: Vec<Schedule> = (0..5_000).map(Schedule::generate).collect();
        let tried = |faults: fn(&Schedule) -> &[Fault], struck: &[Struck]| {
            let of = schedules.iter().flat_map(faults);
            let come: BTreeSet<_> = of.map(|fault| (word_of(fault.call), fault.error())).collect();
            for (call, errors, _) in struck {
                for error in *errors {
                    assert!(come.contains(&(word_of(*call), Some(error))), "{call:?} {error}");
                }
            }
        };
        tried(|schedule| &schedule.faults, &OF_LOADER);
        tried(|schedule| &schedule.of_audit, &OF_AUDIT);
    }

    fn word_of(call: Call) -> String {
        format!("{call:?}")
    }
}
