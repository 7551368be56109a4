//! A rehearsal: reads what the topics hold, as a loader would, and lands nothing.
//!
//! It stands beside the lanes and shares their consumer and their load, so it proves what a topic costs to read and to
//! load before anything lands. It joins no group, asks no sink and reports no position: a loader of the same topics does
//! not notice it.

use std::collections::BTreeMap;
use std::num::NonZeroUsize;
use std::thread;
use std::time::{Duration, Instant};

use super::budget::Budget;
use super::{LoaderOptions, Shutdown, TELL_AFTER, TELL_EVERY};
use crate::error::{Error, Result};
use crate::kafka::{Cluster, Consumer, KafkaConsumerBuilder, Place, Polled, Rebalance, Slice};
use crate::load::{LoadPlan, RecordLoaders};
use crate::offset::{Positions, TopicPartition};

/// How far a [`Rehearsal`] takes each record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RehearsalStage {
    /// Out of librdkafka and back: nothing is done with the records. What the wire, the decompression and the checksums
    /// cost.
    Consume,
    /// Loaded into landing rows too, which are dropped.
    Load,
}

/// Reads topics from the source's start to their end as of now, and lands nothing.
///
/// ```no_run
/// # use rdp_elt::kafka::KafkaConsumerBuilder;
/// # use rdp_elt::load::LoadOptions;
/// # use rdp_elt::{Rehearsal, RehearsalStage, Shutdown};
/// # fn main() -> rdp_elt::Result<()> {
/// let source = KafkaConsumerBuilder::new("localhost:9092").topics(["orders"]);
/// let read = Rehearsal::new(source, LoadOptions::default()).run(RehearsalStage::Load, &Shutdown::new())?;
/// println!("{} records, {} would be quarantined", read.record_count, read.quarantined_count);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Rehearsal {
    source: KafkaConsumerBuilder,
    load: LoadPlan,
    options: LoaderOptions,
}

/// What a rehearsal read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RehearsalReport {
    /// Records read.
    pub record_count: u64,
    /// Bytes of their keys and values.
    pub byte_count: u64,
    /// Records of these that would be quarantined; known to [`RehearsalStage::Load`] alone.
    pub quarantined_count: u64,
}

impl Rehearsal {
    /// A rehearsal of a source and a load. Cheap: nothing is opened yet. The source's group is left out.
    pub fn new(source: KafkaConsumerBuilder, load: impl Into<LoadPlan>) -> Self {
        Rehearsal { source: source.without_group(), load: load.into(), options: LoaderOptions::default() }
    }

    /// Reads with as many lanes and as much memory as a loader with these options.
    #[must_use]
    pub fn with_options(mut self, options: LoaderOptions) -> Self {
        self.options = options;
        self
    }

    /// Reads to the end, or until `shutdown` asks for it. Blocks: inside an async runtime call it where blocking is
    /// allowed. Each lane is a thread of its own.
    ///
    /// # Errors
    /// The first error of a lane; `Unavailable` where no broker answered for as long as the options give up after, by
    /// default for 30 s. Nothing is tried again from the start: half a reading measures nothing.
    pub fn run(&self, stage: RehearsalStage, shutdown: &Shutdown) -> Result<RehearsalReport> {
        let lane_count = NonZeroUsize::new(self.options.lanes).map_or(1, NonZeroUsize::get);
        let source = self
            .source
            .clone()
            .with_end_events()
            .with_queue_bytes(Budget::of(self.options.memory_bytes, lane_count).queue_bytes());
        let cluster = Cluster::connect(&source)?;
        let partitions = cluster.partitions()?;
        let starts = cluster.start_offsets(&partitions, source.start_position())?;
        let ends = cluster.watermarks(&partitions)?.into_iter().map(|(partition, marks)| (partition, marks.high));
        let range = Span { starts, ends: ends.collect() };

        let lane_count = lane_count.min(partitions.len().max(1));
        thread::scope(|scope| {
            let start = |lane| {
                let share = partitions.iter().skip(lane).step_by(lane_count).cloned();
                let (source, range) = (source.clone().partitions(share), &range);
                let read = move || self.read(&source, range, stage, shutdown);
                let named = thread::Builder::new().name(format!("rdp-rehearsal-{lane}"));
                let failed = |cause| Error::unavailable(format!("start lane {lane}")).with_source(cause);
                named.spawn_scoped(scope, read).map_err(failed)
            };
            let lanes = (0..lane_count).map(start).collect::<Result<Vec<_>>>()?;
            let mut report = RehearsalReport::default();
            for lane in lanes {
                let ended =
                    lane.join().unwrap_or_else(|_| Err(Error::internal("a lane panicked: see its panic above")));
                report.add(&ended?);
            }
            Ok(report)
        })
    }

