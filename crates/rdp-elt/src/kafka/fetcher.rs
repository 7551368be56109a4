//! The seam in front of librdkafka: what a [`Consumer`](super::consumer::Consumer) asks of the client that fetches, and
//! of the messages that it gives. [`NativeConsumer`](super::native::NativeConsumer) is the one that talks to brokers; the
//! loader's deterministic tests have another, with faults that a seed decides.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;

use crate::error::{Error, Result};
use crate::offset::{Positions, TopicPartition};
use crate::record::{RecordMark, RecordView};

/// Fetches messages of partitions and speaks for this member in its group.
///
/// What it believes of positions is its own affair: it may count what was no record. Reading goes on from the positions
/// that it is told, and from no other.
pub(crate) trait Fetcher: Send + 'static {
    /// What it fetches.
    type Message: Fetched + 'static;

    /// Joins the group with these topics, instead of those that were named before.
    fn subscribe(&self, topics: &[String]) -> Result<()>;

    /// Takes up to `max` messages. Returns when that many came or `timeout` is over.
    fn consume_batch(&mut self, into: &mut Vec<Self::Message>, max: usize, timeout: Duration) -> usize;

    /// What the group wants next, oldest first.
    fn next_rebalance(&self) -> Option<Rebalance>;

    /// Whether a rebalance waits for its answer.
    fn is_rebalancing(&self) -> bool;

    /// The newest trouble with brokers since the last call.
    fn take_trouble(&self) -> Option<Error>;

    /// What made the client unusable, where something has.
    fn fatal_error(&self) -> Option<Error>;

    /// Replaces or extends the assignment; reading begins at these positions.
    fn assign(&self, positions: &Positions, incremental: bool) -> Result<()>;

    /// Gives partitions back. Not incremental: all of them.
    fn unassign(&self, partitions: &[TopicPartition], incremental: bool) -> Result<()>;

    /// Whether the group hands partitions over one by one (cooperative, or the new protocol) or all at once (eager).
    fn is_incremental(&self) -> bool;

    /// Moves reading to these places; nothing that was fetched before is given out afterwards.
    fn seek(&self, places: &[(TopicPartition, Place)], timeout: Duration) -> Result<()>;

    /// Stops or resumes fetching.
    fn set_paused<'a>(&self, partitions: impl Iterator<Item = &'a TopicPartition>, paused: bool) -> Result<()>;

    /// Commits positions to the group, with a note by topic: in the background, or waiting for the coordinator's answer.
    fn commit(&self, positions: &Positions, notes: &Notes, wait: bool) -> Result<()>;

    /// What was committed to the group, where anything was.
    fn committed(&self, partitions: &[TopicPartition], timeout: Duration) -> Result<BTreeMap<TopicPartition, Told>>;
}

/// What is kept with the positions that a group is told, by topic.
pub(crate) type Notes = BTreeMap<Arc<str>, String>;

/// What a group was told of a partition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Told {
    pub(crate) position: i64,
    /// What the teller kept with it.
    pub(crate) note: String,
}

/// One message: a record, or an event of its partition or of the whole client.
pub(crate) trait Fetched: Send {
    /// Whether it is a record.
    fn is_record(&self) -> bool;

    /// What it is where it is no record.
    fn event(&self) -> Event;

    /// The topic's name; empty where the event is of no topic.
    fn topic(&self) -> &str;

    /// Names the topic within one slice without looking at its name; zero where there is none.
    fn topic_handle(&self) -> usize;

    /// The partition's number.
    fn partition(&self) -> i32;

    /// A record's offset; of an end-of-partition event, the position there.
    fn offset(&self) -> i64;

    /// The leader epoch under which a record was written, where the broker told.
    fn leader_epoch(&self) -> Option<i32>;

    /// Bytes of key and value.
    fn byte_count(&self) -> usize;

    /// The record, borrowed.
    fn as_view(&self) -> RecordView<'_>;
}

/// What comes between records.
#[derive(Debug)]
pub(crate) enum Event {
    /// The reader has come to the end of the partition.
    EndOfPartition,
    /// Something failed; the text is librdkafka's.
    Failed(RDKafkaErrorCode, String),
}

/// A place to read from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// The next offset to read.
    pub(crate) position: i64,
    /// The newest record below it that is known. Reading begins there, and the log has to confirm that it still has this
    /// record, and under its epoch (KIP-320): or it was cut below it, whatever it has grown to since.
    pub(crate) newest: Option<RecordMark>,
}

impl From<i64> for Place {
    fn from(position: i64) -> Self {
        Place { position, newest: None }
    }
}

/// What the group wants of us; to be answered before anything else is polled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Rebalance {
    /// These are ours from now on.
    Assign(Vec<TopicPartition>),
    /// These are to be given back. `lost`: they may be another's already.
    Revoke { partitions: Vec<TopicPartition>, lost: bool },
}
