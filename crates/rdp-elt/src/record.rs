//! One Kafka record: owned, for hosts, and borrowed, for the hot path.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// One Kafka record as it was on the broker: the friendly, owned form for hosts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KafkaStreamRecord {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number.
    pub partition: i32,
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC; `None` where the broker has no timestamp (-1).
    pub timestamp: Option<i64>,
    /// The key's bytes; `None` and empty are different.
    pub key: Option<Vec<u8>>,
    /// Headers in their order, repeats kept.
    pub headers: Vec<RecordHeader>,
    /// The value's bytes; `None` is a tombstone, empty is not.
    pub value: Option<Vec<u8>>,
}

/// What tells whether the log still has a record that landed. Where a log was cut and has grown again, or comes from a
/// backup, another record stands at its offset.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordMark {
    /// The record's offset.
    pub offset: i64,
    /// The leader epoch (KIP-101) under which the broker wrote it; `None` where it does not tell.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub leader_epoch: Option<i32>,
    /// CRC-32 of its timestamp, key and value.
    pub checksum: u32,
}

/// One header of a record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordHeader {
    /// The name; several headers of one record may bear the same.
    pub name: String,
    /// The value; `None` and empty are different.
    pub value: Option<Vec<u8>>,
}

/// One Kafka record borrowed from whoever holds its bytes: librdkafka's buffer, an Arrow batch or a host's record.
///
/// Topic and partition are those of the run of records it comes with.
#[derive(Clone, Copy)]
pub struct RecordView<'a> {
    /// The record's offset in its partition.
    pub offset: i64,
    /// Milliseconds since 1970-01-01 UTC; `None` where the broker has no timestamp (-1).
    pub timestamp: Option<i64>,
    /// The key's bytes; `None` and empty are different.
    pub key: Option<&'a [u8]>,
    /// The value's bytes; `None` is a tombstone, empty is not.
    pub value: Option<&'a [u8]>,
    /// The headers, read when asked for.
    pub headers: &'a dyn Headers,
}

impl RecordView<'_> {
    /// The record's mark, given the leader epoch that came beside it.
    pub(crate) fn mark(&self, leader_epoch: Option<i32>) -> RecordMark {
        let mut sum = crc32fast::Hasher::new();
        sum.update(&self.timestamp.unwrap_or(-1).to_le_bytes());
        for bytes in [self.key, self.value] {
            // Null and empty are different, and where the key ends the value begins.
            sum.update(&bytes.map_or(u64::MAX, |bytes| bytes.len() as u64).to_le_bytes());
            sum.update(bytes.unwrap_or_default());
        }
        RecordMark { offset: self.offset, leader_epoch, checksum: sum.finalize() }
    }
}

/// The headers of one record, in their order.
pub trait Headers {
    /// Calls `each` with every header's name and value. A name is UTF-8 by the protocol, but nobody checks it before us.
    fn visit(&self, each: HeaderVisitor<'_>);
}

/// Takes a header's name and value.
pub type HeaderVisitor<'a> = &'a mut dyn FnMut(&[u8], Option<&[u8]>);

impl Headers for [RecordHeader] {
    fn visit(&self, each: HeaderVisitor<'_>) {
        for header in self {
            each(header.name.as_bytes(), header.value.as_deref());
        }
    }
}

impl Headers for Vec<RecordHeader> {
    fn visit(&self, each: HeaderVisitor<'_>) {
        self.as_slice().visit(each);
    }
}

impl KafkaStreamRecord {
    /// This record, borrowed.
    pub fn as_view(&self) -> RecordView<'_> {
        RecordView {
            offset: self.offset,
            timestamp: self.timestamp,
            key: self.key.as_deref(),
            value: self.value.as_deref(),
            headers: &self.headers,
        }
    }
}
