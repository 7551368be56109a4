//! Which record of a partition is the newest one landed, and of which leader epoch it is.

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use serde::{Deserialize, Serialize};

use crate::load::LoadedRows;

/// A landed record and the leader epoch (KIP-101) under which the broker wrote it. A log that was cut and grew again has
/// another epoch at this offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordMark {
    /// The record's offset.
    pub offset: i64,
    /// Its leader epoch.
    pub leader_epoch: i32,
}

/// The mark of the newest of these rows; `None` where there are none or their epoch is not known.
pub(super) fn newest_mark(rows: &LoadedRows) -> Option<RecordMark> {
    let leader_epoch = rows.leader_epoch?;
    let offsets = rows.rows.column_by_name("_kafka_offset")?.as_primitive_opt::<Int64Type>()?;
    Some(RecordMark { offset: *offsets.values().last()?, leader_epoch })
}

/// So many commits back a mark is looked for: the newest may be a range of transaction markers alone.
pub(super) const MARK_COMMITS: usize = 4;
