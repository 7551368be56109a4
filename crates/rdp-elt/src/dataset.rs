//! Rows that have been loaded or landed: one schema, any number of Arrow record batches.

use std::sync::Arc;

use arrow::array::{Array, AsArray, BinaryViewArray, Int64Array, RecordBatch};
use arrow::compute::cast;
use arrow::datatypes::{DataType as ArrowType, FieldRef, SchemaRef, TimeUnit};
use arrow::error::ArrowError;
use arrow_json::writer::{Encoder, EncoderFactory, EncoderOptions, JsonArray, NullableEncoder, WriterBuilder};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chrono::{DateTime, SecondsFormat};

use crate::error::{Error, ErrorKind, Result};

/// Rows under one schema.
#[derive(Debug, Clone, PartialEq)]
pub struct DataSet {
    schema: SchemaRef,
    batches: Vec<RecordBatch>,
}

impl DataSet {
    /// The rows of these record batches.
    ///
    /// # Errors
    /// [`Schema`](ErrorKind::Schema) where one of them has another schema.
    pub fn new(schema: SchemaRef, batches: Vec<RecordBatch>) -> Result<Self> {
        if let Some(place) = batches.iter().position(|rows| rows.schema_ref() != &schema) {
            return Err(Error::new(
                ErrorKind::Schema,
                format!("make a data set: record batch {place} has another schema"),
            ));
        }
        Ok(DataSet { schema, batches })
    }

    /// Rows in all.
    pub fn record_count(&self) -> usize {
        self.batches.iter().map(RecordBatch::num_rows).sum()
    }

    /// The columns' names and types.
    pub fn schema(&self) -> &SchemaRef {
        &self.schema
    }

    /// The rows, in Arrow's record batches.
    pub fn batches(&self) -> &[RecordBatch] {
        &self.batches
    }

    /// The rows, given away.
    pub fn into_batches(self) -> Vec<RecordBatch> {
        self.batches
    }

    /// The rows as a JSON array of objects, nulls spelt out. Binary is base64 (standard alphabet, padded), as load reads
    /// it; timestamps are RFC 3339; decimals are numbers with all their digits; json columns are strings.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) where a column's type has no JSON form.
    pub fn to_json(&self) -> Result<String> {
        let failed = |error: ArrowError| {
            Error::new(ErrorKind::Unsupported, "write a data set as JSON: a value has no JSON form").with_source(error)
        };
        let builder = WriterBuilder::new().with_explicit_nulls(true).with_encoder_factory(Arc::new(LandingForms));
        let mut writer = builder.build::<_, JsonArray>(Vec::new());
        writer.write_batches(&self.batches.iter().collect::<Vec<_>>()).map_err(failed)?;
        writer.finish().map_err(failed)?;
        match String::from_utf8(writer.into_inner()) {
            Ok(text) if text.is_empty() => Ok("[]".to_owned()),
            Ok(text) => Ok(text),
            Err(error) => Err(Error::internal("write a data set as JSON: the text is not UTF-8").with_source(error)),
        }
    }
}

/// The two forms in which arrow-json does not write what we want: it writes binary as hex, and knows no zone by name.
#[derive(Debug)]
struct LandingForms;

impl EncoderFactory for LandingForms {
    fn make_default_encoder<'a>(
        &self,
        _field: &'a FieldRef,
        array: &'a dyn Array,
        _options: &'a EncoderOptions,
    ) -> Result<Option<NullableEncoder<'a>>, ArrowError> {
        let encoder: Box<dyn Encoder> = match array.data_type() {
            ArrowType::Binary | ArrowType::LargeBinary | ArrowType::BinaryView => {
                Box::new(Base64(cast(array, &ArrowType::BinaryView)?.as_binary_view().clone()))
            }
            ArrowType::Timestamp(unit, Some(zone)) if &**zone == "UTC" => {
                Box::new(Instant { epochs: cast(array, &ArrowType::Int64)?.as_primitive().clone(), unit: *unit })
            }
            _ => return Ok(None),
        };
        Ok(Some(NullableEncoder::new(encoder, array.logical_nulls())))
    }
}

struct Base64(BinaryViewArray);

impl Encoder for Base64 {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        out.push(b'"');
        out.extend_from_slice(STANDARD.encode(self.0.value(row)).as_bytes());
        out.push(b'"');
    }
}

struct Instant {
    epochs: Int64Array,
    unit: TimeUnit,
}

impl Encoder for Instant {
    fn encode(&mut self, row: usize, out: &mut Vec<u8>) {
        let epoch = self.epochs.value(row);
        let instant = match self.unit {
            TimeUnit::Second => DateTime::from_timestamp(epoch, 0),
            TimeUnit::Millisecond => DateTime::from_timestamp_millis(epoch),
            TimeUnit::Microsecond => DateTime::from_timestamp_micros(epoch),
            TimeUnit::Nanosecond => Some(DateTime::from_timestamp_nanos(epoch)),
        };
        // A broker's timestamp may be past every calendar; then its number says more than null.
        match instant {
            Some(instant) => out
                .extend_from_slice(format!("\"{}\"", instant.to_rfc3339_opts(SecondsFormat::AutoSi, true)).as_bytes()),
            None => out.extend_from_slice(epoch.to_string().as_bytes()),
        }
    }
}
