//! Who may land at a position: the newest landed file, the claim on a partition's first commit, and the comparison.
//!
//! A file's name is a function of its start alone, so of two writers at one position only one gets the name. That leaves
//! the first commit of a partition, where two writers may start at different offsets and so want different names. The file
//! `_origin.json`, created if absent before the first file gets its name, settles that one.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

use super::footer::Footer;
use super::store::Store;
use super::{layout, trouble};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::offset::{OffsetRange, TopicPartition};
use crate::sink::{LandedPosition, LedgerEntry, SourceIdentity, WindowInfo};

/// The claim on a partition's first commit.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Origin {
    /// Where the partition's landing begins.
    pub(super) start: i64,
    /// Who claimed it. Whoever starts there may land it all the same: the claim fences positions, not writers.
    window: crate::sink::WindowId,
    source: SourceIdentity,
}

/// How far a partition has landed.
#[derive(Debug, Clone)]
pub(super) enum Landed {
    /// To the end of this newest file.
    Newest(Box<LedgerEntry>),
    /// Nothing yet, but the first commit is claimed.
    Claimed(Origin),
    /// Nothing, and nobody has tried.
    Nothing,
}

impl Landed {
    /// Reads it: one listing and one footer, and no older file.
    pub(super) fn read(store: &Store, of: &TopicPartition) -> Result<Self> {
        let listing = store.list(of)?;
        if let Some(&start) = listing.starts.last() {
            return Ok(Landed::Newest(Box::new(entry_of(store, of, start)?)));
        }
        if listing.has_origin
            && let Some(origin) = read_origin(store, of)?
        {
            return Ok(Landed::Claimed(origin));
        }
        Ok(Landed::Nothing)
    }

    /// The position, with who brought the partition there.
    pub(super) fn position(&self) -> Option<LandedPosition> {
        match self {
            Landed::Newest(entry) => Some(LandedPosition {
                position: entry.range.end(),
                window: Some(entry.window.clone()),
                source: entry.source.clone(),
            }),
            Landed::Claimed(origin) => {
                Some(LandedPosition { position: origin.start, window: None, source: origin.source.clone() })
            }
            Landed::Nothing => None,
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

/// Lets a commit of this range pass, or not. Claims the partition's first commit where there is none.
///
/// # Errors
/// [`Conflict`](ErrorKind::Conflict) where the partition's position is not the range's start.
pub(super) fn pass(store: &Store, of: &TopicPartition, range: OffsetRange, window: &WindowInfo) -> Result<()> {
    let position = match Landed::read(store, of)? {
        Landed::Newest(entry) => entry.range.end(),
        Landed::Claimed(origin) => origin.start,
        Landed::Nothing => claim(store, of, range.start(), window)?.start,
    };
    match position == range.start() {
        true => Ok(()),
        false => Err(overtaken(of, range, &format!("it has landed up to {position}"))),
    }
}

/// The error of a writer that somebody else was quicker than.
pub(super) fn overtaken(of: &TopicPartition, range: OffsetRange, how: &str) -> Error {
    Error::new(ErrorKind::Conflict, format!("land {of} {range}: another writer was there: {how}"))
        .with_help("nothing of this range became visible; start again to go on from the landed position")
}

/// Creates the origin, or reads the one that somebody else created.
fn claim(store: &Store, of: &TopicPartition, start: i64, window: &WindowInfo) -> Result<Origin> {
    let origin = Origin { start, window: window.id.clone(), source: window.source(&of.topic) };
    let content = serde_json::to_vec(&origin)
        .map_err(|error| Error::internal("write a partition's origin as JSON").with_source(error))?;
    let temporary = store.temporary(of, start, &window.id)?;
    let path = layout::partition_folder(store.root(), of)?.join(layout::ORIGIN);
    let is_ours = store.put_if_absent(temporary, &path, &content)?;
    failpoint::pass("origin_claimed")?;
    // Also where it is not ours: its writer may have died before it made the name durable.
    store.sync_way_to(of)?;
    match is_ours {
        true => Ok(origin),
        false => read_origin(store, of)?
            .ok_or_else(|| trouble::disk("read", &path, io::Error::from(io::ErrorKind::NotFound))),
    }
}

fn read_origin(store: &Store, of: &TopicPartition) -> Result<Option<Origin>> {
    let path = layout::partition_folder(store.root(), of)?.join(layout::ORIGIN);
    let content = match fs::read(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        content => content.map_err(|error| trouble::disk("read", &path, error))?,
    };
    serde_json::from_slice(&content)
        .map(Some)
        .map_err(|error| trouble::damaged(&path, "it is not the claim that was written").with_source(error))
}
