//! The only place that talks to a broker.

mod admin;
mod builder;
mod cluster;
mod consumer;
mod description;
mod doubt;
mod embedded;
mod error;
mod fetcher;
mod foreign;
mod header;
mod host;
mod keys;
mod line;
mod naming;
mod native;
mod producer;
mod question;
mod scan;
mod secrets;
mod security;
mod slice;
mod topic;
mod trial;
mod watch;
mod window;

pub use builder::{Isolation, KafkaConsumerBuilder, StartPosition};
pub use cluster::{Cluster, TopicInfo, Watermarks};
pub(crate) use cluster::{Survey, SurveyedTopic};
pub(crate) use consumer::{Consumer, Lost, Polled};
pub use embedded::EmbeddedBroker;
#[cfg(test)]
pub(crate) use fetcher::{Event, Fetched};
pub(crate) use fetcher::{Fetcher, Notes, Place, Rebalance, Told};
pub use host::KafkaConsumer;
pub(crate) use keys::is_known;
pub(crate) use naming::{check_topic, pattern_means};
pub(crate) use native::NativeConsumer;
pub(crate) use producer::{Delivery, KafkaProducer};
pub(crate) use scan::scan_offsets;
pub use secrets::is_secret_key;
pub(crate) use secrets::named;
pub use security::{Login, Oidc, Sasl, Tls};
pub(crate) use slice::Slice;
pub use window::{PollWindow, WindowEnd, WindowLimits};
