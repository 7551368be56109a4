//! What every sink must pass. A sink's tests call [`run`] with a way to open it; a failed check panics with the fact that
//! does not hold.
//!
//! The suite looks at a sink only through the [`Sink`] contract; what is inside its files or tables is for the sink's own
//! tests.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use arrow::array::{ArrayBuilder, BinaryBuilder};
use arrow::array::{
    ArrayRef, AsArray, BinaryArray, BooleanArray, Int32Array, Int64Array, ListBuilder, RecordBatch, StringArray,
    StringBuilder, StructBuilder, TimestampMillisecondArray,
};
use arrow::datatypes::{DataType, Field, Fields, Int64Type, Schema, SchemaRef};
use futures::stream::TryStreamExt;

use super::{
    BroughtBy, Claim, Claimed, Commit, LandedPosition, LedgerEntry, Receipt, RecordMark, Sink, SourceIdentity, Sources,
    WindowId, WindowInfo, WindowWriter,
};
use crate::error::{ErrorKind, Result};
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, OffsetRanges, TopicPartition};
use crate::reader::{self, commits_of};
use crate::schema::KAFKA_OFFSET;

/// Runs every check. `open` opens a sink at a place: a new name is a place where nothing has landed, the same name twice is
/// the same place opened by a second instance.
///
/// # Panics
/// Where a fact of the contract does not hold.
pub async fn run<F>(open: F)
where
    F: AsyncFn(&str) -> Arc<dyn Sink>,
{
    let fact = "a fresh sink knows nothing";
    fresh(fact, &*open("fresh").await).await;
    let fact = "a commit moves the position to the range's end and bears the window's name";
    position_moves(fact, &*open("position_moves").await).await;
    let fact = "landed ranges tile and the ledger adds up";
    tiles(fact, &*open("tiles").await).await;
    let fact = "a window lands in all its partitions";
    many_partitions(fact, &*open("many_partitions").await).await;
    let fact = "a range without rows lands as a range";
    empty_range(fact, &*open("empty_range").await).await;
    let fact = "a commit that does not start at the position is a conflict and lands nothing";
    stale_start(fact, &*open("stale_start").await).await;
    let fact = "of two open landings at one position one lands";
    two_landings(fact, &*open("two_landings").await).await;
    let fact = "nothing is visible before the commit, nor after a discard or a drop";
    unseen(fact, &*open("unseen").await).await;
    let fact = "the offsets of a commit's rows can be read back";
    offsets(fact, &*open("offsets").await).await;
    let fact = "a second instance sees and fences the same";
    reopened(fact, &*open("reopened").await, &*open("reopened").await).await;
    let fact = "a claim says where a partition begins, and only its start lands first";
    claimed(fact, &*open("claimed").await, &*open("claimed").await).await;
    let fact = "the first claim of a partition holds, and what has landed is not claimed again";
    claimed_again(fact, &*open("claimed_again").await).await;
    let fact = "the fewest partitions that a claim has seen are the topic's at its landing's beginning";
    partition_count(fact, &*open("partition_count").await).await;
    let fact = "what is claimed of a topic comes back, and what its landing is called stays";
    known(fact, &*open("known").await, &*open("known").await, &*open("known_elsewhere").await).await;
    let fact = "the newest record of a known epoch comes back";
    marks(fact, &*open("marks").await, &*open("marks").await).await;
    let fact = "a topic that is noted while a window is open lands with its identity, and none lands without";
    noted_later(fact, &*open("noted_later").await).await;
    let fact = "columns may come, go and widen between two runs, and no other change lands";
    prepared(fact, &*open("prepared").await, &*open("prepared").await).await;
    for round in 0..ROUNDS {
        let place = format!("claim_race_{round}");
        claim_race([open(&place).await, open(&place).await, open(&place).await], round).await;
    }
    for round in 0..ROUNDS {
        let place = format!("race_{round}");
        let sinks = [open(&place).await, open(&place).await, open(&place).await];
        race(sinks, round).await;
    }
}

/// Lands rows at each of these offsets in one window: `offsets` is both the range and the rows.
///
/// # Errors
/// Those of the sink.
pub async fn land(sink: &dyn Sink, partition: &TopicPartition, offsets: Range<i64>) -> Result<Receipt> {
    let mut landing = sink.open(&window()).await?;
    landing.append(&rows(partition, &offsets.clone().collect::<Vec<_>>())).await?;
    landing.commit(&OffsetRanges::from_iter([(partition.clone(), range(offsets))])).await.landed()
}

