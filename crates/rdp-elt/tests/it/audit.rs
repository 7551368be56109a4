//! The audit against a real log: holes have the explanation that they have, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use arrow::array::{ArrayRef, AsArray, BooleanArray, Int64Array, RecordBatch, StringArray};
use arrow::compute::filter_record_batch;
use arrow::datatypes::{Int64Type, SchemaRef};
use async_trait::async_trait;
use futures::stream::{self, StreamExt, TryStreamExt};
use rdp_elt::audit::{AuditReport, FindingKind, Holes, audit_against_broker, audit_landing};
use rdp_elt::kafka::{KafkaConsumerBuilder, WindowLimits};
use rdp_elt::load::LoadOptions;
use rdp_elt::reader::{Ledger, Reader, RowStream};
use rdp_elt::sink::{
    BroughtBy, Claim, Claimed, LandedPosition, LedgerEntry, MemorySink, ParquetSink, ParquetSinkOptions, Sink,
    SourceIdentity, WindowId, WindowInfo, WindowWriter,
};
use rdp_elt::{Loader, OffsetRange, Result, Shutdown, TopicPartition, Until};
use rdp_testing::{KafkaServer, Record, Topic, TopicOptions};

use crate::{block_on, land, source};

fn audit(sink: &dyn Sink, topic: &Topic) -> AuditReport {
    block_on(audit_against_broker(sink, &source(topic))).expect("audited")
}

fn numbers(count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(|number| Record::new(number.to_string()))
}

/// A landing that has lost the row of one offset.
#[derive(Clone)]
struct Without(Arc<MemorySink>, i64);

#[async_trait]
impl Sink for Without {
    fn describe(&self) -> String {
        self.0.describe()
    }

    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()> {
        self.0.prepare(topic, columns).await
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        self.0.positions(of).await
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        self.0.claim(claim).await
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        self.0.claimed(topic).await
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        self.0.open(window).await
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(self.clone())
    }
}

#[async_trait]
impl Reader for Without {
    async fn topics(&self) -> Result<Vec<String>> {
        self.0.topics().await
    }

    async fn partitions(&self, topic: &str) -> Result<Vec<i32>> {
        self.0.partitions(topic).await
    }

    async fn ledger(&self, of: &TopicPartition, from: i64) -> Result<Ledger> {
        self.0.ledger(of, from).await
    }

    async fn rows_of(&self, commit: &LedgerEntry, columns: Option<&[&str]>) -> Result<RowStream> {
        let lost = self.1;
        let others = move |rows: RecordBatch| {
            let offsets = rows["_kafka_offset"].as_primitive::<Int64Type>();
            let kept: BooleanArray = offsets.values().iter().map(|offset| Some(*offset != lost)).collect();
            filter_record_batch(&rows, &kept).expect("of one length")
        };
        Ok(self.0.rows_of(commit, columns).await?.map_ok(others).boxed())
    }

