//! The comparison: what was produced against what landed, row by row; counts what is lost, doubled and altered.

use std::sync::Arc;

use serde::Serialize;

use super::record::Records;
use super::rows::Rows;
use crate::offset::{OffsetRange, TopicPartition};

/// What became of the records of a topic.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Comparison {
    /// Records that were produced.
    pub record_count: u64,
    /// Rows that landed.
    pub row_count: u64,
    /// Files that they landed in.
    pub file_count: u64,
    /// Records without a row.
    pub lost: u64,
    /// Rows beyond the first of a record.
    pub duplicated: u64,
    /// Rows that differ from their record.
    pub altered: u64,
    /// Rows of which nobody produced a record.
    pub foreign: u64,
    /// The first few of these, in the order of partitions.
    pub differences: Vec<Difference>,
}

/// A record that did not land once and as it was, or a run of lost ones.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Where.
    #[serde(flatten)]
    pub topic_partition: TopicPartition,
    /// At which offset; several only of lost records.
    pub range: OffsetRange,
    /// What sort of difference.
    pub kind: DifferenceKind,
    /// The column that differs, of an altered row.
    pub column: Option<&'static str>,
    /// The first record's number, from which it can be made again.
    pub number: Option<u64>,
}

/// What sort of difference. Closed: there is no other way for a row and a record to differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum DifferenceKind {
    /// A record has no row.
    Lost,
    /// A record has a row too many.
    Duplicated,
    /// A row differs from its record.
    Altered,
    /// A row has no record.
    Foreign,
}

impl Comparison {
    /// Whether every record landed once and as it was, and nothing else did.
    pub fn is_exact(&self) -> bool {
        self.lost + self.duplicated + self.altered + self.foreign == 0 && self.row_count == self.record_count
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Difference { topic_partition, range, kind, column, number } = self;
        match range.len() {
            1 => write!(out, "{topic_partition} offset {}: ", range.start())?,
            count => write!(out, "{topic_partition} {range}: {count} ")?,
        }
        match kind {
            DifferenceKind::Lost => write!(out, "lost")?,
            DifferenceKind::Duplicated => write!(out, "duplicated")?,
            DifferenceKind::Altered => write!(out, "altered in {}", column.unwrap_or("some column"))?,
            DifferenceKind::Foreign => write!(out, "a row that nobody produced")?,
        }
        match number {
            Some(number) if range.len() == 1 => write!(out, " (record {number})"),
            _ => Ok(()),
        }
    }
}

/// Which record is at which offset.
#[derive(Debug, Default)]
pub(super) struct Produced {
    /// By partition and offset: the record's number, or [`NONE`].
    numbers: Vec<Vec<u32>>,
    record_count: u32,
    pub(super) tombstone_count: u64,
    pub(super) poisoned_count: u64,
}

impl Produced {
    pub(super) fn new(partition_count: i32) -> Self {
        let numbers = vec![Vec::new(); usize::try_from(partition_count).unwrap_or(0)];
        Produced { numbers, ..Produced::default() }
    }

    pub(super) fn record_count(&self) -> u64 {
        self.record_count.into()
    }

    /// Notes where the next record arrived; `None` where no record of ours can have.
    pub(super) fn note(&mut self, partition: i32, offset: i64) -> Option<()> {
        let numbers = self.numbers.get_mut(usize::try_from(partition).ok()?)?;
        let place = usize::try_from(offset).ok()?;
        if place >= numbers.len() {
            // A producer that sends again may leave a hole, never a large one.
            if place - numbers.len() > LARGEST_HOLE {
                return None;
            }
            numbers.resize(place + 1, NONE);
        }
        if numbers[place] != NONE || self.record_count == NONE {
            return None;
        }
        numbers[place] = self.record_count;
        self.record_count += 1;
        Some(())
    }

    fn of(&self, partition: i32) -> &[u32] {
        usize::try_from(partition).ok().and_then(|place| self.numbers.get(place)).map_or(&[], Vec::as_slice)
    }
}

/// A comparison under way: partition after partition, rows in any order.
pub(super) struct Comparing<'a> {
    records: &'a Records,
    produced: &'a Produced,
    partition: i32,
    /// Whether the record at this offset of the partition has had a row.
    seen: Vec<bool>,
    pub(super) file_count: u64,
    comparison: Comparison,
}

impl<'a> Comparing<'a> {
    pub(super) fn new(records: &'a Records, produced: &'a Produced) -> Self {
        let comparison = Comparison { record_count: produced.record_count(), ..Comparison::default() };
        Comparing { records, produced, partition: 0, seen: Vec::new(), file_count: 0, comparison }
    }

    /// Begins a partition.
    pub(super) fn begin(&mut self, partition: i32) {
        self.partition = partition;
        self.seen.clear();
        self.seen.resize(self.produced.of(partition).len(), false);
    }

