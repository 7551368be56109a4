//! `SELECT`: rows chosen, grouped, computed, ordered; each step a step of the plan, in SQL's order.

use std::cell::RefCell;
use std::ops::ControlFlow;

use polars::prelude::{Expr, UniqueKeepStrategy};
use rdp_elt::Result;
use sqlparser::ast as sql;
use sqlparser::ast::{SelectItem, VisitMut, VisitorMut};

use super::aggregate::{Grouping, has_aggregate};
use super::coerce::Typed;
use super::expression::Scope;
use super::relation::{Column, Relation, same};
use super::window::Windows;
use super::{Planner, SortKey, keys_of, place_of, refused, sorted};

/// One column that a `SELECT` gives.
struct Item {
    name: String,
    expr: sql::Expr,
    /// The very column, where `*` means it.
    column: Option<Column>,
    has_alias: bool,
}

impl Planner<'_> {
    pub(super) fn select(&self, select: &sql::Select, order: Option<&sql::OrderBy>) -> Result<Relation> {
        check(select)?;
        let mut relation = self.from(&select.from)?;
        if let Some(condition) = &select.selection {
            let condition = self.predicate(&Scope::of(&relation), condition, "WHERE")?;
            relation.frame = relation.frame.filter(condition);
        }
        let items = items(&relation, &select.projection)?;
        let keys = keys_of(order)?;
        let having = select.having.as_ref().map(|having| with_aliases(having, &items, &relation)).transpose()?;
        let qualify = select.qualify.as_ref().map(|qualify| with_aliases(qualify, &items, &relation)).transpose()?;
        let groups = groups(select, &items, &relation)?;
        let is_grouped = groups.is_some()
            || having.is_some()
            || items.iter().any(|item| has_aggregate(&item.expr))
            || keys.iter().any(|key| has_aggregate(&key.expr));

        let grouping = RefCell::new(Grouping::default());
        for group in groups.unwrap_or_default() {
            let value = self.bind(&Scope::of(&relation), &group)?;
            grouping.borrow_mut().group_by(self.fresh(), &relation, &group, value)?;
        }
        let windows = RefCell::new(Windows::default());
        let grouped = is_grouped.then_some(&grouping);
        let scope = Scope { relation: &relation, grouping: grouped, windows: Some(&windows) };
        let without_windows = Scope { relation: &relation, grouping: grouped, windows: None };

        let having = having.map(|having| self.predicate(&without_windows, &having, "HAVING")).transpose()?;
        let qualify = qualify.map(|qualify| self.predicate(&scope, &qualify, "QUALIFY")).transpose()?;
        let mut columns = Vec::with_capacity(items.len());
        let mut values = Vec::with_capacity(items.len());
        for item in &items {
            let value = match &item.column {
                Some(column) if !is_grouped => column.value(),
                _ => self.bind(&scope, &item.expr)?,
            };
            let internal = self.fresh();
            columns.push(Column {
                table: item.column.as_ref().and_then(|column| column.table.clone()),
                name: item.name.clone(),
                internal: internal.clone(),
                of: value.of.clone(),
                is_hidden: false,
            });
            values.push(value.expr.alias(internal));
        }
        let is_distinct = matches!(select.distinct, Some(sql::Distinct::Distinct));
        let mut by = Vec::new();
        for key in keys {
            let place = self.place_in_items(&key.expr, &items, &relation)?;
            let value = match place {
                Some(place) => columns[place].value(),
                None if is_distinct => {
                    return Err(refused(format!(
                        "ORDER BY {}: with DISTINCT only what is selected has an order",
                        key.expr
                    )));
                }
                None => {
                    let value = self.bind(&scope, &with_aliases(&key.expr, &items, &relation)?)?;
                    let internal = self.fresh();
                    values.push(value.expr.alias(internal.clone()));
                    Typed::new(Expr::Column(internal), value.of)
                }
            };
            by.push(SortKey::of(value.expr, &value.of, key)?);
        }

        let mut frame = relation.frame.clone();
        if is_grouped {
            frame = grouping.into_inner().apply(frame);
        }
        if let Some(having) = having {
            frame = frame.filter(having);
        }
        frame = windows.into_inner().apply(frame)?;
        if let Some(qualify) = qualify {
            frame = frame.filter(qualify);
        }
        // Not `select`: a literal alone would be one row there, however many rows there are.
        frame = frame.with_columns(values);
        let shown = |columns: &[Column]| columns.iter().map(|column| column.value().expr).collect::<Vec<_>>();
        if is_distinct {
            frame = frame.select(shown(&columns)).unique_stable(None, UniqueKeepStrategy::First);
        }
        let frame = sorted(frame, by).select(shown(&columns));
        Ok(Relation { frame, columns })
    }

    /// The selected column that a key of `ORDER BY` means: by number, or by name.
    fn place_in_items(&self, expr: &sql::Expr, items: &[Item], relation: &Relation) -> Result<Option<usize>> {
        if let Some(place) = place_of(expr, items.len())? {
            return Ok(Some(place));
        }
        if let sql::Expr::Identifier(name) = expr {
            let places: Vec<usize> = (0..items.len()).filter(|place| same(&items[*place].name, &name.value)).collect();
            return match places[..] {
                [] => Ok(None),
                [place] => Ok(Some(place)),
                _ => Err(refused(format!("ORDER BY {name} is ambiguous")).with_help("give each column an alias")),
            };
        }
        let wanted = super::aggregate::canonical(relation, expr);
        Ok(items.iter().position(|item| super::aggregate::canonical(relation, &item.expr) == wanted))
    }
}

