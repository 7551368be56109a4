//! What must be true of a topic and its landing after each thing that an operator does, said without the engine: what the
//! log has, where reading must have begun, what has landed, and whether the source is still the one that landed.
//!
//! It is pure: the field does the deeds and tells of them here.

use std::collections::BTreeSet;

use super::partition::{Judge, Partition};
use super::record::Maker;
use crate::landed::{Landed, LandedFile};

/// A topic and one landing of it.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub(super) partitions: Vec<Partition>,
    pub(super) maker: Maker,
    pub(super) is_deleted: bool,
    /// Which of the topics of this name it is.
    topic: u32,
    topics_made: u32,
    /// Whether a run has fixed where reading of some partition begins: what is added from then on is read whole.
    is_claimed: bool,
}

/// The config's `start`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Start {
    Earliest,
    Latest,
    /// The time of the record with this number.
    Time(u64),
}

/// What the next run must come to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Expected {
    /// Exit 0, and everything has landed.
    Exact,
    /// `SourceChanged`, for this reason, and nothing has landed of the partitions that it is true of.
    Changed(String),
    /// Either: nothing had landed, so nothing can be wrong with that, but a claim may stand against it.
    Either(String),
    /// The topic is not there.
    Gone,
}

/// A run that has ended.
#[derive(Debug, Clone, Default)]
pub(super) struct Ended {
    /// Whether it said that everything has landed.
    pub(super) is_complete: bool,
    /// Whether it refused, since the source changed.
    pub(super) is_refused: bool,
    /// The partitions that it may read; `None`: all.
    pub(super) only: Option<Vec<i32>>,
    /// The partitions of which it is known to have looked up where reading begins.
    pub(super) asked: BTreeSet<i32>,
    pub(super) columns: Vec<String>,
    /// Offsets that a reader still finds, where the log is compacted.
    pub(super) readable: Option<Vec<BTreeSet<i64>>>,
}

impl Model {
    /// A topic that was just made, and of which nothing has landed.
    pub(super) fn new(partitions: i32, maker: Maker) -> Self {
        let partitions = (0..partitions).map(|_| Partition::existing()).collect();
        Model { partitions, maker, is_deleted: false, topic: 0, topics_made: 0, is_claimed: false }
    }

    /// A record arrived.
    pub(super) fn produced(&mut self, partition: i32, offset: i64, id: u64) {
        let of = &mut self.partitions[index(partition)];
        of.log.insert(offset, id);
        of.high = offset + 1;
    }

    /// Retention took what is below.
    pub(super) fn retained(&mut self, partition: i32, low: i64) {
        let of = &mut self.partitions[index(partition)];
        of.low = of.low.max(low);
        of.log.retain(|offset, _| *offset >= low);
    }

    /// The topic has so many partitions now.
    pub(super) fn added(&mut self, total: i32) {
        self.partitions.resize_with(self.partitions.len().max(index(total)), Partition::default);
        for of in self.partitions.iter_mut().filter(|of| !of.exists) {
            (of.exists, of.is_added) = (true, self.is_claimed);
            // Whether a run that was killed had claimed anything cannot be known.
            of.begin.lowest.get_or_insert(0);
        }
    }

    /// It was deleted.
    pub(super) fn deleted(&mut self) {
        self.is_deleted = true;
    }

    /// It was made anew, empty, with as many partitions as it had.
    pub(super) fn recreated(&mut self) {
        self.topics_made += 1;
        (self.topic, self.is_deleted) = (self.topics_made, false);
        self.partitions.iter_mut().filter(|of| of.exists).for_each(Partition::recreate);
    }

    /// The brokers have what they had at `then`: all of it, or the logs alone.
    pub(super) fn restored(&mut self, then: &Model, logs_alone: bool) {
        if !logs_alone {
            (self.topic, self.is_deleted) = (then.topic, then.is_deleted);
        }
        for (number, of) in self.partitions.iter_mut().enumerate() {
            match then.partitions.get(number).filter(|was| was.exists) {
                Some(was) => of.restore(was, logs_alone),
                None if logs_alone => {}
                None => of.vanish(),
            }
        }
    }

    /// Landed files were removed: of this partition, the oldest or the newest, so many. Returns where they began.
    pub(super) fn remove_files(&mut self, partition: i32, count: usize, oldest: bool) -> Vec<i64> {
        let files = &mut self.partitions[index(partition)].files;
        let count = count.min(files.len());
        let removed: Vec<_> =
            if oldest { files.drain(..count).collect() } else { files.split_off(files.len() - count) };
        removed.iter().map(|file| file.start).collect()
    }

    /// From now on it lands in another, empty folder.
    pub(super) fn landed_anew(&mut self) {
        self.is_claimed = false;
        for of in &mut self.partitions {
            of.files.clear();
            of.is_added = false;
            of.begin = Default::default();
        }
    }

