//! The one config file, the same in every language: TOML, YAML or JSON in, a source, a load and a sink out.
//!
//! Text becomes one plain tree ([`syntax`]), `${VAR}` in its values is replaced ([`expand`]), and a strict walker
//! ([`section`]) reads the tree. Every mistake of a file is reported at once ([`mistake`]), with its full key, the value
//! found and what was expected. Nothing here opens a connection or a sink, except [`Config::open_sink`]; what a loader would
//! find out before its first connection, [`Config::try_out`] does.

mod expand;
mod load;
mod loader;
mod mistake;
mod redirect;
mod section;
mod sink;
mod source;
mod syntax;

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;

use serde_json::Value;

use crate::error::{Error, Result};
use crate::kafka::{KafkaConsumerBuilder, WindowLimits};
use crate::load::LoadPlan;
use crate::loader::{Loader, LoaderOptions, Outlook};
use crate::sink::{MemorySink, Sink};

pub use expand::literal;
use mistake::Mistakes;
pub use redirect::{Redirection, redirected_config};
use section::Section;
pub use sink::SinkConfig;
pub use source::SourceConfig;
pub use syntax::ConfigSyntax;

/// A config that has been read and found right: where records come from, how they are loaded, where they land.
///
/// ```
/// # use rdp_elt::config::{Config, ConfigSyntax};
/// let config = Config::from_text(
///     r#"
///     [source]
///     brokers = "localhost:9092"
///     group_id = "rdp-orders"
///     topics = ["orders"]
///     [load]
///     schema = [{ name = "order_id", type = "int64" }]
///     [sink.parquet]
///     url = "file:landing"
///     "#,
///     ConfigSyntax::Toml,
/// )?;
/// assert_eq!(config.topics(), ["orders"]);
/// # Ok::<(), rdp_elt::Error>(())
/// ```
#[derive(Clone)]
pub struct Config {
    source: SourceConfig,
    limits: WindowLimits,
    load: LoadPlan,
    loader: LoaderOptions,
    sink: Option<SinkConfig>,
}

impl Config {
    /// Reads a config file; its ending (`.toml`, `.yaml`, `.yml` or `.json`) says its syntax.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the file cannot be read, is not of its syntax, or holds mistakes: all
    /// of them are in the one message.
    pub fn from_path(path: impl AsRef<Path>) -> Result<Self> {
        read_path(path.as_ref(), Completeness::Whole)
    }

    /// Reads a config file of which only the source has to be there, for sampling a topic before its landing schema is
    /// written. What else it holds must be right all the same.
    ///
    /// # Errors
    /// As [`Config::from_path`].
    pub fn source_from_path(path: impl AsRef<Path>) -> Result<Self> {
        read_path(path.as_ref(), Completeness::SourceOnly)
    }

    /// Reads a config from text. A `schema_file` in it is looked up from the current directory.
    ///
    /// # Errors
    /// As [`Config::from_path`].
    pub fn from_text(text: &str, syntax: ConfigSyntax) -> Result<Self> {
        let origin = Origin { name: "config", folder: Path::new("") };
        read_text(text, syntax, Completeness::Whole, &origin, &environment)
    }

    /// The same from text.
    ///
    /// # Errors
    /// As [`Config::from_path`].
    pub fn source_from_text(text: &str, syntax: ConfigSyntax) -> Result<Self> {
        let origin = Origin { name: "config", folder: Path::new("") };
        read_text(text, syntax, Completeness::SourceOnly, &origin, &environment)
    }

    /// The consumer that `[source]` describes.
    pub fn source(&self) -> KafkaConsumerBuilder {
        self.source.builder()
    }

    /// The same consumer without its group: for a look at the topics that takes no partition away from anybody.
    pub fn peek_source(&self) -> KafkaConsumerBuilder {
        self.source.peek()
    }

    /// The topics as the file names them: names, or regular expressions that begin with `^`.
    pub fn topics(&self) -> &[String] {
        self.source.topics()
    }

    /// What `[source]` says, for a person.
    pub fn source_config(&self) -> &SourceConfig {
        &self.source
    }

    /// When a poll window closes: `[window]`.
    pub fn limits(&self) -> WindowLimits {
        self.limits.clone()
    }

    /// How payloads become rows: `[load]` and `[load.topics.NAME]`.
    pub fn load_plan(&self) -> LoadPlan {
        self.load.clone()
    }

    /// How the engine goes about it: `[loader]`.
    pub fn loader_options(&self) -> LoaderOptions {
        self.loader.clone()
    }

    /// Where rows land: the one section under `[sink]`. `None` only from [`Config::source_from_path`].
    pub fn sink_config(&self) -> Option<&SinkConfig> {
        self.sink.as_ref()
    }

    /// Goes as far as a loader goes before its first connection: makes a client of the settings, with the queues that
    /// `[loader]` leaves it, and throws it away.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where a loader would end with that.
    pub fn try_out(&self) -> Result<()> {
        self.source().with_queue_bytes(self.loader.budget().queue_bytes()).try_out()
    }

