//! Dates and timestamps, counted by hand.

use arrow::datatypes::TimeUnit;

/// Days since 1970-01-01 of `YYYY-MM-DD`.
pub(crate) fn days(text: &str) -> Option<i64> {
    let [year, month, day] = text.split('-').collect::<Vec<_>>()[..] else { return None };
    let (year, month, day) = (digits(year, 4)?, digits(month, 2)?, digits(day, 2)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let lengths = [31, if leap { 29 } else { 28 }, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let length = lengths.get(usize::try_from(month).ok()?.checked_sub(1)?)?;
    if !(1..=*length).contains(&day) {
        return None;
    }
    let before: i64 = lengths.iter().take(usize::try_from(month).ok()? - 1).sum();
    // Whole years since 0001-01-01; the year 0 was a leap year.
    let past = year - 1;
    let leaps = past.div_euclid(4) - past.div_euclid(100) + past.div_euclid(400);
    Some(past * 365 + leaps + before + day - 1 - 719_162)
}

/// RFC 3339 text, counted in the unit; without a zone only where the type has none.
pub(crate) fn counted(text: &str, unit: TimeUnit, utc: bool) -> Option<i128> {
    let (date, time) = (text.get(..10)?, text.get(10..)?);
    let time = time.strip_prefix(['T', 't', ' '])?;
    let zone_at = time.find(['Z', 'z', '+', '-']).unwrap_or(time.len());
    let (clock, zone) = time.split_at(zone_at);
    let east = match zone {
        "" if utc => return None,
        "" | "Z" | "z" => 0,
        _ => {
            let (hours, minutes) = zone.strip_prefix(['+', '-'])?.split_once(':')?;
            let (hours, minutes) = (digits(hours, 2)?, digits(minutes, 2)?);
            if hours > 23 || minutes > 59 {
                return None;
            }
            (hours * 60 + minutes) * if zone.starts_with('-') { -60 } else { 60 }
        }
    };
    let (clock, fraction) = match clock.split_once('.') {
        Some((_, "")) => return None,
        Some((clock, fraction)) => (clock, fraction),
        None => (clock, ""),
    };
    let [hour, minute, second] = clock.split(':').collect::<Vec<_>>()[..] else { return None };
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    if hour > 23 || minute > 59 || second > 59 || !fraction.bytes().all(|digit| digit.is_ascii_digit()) {
        return None;
    }
    let places = places(unit);
    let (kept, rest) = fraction.split_at(places.min(fraction.len()));
    if rest.contains(|digit| digit != '0') {
        return None;
    }
    let parts: i128 = format!("{kept:0<places$}0").parse().ok()?;
    let seconds = days(date)? * 86_400 + hour * 3600 + minute * 60 + second - east;
    let counted = i128::from(seconds) * per_second(unit) + parts / 10;
    i64::try_from(counted).is_ok().then_some(counted)
}

/// Whether calendars surely reach this epoch, surely do not, or it is not for us to say (`None`).
pub(crate) fn is_reached(epoch: i128, unit: TimeUnit) -> Option<bool> {
    match epoch.unsigned_abs() / per_second(unit).unsigned_abs() {
        0..8_200_000_000_000 => Some(true),
        8_200_000_000_000..8_400_000_000_000 => None,
        _ => Some(false),
    }
}

/// A number of exactly so many digits.
fn digits(text: &str, count: usize) -> Option<i64> {
    (text.len() == count && text.bytes().all(|digit| digit.is_ascii_digit())).then(|| text.parse().ok())?
}

fn places(unit: TimeUnit) -> usize {
    match unit {
        TimeUnit::Second => 0,
        TimeUnit::Millisecond => 3,
        TimeUnit::Microsecond => 6,
        TimeUnit::Nanosecond => 9,
    }
}

fn per_second(unit: TimeUnit) -> i128 {
    10_i128.pow(u32::try_from(places(unit)).expect("nine at most"))
}
