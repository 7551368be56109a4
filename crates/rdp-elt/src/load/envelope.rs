//! The columns that every landing has beside its payload: where a record came from, its key, headers and timestamp,
//! and why it is quarantined.

use std::sync::Arc;

use arrow::array::{
    Array, ArrayRef, BooleanArray, BooleanBufferBuilder, Int32Array, Int64Array, ListArray, NullBufferBuilder,
    StringArray, StructArray, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType as ArrowType, Field, Fields, TimeUnit};

use super::column::{Bytes, Ends, hand_over};
use super::misfit::Misfit;
use crate::error::{Error, Result};
use crate::offset::TopicPartition;
use crate::record::RecordView;
use crate::schema::{
    KAFKA_HEADERS, KAFKA_KEY, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TIMESTAMP, KAFKA_TOMBSTONE, KAFKA_TOPIC,
    KAFKA_VALUE, RDP_ERROR,
};

/// The `_kafka_*` columns and `_rdp_error`, row by row.
pub(super) struct Envelope {
    offsets: Vec<i64>,
    timestamps: Vec<i64>,
    timestamp_nulls: NullBufferBuilder,
    keys: Nullable,
    headers: Headers,
    tombstones: BooleanBufferBuilder,
    values: Nullable,
    errors: Nullable,
    quarantined_count: u64,
    tombstone_count: u64,
    constants: Option<Constants>,
}

/// What is the same in every row of one partition: made once, handed out in slices.
struct Constants {
    source: TopicPartition,
    topics: ArrayRef,
    partitions: ArrayRef,
}

struct Nullable {
    bytes: Bytes,
    nulls: NullBufferBuilder,
}

struct Headers {
    ends: Ends,
    names: Bytes,
    values: Nullable,
}

/// The finished columns.
pub(super) struct EnvelopeColumns {
    pub(super) arrays: Vec<ArrayRef>,
    pub(super) quarantined_count: u64,
    pub(super) tombstone_count: u64,
}

impl Envelope {
    pub(super) fn new() -> Self {
        Envelope {
            offsets: Vec::new(),
            timestamps: Vec::new(),
            timestamp_nulls: NullBufferBuilder::new(0),
            keys: Nullable::new(),
            headers: Headers { ends: Ends::default(), names: Bytes::default(), values: Nullable::new() },
            tombstones: BooleanBufferBuilder::new(0),
            values: Nullable::new(),
            errors: Nullable::new(),
            quarantined_count: 0,
            tombstone_count: 0,
            constants: None,
        }
    }

    /// The columns' names and types, in their order.
    pub(super) fn fields() -> Vec<Field> {
        let utc = ArrowType::Timestamp(TimeUnit::Millisecond, Some("UTC".into()));
        let header = Field::new("item", ArrowType::Struct(header_fields()), false);
        vec![
            Field::new(KAFKA_TOPIC, ArrowType::Utf8, false),
            Field::new(KAFKA_PARTITION, ArrowType::Int32, false),
            Field::new(KAFKA_OFFSET, ArrowType::Int64, false),
            Field::new(KAFKA_TIMESTAMP, utc, true),
            Field::new(KAFKA_KEY, ArrowType::Binary, true),
            Field::new(KAFKA_HEADERS, ArrowType::List(Arc::new(header)), false),
            Field::new(KAFKA_TOMBSTONE, ArrowType::Boolean, false),
            Field::new(KAFKA_VALUE, ArrowType::Binary, true),
            Field::new(RDP_ERROR, ArrowType::Utf8, true),
        ]
    }

    /// Begins a row with all that does not depend on the payload; the misfit of a header's name where it has one.
    #[inline]
    pub(super) fn begin(&mut self, record: &RecordView<'_>) -> Option<Misfit> {
        self.offsets.push(record.offset);
        self.timestamps.push(record.timestamp.unwrap_or_default());
        self.timestamp_nulls.append(record.timestamp.is_some());
        self.keys.push(record.key);
        self.tombstones.append(record.value.is_none());
        self.tombstone_count += u64::from(record.value.is_none());
        self.headers.push(record)
    }

    /// Ends the row: with the value's bytes where they are kept, and the reason where it is quarantined.
    #[inline]
    pub(super) fn end(&mut self, value: Option<&[u8]>, reason: Option<&str>) {
        self.values.push(value);
        self.errors.push(reason.map(str::as_bytes));
        self.quarantined_count += u64::from(reason.is_some());
    }