fn check(select: &sql::Select) -> Result<()> {
    let has_more = select.top.is_some()
        || select.exclude.is_some()
        || select.into.is_some()
        || !select.lateral_views.is_empty()
        || select.prewhere.is_some()
        || !select.connect_by.is_empty()
        || !select.cluster_by.is_empty()
        || !select.distribute_by.is_empty()
        || !select.sort_by.is_empty()
        || !select.named_window.is_empty()
        || select.value_table_mode.is_some()
        || matches!(select.distinct, Some(sql::Distinct::On(_)));
    match has_more {
        true => Err(refused("a clause of this SELECT is not run")
            .with_help("DISTINCT ON is QUALIFY ROW_NUMBER() OVER (PARTITION BY …) = 1; write windows out in OVER (…)")),
        false => Ok(()),
    }
}

fn items(relation: &Relation, projection: &[SelectItem]) -> Result<Vec<Item>> {
    let mut items = Vec::new();
    for item in projection {
        match item {
            SelectItem::UnnamedExpr(expr) => {
                let name = match expr {
                    sql::Expr::Identifier(name) => relation.find(None, &name.value)?.map(|column| column.name.clone()),
                    sql::Expr::CompoundIdentifier(names) => names.last().map(|name| name.value.clone()),
                    _ => None,
                };
                let name = name.unwrap_or_else(|| expr.to_string());
                items.push(Item { name, expr: expr.clone(), column: None, has_alias: false });
            }
            SelectItem::ExprWithAlias { expr, alias } => {
                items.push(Item { name: alias.value.clone(), expr: expr.clone(), column: None, has_alias: true });
            }
            SelectItem::Wildcard(options) => items.extend(star(relation, None, options)?),
            SelectItem::QualifiedWildcard(sql::SelectItemQualifiedWildcardKind::ObjectName(table), options) => {
                let [sql::ObjectNamePart::Identifier(table)] = &table.0[..] else {
                    return Err(refused(format!("{item} is not run")));
                };
                items.extend(star(relation, Some(&table.value), options)?);
            }
            other => return Err(refused(format!("{other} is not run"))),
        }
    }
    if items.is_empty() {
        return Err(refused("nothing is selected"));
    }
    Ok(items)
}

