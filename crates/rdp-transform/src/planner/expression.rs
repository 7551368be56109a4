//! Expressions, bound to columns and types.

use std::cell::RefCell;
use std::ops::ControlFlow;

use polars::prelude::{DataType, Expr, Literal as _, lit, when};
use rdp_elt::Result;
use sqlparser::ast as sql;
use sqlparser::ast::{BinaryOperator, UnaryOperator, Visit, Visitor};

use super::aggregate::Grouping;
use super::coerce::{CAST, Typed, common, to};
use super::literal::literal;
use super::operator::{any_of, arithmetic, comparable, condition, is_comparison, loose, negated, unified};
use super::relation::Relation;
use super::window::Windows;
use super::{Planner, cast, failed, refused, text};

/// What an expression may speak of.
pub(super) struct Scope<'a> {
    pub(super) relation: &'a Relation,
    /// Where rows have been grouped: what of them is left.
    pub(super) grouping: Option<&'a RefCell<Grouping>>,
    /// Where window functions may stand.
    pub(super) windows: Option<&'a RefCell<Windows>>,
}

impl<'a> Scope<'a> {
    pub(super) fn of(relation: &'a Relation) -> Self {
        Scope { relation, grouping: None, windows: None }
    }
}

impl Planner<'_> {
    /// A condition: true or false, null counts as false where rows are filtered.
    pub(super) fn predicate(&self, scope: &Scope<'_>, expr: &sql::Expr, place: &str) -> Result<Expr> {
        let value = self.bind(scope, expr)?;
        match value.of {
            DataType::Boolean => Ok(value.expr),
            DataType::Null => Ok(lit(false)),
            of => Err(refused(format!("{place} {expr}: it is {of}, not a condition"))),
        }
    }

    pub(super) fn bind(&self, scope: &Scope<'_>, expr: &sql::Expr) -> Result<Typed> {
        if let Some(grouping) = scope.grouping
            && let Some(key) = grouping.borrow().key(scope.relation, expr)?
        {
            return Ok(key);
        }
        let bool = |expr: Expr| Typed::new(expr, DataType::Boolean);
        match expr {
            sql::Expr::Identifier(name) => self.column(scope, None, &name.value, &[]),
            sql::Expr::CompoundIdentifier(names) => self.compound(scope, names),
            sql::Expr::CompoundFieldAccess { root, access_chain } => {
                let mut value = self.bind(scope, root)?;
                for access in access_chain {
                    value = match access {
                        sql::AccessExpr::Dot(sql::Expr::Identifier(name)) => field(value, &name.value)?,
                        sql::AccessExpr::Subscript(sql::Subscript::Index { index }) => {
                            match self.bind(scope, index)?.literal_text() {
                                Some(name) if value.of.is_struct() => field(value, &name)?,
                                _ => return Err(refused(format!("{expr} is not run"))),
                            }
                        }
                        _ => return Err(refused(format!("{expr} is not run"))),
                    };
                }
                Ok(value)
            }
            sql::Expr::Nested(inner) => self.bind(scope, inner),
            sql::Expr::Value(value) => literal(&value.value),
            sql::Expr::TypedString(typed) => {
                let of = cast::type_of(&typed.data_type)?;
                match &typed.value.value {
                    sql::Value::SingleQuotedString(text) => cast::literal(text, &of),
                    _ => Err(refused(format!("{expr} is not run"))),
                }
            }
            sql::Expr::UnaryOp { op, expr: inner } => {
                let value = self.bind(scope, inner)?;
                match op {
                    UnaryOperator::Plus if value.is_number() => Ok(value),
                    UnaryOperator::Minus if value.of.is_float() => Ok(Typed::new(-value.expr, value.of)),
                    UnaryOperator::Minus if value.is_exact() => negated(value),
                    UnaryOperator::Not => Ok(bool(condition(value, expr)?.not())),
                    _ => Err(refused(format!("{expr} is not run"))),
                }
            }
            sql::Expr::BinaryOp { left, op, right } => self.binary(scope, expr, left, op, right),
            sql::Expr::IsNull(inner) => Ok(bool(self.bind(scope, loose(inner, expr)?)?.expr.is_null())),
            sql::Expr::IsNotNull(inner) => Ok(bool(self.bind(scope, loose(inner, expr)?)?.expr.is_not_null())),
            sql::Expr::IsTrue(inner) => Ok(bool(self.truth(scope, inner, expr)?.fill_null(lit(false)))),
            sql::Expr::IsNotTrue(inner) => Ok(bool(self.truth(scope, inner, expr)?.fill_null(lit(false)).not())),
            sql::Expr::IsFalse(inner) => Ok(bool(self.truth(scope, inner, expr)?.not().fill_null(lit(false)))),
            sql::Expr::IsNotFalse(inner) => Ok(bool(self.truth(scope, inner, expr)?.fill_null(lit(true)))),
            sql::Expr::IsDistinctFrom(one, other) | sql::Expr::IsNotDistinctFrom(one, other) => {
                let (one, other) = (self.bind(scope, loose(one, expr)?)?, self.bind(scope, loose(other, expr)?)?);
                let (one, other) = comparable(one, other, expr)?;
                let same = (one.expr.clone().is_null().and(other.expr.clone().is_null()))
                    .or(one.expr.eq(other.expr).fill_null(lit(false)));
                Ok(bool(if matches!(expr, sql::Expr::IsDistinctFrom(..)) { same.not() } else { same }))
            }
            sql::Expr::Between { expr: inner, negated, low, high } => {
                let value = self.bind(scope, loose(inner, expr)?)?;
                let (low, high) = (self.bind(scope, low)?, self.bind(scope, high)?);
                let (above, low) = comparable(value.clone(), low, expr)?;
                let (below, high) = comparable(value, high, expr)?;
                let between = above.expr.gt_eq(low.expr).and(below.expr.lt_eq(high.expr));
                Ok(bool(if *negated { between.not() } else { between }))
            }
            sql::Expr::InList { expr: inner, list, negated } => {
                let value = self.bind(scope, loose(inner, expr)?)?;
                let mut any = Vec::with_capacity(list.len());
                for one in list {
                    let (value, one) = comparable(value.clone(), self.bind(scope, one)?, expr)?;
                    any.push(value.expr.eq(one.expr));
                }
                let found = any_of(any);
                Ok(bool(if *negated { found.not() } else { found }))
            }
            sql::Expr::InSubquery { expr: inner, subquery, negated } => {
                let value = self.bind(scope, loose(inner, expr)?)?;
                let found = self.in_subquery(value, subquery, expr)?;
                Ok(bool(if *negated { found.not() } else { found }))
            }
            sql::Expr::Exists { subquery, negated } => {
                let rows = self.query(subquery)?.frame.slice(0, 1).collect().map_err(failed)?;
                Ok(bool(lit((rows.height() > 0) != *negated)))
            }
            sql::Expr::Subquery(query) => self.scalar(query),
            sql::Expr::Like { negated, any: false, expr: inner, pattern, escape_char }
            | sql::Expr::ILike { negated, any: false, expr: inner, pattern, escape_char } => {
                let escape = match escape_char.as_ref().map(|escape| &escape.value) {
                    None => None,
                    Some(sql::Value::SingleQuotedString(text)) if text.chars().count() == 1 => text.chars().next(),
                    Some(_) => return Err(refused(format!("{expr}: an escape is one character"))),
                };
                let (value, pattern) =
                    (self.bind(scope, loose(inner, expr)?)?, self.bind(scope, loose(pattern, expr)?)?);
                let is_blind = matches!(expr, sql::Expr::ILike { .. });
                let found = text::like(value, pattern, escape, is_blind)?;
                Ok(bool(if *negated { found.not() } else { found }))
            }
            sql::Expr::Case { operand, conditions, else_result, .. } => {
                self.case(scope, expr, operand.as_deref(), conditions, else_result.as_deref())
            }
            sql::Expr::Cast { kind, expr: inner, data_type, format: None, array: false } => {
                let is_try = matches!(kind, sql::CastKind::TryCast | sql::CastKind::SafeCast);
                cast::cast(self.bind(scope, inner)?, &cast::type_of(data_type)?, is_try)
            }
            sql::Expr::Function(function) => self.function(scope, function),
            other => self.written_function(scope, other),
        }
    }

    fn column(&self, scope: &Scope<'_>, table: Option<&str>, name: &str, fields: &[sql::Ident]) -> Result<Typed> {
        let column = scope.relation.resolve(table, name)?;
        if scope.grouping.is_some() {
            return Err(refused(format!("column {name:?} is neither grouped by nor in an aggregate"))
                .with_help("add it to GROUP BY, or take MIN or MAX of it"));
        }
        fields.iter().try_fold(column.value(), |value, name| field(value, &name.value))
    }

    fn compound(&self, scope: &Scope<'_>, names: &[sql::Ident]) -> Result<Typed> {
        match names {
            [table, name, fields @ ..] if scope.relation.has_table(&table.value) => {
                self.column(scope, Some(&table.value), &name.value, fields)
            }
            [name, fields @ ..] => self.column(scope, None, &name.value, fields),
            [] => Err(refused("a name is missing")),
        }
    }

    fn truth(&self, scope: &Scope<'_>, inner: &sql::Expr, whole: &sql::Expr) -> Result<Expr> {
        condition(self.bind(scope, loose(inner, whole)?)?, whole)
    }

    fn binary(
        &self,
        scope: &Scope<'_>,
        whole: &sql::Expr,
        left: &sql::Expr,
        operator: &BinaryOperator,
        right: &sql::Expr,
    ) -> Result<Typed> {
        use BinaryOperator as Operator;
        let bool = |expr: Expr| Ok(Typed::new(expr, DataType::Boolean));
        if is_comparison(operator) {
            let (left, right) = (self.bind(scope, loose(left, whole)?)?, self.bind(scope, loose(right, whole)?)?);
            let (left, right) = comparable(left, right, whole)?;
            let (left, right) = (left.expr, right.expr);
            return bool(match operator {
                Operator::Eq => left.eq(right),
                Operator::NotEq => left.neq(right),
                Operator::Lt => left.lt(right),
                Operator::LtEq => left.lt_eq(right),
                Operator::Gt => left.gt(right),
                _ => left.gt_eq(right),
            });
        }
        let (left, right) = (self.bind(scope, left)?, self.bind(scope, right)?);
        match operator {
            Operator::And => bool(condition(left, whole)?.and(condition(right, whole)?)),
            Operator::Or => bool(condition(left, whole)?.or(condition(right, whole)?)),
            Operator::StringConcat => text::joined(left, right),
            Operator::Plus
            | Operator::Minus
            | Operator::Multiply
            | Operator::Divide
            | Operator::Modulo
            | Operator::DuckIntegerDivide => arithmetic(whole, left, operator, right),
            _ => Err(refused(format!("operator {operator} is not run"))),
        }
    }

    fn case(
        &self,
        scope: &Scope<'_>,
        whole: &sql::Expr,
        operand: Option<&sql::Expr>,
        conditions: &[sql::CaseWhen],
        otherwise: Option<&sql::Expr>,
    ) -> Result<Typed> {
        let operand = operand.map(|operand| self.bind(scope, operand)).transpose()?;
        let mut branches = Vec::with_capacity(conditions.len());
        for branch in conditions {
            let when = self.bind(scope, &branch.condition)?;
            let is_met = match &operand {
                None => condition(when, whole)?,
                Some(operand) => {
                    let (operand, when) = comparable(operand.clone(), when, whole)?;
                    operand.expr.eq(when.expr)
                }
            };
            branches.push((is_met.fill_null(lit(false)), self.bind(scope, &branch.result)?));
        }
        let otherwise = otherwise.map_or_else(|| Ok(Typed::null()), |expr| self.bind(scope, expr))?;
        let mut values: Vec<Typed> = branches.iter().map(|(_, value)| value.clone()).collect();
        values.push(otherwise);
        let mut values = unified(values, whole)?;
        let Some(otherwise) = values.pop() else { return Ok(Typed::null()) };
        let of = otherwise.of.clone();
        let expr = branches
            .into_iter()
            .zip(values)
            .rev()
            .fold(otherwise.expr, |rest, ((is_met, _), value)| when(is_met).then(value.expr).otherwise(rest));
        Ok(Typed::new(expr, of))
    }

    /// A subquery's one value.
    fn scalar(&self, query: &sql::Query) -> Result<Typed> {
        let relation = self.query(query)?;
        let [column] = &relation.columns[..] else { return Err(refused("a subquery has to give one column")) };
        let of = column.of.clone();
        let rows = relation.named().slice(0, 2).collect().map_err(failed)?;
        if rows.height() > 1 {
            return Err(refused("a subquery gave more than one row").with_help("add LIMIT 1, or an aggregate"));
        }
        let Some(column) = rows.columns().first() else { return Ok(Typed::null()) };
        if rows.height() == 0 {
            return Ok(Typed::new(lit(polars::prelude::NULL).cast(of.clone()), of));
        }
        let value = column.get(0).map_err(failed)?.into_static();
        let of = column.dtype().clone();
        Ok(Typed::new(polars::prelude::Scalar::new(of.clone(), value).lit(), of))
    }

    fn in_subquery(&self, value: Typed, query: &sql::Query, whole: &sql::Expr) -> Result<Expr> {
        let relation = self.query(query)?;
        let [column] = &relation.columns[..] else { return Err(refused("IN (SELECT …) takes one column")) };
        let of = common(&value.of, &column.of).ok_or_else(|| refused(whole).with_help(CAST))?;
        if of.is_nested() || of == DataType::Null {
            return Err(refused(format!("{whole} is not run")));
        }
        let wanted = to(column.value(), &of)?.expr.alias("wanted");
        let frame = relation.frame.clone().select([wanted]);
        let rows = frame.collect().map_err(failed)?;
        let Some(wanted) = rows.columns().first().map(|column| column.as_materialized_series().clone()) else {
            return Err(refused(whole));
        };
        let has_null = wanted.null_count() > 0;
        let wanted = wanted.drop_nulls();
        if wanted.is_empty() && !has_null {
            return Ok(lit(false));
        }
        let value = to(value, &of)?.expr;
        // `IN` is unknown where it is not found and something unknown is among what is looked through.
        let list = wanted.implode().map_err(failed)?;
        let found = value.clone().is_in(lit(polars::prelude::IntoSeries::into_series(list)), false);
        let found = match has_null {
            true => when(found.clone()).then(lit(true)).otherwise(lit(polars::prelude::NULL).cast(DataType::Boolean)),
            false => found,
        };
        Ok(when(value.is_null()).then(lit(polars::prelude::NULL).cast(DataType::Boolean)).otherwise(found))
    }
}

