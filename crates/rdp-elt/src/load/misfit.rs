//! Why a record does not fit: built off the hot path, told in the row's `_rdp_error`.

use std::fmt;

use crate::offset::TopicPartition;

/// What in a record did not fit, and where in the payload.
#[derive(Debug)]
pub(crate) struct Misfit(Box<Inner>);

#[derive(Debug)]
struct Inner {
    /// The field, from its landing name inwards: `items[2].price`; empty where no one field is to blame.
    field: String,
    /// What was expected and what came.
    what: String,
}

impl Misfit {
    /// A misfit that no one field is to blame for, or whose field is added on the way out.
    #[cold]
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Misfit(Box::new(Inner { field: String::new(), what: what.into() }))
    }

    /// The payload is not JSON here.
    #[cold]
    pub(crate) fn not_json(at: usize, expected: &str) -> Self {
        Self::new(format!("the payload is not valid JSON: expected {expected} at byte {at}"))
    }

    /// A value is JSON, and not what the schema says.
    #[cold]
    pub(crate) fn value(expected: impl fmt::Display, found: &[u8]) -> Self {
        Self::new(format!("expected {expected}, found {}", shorten(found)))
    }

    /// Puts the landing field in front.
    #[cold]
    pub(crate) fn in_field(mut self, name: &str) -> Self {
        self.0.field.insert_str(0, name);
        self
    }

    /// Puts a struct's or map's member in front.
    #[cold]
    pub(crate) fn in_member(mut self, name: &str) -> Self {
        self.0.field.insert_str(0, name);
        self.0.field.insert(0, '.');
        self
    }

    /// Puts an object in front that the way to a value leads through, unless that value has a landing field's name.
    #[cold]
    pub(crate) fn in_path(self, name: &str) -> Self {
        let has_landing_name = !self.0.field.is_empty() && !self.0.field.starts_with('.');
        if has_landing_name { self } else { self.in_member(name) }
    }

    /// Puts a list's item in front.
    #[cold]
    pub(crate) fn in_item(mut self, index: usize) -> Self {
        self.0.field.insert_str(0, &format!("[{index}]"));
        self
    }

    /// The text of `_rdp_error`: field, what was expected, what came, topic, partition and offset.
    #[cold]
    pub(crate) fn reason(&self, source: &TopicPartition, offset: i64) -> String {
        let Inner { field, what } = &*self.0;
        let field = field.trim_start_matches('.');
        let field = if field.is_empty() { String::new() } else { format!("field `{field}`: ") };
        format!("{field}{what} (topic {} partition {} offset {offset})", source.topic, source.partition)
    }
}

/// The beginning of what came, on one line.
fn shorten(found: &[u8]) -> String {
    let text = String::from_utf8_lossy(found.get(..SHOWN_BYTES + 4).unwrap_or(found));
    let mut shown = String::new();
    for letter in text.chars().take(SHOWN_BYTES) {
        match letter.is_control() {
            true => shown.extend(letter.escape_default()),
            false => shown.push(letter),
        }
    }
    if found.len() > SHOWN_BYTES {
        shown.push_str(&format!("… ({} bytes)", found.len()));
    }
    shown
}

const SHOWN_BYTES: usize = 60;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_names_field_expectation_value_and_place() {
        let misfit = Misfit::value("int64", b"\"a\nb\"").in_item(2).in_member("prices").in_field("order");
        let reason = misfit.reason(&TopicPartition::new("orders", 3), 120);
        assert_eq!(
            reason,
            r#"field `order.prices[2]`: expected int64, found "a\nb" (topic orders partition 3 offset 120)"#
        );
    }

    #[test]
    fn what_came_is_shortened() {
        let reason = Misfit::value("bool", "é".repeat(1000).as_bytes()).reason(&TopicPartition::new("t", 0), 0);
        assert!(reason.len() < 250 && reason.contains("(2000 bytes)"), "{reason}");
    }
}
