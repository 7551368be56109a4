//! The whole extract-and-load engine: poll a window, load it, append its rows to a sink, commit.
//!
//! [`Loader`] starts lanes and waits for them. A lane ([`lane`]) is one consumer with its load and its open window on one
//! thread; lanes share nothing but what they look up ([`source`]) and how far the run has come ([`run`]). Beside them a
//! [`lookout`] sees what no lane does: topics that went or were made anew, and partitions that came. Retries live here and
//! nowhere else. What they ask of a cluster and of a runtime stands behind seams ([`brokers`], [`executor`]), so that a seed
//! can decide what comes back. A [`rehearsal`] reads the same way and lands nothing, and an
//! [`outlook`] begins the same way and reads nothing.

mod brokers;
mod budget;
mod commit;
mod deal;
mod executor;
mod lane;
mod lookout;
mod outlook;
mod rehearsal;
mod run;
#[cfg(test)]
mod simulation;
mod source;
mod verdict;

use std::sync::Arc;
use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::sync::oneshot;

use self::executor::Executor;
use self::lane::Lane;
use self::run::Run;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{KafkaConsumerBuilder, WindowEnd, WindowLimits};
use crate::load::LoadPlan;
use crate::offset::{OffsetRanges, Positions, TopicPartition};
use crate::sink::{Receipt, Sink, WindowId};

pub use self::outlook::Outlook;
pub use self::rehearsal::{Rehearsal, RehearsalReport, RehearsalStage};

/// When a run ends by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Until {
    /// At the end of the log (the last stable offset of each partition) as of the run's start.
    LogEnd,
    /// Never: it runs until it is told to stop.
    Stopped,
}

/// How the engine goes about it; what lands does not depend on it.
#[derive(Debug, Clone)]
pub struct LoaderOptions {
    /// Consumers side by side, each on its own thread. Default 1.
    pub lanes: usize,
    /// Hard cap, in bytes, on what windows, librdkafka's queues and open writers hold together. Default 256 MiB.
    pub memory_bytes: usize,
    /// Longest wait between two tries while something is unavailable. Default 30 s.
    pub retry_cap: Duration,
    /// How long something may stay unavailable before the run gives up with that error. Default `None`: a bounded run
    /// after five minutes, an unbounded one never. `Duration::MAX` is never for both.
    pub give_up_after: Option<Duration>,
}

impl Default for LoaderOptions {
    fn default() -> Self {
        LoaderOptions { lanes: 1, memory_bytes: 256 << 20, retry_cap: Duration::from_secs(30), give_up_after: None }
    }
}

/// Asks a run to end: once to finish the window in hand, twice to stop at once. Both are safe.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(Arc<AtomicU8>);

impl Shutdown {
    /// Nothing asked for yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Asks: the first time to land the window in hand and end, the second time to end at once.
    pub fn request(&self) {
        let _ = self.0.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |asked| Some(asked.saturating_add(1)));
    }

    /// Whether an end was asked for.
    pub fn is_requested(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 1
    }

    /// Whether an end at once was asked for.
    pub fn is_immediate(&self) -> bool {
        self.0.load(Ordering::SeqCst) >= 2
    }
}

/// What a run tells while it goes on, for progress bars and logs.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum LoadEvent {
    /// Reading begins or goes on here: after the start and after every rebalance.
    Assigned {
        /// Where reading begins, for each partition that came.
        positions: Positions,
        /// With [`Until::LogEnd`], where each partition of the topics will be done.
        ends: Option<Positions>,
    },
    /// Records were polled and loaded, not landed yet.
    Loaded {
        /// How many.
        record_count: u64,
    },
    /// A window landed.
    Landed {
        /// The window's name.
        window: WindowId,
        /// What it covers.
        ranges: OffsetRanges,
        /// Records in it, quarantined ones and tombstones included.
        record_count: u64,
        /// Records of these that are quarantined.
        quarantined_count: u64,
        /// What the sink says of the commit.
        receipt: Receipt,
        /// The lane that it came through.
        lane: usize,
        /// Why it closed.
        closed_by: WindowEnd,
        /// For how long it was open.
        open_for: Duration,
        /// How long it took to commit.
        committed_in: Duration,
    },
    /// Something is unavailable and is tried again.
    Retrying {
        /// What kind of thing went wrong.
        kind: ErrorKind,
        /// What went wrong.
        error: String,
        /// How long it waits before the next try.
        wait: Duration,
    },
    /// There is something to land and nothing comes, for a while already; it goes on being tried.
    Waiting {
        /// What it waits for, and what is known of why.
        reason: String,
        /// For how long.
        since: Duration,
    },
    /// Partitions were taken away.
    Revoked {
        /// Which.
        partitions: Vec<TopicPartition>,
    },
}

/// What a run did.
#[derive(Debug, Clone, Default)]
pub struct LoadReport {
    /// Windows that landed.
    pub window_count: u64,
    /// Records that landed, quarantined ones and tombstones included.
    pub record_count: u64,
    /// Records of these that are quarantined.
    pub quarantined_count: u64,
    /// Records of these that are tombstones.
    pub tombstone_count: u64,
    /// Bytes that the sink grew by.
    pub landed_bytes: u64,
    /// How far each partition that the run owned has landed.
    pub positions: Positions,
}

