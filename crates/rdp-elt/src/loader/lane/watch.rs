//! The watch over progress: what a lane should get and does not.
//!
//! librdkafka retries by itself, and may do so for ever and in silence: its clients do not always find back to brokers
//! that are well again. So the lane watches its own positions. A partition of which there is something to read and that
//! does not move is told of, with what is known of why; then the lane opens another consumer and reads on from the sink's
//! positions; and in the end the run gives up.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::{LoadEvent, TELL_AFTER, TELL_EVERY};
use super::{Assignment, Lane, Turn};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{Consumer, Fetcher, Polled, WindowEnd};
use crate::offset::{Positions, TopicPartition};

/// What a lane has seen of its own progress.
pub(super) struct Watch {
    looked_at: Moment,
    /// How far each partition had come of which there is more to read, and since when it stands there.
    standing: BTreeMap<TopicPartition, (i64, Moment)>,
    /// Since when it has had nothing to read, or last saw that all had landed.
    idle_since: Moment,
    /// The newest trouble that librdkafka told of, in its words.
    trouble: Option<String>,
    told_at: Option<Moment>,
    /// When the consumer was made anew last, and how long it is given.
    mended: Option<(Moment, Duration)>,
}

/// Something that should come and does not.
struct Stall {
    since: Moment,
    what: String,
    /// The partitions that stand still; none where those are others'.
    partitions: Vec<TopicPartition>,
    /// Whether some of the lane's partitions move.
    is_partial: bool,
}

impl Watch {
    pub(super) fn new(now: Moment) -> Self {
        Watch { looked_at: now, standing: BTreeMap::new(), idle_since: now, trouble: None, told_at: None, mended: None }
    }

    /// Notes trouble that may be the reason of what is seen later.
    pub(super) fn note(&mut self, trouble: &Error) {
        self.trouble = Some(trouble.message().to_owned());
    }

    /// All is well again.
    fn rest(&mut self) {
        self.told_at = None;
        self.mended = None;
    }

    /// Whether it is time to make the consumer anew: later each time, since that takes time to work.
    fn is_mend_due(&mut self, now: Moment, stall: &Stall, patience: Duration) -> bool {
        let (since, given) = self.mended.unwrap_or((stall.since, patience));
        if now.saturating_sub(since) < given {
            return false;
        }
        self.mended = Some((now, (given * 2).min(MEND_AT_MOST)));
        true
    }
}

impl<F: Fetcher> Lane<F> {
    /// Tells of what does not come, mends it where it can, and gives up where that was in vain for too long.
    pub(super) fn look_after_progress(&mut self) -> Result<Turn> {
        let now = self.run.clock.now();
        if now.saturating_sub(self.watch.looked_at) < LOOK_EVERY {
            return Ok(Turn::GoOn);
        }
        self.watch.looked_at = now;
        let Some(stall) = self.stall(now)? else {
            self.watch.rest();
            return Ok(Turn::GoOn);
        };
        let lasted = now.saturating_sub(stall.since);
        if lasted < TELL_AFTER {
            return Ok(Turn::GoOn);
        }
        let reason = match &self.watch.trouble {
            Some(trouble) => format!("{}; last heard: {trouble}", stall.what),
            None => stall.what.clone(),
        };
        if self.run.options.give_up_after.is_some_and(|limit| lasted >= limit) {
            let error = Error::unavailable(format!("{reason}, for {} s", lasted.as_secs()))
                .with_help("look what the brokers are doing; start again to go on from where the landing stands");
            return self.give_up(error);
        }
        if self.watch.told_at.is_none_or(|told_at| now.saturating_sub(told_at) >= TELL_EVERY) {
            self.watch.told_at = Some(now);
            tracing::warn!(since = ?lasted, "{reason}");
            self.run.tell(LoadEvent::Waiting { reason, since: lasted });
            self.run.nudge_lookout();
            if let Err(cut) = self.check_reach(&stall.partitions) {
                match cut.kind() {
                    ErrorKind::SourceChanged => return self.give_up(cut),
                    _ => self.watch.note(&cut),
                }
            }
        }
        let patience = match (stall.partitions.is_empty(), stall.is_partial) {
            // Somebody else may be at work on a window: whoever joins anew makes it begin again.
            (true, _) => (self.run.limits.max_wait * 2).max(MEND_AFTER * 2),
            (false, true) => MEND_AFTER * 3,
            (false, false) => MEND_AFTER,
        };
        if self.watch.is_mend_due(now, &stall, patience) {
            self.reopen()?;
        }
        Ok(Turn::GoOn)
    }