    /// Forgets every row.
    pub(super) fn clear(&mut self) {
        let constants = self.constants.take();
        *self = Envelope { constants, ..Envelope::new() };
    }

    /// Hands the rows over, and is empty again.
    pub(super) fn finish(&mut self, source: &TopicPartition) -> Result<EnvelopeColumns> {
        let rows = self.offsets.len();
        let (topics, partitions) = self.constants(source, rows)?;
        let room = self.offsets.capacity().min(MAX_ROWS);
        let offsets = hand_over(&mut self.offsets, room);
        let timestamps = hand_over(&mut self.timestamps, room);
        let timestamps =
            TimestampMillisecondArray::new(timestamps.into(), self.timestamp_nulls.finish()).with_timezone("UTC");
        let arrays = vec![
            topics,
            partitions,
            Arc::new(Int64Array::from(offsets)),
            Arc::new(timestamps),
            self.keys.finish_binary()?,
            self.headers.finish()?,
            Arc::new(BooleanArray::new(self.tombstones.finish(), None)),
            self.values.finish_binary()?,
            self.errors.finish_utf8()?,
        ];
        Ok(EnvelopeColumns {
            arrays,
            quarantined_count: std::mem::take(&mut self.quarantined_count),
            tombstone_count: std::mem::take(&mut self.tombstone_count),
        })
    }

    fn constants(&mut self, source: &TopicPartition, rows: usize) -> Result<(ArrayRef, ArrayRef)> {
        let constants = match self.constants.take() {
            Some(known) if known.source == *source && known.topics.len() >= rows => known,
            _ => Constants {
                source: source.clone(),
                topics: Arc::new(StringArray::from_iter_values(std::iter::repeat_n(&*source.topic, rows))),
                partitions: Arc::new(Int32Array::from_value(source.partition, rows)),
            },
        };
        let slices = (constants.topics.slice(0, rows), constants.partitions.slice(0, rows));
        self.constants = Some(constants);
        Ok(slices)
    }
}

impl Nullable {
    fn new() -> Self {
        Nullable { bytes: Bytes::default(), nulls: NullBufferBuilder::new(0) }
    }

    #[inline]
    fn push(&mut self, row: Option<&[u8]>) {
        match row {
            Some(row) => {
                self.bytes.push(row);
                self.nulls.append_non_null();
            }
            None => {
                self.bytes.end_row();
                self.nulls.append_null();
            }
        }
    }

    fn finish_binary(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        self.bytes.finish_binary(nulls)
    }

    fn finish_utf8(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        self.bytes.finish_utf8(nulls)
    }
}

impl Headers {
    #[inline]
    fn push(&mut self, record: &RecordView<'_>) -> Option<Misfit> {
        let mut misfit = None;
        let Headers { ends, names, values } = self;
        record.headers.visit(&mut |name, value| {
            match std::str::from_utf8(name) {
                Ok(_) => names.push(name),
                Err(_) => {
                    let shown = hex_escaped(name);
                    names.push(shown.as_bytes());
                    misfit.get_or_insert_with(|| {
                        Misfit::new(format!("expected a header's name in UTF-8, found {shown}"))
                    });
                }
            }
            values.push(value);
        });
        ends.push(names.len());
        misfit
    }

    fn finish(&mut self) -> Result<ArrayRef> {
        let columns = vec![self.names.finish_utf8(None)?, self.values.finish_binary()?];
        let items = StructArray::try_new(header_fields(), columns, None).map_err(misbuilt)?;
        let field = Arc::new(Field::new("item", ArrowType::Struct(header_fields()), false));
        Ok(Arc::new(ListArray::try_new(field, self.ends.finish()?, Arc::new(items), None).map_err(misbuilt)?))
    }
}

fn header_fields() -> Fields {
    Fields::from(vec![Field::new("name", ArrowType::Utf8, false), Field::new("value", ArrowType::Binary, true)])
}

/// Bytes that are not UTF-8, with those that are printable ASCII shown as such: `caf\xe9`.
#[cold]
fn hex_escaped(name: &[u8]) -> String {
    name.iter().flat_map(|byte| std::ascii::escape_default(*byte)).map(char::from).collect()
}

fn misbuilt(error: arrow::error::ArrowError) -> Error {
    Error::internal("load: the columns of the headers do not make an Arrow array").with_source(error)
}

/// Room that is made for the next run, at most.
const MAX_ROWS: usize = 1 << 16;
