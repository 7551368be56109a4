//! Scalar functions: those that are listed here, with DuckDB's meaning.

use polars::prelude::{AnyValue, DataType, Expr, NULL, lit, when};
use rdp_elt::Result;
use sqlparser::ast as sql;

use super::aggregate::is_aggregate;
use super::coerce::{Typed, scale, to};
use super::expression::Scope;
use super::operator::{comparable, unified};
use super::{Planner, exact, moment, refused, text};

impl Planner<'_> {
    pub(super) fn function(&self, scope: &Scope<'_>, function: &sql::Function) -> Result<Typed> {
        if function.null_treatment.is_some() || !function.within_group.is_empty() || has_arguments(&function.parameters)
        {
            return Err(refused(format!("{function} is not run")));
        }
        if function.over.is_some() {
            return self.window(scope, function);
        }
        if is_aggregate(&function.name) {
            return self.aggregate(scope, function);
        }
        let (is_distinct, is_star, values) = arguments(self, scope, function)?;
        if is_distinct || is_star || function.filter.is_some() {
            return Err(refused(format!("{function} is not run")));
        }
        let name = function.name.to_string().to_ascii_lowercase();
        let whole = sql::Expr::Function(function.clone());
        called(&name, values, &whole)
    }

    /// Functions that SQL writes in words of its own: `EXTRACT(… FROM …)` and its like.
    pub(super) fn written_function(&self, scope: &Scope<'_>, expr: &sql::Expr) -> Result<Typed> {
        let bind = |expr: &sql::Expr| self.bind(scope, expr);
        match expr {
            sql::Expr::Extract { field, expr: inner, .. } => {
                moment::part(&field.to_string().trim_matches('\'').to_ascii_lowercase(), bind(inner)?)
            }
            sql::Expr::Ceil {
                expr: inner,
                field: sql::CeilFloorKind::DateTimeField(sql::DateTimeField::NoDateTime),
            } => called("ceil", vec![bind(inner)?], expr),
            sql::Expr::Floor {
                expr: inner,
                field: sql::CeilFloorKind::DateTimeField(sql::DateTimeField::NoDateTime),
            } => called("floor", vec![bind(inner)?], expr),
            sql::Expr::Position { expr: part, r#in } => called("strpos", vec![bind(r#in)?, bind(part)?], expr),
            sql::Expr::Substring { expr: inner, substring_from: Some(from), substring_for, .. } => {
                let mut values = vec![bind(inner)?, bind(from)?];
                values.extend(substring_for.as_deref().map(bind).transpose()?);
                called("substr", values, expr)
            }
            sql::Expr::Trim { trim_where, trim_what, expr: inner, trim_characters: None } => {
                let name = match trim_where {
                    None | Some(sql::TrimWhereField::Both) => "trim",
                    Some(sql::TrimWhereField::Leading) => "ltrim",
                    Some(sql::TrimWhereField::Trailing) => "rtrim",
                };
                let mut values = vec![bind(inner)?];
                values.extend(trim_what.as_deref().map(bind).transpose()?);
                called(name, values, expr)
            }
            other => Err(refused(format!("{other} is not run"))),
        }
    }
}

fn has_arguments(arguments: &sql::FunctionArguments) -> bool {
    !matches!(arguments, sql::FunctionArguments::None)
}

/// The arguments of a call: whether they are distinct, whether they are `*`, and their values.
pub(super) fn arguments(
    planner: &Planner<'_>,
    scope: &Scope<'_>,
    function: &sql::Function,
) -> Result<(bool, bool, Vec<Typed>)> {
    let list = match &function.args {
        sql::FunctionArguments::List(list) if list.clauses.is_empty() => list,
        _ => return Err(refused(format!("{function} is not run"))),
    };
    let is_distinct = matches!(list.duplicate_treatment, Some(sql::DuplicateTreatment::Distinct));
    let mut values = Vec::new();
    let mut is_star = false;
    for argument in &list.args {
        match argument {
            sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Expr(expr)) => values.push(planner.bind(scope, expr)?),
            // `f(a = b)` is a condition; the parser takes it for a name and its value.
            sql::FunctionArg::Named {
                name,
                arg: sql::FunctionArgExpr::Expr(value),
                operator: sql::FunctionArgOperator::Equals,
            } => {
                values.push(planner.bind(scope, &equal(sql::Expr::Identifier(name.clone()), value))?);
            }
            sql::FunctionArg::ExprNamed {
                name,
                arg: sql::FunctionArgExpr::Expr(value),
                operator: sql::FunctionArgOperator::Equals,
            } => {
                values.push(planner.bind(scope, &equal(name.clone(), value))?);
            }
            sql::FunctionArg::Unnamed(sql::FunctionArgExpr::Wildcard) => is_star = true,
            _ => return Err(refused(format!("{function} is not run"))),
        }
    }
    Ok((is_distinct, is_star, values))
}

