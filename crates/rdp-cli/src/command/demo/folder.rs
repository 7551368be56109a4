//! Where the demo puts its files: a folder of its own, never over somebody else's.

use std::fs;
use std::path::{Path, PathBuf};

use rdp_elt::{Error, Result};

use super::events::SCHEMA;

/// The demo's folder: a config and a landing.
pub(super) struct DemoFolder {
    path: PathBuf,
}

impl DemoFolder {
    /// Makes the folder, or empties one that an earlier demo made.
    ///
    /// # Errors
    /// [`Config`](rdp_elt::ErrorKind::Config) where something else is there.
    pub(super) fn make(path: &Path) -> Result<Self> {
        let folder = DemoFolder { path: path.to_owned() };
        let failed = |error| {
            Error::config(format!("make the demo's folder {}", path.display()))
                .with_source(error)
                .with_help("name a folder that can be written with --folder DIR")
        };
        if path.exists() {
            if !folder.is_a_demos() {
                return Err(Error::config(format!(
                    "make the demo's folder {}: something else is there",
                    path.display()
                ))
                .with_help("move it away, or name another folder with --folder DIR"));
            }
            if folder.landing().exists() {
                fs::remove_dir_all(folder.landing()).map_err(failed)?;
            }
        }
        fs::create_dir_all(path).map_err(failed)?;
        Ok(folder)
    }

    /// Writes the config of the demo's loader. It is alone and needs no group: a group would have the second start wait
    /// until the broker has given the killed member up.
    pub(super) fn write_config(&self, brokers: &str, topic: &str, window_records: u64) -> Result<()> {
        let landing = std::path::absolute(self.landing()).unwrap_or_else(|_| self.landing());
        let url = serde_json::Value::from(format!("file:{}", landing.display()));
        let text = format!(
            "{MARK}. Its broker lived in the demo's process.\n\
             [source]\nbrokers = \"{brokers}\"\ntopics = [\"{topic}\"]\n\n\
             [window]\nmax_records = {window_records}\nmax_wait = \"5s\"\n\n\
             [load]\nformat = \"json\"\nschema = {SCHEMA}\n\n\
             [sink.parquet]\nurl = {url}\n"
        );
        fs::write(self.config(), text).map_err(|error| {
            Error::config(format!("write the demo's config {}", self.config().display())).with_source(error)
        })
    }

    /// The config's path.
    pub(super) fn config(&self) -> PathBuf {
        self.path.join(CONFIG)
    }

    /// The landing's path.
    pub(super) fn landing(&self) -> PathBuf {
        self.path.join(LANDING)
    }

    /// Whether everything in the folder is a demo's: its config, which says so, and its landing.
    fn is_a_demos(&self) -> bool {
        let Ok(entries) = fs::read_dir(&self.path) else { return false };
        let mut is_empty = true;
        for entry in entries {
            let Ok(entry) = entry else { return false };
            is_empty = false;
            if entry.file_name() != CONFIG && entry.file_name() != LANDING {
                return false;
            }
        }
        is_empty || fs::read_to_string(self.config()).is_ok_and(|text| text.starts_with(MARK))
    }
}

const CONFIG: &str = "orders.toml";
const LANDING: &str = "landing";
const MARK: &str = "# Written by rdp demo";
