//! What the lanes of one run share: settings, how far the run has come, and when it is over.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::Thread;
use std::time::Duration;

use backon::{BackoffBuilder, ExponentialBackoff, ExponentialBuilder};
use tokio::runtime::Handle;

use super::deal::Deal;
use super::executor::Executor;
use super::source::Source;
use super::verdict::Verdict;
use super::{LoadEvent, Loader, LoaderOptions, Shutdown, Until};
use crate::clock::{Clock, Moment, SystemClock};
use crate::error::{Error, Result};
use crate::kafka::{KafkaConsumerBuilder, WindowLimits};
use crate::load::LoadPlan;
use crate::offset::{Positions, TopicPartition};
use crate::sink::Sink;

pub(super) struct Run {
    pub(super) source: Arc<Source>,
    pub(super) sink: Arc<dyn Sink>,
    pub(super) load: LoadPlan,
    pub(super) limits: WindowLimits,
    pub(super) options: LoaderOptions,
    pub(super) shutdown: Shutdown,
    pub(super) clock: Arc<dyn Clock>,
    /// Where a bounded run is over, for every partition of its topics; `None` where it is not bounded.
    pub(super) ends: Option<Positions>,
    /// The partitions as of the run's start.
    present: Vec<TopicPartition>,
    builder: KafkaConsumerBuilder,
    observer: Arc<dyn Fn(LoadEvent) + Send + Sync>,
    landed: Mutex<Landed>,
    failed: AtomicBool,
    /// Empty where a group deals out.
    deal: Mutex<Deal>,
    /// The thread that looks at the cluster beside the lanes.
    lookout: OnceLock<Thread>,
    verdict: Mutex<Option<Verdict>>,
    topics: Mutex<BTreeSet<String>>,
    /// Where the logs ended when somebody looked last.
    log_ends: Mutex<Positions>,
    /// When the brokers last gave records or an answer, in milliseconds of the clock.
    heard_at: AtomicU64,
}

/// How far each partition is known to have landed, by whomever.
#[derive(Default)]
struct Landed {
    positions: Positions,
    asked_at: Option<Moment>,
    /// When that changed last.
    moved_at: Moment,
}

