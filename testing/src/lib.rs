//! What RDP's tests run against: a real Apache Kafka, faults on the wire, fixtures, the `rdp` process, and an oracle
//! that shares no code with the engine.
//!
//! It stands beside the product and is never part of it. `testing/setup.sh` has to have run (the Makefile sees to it).
//! Everything here panics with what went wrong: a test that cannot get what it needs fails, and never skips. All calls
//! block, and all may be made inside an async runtime.
//!
//! ```no_run
//! use std::time::Duration;
//! use rdp_testing::{Fault, FaultProxy, KafkaOptions, KafkaServer, Rdp, RdpConfig, Record, oracle, orders};
//!
//! // One broker per test process, one topic of its own per test; `start()` gives a broker of one's own to kill.
//! let broker = KafkaServer::shared();
//! let topic = broker.create_topic("orders", 6);
//! topic.produce(orders(7, 10_000));
//! topic.produce([Record::new("{}").key("k").header("h", "v").null_header("h").timestamp(1_700_000_000_000)]);
//! topic.produce_with(&[("compression.codec", "zstd")], orders(8, 100));
//!
//! let open = topic.transaction(orders(9, 10)); // begun and flushed: commit(), abort(), or keep it to leave it open
//! open.abort();
//!
//! // The binary, its config, its end, and the verdict.
//! let config = RdpConfig::orders(&topic).window(1_000, "1s");
//! let exit = Rdp::new("load").arg(config.path()).failpoint("file_written=kill@2").run(Duration::from_secs(60));
//! assert!(exit.was_killed());
//! Rdp::new("load").arg(config.path()).run(Duration::from_secs(60)).assert_success();
//! oracle::check(&config).assert_exact();
//!
//! // A broker behind a proxy whose mode is switched at run time.
//! let proxy = FaultProxy::start();
//! let broker = KafkaServer::start_with(KafkaOptions::default().proxied(&proxy));
//! proxy.set(Fault::Delay(Duration::from_millis(200)));
//! broker.kill();
//! broker.restart();
//! ```

mod cache;
mod child;
mod cluster;
pub mod disk;
pub mod landed;
pub mod oracle;
mod order;
mod port;
mod producer;
mod proxy;
mod purchase;
mod rdp;
mod rdp_config;
mod record;
mod server;
mod topic;
pub mod torture;
pub mod wire;

pub use cache::{RunFolder, python};
pub use cluster::KafkaCluster;
pub use order::{Order, OrderKind, Orders, orders, orders_schema};
pub use producer::{Delivered, Producer, Transaction};
pub use proxy::{Fault, FaultProxy};
pub use purchase::{Purchases, purchases_schema};
pub use rdp::{Exit, Rdp, RdpProcess};
pub use rdp_config::RdpConfig;
pub use record::Record;
pub use server::{Backup, KafkaOptions, KafkaServer};
pub use topic::{Topic, TopicOptions};
