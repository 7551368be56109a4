//! `FROM`: tables, files, subqueries, and how they are joined.

use polars::io::HiveOptions;
use polars::prelude::{
    Expr, JoinArgs, JoinCoalesce, JoinType, LazyCsvReader, LazyFileListReader, LazyFrame, LazyJsonLineReader,
    PlRefPath, ScanArgsParquet,
};
use rdp_elt::{Error, Result};
use sqlparser::ast as sql;
use sqlparser::ast::{BinaryOperator, JoinConstraint, JoinOperator, TableFactor};

use super::coerce::{Typed, together};
use super::expression::Scope;
use super::relation::{Relation, same};
use super::{Planner, failed, refused};

impl Planner<'_> {
    /// The rows that `FROM` names; one row without columns where there is none.
    pub(super) fn from(&self, from: &[sql::TableWithJoins]) -> Result<Relation> {
        let mut all: Option<Relation> = None;
        for table in from {
            let mut relation = self.factor(&table.relation)?;
            for join in &table.joins {
                relation = self.join(relation, join)?;
            }
            all = Some(match all {
                None => relation,
                Some(before) => cross(before, relation)?,
            });
        }
        match all {
            Some(relation) => Ok(relation),
            None => {
                let one = polars::prelude::df!["row" => [0i32]].map_err(failed)?;
                let mut relation = Relation::scanned(self, polars::prelude::IntoLazy::lazy(one), "")?;
                relation.columns.clear();
                Ok(relation)
            }
        }
    }

    fn factor(&self, factor: &TableFactor) -> Result<Relation> {
        match factor {
            TableFactor::Table { name, alias, args, sample: None, with_ordinality: false, version: None, .. } => {
                let relation = match args {
                    Some(args) => self.files(name, &args.args)?,
                    None => self.table(name)?,
                };
                match alias {
                    Some(alias) => relation.under(alias),
                    None => Ok(relation),
                }
            }
            TableFactor::Derived { lateral: false, subquery, alias, sample: None } => {
                let relation = self.query(subquery)?;
                match alias {
                    Some(alias) => relation.under(alias),
                    None => Ok(relation.of_table("unnamed_subquery")),
                }
            }
            TableFactor::NestedJoin { table_with_joins, alias: None } => {
                self.from(std::slice::from_ref(table_with_joins))
            }
            other => Err(refused(format!("FROM {other} is not run"))),
        }
    }

    fn table(&self, name: &sql::ObjectName) -> Result<Relation> {
        let Some(plain) = plain(name) else {
            return Err(refused(format!("table {name}: tables have one name, without a schema")));
        };
        if let Some((_, relation)) = self.with.iter().rev().find(|(with, _)| same(with, plain)) {
            return Ok(relation.clone().renewed(self));
        }
        Relation::scanned(self, self.tables.scan(plain)?, plain)
    }

    fn files(&self, name: &sql::ObjectName, arguments: &[sql::FunctionArg]) -> Result<Relation> {
        use sql::{FunctionArg, FunctionArgExpr, Value, ValueWithSpan};
        let [
            FunctionArg::Unnamed(FunctionArgExpr::Expr(sql::Expr::Value(ValueWithSpan {
                value: Value::SingleQuotedString(path),
                ..
            }))),
        ] = arguments
        else {
            return Err(refused(format!("{name}(…) takes one path in single quotes")));
        };
        let path = PlRefPath::new(path);
        let function = plain(name).unwrap_or_default().to_ascii_lowercase();
        let frame: LazyFrame = match function.as_str() {
            "read_parquet" => {
                let options = ScanArgsParquet { hive_options: HiveOptions::new_disabled(), ..Default::default() };
                LazyFrame::scan_parquet(path, options)
            }
            "read_csv" => LazyCsvReader::new(path).with_try_parse_dates(true).with_missing_is_null(true).finish(),
            "read_json" => LazyJsonLineReader::new(path).finish(),
            _ => {
                return Err(refused(format!("FROM {name}(…) is not run"))
                    .with_help("files are read by read_parquet('…'), read_csv('…') and read_json('…')"));
            }
        }
        .map_err(failed)?;
        Relation::scanned(self, frame, &function)
    }

    fn join(&self, left: Relation, join: &sql::Join) -> Result<Relation> {
        let right = self.factor(&join.relation)?;
        for column in &right.columns {
            let table = column.table.as_deref().unwrap_or_default();
            if left.has_table(table) {
                return Err(
                    refused(format!("table {table} is joined twice")).with_help("give each an alias: FROM t AS a")
                );
            }
        }
        use JoinOperator as Operator;
        match &join.join_operator {
            Operator::Join(on) | Operator::Inner(on) => self.equal(left, JoinType::Inner, right, on),
            Operator::Left(on) | Operator::LeftOuter(on) => self.equal(left, JoinType::Left, right, on),
            Operator::Right(on) | Operator::RightOuter(on) => self.equal(left, JoinType::Right, right, on),
            Operator::FullOuter(on) => self.equal(left, JoinType::Full, right, on),
            Operator::CrossJoin(JoinConstraint::None) => cross(left, right),
            other => Err(refused(format!("{other:?} is not run").split('(').next().unwrap_or_default().to_owned())
                .with_help("use JOIN, LEFT JOIN, RIGHT JOIN, FULL JOIN or CROSS JOIN; IN (SELECT …) for a semi join")),
        }
    }

    fn equal(&self, left: Relation, how: JoinType, right: Relation, on: &JoinConstraint) -> Result<Relation> {
        let mut keys: Vec<(Typed, Typed)> = Vec::new();
        let mut rest: Vec<&sql::Expr> = Vec::new();
        let mut merged: Vec<String> = Vec::new();
        match on {
            JoinConstraint::On(condition) => {
                for condition in conjuncts(condition) {
                    match self.equality(&left, &right, condition)? {
                        Some(pair) => keys.push(pair),
                        None => rest.push(condition),
                    }
                }
            }
            JoinConstraint::Using(names) => {
                for name in names {
                    let name = plain(name).ok_or_else(|| refused("USING takes plain names"))?;
                    let pair = (left.resolve(None, name)?.value(), right.resolve(None, name)?.value());
                    keys.push(together(pair.0, pair.1, &format!("USING ({name})"))?);
                    merged.push(name.to_owned());
                }
            }
            _ => {
                return Err(refused("a join needs ON or USING").with_help("NATURAL JOIN is not run; or use CROSS JOIN"));
            }
        }
        let (mut left, mut right) = (left, right);
        if how != JoinType::Inner {
            // A condition on the inner side alone chooses the rows that are joined at all; any other one would have to
            // keep the rows that it refuses, which Polars does not.
            for condition in std::mem::take(&mut rest) {
                let (side, name) = match how {
                    JoinType::Left => (&mut right, "right"),
                    JoinType::Right => (&mut left, "left"),
                    _ => return Err(outer_only_equal(condition)),
                };
                let Ok(predicate) = self.predicate(&Scope::of(side), condition, name) else {
                    return Err(outer_only_equal(condition));
                };
                side.frame = side.frame.clone().filter(predicate);
            }
            if keys.is_empty() {
                return Err(refused("an outer join needs an equality between the two sides")
                    .with_help("write ON a.x = b.y, and further conditions into WHERE or into a subquery"));
            }
        }
        let joined = match keys.is_empty() {
            true => cross(left, right)?,
            false => self.keyed(left, how.clone(), right, keys)?,
        };
        let mut joined = match how {
            JoinType::Right | JoinType::Full => self.merge_names(joined, &merged)?,
            _ => hide_second(joined, &merged),
        };
        for condition in rest {
            let predicate = self.predicate(&Scope::of(&joined), condition, "ON")?;
            joined.frame = joined.frame.filter(predicate);
        }
        Ok(joined)
    }

    /// Joins on values of both sides, which get columns of their own: what is joined on is never what is shown.
    fn keyed(&self, left: Relation, how: JoinType, right: Relation, keys: Vec<(Typed, Typed)>) -> Result<Relation> {
        let (mut lefts, mut rights): (Vec<Expr>, Vec<Expr>) = Default::default();
        let (mut left_on, mut right_on): (Vec<Expr>, Vec<Expr>) = Default::default();
        for (one, other) in keys {
            if one.of.is_nested() {
                return Err(refused("a join on lists or structs is not run").with_help("join on a field of them"));
            }
            let (left_name, right_name) = (self.fresh(), self.fresh());
            lefts.push(one.expr.alias(left_name.clone()));
            rights.push(other.expr.alias(right_name.clone()));
            left_on.push(Expr::Column(left_name));
            right_on.push(Expr::Column(right_name));
        }
        let (mut shown, mut one, mut other) =
            (left.columns, left.frame.with_columns(lefts), right.frame.with_columns(rights));
        shown.extend(right.columns);
        let how = match how {
            JoinType::Right => {
                std::mem::swap(&mut one, &mut other);
                std::mem::swap(&mut left_on, &mut right_on);
                JoinType::Left
            }
            how => how,
        };
        let arguments = JoinArgs { coalesce: JoinCoalesce::KeepColumns, ..JoinArgs::new(how) };
        let frame = one.join(other, left_on, right_on, arguments);
        let picked: Vec<Expr> = shown.iter().map(|column| column.value().expr).collect();
        Ok(Relation { frame: frame.select(picked), columns: shown })
    }

    /// `a.x = b.y` as its two sides, the left's first; `None` for any other condition.
    fn equality(&self, left: &Relation, right: &Relation, condition: &sql::Expr) -> Result<Option<(Typed, Typed)>> {
        let sql::Expr::BinaryOp { left: one, op: BinaryOperator::Eq, right: other } = unnested(condition) else {
            return Ok(None);
        };
        let (sides_of_one, sides_of_other) = (sides(left, right, one)?, sides(left, right, other)?);
        let (one, other) = match (sides_of_one, sides_of_other) {
            ((true, false), (false, true)) => (one, other),
            ((false, true), (true, false)) => (other, one),
            _ => return Ok(None),
        };
        let (one, other) = (self.bind(&Scope::of(left), one)?, self.bind(&Scope::of(right), other)?);
        together(one, other, &format!("ON {condition}")).map(Some)
    }

    /// After a right or full join the merged column has the value of the side that has a row.
    fn merge_names(&self, mut joined: Relation, names: &[String]) -> Result<Relation> {
        for name in names {
            let places: Vec<usize> = (0..joined.columns.len())
                .filter(|place| same(&joined.columns[*place].name, name) && !joined.columns[*place].is_hidden)
                .collect();
            let [first, second] = places[..] else { return Err(refused(format!("USING ({name}) is ambiguous"))) };
            let (one, other) =
                together(joined.columns[first].value(), joined.columns[second].value(), &format!("USING ({name})"))?;
            let internal = self.fresh();
            let value = one.expr.clone().is_not_null();
            let value = polars::prelude::when(value).then(one.expr).otherwise(other.expr);
            joined.frame = joined.frame.with_columns([value.alias(internal.clone())]);
            let shown = super::relation::Column {
                table: None,
                name: joined.columns[first].name.clone(),
                internal,
                of: one.of,
                is_hidden: false,
            };
            joined.columns[first].is_hidden = true;
            joined.columns[second].is_hidden = true;
            joined.columns.insert(first, shown);
        }
        Ok(joined)
    }
}