    /// What stands still although there is something to land.
    fn stall(&mut self, now: Moment) -> Result<Option<Stall>> {
        if self.waiting.is_some() {
            return Ok(None);
        }
        if self.consumer.is_empty() || (self.run.ends.is_some() && self.consumer.is_done()) {
            self.watch.standing.clear();
            return self.stall_of_others(now);
        }
        self.watch.idle_since = now;
        let reading: BTreeMap<_, _> =
            self.consumer.reading().map(|(partition, position)| (partition.clone(), position)).collect();
        self.watch.standing.retain(|partition, _| reading.contains_key(partition));
        let (mut stalled, mut moving): (Vec<(TopicPartition, i64, i64)>, bool) = (Vec::new(), false);
        let mut since = now;
        for (partition, position) in reading {
            let end = self.run.known_end(&partition);
            // At the end of a bounded run, but not confirmed by the log: that counts as well.
            let Some(end) = end.filter(|end| position < *end || (position == *end && self.run.ends.is_some())) else {
                self.watch.standing.remove(&partition);
                continue;
            };
            let stands = self.watch.standing.entry(partition.clone()).or_insert((position, now));
            if stands.0 != position {
                *stands = (position, now);
            }
            if now.saturating_sub(stands.1) < TELL_AFTER {
                moving = true;
                continue;
            }
            since = since.min(stands.1);
            stalled.push((partition, position, end));
        }
        let Some((first, position, end)) = stalled.first() else { return Ok(None) };
        let others = match stalled.len() {
            1 => String::new(),
            more => format!(" and of {} more partitions", more - 1),
        };
        Ok(Some(Stall {
            since,
            what: format!("no records of {first} come from {position} on, of a log up to {end}{others}"),
            partitions: stalled.iter().map(|(partition, ..)| partition.clone()).collect(),
            is_partial: moving,
        }))
    }

    /// A member that has nothing left to read while something is left to land, and nobody lands it.
    fn stall_of_others(&mut self, now: Moment) -> Result<Option<Stall>> {
        if !self.in_group {
            return Ok(None);
        }
        if self.run.ends.is_none() && now.saturating_sub(self.watch.idle_since) >= TELL_AFTER {
            self.run.refresh_landed(&self.executor)?;
        }
        let Some((partition, moved_at)) = self.run.lagging() else {
            self.watch.idle_since = now;
            return Ok(None);
        };
        let since = self.watch.idle_since.max(moved_at);
        let what = match self.consumer.is_empty() {
            true => format!("the group gives this member no partition, and nobody lands {partition} meanwhile"),
            false => format!("this member has landed what it was given, and no other lands {partition}"),
        };
        Ok(Some(Stall { since, what, partitions: Vec::new(), is_partial: false }))
    }

    fn check_reach(&self, of: &[TopicPartition]) -> Result<()> {
        let Some(ends) = &self.run.ends else { return Ok(()) };
        let of: Positions =
            of.iter().filter_map(|partition| Some((partition.clone(), ends.position(partition)?))).collect();
        if of.is_empty() { Ok(()) } else { self.run.source.check_reach(&of) }
    }

    /// Ends with this error, once what was polled has landed.
    fn give_up(&mut self, error: Error) -> Result<Turn> {
        if let Err(failed) = self.close_window(WindowEnd::Shutdown).and_then(|()| self.settle()) {
            tracing::debug!(error = ?failed, "what was polled has not landed");
        }
        self.discard();
        Ok(Turn::GaveUp(error))
    }

    /// Reads on with another consumer, from the sink's positions.
    pub(super) fn reopen(&mut self) -> Result<()> {
        tracing::warn!("opening another consumer: this one does not find back");
        let mut partitions: Vec<TopicPartition> = self.consumer.positions().partitions().cloned().collect();
        // What waits are messages of the consumer that goes, or what its group wanted.
        match self.waiting.take() {
            Some(Polled::Rebalance(crate::kafka::Rebalance::Assign(more))) if !self.in_group => partitions.extend(more),
            _ => {}
        }
        self.reopen_with(partitions)
    }

    /// The same, without a group of these partitions.
    pub(super) fn reopen_with(&mut self, partitions: Vec<TopicPartition>) -> Result<()> {
        self.discard();
        self.settle()?;
        let assignment = match self.in_group {
            true => Assignment::Topics(&self.topics),
            false => Assignment::Partitions(partitions),
        };
        let consumer = (self.open)(assignment)?;
        let gone = std::mem::replace(&mut self.consumer, consumer);
        self.must_rewind = false;
        self.bound();
        close_beside(gone);
        Ok(())
    }
}

/// Closing waits for brokers that may not answer.
fn close_beside<F: Fetcher>(consumer: Consumer<F>) {
    #[cfg(not(test))]
    {
        let closing = std::thread::Builder::new().name("rdp-closing".to_owned()).spawn(move || drop(consumer));
        if let Err(error) = closing {
            tracing::debug!(%error, "closed at once");
        }
    }
    #[cfg(test)]
    drop(consumer);
}

/// How often a lane looks at its own progress.
const LOOK_EVERY: Duration = Duration::from_millis(500);
/// How long a consumer of which nothing comes is given.
const MEND_AFTER: Duration = Duration::from_secs(15);
/// And how long at most, when it has been made anew in vain.
const MEND_AT_MOST: Duration = Duration::from_secs(240);
