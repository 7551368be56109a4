//! The consumer in the form for hosts: poll windows, the group's positions, commits that the host decides on.
//!
//! The loader drives a [`Consumer`] itself, since its sink knows the positions.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::builder::KafkaConsumerBuilder;
use super::cluster::Cluster;
use super::consumer::{Consumer, Polled};
use super::fetcher::{Place, Rebalance};
use super::window::{PollWindow, WindowEnd, WindowLimits};
use crate::error::{Error, Result};
use crate::load::{LoadOptions, RecordLoader};
use crate::offset::{OffsetRange, Positions, TopicPartition};

/// A long-lived consumer of one or many topics.
///
/// Not for several threads at once: one thread polls it, and everything happens there. Dropping it leaves the group.
pub struct KafkaConsumer {
    consumer: Consumer,
    builder: KafkaConsumerBuilder,
}

impl KafkaConsumer {
    /// Connects, and joins the group where the builder names one. Patterns mean the topics that match them now.
    ///
    /// # Errors
    /// `Config` for settings that librdkafka refuses or topics that do not exist, `Denied`, `Unavailable`.
    pub fn open(builder: &KafkaConsumerBuilder) -> Result<Self> {
        let resolved = match builder.joins_group() {
            true if !builder.has_patterns() => builder.clone(),
            true => {
                let topics = Cluster::connect(builder)?.topics()?;
                builder.clone().with_topics(topics.into_iter().map(|topic| topic.name.to_string()))
            }
            false if builder.assigned_partitions().is_some() => builder.clone(),
            false => builder.clone().partitions(Cluster::connect(builder)?.partitions()?),
        };
        Ok(KafkaConsumer { consumer: Consumer::open(&resolved)?, builder: builder.clone() })
    }

    /// Polls one window: blocks until a limit is reached. An idle topic gives an empty window after `max_wait`.
    ///
    /// Reading begins at the group's committed positions and, where it has none, at the builder's start. The window's
    /// records are at-least-once: call [`commit`](Self::commit) with `window.ranges.ends()` when they are safe.
    ///
    /// # Errors
    /// `Unavailable` where the window would be empty because no broker answers, `Denied`, `SourceChanged`.
    pub fn poll_window(&mut self, limits: &WindowLimits) -> Result<PollWindow> {
        let mut loader = RecordLoader::new(&LoadOptions::default())?;
        let mut window = PollWindow::empty();
        let mut starts = self.consumer.positions();
        let (mut record_count, mut byte_count) = (0, 0);
        let mut deadline = Instant::now() + limits.max_wait;
        window.closed_by = loop {
            if record_count >= limits.max_records {
                break WindowEnd::Records;
            }
            if byte_count >= limits.max_bytes {
                break WindowEnd::Bytes;
            }
            if !self.consumer.is_empty() && self.consumer.is_done() {
                break WindowEnd::EndOffsets;
            }
            let left = deadline.saturating_duration_since(Instant::now());
            if left.is_zero() {
                break WindowEnd::Wait;
            }
            match self.consumer.poll(limits.max_records - record_count, left.min(Duration::from_millis(100)))? {
                Polled::Nothing => {}
                Polled::Slice(slice) => {
                    if record_count == 0 && slice.record_count > 0 {
                        deadline = Instant::now() + limits.max_wait;
                    }
                    record_count += slice.record_count;
                    byte_count += slice.byte_count;
                    for group in &slice.groups {
                        window.records.push(loader.load(&group.partition, &mut slice.records(group))?.rows);
                    }
                }
                Polled::Rebalance(Rebalance::Assign(partitions)) => {
                    let positions = self.default_positions(&partitions)?;
                    starts.extend(positions.iter().map(|(partition, position)| (partition.clone(), position)));
                    self.consumer.assign(&places(&positions))?;
                }
                Polled::Rebalance(Rebalance::Revoke { partitions, .. }) => {
                    for (partition, position) in self.consumer.positions().iter() {
                        window.cover(partition, starts.position(partition), position)?;
                    }
                    self.consumer.revoke(&partitions)?;
                    if record_count > 0 {
                        return Ok(PollWindow { closed_by: WindowEnd::Revoked, ..window });
                    }
                }
            }
        };
        for (partition, position) in self.consumer.positions().iter() {
            window.cover(partition, starts.position(partition), position)?;
        }
        match self.consumer.take_trouble() {
            Some(trouble) if record_count == 0 && trouble.is_retryable() => Err(trouble),
            _ => Ok(window),
        }
    }

    /// Commits positions to the group and waits for the coordinator. In assign mode there is no group: a `Config` error.
    pub fn commit(&self, positions: &Positions) -> Result<()> {
        if self.builder.group().is_none() {
            return Err(Error::config("commit positions to the group: this consumer has no group")
                .with_help("give the builder a group_id, or keep the positions yourself"));
        }
        if positions.is_empty() { Ok(()) } else { self.consumer.commit(positions) }
    }

    /// Goes on reading at these positions. They must be of partitions that it owns.
    pub fn seek(&mut self, positions: &Positions) -> Result<()> {
        if positions.is_empty() { Ok(()) } else { self.consumer.seek(&places(positions)) }
    }

    /// Stops fetching, and stays in the group as long as it is polled.
    pub fn pause(&mut self) -> Result<()> {
        self.consumer.pause()
    }

    /// Fetches again what is not done.
    pub fn resume(&mut self) -> Result<()> {
        self.consumer.resume()
    }

    /// The next offset to read of every partition that it owns.
    pub fn positions(&self) -> Positions {
        self.consumer.positions()
    }

    /// How many offsets each owned partition is behind the log's end (the last stable offset).
    pub fn lag(&self) -> Result<Positions> {
        let positions = self.positions();
        let partitions: Vec<_> = positions.partitions().cloned().collect();
        let ends = Cluster::connect(&self.builder)?.watermarks(&partitions)?;
        let lag = positions.iter().filter_map(|(partition, position)| {
            let end = ends.get(partition)?.high;
            Some((partition.clone(), (end - position).max(0)))
        });
        Ok(lag.collect())
    }

    fn default_positions(&self, partitions: &[TopicPartition]) -> Result<Positions> {
        let mut positions = match self.builder.group() {
            Some(_) => self.consumer.committed(partitions, LOOK_UP_TIMEOUT)?,
            None => Positions::new(),
        };
        let unknown: Vec<_> =
            partitions.iter().filter(|partition| positions.position(partition).is_none()).cloned().collect();
        if !unknown.is_empty() {
            let starts = Cluster::connect(&self.builder)?.start_offsets(&unknown, self.builder.start_position())?;
            positions.extend(starts.iter().map(|(partition, position)| (partition.clone(), position)));
        }
        Ok(positions)
    }
}

fn places(positions: &Positions) -> BTreeMap<TopicPartition, Place> {
    positions.iter().map(|(partition, position)| (partition.clone(), Place::from(position))).collect()
}

impl PollWindow {
    fn empty() -> Self {
        PollWindow { ranges: Default::default(), records: Vec::new(), closed_by: WindowEnd::Wait }
    }

    fn cover(&mut self, partition: &TopicPartition, start: Option<i64>, end: i64) -> Result<()> {
        let Some(start) = start else { return Ok(()) };
        if end > start {
            self.ranges.insert(partition.clone(), OffsetRange::new(start, end)?);
        }
        Ok(())
    }
}

/// How long a look-up may take.
const LOOK_UP_TIMEOUT: Duration = Duration::from_secs(30);
