//! The landing schema: which payload fields land in which columns, and the names of RDP's own columns.
//!
//! A schema is checked once, when it is made; load, sinks and transforms may rely on it afterwards.

mod data_type;
mod field;
mod parse;

use std::collections::BTreeMap;
use std::sync::Arc;

use arrow::datatypes::{Schema as ArrowSchema, SchemaRef};
use serde_json::Value;

use crate::error::{Error, Result};

pub use data_type::DataType;
pub(crate) use data_type::{entry_fields, member_fields};
pub use field::Field;

/// The topic that a row's record came from: utf8.
pub const KAFKA_TOPIC: &str = "_kafka_topic";
/// The partition that a row's record came from: int32.
pub const KAFKA_PARTITION: &str = "_kafka_partition";
/// The offset of a row's record: int64.
pub const KAFKA_OFFSET: &str = "_kafka_offset";
/// The record's timestamp: timestamp(ms, UTC), null where the broker has none.
pub const KAFKA_TIMESTAMP: &str = "_kafka_timestamp";
/// The record's key: binary, null and empty kept apart.
pub const KAFKA_KEY: &str = "_kafka_key";
/// The record's headers: list<struct<name: utf8, value: binary>>, order and repeats kept.
pub const KAFKA_HEADERS: &str = "_kafka_headers";
/// Whether the record has no value at all: bool.
pub const KAFKA_TOMBSTONE: &str = "_kafka_tombstone";
/// The record's value: binary; with the raw format, in quarantined rows, or when asked for.
pub const KAFKA_VALUE: &str = "_kafka_value";
/// Why a row is quarantined: utf8, null where it is not.
pub const RDP_ERROR: &str = "_rdp_error";
/// Payload fields that the schema does not name, as one JSON object: utf8; with `unknown_fields = "keep"` only.
pub const RDP_EXTRA: &str = "_rdp_extra";

/// Which payload fields land, as what, and under which column names.
///
/// The empty schema, which is also the default, names none: it goes with the raw format.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Schema {
    fields: Vec<Field>,
}

impl Schema {
    /// A schema of these fields.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config), naming the field, where a name is empty, used twice or reserved (`_kafka_*`,
    /// `_rdp_*`), where a path does not parse, and where two paths are the same or one leads through the other.
    pub fn new(fields: Vec<Field>) -> Result<Self> {
        let mut names = BTreeMap::new();
        let mut paths: BTreeMap<Vec<String>, &str> = BTreeMap::new();
        for field in &fields {
            check_name(&field.name)?;
            if names.insert(field.name.as_str(), ()).is_some() {
                return Err(Error::config(format!("schema: two fields are named `{}`", field.name))
                    .with_help("give one of them another name; `path` says where its value is in the payload"));
            }
            let path = field.segments()?;
            if let Some(other) = paths.insert(path, &field.name) {
                return Err(Error::config(format!(
                    "schema: fields `{other}` and `{}` both read path `{}`",
                    field.name, field.path
                ))
                .with_help("drop one of the two; a transform can copy a column"));
            }
        }
        // In sorted order a path comes right before the paths that lead through it.
        for ((outer, outer_name), (inner, inner_name)) in paths.iter().zip(paths.iter().skip(1)) {
            if inner.starts_with(outer) {
                return Err(Error::config(format!(
                    "schema: field `{inner_name}` reads path `{}`, which lies inside field `{outer_name}`",
                    inner.join(".")
                ))
                .with_help("land the whole as json or struct<…>, or name only the paths inside it"));
            }
        }
        Ok(Schema { fields })
    }

    /// Reads the JSON form: a list of `{"name": …, "type": …, "path": name, "required": false}`.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where the text is not JSON, and as in [`Schema::from_value`].
    pub fn from_json(text: &str) -> Result<Self> {
        let value = serde_json::from_str(text)
            .map_err(|error| Error::config("read schema: the text is not JSON").with_source(error))?;
        Self::from_value(value)
    }

