//! One stage of `rdp bench` inside its own process: read, load or land everything once, and tell the counts.

use std::path::Path;

use rdp_elt::config::Config;
use rdp_elt::{Error, Loader, Rehearsal, RehearsalStage, Shutdown, Until};
use serde::{Deserialize, Serialize};

use crate::args::BenchStage;
use crate::command::blocking;
use crate::exit::Failure;
use crate::output;
use crate::screen::Screen;
use crate::signal;

/// What a stage tells its parent, as one line of JSON.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Outcome {
    pub(super) record_count: u64,
    /// Bytes of keys and values, where the stage counts them.
    pub(super) byte_count: Option<u64>,
}

pub(super) async fn run(
    config: &Config,
    stage: BenchStage,
    into: Option<&Path>,
    screen: &Screen,
) -> Result<(), Failure> {
    let shutdown = Shutdown::new();
    // The parent has told the person already.
    let signals = signal::watch(&shutdown, &screen.to_quiet())?;
    let outcome = match stage {
        BenchStage::Consume => rehearse(config, RehearsalStage::Consume, &shutdown).await,
        BenchStage::Load => rehearse(config, RehearsalStage::Load, &shutdown).await,
        BenchStage::Land => land(config, into, &shutdown).await,
    };
    signals.abort();
    let told = serde_json::to_string(&outcome?);
    output::text(&told.map_err(|error| Error::internal("tell what a stage did").with_source(error))?)
}

async fn rehearse(config: &Config, stage: RehearsalStage, shutdown: &Shutdown) -> Result<Outcome, Error> {
    let rehearsal = Rehearsal::new(config.peek_source(), config.load_plan()).with_options(config.loader_options());
    let shutdown = shutdown.clone();
    let read = blocking(move || rehearsal.run(stage, &shutdown)).await?;
    Ok(Outcome { record_count: read.record_count, byte_count: Some(read.byte_count) })
}

/// Lands as `rdp load` would, without the group and in the fresh folder.
async fn land(config: &Config, into: Option<&Path>, shutdown: &Shutdown) -> Result<Outcome, Error> {
    let Some(into) = into.and_then(Path::to_str) else {
        return Err(Error::internal("land inside a measured process: no fresh landing was named"));
    };
    let sink = config.clone().with_sink_at(&format!("file:{into}")).open_sink()?;
    let report = Loader::new(config.peek_source(), config.load_plan(), sink)
        .with_limits(config.limits())
        .with_options(config.loader_options())
        .run(Until::LogEnd, shutdown)
        .await?;
    Ok(Outcome { record_count: report.record_count, byte_count: None })
}
