//! The only place that talks to a broker.

mod builder;
mod cluster;
mod consumer;
mod embedded;
mod error;
mod native;
mod security;
mod slice;
mod window;

pub use builder::{Isolation, KafkaConsumerBuilder, StartPosition};
pub use cluster::{Cluster, TopicInfo, Watermarks};
pub use consumer::KafkaConsumer;
pub(crate) use consumer::Polled;
pub use embedded::EmbeddedBroker;
pub(crate) use native::Rebalance;
pub(crate) use slice::Slice;
pub use window::{PollWindow, WindowEnd, WindowLimits};
