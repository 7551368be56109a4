//! Offsets of a landed range that have no row, and what explains them. No I/O.

use std::ops::AddAssign;

use serde::Serialize;

use crate::error::Result;
use crate::offset::OffsetRange;

/// Offsets without a row, counted by what explains them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Holes {
    /// Transaction markers: offsets that no reader sees, in a topic that is not compacted.
    pub marker: u64,
    /// Records of aborted transactions: only a `read_uncommitted` reader sees them.
    pub aborted: u64,
    /// Offsets that no reader sees, in a topic that is compacted: compaction, or a transaction marker.
    pub compaction: u64,
    /// Offsets that retention has taken since: the broker cannot tell any more.
    pub retention: u64,
    /// Not looked at: no broker was asked.
    pub unchecked: u64,
    /// A reader still sees records there. Each is a finding.
    pub unexplained: u64,
}

impl Holes {
    /// All of them.
    pub fn count(&self) -> u64 {
        self.marker + self.aborted + self.compaction + self.retention + self.unchecked + self.unexplained
    }
}

impl AddAssign for Holes {
    fn add_assign(&mut self, other: Self) {
        self.marker += other.marker;
        self.aborted += other.aborted;
        self.compaction += other.compaction;
        self.retention += other.retention;
        self.unchecked += other.unchecked;
        self.unexplained += other.unexplained;
    }
}

/// How the rows of one commit cover its range.
#[derive(Debug, Default, PartialEq)]
pub(super) struct Coverage {
    pub(super) row_count: u64,
    /// Offsets without a row, as ranges.
    pub(super) missing: Vec<OffsetRange>,
    /// Offsets with more than one row.
    pub(super) repeated: Vec<i64>,
    /// Offsets of rows that lie outside the range.
    pub(super) outside: Vec<i64>,
}

/// Lays the offsets of a commit's rows over its range.
pub(super) fn coverage(range: OffsetRange, mut offsets: Vec<i64>) -> Result<Coverage> {
    offsets.sort_unstable();
    let mut cover = Coverage { row_count: offsets.len() as u64, ..Coverage::default() };
    let mut next = range.start();
    let mut before = None;
    for offset in offsets {
        if before.replace(offset) == Some(offset) {
            cover.repeated.push(offset);
            continue;
        }
        if !range.contains(offset) {
            cover.outside.push(offset);
            continue;
        }
        if offset > next {
            cover.missing.push(OffsetRange::new(next, offset)?);
        }
        next = offset + 1;
    }
    if next < range.end() {
        cover.missing.push(OffsetRange::new(next, range.end())?);
    }
    cover.repeated.dedup();
    Ok(cover)
}

/// Which of a partition's missing offsets a reader sees, as ranges: there may be very many of them.
#[derive(Debug, Default)]
pub(super) struct Seen {
    missing: Vec<OffsetRange>,
    /// The first of these that does not lie below the next offset.
    place: usize,
    next: i64,
    found: Vec<OffsetRange>,
}

impl Seen {
    /// Nothing of these, ascending, is seen yet.
    pub(super) fn among(missing: Vec<OffsetRange>) -> Self {
        Seen { missing, ..Seen::default() }
    }

    /// Notes an offset that a reader sees. They come ascending; one that comes again changes nothing.
    pub(super) fn note(&mut self, offset: i64) -> Result<()> {
        if offset < self.next {
            return Ok(());
        }
        self.next = offset + 1;
        while self.missing.get(self.place).is_some_and(|range| range.end() <= offset) {
            self.place += 1;
        }
        match self.missing.get(self.place).is_some_and(|range| range.contains(offset)) {
            true => extend(&mut self.found, offset),
            false => Ok(()),
        }
    }

    /// What was seen, ascending.
    pub(super) fn found(self) -> Vec<OffsetRange> {
        self.found
    }
}

/// What the broker says now about a partition's missing offsets.
#[derive(Debug, Default)]
pub(super) struct Evidence {
    /// The oldest offset that the log still has.
    pub(super) log_start: i64,
    /// Missing offsets that a reader of the landing's isolation sees, ascending.
    pub(super) visible: Vec<OffsetRange>,
    /// Missing offsets that a `read_uncommitted` reader sees, ascending.
    pub(super) stored: Vec<OffsetRange>,
    /// Whether the topic is compacted.
    pub(super) is_compacted: bool,
}

/// Explains missing offsets; those that nothing explains come back too, as ranges.
pub(super) fn explain(missing: &[OffsetRange], evidence: &Evidence) -> Result<(Holes, Vec<OffsetRange>)> {
    let unexplained = intersection(missing, &evidence.visible)?;
    let stored = intersection(missing, &evidence.stored)?;
    let both = intersection(&stored, &unexplained)?;
    let aborted = length(&stored) - length(&both);
    let taken = match OffsetRange::new(0, evidence.log_start) {
        Ok(below) => intersection(missing, &[below])?,
        Err(_) => Vec::new(),
    };
    let seen_there = length(&intersection(&taken, &unexplained)?) + length(&intersection(&taken, &stored)?)
        - length(&intersection(&taken, &both)?);
    let retention = length(&taken) - seen_there;
    let mut holes = Holes { unexplained: length(&unexplained), aborted, retention, ..Holes::default() };
    let rest = length(missing) - holes.count();
    match evidence.is_compacted {
        true => holes.compaction = rest,
        false => holes.marker = rest,
    }
    Ok((holes, unexplained))
}

