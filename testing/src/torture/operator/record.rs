//! The records of the operators' machine: each can be computed again from its number, so that a landed row can be compared
//! without asking anybody.

use serde_json::{Value, json};

use crate::landed::LandedRow;
use crate::record::Record;

/// The payload's columns that a landing may have, and their types. `id` is always there.
pub(super) const COLUMNS: [(&str, &str); 4] =
    [("id", "int64"), ("word", "utf8"), ("weight", "float64"), ("extra", "int32")];

/// How records are made from their numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Maker {
    /// So many keys, in turns; `None` where every record has its own.
    pub(super) keys: Option<u64>,
}

impl Maker {
    /// The record with this number.
    pub(super) fn record(self, id: u64, partition: i32) -> Record {
        let record = match value(id) {
            Some(value) => Record::new(value).key(self.key(id)),
            None => Record::tombstone(self.key(id)),
        };
        record.partition(partition).timestamp(timestamp(id))
    }

    fn key(self, id: u64) -> String {
        match self.keys {
            // A tombstone would take everything of its key away.
            Some(keys) if !is_tombstone(id) => format!("key-{}", id % keys),
            _ => format!("key-of-{id}"),
        }
    }

    /// What is wrong with a row that should be this record's.
    pub(super) fn difference(self, id: u64, row: &LandedRow, columns: &[String]) -> Option<String> {
        let expected = self.row(id, row.offset, columns);
        (*row != expected).then(|| format!("is {row:?}, and should be {expected:?}"))
    }

    /// The row of the record with this number.
    pub(super) fn row(self, id: u64, offset: i64, columns: &[String]) -> LandedRow {
        let value = value(id);
        let fits = value.is_some() && !is_poisoned(id);
        let payload = |column: &String| (column.clone(), if fits { field(id, column) } else { Value::Null });
        LandedRow {
            offset,
            timestamp: Some(timestamp(id)),
            key: Some(self.key(id)),
            tombstone: value.is_none(),
            quarantined: is_poisoned(id),
            value,
            payload: columns.iter().map(payload).collect(),
        }
    }
}

/// The time of the record with this number, a second after the one before.
pub(super) fn timestamp(id: u64) -> i64 {
    FIRST_TIMESTAMP + 1_000 * id.cast_signed()
}

/// The same in the words of a config.
pub(super) fn time(id: u64) -> String {
    let (hours, minutes, seconds) = (id / 3_600, id / 60 % 60, id % 60);
    format!("2026-01-{:02}T{:02}:{minutes:02}:{seconds:02}Z", 1 + hours / 24, hours % 24)
}

/// The number of the record with this timestamp, where it is one of ours.
pub(super) fn number_at(timestamp: i64) -> i64 {
    (timestamp - FIRST_TIMESTAMP) / 1_000
}

fn is_tombstone(id: u64) -> bool {
    id % 31 == 7
}

fn is_poisoned(id: u64) -> bool {
    id % 37 == 5 && !is_tombstone(id)
}

fn value(id: u64) -> Option<String> {
    match (is_tombstone(id), is_poisoned(id)) {
        (true, _) => None,
        (_, true) => Some(format!(r#"{{"id":"{id}"}}"#)),
        _ => {
            let fields = COLUMNS.map(|(name, _)| format!("\"{name}\":{}", field(id, name)));
            Some(format!("{{{}}}", fields.join(",")))
        }
    }
}

fn field(id: u64, column: &str) -> Value {
    match column {
        "id" => json!(id),
        "word" => json!(format!("word {id}")),
        "weight" => json!(id as f64 / 4.0),
        "extra" => json!(3 * id),
        _ => Value::Null,
    }
}

/// 2026-01-01T00:00:00Z.
const FIRST_TIMESTAMP: i64 = 1_767_225_600_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_config_says_the_time_that_the_record_has() {
        assert_eq!(time(0), "2026-01-01T00:00:00Z");
        assert_eq!(time(3_661), "2026-01-01T01:01:01Z");
        assert_eq!(number_at(timestamp(3_661)), 3_661);
    }

    #[test]
    fn a_row_is_its_records_or_it_is_told() {
        let maker = Maker { keys: None };
        let columns = ["id".to_owned(), "extra".to_owned()];
        let row = LandedRow {
            offset: 5,
            timestamp: Some(timestamp(8)),
            key: Some("key-of-8".to_owned()),
            value: value(8),
            tombstone: false,
            quarantined: false,
            payload: [("id".to_owned(), json!(8)), ("extra".to_owned(), json!(24))].into(),
        };
        assert_eq!(maker.difference(8, &row, &columns), None);
        assert!(maker.difference(9, &row, &columns).is_some());
        assert!(maker.difference(8, &LandedRow { tombstone: true, ..row }, &columns).is_some());
    }
}
