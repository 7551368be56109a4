//! Column buffers: filled value by value, cut back when a record turns out not to fit, and handed to Arrow without a copy.

use std::sync::Arc;

use arrow::array::{
    ArrayRef, BinaryArray, BooleanArray, BooleanBufferBuilder, ListArray, MapArray, NullBufferBuilder, PrimitiveArray,
    StringArray, StructArray,
};
use arrow::buffer::{Buffer, NullBuffer, OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{
    ArrowPrimitiveType, DataType as ArrowType, Date32Type, Decimal128Type, Field as ArrowField, Float32Type,
    Float64Type, Int8Type, Int16Type, Int32Type, Int64Type, TimeUnit, TimestampMicrosecondType,
    TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};

use super::names::Names;
use crate::error::{Error, Result};
use crate::schema::{DataType, entry_fields, member_fields};

/// The rows of one column so far.
pub(crate) struct Column {
    pub(crate) data_type: DataType,
    pub(crate) values: Values,
    nulls: NullBufferBuilder,
    /// Rows that are complete; asked for with every field.
    rows: usize,
    /// How many rows to make room for: as many as came before.
    room: usize,
}

/// The values of a column, by type; a null row has a value too, which nobody reads.
pub(crate) enum Values {
    Bool(BooleanBufferBuilder),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    Decimal(Vec<i128>),
    Utf8(Bytes),
    Binary(Bytes),
    Json(Bytes),
    Date(Vec<i32>),
    Timestamp(Vec<i64>),
    List(Ends, Box<Column>),
    Struct(Names, Vec<Column>),
    Map(Ends, Box<(Bytes, Column)>),
}

macro_rules! for_primitive {
    ($values:expr, $vec:ident => $body:expr, else { $($rest:tt)* }) => {
        match $values {
            Values::Int8($vec) => $body,
            Values::Int16($vec) => $body,
            Values::Int32($vec) => $body,
            Values::Int64($vec) => $body,
            Values::Uint8($vec) => $body,
            Values::Uint16($vec) => $body,
            Values::Uint32($vec) => $body,
            Values::Uint64($vec) => $body,
            Values::Float32($vec) => $body,
            Values::Float64($vec) => $body,
            Values::Decimal($vec) => $body,
            Values::Date($vec) => $body,
            Values::Timestamp($vec) => $body,
            $($rest)*
        }
    };
}

impl Column {
    /// An empty column of this type.
    pub(crate) fn new(data_type: &DataType) -> Self {
        let values = match data_type {
            DataType::Bool => Values::Bool(BooleanBufferBuilder::new(0)),
            DataType::Int8 => Values::Int8(Vec::new()),
            DataType::Int16 => Values::Int16(Vec::new()),
            DataType::Int32 => Values::Int32(Vec::new()),
            DataType::Int64 => Values::Int64(Vec::new()),
            DataType::Uint8 => Values::Uint8(Vec::new()),
            DataType::Uint16 => Values::Uint16(Vec::new()),
            DataType::Uint32 => Values::Uint32(Vec::new()),
            DataType::Uint64 => Values::Uint64(Vec::new()),
            DataType::Float32 => Values::Float32(Vec::new()),
            DataType::Float64 => Values::Float64(Vec::new()),
            DataType::Decimal { .. } => Values::Decimal(Vec::new()),
            DataType::Utf8 => Values::Utf8(Bytes::default()),
            DataType::Binary => Values::Binary(Bytes::default()),
            DataType::Json => Values::Json(Bytes::default()),
            DataType::Date => Values::Date(Vec::new()),
            DataType::Timestamp { .. } => Values::Timestamp(Vec::new()),
            DataType::List(item) => Values::List(Ends::default(), Box::new(Column::new(item))),
            DataType::Struct(members) => Values::Struct(
                Names::new(members.iter().map(|(name, _)| name.as_str())),
                members.iter().map(|(_, data_type)| Column::new(data_type)).collect(),
            ),
            DataType::Map(value) => Values::Map(Ends::default(), Box::new((Bytes::default(), Column::new(value)))),
        };
        Column { data_type: data_type.clone(), values, nulls: NullBufferBuilder::new(0), rows: 0, room: 0 }
    }

    /// Rows that are complete.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.rows
    }

    /// Ends a row whose value has been pushed.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.nulls.append_non_null();
        self.rows += 1;
    }

    /// Appends a row without a value.
    pub(crate) fn append_null(&mut self) {
        for_primitive!(&mut self.values, vec => vec.push(Default::default()), else {
            Values::Bool(bits) => bits.append(false),
            Values::Utf8(bytes) | Values::Binary(bytes) | Values::Json(bytes) => bytes.end_row(),
            Values::List(ends, item) => ends.push(item.len()),
            Values::Map(ends, entries) => ends.push(entries.1.len()),
            Values::Struct(_, members) => members.iter_mut().for_each(Column::append_null),
        });
        self.nulls.append_null();
        self.rows += 1;
    }

    /// Forgets every row past the first `rows`, and whatever was begun of the next.
    pub(crate) fn truncate(&mut self, rows: usize) {
        for_primitive!(&mut self.values, vec => vec.truncate(rows), else {
            Values::Bool(bits) => bits.truncate(rows),
            Values::Utf8(bytes) | Values::Binary(bytes) | Values::Json(bytes) => bytes.truncate(rows),
            Values::List(ends, item) => {
                ends.truncate(rows);
                item.truncate(ends.last());
            }
            Values::Map(ends, entries) => {
                ends.truncate(rows);
                entries.0.truncate(ends.last());
                entries.1.truncate(ends.last());
            }
            Values::Struct(_, members) => members.iter_mut().for_each(|member| member.truncate(rows)),
        });
        self.nulls.truncate(rows);
        self.rows = self.rows.min(rows);
    }

    /// Hands the rows over as an Arrow array, and is empty again, with room for as much.
    ///
    /// # Errors
    /// [`Unsupported`](crate::ErrorKind::Unsupported) where the column holds more than Arrow's 32-bit offsets count.
    pub(crate) fn finish(&mut self) -> Result<ArrayRef> {
        let rows = self.room.max(std::mem::take(&mut self.rows)).min(MAX_ROWS);
        self.room = rows;
        let nulls = self.nulls.finish();
        self.nulls = NullBufferBuilder::new(rows);
        let array: ArrayRef = match &mut self.values {
            Values::Bool(bits) => Arc::new(BooleanArray::new(bits.finish(), nulls)),
            Values::Int8(vec) => primitive::<Int8Type>(vec, nulls, rows)?,
            Values::Int16(vec) => primitive::<Int16Type>(vec, nulls, rows)?,
            Values::Int32(vec) => primitive::<Int32Type>(vec, nulls, rows)?,
            Values::Int64(vec) => primitive::<Int64Type>(vec, nulls, rows)?,
            Values::Uint8(vec) => primitive::<UInt8Type>(vec, nulls, rows)?,
            Values::Uint16(vec) => primitive::<UInt16Type>(vec, nulls, rows)?,
            Values::Uint32(vec) => primitive::<UInt32Type>(vec, nulls, rows)?,
            Values::Uint64(vec) => primitive::<UInt64Type>(vec, nulls, rows)?,
            Values::Float32(vec) => primitive::<Float32Type>(vec, nulls, rows)?,
            Values::Float64(vec) => primitive::<Float64Type>(vec, nulls, rows)?,
            Values::Date(vec) => primitive::<Date32Type>(vec, nulls, rows)?,
            Values::Decimal(vec) => {
                Arc::new(take_primitive::<Decimal128Type>(vec, nulls, rows)?.with_data_type(self.data_type.to_arrow()))
            }
            Values::Timestamp(vec) => timestamps(vec, nulls, rows, &self.data_type.to_arrow())?,
            Values::Utf8(bytes) | Values::Json(bytes) => bytes.finish_utf8(nulls)?,
            Values::Binary(bytes) => bytes.finish_binary(nulls)?,
            Values::List(ends, item) => {
                let field = Arc::new(ArrowField::new("item", item.data_type.to_arrow(), true));
                Arc::new(ListArray::try_new(field, ends.finish()?, item.finish()?, nulls).map_err(misbuilt)?)
            }
            Values::Struct(_, members) => {
                let DataType::Struct(named) = &self.data_type else {
                    return Err(Error::internal("load: a struct column is not of struct type"));
                };
                let arrays = members.iter_mut().map(Column::finish).collect::<Result<Vec<_>>>()?;
                Arc::new(StructArray::try_new(member_fields(named), arrays, nulls).map_err(misbuilt)?)
            }
            Values::Map(ends, entries) => {
                let (keys, values) = &mut **entries;
                let fields = entry_fields(&values.data_type);
                let columns = vec![keys.finish_utf8(None)?, values.finish()?];
                let entries = StructArray::try_new(fields.clone(), columns, None).map_err(misbuilt)?;
                let field = Arc::new(ArrowField::new("entries", ArrowType::Struct(fields), false));
                Arc::new(MapArray::try_new(field, ends.finish()?, entries, nulls, false).map_err(misbuilt)?)
            }
        };
        Ok(array)
    }
}