    async fn strays(&self) -> Result<Vec<String>> {
        self.0.strays().await
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn transactions_explain_their_holes() {
    let topic = KafkaServer::shared().create_topic("audit-transactions", 1);
    topic.produce(numbers(5));
    topic.transaction(numbers(3)).commit();
    topic.transaction(numbers(4)).abort();
    topic.produce(numbers(2));
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("landed");

    let report = audit(&*sink, &topic);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.totals().row_count, 10);
    assert_eq!(report.totals().holes, Holes { marker: 2, aborted: 4, ..Holes::default() });
    assert_eq!(report.totals().lag, 0);

    // A record that readers see stands right beside them.
    let report = audit(&Without(sink, 6), &topic);
    assert_eq!(report.totals().holes, Holes { marker: 2, aborted: 4, unexplained: 1, ..Holes::default() });
    let kinds: Vec<FindingKind> = report.findings().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::CountMismatch, FindingKind::Unexplained]);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn compaction_explains_its_holes() {
    let topic = KafkaServer::shared().create_topic_with("audit-compaction", TopicOptions::new(1).compacted());
    topic.produce((0..200).map(|number| Record::new(number.to_string()).key((number % 5).to_string())));
    // A segment is compacted once a later record has closed it.
    let began = Instant::now();
    while topic.readable_offsets(0).len() > 150 {
        assert!(began.elapsed() < Duration::from_secs(60), "the broker does not compact");
        std::thread::sleep(Duration::from_millis(500));
        topic.produce([Record::new("roll").key("roll")]);
    }
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("landed");

    let report = audit(&*sink, &topic);
    assert!(report.is_clean(), "{report:?}");
    let holes = report.totals().holes;
    assert!(holes.compaction > 40, "{holes:?}");
    assert_eq!(holes.count(), holes.compaction);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn retention_explains_holes_and_is_a_finding_where_it_overtook() {
    let topic = KafkaServer::shared().create_topic("audit-retention", 1);
    topic.transaction(numbers(3)).commit();
    topic.wait_for_markers();
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("landed");
    topic.produce(numbers(10));

    topic.delete_records(0, 4);
    let report = audit(&*sink, &topic);
    assert!(report.is_clean(), "{report:?}");
    assert_eq!(report.totals().holes, Holes { retention: 1, ..Holes::default() });
    assert_eq!(report.totals().lag, 10);

    topic.delete_records(0, 7);
    let kinds: Vec<FindingKind> = audit(&*sink, &topic).findings().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::Overtaken]);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_re_created_topic_is_not_the_one_that_landed() {
    let topic = KafkaServer::shared().create_topic("audit-recreated", 1);
    topic.produce(numbers(5));
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("landed");
    topic.recreate();
    topic.produce(numbers(9));
    let kinds: Vec<FindingKind> = audit(&*sink, &topic).findings().map(|finding| finding.kind).collect();
    assert_eq!(kinds, [FindingKind::SourceChanged]);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_landing_of_a_topic_that_is_gone_is_audited_too() {
    let topic = KafkaServer::shared().create_topic("audit-gone", 1);
    topic.produce(numbers(5));
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("landed");
    topic.delete();
    let pattern = format!("^{}", topic.name());
    for name in [topic.name(), &pattern] {
        let source = KafkaConsumerBuilder::new(topic.brokers()).topics([name]);
        let report = block_on(audit_against_broker(&*sink, &source)).expect("audited");
        let kinds: Vec<FindingKind> = report.findings().map(|finding| finding.kind).collect();
        assert_eq!(kinds, [FindingKind::SourceChanged], "{name}");
        assert_eq!(report.totals().row_count, 5, "{name}");
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn what_the_group_was_told_shows_that_the_newest_of_a_landing_is_gone() {
    let topic = KafkaServer::shared().create_topic("audit-told", 1);
    let source = source(&topic).group_id(topic.name());
    let folder = tempfile::tempdir().expect("a folder");
    let open = |name: &str| {
        let place = folder.path().join(name).display().to_string();
        Arc::new(ParquetSink::open(&place, ParquetSinkOptions::default()).expect("opened"))
    };
    let load = |sink: &Arc<ParquetSink>| {
        let limits = WindowLimits { max_wait: Duration::from_millis(300), ..WindowLimits::default() };
        let loader = Loader::new(source.clone(), LoadOptions::default(), sink.clone()).with_limits(limits);
        block_on(loader.run(Until::LogEnd, &Shutdown::new())).expect("landed")
    };
    let audited = |sink: &ParquetSink| {
        let report = block_on(audit_against_broker(sink, &source)).expect("audited");
        report.findings().map(|finding| finding.kind).collect::<Vec<_>>()
    };
    let sink = open("landing");
    for _ in 0..2 {
        topic.produce(numbers(5));
        load(&sink);
    }
    assert_eq!(audited(&sink), []);
    std::fs::remove_file(folder.path().join(format!("landing/topic={}/partition=0/{:020}.parquet", topic.name(), 5)))
        .expect("the newest file");
    let sink = open("landing");
    assert_eq!(audited(&sink), [FindingKind::Removed]);
    // Another landing of the same group has not landed it, and nothing of it is gone.
    let other = open("other");
    let identity = SourceIdentity::default();
    let claim =
        Claim { topic: topic.name().into(), source: identity, partition_count: 1, starts: BTreeMap::from([(0, 0)]) };
    block_on(other.claim(&claim)).expect("claimed");
    assert_eq!(audited(&other), []);
    load(&sink);
    assert_eq!(audited(&sink), [], "it landed again");
}

/// A landing of a hundred million records in one partition, a marker behind each thousand, that is nowhere.
struct Endless;

impl Endless {
    const COMMITS: i64 = 100;
    const RECORDS: i64 = 1_000_000;

    fn position() -> LandedPosition {
        let (brought_by, source) = (BroughtBy::Forgotten, SourceIdentity::default());
        LandedPosition { position: Self::COMMITS * Self::RECORDS, brought_by, source, newest: None }
    }
}

#[async_trait]
impl Sink for Endless {
    fn describe(&self) -> String {
        "nowhere".to_owned()
    }

    async fn prepare(&self, _: &str, _: &SchemaRef) -> Result<()> {
        unreachable!("an audit lands nothing")
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        Ok(of.iter().map(|of| (of.clone(), Self::position())).collect())
    }

    async fn claim(&self, _: &Claim) -> Result<()> {
        unreachable!("an audit claims nothing")
    }

    async fn claimed(&self, _: &str) -> Result<Claimed> {
        Ok(Claimed::default())
    }

    async fn open(&self, _: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        unreachable!("an audit lands nothing")
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(Endless)
    }
}

#[async_trait]
impl Reader for Endless {
    async fn topics(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }

    async fn partitions(&self, _: &str) -> Result<Vec<i32>> {
        Ok(vec![0])
    }

    async fn ledger(&self, of: &TopicPartition, _: i64) -> Result<Ledger> {
        let of = of.clone();
        let entry = move |commit: i64| LedgerEntry {
            topic_partition: of.clone(),
            range: OffsetRange::new(commit * Self::RECORDS, (commit + 1) * Self::RECORDS).expect("a range"),
            record_count: Self::RECORDS as u64 / 1_000 * 999,
            quarantined_count: 0,
            tombstone_count: 0,
            window: WindowId::generate(),
            source: SourceIdentity::default(),
            newest: None,
            location: String::new(),
        };
        Ok(Ledger { begins_at: Some(0), commits: stream::iter((0..Self::COMMITS).map(entry).map(Ok)).boxed() })
    }

    async fn rows_of(&self, commit: &LedgerEntry, _: Option<&[&str]>) -> Result<RowStream> {
        let range = commit.range;
        let starts = (range.start()..range.end()).step_by(50_000);
        let rows = starts.map(move |start| {
            let end = range.end().min(start + 50_000);
            let offsets: Vec<i64> = (start..end).filter(|offset| offset % 1_000 != 999).collect();
            let count = offsets.len();
            let columns: [(&str, ArrayRef); 3] = [
                ("_kafka_offset", Arc::new(Int64Array::from(offsets))),
                ("_kafka_tombstone", Arc::new(BooleanArray::from(vec![false; count]))),
                ("_rdp_error", Arc::new(StringArray::new_null(count))),
            ];
            Ok(RecordBatch::try_from_iter(columns).expect("columns of one length"))
        });
        Ok(stream::iter(rows).boxed())
    }

    async fn strays(&self) -> Result<Vec<String>> {
        Ok(Vec::new())
    }
}

#[test]
fn an_audit_of_a_hundred_million_records_takes_less_than_200_megabytes() {
    const ALONE: &str = "RDP_AUDIT_ALONE";
    if std::env::var_os(ALONE).is_some() {
        let report = block_on(audit_landing(&Endless, &["orders".to_owned()])).expect("audited");
        assert!(report.is_clean() && report.totals().holes.unchecked == 100_000, "{:?}", report.totals());
        return;
    }
    // In a process of its own: what others hold does not count.
    let name = "audit::an_audit_of_a_hundred_million_records_takes_less_than_200_megabytes";
    let child = std::process::Command::new(std::env::current_exe().expect("this binary"))
        .args(["--exact", name, "--include-ignored"])
        .env(ALONE, "yes")
        .spawn()
        .expect("it starts");
    let (peak, outcome) = peak_of(child);
    assert!(outcome.success(), "{outcome}");
    println!("peak: {} MB", peak / 1_000_000);
    assert!(peak < 200_000_000, "it took {peak} bytes");
}

/// The most memory that a process has held when it ends, in bytes, and how it ended.
fn peak_of(mut child: std::process::Child) -> (u64, std::process::ExitStatus) {
    let status = format!("/proc/{}/status", child.id());
    let mut peak = 0;
    loop {
        let text = std::fs::read_to_string(&status).unwrap_or_default();
        let told = text.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB")?.parse().ok());
        peak = peak.max(told.map_or(0, |kilobytes: u64| kilobytes * 1024));
        if let Some(outcome) = child.try_wait().expect("it can be waited for") {
            return (peak, outcome);
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}
