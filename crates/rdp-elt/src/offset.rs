//! Topic-partitions, ranges and positions: the arithmetic under every promise. No I/O.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::error::{Error, Result};

/// One partition of one topic.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct TopicPartition {
    /// The topic's name.
    pub topic: Arc<str>,
    /// The partition's number, from 0.
    pub partition: i32,
}

impl TopicPartition {
    /// Names a partition.
    pub fn new(topic: impl Into<Arc<str>>, partition: i32) -> Self {
        TopicPartition { topic: topic.into(), partition }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}[{}]", self.topic, self.partition)
    }
}

/// A half-open range `[start, end)` of one partition's offsets.
///
/// `end - start` is at least the number of records in it: compaction, aborted transactions and transaction markers
/// leave holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct OffsetRange {
    start: i64,
    end: i64,
}

impl OffsetRange {
    /// The range `[start, end)`.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) where `start` is negative or past `end`.
    pub fn new(start: i64, end: i64) -> Result<Self> {
        if start < 0 || end < start {
            return Err(Error::internal(format!("offset range [{start}, {end}) is not a range")));
        }
        Ok(OffsetRange { start, end })
    }

    /// The first offset of the range.
    pub fn start(&self) -> i64 {
        self.start
    }

    /// The position after the range: the next offset to read.
    pub fn end(&self) -> i64 {
        self.end
    }

    /// How many offsets it spans, records or not.
    pub fn len(&self) -> u64 {
        self.end.abs_diff(self.start)
    }

    /// Whether it spans nothing.
    pub fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Whether the offset lies in it.
    pub fn contains(&self, offset: i64) -> bool {
        (self.start..self.end).contains(&offset)
    }
}

impl fmt::Display for OffsetRange {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "[{}, {})", self.start, self.end)
    }
}

/// One range for each partition that a poll window covers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct OffsetRanges(BTreeMap<TopicPartition, OffsetRange>);

impl OffsetRanges {
    /// No ranges.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets the range of a partition.
    pub fn insert(&mut self, partition: TopicPartition, range: OffsetRange) {
        self.0.insert(partition, range);
    }

    /// The range of a partition.
    pub fn range(&self, partition: &TopicPartition) -> Option<OffsetRange> {
        self.0.get(partition).copied()
    }

    /// Every partition with its range, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, &OffsetRange)> {
        self.0.iter()
    }

    /// How many partitions it covers.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it covers no partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The position after each range.
    pub fn ends(&self) -> Positions {
        self.0.iter().map(|(partition, range)| (partition.clone(), range.end)).collect()
    }
}

impl FromIterator<(TopicPartition, OffsetRange)> for OffsetRanges {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, OffsetRange)>>(ranges: I) -> Self {
        OffsetRanges(ranges.into_iter().collect())
    }
}

/// The next offset to read of each partition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Positions(BTreeMap<TopicPartition, i64>);

impl Positions {
    /// No positions.
    pub fn new() -> Self {
        Self::default()
    }

    /// Sets a partition's position.
    pub fn insert(&mut self, partition: TopicPartition, position: i64) {
        self.0.insert(partition, position);
    }

    /// Forgets a partition.
    pub fn remove(&mut self, partition: &TopicPartition) -> Option<i64> {
        self.0.remove(partition)
    }

    /// A partition's position.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.0.get(partition).copied()
    }

    /// Every partition with its position, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&TopicPartition, i64)> {
        self.0.iter().map(|(partition, position)| (partition, *position))
    }

    /// The partitions, in order.
    pub fn partitions(&self) -> impl Iterator<Item = &TopicPartition> {
        self.0.keys()
    }

    /// How many partitions there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no partition.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for Positions {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (place, (partition, position)) in self.iter().enumerate() {
            write!(out, "{}{partition}@{position}", if place == 0 { "" } else { " " })?;
        }
        Ok(())
    }
}

impl FromIterator<(TopicPartition, i64)> for Positions {
    fn from_iter<I: IntoIterator<Item = (TopicPartition, i64)>>(positions: I) -> Self {
        Positions(positions.into_iter().collect())
    }
}

impl Extend<(TopicPartition, i64)> for Positions {
    fn extend<I: IntoIterator<Item = (TopicPartition, i64)>>(&mut self, positions: I) {
        self.0.extend(positions);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_that_runs_backwards_is_refused() {
        assert!(OffsetRange::new(5, 4).is_err());
        assert!(OffsetRange::new(-1, 4).is_err());
        assert!(OffsetRange::new(4, 4).expect("empty ranges are ranges").is_empty());
    }

    #[test]
    fn the_end_of_a_range_is_not_in_it() {
        let range = OffsetRange::new(3, 5).expect("a range");
        assert!(range.contains(3) && range.contains(4) && !range.contains(5));
        assert_eq!(range.len(), 2);
    }
}
