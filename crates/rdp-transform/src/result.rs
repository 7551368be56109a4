//! The rows of a query, for people and for JSON.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, NaiveDate, SecondsFormat, TimeDelta, Utc};
use polars::prelude::{AnyValue, DataFrame, DataType, TimeUnit};
use serde_json::{Map, Value};

/// The rows that a query gave.
#[derive(Debug, Clone)]
pub struct QueryResult(DataFrame);

/// One column of a query's rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryColumn {
    /// Its name.
    pub name: String,
    /// Whether it holds numbers, which tables align to the right.
    pub is_number: bool,
}

impl QueryResult {
    pub(super) fn new(rows: DataFrame) -> Self {
        QueryResult(rows)
    }

    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.0.height()
    }

    /// The columns, in order.
    pub fn columns(&self) -> Vec<QueryColumn> {
        let column = |name: &str, of: &DataType| QueryColumn { name: name.to_owned(), is_number: is_number(of) };
        self.0.columns().iter().map(|values| column(values.name(), values.dtype())).collect()
    }

    /// Every row as a JSON object.
    ///
    /// Dates and times are RFC 3339 text, decimals exact text. Bytes that are no UTF-8 are base64 under the column's
    /// name with `_base64` behind it.
    pub fn json_rows(&self) -> Vec<Map<String, Value>> {
        self.rows(insert)
    }

    /// Every row as text for a person, cell by cell; `None` where the cell is null.
    pub fn text_rows(&self) -> Vec<Vec<Option<String>>> {
        let cell = |row: &mut Vec<Option<String>>, _: &str, value: &AnyValue<'_>| {
            row.push(match json(value) {
                Value::Null => None,
                Value::String(text) => Some(text),
                Value::Object(bytes) if is_bytes(value) => Some(bytes.values().map(bare).collect()),
                other => Some(other.to_string()),
            });
        };
        self.rows(cell)
    }

    fn rows<R: Default>(&self, put: impl Fn(&mut R, &str, &AnyValue<'_>)) -> Vec<R> {
        let mut rows: Vec<R> = std::iter::repeat_with(R::default).take(self.row_count()).collect();
        for column in self.0.columns() {
            let column = column.as_materialized_series().rechunk();
            for (row, value) in rows.iter_mut().zip(column.iter()) {
                put(row, column.name(), &value);
            }
        }
        rows
    }
}

/// Puts a value into an object under its name, or, where it is bytes that are no text, under `…_base64`.
fn insert(object: &mut Map<String, Value>, name: &str, value: &AnyValue<'_>) {
    match json(value) {
        Value::Object(bytes) if is_bytes(value) => {
            let base64 = bytes.into_iter().next().map(|(_, base64)| base64).unwrap_or_default();
            object.insert(format!("{name}_base64"), base64);
        }
        value => {
            object.insert(name.to_owned(), value);
        }
    }
}

fn json(value: &AnyValue<'_>) -> Value {
    match value {
        AnyValue::Null => Value::Null,
        AnyValue::Boolean(flag) => (*flag).into(),
        AnyValue::String(text) => (*text).into(),
        AnyValue::StringOwned(text) => text.as_str().into(),
        AnyValue::UInt8(number) => (*number).into(),
        AnyValue::UInt16(number) => (*number).into(),
        AnyValue::UInt32(number) => (*number).into(),
        AnyValue::UInt64(number) => (*number).into(),
        AnyValue::Int8(number) => (*number).into(),
        AnyValue::Int16(number) => (*number).into(),
        AnyValue::Int32(number) => (*number).into(),
        AnyValue::Int64(number) => (*number).into(),
        // Text where no number of JSON's readers holds it, as decimals are.
        AnyValue::Int128(number) => whole(*number),
        AnyValue::UInt128(number) => i128::try_from(*number).map_or_else(|_| number.to_string().into(), whole),
        // The shortest text of a float32 is that of this float64.
        AnyValue::Float32(number) => float(number.to_string().parse().unwrap_or(f64::from(*number))),
        AnyValue::Float64(number) => float(*number),
        AnyValue::Date(days) => date(*days),
        AnyValue::Datetime(time, unit, zone) => timestamp(*time, *unit, zone.is_some()),
        AnyValue::DatetimeOwned(time, unit, zone) => timestamp(*time, *unit, zone.is_some()),
        AnyValue::Binary(bytes) => bytes_or_text(bytes),
        AnyValue::BinaryOwned(bytes) => bytes_or_text(bytes),
        AnyValue::List(items) => items.iter().map(|item| json(&item)).collect(),
        AnyValue::Struct(..) | AnyValue::StructOwned(_) => {
            let mut object = Map::new();
            let AnyValue::StructOwned(owned) = value.clone().into_static() else { return Value::Null };
            for (value, field) in owned.0.iter().zip(&owned.1) {
                insert(&mut object, field.name(), value);
            }
            object.into()
        }
        // Decimals exactly, and what no landing has (durations, times of day, categories) as Polars writes it.
        other => other.to_string().into(),
    }
}

