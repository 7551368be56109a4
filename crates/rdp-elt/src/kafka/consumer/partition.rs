//! One partition that a consumer owns: how far it has come, and which holes in its offsets are believed.
//!
//! Compaction, aborted transactions and markers leave holes that no reader sees, so a record may follow on any earlier
//! one. But a client that was disturbed (by an error, a pause, a seek, a rebalance) may also go on one record too late,
//! and then the hole is a loss. So a hole that begins where something happened is read once more from its beginning. It is
//! believed when it shows again as it was, with nothing in between; what shows inside it instead is read in.

use std::time::Duration;

use crate::clock::Moment;
use crate::offset::TopicPartition;
use crate::record::RecordMark;

use super::super::fetcher::Place;

pub(super) struct Owned {
    pub(super) partition: TopicPartition,
    /// The next offset to read; behind an end-of-partition event, the position there.
    pub(super) position: i64,
    /// The position when it was last told where to read: what is below was taken, or was never to be read.
    begun: i64,
    /// Where a bounded run is done with it.
    pub(super) end: Option<i64>,
    /// Its group in the slice that is being filled.
    pub(super) group: Option<usize>,
    /// Its position before the slice that is being filled.
    pub(super) slice_start: i64,
    pub(super) paused: bool,
    /// Whether it has to be sought before anything of it is taken.
    pub(super) must_seek: bool,
    corrupt: Option<Corrupt>,
    newest: Option<RecordMark>,
    /// Whether anything came since it was last sought: only then has the log confirmed `newest`.
    is_confirmed: bool,
    hole: Hole,
}

/// What a hole at the position would mean.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Hole {
    /// Nothing happened since the record before: the log has none there.
    Believed,
    /// Something happened: it has to be read again.
    Doubted,
    /// It is being read again, after the next that showed was this offset.
    Asked { next: i64 },
}

/// Records at the position that could not be read.
#[derive(Debug, Clone, Copy)]
struct Corrupt {
    first: Moment,
    newest: Moment,
    count: u32,
}

/// What becomes of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It is the next one.
    Take,
    /// It lies at or behind the end: the partition is done.
    Done,
    /// It is read again.
    Pass,
    /// It lies below where reading goes on since the last seek: the newest known one is read once more, for the log to confirm
    /// it.
    Below,
    /// It comes behind its successors: what was taken of them has to be given up.
    OutOfOrder,
}

impl Owned {
    pub(super) fn new(partition: TopicPartition, place: Place, end: Option<i64>) -> Self {
        let Place { position, newest } = place;
        Owned {
            partition,
            position,
            begun: position,
            end,
            group: None,
            slice_start: position,
            paused: false,
            must_seek: newest.is_some(),
            corrupt: None,
            newest,
            is_confirmed: false,
            hole: Hole::Doubted,
        }
    }

    /// Whether a bounded run is done with it. Where a record of it has landed, something of the log has to show first: a
    /// log that was cut and has grown again looks as if it were read to its end.
    pub(super) fn is_done(&self) -> bool {
        self.end.is_some_and(|end| self.position >= end) && (self.is_confirmed || self.newest.is_none())
    }

    pub(super) fn place(&self) -> Place {
        Place { position: self.position, newest: self.newest }
    }

    /// Something happened at its position that was no record.
    pub(super) fn disturb(&mut self) {
        if self.hole == Hole::Believed {
            self.hole = Hole::Doubted;
        }
    }

    /// Notes that what came at its position could not be read. Whether that is so for good: on its way a batch may be damaged
    /// once, in the log it stays so.
    pub(super) fn is_corrupt(&mut self, now: Moment) -> bool {
        let lasting = self.corrupt.filter(|corrupt| now.saturating_sub(corrupt.newest) < CORRUPT_TIME);
        let mut corrupt = lasting.unwrap_or(Corrupt { first: now, newest: now, count: 0 });
        (corrupt.newest, corrupt.count) = (now, corrupt.count + 1);
        self.corrupt = Some(corrupt);
        corrupt.count > CORRUPT_TRIES && now.saturating_sub(corrupt.first) > CORRUPT_TIME
    }

