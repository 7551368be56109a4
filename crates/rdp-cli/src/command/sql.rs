//! `rdp sql`: one statement over landings and files.

use std::path::Path;

use rdp_elt::Error;
use rdp_elt::config::Config;
use rdp_transform::{QueryResult, Tables, sql};

use super::blocking;
use crate::args::Sql;
use crate::exit::Failure;
use crate::number::counted;
use crate::screen::Screen;
use crate::table::Table;

pub(super) async fn run(args: &Sql, screen: &Screen) -> Result<(), Failure> {
    let landings = landings(args)?;
    let statement = args.query.clone();
    let result = blocking(move || {
        let mut tables = Tables::new();
        for landing in &landings {
            tables.add_landing(landing)?;
        }
        sql::query(&statement, &tables)
    })
    .await?;
    screen.output().rows(&table(&result), &result.json_rows())?;
    if screen.output().is_for_people() {
        screen.say(counted(result.row_count() as u64, "row"));
    }
    Ok(())
}

/// A query's rows for a person.
pub(super) fn table(result: &QueryResult) -> Table {
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

/// The landing of the example config.
const USUAL_LANDING: &str = "landing";