    /// What a loader would find at its start. Changes nothing: a landing that is not there yet is not made. Blocks, and needs
    /// a Tokio runtime.
    ///
    /// # Errors
    /// As [`Loader::foresee`], and as [`open_landing`](Config::open_landing).
    pub fn foresee(&self) -> Result<Outlook> {
        let landing = self.open_landing()?.unwrap_or_else(|| Arc::new(MemorySink::new()));
        Loader::new(self.source(), self.load_plan(), landing)
            .with_limits(self.limits())
            .with_options(self.loader_options())
            .foresee()
    }

    /// Opens the sink.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the file names none, and what the sink's own opening gives.
    pub fn open_sink(&self) -> Result<Arc<dyn Sink>> {
        match &self.sink {
            Some(sink) => sink.open(self.loader.budget().writer_bytes()),
            None => Err(no_sink()),
        }
    }

    /// The same config with the same kind of sink at another place, in the same form of its URL.
    #[must_use]
    pub fn with_sink_at(mut self, url: &str) -> Self {
        self.sink = self.sink.map(|sink| sink.at(url));
        self
    }

    /// Opens what has landed in the sink, to be read: nothing is made, changed or removed. `None` where there is no landing
    /// yet.
    ///
    /// # Errors
    /// As [`open_sink`](Self::open_sink).
    pub fn open_landing(&self) -> Result<Option<Arc<dyn Sink>>> {
        self.sink.as_ref().ok_or_else(no_sink)?.open_to_read()
    }
}

fn no_sink() -> Error {
    Error::config("open sink: the config names none").with_help(sink::HOW_TO_NAME_ONE)
}

/// How much of a config has to be there.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Completeness {
    Whole,
    SourceOnly,
}

/// Where a config's text came from.
struct Origin<'a> {
    /// What errors call it.
    name: &'a str,
    /// Where its relative `schema_file` is looked up.
    folder: &'a Path,
}

fn read_path(path: &Path, completeness: Completeness) -> Result<Config> {
    let name = path.display().to_string();
    let written = parse_file("read config", path)?;
    let folder = path.parent().unwrap_or(Path::new(""));
    read_tree(&written, completeness, &Origin { name: &name, folder }, &environment)
}

/// The tree that a file holds, in the syntax that its ending tells.
fn parse_file(doing: &str, path: &Path) -> Result<Value> {
    let name = path.display();
    let syntax = ConfigSyntax::of_path(path)?;
    let failed = |error: io::Error| {
        Error::config(format!("{doing} {name}"))
            .with_source(error)
            .with_help("name a file that is there and readable, or begin with examples/orders.toml")
    };
    let mut text = String::new();
    File::open(path).and_then(|file| file.take(LARGEST_FILE).read_to_string(&mut text)).map_err(failed)?;
    if text.len() as u64 >= LARGEST_FILE {
        return Err(Error::config(format!(
            "{doing} {name}: it is larger than any config, with {LARGEST_FILE} bytes or more"
        ))
        .with_help("name a config file"));
    }
    syntax.parse(&text).map_err(|error| error.into_error(&format!("{doing} {name}")))
}

fn read_text(
    text: &str,
    syntax: ConfigSyntax,
    completeness: Completeness,
    origin: &Origin<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config> {
    let written = syntax.parse(text).map_err(|error| error.into_error(&format!("read config {}", origin.name)))?;
    read_tree(&written, completeness, origin, variable)
}

fn read_tree(
    written: &Value,
    completeness: Completeness,
    origin: &Origin<'_>,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Result<Config> {
    let mistakes = Mistakes::default();
    let expanded = expand::expand("", written, variable, &mistakes);
    let root = Section::root(&expanded, written, &mistakes);
    let config = read(&root, completeness, origin.folder, variable);
    root.finish();
    match (config, mistakes.into_error(origin.name)) {
        (_, Some(error)) => Err(error),
        (Some(config), None) => Ok(config),
        (None, None) => Err(Error::internal(format!("read config {}: nothing came of it", origin.name))),
    }
}

/// Reads every section, so that every mistake is found; the config is there only where all of it is.
fn read(
    root: &Section<'_>,
    completeness: Completeness,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<Config> {
    let source = source::read(&root.required_section("source"));
    let limits = loader::read_window(&root.section("window"));
    let topics = source.as_ref().map(SourceConfig::topics);
    let load = load::read(&root.section("load"), &load::Around { completeness, folder, variable, topics });
    let loader = loader::read_loader(&root.section("loader"));
    let sink = sink::read(&root.section("sink"), completeness);
    Some(Config { source: source?, limits, load: load?, loader, sink: sink? })
}

fn environment(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

/// A file that is no config may have no end.
const LARGEST_FILE: u64 = 16 << 20;

#[cfg(test)]
mod mistyped;
#[cfg(test)]
mod tests;
