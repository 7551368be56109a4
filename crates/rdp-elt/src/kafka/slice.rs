//! What one round of batch calls took out of librdkafka: messages, still in librdkafka's buffers, grouped by partition.

use std::ffi::CStr;
use std::ops::Range;
use std::ptr::NonNull;

use rdkafka_sys as native;

use super::header;
use crate::offset::TopicPartition;
use crate::record::{HeaderVisitor, Headers, RecordView};

/// Messages of one round, and which of them are records of which partition. Given back to librdkafka on drop.
#[derive(Default)]
pub(crate) struct Slice {
    pub(crate) messages: Vec<Message>,
    pub(crate) groups: Vec<Group>,
    /// Bytes of keys and values.
    pub(crate) byte_count: usize,
    pub(crate) record_count: usize,
}

/// The records of one partition in a slice, as spans of its messages, in the order of their offsets.
pub(crate) struct Group {
    pub(crate) partition: TopicPartition,
    pub(crate) spans: Vec<Range<usize>>,
}

impl Slice {
    /// The records of a group, borrowed from librdkafka's buffers.
    pub(crate) fn records<'a>(&'a self, group: &'a Group) -> impl Iterator<Item = RecordView<'a>> {
        group.spans.iter().flat_map(|span| self.messages[span.clone()].iter().map(Message::as_view))
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

    /// The error that it carries instead of a record.
    pub(crate) fn error_code(&self) -> native::rd_kafka_resp_err_t {
        self.native().err
    }

    pub(crate) fn partition(&self) -> i32 {
        self.native().partition
    }

    /// A record's offset; of an end-of-partition event, the position there.
    pub(crate) fn offset(&self) -> i64 {
        self.native().offset
    }

    /// Names the topic within one slice without looking at its name; zero where there is none.
    pub(crate) fn topic_handle(&self) -> usize {
        self.native().rkt as usize
    }

    pub(crate) fn topic(&self) -> &str {
        if self.native().rkt.is_null() {
            return "";
        }
        // SAFETY: a message holds a reference to its topic, whose name is a C string.
        let name = unsafe { CStr::from_ptr(native::rd_kafka_topic_name(self.native().rkt)) };
        name.to_str().unwrap_or_default()
    }

    /// The text of an error message.
    pub(crate) fn error_text(&self) -> String {
        // SAFETY: payload and length belong together, and live as long as the message.
        unsafe { bytes(self.native().payload.cast(), self.native().len) }
            .map(|text| String::from_utf8_lossy(text).into_owned())
            .unwrap_or_default()
    }

    /// Bytes of key and value.
    pub(crate) fn byte_count(&self) -> usize {
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
