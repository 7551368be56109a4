//! What landing rows as Parquet costs: CPU-seconds per million rows of 10 payload columns and all `_kafka_*` columns.
//!
//! ```text
//! bench_parquet [ROWS] [PARTITIONS] [ROWS PER APPEND]      # 1000000 6 4096
//! ```
//!
//! The rows look like JSON records of about 220 bytes. Making them is not counted.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{
    Array, ArrayRef, BinaryArray, BooleanArray, Float64Array, Int32Array, Int64Array, ListArray, RecordBatch,
    StringArray, StructArray, TimestampMillisecondArray, new_null_array,
};
use arrow::buffer::{OffsetBuffer, ScalarBuffer};
use arrow::datatypes::{DataType, Field};
use rdp_elt::load::LoadedRows;
use rdp_elt::sink::{ParquetSink, ParquetSinkOptions, Sink, SourceIdentity, Sources, WindowId, WindowInfo};
use rdp_elt::{OffsetRange, OffsetRanges, TopicPartition};

/// The allocator of the command line.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut numbers = std::env::args().skip(1).map(|text| text.parse::<usize>());
    let row_count = numbers.next().transpose()?.unwrap_or(1_000_000);
    let partition_count = numbers.next().transpose()?.unwrap_or(6);
    let append_rows = numbers.next().transpose()?.unwrap_or(4096);

    let folder = tempfile::tempdir()?;
    let sink = ParquetSink::open(&folder.path().display().to_string(), ParquetSinkOptions::default())?;
    let window =
        WindowInfo { id: WindowId::generate(), sources: Sources::from_iter([(TOPIC, SourceIdentity::default())]) };
    let (mut cpu, mut memory, started) = (Duration::ZERO, 0, Instant::now());
    let before_rss = peak_rss();

    let mut landing = sink.open(&window).await?;
    let mut positions = vec![0; partition_count];
    for slice in 0..row_count.div_ceil(append_rows) {
        let partition = slice % partition_count;
        let rows = rows(partition, positions[partition], append_rows.min(row_count - slice * append_rows));
        positions[partition] += rows.rows.num_rows();
        let before = cpu_time();
        landing.append(&rows).await?;
        cpu += cpu_time() - before;
        memory = memory.max(landing.memory_bytes());
    }
    let encoded = cpu;
    let before = cpu_time();
    let committing = Instant::now();
    let ranges = positions
        .iter()
        .enumerate()
        .map(|(partition, end)| Ok((TopicPartition::new(TOPIC, partition as i32), OffsetRange::new(0, *end as i64)?)));
    let receipt = landing.commit(&ranges.collect::<Result<OffsetRanges, rdp_elt::Error>>()?).await.landed()?;
    let committed = committing.elapsed();
    cpu += cpu_time() - before;

    let million = row_count as f64 / 1e6;
    println!(
        "{row_count} rows, {partition_count} partitions, {append_rows} per append: {:.3} CPU-s/M (append {:.3}), \
         {:.1} bytes/row landed, commit {:.0} ms, writers {:.1} MiB, peak RSS +{:.0} MiB, wall {:.1} s",
        cpu.as_secs_f64() / million,
        encoded.as_secs_f64() / million,
        receipt.landed_bytes as f64 / row_count as f64,
        committed.as_secs_f64() * 1e3,
        memory as f64 / f64::from(1 << 20),
        (peak_rss() - before_rss) / 1024.0,
        started.elapsed().as_secs_f64(),
    );
    keep(folder.path())
}

/// Moves the landing to where `BENCH_PARQUET_KEEP` says, for a look at the files.
fn keep(folder: &Path) -> Result<(), Box<dyn std::error::Error>> {
    if let Some(place) = std::env::var_os("BENCH_PARQUET_KEEP") {
        std::fs::rename(folder, place)?;
    }
    Ok(())
}

