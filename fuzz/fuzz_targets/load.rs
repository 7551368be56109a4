//! Any bytes as records, loaded under schemas of every type and judged by a second reader of JSON.
//!
//! The first byte chooses schema and way with unknown fields. The rest are records, parted by 0x1e; a record is its
//! payload, and behind each 0x1f its key, then by turns a header's name and value. 0x1d alone is a null: no payload, no
//! key, a header without a value. No JSON has these bytes, and so the corpus can be read.

#![no_main]

#[path = "../../crates/rdp-elt/tests/it/judge/mod.rs"]
#[allow(dead_code)]
mod judge;

use std::borrow::Cow;
use std::cell::RefCell;

use judge::{Given, GivenHeaders, Judge};
use libfuzzer_sys::fuzz_target;

thread_local! {
    static JUDGES: RefCell<Vec<Judge>> = RefCell::new(Judge::all());
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, rest)) = data.split_first() else { return };
    let records: Vec<Given<'_>> = rest.split(|byte| *byte == 0x1e).take(64).enumerate().map(record).collect();
    JUDGES.with_borrow_mut(|judges| {
        let place = usize::from(*choice) % judges.len();
        judges[place].judge(&records);
    });
});

fn record((place, bytes): (usize, &[u8])) -> Given<'_> {
    let mut parts = bytes.split(|byte| *byte == 0x1f);
    let payload = parts.next().and_then(present);
    let key = parts.next().and_then(present);
    let mut headers = Vec::new();
    while let Some(name) = parts.next() {
        headers.push((Cow::Borrowed(name), parts.next().and_then(present)));
    }
    let timestamp = (place % 2 == 0).then_some(1_700_000_000_000 + place as i64);
    Given { timestamp, key, headers: GivenHeaders(headers), payload }
}

fn present(part: &[u8]) -> Option<Cow<'_, [u8]>> {
    (part != [0x1d]).then_some(Cow::Borrowed(part))
}
