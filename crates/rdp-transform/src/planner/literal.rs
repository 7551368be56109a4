//! Values that a query writes out.

use polars::prelude::{AnyValue, DataType, Literal as _, Scalar, lit};
use rdp_elt::Result;
use sqlparser::ast as sql;

use super::coerce::Typed;
use super::refused;

pub(super) fn literal(value: &sql::Value) -> Result<Typed> {
    Ok(match value {
        sql::Value::Number(number, _) => number_literal(number)?,
        sql::Value::SingleQuotedString(text) => Typed::new(lit(text.as_str()), DataType::String),
        sql::Value::Boolean(flag) => Typed::new(lit(*flag), DataType::Boolean),
        sql::Value::Null => Typed::null(),
        other => return Err(refused(format!("literal {other} is not run"))),
    })
}

/// Whole numbers are exact up to 128 bits, numbers with a point are decimals, those with an exponent floats.
fn number_literal(number: &str) -> Result<Typed> {
    let plain = number.replace('_', "");
    let float = || {
        let value: f64 = plain.parse().map_err(|_| refused(format!("{number} is no number")))?;
        match value.is_finite() {
            true => Ok(Typed::new(lit(value), DataType::Float64)),
            false => Err(refused(format!("{number} is larger than any DOUBLE"))),
        }
    };
    if plain.contains(['e', 'E']) {
        return float();
    }
    let Some((whole, fraction)) = plain.split_once('.') else {
        return match plain.parse::<i128>() {
            Ok(value) => Ok(Typed::new(lit(value), DataType::Int128)),
            Err(_) => Err(refused(format!("{number} has more than 128 bits")).with_help("write it as a float: 1e40")),
        };
    };
    let digits = format!("{whole}{fraction}");
    if digits.trim_start_matches('0').len() > 38 || fraction.len() > 38 {
        return float();
    }
    let value = digits.parse::<i128>().map_err(|_| refused(format!("{number} is no number")))?;
    let precision = (whole.len() + fraction.len()).clamp(1, 38);
    let of = DataType::Decimal(precision, fraction.len());
    let scale = fraction.len();
    let value = AnyValue::Decimal(value, precision, scale);
    Ok(Typed::new(Scalar::new(of.clone(), value).lit(), of))
}
