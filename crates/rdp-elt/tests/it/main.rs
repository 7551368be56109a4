//! The library from outside: against real services (ignored by a plain `cargo test`; `make test` runs them all), and load
//! against another reader of JSON.

mod agreement;
mod audit;
mod broker;
mod cluster;
mod envelope;
mod judge;
mod kafka;
mod landing;
mod rehearsal;
mod source_changed;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use rdp_elt::kafka::{KafkaConsumerBuilder, WindowLimits};
use rdp_elt::load::LoadOptions;
use rdp_elt::reader::commits_of;
use rdp_elt::sink::{MemorySink, Sink};
use rdp_elt::{Error, ErrorKind, LoadReport, Loader, LoaderOptions, Result, Shutdown, Until};
use rdp_testing::{FaultProxy, KafkaOptions, KafkaServer, Topic};

/// A consumer of this topic without a group, from its beginning.
fn source(topic: &Topic) -> KafkaConsumerBuilder {
    KafkaConsumerBuilder::new(topic.brokers()).topics([topic.name()])
}

/// A loader of raw bytes with windows of 500 records, which gives up soon.
fn loader(source: KafkaConsumerBuilder, sink: &Arc<MemorySink>) -> Loader {
    // RUST_LOG shows what the engine says.
    let _ = tracing_subscriber::fmt().with_env_filter(tracing_subscriber::EnvFilter::from_default_env()).try_init();
    let limits = WindowLimits { max_records: 500, max_wait: Duration::from_millis(300), ..WindowLimits::default() };
    let options = LoaderOptions { give_up_after: Some(Duration::from_secs(60)), ..LoaderOptions::default() };
    let sink: Arc<dyn Sink> = sink.clone();
    Loader::new(source, LoadOptions::default(), sink).with_limits(limits).with_options(options)
}

/// Lands everything up to the log's end.
fn land(source: KafkaConsumerBuilder, sink: &Arc<MemorySink>) -> Result<LoadReport> {
    block_on(loader(source, sink).run(Until::LogEnd, &Shutdown::new()))
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Runtime::new().expect("a runtime").block_on(future)
}

/// A broker, and the proxy that stands before its second address.
fn proxied_broker() -> (KafkaServer, FaultProxy) {
    let proxy = FaultProxy::start();
    let broker = KafkaServer::start_with(KafkaOptions::default().proxied(&proxy));
    (broker, proxy)
}

/// The error of promise 6: it says all of this, and what to do.
#[track_caller]
fn assert_source_changed(error: &Error, says: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error:?}");
    for text in says {
        assert!(error.message().contains(text), "{text:?} is not in {error:?}");
    }
    assert!(error.help().is_some(), "{error:?}");
}

/// The offsets that landed of each partition, in the order in which they landed.
fn landed_offsets(sink: &MemorySink, topic: &Topic) -> BTreeMap<i32, Vec<i64>> {
    let mut offsets: BTreeMap<i32, Vec<i64>> = BTreeMap::new();
    for rows in sink.rows(topic.name()) {
        let partition =
            rows.column_by_name("_kafka_partition").expect("a partition column").as_primitive::<Int32Type>();
        let offset = rows.column_by_name("_kafka_offset").expect("an offset column").as_primitive::<Int64Type>();
        for (partition, offset) in partition.values().iter().zip(offset.values()) {
            offsets.entry(*partition).or_default().push(*offset);
        }
    }
    offsets
}

/// The ranges of every partition tile from `start` on, and end at `end`.
fn assert_tiles(sink: &MemorySink, topic: &Topic, partition: i32, start: i64, end: i64) {
    let mut at = start;
    for entry in block_on(commits_of(&*sink.reader(), topic.name())).expect("a ledger") {
        if entry.topic_partition.partition == partition {
            assert_eq!(entry.range.start(), at, "partition {partition}: hole or overlap before {}", entry.range);
            at = entry.range.end();
        }
    }
    assert_eq!(at, end, "partition {partition} landed up to its end");
}