/// The shortest text that is this very float again. JSON has neither NaN nor infinity: they are text.
fn float(number: f64) -> Value {
    serde_json::Number::from_f64(number).map_or_else(|| number.to_string().into(), Value::Number)
}

fn whole(number: i128) -> Value {
    match (i64::try_from(number), u64::try_from(number)) {
        (Ok(number), _) => number.into(),
        (_, Ok(number)) => number.into(),
        _ => number.to_string().into(),
    }
}

fn date(days: i32) -> Value {
    let date = TimeDelta::try_days(days.into())
        .and_then(|since| NaiveDate::from_ymd_opt(1970, 1, 1)?.checked_add_signed(since));
    date.map_or_else(|| days.into(), |date| date.to_string().into())
}

fn timestamp(time: i64, unit: TimeUnit, has_zone: bool) -> Value {
    let (moment, format): (Option<DateTime<Utc>>, _) = match unit {
        TimeUnit::Milliseconds => (DateTime::from_timestamp_millis(time), SecondsFormat::Millis),
        TimeUnit::Microseconds => (DateTime::from_timestamp_micros(time), SecondsFormat::Micros),
        TimeUnit::Nanoseconds => (Some(DateTime::from_timestamp_nanos(time)), SecondsFormat::Nanos),
    };
    let Some(moment) = moment else { return time.into() };
    let text = moment.to_rfc3339_opts(format, true);
    Value::String(if has_zone { text } else { text.trim_end_matches('Z').to_owned() })
}

fn bytes_or_text(bytes: &[u8]) -> Value {
    match std::str::from_utf8(bytes) {
        Ok(text) => text.into(),
        Err(_) => Value::Object(Map::from_iter([("base64".to_owned(), STANDARD.encode(bytes).into())])),
    }
}

fn is_bytes(value: &AnyValue<'_>) -> bool {
    matches!(value, AnyValue::Binary(_) | AnyValue::BinaryOwned(_))
}

fn bare(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn is_number(of: &DataType) -> bool {
    of.is_primitive_numeric() || matches!(of, DataType::Decimal(..))
}

#[cfg(test)]
mod tests {
    use polars::prelude::df;

    use super::*;

    #[test]
    fn bytes_cross_json_without_loss() {
        let keys: [Option<&[u8]>; 3] = [Some(b"k-1"), Some(&[0xff, 0x00]), None];
        let rows = QueryResult::new(df!["key" => keys].expect("rows"));
        assert_eq!(
            serde_json::to_value(rows.json_rows()).expect("JSON"),
            serde_json::json!([{"key": "k-1"}, {"key_base64": "/wA="}, {"key": null}])
        );
        assert_eq!(rows.text_rows()[1], [Some("/wA=".to_owned())]);
    }

    #[test]
    fn floats_come_back_as_they_were() {
        let mut state = 1u64;
        let mut random = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            f64::from_bits(state ^ state >> 29)
        };
        let floats: Vec<f64> =
            std::iter::repeat_with(&mut random).filter(|number| number.is_finite()).take(10_000).collect();
        let narrow: Vec<f32> = floats.iter().map(|number| *number as f32).collect();
        let rows = QueryResult::new(df!["f" => floats.clone(), "n" => narrow.clone()].expect("rows"));
        for (cells, (float, narrow)) in rows.text_rows().iter().zip(floats.iter().zip(&narrow)) {
            let [Some(f), Some(n)] = &cells[..] else { panic!("null in {cells:?}") };
            assert_eq!(f.parse::<f64>().map(f64::to_bits), Ok(float.to_bits()), "{f}");
            assert!(f.len() < 26, "{f}");
            assert_eq!(n.parse::<f32>().map(f32::to_bits), Ok(narrow.to_bits()), "{n}");
        }
        let rows = QueryResult::new(df!["f" => [1.79e308, 0.1], "n" => [0.1f32, 16777216.0]].expect("rows"));
        let text = serde_json::to_string(&rows.json_rows()).expect("JSON");
        assert_eq!(text, r#"[{"f":1.79e+308,"n":0.1},{"f":0.1,"n":16777216.0}]"#);
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(timestamp(1_500, TimeUnit::Milliseconds, true), "1970-01-01T00:00:01.500Z");
        assert_eq!(timestamp(1_500, TimeUnit::Microseconds, false), "1970-01-01T00:00:00.001500");
        assert_eq!(date(-1), "1969-12-31");
    }
}