/// The offsets of a commit's rows, read back.
///
/// # Errors
/// Those of the sink's reader.
pub async fn offsets_of(sink: &dyn Sink, commit: &LedgerEntry) -> Result<Vec<i64>> {
    let rows: Vec<RecordBatch> = sink.reader().rows_of(commit, None).await?.try_collect().await?;
    Ok(rows.iter().flat_map(offsets_in).collect())
}

fn offsets_in(rows: &RecordBatch) -> Vec<i64> {
    rows[KAFKA_OFFSET].as_primitive::<Int64Type>().values().to_vec()
}

/// A window of a name of its own, over a source that is the same for every topic.
pub fn window() -> WindowInfo {
    WindowInfo { id: WindowId::generate(), sources: TOPICS.iter().map(|topic| (*topic, source())).collect() }
}

/// Landing rows at these offsets: one payload column, and every `_kafka_*` column. Each 5th offset is a tombstone, each 7th
/// (that is none) is quarantined.
///
/// # Panics
/// Never: the columns have the same length.
pub fn rows(partition: &TopicPartition, offsets: &[i64]) -> LoadedRows {
    let is_tombstone = |offset: &i64| offset % 5 == 4;
    let is_quarantined = |offset: &i64| !is_tombstone(offset) && offset % 7 == 6;
    let is_plain = |offset: &i64| !is_tombstone(offset) && !is_quarantined(offset);
    let count = |is: &dyn Fn(&i64) -> bool| offsets.iter().filter(|offset| is(offset)).count() as u64;

    let topic = StringArray::from_iter_values(offsets.iter().map(|_| &*partition.topic));
    let timestamps =
        TimestampMillisecondArray::from_iter_values(offsets.iter().map(|offset| 1_750_000_000_000 + offset));
    let keys = offsets.iter().map(|offset| (offset % 3 != 0).then(|| format!("key {offset}").into_bytes()));
    let errors = offsets.iter().map(|offset| is_quarantined(offset).then(|| format!("offset {offset}: not an object")));
    let values = offsets.iter().map(|offset| is_quarantined(offset).then_some(b"[1, 2".as_slice()));
    let columns: Vec<(&str, ArrayRef, bool)> = vec![
        ("id", Arc::new(Int64Array::from_iter(offsets.iter().map(|o| is_plain(o).then_some(*o * 10)))), true),
        ("_kafka_topic", Arc::new(topic), false),
        ("_kafka_partition", Arc::new(Int32Array::from_value(partition.partition, offsets.len())), false),
        ("_kafka_offset", Arc::new(Int64Array::from(offsets.to_vec())), false),
        ("_kafka_timestamp", Arc::new(timestamps.with_timezone("UTC")), true),
        ("_kafka_key", Arc::new(BinaryArray::from_iter(keys)), true),
        ("_kafka_headers", headers(offsets), true),
        ("_kafka_tombstone", Arc::new(BooleanArray::from_iter(offsets.iter().map(|o| Some(is_tombstone(o))))), false),
        ("_kafka_value", Arc::new(BinaryArray::from_iter(values)), true),
        ("_rdp_error", Arc::new(StringArray::from_iter(errors)), true),
    ];
    LoadedRows {
        topic_partition: partition.clone(),
        rows: RecordBatch::try_from_iter_with_nullable(columns).expect("columns of one length"),
        quarantined_count: count(&is_quarantined),
        tombstone_count: count(&is_tombstone),
        newest: None,
    }
}

fn headers(offsets: &[i64]) -> ArrayRef {
    let fields =
        Fields::from(vec![Field::new("name", DataType::Utf8, false), Field::new("value", DataType::Binary, true)]);
    let builders: Vec<Box<dyn ArrayBuilder>> = vec![Box::new(StringBuilder::new()), Box::new(BinaryBuilder::new())];
    let item = Field::new("item", DataType::Struct(fields.clone()), false);
    let mut list = ListBuilder::new(StructBuilder::new(fields, builders)).with_field(item);
    for offset in offsets {
        // Repeated names and null values are as good as any.
        for value in [Some(b"a".as_slice()), None].into_iter().take((offset % 3) as usize) {
            let header = list.values();
            header.field_builder::<StringBuilder>(0).expect("the first field").append_value("trace");
            header.field_builder::<BinaryBuilder>(1).expect("the second field").append_option(value);
            header.append(true);
        }
        list.append(true);
    }
    Arc::new(list.finish())
}

