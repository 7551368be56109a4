//! What is wrong with a config, gathered so that a person mends it in one go.

use std::cell::RefCell;
use std::collections::BTreeSet;

use serde_json::Value;

use crate::error::Error;
use crate::kafka::is_secret_key;

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
            found: written.map(|value| shown(key, value)),
            problem: Problem::Said(problem.into()),
        });
    }

    /// Notes a key that nobody asked for.
    pub(super) fn add_unknown(&self, section: &str, key: &str, has: Vec<&'static str>) {
        let problem = Problem::Unknown { section: section.to_owned(), has };
        self.push(Mistake { key: join(section, key), found: None, problem });
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

/// The full name of a key in a section; a part with a dot in it is quoted as TOML does.
pub(super) fn join(section: &str, key: &str) -> String {
    let key = if key.contains('.') { format!("{key:?}") } else { key.to_owned() };
    if section.is_empty() { key } else { format!("{section}.{key}") }
}

/// A value as it is written, cut to a readable length; a secret is not shown.
fn shown(key: &str, value: &Value) -> String {
    if key.strip_prefix("source.librdkafka.").is_some_and(|key| is_secret_key(key.trim_matches('"'))) {
        return "(not shown)".to_owned();
    }
    let text = value.to_string();
    match text.char_indices().nth(LONGEST_SHOWN) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text,
    }
}

/// 1 is the same word; "brokres" and "brokers" have 0.86, "max_waits" and "max_wait" 0.89.
const NEAR_ENOUGH: f64 = 0.6;
const LONGEST_SHOWN: usize = 60;