    /// Takes rows of the partition.
    pub(super) fn add(&mut self, rows: &Rows<'_>) {
        let numbers = self.produced.of(self.partition);
        for row in 0..rows.count() {
            self.comparison.row_count += 1;
            let offset = rows.offset(row);
            let place = usize::try_from(offset).ok().filter(|place| numbers.get(*place).is_some_and(|n| *n != NONE));
            let Some(place) = place else {
                self.comparison.foreign += 1;
                self.tell(offset, DifferenceKind::Foreign, None, None);
                continue;
            };
            let number = u64::from(numbers[place]);
            if std::mem::replace(&mut self.seen[place], true) {
                self.comparison.duplicated += 1;
                self.tell(offset, DifferenceKind::Duplicated, None, Some(number));
            }
            if let Some(column) = rows.differing(row, &self.records.make(number)) {
                self.comparison.altered += 1;
                self.tell(offset, DifferenceKind::Altered, Some(column), Some(number));
            }
        }
    }

    /// Ends the partition: whatever had no row is lost.
    pub(super) fn end(&mut self) {
        let numbers = self.produced.of(self.partition);
        for (place, number) in numbers.iter().enumerate().filter(|(_, number)| **number != NONE) {
            if !self.seen[place] {
                self.comparison.lost += 1;
                let offset = i64::try_from(place).unwrap_or(i64::MAX);
                self.tell(offset, DifferenceKind::Lost, None, Some(u64::from(*number)));
            }
        }
    }

    pub(super) fn finish(self) -> Comparison {
        Comparison { file_count: self.file_count, ..self.comparison }
    }

    fn tell(&mut self, offset: i64, kind: DifferenceKind, column: Option<&'static str>, number: Option<u64>) {
        let Ok(range) = OffsetRange::new(offset.max(0), offset.max(0).saturating_add(1)) else { return };
        let differences = &mut self.comparison.differences;
        if let Some(before) =
            differences.last_mut().filter(|before| before.is_continued_by(self.partition, range, kind))
            && let Ok(longer) = OffsetRange::new(before.range.start(), range.end())
        {
            before.range = longer;
        } else if differences.len() < TOLD {
            let topic_partition = TopicPartition::new(Arc::clone(self.records.topic()), self.partition);
            differences.push(Difference { topic_partition, range, kind, column, number });
        }
    }
}

impl Difference {
    /// Whether a lost record is the next of a run.
    fn is_continued_by(&self, partition: i32, range: OffsetRange, kind: DifferenceKind) -> bool {
        self.kind == DifferenceKind::Lost
            && kind == DifferenceKind::Lost
            && self.topic_partition.partition == partition
            && self.range.end() == range.start()
    }
}

/// Nobody's number.
const NONE: u32 = u32::MAX;
const LARGEST_HOLE: usize = 1 << 20;
/// How many differences are told one by one.
const TOLD: usize = 20;

#[cfg(test)]
mod tests {
    use arrow::array::{
        ArrayRef, AsArray, BinaryArray, Int64Array, RecordBatch, TimestampMillisecondArray, UInt32Array,
    };
    use arrow::compute::take_record_batch;
    use arrow::datatypes::{Int64Type, TimestampMillisecondType};

    use super::*;
    use crate::load::{Format, LoadOptions, RecordLoader};
    use crate::record::KafkaStreamRecord;
    use crate::schema::Schema;
    use crate::torture::load_section;

    const COUNT: u32 = 3_000;

    /// One partition with all records, landed as the engine lands them.
    struct Landed {
        records: Records,
        produced: Produced,
        rows: RecordBatch,
    }

    impl Landed {
        fn new() -> Self {
            let records = Records::new("t", 1, 7);
            let mut produced = Produced::new(1);
            let made: Vec<KafkaStreamRecord> = (0..COUNT)
                .map(|number| {
                    produced.note(0, number.into()).expect("a fresh offset");
                    KafkaStreamRecord { offset: number.into(), ..records.make(number.into()).record }
                })
                .collect();
            let mut loader = RecordLoader::new(&options()).expect("options");
            let loaded = loader.load(&TopicPartition::new("t", 0), &mut made.iter().map(KafkaStreamRecord::as_view));
            Landed { records, produced, rows: loaded.expect("loaded").rows }
        }

        fn compare(&self, rows: &RecordBatch) -> Comparison {
            let mut comparing = Comparing::new(&self.records, &self.produced);
            comparing.begin(0);
            comparing.add(&Rows::of(rows).expect("all columns"));
            comparing.end();
            comparing.finish()
        }

        /// The rows in this order; a row may be missing or come twice.
        fn taken(&self, rows: impl Iterator<Item = u32>) -> RecordBatch {
            take_record_batch(&self.rows, &UInt32Array::from_iter_values(rows)).expect("rows")
        }

        fn with_column(&self, name: &str, change: impl FnOnce(&ArrayRef) -> ArrayRef) -> RecordBatch {
            let place = self.rows.schema().index_of(name).expect("the column is there");
            let mut columns = self.rows.columns().to_vec();
            columns[place] = change(&columns[place]);
            RecordBatch::try_new(self.rows.schema(), columns).expect("the same types")
        }
    }

    fn options() -> LoadOptions {
        let schema = Schema::from_value(load_section()["schema"].take()).expect("a schema");
        LoadOptions { format: Format::Json, schema, keep_value: true, ..LoadOptions::default() }
    }