/// What both have, of two lists of ascending ranges.
fn intersection(one: &[OffsetRange], other: &[OffsetRange]) -> Result<Vec<OffsetRange>> {
    let (mut both, mut at, mut beside) = (Vec::new(), 0, 0);
    while let (Some(left), Some(right)) = (one.get(at), other.get(beside)) {
        let (start, end) = (left.start().max(right.start()), left.end().min(right.end()));
        if start < end {
            both.push(OffsetRange::new(start, end)?);
        }
        match left.end() < right.end() {
            true => at += 1,
            false => beside += 1,
        }
    }
    Ok(both)
}

/// How many offsets these are.
pub(super) fn length(ranges: &[OffsetRange]) -> u64 {
    ranges.iter().map(OffsetRange::len).sum()
}

/// Joins ranges that lie near each other, so that one read covers them: a fetch brings thousands of offsets anyway.
pub(super) fn join_near(ranges: &[OffsetRange]) -> Result<Vec<OffsetRange>> {
    let mut joined: Vec<OffsetRange> = Vec::new();
    for range in ranges {
        match joined.last_mut() {
            Some(last) if range.start() - last.end() <= NEAR => {
                *last = OffsetRange::new(last.start(), last.end().max(range.end()))?;
            }
            _ => joined.push(*range),
        }
    }
    Ok(joined)
}

fn extend(ranges: &mut Vec<OffsetRange>, offset: i64) -> Result<()> {
    match ranges.last_mut() {
        Some(last) if last.end() == offset => *last = OffsetRange::new(last.start(), offset + 1)?,
        _ => ranges.push(OffsetRange::new(offset, offset + 1)?),
    }
    Ok(())
}

const NEAR: i64 = 20_000;

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn range(start: i64, end: i64) -> OffsetRange {
        OffsetRange::new(start, end).expect("a range")
    }

    #[test]
    fn a_full_range_has_no_holes() {
        let cover = coverage(range(3, 6), vec![3, 4, 5]).expect("laid");
        assert_eq!(cover, Coverage { row_count: 3, ..Coverage::default() });
    }

    #[test]
    fn holes_repeats_and_strangers_are_told_apart() {
        let cover = coverage(range(3, 10), vec![2, 4, 4, 4, 6, 10]).expect("laid");
        assert_eq!(cover.missing, [range(3, 4), range(5, 6), range(7, 10)]);
        assert_eq!(cover.repeated, [4]);
        assert_eq!(cover.outside, [2, 10]);
        assert_eq!(cover.row_count, 6);
    }

    #[test]
    fn each_hole_has_its_explanation() {
        let evidence =
            Evidence { log_start: 10, visible: vec![range(20, 21)], stored: vec![range(19, 21)], is_compacted: false };
        let (holes, unexplained) = explain(&[range(8, 9), range(18, 21)], &evidence).expect("explained");
        assert_eq!(holes, Holes { retention: 1, marker: 1, aborted: 1, unexplained: 1, ..Holes::default() });
        assert_eq!(unexplained, [range(20, 21)]);
        let compacted = Evidence { is_compacted: true, ..Evidence::default() };
        let (holes, unexplained) = explain(&[range(8, 12)], &compacted).expect("explained");
        assert_eq!((holes.compaction, holes.count(), unexplained.len()), (4, 4, 0));
    }

    #[test]
    fn near_ranges_are_read_together_and_far_ones_apart() {
        let joined = join_near(&[range(0, 1), range(500, 501), range(900_000, 900_001)]).expect("joined");
        assert_eq!(joined, [range(0, 501), range(900_000, 900_001)]);
    }

    #[test]
    fn what_is_seen_is_noted_where_it_is_missing() {
        let mut seen = Seen::among(vec![range(3, 5), range(8, 12)]);
        for offset in [0, 3, 4, 4, 3, 7, 9, 10, 30] {
            seen.note(offset).expect("noted");
        }
        assert_eq!(seen.found(), [range(3, 5), range(9, 11)]);
    }

    fn ranges_of(offsets: &std::collections::BTreeSet<i64>) -> Vec<OffsetRange> {
        let mut ranges = Vec::new();
        offsets.iter().for_each(|offset| extend(&mut ranges, *offset).expect("extended"));
        ranges
    }

    proptest! {
        #[test]
        fn every_missing_offset_is_explained_as_if_by_itself(
            missing in prop::collection::btree_set(0i64..60, 0..60),
            visible in prop::collection::btree_set(0i64..60, 0..10),
            stored in prop::collection::btree_set(0i64..60, 0..30),
            log_start in 0i64..60,
        ) {
            let mut expected = Holes::default();
            for offset in &missing {
                match () {
                    () if visible.contains(offset) => expected.unexplained += 1,
                    () if stored.contains(offset) => expected.aborted += 1,
                    () if *offset < log_start => expected.retention += 1,
                    () => expected.marker += 1,
                }
            }
            let (visible, stored) = (ranges_of(&visible), ranges_of(&stored));
            let evidence = Evidence { log_start, visible, stored, is_compacted: false };
            prop_assert_eq!(explain(&ranges_of(&missing), &evidence).expect("explained").0, expected);
        }

        #[test]
        fn rows_and_missing_offsets_make_up_the_range(present in prop::collection::btree_set(0i64..200, 0..200)) {
            let cover = coverage(range(0, 200), present.iter().copied().collect()).expect("laid");
            let missing: u64 = cover.missing.iter().map(OffsetRange::len).sum();
            prop_assert_eq!(missing + present.len() as u64, 200);
            prop_assert!(cover.missing.iter().all(|range| present.range(range.start()..range.end()).next().is_none()));
        }
    }
}