    /// It is read on from its position, by our word and not by the client's.
    pub(super) fn sought(&mut self) {
        self.disturb();
        self.begun = self.position;
        self.must_seek = false;
        self.is_confirmed = false;
    }

    /// Reading goes on elsewhere.
    pub(super) fn move_to(&mut self, place: Place) {
        self.position = place.position;
        self.begun = place.position;
        self.newest = place.newest;
        self.hole = Hole::Doubted;
        self.corrupt = None;
    }

    /// What becomes of the record at `offset`. Moves the position where it is taken.
    pub(super) fn judge(&mut self, offset: i64) -> Verdict {
        match offset {
            _ if offset < self.begun && self.must_seek => return Verdict::Pass,
            _ if offset < self.begun => return Verdict::Below,
            // Also where it is to be sought: that forgets no order that was broken before.
            _ if offset < self.position => return Verdict::OutOfOrder,
            _ if self.must_seek => return Verdict::Pass,
            _ => {}
        }
        if !self.passes_hole(offset) {
            return Verdict::Pass;
        }
        self.corrupt = None;
        match self.end.filter(|end| offset >= *end) {
            Some(end) => {
                self.position = self.position.max(end);
                Verdict::Done
            }
            None => {
                self.position = offset + 1;
                Verdict::Take
            }
        }
    }

    /// Whether a record below where reading begins contradicts the newest one that landed: it stands in its place, or a later
    /// leader wrote it behind that, where there was none. Then the log was cut and has grown again.
    pub(super) fn contradicts(&self, mark: RecordMark) -> bool {
        let Some(newest) = self.newest else { return false };
        match mark.offset == newest.offset {
            true => mark.checksum != newest.checksum,
            false => mark.offset > newest.offset && mark.leader_epoch > newest.leader_epoch,
        }
    }

    /// The reader has come to the partition's end, at `offset`.
    pub(super) fn reach_end(&mut self, offset: i64) {
        if self.must_seek || offset < self.position || !self.passes_hole(offset) {
            return;
        }
        self.position = self.position.max(offset.min(self.end.unwrap_or(i64::MAX)));
        // The client now believes that the record at this position was consumed, and would go on behind it after a pause.
        // A partition that is done is sought before it is read again; so is one whose reading has no end, and it is asked again
        // should a hole show before. Any other one is sought now.
        self.must_seek = self.end.is_some() && !self.is_done();
        self.disturb();
    }

    /// Notes the newest record that was given out, with its epoch where the broker told one.
    pub(super) fn note_newest(&mut self, newest: Option<RecordMark>) {
        self.newest = newest;
    }

    fn passes_hole(&mut self, next: i64) -> bool {
        let is_believed = match self.hole {
            _ if next == self.position => true,
            Hole::Believed => true,
            Hole::Asked { next: before } => next == before,
            Hole::Doubted => false,
        };
        if is_believed {
            self.hole = Hole::Believed;
            self.is_confirmed = true;
            // The log has it. Later, retention may have taken what lies between it and the position.
            self.newest = self.newest.filter(|newest| newest.offset + 1 == self.position);
            return true;
        }
        let (partition, position) = (&self.partition, self.position);
        match self.hole {
            Hole::Asked { next: before } if next < before => {
                tracing::warn!(%partition, position, next, before, "records showed where there was a hole: read in");
            }
            _ => tracing::debug!(%partition, position, next, "a hole where reading was disturbed: reading it again"),
        }
        self.hole = Hole::Asked { next };
        self.must_seek = true;
        false
    }
}

