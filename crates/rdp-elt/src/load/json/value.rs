//! One JSON value into one column's buffers, exactly, or a misfit.

use arrow::datatypes::TimeUnit;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::load::UnknownFields;
use crate::load::column::{Bytes, Column, Ends, Values};
use crate::load::cursor::{Cursor, Integer};
use crate::load::misfit::Misfit;
use crate::load::names::{Member, Names};
use crate::load::quoted::Quoted;
use crate::load::temporal::RecentDate;
use crate::load::{decimal, temporal};
use crate::schema::DataType;

/// What the walk through one payload carries along.
pub(super) struct Walk {
    pub(super) unknown_fields: UnknownFields,
    /// Whether the value in hand has a member that its type does not name.
    pub(super) has_unknown: bool,
    /// Where strings with escapes are decoded that do not land as they are.
    pub(super) scratch: Vec<u8>,
    recent_date: RecentDate,
}

impl Walk {
    pub(super) fn new(unknown_fields: UnknownFields) -> Self {
        Walk { unknown_fields, has_unknown: false, scratch: Vec::new(), recent_date: RecentDate::default() }
    }
}

impl Column {
    /// Appends the value that the cursor stands before as one row; whether it is more than null.
    ///
    /// # Errors
    /// A misfit leaves the row half-written; the caller truncates.
    #[inline]
    pub(super) fn take(&mut self, cursor: &mut Cursor<'_>, walk: &mut Walk) -> Result<bool, Misfit> {
        if cursor.peek() == b'n' && cursor.eat(b"null") {
            self.append_null();
            return Ok(false);
        }
        let Column { data_type, values, .. } = self;
        match values {
            Values::Int64(vec) => vec.push(integer(cursor, data_type)?),
            Values::Utf8(bytes) => utf8(cursor, data_type, bytes)?,
            Values::Float64(vec) => {
                let number =
                    float(cursor, data_type, |text| text.parse().ok().filter(|number: &f64| number.is_finite()))?;
                vec.push(number);
            }
            Values::Timestamp(vec) => vec.push(timestamp(cursor, data_type, walk)?),
            Values::Decimal(vec) => vec.push(number(cursor, data_type, &mut walk.scratch)?),
            Values::Bool(bits) => {
                let value = cursor.eat(b"true");
                if !value && !cursor.eat(b"false") {
                    return Err(cursor.mismatch(data_type));
                }
                bits.append(value);
            }
            Values::Int8(vec) => vec.push(integer(cursor, data_type)?),
            Values::Int16(vec) => vec.push(integer(cursor, data_type)?),
            Values::Int32(vec) => vec.push(integer(cursor, data_type)?),
            Values::Uint8(vec) => vec.push(integer(cursor, data_type)?),
            Values::Uint16(vec) => vec.push(integer(cursor, data_type)?),
            Values::Uint32(vec) => vec.push(integer(cursor, data_type)?),
            Values::Uint64(vec) => vec.push(integer(cursor, data_type)?),
            Values::Float32(vec) => {
                let number =
                    float(cursor, data_type, |text| text.parse().ok().filter(|number: &f32| number.is_finite()))?;
                vec.push(number);
            }
            Values::Date(vec) => {
                let day = string(cursor, data_type, &mut walk.scratch, temporal::parse_date)?;
                vec.push(day);
            }
            Values::Binary(bytes) => {
                let out = &mut bytes.bytes;
                string(cursor, data_type, &mut walk.scratch, |text| STANDARD.decode_vec(text, out).ok())?;
                bytes.end_row();
            }
            Values::Json(bytes) => {
                let text = cursor.value()?;
                bytes.push(text);
            }
            Values::List(ends, item) => list(cursor, walk, data_type, ends, item)?,
            Values::Map(ends, entries) => map(cursor, walk, data_type, ends, entries)?,
            Values::Struct(names, members) => members_of(cursor, walk, data_type, names, members)?,
        }
        self.end_row();
        Ok(true)
    }
}

