//! `rdp load` and `rdp run`: the loader, with a progress bar before it and a summary behind it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdp_elt::config::Config;
use rdp_elt::sink::Sink;
use rdp_elt::{LoadReport, Loader, Shutdown, Until};
use serde_json::json;

use super::{shell_word, sql};
use crate::exit::Failure;
use crate::number::{bytes, counted, grouped, seconds};
use crate::progress::Progress;
use crate::screen::Screen;
use crate::signal;

pub(super) async fn run(path: &Path, until: Until, screen: &Screen) -> Result<(), Failure> {
    let config = Config::from_path(path)?;
    let shutdown = Shutdown::new();
    let signals = signal::watch(&shutdown, screen)?;
    let landed = land(&config, until, &shutdown, screen).await;
    signals.abort();
    let landed = landed?;
    let printed = screen.output().object(&landed.to_json());
    screen.say(landed.summary(until, shutdown.is_requested()));
    let verdict = if shutdown.is_immediate() { Err(Failure::Stopped) } else { Ok(()) };
    if verdict.is_ok() && landed.report.record_count > 0 {
        screen.say(next_command(&config, path));
    }
    screen.end(printed, verdict)
}

/// What a run did, for its summary.
pub(super) struct Landed {
    pub(super) report: LoadReport,
    pub(super) time: Duration,
    pub(super) file_count: u64,
    sink: String,
}

/// Runs the loader that a config describes.
pub(super) async fn land(
    config: &Config,
    until: Until,
    shutdown: &Shutdown,
    screen: &Screen,
) -> Result<Landed, Failure> {
    let Some(sink) = open_sink(config, until, shutdown, screen).await? else {
        let sink = config.sink_config().map_or_else(String::new, |sink| sink.url().to_owned());
        return Ok(Landed { report: LoadReport::default(), time: Duration::ZERO, file_count: 0, sink });
    };
    let name = sink.describe();
    let progress = Arc::new(Progress::start(screen));
    let observer = progress.clone();
    let loader = Loader::new(config.source(), config.load_plan(), sink)
        .with_limits(config.limits())
        .with_options(config.loader_options())
        .with_observer(move |event| observer.observe(&event));
    let report = tokio::select! {
        report = loader.run(until, shutdown) => report,
        () = stopped_before_reading(shutdown, &progress) => Ok(LoadReport::default()),
    };
    // Whoever stops it while it waits for brokers gets what he asked for.
    let report = match report {
        Err(error) if error.is_retryable() && shutdown.is_requested() && !progress.has_begun() => {
            tracing::debug!(?error, "stopped before it could read");
            Ok(LoadReport::default())
        }
        report => report,
    };
    let (time, file_count) = progress.finish();
    Ok(Landed { report: report?, time, file_count, sink: name })
}

/// Opens the sink, and tries again as long as that may pass, as a disk that comes back. `None` where it was stopped meanwhile.
async fn open_sink(
    config: &Config,
    until: Until,
    shutdown: &Shutdown,
    screen: &Screen,
) -> Result<Option<Arc<dyn Sink>>, Failure> {
    let give_up_after = config.loader_options().give_up_after;
    let patience = give_up_after.or((until == Until::LogEnd).then_some(BOUNDED_PATIENCE));
    let (began, mut told_at) = (Instant::now(), None::<Instant>);
    loop {
        match config.open_sink() {
            Ok(sink) => return Ok(Some(sink)),
            Err(error) if error.is_retryable() && patience.is_none_or(|limit| began.elapsed() < limit) => {
                if shutdown.is_requested() {
                    return Ok(None);
                }
                if told_at.is_none_or(|told_at| told_at.elapsed() > TELL_EVERY) {
                    told_at = Some(Instant::now());
                    screen.say(format_args!("waiting for the landing: {error:#}"));
                }
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
            Err(error) => return Err(error.into()),
        }
    }
}

/// Waits until the run was asked to end, has had a moment for it, and has not even begun to read: it waits for brokers, and
/// there is nothing in hand to wait for.
async fn stopped_before_reading(shutdown: &Shutdown, progress: &Progress) {
    loop {
        while !shutdown.is_requested() || progress.has_begun() {
            tokio::time::sleep(LOOK_EVERY).await;
        }
        tokio::time::sleep(MOMENT).await;
        if !progress.has_begun() {
            return;
        }
    }
}

impl Landed {
    /// Two lines for a person. How fast it was is said only of a bounded run: the other one waits most of the time.
    fn summary(&self, until: Until, was_stopped: bool) -> String {
        let report = &self.report;
        if report.record_count == 0 && was_stopped {
            return format!("stopped: nothing landed in {} ({})", self.sink, seconds(self.time));
        }
        if report.record_count == 0 {
            return format!("nothing new to land: {} is up to date ({})", self.sink, seconds(self.time));
        }
        let rate = u128::from(report.record_count) * 1000 / self.time.as_millis().max(1);
        let rate = match until {
            Until::LogEnd => format!(": {} records/s", grouped(i128::try_from(rate).unwrap_or(i128::MAX))),
            _ => String::new(),
        };
        format!(
            "landed {} ({} quarantined, {}) in {}\n{} in {}, {}{rate}",
            counted(report.record_count, "record"),
            grouped(report.quarantined_count),
            counted(report.tombstone_count, "tombstone"),
            self.sink,
            bytes(report.landed_bytes),
            counted(self.file_count, "file"),
            seconds(self.time),
        )
    }

    fn to_json(&self) -> serde_json::Value {
        let positions: Vec<_> = self
            .report
            .positions
            .iter()
            .map(|(at, position)| json!({"topic": at.topic, "partition": at.partition, "position": position}))
            .collect();
        json!({
            "sink": self.sink,
            "window_count": self.report.window_count,
            "record_count": self.report.record_count,
            "quarantined_count": self.report.quarantined_count,
            "tombstone_count": self.report.tombstone_count,
            "landed_bytes": self.report.landed_bytes,
            "file_count": self.file_count,
            "seconds": self.time.as_secs_f64(),
            "positions": positions,
        })
    }
}

fn next_command(config: &Config, path: &Path) -> String {
    let topic = config.topics().iter().find(|topic| !topic.starts_with('^'));
    let query = topic.map_or_else(|| "SHOW TABLES".to_owned(), |topic| format!("SELECT COUNT(*) FROM \"{topic}\""));
    let path = shell_word(path);
    match sql::IS_BUILT_IN {
        true => format!("next: rdp sql '{query}' --config {path}\n      rdp audit {path}"),
        false => format!("next: rdp audit {path}"),
    }
}

/// How long a run that has not begun to read may take to end by itself.
const MOMENT: Duration = Duration::from_secs(1);
/// How much later than a signal its consequence may come.
const LOOK_EVERY: Duration = Duration::from_millis(50);
/// How long a bounded run waits for its landing where the config does not say.
const BOUNDED_PATIENCE: Duration = Duration::from_secs(300);
/// How often it is told of.
const TELL_EVERY: Duration = Duration::from_secs(20);
