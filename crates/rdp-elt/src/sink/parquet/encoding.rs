//! How the columns of a topic are encoded: decided once from its first rows and then used for every file.

use std::collections::HashSet;
use std::hash::{BuildHasher, RandomState};

use arrow::array::{Array, ArrayRef, AsArray, RecordBatch};
use arrow::datatypes::{DataType, SchemaRef};
use parquet::arrow::ArrowSchemaConverter;
use parquet::basic::{Compression, Encoding, Type, ZstdLevel};
use parquet::errors::Result as ParquetResult;
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterVersion};
use parquet::schema::types::ColumnDescriptor;

/// A topic's columns and how they are encoded.
#[derive(Debug, Clone)]
pub(super) struct TopicEncoding {
    pub(super) schema: SchemaRef,
    pub(super) properties: WriterProperties,
    /// What the encoder counts for an open row group and does not hold: buffers that it reserves and hardly fills.
    pub(super) reserved_bytes: usize,
    /// What an open row group holds beyond what the encoder counts: a compressor per compressed column.
    pub(super) uncounted_bytes: usize,
    sampled_rows: usize,
}

impl TopicEncoding {
    /// Decides from these rows.
    pub(super) fn decide(rows: &RecordBatch, zstd_level: ZstdLevel) -> ParquetResult<Self> {
        let schema = rows.schema();
        let columns = ArrowSchemaConverter::new().convert(&schema)?;
        let sampled_rows = rows.num_rows().min(SAMPLE_ROWS);
        let mut leaves = Vec::with_capacity(columns.num_columns());
        for column in rows.columns() {
            push_leaves(&column.slice(0, sampled_rows), &mut leaves);
        }

        let mut properties = WriterProperties::builder()
            .set_created_by(concat!("rdp version ", env!("CARGO_PKG_VERSION")).to_owned())
            .set_writer_version(WriterVersion::PARQUET_1_0)
            .set_compression(Compression::ZSTD(zstd_level))
            .set_max_row_group_row_count(None)
            .set_statistics_enabled(EnabledStatistics::Chunk)
            .set_offset_index_disabled(true)
            .set_data_page_row_count_limit(PAGE_ROWS)
            .set_write_batch_size(PAGE_ROWS);
        let (mut reserved_bytes, mut uncounted_bytes) = (0, 0);
        for (descriptor, leaf) in columns.columns().iter().zip(&leaves) {
            let path = descriptor.path().clone();
            let form = Form::of(descriptor, leaf);
            properties = properties.set_column_dictionary_enabled(path.clone(), form == Form::Dictionary);
            if form == Form::Deltas {
                reserved_bytes += DELTA_RESERVE_BYTES;
                uncounted_bytes += DELTA_PAGE_BYTES;
                properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
            }
            if form == Form::SplitFloats {
                properties = properties.set_column_encoding(path.clone(), Encoding::BYTE_STREAM_SPLIT);
            }
            match form.is_compressed() {
                true => uncounted_bytes += COMPRESSOR_BYTES,
                false => properties = properties.set_column_compression(path.clone(), Compression::UNCOMPRESSED),
            }
            if !has_useful_statistics(descriptor) {
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
        Ok(TopicEncoding { schema, properties: properties.build(), reserved_bytes, uncounted_bytes, sampled_rows })
    }

    /// Whether it was decided from too few rows, and these tell more.
    pub(super) fn is_outdone_by(&self, rows: &RecordBatch) -> bool {
        self.sampled_rows < SAMPLE_ROWS / 2 && rows.num_rows() > 2 * self.sampled_rows
    }
}

/// The form of one column's values. The measure is CPU first and size second: on a million order records the choice below
/// costs half of what dictionaries and zstd for every column do, and no more bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    /// The values as they are, compressed.
    Plain,
    /// Each distinct value once. For values that all differ it would cost a hash and a lookup each and save nothing.
    Dictionary,
    /// Differences in as few bits as they need; compression would find next to nothing in them.
    Deltas,
    /// One bit each, as they are.
    Bits,
    /// The first byte of every float, then the second of every float, and so on: like bytes compress in a third of the time.
    SplitFloats,
}

impl Form {
    fn of(descriptor: &ColumnDescriptor, leaf: &ArrayRef) -> Self {
        match (descriptor.path().string().as_str(), descriptor.physical_type()) {
            ("_kafka_topic" | "_kafka_partition" | "_kafka_value" | "_rdp_error", _) => Form::Plain,
            ("_kafka_offset" | "_kafka_timestamp", _) => Form::Deltas,
            (_, Type::BOOLEAN) => Form::Bits,
            (_, Type::INT32 | Type::INT64) => match Sample::of(leaf) {
                // Few values far apart: their differences would take many bits each.
                sample if sample.repeats() && sample.is_wide => Form::Dictionary,
                _ => Form::Deltas,
            },
            _ if Sample::of(leaf).repeats() => Form::Dictionary,
            (_, Type::FLOAT | Type::DOUBLE) => Form::SplitFloats,
            _ => Form::Plain,
        }
    }

