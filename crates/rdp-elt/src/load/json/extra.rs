//! Gathers the payload fields that the schema does not name, as one JSON object per record, in their own text.

use arrow::array::{ArrayRef, NullBufferBuilder};

use crate::error::Result;
use crate::load::column::Bytes;

/// The column `_rdp_extra`.
pub(super) struct Extra {
    objects: Bytes,
    nulls: NullBufferBuilder,
    /// Where each object begins that is open in the record in hand, outermost first.
    open: Vec<usize>,
}

impl Default for Extra {
    fn default() -> Self {
        Extra { objects: Bytes::default(), nulls: NullBufferBuilder::new(0), open: Vec::new() }
    }
}

impl Extra {
    /// Begins a record.
    pub(super) fn begin(&mut self) {
        self.open.clear();
        self.objects.bytes.push(b'{');
    }

    /// Enters an inner object; `token` is its name in quotes with its colon.
    pub(super) fn open(&mut self, token: &[u8]) {
        self.open.push(self.objects.bytes.len());
        self.comma();
        self.objects.bytes.extend_from_slice(token);
        self.objects.bytes.push(b'{');
    }

    /// Leaves it again; it is not mentioned where nothing was kept of it.
    pub(super) fn close(&mut self) {
        let start = self.open.pop().unwrap_or_default();
        if self.objects.bytes.last() == Some(&b'{') {
            self.objects.bytes.truncate(start);
        } else {
            self.objects.bytes.push(b'}');
        }
    }

    /// Keeps a member; `token` is its name in quotes with its colon.
    pub(super) fn push(&mut self, token: &[u8], value: &[u8]) {
        self.comma();
        self.objects.bytes.extend_from_slice(token);
        self.objects.bytes.extend_from_slice(value);
    }

    /// Keeps a member under a name as it stood between its quotes.
    pub(super) fn push_raw(&mut self, name: &[u8], value: &[u8]) {
        self.comma();
        self.objects.bytes.push(b'"');
        self.objects.bytes.extend_from_slice(name);
        self.objects.bytes.extend_from_slice(b"\":");
        self.objects.bytes.extend_from_slice(value);
    }

    /// Ends the record.
    pub(super) fn end(&mut self) {
        if self.objects.bytes.len() == self.objects.row_start() + 1 {
            self.objects.bytes.pop();
            self.append_null();
        } else {
            self.objects.bytes.push(b'}');
            self.objects.end_row();
            self.nulls.append_non_null();
        }
    }

    /// A record of which nothing is kept.
    pub(super) fn append_null(&mut self) {
        self.objects.end_row();
        self.nulls.append_null();
    }

    pub(super) fn truncate(&mut self, rows: usize) {
        self.objects.truncate(rows);
        self.nulls.truncate(rows);
    }

    pub(super) fn finish(&mut self) -> Result<ArrayRef> {
        let nulls = self.nulls.finish();
        self.objects.finish_utf8(nulls)
    }

    /// A value never ends in an opening brace, so one that stands here has just been opened.
    fn comma(&mut self) {
        if self.objects.bytes.last() != Some(&b'{') {
            self.objects.bytes.push(b',');
        }
    }
}
