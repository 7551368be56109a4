//! Landed Parquet files, read back and proved.
//!
//! A landed file is `topic=…/partition=…/<start, 20 digits>.parquet`. Its footer's metadata has the ledger entry, and two
//! CRC-32 values that together cover every byte: one of the data, one of the tail (indexes and footer) with its own eight
//! digits taken as zeros.

use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt};
use parquet::arrow::arrow_reader::ArrowReaderOptions;
use parquet::arrow::async_reader::AsyncFileReader;
use parquet::arrow::{ParquetRecordBatchStreamBuilder, ProjectionMask};
use parquet::errors::ParquetError;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, ParquetMetaData, ParquetMetaDataReader};
use serde::Deserialize;

use super::files::{Files, OpenFile};
use super::{Ledger, Reader, RowStream};
use crate::error::{Error, ErrorKind, Result};
use crate::landing_url::LandingUrl;
use crate::ledger::LedgerEntry;
use crate::offset::TopicPartition;
use crate::trouble;

/// Reads a landing of Parquet files.
#[derive(Debug, Clone)]
pub struct ParquetReader(Files);

impl ParquetReader {
    /// Reads what has landed in a folder, given as a path or as a `file:` URL. Nothing is opened yet.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for the URL of a remote store; [`Config`](ErrorKind::Config) for one that
    /// names no folder here.
    pub fn open(url_or_path: &str) -> Result<Self> {
        Ok(Self::of_folder(url_or_path.parse::<LandingUrl>()?.folder().to_owned()))
    }

    pub(crate) fn of_folder(folder: PathBuf) -> Self {
        ParquetReader(Files::new(folder))
    }

    /// The landed files of a topic, by partition and start.
    ///
    /// # Errors
    /// What the disk says.
    pub async fn files(&self, topic: &str) -> Result<Vec<PathBuf>> {
        let mut files = Vec::new();
        for partition in self.partitions(topic).await? {
            let of = TopicPartition::new(topic, partition);
            files.extend(self.starts(&of).await?.into_iter().map(|start| self.0.path(&name_of(&of, start))));
        }
        Ok(files)
    }

    async fn starts(&self, of: &TopicPartition) -> Result<Vec<i64>> {
        let names = self.0.list(&folder_of(of)).await?;
        let mut starts: Vec<i64> = names.iter().filter_map(|name| start_of(name)).collect();
        starts.sort_unstable();
        Ok(starts)
    }
}

#[async_trait]
impl Reader for ParquetReader {
    async fn topics(&self) -> Result<Vec<String>> {
        let names = self.0.list("").await?;
        let mut topics: Vec<String> =
            names.iter().filter_map(|name| name.strip_prefix(TOPIC)).map(str::to_owned).collect();
        topics.retain(|topic| !topic.is_empty());
        topics.sort_unstable();
        Ok(topics)
    }

    async fn partitions(&self, topic: &str) -> Result<Vec<i32>> {
        let names = self.0.list(&format!("{TOPIC}{topic}")).await?;
        let mut partitions: Vec<i32> = names.iter().filter_map(|name| partition_of(name)).collect();
        partitions.sort_unstable();
        Ok(partitions)
    }

    async fn ledger(&self, of: &TopicPartition, from: i64) -> Result<Ledger> {
        let starts = self.starts(of).await?;
        let begins_at = starts.first().copied();
        // The last that starts at or below `from` may reach past it.
        let first = starts.partition_point(|start| *start <= from).saturating_sub(1);
        let (files, of) = (self.0.clone(), of.clone());
        let commits = stream::iter(starts.into_iter().skip(first)).map(move |start| {
            let (files, of) = (files.clone(), of.clone());
            async move { Ok(Proved::read(&files, &of, start).await?.entry) }
        });
        let reaching = commits.buffered(AT_ONCE).filter(move |commit| {
            let is_reaching = commit.as_ref().map_or(true, |commit: &LedgerEntry| commit.range.end() > from);
            async move { is_reaching }
        });
        Ok(Ledger { begins_at, commits: reaching.boxed() })
    }

    async fn rows_of(&self, commit: &LedgerEntry, columns: Option<&[&str]>) -> Result<RowStream> {
        let proved = Proved::read(&self.0, &commit.topic_partition, commit.range.start()).await?;
        let path = proved.file.path.clone();
        if proved.entry != (LedgerEntry { location: proved.entry.location.clone(), ..commit.clone() }) {
            return Err(trouble::damaged(&path, "it is not the file that the ledger was read from"));
        }
        proved.prove_data().await?;
        let unreadable = move |error| rows_unreadable(&path, error);
        let options = ArrowReaderOptions::new();
        let builder =
            ParquetRecordBatchStreamBuilder::new_with_options(proved, options).await.map_err(unreadable.clone())?;
        let builder = match columns {
            Some(columns) => {
                let mask = ProjectionMask::columns(builder.parquet_schema(), columns.iter().copied());
                builder.with_projection(mask)
            }
            None => builder,
        };
        let rows = builder.with_batch_size(ROWS).build().map_err(unreadable.clone())?;
        Ok(rows.map(move |rows| rows.map_err(unreadable.clone())).boxed())
    }

