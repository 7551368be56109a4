//! What a landed value can be, its text form, and what Arrow calls it.

use std::fmt;
use std::sync::Arc;

use arrow::datatypes::{DataType as ArrowType, Field as ArrowField, Fields, TimeUnit};

/// What the values of a payload field are.
///
/// The text form (`FromStr`, `Display`) is what a schema's JSON says: `int64`, `decimal(10,2)`, `timestamp(ms,UTC)`,
/// `list<utf8>`, `struct<a: int64, b: utf8>`, `map<utf8,int64>`. Member names that are more than letters, digits, `_`, `-`
/// and `$` are written as JSON strings.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum DataType {
    /// `true` or `false`.
    Bool,
    /// An integer of 8 bits.
    Int8,
    /// An integer of 16 bits.
    Int16,
    /// An integer of 32 bits.
    Int32,
    /// An integer of 64 bits.
    Int64,
    /// An integer of 8 bits, not negative.
    Uint8,
    /// An integer of 16 bits, not negative.
    Uint16,
    /// An integer of 32 bits, not negative.
    Uint32,
    /// An integer of 64 bits, not negative.
    Uint64,
    /// The nearest number of 32 bits.
    Float32,
    /// The nearest number of 64 bits.
    Float64,
    /// An exact number.
    Decimal {
        /// Digits in all, 1 to 38.
        precision: u8,
        /// Digits of these after the point, at most `precision`.
        scale: u8,
    },
    /// Text.
    Utf8,
    /// Bytes; in JSON a base64 string.
    Binary,
    /// A day.
    Date,
    /// A moment.
    Timestamp {
        /// The finest step that it tells apart.
        unit: TimeUnit,
        /// Whether it is an instant in UTC, which needs a zone in the text, or a wall clock without a zone.
        utc: bool,
    },
    /// Any number of items of one type.
    List(Box<DataType>),
    /// Named members.
    Struct(Vec<(String, DataType)>),
    /// Any number of values of one type under names.
    Map(Box<DataType>),
    /// Any JSON, kept as its own text.
    Json,
}

impl DataType {
    /// What Arrow calls it. Items, members and values inside are nullable.
    pub fn to_arrow(&self) -> ArrowType {
        match self {
            DataType::Bool => ArrowType::Boolean,
            DataType::Int8 => ArrowType::Int8,
            DataType::Int16 => ArrowType::Int16,
            DataType::Int32 => ArrowType::Int32,
            DataType::Int64 => ArrowType::Int64,
            DataType::Uint8 => ArrowType::UInt8,
            DataType::Uint16 => ArrowType::UInt16,
            DataType::Uint32 => ArrowType::UInt32,
            DataType::Uint64 => ArrowType::UInt64,
            DataType::Float32 => ArrowType::Float32,
            DataType::Float64 => ArrowType::Float64,
            DataType::Decimal { precision, scale } => ArrowType::Decimal128(*precision, scale.cast_signed()),
            DataType::Utf8 | DataType::Json => ArrowType::Utf8,
            DataType::Binary => ArrowType::Binary,
            DataType::Date => ArrowType::Date32,
            DataType::Timestamp { unit, utc } => {
                // Parquet has no timestamp of seconds: they land as milliseconds, which every reader knows.
                let stored = if *unit == TimeUnit::Second { TimeUnit::Millisecond } else { *unit };
                ArrowType::Timestamp(stored, utc.then(|| "UTC".into()))
            }
            DataType::List(item) => ArrowType::List(Arc::new(ArrowField::new("item", item.to_arrow(), true))),
            DataType::Struct(members) => ArrowType::Struct(member_fields(members)),
            DataType::Map(value) => ArrowType::Map(
                Arc::new(ArrowField::new("entries", ArrowType::Struct(entry_fields(value)), false)),
                false,
            ),
        }
    }
}

impl DataType {
    /// Whether a column of this type may become one of the other: each of its values is one of the other's, and every reader
    /// that the docs name takes both for one column.
    pub fn widens_to(&self, other: &DataType) -> bool {
        use DataType::{Decimal, Float32, Float64, Int8, Int16, Int32, Int64, Uint8, Uint16, Uint32, Uint64};
        match (self, other) {
            (Int8, Int16 | Int32 | Int64) | (Int16, Int32 | Int64) | (Int32, Int64) => true,
            (Uint8, Uint16 | Uint32 | Uint64) | (Uint16, Uint32 | Uint64) | (Uint32, Uint64) => true,
            (Uint8, Int16 | Int32 | Int64) | (Uint16, Int32 | Int64) | (Uint32, Int64) => true,
            (Float32, Float64) => true,
            (Decimal { precision: old, scale: before }, Decimal { precision: new, scale: after }) => {
                before == after && old <= new
            }
            _ => false,
        }
    }