async fn fresh(fact: &str, sink: &dyn Sink) {
    assert!(positions(fact, sink, &[orders(0), orders(1)]).await.is_empty(), "{fact}");
    assert!(ledger(fact, sink).await.is_empty(), "{fact}");
    assert!(!sink.describe().is_empty(), "{fact}: but its own name");
}

async fn position_moves(fact: &str, sink: &dyn Sink) {
    let window = window();
    let mut landing = open(fact, sink, &window).await;
    append(fact, &mut *landing, &rows(&orders(0), &[5, 6, 7])).await;
    // The range is wider than its rows: compaction and markers leave holes.
    let receipt = commit(fact, landing, [(orders(0), 5..10)]).await;

    assert_eq!(receipt.positions.position(&orders(0)), Some(10), "{fact}: the receipt says so");
    let landed =
        LandedPosition { position: 10, brought_by: BroughtBy::Window(window.id), source: source(), newest: None };
    let found = positions(fact, sink, &[orders(0), orders(1)]).await;
    assert_eq!(found, BTreeMap::from([(orders(0), landed)]), "{fact}");
}

async fn tiles(fact: &str, sink: &dyn Sink) {
    for offsets in [0..10, 10..11, 11..40] {
        land(sink, &orders(0), offsets).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    }
    let ledger = ledger(fact, sink).await;
    let ranges: Vec<_> = ledger.iter().map(|entry| entry.range).collect();
    assert_eq!(ranges, [range(0..10), range(10..11), range(11..40)], "{fact}: in order");
    for entry in &ledger {
        let offsets: Vec<i64> = (entry.range.start()..entry.range.end()).collect();
        let expected = rows(&orders(0), &offsets);
        let counts = (entry.record_count, entry.quarantined_count, entry.tombstone_count);
        let wanted = (offsets.len() as u64, expected.quarantined_count, expected.tombstone_count);
        assert_eq!(counts, wanted, "{fact}: consumed = landed + quarantined in {}", entry.range);
        assert_eq!(entry.source, source(), "{fact}: the source is kept");
        assert!(!entry.location.is_empty(), "{fact}: it says where the rows are");
    }
}

async fn many_partitions(fact: &str, sink: &dyn Sink) {
    let partitions: Vec<_> = (0..12).map(orders).chain([TopicPartition::new("returns", 3)]).collect();
    for start in [0, 20] {
        let mut landing = open(fact, sink, &window()).await;
        // Slices of several partitions take turns.
        for part in [start..start + 7, start + 7..start + 20] {
            for partition in &partitions {
                append(fact, &mut *landing, &rows(partition, &part.clone().collect::<Vec<_>>())).await;
            }
        }
        let ranges = partitions.iter().map(|partition| (partition.clone(), start..start + 20));
        commit(fact, landing, ranges).await;
    }
    let found = positions(fact, sink, &partitions).await;
    assert_eq!(found.len(), partitions.len(), "{fact}");
    assert!(found.values().all(|landed| landed.position == 40), "{fact}: {found:?}");
    let entries = ledger(fact, sink).await;
    assert_eq!(entries.len(), 24, "{fact}: and the ledger of a topic is of that topic alone");
    assert!(
        entries.is_sorted_by_key(|entry| (entry.topic_partition.partition, entry.range.start())),
        "{fact}: in order"
    );
}

async fn empty_range(fact: &str, sink: &dyn Sink) {
    let mut landing = open(fact, sink, &window()).await;
    append(fact, &mut *landing, &rows(&orders(0), &[0, 1])).await;
    commit(fact, landing, [(orders(0), 0..2), (orders(1), 3..5)]).await;
    // A transaction marker moved the position and there was no record.
    commit(fact, open(fact, sink, &window()).await, [(orders(0), 2..3)]).await;
    // Nothing moved at all.
    commit(fact, open(fact, sink, &window()).await, [(orders(0), 3..3)]).await;
    land(sink, &orders(0), 3..5)
        .await
        .unwrap_or_else(|error| panic!("{fact}: and the next starts at its end: {error:?}"));

    let entries = ledger(fact, sink).await;
    let of = |partition| entries.iter().filter(move |entry| entry.topic_partition == orders(partition));
    let found: Vec<_> = of(0).map(|entry| (entry.range, entry.record_count)).collect();
    assert_eq!(found, [(range(0..2), 2), (range(2..3), 0), (range(3..5), 2)], "{fact}");
    assert_eq!(of(1).map(|entry| (entry.range, entry.record_count)).collect::<Vec<_>>(), [(range(3..5), 0)], "{fact}");
    for entry in entries.iter().filter(|entry| entry.record_count == 0) {
        assert!(landed_offsets(fact, sink, entry).await.is_empty(), "{fact}: it holds no rows");
    }
}

