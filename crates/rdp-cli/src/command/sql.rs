//! `rdp sql`: one statement over landings and files.

use std::path::Path;

use rdp_elt::config::Config;
use rdp_elt::{Error, ErrorKind};
#[cfg(feature = "sql")]
use rdp_transform::{QueryResult, Tables, sql};
use serde_json::{Map, Value};

use crate::args::Sql;
use crate::exit::Failure;
use crate::number::counted;
use crate::screen::Screen;
use crate::table::Table;

pub(super) async fn run(args: &Sql, screen: &Screen) -> Result<(), Failure> {
    // Before a config is read: mending it would not help.
    if !IS_BUILT_IN {
        return Err(missing().into());
    }
    let answer = query(args.query.clone(), landings(args)?).await?;
    screen.output().rows(&answer.table, &answer.rows)?;
    if screen.output().is_for_people() {
        screen.say(counted(answer.rows.len() as u64, "row"));
    }
    Ok(())
}

/// A query's rows, for a person and for a machine.
pub(super) struct Answer {
    pub(super) table: Table,
    pub(super) rows: Vec<Map<String, Value>>,
}

/// Asks the topics of these landings.
#[cfg(feature = "sql")]
pub(super) async fn query(statement: String, landings: Vec<String>) -> Result<Answer, Error> {
    let mut tables = Tables::new();
    for landing in &landings {
        tables.add_landing(landing).await?;
    }
    super::blocking(move || {
        let result = sql::query(&statement, &tables)?;
        Ok(Answer { table: table(&result), rows: result.json_rows() })
    })
    .await
}

/// Says that there is nobody to ask.
#[cfg(not(feature = "sql"))]
pub(super) async fn query(_: String, _: Vec<String>) -> Result<Answer, Error> {
    Err(missing())
}

fn missing() -> Error {
    Error::new(ErrorKind::Unsupported, "run query: this rdp is built without SQL")
        .with_help("build one with SQL: make build, or cargo build without --no-default-features")
}

#[cfg(feature = "sql")]
fn table(result: &QueryResult) -> Table {
    let table = result.columns().iter().fold(Table::new(), |table, column| match column.is_number {
        true => table.number(&column.name),
        false => table.text(&column.name),
    });
    result.text_rows().into_iter().fold(table, |mut table, row| {
        table.row(row.into_iter().map(|cell| cell.unwrap_or_else(|| "null".to_owned())));
        table
    })
}

fn landings(args: &Sql) -> Result<Vec<String>, Error> {
    let mut landings = args.landing.clone();
    for path in &args.config {
        let config = Config::from_path(path)?;
        landings.extend(config.sink_config().map(|sink| sink.url().to_owned()));
    }
    if args.landing.is_empty() && args.config.is_empty() && Path::new(USUAL_LANDING).is_dir() {
        landings.push(USUAL_LANDING.to_owned());
    }
    Ok(landings)
}

/// Whether this binary has SQL. What is said to a person next names no query where it has none.
pub(crate) const IS_BUILT_IN: bool = cfg!(feature = "sql");

/// The landing of the example config.
const USUAL_LANDING: &str = "landing";