impl Run {
    /// Connects, and finds out where a bounded run ends. Tries again as long as the brokers cannot be reached.
    pub(super) async fn open(loader: &Loader, until: Until, shutdown: &Shutdown) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let builder = builder_of(loader);
        let mut patience = Patience::new(&options_of(loader, until), clock.clone());
        let opened = patiently(&mut patience, shutdown, &*loader.observer, || {
            let (builder, sink, patient_for) = (builder.clone(), loader.sink.clone(), loader.options.give_up_after);
            let (load, executor) = (loader.load.clone(), Executor::Runtime(Handle::current()));
            move || Opened::of(Source::connect(&builder, sink, load, patient_for)?, until, &executor)
        })
        .await?;
        Ok(Self::new(loader, until, shutdown, clock, opened))
    }

    /// A run over what was opened.
    pub(super) fn new(
        loader: &Loader,
        until: Until,
        shutdown: &Shutdown,
        clock: Arc<dyn Clock>,
        opened: Opened,
    ) -> Self {
        let Opened { source, present, ends, landed } = opened;
        let topics = present.iter().map(|partition| partition.topic.to_string()).collect();
        Run {
            source: Arc::new(source),
            sink: loader.sink.clone(),
            load: loader.load.clone(),
            limits: loader.limits.clone(),
            options: options_of(loader, until),
            shutdown: shutdown.clone(),
            heard_at: AtomicU64::new(millis(clock.now())),
            landed: Mutex::new(Landed { positions: landed, asked_at: None, moved_at: clock.now() }),
            clock,
            ends,
            present,
            builder: builder_of(loader),
            observer: loader.observer.clone(),
            failed: AtomicBool::new(false),
            deal: Mutex::default(),
            lookout: OnceLock::new(),
            verdict: Mutex::default(),
            topics: Mutex::new(topics),
            log_ends: Mutex::default(),
        }
    }

    /// Whether the topics have partitions now that the run did not know. Tries again as long as the brokers cannot be reached.
    pub(super) async fn overlooked_some(&self) -> Result<bool> {
        patiently(&mut self.patience(), &self.shutdown, &*self.observer, || {
            let source = self.source.clone();
            move || source.overlooked_some()
        })
        .await
    }

    /// One consumer description per lane. In a group each lane is a member; without one the partitions are dealt out.
    pub(super) fn share_out(&self, lanes: usize) -> Vec<KafkaConsumerBuilder> {
        let lanes = lanes.max(1);
        if self.builder.joins_group() {
            return vec![self.builder.clone(); lanes];
        }
        let lanes = lanes.min(self.present.len().max(1));
        let mut deal = lock(&self.deal);
        *deal = Deal::among(lanes);
        deal.add(self.present.iter().cloned());
        (0..lanes).map(|lane| self.builder.clone().without_partitions().partitions(deal.take(lane))).collect()
    }

    /// The partitions as of the run's start.
    pub(super) fn present(&self) -> &[TopicPartition] {
        &self.present
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

    /// Notes the topics that the names and patterns of the run mean now.
    pub(super) fn note_topics<'a>(&self, names: impl Iterator<Item = &'a str>) {
        if self.builder.has_patterns() {
            lock(&self.topics).extend(names.map(str::to_owned));
        }
    }

    /// The topics that the names and patterns of the run mean: for a group, which is told names alone.
    pub(super) fn topics(&self) -> Vec<String> {
        lock(&self.topics).iter().cloned().collect()
    }

    /// How many those are.
    pub(super) fn topic_count(&self) -> usize {
        lock(&self.topics).len()
    }

    /// Whether there is a group to tell how far the run has come.
    pub(super) fn reports_positions(&self) -> bool {
        self.builder.group().is_some()
    }

    /// How often the cluster is to be looked at beside the lanes.
    pub(super) fn look_every(&self) -> Duration {
        self.builder.metadata_interval().min(LOOK_EVERY)
    }

    /// Notes who looks at it.
    pub(super) fn is_watched_by(&self, lookout: Thread) {
        self.lookout.get_or_init(|| lookout);
    }

    /// Asks the lookout for a look soon: a lane was told that a topic is missing.
    pub(super) fn nudge_lookout(&self) {
        if let Some(lookout) = self.lookout.get() {
            lookout.unpark();
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
        Patience::new(&self.options, self.clock.clone())
    }

    /// Whether another lane has failed, or the lookout has seen why the run cannot go on.
    pub(super) fn is_failed(&self) -> bool {
        self.failed.load(Ordering::SeqCst)
    }

    /// Notes how far partitions have landed, or that there is nothing to land below a position.
    pub(super) fn note_landed(&self, positions: &Positions) {
        let mut landed = lock(&self.landed);
        for (partition, position) in positions.iter() {
            if landed.positions.position(partition) != Some(position) {
                landed.positions.insert(partition.clone(), position);
                landed.moved_at = self.clock.now();
            }
        }
    }

    /// Notes that the brokers gave records or an answer.
    pub(super) fn note_heard(&self) {
        self.heard_at.store(millis(self.clock.now()), Ordering::Relaxed);
    }

    /// When the brokers last gave records or an answer.
    pub(super) fn heard_at(&self) -> Moment {
        Duration::from_millis(self.heard_at.load(Ordering::Relaxed))
    }

    /// Notes where the logs end now.
    pub(super) fn note_log_ends(&self, ends: Positions) {
        *lock(&self.log_ends) = ends;
    }

    /// Up to where a partition can be read, as far as is known.
    pub(super) fn known_end(&self, of: &TopicPartition) -> Option<i64> {
        match &self.ends {
            Some(ends) => ends.position(of),
            None => lock(&self.log_ends).position(of),
        }
    }

    /// A partition of which there is something to land, and since when nobody has landed anything of any; `None` where all
    /// that is known to be there has landed.
    pub(super) fn lagging(&self) -> Option<(TopicPartition, Moment)> {
        let log_ends = lock(&self.log_ends);
        let ends = self.ends.as_ref().unwrap_or(&log_ends);
        let landed = lock(&self.landed);
        let lags = |of: &TopicPartition, end: i64| landed.positions.position(of).is_none_or(|landed| landed < end);
        let (partition, _) = ends.iter().find(|(partition, end)| lags(partition, *end))?;
        Some((partition.clone(), landed.moved_at))
    }

    /// Looks up in the sink how far others of the group have landed what this process does not read.
    pub(super) fn refresh_landed(&self, executor: &Executor) -> Result<()> {
        let of: Vec<_> = lock(&self.landed).positions.partitions().cloned().collect();
        self.note_landed(&self.source.landed(&of, executor)?);
        Ok(())
    }

    /// Whether a bounded run is over: every partition has landed up to its end, by this process or by another of the
    /// group. Those of others are looked up in the sink, once a second.
    pub(super) fn is_over(&self, executor: &Executor) -> Result<bool> {
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
            if landed.asked_at.is_some_and(|asked_at| self.clock.since(asked_at) < Duration::from_secs(1)) {
                return Ok(false);
            }
            landed.asked_at = Some(self.clock.now());
            open
        };
        self.note_landed(&self.source.landed(&open, executor)?);
        Ok(false)
    }
}

