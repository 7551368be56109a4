//! One partition of the model: the broker's log, where reading begins, and what has landed.

use std::collections::{BTreeMap, BTreeSet};

use super::model::{Expected, Start};
use super::record::{Maker, number_at};
use crate::landed::LandedFile;

/// What is known of a partition.
#[derive(Debug, Clone, Default)]
pub(super) struct Partition {
    /// The broker's log: records by offset, and its ends.
    pub(super) log: BTreeMap<i64, u64>,
    pub(super) low: i64,
    pub(super) high: i64,
    /// Where the log was cut back, in time's order.
    cuts: Vec<Cut>,
    /// Whether the topic has it now.
    pub(super) exists: bool,
    /// Whether it came after the first claim of its topic, so that it is read whole.
    pub(super) is_added: bool,
    pub(super) begin: Begin,
    /// What has landed and was found right, in order.
    pub(super) files: Vec<File>,
}

/// Where reading begins, as far as it can be known from outside.
#[derive(Debug, Clone, Default)]
pub(super) struct Begin {
    /// The lowest that any run may have fixed.
    pub(super) lowest: Option<i64>,
    /// The highest; `None` as long as no run is known to have asked.
    pub(super) highest: Option<i64>,
    /// What the newest run would fix.
    looked_up: i64,
    /// How many cuts there had been when it was fixed.
    cuts: usize,
    /// It may be the claim on another topic of this name.
    is_stale: bool,
}

/// The log was cut back.
#[derive(Debug, Clone, Copy)]
struct Cut {
    at: i64,
}

/// A file that has landed and was found right.
#[derive(Debug, Clone)]
pub(super) struct File {
    pub(super) start: i64,
    pub(super) end: i64,
    pub(super) row_count: usize,
    digest: String,
    topic: u32,
    /// How many cuts there had been.
    cuts: usize,
}

impl Partition {
    /// An empty one that the topic has.
    pub(super) fn existing() -> Self {
        Partition { exists: true, ..Partition::default() }
    }

    /// Another topic has its number now.
    pub(super) fn recreate(&mut self) {
        self.log.clear();
        (self.low, self.high, self.is_added) = (0, 0, false);
        let is_stale = self.begin.lowest.is_some();
        self.begin = Begin { lowest: is_stale.then_some(0), is_stale, ..Begin::default() };
    }

    /// Its log is what it was, but for what retention took for good.
    pub(super) fn restore(&mut self, was: &Partition, keep_low: bool) {
        self.cuts.push(Cut { at: was.high });
        (self.exists, self.high) = (true, was.high);
        self.low = if keep_low { self.low } else { was.low };
        self.log = was.log.clone();
        let low = self.low;
        self.log.retain(|offset, _| *offset >= low);
    }

    /// The topic does not have it any more.
    pub(super) fn vanish(&mut self) {
        self.cuts.push(Cut { at: 0 });
        self.log.clear();
        (self.low, self.high, self.exists) = (0, 0, false);
    }

    /// A run begins that reads it.
    pub(super) fn begun(&mut self, start: Start) {
        let at_or_after = |id: u64| self.log.iter().find(|(_, found)| **found >= id).map_or(self.high, |(at, _)| *at);
        let found = match start {
            _ if self.is_added => self.low,
            Start::Earliest => self.low,
            Start::Latest => self.high,
            Start::Time(id) => at_or_after(id),
        };
        if self.begin.highest.is_none() {
            self.begin.looked_up = found;
            self.begin.lowest = Some(self.begin.lowest.map_or(found, |lowest| lowest.min(found)));
        }
    }

    /// The run that began last is known to have asked where reading begins.
    pub(super) fn asked(&mut self) {
        if self.begin.highest.is_none() {
            self.begin.highest = Some(self.begin.looked_up.max(self.begin.lowest.unwrap_or(0)));
            self.begin.cuts = self.cuts.len();
        }
    }

    /// What the next run must come to; `topic` is the topic that is there.
    pub(super) fn expected(&self, topic: u32) -> Expected {
        let Some(newest) = self.files.last() else {
            return if self.is_claim_doubtful() {
                Expected::Either(format!("nothing has landed, and {:?} was claimed", self.begin))
            } else {
                Expected::Exact
            };
        };
        let cut = self.cuts.iter().skip(newest.cuts).find(|cut| cut.at < newest.end);
        if newest.topic != topic {
            Expected::Changed("the topic was made anew".to_owned())
        } else if !self.exists {
            Expected::Changed("the topic does not have it any more".to_owned())
        } else if let Some(Cut { at }) = cut {
            Expected::Changed(format!("landed up to {}, and the log was cut at {at}", newest.end))
        } else if self.low > newest.end {
            Expected::Changed(format!("landed up to {}, and the log begins at {}", newest.end, self.low))
        } else {
            Expected::Exact
        }
    }

    /// Whether the log was cut below what landed, and has grown to there again.
    pub(super) fn has_grown_again(&self) -> bool {
        let was_cut = |file: &File| self.cuts.iter().skip(file.cuts).any(|cut| cut.at < file.end);
        self.files.last().is_some_and(|newest| was_cut(newest) && self.high >= newest.end)
    }

    fn is_claim_doubtful(&self) -> bool {
        let Begin { lowest, highest, cuts, is_stale, .. } = self.begin;
        let is_cut = highest.is_some_and(|begin| self.cuts.iter().skip(cuts).any(|cut| cut.at < begin));
        is_stale || is_cut || highest.is_some() && lowest < Some(self.low)
    }

