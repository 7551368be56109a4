//! `GROUP BY` and aggregates. What they read becomes columns first, so that Polars' rules for groups do not matter.

use std::ops::ControlFlow;

use polars::prelude::{DataType, Expr, LazyFrame, NULL, PlSmallStr, len, lit, when};
use rdp_elt::Result;
use sqlparser::ast as sql;
use sqlparser::ast::{Visit, VisitMut, Visitor, VisitorMut};

use super::coerce::Typed;
use super::expression::Scope;
use super::function::arguments;
use super::relation::Relation;
use super::{Planner, exact, refused};

/// The groups of one `SELECT`, and what is computed of each.
#[derive(Default)]
pub(super) struct Grouping {
    keys: Vec<(String, PlSmallStr, DataType)>,
    /// Columns that have to be there before rows are grouped.
    inputs: Vec<Expr>,
    /// What is computed of every group, each under a name of its own.
    outputs: Vec<Expr>,
}

/// One aggregate over rows that are already columns.
pub(super) struct Aggregate {
    /// What it reads, under these names.
    pub(super) inputs: Vec<Expr>,
    /// What Polars computes, under these names.
    pub(super) outputs: Vec<Expr>,
    /// The value, from the outputs.
    pub(super) value: Typed,
}

impl Grouping {
    pub(super) fn group_by(
        &mut self,
        name: PlSmallStr,
        relation: &Relation,
        expr: &sql::Expr,
        value: Typed,
    ) -> Result<()> {
        if value.of.is_nested() {
            return Err(refused(format!("GROUP BY {expr}: lists and structs are not grouped by")));
        }
        self.inputs.push(value.expr.alias(name.clone()));
        self.keys.push((canonical(relation, expr), name, value.of));
        Ok(())
    }

    /// The key that an expression is, if it is one.
    pub(super) fn key(&self, relation: &Relation, expr: &sql::Expr) -> Result<Option<Typed>> {
        if self.keys.is_empty() {
            return Ok(None);
        }
        let wanted = canonical(relation, expr);
        let key = self.keys.iter().find(|(key, ..)| *key == wanted);
        Ok(key.map(|(_, name, of)| Typed::new(Expr::Column(name.clone()), of.clone())))
    }

    pub(super) fn apply(self, frame: LazyFrame) -> LazyFrame {
        let mut outputs = self.outputs;
        outputs.push(len().alias("row count"));
        let frame = if self.inputs.is_empty() { frame } else { frame.with_columns(self.inputs) };
        if self.keys.is_empty() {
            return frame.select(outputs);
        }
        let keys: Vec<Expr> = self.keys.into_iter().map(|(_, name, _)| Expr::Column(name)).collect();
        frame.group_by_stable(keys).agg(outputs)
    }
}

