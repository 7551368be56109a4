//! The few calls that a landing makes on its storage: list a partition, write beside, give a name without clobbering, make
//! names durable. What else a store can do is of no concern here.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::layout;
use crate::error::{Error, Result};
use crate::offset::TopicPartition;
use crate::sink::WindowId;
use crate::trouble::{self, entries, is_absent, is_folder};

/// A landing's folder.
#[derive(Debug)]
pub(super) struct Store {
    root: PathBuf,
}

/// What lies in a partition's folder.
#[derive(Debug, Default)]
pub(super) struct Listing {
    /// Where the landed files start, ascending.
    pub(super) starts: Vec<i64>,
    /// Files being written, or left by a writer that died, with the starts in their names.
    pub(super) temporaries: Vec<(i64, PathBuf)>,
    /// What RDP did not put there.
    pub(super) foreign: Vec<PathBuf>,
}

/// What lies in a topic's folder.
#[derive(Debug, Default)]
pub(super) struct TopicListing {
    /// The partitions that have a folder, ascending.
    pub(super) partitions: Vec<i32>,
    /// The numbers of the claims, ascending.
    pub(super) claims: Vec<u32>,
    /// Claims being written, or left by a writer that died, with the numbers that they want.
    pub(super) claim_temporaries: Vec<(u32, PathBuf)>,
    /// What RDP did not put there.
    pub(super) foreign: Vec<PathBuf>,
}

/// What became of a file that wanted a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Named {
    /// It has it.
    Given,
    /// Another file bears it, and ours is gone.
    Taken,
    /// Ours was taken away before.
    Gone,
}

impl Store {
    /// Opens the folder, and makes it where it is missing.
    pub(super) fn open(root: PathBuf) -> Result<Self> {
        make_folder(&root)?;
        // A folder that cannot be listed is better known now than at the first window.
        fs::read_dir(&root).map_err(|error| trouble::disk("open landing", &root, error))?;
        Ok(Store { root })
    }

    /// Opens the folder to read what is there; `None` where there is no such folder.
    pub(super) fn open_to_read(root: PathBuf) -> Result<Option<Self>> {
        if is_absent(&root)? {
            return Ok(None);
        }
        fs::read_dir(&root).map_err(|error| trouble::disk("open landing", &root, error))?;
        Ok(Some(Store { root }))
    }

    /// The landing's folder.
    pub(super) fn root(&self) -> &Path {
        &self.root
    }

    /// The path of the landed file that starts at this position.
    pub(super) fn file(&self, of: &TopicPartition, start: i64) -> Result<PathBuf> {
        Ok(layout::partition_folder(&self.root, of)?.join(layout::file_name(start)))
    }

