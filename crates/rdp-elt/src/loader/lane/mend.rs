//! What a lane does when something goes wrong: it waits, asks the sink how far it has come, and reads on from there, or it
//! ends.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Lane, places};
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::kafka::{Fetcher, Lost, Polled, WindowEnd};
use crate::offset::TopicPartition;

impl<F: Fetcher> Lane<F> {
    /// Gives the open window up and, where waiting mends the error, begins again from what the sink holds.
    pub(super) fn recover(&mut self, error: Error) -> Result<()> {
        if let Some(lost) = self.consumer.take_lost() {
            return self.leave(&lost, &error);
        }
        let error = match self.consumer.belated() {
            Some((partition, offset)) if self.begun.position(partition).is_some_and(|begun| *offset < begun) => {
                came_too_late(partition, *offset)
            }
            _ => self.weigh(error),
        };
        self.discard();
        self.must_rewind = true;
        let mut error = error;
        if let Err(unsettled) = self.settle() {
            error = if error.is_retryable() { unsettled } else { error };
        }
        if error.kind() == ErrorKind::Conflict {
            self.conflict_count += 1;
            if !self.in_group || self.conflict_count > MAX_CONFLICTS {
                return Err(error);
            }
            tracing::warn!(?error, "overtaken, going on from the sink's positions");
        } else {
            let wait = self.landing_patience.wait(error, &self.run.shutdown, &|event| self.run.tell(event))?;
            self.wait_in_group(wait);
        }
        Ok(())
    }

    /// Goes on, or ends, where a partition cannot be read on from its position. What was polled before is as good as ever
    /// and lands first: it may not be in the log any more.
    fn leave(&mut self, lost: &Lost, error: &Error) -> Result<()> {
        let partition = &lost.partition;
        let position = self.consumer.positions().position(partition).unwrap_or_default();
        tracing::warn!(%partition, position, %error, "a partition cannot be read on");
        loop {
            let outcome = self
                .close_window(WindowEnd::Shutdown)
                .and_then(|()| self.settle())
                .and_then(|()| self.run.source.explain(partition, position, error, lost.is_outside, &self.executor));
            let (failed, is_over) = match outcome {
                // It may happen again at once.
                Ok(()) => (Error::unavailable(error.message()), true),
                Err(failed) => (self.weigh(failed), false),
            };
            let is_stopped = self.run.shutdown.is_immediate() || (is_over && self.run.shutdown.is_requested());
            if self.run.is_failed() || is_stopped || self.consumer.belated().is_some() {
                break;
            }
            let wait = self.landing_patience.wait(failed, &self.run.shutdown, &|event| self.run.tell(event))?;
            self.wait_in_group(wait);
            if is_over {
                break;
            }
        }
        self.discard();
        self.must_rewind = true;
        Ok(())
    }

    /// What an error means while the run is on. A topic that was there at its start and is not known now may show again
    /// in a moment, after an election or a restart; whether it is gone is for the lookout to say.
    fn weigh(&self, error: Error) -> Error {
        if !error.is_of_missing_topic() {
            return error;
        }
        self.run.nudge_lookout();
        Error::unavailable(format!("{}, at the moment", error.message()))
            .with_help("where it was deleted, the loader soon ends and says so; else look what the brokers are doing")
    }

    /// Reads again from the sink's positions.
    pub(super) fn rewind(&mut self) -> Result<()> {
        if matches!(self.waiting, Some(Polled::Slice(_))) {
            self.waiting = None;
        }
        let owned: Vec<_> = self.consumer.positions().partitions().cloned().collect();
        let starts = self.run.source.starts(&owned, &self.executor)?;
        match self.consumer.seek(&places(&starts)) {
            // A client that takes no seek does not find back by itself.
            Err(error) if error.is_retryable() => {
                self.watch.note(&error);
                return self.reopen();
            }
            sought => sought?,
        }
        let positions = self.begin(&starts);
        tracing::debug!(%positions, "reading again from where the sink stands");
        failpoint::pass("rewound")?;
        self.must_rewind = false;
        Ok(())
    }

    /// Makes sure that what the window holds is of the topics that were assigned, and waits until the brokers can tell:
    /// records of a topic that was made anew must not land among the old one's.
    pub(super) fn check_unchanged(&mut self, topics: &BTreeSet<Arc<str>>) -> Result<()> {
        loop {
            let Err(error) = self.run.source.check_unchanged(topics) else {
                self.patience.reset();
                return Ok(());
            };
            let error = self.weigh(error);
            // A group waits for the answer to a rebalance, and not for ever.
            if matches!(self.waiting, Some(Polled::Rebalance(_))) || self.run.is_failed() {
                return Err(error);
            }
            let wait = self.patience.wait(error, &self.run.shutdown, &|event| self.run.tell(event))?;
            self.wait_in_group(wait);
            if let Some(met) = self.met.take() {
                return Err(met);
            }
        }
    }

    /// Waits, and stays in the group meanwhile. What goes wrong then is the next turn's to mend.
    fn wait_in_group(&mut self, wait: Duration) {
        let until = self.run.clock.now() + wait;
        let mut outcome = self.consumer.pause();
        while outcome.is_ok()
            && self.run.clock.now() < until
            && !self.run.shutdown.is_requested()
            && !self.run.is_failed()
        {
            match self.waiting {
                None => outcome = self.keep_in_group(),
                Some(_) => self.run.clock.sleep(Duration::from_millis(20)),
            }
        }
        self.met = outcome.and(self.consumer.resume()).err();
    }
}

/// Its successors are in a window that was closed without it.
fn came_too_late(partition: &TopicPartition, offset: i64) -> Error {
    let message =
        format!("read {partition}: the brokers gave the record at {offset} only after its successors had landed");
    Error::new(ErrorKind::Data, message).with_help(
        "no broker should do so: run `rdp audit`; to land the range anew, move its file and every later one of the \
         partition out of the landing and start again",
    )
}

/// How many conflicts in a row, without a window landed between them, a member of a group takes before it stops.
const MAX_CONFLICTS: u32 = 3;
