//! The bytes of one landed file on their way to the disk, and the checksums that a reader proves them by.
//!
//! Parquet's own page checksums are optional, leave headers and footer uncovered, and few writers set them. So a landed
//! file carries two CRC-32 values in its footer's metadata that together cover every byte: one of the data (all row groups),
//! one of the tail (indexes and footer) computed with its own eight digits as zeros. The tail is small, so that reading a
//! position back can afford to verify it; the audit verifies both.

use std::fs::OpenOptions;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::{NamedTempFile, TempPath};

use super::store::Store;
use crate::error::{Error, Result};
use crate::offset::TopicPartition;
use crate::sink::WindowId;
use crate::trouble;

/// Where a file goes while it is written.
#[derive(Debug, Clone)]
pub(super) struct Place {
    pub(super) store: Arc<Store>,
    pub(super) topic_partition: TopicPartition,
    /// Its first row's offset, and in the end where its commit starts.
    pub(super) start: i64,
    pub(super) window: WindowId,
}

/// A file being written. It takes a name on the disk when there is something worth writing, and is open only while it is
/// written to, so that many partitions hold no file handles; and a discarded window leaves no trace.
pub(super) struct UnsealedFile {
    place: Place,
    file: Option<TempPath>,
    pending: Vec<u8>,
    data: crc32fast::Hasher,
    data_length: u64,
    // Where the tail begins in `pending`, once all data is written.
    tail_start: Option<usize>,
}

/// A whole file that has no name yet.
pub(super) struct SealedFile {
    file: NamedTempFile,
    /// Its bytes.
    pub(super) length: u64,
}

impl SealedFile {
    /// Makes it durable, and closes it.
    pub(super) fn sync(self) -> Result<TempPath> {
        let synced = self.file.as_file().sync_all();
        synced.map_err(|error| trouble::disk("write a landed file", self.file.path(), error))?;
        Ok(self.file.into_temp_path())
    }
}

impl UnsealedFile {
    pub(super) fn new(place: Place) -> Self {
        UnsealedFile {
            place,
            file: None,
            pending: Vec::new(),
            data: crc32fast::Hasher::new(),
            data_length: 0,
            tail_start: None,
        }
    }

    /// Bytes that wait in memory to be written.
    pub(super) fn pending_bytes(&self) -> usize {
        self.pending.capacity()
    }

    /// Where it is being written, for errors.
    pub(super) fn path(&self) -> PathBuf {
        match &self.file {
            Some(file) => file.to_path_buf(),
            None => self.place.store.root().to_owned(),
        }
    }

    /// Writes out what waits in memory.
    pub(super) fn write_out(&mut self) -> io::Result<()> {
        if !self.pending.is_empty() {
            self.spill()?;
        }
        self.pending = Vec::new();
        Ok(())
    }

    /// Says at which position its commit starts, which may lie below its first row. From here on its name tells, so that
    /// whoever lands from a later position knows that this file must not land any more.
    pub(super) fn start_at(&mut self, start: i64) -> Result<()> {
        if self.place.start == start {
            return Ok(());
        }
        self.place.start = start;
        if let Some(file) = self.file.take() {
            self.file = Some(self.place.store.restart(file, start)?);
        }
        Ok(())
    }

    /// Ends the data and begins the tail. The text goes into the footer's metadata under [`CHECKSUM`].
    pub(super) fn end_data(&mut self) -> String {
        self.tail_start = Some(self.pending.len());
        Checksum { data_length: self.data_length, data: self.data.clone().finalize(), tail: 0 }.to_string()
    }

    /// Fills in the tail's checksum and writes out all that is left.
    pub(super) fn seal(mut self, unsealed: &str) -> Result<SealedFile> {
        let tail = self.tail_start.and_then(|start| self.pending.get_mut(start..)).unwrap_or_default();
        let Some(at) = find_last(tail, unsealed.as_bytes()) else {
            return Err(Error::internal("the footer does not hold the checksum that was put into it"));
        };
        let digits = at + unsealed.len() - TAIL_DIGITS..at + unsealed.len();
        let sum = format!("{:08x}", crc32fast::hash(tail));
        tail[digits].copy_from_slice(sum.as_bytes());

        let length = self.data_length + tail.len() as u64;
        let file = self.append().map_err(|error| unwrap_io("write a landed file", &self.path(), error))?;
        Ok(SealedFile { file, length })
    }

