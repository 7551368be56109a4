//! Text: compared by bytes, counted by characters.

use polars::prelude::{AnyValue, DataType, Expr};
use rdp_elt::Result;
use sqlparser::ast as sql;

use super::cast;
use super::coerce::Typed;
use super::refused;
use super::rowwise::{number, rowwise, text, unfit};

/// `LIKE` and `ILIKE`.
pub(super) fn like(value: Typed, pattern: Typed, escape: Option<char>, is_blind: bool) -> Result<Expr> {
    for side in [&value, &pattern] {
        if !matches!(side.of, DataType::String | DataType::Null) {
            return Err(refused(format!("LIKE is of text, not of {}", side.of)).with_help("CAST(… AS VARCHAR)"));
        }
    }
    let found = rowwise(strings([value, pattern]), DataType::Boolean, move |row| {
        let fold = |text: &str| if is_blind { lower(text) } else { text.to_owned() };
        let (value, pattern) = (fold(text(&row[0])), fold(text(&row[1])));
        let pattern = parts(&pattern, escape).ok_or_else(|| unfit("a LIKE pattern ends with its escape"))?;
        Ok(AnyValue::Boolean(matches(&value.chars().collect::<Vec<_>>(), &pattern)))
    });
    Ok(found.expr)
}

/// One part of a pattern.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Part {
    Letter(char),
    AnyLetter,
    AnyText,
}

fn parts(pattern: &str, escape: Option<char>) -> Option<Vec<Part>> {
    let mut letters = pattern.chars();
    let mut parts = Vec::new();
    while let Some(letter) = letters.next() {
        parts.push(match letter {
            letter if Some(letter) == escape => Part::Letter(letters.next()?),
            '%' => Part::AnyText,
            '_' => Part::AnyLetter,
            letter => Part::Letter(letter),
        });
    }
    Some(parts)
}

fn matches(value: &[char], pattern: &[Part]) -> bool {
    let (mut at, mut place) = (0, 0);
    let mut retry = None;
    while at < value.len() {
        match pattern.get(place) {
            Some(Part::AnyText) => {
                retry = Some((place, at));
                place += 1;
            }
            Some(Part::AnyLetter) => (at, place) = (at + 1, place + 1),
            Some(Part::Letter(letter)) if *letter == value[at] => (at, place) = (at + 1, place + 1),
            _ => {
                let Some((star, from)) = retry else { return false };
                retry = Some((star, from + 1));
                (at, place) = (from + 1, star + 1);
            }
        }
    }
    pattern[place..].iter().all(|part| *part == Part::AnyText)
}

/// `||`: null where one side is.
pub(super) fn joined(one: Typed, other: Typed) -> Result<Typed> {
    let (one, other) = (cast::to_text(one)?, cast::to_text(other)?);
    Ok(rowwise(strings([one, other]), DataType::String, |row| Ok(owned(format!("{}{}", text(&row[0]), text(&row[1]))))))
}