    /// A run went on although the claim could have stood against it: it may have begun anywhere.
    pub(super) fn doubt_settled(&mut self) {
        let is_moved = self.begin.is_stale || self.cuts.len() > self.begin.cuts;
        if self.files.is_empty() && self.is_claim_doubtful() && is_moved {
            self.begin = Begin { lowest: Some(0), looked_up: self.high, ..Begin::default() };
        }
    }

    /// Where the next file may begin.
    fn next_start(&self) -> (i64, i64) {
        let Begin { lowest, highest, looked_up, .. } = self.begin;
        let highest = highest.unwrap_or(looked_up).max(self.low);
        self.files.last().map_or((lowest.unwrap_or(0), highest), |file| (file.end, file.end))
    }

    /// Whether a landing whose newest file ends here has everything.
    pub(super) fn is_landed(&self, end: Option<i64>) -> bool {
        let (_, begin) = self.next_start();
        end == Some(self.high) || end.is_none() && self.files.is_empty() && self.log.range(begin..).next().is_none()
    }

    /// Finds what had landed among the files, and returns the others.
    pub(super) fn new_among<'a>(&self, found: &[&'a LandedFile], said: &mut impl FnMut(String)) -> Vec<&'a LandedFile> {
        for File { start, end, digest, .. } in &self.files {
            match found.iter().find(|file| file.start == *start) {
                None => said(format!("lost: the landed file of [{start}, {end}) is gone")),
                Some(file) if file.digest != *digest => said(format!("altered: the landed file of [{start}, {end})")),
                Some(_) => {}
            }
        }
        let is_new = |file: &&LandedFile| self.files.iter().all(|known| known.start != file.start);
        found.iter().copied().filter(is_new).collect()
    }

    /// Compares a new file with the log, and keeps it.
    pub(super) fn land(&mut self, file: &LandedFile, judge: &Judge<'_>, said: &mut impl FnMut(String)) {
        let LandedFile { start, end, .. } = *file;
        let (lowest, highest) = self.next_start();
        let name = format!("[{start}, {end})");
        if let Some(error) = &file.error {
            said(format!("altered: {}: {error}", file.path.display()));
        }
        if start < lowest {
            said(format!("doubled: {name} landed, and it had landed up to, or begins at, {lowest}"));
        }
        if start > highest {
            let lost = self.log.range(highest..start).count();
            said(format!("lost: {name} landed, and [{highest}, {start}) with {lost} records before it has not"));
        }
        if end > self.high || end <= start {
            said(format!("altered: {name} landed, and the log ends at {}", self.high));
        }
        if file.columns != judge.columns {
            said(format!("altered: {name} has the columns {:?}, and should have {:?}", file.columns, judge.columns));
        }
        let mut seen = BTreeSet::new();
        for row in &file.rows {
            let Some(id) = self.log.get(&row.offset) else {
                let number = row.timestamp.map(number_at);
                said(format!("altered: {name} has a row of offset {}, number {number:?}; no such record", row.offset));
                continue;
            };
            if let Some(difference) = judge.maker.difference(*id, row, &file.columns) {
                said(format!("altered: the row of offset {} in {name} {difference}", row.offset));
            }
            if !seen.insert(row.offset) {
                said(format!("doubled: offset {} stands twice in {name}", row.offset));
            }
            if !(start..end).contains(&row.offset) {
                said(format!("altered: a row of offset {} in {name}", row.offset));
            }
        }
        let lost: Vec<i64> = self.readable(start, end, judge).filter(|offset| !seen.contains(offset)).collect();
        if !lost.is_empty() {
            said(format!("lost: {name} landed without offsets {lost:?}"));
        }
        if self.files.is_empty() {
            (self.begin.lowest, self.begin.highest, self.begin.is_stale) = (Some(start), Some(start), false);
            self.begin.cuts = self.cuts.len();
        }
        let (row_count, digest) = (file.rows.len(), file.digest.clone());
        self.files.push(File { start, end, row_count, digest, topic: judge.topic, cuts: self.cuts.len() });
    }

    /// Whether everything has landed, after a run that says so.
    pub(super) fn check_whole(&self, judge: &Judge<'_>, said: &mut impl FnMut(String)) {
        let (_, from) = self.next_start();
        let lost: Vec<i64> = self.readable(from, i64::MAX, judge).collect();
        if !lost.is_empty() {
            said(format!(
                "lost: the run ended well, and offsets {lost:?} have not landed; the log is [{}, {})",
                self.low, self.high
            ));
        }
    }

    fn readable<'a>(&'a self, from: i64, to: i64, judge: &'a Judge<'_>) -> impl Iterator<Item = i64> + 'a {
        let is_there = |offset: &i64| judge.readable.is_none_or(|readable| readable.contains(offset));
        self.log.range(from..to.max(from)).map(|(offset, _)| *offset).filter(is_there)
    }
}

/// What files are held against, beside the log.
pub(super) struct Judge<'a> {
    pub(super) topic: u32,
    pub(super) maker: Maker,
    pub(super) columns: &'a [String],
    /// Offsets that a reader still finds, where the log is compacted.
    pub(super) readable: Option<&'a BTreeSet<i64>>,
}
