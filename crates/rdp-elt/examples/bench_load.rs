//! Measures payload load alone: seeded JSON records into landing rows, in CPU-seconds per million records, beside
//! arrow-json's decoder and sonic-rs' serde deserializer on the same payloads.
//!
//! `cargo run --release --example bench_load [RECORDS [SEED [json]]]`; the three take turns, and the middle turn of each
//! counts. With `json` it prints one JSON object, for `make bench`.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema as ArrowSchema};
use arrow_json::ReaderBuilder;
use rdp_elt::load::{Format, LoadOptions, RecordLoader};
use rdp_elt::{RecordHeader, RecordView, Schema, TopicPartition};
use rdp_testing::{Purchases, purchases_schema};
use serde::Deserialize;

/// The allocator that the `rdp` binary runs with.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> Result<(), Box<dyn Error>> {
    let record_count: usize = std::env::args().nth(1).map_or(Ok(1_000_000), |text| text.parse())?;
    let seed: u64 = std::env::args().nth(2).map_or(Ok(SEED), |text| text.parse())?;
    let payloads = Payloads::seeded(record_count, seed);

    let mut turns: [Vec<f64>; 3] = Default::default();
    for _ in 0..TURNS {
        let turn = [by_record_loader(&payloads)?, by_arrow_json(&payloads)?, by_sonic(&payloads)?];
        for (turns, seconds) in turns.iter_mut().zip(turn) {
            turns.push(seconds * 1e6 / record_count as f64);
        }
    }
    let [record_loader, arrow_json, sonic] = turns.map(|mut turns| {
        turns.sort_by(f64::total_cmp);
        turns[TURNS / 2]
    });
    if std::env::args().nth(3).as_deref() == Some("json") {
        println!(r#"{{"record_loader":{record_loader},"arrow_json":{arrow_json},"sonic":{sonic}}}"#);
        return Ok(());
    }
    println!("{record_count} records of {} bytes on average", payloads.bytes.len() / record_count.max(1));
    println!("{:<44} {:>8}", "", "CPU-s/M");
    println!("{:<44} {:>8.3}", "RecordLoader, keys and _kafka_* columns too", record_loader);
    println!("{:<44} {:>8.3}", "arrow-json ReaderBuilder, payload only", arrow_json);
    println!("{:<44} {:>8.3}", "sonic-rs into a borrowed struct, no columns", sonic);
    println!("RecordLoader / arrow-json: {:.2}", record_loader / arrow_json);
    Ok(())
}

fn by_record_loader(payloads: &Payloads) -> Result<f64, Box<dyn Error>> {
    let options = LoadOptions {
        format: Format::Json,
        schema: Schema::from_json(&purchases_schema().to_string())?,
        ..LoadOptions::default()
    };
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
    let declared = Schema::from_json(&purchases_schema().to_string())?.arrow_schema();
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
    fn seeded(record_count: usize, seed: u64) -> Self {
        let mut payloads =
            Payloads { bytes: Vec::with_capacity(record_count * 224), ends: Vec::with_capacity(record_count) };
        let mut purchases = Purchases::new(seed);
        for _ in 0..record_count {
            let start = payloads.bytes.len();
            purchases.write_next(&mut payloads.bytes);
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

const SLICE: usize = 32_768;
const TURNS: usize = 5;
const SEED: u64 = 20_240_531;