impl Planner<'_> {
    /// An aggregate where rows are grouped.
    pub(super) fn aggregate(&self, scope: &Scope<'_>, function: &sql::Function) -> Result<Typed> {
        let Some(grouping) = scope.grouping else {
            return Err(refused(format!("{function}: an aggregate cannot stand here"))
                .with_help("conditions on aggregates go into HAVING"));
        };
        let aggregate = self.aggregate_of(&Scope::of(scope.relation), function)?;
        let mut grouping = grouping.borrow_mut();
        grouping.inputs.extend(aggregate.inputs);
        grouping.outputs.extend(aggregate.outputs);
        Ok(aggregate.value)
    }

    /// An aggregate over the rows of a scope.
    pub(super) fn aggregate_of(&self, scope: &Scope<'_>, function: &sql::Function) -> Result<Aggregate> {
        let name = function.name.to_string().to_ascii_lowercase();
        let (is_distinct, is_star, mut values) = arguments(self, scope, function)?;
        let filter = function.filter.as_ref().map(|filter| self.predicate(scope, filter, "FILTER")).transpose()?;
        let value = match (values.pop(), values.is_empty(), is_star) {
            (None, true, true) if name == "count" && !is_distinct => Typed::new(lit(1i64), DataType::Int64),
            (Some(value), true, false) => value,
            _ => return Err(refused(format!("{function}: it takes one argument"))),
        };
        if is_distinct && !matches!(name.as_str(), "count" | "min" | "max") {
            return Err(
                refused(format!("{function} is not run")).with_help("select DISTINCT in a subquery, then aggregate")
            );
        }
        if value.of.is_nested() && name != "count" || is_distinct && value.of.is_nested() {
            return Err(refused(format!("{function}: lists and structs are not aggregated")));
        }
        let value = match filter {
            None => value,
            Some(filter) => {
                let of = value.of.clone();
                let null = lit(NULL).cast(of.clone());
                Typed::new(when(filter.fill_null(lit(false))).then(value.expr).otherwise(null), of)
            }
        };
        self.computed(function, &name, is_distinct, value)
    }

    fn computed(&self, function: &sql::Function, name: &str, is_distinct: bool, value: Typed) -> Result<Aggregate> {
        let value = match (name, &value.of) {
            ("sum", DataType::Boolean) => Typed::new(value.expr.cast(DataType::Int128), DataType::Int128),
            ("sum" | "avg", _) if value.is_exact() => exact::summable(value),
            ("sum" | "avg", DataType::Float32 | DataType::Float64) => {
                Typed::new(value.expr.cast(DataType::Float64), DataType::Float64)
            }
            ("sum" | "avg", of) => return Err(refused(format!("{function}: it takes numbers, not {of}"))),
            ("bool_and" | "bool_or", of) if *of != DataType::Boolean => {
                return Err(refused(format!("{function}: it takes conditions, not {of}")));
            }
            _ => value,
        };
        let input = self.fresh();
        let mut outputs = Vec::new();
        let of = value.of.clone();
        let mut output = |expr: Expr| {
            let name = self.fresh();
            outputs.push(expr.alias(name.clone()));
            Expr::Column(name)
        };
        let column = || Expr::Column(input.clone());
        let present = match is_distinct && name == "count" {
            true => output(column().drop_nulls().n_unique().cast(DataType::Int64)),
            false => output(column().count().cast(DataType::Int64)),
        };
        let some = |expr: Expr, of: &DataType| {
            when(present.clone().gt(lit(0i64))).then(expr).otherwise(lit(NULL).cast(of.clone()))
        };
        let value_of = match name {
            "count" => Typed::new(present, DataType::Int64),
            "sum" => Typed::new(some(output(column().sum()), &of), of),
            "avg" => {
                let mean = match of.is_float() {
                    true => output(column().mean()),
                    false => output(column().sum()).cast(DataType::Float64) / present.clone().cast(DataType::Float64),
                };
                Typed::new(some(mean, &DataType::Float64), DataType::Float64)
            }
            // NaN is the largest of all.
            "max" if of.is_float() => {
                let largest = output(column().max());
                let has_nan = output(column().is_nan().any(true));
                Typed::new(when(has_nan).then(lit(f64::NAN).cast(of.clone())).otherwise(largest), of)
            }
            "max" => Typed::new(output(column().max()), of),
            "min" => Typed::new(output(column().min()), of),
            "bool_and" => Typed::new(some(output(column().all(true)), &of), of),
            "bool_or" => Typed::new(some(output(column().any(true)), &of), of),
            _ => return Err(refused(format!("{function} is not run")).with_help(AGGREGATES)),
        };
        Ok(Aggregate { inputs: vec![value.expr.alias(input)], outputs, value: value_of })
    }
}

/// Whether a function of this name is an aggregate.
pub(super) fn is_aggregate(name: &sql::ObjectName) -> bool {
    let name = name.to_string().to_ascii_lowercase();
    ["count", "sum", "avg", "min", "max", "bool_and", "bool_or"].contains(&name.as_str())
}

/// Whether an aggregate is in it that no window makes one of its own.
pub(super) fn has_aggregate(expr: &sql::Expr) -> bool {
    struct Look;
    impl Visitor for Look {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &sql::Expr) -> ControlFlow<()> {
            match expr {
                sql::Expr::Function(function) if function.over.is_none() && is_aggregate(&function.name) => {
                    ControlFlow::Break(())
                }
                // What a subquery aggregates is its own affair; it is planned apart.
                _ => ControlFlow::Continue(()),
            }
        }
    }
    !matches!(expr, sql::Expr::Subquery(_) | sql::Expr::Exists { .. }) && expr.visit(&mut Look).is_break()
}

/// An expression as text in which every column is its own name: two that are alike are the same.
pub(super) fn canonical(relation: &Relation, expr: &sql::Expr) -> String {
    struct Resolve<'a>(&'a Relation);
    impl VisitorMut for Resolve<'_> {
        type Break = ();
        fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<()> {
            let column = match &*expr {
                sql::Expr::Identifier(name) => self.0.find(None, &name.value),
                sql::Expr::CompoundIdentifier(names) => match &names[..] {
                    [table, name] if self.0.has_table(&table.value) => self.0.find(Some(&table.value), &name.value),
                    _ => return ControlFlow::Continue(()),
                },
                _ => return ControlFlow::Continue(()),
            };
            if let Ok(Some(column)) = column {
                *expr = sql::Expr::Identifier(sql::Ident::with_quote('"', format!("\0{}", column.internal)));
            }
            ControlFlow::Continue(())
        }
    }
    let mut expr = expr.clone();
    let _ = VisitMut::visit(&mut expr, &mut Resolve(relation));
    let mut text = &expr;
    while let sql::Expr::Nested(inner) = text {
        text = inner;
    }
    text.to_string()
}

const AGGREGATES: &str = "aggregates are COUNT, SUM, AVG, MIN, MAX, BOOL_AND and BOOL_OR";
