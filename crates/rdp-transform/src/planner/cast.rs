//! `CAST`: what is exact or fails, and nothing that would change a value in silence.

use chrono::{NaiveDate, NaiveDateTime};
use polars::prelude::Literal as _;
use polars::prelude::{AnyValue, DataType, Expr, NULL, Scalar, TimeUnit, TimeZone, lit};
use rdp_elt::Result;
use sqlparser::ast as sql;

use super::coerce::{Typed, scale, to};
use super::rowwise::{rowwise, text, unfit};
use super::text::{bytes, owned};
use super::{exact, moment, refused};

/// The type that a name of SQL's means.
pub(super) fn type_of(name: &sql::DataType) -> Result<DataType> {
    use sql::DataType as Name;
    Ok(match name {
        Name::Boolean | Name::Bool => DataType::Boolean,
        Name::TinyInt(None) => DataType::Int8,
        Name::SmallInt(None) | Name::Int2(None) | Name::Int16 => DataType::Int16,
        Name::Int(None) | Name::Integer(None) | Name::Int4(None) | Name::Int32 => DataType::Int32,
        Name::BigInt(None) | Name::Int8(None) | Name::Int64 => DataType::Int64,
        Name::HugeInt | Name::Int128 => DataType::Int128,
        Name::UTinyInt => DataType::UInt8,
        Name::USmallInt => DataType::UInt16,
        Name::UBigInt => DataType::UInt64,
        Name::Double(_) | Name::DoublePrecision | Name::Float8 | Name::Float64 => DataType::Float64,
        Name::Float(sql::ExactNumberInfo::None) | Name::Real | Name::Float4 | Name::Float32 => DataType::Float32,
        Name::Varchar(None) | Name::Text | Name::String(None) => DataType::String,
        Name::Date => DataType::Date,
        Name::Timestamp(None, sql::TimezoneInfo::None | sql::TimezoneInfo::WithoutTimeZone) | Name::Datetime(None) => {
            DataType::Datetime(TimeUnit::Microseconds, None)
        }
        Name::Timestamp(None, sql::TimezoneInfo::WithTimeZone | sql::TimezoneInfo::Tz) => {
            DataType::Datetime(TimeUnit::Microseconds, Some(TimeZone::UTC))
        }
        Name::Decimal(info) | Name::Numeric(info) => {
            let (precision, scale) = match info {
                sql::ExactNumberInfo::None => (18, 3),
                sql::ExactNumberInfo::Precision(precision) => (*precision, 0),
                sql::ExactNumberInfo::PrecisionAndScale(precision, scale) => (*precision, *scale),
            };
            match (usize::try_from(precision), usize::try_from(scale)) {
                (Ok(precision @ 1..=38), Ok(scale)) if scale <= precision => DataType::Decimal(precision, scale),
                _ => return Err(refused(format!("{name}: at most 38 digits"))),
            }
        }
        Name::Custom(custom, _) if custom.to_string().eq_ignore_ascii_case("uinteger") => DataType::UInt32,
        Name::Unsigned | Name::UnsignedInteger => DataType::UInt32,
        other => return Err(refused(format!("the type {other} is not of this dialect"))),
    })
}

/// The text of a literal as the type of what it meets.
pub(super) fn literal(written: &str, of: &DataType) -> Result<Typed> {
    let wrong = || {
        refused(format!("{written:?} is not a {of}")).with_help(match of {
            DataType::Date => "write a date as '2026-01-31'",
            DataType::Datetime(..) => "write a time as '2026-01-31 12:00:00', in UTC",
            _ => "write it as a value of that type",
        })
    };
    let value = parsed(written, of).ok_or_else(wrong)?;
    Ok(Typed::new(Scalar::new(of.clone(), value).lit(), of.clone()))
}

