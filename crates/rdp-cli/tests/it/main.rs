//! The `rdp` binary against a real Kafka, judged by an oracle that shares no code with the engine.
//!
//! These tests live beside the binary because cargo brings it up to date for them alone.

mod answers;
mod bench;
mod between_runs;
mod columns;
mod disk;
mod landing;
mod oracle;
mod outlook;
mod rebalance;
mod restart;
mod shapes;
mod shutdown;
mod sql;
mod torture;
mod torture_command;

use std::time::Duration;

use rdp_testing::Rdp;

/// `rdp COMMAND` with the binary under test.
fn rdp(command: &str) -> Rdp {
    Rdp::at(env!("CARGO_BIN_EXE_rdp"), command)
}

/// Longer than anything takes on a busy machine: what hangs fails.
const LIMIT: Duration = Duration::from_secs(120);
