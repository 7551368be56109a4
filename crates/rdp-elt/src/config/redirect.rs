//! A config of one's own made from another: the same brokers by the same settings, and another topic, load and landing.

use std::path::Path;

use serde_json::{Map, Value, json};

use super::{literal, parse_file};
use crate::error::{Error, Result};

/// Where a config is turned to.
#[derive(Debug, Clone)]
pub struct Redirection<'a> {
    /// The one topic; all of it is read, without a group.
    pub topic: &'a str,
    /// The folder that it lands in.
    pub landing: &'a Path,
    /// `[load]`.
    pub load: Value,
    /// `[window]`.
    pub window: Value,
}

/// The JSON text of a config that keeps of the file at `path` how brokers are reached, how the engine goes about it and how
/// files are written, and nothing else. Variables stay unexpanded: what only the environment knows stays there.
///
/// The file is taken to be right; [`Config::from_path`](super::Config::from_path) finds out.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where the file cannot be read or is not of its syntax.
pub fn redirected_config(path: &Path, to: &Redirection<'_>) -> Result<String> {
    let written = parse_file("read config", path)?;
    let root = redirected(&written, to);
    serde_json::to_string_pretty(&root).map_err(|error| Error::internal("write a config").with_source(error))
}

fn redirected(written: &Value, to: &Redirection<'_>) -> Value {
    let mut source = kept(&written["source"], &["brokers", "isolation", "librdkafka"]);
    source.insert("topics".to_owned(), json!([to.topic]));
    let mut sink = written["sink"]["parquet"].as_object().cloned().unwrap_or_default();
    // A folder's name may hold what the file takes for a variable.
    let url = literal(&format!("file:{}", to.landing.display()));
    sink.insert("url".to_owned(), url.into());
    let loader = written.get("loader").cloned().unwrap_or_else(|| json!({}));
    json!({ "source": source, "window": to.window, "load": to.load, "loader": loader, "sink": { "parquet": sink } })
}

fn kept(table: &Value, keys: &[&str]) -> Map<String, Value> {
    let keep = |key: &&str| Some(((*key).to_owned(), table.get(*key)?.clone()));
    keys.iter().filter_map(keep).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::{Config, ConfigSyntax};

    #[test]
    fn it_reaches_the_same_brokers_and_touches_nothing_else_of_the_config() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("orders.toml");
        let text = "[source]\nbrokers = \"b:1\"\ngroup_id = \"orders\"\ntopics = [\"orders\"]\nstart = \"latest\"\n\
                    [source.librdkafka]\nsecurity.protocol = \"SASL_SSL\"\n\"sasl.password\" = \"${RDP_NO_SUCH:-hunter2}\"\n\
                    [loader]\nlanes = 2\n[load]\nformat = \"raw\"\n\
                    [sink.parquet]\nurl = \"file:landing\"\ncompression_level = 3\n";
        std::fs::write(&path, text).expect("a file");
        let to = Redirection {
            topic: "scratch",
            landing: Path::new("/tmp/${x}"),
            load: json!({ "format": "raw", "keep_value": true }),
            window: json!({ "max_records": 10 }),
        };
        let text = redirected_config(&path, &to).expect("it is read");
        assert!(text.contains("${RDP_NO_SUCH:-hunter2}"), "{text}");
        let config = Config::from_text(&text, ConfigSyntax::Json).expect("it is a config");
        assert_eq!(config.topics(), ["scratch"]);
        assert_eq!((config.source_config().brokers(), config.source_config().group_id()), ("b:1", None));
        assert_eq!(config.peek_source().setting("security.protocol"), Some("SASL_SSL"));
        assert_eq!(config.sink_config().map(|sink| sink.url().to_owned()), Some("file:/tmp/${x}".to_owned()));
        assert_eq!((config.loader_options().lanes, config.limits().max_records), (2, 10));
        assert!(config.load_plan().others().keep_value);
    }
}
