//! The loader under brokers that misbehave: [`connection`] breaks what carries records, [`topic`] takes topics away and makes
//! them grow, [`log`] takes away what was to be read, [`frozen`] has brokers stand still,
//! [`answers`] has them say what is wrong, and [`schedules`] all of it by chance. What lands is compared, record by record, with what the broker took.

mod answers;
mod connection;
mod frozen;
mod log;
mod schedules;
mod topic;

use std::collections::BTreeMap;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use rdp_elt::kafka::KafkaConsumerBuilder;
use rdp_elt::sink::MemorySink;
use rdp_elt::{LoadReport, Loader, LoaderOptions, Result, Shutdown, Until};
use rdp_testing::{Delivered, Record, Topic};

use crate::{assert_tiles, block_on};

/// What the broker took, by its place.
#[derive(Default, Clone)]
struct Produced(BTreeMap<(i32, i64), Vec<u8>>);

impl Produced {
    /// Produces so many records to each of these partitions.
    fn add(&mut self, topic: &Topic, partitions: impl IntoIterator<Item = i32>, count: usize) {
        self.add_with(&[], topic, partitions, count);
    }

    /// The same with settings of the producer's.
    fn add_with(
        &mut self,
        settings: &[(&str, &str)],
        topic: &Topic,
        partitions: impl IntoIterator<Item = i32>,
        count: usize,
    ) {
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let value = |number: usize| format!("{number:08}-{}", "x".repeat(number * 37 % 700)).into_bytes();
        let records: Vec<(i32, Vec<u8>)> =
            (0..count).flat_map(|number| partitions.iter().map(move |partition| (*partition, value(number)))).collect();
        let sent = records.iter().map(|(partition, value)| Record::new(value.clone()).partition(*partition));
        let places = topic.produce_with(settings, sent);
        for (Delivered { partition, offset }, (_, value)) in places.into_iter().zip(records) {
            assert_eq!(self.0.insert((partition, offset), value), None, "the broker gave {partition}@{offset} twice");
        }
    }

    fn len(&self) -> usize {
        self.0.len()
    }

    fn end(&self, partition: i32) -> i64 {
        self.0.range((partition, 0)..(partition + 1, 0)).next_back().map_or(0, |((_, offset), _)| offset + 1)
    }
}

/// Everything that landed, in order; fails where an offset does not come after the one before it.
fn landed(sink: &MemorySink, topic: &Topic) -> BTreeMap<(i32, i64), Vec<u8>> {
    let mut landed = BTreeMap::new();
    for rows in sink.rows(topic.name()) {
        let partitions = rows.column_by_name("_kafka_partition").expect("a column").as_primitive::<Int32Type>();
        let offsets = rows.column_by_name("_kafka_offset").expect("a column").as_primitive::<Int64Type>();
        let values = rows.column_by_name("_kafka_value").expect("a column").as_binary::<i32>();
        for row in 0..rows.num_rows() {
            let (partition, offset) = (partitions.value(row), offsets.value(row));
            let newest: Option<(&(i32, i64), _)> = landed.range((partition, 0)..(partition + 1, 0)).next_back();
            assert!(newest.is_none_or(|((_, before), _)| *before < offset), "{partition}@{offset} is out of order");
            landed.insert((partition, offset), values.value(row).to_vec());
        }
    }
    landed
}

/// What landed is what was produced, and the ranges tile from each partition's beginning to its end.
fn assert_landed(sink: &MemorySink, topic: &Topic, produced: &Produced) {
    let landed = landed(sink, topic);
    let lost: Vec<_> = produced.0.keys().filter(|place| !landed.contains_key(place)).take(10).collect();
    assert!(lost.is_empty(), "lost, among others: {lost:?}");
    assert!(landed == produced.0, "other records landed than were produced");
    for partition in produced.0.keys().map(|(partition, _)| *partition).collect::<std::collections::BTreeSet<_>>() {
        assert_tiles(sink, topic, partition, 0, produced.end(partition));
    }
}

/// A loader at work, on a runtime of its own.
struct Running {
    stop: Shutdown,
    outcome: JoinHandle<Result<LoadReport>>,
}

impl Running {
    fn start(loader: Loader, until: Until) -> Self {
        let stop = Shutdown::new();
        let asked = stop.clone();
        Running { stop, outcome: thread::spawn(move || block_on(loader.run(until, &asked))) }
    }

    /// Waits until so many records of the topic have landed.
    fn wait_until_landed(&self, sink: &MemorySink, topic: &Topic, count: usize) {
        let deadline = Instant::now() + LIMIT;
        loop {
            let landed = landed(sink, topic).len();
            if landed >= count {
                return;
            }
            assert!(Instant::now() < deadline, "{landed} of {count} records have landed, and no more come");
            // What it ended with shows in `end`.
            if self.outcome.is_finished() {
                return;
            }
            thread::sleep(Duration::from_millis(50));
        }
    }

    fn end(self) -> Result<LoadReport> {
        self.end_within(LIMIT)
    }

    fn end_within(self, limit: Duration) -> Result<LoadReport> {
        let deadline = Instant::now() + limit;
        while !self.outcome.is_finished() {
            assert!(Instant::now() < deadline, "the loader does not end");
            thread::sleep(Duration::from_millis(20));
        }
        self.outcome.join().expect("no panic")
    }

    fn stop(self) -> Result<LoadReport> {
        self.stop.request();
        self.end()
    }
}

/// Connects again soon, looks for changes often, and fetches little at a time.
fn eager(topic: &Topic) -> KafkaConsumerBuilder {
    eager_of(topic, topic.name())
}

/// The same of all topics that a pattern finds.
fn eager_of(topic: &Topic, pattern: &str) -> KafkaConsumerBuilder {
    let settings = [
        ("reconnect.backoff.max.ms", "300"),
        ("topic.metadata.refresh.interval.ms", "1000"),
        ("max.partition.fetch.bytes", "50000"),
    ];
    let source = KafkaConsumerBuilder::new(topic.brokers()).topics([pattern]);
    settings.iter().fold(source, |source, (key, value)| source.set(*key, *value).expect("a librdkafka key"))
}

/// Without a group, and as a member of one.
const MODES: [Option<&str>; 2] = [None, Some("group")];

fn in_mode(source: KafkaConsumerBuilder, topic: &Topic, group: Option<&str>) -> KafkaConsumerBuilder {
    println!("group: {group:?}");
    match group {
        Some(group) => source.group_id(format!("{group}-{}", topic.name())),
        None => source,
    }
}

/// A loader whose queue holds a small part of a test's records.
fn small(loader: Loader) -> Loader {
    let patience = Some(Duration::from_secs(60));
    loader.with_options(LoaderOptions { memory_bytes: 4 << 20, give_up_after: patience, ..LoaderOptions::default() })
}

fn wait_until(what: &str, is_so: impl FnMut() -> bool) {
    wait_within(LIMIT, what, is_so);
}

fn wait_within(limit: Duration, what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + limit;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain for {limit:?}: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Generous: nothing is decided by how long things take.
const LIMIT: Duration = Duration::from_secs(180);