pub(super) fn function(name: &str, mut values: Vec<Typed>, whole: &sql::Expr) -> Result<Typed> {
    let of_text = |value: &Typed| matches!(value.of, DataType::String | DataType::Null);
    let is = |place: usize| values.get(place).is_some_and(of_text);
    let is_number = |place: usize| values.get(place).is_some_and(Typed::is_integer);
    let string = DataType::String;
    Ok(match (name, values.len()) {
        ("lower" | "lcase", 1) if is(0) => rowwise(strings(values), string, |row| Ok(owned(lower(text(&row[0]))))),
        ("upper" | "ucase", 1) if is(0) => rowwise(strings(values), string, |row| Ok(owned(upper(text(&row[0]))))),
        ("length" | "len" | "char_length" | "character_length", 1) if is(0) => {
            rowwise(strings(values), DataType::Int64, |row| Ok(AnyValue::Int64(text(&row[0]).chars().count() as i64)))
        }
        ("strlen", 1) if is(0) => {
            rowwise(strings(values), DataType::Int64, |row| Ok(AnyValue::Int64(text(&row[0]).len() as i64)))
        }
        ("octet_length", 1) if values[0].of == DataType::Binary => {
            rowwise(exprs(values), DataType::Int64, |row| Ok(AnyValue::Int64(bytes(&row[0]).len() as i64)))
        }
        ("decode", 1) if values[0].of == DataType::Binary => rowwise(exprs(values), string, |row| {
            let text = std::str::from_utf8(bytes(&row[0])).map_err(|_| unfit("DECODE: the bytes are no UTF-8"))?;
            Ok(owned(text.to_owned()))
        }),
        ("hex" | "to_hex", 1) if values[0].of == DataType::Binary => rowwise(exprs(values), string, |row| {
            Ok(owned(bytes(&row[0]).iter().map(|byte| format!("{byte:02X}")).collect()))
        }),
        ("trim" | "ltrim" | "rtrim", 1 | 2) if is(0) && (values.len() == 1 || is(1)) => {
            let (is_left, is_right) = (name != "rtrim", name != "ltrim");
            rowwise(strings(values), string, move |row| {
                let letters: Vec<char> =
                    row.get(1).map_or_else(|| vec![' '], |letters| text(letters).chars().collect());
                let mut rest = text(&row[0]);
                if is_left {
                    rest = rest.trim_start_matches(&letters[..]);
                }
                if is_right {
                    rest = rest.trim_end_matches(&letters[..]);
                }
                Ok(owned(rest.to_owned()))
            })
        }
        ("substr" | "substring", 2 | 3) if is(0) && is_number(1) && (values.len() == 2 || is_number(2)) => {
            rowwise(exprs(values), string, |row| {
                let length = row.get(2).map(number);
                Ok(owned(substring(text(&row[0]), number(&row[1]), length)?))
            })
        }
        ("left" | "right", 2) if is(0) && is_number(1) => {
            let is_left = name == "left";
            rowwise(exprs(values), string, move |row| {
                let letters: Vec<char> = text(&row[0]).chars().collect();
                let (count, length) = (number(&row[1]), letters.len() as i128);
                let count = if count < 0 { (length + count).max(0) } else { count.min(length) } as usize;
                let kept = if is_left { &letters[..count] } else { &letters[letters.len() - count..] };
                Ok(owned(kept.iter().collect()))
            })
        }
        ("strpos" | "instr", 2) if is(0) && is(1) => rowwise(strings(values), DataType::Int64, |row| {
            let (value, part) = (text(&row[0]), text(&row[1]));
            let place = value.find(part).map_or(0, |at| value[..at].chars().count() as i64 + 1);
            Ok(AnyValue::Int64(place))
        }),
        ("replace", 3) if is(0) && is(1) && is(2) => rowwise(strings(values), string, |row| {
            let (value, old, new) = (text(&row[0]), text(&row[1]), text(&row[2]));
            Ok(owned(if old.is_empty() { value.to_owned() } else { value.replace(old, new) }))
        }),
        ("starts_with" | "prefix" | "ends_with" | "suffix" | "contains", 2) if is(0) && is(1) => {
            let act: fn(&str, &str) -> bool = match name {
                "contains" => |value, part| value.contains(part),
                "starts_with" | "prefix" => |value, part| value.starts_with(part),
                _ => |value, part| value.ends_with(part),
            };
            rowwise(strings(values), DataType::Boolean, move |row| {
                Ok(AnyValue::Boolean(act(text(&row[0]), text(&row[1]))))
            })
        }
        ("concat", 1..) => {
            let mut parts = Vec::with_capacity(values.len());
            for value in values.drain(..) {
                parts
                    .push(Typed::new(cast::to_text(value)?.expr.fill_null(polars::prelude::lit("")), DataType::String));
            }
            rowwise(strings(parts), string, |row| Ok(owned(row.iter().map(text).collect())))
        }
        _ => {
            let of: Vec<String> = values.iter().map(|value| value.of.to_string()).collect();
            return Err(refused(format!("{whole}: there is no {name}({}) in this dialect", of.join(", "))));
        }
    })
}

/// DuckDB's substring: from a place that begins with 1, or from the end where it is negative; a negative length goes back.
fn substring(value: &str, from: i128, length: Option<i128>) -> polars::prelude::PolarsResult<String> {
    if length.is_some_and(|length| length < 0) {
        return Err(unfit("SUBSTRING: a negative length is not run"));
    }
    let count = value.chars().count() as i128;
    let start = if from < 0 { count + from } else { from - 1 };
    let end = length.map_or(count, |length| start.saturating_add(length)).clamp(0, count);
    let start = start.clamp(0, count);
    let length = (end - start).max(0);
    Ok(value.chars().skip(start as usize).take(length as usize).collect())
}

/// Letter by letter, as DuckDB has it: what would become two letters stays.
fn upper(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            'ß' => 'ẞ',
            letter => single(letter, letter.to_uppercase()),
        })
        .collect()
}

pub(super) fn lower(text: &str) -> String {
    text.chars()
        .map(|letter| match letter {
            'İ' => 'i',
            letter => single(letter, letter.to_lowercase()),
        })
        .collect()
}

fn single(letter: char, mut mapped: impl Iterator<Item = char>) -> char {
    match (mapped.next(), mapped.next()) {
        (Some(mapped), None) => mapped,
        _ => letter,
    }
}

fn strings(values: impl IntoIterator<Item = Typed>) -> Vec<Expr> {
    values.into_iter().map(|value| value.expr.cast(DataType::String)).collect()
}

fn exprs(values: Vec<Typed>) -> Vec<Expr> {
    values.into_iter().map(|value| value.expr).collect()
}

pub(super) fn owned(text: String) -> AnyValue<'static> {
    AnyValue::StringOwned(text.into())
}

pub(super) fn bytes<'a>(value: &'a AnyValue<'_>) -> &'a [u8] {
    match value {
        AnyValue::Binary(bytes) => bytes,
        AnyValue::BinaryOwned(bytes) => bytes,
        _ => &[],
    }
}