    /// What lands as this Arrow type; `None` for one that nothing lands as. Text and JSON are both text there, and a second
    /// is a thousand milliseconds.
    pub(crate) fn from_arrow(arrow: &ArrowType) -> Option<Self> {
        Some(match arrow {
            ArrowType::Boolean => DataType::Bool,
            ArrowType::Int8 => DataType::Int8,
            ArrowType::Int16 => DataType::Int16,
            ArrowType::Int32 => DataType::Int32,
            ArrowType::Int64 => DataType::Int64,
            ArrowType::UInt8 => DataType::Uint8,
            ArrowType::UInt16 => DataType::Uint16,
            ArrowType::UInt32 => DataType::Uint32,
            ArrowType::UInt64 => DataType::Uint64,
            ArrowType::Float32 => DataType::Float32,
            ArrowType::Float64 => DataType::Float64,
            ArrowType::Decimal128(precision, scale) => {
                DataType::Decimal { precision: *precision, scale: u8::try_from(*scale).ok()? }
            }
            ArrowType::Utf8 | ArrowType::LargeUtf8 | ArrowType::Utf8View => DataType::Utf8,
            ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => DataType::Binary,
            ArrowType::Date32 => DataType::Date,
            ArrowType::Timestamp(unit, zone) => DataType::Timestamp { unit: *unit, utc: zone.is_some() },
            ArrowType::List(item) | ArrowType::LargeList(item) => {
                DataType::List(Box::new(Self::from_arrow(item.data_type())?))
            }
            ArrowType::Struct(members) => {
                let members =
                    members.iter().map(|member| Some((member.name().clone(), Self::from_arrow(member.data_type())?)));
                DataType::Struct(members.collect::<Option<_>>()?)
            }
            ArrowType::Map(entries, _) => match entries.data_type() {
                ArrowType::Struct(entry) => DataType::Map(Box::new(Self::from_arrow(entry.get(1)?.data_type())?)),
                _ => return None,
            },
            _ => return None,
        })
    }
}

/// A struct's members as Arrow fields.
pub(crate) fn member_fields(members: &[(String, DataType)]) -> Fields {
    members.iter().map(|(name, data_type)| ArrowField::new(name, data_type.to_arrow(), true)).collect()
}

/// A map's entries as Arrow fields.
pub(crate) fn entry_fields(value: &DataType) -> Fields {
    Fields::from(vec![ArrowField::new("key", ArrowType::Utf8, false), ArrowField::new("value", value.to_arrow(), true)])
}

impl fmt::Display for DataType {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DataType::Decimal { precision, scale } => write!(out, "decimal({precision},{scale})"),
            DataType::Timestamp { unit, utc } => {
                write!(out, "timestamp({}{})", unit_name(*unit), if *utc { ",UTC" } else { "" })
            }
            DataType::List(item) => write!(out, "list<{item}>"),
            DataType::Map(value) => write!(out, "map<utf8,{value}>"),
            DataType::Struct(members) => {
                out.write_str("struct<")?;
                for (index, (name, data_type)) in members.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    if is_plain_name(name) {
                        write!(out, "{comma}{name}: {data_type}")?;
                    } else {
                        write!(out, "{comma}{}: {data_type}", serde_json::Value::from(name.as_str()))?;
                    }
                }
                out.write_str(">")
            }
            simple => out.write_str(SIMPLE.iter().find(|(_, named)| named == simple).map_or("", |(name, _)| name)),
        }
    }
}

/// Whether a member's name is written without quotes.
pub(super) fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && name.chars().all(|letter| letter.is_alphanumeric() || "_-$".contains(letter))
}

pub(super) fn unit_name(unit: TimeUnit) -> &'static str {
    match unit {
        TimeUnit::Second => "s",
        TimeUnit::Millisecond => "ms",
        TimeUnit::Microsecond => "us",
        TimeUnit::Nanosecond => "ns",
    }
}

/// The types whose text form is one word.
pub(super) const SIMPLE: &[(&str, DataType)] = &[
    ("bool", DataType::Bool),
    ("int8", DataType::Int8),
    ("int16", DataType::Int16),
    ("int32", DataType::Int32),
    ("int64", DataType::Int64),
    ("uint8", DataType::Uint8),
    ("uint16", DataType::Uint16),
    ("uint32", DataType::Uint32),
    ("uint64", DataType::Uint64),
    ("float32", DataType::Float32),
    ("float64", DataType::Float64),
    ("utf8", DataType::Utf8),
    ("binary", DataType::Binary),
    ("date", DataType::Date),
    ("json", DataType::Json),
];