fn take_primitive<T: ArrowPrimitiveType>(
    vec: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<PrimitiveArray<T>> {
    PrimitiveArray::try_new(ScalarBuffer::from(hand_over(vec, rows)), nulls).map_err(misbuilt)
}

/// What a vec holds. Leaves it empty, with room for so many.
///
/// Where it holds much less than it has room for, a copy that fits is handed over: rows can wait long in an open window, and
/// with few records of each partition at a time they would take many times their size.
pub(super) fn hand_over<T: Copy>(vec: &mut Vec<T>, room: usize) -> Vec<T> {
    let full = match vec.len() < vec.capacity() / 4 * 3 {
        true => vec.clone(),
        false => std::mem::take(vec),
    };
    match (room..=room * 2).contains(&vec.capacity()) {
        true => vec.clear(),
        false => *vec = Vec::with_capacity(room),
    }
    full
}

fn primitive<T: ArrowPrimitiveType>(
    vec: &mut Vec<T::Native>,
    nulls: Option<NullBuffer>,
    rows: usize,
) -> Result<ArrayRef> {
    Ok(Arc::new(take_primitive::<T>(vec, nulls, rows)?))
}

fn timestamps(vec: &mut Vec<i64>, nulls: Option<NullBuffer>, rows: usize, data_type: &ArrowType) -> Result<ArrayRef> {
    let ArrowType::Timestamp(unit, zone) = data_type else {
        return Err(Error::internal("load: a timestamp column is not of timestamp type"));
    };
    let zone = zone.clone();
    Ok(match unit {
        TimeUnit::Second | TimeUnit::Millisecond => {
            Arc::new(take_primitive::<TimestampMillisecondType>(vec, nulls, rows)?.with_timezone_opt(zone))
        }
        TimeUnit::Microsecond => {
            Arc::new(take_primitive::<TimestampMicrosecondType>(vec, nulls, rows)?.with_timezone_opt(zone))
        }
        TimeUnit::Nanosecond => {
            Arc::new(take_primitive::<TimestampNanosecondType>(vec, nulls, rows)?.with_timezone_opt(zone))
        }
    })
}

/// Where each row of a column of varying length ends; the first entry is 0.
pub(crate) struct Ends {
    offsets: Vec<i32>,
    /// Rows were pushed that 32 bits cannot count; they cannot become an array.
    overflowed: bool,
    room: usize,
}

impl Default for Ends {
    fn default() -> Self {
        Ends { offsets: vec![0], overflowed: false, room: 0 }
    }
}

impl Ends {
    /// Ends a row.
    #[inline]
    pub(crate) fn push(&mut self, end: usize) {
        let offset = i32::try_from(end).unwrap_or(i32::MAX);
        self.overflowed |= offset == i32::MAX;
        self.offsets.push(offset);
    }

    /// Where the last row ends.
    #[inline]
    pub(crate) fn last(&self) -> usize {
        self.offsets.last().map_or(0, |end| end.cast_unsigned() as usize)
    }

    /// Rows so far.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.offsets.len() - 1
    }

    /// Where a row begins and ends.
    fn range(&self, row: usize) -> (usize, usize) {
        (self.offsets[row].cast_unsigned() as usize, self.offsets[row + 1].cast_unsigned() as usize)
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.offsets.truncate(rows + 1);
        self.overflowed &= self.offsets.last() == Some(&i32::MAX);
    }

    pub(crate) fn finish(&mut self) -> Result<OffsetBuffer<i32>> {
        self.room = self.room.max(self.offsets.len()).min(MAX_ROWS + 1);
        let full = hand_over(&mut self.offsets, self.room);
        self.offsets.push(0);
        if std::mem::take(&mut self.overflowed) {
            return Err(Error::new(
                crate::error::ErrorKind::Unsupported,
                "load records: one column of the run holds more than 2 GiB, which Arrow's 32-bit offsets cannot count",
            )
            .with_help("load fewer records at a time"));
        }
        Ok(OffsetBuffer::new(ScalarBuffer::from(full)))
    }
}

