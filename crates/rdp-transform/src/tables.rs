//! Which tables a query sees: each topic of a landing under its own name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::io::HiveOptions;
use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet, Schema, SchemaRef};
use rdp_elt::sink::local_folder;
use rdp_elt::{Error, Result};

use super::sql::quoted;

/// The tables that a query may name.
#[derive(Debug, Clone, Default)]
pub struct Tables(BTreeMap<String, Table>);

/// One topic of one landing.
#[derive(Debug, Clone)]
struct Table {
    /// The landing's folder, for messages.
    landing: PathBuf,
    /// Every landed file, in the order of partitions and offsets.
    files: Vec<PathBuf>,
}

impl Tables {
    /// No tables; a query may still read files by `read_parquet('…')` and `read_csv('…')`.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds every topic of a landing as a table under the topic's name.
    ///
    /// `url` is a folder's path or a `file:` URL, as in `[sink.parquet]`. The files are listed now: what lands later is
    /// not seen by a query over these tables.
    ///
    /// # Errors
    /// [`Config`](rdp_elt::ErrorKind::Config) where the folder is not there, is not a local one, nothing has landed in it,
    /// or another landing has a topic of the same name.
    pub fn add_landing(&mut self, url: &str) -> Result<()> {
        let landing = local_folder(url)?;
        let mut found = false;
        for (topic, folder) in topics_in(&landing)? {
            let files = files_of(&folder)?;
            if files.is_empty() {
                continue;
            }
            found = true;
            if let Some(other) = self.0.get(&topic).filter(|other| other.landing != landing) {
                let places = format!("{} and {}", other.landing.display(), landing.display());
                return Err(Error::config(format!("add table {topic}: it is in two landings, {places}")).with_help(
                    "query one of them at a time, or name the files: read_parquet('…/topic=…/**/*.parquet')",
                ));
            }
            self.0.insert(topic, Table { landing: landing.clone(), files });
        }
        if found {
            return Ok(());
        }
        Err(Error::config(format!("read landing {}: nothing has landed there", landing.display()))
            .with_help("a landing is a folder with topic=…/partition=…/*.parquet in it; `rdp load CONFIG` makes one"))
    }

    /// The names, in order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.keys().map(String::as_str)
    }

    /// A table as a lazy scan.
    pub(super) fn scan(&self, name: &str) -> Result<LazyFrame> {
        if let Some(table) = self.0.get(name) {
            return table.scan(name);
        }
        let there_are = match self.names().map(quoted).collect::<Vec<_>>().join(", ") {
            names if names.is_empty() => "there are no tables: name a landing with --landing or --config".to_owned(),
            names => format!("tables: {names}"),
        };
        Err(Error::config(format!("run query: there is no table {name:?}"))
            .with_help(format!("{there_are}; files are read by FROM read_parquet('…') or read_csv('…')")))
    }
}

impl Table {
    /// A lazy scan of all files. A file that lacks a column, or has one more than others, is no hindrance: the schema may
    /// have changed between windows, and a window of which nothing is visible knows no payload columns. The columns are
    /// those of all files; where none has rows with one, they are null.
    fn scan(&self, name: &str) -> Result<LazyFrame> {
        let failed = |error: polars::prelude::PolarsError| {
            Error::config(format!("scan table {name} in {}", self.landing.display()))
                .with_source(error)
                .with_help("`rdp audit` names a file that is not what it was")
        };
        let arguments = || ScanArgsParquet {
            hive_options: HiveOptions::new_disabled(),
            glob: false,
            allow_missing_columns: true,
            ..ScanArgsParquet::default()
        };
        // The order of the columns is that of the newest window that knows them all: files are in the order of offsets, and
        // no time of theirs is asked, since a copy changes it.
        let mut columns = Schema::default();
        for file in self.files.iter().rev() {
            let of_file = LazyFrame::scan_parquet(pl_path(file), arguments())
                .and_then(|mut scan| scan.collect_schema())
                .map_err(failed)?;
            for (column, of) in of_file.iter() {
                match columns.get(column) {
                    None => {
                        columns.with_column(column.clone(), of.clone());
                    }
                    Some(other) if other == of => {}
                    Some(other) => {
                        let message =
                            format!("scan table {name}: column {column:?} is {other} in one file and {of} in another");
                        return Err(Error::config(message).with_help(format!(
                            "{} has the second; read files of one type by read_parquet('…'), and give a new type a new name",
                            file.display()
                        )));
                    }
                }
            }
        }
        // Behind the payload's columns, wherever they came from.
        let (own, payload): (Vec<_>, Vec<_>) =
            columns.into_iter().partition(|(name, _)| name.starts_with("_kafka_") || name.starts_with("_rdp_"));
        let columns: SchemaRef = Arc::new(payload.into_iter().chain(own).collect());
        let files = self.files.iter().map(|file| pl_path(file)).collect();
        let scan = ScanArgsParquet { schema: Some(columns), ..arguments() };
        LazyFrame::scan_parquet_files(files, scan).map_err(failed)
    }
}

fn topics_in(landing: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut topics: Vec<(String, PathBuf)> = folders(landing)?
        .into_iter()
        .filter_map(|folder| {
            let topic = folder.file_name()?.to_str()?.strip_prefix("topic=")?.to_owned();
            Some((topic, folder))
        })
        .collect();
    topics.sort();
    Ok(topics)
}

/// The landed files of a topic by partition and start, both of which their names tell. Hidden names are not landed yet.
fn files_of(topic: &Path) -> Result<Vec<PathBuf>> {
    let mut partitions: Vec<(i32, PathBuf)> = folders(topic)?
        .into_iter()
        .filter_map(|folder| {
            let partition = folder.file_name()?.to_str()?.strip_prefix("partition=")?.parse().ok()?;
            Some((partition, folder))
        })
        .collect();
    partitions.sort();
    let mut files = Vec::new();
    for (_, folder) in partitions {
        let mut landed: Vec<PathBuf> = entries(&folder)?
            .into_iter()
            .filter(|path| {
                let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
                name.ends_with(".parquet") && !name.starts_with(['.', '_'])
            })
            .collect();
        landed.sort();
        files.append(&mut landed);
    }
    Ok(files)
}

fn folders(folder: &Path) -> Result<Vec<PathBuf>> {
    Ok(entries(folder)?.into_iter().filter(|path| path.is_dir()).collect())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let list =
        || fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<std::io::Result<Vec<_>>>();
    list().map_err(|error| {
        Error::config(format!("list landing folder {}", folder.display()))
            .with_source(error)
            .with_help("name the folder of a landing; relative paths begin at the current directory")
    })
}

/// An absolute path: Polars would take a relative one with a colon in it for a URL.
fn pl_path(path: &Path) -> PlRefPath {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    PlRefPath::new(path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_landing_is_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Tables::new().add_landing(&folder.path().to_string_lossy()).expect_err("it is empty");
        assert!(error.message().contains("nothing has landed there"), "{error:?}");
        assert!(error.help().is_some());
    }

    #[test]
    fn a_landing_that_is_not_there_is_named() {
        let error = Tables::new().add_landing("no/such/landing").expect_err("it is not there");
        assert!(error.message().contains("no/such/landing"), "{error:?}");
    }
}
