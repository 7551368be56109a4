//! Load for hosts: owned records, or records in JSON, become a [`DataSet`] in one call.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::{Format, LoadOptions, RecordLoader};
use crate::dataset::DataSet;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::TopicPartition;
use crate::record::{KafkaStreamRecord, RecordHeader};
use crate::schema::Schema;

/// Turns records into landing rows: one each, partition by partition, in the order given within each.
///
/// With the empty schema the format is raw, else json; records that do not fit are quarantined in their row.
///
/// # Errors
/// [`Unsupported`](ErrorKind::Unsupported) where one column holds more than 2 GiB.
pub fn elt_load_kafka_records(records: &[KafkaStreamRecord], schema: &Schema) -> Result<DataSet> {
    let format = if schema.is_empty() { Format::Raw } else { Format::Json };
    let mut loader = RecordLoader::new(&LoadOptions { format, schema: schema.clone(), ..LoadOptions::default() })?;
    let mut partitions: BTreeMap<TopicPartition, Vec<&KafkaStreamRecord>> = BTreeMap::new();
    for record in records {
        let partition = TopicPartition { topic: record.topic.clone(), partition: record.partition };
        partitions.entry(partition).or_default().push(record);
    }
    let mut batches = Vec::with_capacity(partitions.len());
    for (partition, records) in &partitions {
        batches.push(loader.load(partition, &mut records.iter().map(|record| record.as_view()))?.rows);
    }
    DataSet::new(loader.schema(), batches)
}

/// Turns records in their JSON form into landing rows, as [`elt_load_kafka_records`] does.
///
/// The form is a list of `{"topic": …, "partition": …, "offset": …, "timestamp": ms, "key": text, "headers": [{"name": …,
/// "value": text}], "value": text}`. `timestamp`, `key`, `headers` and `value` may be null or absent: a tombstone has no
/// value. Bytes that are not UTF-8 come as base64 under `key_base64` and `value_base64` instead.
///
/// # Errors
/// [`Data`](ErrorKind::Data) where the text is not of this form; else as [`elt_load_kafka_records`].
pub fn elt_load_kafka_records_json(records: &str, schema: &Schema) -> Result<DataSet> {
    elt_load_kafka_records(&records_from_json(records)?, schema)
}

/// Reads records in their JSON form, as [`elt_load_kafka_records_json`] describes it.
///
/// # Errors
/// [`Data`](ErrorKind::Data) where the text is not of this form.
pub fn records_from_json(records: &str) -> Result<Vec<KafkaStreamRecord>> {
    let forms: Vec<RecordForm> = serde_json::from_str(records).map_err(|error| {
        Error::new(ErrorKind::Data, format!("read records from JSON: {error}"))
            .with_help(r#"a record is {"topic": "orders", "partition": 0, "offset": 7, "value": "text"}; bytes go in value_base64"#)
    })?;
    forms.into_iter().enumerate().map(|(index, form)| form.into_record(index)).collect()
}

/// Writes records in their JSON form, as [`records_from_json`] reads it: nothing is lost.
pub fn records_to_json(records: &[KafkaStreamRecord]) -> String {
    let forms: Vec<serde_json::Value> =
        records.iter().filter_map(|record| serde_json::to_value(RecordForm::from(record)).ok()).collect();
    serde_json::Value::Array(forms).to_string()
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RecordForm {
    topic: String,
    partition: i32,
    offset: i64,
    #[serde(default)]
    timestamp: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_base64: Option<String>,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "null_as_empty")]
    headers: Vec<HeaderForm>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct HeaderForm {
    name: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    value_base64: Option<String>,
}

impl RecordForm {
    fn into_record(self, index: usize) -> Result<KafkaStreamRecord> {
        let headers = self.headers.into_iter().map(|header| {
            Ok(RecordHeader { value: bytes(header.value, header.value_base64, index, "value")?, name: header.name })
        });
        Ok(KafkaStreamRecord {
            headers: headers.collect::<Result<_>>()?,
            topic: self.topic.into(),
            partition: self.partition,
            offset: self.offset,
            timestamp: self.timestamp,
            key: bytes(self.key, self.key_base64, index, "key")?,
            value: bytes(self.value, self.value_base64, index, "value")?,
        })
    }
}

impl From<&KafkaStreamRecord> for RecordForm {
    fn from(record: &KafkaStreamRecord) -> Self {
        let (key, key_base64) = text_or_base64(record.key.as_deref());
        let (value, value_base64) = text_or_base64(record.value.as_deref());
        let headers = record.headers.iter().map(|header| {
            let (value, value_base64) = text_or_base64(header.value.as_deref());
            HeaderForm { name: header.name.clone(), value, value_base64 }
        });
        RecordForm {
            headers: headers.collect(),
            topic: record.topic.to_string(),
            partition: record.partition,
            offset: record.offset,
            timestamp: record.timestamp,
            key,
            key_base64,
            value,
            value_base64,
        }
    }
}

fn bytes(text: Option<String>, base64: Option<String>, index: usize, name: &str) -> Result<Option<Vec<u8>>> {
    let refuse = |why: &str| Error::new(ErrorKind::Data, format!("read records from JSON: record {index}: {why}"));
    match (text, base64) {
        (Some(_), Some(_)) => {
            Err(refuse(&format!("`{name}` and `{name}_base64` are both there")).with_help("give one of the two"))
        }
        (Some(text), None) => Ok(Some(text.into_bytes())),
        (None, Some(base64)) => STANDARD
            .decode(base64)
            .map(Some)
            .map_err(|error| refuse(&format!("`{name}_base64` is not base64 with padding")).with_source(error)),
        (None, None) => Ok(None),
    }
}

fn text_or_base64(bytes: Option<&[u8]>) -> (Option<String>, Option<String>) {
    match bytes.map(|bytes| (std::str::from_utf8(bytes), bytes)) {
        None => (None, None),
        Some((Ok(text), _)) => (Some(text.to_owned()), None),
        Some((Err(_), bytes)) => (None, Some(STANDARD.encode(bytes))),
    }
}

fn null_as_empty<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Vec<HeaderForm>, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
