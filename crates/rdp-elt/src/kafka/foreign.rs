//! What crossing into librdkafka takes: objects that are destroyed with their owner, texts, arrays and codes.

use std::ffi::{CStr, CString, c_char, c_int};
use std::ptr::NonNull;
use std::time::Duration;

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaRespErr};

use super::error::from_kafka;
use crate::error::{Error, Result};

/// A native object and how it is destroyed.
pub(super) struct Owned<T> {
    pointer: NonNull<T>,
    destroy: unsafe extern "C" fn(*mut T),
}

impl<T> Owned<T> {
    pub(super) fn new(pointer: *mut T, destroy: unsafe extern "C" fn(*mut T)) -> Result<Self> {
        let pointer = NonNull::new(pointer).ok_or_else(|| Error::internal("librdkafka gave no object"))?;
        Ok(Owned { pointer, destroy })
    }

    pub(super) fn as_ptr(&self) -> *mut T {
        self.pointer.as_ptr()
    }
}

impl<T> Drop for Owned<T> {
    fn drop(&mut self) {
        // SAFETY: the object is ours, and destroyed here only, by its own function.
        unsafe { (self.destroy)(self.pointer.as_ptr()) };
    }
}

pub(super) fn c_string(doing: &str, text: &str) -> Result<CString> {
    CString::new(text).map_err(|error| from_kafka(doing, KafkaError::Nul(error)))
}

pub(super) fn code_of(code: RDKafkaRespErr) -> Option<RDKafkaErrorCode> {
    (code != RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).then(|| code.into())
}

pub(super) fn millis(wait: Duration) -> c_int {
    c_int::try_from(wait.as_millis()).unwrap_or(c_int::MAX)
}

/// # Safety
/// `text` is null or a C string that lives through the call.
pub(super) unsafe fn text(text: *const c_char) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    unsafe { CStr::from_ptr(text) }.to_string_lossy().into_owned()
}

/// # Safety
/// `first` is null or points to `count` elements that live as long as the slice is used.
pub(super) unsafe fn slice_of<'a, T>(first: *const T, count: usize) -> &'a [T] {
    if first.is_null() || count == 0 {
        return &[];
    }
    // SAFETY: by this function's contract.
    unsafe { std::slice::from_raw_parts(first, count) }
}