fn rows(partition: usize, start: usize, count: usize) -> LoadedRows {
    let ids: Vec<u64> = (start..start + count).map(|offset| mix((partition << 40 | offset) as u64)).collect();
    let per_row =
        |make: &dyn Fn(u64) -> String| Arc::new(StringArray::from_iter_values(ids.iter().map(|id| make(*id))));
    let integers = |make: &dyn Fn(u64) -> i64| Arc::new(Int64Array::from_iter_values(ids.iter().map(|id| make(*id))));
    let times = |step: u64| {
        TimestampMillisecondArray::from_iter_values(
            ids.iter().enumerate().map(|(row, id)| 1_750_000_000_000 + ((start + row) as u64 * step + id % 5) as i64),
        )
    };
    let keys = BinaryArray::from_iter_values(ids.iter().map(|id| format!("customer-{}", id % 100_000).into_bytes()));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("order_id", integers(&|id| (id >> 8) as i64), true),
        ("customer_id", integers(&|id| (id % 100_000) as i64), true),
        ("status", per_row(&|id| ["new", "paid", "packed", "sent"][(id >> 7) as usize % 4].to_owned()), true),
        ("currency", per_row(&|id| ["EUR", "USD", "GBP", "CHF", "SEK"][(id >> 9) as usize % 5].to_owned()), true),
        (
            "amount",
            Arc::new(Float64Array::from_iter_values(ids.iter().map(|id| (id % 1_000_000) as f64 / 100.0))),
            true,
        ),
        ("quantity", Arc::new(Int32Array::from_iter_values(ids.iter().map(|id| (id >> 11) as i32 & 15))), true),
        ("express", Arc::new(BooleanArray::from_iter(ids.iter().map(|id| Some(id & 8 == 0)))), true),
        ("sku", per_row(&|id| format!("sku-{:06}", (id >> 5) % 5_000)), true),
        ("created_at", Arc::new(times(7).with_timezone("UTC")), true),
        ("note", per_row(&|id| format!("leave at door {:016x}", mix(id))), true),
        ("_kafka_topic", per_row(&|_| TOPIC.to_owned()), false),
        ("_kafka_partition", Arc::new(Int32Array::from_value(partition as i32, count)), false),
        ("_kafka_offset", Arc::new(Int64Array::from_iter_values((start..start + count).map(|at| at as i64))), false),
        ("_kafka_timestamp", Arc::new(times(3).with_timezone("UTC")), true),
        ("_kafka_key", Arc::new(keys), true),
        ("_kafka_headers", headers(&ids), true),
        ("_kafka_tombstone", Arc::new(BooleanArray::from_iter(ids.iter().map(|_| Some(false)))), false),
        ("_kafka_value", new_null_array(&DataType::Binary, count), true),
        ("_rdp_error", new_null_array(&DataType::Utf8, count), true),
    ];
    LoadedRows {
        topic_partition: TopicPartition::new(TOPIC, partition as i32),
        rows: RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length"),
        quarantined_count: 0,
        tombstone_count: 0,
        newest: None,
    }
}

/// One header on every fourth record.
fn headers(ids: &[u64]) -> ArrayRef {
    let with = ids.iter().filter(|id| **id % 4 == 0);
    let name = StringArray::from_iter_values(with.clone().map(|_| "trace"));
    let value = BinaryArray::from_iter_values(with.map(|id| id.to_be_bytes()));
    let headers = StructArray::from(vec![
        (Arc::new(Field::new("name", DataType::Utf8, false)), Arc::new(name) as ArrayRef),
        (Arc::new(Field::new("value", DataType::Binary, true)), Arc::new(value) as ArrayRef),
    ]);
    let mut ends = vec![0];
    ends.extend(ids.iter().scan(0, |end, id| {
        *end += i32::from(id % 4 == 0);
        Some(*end)
    }));
    let item = Arc::new(Field::new("item", headers.data_type().clone(), false));
    Arc::new(ListArray::new(item, OffsetBuffer::new(ScalarBuffer::from(ends)), Arc::new(headers), None))
}

/// Scatters a number (the finalizer of SplitMix64).
fn mix(number: u64) -> u64 {
    let number = (number ^ (number >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let number = (number ^ (number >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    number ^ (number >> 31)
}

fn cpu_time() -> Duration {
    let usage = usage();
    let time = |part: libc::timeval| Duration::new(part.tv_sec as u64, part.tv_usec as u32 * 1000);
    time(usage.ru_utime) + time(usage.ru_stime)
}

fn peak_rss() -> f64 {
    usage().ru_maxrss as f64
}

fn usage() -> libc::rusage {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: the pointer is to a rusage of our own, which getrusage fills.
    unsafe {
        libc::getrusage(libc::RUSAGE_SELF, usage.as_mut_ptr());
        usage.assume_init()
    }
}

const TOPIC: &str = "orders";
