//! The scratch: a topic, a landing and the config of the loader between them, all of which are removed in the end.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rdp_elt::config::{Config, Redirection, redirected_config};
use rdp_elt::torture::{TortureTopic, load_section};
use rdp_elt::{Error, ErrorKind};
use serde_json::json;
use tempfile::TempDir;

use super::loader::Loader;
use super::plan::Plan;
use crate::command::scratch::folder_beside_landing;
use crate::command::{shell_word, sql};

/// Topic and landing. Dropped, it removes both as well as it can.
pub(super) struct Scratch {
    pub(super) topic: TortureTopic,
    pub(super) loader: Loader,
    brokers: String,
    folder: Option<TempDir>,
}

/// What is still there after a run, and how to look at it and to remove it.
#[derive(Debug, Clone)]
pub(super) struct Kept {
    pub(super) topic: String,
    pub(super) folder: PathBuf,
    brokers: String,
}

impl Scratch {
    /// Makes the folder, and then the topic.
    pub(super) fn make(path: &Path, config: &Config, plan: &Plan) -> Result<Self, Error> {
        let folder = folder_beside_landing(config, &format!(".{}-", plan.topic))?;
        let window = json!({ "max_records": plan.window_records(), "max_wait": "5s" });
        let to = Redirection { topic: &plan.topic, landing: &landing_in(folder.path()), load: load_section(), window };
        let loader = Loader::new(config_in(folder.path()), folder.path().join("loader.log"))?;
        write_for_us_alone(loader.config(), &redirected_config(path, &to)?)?;
        // Whatever the rewriting got wrong shows before anything is made on the brokers.
        Config::from_path(loader.config())?;
        let topic = TortureTopic::create(&config.peek_source(), &plan.topic, plan.partition_count, plan.seed)
            .map_err(help_with_rights)?;
        let brokers = config.source_config().brokers().to_owned();
        Ok(Scratch { topic, loader, brokers, folder: Some(folder) })
    }

    /// The folder that the loader lands in.
    pub(super) fn landing(&self) -> PathBuf {
        landing_in(self.loader.folder())
    }

    /// Leaves topic and landing where they are.
    pub(super) fn keep(mut self) -> Kept {
        let kept = self.kept();
        if let Some(folder) = self.folder.take() {
            let _ = folder.keep();
        }
        kept
    }

    /// Removes both; where one cannot be removed, the other is all the same.
    pub(super) fn remove(mut self) -> Result<(), Error> {
        let kept = self.kept();
        let (topic, folder) = (self.topic.delete(), self.folder.take().map_or(Ok(()), TempDir::close));
        let mut by_hand = Vec::new();
        let mut failed = None;
        if let Err(error) = folder {
            by_hand.push(kept.remove_folder());
            failed = Some(Error::unavailable(format!("remove {}", kept.folder.display())).with_source(error));
        }
        if let Err(error) = topic {
            by_hand.push(kept.delete_topic());
            failed = Some(
                Error::new(error.kind(), format!("remove topic {}, which is left on the brokers", kept.topic))
                    .with_source(error),
            );
        }
        failed.map_or(Ok(()), |error| Err(error.with_help(format!("remove by hand: {}", by_hand.join("; ")))))
    }

    fn kept(&self) -> Kept {
        Kept {
            topic: self.topic.name().to_owned(),
            folder: self.loader.folder().to_owned(),
            brokers: self.brokers.clone(),
        }
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        // Only on a way out that nobody foresaw is there a folder left here.
        if self.folder.is_some() {
            let _ = self.topic.delete();
        }
    }
}

impl Kept {
    /// The commands that look at it, and those that remove it.
    pub(super) fn text(&self) -> String {
        let config = shell_word(&config_in(&self.folder));
        let query = match sql::IS_BUILT_IN {
            true => format!("        rdp sql 'SELECT COUNT(*) FROM \"{}\"' --config {config}\n", self.topic),
            false => String::new(),
        };
        format!(
            "kept: topic {}, folder {}\nlook:   rdp audit {config}\n{query}remove: {}\n        {}",
            self.topic,
            self.folder.display(),
            self.remove_folder(),
            self.delete_topic(),
        )
    }

    fn remove_folder(&self) -> String {
        format!("rm -r {}", shell_word(&self.folder))
    }

    fn delete_topic(&self) -> String {
        format!("kafka-topics.sh --bootstrap-server {} --delete --topic {}", self.brokers, self.topic)
    }
}

fn landing_in(folder: &Path) -> PathBuf {
    folder.join("landing")
}

fn config_in(folder: &Path) -> PathBuf {
    folder.join("rdp.json")
}

/// The config may hold a password, as the one does that it was made from.
fn write_for_us_alone(path: &Path, text: &str) -> Result<(), Error> {
    let written = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| Error::unavailable(format!("write {}", path.display())).with_source(error))
}

fn help_with_rights(error: Error) -> Error {
    match error.kind() {
        ErrorKind::Denied if error.message().contains("topic") => error.with_help(
            "torture makes a topic of its own and deletes it: grant CREATE, DELETE, DESCRIBE, READ and WRITE on the \
             topics that begin with rdp-torture- (kafka-acls.sh --topic rdp-torture- --resource-pattern-type prefixed)",
        ),
        _ => error,
    }
}
