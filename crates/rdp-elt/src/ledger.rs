//! What each commit says of itself: which rows of which source it covers, and which window brought them.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::offset::{OffsetRange, TopicPartition};
use crate::record::RecordMark;

/// What one commit says of itself for one partition.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct LedgerEntry {
    /// The partition.
    #[serde(flatten)]
    pub topic_partition: TopicPartition,
    /// The offsets that the commit covers.
    #[serde(flatten)]
    pub range: OffsetRange,
    /// Records in the range, quarantined ones and tombstones included.
    pub record_count: u64,
    /// Records of these that are quarantined.
    pub quarantined_count: u64,
    /// Records of these that are tombstones.
    pub tombstone_count: u64,
    /// The window that landed it.
    pub window: WindowId,
    /// Where the rows came from.
    pub source: SourceIdentity,
    /// The newest record of the commit whose leader epoch is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub newest: Option<RecordMark>,
    /// Where the rows are: a file's path, a table's version.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub location: String,
}

/// The name of one poll window, unique over all time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowId(Arc<str>);

impl WindowId {
    /// A new name (UUID version 7, so that names sort by time).
    pub fn generate() -> Self {
        WindowId(uuid::Uuid::now_v7().to_string().into())
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WindowId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// Which topic of which cluster the rows come from, so that a topic re-created under the same name is noticed.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SourceIdentity {
    /// The cluster's id; empty where the broker does not tell.
    pub cluster_id: String,
    /// The topic's id (KIP-516); empty where the broker does not tell.
    pub topic_id: String,
}
