//! Topics that go, come anew under their old name, or grow.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use rdp_elt::kafka::{StartPosition, WindowLimits};
use rdp_elt::load::{LoadOptions, LoadedRows};
use rdp_elt::reader::Reader;
use rdp_elt::sink::{Claim, Claimed, Commit, LandedPosition, MemorySink, Sink, WindowInfo, WindowWriter};
use rdp_elt::{LoadEvent, Loader, LoaderOptions, OffsetRanges, Result, TopicPartition, Until};
use rdp_testing::KafkaServer;

use super::{MODES, Produced, Running, assert_landed, eager, eager_of, in_mode, landed, small, wait_until};
use crate::{assert_source_changed, assert_tiles, loader, source};

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

struct SlowWindow {
    inner: Box<dyn WindowWriter>,
    is_quick: Arc<AtomicBool>,
}

#[async_trait]
impl Sink for SlowSink {
    fn describe(&self) -> String {
        "slow".to_owned()
    }

    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()> {
        self.memory.prepare(topic, columns).await
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        self.memory.positions(of).await
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        self.memory.claim(claim).await
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        self.memory.claimed(topic).await
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        let inner = self.memory.open(window).await?;
        Ok(Box::new(SlowWindow { inner, is_quick: self.is_quick.clone() }))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.memory.reader()
    }
}

#[async_trait]
impl WindowWriter for SlowWindow {
    async fn append(&mut self, rows: &LoadedRows) -> Result<()> {
        self.inner.append(rows).await
    }

    fn memory_bytes(&self) -> usize {
        self.inner.memory_bytes()
    }

    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Commit {
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
fn a_bounded_run_reads_partitions_that_were_added_while_it_ran() {
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
        assert!(given.load(Ordering::SeqCst));
        produced.0.extend(later.0);
        assert_landed(&sink, &topic, &produced);
        let next = Running::start(small(loader(source, &sink)), Until::LogEnd).end().expect("the next run");
        assert_eq!(next.record_count, 0);
    }
}

/// Its end looks at the topics once more: a topic that went by then was read to its end.
#[test]
#[ignore = "needs Apache Kafka"]
fn a_topic_that_is_deleted_once_it_has_landed_spoils_no_bounded_run() {
    let topic = KafkaServer::shared().create_topic("deleted-behind", 1);
    let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
    produced.add(&topic, [0], 300);
    let (deleted, count) = (Arc::new(topic), produced.len() as u64);
    let topic = deleted.clone();
    let bounded = loader(source(&topic), &sink).with_observer(move |event| match event {
        LoadEvent::Landed { record_count, .. } if record_count == count => deleted.delete(),
        _ => {}
    });
    let report = Running::start(bounded, Until::LogEnd).end().expect("all of it has landed");
    assert_eq!(report.record_count, count);
    assert_landed(&sink, &topic, &produced);
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