/// Text as a value of a type; `None` where it is none, or where DuckDB's reading of it would be another one.
fn parsed(written: &str, of: &DataType) -> Option<AnyValue<'static>> {
    let trimmed = written.trim_matches(' ');
    Some(match of {
        DataType::String => owned(written.to_owned()),
        DataType::Binary => AnyValue::BinaryOwned(
            written.is_ascii().then(|| written.as_bytes().to_vec()).filter(|bytes| !bytes.contains(&b'\\'))?,
        ),
        DataType::Boolean => AnyValue::Boolean(match trimmed.to_ascii_lowercase().as_str() {
            "true" | "t" => true,
            "false" | "f" => false,
            _ => return None,
        }),
        of if of.is_integer() => {
            let number: i128 = trimmed.parse().ok()?;
            let value = AnyValue::Int128(number);
            // Out of range stays out: it is no value of this type.
            value.strict_cast(of)?.into_static()
        }
        DataType::Float64 => AnyValue::Float64(float(trimmed)?),
        DataType::Float32 => AnyValue::Float32(
            trimmed.parse::<f32>().ok().filter(|number| number.is_finite() && float(trimmed).is_some())?,
        ),
        DataType::Decimal(precision, scale) => {
            let (sign, digits) = match trimmed.strip_prefix('-') {
                Some(rest) => (-1, rest),
                None => (1, trimmed.strip_prefix('+').unwrap_or(trimmed)),
            };
            let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
            let all = format!("{whole}{fraction}");
            if all.is_empty() || !all.bytes().all(|digit| digit.is_ascii_digit()) {
                return None;
            }
            let number = sign * all.parse::<i128>().ok()?;
            let number = match scale.checked_sub(fraction.len()) {
                Some(more) => number.checked_mul(10i128.checked_pow(more as u32)?)?,
                None => exact::rounded(number, 10i128.checked_pow((fraction.len() - scale) as u32)?)?,
            };
            (number.unsigned_abs() < 10u128.pow(*precision as u32))
                .then_some(AnyValue::Decimal(number, *precision, *scale))?
        }
        DataType::Date => {
            let epoch = NaiveDate::from_ymd_opt(1970, 1, 1)?;
            AnyValue::Date(i32::try_from(date(trimmed)?.signed_duration_since(epoch).num_days()).ok()?)
        }
        DataType::Datetime(unit, zone) => {
            let micros = micros(trimmed)?;
            let time = match unit {
                TimeUnit::Microseconds => micros,
                // A time that is finer than the column equals nothing in it; it has to be compared as it is.
                TimeUnit::Milliseconds => (micros % 1000 == 0).then_some(micros / 1000)?,
                TimeUnit::Nanoseconds => micros.checked_mul(1000)?,
            };
            AnyValue::DatetimeOwned(time, *unit, zone.clone().map(std::sync::Arc::new))
        }
        _ => return None,
    })
}

fn float(written: &str) -> Option<f64> {
    let is_plain = written.bytes().all(|byte| byte.is_ascii_digit() || b"+-.eE".contains(&byte));
    written.parse::<f64>().ok().filter(|number| is_plain && number.is_finite())
}

fn date(written: &str) -> Option<NaiveDate> {
    let is_whole = written.len() == 10 && written.is_ascii();
    is_whole.then(|| NaiveDate::parse_from_str(written, "%Y-%m-%d").ok())?
}

fn micros(written: &str) -> Option<i64> {
    let written = ["+00:00", "+00", "Z"].into_iter().find_map(|zone| written.strip_suffix(zone)).unwrap_or(written);
    if written.is_ascii() && written.len() == 10 {
        return Some(date(written)?.and_hms_opt(0, 0, 0)?.and_utc().timestamp_micros());
    }
    let written = written.replacen('T', " ", 1);
    let fraction = written.split_once('.').map_or(0, |(_, fraction)| fraction.len());
    if !written.is_ascii() || fraction > 6 || written.len() < 19 {
        return None;
    }
    date(&written[..10])?;
    Some(NaiveDateTime::parse_from_str(&written, "%Y-%m-%d %H:%M:%S%.f").ok()?.and_utc().timestamp_micros())
}