    /// Reads the JSON form from a value that is parsed already.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config), naming the field and, for a misspelt key or type, the nearest right
    /// spelling; and as in [`Schema::new`].
    pub fn from_value(value: Value) -> Result<Self> {
        let Value::Array(items) = value else {
            return Err(Error::config(format!("schema: expected a list of fields, found {}", field::kind_of(&value)))
                .with_help(r#"write it as [{"name": "order_id", "type": "int64"}, …]"#));
        };
        let fields = items.iter().enumerate().map(|(index, item)| Field::from_value(index, item));
        Self::new(fields.collect::<Result<_>>()?)
    }

    /// The JSON form, as [`Schema::from_json`] reads it; `path` and `required` are left out where they are the default.
    pub fn to_json(&self) -> String {
        Value::Array(self.fields.iter().map(Field::to_value).collect()).to_string()
    }

    /// The fields, in the order of the columns.
    pub fn fields(&self) -> &[Field] {
        &self.fields
    }

    /// Whether it names no field.
    pub fn is_empty(&self) -> bool {
        self.fields.is_empty()
    }

    /// The payload columns as Arrow sees them. All are nullable: a tombstone or a quarantined record has none of them.
    pub fn arrow_schema(&self) -> SchemaRef {
        Arc::new(ArrowSchema::new(self.fields.iter().map(Field::to_arrow).collect::<Vec<_>>()))
    }
}

fn check_name(name: &str) -> Result<()> {
    if name.is_empty() {
        return Err(Error::config("schema: a field's name is empty").with_help("name the column that it lands in"));
    }
    if RESERVED_PREFIXES.iter().any(|prefix| name.starts_with(prefix)) {
        return Err(Error::config(format!("schema: field `{name}` has a name that is reserved for RDP's own columns"))
            .with_help(format!("give it another name and keep where it is read from: \"path\": \"{name}\"")));
    }
    Ok(())
}

/// What the names of RDP's own columns begin with; no payload column's name does.
pub(crate) const RESERVED_PREFIXES: [&str; 2] = ["_kafka_", "_rdp_"];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    fn refused(text: &str) -> Error {
        let error = Schema::from_json(text).expect_err("it is refused");
        assert_eq!(error.kind(), ErrorKind::Config);
        error
    }

    #[test]
    fn the_json_form_round_trips() {
        let text =
            r#"[{"name":"id","type":"int64","required":true},{"name":"city","type":"utf8","path":"address.city"}]"#;
        let schema = Schema::from_json(text).expect("it is a schema");
        assert_eq!(schema.to_json(), text);
        assert_eq!(schema.fields()[1].segments().expect("it parses"), ["address", "city"]);
    }

    #[test]
    fn a_reserved_name_is_refused_and_reading_such_a_path_is_not() {
        assert!(refused(r#"[{"name":"_kafka_offset","type":"int64"}]"#).message().contains("_kafka_offset"));
        assert!(refused(r#"[{"name":"_rdp_anything","type":"int64"}]"#).message().contains("reserved"));
        assert!(Schema::from_json(r#"[{"name":"o","type":"int64","path":"_kafka_offset"}]"#).is_ok());
    }

    #[test]
    fn clashing_names_and_paths_are_refused() {
        assert!(
            refused(r#"[{"name":"a","type":"int64"},{"name":"a","type":"utf8","path":"b"}]"#).message().contains("`a`")
        );
        assert!(
            refused(r#"[{"name":"a","type":"int64"},{"name":"b","type":"utf8","path":"a"}]"#)
                .message()
                .contains("both read")
        );
        let inside = refused(
            r#"[{"name":"x","type":"utf8","path":"a.b"},{"name":"a!","type":"utf8"},{"name":"a","type":"json"}]"#,
        );
        assert!(inside.message().contains("lies inside field `a`"), "{inside}");
        assert!(refused(r#"[{"name":"a","type":"int64","path":"a..b"}]"#).message().contains("`a`"));
        assert!(refused(r#"[{"name":"","type":"int64"}]"#).message().contains("empty"));
    }

    #[test]
    fn a_misspelt_key_is_refused_with_the_nearest_one() {
        let error = refused(r#"[{"name":"a","typ":"int64"}]"#);
        assert!(error.message().contains("`typ`"), "{error}");
        assert!(error.help().is_some_and(|help| help.contains("`type`")), "{error:?}");
    }
}