    fn spill(&mut self) -> io::Result<()> {
        self.file = Some(self.append()?.into_temp_path());
        Ok(())
    }

    /// Writes what is pending behind what the disk has.
    fn append(&mut self) -> io::Result<NamedTempFile> {
        let mut file = match self.file.take() {
            Some(path) => NamedTempFile::from_parts(OpenOptions::new().append(true).open(&path)?, path),
            None => {
                let Place { store, topic_partition, start, window } = &self.place;
                store.temporary(topic_partition, *start, window).map_err(into_io)?
            }
        };
        // `NamedTempFile`'s own `Write` puts the path into the error and loses its code.
        file.as_file_mut().write_all(&self.pending)?;
        self.pending.clear();
        Ok(file)
    }
}

impl Write for UnsealedFile {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.pending.extend_from_slice(bytes);
        if self.tail_start.is_none() {
            self.data.update(bytes);
            self.data_length += bytes.len() as u64;
            if self.pending.len() >= SPILL_BYTES {
                self.spill()?;
            }
        }
        Ok(bytes.len())
    }

    // What is pending goes out in large pieces, and when the file is sealed.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The checksums of a landed file, as its footer has them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Checksum {
    /// Bytes from the file's beginning that `data` covers.
    pub(super) data_length: u64,
    pub(super) data: u32,
    /// Of all bytes after the data, its own digits taken as zeros.
    pub(super) tail: u32,
}

impl Checksum {
    /// Reads the text form back.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (length, sums) = text.strip_prefix("crc32:")?.split_once(':')?;
        let (data, tail) = sums.split_once(':')?;
        let sum = |text: &str| u32::from_str_radix(text, 16).ok();
        let read = Checksum { data_length: u64::from_str_radix(length, 16).ok()?, data: sum(data)?, tail: sum(tail)? };
        (read.to_string() == text).then_some(read)
    }

    /// Whether these are the bytes after the data, unaltered.
    pub(super) fn matches_tail(&self, tail: &[u8]) -> bool {
        let text = self.to_string();
        let Some(at) = find_last(tail, text.as_bytes()) else { return false };
        let digits = at + text.len() - TAIL_DIGITS;
        let mut sum = crc32fast::Hasher::new();
        sum.update(&tail[..digits]);
        sum.update(&[b'0'; TAIL_DIGITS]);
        sum.update(&tail[digits + TAIL_DIGITS..]);
        sum.finalize() == self.tail
    }
}

impl std::fmt::Display for Checksum {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "crc32:{:016x}:{:08x}:{:08x}", self.data_length, self.data, self.tail)
    }
}

/// The key of the checksums in the footer's metadata.
pub(super) const CHECKSUM: &str = "rdp.checksum";

const TAIL_DIGITS: usize = 8;

const SPILL_BYTES: usize = 256 << 10;

fn find_last(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    haystack.windows(needle.len()).rposition(|window| window == needle)
}

/// The store's error crosses the encoder as an `io::Error` and is taken out again by [`encoder_error`].
fn into_io(error: Error) -> io::Error {
    io::Error::other(error)
}

/// What the encoder says, with a store's error taken out of it.
pub(super) fn encoder_error(doing: &str, path: &Path, error: parquet::errors::ParquetError) -> Error {
    use parquet::errors::ParquetError;
    let ParquetError::External(source) = error else { return trouble::encoder(doing, path, error) };
    match source.downcast::<io::Error>() {
        Ok(error) => unwrap_io(doing, path, *error),
        Err(source) => trouble::encoder(doing, path, ParquetError::External(source)),
    }
}

fn unwrap_io(doing: &str, path: &Path, error: io::Error) -> Error {
    match error.downcast::<Error>() {
        Ok(ours) => ours,
        Err(error) => trouble::disk(doing, path, error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_checksum_survives_its_text_form() {
        let sum = Checksum { data_length: 1234, data: 0xdead_beef, tail: 7 };
        assert_eq!(Checksum::parse(&sum.to_string()), Some(sum));
        assert_eq!(Checksum::parse("crc32:12:1:2"), None);
    }
}
