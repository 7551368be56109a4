//! Dates and times; the zone is UTC.

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, NaiveTime, Timelike};
use polars::prelude::{AnyValue, DataType, PolarsResult, TimeUnit};
use rdp_elt::Result;

use super::coerce::{Typed, to};
use super::rowwise::{rowwise, unfit};
use super::{exact, refused};

/// A part of a date or a time as a number.
pub(super) fn part(part: &str, value: Typed) -> Result<Typed> {
    let part = match part {
        "years" => "year",
        "months" => "month",
        "days" | "dayofmonth" => "day",
        "hours" => "hour",
        "minutes" => "minute",
        "seconds" => "second",
        "weekday" | "dayofweek" => "dow",
        "dayofyear" => "doy",
        part => part,
    };
    let known = [
        "year", "month", "day", "hour", "minute", "second", "quarter", "week", "dow", "isodow", "doy", "epoch",
        "epoch_ms",
    ];
    let Some(part) = known.into_iter().find(|known| *known == part) else {
        return Err(
            refused(format!("{part} of a time is not run")).with_help(format!("parts are {}", known.join(", ")))
        );
    };
    let value = micros(value)?;
    if part == "epoch" {
        return Ok(rowwise(vec![value.expr], DataType::Float64, |row| {
            Ok(AnyValue::Float64(number(&row[0]) as f64 / 1e6))
        }));
    }
    Ok(rowwise(vec![value.expr], DataType::Int64, move |row| {
        let micros = number(&row[0]);
        let time = naive(micros)?;
        Ok(AnyValue::Int64(match part {
            "year" => i64::from(time.year()),
            "month" => i64::from(time.month()),
            "day" => i64::from(time.day()),
            "hour" => i64::from(time.hour()),
            "minute" => i64::from(time.minute()),
            "second" => i64::from(time.second()),
            "quarter" => i64::from(time.month0() / 3 + 1),
            "week" => i64::from(time.iso_week().week()),
            "dow" => i64::from(time.weekday().num_days_from_sunday()),
            "isodow" => i64::from(time.weekday().number_from_monday()),
            "doy" => i64::from(time.ordinal()),
            // To the nearest, half away from zero: as DuckDB does.
            _ => exact::rounded(micros.into(), 1000).and_then(|millis| i64::try_from(millis).ok()).unwrap_or_default(),
        }))
    }))
}

/// The beginning of the day, month, … that a time is in.
pub(super) fn truncated(part: &str, value: Typed) -> Result<Typed> {
    let known = ["year", "quarter", "month", "week", "day", "hour", "minute", "second"];
    let Some(part) = known.into_iter().find(|known| *known == part) else {
        return Err(
            refused(format!("DATE_TRUNC to {part} is not run")).with_help(format!("parts are {}", known.join(", ")))
        );
    };
    let zone = match &value.of {
        DataType::Datetime(_, zone) => zone.clone(),
        _ => None,
    };
    let value = micros(value)?;
    let expr = rowwise(vec![value.expr], DataType::Int64, move |row| {
        let time = naive(number(&row[0]))?;
        let date = time.date();
        let first = |year, month| NaiveDate::from_ymd_opt(year, month, 1).ok_or_else(|| unfit("a date out of range"));
        let midnight = |date: NaiveDate| date.and_time(NaiveTime::MIN);
        let begun = match part {
            "year" => midnight(first(date.year(), 1)?),
            "quarter" => midnight(first(date.year(), date.month0() / 3 * 3 + 1)?),
            "month" => midnight(first(date.year(), date.month())?),
            "week" => {
                let back = Days::new(date.weekday().num_days_from_monday().into());
                midnight(date.checked_sub_days(back).ok_or_else(|| unfit("a date out of range"))?)
            }
            "day" => midnight(date),
            _ => {
                let clock = match part {
                    "hour" => NaiveTime::from_hms_opt(time.hour(), 0, 0),
                    "minute" => NaiveTime::from_hms_opt(time.hour(), time.minute(), 0),
                    _ => NaiveTime::from_hms_opt(time.hour(), time.minute(), time.second()),
                };
                date.and_time(clock.ok_or_else(|| unfit("a time out of range"))?)
            }
        };
        Ok(AnyValue::Int64(begun.and_utc().timestamp_micros()))
    });
    let of = DataType::Datetime(TimeUnit::Microseconds, zone);
    Ok(Typed::new(expr.expr.cast(of.clone()), of))
}

/// A date or time as microseconds since 1970.
fn micros(value: Typed) -> Result<Typed> {
    let zone = match &value.of {
        DataType::Date => None,
        DataType::Datetime(TimeUnit::Milliseconds | TimeUnit::Microseconds, zone) => zone.clone(),
        of => return Err(refused(format!("a part of {of} is not run")).with_help("CAST to TIMESTAMP or DATE")),
    };
    let value = to(value, &DataType::Datetime(TimeUnit::Microseconds, zone))?;
    Ok(Typed::new(value.expr.cast(DataType::Int64), DataType::Int64))
}

pub(super) fn naive(micros: i64) -> PolarsResult<NaiveDateTime> {
    Ok(DateTime::from_timestamp_micros(micros).ok_or_else(|| unfit("a time out of range"))?.naive_utc())
}

fn number(value: &AnyValue<'_>) -> i64 {
    value.extract::<i64>().unwrap_or_default()
}
