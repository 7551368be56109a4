//! The strict walker: reads a table key by key, remembers which keys were asked for, and notes every mistake.

use std::cell::RefCell;
use std::time::Duration;

use serde_json::{Map, Value};

use super::expand::expand;
use super::mistake::{Mistakes, join, nearest};

/// One table of the config, under its full name.
///
/// Every reader returns `None` where the key is absent and where it is wrong; a wrong one is noted, so that the whole is
/// refused in the end and a default never stands in for a mistake.
pub(super) struct Section<'a> {
    name: String,
    table: Option<&'a Map<String, Value>>,
    /// The same table with its variables unexpanded: what messages show.
    written: Option<&'a Map<String, Value>>,
    asked: RefCell<Vec<&'static str>>,
    mistakes: &'a Mistakes,
}

impl<'a> Section<'a> {
    /// The whole file.
    pub(super) fn root(expanded: &'a Value, written: &'a Value, mistakes: &'a Mistakes) -> Self {
        if !expanded.is_object() {
            mistakes.add("", Some(written), "expected a table with the sections source, window, load, loader and sink");
        }
        Section::new(String::new(), expanded.as_object(), written.as_object(), mistakes)
    }

    fn new(
        name: String,
        table: Option<&'a Map<String, Value>>,
        written: Option<&'a Map<String, Value>>,
        mistakes: &'a Mistakes,
    ) -> Self {
        Section { name, table, written, asked: RefCell::default(), mistakes }
    }

