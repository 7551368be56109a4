//! Tables for a person.

use std::fmt;
use std::io::IsTerminal;

use comfy_table::{Cell, CellAlignment, ContentArrangement, LineStyle, TableStyle};

/// Columns and rows of text.
#[derive(Debug, Default)]
pub(crate) struct Table {
    columns: Vec<(String, CellAlignment)>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without columns.
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Adds a column of text.
    pub(crate) fn text(self, name: &str) -> Self {
        self.column(name, CellAlignment::Left)
    }

    /// Adds a column of numbers.
    pub(crate) fn number(self, name: &str) -> Self {
        self.column(name, CellAlignment::Right)
    }

    /// Adds a row, one cell for each column.
    pub(crate) fn row(&mut self, cells: impl IntoIterator<Item = impl Into<String>>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }

    fn column(mut self, name: &str, alignment: CellAlignment) -> Self {
        self.columns.push((name.to_owned(), alignment));
        self
    }
}

impl fmt::Display for Table {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = comfy_table::Table::new();
        table.load_style(STYLE);
        if std::io::stdout().is_terminal() {
            table.set_content_arrangement(ContentArrangement::Dynamic);
        }
        let cell = |text: &str, alignment| Cell::new(text).set_alignment(alignment);
        table.set_header(self.columns.iter().map(|(name, alignment)| cell(name, *alignment)));
        for row in &self.rows {
            table.add_row(row.iter().zip(&self.columns).map(|(text, (_, alignment))| cell(text, *alignment)));
        }
        write!(out, "{}", table.trim_fmt())
    }
}

/// One line under the header and no other.
const STYLE: TableStyle = TableStyle::new().header_separator(LineStyle::none().fill('─').junction('─'));