async fn stale_start(fact: &str, sink: &dyn Sink) {
    land(sink, &orders(0), 0..10).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    let before = ledger(fact, sink).await;
    for (offsets, which) in [(0..10, "a replay"), (5..15, "an overlap"), (11..15, "a hole"), (0..12, "a longer replay")]
    {
        conflicts(fact, which, land(sink, &orders(0), offsets).await);
    }
    assert_eq!(ledger(fact, sink).await, before, "{fact}");
    land(sink, &orders(0), 10..12).await.unwrap_or_else(|error| panic!("{fact}: and the right one lands: {error:?}"));
}

async fn two_landings(fact: &str, sink: &dyn Sink) {
    land(sink, &orders(0), 0..3).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    let (mut quick, mut slow) = (open(fact, sink, &window()).await, open(fact, sink, &window()).await);
    append(fact, &mut *slow, &rows(&orders(0), &[3, 4])).await;
    append(fact, &mut *quick, &rows(&orders(0), &[3, 4, 5])).await;
    commit(fact, quick, [(orders(0), 3..6)]).await;
    let slower = slow.commit(&OffsetRanges::from_iter([(orders(0), range(3..5))])).await;
    assert!(matches!(slower, Commit::Overtaken(_)), "{fact}: {slower:?}");
    conflicts(fact, "the slower one", slower.landed());
    let ranges: Vec<_> = ledger(fact, sink).await.iter().map(|entry| entry.range).collect();
    assert_eq!(ranges, [range(0..3), range(3..6)], "{fact}");
}

async fn unseen(fact: &str, sink: &dyn Sink) {
    let mut discarded = open(fact, sink, &window()).await;
    append(fact, &mut *discarded, &rows(&orders(0), &[0, 1, 2])).await;
    let mut dropped = open(fact, sink, &window()).await;
    append(fact, &mut *dropped, &rows(&orders(0), &[0, 1, 2])).await;
    assert!(positions(fact, sink, &[orders(0)]).await.is_empty(), "{fact}: before");
    assert!(ledger(fact, sink).await.is_empty(), "{fact}: before");
    discarded.discard().await;
    drop(dropped);
    assert!(positions(fact, sink, &[orders(0)]).await.is_empty(), "{fact}: after");
    assert!(ledger(fact, sink).await.is_empty(), "{fact}: after");
    land(sink, &orders(0), 1..3).await.unwrap_or_else(|error| panic!("{fact}: the next may start anywhere: {error:?}"));
}

async fn offsets(fact: &str, sink: &dyn Sink) {
    let mut landing = open(fact, sink, &window()).await;
    append(fact, &mut *landing, &rows(&orders(0), &[2, 3, 7])).await;
    append(fact, &mut *landing, &rows(&orders(0), &[9])).await;
    commit(fact, landing, [(orders(0), 0..12)]).await;
    land(sink, &orders(0), 12..14).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    let entries = ledger(fact, sink).await;
    assert_eq!(landed_offsets(fact, sink, &entries[0]).await, [2, 3, 7, 9], "{fact}");
    assert_eq!(landed_offsets(fact, sink, &entries[1]).await, [12, 13], "{fact}");

    let rows = reader::rows(sink.reader(), &orders(0), range(3..13), Some(vec!["id".to_owned()])).await;
    let rows = rows.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    let rows: Vec<RecordBatch> = rows.try_collect().await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    assert!(rows.iter().all(|rows| rows.num_columns() == 2), "{fact}: of a range, those columns that were asked for");
    let offsets: Vec<i64> = rows.iter().flat_map(offsets_in).collect();
    assert_eq!(offsets, [3, 7, 9, 12], "{fact}: of a range over two commits");
}

