//! Which tables a query sees: each topic of a landing under its own name.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use polars::io::HiveOptions;
use polars::prelude::{LazyFrame, PlRefPath, ScanArgsParquet};

use crate::error::{Error, Result};

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
    /// [`Config`](crate::ErrorKind::Config) where the folder is not there, is not a local one, nothing has landed in it,
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

    /// Every table as a lazy scan.
    pub(super) fn scans(&self) -> impl Iterator<Item = (&str, Result<LazyFrame>)> {
        self.0.iter().map(|(name, table)| (name.as_str(), table.scan(name)))
    }
}

impl Table {
    /// A lazy scan of all files. The newest one says which columns there are, so that a column that the schema gained
    /// reads as null where older files lack it.
    fn scan(&self, name: &str) -> Result<LazyFrame> {
        let failed = |error: polars::prelude::PolarsError| {
            Error::config(format!("scan table {name} in {}", self.landing.display()))
                .with_source(error)
                .with_help("`rdp audit` names a file that is not what it was")
        };
        let newest = self.files.iter().max_by_key(|file| {
            fs::metadata(file).and_then(|metadata| metadata.modified()).unwrap_or(SystemTime::UNIX_EPOCH)
        });
        let Some(newest) = newest else {
            return Err(Error::internal(format!("scan table {name}: it has no file")));
        };
        let arguments = || ScanArgsParquet {
            hive_options: HiveOptions::new_disabled(),
            glob: false,
            allow_missing_columns: true,
            ..ScanArgsParquet::default()
        };
        let columns = LazyFrame::scan_parquet(pl_path(newest), arguments())
            .and_then(|mut scan| scan.collect_schema())
            .map_err(failed)?;
        let files = self.files.iter().map(|file| pl_path(file)).collect();
        LazyFrame::scan_parquet_files(files, ScanArgsParquet { schema: Some(columns), ..arguments() }).map_err(failed)
    }
}

/// `file:landing`, `file:///var/landing` and plain paths. Other schemes are not local.
fn local_folder(url: &str) -> Result<PathBuf> {
    let path = match url.split_once(':') {
        Some(("file", path)) => path.strip_prefix("//").unwrap_or(path),
        Some((scheme, _)) if scheme.len() > 1 && scheme.chars().all(|letter| letter.is_ascii_alphanumeric()) => {
            return Err(Error::new(
                crate::ErrorKind::Unsupported,
                format!("read landing {url}: SQL reads local folders only, not {scheme}:"),
            ));
        }
        _ => url,
    };
    Ok(PathBuf::from(path))
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
    fn urls_of_local_folders_are_paths() {
        for (url, path) in [("file:landing", "landing"), ("file:///var/l", "/var/l"), ("a/b", "a/b"), ("/x", "/x")] {
            assert_eq!(local_folder(url).ok(), Some(PathBuf::from(path)), "{url}");
        }
        assert!(local_folder("s3://bucket/x").is_err());
    }

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
