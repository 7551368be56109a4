//! What the lanes of one run share: settings, how far the run has come, and when it is over.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::runtime::Handle;

use super::deal::Deal;
use super::lookout::{Lookout, Verdict};
use super::source::Source;
use super::{LoadEvent, Loader, LoaderOptions, Shutdown, Until};
use crate::error::{Error, Result};
use crate::kafka::{KafkaConsumerBuilder, WindowLimits};
use crate::load::LoadOptions;
use crate::offset::{Positions, TopicPartition};
use crate::sink::Sink;

pub(super) struct Run {
    pub(super) source: Arc<Source>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) load: LoadOptions,
    pub(super) limits: WindowLimits,
    pub(super) options: LoaderOptions,
    pub(super) shutdown: Shutdown,
    /// Where a bounded run is over, for every partition of its topics; `None` where it is not bounded.
    pub(super) ends: Option<Positions>,
    builder: KafkaConsumerBuilder,
    observer: Arc<dyn Fn(LoadEvent) + Send + Sync>,
    landed: Mutex<Landed>,
    failed: AtomicBool,
    /// Empty where a group deals out.
    deal: Mutex<Deal>,
    lookout: OnceLock<Lookout>,
    verdict: Mutex<Option<Verdict>>,
}

/// How far each partition is known to have landed, by whomever.
#[derive(Default)]
struct Landed {
    positions: Positions,
    asked_at: Option<Instant>,
}

impl Run {
    /// Connects, and finds out where a bounded run ends. Tries again as long as the brokers cannot be reached.
    pub(super) async fn open(loader: &Loader, until: Until, shutdown: &Shutdown) -> Result<Self> {
        // Leaves room for the open landing and for the one that is being committed.
        let mut builder =
            loader.source.clone().with_queue_bytes(loader.options.memory_bytes / 4 / loader.options.lanes.max(1));
        if until == Until::LogEnd {
            builder = builder.with_end_events();
        }
        let mut options = loader.options.clone();
        if until == Until::LogEnd {
            options.give_up_after.get_or_insert(BOUNDED_GIVE_UP);
        }
        let mut patience = Patience::new(&options);
        let (source, ends) = loop {
            let (builder, sink) = (builder.clone(), loader.sink.clone());
            let runtime = Handle::current();
            let opening = tokio::task::spawn_blocking(move || {
                let mut source = Source::connect(&builder, sink)?;
                let partitions = source.partitions()?;
                let ends = if until == Until::LogEnd { Some(source.log_ends(&partitions)?) } else { None };
                // A source that is not the one that was landed stops the run even where there is nothing to read.
                source.positions(&partitions, &runtime)?;
                source.begin(partitions);
                Ok((source, ends))
            });
            match opening.await.map_err(|cause| Error::internal("connect to the source").with_source(cause))? {
                Ok(opened) => break opened,
                Err(error) => {
                    let wait = patience.wait(error, shutdown, &*loader.observer)?;
                    tokio::time::sleep(wait).await;
                }
            }
        };
        Ok(Run {
            source: Arc::new(source),
            sink: loader.sink.clone(),
            load: loader.load.clone(),
            limits: loader.limits.clone(),
            options,
            shutdown: shutdown.clone(),
            ends,
            builder,
            observer: loader.observer.clone(),
            landed: Mutex::default(),
            failed: AtomicBool::new(false),
            deal: Mutex::default(),
            lookout: OnceLock::new(),
            verdict: Mutex::default(),
        })
    }

    /// One consumer description per lane. In a group each lane is a member; without one the partitions are dealt out.
    pub(super) fn share_out(&self, lanes: usize) -> Vec<KafkaConsumerBuilder> {
        let lanes = lanes.max(1);
        if self.builder.joins_group() {
            return vec![self.builder.clone(); lanes];
        }
        let partitions = self.source.present();
        let lanes = lanes.min(partitions.len().max(1));
        let mut deal = lock(&self.deal);
        *deal = Deal::among(lanes);
        deal.add(partitions);
        (0..lanes).map(|lane| self.builder.clone().without_partitions().partitions(deal.take(lane))).collect()
    }

    /// Deals out what was not dealt out before. A group sees to it by itself; partitions that were named stay as they are;
    /// and a bounded run ends where the partitions of its start end.
    pub(super) fn deal_out(&self, partitions: impl Iterator<Item = TopicPartition>) {
        if self.ends.is_some() || self.builder.joins_group() || self.builder.assigned_partitions().is_some() {
            return;
        }
        let count = lock(&self.deal).add(partitions);
        if count > 0 {
            tracing::info!(count, "partitions were added");
        }
    }

    /// What was dealt to a lane since it asked last.
    pub(super) fn take_added(&self, lane: usize) -> Vec<TopicPartition> {
        lock(&self.deal).take(lane)
    }

