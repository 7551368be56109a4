//! The rows of one commit, as far as an audit looks at them.

use arrow::array::{Array, AsArray, RecordBatch};
use arrow::datatypes::Int64Type;
use futures::stream::TryStreamExt;

use crate::error::{Error, ErrorKind, Result};
use crate::ledger::LedgerEntry;
use crate::reader::Reader;
use crate::schema::{KAFKA_OFFSET, KAFKA_TOMBSTONE, RDP_ERROR};

#[derive(Debug, Default)]
pub(super) struct Rows {
    /// Their offsets, in the order in which they stand.
    pub(super) offsets: Vec<i64>,
    pub(super) quarantined_count: u64,
    pub(super) tombstone_count: u64,
}

impl Rows {
    pub(super) async fn read(reader: &dyn Reader, commit: &LedgerEntry) -> Result<Self> {
        let mut stream = reader.rows_of(commit, Some(&[KAFKA_OFFSET, KAFKA_TOMBSTONE, RDP_ERROR])).await?;
        let mut rows = Rows::default();
        while let Some(batch) = stream.try_next().await? {
            rows.add(&batch).ok_or_else(|| {
                let what = format!("it lacks one of {KAFKA_OFFSET}, {KAFKA_TOMBSTONE} and {RDP_ERROR}");
                Error::new(ErrorKind::Data, format!("read rows of {}: {what}", commit.location))
            })?;
        }
        Ok(rows)
    }

    fn add(&mut self, batch: &RecordBatch) -> Option<()> {
        let offsets = batch.column_by_name(KAFKA_OFFSET)?.as_primitive_opt::<Int64Type>()?;
        self.offsets.extend_from_slice(offsets.values());
        let errors = batch.column_by_name(RDP_ERROR)?;
        self.quarantined_count += (errors.len() - errors.null_count()) as u64;
        self.tombstone_count += batch.column_by_name(KAFKA_TOMBSTONE)?.as_boolean_opt()?.true_count() as u64;
        Some(())
    }
}