fn equal(left: sql::Expr, right: &sql::Expr) -> sql::Expr {
    sql::Expr::BinaryOp { left: Box::new(left), op: sql::BinaryOperator::Eq, right: Box::new(right.clone()) }
}

fn called(name: &str, mut values: Vec<Typed>, whole: &sql::Expr) -> Result<Typed> {
    let count = values.len();
    match (name, count) {
        ("coalesce", 1..) | ("ifnull", 2) => {
            let values = unified(values, whole)?;
            let of = values[0].of.clone();
            let mut values = values.into_iter().rev();
            let last = values.next().map(|value| value.expr).unwrap_or_else(|| lit(NULL));
            let expr = values
                .fold(last, |rest, value| when(value.expr.clone().is_not_null()).then(value.expr).otherwise(rest));
            Ok(Typed::new(expr, of))
        }
        ("nullif", 2) => {
            let first = values[0].clone();
            let (one, other) = comparable(values.remove(0), values.remove(0), whole)?;
            let is_equal = one.expr.eq(other.expr).fill_null(lit(false));
            let of = first.of.clone();
            Ok(Typed::new(when(is_equal).then(lit(NULL).cast(of.clone())).otherwise(first.expr), of))
        }
        ("greatest" | "least", 1..) => {
            let values = unified(values, whole)?;
            let of = values[0].of.clone();
            if of.is_nested() {
                return Err(refused(format!("{whole}: lists and structs are not compared")));
            }
            let mut values = values.into_iter();
            let first = values.next().map(|value| value.expr).unwrap_or_else(|| lit(NULL));
            let expr = values.fold(first, |best, value| {
                let is_better = match name {
                    "greatest" => value.expr.clone().gt(best.clone()),
                    _ => value.expr.clone().lt(best.clone()),
                };
                let is_better = best.clone().is_null().or(is_better.fill_null(lit(false)));
                when(is_better).then(value.expr).otherwise(best)
            });
            Ok(Typed::new(expr, of))
        }
        ("abs", 1) if values[0].is_exact() => {
            let value = values.remove(0);
            let of = if value.of.is_integer() { DataType::Int128 } else { value.of.clone() };
            Ok(Typed::new(exact::each(value.expr, of.clone(), i128::checked_abs), of))
        }
        ("floor" | "ceil" | "ceiling" | "round" | "trunc", 1) if values[0].of.is_decimal() => {
            let value = values.remove(0);
            let unit = 10i128.pow(scale(&value.of) as u32);
            let of = DataType::Decimal(super::coerce::digits_of(&value), 0);
            let act = match name {
                "floor" => |number: i128, unit: i128| Some(number.div_euclid(unit)),
                "ceil" | "ceiling" => {
                    |number: i128, unit: i128| number.checked_neg().map(|number| -number.div_euclid(unit))
                }
                "trunc" => |number: i128, unit: i128| Some(number / unit),
                _ => exact::rounded,
            };
            Ok(Typed::new(exact::each(value.expr, of.clone(), move |number| act(number, unit)), of))
        }
        ("round" | "trunc", 1) if values[0].is_integer() => Ok(values.remove(0)),
        ("floor" | "ceil" | "ceiling", 1) if values[0].is_integer() => to(values.remove(0), &DataType::Float64),
        ("abs" | "floor" | "ceil" | "ceiling" | "round" | "trunc", 1) if values[0].of.is_float() => {
            let act = match name {
                "abs" => f64::abs,
                "floor" => f64::floor,
                "round" => f64::round,
                "trunc" => f64::trunc,
                _ => f64::ceil,
            };
            let value = values.remove(0);
            let of = value.of.clone();
            let value = floats(vec![value], whole, move |numbers| act(numbers[0]))?;
            Ok(Typed::new(value.expr.cast(of.clone()), of))
        }
        ("round", 2) if values[0].is_exact() => {
            let digits = constant(&values[1], whole)?;
            let value = values.remove(0);
            let places = scale(&value.of) as i64;
            let unit = u32::try_from(places - digits).ok().map(|cut| 10i128.checked_pow(cut));
            let of = match &value.of {
                DataType::Decimal(precision, _) => DataType::Decimal(*precision, digits.clamp(0, places) as usize),
                _ => DataType::Int128,
            };
            let Some(unit) = unit else {
                let of = value.of.clone();
                return Ok(Typed::new(value.expr, of));
            };
            let kept = scale(&of) as u32;
            let up = 10i128.checked_pow(u32::try_from((i64::from(kept) - digits).max(0)).unwrap_or(u32::MAX));
            let expr = exact::each(value.expr, of.clone(), move |number| match (unit, up) {
                (Some(unit), Some(up)) => exact::rounded(number, unit)?.checked_mul(up),
                _ => Some(0),
            });
            Ok(Typed::new(expr, of))
        }
        ("round", 2) if values[0].of == DataType::Float64 => {
            let digits = constant(&values[1], whole)?;
            let Ok(digits) = i32::try_from(digits) else { return Err(refused(whole)) };
            floats(vec![values.remove(0)], whole, move |numbers| {
                let unit = 10f64.powi(digits.abs());
                let rounded =
                    if digits < 0 { (numbers[0] / unit).round() * unit } else { (numbers[0] * unit).round() / unit };
                if rounded.is_finite() { rounded } else { numbers[0] }
            })
        }
        ("sign", 1) if values[0].is_number() => {
            let value = values.remove(0);
            let zero = lit(0i64).cast(value.of.clone());
            let sign = when(value.expr.clone().gt(zero.clone()))
                .then(lit(1i64))
                .when(value.expr.clone().lt(zero))
                .then(lit(-1i64))
                .when(value.expr.is_not_null())
                .then(lit(0i64))
                .otherwise(lit(NULL).cast(DataType::Int64));
            Ok(Typed::new(sign, DataType::Int64))
        }
        ("mod", 2) if values.iter().all(Typed::is_exact) => {
            let (one, other) = (values.remove(0), values.remove(0));
            exact::arithmetic(one, &sql::BinaryOperator::Modulo, other)
        }
        ("sqrt", 1) => floats(values, whole, |numbers| numbers[0].sqrt()),
        ("exp", 1) => floats(values, whole, |numbers| numbers[0].exp()),
        ("ln", 1) => floats(values, whole, |numbers| numbers[0].ln()),
        ("log10" | "log", 1) => floats(values, whole, |numbers| numbers[0].log10()),
        ("log2", 1) => floats(values, whole, |numbers| numbers[0].log2()),
        ("power" | "pow", 2) => floats(values, whole, |numbers| numbers[0].powf(numbers[1])),
        ("isnan", 1) if values[0].of.is_float() => Ok(Typed::new(values.remove(0).expr.is_nan(), DataType::Boolean)),
        ("year" | "month" | "day" | "hour" | "minute" | "second" | "quarter" | "week" | "epoch" | "epoch_ms", 1) => {
            moment::part(name, values.remove(0))
        }
        ("date_part" | "datepart" | "date_trunc" | "datetrunc", 2) => {
            let Some(part) = values[0].literal_text() else {
                return Err(refused(format!("{whole}: the part has to be written out")));
            };
            match name {
                "date_part" | "datepart" => moment::part(&part.to_ascii_lowercase(), values.remove(1)),
                _ => moment::truncated(&part.to_ascii_lowercase(), values.remove(1)),
            }
        }
        ("len" | "array_length", 1) if values[0].of.is_list() => {
            Ok(Typed::new(values.remove(0).expr.list().len().cast(DataType::Int64), DataType::Int64))
        }
        _ => text::function(name, values, whole),
    }
}

/// A function of floats.
fn floats(values: Vec<Typed>, whole: &sql::Expr, act: impl Fn(&[f64]) -> f64 + Send + Sync + 'static) -> Result<Typed> {
    let mut arguments: Vec<Expr> = Vec::with_capacity(values.len());
    for value in values {
        if !value.is_number() {
            return Err(refused(format!("{whole}: it takes numbers, not {}", value.of)));
        }
        arguments.push(to(value, &DataType::Float64)?.expr);
    }
    Ok(super::rowwise::rowwise(arguments, DataType::Float64, move |row| {
        let mut numbers = [0f64; 2];
        for (number, value) in numbers.iter_mut().zip(row) {
            if let AnyValue::Float64(value) = value {
                *number = *value;
            }
        }
        Ok(AnyValue::Float64(act(&numbers)))
    }))
}

fn constant(value: &Typed, whole: &sql::Expr) -> Result<i64> {
    match &value.expr {
        Expr::Literal(literal) => literal.to_any_value().and_then(|value| value.extract::<i64>()),
        _ => None,
    }
    .ok_or_else(|| refused(format!("{whole}: the second argument has to be a number that is written out")))
}
