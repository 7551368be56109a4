//! Operators, and the types of what stands on their sides.

use polars::prelude::{DataType, Expr, lit};
use rdp_elt::Result;
use sqlparser::ast as sql;
use sqlparser::ast::{BinaryOperator, UnaryOperator};

use super::coerce::{CAST, Typed, common, to, together};
use super::{cast, exact, refused};

/// `+ - * / % //` of two numbers, or of a date and days.
pub(super) fn arithmetic(whole: &sql::Expr, left: Typed, operator: &BinaryOperator, right: Typed) -> Result<Typed> {
    use BinaryOperator as Operator;
    if left.of == DataType::Null || right.of == DataType::Null {
        let of = if left.of == DataType::Null { right.of } else { left.of };
        return Ok(Typed::new(lit(polars::prelude::NULL).cast(of.clone()), of));
    }
    if !left.is_number() || !right.is_number() {
        return Err(refused(format!("{whole}: {} {operator} {} is not run", left.of, right.of))
            .with_help("arithmetic is of numbers; DATE_TRUNC, DATE_PART and EPOCH_MS make numbers of times"));
    }
    let of = match common(&left.of, &right.of) {
        Some(DataType::Float32) => DataType::Float32,
        Some(of) if of.is_float() => DataType::Float64,
        _ if matches!(operator, Operator::Divide) => DataType::Float64,
        _ => return exact::arithmetic(left, operator, right),
    };
    let (left, right) = (to(left, &of)?.expr, to(right, &of)?.expr);
    let expr = match operator {
        Operator::Plus => left + right,
        Operator::Minus => left - right,
        Operator::Multiply => left * right,
        Operator::Divide => left / right,
        _ => {
            return Err(refused(format!("{whole}: {operator} of floats is not run")).with_help("CAST to whole numbers"));
        }
    };
    Ok(Typed::new(expr, of))
}

pub(super) fn negated(value: Typed) -> Result<Typed> {
    let of = if value.of.is_integer() { DataType::Int128 } else { value.of.clone() };
    if let Expr::Literal(literal) = &value.expr
        && value.of.is_integer()
        && let Some(number) = literal.to_any_value().and_then(|value| value.extract::<i128>())
    {
        return Ok(Typed::new(lit(-number), of));
    }
    Ok(Typed::new(exact::each(value.expr, of.clone(), i128::checked_neg), of))
}

/// Values that are compared: of one type, and of one that has an order.
pub(super) fn comparable(one: Typed, other: Typed, whole: &sql::Expr) -> Result<(Typed, Typed)> {
    let (one, other) = together(one, other, &whole.to_string())?;
    if one.of.is_nested() {
        return Err(refused(format!("{whole}: lists and structs are not compared")).with_help("compare their fields"));
    }
    if one.of == DataType::Null {
        let null = || Typed::new(lit(polars::prelude::NULL).cast(DataType::Boolean), DataType::Boolean);
        return Ok((null(), null()));
    }
    Ok((one, other))
}

/// All values in one type.
pub(super) fn unified(values: Vec<Typed>, whole: &sql::Expr) -> Result<Vec<Typed>> {
    // A literal's text counts where nothing else is there.
    let typed = values.iter().filter(|value| value.literal_text().is_none()).map(|value| &value.of);
    let mut of = typed.clone().next().cloned().unwrap_or(DataType::String);
    for other in typed {
        of = common(&of, other)
            .ok_or_else(|| refused(format!("{whole}: one is {of}, another {other}")).with_help(CAST))?;
    }
    if of == DataType::Null && values.iter().any(|value| value.literal_text().is_some()) {
        of = DataType::String;
    }
    values
        .into_iter()
        .map(|value| match value.literal_text() {
            Some(text) if of != DataType::String => cast::literal(&text, &of),
            _ => to(value, &of),
        })
        .collect()
}

pub(super) fn condition(value: Typed, whole: &sql::Expr) -> Result<Expr> {
    match value.of {
        DataType::Boolean => Ok(value.expr),
        DataType::Null => Ok(value.expr.cast(DataType::Boolean)),
        of => Err(refused(format!("{whole}: {of} is not a condition")).with_help("compare it with something")),
    }
}

/// An operand that does not hang on precedence, of which DuckDB and our parser may think differently.
pub(super) fn loose<'a>(operand: &'a sql::Expr, whole: &sql::Expr) -> Result<&'a sql::Expr> {
    let is_unclear = match operand {
        sql::Expr::BinaryOp { op, .. } => is_comparison(op) || matches!(op, BinaryOperator::And | BinaryOperator::Or),
        sql::Expr::UnaryOp { op: UnaryOperator::Not, .. }
        | sql::Expr::IsNull(_)
        | sql::Expr::IsNotNull(_)
        | sql::Expr::IsTrue(_)
        | sql::Expr::IsNotTrue(_)
        | sql::Expr::IsFalse(_)
        | sql::Expr::IsNotFalse(_)
        | sql::Expr::IsDistinctFrom(..)
        | sql::Expr::IsNotDistinctFrom(..)
        | sql::Expr::Between { .. }
        | sql::Expr::InList { .. }
        | sql::Expr::InSubquery { .. }
        | sql::Expr::Like { .. }
        | sql::Expr::ILike { .. } => true,
        _ => false,
    };
    match is_unclear {
        true => {
            Err(refused(format!("{whole}: what belongs together is not plain")).with_help("put it into parentheses"))
        }
        false => Ok(operand),
    }
}

pub(super) fn is_comparison(operator: &BinaryOperator) -> bool {
    use BinaryOperator as Operator;
    matches!(operator, Operator::Eq | Operator::NotEq | Operator::Lt | Operator::LtEq | Operator::Gt | Operator::GtEq)
}

/// Any of them, as a balanced tree: a long list must not be a deep one.
pub(super) fn any_of(mut all: Vec<Expr>) -> Expr {
    while all.len() > 1 {
        all = all
            .chunks(2)
            .map(|pair| match pair {
                [one, other] => one.clone().or(other.clone()),
                pair => pair[0].clone(),
            })
            .collect();
    }
    all.pop().unwrap_or_else(|| lit(false))
}
