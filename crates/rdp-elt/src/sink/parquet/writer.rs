//! One partition's landed file while its window is open: rows in, encoded bytes out, nothing visible.

use std::sync::Arc;

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::compute::concat_batches;
use arrow::datatypes::{Int64Type, SchemaRef};
use parquet::arrow::ArrowWriter;
use parquet::file::metadata::KeyValue;

use super::encoding::TopicEncoding;
use super::file::{CHECKSUM, Place, SealedFile, UnsealedFile, encoder_error};
use super::footer;
use crate::error::{Error, ErrorKind, Result};
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, TopicPartition};
use crate::sink::{LedgerEntry, RecordMark, WindowInfo};

/// Encodes the rows of one partition into a file that has no name yet.
pub(super) struct PartitionWriter {
    topic_partition: TopicPartition,
    schema: SchemaRef,
    arrow: ArrowWriter<UnsealedFile>,
    // Rows that wait to be encoded: until they are worth a row group, and then until they are worth the way through it.
    staged: Vec<RecordBatch>,
    staged_rows: usize,
    staged_bytes: usize,
    reserved_bytes: usize,
    uncounted_bytes: usize,
    memory_bytes: usize,
    // First and newest offset, for the check that the commit's range covers them.
    offsets: Option<(i64, i64)>,
    record_count: u64,
    quarantined_count: u64,
    tombstone_count: u64,
    newest: Option<RecordMark>,
}

/// A whole file and what it lands; not durable yet, and without a name.
pub(super) struct WrittenFile {
    pub(super) entry: LedgerEntry,
    pub(super) sealed: SealedFile,
}

impl PartitionWriter {
    /// Begins a file at this place.
    pub(super) fn begin(place: Place, encoding: &TopicEncoding) -> Result<Self> {
        let topic_partition = place.topic_partition.clone();
        let file = UnsealedFile::new(place);
        let path = file.path();
        let arrow = ArrowWriter::try_new(file, encoding.schema.clone(), Some(encoding.properties.clone())).map_err(
            |error| {
                let message = format!("begin a Parquet file for {topic_partition}: path={}", path.display());
                Error::new(ErrorKind::Schema, message)
                    .with_help("Parquet has no form for a column of this landing schema: change its type")
                    .with_source(error)
            },
        )?;
        Ok(PartitionWriter {
            topic_partition,
            schema: encoding.schema.clone(),
            arrow,
            staged: Vec::new(),
            staged_rows: 0,
            staged_bytes: 0,
            reserved_bytes: encoding.reserved_bytes,
            uncounted_bytes: encoding.uncounted_bytes,
            memory_bytes: 0,
            offsets: None,
            record_count: 0,
            quarantined_count: 0,
            tombstone_count: 0,
            newest: None,
        })
    }

    /// Bytes of memory that it holds.
    pub(super) fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    /// Takes rows; cuts the row group when it has `row_group_bytes`.
    pub(super) fn append(&mut self, loaded: &LoadedRows, row_group_bytes: usize) -> Result<()> {
        self.check_columns(&loaded.rows)?;
        self.note_offsets(&loaded.rows)?;
        self.staged_bytes += rows_bytes(&loaded.rows);
        self.staged.push(loaded.rows.clone());
        self.staged_rows += loaded.rows.num_rows();
        self.record_count += loaded.rows.num_rows() as u64;
        self.quarantined_count += loaded.quarantined_count;
        self.tombstone_count += loaded.tombstone_count;
        self.newest = loaded.newest.or(self.newest);
        if self.is_worth_encoding() {
            self.encode_staged()?;
        }
        self.measure();
        if self.memory_bytes >= row_group_bytes && self.arrow.in_progress_size() >= row_group_bytes {
            self.cut_row_group()?;
        }
        Ok(())
    }

    /// Ends the row group and writes it out; nothing stays in memory.
    pub(super) fn cut_row_group(&mut self) -> Result<()> {
        self.encode_staged()?;
        self.arrow.flush().map_err(|error| self.error("write a row group", error))?;
        self.arrow.sync().map_err(|error| self.error("write a row group", error.into()))?;
        let written = self.arrow.inner_mut().write_out();
        written.map_err(|error| self.error("write a row group", error.into()))?;
        self.measure();
        Ok(())
    }

    /// Makes the file whole, saying that it lands this range.
    pub(super) fn finish(mut self, range: OffsetRange, window: &WindowInfo) -> Result<WrittenFile> {
        if let Some((first, newest)) = self.offsets
            && !(range.contains(first) && range.contains(newest))
        {
            let message = format!("land {}: rows [{first}, {newest}] are not in range {range}", self.topic_partition);
            return Err(Error::internal(message));
        }
        self.encode_staged()?;
        self.arrow.inner_mut().start_at(range.start())?;
        let entry = LedgerEntry {
            source: window.source(&self.topic_partition.topic)?,
            newest: self.newest,
            window: window.id.clone(),
            range,
            record_count: self.record_count,
            quarantined_count: self.quarantined_count,
            tombstone_count: self.tombstone_count,
            location: String::new(),
            topic_partition: self.topic_partition.clone(),
        };
        self.arrow.flush().map_err(|error| self.error("write a row group", error))?;
        // What the encoder buffers has to be with the file before the data ends there.
        self.arrow.sync().map_err(|error| self.error("write a row group", error.into()))?;
        let checksum = self.arrow.inner_mut().end_data();
        self.arrow.append_key_value_metadata(footer::ledger_metadata(&entry)?);
        self.arrow.append_key_value_metadata(KeyValue::new(CHECKSUM.to_owned(), checksum.clone()));
        let path = self.arrow.inner().path();
        let file = self.arrow.into_inner().map_err(|error| encoder_error("write a footer", &path, error))?;
        Ok(WrittenFile { entry, sealed: file.seal(&checksum)? })
    }