fn hide_second(mut joined: Relation, names: &[String]) -> Relation {
    for name in names {
        let mut places = joined.columns.iter_mut().filter(|column| same(&column.name, name) && !column.is_hidden);
        places.next();
        places.for_each(|column| column.is_hidden = true);
    }
    joined
}

fn cross(left: Relation, right: Relation) -> Result<Relation> {
    let mut columns = left.columns;
    for column in &right.columns {
        if let Some(table) = &column.table
            && columns.iter().any(|other| other.table.as_deref().is_some_and(|other| same(other, table)))
        {
            return Err(refused(format!("table {table} is joined twice")).with_help("give each an alias: FROM t AS a"));
        }
    }
    columns.extend(right.columns);
    Ok(Relation { frame: left.frame.cross_join(right.frame, None), columns })
}

/// On which of the two sides the names in an expression are.
fn sides(left: &Relation, right: &Relation, expr: &sql::Expr) -> Result<(bool, bool)> {
    let mut found = (false, false);
    let both =
        Relation { frame: left.frame.clone(), columns: left.columns.iter().chain(&right.columns).cloned().collect() };
    for (table, name) in super::expression::names_in(expr) {
        // Through both at once: a name that both have is ambiguous, whatever the side of the equation.
        let found_column = match table.as_deref() {
            Some(first) if !both.has_table(first) => both.find(None, first)?,
            table => both.find(table, &name)?,
        };
        let Some(column) = found_column else { continue };
        let is_left = left.columns.iter().any(|mine| mine.internal == column.internal);
        found = (found.0 || is_left, found.1 || !is_left);
    }
    Ok(found)
}

fn outer_only_equal(condition: &sql::Expr) -> Error {
    refused(format!(
        "ON {condition}: an outer join takes equalities between its two sides, and conditions on its inner side"
    ))
    .with_help("write a condition on the outer side, or on both, into WHERE, or join to (SELECT … WHERE …) AS b")
}

/// What `AND` connects.
fn conjuncts(expr: &sql::Expr) -> Vec<&sql::Expr> {
    match unnested(expr) {
        sql::Expr::BinaryOp { left, op: BinaryOperator::And, right } => {
            let mut all = conjuncts(left);
            all.extend(conjuncts(right));
            all
        }
        other => vec![other],
    }
}

fn unnested(expr: &sql::Expr) -> &sql::Expr {
    match expr {
        sql::Expr::Nested(inner) => unnested(inner),
        other => other,
    }
}

fn plain(name: &sql::ObjectName) -> Option<&str> {
    match &name.0[..] {
        [sql::ObjectNamePart::Identifier(name)] => Some(&name.value),
        _ => None,
    }
}