pub(super) fn cast(value: Typed, of: &DataType, is_try: bool) -> Result<Typed> {
    if value.of == *of {
        return Ok(value);
    }
    let from = value.of.clone();
    let wide = |value: Typed| Typed::new(value.expr.cast(DataType::Int128), DataType::Int128);
    let cast = match (&from, of) {
        (DataType::Null, of) => Typed::new(lit(NULL).cast(of.clone()), of.clone()),
        (DataType::String, of) if !of.is_nested() && *of != DataType::Binary => {
            return Ok(from_text(value, of, is_try));
        }
        // What would have to become null where it does not fit.
        (DataType::Boolean, of) if of.is_integer() => Typed::new(value.expr.cast(of.clone()), of.clone()),
        (from, DataType::Boolean) if from.is_integer() => {
            Typed::new(value.expr.neq(lit(0i64).cast(from.clone())), DataType::Boolean)
        }
        (_, DataType::String) => to_text(value)?,
        (DataType::Datetime(unit, _), DataType::Date) if *unit != TimeUnit::Nanoseconds => {
            Typed::new(value.expr.cast(DataType::Date), DataType::Date)
        }
        (DataType::Date, DataType::Datetime(..)) => to(value, of)?,
        (DataType::Datetime(TimeUnit::Nanoseconds, _), DataType::Datetime(..)) => {
            return Err(refused("CAST of nanoseconds would cut them off"));
        }
        (DataType::Datetime(..), DataType::Datetime(unit, zone)) => {
            let micros = to(value, &DataType::Datetime(*unit, Some(TimeZone::UTC)))?;
            let expr = micros.expr.cast(DataType::Int64).cast(DataType::Datetime(*unit, zone.clone()));
            Typed::new(expr, of.clone())
        }
        (from, _) if is_try && (from.is_primitive_numeric() || from.is_decimal()) && !of.is_float() => {
            return Err(refused("TRY_CAST is run of text alone")).map_err(|error| error.with_help("use CAST, or CASE"));
        }
        (from, of) if from.is_integer() && of.is_integer() => {
            Typed::new(value.expr.strict_cast(of.clone()), of.clone())
        }
        (from, DataType::Decimal(..)) if from.is_integer() || from.is_decimal() => to(value, of)?,
        (DataType::Decimal(..), of) if of.is_integer() => {
            Typed::new(exact::whole(value).strict_cast(of.clone()), of.clone())
        }
        (from, of) if of.is_float() && (from.is_integer() || from.is_decimal()) => {
            Typed::new(value.expr.strict_cast(of.clone()), of.clone())
        }
        (DataType::Float32, DataType::Float64) => Typed::new(value.expr.cast(DataType::Float64), DataType::Float64),
        (DataType::Float64, DataType::Float32) => rowwise(vec![value.expr], DataType::Float32, |row| {
            let AnyValue::Float64(number) = row[0] else { return Ok(AnyValue::Null) };
            let narrow = number as f32;
            match number.is_finite() && !narrow.is_finite() {
                true => Err(unfit(format!("CAST: {number} does not fit a FLOAT"))),
                false => Ok(AnyValue::Float32(narrow)),
            }
        }),
        (from, of) if from.is_float() && of.is_integer() => {
            // Half to even, as DuckDB does.
            let whole = rowwise(vec![value.expr.cast(DataType::Float64)], DataType::Int128, |row| {
                let AnyValue::Float64(number) = row[0] else { return Ok(AnyValue::Null) };
                let rounded = number.round_ties_even();
                match rounded.abs() < 1.7e38 {
                    true => Ok(AnyValue::Int128(rounded as i128)),
                    false => Err(unfit(format!("CAST: {number} does not fit a whole number"))),
                }
            });
            Typed::new(wide(whole).expr.strict_cast(of.clone()), of.clone())
        }
        (from, of) if from.is_temporal() && of.is_numeric() => {
            return Err(refused(format!("CAST from {from} to {of} is not run"))
                .with_help("EPOCH_MS(x) gives milliseconds since 1970, EPOCH(x) seconds"));
        }
        (from, of) => {
            return Err(refused(format!("CAST from {from} to {of} is not run")));
        }
    };
    Ok(cast)
}

