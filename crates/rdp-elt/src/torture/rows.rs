//! Landed rows, compared with the records that they must be.

use arrow::array::{Array, AsArray, BinaryArray, BooleanArray, ListArray, PrimitiveArray, RecordBatch, StringArray};
use arrow::datatypes::{
    ArrowPrimitiveType, Decimal128Type, Float64Type, Int32Type, Int64Type, TimestampMicrosecondType,
    TimestampMillisecondType,
};

use super::record::{Fate, Fields, Made};
use crate::record::{KafkaStreamRecord, RecordHeader};
use crate::schema::{
    KAFKA_HEADERS, KAFKA_KEY, KAFKA_OFFSET, KAFKA_PARTITION, KAFKA_TIMESTAMP, KAFKA_TOMBSTONE, KAFKA_TOPIC,
    KAFKA_VALUE, RDP_ERROR,
};

/// Some rows, column by column.
pub(super) struct Rows<'a> {
    topic: &'a StringArray,
    partition: &'a PrimitiveArray<Int32Type>,
    offset: &'a PrimitiveArray<Int64Type>,
    timestamp: &'a PrimitiveArray<TimestampMillisecondType>,
    key: &'a BinaryArray,
    headers: &'a ListArray,
    tombstone: &'a BooleanArray,
    value: &'a BinaryArray,
    error: &'a StringArray,
    id: &'a PrimitiveArray<Int64Type>,
    text: &'a StringArray,
    amount: &'a PrimitiveArray<Decimal128Type>,
    at: &'a PrimitiveArray<TimestampMicrosecondType>,
    flag: &'a BooleanArray,
    ratio: &'a PrimitiveArray<Float64Type>,
    city: &'a StringArray,
    tags: &'a ListArray,
    extra: &'a StringArray,
}

impl<'a> Rows<'a> {
    /// The columns; `None` where one is missing or of another type.
    pub(super) fn of(rows: &'a RecordBatch) -> Option<Self> {
        Some(Rows {
            topic: rows.column_by_name(KAFKA_TOPIC)?.as_string_opt()?,
            partition: rows.column_by_name(KAFKA_PARTITION)?.as_primitive_opt()?,
            offset: rows.column_by_name(KAFKA_OFFSET)?.as_primitive_opt()?,
            timestamp: rows.column_by_name(KAFKA_TIMESTAMP)?.as_primitive_opt()?,
            key: rows.column_by_name(KAFKA_KEY)?.as_binary_opt()?,
            headers: rows.column_by_name(KAFKA_HEADERS)?.as_list_opt()?,
            tombstone: rows.column_by_name(KAFKA_TOMBSTONE)?.as_boolean_opt()?,
            value: rows.column_by_name(KAFKA_VALUE)?.as_binary_opt()?,
            error: rows.column_by_name(RDP_ERROR)?.as_string_opt()?,
            id: rows.column_by_name("id")?.as_primitive_opt()?,
            text: rows.column_by_name("text")?.as_string_opt()?,
            amount: rows.column_by_name("amount")?.as_primitive_opt()?,
            at: rows.column_by_name("at")?.as_primitive_opt()?,
            flag: rows.column_by_name("flag")?.as_boolean_opt()?,
            ratio: rows.column_by_name("ratio")?.as_primitive_opt()?,
            city: rows.column_by_name("city")?.as_string_opt()?,
            tags: rows.column_by_name("tags")?.as_list_opt()?,
            extra: rows.column_by_name("extra")?.as_string_opt()?,
        })
    }

    pub(super) fn count(&self) -> usize {
        self.offset.len()
    }

    /// The row's offset; none of ours where it is null.
    pub(super) fn offset(&self, row: usize) -> i64 {
        cell(self.offset, row).unwrap_or(-1)
    }