async fn reopened(fact: &str, first: &dyn Sink, second: &dyn Sink) {
    land(first, &orders(0), 0..5).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    land(second, &orders(0), 5..9).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    // The first instance has seen no more than its own commit.
    conflicts(fact, "the overtaken instance", land(first, &orders(0), 5..7).await);
    assert_eq!(positions(fact, first, &[orders(0)]).await, positions(fact, second, &[orders(0)]).await, "{fact}");
    assert_eq!(ledger(fact, first).await, ledger(fact, second).await, "{fact}");
    land(first, &orders(0), 9..10).await.unwrap_or_else(|error| panic!("{fact}: and goes on from there: {error:?}"));
}

async fn claimed(fact: &str, first: &dyn Sink, second: &dyn Sink) {
    claim(fact, first, claim_of([(0, 5), (1, 0)])).await;
    for sink in [first, second] {
        let found = positions(fact, sink, &[orders(0), orders(1), orders(2)]).await;
        assert_eq!(found, BTreeMap::from([(orders(0), start(5)), (orders(1), start(0))]), "{fact}");
        assert!(ledger(fact, sink).await.is_empty(), "{fact}: and nothing has landed");
    }
    for offsets in [0..6, 4..6, 6..8] {
        conflicts(fact, "a commit off the claim", land(second, &orders(0), offsets).await);
    }
    assert!(ledger(fact, first).await.is_empty(), "{fact}: and nothing of it has landed");
    land(second, &orders(0), 5..8).await.unwrap_or_else(|error| panic!("{fact}: at its start it lands: {error:?}"));
    assert_eq!(positions(fact, first, &[orders(0)]).await[&orders(0)].position, 8, "{fact}: and moves on");
    land(first, &orders(2), 7..9)
        .await
        .unwrap_or_else(|error| panic!("{fact}: unclaimed it lands anywhere: {error:?}"));
}

async fn claimed_again(fact: &str, sink: &dyn Sink) {
    claim(fact, sink, claim_of([(0, 5)])).await;
    land(sink, &orders(2), 3..4).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    let other = SourceIdentity { topic_id: "another".to_owned(), ..source() };
    claim(fact, sink, Claim { source: other.clone(), ..claim_of([(0, 9), (1, 2), (2, 0)]) }).await;
    let found = positions(fact, sink, &[orders(0), orders(1), orders(2)]).await;
    assert_eq!(found[&orders(0)], start(5), "{fact}: claimed");
    assert_eq!(found[&orders(1)], LandedPosition { source: other, ..start(2) }, "{fact}: the rest of the claim holds");
    assert_eq!((found[&orders(2)].position, &found[&orders(2)].source), (4, &source()), "{fact}: landed");
    land(sink, &orders(2), 4..6).await.unwrap_or_else(|error| panic!("{fact}: and lands on: {error:?}"));
    assert!(sink.claim(&claim_of([(3, -1)])).await.is_err(), "{fact}: and there is no start at -1");
}

async fn known(fact: &str, first: &dyn Sink, second: &dyn Sink, other: &dyn Sink) {
    assert_eq!(known_of(fact, first, TOPICS[0]).await, Claimed::default(), "{fact}");
    assert!(topics(fact, first).await.is_empty(), "{fact}");
    claim(fact, first, claim_of([(0, 5)])).await;
    claim(fact, other, claim_of([(0, 5)])).await;
    let before = known_of(fact, first, TOPICS[0]).await;
    assert_eq!(before.starts, BTreeMap::from([(0, 5)]), "{fact}");
    assert!(before.landing_id.is_some(), "{fact}");
    assert_ne!(
        before.landing_id,
        known_of(fact, other, TOPICS[0]).await.landing_id,
        "{fact}: every landing's is another"
    );
    claim(fact, second, claim_of([(0, 9), (1, 2)])).await;
    land(first, &orders(0), 5..8).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    let after = known_of(fact, second, TOPICS[0]).await;
    assert_eq!((after.starts, after.landing_id), (BTreeMap::from([(0, 5), (1, 2)]), before.landing_id), "{fact}");
    assert_eq!(topics(fact, second).await, [TOPICS[0]], "{fact}");
    assert!(first.reader().strays().await.is_ok_and(|strays| strays.is_empty()), "{fact}: and all of it is the sink's");
}

