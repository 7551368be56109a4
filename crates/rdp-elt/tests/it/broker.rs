//! The loader under brokers that misbehave: cut connections, dead leaders, topics that go, come anew or grow, and logs
//! that lost what was to be read. What lands is compared, record by record, with what the broker took.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use arrow::array::AsArray;
use arrow::datatypes::{Int32Type, Int64Type};
use async_trait::async_trait;
use rdp_elt::kafka::{KafkaConsumerBuilder, StartPosition, WindowLimits};
use rdp_elt::load::{LoadOptions, LoadedRows};
use rdp_elt::sink::{LandedPosition, Landing, LedgerEntry, MemorySink, Receipt, Sink, WindowInfo};
use rdp_elt::{
    Error, ErrorKind, LoadEvent, LoadReport, Loader, LoaderOptions, OffsetRanges, Result, Shutdown, TopicPartition,
    Until,
};
use rdp_testing::{Delivered, Fault, FaultProxy, KafkaCluster, KafkaOptions, KafkaServer, Record, Topic, TopicOptions};

use crate::{assert_tiles, block_on, loader, source};

/// What the broker took, by its place.
#[derive(Default, Clone)]
struct Produced(BTreeMap<(i32, i64), Vec<u8>>);

impl Produced {
    /// Produces so many records to each of these partitions.
    fn add(&mut self, topic: &Topic, partitions: impl IntoIterator<Item = i32>, count: usize) {
        let partitions: Vec<i32> = partitions.into_iter().collect();
        let value = |number: usize| format!("{number:08}-{}", "x".repeat(number * 37 % 700)).into_bytes();
        let records: Vec<(i32, Vec<u8>)> =
            (0..count).flat_map(|number| partitions.iter().map(move |partition| (*partition, value(number)))).collect();
        let sent = records.iter().map(|(partition, value)| Record::new(value.clone()).partition(*partition));
        let places = topic.produce(sent);
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
        let deadline = Instant::now() + LIMIT;
        while !self.outcome.is_finished() {
            assert!(Instant::now() < deadline, "the loader does not end");
            thread::sleep(Duration::from_millis(50));
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

fn assert_source_changed(error: &Error, says: &[&str]) {
    assert_eq!(error.kind(), ErrorKind::SourceChanged, "{error:?}");
    for text in says {
        assert!(error.message().contains(text), "{text:?} is not in {error:?}");
    }
    assert!(error.help().is_some(), "{error:?}");
}

fn proxied_broker() -> (KafkaServer, FaultProxy) {
    let proxy = FaultProxy::start();
    let broker = KafkaServer::start_with(KafkaOptions::default().proxied(&proxy));
    (broker, proxy)
}

/// One after the other, with quiet between them; cuts at lengths that fall into the middle of record batches.
fn faults() -> Vec<(Fault, Duration)> {
    let cuts = [40, 3_001, 17_011, 49_999, 50_100, 70_003, 131_111, 250_007].map(Fault::CutAfter);
    let short = [Fault::Reset, Fault::Close, Fault::Delay(Duration::from_millis(150))];
    let short = cuts.into_iter().chain(short).map(|fault| (fault, Duration::from_millis(500)));
    short.chain([(Fault::BlackHole, Duration::from_secs(4))]).collect()
}

#[test]
#[ignore = "needs Apache Kafka"]
fn fetches_that_are_cut_land_once() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("cut", 3);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..3, 100);
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let running = Running::start(loader(source, &sink), Until::Stopped);
        running.wait_until_landed(&sink, &topic, produced.len());
        let before = proxy.connection_count();
        for (fault, time) in faults() {
            proxy.set(fault);
            produced.add(&topic, 0..3, 200);
            thread::sleep(time);
            proxy.set(Fault::Pass);
            thread::sleep(Duration::from_millis(300));
        }
        running.wait_until_landed(&sink, &topic, produced.len());
        assert!(proxy.connection_count() >= before + 8, "the faults did not cut anything");
        running.stop().expect("it ends well");
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_bounded_run_whose_fetches_are_cut_lands_once() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("cut-bounded", 3);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..3, 8_000);
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let before = proxy.connection_count();
        let running = Running::start(small(loader(source, &sink)), Until::LogEnd);
        for (fault, time) in faults().into_iter().cycle() {
            if running.outcome.is_finished() {
                break;
            }
            proxy.set(fault);
            thread::sleep(time);
            proxy.set(Fault::Pass);
            thread::sleep(Duration::from_millis(100));
        }
        let report = running.end().expect("it ends by itself");
        assert!(proxy.connection_count() >= before + 8, "the faults did not cut anything");
        assert_eq!(report.record_count as usize, produced.len());
        assert_landed(&sink, &topic, &produced);
    }
}

