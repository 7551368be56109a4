//! Dates and timestamps from RFC 3339 text.
//!
//! What RFC 3339 leaves open is decided here: `T` and `Z` may be lower case and `T` may be a space (section 5.6, notes);
//! `-00:00` is UTC; a leap second (`:60`) has no place in a count of seconds and does not fit; `24:00` is not RFC 3339.
//! Fraction digits past the type's unit must be zeros. A type without a zone takes text without one as it is, and text
//! with one as its wall clock in UTC, which is also what an integer epoch means.

use arrow::datatypes::TimeUnit;
use chrono::{DateTime, Datelike, NaiveDate, Utc};

/// Days since 1970-01-01 of `YYYY-MM-DD`.
#[inline]
pub(crate) fn parse_date(text: &[u8]) -> Option<i32> {
    let [y0, y1, y2, y3, b'-', m0, m1, b'-', d0, d1] = *text else {
        return None;
    };
    let year = number([y0, y1])? * 100 + number([y2, y3])?;
    let day = NaiveDate::from_ymd_opt(year.cast_signed(), number([m0, m1])?, number([d0, d1])?)?;
    Some(day.num_days_from_ce() - EPOCH_DAY)
}

/// The date that was read last: timestamps come in the order of time, and most share it with the one before.
pub(crate) struct RecentDate {
    text: [u8; 10],
    days: i32,
}

impl Default for RecentDate {
    fn default() -> Self {
        RecentDate { text: *b"1970-01-01", days: 0 }
    }
}

impl RecentDate {
    #[inline]
    fn days_of(&mut self, text: &[u8; 10]) -> Option<i32> {
        if self.text != *text {
            *self = RecentDate { text: *text, days: parse_date(text)? };
        }
        Some(self.days)
    }
}

/// A timestamp's text, counted in `unit` since 1970-01-01; `utc` where the type has a zone.
///
/// # Errors
/// What is wrong with the text, as an addition to "expected timestamp(…)".
#[inline]
pub(crate) fn parse_timestamp(
    text: &[u8],
    unit: TimeUnit,
    utc: bool,
    recent: &mut RecentDate,
) -> Result<i64, &'static str> {
    let (date, time) = text.split_first_chunk().ok_or(NOT_RFC_3339)?;
    let days = recent.days_of(date).ok_or("with a date that exists, as in 2024-05-31T23:59:59Z")?;
    let [b'T' | b't' | b' ', h0, h1, b':', m0, m1, b':', s0, s1] = *time.first_chunk::<9>().ok_or(NOT_RFC_3339)? else {
        return Err(NOT_RFC_3339);
    };
    let (Some(hour), Some(minute), Some(second)) = (number([h0, h1]), number([m0, m1]), number([s0, s1])) else {
        return Err(NOT_RFC_3339);
    };
    if hour > 23 || minute > 59 || second > 59 {
        return Err(if second == 60 { "without a leap second" } else { "with a time of day that exists" });
    }
    let (fraction, zone) = parse_fraction(&time[9..], unit)?;
    let offset = match parse_offset(zone) {
        Some(offset) => i64::from(offset),
        None if zone.is_empty() && !utc => 0,
        None if zone.is_empty() => return Err("with a zone (Z or +01:00)"),
        None => return Err(NOT_RFC_3339),
    };
    let seconds = i64::from(days) * 86_400 + i64::from(hour * 3600 + minute * 60 + second) - offset;
    let value = i128::from(seconds) * i128::from(per_second(unit)) + i128::from(fraction);
    i64::try_from(value).map_err(|_| "within the range of its unit")
}

/// Whether an epoch in this unit is a moment that calendars reach (some 262,000 years either way).
#[inline]
pub(crate) fn is_in_range(epoch: i64, unit: TimeUnit) -> bool {
    let seconds = epoch.div_euclid(per_second(unit));
    (DateTime::<Utc>::MIN_UTC.timestamp()..=DateTime::<Utc>::MAX_UTC.timestamp()).contains(&seconds)
}

/// The fraction behind the seconds, counted in `unit`, and the text behind it.
#[inline]
fn parse_fraction(text: &[u8], unit: TimeUnit) -> Result<(i64, &[u8]), &'static str> {
    let Some(digits) = text.strip_prefix(b".") else {
        return Ok((0, text));
    };
    let mut left = per_second(unit);
    let mut fraction = 0;
    let mut length = 0;
    while let Some(digit) = digits.get(length).map(|byte| byte.wrapping_sub(b'0')).filter(|digit| *digit <= 9) {
        if left > 1 {
            left /= 10;
            fraction += i64::from(digit) * left;
        } else if digit != 0 {
            return Err("no finer than its unit");
        }
        length += 1;
    }
    if length == 0 { Err(NOT_RFC_3339) } else { Ok((fraction, &digits[length..])) }
}

