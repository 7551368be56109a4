//! Where landed files lie: what a reader lists and reads.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;

use crate::blocking::blocking;
use crate::error::{Error, Result};
use crate::trouble::{self, entries, is_absent, is_folder};

/// The folder of a landing.
#[derive(Debug, Clone)]
pub(super) struct Files {
    root: Arc<PathBuf>,
}

/// One of them, open.
#[derive(Debug, Clone)]
pub(super) struct OpenFile {
    file: Arc<File>,
    pub(super) path: PathBuf,
    /// In bytes.
    pub(super) length: u64,
}

impl Files {
    pub(super) fn new(root: PathBuf) -> Self {
        Files { root: Arc::new(root) }
    }

    /// What a person calls the file or folder of this name.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        if name.is_empty() { self.root.to_path_buf() } else { self.root.join(name) }
    }

    /// The names in a folder; none where there is no such folder.
    pub(super) async fn list(&self, folder: &str) -> Result<Vec<String>> {
        let (root, folder) = (self.root.clone(), self.path(folder));
        blocking(move || {
            let names = entries(&root, &folder)?.into_iter();
            Ok(names.filter_map(|path| path.file_name()?.to_str().map(str::to_owned)).collect())
        })
        .await
    }

    /// Every file below the landing's folder that readers would glob and that is not one of those that `is_landed` knows by
    /// their names.
    pub(super) async fn strays(&self, is_landed: fn(&str) -> bool) -> Result<Vec<String>> {
        let root = self.root.clone();
        blocking(move || {
            let mut strays = Vec::new();
            strays_in(&root, &root, is_landed, &mut Vec::new(), &mut strays)?;
            strays.sort_unstable();
            Ok(strays.into_iter().map(|path| path.display().to_string()).collect())
        })
        .await
    }

    /// Opens a file. What is no file, such as a pipe that nobody writes to, would be waited for.
    pub(super) async fn open(&self, name: &str) -> Result<OpenFile> {
        let path = self.path(name);
        blocking(move || {
            let failed = |error| trouble::disk("read a landed file", &path, error);
            if !fs::metadata(&path).map_err(failed)?.is_file() {
                return Err(trouble::damaged(&path, "it is no file"));
            }
            let file = File::open(&path).map_err(failed)?;
            let length = file.metadata().map_err(failed)?.len();
            Ok(OpenFile { file: Arc::new(file), path, length })
        })
        .await
    }
}

impl OpenFile {
    /// Reads bytes, all of which have to be there.
    pub(super) async fn read(&self, range: Range<u64>) -> Result<Bytes> {
        let this = self.clone();
        blocking(move || {
            let length = usize::try_from(range.end - range.start)
                .map_err(|error| Error::internal("read more than there is memory").with_source(error))?;
            let mut bytes = vec![0; length];
            let read = this.file.read_exact_at(&mut bytes, range.start);
            read.map(|()| bytes.into()).map_err(|error| match error.kind() {
                io::ErrorKind::UnexpectedEof => trouble::damaged(&this.path, "it was cut while it was read"),
                _ => trouble::disk("read a landed file", &this.path, error),
            })
        })
        .await
    }
}

/// Links are followed, as others who read do, but for those that lead to a folder `above`: such a circle has no end.
fn strays_in(
    root: &Path,
    folder: &Path,
    is_landed: fn(&str) -> bool,
    above: &mut Vec<(u64, u64)>,
    strays: &mut Vec<PathBuf>,
) -> Result<()> {
    let found = fs::metadata(folder).map_err(|error| trouble::disk("list folder", folder, error))?;
    let itself = (found.dev(), found.ino());
    if above.contains(&itself) {
        return Ok(());
    }
    above.push(itself);
    for path in entries(root, folder)? {
        let is_folder = match is_folder(&path) {
            // Files that are being written come and go.
            Err(error) if error.kind() == io::ErrorKind::NotFound && is_absent(&path)? => continue,
            looked => looked.map_err(|error| trouble::disk("look at", &path, error))?,
        };
        if is_folder {
            strays_in(root, &path, is_landed, above, strays)?;
        } else if path.extension().is_some_and(|ending| ending == "parquet")
            && !path.strip_prefix(root).is_ok_and(|name| name.to_str().is_some_and(is_landed))
        {
            strays.push(path);
        }
    }
    above.pop();
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[tokio::test]
    async fn what_cannot_be_looked_at_is_not_taken_for_no_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = |name: &str, to: &str| {
            symlink(to, folder.path().join(name)).expect("a link");
            is_folder(&folder.path().join(name)).map_err(|error| error.kind())
        };
        assert_eq!(link("here", "."), Ok(true));
        assert_eq!(link("nowhere", "no-such-file"), Ok(false));
        assert_eq!(link("round", "round"), Ok(false));
        assert_eq!(link("unknown", &"x".repeat(300)), Err(io::ErrorKind::InvalidFilename));
        let files = Files::new(folder.path().to_owned());
        let error = files.strays(|_| false).await.expect_err("one cannot be looked at");
        assert!(error.message().contains("unknown"), "{error:?}");
        fs::remove_file(folder.path().join("unknown")).expect("it is ours");
        assert_eq!(files.strays(|_| false).await.map_err(|error| error.kind()), Ok(Vec::new()));
    }
}
