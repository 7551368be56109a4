//! `rdp schema`: samples the topics and prints the landing schema to paste into the config.

use std::collections::BTreeMap;

use rdp_elt::config::{Config, literal};
use rdp_elt::kafka::Cluster;
use rdp_elt::load::{InferredSchema, infer_schema};
use rdp_elt::{Error, KafkaStreamRecord, Schema, TopicPartition};
use serde_json::{Map, Value};

use super::poll::{look, look_at};
use super::{blocking, shell_word};
use crate::args::SchemaOf;
use crate::exit::Failure;
use crate::number::counted;
use crate::output;
use crate::screen::Screen;

pub(super) async fn run(args: &SchemaOf, screen: &Screen) -> Result<(), Failure> {
    let config = Config::source_from_path(&args.file.config)?;
    let records = sample(&config, args.samples).await?;
    let samples = by_topic(&records);
    if samples.is_empty() {
        return Err(Error::config(format!("sample {}: there is no record with a value", config.topics().join(", ")))
            .with_help("produce a few records first, or set source.start to where there are some")
            .into());
    }
    let mut proposals = Vec::new();
    for (topic, samples) in samples {
        let proposal = Proposal::of(topic, samples)?;
        proposal.tell(screen);
        proposals.push(proposal);
    }
    match (screen.output().is_for_people(), proposals.as_slice()) {
        (true, [one]) => output::text(&one.as_section("load"))?,
        (true, many) => {
            let sections = many.iter().map(|of| of.as_section(&section_of(of.topic)));
            output::text(&sections.collect::<Vec<_>>().join("\n"))?;
        }
        (false, [one]) => screen.output().object(&one.fields)?,
        (false, many) => {
            let by_topic: BTreeMap<&str, &Vec<_>> = many.iter().map(|of| (of.topic, &of.fields)).collect();
            screen.output().object(&by_topic)?;
        }
    }
    let path = shell_word(&args.file.config);
    let samples = counted(proposals.iter().map(|of| of.inferred.sample_count).sum(), "sample");
    let unsampled = config.topics().iter().filter(|topic| !proposals.iter().any(|of| of.topic == topic.as_str()));
    let unsampled: Vec<&str> = unsampled.filter(|topic| !topic.starts_with('^')).map(String::as_str).collect();
    if !unsampled.is_empty() {
        screen.say(format_args!("no sample of {}: look at more with --samples", unsampled.join(", ")));
    }
    screen.say(format_args!("from {samples}; paste it into {path}, then: rdp check {path}"));
    Ok(())
}

/// So many records of each topic.
pub(super) async fn sample(config: &Config, count: usize) -> Result<Vec<KafkaStreamRecord>, Failure> {
    let source = config.peek_source();
    if !config.source_config().partitions().is_empty() {
        return look(config, count).await;
    }
    let asked = source.clone();
    let topics = blocking(move || Cluster::connect(&asked)?.topics()).await?;
    let mut records = Vec::new();
    for topic in topics {
        let partitions = (0..topic.partition_count).map(|of| TopicPartition::new(topic.name.clone(), of));
        let source = source.clone().partitions(partitions);
        records.extend(look_at(config, source, topic.name.to_string(), count).await?);
    }
    Ok(records)
}

/// The values of each topic that has some.
pub(super) fn by_topic(records: &[KafkaStreamRecord]) -> BTreeMap<&str, Vec<&[u8]>> {
    let mut samples = BTreeMap::<&str, Vec<&[u8]>>::new();
    for record in records {
        samples.entry(&record.topic).or_default().extend(record.value.as_deref());
    }
    samples.retain(|_, values| !values.is_empty());
    samples
}

/// The name of the section that is about one topic.
pub(super) fn section_of(topic: &str) -> String {
    format!("load.topics.{}", escaped(&Value::from(topic)))
}

/// What is proposed for one topic.
pub(super) struct Proposal<'a> {
    topic: &'a str,
    inferred: InferredSchema,
    fields: Vec<Map<String, Value>>,
}

impl<'a> Proposal<'a> {
    pub(super) fn of(topic: &'a str, samples: Vec<&[u8]>) -> Result<Self, Error> {
        let sample_count = samples.len() as u64;
        let inferred = infer_schema(samples)?;
        if inferred.schema.is_empty() {
            let seen = counted(sample_count, "sample");
            return Err(Error::config(format!(
                "propose a schema for {topic}: none of {seen} has a field that a column could be made of"
            ))
            .with_help("write format = \"raw\" under [load]: values land as bytes; or look at more with --samples"));
        }
        Ok(Proposal { topic, fields: fields(&inferred.schema)?, inferred })
    }

    pub(super) fn tell(&self, screen: &Screen) {
        if self.inferred.not_json_count > 0 {
            let others = counted(self.inferred.not_json_count, "sample");
            screen.say(format_args!("{others} beside these are no JSON objects: such records are quarantined"));
        }
        if !self.inferred.left_out.is_empty() {
            screen.say(format_args!(
                "left out, since the name is empty or a sample has it twice: {}",
                self.inferred.left_out.join(", ")
            ));
        }
    }

    /// The section of this name, with one field a line.
    pub(super) fn as_section(&self, section: &str) -> String {
        as_toml(section, &self.fields)
    }

    pub(super) fn column_count(&self) -> u64 {
        self.fields.len() as u64
    }
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

/// The section with one field a line. JSON's text and flags are TOML's too, but for one sign that TOML wants escaped.
fn as_toml(section: &str, fields: &[Map<String, Value>]) -> String {
    let lines: String = fields
        .iter()
        .map(|field| {
            let pairs: Vec<String> = field.iter().map(|(key, value)| format!("{key} = {}", escaped(value))).collect();
            format!("  {{ {} }},\n", pairs.join(", "))
        })
        .collect();
    format!("[{section}]\nformat = \"json\"\nschema = [\n{lines}]\n")
}

pub(super) fn escaped(value: &Value) -> String {
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
            as_toml("load", &fields),
            "[load]\nformat = \"json\"\nschema = [\n  { name = \"order_id\", type = \"int64\" },\n  \
             { name = \"city\", type = \"utf8\", path = \"a.\\\"b\\\"\" },\n]\n"
        );
    }
}
