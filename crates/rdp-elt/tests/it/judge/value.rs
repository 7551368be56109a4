//! Values as both sides tell them, and how they are read out of Arrow.

use arrow::array::{Array, AsArray, StructArray};
use arrow::datatypes::{
    DataType, Date32Type, Decimal128Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    TimeUnit, TimestampMicrosecondType, TimestampMillisecondType, TimestampNanosecondType, UInt8Type, UInt16Type,
    UInt32Type, UInt64Type,
};

/// A value, without what both sides might mean differently by it: no floats, no calendars.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Bool(bool),
    /// An integer; a decimal's digits; days; a moment in its column's unit.
    Integer(i128),
    /// The bits of a float, so that `-0` is not `0`.
    Float(u64),
    Text(String),
    Bytes(Vec<u8>),
    List(Vec<Value>),
    Members(Vec<(String, Value)>),
}

impl Value {
    /// The value in a row of an Arrow column.
    pub(crate) fn landed(column: &dyn Array, row: usize) -> Value {
        if column.is_null(row) {
            return Value::Null;
        }
        match column.data_type() {
            DataType::Boolean => Value::Bool(column.as_boolean().value(row)),
            DataType::Int8 => Value::Integer(column.as_primitive::<Int8Type>().value(row).into()),
            DataType::Int16 => Value::Integer(column.as_primitive::<Int16Type>().value(row).into()),
            DataType::Int32 => Value::Integer(column.as_primitive::<Int32Type>().value(row).into()),
            DataType::Int64 => Value::Integer(column.as_primitive::<Int64Type>().value(row).into()),
            DataType::UInt8 => Value::Integer(column.as_primitive::<UInt8Type>().value(row).into()),
            DataType::UInt16 => Value::Integer(column.as_primitive::<UInt16Type>().value(row).into()),
            DataType::UInt32 => Value::Integer(column.as_primitive::<UInt32Type>().value(row).into()),
            DataType::UInt64 => Value::Integer(column.as_primitive::<UInt64Type>().value(row).into()),
            DataType::Float32 => Value::Float(column.as_primitive::<Float32Type>().value(row).to_bits().into()),
            DataType::Float64 => Value::Float(column.as_primitive::<Float64Type>().value(row).to_bits()),
            DataType::Decimal128(..) => Value::Integer(column.as_primitive::<Decimal128Type>().value(row)),
            DataType::Utf8 => Value::Text(column.as_string::<i32>().value(row).to_owned()),
            DataType::Binary => Value::Bytes(column.as_binary::<i32>().value(row).to_owned()),
            DataType::Date32 => Value::Integer(column.as_primitive::<Date32Type>().value(row).into()),
            DataType::Timestamp(TimeUnit::Millisecond, _) => {
                Value::Integer(column.as_primitive::<TimestampMillisecondType>().value(row).into())
            }
            DataType::Timestamp(TimeUnit::Microsecond, _) => {
                Value::Integer(column.as_primitive::<TimestampMicrosecondType>().value(row).into())
            }
            DataType::Timestamp(TimeUnit::Nanosecond, _) => {
                Value::Integer(column.as_primitive::<TimestampNanosecondType>().value(row).into())
            }
            DataType::List(_) => {
                let items = column.as_list::<i32>().value(row);
                Value::List((0..items.len()).map(|item| Value::landed(&items, item)).collect())
            }
            DataType::Struct(_) => Value::Members(members(column.as_struct(), row)),
            DataType::Map(..) => {
                let entries = column.as_map().value(row);
                let pair = |entry: usize| match Value::landed(entries.column(0), entry) {
                    Value::Text(name) => (name, Value::landed(entries.column(1), entry)),
                    other => panic!("a map has {other:?} for a name"),
                };
                Value::Members((0..entries.len()).map(pair).collect())
            }
            other => panic!("nothing lands as {other}"),
        }
    }
}

fn members(column: &StructArray, row: usize) -> Vec<(String, Value)> {
    let names = column.column_names().into_iter().map(str::to_owned);
    names.zip(column.columns().iter().map(|member| Value::landed(member, row))).collect()
}
