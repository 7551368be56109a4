//! Where a landing begins.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::SourceIdentity;
use crate::error::{Error, Result};

/// Where reading of a topic's partitions begins, looked up before anything of them is read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Claim {
    /// The topic.
    pub topic: Arc<str>,
    /// Which topic it is.
    pub source: SourceIdentity,
    /// How many partitions the topic had then.
    pub partition_count: i32,
    /// The first offset to read, by partition. It may name some of the topic's partitions only.
    pub starts: BTreeMap<i32, i64>,
}

/// What is claimed of a topic in a landing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Claimed {
    /// Where each claimed partition begins.
    pub starts: BTreeMap<i32, i64>,
    /// The fewest partitions that a claim has told of the topic: a partition of this number or a higher one was added
    /// later, so its log's beginning belongs to the landing.
    pub partition_count: Option<i32>,
    /// What no other landing of the topic is called, unless it is a copy. Stays as it is for as long as the landing exists.
    pub landing_id: Option<String>,
}

impl Claim {
    /// Makes sure that it speaks of partitions and offsets that there can be.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) where it does not.
    pub(super) fn check(&self) -> Result<()> {
        let Claim { topic, partition_count, starts, .. } = self;
        if *partition_count < 1 {
            return Err(Error::internal(format!("claim {topic}: it has {partition_count} partitions")));
        }
        match starts.iter().find(|(partition, start)| **partition < 0 || **start < 0) {
            Some((partition, start)) => Err(Error::internal(format!("claim {topic}[{partition}]: start {start}"))),
            None => Ok(()),
        }
    }
}
