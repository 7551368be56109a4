//! A topic of our own to torture a loader with: filled with records that can be computed again from their numbers, and
//! compared with what landed of them, record by record.
//!
//! It stands beside the flow. Who kills the loader, and when, is the caller's business (`rdp torture`); here is what is
//! lost, doubled or altered afterwards. The truth is where the brokers said that each record arrived, and nothing that the
//! loader says of itself; rows are read straight from the files. Only topics that were made here are produced to or
//! deleted.

mod comparison;
mod record;
mod rows;
mod topic;

pub use comparison::{Comparison, Difference, DifferenceKind};
pub use topic::TortureTopic;

use serde_json::{Value, json};

/// `[load]` of a config that lands the records in such a way that they can be compared: every value's bytes beside its
/// columns.
pub fn load_section() -> Value {
    json!({
        "format": "json",
        "keep_value": true,
        "schema": [
            { "name": "id", "type": "int64", "required": true },
            { "name": "text", "type": "utf8" },
            { "name": "amount", "type": "decimal(18,4)" },
            { "name": "at", "type": "timestamp(us,UTC)" },
            { "name": "flag", "type": "bool" },
            { "name": "ratio", "type": "float64" },
            { "name": "city", "type": "utf8", "path": "place.city" },
            { "name": "tags", "type": "list<utf8>" },
            { "name": "extra", "type": "json" },
        ],
    })
}