    /// A run begins with this config: if it comes that far, reading begins there.
    pub(super) fn begun(&mut self, start: Start, only: Option<&[i32]>) {
        for (number, of) in self.partitions.iter_mut().enumerate().filter(|(_, of)| of.exists) {
            match includes(only, number) {
                true => of.begun(start),
                // What the run leaves out may later count as added, or begin where the config then says.
                false => {
                    of.begin.lowest.get_or_insert(0);
                }
            }
        }
    }

    /// A run is known to have looked up where reading of these begins.
    pub(super) fn asked(&mut self, partitions: &BTreeSet<i32>) {
        for partition in partitions {
            if let Some(of) = self.partitions.get_mut(index(*partition)) {
                of.asked();
                self.is_claimed = true;
            }
        }
    }

    /// What the next run over these partitions must come to.
    pub(super) fn expected(&self, only: Option<&[i32]>) -> Expected {
        if self.is_deleted {
            return Expected::Gone;
        }
        let mut all = Expected::Exact;
        for (number, of) in self.partitions.iter().enumerate().filter(|(number, _)| includes(only, *number)) {
            match of.expected(self.topic) {
                Expected::Changed(why) => return Expected::Changed(format!("partition {number}: {why}")),
                Expected::Either(why) => all = Expected::Either(format!("partition {number}: {why}")),
                Expected::Exact | Expected::Gone => {}
            }
        }
        all
    }

    /// Whether all that must land of these partitions has, to judge by the files' ranges.
    pub(super) fn is_landed(&self, landed: &Landed, only: Option<&[i32]>) -> bool {
        let end =
            |number: usize| landed.files.iter().rfind(|file| index(file.partition) == number).map(|file| file.end);
        let mut wanted = self.partitions.iter().enumerate().filter(|(number, of)| of.exists && includes(only, *number));
        wanted.all(|(number, of)| of.is_landed(end(number)))
    }

    /// Takes what was found in the landing after a run, and says all that is wrong with it.
    pub(super) fn take(&mut self, found: &Landed, run: &Ended) -> Vec<String> {
        let mut wrong: Vec<String> = found.strangers.iter().map(|path| format!("{path} is no landed file")).collect();
        if let Some(file) = found.files.iter().find(|file| index(file.partition) >= self.partitions.len()) {
            wrong.push(format!("altered: {} is of no partition", file.path.display()));
        }
        let topic = self.topic;
        for (number, of) in self.partitions.iter_mut().enumerate() {
            let mut said = |what: String| wrong.push(format!("partition {number}: {what}"));
            let files: Vec<&LandedFile> = found.files.iter().filter(|file| index(file.partition) == number).collect();
            let new = of.new_among(&files, &mut said);
            let is_included = of.exists && includes(run.only.as_deref(), number);
            if let (Some(first), false) = (new.first(), is_included) {
                said(format!("mixed: landed [{}, …), and is not among the run's partitions", first.start));
            }
            if let (Some(first), Expected::Changed(why)) = (new.first(), of.expected(topic)) {
                said(format!("mixed: landed [{}, …) behind a source that changed: {why}", first.start));
                continue;
            }
            // A run that was killed before it asked leaves every doubt as it was.
            if is_included && (run.is_complete || run.asked.contains(&(number as i32))) {
                if !run.is_refused {
                    of.doubt_settled();
                }
                of.asked();
                self.is_claimed = true;
            }
            let readable = run.readable.as_ref().and_then(|all| all.get(number));
            let judge = Judge { topic, maker: self.maker, columns: &run.columns, readable };
            for file in new {
                of.land(file, &judge, &mut said);
            }
            if run.is_complete && is_included {
                of.check_whole(&judge, &mut said);
            }
        }
        wrong
    }

    /// Whether the log of a partition was cut below what landed, and has grown to there again.
    pub(super) fn has_grown_again(&self) -> bool {
        self.partitions.iter().any(Partition::has_grown_again)
    }

    /// Rows of all files.
    pub(super) fn row_count(&self) -> usize {
        self.partitions.iter().flat_map(|of| &of.files).map(|file| file.row_count).sum()
    }

    /// Whether it is the same topic that it was.
    pub(super) fn is_same_topic(&self, then: &Model) -> bool {
        self.topic == then.topic && !self.is_deleted
    }

    /// The partitions that the topic has now.
    pub(super) fn existing(&self) -> impl Iterator<Item = (i32, &Partition)> {
        (0..).zip(&self.partitions).filter(|(_, of)| of.exists)
    }
}

fn includes(only: Option<&[i32]>, number: usize) -> bool {
    only.is_none_or(|only| only.iter().any(|one| index(*one) == number))
}