    /// Starts to look at the cluster beside the lanes.
    pub(super) fn keep_lookout(self: &Arc<Self>) -> Result<()> {
        let lookout = Lookout::start(self, self.builder.metadata_interval())?;
        self.lookout.get_or_init(|| lookout);
        Ok(())
    }

    /// Asks the lookout for a look soon.
    pub(super) fn nudge_lookout(&self) {
        if let Some(lookout) = self.lookout.get() {
            lookout.nudge();
        }
    }

    /// Ends the run: its lanes give their open windows up.
    pub(super) fn fail(&self, verdict: Verdict) {
        lock(&self.verdict).get_or_insert(verdict);
        self.failed.store(true, Ordering::SeqCst);
    }

    /// Why the lookout ended the run, where it did.
    pub(super) fn verdict(&self) -> Option<Error> {
        let verdict = lock(&self.verdict).take()?;
        Some(verdict.into_error(&lock(&self.landed).positions))
    }

    pub(super) fn tell(&self, event: LoadEvent) {
        (self.observer)(event);
    }

    pub(super) fn patience(&self) -> Patience {
        Patience::new(&self.options)
    }

    /// Whether another lane has failed, or the lookout has seen why the run cannot go on.
    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Notes how far partitions have landed, or that there is nothing to land below a position.
    pub(super) fn note_landed(&self, positions: &Positions) {
        let mut landed = lock(&self.landed);
        landed.positions.extend(positions.iter().map(|(partition, position)| (partition.clone(), position)));
    }

    /// Whether a bounded run is over: every partition has landed up to its end, by this process or by another of the
    /// group. Those of others are looked up in the sink, once a second.
    pub(super) fn is_over(&self, runtime: &Handle) -> Result<bool> {
        let Some(ends) = &self.ends else { return Ok(false) };
        let open: Vec<TopicPartition> = {
            let mut landed = lock(&self.landed);
            let is_open = |(partition, end): (&TopicPartition, i64)| {
                (landed.positions.position(partition).is_none_or(|position| position < end)).then(|| partition.clone())
            };
            let open: Vec<_> = ends.iter().filter_map(is_open).collect();
            if open.is_empty() {
                return Ok(true);
            }
            if landed.asked_at.is_some_and(|asked_at| asked_at.elapsed() < Duration::from_secs(1)) {
                return Ok(false);
            }
            landed.asked_at = Some(Instant::now());
            open
        };
        self.note_landed(&self.source.positions_unchecked(&open, runtime)?);
        Ok(false)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Marks the run as failed unless told otherwise.
pub(super) struct FailOnDrop(Option<Arc<Run>>);

impl FailOnDrop {
    pub(super) fn new(run: Arc<Run>) -> Self {
        FailOnDrop(Some(run))
    }

    pub(super) fn disarm(mut self) {
        self.0 = None;
    }
}

impl Drop for FailOnDrop {
    fn drop(&mut self) {
        if let Some(run) = &self.0 {
            run.failed.store(true, Ordering::SeqCst);
        }
    }
}

/// How long to wait between tries, and when to give up: capped exponential with jitter.
pub(super) struct Patience {
    waits: ExponentialBackoff,
    builder: ExponentialBuilder,
    give_up_after: Option<Duration>,
    failing_since: Option<Instant>,
}

impl Patience {
    fn new(options: &LoaderOptions) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(options.retry_cap)
            .without_max_times()
            .with_jitter();
        Patience { waits: builder.build(), builder, give_up_after: options.give_up_after, failing_since: None }
    }

    /// Something worked: the next failure begins anew.
    pub(super) fn reset(&mut self) {
        if self.failing_since.take().is_some() {
            self.waits = self.builder.build();
        }
    }

    /// How long to wait before the next try; the error itself where waiting does not mend it or has lasted too long.
    pub(super) fn wait(
        &mut self,
        error: Error,
        shutdown: &Shutdown,
        observer: &(dyn Fn(LoadEvent) + Send + Sync),
    ) -> Result<Duration> {
        let since = *self.failing_since.get_or_insert_with(Instant::now);
        let patient = self.give_up_after.is_none_or(|limit| since.elapsed() < limit);
        if !error.is_retryable() || !patient || shutdown.is_requested() {
            return Err(error);
        }
        let wait = self.waits.next().unwrap_or(Duration::from_secs(1));
        tracing::debug!(?error, ?wait, "unavailable, trying again");
        observer(LoadEvent::Retrying { error: error.to_string(), wait });
        Ok(wait)
    }
}

/// How long a bounded run is patient where the options do not say.
const BOUNDED_GIVE_UP: Duration = Duration::from_secs(300);