/// How often, and for how long, a record that cannot be read is read again.
const CORRUPT_TRIES: u32 = 5;
const CORRUPT_TIME: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn owned(position: i64, end: Option<i64>) -> Owned {
        Owned::new(TopicPartition::new("orders", 0), Place::from(position), end)
    }

    #[test]
    fn an_undisturbed_hole_is_believed_at_once() {
        let mut owned = owned(5, None);
        assert_eq!(owned.judge(5), Verdict::Take);
        assert_eq!(owned.judge(9), Verdict::Take);
        assert_eq!(owned.position, 10);
    }

    #[test]
    fn a_hole_behind_a_disturbance_is_read_again_before_it_is_believed() {
        let mut owned = owned(5, None);
        assert_eq!(owned.judge(5), Verdict::Take);
        owned.disturb();
        assert_eq!(owned.judge(8), Verdict::Pass);
        assert!(owned.must_seek, "it has to be sought");
        assert_eq!(owned.judge(9), Verdict::Pass, "and nothing counts until it is");
        owned.sought();
        assert_eq!(owned.judge(8), Verdict::Take, "the same again: there is nothing");
        assert_eq!(owned.position, 9);
    }

    #[test]
    fn a_record_that_was_jumped_over_is_read_in() {
        let mut owned = owned(5, None);
        owned.disturb();
        assert_eq!(owned.judge(6), Verdict::Pass);
        owned.sought();
        assert_eq!(owned.judge(5), Verdict::Take);
        assert_eq!(owned.judge(6), Verdict::Take);
    }

    #[test]
    fn a_hole_is_asked_until_two_answers_agree() {
        let mut owned = owned(5, None);
        for next in [9, 8, 10] {
            assert_eq!(owned.judge(next), Verdict::Pass);
            owned.sought();
        }
        assert_eq!(owned.judge(10), Verdict::Take);
    }

    #[test]
    fn the_end_of_a_partition_is_doubted_like_a_record() {
        let mut owned = owned(5, Some(9));
        owned.reach_end(9);
        assert_eq!(owned.position, 5);
        owned.sought();
        owned.reach_end(9);
        assert_eq!(owned.position, 9);
        assert!(owned.is_done() && !owned.must_seek);
    }

    #[test]
    fn without_an_end_the_position_steps_over_what_no_reader_sees_and_a_hole_behind_it_is_asked() {
        let mut owned = owned(5, None);
        assert_eq!(owned.judge(5), Verdict::Take);
        owned.reach_end(7);
        assert_eq!((owned.position, owned.must_seek), (7, false));
        assert_eq!(owned.judge(8), Verdict::Pass, "the client may have counted the end as a record");
        owned.sought();
        assert_eq!(owned.judge(7), Verdict::Take);
    }

    #[test]
    fn a_record_behind_its_successors_is_out_of_order_and_one_that_landed_before_is_not() {
        let mut owned = owned(5, None);
        assert_eq!(owned.judge(4), Verdict::Below);
        assert_eq!(owned.judge(5), Verdict::Take);
        assert_eq!(owned.judge(9), Verdict::Take);
        assert_eq!(owned.judge(6), Verdict::OutOfOrder);
    }

    #[test]
    fn a_partition_that_has_landed_is_done_only_when_its_log_has_shown() {
        let newest = Some(RecordMark { offset: 8, leader_epoch: Some(2), checksum: 7 });
        let mut owned = Owned::new(TopicPartition::new("orders", 0), Place { position: 9, newest }, Some(9));
        assert!(owned.must_seek && !owned.is_done());
        owned.sought();
        assert!(!owned.contradicts(RecordMark { offset: 8, leader_epoch: Some(2), checksum: 7 }));
        assert!(
            owned.contradicts(RecordMark { offset: 8, leader_epoch: Some(2), checksum: 8 }),
            "another in its place"
        );
        owned.reach_end(9);
        assert!(owned.is_done());
    }

    #[test]
    fn a_record_that_a_later_leader_wrote_below_the_position_contradicts_what_landed() {
        let newest = Some(RecordMark { offset: 6, leader_epoch: Some(2), checksum: 7 });
        let owned = Owned::new(TopicPartition::new("orders", 0), Place { position: 9, newest }, None);
        assert!(owned.contradicts(RecordMark { offset: 8, leader_epoch: Some(3), checksum: 1 }));
        // An aborted one shows to whoever reads uncommitted records from now on.
        assert!(!owned.contradicts(RecordMark { offset: 8, leader_epoch: Some(2), checksum: 1 }));
    }
}