async fn partition_count(fact: &str, sink: &dyn Sink) {
    let count = async |topic| known_of(fact, sink, topic).await.partition_count;
    assert_eq!(count(TOPICS[0]).await, None, "{fact}");
    land(sink, &orders(5), 0..1).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    assert_eq!(count(TOPICS[0]).await, None, "{fact}: a commit does not know");
    claim(fact, sink, Claim { partition_count: 6, ..claim_of([(5, 0)]) }).await;
    assert_eq!(count(TOPICS[0]).await, Some(6), "{fact}: also where it claims nothing new");
    // Of two partitions that were added one is claimed; the other's log belongs to the landing from its beginning still.
    claim(fact, sink, Claim { partition_count: 8, ..claim_of([(6, 0)]) }).await;
    assert_eq!(count(TOPICS[0]).await, Some(6), "{fact}");
    assert_eq!(count(TOPICS[1]).await, None, "{fact}: and another topic's are its own");
}

async fn marks(fact: &str, first: &dyn Sink, second: &dyn Sink) {
    let mark = |offset, checksum| Some(RecordMark { offset, leader_epoch: Some(3), checksum });
    let mut landing = open(fact, first, &window()).await;
    append(fact, &mut *landing, &LoadedRows { newest: mark(6, 3), ..rows(&orders(0), &[5, 6]) }).await;
    append(fact, &mut *landing, &LoadedRows { newest: mark(9, 4), ..rows(&orders(0), &[7, 9]) }).await;
    append(fact, &mut *landing, &rows(&orders(0), &[10])).await;
    append(fact, &mut *landing, &LoadedRows { newest: mark(0, 0), ..rows(&orders(1), &[0]) }).await;
    commit(fact, landing, [(orders(0), 5..12), (orders(1), 0..1)]).await;
    // A transaction marker moved the position and there was no record.
    commit(fact, open(fact, first, &window()).await, [(orders(0), 12..13)]).await;

    for sink in [first, second] {
        let found = positions(fact, sink, &[orders(0), orders(1)]).await;
        assert_eq!(found[&orders(0)].newest, mark(9, 4), "{fact}: behind a range without records");
        assert_eq!(found[&orders(1)].newest, mark(0, 0), "{fact}: of each partition its own");
        let newest: Vec<_> = ledger(fact, sink).await.iter().map(|entry| entry.newest).collect();
        assert_eq!(newest, [mark(9, 4), None, mark(0, 0)], "{fact}: and in the ledger");
    }
}

async fn noted_later(fact: &str, sink: &dyn Sink) {
    let sources = Sources::new();
    let mut landing = open(fact, sink, &WindowInfo { id: WindowId::generate(), sources: sources.clone() }).await;
    sources.note(TOPICS[0], source());
    append(fact, &mut *landing, &rows(&orders(0), &[0, 1])).await;
    commit(fact, landing, [(orders(0), 0..2)]).await;
    assert_eq!(ledger(fact, sink).await[0].source, source(), "{fact}");

    let mut landing = open(fact, sink, &WindowInfo { id: WindowId::generate(), sources: Sources::new() }).await;
    append(fact, &mut *landing, &rows(&orders(0), &[2, 3])).await;
    let outcome = landing.commit(&OffsetRanges::from_iter([(orders(0), range(2..4))])).await;
    let error = outcome.landed().err().unwrap_or_else(|| panic!("{fact}: rows of nobody knows which topic landed"));
    assert_eq!(error.kind(), ErrorKind::Internal, "{fact}: {error:?}");
    assert_eq!(ledger(fact, sink).await.len(), 1, "{fact}");
}

async fn prepared(fact: &str, first: &dyn Sink, second: &dyn Sink) {
    let landing = rows(&orders(0), &[0, 1]).rows.schema();
    let with_id = |data_type: DataType| {
        let is_other = |field: &&Arc<Field>| field.name() != "id";
        let others = landing.fields().iter().filter(is_other).cloned();
        Arc::new(Schema::new(others.chain([Arc::new(Field::new("id", data_type, true))]).collect::<Vec<_>>()))
    };
    let prepare = async |sink: &dyn Sink, columns: &SchemaRef| sink.prepare(TOPICS[0], columns).await;
    let utf8 = with_id(DataType::Utf8);
    prepare(first, &utf8).await.unwrap_or_else(|error| panic!("{fact}: nothing has landed: {error:?}"));
    land(first, &orders(0), 0..2).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    for sink in [first, second] {
        prepare(sink, &landing).await.unwrap_or_else(|error| panic!("{fact}: they are the same: {error:?}"));
        let error = prepare(sink, &utf8).await.err().unwrap_or_else(|| panic!("{fact}: int64 is no text"));
        assert_eq!(error.kind(), ErrorKind::Schema, "{fact}: {error:?}");
        assert!(error.message().contains("id") && error.message().contains("int64"), "{fact}: {error:?}");
        prepare(sink, &with_id(DataType::Int32)).await.expect_err(fact);
        let others = landing.fields().iter().filter(|field| field.name() != "id").cloned();
        let added = others.chain([Arc::new(Field::new("other", DataType::Utf8, true))]);
        let changed = Arc::new(Schema::new(added.collect::<Vec<_>>()));
        prepare(sink, &changed).await.unwrap_or_else(|error| panic!("{fact}: one went, one came: {error:?}"));
    }
    prepare(first, &landing).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"));
    assert_eq!(topics(fact, first).await, [TOPICS[0]], "{fact}: and preparing for a topic lands nothing of it");
}

