//! The only place that talks to a broker.

mod admin;
mod builder;
mod cluster;
mod consumer;
mod embedded;
mod error;
mod foreign;
mod header;
mod keys;
mod native;
mod producer;
mod question;
mod scan;
mod security;
mod slice;
mod topic;
mod watch;
mod window;

pub use builder::{Isolation, KafkaConsumerBuilder, StartPosition};
pub(crate) use cluster::Survey;
pub use cluster::{Cluster, TopicInfo, Watermarks};
pub use consumer::KafkaConsumer;
pub(crate) use consumer::Polled;
pub use embedded::EmbeddedBroker;
pub(crate) use native::Rebalance;
pub(crate) use producer::{Delivery, KafkaProducer};
pub(crate) use scan::scan_offsets;
pub use security::{Login, Oidc, Sasl, Tls, is_secret_key};
pub(crate) use slice::Slice;
pub use window::{PollWindow, WindowEnd, WindowLimits};
