//! Window functions: over rows that are sorted for them, and brought back into their order.

use polars::prelude::{DataType, Expr, LazyFrame, NULL, PlSmallStr, SortMultipleOptions, lit, when};
use rdp_elt::Result;
use sqlparser::ast as sql;

use super::aggregate::{Aggregate, is_aggregate};
use super::coerce::Typed;
use super::expression::Scope;
use super::function::arguments;
use super::{Planner, SortKey, exact, failed, refused, sorted};

/// The window functions of one `SELECT`.
#[derive(Default)]
pub(super) struct Windows(Vec<Window>);

struct Window {
    /// Columns that have to be there first.
    inputs: Vec<Expr>,
    order: Vec<SortKey>,
    row: PlSmallStr,
    /// What is computed, step after step.
    steps: Vec<Expr>,
}

impl Windows {
    pub(super) fn apply(self, mut frame: LazyFrame) -> Result<LazyFrame> {
        for window in self.0 {
            frame = frame.with_columns(window.inputs).with_row_index(window.row.clone(), None);
            frame = sorted(frame, window.order);
            for step in window.steps {
                frame = frame.with_columns([step]);
            }
            frame = frame.sort([window.row], SortMultipleOptions::default());
        }
        Ok(frame)
    }
}

impl Planner<'_> {
    pub(super) fn window(&self, scope: &Scope<'_>, function: &sql::Function) -> Result<Typed> {
        let Some(windows) = scope.windows else {
            return Err(refused(format!("{function}: a window function cannot stand here"))
                .with_help("select it in a subquery, or use QUALIFY"));
        };
        let Some(sql::WindowType::WindowSpec(spec)) = &function.over else {
            return Err(refused("a named window is not run").with_help("write it out in OVER (…)"));
        };
        if spec.window_name.is_some() || spec.window_frame.is_some() {
            return Err(refused(format!("{function}: a window with a frame is not run"))
                .with_help("leave ROWS, RANGE and GROUPS out: from the first row to the current one and its peers"));
        }
        let inner = Scope { relation: scope.relation, grouping: scope.grouping, windows: None };
        let mut inputs = Vec::new();
        let mut input = |expr: Expr| {
            let name = self.fresh();
            inputs.push(expr.alias(name.clone()));
            Expr::Column(name)
        };
        let one = input(lit(1i64));
        let mut partition = vec![one.clone()];
        for expr in &spec.partition_by {
            let value = self.bind(&inner, expr)?;
            if value.of.is_nested() {
                return Err(refused(format!("PARTITION BY {expr}: lists and structs are not grouped by")));
            }
            partition.push(input(value.expr));
        }
        let (mut order, mut peers) = (Vec::new(), partition.clone());
        for key in &spec.order_by {
            if matches!(key.expr, sql::Expr::Value(_)) {
                return Err(refused(format!("{function}: a window is ordered by columns, not by literals")));
            }
            let value = self.bind(&inner, &key.expr)?;
            let column = input(value.expr);
            peers.push(column.clone());
            order.push(SortKey::of(column, &value.of, key)?);
        }
        let mut steps = Vec::new();
        let mut step = |expr: Expr| {
            let name = self.fresh();
            steps.push(expr.alias(name.clone()));
            Expr::Column(name)
        };
        let over = |expr: Expr, rows: &[Expr]| expr.over(rows).map_err(failed);
        let name = function.name.to_string().to_ascii_lowercase();
        let value = match name.as_str() {
            "row_number" | "rank" | "dense_rank" => {
                let (_, _, values) = arguments(self, &inner, function)?;
                if !values.is_empty() || function.filter.is_some() {
                    return Err(refused(format!("{function}: it takes no argument")));
                }
                let number = step(over(one.clone().cum_sum(false), &partition)?);
                let value = match name.as_str() {
                    "row_number" => number,
                    _ if spec.order_by.is_empty() => one.clone(),
                    _ => {
                        let rank = step(over(number.clone().min(), &peers)?);
                        match name.as_str() {
                            "rank" => rank,
                            _ => {
                                let is_first = step(number.eq(rank).cast(DataType::Int64));
                                step(over(is_first.cum_sum(false), &partition)?)
                            }
                        }
                    }
                };
                Typed::new(value, DataType::Int64)
            }
            "lag" | "lead" => {
                let (_, _, values) = arguments(self, &inner, function)?;
                let (value, by) = match &values[..] {
                    [value] => (value.clone(), 1),
                    [value, by] => match &by.expr {
                        Expr::Literal(by) => {
                            (value.clone(), by.to_any_value().and_then(|by| by.extract::<i64>()).unwrap_or(1))
                        }
                        _ => return Err(refused(format!("{function}: how far has to be a number"))),
                    },
                    _ => return Err(refused(format!("{function}: a default is not run")).with_help("use COALESCE")),
                };
                if spec.order_by.is_empty() || function.null_treatment.is_some() || function.filter.is_some() {
                    return Err(refused(format!("{function} needs ORDER BY in its window, and nothing else")));
                }
                let by = if name == "lag" { by } else { -by };
                let column = input(value.expr);
                Typed::new(step(over(column.shift(lit(by)), &partition)?), value.of)
            }
            _ if is_aggregate(&function.name) && spec.order_by.is_empty() => {
                let aggregate = self.aggregate_of(&inner, function)?;
                inputs.extend(aggregate.inputs);
                for output in aggregate.outputs {
                    let Expr::Alias(expr, name) = output else { continue };
                    steps.push(over((*expr).clone(), &partition)?.alias(name));
                }
                aggregate.value
            }
            "count" | "sum" | "avg" => {
                let Aggregate { inputs: read, .. } = self.aggregate_of(&inner, function)?;
                let is_distinct =
                    matches!(&function.args, sql::FunctionArguments::List(list) if list.duplicate_treatment.is_some());
                if is_distinct {
                    return Err(refused(format!("{function}: DISTINCT in an ordered window is not run")));
                }
                let of = self.running_type(&inner, function, &name)?;
                let column = match read.first() {
                    Some(Expr::Alias(_, column)) => Expr::Column(column.clone()),
                    _ => return Err(refused(format!("{function} is not run"))),
                };
                inputs.extend(read);
                let so_far = |expr: Expr| over(expr.cum_sum(false), &partition);
                let count = step(so_far(column.clone().is_not_null().cast(DataType::Int64))?);
                let count = step(over(count.last(), &peers)?);
                if name == "count" {
                    Typed::new(count, DataType::Int64)
                } else {
                    let zero = lit(0i64).cast(of.clone());
                    let sum = step(so_far(column.fill_null(zero))?);
                    let sum = step(over(sum.last(), &peers)?);
                    let none = |of: &DataType| lit(NULL).cast(of.clone());
                    let is_some = count.clone().gt(lit(0i64));
                    match name.as_str() {
                        "sum" => Typed::new(when(is_some).then(sum).otherwise(none(&of)), of),
                        _ => {
                            let mean = sum.cast(DataType::Float64) / count.cast(DataType::Float64);
                            Typed::new(when(is_some).then(mean).otherwise(none(&DataType::Float64)), DataType::Float64)
                        }
                    }
                }
            }
            _ => {
                return Err(refused(format!("{function}: this window function is not run")).with_help(
                    "ROW_NUMBER, RANK, DENSE_RANK, LAG, LEAD, COUNT, SUM and AVG are, and MIN and MAX without ORDER BY",
                ));
            }
        };
        let row = self.fresh();
        windows.borrow_mut().0.push(Window { inputs, order, row, steps });
        Ok(value)
    }

    fn running_type(&self, scope: &Scope<'_>, function: &sql::Function, name: &str) -> Result<DataType> {
        let (_, _, mut values) = arguments(self, scope, function)?;
        match values.pop() {
            Some(value) if name != "count" && value.is_exact() => {
                match exact::summable(value).of {
                    // Polars has no running sum of decimals.
                    DataType::Decimal(..) => Err(refused(format!("{function}: a running sum of decimals is not run"))
                        .with_help("CAST to DOUBLE")),
                    of => Ok(of),
                }
            }
            Some(value) if value.of == DataType::Boolean => Ok(DataType::Int128),
            _ => Ok(DataType::Float64),
        }
    }
}
