//! What one round of batch calls took out of librdkafka: messages, still in librdkafka's buffers, grouped by partition.

use std::ffi::CStr;
use std::ops::Range;
use std::ptr::NonNull;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as native;

use super::fetcher::{Event, Fetched};
use super::header;
use crate::offset::TopicPartition;
use crate::record::{HeaderVisitor, Headers, RecordMark, RecordView};

/// Messages of one round, and which of them are records of which partition. Given back to librdkafka on drop.
pub(crate) struct Slice<M = Message> {
    pub(crate) messages: Vec<M>,
    pub(crate) groups: Vec<Group>,
    /// How far each partition was read that moved, records or not.
    pub(crate) reached: Vec<Reached>,
    /// Bytes of keys and values.
    pub(crate) byte_count: usize,
    pub(crate) record_count: usize,
}

/// How far a slice brings a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Reached {
    pub(crate) partition: TopicPartition,
    /// The position before the slice.
    pub(crate) from: i64,
    /// The position behind it.
    pub(crate) to: i64,
}

/// The records of one partition in a slice, as spans of its messages, in the order of their offsets.
pub(crate) struct Group {
    pub(crate) partition: TopicPartition,
    pub(crate) spans: Vec<Range<usize>>,
}

impl<M: Fetched> Slice<M> {
    /// A slice that nothing has come into.
    pub(crate) fn empty() -> Self {
        Slice { messages: Vec::new(), groups: Vec::new(), reached: Vec::new(), byte_count: 0, record_count: 0 }
    }

    /// The records of a group, borrowed from librdkafka's buffers.
    pub(crate) fn records<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = RecordView<'a>> {
        group.spans.iter().flat_map(|span| self.messages[span.clone()].iter().map(Fetched::as_view))
    }

    /// The mark of the newest record of a group.
    pub(crate) fn newest(&self, group: &Group) -> Option<RecordMark> {
        let newest = self.messages.get(group.spans.last()?.end.checked_sub(1)?)?;
        Some(newest.as_view().mark(newest.leader_epoch()))
    }
}

/// One message of librdkafka, owned.
#[repr(transparent)]
pub(crate) struct Message(NonNull<native::rd_kafka_message_t>);

// SAFETY: a message may be read and destroyed on any thread; nothing else refers to it.
unsafe impl Send for Message {}

impl Message {
    fn native(&self) -> &native::rd_kafka_message_t {
        // SAFETY: the message is ours until it is dropped.
        unsafe { self.0.as_ref() }
    }
}

impl Fetched for Message {
    fn is_record(&self) -> bool {
        self.native().err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR
    }

    fn event(&self) -> Event {
        if self.native().err == native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__PARTITION_EOF {
            return Event::EndOfPartition;
        }
        // SAFETY: payload and length belong together, and live as long as the message.
        let text = unsafe { bytes(self.native().payload.cast(), self.native().len) };
        let text = text.map(|text| String::from_utf8_lossy(text).into_owned()).unwrap_or_default();
        Event::Failed(told_by(self.native().err.into(), &text), text)
    }

    fn partition(&self) -> i32 {
        self.native().partition
    }

    fn offset(&self) -> i64 {
        self.native().offset
    }

    fn topic_handle(&self) -> usize {
        self.native().rkt as usize
    }

    fn topic(&self) -> &str {
        if self.native().rkt.is_null() {
            return "";
        }
        // SAFETY: a message holds a reference to its topic, whose name is a C string.
        let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.native().rkt)) };
        name.to_str().unwrap_or_default()
    }

    fn leader_epoch(&self) -> Option<i32> {
        // SAFETY: the message is ours and alive.
        let epoch = unsafe { native::rd_kafka_message_leader_epoch(self.native()) };
        (epoch >= 0).then_some(epoch)
    }

    fn byte_count(&self) -> usize {
        self.native().len + self.native().key_len
    }

    fn as_view(&self) -> RecordView<'_> {
        let message = self.native();
        let mut kind = native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE;
        // SAFETY: the message is ours, and `kind` outlives the call. Key and payload come with their lengths and live as
        // long as the message, to which the view is tied.
        let (timestamp, key, value) = unsafe {
            (
                native::rd_kafka_message_timestamp(message, &mut kind),
                bytes(message.key.cast(), message.key_len),
                bytes(message.payload.cast(), message.len),
            )
        };
        // Only -1 says that there is none: what is further below is before 1970.
        let has_timestamp =
            kind != native::rd_kafka_timestamp_type_t::RD_KAFKA_TIMESTAMP_NOT_AVAILABLE && timestamp != NO_TIMESTAMP;
        RecordView { offset: message.offset, timestamp: has_timestamp.then_some(timestamp), key, value, headers: self }
    }
}

impl Headers for Message {
    fn visit(&self, each: HeaderVisitor<'_>) {
        let mut headers = std::ptr::null_mut();
        // SAFETY: the message is ours; librdkafka keeps the headers alive as long as the message.
        let code = unsafe { native::rd_kafka_message_headers(self.0.as_ptr(), &mut headers) };
        match code {
            // SAFETY: they live as long as the message, and nobody else has it.
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR_NO_ERROR => unsafe { header::visit(headers, each) },
            native::rd_kafka_resp_err_t::RD_KAFKA_RESP_ERR__NOENT => {}
            // More than 100,000 headers, or bytes that are none.
            code => tracing::error!(
                topic = self.topic(),
                partition = self.partition(),
                offset = self.offset(),
                ?code,
                "librdkafka cannot read the headers of a record: it lands without them"
            ),
        }
    }
}

impl Drop for Message {
    fn drop(&mut self) {
        // SAFETY: the message is ours and is destroyed once.
        unsafe { native::rd_kafka_message_destroy(self.0.as_ptr()) }
    }
}

/// What an error event says. That the log was cut librdkafka says in words alone: by its code, the position was left to it to
/// choose, as where it asked for an offset that the log does not have.
fn told_by(code: RDKafkaErrorCode, text: &str) -> RDKafkaErrorCode {
    let is_cut = code == RDKafkaErrorCode::AutoOffsetReset && text.contains("truncation detected");
    if is_cut { RDKafkaErrorCode::LogTruncation } else { code }
}

/// The bytes at a place of librdkafka's: null and empty are different.
///
/// # Safety
/// `start` is null, or `len` bytes there stay as they are for `'a`.
unsafe fn bytes<'a>(start: *const u8, len: usize) -> Option<&'a [u8]> {
    // SAFETY: by the caller's promise.
    (!start.is_null()).then(|| unsafe { std::slice::from_raw_parts(start, len) })
}

/// A record's timestamp where its producer gave none: `RecordBatch.NO_TIMESTAMP`.
const NO_TIMESTAMP: i64 = -1;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_log_that_was_cut_is_told_by_the_words() {
        // As librdkafka 2.12 says it of a log that was restored from a backup, and of an offset that was never there.
        let cut = "Partition log truncation detected at offset 30 (leader epoch 4): broker end offset is 22 (offset leader epoch \
                   2). Reset to INVALID.: Local: Partition log truncation detected (broker 1)";
        let outside =
            "fetch failed due to requested offset not available on the broker: Broker: Offset out of range (broker 1)";
        let code = RDKafkaErrorCode::AutoOffsetReset;
        assert_eq!(told_by(code, cut), RDKafkaErrorCode::LogTruncation);
        assert_eq!(told_by(code, outside), code);
        assert_eq!(told_by(RDKafkaErrorCode::BadMessage, cut), RDKafkaErrorCode::BadMessage);
    }
}
