//! The audit against a real log: holes have the explanation that they have, and no other.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use async_trait::async_trait;
use rdp_elt::audit::{AuditReport, FindingKind, Holes, audit_against_broker};
use rdp_elt::sink::{Claim, Claimed, LandedPosition, LandedRows, Landing, LedgerEntry, MemorySink, Sink, WindowInfo};
use rdp_elt::{Result, TopicPartition};
use rdp_testing::{KafkaServer, Record, Topic, TopicOptions};

use crate::{block_on, land, source};

fn audit(sink: &dyn Sink, topic: &Topic) -> AuditReport {
    block_on(audit_against_broker(sink, &source(topic))).expect("audited")
}

fn numbers(count: usize) -> impl Iterator<Item = Record> {
    (0..count).map(|number| Record::new(number.to_string()))
}

/// A landing that has lost the row of one offset.
struct Without(Arc<MemorySink>, i64);

#[async_trait]
impl Sink for Without {
    fn describe(&self) -> String {
        self.0.describe()
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

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn Landing>> {
        self.0.open(window).await
    }

    async fn ledger(&self, topic: &str) -> Result<Vec<LedgerEntry>> {
        self.0.ledger(topic).await
    }

    async fn landed_rows(&self, entry: &LedgerEntry) -> Result<LandedRows> {
        let mut rows = self.0.landed_rows(entry).await?;
        rows.offsets.retain(|offset| *offset != self.1);
        Ok(rows)
    }

    async fn topics(&self) -> Result<Vec<String>> {
        self.0.topics().await
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
