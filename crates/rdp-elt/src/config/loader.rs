//! `[window]` and `[loader]`: when a poll window closes, and how the engine goes about it.

use std::time::Duration;

use serde_json::Value;

use super::section::Section;
use crate::kafka::WindowLimits;
use crate::loader::LoaderOptions;

/// Reads `[window]`.
pub(super) fn read_window(section: &Section<'_>) -> WindowLimits {
    let defaults = WindowLimits::default();
    let limits = WindowLimits {
        max_records: section.count("max_records").unwrap_or(defaults.max_records),
        max_bytes: section.size("max_bytes").unwrap_or(defaults.max_bytes),
        max_wait: section.duration("max_wait").unwrap_or(defaults.max_wait),
    };
    section.finish();
    limits
}

/// Reads `[loader]`. Without `give_up_after` it depends on whether the run is bounded.
pub(super) fn read_loader(section: &Section<'_>) -> LoaderOptions {
    let defaults = LoaderOptions::default();
    let never = section.value("give_up_after").and_then(Value::as_str) == Some("never");
    let options = LoaderOptions {
        lanes: section.count("lanes").unwrap_or(defaults.lanes),
        memory_bytes: section.size("memory").unwrap_or(defaults.memory_bytes),
        retry_cap: section.duration("retry_cap").unwrap_or(defaults.retry_cap),
        give_up_after: if never { Some(Duration::MAX) } else { section.duration("give_up_after") },
    };
    section.finish();
    options
}