    fn is_compressed(self) -> bool {
        !matches!(self, Form::Deltas | Form::Bits)
    }
}

/// Smallest and largest number serve a reader who looks for some rows, and cost next to nothing. Text does not arrive in
/// order, so that its bounds would rule nothing out, and comparing it would cost as much as writing it.
fn has_useful_statistics(descriptor: &ColumnDescriptor) -> bool {
    descriptor.max_rep_level() == 0
        && !matches!(descriptor.physical_type(), Type::BYTE_ARRAY | Type::FIXED_LEN_BYTE_ARRAY)
}

/// What the first values of a column are like.
#[derive(Default)]
struct Sample {
    count: usize,
    distinct: HashSet<u64>,
    is_wide: bool,
}

impl Sample {
    fn of(leaf: &ArrayRef) -> Self {
        let hashes = RandomState::new();
        let mut sample = Sample::default();
        let mut see = |value: &[u8]| {
            sample.count += 1;
            sample.distinct.insert(hashes.hash_one(value));
        };
        match leaf.data_type() {
            DataType::Utf8 => leaf.as_string::<i32>().iter().flatten().for_each(|value| see(value.as_bytes())),
            DataType::LargeUtf8 => leaf.as_string::<i64>().iter().flatten().for_each(|value| see(value.as_bytes())),
            DataType::Utf8View => leaf.as_string_view().iter().flatten().for_each(|value| see(value.as_bytes())),
            DataType::Binary => leaf.as_binary::<i32>().iter().flatten().for_each(see),
            DataType::LargeBinary => leaf.as_binary::<i64>().iter().flatten().for_each(see),
            DataType::BinaryView => leaf.as_binary_view().iter().flatten().for_each(see),
            data_type => sample.see_fixed(leaf, data_type.primitive_width().unwrap_or_default()),
        }
        sample
    }

    /// Looks at values of this many bytes each; at none where a type has no such form.
    fn see_fixed(&mut self, leaf: &ArrayRef, width: usize) {
        let data = leaf.to_data();
        let (Some(buffer), 1..=16) = (data.buffers().first(), width) else { return };
        let (mut least, mut most) = (u128::MAX, 0);
        let values = buffer.as_slice().chunks_exact(width).skip(data.offset()).take(leaf.len());
        for (_, value) in values.enumerate().filter(|(row, _)| leaf.is_valid(*row)) {
            let mut bytes = [0; 16];
            bytes[..width].copy_from_slice(value);
            let value = u128::from_le_bytes(bytes);
            (least, most) = (value.min(least), value.max(most));
            self.count += 1;
            self.distinct.insert(value as u64 ^ (value >> 64) as u64);
        }
        self.is_wide = most.saturating_sub(least) > WIDE;
    }

    fn repeats(&self) -> bool {
        self.distinct.len() * MOST_DISTINCT_ONE_IN <= self.count
    }
}

/// The leaves of a column in the order in which Parquet numbers them.
fn push_leaves(array: &ArrayRef, leaves: &mut Vec<ArrayRef>) {
    match array.data_type() {
        DataType::Struct(_) => array.as_struct().columns().iter().for_each(|field| push_leaves(field, leaves)),
        DataType::List(_) => {
            let list = array.as_list::<i32>();
            let (from, to) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            push_leaves(&list.values().slice(from as usize, (to - from) as usize), leaves);
        }
        DataType::LargeList(_) => {
            let list = array.as_list::<i64>();
            let (from, to) = (list.value_offsets()[0], list.value_offsets()[list.len()]);
            push_leaves(&list.values().slice(from as usize, (to - from) as usize), leaves);
        }
        DataType::FixedSizeList(_, _) => push_leaves(array.as_fixed_size_list().values(), leaves),
        DataType::Map(_, _) => {
            let map = array.as_map();
            push_leaves(map.keys(), leaves);
            push_leaves(map.values(), leaves);
        }
        _ => leaves.push(array.clone()),
    }
}

const SAMPLE_ROWS: usize = 4096;

/// More distinct values than one in so many rows, and a column goes without a dictionary.
const MOST_DISTINCT_ONE_IN: usize = 3;

/// Numbers further apart than this take more bits as differences than as places in a dictionary.
const WIDE: u128 = 1 << 16;

/// Measured at level 1 with pages of [`PAGE_ROWS`]; a compressor that has seen a larger page holds more.
const COMPRESSOR_BYTES: usize = 256 << 10;

/// Rows of a page. What a page has so far lies in memory uncompressed.
const PAGE_ROWS: usize = 8192;

/// What the encoder reserves for the page of a column of differences, however little comes into it.
const DELTA_RESERVE_BYTES: usize = 1 << 20;

/// What comes into it.
const DELTA_PAGE_BYTES: usize = PAGE_ROWS * size_of::<i64>();
