//! The few calls that a landing makes on its storage: list a partition, write beside, give a name without clobbering, make
//! names durable. What else a store can do is of no concern here.

use std::fs::{self, File, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use tempfile::{NamedTempFile, TempPath};

use super::layout;
use super::trouble;
use crate::error::Result;
use crate::offset::TopicPartition;
use crate::sink::WindowId;

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
    /// Files being written, or left by a writer that died, with their first offsets.
    pub(super) temporaries: Vec<(i64, PathBuf)>,
    /// What RDP did not put there.
    pub(super) foreign: Vec<PathBuf>,
    /// Whether a first commit was claimed.
    pub(super) has_origin: bool,
}

impl Store {
    /// Opens the folder, and makes it where it is missing.
    pub(super) fn open(root: PathBuf) -> Result<Self> {
        make_folder(&root)?;
        // A folder that cannot be listed is better known now than at the first window.
        fs::read_dir(&root).map_err(|error| trouble::disk("open landing", &root, error))?;
        Ok(Store { root })
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
        for path in entries(&layout::partition_folder(&self.root, of)?)? {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            if let Some(start) = layout::start_of(name) {
                listing.starts.push(start);
            } else if let Some(start) = layout::temporary_start(name) {
                listing.temporaries.push((start, path));
            } else if name == layout::ORIGIN {
                listing.has_origin = true;
            } else {
                listing.foreign.push(path);
            }
        }
        listing.starts.sort_unstable();
        Ok(listing)
    }

    /// The partitions of a topic that have a folder, ascending, and what else lies in the topic's folder.
    pub(super) fn partitions(&self, topic: &str) -> Result<(Vec<i32>, Vec<PathBuf>)> {
        let (mut partitions, mut foreign) = (Vec::new(), Vec::new());
        for path in entries(&layout::topic_folder(&self.root, topic)?)? {
            match path.file_name().and_then(|name| name.to_str()).and_then(layout::partition_of) {
                Some(partition) => partitions.push(partition),
                None => foreign.push(path),
            }
        }
        partitions.sort_unstable();
        Ok((partitions, foreign))
    }

    /// A new file in a partition's folder under a name that no reader globs; it goes away when dropped.
    pub(super) fn temporary(&self, of: &TopicPartition, start: i64, window: &WindowId) -> Result<NamedTempFile> {
        let folder = layout::partition_folder(&self.root, of)?;
        let prefix = layout::temporary_prefix(start, window);
        let create = || {
            // Landed files are for others to read: the umask decides, as for any other file.
            let readable = Permissions::from_mode(0o666);
            let mut file = tempfile::Builder::new();
            file.prefix(&prefix).suffix(layout::TEMPORARY_SUFFIX).permissions(readable).tempfile_in(&folder)
        };
        match create() {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                make_folder(&folder)?;
                create()
            }
            created => created,
        }
        .map_err(|error| trouble::disk("write beside the landing", &folder, error))
    }

    /// Gives a durable file its name; `false` where another file bears it already, and then ours is gone.
    pub(super) fn name(&self, temporary: TempPath, path: &Path) -> Result<bool> {
        match temporary.persist_noclobber(path) {
            Ok(()) => Ok(true),
            Err(refused) if refused.error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
            Err(refused) => Err(trouble::disk("give a landed file its name", path, refused.error)),
        }
    }

    /// Creates a small file with this content, durably, unless one of that name exists: then `false`.
    pub(super) fn put_if_absent(&self, mut temporary: NamedTempFile, path: &Path, content: &[u8]) -> Result<bool> {
        let written = temporary.write_all(content).and_then(|()| temporary.as_file().sync_all());
        written.map_err(|error| trouble::disk("write", path, error))?;
        self.name(temporary.into_temp_path(), path)
    }

    /// Makes the names in a partition's folder durable.
    pub(super) fn sync_partition(&self, of: &TopicPartition) -> Result<()> {
        sync_folder(&layout::partition_folder(&self.root, of)?)
    }

    /// Makes a partition's folder durable, from the landing down.
    pub(super) fn sync_way_to(&self, of: &TopicPartition) -> Result<()> {
        sync_folder(&self.root)?;
        sync_folder(&layout::topic_folder(&self.root, &of.topic)?)?;
        self.sync_partition(of)
    }
}

/// Makes a folder with all that is missing above it; what was made survives power loss.
fn make_folder(folder: &Path) -> Result<()> {
    let Err(error) = fs::create_dir(folder) else { return sync_folder(parent_of(folder)) };
    match error.kind() {
        io::ErrorKind::AlreadyExists if folder.is_dir() => Ok(()),
        io::ErrorKind::NotFound if folder.parent().is_some_and(|parent| !parent.as_os_str().is_empty()) => {
            make_folder(parent_of(folder))?;
            match fs::create_dir(folder) {
                Ok(()) => sync_folder(parent_of(folder)),
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists && folder.is_dir() => Ok(()),
                Err(error) => Err(trouble::disk("make folder", folder, error)),
            }
        }
        io::ErrorKind::AlreadyExists => {
            Err(trouble::disk("make folder", folder, io::Error::from(io::ErrorKind::NotADirectory)))
        }
        _ => Err(trouble::disk("make folder", folder, error)),
    }
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

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let read = fs::read_dir(folder).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    match read {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        read => read.map_err(|error| trouble::disk("list folder", folder, error)),
    }
}
