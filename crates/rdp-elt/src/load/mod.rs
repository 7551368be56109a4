//! From a slice of a poll window to landing rows: minimal parsing, straight into Arrow, nothing dropped.
//!
//! It stands between the poll and the sink: borrowed records go in, one row each comes out, payload columns first and RDP's
//! own after them. It never talks to a broker or a sink, never skips a record, and never fails one for its neighbour's
//! sake: a record that does not fit is quarantined in its own row (unless the policy is [`OnError::Fail`]).

mod column;
mod cursor;
mod decimal;
mod envelope;
mod infer;
mod json;
mod misfit;
mod names;
mod plan;
mod quoted;
mod raw;
mod records;
mod temporal;
mod token;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch};
use arrow::datatypes::{DataType as ArrowType, Field, Schema as ArrowSchema, SchemaRef};

use self::envelope::Envelope;
use self::json::JsonLoad;
use self::misfit::Misfit;
use self::raw::RawLoad;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::TopicPartition;
use crate::record::{RecordMark, RecordView};
use crate::schema::{RDP_EXTRA, Schema};

pub use infer::{InferredSchema, infer_schema};
pub use plan::{LoadPlan, RecordLoaders};
pub use records::{elt_load_kafka_records, elt_load_kafka_records_json, records_from_json, records_to_json};

/// The rows that a run of one partition's records became: payload columns, then the `_kafka_*` columns.
#[derive(Debug, Clone)]
pub struct LoadedRows {
    /// The partition that all rows are of.
    pub topic_partition: TopicPartition,
    /// The rows, by offset. One row per record: tombstones and quarantined records included.
    pub rows: RecordBatch,
    /// Rows of these that are quarantined.
    pub quarantined_count: u64,
    /// Rows of these that are tombstones.
    pub tombstone_count: u64,
    /// The mark of the newest record. Load leaves it out: whoever has polled the records knows it.
    pub newest: Option<RecordMark>,
}

/// How payloads become rows. The default is the raw format: bytes in, the same bytes out.
#[derive(Debug, Clone, Default)]
pub struct LoadOptions {
    /// What the payloads are written in. Default [`Format::Raw`].
    pub format: Format,
    /// Which payload fields land, as what. Empty with [`Format::Raw`], which looks into no payload.
    pub schema: Schema,
    /// What becomes of a record that does not fit. Default [`OnError::Quarantine`].
    pub on_error: OnError,
    /// What becomes of payload fields that the schema does not name. Default [`UnknownFields::Ignore`].
    pub unknown_fields: UnknownFields,
    /// Whether every row keeps its payload's bytes in `_kafka_value`. Default false: quarantined rows and the raw format
    /// do anyway. True costs the payload's size again in the landing, and buys loading it anew under another schema.
    pub keep_value: bool,
}

/// What payloads are written in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Format {
    /// One JSON object each.
    Json,
    /// Any bytes; they land as they are in `_kafka_value`.
    #[default]
    Raw,
}

/// What becomes of a record that does not fit the schema. Closed: a record lands or it stops the load.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnError {
    /// It lands with its raw bytes and the reason, its payload columns null.
    #[default]
    Quarantine,
    /// The load fails with [`ErrorKind::Data`].
    Fail,
}

/// What becomes of payload fields that the schema does not name. Closed: there is nothing else to do with them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum UnknownFields {
    /// They do not land. They must be valid JSON all the same.
    #[default]
    Ignore,
    /// They land as one JSON object in `_rdp_extra`, each value in its own text, inner objects on the way to declared
    /// fields kept as such. A declared field of a struct type that has undeclared members lands there as a whole too.
    Keep,
    /// They quarantine the record.
    Quarantine,
}

/// Turns records into landing rows, run by run; keeps its buffers and what it has learnt of the payloads' shape.
pub struct RecordLoader {
    format: Box<dyn Load>,
    envelope: Envelope,
    schema: SchemaRef,
    on_error: OnError,
    keep_value: bool,
}

/// A payload format.
trait Load: Send {
    /// The payload columns.
    fn fields(&self) -> Vec<Field>;

    /// Appends a payload as one row. A misfit appends nothing.
    fn append(&mut self, payload: &[u8]) -> Result<(), Misfit>;

    /// Appends a row without a payload.
    fn append_null(&mut self);

    /// Forgets every row.
    fn clear(&mut self);

    /// Hands the rows over, and is empty again.
    fn finish(&mut self) -> Result<PayloadColumns>;
}