/// Lands topics in a sink, exactly once.
pub struct Loader {
    source: KafkaConsumerBuilder,
    load: LoadPlan,
    sink: Arc<dyn Sink>,
    limits: WindowLimits,
    options: LoaderOptions,
    observer: Arc<dyn Fn(LoadEvent) + Send + Sync>,
}

impl Loader {
    /// A loader from a source, through a load (one for all topics, or a [`LoadPlan`] by topic), into a sink. Cheap: nothing
    /// is opened yet.
    pub fn new(source: KafkaConsumerBuilder, load: impl Into<LoadPlan>, sink: Arc<dyn Sink>) -> Self {
        Loader {
            source,
            load: load.into(),
            sink,
            limits: WindowLimits::default(),
            options: LoaderOptions::default(),
            observer: Arc::new(|_| {}),
        }
    }

    /// When a window closes.
    #[must_use]
    pub fn with_limits(mut self, limits: WindowLimits) -> Self {
        self.limits = limits;
        self
    }

    /// How the engine goes about it.
    #[must_use]
    pub fn with_options(mut self, options: LoaderOptions) -> Self {
        self.options = options;
        self
    }

    /// Is told what happens; called from the lanes' threads, so it must be quick.
    #[must_use]
    pub fn with_observer(mut self, observer: impl Fn(LoadEvent) + Send + Sync + 'static) -> Self {
        self.observer = Arc::new(observer);
        self
    }

    /// Runs until the end that `until` names, or until `shutdown` asks for it.
    ///
    /// A bounded run looks at its topics again before it ends, and reads partitions that it did not know as well: a broker that
    /// has just started may not know all of them.
    ///
    /// Needs a Tokio runtime with time enabled. Each lane is a thread of its own; commits run on the runtime.
    ///
    /// # Errors
    /// The first error of a lane that waiting does not mend, or `SourceChanged` where a topic was deleted or made anew.
    /// What was not committed by then has not landed.
    pub async fn run(&self, until: Until, shutdown: &Shutdown) -> Result<LoadReport> {
        let mut report = LoadReport::default();
        loop {
            let run = Arc::new(Run::open(self, until, shutdown).await?);
            report.add(self.run_lanes(&run).await?);
            if until != Until::LogEnd || shutdown.is_requested() || !run.overlooked_some().await? {
                return Ok(report);
            }
            tracing::info!("there are partitions that the run did not know: they are read as well");
        }
    }

    async fn run_lanes(&self, run: &Arc<Run>) -> Result<LoadReport> {
        let lanes = run.share_out(self.options.lanes);
        lookout::start(run, run.look_every())?;
        let mut ended = Vec::new();
        for (number, source) in lanes.into_iter().enumerate() {
            ended.push(start_lane(number, source, run)?);
        }
        let mut report = LoadReport::default();
        let mut first_error = None;
        for lane in ended {
            match lane
                .await
                .unwrap_or_else(|_| Err(Error::internal("a lane ended without a word: see its panic above")))
            {
                Ok(of_lane) => report.add(of_lane),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        first_error.or_else(|| run.verdict()).map_or(Ok(report), Err)
    }
}

impl LoadReport {
    fn add(&mut self, other: LoadReport) {
        self.window_count += other.window_count;
        self.record_count += other.record_count;
        self.quarantined_count += other.quarantined_count;
        self.tombstone_count += other.tombstone_count;
        self.landed_bytes += other.landed_bytes;
        self.positions.extend(other.positions.iter().map(|(partition, position)| (partition.clone(), position)));
    }
}

/// Starts a lane on a thread of its own; its outcome comes through the channel. A lane that fails ends the others.
fn start_lane(
    number: usize,
    source: KafkaConsumerBuilder,
    run: &Arc<Run>,
) -> Result<oneshot::Receiver<Result<LoadReport>>> {
    let (tell, outcome) = oneshot::channel();
    let (run, runtime) = (run.clone(), Handle::current());
    std::thread::Builder::new()
        .name(format!("rdp-lane-{number}"))
        .spawn(move || {
            // Ends the other lanes on every way out that is not a good one, a panic included.
            let guard = run::FailOnDrop::new(run.clone());
            let outcome = Lane::open(number, source, run, Executor::Runtime(runtime)).and_then(Lane::run);
            if outcome.is_ok() {
                guard.disarm();
            }
            // The receiver is gone only where nobody waits any more.
            let _ = tell.send(outcome);
        })
        .map_err(|cause| Error::unavailable(format!("start lane {number}")).with_source(cause))?;
    Ok(outcome)
}

/// How long there may be something to land, and nothing comes, until it is told.
const TELL_AFTER: Duration = Duration::from_secs(10);
/// How often it is told again.
const TELL_EVERY: Duration = Duration::from_secs(20);