    /// The first column in which a row is not the record that it must be.
    pub(super) fn differing(&self, row: usize, made: &Made) -> Option<&'static str> {
        self.envelope_differing(row, &made.record, &made.fate).or_else(|| self.payload_differing(row, &made.fate))
    }

    fn envelope_differing(&self, row: usize, record: &KafkaStreamRecord, fate: &Fate) -> Option<&'static str> {
        let KafkaStreamRecord { topic, partition, offset: _, timestamp, key, headers, value } = record;
        first_that_differs([
            (KAFKA_TOPIC, text(self.topic, row) == Some(&**topic)),
            (KAFKA_PARTITION, cell(self.partition, row) == Some(*partition)),
            (KAFKA_TIMESTAMP, cell(self.timestamp, row) == *timestamp),
            (KAFKA_KEY, bytes(self.key, row) == key.as_deref()),
            (KAFKA_HEADERS, self.has_headers(row, headers)),
            (KAFKA_TOMBSTONE, flag(self.tombstone, row) == Some(value.is_none())),
            (KAFKA_VALUE, bytes(self.value, row) == value.as_deref()),
            (RDP_ERROR, self.error.is_valid(row) == (*fate == Fate::Quarantined)),
        ])
    }

    fn payload_differing(&self, row: usize, fate: &Fate) -> Option<&'static str> {
        let fields = match fate {
            Fate::Fits(fields) => Some(&**fields),
            Fate::Tombstone | Fate::Quarantined => None,
        };
        // Where nothing fits, every column has to be null.
        fn of<'f, T>(fields: Option<&'f Fields>, pick: impl FnOnce(&'f Fields) -> Option<T>) -> Option<T> {
            fields.and_then(pick)
        }
        let ratio = cell(self.ratio, row).map(f64::to_bits);
        first_that_differs([
            ("id", cell(self.id, row) == of(fields, |fields| Some(fields.id))),
            ("text", text(self.text, row) == of(fields, |fields| fields.text.as_deref())),
            ("amount", cell(self.amount, row) == of(fields, |fields| fields.amount)),
            ("at", cell(self.at, row) == of(fields, |fields| fields.at)),
            ("flag", flag(self.flag, row) == of(fields, |fields| fields.flag)),
            ("ratio", ratio == of(fields, |fields| fields.ratio.map(f64::to_bits))),
            ("city", text(self.city, row) == of(fields, |fields| fields.city)),
            ("tags", self.has_tags(row, of(fields, |fields| fields.tags.as_deref()))),
            ("extra", text(self.extra, row) == of(fields, |fields| fields.extra.as_deref())),
        ])
    }

    fn has_headers(&self, row: usize, wanted: &[RecordHeader]) -> bool {
        if self.headers.is_null(row) {
            return false;
        }
        let found = self.headers.value(row);
        let Some(found) = found.as_struct_opt() else { return false };
        let [names, values] = found.columns() else { return false };
        let (Some(names), Some(values)) = (names.as_string_opt::<i32>(), values.as_binary_opt::<i32>()) else {
            return false;
        };
        names.len() == wanted.len()
            && wanted.iter().enumerate().all(|(place, header)| {
                text(names, place) == Some(header.name.as_str()) && bytes(values, place) == header.value.as_deref()
            })
    }

    fn has_tags(&self, row: usize, wanted: Option<&[&str]>) -> bool {
        let Some(wanted) = wanted else { return self.tags.is_null(row) };
        if self.tags.is_null(row) {
            return false;
        }
        let found = self.tags.value(row);
        let Some(found) = found.as_string_opt::<i32>() else { return false };
        found.len() == wanted.len() && wanted.iter().enumerate().all(|(place, tag)| text(found, place) == Some(tag))
    }
}

fn first_that_differs<const N: usize>(columns: [(&'static str, bool); N]) -> Option<&'static str> {
    columns.into_iter().find(|(_, is_equal)| !is_equal).map(|(column, _)| column)
}

fn cell<T: ArrowPrimitiveType>(column: &PrimitiveArray<T>, row: usize) -> Option<T::Native> {
    column.is_valid(row).then(|| column.value(row))
}

fn text(column: &StringArray, row: usize) -> Option<&str> {
    column.is_valid(row).then(|| column.value(row))
}

fn bytes(column: &BinaryArray, row: usize) -> Option<&[u8]> {
    column.is_valid(row).then(|| column.value(row))
}

fn flag(column: &BooleanArray, row: usize) -> Option<bool> {
    column.is_valid(row).then(|| column.value(row))
}
