//! One field of a landing schema, and its JSON form.

use arrow::datatypes::Field as ArrowField;
use serde_json::{Map, Value};

use super::DataType;
use super::parse::nearest;
use crate::error::{Error, Result};

/// One payload field that lands in a column of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Field {
    /// The column's name.
    pub name: String,
    /// Where the value is in the payload: names joined by dots (`address.city`). A dot or a backslash that belongs to a
    /// name is written after a backslash (`a\.b`). By default the name, taken as one whole.
    pub path: String,
    /// What the value must be; anything else quarantines the record.
    pub data_type: DataType,
    /// Whether null and absent quarantine the record too. Default false.
    pub required: bool,
}

impl Field {
    /// A field that is read from the payload's top level, under its own name, and may be null.
    pub fn new(name: impl Into<String>, data_type: DataType) -> Self {
        let name = name.into();
        Field { path: default_path(&name), name, data_type, required: false }
    }

    /// Reads the value from this dotted path.
    #[must_use]
    pub fn with_path(mut self, path: impl Into<String>) -> Self {
        self.path = path.into();
        self
    }

    /// Quarantines records in which it is null or absent.
    #[must_use]
    pub fn required(mut self) -> Self {
        self.required = true;
        self
    }

    /// The names that its path leads through.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where a name between the dots is empty or a backslash stands before
    /// something else than a dot or a backslash.
    pub fn segments(&self) -> Result<Vec<String>> {
        let refuse = |why: &str| {
            Error::config(format!("schema: field `{}` has path `{}`: {why}", self.name, self.path))
                .with_help(r"write names joined by dots, as in address.city; a dot inside a name as \.")
        };
        let mut segments = vec![String::new()];
        let mut letters = self.path.chars();
        while let Some(letter) = letters.next() {
            let letter = match letter {
                '.' => {
                    segments.push(String::new());
                    continue;
                }
                '\\' => letters
                    .next()
                    .filter(|next| ['.', '\\'].contains(next))
                    .ok_or_else(|| refuse("a backslash stands alone"))?,
                other => other,
            };
            if let Some(last) = segments.last_mut() {
                last.push(letter);
            }
        }
        if segments.iter().any(String::is_empty) {
            return Err(refuse("a name in it is empty"));
        }
        Ok(segments)
    }

    pub(super) fn to_arrow(&self) -> ArrowField {
        ArrowField::new(&self.name, self.data_type.to_arrow(), true)
    }

    pub(super) fn to_value(&self) -> Value {
        let mut object = Map::new();
        object.insert("name".to_owned(), Value::from(self.name.as_str()));
        object.insert("type".to_owned(), Value::from(self.data_type.to_string()));
        if self.path != default_path(&self.name) {
            object.insert("path".to_owned(), Value::from(self.path.as_str()));
        }
        if self.required {
            object.insert("required".to_owned(), Value::from(true));
        }
        Value::Object(object)
    }

    pub(super) fn from_value(index: usize, value: &Value) -> Result<Self> {
        let Value::Object(object) = value else {
            return Err(Error::config(format!("schema: field {index} is {}, not an object", kind_of(value)))
                .with_help(r#"write it as {"name": "order_id", "type": "int64"}"#));
        };
        let label = match object.get("name") {
            Some(Value::String(name)) => format!("`{name}`"),
            _ => format!("{index}"),
        };
        if let Some(key) = object.keys().find(|key| !KEYS.contains(&key.as_str())) {
            return Err(Error::config(format!("schema: field {label} has an unknown key `{key}`")).with_help(format!(
                "did you mean `{}`? a field has the keys {}",
                nearest(key, KEYS),
                KEYS.join(", ")
            )));
        }
        let text = |key: &str| match object.get(key) {
            None => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str())),
            Some(other) => {
                Err(Error::config(format!("schema: field {label}: `{key}` is {}, not a string", kind_of(other))))
            }
        };
        let missing = |key: &str| {
            Error::config(format!("schema: field {label} has no `{key}`"))
                .with_help(r#"a field needs at least a name and a type: {"name": "order_id", "type": "int64"}"#)
        };
        let name = text("name")?.ok_or_else(|| missing("name"))?;
        let data_type = text("type")?.ok_or_else(|| missing("type"))?.parse::<DataType>().map_err(|error| {
            let named = Error::config(format!("schema: field {label}: {}", error.message()));
            match error.help() {
                Some(help) => named.with_help(help),
                None => named,
            }
        })?;
        let required = match object.get("required") {
            None => false,
            Some(Value::Bool(required)) => *required,
            Some(other) => {
                return Err(Error::config(format!(
                    "schema: field {label}: `required` is {}, not true or false",
                    kind_of(other)
                )));
            }
        };
        let path = text("path")?.map_or_else(|| default_path(name), str::to_owned);
        Ok(Field { name: name.to_owned(), path, data_type, required })
    }
}

/// The path of a top-level value of this name: the name, with what a path would split at escaped.
fn default_path(name: &str) -> String {
    name.replace('\\', r"\\").replace('.', r"\.")
}

pub(super) fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a bool",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "a list",
        Value::Object(_) => "an object",
    }
}

const KEYS: &[&str] = &["name", "type", "path", "required"];