/// What a format hands over: the columns of its fields, and `_rdp_extra` where it is kept.
#[derive(Default)]
struct PayloadColumns {
    fields: Vec<ArrayRef>,
    extra: Option<ArrayRef>,
}

/// The columns that every topic's rows have, whatever is in its payloads.
pub(crate) fn envelope_fields() -> Vec<Field> {
    Envelope::fields()
}

impl RecordLoader {
    /// A loader for these options.
    ///
    /// # Errors
    /// [`Config`](ErrorKind::Config) where format and schema do not go together.
    pub fn new(options: &LoadOptions) -> Result<Self> {
        let LoadOptions { format, schema, on_error, unknown_fields, keep_value } = options;
        let keeps_extra = *format == Format::Json && *unknown_fields == UnknownFields::Keep;
        let loader: Box<dyn Load> = match format {
            Format::Json if schema.is_empty() && !keeps_extra => {
                return Err(Error::config(
                    "load: the format is json and the schema names no field, so nothing would land",
                )
                .with_help("name the fields in `schema` (`rdp schema` proposes one), or use format = \"raw\""));
            }
            Format::Json => Box::new(JsonLoad::new(schema, *unknown_fields)?),
            Format::Raw if !schema.is_empty() => {
                return Err(Error::config(
                    "load: the format is raw, which looks into no payload, and there is a schema",
                )
                .with_help("use format = \"json\" for the schema to count, or leave the schema out"));
            }
            Format::Raw => Box::new(RawLoad),
        };
        let mut fields = loader.fields();
        fields.extend(Envelope::fields());
        fields.extend(keeps_extra.then(|| Field::new(RDP_EXTRA, ArrowType::Utf8, true)));
        Ok(RecordLoader {
            format: loader,
            envelope: Envelope::new(),
            schema: Arc::new(ArrowSchema::new(fields)),
            on_error: *on_error,
            keep_value: *keep_value || *format == Format::Raw,
        })
    }

    /// The columns of every run's rows.
    pub fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    /// Turns a run of one partition's records into rows: one each, in their order.
    ///
    /// A tombstone's payload columns are null and it is not quarantined for that, whatever the schema requires. A header
    /// whose name is not UTF-8 quarantines its record, tombstone or not; its name lands with the odd bytes as `\xNN`.
    ///
    /// # Errors
    /// With [`OnError::Fail`], [`Data`](ErrorKind::Data) for the first record that does not fit, naming topic, partition,
    /// offset and field. [`Unsupported`](ErrorKind::Unsupported) where one column of the run holds more than 2 GiB. After
    /// an error the loader is empty and can be used again.
    pub fn load<'a>(
        &mut self,
        partition: &TopicPartition,
        records: &mut dyn Iterator<Item = RecordView<'a>>,
    ) -> Result<LoadedRows> {
        let outcome = self.append_all(partition, records).and_then(|()| self.finish(partition));
        if outcome.is_err() {
            self.format.clear();
            self.envelope.clear();
        }
        outcome
    }

    fn append_all<'a>(
        &mut self,
        partition: &TopicPartition,
        records: &mut dyn Iterator<Item = RecordView<'a>>,
    ) -> Result<()> {
        for record in records {
            let fit = match (self.envelope.begin(&record), record.value) {
                (Some(misfit), _) => Err(misfit),
                (None, Some(payload)) => self.format.append(payload),
                (None, None) => {
                    self.format.append_null();
                    Ok(())
                }
            };
            let Err(misfit) = fit else {
                self.envelope.end(record.value.filter(|_| self.keep_value), None);
                continue;
            };
            let reason = misfit.reason(partition, record.offset);
            if self.on_error == OnError::Fail {
                return Err(Error::new(ErrorKind::Data, format!("load records: {reason}")).with_help(
                    "mend the schema or the producer, or land such records apart with on_error = \"quarantine\"",
                ));
            }
            self.format.append_null();
            self.envelope.end(record.value, Some(&reason));
        }
        Ok(())
    }

    fn finish(&mut self, partition: &TopicPartition) -> Result<LoadedRows> {
        let PayloadColumns { fields: mut columns, extra } = self.format.finish()?;
        let envelope = self.envelope.finish(partition)?;
        columns.extend(envelope.arrays);
        columns.extend(extra);
        let rows = RecordBatch::try_new(self.schema(), columns)
            .map_err(|error| Error::internal("load: the columns do not make rows").with_source(error))?;
        Ok(LoadedRows {
            topic_partition: partition.clone(),
            rows,
            quarantined_count: envelope.quarantined_count,
            tombstone_count: envelope.tombstone_count,
            newest: None,
        })
    }
}