fn field(value: Typed, name: &str) -> Result<Typed> {
    let DataType::Struct(fields) = &value.of else {
        return Err(refused(format!("{name:?} is no field: the value before it is {}", value.of)));
    };
    let mut found = fields.iter().filter(|field| super::relation::same(field.name(), name));
    match (found.next(), found.next()) {
        (Some(field), None) => {
            let of = field.dtype().clone();
            Ok(Typed::new(value.expr.struct_().field_by_name(field.name()), of))
        }
        _ => Err(refused(format!("there is no one field {name:?}")).with_help(format!(
            "fields: {}",
            fields.iter().map(|field| field.name().as_str()).collect::<Vec<_>>().join(", ")
        ))),
    }
}

/// The columns that an expression names, without those of its subqueries.
pub(super) fn names_in(expr: &sql::Expr) -> Vec<(Option<String>, String)> {
    struct Names(Vec<(Option<String>, String)>);
    impl Visitor for Names {
        type Break = ();
        fn pre_visit_expr(&mut self, expr: &sql::Expr) -> ControlFlow<()> {
            match expr {
                sql::Expr::Identifier(name) => self.0.push((None, name.value.clone())),
                sql::Expr::CompoundIdentifier(names) => {
                    if let [one, other, ..] = &names[..] {
                        self.0.push((Some(one.value.clone()), other.value.clone()));
                    }
                }
                _ => {}
            }
            ControlFlow::Continue(())
        }
    }
    let mut names = Names(Vec::new());
    let _ = expr.visit(&mut names);
    names.0
}