    async fn strays(&self) -> Result<Vec<String>> {
        let strays = self.0.strays(is_landed).await?.into_iter();
        Ok(strays.map(|path| format!("{path} is no file that RDP landed here")).collect())
    }
}

/// A landed file of which the tail was proved to be what was written.
struct Proved {
    file: OpenFile,
    /// With the file's path as its location.
    entry: LedgerEntry,
    data: Checksum,
    metadata: Arc<ParquetMetaData>,
}

struct Checksum {
    /// Bytes from the file's beginning that the sum covers.
    length: u64,
    sum: u32,
}

#[derive(Deserialize)]
struct Stored {
    format: u32,
    #[serde(flatten)]
    entry: LedgerEntry,
}

impl Proved {
    async fn read(files: &Files, of: &TopicPartition, start: i64) -> Result<Self> {
        let file = files.open(&name_of(of, start)).await?;
        let path = file.path.clone();
        let damaged = |what: String| trouble::damaged(&path, what);
        let length = file.length;
        if length < FOOTER_SIZE as u64 {
            return Err(damaged(format!("it is {length} bytes long")));
        }
        let mut tail = Tail { bytes: file.read(length.saturating_sub(TAIL_BYTES)..length).await?, file: &file };
        let marker: [u8; FOOTER_SIZE] = tail.last(FOOTER_SIZE as u64).await?.as_ref().try_into().unwrap_or_default();
        let footer = FooterTail::try_from(marker)
            .map_err(|error| damaged("it has no Parquet footer".to_owned()).with_source(error))?
            .metadata_length() as u64;
        let footer = tail.last(footer.saturating_add(FOOTER_SIZE as u64)).await?;
        let metadata = ParquetMetaDataReader::decode_metadata(&footer[..footer.len() - FOOTER_SIZE])
            .map_err(|error| damaged("its footer cannot be read".to_owned()).with_source(error))?;
        let (Some(ledger), Some(text)) = (text_of(&metadata, LEDGER), text_of(&metadata, CHECKSUM)) else {
            return Err(trouble::foreign(&path, "its footer has no ledger entry"));
        };
        let not_one = || damaged(format!("its checksum {text:?} is not one"));
        let (data, told) = checksums(text).ok_or_else(not_one)?;
        let behind_data = tail.last(length.checked_sub(data.length).ok_or_else(not_one)?).await?;
        if tail_sum(&behind_data, text) != Some(told) {
            return Err(damaged("its footer is not what was written (checksum)".to_owned()));
        }
        let entry = entry_of(ledger, &path)?;
        if entry.topic_partition != *of || entry.range.start() != start {
            return Err(damaged(format!("it landed {} {} and was moved here", entry.topic_partition, entry.range)));
        }
        let held = metadata.file_metadata().num_rows();
        if u64::try_from(held).ok() != Some(entry.record_count) {
            return Err(damaged(format!("its footer counts {} records and it holds {held}", entry.record_count)));
        }
        Ok(Proved { file, entry, data, metadata: Arc::new(metadata) })
    }

    /// Compares the data with its checksum, in pieces: a file may be larger than memory.
    async fn prove_data(&self) -> Result<()> {
        let mut sum = crc32fast::Hasher::new();
        let mut at = 0;
        while at < self.data.length {
            let end = self.data.length.min(at + PIECE_BYTES);
            sum.update(&self.file.read(at..end).await?);
            at = end;
        }
        match sum.finalize() == self.data.sum {
            true => Ok(()),
            false => Err(trouble::damaged(&self.file.path, "its data is not what was written (checksum)")),
        }
    }
}

impl AsyncFileReader for Proved {
    fn get_bytes(&mut self, range: Range<u64>) -> BoxFuture<'_, parquet::errors::Result<Bytes>> {
        let file = self.file.clone();
        Box::pin(async move { file.read(range).await.map_err(|error| ParquetError::External(Box::new(error))) })
    }

    fn get_metadata<'a>(
        &'a mut self,
        _: Option<&'a ArrowReaderOptions>,
    ) -> BoxFuture<'a, parquet::errors::Result<Arc<ParquetMetaData>>> {
        let metadata = self.metadata.clone();
        Box::pin(async move { Ok(metadata) })
    }
}

