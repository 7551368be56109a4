//! `rdp schema`: samples the topics and prints the landing schema to paste into the config.

use rdp_elt::config::{Config, literal};
use rdp_elt::load::infer_schema;
use rdp_elt::{Error, Schema};
use serde_json::{Map, Value};

use super::poll::look;
use super::shell_word;
use crate::args::SchemaOf;
use crate::exit::Failure;
use crate::number::counted;
use crate::output;
use crate::screen::Screen;

pub(super) async fn run(args: &SchemaOf, screen: &Screen) -> Result<(), Failure> {
    let config = Config::source_from_path(&args.file.config)?;
    let records = look(&config, args.samples).await?;
    let samples: Vec<&[u8]> = records.iter().filter_map(|record| record.value.as_deref()).collect();
    if samples.is_empty() {
        return Err(Error::config(format!("sample {}: there is no record with a value", config.topics().join(", ")))
            .with_help("produce a few records first, or set source.start to where there are some")
            .into());
    }
    let samples_seen = samples.len() as u64;
    let inferred = infer_schema(samples)?;
    if inferred.schema.is_empty() {
        return Err(Error::config(format!(
            "propose a schema for {}: none of {} has a field that a column could be made of",
            config.topics().join(", "),
            counted(samples_seen, "sample")
        ))
        .with_help("write format = \"raw\" under [load]: values land as bytes; or look at more with --samples")
        .into());
    }
    let fields = fields(&inferred.schema)?;
    match screen.output().is_for_people() {
        true => output::text(&as_toml(&fields))?,
        false => screen.output().object(&fields)?,
    }
    if inferred.not_json_count > 0 {
        let others = counted(inferred.not_json_count, "sample");
        screen.say(format_args!("{others} beside these are no JSON objects: such records are quarantined"));
    }
    if !inferred.left_out.is_empty() {
        screen.say(format_args!(
            "left out, since the name is empty or a sample has it twice: {}",
            inferred.left_out.join(", ")
        ));
    }
    let path = shell_word(&args.file.config);
    let samples = counted(inferred.sample_count, "sample");
    screen.say(format_args!("from {samples}; paste it into {path}, then: rdp check {path}"));
    Ok(())
}

/// The fields as a config has them, in which a name may look like a variable.
fn fields(schema: &Schema) -> Result<Vec<Map<String, Value>>, Error> {
    let mut fields: Vec<Map<String, Value>> = serde_json::from_str(&schema.to_json())
        .map_err(|error| Error::internal("read a schema's own form").with_source(error))?;
    for value in fields.iter_mut().flat_map(Map::values_mut) {
        if let Value::String(text) = value {
            *text = literal(text);
        }
    }
    Ok(fields)
}

/// `[load]` with one field a line. JSON's text and flags are TOML's too, but for one sign that TOML wants escaped.
fn as_toml(fields: &[Map<String, Value>]) -> String {
    let lines: String = fields
        .iter()
        .map(|field| {
            let pairs: Vec<String> = field.iter().map(|(key, value)| format!("{key} = {}", escaped(value))).collect();
            format!("  {{ {} }},\n", pairs.join(", "))
        })
        .collect();
    format!("[load]\nformat = \"json\"\nschema = [\n{lines}]\n")
}

fn escaped(value: &Value) -> String {
    value.to_string().replace('\u{7f}', "\\u007F")
}

#[cfg(test)]
mod property;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_printed_schema_is_toml_to_paste() {
        let fields: Vec<Map<String, Value>> = serde_json::from_str(
            r#"[{"name":"order_id","type":"int64"},{"name":"city","type":"utf8","path":"a.\"b\""}]"#,
        )
        .expect("fields");
        assert_eq!(
            as_toml(&fields),
            "[load]\nformat = \"json\"\nschema = [\n  { name = \"order_id\", type = \"int64\" },\n  \
             { name = \"city\", type = \"utf8\", path = \"a.\\\"b\\\"\" },\n]\n"
        );
    }
}