    /// Whether what is staged is worth its way: a row group is opened for rows that take more memory than it would.
    fn is_worth_encoding(&self) -> bool {
        let is_stride = self.staged_rows >= STRIDE_ROWS || self.staged_bytes >= STRIDE_BYTES;
        is_stride && (self.arrow.in_progress_rows() > 0 || self.staged_bytes >= self.uncounted_bytes)
    }

    /// Encodes what has been staged.
    fn encode_staged(&mut self) -> Result<()> {
        let staged = std::mem::take(&mut self.staged);
        (self.staged_rows, self.staged_bytes) = (0, 0);
        let mut pieces = &*staged;
        while !pieces.is_empty() {
            let mut row_count = 0;
            let is_too_few = |piece: &&RecordBatch| {
                let before = row_count;
                row_count += piece.num_rows();
                before < STRIDE_ROWS
            };
            let (together, rest) = pieces.split_at(pieces.iter().take_while(is_too_few).count());
            self.encode(together)?;
            pieces = rest;
        }
        Ok(())
    }

    /// Encodes pieces as one, a stride at a time.
    fn encode(&mut self, pieces: &[RecordBatch]) -> Result<()> {
        let rows = match pieces {
            [rows] => rows,
            pieces => &concat_batches(&self.schema, pieces).map_err(|error| {
                Error::internal(format!("bring rows of {} together", self.topic_partition)).with_source(error)
            })?,
        };
        for start in (0..rows.num_rows()).step_by(STRIDE_ROWS) {
            let stride = rows.slice(start, STRIDE_ROWS.min(rows.num_rows() - start));
            self.arrow.write(&stride).map_err(|error| self.error("encode rows", error))?;
        }
        Ok(())
    }

    fn measure(&mut self) {
        let open_row_group = match self.arrow.in_progress_rows() {
            0 => 0,
            _ => {
                let counted = self.arrow.memory_size().saturating_sub(self.reserved_bytes);
                self.uncounted_bytes + counted.max(self.arrow.in_progress_size())
            }
        };
        self.memory_bytes = self.staged_bytes + open_row_group + self.arrow.inner().pending_bytes();
    }

    /// Refuses rows of other columns than the file's: the encoder would not notice.
    fn check_columns(&self, rows: &RecordBatch) -> Result<()> {
        if Arc::ptr_eq(&self.schema, rows.schema_ref()) || self.schema == *rows.schema_ref() {
            return Ok(());
        }
        let message = format!("land {}: the columns changed within a window", self.topic_partition);
        Err(Error::new(ErrorKind::Schema, message).with_help("a landing schema holds for whole windows"))
    }

    /// Notes the offsets, and refuses rows that run backwards: a wrong ledger would hide a loss.
    fn note_offsets(&mut self, rows: &RecordBatch) -> Result<()> {
        let column = rows.column_by_name("_kafka_offset").and_then(|column| column.as_primitive_opt::<Int64Type>());
        let Some(offsets) = column.map(|column| column.values()) else {
            return Err(Error::internal(format!("rows of {} have no _kafka_offset", self.topic_partition)));
        };
        let (Some(&first), Some(&newest)) = (offsets.first(), offsets.last()) else { return Ok(()) };
        let before = self.offsets;
        if newest < first || before.is_some_and(|(_, newest)| first <= newest) {
            let message =
                format!("rows of {} run backwards: [{first}, {newest}] after {before:?}", self.topic_partition);
            return Err(Error::internal(message));
        }
        self.offsets = Some((before.map_or(first, |(first, _)| first), newest));
        Ok(())
    }

    fn error(&self, doing: &str, error: parquet::errors::ParquetError) -> Error {
        encoder_error(&format!("{doing} of {}", self.topic_partition), &self.arrow.inner().path(), error)
    }
}

/// What the rows themselves take of the memory that they lie in.
fn rows_bytes(rows: &RecordBatch) -> usize {
    rows.columns().iter().map(|column| column.to_data().get_slice_memory_size().unwrap_or_default()).sum()
}

/// Rows that are encoded at a time: enough to be worth the way through every column, few enough to stay in the cache.
const STRIDE_ROWS: usize = 4096;
/// And so many bytes of rows are enough, however few rows they are: together they have to stay below the 2 GiB that a column
/// may have, and in memory that was meant for them.
const STRIDE_BYTES: usize = 16 << 20;
