//! Measures payload load alone: seeded JSON records into landing rows, in CPU-seconds per million records, beside
//! arrow-json's decoder and sonic-rs' serde deserializer on the same payloads.
//!
//! `cargo run --release --example bench_load [RECORDS]`; the three take turns, and the best turn of each counts.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use arrow_json::ReaderBuilder;
use rdp_elt::load::{Format, LoadOptions, RecordLoader};
use rdp_elt::{RecordHeader, RecordView, Schema, TopicPartition};
use serde::Deserialize;

fn main() -> Result<(), Box<dyn Error>> {
    let record_count: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let payloads = Payloads::seeded(record_count);
    println!("{record_count} records of {} bytes on average", payloads.bytes.len() / record_count.max(1));

    let mut best = [f64::INFINITY; 3];
    for _ in 0..TURNS {
        let turns = [by_record_loader(&payloads)?, by_arrow_json(&payloads)?, by_sonic(&payloads)?];
        for (best, turn) in best.iter_mut().zip(turns) {
            *best = best.min(turn * 1e6 / record_count as f64);
        }
    }
    println!("{:<44} {:>8}", "", "CPU-s/M");
    println!("{:<44} {:>8.3}", "RecordLoader, keys and _kafka_* columns too", best[0]);
    println!("{:<44} {:>8.3}", "arrow-json ReaderBuilder, payload only", best[1]);
    println!("{:<44} {:>8.3}", "sonic-rs into a borrowed struct, no columns", best[2]);
    println!("RecordLoader / arrow-json: {:.2}", best[0] / best[1]);
    Ok(())
}

fn by_record_loader(payloads: &Payloads) -> Result<f64, Box<dyn Error>> {
    let options = LoadOptions { format: Format::Json, schema: Schema::from_json(SCHEMA)?, ..LoadOptions::default() };
    let mut loader = RecordLoader::new(&options)?;
    let partition = TopicPartition::new("orders", 0);
    let headers: Vec<RecordHeader> = Vec::new();
    let start = cpu_seconds();
    let mut offset = 0;
    for slice in payloads.ends.chunks(SLICE) {
        let mut records = slice.iter().map(|(start, end)| {
            offset += 1;
            RecordView {
                offset,
                timestamp: Some(1_700_000_000_000 + offset),
                key: payloads.bytes.get(start + 12..start + 20),
                value: payloads.bytes.get(*start..*end),
                headers: &headers,
            }
        });
        let loaded = loader.load(&partition, &mut records)?;
        assert_eq!(loaded.quarantined_count, 0, "every payload fits");
        black_box(loaded);
    }
    Ok(cpu_seconds() - start)
}

fn by_arrow_json(payloads: &Payloads) -> Result<f64, Box<dyn Error>> {
    // It knows zones by their offset only.
    let declared = Schema::from_json(SCHEMA)?.arrow_schema();
    let fields = declared.fields().iter().map(|field| match field.data_type() {
        DataType::Timestamp(unit, Some(_)) => {
            Field::new(field.name(), DataType::Timestamp(*unit, Some("+00:00".into())), true)
        }
        _ => Field::clone(field),
    });
    let schema = Arc::new(ArrowSchema::new(fields.collect::<Vec<_>>()));
    let start = cpu_seconds();
    let mut decoder = ReaderBuilder::new(schema).with_batch_size(SLICE).build_decoder()?;
    for slice in payloads.ends.chunks(SLICE) {
        for (start, end) in slice {
            let payload = &payloads.bytes[*start..*end];
            assert_eq!(decoder.decode(payload)?, payload.len(), "a slice is a record batch");
        }
        black_box(decoder.flush()?);
    }
    Ok(cpu_seconds() - start)
}

fn by_sonic(payloads: &Payloads) -> Result<f64, Box<dyn Error>> {
    let start = cpu_seconds();
    for (start, end) in &payloads.ends {
        black_box(sonic_rs::from_slice::<Order<'_>>(&payloads.bytes[*start..*end])?);
    }
    Ok(cpu_seconds() - start)
}

/// One payload as serde sees it.
#[derive(Deserialize)]
#[expect(dead_code, reason = "it is read for the time that reading takes")]
struct Order<'a> {
    order_id: i64,
    customer_id: i64,
    sku: &'a str,
    quantity: i32,
    price: f64,
    currency: &'a str,
    paid: bool,
    created_at: &'a str,
    channel: &'a str,
    note: Option<&'a str>,
}

struct Payloads {
    bytes: Vec<u8>,
    ends: Vec<(usize, usize)>,
}

impl Payloads {
    fn seeded(record_count: usize) -> Self {
        let mut payloads =
            Payloads { bytes: Vec::with_capacity(record_count * 224), ends: Vec::with_capacity(record_count) };
        let mut state = SEED;
        let mut random = |below: u64| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            (state >> 33) % below
        };
        for index in 0..record_count {
            let start = payloads.bytes.len();
            let note = match random(4) {
                0 => "null".to_owned(),
                length => format!("\"{}\"", &NOTE[..length as usize * 12]),
            };
            let payload = format!(
                r#"{{"order_id":{},"customer_id":{},"sku":"SKU-{:08}","quantity":{},"price":{}.{:02},"currency":"{}","paid":{},"created_at":"2024-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z","channel":"{}","note":{note}}}"#,
                1_000_000_000 + index,
                random(10_000_000),
                random(100_000_000),
                1 + random(20),
                random(5_000),
                random(100),
                ["EUR", "USD", "GBP", "JPY"][random(4) as usize],
                random(2) == 0,
                1 + random(12),
                1 + random(28),
                random(24),
                random(60),
                random(60),
                random(1000),
                ["web", "mobile", "store", "partner"][random(4) as usize],
            );
            payloads.bytes.extend_from_slice(payload.as_bytes());
            payloads.ends.push((start, payloads.bytes.len()));
        }
        payloads
    }
}

fn cpu_seconds() -> f64 {
    // SAFETY: an all-zero rusage is a valid value for getrusage to write over.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: `usage` outlives the call, which writes nothing else.
    unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) };
    let seconds = |time: libc::timeval| time.tv_sec as f64 + time.tv_usec as f64 / 1e6;
    seconds(usage.ru_utime) + seconds(usage.ru_stime)
}

const SCHEMA: &str = r#"[
    {"name": "order_id", "type": "int64", "required": true},
    {"name": "customer_id", "type": "int64"},
    {"name": "sku", "type": "utf8"},
    {"name": "quantity", "type": "int32"},
    {"name": "price", "type": "decimal(10,2)"},
    {"name": "currency", "type": "utf8"},
    {"name": "paid", "type": "bool"},
    {"name": "created_at", "type": "timestamp(ms,UTC)"},
    {"name": "channel", "type": "utf8"},
    {"name": "note", "type": "utf8"}
]"#;
const NOTE: &str = "deliver after six, ring twice, thanks";
const SLICE: usize = 32_768;
const TURNS: usize = 5;
const SEED: u64 = 20_240_531;