/// Byte strings end to end, and where each ends.
#[derive(Default)]
pub(crate) struct Bytes {
    pub(crate) bytes: Vec<u8>,
    ends: Ends,
    room: usize,
}

impl Bytes {
    /// Appends a whole row.
    #[inline]
    pub(crate) fn push(&mut self, row: &[u8]) {
        self.bytes.extend_from_slice(row);
        self.end_row();
    }

    /// Ends the row whose bytes were pushed.
    #[inline]
    pub(crate) fn end_row(&mut self) {
        self.ends.push(self.bytes.len());
    }

    /// Where the row begins whose bytes are being pushed.
    #[inline]
    pub(crate) fn row_start(&self) -> usize {
        self.ends.last()
    }

    /// Rows that are complete.
    #[inline]
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    /// A row that is equal to another one, among those from `first` on.
    pub(crate) fn repeated_since(&self, first: usize) -> Option<&[u8]> {
        let count = self.len() - first;
        if count <= FEW_ROWS {
            return (first..self.len())
                .find(|row| (first..*row).any(|other| self.row(other) == self.row(*row)))
                .map(|row| self.row(row));
        }
        let mut rows: Vec<&[u8]> = (first..self.len()).map(|row| self.row(row)).collect();
        rows.sort_unstable();
        rows.windows(2).find(|pair| pair[0] == pair[1]).map(|pair| pair[0])
    }

