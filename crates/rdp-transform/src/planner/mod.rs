//! From a statement to a lazy plan of Polars', in a dialect that answers as DuckDB does or not at all.
//!
//! The statement is parsed by `sqlparser` and run by Polars; in between, names are bound and types are fixed here. Only
//! what is listed here passes: what is unknown is refused. Every column gets a name of its own inside the plan, so that
//! no reference can be taken for another's, and everything that an aggregate or a window reads is a column before it
//! is read. `docs/SQL.md` is the dialect.

mod aggregate;
mod cast;
mod coerce;
mod exact;
mod expression;
mod from;
mod function;
mod literal;
mod moment;
mod operator;
mod relation;
mod rowwise;
mod select;
mod text;
mod window;

use std::cell::Cell;

use polars::prelude::{DataFrame, Expr, IdxSize, JoinArgs, JoinType, LazyFrame, PlSmallStr, PolarsError};
use polars::prelude::{SortMultipleOptions, UnionArgs, UniqueKeepStrategy, concat};
use rdp_elt::{Error, Result};
use sqlparser::ast as sql;

use self::coerce::common;
use self::relation::{Column, Relation};
use super::Tables;

/// Plans one statement over these tables and runs it.
pub(super) fn run(statement: &sql::Statement, tables: &Tables) -> Result<DataFrame> {
    let sql::Statement::Query(query) = statement else {
        return Err(refused("only SELECT is run").with_help("landings are read, never changed"));
    };
    let planner = Planner { tables, with: Vec::new(), next: Cell::new(0) };
    let relation = planner.query(query)?;
    relation.named().collect().map_err(failed)
}

/// What is known while a query is planned.
#[derive(Clone)]
struct Planner<'a> {
    tables: &'a Tables,
    /// What `WITH` has named so far, the innermost last.
    with: Vec<(String, Relation)>,
    next: Cell<usize>,
}

impl Planner<'_> {
    /// A name that no other column of any plan of this query has.
    fn fresh(&self) -> PlSmallStr {
        self.next.set(self.next.get() + 1);
        format!("c{}", self.next.get()).into()
    }

    fn query(&self, query: &sql::Query) -> Result<Relation> {
        let has_more = query.fetch.is_some()
            || !query.locks.is_empty()
            || query.for_clause.is_some()
            || query.settings.is_some()
            || query.format_clause.is_some()
            || !query.pipe_operators.is_empty();
        if has_more {
            return Err(
                refused("a clause after the query is not SQL of this dialect").with_help("use LIMIT and OFFSET")
            );
        }
        let Some(with) = &query.with else { return self.body(query) };
        if with.recursive {
            return Err(refused("WITH RECURSIVE is not run"));
        }
        // A clone counts on from here; its names do not meet ours, since every frame of it is handed on.
        let mut inner = self.clone();
        for table in &with.cte_tables {
            let relation = inner.query(&table.query)?.under(&table.alias)?;
            inner.with.push((table.alias.name.value.clone(), relation));
        }
        let relation = inner.body(query);
        self.next.set(inner.next.get());
        relation
    }

    fn body(&self, query: &sql::Query) -> Result<Relation> {
        let order = query.order_by.as_ref();
        let relation = match query.body.as_ref() {
            sql::SetExpr::Select(select) => self.select(select, order)?,
            body => {
                let relation = self.set(body)?;
                self.sorted_by_name(relation, order)?
            }
        };
        limited(relation, query.limit_clause.as_ref())
    }

    fn set(&self, body: &sql::SetExpr) -> Result<Relation> {
        match body {
            sql::SetExpr::Select(select) => self.select(select, None),
            sql::SetExpr::Query(query) => self.query(query),
            sql::SetExpr::SetOperation { left, op, set_quantifier, right } => {
                let (left, right) = (self.set(left)?, self.set(right)?);
                self.combined(left, *op, *set_quantifier, right)
            }
            other => Err(refused(format!("`{other}` is not run")).with_help("begin with SELECT or WITH")),
        }
    }

    fn combined(
        &self,
        left: Relation,
        operator: sql::SetOperator,
        quantifier: sql::SetQuantifier,
        right: Relation,
    ) -> Result<Relation> {
        if left.columns.len() != right.columns.len() {
            return Err(refused(format!(
                "{operator} needs as many columns on both sides: {} and {}",
                left.columns.len(),
                right.columns.len()
            )));
        }
        let mut columns = Vec::new();
        let (mut lefts, mut rights): (Vec<Expr>, Vec<Expr>) = Default::default();
        for (one, other) in left.columns.iter().zip(&right.columns) {
            let of = common(&one.of, &other.of).ok_or_else(|| {
                refused(format!("{operator}: {:?} is of two types", one.name)).with_help(coerce::CAST)
            })?;
            let internal = self.fresh();
            lefts.push(coerce::to(one.value(), &of)?.expr.alias(internal.clone()));
            rights.push(coerce::to(other.value(), &of)?.expr.alias(internal.clone()));
            columns.push(Column { table: None, name: one.name.clone(), internal, of, is_hidden: false });
        }
        let (left, right) = (left.frame.select(lefts), right.frame.select(rights));
        let is_all = matches!(quantifier, sql::SetQuantifier::All);
        if !is_all && !matches!(quantifier, sql::SetQuantifier::None | sql::SetQuantifier::Distinct) {
            return Err(refused(format!("{operator} {quantifier} is not run")).with_help("name the columns in order"));
        }
        let how = match operator {
            sql::SetOperator::Union => None,
            sql::SetOperator::Except if !is_all => Some(JoinType::Anti),
            sql::SetOperator::Intersect if !is_all => Some(JoinType::Semi),
            _ => return Err(refused(format!("{operator} {quantifier} is not run"))),
        };
        let keys: Vec<Expr> = columns.iter().map(|column| column.value().expr).collect();
        let frame = match how {
            None => concat([left, right], UnionArgs { parallel: true, rechunk: false, ..UnionArgs::default() })
                .map_err(failed)?,
            Some(how) => left.join(right, &keys, &keys, JoinArgs { nulls_equal: true, ..JoinArgs::new(how) }),
        };
        let frame = if is_all { frame } else { frame.unique_stable(None, UniqueKeepStrategy::First) };
        Ok(Relation { frame, columns })
    }

    /// `ORDER BY` behind a set: by the names or numbers of its columns.
    fn sorted_by_name(&self, relation: Relation, order: Option<&sql::OrderBy>) -> Result<Relation> {
        let mut by = Vec::new();
        for key in keys_of(order)? {
            let place = place_of(&key.expr, relation.columns.len())?;
            let value = match (place, &key.expr) {
                (Some(place), _) => relation.columns[place].value(),
                (None, sql::Expr::Identifier(name)) => relation.resolve(None, &name.value)?.value(),
                _ => {
                    return Err(refused(format!("ORDER BY {} after a set", key.expr))
                        .with_help("name a column, or put the set into FROM (…)"));
                }
            };
            by.push(SortKey::of(value.expr, &value.of, key)?);
        }
        Ok(Relation { frame: sorted(relation.frame, by), columns: relation.columns })
    }
}

