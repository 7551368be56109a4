//! Who may land at a position: the newest landed file, or the claim where there is none, and the comparison.
//!
//! A file's name is a function of its start alone, so of two writers at one position only one gets the name. That is not
//! all: a name is free again where somebody removed the old file that bore it. So whoever has passed the fence takes the
//! unfinished files of those that it has overtaken away before it names its own, and a name is given only to an unfinished
//! file that is still there.

use std::fs;
use std::io;
use std::path::Path;

use super::footer::Footer;
use super::store::{Listing, Store};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{OffsetRange, TopicPartition};
use crate::sink::{LedgerEntry, MARK_COMMITS, RecordMark};
use crate::trouble;

/// What lies in a partition's folder, and what its newest file says of itself.
pub(super) struct Look {
    pub(super) listing: Listing,
    pub(super) newest: Option<LedgerEntry>,
}

impl Look {
    /// Looks: one listing and one footer, and no older file.
    pub(super) fn at(store: &Store, of: &TopicPartition) -> Result<Self> {
        let listing = store.list(of)?;
        let newest = listing.starts.last().map(|&start| entry_of(store, of, start)).transpose()?;
        Ok(Look { listing, newest })
    }

    /// How far landed files reach.
    pub(super) fn end(&self) -> Option<i64> {
        self.newest.as_ref().map(|entry| entry.range.end())
    }

    /// The newest record whose epoch is known. It reads older files only where the newest has no such record.
    pub(super) fn newest_mark(&self, store: &Store, of: &TopicPartition) -> Result<Option<RecordMark>> {
        let Some(newest) = &self.newest else { return Ok(None) };
        if newest.newest.is_some() {
            return Ok(newest.newest);
        }
        for &start in self.listing.starts.iter().rev().take(MARK_COMMITS).skip(1) {
            if let Some(mark) = entry_of(store, of, start)?.newest {
                return Ok(Some(mark));
            }
        }
        Ok(None)
    }

    /// Takes away the unfinished files of all whose commits start below this position: they must not land any more.
    ///
    /// Whoever names a file at `position` after this leaves nothing behind that could take an older name. Who begins a file
    /// later will see that one when it asks.
    pub(super) fn stop_overtaken(&self, position: i64) -> Result<()> {
        for (_, path) in self.listing.temporaries.iter().filter(|(start, _)| *start < position) {
            take_away(path).map_err(|error| trouble::disk("stop an overtaken writer", path, error))?;
        }
        Ok(())
    }

    /// The same for the sake of the room alone.
    pub(super) fn clean_up(&self, position: i64) {
        for (_, path) in self.listing.temporaries.iter().filter(|(start, _)| *start < position) {
            if let Err(error) = take_away(path) {
                tracing::debug!(path = %path.display(), %error, "an unfinished file stays");
            }
        }
        for path in &self.listing.foreign {
            tracing::warn!(path = %path.display(), "a file in the landing is not RDP's; readers of the folder may see it");
        }
    }
}

/// The entry of the landed file that starts here, after making sure that the file is where it belongs.
pub(super) fn entry_of(store: &Store, of: &TopicPartition, start: i64) -> Result<LedgerEntry> {
    let path = store.file(of, start)?;
    let entry = Footer::read(&path)?.entry;
    if entry.topic_partition != *of || entry.range.start() != start {
        let what = format!("it landed {} {} and was moved here", entry.topic_partition, entry.range);
        return Err(trouble::damaged(&path, what));
    }
    Ok(entry)
}

/// The error of a writer that somebody else was quicker than.
pub(super) fn overtaken(of: &TopicPartition, range: OffsetRange, how: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("land {of} {range}: another writer was there: {how}"))
        .with_help("nothing of this range became visible; start again to go on from the landed position")
}

fn take_away(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        // It has its name by now, or its writer gave it up.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => {
            tracing::info!(path = %path.display(), "removed the unfinished file of an overtaken writer");
            Ok(())
        }
    }
}
