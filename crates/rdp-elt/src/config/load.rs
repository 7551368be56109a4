//! `[load]`: how payloads become rows.

use std::path::Path;

use serde_json::Value;

use super::mistake::told;
use super::section::Section;
use super::{Completeness, parse_file};
use crate::error::Result;
use crate::load::{Format, LoadOptions, OnError, RecordLoader, UnknownFields};
use crate::schema::Schema;

/// Reads `[load]`. With no schema the format is raw.
pub(super) fn read(
    section: &Section<'_>,
    completeness: Completeness,
    folder: &Path,
    variable: &dyn Fn(&str) -> Option<String>,
) -> Option<LoadOptions> {
    let schema = read_schema(section, folder, variable);
    let has_schema = section.has("schema") || section.has("schema_file");
    let format = section.choice("format", &[("json", Format::Json), ("raw", Format::Raw)]);
    let unknown_fields = section.choice(
        "unknown_fields",
        &[("ignore", UnknownFields::Ignore), ("keep", UnknownFields::Keep), ("quarantine", UnknownFields::Quarantine)],
    );
    let on_error = section.choice("on_error", &[("quarantine", OnError::Quarantine), ("fail", OnError::Fail)]);
    let keep_value = section.flag("keep_value");
    section.finish();

    if matches!(format, Some(Format::Json)) && !has_schema && completeness == Completeness::Whole {
        section.missing::<()>("schema", WHERE_FROM);
    }
    if matches!(format, Some(Format::Raw)) && has_schema {
        section.wrong::<()>("format", "raw records have no fields; leave schema out, or write format = \"json\"");
    }
    let by_schema = if has_schema { Format::Json } else { Format::Raw };
    let is_read = !has_schema || schema.is_some();
    let options = LoadOptions {
        format: format.unwrap_or(by_schema),
        schema: schema.unwrap_or_default(),
        on_error: on_error.unwrap_or(OnError::Quarantine),
        unknown_fields: unknown_fields.unwrap_or(UnknownFields::Ignore),
        keep_value: keep_value.unwrap_or(false),
    };
    // What does not go together is told once: here only where nothing else was wrong with it.
    let fits_format = matches!(options.format, Format::Json) == has_schema;
    let is_whole = completeness == Completeness::Whole;
    if is_whole
        && is_read
        && fits_format
        && let Err(error) = RecordLoader::new(&options)
    {
        let key = if section.has("schema_file") { "schema_file" } else { "schema" };
        return section.wrong_inside(key, told(&error));
    }
    Some(options)
}

fn read_schema(section: &Section<'_>, folder: &Path, variable: &dyn Fn(&str) -> Option<String>) -> Option<Schema> {
    let inline = section.value("schema");
    let file = section.text("schema_file", "a path, from this file's folder on");
    let (key, fields) = match (inline, file) {
        (Some(_), Some(_)) => {
            return section.wrong("schema_file", "the schema is given twice; leave one of the two out");
        }
        (Some(fields), None) => ("schema", fields.clone()),
        (None, Some(file)) => match schema_in(&folder.join(file)) {
            Ok(fields) => ("schema_file", section.expanded("schema_file", &fields, variable)),
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