/// One key of an order.
struct SortKey {
    expr: Expr,
    is_descending: bool,
    has_nulls_last: bool,
}

impl SortKey {
    /// Nulls come last by default, whatever the direction: as DuckDB has it.
    fn of(expr: Expr, of: &polars::prelude::DataType, key: &sql::OrderByExpr) -> Result<Self> {
        if key.with_fill.is_some() {
            return Err(refused("ORDER BY … WITH FILL is not run"));
        }
        if of.is_nested() {
            return Err(refused(format!("ORDER BY {}: lists and structs have no order here", key.expr)));
        }
        Ok(SortKey {
            expr,
            is_descending: key.options.asc == Some(false),
            has_nulls_last: key.options.nulls_first != Some(true),
        })
    }
}

fn sorted(frame: LazyFrame, by: Vec<SortKey>) -> LazyFrame {
    if by.is_empty() {
        return frame;
    }
    let options = SortMultipleOptions {
        descending: by.iter().map(|key| key.is_descending).collect(),
        nulls_last: by.iter().map(|key| key.has_nulls_last).collect(),
        maintain_order: true,
        ..SortMultipleOptions::default()
    };
    frame.sort_by_exprs(by.into_iter().map(|key| key.expr).collect::<Vec<_>>(), options)
}

fn keys_of(order: Option<&sql::OrderBy>) -> Result<&[sql::OrderByExpr]> {
    match order {
        None => Ok(&[]),
        Some(sql::OrderBy { kind: sql::OrderByKind::Expressions(keys), interpolate: None }) => Ok(keys),
        Some(order) => Err(refused(format!("{order} is not run")).with_help("name the columns")),
    }
}

/// The place that a number in `ORDER BY` or `GROUP BY` means.
fn place_of(expr: &sql::Expr, columns: usize) -> Result<Option<usize>> {
    let sql::Expr::Value(sql::ValueWithSpan { value: sql::Value::Number(number, _), .. }) = expr else {
        return Ok(None);
    };
    match number.parse::<usize>() {
        Ok(place) if (1..=columns).contains(&place) => Ok(Some(place - 1)),
        _ => Err(refused(format!("there is no column {number}; there are {columns}"))),
    }
}

fn limited(relation: Relation, limit: Option<&sql::LimitClause>) -> Result<Relation> {
    let (limit, offset) = match limit {
        None => return Ok(relation),
        Some(sql::LimitClause::LimitOffset { limit, offset, limit_by }) if limit_by.is_empty() => {
            (limit.as_ref(), offset.as_ref().map(|offset| &offset.value))
        }
        Some(other) => return Err(refused(format!("{other} is not run")).with_help("use LIMIT n OFFSET m")),
    };
    let count = |expr: &sql::Expr| match expr {
        sql::Expr::Value(sql::ValueWithSpan { value: sql::Value::Number(number, _), .. }) => {
            number.parse::<IdxSize>().map_err(|_| refused(format!("LIMIT {number}: it has to be a whole number")))
        }
        other => Err(refused(format!("LIMIT {other}: it has to be a number"))),
    };
    let limit = limit.map_or(Ok(IdxSize::MAX), count)?;
    let offset = offset.map_or(Ok(0), count)?;
    Ok(Relation { frame: relation.frame.slice(i64::from(offset), limit), columns: relation.columns })
}

/// What this dialect does not run.
fn refused(why: impl std::fmt::Display) -> Error {
    Error::config(format!("run query: {why}")).with_help("docs/SQL.md has the dialect; DuckDB reads the same files")
}

/// What failed while it ran.
fn failed(error: PolarsError) -> Error {
    match error {
        PolarsError::Context { error, .. } | PolarsError::ExprContext { error, .. } => failed(*error),
        PolarsError::ComputeError(text) => refused(text),
        error => Error::config("run query").with_source(error),
    }
}