/// Claimers in parallel, each with other starts for some of the partitions.
async fn claim_race(sinks: [Arc<dyn Sink>; 3], round: i64) {
    let fact = "of parallel claims one holds for each partition, and each instance says the same";
    let barrier = Arc::new(tokio::sync::Barrier::new(sinks.len()));
    let partitions: Vec<_> = (0..4).map(orders).collect();
    let tasks: Vec<_> = (0..)
        .zip(sinks.iter().cloned())
        .map(|(claimer, sink)| {
            let (partitions, barrier) = (partitions.clone(), barrier.clone());
            tokio::spawn(async move {
                let starts = [(0, claimer), (1, round % 3 + claimer), (i32::try_from(claimer).unwrap_or(0) + 1, 7)];
                barrier.wait().await;
                sink.claim(&claim_of(starts)).await?;
                sink.positions(&partitions).await
            })
        })
        .collect();
    let mut told = Vec::new();
    for task in tasks {
        let positions = task.await.expect("a claimer does not panic");
        told.push(positions.unwrap_or_else(|error| panic!("{fact}, round {round}: {error:?}")));
    }
    let found = positions(fact, &*sinks[0], &partitions).await;
    assert_eq!(found.keys().collect::<Vec<_>>(), partitions.iter().collect::<Vec<_>>(), "{fact}, round {round}");
    for told in &told {
        // A claim was in the sink before it returned, and does not move afterwards.
        assert!(told.contains_key(&orders(0)) && told.contains_key(&orders(1)), "{fact}, round {round}: {told:?}");
        assert!(told.iter().all(|(of, start)| found[of] == *start), "{fact}, round {round}: {told:?}, then {found:?}");
    }
    let held = found[&orders(0)].position;
    conflicts(fact, "another start", land(&*sinks[1], &orders(0), held + 1..held + 3).await);
    land(&*sinks[2], &orders(0), held..held + 3).await.unwrap_or_else(|error| panic!("{fact}: what holds: {error:?}"));
}

/// Writers in parallel, first at a partition's first commit and from different starts, then at one position.
async fn race(sinks: [Arc<dyn Sink>; 3], round: i64) {
    let fact = "of parallel first commits at different starts one lands";
    let starts = [0, round % 3, 7];
    let landed = together(&sinks, |writer| starts[writer]..20 + writer as i64).await;
    one_wins(fact, &landed);
    let entries = ledger(fact, &*sinks[0]).await;
    assert_eq!(entries.len(), 1, "{fact}, round {round}: {entries:?}");

    let fact = "of parallel commits at one position one lands";
    let position = entries[0].range.end();
    let landed = together(&sinks, |writer| position..position + 1 + writer as i64).await;
    one_wins(fact, &landed);
    let entries = ledger(fact, &*sinks[1]).await;
    assert_eq!(entries.len(), 2, "{fact}, round {round}: {entries:?}");
    assert_eq!(entries[0].range.end(), entries[1].range.start(), "{fact}: and tiles");
}

