//! Rows on their way through a plan, and the names by which a query reaches their columns.

use polars::prelude::{DataType, Expr, LazyFrame, PlSmallStr};
use rdp_elt::Result;
use sqlparser::ast as sql;

use super::coerce::Typed;
use super::{Planner, failed, refused};

/// Rows, and what their columns are called.
#[derive(Clone)]
pub(super) struct Relation {
    pub(super) frame: LazyFrame,
    pub(super) columns: Vec<Column>,
}

/// One column.
#[derive(Debug, Clone)]
pub(super) struct Column {
    /// The table's name or alias.
    pub(super) table: Option<String>,
    pub(super) name: String,
    /// Its name inside the plan, which no other column has.
    pub(super) internal: PlSmallStr,
    pub(super) of: DataType,
    /// Whether `*` leaves it out: the second of two that `USING` made one.
    pub(super) is_hidden: bool,
}

impl Column {
    pub(super) fn value(&self) -> Typed {
        Typed { expr: Expr::Column(self.internal.clone()), of: self.of.clone() }
    }

    fn is(&self, table: Option<&str>, name: &str) -> bool {
        same(&self.name, name) && table.is_none_or(|table| self.table.as_deref().is_some_and(|mine| same(mine, table)))
    }
}

impl Relation {
    /// A frame as it was scanned. Names that differ by case alone are told apart as DuckDB does.
    pub(super) fn scanned(planner: &Planner<'_>, mut frame: LazyFrame, table: &str) -> Result<Self> {
        let schema = frame.collect_schema().map_err(failed)?;
        let mut columns: Vec<Column> = Vec::with_capacity(schema.len());
        let mut picked = Vec::with_capacity(schema.len());
        for (physical, of) in schema.iter() {
            let name = distinct_name(physical, |name| columns.iter().any(|column| same(&column.name, name)));
            let internal = planner.fresh();
            // Not `col()`, for which `*` and `^…$` mean more than one column.
            let column = Expr::Column(physical.clone());
            let (expr, of) = match of {
                DataType::Categorical(..) | DataType::Enum(..) => (column.cast(DataType::String), DataType::String),
                of => (column, of.clone()),
            };
            picked.push(expr.alias(internal.clone()));
            columns.push(Column { table: Some(table.to_owned()), name, internal, of, is_hidden: false });
        }
        Ok(Relation { frame: frame.select(picked), columns })
    }

    /// The column of this name, which has to be one.
    pub(super) fn resolve(&self, table: Option<&str>, name: &str) -> Result<&Column> {
        self.find(table, name)?.ok_or_else(|| {
            let what = table.map_or_else(|| name.to_owned(), |table| format!("{table}.{name}"));
            let names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
            refused(format!("there is no column {what:?}")).with_help(format!("columns: {}", names.join(", ")))
        })
    }

    /// The column of this name, if there is one.
    pub(super) fn find(&self, table: Option<&str>, name: &str) -> Result<Option<&Column>> {
        let visible = |column: &&Column| column.is(table, name) && (table.is_some() || !column.is_hidden);
        let mut found = self.columns.iter().filter(visible);
        match (found.next(), found.next()) {
            (Some(first), Some(second)) => {
                let place = |column: &Column| {
                    column.table.as_ref().map_or_else(|| column.name.clone(), |of| format!("{of}.{}", column.name))
                };
                Err(refused(format!("column {name:?} is ambiguous")).with_help(format!(
                    "write {} or {}, under aliases of their own",
                    place(first),
                    place(second)
                )))
            }
            (found, _) => Ok(found),
        }
    }

    /// Whether there is a table of this name.
    pub(super) fn has_table(&self, table: &str) -> bool {
        self.columns.iter().any(|column| column.table.as_deref().is_some_and(|mine| same(mine, table)))
    }

    /// The same rows under an alias, and its columns under those that the alias names.
    pub(super) fn under(self, alias: &sql::TableAlias) -> Result<Self> {
        if alias.columns.len() > self.columns.len() || alias.at.is_some() {
            return Err(refused(format!("alias {alias} names more columns than there are")));
        }
        let mut renamed = alias.columns.iter().map(|column| column.name.value.clone());
        let mut relation = self.of_table(&alias.name.value);
        for column in &mut relation.columns {
            column.name = renamed.next().unwrap_or_else(|| std::mem::take(&mut column.name));
        }
        Ok(relation)
    }

    /// The same rows as those of a table of this name: what `*` shows, each name once.
    pub(super) fn of_table(self, table: &str) -> Self {
        let mut columns: Vec<Column> = Vec::with_capacity(self.columns.len());
        for column in self.columns.into_iter().filter(|column| !column.is_hidden) {
            let name = distinct_name(&column.name, |name| columns.iter().any(|other| same(&other.name, name)));
            columns.push(Column { table: Some(table.to_owned()), name, ..column });
        }
        Relation { frame: self.frame, columns }
    }

    /// The same rows with columns that no other use of them shares: a table may be joined with itself.
    pub(super) fn renewed(self, planner: &Planner<'_>) -> Self {
        let (mut picked, mut columns) = (Vec::new(), Vec::new());
        for column in self.columns {
            let internal = planner.fresh();
            picked.push(Expr::Column(column.internal.clone()).alias(internal.clone()));
            columns.push(Column { internal, ..column });
        }
        Relation { frame: self.frame.select(picked), columns }
    }

    /// The rows under the names that the query gave.
    pub(super) fn named(self) -> LazyFrame {
        let mut names: Vec<String> = Vec::with_capacity(self.columns.len());
        let mut picked = Vec::with_capacity(self.columns.len());
        for column in self.columns {
            let name = distinct_name(&column.name, |name| names.iter().any(|other| other == name));
            picked.push(Expr::Column(column.internal).alias(name.as_str()));
            names.push(name);
        }
        self.frame.select(picked)
    }
}

/// Identifiers are alike where their letters are, whatever their case: as DuckDB has it.
pub(super) fn same(one: &str, other: &str) -> bool {
    one.eq_ignore_ascii_case(other)
}

fn distinct_name(name: &str, is_taken: impl Fn(&str) -> bool) -> String {
    if !is_taken(name) {
        return name.to_owned();
    }
    (1..).map(|count| format!("{name}_{count}")).find(|name| !is_taken(name)).unwrap_or_default()
}