    /// One lane's reading.
    fn read(
        &self,
        source: &KafkaConsumerBuilder,
        range: &Span,
        stage: RehearsalStage,
        shutdown: &Shutdown,
    ) -> Result<RehearsalReport> {
        let mut loading = RecordLoaders::new(&self.load)?;
        let mut consumer = Consumer::open(source)?;
        consumer.set_ends(range.ends.clone());
        let give_up_after = self.options.give_up_after.unwrap_or(GIVE_UP_AFTER);
        let mut heard_at = Instant::now();
        let mut is_assigned = false;
        let mut tell_at = TELL_AFTER;
        let mut report = RehearsalReport::default();
        loop {
            if shutdown.is_requested() || is_assigned && consumer.is_done() {
                return Ok(report);
            }
            match consumer.poll(usize::MAX, POLL_TIMEOUT)? {
                Polled::Slice(slice) => {
                    report.take(&slice, stage, &mut loading)?;
                    (heard_at, tell_at) = (Instant::now(), TELL_AFTER);
                }
                Polled::Rebalance(Rebalance::Assign(partitions)) => {
                    consumer.assign(&range.starts_of(&partitions))?;
                    is_assigned = true;
                }
                Polled::Rebalance(Rebalance::Revoke { partitions, .. }) => consumer.revoke(&partitions)?,
                Polled::Nothing => {}
            }
            let silent_for = heard_at.elapsed();
            match consumer.take_trouble() {
                Some(trouble) if !trouble.is_retryable() || silent_for > give_up_after => return Err(trouble),
                _ if silent_for > give_up_after => {
                    let message = format!("read to the end: nothing has come for {} s", silent_for.as_secs());
                    return Err(
                        Error::unavailable(message).with_help("check that the partitions' leaders can be reached")
                    );
                }
                _ if silent_for >= tell_at => {
                    tell_at += TELL_EVERY;
                    tracing::warn!(since = ?silent_for, "nothing comes: waiting for the partitions' leaders");
                }
                _ => {}
            }
        }
    }
}

impl RehearsalReport {
    fn take(&mut self, slice: &Slice, stage: RehearsalStage, loading: &mut RecordLoaders) -> Result<()> {
        self.record_count += slice.record_count as u64;
        self.byte_count += slice.byte_count as u64;
        if stage == RehearsalStage::Load {
            for group in &slice.groups {
                let rows = loading.of(&group.partition.topic).load(&group.partition, &mut slice.records(group))?;
                self.quarantined_count += rows.quarantined_count;
            }
        }
        Ok(())
    }

    fn add(&mut self, other: &RehearsalReport) {
        self.record_count += other.record_count;
        self.byte_count += other.byte_count;
        self.quarantined_count += other.quarantined_count;
    }
}

/// What is read of each partition.
struct Span {
    starts: Positions,
    ends: Positions,
}

impl Span {
    fn starts_of(&self, partitions: &[TopicPartition]) -> BTreeMap<TopicPartition, Place> {
        let start = |of: &TopicPartition| (of.clone(), Place::from(self.starts.position(of).unwrap_or(0)));
        partitions.iter().map(start).collect()
    }
}

/// How long a poll waits for something to come.
const POLL_TIMEOUT: Duration = Duration::from_millis(100);
/// How long no broker may answer where the options do not say.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