async fn together(sinks: &[Arc<dyn Sink>; 3], offsets: impl Fn(usize) -> Range<i64>) -> Vec<Result<Receipt>> {
    let start = Arc::new(tokio::sync::Barrier::new(sinks.len()));
    let writers: Vec<_> = sinks.iter().cloned().enumerate().collect();
    let tasks: Vec<_> = writers
        .into_iter()
        .map(|(writer, sink)| {
            let (offsets, start) = (offsets(writer), start.clone());
            tokio::spawn(async move {
                let mut landing = sink.open(&window()).await?;
                landing.append(&rows(&orders(0), &offsets.clone().collect::<Vec<_>>())).await?;
                start.wait().await;
                landing.commit(&OffsetRanges::from_iter([(orders(0), range(offsets))])).await.landed()
            })
        })
        .collect();
    let mut landed = Vec::new();
    for task in tasks {
        landed.push(task.await.expect("a writer does not panic"));
    }
    landed
}

fn one_wins(fact: &str, landed: &[Result<Receipt>]) {
    assert_eq!(landed.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{fact}: {landed:?}");
    for error in landed.iter().filter_map(|outcome| outcome.as_ref().err()) {
        assert_eq!(error.kind(), ErrorKind::Conflict, "{fact}: {error:?}");
    }
}

fn conflicts(fact: &str, which: &str, outcome: Result<Receipt>) {
    match outcome {
        Ok(receipt) => panic!("{fact}: {which} landed: {receipt:?}"),
        Err(error) => assert_eq!(error.kind(), ErrorKind::Conflict, "{fact}: {which}: {error:?}"),
    }
}

async fn positions(fact: &str, sink: &dyn Sink, of: &[TopicPartition]) -> BTreeMap<TopicPartition, LandedPosition> {
    sink.positions(of).await.unwrap_or_else(|error| panic!("{fact}: positions: {error:?}"))
}

async fn ledger(fact: &str, sink: &dyn Sink) -> Vec<LedgerEntry> {
    commits_of(&*sink.reader(), TOPICS[0]).await.unwrap_or_else(|error| panic!("{fact}: ledger: {error:?}"))
}

async fn topics(fact: &str, sink: &dyn Sink) -> Vec<String> {
    sink.reader().topics().await.unwrap_or_else(|error| panic!("{fact}: {error:?}"))
}

async fn known_of(fact: &str, sink: &dyn Sink, topic: &str) -> Claimed {
    sink.claimed(topic).await.unwrap_or_else(|error| panic!("{fact}: {error:?}"))
}

async fn landed_offsets(fact: &str, sink: &dyn Sink, entry: &LedgerEntry) -> Vec<i64> {
    offsets_of(sink, entry).await.unwrap_or_else(|error| panic!("{fact}: rows of {}: {error:?}", entry.range))
}

async fn claim(fact: &str, sink: &dyn Sink, claim: Claim) {
    sink.claim(&claim).await.unwrap_or_else(|error| panic!("{fact}: {claim:?}: {error:?}"));
}

fn claim_of(starts: impl IntoIterator<Item = (i32, i64)>) -> Claim {
    let starts = starts.into_iter().collect();
    Claim { topic: TOPICS[0].into(), source: source(), partition_count: 4, starts }
}

fn start(position: i64) -> LandedPosition {
    LandedPosition { position, brought_by: BroughtBy::Claim, source: source(), newest: None }
}

async fn open(fact: &str, sink: &dyn Sink, window: &WindowInfo) -> Box<dyn WindowWriter> {
    sink.open(window).await.unwrap_or_else(|error| panic!("{fact}: open: {error:?}"))
}

async fn append(fact: &str, landing: &mut dyn WindowWriter, rows: &LoadedRows) {
    landing.append(rows).await.unwrap_or_else(|error| panic!("{fact}: append: {error:?}"));
}

async fn commit(
    fact: &str,
    landing: Box<dyn WindowWriter>,
    ranges: impl IntoIterator<Item = (TopicPartition, Range<i64>)>,
) -> Receipt {
    let ranges = ranges.into_iter().map(|(partition, offsets)| (partition, range(offsets))).collect();
    landing.commit(&ranges).await.landed().unwrap_or_else(|error| panic!("{fact}: commit: {error:?}"))
}

fn range(offsets: Range<i64>) -> OffsetRange {
    OffsetRange::new(offsets.start, offsets.end).expect("the suite's ranges are ranges")
}

fn orders(partition: i32) -> TopicPartition {
    TopicPartition::new(TOPICS[0], partition)
}

fn source() -> SourceIdentity {
    SourceIdentity { cluster_id: "cluster-1".to_owned(), topic_id: "topic-1".to_owned() }
}

const TOPICS: [&str; 2] = ["orders", "returns"];

const ROUNDS: i64 = 24;
