//! Lands Kafka topics in files and tables exactly once, and transforms what has landed with SQL.

#![cfg_attr(docsrs, feature(doc_cfg))]

mod dataset;
mod error;
mod offset;
mod record;
pub mod schema;

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
pub mod sink;
#[cfg(feature = "transform")]
pub mod transform;

pub use dataset::DataSet;
pub use error::{Error, ErrorKind, Result};
pub use load::{elt_load_kafka_records, elt_load_kafka_records_json};
#[cfg(feature = "kafka")]
pub use loader::{LoadEvent, LoadReport, Loader, LoaderOptions, Shutdown, Until};
pub use offset::{OffsetRange, OffsetRanges, Positions, TopicPartition};
pub use record::{HeaderVisitor, Headers, KafkaStreamRecord, RecordHeader, RecordView};
pub use schema::{DataType, Field, Schema};
