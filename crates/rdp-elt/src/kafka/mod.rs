//! The only place that talks to a broker.

mod admin;
mod builder;
mod cluster;
mod consumer;
mod embedded;
mod error;
mod foreign;
mod keys;
mod security;
mod slice;
mod watch;
mod window;

pub use builder::{Isolation, KafkaConsumerBuilder, StartPosition};
pub use cluster::{Cluster, TopicInfo, Watermarks};
pub use consumer::KafkaConsumer;
pub use embedded::EmbeddedBroker;
pub use security::{Login, Oidc, Sasl, Tls, is_secret_key};
pub use window::{PollWindow, WindowEnd, WindowLimits};