    fn row(&self, row: usize) -> &[u8] {
        let (start, end) = self.ends.range(row);
        &self.bytes[start..end]
    }

    pub(crate) fn truncate(&mut self, rows: usize) {
        self.ends.truncate(rows);
        self.bytes.truncate(self.ends.last());
    }

    pub(crate) fn finish_utf8(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (ends, bytes) = self.take()?;
        Ok(Arc::new(StringArray::try_new(ends, bytes, nulls).map_err(misbuilt)?))
    }

    pub(crate) fn finish_binary(&mut self, nulls: Option<NullBuffer>) -> Result<ArrayRef> {
        let (ends, bytes) = self.take()?;
        Ok(Arc::new(BinaryArray::try_new(ends, bytes, nulls).map_err(misbuilt)?))
    }

    fn take(&mut self) -> Result<(OffsetBuffer<i32>, Buffer)> {
        self.room = self.room.max(self.bytes.len()).min(MAX_BYTES);
        let full = hand_over(&mut self.bytes, self.room);
        Ok((self.ends.finish()?, Buffer::from_vec(full)))
    }
}

fn misbuilt(error: arrow::error::ArrowError) -> Error {
    Error::internal("load: column buffers do not make an Arrow array").with_source(error)
}

/// Room that is made for the next run, at most: one huge run must not cost every later one.
const MAX_ROWS: usize = 1 << 16;
const MAX_BYTES: usize = 16 << 20;

/// So few rows are compared one by one quicker than sorted.
const FEW_ROWS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_run_after_a_long_one_takes_no_more_than_it_holds() {
        let mut bytes = Bytes::default();
        bytes.push(&[7; 100_000]);
        bytes.take().expect("bytes");
        bytes.push(b"short");
        let (_, short) = bytes.take().expect("bytes");
        assert!(short.capacity() <= 64, "five bytes take {}", short.capacity());
        assert!(bytes.bytes.capacity() >= 100_000, "the next long run grows again from {}", bytes.bytes.capacity());
    }
}
