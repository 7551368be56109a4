//! Whole numbers and decimals: exact, in 128 bits, or an error. Polars' own arithmetic wraps around.

use polars::prelude::{ChunkedArray, Int128Type};
use polars::prelude::{
    Column, DataType, Expr, Field, Int64Chunked, IntoColumn, IntoSeries, NewChunkedArray, PolarsError, PolarsResult,
    Schema, Series, TimeUnit, TimeZone,
};
use rdp_elt::Result;
use sqlparser::ast::BinaryOperator;

use super::coerce::{Typed, digits_of, scale};
use super::refused;

/// `+ - * % //` of whole numbers and decimals.
pub(super) fn arithmetic(left: Typed, operator: &BinaryOperator, right: Typed) -> Result<Typed> {
    let is_decimal = left.of.is_decimal() || right.of.is_decimal();
    let wide = scale(&left.of).max(scale(&right.of));
    let (left_scale, right_scale) = (scale(&left.of), scale(&right.of));
    let (before, after) = (digits_of(&left), digits_of(&right));
    let (scale, left, right) = match operator {
        BinaryOperator::Multiply => (scale(&left.of) + scale(&right.of), left.expr, right.expr),
        BinaryOperator::DuckIntegerDivide if is_decimal => {
            return Err(refused("// of decimals is not run").with_help("use / and FLOOR, or CAST to whole numbers"));
        }
        _ if is_decimal => (wide, rescale(left, 38, wide), rescale(right, 38, wide)),
        _ => (0, left.expr, right.expr),
    };

    let whole = before.saturating_sub(left_scale).max(after.saturating_sub(right_scale));
    let precision = match operator {
        BinaryOperator::Multiply => before + after,
        BinaryOperator::Modulo => whole + scale,
        _ => whole + scale + 1,
    };
    if is_decimal && matches!(operator, BinaryOperator::Modulo) && precision > 38 {
        return Err(refused("% of a decimal and so wide a number").with_help("CAST the number to BIGINT"));
    }
    if scale > 38 {
        return Err(refused(format!("a product with {scale} digits behind the point")).with_help("CAST to DOUBLE"));
    }
    let act: fn(i128, i128) -> Option<i128> = match operator {
        BinaryOperator::Plus => i128::checked_add,
        BinaryOperator::Minus => i128::checked_sub,
        BinaryOperator::Multiply => i128::checked_mul,
        BinaryOperator::Modulo => i128::checked_rem,
        BinaryOperator::DuckIntegerDivide => i128::checked_div,
        other => return Err(refused(format!("operator {other} is not run"))),
    };
    let text = operator.to_string();
    let of = if is_decimal { DataType::Decimal(precision.min(38), scale) } else { DataType::Int128 };
    let result = of.clone();
    let expr = left.map_many(
        move |columns| {
            let (left, right) = (numbers(&columns[0])?, numbers(&columns[1])?);
            let one = |left: Option<i128>, right: Option<i128>| match (left, right) {
                (Some(left), Some(right)) => {
                    let number = act(left, right).filter(|number| fits(*number, &result));
                    number.map(Some).ok_or_else(|| wrong(&text, right))
                }
                _ => Ok(None),
            };
            let length = length_of(columns);
            let rows = (0..length).map(|row| one(at(&left, row), at(&right, row)));
            finished(columns[0].name().clone(), rows, &result)
        },
        &[right],
        output(of.clone()),
    );
    Ok(Typed::new(expr, of))
}

/// The same number with so many digits behind the point; digits that are cut off round half away from zero.
pub(super) fn rescale(value: Typed, precision: usize, to: usize) -> Expr {
    let from = scale(&value.of);
    let result = DataType::Decimal(precision, to);
    if value.of == result {
        return value.expr;
    }
    let of = result.clone();
    each(value.expr, of, move |number| {
        let number = match to.checked_sub(from) {
            Some(more) => number.checked_mul(power(more)?),
            None => rounded(number, power(from - to)?),
        };
        number.filter(|number| fits(*number, &result))
    })
}

/// A decimal's whole part, rounded half away from zero.
pub(super) fn whole(value: Typed) -> Expr {
    let unit = power(scale(&value.of)).unwrap_or(i128::MAX);
    each(value.expr, DataType::Int128, move |number| rounded(number, unit))
}

/// Applies to the digits of every number; `None` is a number out of range.
pub(super) fn each(value: Expr, of: DataType, act: impl Fn(i128) -> Option<i128> + Send + Sync + 'static) -> Expr {
    let result = of.clone();
    value.map(
        move |column| {
            let numbers = numbers(&column)?;
            let rows = numbers.iter().map(|number| match number {
                Some(number) => act(number).map(Some).ok_or_else(|| wrong("change", number)),
                None => Ok(None),
            });
            finished(column.name().clone(), rows, &result)
        },
        one_output(of),
    )
}