fn from_text(value: Typed, of: &DataType, is_try: bool) -> Typed {
    let wanted = of.clone();
    rowwise(vec![value.expr], of.clone(), move |row| match parsed(text(&row[0]), &wanted) {
        Some(value) => Ok(value),
        None if is_try && !is_unclear(text(&row[0]), &wanted) => Ok(AnyValue::Null),
        None => Err(unfit(format!("CAST: {:?} is not read as {wanted}", text(&row[0])))),
    })
}

/// Whether DuckDB might read a value out of what is none here.
fn is_unclear(written: &str, of: &DataType) -> bool {
    match of {
        of if of.is_integer() || of.is_decimal() || of.is_float() => {
            written.bytes().any(|byte| byte.is_ascii_digit()) || of.is_float()
        }
        DataType::Boolean => true,
        _ => written.bytes().any(|byte| byte.is_ascii_digit()) || written.trim().len() > 2,
    }
}

/// A value as DuckDB writes it.
pub(super) fn to_text(value: Typed) -> Result<Typed> {
    let of = value.of.clone();
    let as_text = |expr: Expr| Typed::new(expr, DataType::String);
    Ok(match &of {
        DataType::String => value,
        DataType::Null => as_text(lit(NULL).cast(DataType::String)),
        of if of.is_integer() => as_text(value.expr.cast(DataType::String)),
        DataType::Boolean => rowwise(vec![value.expr], DataType::String, |row| {
            Ok(owned(if matches!(row[0], AnyValue::Boolean(true)) { "true" } else { "false" }.to_owned()))
        }),
        DataType::Decimal(..) => {
            let scale = scale(&of);
            rowwise(vec![value.expr], DataType::String, move |row| {
                let AnyValue::Decimal(number, ..) = row[0] else { return Ok(AnyValue::Null) };
                let digits = format!("{:0width$}", number.unsigned_abs(), width = scale + 1);
                let (whole, fraction) = digits.split_at(digits.len() - scale);
                let sign = if number < 0 { "-" } else { "" };
                let point = if scale == 0 { "" } else { "." };
                Ok(owned(format!("{sign}{whole}{point}{fraction}")))
            })
        }
        DataType::Binary => rowwise(vec![value.expr], DataType::String, |row| {
            let mut text = String::new();
            for byte in bytes(&row[0]) {
                match byte {
                    b'\\' | b'\'' | b'"' | 0..32 | 127.. => text.push_str(&format!("\\x{byte:02X}")),
                    byte => text.push(char::from(*byte)),
                }
            }
            Ok(owned(text))
        }),
        DataType::Date => rowwise(
            vec![value.expr.cast(DataType::Datetime(TimeUnit::Microseconds, None)).cast(DataType::Int64)],
            DataType::String,
            |row| {
                let time = moment::naive(row[0].extract::<i64>().unwrap_or_default())?;
                Ok(owned(dated(time.date())?))
            },
        ),
        DataType::Datetime(TimeUnit::Milliseconds | TimeUnit::Microseconds, zone) => {
            let suffix = if zone.is_some() { "+00" } else { "" };
            let micros = to(value, &DataType::Datetime(TimeUnit::Microseconds, zone.clone()))?;
            rowwise(vec![micros.expr.cast(DataType::Int64)], DataType::String, move |row| {
                let time = moment::naive(row[0].extract::<i64>().unwrap_or_default())?;
                let clock = time.time().format("%H:%M:%S%.6f").to_string();
                let clock = clock.trim_end_matches('0').trim_end_matches('.');
                let clock = if clock.len() < 8 { time.time().format("%H:%M:%S").to_string() } else { clock.to_owned() };
                Ok(owned(format!("{} {clock}{suffix}", dated(time.date())?)))
            })
        }
        of => {
            return Err(refused(format!("CAST from {of} to text is not run"))
                .with_help("floats are shown as they are; round them to DECIMAL first"));
        }
    })
}

fn dated(date: NaiveDate) -> polars::prelude::PolarsResult<String> {
    use chrono::Datelike as _;
    match date.year() {
        1..=9999 => Ok(date.format("%Y-%m-%d").to_string()),
        year => Err(unfit(format!("the year {year} is not written as text"))),
    }
}
