//! A config file for `rdp`, with a landing of its own.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::cache::{RunFolder, copy_folder};
use crate::order::orders_schema;
use crate::topic::Topic;

/// A config for one topic and a Parquet landing, in a folder of its own.
///
/// Every change is written at once, so [`RdpConfig::path`] is always good to pass on.
#[derive(Debug)]
pub struct RdpConfig {
    root: Map<String, Value>,
    brokers: String,
    topic: String,
    folder: RunFolder,
}

impl RdpConfig {
    /// JSON payloads that land by this schema.
    pub fn json(topic: &Topic, schema: Value) -> Self {
        Self::with_load(topic, json!({ "format": "json", "schema": schema }))
    }

    /// The events of [`orders`](crate::orders), by their schema.
    pub fn orders(topic: &Topic) -> Self {
        Self::json(topic, orders_schema())
    }

    /// Payloads that land as they are.
    pub fn raw(topic: &Topic) -> Self {
        Self::with_load(topic, json!({ "format": "raw" }))
    }

    fn with_load(topic: &Topic, load: Value) -> Self {
        let root = json!({
            "source": {
                "brokers": topic.brokers(),
                "group_id": format!("rdp-{}", topic.name()),
                "topics": [topic.name()],
                "start": "earliest",
            },
            "window": {},
            "load": load,
            "sink": { "parquet": {} },
        });
        let Value::Object(root) = root else { unreachable!("an object was just written") };
        Self::in_new_folder(root, topic.brokers(), topic.name())
    }

    fn in_new_folder(root: Map<String, Value>, brokers: &str, topic: &str) -> Self {
        let folder = RunFolder::create("landing");
        let config = RdpConfig { root, brokers: brokers.to_owned(), topic: topic.to_owned(), folder };
        let url = format!("file:{}", config.landing().display());
        config.set("/sink/parquet/url", url)
    }

    /// The same config with a copy of the landing in a folder of its own: to spoil one and keep the other.
    pub fn duplicate(&self) -> Self {
        let twin = Self::in_new_folder(self.root.clone(), &self.brokers, &self.topic);
        copy_folder(&self.landing(), &twin.landing());
        twin
    }

    /// Closes windows at so many records or this time (`"1s"`).
    #[must_use]
    pub fn window(self, max_records: usize, max_wait: &str) -> Self {
        self.set("/window/max_records", max_records).set("/window/max_wait", max_wait)
    }

    /// Sets one of librdkafka's own keys.
    #[must_use]
    pub fn librdkafka(self, key: &str, value: impl Into<Value>) -> Self {
        self.set(&format!("/source/librdkafka/{key}"), value)
    }

    /// Takes the consumer group out: a process then reads every partition.
    #[must_use]
    pub fn without_group(mut self) -> Self {
        if let Some(source) = self.root.get_mut("source").and_then(Value::as_object_mut) {
            source.remove("group_id");
        }
        self.write()
    }

    /// Lands where another config does.
    #[must_use]
    pub fn landing_of(self, other: &RdpConfig) -> Self {
        let url = format!("file:{}", other.landing().display());
        self.set("/sink/parquet/url", url)
    }

    /// Sets any value, by its JSON pointer: `/loader/lanes`. Tables on the way are made.
    #[must_use]
    pub fn set(mut self, pointer: &str, value: impl Into<Value>) -> Self {
        let mut names: Vec<&str> = pointer.split('/').skip(1).collect();
        let name = names.pop().expect("a pointer names something");
        let mut table = &mut self.root;
        for step in names {
            let next = table.entry(step).or_insert_with(|| json!({}));
            table = next.as_object_mut().unwrap_or_else(|| panic!("{step} in {pointer} is a table"));
        }
        table.insert(name.to_owned(), value.into());
        self.write()
    }

    /// The config file.
    pub fn path(&self) -> PathBuf {
        self.folder.path().join("rdp.json")
    }

    /// The folder that the files land in.
    pub fn landing(&self) -> PathBuf {
        self.folder.path().join("landing")
    }

    /// The landed files, in order of topic, partition and start.
    pub fn landed_files(&self) -> Vec<PathBuf> {
        let mut found = Vec::new();
        let mut folders = vec![self.landing()];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.is_dir() {
                    folders.push(path);
                } else if path.extension().is_some_and(|extension| extension == "parquet") {
                    found.push(path);
                }
            }
        }
        found.sort();
        found
    }

    /// A folder for whatever else the test writes; removed together with the landing.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The topic's name.
    pub fn topic(&self) -> &str {
        &self.topic
    }

    pub(crate) fn brokers(&self) -> &str {
        &self.brokers
    }

    pub(crate) fn load(&self) -> &Value {
        &self.root["load"]
    }

    fn write(self) -> Self {
        let text = serde_json::to_string_pretty(&self.root).expect("JSON can be written");
        fs::write(self.path(), text).unwrap_or_else(|error| panic!("write {}: {error}", self.path().display()));
        self
    }
}