fn star(relation: &Relation, table: Option<&str>, options: &sql::WildcardAdditionalOptions) -> Result<Vec<Item>> {
    let has_more = options.opt_ilike.is_some()
        || options.opt_except.is_some()
        || options.opt_replace.is_some()
        || options.opt_rename.is_some()
        || options.opt_alias.is_some();
    if has_more {
        return Err(refused("* with ILIKE, EXCEPT, REPLACE or RENAME is not run")
            .with_help("use * EXCLUDE (…), or name the columns"));
    }
    let excluded: Vec<String> = match &options.opt_exclude {
        None => Vec::new(),
        Some(sql::ExcludeSelectItem::Single(name)) => vec![name.to_string()],
        Some(sql::ExcludeSelectItem::Multiple(names)) => names.iter().map(ToString::to_string).collect(),
    };
    let excluded: Vec<&str> = excluded.iter().map(|name| name.trim_matches('"')).collect();
    if let Some(table) = table.filter(|table| !relation.has_table(table)) {
        return Err(refused(format!("there is no table {table:?} in FROM")));
    }
    for name in &excluded {
        relation.resolve(table, name)?;
    }
    let of_table = |column: &&Column| match table {
        None => !column.is_hidden,
        Some(table) => column.table.as_deref().is_some_and(|mine| same(mine, table)),
    };
    let items: Vec<Item> = relation
        .columns
        .iter()
        .filter(of_table)
        .filter(|column| !excluded.iter().any(|name| same(name, &column.name)))
        .map(|column| Item {
            name: column.name.clone(),
            expr: reference(column),
            column: Some(column.clone()),
            has_alias: false,
        })
        .collect();
    Ok(items)
}

fn reference(column: &Column) -> sql::Expr {
    let name = sql::Ident::with_quote('"', &column.name);
    match &column.table {
        Some(table) => sql::Expr::CompoundIdentifier(vec![sql::Ident::with_quote('"', table), name]),
        None => sql::Expr::Identifier(name),
    }
}

/// The expressions of `GROUP BY`, numbers and aliases resolved; `None` where there is none.
fn groups(select: &sql::Select, items: &[Item], relation: &Relation) -> Result<Option<Vec<sql::Expr>>> {
    let exprs = match &select.group_by {
        sql::GroupByExpr::Expressions(exprs, more) if more.is_empty() => exprs,
        sql::GroupByExpr::All(more) if more.is_empty() => {
            let plain = items.iter().filter(|item| !has_aggregate(&item.expr)).map(|item| item.expr.clone());
            return Ok(Some(plain.collect()));
        }
        other => return Err(refused(format!("{other} is not run"))),
    };
    if exprs.is_empty() {
        return Ok(None);
    }
    let mut groups = Vec::new();
    for expr in exprs {
        groups.push(match (place_of(expr, items.len())?, expr) {
            (Some(place), _) => items[place].expr.clone(),
            (None, sql::Expr::Identifier(name)) if relation.find(None, &name.value)?.is_none() => {
                let item = items.iter().find(|item| same(&item.name, &name.value));
                item.map_or_else(|| expr.clone(), |item| item.expr.clone())
            }
            _ => expr.clone(),
        });
    }
    Ok(Some(groups))
}

/// The expression with aliases of selected columns written out.
fn with_aliases(expr: &sql::Expr, items: &[Item], relation: &Relation) -> Result<sql::Expr> {
    struct Aliases<'a>(&'a [Item], &'a Relation);
    impl VisitorMut for Aliases<'_> {
        type Break = rdp_elt::Error;
        fn post_visit_expr(&mut self, expr: &mut sql::Expr) -> ControlFlow<Self::Break> {
            let sql::Expr::Identifier(name) = &*expr else { return ControlFlow::Continue(()) };
            let Some(item) = self.0.iter().find(|item| item.has_alias && same(&item.name, &name.value)) else {
                return ControlFlow::Continue(());
            };
            if matches!(&item.expr, sql::Expr::Identifier(other) if same(&other.value, &name.value)) {
                return ControlFlow::Continue(());
            }
            match self.1.find(None, &name.value) {
                Ok(None) => *expr = sql::Expr::Nested(Box::new(item.expr.clone())),
                _ => {
                    return ControlFlow::Break(
                        refused(format!("{name} is a column and an alias")).with_help("give the alias another name"),
                    );
                }
            }
            ControlFlow::Continue(())
        }
    }
    let mut expr = expr.clone();
    match expr.visit(&mut Aliases(items, relation)) {
        ControlFlow::Break(error) => Err(error),
        ControlFlow::Continue(()) => Ok(expr),
    }
}