/// Produces 100 records to each partition, again and again, until told to stop.
fn keep_producing(topic: &Topic) -> (Arc<AtomicBool>, JoinHandle<Produced>) {
    let (stop, topic) = (Arc::new(AtomicBool::new(false)), topic.clone());
    let asked = stop.clone();
    let producing = thread::spawn(move || {
        let mut produced = Produced::default();
        while !asked.load(Ordering::SeqCst) {
            produced.add(&topic, 0..topic.partitions(), 100);
            thread::sleep(Duration::from_millis(50));
        }
        produced
    });
    (stop, producing)
}

#[test]
#[ignore = "needs Apache Kafka"]
fn leaders_that_die_one_after_the_other_lose_and_double_nothing() {
    let cluster = KafkaCluster::start(3);
    for group in MODES {
        let topic = cluster.create_topic("leaders", 3);
        let sink = Arc::new(MemorySink::new());
        let source = in_mode(eager(&topic), &topic, group);
        let running = Running::start(loader(source, &sink), Until::Stopped);
        let (stop, producing) = keep_producing(&topic);
        for round in 0..3 {
            let leader = topic.leader(round);
            println!("node {leader} is killed");
            cluster.node(leader).kill();
            let count = landed(&sink, &topic).len();
            running.wait_until_landed(&sink, &topic, count + 600);
            cluster.node(leader).restart();
            cluster.wait_until_whole();
        }
        stop.store(true, Ordering::SeqCst);
        let produced = producing.join().expect("the producer goes on all the time");
        running.wait_until_landed(&sink, &topic, produced.len());
        running.stop().expect("it ends well");
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_broker_that_is_killed_within_a_window_loses_and_doubles_nothing() {
    for (group, until) in [(None, Until::Stopped), (None, Until::LogEnd), (Some("group"), Until::LogEnd)] {
        println!("{until:?}");
        let broker = KafkaServer::start();
        let topic = broker.create_topic("killed", 2);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..2, 20_000);
        let source = in_mode(eager(&topic), &topic, group);
        let running = Running::start(small(loader(source, &sink)), until);
        running.wait_until_landed(&sink, &topic, 500);
        broker.kill();
        assert!(landed(&sink, &topic).len() < produced.len(), "all had landed before the broker was killed");
        thread::sleep(Duration::from_secs(2));
        broker.restart();
        if until == Until::Stopped {
            produced.add(&topic, 0..2, 1_000);
        }
        running.wait_until_landed(&sink, &topic, produced.len());
        match until {
            Until::Stopped => running.stop().expect("it ends well"),
            _ => running.end().expect("it ends by itself"),
        };
        assert_landed(&sink, &topic, &produced);
    }
}

/// A loader whose queue holds a small part of a test's records.
fn small(loader: Loader) -> Loader {
    let patience = Some(Duration::from_secs(60));
    loader.with_options(LoaderOptions { memory_bytes: 4 << 20, give_up_after: patience, ..LoaderOptions::default() })
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_topic_that_is_deleted_stops_the_loader_and_says_how_far_it_landed() {
    for group in MODES {
        let topic = KafkaServer::shared().create_topic("deleted", 2);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..2, 300);
        let running = Running::start(loader(in_mode(eager(&topic), &topic, group), &sink), Until::Stopped);
        running.wait_until_landed(&sink, &topic, produced.len());
        topic.delete();
        let error = running.end().expect_err("the topic is gone");
        let name = topic.name();
        let says = [format!("topic {name} is gone"), format!("{name}[0]@300"), format!("{name}[1]@300")];
        assert_source_changed(&error, &says.each_ref().map(String::as_str));
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_topic_that_is_made_anew_under_the_loader_stops_it_and_nothing_of_it_lands() {
    // Fewer records than before, more, and none.
    for (group, count) in [(None, 100), (Some("group"), 100), (None, 900), (Some("group"), 900), (None, 0)] {
        println!("{count} new records");
        let topic = KafkaServer::shared().create_topic("anew", 2);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..2, 300);
        let running = Running::start(loader(in_mode(eager(&topic), &topic, group), &sink), Until::Stopped);
        running.wait_until_landed(&sink, &topic, produced.len());
        topic.recreate();
        Produced::default().add(&topic, 0..2, count);
        let error = running.end().expect_err("another topic");
        assert_source_changed(&error, &[topic.name(), "is not the one that was landed"]);
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn added_partitions_are_read_from_their_beginning() {
    for (group, lanes) in [(None, 1), (None, 2), (Some("group"), 2)] {
        let mut topic = KafkaServer::shared().create_topic("added", 2);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        // What comes before the loader is not its business: it starts at the end.
        Produced::default().add(&topic, 0..2, 50);
        let source = in_mode(eager(&topic), &topic, group).start(StartPosition::Latest);
        let assigned = Arc::new(AtomicU64::new(0));
        let count = assigned.clone();
        let options = LoaderOptions { lanes, give_up_after: Some(Duration::from_secs(60)), ..LoaderOptions::default() };
        let loader = loader(source, &sink).with_options(options).with_observer(move |event| {
            if let LoadEvent::Assigned { positions, .. } = event {
                count.fetch_add(positions.len() as u64, Ordering::SeqCst);
            }
        });
        let running = Running::start(loader, Until::Stopped);
        wait_until("the first partitions are assigned", || assigned.load(Ordering::SeqCst) >= 2);
        produced.add(&topic, 0..2, 300);
        topic.add_partitions(5);
        // At once: nobody has discovered them yet.
        produced.add(&topic, 0..5, 400);
        running.wait_until_landed(&sink, &topic, produced.len());
        produced.add(&topic, 0..5, 100);
        running.wait_until_landed(&sink, &topic, produced.len());
        let report = running.stop().expect("it ends well");
        assert_eq!(report.record_count as usize, produced.len());
        assert!(landed(&sink, &topic) == produced.0, "other records landed than were produced");
        for partition in 0..5 {
            let start = if partition < 2 { 50 } else { 0 };
            assert_tiles(&sink, &topic, partition, start, produced.end(partition));
        }
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_topic_that_a_pattern_finds_later_is_read_from_its_beginning() {
    let broker = KafkaServer::shared();
    for group in MODES {
        let first = broker.create_topic("pattern-first", 1);
        let pattern = format!("^(pattern-later|{}$)", first.name());
        let source = eager_of(&first, &pattern).start(StartPosition::Latest);
        let sink = Arc::new(MemorySink::new());
        let running = Running::start(loader(in_mode(source, &first, group), &sink), Until::Stopped);
        thread::sleep(Duration::from_secs(3));
        let later = broker.create_topic("pattern-later", 3);
        let mut produced = Produced::default();
        produced.add(&later, 0..3, 200);
        running.wait_until_landed(&sink, &later, produced.len());
        running.stop().expect("it ends well");
        assert_landed(&sink, &later, &produced);
        later.delete();
    }
}

/// Lands in memory, and takes its time until told to be quick.
struct SlowSink {
    memory: MemorySink,
    is_quick: Arc<AtomicBool>,
}

struct SlowLanding {
    inner: Box<dyn Landing>,
    is_quick: Arc<AtomicBool>,
}

#[async_trait]
impl Sink for SlowSink {
    fn describe(&self) -> String {
        "slow".to_owned()
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        self.memory.positions(of).await
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn Landing>> {
        let inner = self.memory.open(window).await?;
        Ok(Box::new(SlowLanding { inner, is_quick: self.is_quick.clone() }))
    }

    async fn ledger(&self, topic: &str) -> Result<Vec<LedgerEntry>> {
        self.memory.ledger(topic).await
    }

    async fn landed_offsets(&self, entry: &LedgerEntry) -> Result<Vec<i64>> {
        self.memory.landed_offsets(entry).await
    }
}

#[async_trait]
impl Landing for SlowLanding {
    async fn append(&mut self, rows: &LoadedRows) -> Result<()> {
        self.inner.append(rows).await
    }

    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }

    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Result<Receipt> {
        if !self.is_quick.load(Ordering::SeqCst) {
            tokio::time::sleep(Duration::from_millis(400)).await;
        }
        self.inner.commit(ranges).await
    }

    async fn discard(self: Box<Self>) {
        self.inner.discard().await;
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_bounded_run_leaves_added_partitions_to_the_next() {
    for group in MODES {
        let mut topic = KafkaServer::shared().create_topic("added-bounded", 2);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..2, 20_000);
        let source = in_mode(eager(&topic), &topic, group);
        let is_quick = Arc::new(AtomicBool::new(false));
        let slow = Arc::new(SlowSink { memory: MemorySink::clone(&sink), is_quick: is_quick.clone() });
        let given = Arc::new(AtomicBool::new(false));
        let told = given.clone();
        let limits = WindowLimits { max_records: 500, ..WindowLimits::default() };
        let first = Loader::new(source.clone(), LoadOptions::default(), slow).with_limits(limits);
        let first = small(first).with_observer(move |event| match event {
            LoadEvent::Assigned { positions, .. } if positions.partitions().any(|given| given.partition >= 2) => {
                told.store(true, Ordering::SeqCst);
            }
            _ => {}
        });
        let running = Running::start(first, Until::LogEnd);
        running.wait_until_landed(&sink, &topic, 500);
        topic.add_partitions(4);
        let mut later = Produced::default();
        later.add(&topic, 2..4, 100);
        if group.is_some() {
            wait_until("the group has dealt them out", || {
                given.load(Ordering::SeqCst) || running.outcome.is_finished()
            });
        }
        assert!(landed(&sink, &topic).len() < produced.len(), "all had landed before there were more partitions");
        is_quick.store(true, Ordering::SeqCst);
        running.end().expect("it ends by itself");
        assert_eq!(given.load(Ordering::SeqCst), group.is_some());
        assert_landed(&sink, &topic, &produced);
        produced.0.extend(later.0);
        Running::start(small(loader(source, &sink)), Until::LogEnd).end().expect("the next run");
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn lanes_share_named_partitions() {
    let topic = KafkaServer::shared().create_topic("named", 4);
    let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
    produced.add(&topic, 0..3, 1_000);
    Produced::default().add(&topic, [3], 10);
    let named = (0..3).map(|partition| TopicPartition::new(topic.name(), partition));
    let options = LoaderOptions { lanes: 2, ..LoaderOptions::default() };
    let loader = loader(source(&topic).partitions(named), &sink).with_options(options);
    let report = Running::start(loader, Until::LogEnd).end().expect("a load");
    assert_eq!(report.record_count as usize, produced.len());
    assert_landed(&sink, &topic, &produced);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn retention_that_overtakes_a_running_reader_stops_it_once_the_open_window_has_landed() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("overtaken", 1);
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, [0], 100);
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let loaded = Arc::new(AtomicU64::new(0));
        let count = loaded.clone();
        let limits = WindowLimits { max_wait: Duration::from_secs(600), ..WindowLimits::default() };
        let loader = loader(source, &sink).with_limits(limits).with_observer(move |event| {
            if let LoadEvent::Loaded { record_count } = event {
                count.fetch_add(record_count, Ordering::SeqCst);
            }
        });
        let running = Running::start(loader, Until::Stopped);
        wait_until("the first records are polled", || loaded.load(Ordering::SeqCst) == 100);
        // No fetch is under way while the log changes.
        proxy.set(Fault::Reset);
        thread::sleep(Duration::from_millis(500));
        Produced::default().add(&topic, [0], 200);
        topic.delete_records(0, 250);
        proxy.set(Fault::Pass);
        let error = running.end().expect_err("records are gone");
        let partition = format!("{}[0]", topic.name());
        assert_source_changed(&error, &[&partition, "[100, 250)", "begins at 250", "ends at 300"]);
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn retention_before_anything_landed_moves_the_start() {
    let (broker, proxy) = proxied_broker();
    for group in MODES {
        let topic = broker.create_topic("moved-start", 1);
        let sink = Arc::new(MemorySink::new());
        let assigned = Arc::new(AtomicBool::new(false));
        let told = assigned.clone();
        let source = in_mode(eager(&topic.through(&proxy.address())), &topic, group);
        let loader = loader(source, &sink).with_observer(move |event| {
            if let LoadEvent::Assigned { .. } = event {
                told.store(true, Ordering::SeqCst);
            }
        });
        let running = Running::start(loader, Until::Stopped);
        wait_until("the partition is assigned", || assigned.load(Ordering::SeqCst));
        proxy.set(Fault::Reset);
        thread::sleep(Duration::from_millis(500));
        let mut produced = Produced::default();
        produced.add(&topic, [0], 100);
        topic.delete_records(0, 60);
        proxy.set(Fault::Pass);
        running.wait_until_landed(&sink, &topic, 40);
        running.stop().expect("it ends well");
        produced.0.retain(|(_, offset), _| *offset >= 60);
        assert!(landed(&sink, &topic) == produced.0, "other records landed than were left");
        assert_tiles(&sink, &topic, 0, 60, 100);
    }
}

/// A follower that missed half of the log becomes the leader: under a running loader, and before the next one starts.
#[test]
#[ignore = "needs Apache Kafka"]
fn a_log_that_was_cut_below_the_position_stops_the_loader() {
    let cluster = KafkaCluster::start(3);
    let options = TopicOptions::new(1).replicas(2);
    let options = options.config("min.insync.replicas", 1).config("unclean.leader.election.enable", true);
    let topic = cluster.create_topic_with("cut-log", options);
    let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
    produced.add(&topic, [0], 100);
    let running = Running::start(loader(eager(&topic), &sink), Until::Stopped);
    running.wait_until_landed(&sink, &topic, 100);

    let leader = topic.leader(0);
    let follower = topic.replicas(0).into_iter().find(|node| *node != leader).expect("a second replica");
    cluster.node(follower).kill();
    produced.add(&topic, [0], 150);
    running.wait_until_landed(&sink, &topic, 250);
    cluster.node(leader).kill();
    cluster.node(follower).restart();

    let says = [format!("{}[0]", topic.name()), "from 250".to_owned(), "ends at 100".to_owned()];
    let error = running.end().expect_err("the log was cut");
    assert_source_changed(&error, &says.each_ref().map(String::as_str));
    let error = Running::start(loader(eager(&topic), &sink), Until::LogEnd).end().expect_err("it is still cut");
    assert_source_changed(&error, &says.each_ref().map(String::as_str));
    assert_landed(&sink, &topic, &produced);
}

fn wait_until(what: &str, mut is_so: impl FnMut() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "waited in vain: {what}");
        thread::sleep(Duration::from_millis(20));
    }
}

/// Generous: nothing is decided by how long things take.
const LIMIT: Duration = Duration::from_secs(180);
