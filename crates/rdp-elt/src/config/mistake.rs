//! What is wrong with a config, gathered so that a person mends it in one go.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::Error;
use crate::kafka::{is_known, is_secret_key, named};

/// The mistakes of one file, and the keys that it could have had.
#[derive(Default)]
pub(super) struct Mistakes {
    found: RefCell<Vec<Mistake>>,
    known: RefCell<BTreeSet<String>>,
}

struct Mistake {
    key: String,
    /// The value as it stands in the file: what a variable became stays out of messages.
    found: Option<String>,
    problem: Problem,
}

enum Problem {
    Said(String),
    /// A key that nobody asked for, among those that its section has.
    Unknown {
        section: String,
        has: Vec<&'static str>,
    },
}

impl Mistakes {
    /// Notes a mistake at a key; `written` is the value in the file.
    pub(super) fn add(&self, key: &str, written: Option<&Value>, problem: impl Into<String>) {
        self.push(Mistake {
            key: key.to_owned(),
            found: written.and_then(|value| shown(key, value)),
            problem: Problem::Said(problem.into()),
        });
    }

    /// Notes a key that nobody asked for. One without a value may be a value that lost its key, and is not told.
    pub(super) fn add_unknown(&self, section: &str, key: &str, value: &Value, has: Vec<&'static str>) {
        if value.is_null() && nearest(key, has.iter().copied()).is_none() {
            self.add_nameless(section);
            return;
        }
        let problem = Problem::Unknown { section: section.to_owned(), has };
        self.push(Mistake { key: join(section, key), found: None, problem });
    }

    /// Notes a key of librdkafka's whose value is no text, number or flag.
    pub(super) fn add_valueless(&self, section: &str, key: &str, written: &Value) {
        match is_known(key) || !written.is_null() {
            true => self.add(&join(section, key), Some(written), "expected text, a number, true or false"),
            false => self.add_nameless(section),
        }
    }

    fn add_nameless(&self, section: &str) {
        let problem = "a key in it has no value, and is none that it could have; between key and value is = in TOML and a \
                       colon, with a space behind it, in YAML";
        self.add(section, None, problem);
    }

    /// Notes a key that a config can have.
    pub(super) fn know(&self, key: String) {
        self.known.borrow_mut().insert(key);
    }

    /// One error for all of them; `None` where there is none.
    pub(super) fn into_error(self, name: &str) -> Option<Error> {
        let known = self.known.into_inner();
        let found = self.found.into_inner();
        let mut lines: Vec<String> = found.iter().map(|mistake| mistake.line(&known)).collect();
        lines.dedup();
        let message = match lines.as_slice() {
            [] => return None,
            [line] => format!("read config {name}: {line}"),
            _ => format!("read config {name}: {} mistakes\n  {}", lines.len(), lines.join("\n  ")),
        };
        let keys = if lines.len() == 1 { "that key" } else { "these keys" };
        Some(Error::config(message).with_help(format!("mend {keys} and run `rdp check` on the file")))
    }

    /// A mistake in expanding a value is noted before the value is read; it is then not reported a second time.
    fn push(&self, mistake: Mistake) {
        let mut found = self.found.borrow_mut();
        if !found.iter().any(|other| other.key == mistake.key) {
            found.push(mistake);
        }
    }
}

impl Mistake {
    fn line(&self, known: &BTreeSet<String>) -> String {
        let key = if self.key.is_empty() { "the file" } else { &self.key };
        match (&self.problem, &self.found) {
            (Problem::Said(problem), Some(found)) => format!("{key} = {found}: {problem}"),
            (Problem::Said(problem), None) => format!("{key}: {problem}"),
            (Problem::Unknown { section, has }, _) => format!("{key}: {}", unknown(section, key, has, known)),
        }
    }
}

/// What to say of an unknown key: the nearest of its section, the same key elsewhere, or all that there are.
fn unknown(section: &str, key: &str, has: &[&'static str], known: &BTreeSet<String>) -> String {
    let last = key.strip_prefix(section).map_or(key, |rest| rest.trim_start_matches('.'));
    let elsewhere = known.iter().find(|other| other.rsplit('.').next() == Some(last) && *other != key);
    if let Some(near) = nearest(last, has.iter().copied()) {
        format!("unknown key; did you mean {}?", join(section, near))
    } else if let Some(elsewhere) = elsewhere {
        format!("unknown key; did you mean {elsewhere}?")
    } else if let Some(near) = nearest(last, known.iter().filter_map(|other| other.rsplit('.').next())) {
        let full = known.iter().find(|other| other.rsplit('.').next() == Some(near));
        format!("unknown key; did you mean {}?", full.map_or(near, String::as_str))
    } else {
        let place = if section.is_empty() { "a config".to_owned() } else { format!("[{section}]") };
        format!("unknown key; {place} has {}", has.join(", "))
    }
}

/// The candidate whose spelling is nearest, where one is near enough to be meant.
pub(super) fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let plain = |text: &str| text.to_lowercase().replace(['-', '.'], "_");
    let word = plain(word);
    candidates
        .map(|candidate| (strsim::normalized_damerau_levenshtein(&word, &plain(candidate)), candidate))
        .filter(|(likeness, _)| *likeness >= NEAR_ENOUGH)
        .max_by(|one, other| one.0.total_cmp(&other.0))
        .map(|(_, candidate)| candidate)
}

/// An error as one line: its message, its causes and what helps.
pub(super) fn told(error: &Error) -> String {
    let text = format!("{error:#}");
    error.help().map_or(text.clone(), |help| format!("{text}; {help}"))
}

/// The full name of a key in a section; a part with a dot in it is quoted as TOML does, and what is no name is cut off.
pub(super) fn join(section: &str, key: &str) -> String {
    let key = named(key);
    let key = if key.contains('.') { format!("{key:?}") } else { key.into_owned() };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

/// A value as it is written, cut to a readable length; `None` of a key that is not known to be harmless: a mistyped key, or
/// a table in the wrong place, may hold the secret of another.
fn shown(key: &str, value: &Value) -> Option<String> {
    let is_harmless = match key.strip_prefix("source.librdkafka.") {
        Some(key) => !is_secret_key(key.trim_matches('"')),
        // `source.topics[0]` is of `source.topics`.
        None => HARMLESS.contains(&key.split('[').next().unwrap_or(key)),
    };
    if !is_harmless || !is_plain(value) {
        return None;
    }
    let text = value.to_string();
    Some(match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    })
}

/// Whether a value is of the forms that harmless keys have: one thing, some in a list, or offsets by their partitions.
fn is_plain(value: &Value) -> bool {
    match value {
        Value::Array(items) => items.iter().all(|item| !item.is_array() && !item.is_object()),
        Value::Object(table) => table.values().all(Value::is_number),
        _ => true,
    }
}

/// Our own keys whose values a person may see.
const HARMLESS: &[&str] = &[
    "source.topics",
    "source.partitions",
    "source.start",
    "source.isolation",
    "window.max_records",
    "window.max_bytes",
    "window.max_wait",
    "load.format",
    "load.schema_file",
    "load.on_error",
    "load.unknown_fields",
    "load.keep_value",
    "loader.lanes",
    "loader.memory",
    "loader.retry_cap",
    "loader.give_up_after",
    "sink.parquet.compression_level",
    "sink.parquet.row_group_size",
];

/// 1 is the same word; "brokres" and "brokers" have 0.86, "max_waits" and "max_wait" 0.89.
const NEAR_ENOUGH: f64 = 0.6;
const LONGEST_SHOWN: usize = 60;