    /// What lies in a partition's folder; nothing where there is no folder.
    pub(super) fn list(&self, of: &TopicPartition) -> Result<Listing> {
        let mut listing = Listing::default();
        for path in entries(&self.root, &layout::partition_folder(&self.root, of)?)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(start) = layout::start_of(name) {
                listing.starts.push(start);
            } else if let Some(start) = layout::temporary_start(name) {
                listing.temporaries.push((start, path));
            } else {
                listing.foreign.push(path);
            }
        }
        listing.starts.sort_unstable();
        Ok(listing)
    }

    /// What lies in a topic's folder; nothing where there is no folder.
    pub(super) fn list_topic(&self, topic: &str) -> Result<TopicListing> {
        let mut listing = TopicListing::default();
        for path in entries(&self.root, &layout::topic_folder(&self.root, topic)?)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(partition) = layout::partition_of(name) {
                listing.partitions.push(partition);
            } else if let Some(number) = layout::claim_number(name) {
                listing.claims.push(number);
            } else if let Some(number) = layout::claim_temporary_number(name) {
                listing.claim_temporaries.push((number, path));
            } else {
                listing.foreign.push(path);
            }
        }
        listing.partitions.sort_unstable();
        listing.claims.sort_unstable();
        Ok(listing)
    }

    /// The path of a topic's claim.
    pub(super) fn claim(&self, topic: &str, number: u32) -> Result<PathBuf> {
        Ok(layout::topic_folder(&self.root, topic)?.join(layout::claim_name(number)))
    }

    /// A new file in a partition's folder under a name that no reader globs; it goes away when dropped.
    pub(super) fn temporary(&self, of: &TopicPartition, start: i64, window: &WindowId) -> Result<NamedTempFile> {
        temporary_in(&layout::partition_folder(&self.root, of)?, &layout::temporary_prefix(start, window))
    }

    /// Puts another start into the name of a file being written. One that was taken away stays so: nothing can name it.
    pub(super) fn restart(&self, temporary: TempPath, start: i64) -> Result<TempPath> {
        let name = temporary.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        let Some(name) = layout::temporary_restarted(name, start) else {
            return Err(Error::internal(format!("{} is not a file being written", temporary.display())));
        };
        let path = temporary.with_file_name(name);
        match fs::rename(&temporary, &path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_absent(&temporary)? => return Ok(temporary),
            renamed => renamed.map_err(|error| trouble::disk("write beside the landing", &path, error))?,
        }
        TempPath::try_from_path(&path).map_err(|error| trouble::disk("write beside the landing", &path, error))
    }

    /// Gives a durable file its name, in one step that fails where the name is given already or the file was taken away.
    pub(super) fn name(&self, temporary: TempPath, path: &Path) -> Result<Named> {
        match temporary.persist_noclobber(path) {
            Ok(()) => Ok(Named::Given),
            Err(refused) => match refused.error.kind() {
                io::ErrorKind::AlreadyExists => Ok(Named::Taken),
                io::ErrorKind::NotFound => Ok(Named::Gone),
                _ => Err(trouble::disk("give a landed file its name", path, refused.error)),
            },
        }
    }

    /// Writes a claim of this number, whole and on the disk, unless there is one.
    pub(super) fn put_claim(&self, topic: &str, number: u32, content: &[u8]) -> Result<Named> {
        let path = self.claim(topic, number)?;
        let folder = layout::topic_folder(&self.root, topic)?;
        let mut temporary = temporary_in(&folder, &layout::claim_temporary_prefix(number))?;
        // `NamedTempFile`'s own `Write` puts the path into the error and loses its code.
        let written = temporary.as_file_mut().write_all(content).and_then(|()| temporary.as_file().sync_all());
        written.map_err(|error| trouble::disk("write", &path, error))?;
        self.name(temporary.into_temp_path(), &path)
    }

    /// Makes the names in a partition's folder durable.
    pub(super) fn sync_partition(&self, of: &TopicPartition) -> Result<()> {
        sync_folder(&layout::partition_folder(&self.root, of)?)
    }

    /// Makes the names in a topic's folder durable, and the folder itself: whoever made them may have died before.
    pub(super) fn sync_topic(&self, topic: &str) -> Result<()> {
        sync_folder(&self.root)?;
        sync_folder(&layout::topic_folder(&self.root, topic)?)
    }
}

fn temporary_in(folder: &Path, prefix: &str) -> Result<NamedTempFile> {
    let create = || {
        // Landed files are for others to read: the umask decides, as for any other file.
        let readable = Permissions::from_mode(0o666);
        let mut file = tempfile::Builder::new();
        file.prefix(prefix).suffix(layout::TEMPORARY_SUFFIX).permissions(readable).tempfile_in(folder)
    };
    match create() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            make_folder(folder)?;
            create()
        }
        created => created,
    }
    .map_err(|error| trouble::disk("write beside the landing", folder, error))
}

/// Makes a folder with all that is missing above it; what was made survives power loss.
fn make_folder(folder: &Path) -> Result<()> {
    let Err(error) = fs::create_dir(folder) else { return sync_folder(parent_of(folder)) };
    match error.kind() {
        io::ErrorKind::AlreadyExists => make_sure_of(folder),
        io::ErrorKind::NotFound if folder.parent().is_some_and(|parent| !parent.as_os_str().is_empty()) => {
            make_folder(parent_of(folder))?;
            match fs::create_dir(folder) {
                Ok(()) => sync_folder(parent_of(folder)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => make_sure_of(folder),
                Err(error) => Err(trouble::disk("make folder", folder, error)),
            }
        }
        _ => Err(trouble::disk("make folder", folder, error)),
    }
}

/// Makes sure that what is there is a folder.
fn make_sure_of(folder: &Path) -> Result<()> {
    let found = is_folder(folder).and_then(|is_one| match is_one {
        true => Ok(()),
        false => Err(io::Error::from(io::ErrorKind::NotADirectory)),
    });
    found.map_err(|error| trouble::disk("make folder", folder, error))
}

fn parent_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

fn sync_folder(folder: &Path) -> Result<()> {
    File::open(folder)
        .and_then(|opened| opened.sync_all())
        .map_err(|error| trouble::disk("make names in a folder durable", folder, error))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_link_that_leads_nowhere_is_no_folder_to_land_in() {
        let folder = tempfile::tempdir().expect("a folder");
        for to in ["no-such-file", "link"] {
            let link = folder.path().join("link");
            symlink(to, &link).expect("a link");
            assert_eq!(make_folder(&link).map_err(|error| error.kind()), Err(ErrorKind::Config), "{to}");
            fs::remove_file(link).expect("it is ours");
        }
    }
}
