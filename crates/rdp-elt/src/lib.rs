//! Lands Kafka topics in files exactly once, and proves it.
//!
//! Records come out of librdkafka in poll windows, become typed Arrow rows, and are committed to a sink together with
//! the positions that they bring their partitions to. The sink is the truth about positions: after a crash, a rebalance
//! or a commit whose outcome nobody knows, it is asked, and reading goes on from there.
//!
//! ```no_run
//! use std::sync::Arc;
//!
//! use rdp_elt::kafka::KafkaConsumerBuilder;
//! use rdp_elt::load::{Format, LoadOptions};
//! use rdp_elt::sink::{ParquetSink, ParquetSinkOptions};
//! use rdp_elt::{Loader, Schema, Shutdown, Until};
//!
//! #[tokio::main]
//! async fn main() -> rdp_elt::Result<()> {
//!     let source = KafkaConsumerBuilder::new("localhost:9092").topics(["orders"]).group_id("rdp-orders");
//!     let schema = Schema::from_json(r#"[{"name": "order_id", "type": "int64"}]"#)?;
//!     let load = LoadOptions { format: Format::Json, schema, ..LoadOptions::default() };
//!     let sink = Arc::new(ParquetSink::open("file:landing", ParquetSinkOptions::default())?);
//!
//!     // Until the log's end as of now. Run it again, and it lands what is new.
//!     let report = Loader::new(source, load, sink).run(Until::LogEnd, &Shutdown::new()).await?;
//!     println!("{} records landed, {} of them quarantined", report.record_count, report.quarantined_count);
//!     Ok(())
//! }
//! ```
//!
//! # Guarantees
//!
//! | promise | what keeps it |
//! | --- | --- |
//! | Every record that a committed reader sees in a landed range has landed once | rows and position become visible in one step: [`sink::Sink`] |
//! | Landed ranges of a partition tile: no hole, no overlap | a commit lands only where the partition stands at its start |
//! | The sink is the truth about positions | [`Loader`] asks it at every start and assignment; the group's offsets are a report |
//! | consumed = landed + quarantined | [`load::RecordLoader`] makes one row of each record, fit or not |
//! | An overtaken writer makes nothing visible | the sink's fence; [`ErrorKind::Conflict`] |
//! | No silent jump over lost records | [`ErrorKind::SourceChanged`]; `auto.offset.reset` is always `error` |
//!
//! [`audit`] proves them of a landing, by a reader of its own. They hold for [`Loader`] with a sink.
//! [`kafka::KafkaConsumer::poll_window`] alone is at-least-once: the host commits when its records are safe.
//!
//! # Map
//!
//! | module | what it is for |
//! | --- | --- |
//! | [`kafka`] | the only place that talks to a broker: consumer, cluster look-ups, an embedded broker for tests |
//! | [`schema`] | what lands in which column, and as what |
//! | [`load`] | payloads to rows; schema inference |
//! | [`sink`] | the contract of landings, Parquet files, a sink in memory, the conformance suite |
//! | [`reader`] | landed rows by partition and range, and the ledger |
//! | [`audit`] | proof from ledger, rows and broker |
//! | [`config`] | the one config file: `Config::from_path` gives source, load, limits and sink |
//! | [`failpoint`] | steps at which tests kill the process |
//! | [`torture`] | a topic to torture a loader with, compared record by record with what landed |
//!
//! The paved path is at the crate's root: [`Loader`] with what it takes and tells, the words that every room uses
//! ([`Error`], [`TopicPartition`], [`OffsetRange`], [`Positions`], [`Schema`], [`KafkaStreamRecord`], [`DataSet`]), and
//! load in one call for hosts that have their records already: [`elt_load_kafka_records`] and its JSON form. What is one
//! room's own business stays in its module. SQL over what has landed is a crate of its own, `rdp-transform`.
//!
//! # Features
//!
//! | feature | default | adds |
//! | --- | --- | --- |
//! | `kafka` | yes | [`kafka`], [`config`], [`audit`], [`torture`] and [`Loader`]; builds librdkafka |
//!
//! Features add API and never change behaviour. Without `kafka`, schema, load and sinks serve records from elsewhere.
//!
//! # Runtime and logs
//!
//! [`Loader::run`] needs a Tokio runtime with time enabled; the library brings none. Lanes are threads of their own. Logs
//! go to `tracing`, librdkafka's under the target `librdkafka`; no key, value, header or credential is in them.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod blocking;
#[cfg(feature = "kafka")]
mod clock;
mod dataset;
mod error;
mod landing_url;
mod ledger;
mod offset;
mod record;
pub mod schema;
mod trouble;

#[cfg(feature = "kafka")]
pub mod audit;
#[cfg(feature = "kafka")]
pub mod config;
pub mod failpoint;
#[cfg(feature = "kafka")]
pub mod kafka;
pub mod load;
#[cfg(feature = "kafka")]
mod loader;
pub mod reader;
pub mod sink;
#[cfg(feature = "kafka")]
pub mod torture;

pub use dataset::DataSet;
pub use error::{Error, ErrorKind, Result};
pub use landing_url::LandingUrl;
pub use load::{elt_load_kafka_records, elt_load_kafka_records_json};
#[cfg(feature = "kafka")]
pub use loader::{
    LoadEvent, LoadReport, Loader, LoaderOptions, Outlook, Rehearsal, RehearsalReport, RehearsalStage, Shutdown, Until,
};
pub use offset::{OffsetRange, OffsetRanges, Positions, TopicPartition};
pub use record::{HeaderVisitor, Headers, KafkaStreamRecord, RecordHeader, RecordView};
pub use schema::{DataType, Field, Schema};