/// A number that so many rows can add up as they are: past 2⁹⁵ a sum of 2³² could leave 128 bits.
pub(super) fn summable(value: Typed) -> Typed {
    let of = match value.of {
        DataType::Decimal(_, scale) => DataType::Decimal(38, scale),
        _ => DataType::Int128,
    };
    let expr = match value.of {
        DataType::Int128 | DataType::UInt128 | DataType::Decimal(..) => {
            each(value.expr, of.clone(), |number| (number.unsigned_abs() < 1 << 95).then_some(number))
        }
        _ => value.expr.cast(DataType::Int128),
    };
    Typed::new(expr, of)
}

/// Milliseconds as microseconds.
pub(super) fn microseconds(value: Expr, zone: Option<TimeZone>) -> Expr {
    let of = DataType::Datetime(TimeUnit::Microseconds, zone.clone());
    value.map(
        move |column| {
            let times = column.as_materialized_series().to_physical_repr().cast(&DataType::Int64)?;
            let mut widened = Vec::with_capacity(times.len());
            for time in times.i64()?.iter() {
                widened.push(match time {
                    Some(time) => Some(time.checked_mul(1000).ok_or_else(|| wrong("change", i128::from(time)))?),
                    None => None,
                });
            }
            let times = Int64Chunked::from_iter_options(column.name().clone(), widened.into_iter());
            Ok(times.into_datetime(TimeUnit::Microseconds, zone.clone()).into_series().into_column())
        },
        one_output(of),
    )
}

/// The digits of a whole number or a decimal.
fn numbers(column: &Column) -> PolarsResult<ChunkedArray<Int128Type>> {
    let series: Series = column.as_materialized_series().to_physical_repr().into_owned();
    Ok(series.strict_cast(&DataType::Int128)?.i128()?.clone())
}

fn finished(
    name: polars::prelude::PlSmallStr,
    rows: impl Iterator<Item = PolarsResult<Option<i128>>>,
    of: &DataType,
) -> PolarsResult<Column> {
    let numbers = rows.collect::<PolarsResult<Vec<_>>>()?;
    let numbers = ChunkedArray::<Int128Type>::from_iter_options(name, numbers.into_iter());
    Ok(match of {
        DataType::Decimal(precision, scale) => numbers.into_decimal_unchecked(*precision, *scale).into_series(),
        of => numbers.into_series().strict_cast(of)?,
    }
    .into_column())
}

fn at(numbers: &ChunkedArray<Int128Type>, row: usize) -> Option<i128> {
    numbers.get(if numbers.len() == 1 { 0 } else { row })
}

/// As many rows as the longest has: a literal is one row, whatever stands beside it.
pub(super) fn length_of(columns: &[Column]) -> usize {
    match columns.iter().all(|column| column.len() == 1) {
        true => 1,
        false => columns.iter().map(Column::len).find(|length| *length != 1).unwrap_or(1),
    }
}

fn fits(number: i128, of: &DataType) -> bool {
    match of {
        DataType::Decimal(precision, _) => number.unsigned_abs() < 10u128.pow((*precision).min(38) as u32),
        _ => true,
    }
}

fn power(digits: usize) -> Option<i128> {
    10i128.checked_pow(u32::try_from(digits).ok()?)
}

pub(super) fn rounded(number: i128, unit: i128) -> Option<i128> {
    let (whole, rest) = (number / unit, number % unit);
    let is_up = rest.unsigned_abs() >= unit.unsigned_abs() - rest.unsigned_abs();
    Some(if is_up && rest != 0 { whole + number.signum() } else { whole })
}

fn wrong(doing: &str, by: i128) -> PolarsError {
    let why = match by == 0 && matches!(doing, "%" | "//") {
        true => format!("{doing} 0 has no value"),
        false => format!("{doing}: the number does not fit its type"),
    };
    PolarsError::ComputeError(why.into())
}

pub(super) fn output(of: DataType) -> impl Fn(&Schema, &[Field]) -> PolarsResult<Field> + Send + Sync + 'static {
    move |_, fields| Ok(Field::new(fields[0].name().clone(), of.clone()))
}

pub(super) fn one_output(of: DataType) -> impl Fn(&Schema, &Field) -> PolarsResult<Field> + Send + Sync + 'static {
    move |_, field| Ok(Field::new(field.name().clone(), of.clone()))
}
