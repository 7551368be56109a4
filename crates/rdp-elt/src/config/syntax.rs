//! From text in one of three syntaxes to one plain tree.
//!
//! One reader for all three, so that they cannot differ: keys are text (YAML's `0: 120` too), a key that stands twice is
//! a mistake, and TOML's own dates become RFC 3339 text.

use std::fmt;
use std::path::Path;

use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::error::{Error, Result};
use crate::kafka::named;

/// What a config's text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ConfigSyntax {
    /// TOML.
    Toml,
    /// YAML.
    Yaml,
    /// JSON.
    Json,
}

impl ConfigSyntax {
    /// The syntax that a file's ending tells.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the ending is none of `.toml`, `.yaml`, `.yml`, `.json`.
    pub fn of_path(path: &Path) -> Result<Self> {
        match path.extension().and_then(|ending| ending.to_str()) {
            Some("toml") => Ok(ConfigSyntax::Toml),
            Some("yaml" | "yml") => Ok(ConfigSyntax::Yaml),
            Some("json") => Ok(ConfigSyntax::Json),
            _ => Err(Error::config(format!("read {}: the ending does not tell the syntax", path.display()))
                .with_help("give the file an ending of .toml, .yaml, .yml or .json")),
        }
    }

    /// Reads text into a tree.
    pub(super) fn parse(self, text: &str) -> Result<Value, SyntaxError> {
        // What editors of one system put before a text belongs to none of the three.
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        if let Some(place) = too_deep(text) {
            let message = format!("more than {DEEPEST} brackets stand open");
            return Err(SyntaxError { syntax: self, place: Some(place), message });
        }
        let tree = match self {
            ConfigSyntax::Toml => toml::from_str::<Tree>(text).map_err(|error| toml_error(text, &error))?,
            ConfigSyntax::Yaml => serde_norway::from_str::<Tree>(text).map_err(|error| SyntaxError {
                syntax: self,
                place: error.location().map(|at| (at.line(), at.column())),
                message: error.to_string(),
            })?,
            ConfigSyntax::Json => serde_json::from_str::<Tree>(text).map_err(|error| SyntaxError {
                syntax: self,
                place: Some((error.line(), error.column())),
                message: error.to_string(),
            })?,
        };
        // An empty YAML file is null; an empty config is what it means.
        Ok(if tree.0.is_null() { Value::Object(Map::new()) } else { tree.0 })
    }
}

impl fmt::Display for ConfigSyntax {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(match self {
            ConfigSyntax::Toml => "TOML",
            ConfigSyntax::Yaml => "YAML",
            ConfigSyntax::Json => "JSON",
        })
    }
}

/// Why a text is not of its syntax. The offending line itself is left out: a password may stand in it.
pub(super) struct SyntaxError {
    syntax: ConfigSyntax,
    place: Option<(usize, usize)>,
    message: String,
}

impl SyntaxError {
    /// The error, where `doing` says what was being read.
    pub(super) fn into_error(self, doing: &str) -> Error {
        let place = match self.place {
            Some((line, column)) => format!(", line {line}, column {column}"),
            None => String::new(),
        };
        let message = self.message.replace('\n', " ");
        // serde_json and serde_norway end their text with the place; once is enough.
        let message = match message.find(" at line ") {
            Some(at) if self.place.is_some() => message[..at].to_owned(),
            _ => message,
        };
        Error::config(format!("{doing}: not {}{place}: {message}", self.syntax))
            .with_help("mend the syntax there; strings need quotes in TOML and JSON")
    }
}

/// The error's own text without the excerpt that toml's `Display` adds.
fn toml_error(text: &str, error: &toml::de::Error) -> SyntaxError {
    let place = error.span().and_then(|span| text.get(..span.start)).map(|before| {
        let line = before.matches('\n').count() + 1;
        let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
        (line, column)
    });
    SyntaxError { syntax: ConfigSyntax::Toml, place, message: error.message().to_owned() }
}

/// Where more brackets stand open than any config has, if anywhere: YAML's reader takes its time over them, which grows with
/// their square, before it counts them. Brackets in texts and comments count too, and close as well.
fn too_deep(text: &str) -> Option<(usize, usize)> {
    let mut open = 0_usize;
    for (number, line) in text.lines().enumerate() {
        for (place, letter) in line.chars().enumerate() {
            match letter {
                '[' | '{' => open += 1,
                ']' | '}' => open = open.saturating_sub(1),
                _ => {}
            }
            if open > DEEPEST {
                return Some((number + 1, place + 1));
            }
        }
    }
    None
}

/// The parsers refuse a depth of 128 by themselves.
const DEEPEST: usize = 1_000;

/// A JSON tree that refuses keys standing twice.
struct Tree(Value);

impl<'de> Deserialize<'de> for Tree {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(TreeVisitor).map(Tree)
    }
}

struct TreeVisitor;

impl<'de> Visitor<'de> for TreeVisitor {
    type Value = Value;

    fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("a table, a list, text, a number, true, false or null")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        // JSON has no NaN and no infinity; as text they are refused with the key's own message.
        Ok(serde_json::Number::from_f64(value).map_or_else(|| Value::String(value.to_string()), Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(value.into())
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_none<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_some<D: Deserializer<'de>>(self, from: D) -> Result<Value, D::Error> {
        Tree::deserialize(from).map(|tree| tree.0)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Value, A::Error> {
        let mut list = Vec::new();
        while let Some(Tree(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(list.into())
    }

    fn visit_map<A: MapAccess<'de>>(self, mut entries: A) -> Result<Value, A::Error> {
        let mut table = Map::new();
        while let Some(Key(key)) = entries.next_key()? {
            let Tree(value) = entries.next_value()?;
            if key == TOML_DATE {
                return Ok(value);
            }
            if table.contains_key(&key) {
                return Err(de::Error::custom(format_args!("the key {:?} stands twice in one table", named(&key))));
            }
            table.insert(key, value);
        }
        Ok(table.into())
    }
}

/// A table's key, as text whatever the syntax has it as.
struct Key(String);

impl<'de> Deserialize<'de> for Key {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        match Tree::deserialize(from)?.0 {
            Value::String(key) => Ok(Key(key)),
            Value::Number(key) => Ok(Key(key.to_string())),
            Value::Bool(key) => Ok(Key(key.to_string())),
            // What it holds stays untold: a secret may stand in it.
            Value::Null => Err(de::Error::custom("null is not a key")),
            Value::Array(_) => Err(de::Error::custom("a list is not a key")),
            Value::Object(_) => Err(de::Error::custom("a table is not a key")),
        }
    }
}

/// How the toml crate passes a date through serde: a table with this one key.
const TOML_DATE: &str = "$__toml_private_datetime";
