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
            .set_write_batch_size(WRITE_ROWS);
        for (descriptor, leaf) in columns.columns().iter().zip(&leaves) {
            let path = descriptor.path().clone();
            let dictionary = wants_dictionary(descriptor, leaf);
            properties = properties.set_column_dictionary_enabled(path.clone(), dictionary);
            if is_delta(descriptor) {
                properties = properties.set_column_encoding(path.clone(), Encoding::DELTA_BINARY_PACKED);
            }
            if !has_useful_statistics(descriptor) {
                properties = properties.set_column_statistics_enabled(path, EnabledStatistics::None);
            }
        }
        Ok(TopicEncoding { schema, properties: properties.build(), sampled_rows })
    }

    /// Whether it was decided from too few rows, and these tell more.
    pub(super) fn is_outdone_by(&self, rows: &RecordBatch) -> bool {
        self.sampled_rows < SAMPLE_ROWS / 2 && rows.num_rows() > 2 * self.sampled_rows
    }
}

/// Offsets rise by one, timestamps nearly so: their differences take a few bits.
fn is_delta(descriptor: &ColumnDescriptor) -> bool {
    matches!(descriptor.path().string().as_str(), "_kafka_offset" | "_kafka_timestamp")
}

/// A dictionary is for values that repeat. For values that all differ it costs a hash and a lookup each and saves nothing.
fn wants_dictionary(descriptor: &ColumnDescriptor, leaf: &ArrayRef) -> bool {
    match descriptor.path().string().as_str() {
        "_kafka_offset" | "_kafka_timestamp" | "_kafka_tombstone" | "_kafka_value" => false,
        "_kafka_topic" | "_kafka_partition" => true,
        _ => repeats(leaf),
    }
}

/// Smallest and largest value serve a reader who looks for some rows; of opaque bytes nobody asks that.
fn has_useful_statistics(descriptor: &ColumnDescriptor) -> bool {
    descriptor.max_rep_level() == 0
        && (descriptor.physical_type() != Type::BYTE_ARRAY || descriptor.logical_type_ref().is_some())
}

fn repeats(leaf: &ArrayRef) -> bool {
    let hashes = RandomState::new();
    let mut seen = HashSet::new();
    let mut count = 0_usize;
    let mut see = |value: &[u8]| {
        count += 1;
        seen.insert(hashes.hash_one(value));
    };
    match leaf.data_type() {
        DataType::Utf8 => leaf.as_string::<i32>().iter().flatten().for_each(|value| see(value.as_bytes())),
        DataType::LargeUtf8 => leaf.as_string::<i64>().iter().flatten().for_each(|value| see(value.as_bytes())),
        DataType::Utf8View => leaf.as_string_view().iter().flatten().for_each(|value| see(value.as_bytes())),
        DataType::Binary => leaf.as_binary::<i32>().iter().flatten().for_each(see),
        DataType::LargeBinary => leaf.as_binary::<i64>().iter().flatten().for_each(see),
        DataType::BinaryView => leaf.as_binary_view().iter().flatten().for_each(see),
        data_type => {
            let Some(width) = data_type.primitive_width() else { return true };
            let data = leaf.to_data();
            let values = data.buffers().first().map(|buffer| buffer.as_slice()).unwrap_or_default();
            for (row, value) in values.chunks_exact(width).skip(data.offset()).take(leaf.len()).enumerate() {
                if leaf.is_valid(row) {
                    see(value);
                }
            }
        }
    }
    seen.len() * MOST_DISTINCT_ONE_IN <= count
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

/// Rows that the encoder takes at a time before it looks at its limits.
const WRITE_ROWS: usize = 8192;
