//! Whether a landing can be where somebody wants it, found out before there is anything to land. Nothing is left behind.

use std::fs;
use std::io::{self, Write};
use std::path::Path;

use parquet::basic::ZstdLevel;
use tempfile::{Builder, NamedTempFile};

use super::{ParquetSink, ParquetSinkOptions, folder_of, layout};
use crate::error::{Error, Result};
use crate::offset::TopicPartition;
use crate::trouble;

impl ParquetSink {
    /// Looks whether [`open`](ParquetSink::open) would take this place and these options; makes nothing.
    ///
    /// # Errors
    /// As [`open`](ParquetSink::open), as far as looking tells.
    pub fn look_at(url_or_path: &str, options: &ParquetSinkOptions) -> Result<()> {
        ZstdLevel::try_new(options.zstd_level)
            .map_err(|error| Error::config(format!("zstd_level = {}", options.zstd_level)).with_source(error))?;
        let folder = folder_of(url_or_path)?;
        let found = match fs::metadata(&folder) {
            Ok(found) if !found.is_dir() => Err(io::Error::from(io::ErrorKind::NotADirectory)),
            // Nothing is made where a link leads nowhere.
            Err(error) if error.kind() == io::ErrorKind::NotFound && !nearest(&folder).is_dir() => {
                Err(io::Error::from(io::ErrorKind::NotADirectory))
            }
            Err(error) if [io::ErrorKind::InvalidFilename, io::ErrorKind::NotADirectory].contains(&error.kind()) => {
                Err(error)
            }
            // What may not be looked at shows where it is written to.
            _ => Ok(()),
        };
        found.map_err(|error| trouble::disk("open landing", &folder, error))
    }

    /// Whether a landing's folder is there already.
    pub fn is_there(url_or_path: &str) -> bool {
        folder_of(url_or_path).is_ok_and(|folder| folder.is_dir())
    }

    /// Writes where a landing of these partitions would: in the folders that are there, and where the first that is not would
    /// be made. What was written is removed.
    ///
    /// # Errors
    /// As [`open`](ParquetSink::open) and a commit, as far as that tells.
    pub fn try_writing(url_or_path: &str, of: &[TopicPartition]) -> Result<()> {
        let root = folder_of(url_or_path)?;
        if fs::metadata(&root).is_err_and(|error| error.kind() == io::ErrorKind::NotFound) {
            let beside = nearest(&root);
            let made = Builder::new().prefix(PREFIX).tempdir_in(beside).and_then(tempfile::TempDir::close);
            return made.map_err(|error| trouble::disk("make the landing's folder in", beside, error));
        }
        write_in(&root)?;
        let mut topics: Vec<_> = of.iter().map(|of| &of.topic).collect();
        topics.dedup();
        for topic in topics {
            write_where_there(&layout::topic_folder(&root, topic)?)?;
        }
        of.iter().try_for_each(|of| write_where_there(&layout::partition_folder(&root, of)?))
    }
}

fn write_where_there(folder: &Path) -> Result<()> {
    match fs::metadata(folder) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        _ => write_in(folder),
    }
}

/// Does to a hidden file what a commit does to a landed one: it is written, made durable, and named without clobbering.
fn write_in(folder: &Path) -> Result<()> {
    let try_it = || {
        let mut file = Builder::new().prefix(PREFIX).suffix(layout::TEMPORARY_SUFFIX).tempfile_in(folder)?;
        file.write_all(b"rdp check")?;
        file.as_file().sync_all()?;
        name(file)
    };
    try_it().map_err(|error| trouble::disk("write in the landing", folder, error))
}

fn name(file: NamedTempFile) -> io::Result<()> {
    let named = file.path().with_extension("named.tmp");
    file.persist_noclobber(&named).map_err(|refused| refused.error)?;
    fs::remove_file(named)
}

/// The path itself, or what is above it and there.
fn nearest(path: &Path) -> &Path {
    let there = path.ancestors().find(|path| !path.as_os_str().is_empty() && fs::symlink_metadata(path).is_ok());
    there.unwrap_or(Path::new(if path.is_absolute() { "/" } else { "." }))
}

const PREFIX: &str = ".rdp-check-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn entries(folder: &Path) -> usize {
        fs::read_dir(folder).map_or(0, Iterator::count)
    }

    #[test]
    fn looking_and_writing_leave_nothing_behind() {
        let folder = tempfile::tempdir().expect("a folder");
        let landing = folder.path().join("a/b");
        let url = format!("file:{}", landing.display());
        let of = [TopicPartition::new("orders", 0), TopicPartition::new("orders", 1)];
        ParquetSink::look_at(&url, &ParquetSinkOptions::default()).expect("it can be made");
        ParquetSink::try_writing(&url, &of).expect("it can be made");
        assert_eq!(entries(folder.path()), 0);
        let partition = landing.join("topic=orders/partition=0");
        fs::create_dir_all(&partition).expect("folders");
        ParquetSink::try_writing(&url, &of).expect("it can be written to");
        assert_eq!((entries(&landing), entries(&partition)), (1, 0));
    }

    #[test]
    fn a_place_that_cannot_be_a_landing_is_refused_by_looking() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        fs::write(&file, "x").expect("a file");
        let link = folder.path().join("link");
        std::os::unix::fs::symlink("nowhere", &link).expect("a link");
        for url in [
            "file://host/x".to_owned(),
            "file:".to_owned(),
            format!("file:{}", file.display()),
            format!("file:{}/landing", file.display()),
            format!("file:{}", folder.path().join("x".repeat(300)).display()),
            format!("file:{}", link.display()),
            format!("file:{}/landing", link.display()),
        ] {
            let looked = ParquetSink::look_at(&url, &ParquetSinkOptions::default());
            let opened = ParquetSink::open(&url, ParquetSinkOptions::default()).map(drop);
            let kinds = (looked.map_err(|error| error.kind()), opened.map_err(|error| error.kind()));
            assert_eq!(kinds, (Err(ErrorKind::Config), Err(ErrorKind::Config)), "{url}");
        }
    }

    #[test]
    fn a_folder_that_takes_no_file_is_told() {
        // Not even root can write there.
        let error = ParquetSink::try_writing("file:/proc/self", &[]).expect_err("it takes no file");
        assert!(error.message().contains("/proc/self"), "{error:?}");
        let error = ParquetSink::try_writing("file:/proc/no-such-landing", &[]).expect_err("it takes no folder");
        assert!(error.message().contains("/proc"), "{error:?}");
    }
}