impl Drop for Run {
    /// The lookout ends with the run, and notices when it looks up.
    fn drop(&mut self) {
        self.nudge_lookout();
    }
}

/// What is found out before a run begins.
pub(super) struct Opened {
    source: Source,
    present: Vec<TopicPartition>,
    ends: Option<Positions>,
    landed: Positions,
}

impl Opened {
    pub(super) fn of(mut source: Source, until: Until, executor: &Executor) -> Result<Self> {
        let present = source.partitions()?;
        let ends = if until == Until::LogEnd { Some(source.log_ends(&present)?) } else { None };
        // A source that is not the one that was landed stops the run even where there is nothing to read; and where reading
        // begins is in the sink before anything is read.
        let starts = source.starts(&present, executor)?;
        source.check_whole(&present, executor)?;
        source.begin(&present);
        let landed = starts.into_iter().map(|(partition, start)| (partition, start.landed)).collect();
        Ok(Opened { source, present, ends, landed })
    }
}

/// Asks brokers, which blocks, again and again as long as they cannot be reached.
async fn patiently<T, Q>(
    patience: &mut Patience,
    shutdown: &Shutdown,
    observer: &(dyn Fn(LoadEvent) + Send + Sync),
    mut question: impl FnMut() -> Q,
) -> Result<T>
where
    Q: FnOnce() -> Result<T> + Send + 'static,
    T: Send + 'static,
{
    loop {
        let asked = tokio::task::spawn_blocking(question());
        match asked.await.map_err(|cause| Error::internal("ask the source").with_source(cause))? {
            Ok(answer) => return Ok(answer),
            Err(error) => tokio::time::sleep(patience.wait(error, shutdown, observer)?).await,
        }
    }
}

/// Leaves room for the open landing and for the one that is being committed.
pub(super) fn builder_of(loader: &Loader) -> KafkaConsumerBuilder {
    // The ends of partitions are asked for in every run: the position steps over markers that no reader sees.
    loader.source.clone().with_queue_bytes(loader.options.budget().queue_bytes()).with_end_events()
}

fn options_of(loader: &Loader, until: Until) -> LoaderOptions {
    let mut options = loader.options.clone();
    if until == Until::LogEnd {
        options.give_up_after.get_or_insert(BOUNDED_GIVE_UP);
    }
    options
}

fn millis(moment: Moment) -> u64 {
    u64::try_from(moment.as_millis()).unwrap_or(u64::MAX)
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
    failing_since: Option<Moment>,
    clock: Arc<dyn Clock>,
}

impl Patience {
    fn new(options: &LoaderOptions, clock: Arc<dyn Clock>) -> Self {
        let builder = ExponentialBuilder::default()
            .with_min_delay(Duration::from_millis(100))
            .with_max_delay(options.retry_cap)
            .without_max_times()
            .with_jitter()
            .with_jitter_seed(clock.seed());
        let give_up_after = options.give_up_after;
        Patience { waits: builder.build(), builder, give_up_after, failing_since: None, clock }
    }

    /// Something worked: the next failure begins anew.
    pub(super) fn reset(&mut self) {
        if self.failing_since.take().is_some() {
            self.waits = self.builder.build();
        }
    }

    /// [`reset`](Self::reset) where something worked after the first failure.
    pub(super) fn reset_if_worked(&mut self, at: Moment) {
        if self.failing_since.is_some_and(|since| since < at) {
            self.reset();
        }
    }

    /// How long to wait before the next try; the error itself where waiting does not mend it or has lasted too long.
    pub(super) fn wait(
        &mut self,
        error: Error,
        shutdown: &Shutdown,
        observer: &(dyn Fn(LoadEvent) + Send + Sync),
    ) -> Result<Duration> {
        let now = self.clock.now();
        let since = *self.failing_since.get_or_insert(now);
        let patient = self.give_up_after.is_none_or(|limit| now.saturating_sub(since) < limit);
        if !error.is_retryable() || !patient || shutdown.is_requested() {
            return Err(error);
        }
        let mut wait = self.waits.next().unwrap_or(Duration::from_secs(1));
        if let Some(limit) = self.give_up_after {
            wait = wait.min(since.saturating_add(limit).saturating_sub(now).max(Duration::from_millis(1)));
        }
        tracing::debug!(?error, ?wait, "unavailable, trying again");
        observer(LoadEvent::Retrying { kind: error.kind(), error: format!("{error:#}"), wait });
        Ok(wait)
    }
}

/// How long a bounded run is patient where the options do not say.
const BOUNDED_GIVE_UP: Duration = Duration::from_secs(300);
/// How often the cluster is looked at, at the least.
const LOOK_EVERY: Duration = Duration::from_secs(10);