/// The last bytes of a file, as many as were needed so far.
struct Tail<'a> {
    bytes: Bytes,
    file: &'a OpenFile,
}

impl Tail<'_> {
    async fn last(&mut self, wanted: u64) -> Result<Bytes> {
        let length = self.file.length;
        if wanted > length {
            return Err(trouble::damaged(&self.file.path, format!("it is {length} bytes long and was longer")));
        }
        if wanted > self.bytes.len() as u64 {
            self.bytes = self.file.read(length - wanted..length).await?;
        }
        Ok(self.bytes.slice(self.bytes.len() - wanted as usize..))
    }
}

fn entry_of(text: &str, path: &Path) -> Result<LedgerEntry> {
    let stored: Stored = serde_json::from_str(text)
        .map_err(|error| trouble::damaged(path, "its ledger entry cannot be read").with_source(error))?;
    if stored.format != FORMAT {
        let message = format!("read a landed file: path={}: ledger format {}", path.display(), stored.format);
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_help(format!("this RDP reads format {FORMAT}: use the RDP that wrote the file, or a newer one")));
    }
    Ok(LedgerEntry { location: path.display().to_string(), ..stored.entry })
}

fn text_of<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    metadata.file_metadata().key_value_metadata()?.iter().find(|pair| pair.key == key)?.value.as_deref()
}

/// The data's checksum and the tail's, of `crc32:<data's length>:<sum>:<tail's sum>`, all in hexadecimal digits.
fn checksums(text: &str) -> Option<(Checksum, u32)> {
    let mut parts = text.strip_prefix("crc32:")?.split(':');
    let (length, sum, tail) = (parts.next()?, parts.next()?, parts.next()?);
    let is_whole = (length.len(), sum.len(), tail.len(), parts.next()) == (16, 8, 8, None);
    let data = Checksum { length: u64::from_str_radix(length, 16).ok()?, sum: u32::from_str_radix(sum, 16).ok()? };
    is_whole.then_some((data, u32::from_str_radix(tail, 16).ok()?))
}

/// The sum of the tail with the last eight digits of its own text taken as zeros.
fn tail_sum(tail: &[u8], text: &str) -> Option<u32> {
    let at = tail.windows(text.len()).rposition(|window| window == text.as_bytes())?;
    let digits = at + text.len() - 8;
    let mut sum = crc32fast::Hasher::new();
    sum.update(&tail[..digits]);
    sum.update(b"00000000");
    sum.update(&tail[digits + 8..]);
    Some(sum.finalize())
}

fn rows_unreadable(path: &Path, error: ParquetError) -> Error {
    match error {
        ParquetError::External(source) => match source.downcast::<Error>() {
            Ok(ours) => *ours,
            Err(source) => trouble::damaged(path, "its rows cannot be read").with_source(source),
        },
        error => trouble::damaged(path, "its rows cannot be read").with_source(error),
    }
}

fn folder_of(of: &TopicPartition) -> String {
    format!("{TOPIC}{}/{PARTITION}{}", of.topic, of.partition)
}

fn name_of(of: &TopicPartition, start: i64) -> String {
    format!("{}/{start:020}.parquet", folder_of(of))
}

fn partition_of(folder: &str) -> Option<i32> {
    let partition: i32 = folder.strip_prefix(PARTITION)?.parse().ok()?;
    (partition >= 0 && folder == format!("{PARTITION}{partition}")).then_some(partition)
}

fn start_of(name: &str) -> Option<i64> {
    let start: i64 = name.strip_suffix(".parquet")?.parse().ok()?;
    (start >= 0 && name == format!("{start:020}.parquet")).then_some(start)
}

/// Whether a landed file has this path in its landing.
fn is_landed(path: &str) -> bool {
    let mut parts = path.split('/');
    let (topic, partition, name) = (parts.next(), parts.next(), parts.next());
    parts.next().is_none()
        && topic.and_then(|topic| topic.strip_prefix(TOPIC)).is_some_and(|topic| !topic.is_empty())
        && partition.is_some_and(|partition| partition_of(partition).is_some())
        && name.is_some_and(|name| start_of(name).is_some())
}

const TOPIC: &str = "topic=";
const PARTITION: &str = "partition=";
const LEDGER: &str = "rdp.ledger";
const CHECKSUM: &str = "rdp.checksum";
/// The form of the ledger entry. A reader refuses a form that it does not know.
const FORMAT: u32 = 1;
/// One read of so many bytes has the whole tail of most files.
const TAIL_BYTES: u64 = 32 << 10;
const PIECE_BYTES: u64 = 1 << 20;
const ROWS: usize = 32 << 10;
/// So many files are asked at a time.
const AT_ONCE: usize = 8;
