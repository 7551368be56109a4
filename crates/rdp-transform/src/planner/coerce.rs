//! Values with their types, and the type that two of them meet in.

use polars::prelude::{DataType, Expr, TimeUnit, TimeZone, lit};
use rdp_elt::Result;

use super::{cast, exact, refused};

/// An expression and its type.
#[derive(Debug, Clone)]
pub(super) struct Typed {
    pub(super) expr: Expr,
    pub(super) of: DataType,
}

impl Typed {
    pub(super) fn new(expr: Expr, of: DataType) -> Self {
        Typed { expr, of }
    }

    pub(super) fn null() -> Self {
        Typed { expr: lit(polars::prelude::NULL), of: DataType::Null }
    }

    pub(super) fn is_integer(&self) -> bool {
        self.of.is_integer()
    }

    /// Whether it is a whole number or a decimal: what is counted exactly.
    pub(super) fn is_exact(&self) -> bool {
        self.of.is_integer() || self.of.is_decimal()
    }

    pub(super) fn is_number(&self) -> bool {
        self.is_exact() || self.of.is_float()
    }

    /// The text of a literal, which takes the type of what it meets.
    pub(super) fn literal_text(&self) -> Option<String> {
        match &self.expr {
            Expr::Literal(value) => value.extract_str().map(str::to_owned),
            _ => None,
        }
    }
}

/// The type in which both are compared and brought together; `None` where DuckDB has none, or another than the obvious.
pub(super) fn common(one: &DataType, other: &DataType) -> Option<DataType> {
    use DataType::{Date, Datetime, Float32, Float64, Int128, Null};
    Some(match (one, other) {
        (one, other) if one == other => one.clone(),
        (Null, other) | (other, Null) => other.clone(),
        (one, other) if one.is_integer() && other.is_integer() => Int128,
        (Float64, other) | (other, Float64) if is_number(other) => Float64,
        (Float32, other) | (other, Float32) if is_number(other) => Float32,
        (one, other) if is_number(one) && is_number(other) => {
            let scale = scale(one).max(scale(other));
            let digits = whole_digits(one).max(whole_digits(other)) + scale;
            // Past 38 digits DuckDB cuts digits off behind the point, which changes values.
            if one.is_decimal() && other.is_decimal() && digits > 38 {
                return None;
            }
            DataType::Decimal(digits.min(38), scale)
        }
        (Date, Datetime(_, zone)) | (Datetime(_, zone), Date) => Datetime(TimeUnit::Microseconds, zone.clone()),
        (Datetime(one, first), Datetime(other, second)) => {
            let unit = if one == other { *one } else { TimeUnit::Microseconds };
            let has_nanoseconds = [one, other].contains(&&TimeUnit::Nanoseconds) && one != other;
            if has_nanoseconds {
                return None;
            }
            let utc = || Some(TimeZone::UTC);
            Datetime(unit, if first.is_some() || second.is_some() { utc() } else { None })
        }
        _ => return None,
    })
}

/// Brings two values to one type, a literal's text to the other's.
pub(super) fn together(one: Typed, other: Typed, doing: &str) -> Result<(Typed, Typed)> {
    if let Some(text) = one.literal_text().filter(|_| other.of != DataType::String && other.of != DataType::Null) {
        return Ok((cast::literal(&text, &other.of)?, other));
    }
    if let Some(text) = other.literal_text().filter(|_| one.of != DataType::String && one.of != DataType::Null) {
        let other = cast::literal(&text, &one.of)?;
        return Ok((one, other));
    }
    if let (Some(one), Some(other)) = (narrowed(&one, &other.of), narrowed(&other, &one.of)) {
        return Ok((one, other));
    }
    let Some(of) = common(&one.of, &other.of) else {
        return Err(refused(format!("{doing}: one is {}, the other {}", one.of, other.of)).with_help(CAST));
    };
    Ok((to(one, &of)?, to(other, &of)?))
}

/// A whole-number literal as the type of the column that it meets, where it fits: rows can then be skipped by it.
fn narrowed(value: &Typed, of: &DataType) -> Option<Typed> {
    if !of.is_integer() || !value.is_integer() {
        return None;
    }
    if value.of == *of {
        return Some(value.clone());
    }
    let Expr::Literal(literal) = &value.expr else { return None };
    let number = literal.to_any_value()?.extract::<i128>()?;
    let fits = match of {
        DataType::Int8 => i8::try_from(number).is_ok(),
        DataType::Int16 => i16::try_from(number).is_ok(),
        DataType::Int32 => i32::try_from(number).is_ok(),
        DataType::Int64 => i64::try_from(number).is_ok(),
        DataType::UInt8 => u8::try_from(number).is_ok(),
        DataType::UInt16 => u16::try_from(number).is_ok(),
        DataType::UInt32 => u32::try_from(number).is_ok(),
        DataType::UInt64 => u64::try_from(number).is_ok(),
        _ => false,
    };
    fits.then(|| Typed::new(lit(number).cast(of.clone()), of.clone()))
}

/// Brings a value to a type that [`common`] gave: nothing is lost but a float's last digits.
pub(super) fn to(value: Typed, of: &DataType) -> Result<Typed> {
    if value.of == *of {
        return Ok(value);
    }
    let expr = match (&value.of, of) {
        (from, DataType::Decimal(precision, scale)) if from.is_integer() || from.is_decimal() => {
            exact::rescale(value, *precision, *scale)
        }
        (DataType::Datetime(TimeUnit::Milliseconds, _), DataType::Datetime(TimeUnit::Microseconds, zone)) => {
            exact::microseconds(value.expr, zone.clone())
        }
        (DataType::Datetime(_, None), DataType::Datetime(unit, Some(zone))) => {
            value.expr.cast(DataType::Int64).cast(DataType::Datetime(*unit, Some(zone.clone())))
        }
        _ => value.expr.strict_cast(of.clone()),
    };
    Ok(Typed::new(expr, of.clone()))
}

fn is_number(of: &DataType) -> bool {
    of.is_integer() || of.is_decimal() || of.is_float()
}

/// Digits behind the point.
pub(super) fn scale(of: &DataType) -> usize {
    match of {
        DataType::Decimal(_, scale) => *scale,
        _ => 0,
    }
}

/// Digits that a number of this type may have.
fn digits(of: &DataType) -> usize {
    match of {
        DataType::Decimal(precision, _) => *precision,
        DataType::Int8 | DataType::UInt8 => 3,
        DataType::Int16 | DataType::UInt16 => 5,
        DataType::Int32 | DataType::UInt32 => 10,
        DataType::Int64 => 19,
        DataType::UInt64 => 20,
        _ => 38,
    }
}

fn whole_digits(of: &DataType) -> usize {
    digits(of).saturating_sub(scale(of))
}

/// Digits that a value may have: of a literal, those of the type that DuckDB gives it.
pub(super) fn digits_of(value: &Typed) -> usize {
    let number = match &value.expr {
        Expr::Literal(literal) if value.is_integer() => {
            literal.to_any_value().and_then(|value| value.extract::<i128>())
        }
        _ => None,
    };
    match number {
        Some(number) if i32::try_from(number).is_ok() => 10,
        Some(number) if i64::try_from(number).is_ok() => 19,
        _ => digits(&value.of),
    }
}

/// What helps where types do not meet.
pub(super) const CAST: &str = "bring both to one type: CAST(… AS …)";