    fn counts(comparison: &Comparison) -> [u64; 4] {
        [comparison.lost, comparison.duplicated, comparison.altered, comparison.foreign]
    }

    #[test]
    fn what_landed_once_and_as_it_was_is_exact() {
        let landed = Landed::new();
        let comparison = landed.compare(&landed.rows);
        assert_eq!(counts(&comparison), [0; 4], "{:#?}", comparison.differences);
        assert!(comparison.is_exact());
        assert!(landed.compare(&landed.taken((0..COUNT).rev())).is_exact(), "the order is not looked at");
    }

    #[test]
    fn a_dropped_row_is_lost() {
        let landed = Landed::new();
        let comparison = landed.compare(&landed.taken((0..COUNT).filter(|row| *row != 1_234)));
        assert_eq!(counts(&comparison), [1, 0, 0, 0]);
        assert_eq!(comparison.differences[0].to_string(), "t[0] offset 1234: lost (record 1234)");
        assert!(!comparison.is_exact());
    }

    #[test]
    fn nothing_landed_loses_everything() {
        let landed = Landed::new();
        let comparison = landed.compare(&landed.taken(0..0));
        assert_eq!(counts(&comparison), [COUNT.into(), 0, 0, 0]);
        assert_eq!(comparison.differences.len(), 1, "a run of them is told as one");
        assert_eq!(comparison.differences[0].to_string(), "t[0] [0, 3000): 3000 lost");
        let comparison = landed.compare(&landed.taken((0..COUNT).filter(|row| row % 2 == 0)));
        assert_eq!(comparison.differences.len(), TOLD);
    }

    #[test]
    fn a_row_that_comes_twice_is_duplicated() {
        let landed = Landed::new();
        let comparison = landed.compare(&landed.taken((0..COUNT).chain([17])));
        assert_eq!(counts(&comparison), [0, 1, 0, 0]);
        assert!(!comparison.is_exact());
    }

    #[test]
    fn a_row_without_a_record_is_foreign() {
        let landed = Landed::new();
        let rows = landed.with_column("_kafka_offset", |offsets| {
            let mut offsets = offsets.as_primitive::<Int64Type>().values().to_vec();
            offsets[5] = 1_000_000;
            Arc::new(Int64Array::from(offsets))
        });
        let comparison = landed.compare(&rows);
        assert_eq!(counts(&comparison), [1, 0, 0, 1]);
    }

    #[test]
    fn two_rows_that_swapped_a_column_are_altered_whichever_it_is() {
        let landed = Landed::new();
        for (place, field) in landed.rows.schema().fields().iter().enumerate() {
            if ["_kafka_topic", "_kafka_partition", "_kafka_offset", "_rdp_error"].contains(&field.name().as_str()) {
                continue;
            }
            // A neighbour whose cell differs: only then is there something to swap.
            let column = landed.rows.column(place);
            let other = (1..COUNT as usize).find(|row| column.slice(0, 1).as_ref() != column.slice(*row, 1).as_ref());
            let other = other.unwrap_or_else(|| panic!("{} holds one value alone", field.name())) as u32;
            let order = (0..COUNT).map(|row| {
                if row == 0 {
                    other
                } else if row == other {
                    0
                } else {
                    row
                }
            });
            let swapped = landed.taken(order).column(place).clone();
            let comparison = landed.compare(&landed.with_column(field.name(), |_| swapped));
            assert_eq!(counts(&comparison), [0, 0, 2, 0], "{}", field.name());
            assert_eq!(comparison.differences[0].column, Some(field.name().as_str()), "{}", field.name());
        }
    }

    #[test]
    fn a_lost_key_a_shifted_timestamp_and_a_lost_reason_are_altered() {
        let landed = Landed::new();
        let keyed = landed.rows.column_by_name("_kafka_key").expect("keys").as_binary::<i32>().clone();
        let first = keyed.iter().position(|key| key.is_some()).expect("a key");
        let lost = |_: &ArrayRef| -> ArrayRef {
            let keys = keyed.iter().enumerate().map(|(row, key)| key.filter(|_| row != first));
            Arc::new(BinaryArray::from_iter(keys))
        };
        assert_eq!(counts(&landed.compare(&landed.with_column("_kafka_key", lost))), [0, 0, 1, 0]);

        let later = |times: &ArrayRef| -> ArrayRef {
            let times = times.as_primitive::<TimestampMillisecondType>();
            Arc::new(
                TimestampMillisecondArray::from_iter_values(times.values().iter().map(|at| at + 1))
                    .with_timezone("UTC"),
            )
        };
        assert_eq!(counts(&landed.compare(&landed.with_column("_kafka_timestamp", later))), [0, 0, COUNT.into(), 0]);

        let errors = landed.rows.column_by_name("_rdp_error").expect("reasons");
        let quarantined = u64::from(COUNT) - errors.null_count() as u64;
        assert!(quarantined > 0);
        let forgotten = |errors: &ArrayRef| arrow::array::new_null_array(errors.data_type(), errors.len());
        assert_eq!(counts(&landed.compare(&landed.with_column("_rdp_error", forgotten))), [0, 0, quarantined, 0]);
    }
}