/// Seconds east of UTC.
#[inline]
fn parse_offset(zone: &[u8]) -> Option<i32> {
    match *zone {
        [b'Z' | b'z'] => Some(0),
        [sign @ (b'+' | b'-'), h0, h1, b':', m0, m1] => {
            let (hours, minutes) = (number([h0, h1])?, number([m0, m1])?);
            let seconds = (hours * 3600 + minutes * 60).cast_signed();
            (hours <= 23 && minutes <= 59).then_some(if sign == b'-' { -seconds } else { seconds })
        }
        _ => None,
    }
}

#[inline]
fn number(digits: [u8; 2]) -> Option<u32> {
    let [tens, ones] = digits.map(|byte| byte.wrapping_sub(b'0'));
    (tens <= 9 && ones <= 9).then(|| u32::from(tens) * 10 + u32::from(ones))
}

#[inline]
fn per_second(unit: TimeUnit) -> i64 {
    match unit {
        TimeUnit::Second => 1,
        TimeUnit::Millisecond => 1_000,
        TimeUnit::Microsecond => 1_000_000,
        TimeUnit::Nanosecond => 1_000_000_000,
    }
}

const NOT_RFC_3339: &str = "as RFC 3339 text, as in 2024-05-31T23:59:59Z";

/// 1970-01-01, in days of the common era.
const EPOCH_DAY: i32 = 719_163;

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_timestamp(text: &[u8], unit: TimeUnit, utc: bool) -> Result<i64, &'static str> {
        super::parse_timestamp(text, unit, utc, &mut RecentDate::default())
    }

    fn parse(text: &str) -> Result<i64, &'static str> {
        parse_timestamp(text.as_bytes(), TimeUnit::Millisecond, true)
    }

    #[test]
    fn what_was_read_before_makes_no_difference() {
        let mut recent = RecentDate::default();
        let texts = ["2024-05-31T00:00:00Z", "2024-05-31T23:59:59Z", "2024-05-32T00:00:00Z", "2024-05-31T00:00:00Z"];
        for text in texts.into_iter().chain(["1970-01-01T00:00:01Z", "1969-12-31T00:00:00Z"]) {
            let with_memory = super::parse_timestamp(text.as_bytes(), TimeUnit::Millisecond, true, &mut recent);
            assert_eq!(with_memory, parse(text), "{text}");
        }
    }

    #[test]
    fn rfc_3339_text_is_counted_in_the_unit() {
        assert_eq!(parse("1970-01-01T00:00:00Z"), Ok(0));
        assert_eq!(parse("1985-04-12T23:20:50.52Z"), Ok(482_196_050_520));
        assert_eq!(parse("1996-12-19T16:39:57-08:00"), parse("1996-12-20t00:39:57.000z"));
        assert_eq!(parse("1969-12-31 23:59:59.999-00:00"), Ok(-1));
        assert_eq!(parse("0000-01-01T00:00:00Z"), Ok(-62_167_219_200_000));
        assert_eq!(parse_timestamp(b"2024-02-29T12:00:00", TimeUnit::Second, false), Ok(1_709_208_000));
        assert_eq!(parse_timestamp(b"2024-02-29T12:00:00+02:00", TimeUnit::Second, false), Ok(1_709_200_800));
        assert_eq!(parse_timestamp(b"1677-09-21T00:12:43.145224192Z", TimeUnit::Nanosecond, true), Ok(i64::MIN));
    }

    #[test]
    fn text_that_is_no_moment_of_the_type_is_refused() {
        let texts = [
            "",
            "2024-05-31",
            "2024-05-31T23:59",
            "2024-05-31T23:59:59",
            "2024-05-31T23:59:60Z",
            "2024-05-31T24:00:00Z",
            "2024-05-32T00:00:00Z",
            "2023-02-29T00:00:00Z",
            "2024-13-01T00:00:00Z",
            "2024-05-31T23:59:59.Z",
            "2024-05-31T23:59:59.0001Z",
            "2024-05-31T23:59:59+24:00",
            "2024-05-31T23:59:59+0100",
            "2024-05-31T23:59:59ZZ",
            "2024-05-31T23:59:59 Z",
            "+024-05-31T23:59:59Z",
            "2024-05-31T2 :59:59Z",
            "2024-5-31T23:59:59Z",
            " 2024-05-31T23:59:59Z",
        ];
        for text in texts {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse_timestamp(b"1677-09-21T00:12:43.145224191Z", TimeUnit::Nanosecond, true).is_err());
        assert!(parse("2024-05-31T23:59:59.1230000Z").is_ok());
    }

    #[test]
    fn dates_are_counted_in_days() {
        assert_eq!(parse_date(b"1970-01-01"), Some(0));
        assert_eq!(parse_date(b"2000-02-29"), Some(11_016));
        for text in ["1900-02-29", "2024-1-01", "2024-01-01T", "2024/01/01", "20240101", "-024-01-01"] {
            assert_eq!(parse_date(text.as_bytes()), None, "{text}");
        }
    }
}
