//! The only place that talks to a broker.

mod builder;
mod cluster;
mod consumer;
mod embedded;
mod security;
mod slice;
mod window;

pub use builder::{Isolation, KafkaConsumerBuilder, StartPosition};
pub use cluster::{Cluster, TopicInfo, Watermarks};
pub use consumer::KafkaConsumer;
pub use embedded::EmbeddedBroker;
pub use window::{PollWindow, WindowEnd, WindowLimits};
