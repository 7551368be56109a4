//! Which tables a query sees: each topic of a landing under its own name.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use polars::io::HiveOptions;
use polars::prelude::{DataType, LazyFrame, PlRefPath, PolarsResult, ScanArgsParquet, Schema, UnionArgs, col, concat};
use rdp_elt::reader::{ParquetReader, Reader};
use rdp_elt::{Error, LandingUrl, Result, schema};

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
    pub async fn add_landing(&mut self, url: &str) -> Result<()> {
        let landing = url.parse::<LandingUrl>()?.folder().to_owned();
        if !landing.is_dir() {
            return Err(Error::config(format!("read landing {}: there is no such folder", landing.display()))
                .with_help("name the folder of a landing; relative paths begin at the current directory"));
        }
        let (reader, mut found) = (ParquetReader::open(url)?, false);
        for topic in reader.topics().await? {
            let files = reader.files(&topic).await?;
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
    /// have changed between windows. The columns are those of all files; where none has rows with one, they are null; where
    /// one has widened, they have the wider type.
    fn scan(&self, name: &str) -> Result<LazyFrame> {
        let failed = |error: polars::prelude::PolarsError| {
            Error::config(format!("scan table {name} in {}", self.landing.display()))
                .with_source(error)
                .with_help("`rdp audit` names a file that is not what it was")
        };
        // The order of the columns is that of the newest window that knows them all: files are in the order of offsets, and
        // no time of theirs is asked, since a copy changes it.
        let (mut columns, mut runs) = (Schema::default(), Vec::<Run>::new());
        for file in self.files.iter().rev() {
            let of_file = LazyFrame::scan_parquet(pl_path(file), arguments())
                .and_then(|mut scan| scan.collect_schema())
                .map_err(failed)?;
            for (column, of) in of_file.iter() {
                let wider = match columns.get(column) {
                    None => of.clone(),
                    Some(other) => wider(other, of).ok_or_else(|| {
                        let message =
                            format!("scan table {name}: column {column:?} is {other} in one file and {of} in another");
                        Error::config(message).with_help(format!(
                            "{} has the second; read files of one type by read_parquet('…'), and give a new type a new name",
                            file.display()
                        ))
                    })?,
                };
                columns.with_column(column.clone(), wider);
            }
            match runs.last_mut().filter(|run| run.takes(&of_file)) {
                Some(run) => run.add(file, &of_file),
                None => runs.push(Run::of(file, &of_file)),
            }
        }
        // Behind the payload's columns, wherever they came from.
        let (own, payload): (Vec<_>, Vec<_>) =
            columns.into_iter().partition(|(name, _)| name.starts_with("_kafka_") || name.starts_with("_rdp_"));
        let columns: Schema = payload.into_iter().chain(own).collect();
        let is_one = runs.len() == 1;
        let scans = runs.into_iter().rev().map(|run| run.scan(&columns, is_one)).collect::<PolarsResult<Vec<_>>>();
        let mut scans = scans.map_err(failed)?;
        match (scans.pop(), scans.is_empty()) {
            (Some(scan), true) => Ok(scan),
            (last, _) => {
                scans.extend(last);
                concat(scans, UnionArgs::default()).map_err(failed)
            }
        }
    }
}

/// Files that follow each other and have the same types.
struct Run {
    /// From the newest to the oldest.
    files: Vec<PathBuf>,
    columns: Schema,
}

impl Run {
    fn of(file: &Path, columns: &Schema) -> Self {
        Run { files: vec![file.to_owned()], columns: columns.clone() }
    }

    fn takes(&self, columns: &Schema) -> bool {
        columns.iter().all(|(column, of)| self.columns.get(column).is_none_or(|other| other == of))
    }

    fn add(&mut self, file: &Path, columns: &Schema) {
        self.files.push(file.to_owned());
        for (column, of) in columns.iter().filter(|(column, _)| !self.columns.contains(column)).collect::<Vec<_>>() {
            self.columns.with_column(column.clone(), of.clone());
        }
    }

    /// A lazy scan with these columns, which are as wide as its own or wider.
    fn scan(self, columns: &Schema, is_all: bool) -> PolarsResult<LazyFrame> {
        let files = self.files.iter().rev().map(|file| pl_path(file)).collect();
        let own: Schema =
            columns.iter().map(|(name, of)| (name.clone(), self.columns.get(name).unwrap_or(of).clone())).collect();
        let scan =
            LazyFrame::scan_parquet_files(files, ScanArgsParquet { schema: Some(Arc::new(own)), ..arguments() })?;
        if is_all {
            return Ok(scan);
        }
        let widened = columns.iter().filter(|(name, of)| self.columns.get(name).is_some_and(|own| own != *of));
        Ok(scan.with_columns(widened.map(|(name, of)| col(name.clone()).cast(of.clone())).collect::<Vec<_>>()))
    }
}

fn arguments() -> ScanArgsParquet {
    ScanArgsParquet {
        hive_options: HiveOptions::new_disabled(),
        glob: false,
        allow_missing_columns: true,
        ..ScanArgsParquet::default()
    }
}

/// The type of two that holds the values of both, as a landing may have widened; `None` where neither does.
fn wider(one: &DataType, other: &DataType) -> Option<DataType> {
    if one == other || widens(other, one) {
        return Some(one.clone());
    }
    widens(one, other).then(|| other.clone())
}

fn widens(from: &DataType, to: &DataType) -> bool {
    numeric(from).zip(numeric(to)).is_some_and(|(from, to)| from.widens_to(&to))
}

/// The landing's name of a type that can widen.
fn numeric(of: &DataType) -> Option<schema::DataType> {
    use schema::DataType as Landed;
    Some(match of {
        DataType::Int8 => Landed::Int8,
        DataType::Int16 => Landed::Int16,
        DataType::Int32 => Landed::Int32,
        DataType::Int64 => Landed::Int64,
        DataType::UInt8 => Landed::Uint8,
        DataType::UInt16 => Landed::Uint16,
        DataType::UInt32 => Landed::Uint32,
        DataType::UInt64 => Landed::Uint64,
        DataType::Float32 => Landed::Float32,
        DataType::Float64 => Landed::Float64,
        DataType::Decimal(precision, scale) => {
            Landed::Decimal { precision: u8::try_from(*precision).ok()?, scale: u8::try_from(*scale).ok()? }
        }
        _ => return None,
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

    #[tokio::test]
    async fn an_empty_landing_is_told_so() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = Tables::new().add_landing(&folder.path().to_string_lossy()).await.expect_err("it is empty");
        assert!(error.message().contains("nothing has landed there"), "{error:?}");
        assert!(error.help().is_some());
    }

    #[tokio::test]
    async fn a_landing_that_is_not_there_is_named() {
        let error = Tables::new().add_landing("no/such/landing").await.expect_err("it is not there");
        assert!(error.message().contains("no/such/landing"), "{error:?}");
    }
}