    /// A table inside this one; an absent one reads as empty.
    pub(super) fn section(&self, key: &'static str) -> Section<'a> {
        let name = join(&self.name, key);
        let table = match self.value(key) {
            None => None,
            Some(Value::Object(table)) => Some(table),
            Some(_) => self.wrong(key, format!("expected a table: [{name}]")),
        };
        let written = self.written(key).and_then(Value::as_object);
        Section::new(name, table, written, self.mistakes)
    }

    /// The tables inside this one, whose keys are somebody else's names. What is no table is noted.
    pub(super) fn sections(&self) -> Vec<(&'a str, Section<'a>)> {
        let table = |(key, value): (&'a str, &'a Value)| {
            let name = join(&self.name, key);
            let Some(table) = value.as_object() else {
                return self.wrong(key, format!("expected a table: [{name}]"));
            };
            let written = self.written(key).and_then(Value::as_object);
            Some((key, Section::new(name, Some(table), written, self.mistakes)))
        };
        self.entries().filter_map(table).collect()
    }

    /// A table that has to be there.
    pub(super) fn required_section(&self, key: &'static str) -> Section<'a> {
        if !self.has(key) {
            self.missing::<()>(key, format!("expected a table: [{}]", join(&self.name, key)));
        }
        self.section(key)
    }

    /// Notes that this table, or the one that it has to hold, is not there.
    pub(super) fn missing_whole<T>(&self, expected: &str) -> Option<T> {
        self.mistakes.add(&self.name, None, format!("missing; {expected}"));
        None
    }

    /// Notes that this whole table is wrong.
    pub(super) fn wrong_whole(&self, problem: impl Into<String>) {
        self.mistakes.add(&self.name, None, problem);
    }

    /// Whether the key is there.
    pub(super) fn has(&self, key: &str) -> bool {
        self.table.is_some_and(|table| table.contains_key(key))
    }

    /// The key's value, whatever it is.
    pub(super) fn value(&self, key: &'static str) -> Option<&'a Value> {
        self.asked.borrow_mut().push(key);
        self.mistakes.know(join(&self.name, key));
        self.table.and_then(|table| table.get(key))
    }

    /// A tree that a file gives in place of a key's value, with its variables replaced.
    pub(super) fn expanded(&self, key: &str, tree: &Value, variable: &dyn Fn(&str) -> Option<String>) -> Value {
        expand(&join(&self.name, key), tree, variable, self.mistakes)
    }

    /// Text.
    pub(super) fn text(&self, key: &'static str, expected: &str) -> Option<String> {
        match self.value(key)? {
            Value::String(text) if !text.trim().is_empty() => Some(text.clone()),
            _ => self.wrong(key, format!("expected {expected}")),
        }
    }

    /// Text that has to be there.
    pub(super) fn required_text(&self, key: &'static str, expected: &str) -> Option<String> {
        let text = self.text(key, expected);
        if !self.has(key) {
            return self.missing(key, format!("expected {expected}"));
        }
        text
    }

    /// A whole number from 1 on.
    pub(super) fn count(&self, key: &'static str) -> Option<usize> {
        let value = self.value(key)?;
        match whole_number(value) {
            Some(number) if number >= 1 => usize::try_from(number).ok(),
            _ => self.wrong(key, "expected a whole number from 1 on, such as 1_000_000"),
        }
    }

    /// A whole number in a range.
    pub(super) fn number(&self, key: &'static str, range: std::ops::RangeInclusive<i64>) -> Option<i64> {
        let value = self.value(key)?;
        match whole_number(value) {
            Some(number) if range.contains(&number) => Some(number),
            _ => self.wrong(key, format!("expected a whole number from {} to {}", range.start(), range.end())),
        }
    }

    /// `true` or `false`.
    pub(super) fn flag(&self, key: &'static str) -> Option<bool> {
        match self.value(key)? {
            Value::Bool(flag) => Some(*flag),
            Value::String(text) if text == "true" => Some(true),
            Value::String(text) if text == "false" => Some(false),
            _ => self.wrong(key, "expected true or false"),
        }
    }

    /// A size in bytes: `"64MiB"`, or a number of bytes.
    pub(super) fn size(&self, key: &'static str) -> Option<usize> {
        let bytes = match self.value(key)? {
            Value::String(text) => text.replace('_', "").parse::<bytesize::ByteSize>().ok().map(|size| size.as_u64()),
            Value::Number(number) => number.as_u64(),
            _ => None,
        };
        match bytes.and_then(|bytes| usize::try_from(bytes).ok()) {
            Some(bytes) if bytes > 0 => Some(bytes),
            _ => self.wrong(key, "expected a size such as \"64MiB\" or \"1GB\""),
        }
    }

    /// A time span above zero: `"30s"`.
    pub(super) fn duration(&self, key: &'static str) -> Option<Duration> {
        let duration = match self.value(key)? {
            Value::String(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        match duration {
            Some(duration) if !duration.is_zero() => Some(duration),
            _ => self.wrong(key, "expected a time with its unit, such as \"30s\", \"500ms\" or \"2m\""),
        }
    }

    /// One of a few words.
    pub(super) fn choice<T: Copy>(&self, key: &'static str, choices: &[(&'static str, T)]) -> Option<T> {
        let found = match self.value(key)? {
            Value::String(word) => word.as_str(),
            _ => "",
        };
        if let Some((_, choice)) = choices.iter().find(|(word, _)| *word == found) {
            return Some(*choice);
        }
        let words: Vec<String> = choices.iter().map(|(word, _)| format!("{word:?}")).collect();
        let near = match nearest(found, choices.iter().map(|(word, _)| *word)) {
            Some(near) => format!("; did you mean {near:?}?"),
            None => String::new(),
        };
        self.wrong(key, format!("expected {}{near}", words.join(" or ")))
    }

    /// Notes that the key's value is wrong.
    pub(super) fn wrong<T>(&self, key: &str, problem: impl Into<String>) -> Option<T> {
        self.mistakes.add(&join(&self.name, key), self.written(key), problem);
        None
    }

    /// Notes that a key that is somebody else's has no value of a form that a setting has.
    pub(super) fn valueless(&self, key: &str, written: &Value) {
        self.mistakes.add_valueless(&self.name, key, written);
    }

    /// Notes that the value of a key that is somebody else's is wrong.
    pub(super) fn refused(&self, key: &str, written: &Value, problem: impl Into<String>) {
        self.mistakes.add(&join(&self.name, key), Some(written), problem);
    }

    /// Notes that something inside the key's value is wrong, which the problem names by itself.
    pub(super) fn wrong_inside<T>(&self, key: &str, problem: impl Into<String>) -> Option<T> {
        self.mistakes.add(&join(&self.name, key), None, problem);
        None
    }

    /// Notes that the key is not there. Where the whole table is not there, that was noted instead.
    pub(super) fn missing<T>(&self, key: &str, expected: impl AsRef<str>) -> Option<T> {
        self.table?;
        self.mistakes.add(&join(&self.name, key), None, format!("missing; {}", expected.as_ref()));
        None
    }

    /// Every key with its value, for tables whose keys are somebody else's; all count as asked for.
    pub(super) fn entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.table.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
    }

    /// Every key with its value as it is written, in the order of [`entries`](Self::entries).
    pub(super) fn written_entries(&self) -> impl Iterator<Item = (&'a str, &'a Value)> {
        self.written.into_iter().flatten().map(|(key, value)| (key.as_str(), value))
    }

    /// Notes the keys that nobody asked for. To be called when all were read.
    pub(super) fn finish(&self) {
        let asked = self.asked.borrow();
        for (key, value) in self.entries().filter(|(key, _)| !asked.contains(key)) {
            self.mistakes.add_unknown(&self.name, key, value, asked.clone());
        }
    }

    fn written(&self, key: &str) -> Option<&'a Value> {
        self.written.and_then(|table| table.get(key))
    }
}

/// A number, or text of one: variables are text, and `1_000_000` is text in YAML.
pub(super) fn whole_number(value: &Value) -> Option<i64> {
    match value {
        Value::Number(number) => number.as_i64(),
        Value::String(text) => text.replace('_', "").parse().ok(),
        _ => None,
    }
}
