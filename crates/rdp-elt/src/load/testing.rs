//! Loads single payloads for the tests of this room.

use arrow::array::{Array, AsArray};
use arrow::compute::cast;
use arrow::datatypes::DataType;
use arrow::util::display::{ArrayFormatter, FormatOptions};

use super::{Format, LoadOptions, LoadedRows, OnError, RecordLoader, UnknownFields};
use crate::offset::TopicPartition;
use crate::record::{KafkaStreamRecord, RecordHeader, RecordView};
use crate::schema::{RDP_ERROR, Schema};

/// Options for the json format under a schema in its JSON form.
pub(super) fn json_options(schema: &str) -> LoadOptions {
    let schema = Schema::from_json(schema).expect("the test's schema is one");
    LoadOptions { format: Format::Json, schema, ..LoadOptions::default() }
}

/// Options for one field `a` of this type.
pub(super) fn one_field(data_type: &str) -> LoadOptions {
    json_options(&serde_json::json!([{"name": "a", "type": data_type}]).to_string())
}

pub(super) fn keeping(options: LoadOptions, unknown_fields: UnknownFields) -> LoadOptions {
    LoadOptions { unknown_fields, ..options }
}

pub(super) fn failing(options: LoadOptions) -> LoadOptions {
    LoadOptions { on_error: OnError::Fail, ..options }
}

pub(super) fn record(offset: i64, value: Option<&[u8]>) -> KafkaStreamRecord {
    KafkaStreamRecord {
        topic: "orders".into(),
        partition: 3,
        offset,
        timestamp: Some(1_700_000_000_000),
        key: None,
        headers: Vec::<RecordHeader>::new(),
        value: value.map(<[u8]>::to_vec),
    }
}

pub(super) fn load(options: &LoadOptions, records: &[KafkaStreamRecord]) -> LoadedRows {
    let mut loader = RecordLoader::new(options).expect("the test's options are sound");
    loader.load(&TopicPartition::new("orders", 3), &mut views(records)).expect("the run loads")
}

pub(super) fn views(records: &[KafkaStreamRecord]) -> impl Iterator<Item = RecordView<'_>> {
    records.iter().map(KafkaStreamRecord::as_view)
}

pub(super) fn load_payloads<P: AsRef<[u8]>>(options: &LoadOptions, payloads: &[P]) -> LoadedRows {
    let records: Vec<_> =
        payloads.iter().enumerate().map(|(offset, payload)| record(offset as i64, Some(payload.as_ref()))).collect();
    load(options, &records)
}

/// What became of one payload: the text of column `a` (`None` for null), or the reason why it is quarantined.
pub(super) fn landed(data_type: &str, payload: impl AsRef<[u8]>) -> Result<Option<String>, String> {
    let loaded = load_payloads(&one_field(data_type), &[payload]);
    match error(&loaded, 0) {
        Some(reason) => Err(reason),
        None => Ok(cell(&loaded, "a", 0)),
    }
}

pub(super) fn error(loaded: &LoadedRows, row: usize) -> Option<String> {
    let errors = loaded.rows.column_by_name(RDP_ERROR).expect("every landing has it").as_string::<i32>().clone();
    errors.is_valid(row).then(|| errors.value(row).to_owned())
}

pub(super) fn cell(loaded: &LoadedRows, column: &str, row: usize) -> Option<String> {
    let mut array = loaded.rows.column_by_name(column).expect("the column is there").clone();
    if let DataType::Timestamp(unit, Some(_)) = array.data_type() {
        // Arrow's text form knows zones by their offset only.
        array = cast(&array, &DataType::Timestamp(*unit, Some("+00:00".into()))).expect("it is the same type");
    }
    let formatter = ArrayFormatter::try_new(&array, &FormatOptions::new()).expect("the type has a text form");
    array.is_valid(row).then(|| formatter.value(row).to_string())
}