#[inline]
fn integer<T: TryFrom<i128>>(cursor: &mut Cursor<'_>, expected: &DataType) -> Result<T, Misfit> {
    let start = cursor.at();
    if let Some(Integer { negative, magnitude }) = cursor.integer() {
        let magnitude = i128::from(magnitude);
        if let Ok(value) = T::try_from(if negative { -magnitude } else { magnitude }) {
            return Ok(value);
        }
        cursor.go_back(start);
    }
    Err(cursor.mismatch(expected))
}

#[inline]
fn float<T>(cursor: &mut Cursor<'_>, expected: &DataType, parse: impl FnOnce(&str) -> Option<T>) -> Result<T, Misfit> {
    if !matches!(cursor.peek(), b'-' | b'0'..=b'9') {
        return Err(cursor.mismatch(expected));
    }
    let literal = cursor.number()?;
    parse(literal).ok_or_else(|| Misfit::value(format_args!("{expected} within its range"), literal.as_bytes()))
}

#[inline]
fn utf8(cursor: &mut Cursor<'_>, expected: &DataType, bytes: &mut Bytes) -> Result<(), Misfit> {
    if cursor.peek() != b'"' {
        return Err(cursor.mismatch(expected));
    }
    let quoted = cursor.string()?;
    if !quoted.decode(&mut bytes.bytes) {
        return Err(Misfit::value("utf8 without halves of surrogate pairs", quoted.raw()));
    }
    bytes.end_row();
    Ok(())
}

/// A string that stands for something else.
#[inline]
fn string<T>(
    cursor: &mut Cursor<'_>,
    expected: &DataType,
    scratch: &mut Vec<u8>,
    parse: impl FnOnce(&[u8]) -> Option<T>,
) -> Result<T, Misfit> {
    let start = cursor.at();
    if cursor.peek() == b'"' {
        let quoted = cursor.string()?;
        if let Some(value) = text_of(quoted, scratch).and_then(parse) {
            return Ok(value);
        }
        cursor.go_back(start);
    }
    let wanted = match expected {
        DataType::Date => "date as YYYY-MM-DD, one that exists".to_owned(),
        DataType::Binary => "binary as base64 with padding".to_owned(),
        other => other.to_string(),
    };
    Err(cursor.mismatch(wanted))
}

/// What a string says, decoded aside where it has escapes.
#[inline]
fn text_of<'a>(quoted: Quoted<'a>, scratch: &'a mut Vec<u8>) -> Option<&'a [u8]> {
    if !quoted.is_escaped() {
        return Some(quoted.raw());
    }
    scratch.clear();
    quoted.decode(scratch).then_some(scratch.as_slice())
}

#[inline]
fn timestamp(cursor: &mut Cursor<'_>, expected: &DataType, walk: &mut Walk) -> Result<i64, Misfit> {
    let &DataType::Timestamp { unit, utc } = expected else {
        return Err(cursor.mismatch(expected));
    };
    let start = cursor.at();
    let counted = if cursor.peek() == b'"' {
        let quoted = cursor.string()?;
        let text = text_of(quoted, &mut walk.scratch).unwrap_or_default();
        temporal::parse_timestamp(text, unit, utc, &mut walk.recent_date).map_err(|why| {
            cursor.go_back(start);
            cursor.mismatch(format_args!("{expected} {why}"))
        })?
    } else {
        epoch(cursor, expected, unit)?
    };
    if unit != TimeUnit::Second {
        return Ok(counted);
    }
    // Seconds land as milliseconds: Parquet has no timestamp of seconds, and readers would see a bare integer.
    counted.checked_mul(1_000).ok_or_else(|| {
        cursor.go_back(start);
        cursor.mismatch(expected)
    })
}

fn epoch(cursor: &mut Cursor<'_>, expected: &DataType, unit: TimeUnit) -> Result<i64, Misfit> {
    let start = cursor.at();
    let value = integer(cursor, expected)?;
    if temporal::is_in_range(value, unit) {
        return Ok(value);
    }
    cursor.go_back(start);
    Err(cursor.mismatch(format_args!("{expected} within the range of calendars")))
}

