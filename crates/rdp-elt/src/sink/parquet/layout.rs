//! Names inside a landing: pure text, no I/O.
//!
//! A landed file is `topic=<t>/partition=<p>/<start, 20 digits>.parquet`. Its name depends on nothing but the partition
//! and the position at which it starts, so two writers at one position want one name, and only one of them gets it. The
//! digits are padded so that names sort as offsets do.
//!
//! Beside the partitions' folders lie the topic's claims, `_claim.<number, 6 digits>.json`. Readers skip names that begin
//! with `_`.

use std::path::{Path, PathBuf};

use crate::error::{Error, Result};
use crate::offset::TopicPartition;
use crate::sink::WindowId;

/// The folder of a topic.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) for a name that Kafka would not give to a topic and that leaves the folder.
pub(super) fn topic_folder(root: &Path, topic: &str) -> Result<PathBuf> {
    if topic.is_empty() || topic.contains(['/', '\\', '\0']) {
        return Err(Error::config(format!("topic {topic:?} cannot be the name of a folder"))
            .with_help("Kafka's topic names hold letters, digits, '.', '_' and '-'"));
    }
    Ok(root.join(format!("topic={topic}")))
}

/// The folder of a partition.
pub(super) fn partition_folder(root: &Path, of: &TopicPartition) -> Result<PathBuf> {
    Ok(topic_folder(root, &of.topic)?.join(format!("partition={}", of.partition)))
}

/// The partition whose folder bears this name.
pub(super) fn partition_of(folder: &str) -> Option<i32> {
    let partition: i32 = folder.strip_prefix("partition=")?.parse().ok()?;
    (format!("partition={partition}") == folder && partition >= 0).then_some(partition)
}

/// The name of the landed file that starts at this position.
pub(super) fn file_name(start: i64) -> String {
    format!("{start:020}.parquet")
}

/// The position at which a landed file of this name starts; `None` for a name that is not one of ours.
pub(super) fn start_of(name: &str) -> Option<i64> {
    twenty_digits(name.strip_suffix(".parquet")?)
}

/// How the name of a file begins that is still being written. A leading dot and another ending hide it from every glob.
pub(super) fn temporary_prefix(start: i64, window: &WindowId) -> String {
    format!(".{start:020}.{window}.")
}

/// How such a name ends.
pub(super) const TEMPORARY_SUFFIX: &str = ".tmp";

/// The start in the name of a file that is still being written, or was when its writer died: never below the position
/// at which its commit starts, and that position itself once the commit asks whether it may land.
pub(super) fn temporary_start(name: &str) -> Option<i64> {
    let name = name.strip_prefix('.')?.strip_suffix(TEMPORARY_SUFFIX)?;
    twenty_digits(name.get(..20)?).filter(|_| name[20..].starts_with('.'))
}

/// The same name with another start.
pub(super) fn temporary_restarted(name: &str, start: i64) -> Option<String> {
    temporary_start(name)?;
    Some(format!(".{start:020}{}", &name[21..]))
}

/// The name of a topic's claim of this number.
pub(super) fn claim_name(number: u32) -> String {
    format!("_claim.{number:06}.json")
}

/// The number of the claim of this name; `None` for a name that is not one of ours.
pub(super) fn claim_number(name: &str) -> Option<u32> {
    let number = name.strip_prefix("_claim.")?.strip_suffix(".json")?.parse().ok()?;
    (claim_name(number) == name).then_some(number)
}

/// How the name of a claim begins that is still being written.
pub(super) fn claim_temporary_prefix(number: u32) -> String {
    format!("._claim.{number:06}.")
}

/// The number that a claim wants that is still being written, or was when its writer died.
pub(super) fn claim_temporary_number(name: &str) -> Option<u32> {
    let rest = name.strip_prefix("._claim.")?.strip_suffix(TEMPORARY_SUFFIX)?;
    let (number, _) = rest.split_once('.')?;
    number.parse().ok()
}

fn twenty_digits(text: &str) -> Option<i64> {
    (text.len() == 20 && text.bytes().all(|byte| byte.is_ascii_digit())).then(|| text.parse().ok()).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_gives_back_its_start() {
        assert_eq!(start_of(&file_name(120)), Some(120));
        assert_eq!(start_of(&file_name(i64::MAX)), Some(i64::MAX));
    }

    #[test]
    fn names_that_are_not_ours_are_not_taken_for_ours() {
        for name in ["120.parquet", "0000000000000000012x.parquet", "-0000000000000000001.parquet", "part-0.parquet"] {
            assert_eq!(start_of(name), None, "{name}");
        }
        assert_eq!(start_of("99999999999999999999.parquet"), None, "past the largest offset");
    }

    #[test]
    fn a_file_being_written_is_known_by_its_start_and_hidden() {
        let name = format!("{}x1y2z3{TEMPORARY_SUFFIX}", temporary_prefix(7, &WindowId::generate()));
        assert_eq!(temporary_start(&name), Some(7));
        assert!(name.starts_with('.') && !name.ends_with(".parquet"));
        assert_eq!(start_of(&name), None);
    }

    #[test]
    fn a_file_being_written_gets_another_start_and_stays_itself() {
        let window = WindowId::generate();
        let named = |start| format!("{}x1y2z3{TEMPORARY_SUFFIX}", temporary_prefix(start, &window));
        assert_eq!(temporary_restarted(&named(120), 100), Some(named(100)));
        assert_eq!(temporary_restarted("notes.txt", 100), None);
    }

    #[test]
    fn a_claim_is_known_by_its_number_and_hidden_while_it_is_written() {
        assert_eq!(claim_number(&claim_name(3)), Some(3));
        assert_eq!(claim_number(&claim_name(1_000_000)), Some(1_000_000));
        for name in ["_claim.3.json", "_claim.00000x.json", "_origin.json", "._claim.000003.a.tmp"] {
            assert_eq!(claim_number(name), None, "{name}");
        }
        let temporary = format!("{}a1{TEMPORARY_SUFFIX}", claim_temporary_prefix(3));
        assert_eq!(claim_temporary_number(&temporary), Some(3));
        assert_eq!(temporary_start(&temporary), None);
    }

    #[test]
    fn a_topic_cannot_leave_the_landing() {
        assert!(topic_folder(Path::new("landing"), "../x").is_err());
        assert_eq!(topic_folder(Path::new("landing"), "..").ok(), Some(PathBuf::from("landing/topic=..")));
    }
}
