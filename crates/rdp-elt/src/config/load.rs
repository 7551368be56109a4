//! `[load]`: how payloads become rows.

use std::path::Path;

use serde_json::Value;

use super::mistake::{nearest, told};
use super::section::Section;
use super::{Completeness, parse_file};
use crate::error::Result;
use crate::kafka::pattern_means;
use crate::load::{Format, LoadOptions, LoadPlan, OnError, RecordLoader, UnknownFields};
use crate::schema::Schema;

/// What is around the section.
pub(super) struct Around<'a> {
    pub(super) completeness: Completeness,
    /// From where `schema_file` is looked up.
    pub(super) folder: &'a Path,
    pub(super) variable: &'a dyn Fn(&str) -> Option<String>,
    /// The topics that the source names, where it could be read.
    pub(super) topics: Option<&'a [String]>,
}

/// Reads `[load]` with `[load.topics.NAME]` in it. Where nothing says otherwise the format is raw without a schema, and json
/// with one.
pub(super) fn read(section: &Section<'_>, around: &Around<'_>) -> Option<LoadPlan> {
    let others = Written::read(section, around);
    let own = section.section("topics").sections();
    section.finish();
    let names: Vec<&str> = own.iter().map(|(topic, _)| *topic).collect();
    // What nobody falls back on need not be whole.
    let is_needed = around.topics.is_none_or(|topics| topics.iter().any(|topic| !names.contains(&topic.as_str())));
    let fallback = if is_needed { others.clone().into_options(section, around) } else { Some(LoadOptions::default()) };
    let (mut plan, mut is_right) = (LoadPlan::new(fallback.clone().unwrap_or_default()), fallback.is_some());
    for (topic, section) in own {
        let options = Written::read(&section, around).over(&others).into_options(&section, around);
        section.finish();
        let is_read = around.topics.is_none_or(|topics| topics.iter().any(|name| means(name, topic)));
        if !is_read {
            let names = around.topics.unwrap_or_default();
            let near = nearest(topic, names.iter().map(String::as_str));
            let help =
                near.map_or_else(|| format!("it has {}", names.join(", ")), |near| format!("did you mean {near}?"));
            section.wrong_whole(format!("source.topics has no such topic; {help}"));
        }
        is_right &= is_read && options.is_some();
        plan = plan.with_topic(topic, options.unwrap_or_default());
    }
    is_right.then_some(plan)
}

/// One section as it is written: what it leaves out is `None`.
#[derive(Clone, Default)]
struct Written {
    /// `Some(None)` where it is there and wrong.
    schema: Option<Option<Schema>>,
    /// The key that has the schema.
    schema_key: &'static str,
    format: Option<Format>,
    unknown_fields: Option<UnknownFields>,
    on_error: Option<OnError>,
    keep_value: Option<bool>,
}

impl Written {
    fn read(section: &Section<'_>, around: &Around<'_>) -> Self {
        let schema = read_schema(section, around);
        let has_schema = section.has("schema") || section.has("schema_file");
        Written {
            schema: has_schema.then_some(schema),
            schema_key: if section.has("schema_file") { "schema_file" } else { "schema" },
            format: section.choice("format", &[("json", Format::Json), ("raw", Format::Raw)]),
            unknown_fields: section.choice(
                "unknown_fields",
                &[
                    ("ignore", UnknownFields::Ignore),
                    ("keep", UnknownFields::Keep),
                    ("quarantine", UnknownFields::Quarantine),
                ],
            ),
            on_error: section.choice("on_error", &[("quarantine", OnError::Quarantine), ("fail", OnError::Fail)]),
            keep_value: section.flag("keep_value"),
        }
    }

    /// The same with what it leaves out taken from another. Format and schema go together.
    fn over(self, others: &Written) -> Self {
        let others = others.clone();
        let (schema, schema_key, format) = match (&self.schema, self.format) {
            (None, None) => (others.schema, others.schema_key, others.format),
            (None, Some(Format::Json)) => (others.schema, others.schema_key, self.format),
            _ => (self.schema, self.schema_key, self.format),
        };
        Written {
            schema,
            schema_key,
            format,
            unknown_fields: self.unknown_fields.or(others.unknown_fields),
            on_error: self.on_error.or(others.on_error),
            keep_value: self.keep_value.or(others.keep_value),
        }
    }

    fn into_options(self, section: &Section<'_>, around: &Around<'_>) -> Option<LoadOptions> {
        let (has_schema, is_whole) = (self.schema.is_some(), around.completeness == Completeness::Whole);
        if self.format == Some(Format::Json) && !has_schema && is_whole {
            return section.missing("schema", WHERE_FROM);
        }
        if self.format == Some(Format::Raw) && has_schema {
            return section.wrong("format", "raw records have no fields; leave schema out, or write format = \"json\"");
        }
        let by_schema = if has_schema { Format::Json } else { Format::Raw };
        let options = LoadOptions {
            format: self.format.unwrap_or(by_schema),
            // A wrong one was told where it was read.
            schema: self.schema.unwrap_or(Some(Schema::default()))?,
            on_error: self.on_error.unwrap_or_default(),
            unknown_fields: self.unknown_fields.unwrap_or_default(),
            keep_value: self.keep_value.unwrap_or(false),
        };
        if is_whole && let Err(error) = RecordLoader::new(&options) {
            return section.wrong_inside(self.schema_key, told(&error));
        }
        Some(options)
    }
}

/// Whether a name or a pattern of the source means this topic.
fn means(name: &str, topic: &str) -> bool {
    name == topic || pattern_means(name, topic)
}

fn read_schema(section: &Section<'_>, around: &Around<'_>) -> Option<Schema> {
    let inline = section.value("schema");
    let file = section.text("schema_file", "a path, from this file's folder on");
    let (key, fields) = match (inline, file) {
        (Some(_), Some(_)) => {
            return section.wrong("schema_file", "the schema is given twice; leave one of the two out");
        }
        (Some(fields), None) => ("schema", fields.clone()),
        (None, Some(file)) => match schema_in(&around.folder.join(file)) {
            Ok(fields) => ("schema_file", section.expanded("schema_file", &fields, around.variable)),
            Err(error) => return section.wrong("schema_file", told(&error)),
        },
        (None, None) => return None,
    };
    match Schema::from_value(fields) {
        Ok(schema) => Some(schema),
        Err(error) => {
            // The value is long and the message names the field: the key alone is enough.
            section.wrong_inside(key, told(&error))
        }
    }
}

/// The fields in a schema file: the list itself, or a table with `schema`, which is what `rdp schema` prints.
fn schema_in(path: &Path) -> Result<Value> {
    Ok(match parse_file("read schema", path)? {
        Value::Object(mut table) if table.contains_key("schema") => table.remove("schema").unwrap_or_default(),
        // `rdp schema` prints the section that the list belongs to.
        Value::Object(mut table) => match table.get_mut("load").and_then(Value::as_object_mut) {
            Some(load) if load.contains_key("schema") => load.remove("schema").unwrap_or_default(),
            _ => Value::Object(table),
        },
        fields => fields,
    })
}

const WHERE_FROM: &str = "expected the landing schema, such as [{ name = \"order_id\", type = \"int64\" }]; \
     `rdp schema` prints one from the topic, and format = \"raw\" does without";