/// A decimal, from a number or from a string of one.
#[inline]
fn number(cursor: &mut Cursor<'_>, expected: &DataType, scratch: &mut Vec<u8>) -> Result<i128, Misfit> {
    let &DataType::Decimal { precision, scale } = expected else {
        return Err(cursor.mismatch(expected));
    };
    let start = cursor.at();
    let parsed = match cursor.peek() {
        b'-' | b'0'..=b'9' => decimal::parse(cursor.number()?.as_bytes(), precision, scale),
        b'"' => {
            let quoted = cursor.string()?;
            let text = text_of(quoted, scratch).unwrap_or_default();
            if !is_number(text) {
                cursor.go_back(start);
                return Err(cursor.mismatch(expected));
            }
            decimal::parse(text, precision, scale)
        }
        _ => return Err(cursor.mismatch(expected)),
    };
    parsed.map_err(|excess| {
        cursor.go_back(start);
        match excess {
            decimal::Excess::FractionDigits => {
                cursor.mismatch(format_args!("{expected}, at most {scale} fraction digits"))
            }
            decimal::Excess::Digits => {
                cursor.mismatch(format_args!("{expected}, at most {precision} digits with {scale} of them fraction"))
            }
        }
    })
}

fn is_number(text: &[u8]) -> bool {
    Cursor::new(text).is_ok_and(|mut inner| inner.number().is_ok_and(|literal| literal.len() == text.len()))
}

fn list(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk,
    expected: &DataType,
    ends: &mut Ends,
    item: &mut Column,
) -> Result<(), Misfit> {
    if cursor.peek() != b'[' {
        return Err(cursor.mismatch(expected));
    }
    let first = item.len();
    let mut more = cursor.open(b']');
    while more {
        let index = item.len() - first;
        item.take(cursor, walk).map_err(|misfit| misfit.in_item(index))?;
        more = cursor.more(b']')?;
    }
    ends.push(item.len());
    Ok(())
}

fn map(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk,
    expected: &DataType,
    ends: &mut Ends,
    entries: &mut (Bytes, Column),
) -> Result<(), Misfit> {
    if cursor.peek() != b'{' {
        return Err(cursor.mismatch(expected));
    }
    let (keys, values) = entries;
    let first = keys.len();
    let mut more = cursor.open(b'}');
    while more {
        let key = cursor.string()?;
        if !key.decode(&mut keys.bytes) {
            return Err(Misfit::value("a name without halves of surrogate pairs", key.raw()));
        }
        keys.end_row();
        cursor.colon()?;
        values.take(cursor, walk).map_err(|misfit| misfit.in_member(&String::from_utf8_lossy(key.raw())))?;
        more = cursor.more(b'}')?;
    }
    if let Some(twice) = keys.repeated_since(first) {
        return Err(Misfit::new(format!("the name `{}` appears twice", String::from_utf8_lossy(twice))));
    }
    ends.push(keys.len());
    Ok(())
}

fn members_of(
    cursor: &mut Cursor<'_>,
    walk: &mut Walk,
    expected: &DataType,
    names: &mut Names,
    members: &mut [Column],
) -> Result<(), Misfit> {
    if cursor.peek() != b'{' {
        return Err(cursor.mismatch(expected));
    }
    // Members that are there have one row more than before; those that are not, do not.
    let before = members.iter().map(Column::len).min().unwrap_or(0);
    let mut slot = 0;
    let mut more = cursor.open(b'}');
    while more {
        match names.read(cursor, slot)? {
            Member::Declared(index) => {
                slot = index + 1;
                let member = &mut members[index];
                if member.len() > before {
                    return Err(Misfit::new("it appears twice").in_member(&names.name(index)));
                }
                member.take(cursor, walk).map_err(|misfit| misfit.in_member(&names.name(index)))?;
            }
            Member::Unknown(name) => {
                if walk.unknown_fields == UnknownFields::Quarantine {
                    let name = String::from_utf8_lossy(name);
                    return Err(Misfit::new("the schema does not name it").in_member(&name));
                }
                walk.has_unknown = true;
                cursor.value()?;
            }
        }
        more = cursor.more(b'}')?;
    }
    for member in members.iter_mut().filter(|member| member.len() == before) {
        member.append_null();
    }
    Ok(())
}
