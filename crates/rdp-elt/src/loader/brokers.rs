//! What the loader asks of a cluster, behind a seam: [`Cluster`] asks brokers, the deterministic tests have a log of their
//! own. Nothing is taken for an answer but an answer: silence is `Unavailable`.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::error::{Error, Result};
use crate::kafka::{Cluster, Isolation, StartPosition, Survey, Watermarks};
use crate::offset::{Positions, TopicPartition};
use crate::sink::SourceIdentity;

/// A cluster that can be asked. Every call blocks.
pub(super) trait Brokers: Send + Sync {
    /// The partitions that the run is to read.
    fn partitions(&self) -> Result<Vec<TopicPartition>>;

    /// Both ends of these partitions' logs, as a reader of this isolation sees them.
    fn ends(&self, of: &[TopicPartition], isolation: Isolation) -> Result<BTreeMap<TopicPartition, Watermarks>>;

    /// Where a start lies in these partitions' logs.
    fn starts(&self, of: &[TopicPartition], start: &StartPosition) -> Result<Positions>;

    /// The identities of topics that have to be there.
    fn identities(&self, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, SourceIdentity>>;

    /// What there is of the run's topics and of those that are known already.
    fn survey(&self, known: &BTreeSet<Arc<str>>) -> Result<Survey>;
}

impl Brokers for Cluster {
    fn partitions(&self) -> Result<Vec<TopicPartition>> {
        Cluster::partitions(self)
    }

    fn ends(&self, of: &[TopicPartition], isolation: Isolation) -> Result<BTreeMap<TopicPartition, Watermarks>> {
        self.watermarks_for(of, isolation).map_err(|error| listed_before(&error).unwrap_or(error))
    }

    fn starts(&self, of: &[TopicPartition], start: &StartPosition) -> Result<Positions> {
        self.start_offsets(of, start).map_err(|error| listed_before(&error).unwrap_or(error))
    }

    fn identities(&self, topics: &[Arc<str>]) -> Result<BTreeMap<Arc<str>, SourceIdentity>> {
        self.identity(topics)
    }

    fn survey(&self, known: &BTreeSet<Arc<str>>) -> Result<Survey> {
        Cluster::survey(self, known)
    }
}

/// A partition that was listed a moment ago and is not known now will be known again; whether its topic is gone is for the
/// lookout to say.
fn listed_before(error: &Error) -> Option<Error> {
    error.is_of_missing_topic().then(|| Error::unavailable(format!("{}, at the moment", error.message())))
}