fn index(partition: i32) -> usize {
    usize::try_from(partition).expect("partitions are counted from 0")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A file of one partition of records whose numbers are their offsets.
    fn file(model: &Model, start: i64, end: i64) -> LandedFile {
        let rows =
            model.partitions[0].log.range(start..end).map(|(offset, id)| model.maker.row(*id, *offset, &[])).collect();
        let (path, digest) = (format!("{start}").into(), format!("{start}"));
        LandedFile { partition: 0, start, end, path, error: None, digest, columns: Vec::new(), rows }
    }

    fn landed(files: &[LandedFile]) -> Landed {
        Landed { files: files.to_vec(), strangers: Vec::new() }
    }

    fn produced(records: i64) -> Model {
        let mut model = Model::new(1, Maker { keys: None });
        (0..records).for_each(|offset| model.produced(0, offset, offset.cast_unsigned()));
        model
    }

    fn complete() -> Ended {
        Ended { is_complete: true, asked: [0].into(), ..Ended::default() }
    }

    #[test]
    fn what_tiles_and_is_whole_is_right() {
        let mut model = produced(10);
        model.begun(Start::Earliest, None);
        let files = [file(&model, 0, 6), file(&model, 6, 10)];
        assert_eq!(model.take(&landed(&files), &complete()), Vec::<String>::new());
        assert_eq!(model.row_count(), 10);
    }

    #[test]
    fn holes_overlaps_and_what_is_missing_are_told() {
        for (ranges, told) in [
            (vec![(0, 6)], "lost"),
            (vec![(0, 5), (6, 10)], "lost"),
            (vec![(0, 6), (5, 10)], "doubled"),
            (vec![(2, 10)], "lost"),
        ] {
            let mut model = produced(10);
            model.begun(Start::Earliest, None);
            let files: Vec<LandedFile> = ranges.into_iter().map(|(start, end)| file(&model, start, end)).collect();
            let wrong = model.take(&landed(&files), &complete());
            assert!(wrong.iter().any(|wrong| wrong.contains(told)), "{told}: {wrong:?}");
        }
    }

    #[test]
    fn a_run_that_was_killed_before_it_asked_settles_nothing() {
        let mut model = produced(4);
        model.begun(Start::Latest, None);
        model.take(&landed(&[]), &complete());
        model.recreated();
        for (run, is_settled) in [(Ended::default(), false), (complete(), true)] {
            model.begun(Start::Latest, None);
            assert!(matches!(model.expected(None), Expected::Either(_)));
            model.take(&landed(&[]), &run);
            assert_eq!(model.expected(None) == Expected::Exact, is_settled);
        }
    }

    #[test]
    fn a_start_at_the_end_holds_from_the_first_run_that_asked() {
        let mut model = produced(4);
        model.begun(Start::Latest, None);
        let asked = Ended { asked: [0].into(), ..Ended::default() };
        assert_eq!(model.take(&landed(&[]), &asked), Vec::<String>::new());
        (4..8).for_each(|offset| model.produced(0, offset, offset.cast_unsigned()));
        let mut other = model.clone();
        model.begun(Start::Latest, None);
        let wrong = model.take(&landed(&[]), &complete());
        assert!(wrong.iter().any(|wrong| wrong.contains("lost")), "{wrong:?}");
        other.begun(Start::Latest, None);
        let files = [file(&other, 4, 8)];
        assert_eq!(other.take(&landed(&files), &complete()), Vec::<String>::new());
    }

    #[test]
    fn a_log_that_was_cut_below_what_landed_is_another_source_however_it_grows() {
        let mut model = produced(5);
        let then = model.clone();
        (5..8).for_each(|offset| model.produced(0, offset, offset.cast_unsigned()));
        model.begun(Start::Earliest, None);
        let files = [file(&model, 0, 8)];
        assert_eq!(model.take(&landed(&files), &complete()), Vec::<String>::new());
        let mut whole = model.clone();
        whole.restored(&then, false);
        model.restored(&then, true);
        assert!(matches!(model.expected(None), Expected::Changed(_)));
        assert!(matches!(whole.expected(None), Expected::Changed(_)));
        for grown in [&mut model, &mut whole] {
            (5..20).for_each(|offset| grown.produced(0, offset, offset.cast_unsigned() + 100));
        }
        assert!(matches!(model.expected(None), Expected::Changed(_)));
        assert!(matches!(whole.expected(None), Expected::Changed(_)), "also where leader epochs came again");
        model.landed_anew();
        assert_eq!(model.expected(None), Expected::Exact);
    }

    #[test]
    fn retention_below_the_position_and_removed_files_change_nothing() {
        let mut model = produced(10);
        model.begun(Start::Earliest, None);
        let files = [file(&model, 0, 6), file(&model, 6, 10)];
        model.take(&landed(&files), &complete());
        model.retained(0, 10);
        assert_eq!(model.remove_files(0, 1, true), [0]);
        assert_eq!(model.expected(None), Expected::Exact);
        model.produced(0, 10, 10);
        model.retained(0, 11);
        assert!(matches!(model.expected(None), Expected::Changed(_)));
    }
}
