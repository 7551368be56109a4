//! What the disk or a damaged file says, as the error that tells the caller what to do next; and how it is asked what is there,
//! so that trouble is not taken for an answer.

use std::fmt::Display;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use parquet::errors::ParquetError;

use crate::error::{Error, ErrorKind, Result};

/// An error of the disk while doing something to a path.
///
/// Whatever passes by itself or by making room is [`Unavailable`](ErrorKind::Unavailable); what a person has to permit is
/// [`Denied`](ErrorKind::Denied); a path that cannot be what it has to be is [`Config`](ErrorKind::Config).
pub(crate) fn disk(doing: &str, path: &Path, error: io::Error) -> Error {
    use io::ErrorKind as Io;
    let (kind, help) = match error.kind() {
        Io::PermissionDenied => {
            (ErrorKind::Denied, "give the user that RDP runs as the right to read and write the landing folder")
        }
        Io::ReadOnlyFilesystem => {
            (ErrorKind::Denied, "the file system is mounted read-only: mount it writable, or land elsewhere")
        }
        Io::StorageFull | Io::QuotaExceeded => {
            (ErrorKind::Unavailable, "make room on the disk (or raise the quota); nothing of this window is visible")
        }
        Io::NotADirectory | Io::IsADirectory | Io::InvalidFilename => {
            (ErrorKind::Config, "something else stands where the landing needs a file or a folder: move it away")
        }
        Io::NotFound => (
            ErrorKind::Unavailable,
            "the landing folder was moved or removed while RDP wrote to it: put it back, or let RDP make it again",
        ),
        _ => (ErrorKind::Unavailable, "look at the disk and at the system's log; RDP may simply be started again"),
    };
    Error::new(kind, format!("{doing}: path={}", path.display())).with_help(help).with_source(error)
}

/// An error of the Parquet encoder: the disk's where the disk is behind it, a bug where not.
pub(crate) fn encoder(doing: &str, path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<io::Error>() {
            Ok(error) => disk(doing, path, *error),
            Err(source) => Error::internal(format!("{doing}: path={}", path.display())).with_source(source),
        },
        error => Error::internal(format!("{doing}: path={}", path.display())).with_source(error),
    }
}

/// A landed file that is not what was written. It is [`Data`](ErrorKind::Data): bad bytes that a person must look at,
/// since going on would hide a loss.
pub(crate) fn damaged(path: &Path, what: impl Display) -> Error {
    Error::new(ErrorKind::Data, format!("landed file is damaged: path={}: {what}", path.display())).with_help(
        "restore the file from a copy; or, to land its range anew from the broker, move it and every later file of its \
         partition out of the landing and start again",
    )
}

/// A claim that is not what was written: where its partitions begin is not known then.
pub(crate) fn damaged_claim(path: &Path, what: impl Display) -> Error {
    Error::new(ErrorKind::Data, format!("claim is damaged: path={}: {what}", path.display())).with_help(
        "restore the file from a copy; or, where all of its partitions have landed, move it out of the landing: landed \
         files say themselves how far they reach",
    )
}

/// A file in the landing that RDP did not write.
pub(crate) fn foreign(path: &Path, what: impl Display) -> Error {
    Error::new(ErrorKind::Data, format!("file in the landing is not RDP's: path={}: {what}", path.display()))
        .with_help("move it out of the landing: whoever reads the folder takes its rows for landed ones")
}

/// Whether it is a folder, or a link to one. A link that leads nowhere is none; of all else that cannot be looked at nobody
/// knows.
pub(crate) fn is_folder(path: &Path) -> io::Result<bool> {
    let leads_nowhere =
        |error: &io::Error| error.kind() == io::ErrorKind::NotFound || error.raw_os_error() == Some(libc::ELOOP);
    match fs::metadata(path) {
        Ok(found) => Ok(found.is_dir()),
        Err(error) if leads_nowhere(&error) && fs::symlink_metadata(path)?.is_symlink() => Ok(false),
        Err(error) => Err(error),
    }
}

/// Whether there is nothing of this name, not even a link.
pub(crate) fn is_absent(path: &Path) -> Result<bool> {
    match fs::symlink_metadata(path) {
        Ok(_) => Ok(false),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(true),
        Err(error) => Err(disk("look at", path, error)),
    }
}

/// What lies in a folder of the landing in `root`; nothing where there is no such folder.
pub(crate) fn entries(root: &Path, folder: &Path) -> Result<Vec<PathBuf>> {
    let read = || fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let found: io::Result<Vec<PathBuf>> = match read() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => match is_absent(folder)? {
            true if !is_absent(root)? => Ok(Vec::new()),
            // All of it is gone.
            true => Err(error),
            // A writer made it just now; or it is there and cannot be read, as a link to a disk that is not mounted.
            false => read(),
        },
        found => found,
    };
    found.map_err(|error| disk("list folder", folder, error))
}
