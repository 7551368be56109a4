//! Proves that everything landed once: from the ledger and the landed rows alone, and against the broker's log.
//!
//! The audit stands beside the flow and changes nothing. It trusts neither the loader nor its counts: it reads back which
//! offsets have rows, and asks the broker, by a reader of its own, about every offset that has none. A hole is explained
//! by a transaction marker, an aborted transaction, compaction or retention; where a reader still sees a record, it is a
//! finding.

mod broker;
mod hole;
mod ledger;
mod report;

use std::collections::{BTreeMap, BTreeSet};

use crate::error::{Error, Result};
use crate::kafka::KafkaConsumerBuilder;
use crate::offset::{OffsetRange, TopicPartition};
use crate::sink::{LedgerEntry, Sink, SourceIdentity};

pub use hole::Holes;
pub use ledger::audit_ledger;
pub use report::{AuditReport, AuditTotals, Finding, FindingKind, PartitionAudit};

use broker::Broker;
use hole::{Coverage, coverage};

/// Audits what has landed of these topics without asking a broker: ranges tile, numbers add up, and the rows are those
/// that the ledger says. Offsets without a row stay unchecked.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) for a topic that is a regular expression, which only a broker can resolve; and
/// what the sink fails with where its ledger cannot be read.
pub async fn audit_landing(sink: &dyn Sink, topics: &[String]) -> Result<AuditReport> {
    if let Some(pattern) = topics.iter().find(|topic| topic.starts_with('^')) {
        return Err(Error::config(format!(
            "audit {}: which topics {pattern:?} means only a broker knows",
            sink.describe()
        ))
        .with_help("audit against the broker, or name the topics"));
    }
    let mut partitions = Vec::new();
    for topic in topics.iter().collect::<BTreeSet<_>>() {
        for mut landed in look_at(sink, topic).await? {
            landed.audit.holes.unchecked = landed.missing.iter().map(OffsetRange::len).sum();
            partitions.push(landed.audit);
        }
    }
    Ok(AuditReport { against_broker: false, partitions, notes: Vec::new() })
}

/// Audits what has landed of a source's topics against the broker's log.
///
/// # Errors
/// Those of [`Cluster`](crate::kafka::Cluster), and what the sink fails with where its ledger cannot be read.
pub async fn audit_against_broker(sink: &dyn Sink, source: &KafkaConsumerBuilder) -> Result<AuditReport> {
    let source = source.clone();
    let topics = {
        let source = source.clone();
        blocking(move || Broker::look_at(&source)).await?.topics()
    };
    let mut landed = BTreeMap::new();
    for topic in topics {
        for partition in look_at(sink, &topic).await? {
            landed.insert(partition.audit.topic_partition.clone(), partition);
        }
    }
    // The log's ends are read after the landing, which a loader may be adding to meanwhile.
    let broker = blocking(move || Broker::look_at(&source)).await?;
    for partition in broker.partitions() {
        landed.entry(partition.clone()).or_insert_with(|| Landed::nothing_of(partition.clone()));
    }
    blocking(move || broker.compare(landed.into_values().collect())).await
}

/// What was found in the landing of one partition.
struct Landed {
    audit: PartitionAudit,
    /// Offsets of its commits' ranges that have no row, ascending.
    missing: Vec<OffsetRange>,
    /// Where its newest commit's rows came from.
    source: SourceIdentity,
}

impl Landed {
    fn nothing_of(partition: TopicPartition) -> Self {
        Landed { audit: PartitionAudit::new(partition), missing: Vec::new(), source: SourceIdentity::default() }
    }
}

async fn look_at(sink: &dyn Sink, topic: &str) -> Result<Vec<Landed>> {
    let entries = sink.ledger(topic).await?;
    let audits = audit_ledger(&entries);
    let partitions: Vec<TopicPartition> = audits.iter().map(|audit| audit.topic_partition.clone()).collect();
    let positions = sink.positions(&partitions).await?;
    let position = |partition: &TopicPartition| positions.get(partition).map(|landed| landed.position);
    // Where a loader is at work, a position may be ahead of a ledger that was read before it.
    let agreed = audits.iter().all(|audit| position(&audit.topic_partition) == audit.landed.map(|landed| landed.end()));
    let later = if agreed { Vec::new() } else { audit_ledger(&sink.ledger(topic).await?) };
    let later: BTreeMap<_, _> = later.into_iter().map(|audit| (audit.topic_partition, audit.landed)).collect();
    let mut found: BTreeMap<TopicPartition, Landed> = audits
        .into_iter()
        .map(|mut audit| {
            let partition = audit.topic_partition.clone();
            let later = later.get(&partition).copied().flatten().map(|landed| landed.end());
            check_position(&mut audit, position(&partition), later);
            (partition.clone(), Landed { audit, ..Landed::nothing_of(partition) })
        })
        .collect();
    for entry in ledger::in_order(&entries) {
        let Some(landed) = found.get_mut(&entry.topic_partition) else { continue };
        landed.source = entry.source.clone();
        match sink.landed_offsets(entry).await {
            Ok(offsets) => {
                let cover = coverage(entry.range, offsets)?;
                check_rows(&mut landed.audit, entry, &cover);
                landed.missing.extend(cover.missing);
            }
            Err(error) => {
                let what = format!("{}: {error:?}", ledger::named(entry));
                landed.audit.find(FindingKind::Unreadable, Some(entry.range), what);
            }
        }
    }
    Ok(found.into_values().collect())
}

/// The position lies at the ledger's end, or between it and the end of a ledger that was read later.
fn check_position(audit: &mut PartitionAudit, position: Option<i64>, later: Option<i64>) {
    let end = audit.landed.map(|landed| landed.end());
    let follows = position > end && position <= later;
    if position != end && !follows {
        let told =
            |position: Option<i64>| position.map_or_else(|| "nowhere".to_owned(), |position| position.to_string());
        let what = format!("the sink's position is {}, its ledger ends at {}", told(position), told(end));
        audit.find(FindingKind::PositionMismatch, None, what);
    }
}

fn check_rows(audit: &mut PartitionAudit, entry: &LedgerEntry, cover: &Coverage) {
    audit.row_count += cover.row_count;
    let name = ledger::named(entry);
    if cover.row_count != entry.record_count {
        let what = format!("{name} has {} rows and says {} records", cover.row_count, entry.record_count);
        audit.find(FindingKind::CountMismatch, Some(entry.range), what);
    }
    if let Some(what) = listed(&cover.repeated) {
        audit.find(FindingKind::Duplicate, Some(entry.range), format!("{name} has more than one row of {what}"));
    }
    if let Some(what) = listed(&cover.outside) {
        audit.find(FindingKind::OutsideRange, Some(entry.range), format!("{name} has rows of {what}"));
    }
}

/// A few offsets by number, the rest counted.
fn listed(offsets: &[i64]) -> Option<String> {
    let shown = offsets.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
    match offsets.len() {
        0 => None,
        1..=5 => Some(format!("offset {shown}")),
        more => Some(format!("offsets {shown} and {} more", more - 5)),
    }
}

async fn blocking<T: Send + 'static>(call: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    tokio::task::spawn_blocking(call).await.map_err(|error| {
        Error::internal("audit against the broker: the reading thread ended early").with_source(error)
    })?
}

#[cfg(test)]
mod tests {
    use async_trait::async_trait;

    use super::*;
    use crate::kafka::EmbeddedBroker;
    use crate::sink::{Claim, LandedPosition, Landing, WindowInfo};

    /// A landing that says whatever a test has it say.
    #[derive(Default)]
    struct Doctored {
        commits: Vec<(LedgerEntry, Vec<i64>)>,
        position: Option<i64>,
    }

    impl Doctored {
        fn landed(mut self, start: i64, end: i64, offsets: impl IntoIterator<Item = i64>) -> Self {
            let mut entry = ledger::tests::entry(0, start, end);
            // The ids of no cluster in particular.
            entry.source = SourceIdentity::default();
            let offsets: Vec<i64> = offsets.into_iter().collect();
            entry.record_count = offsets.len() as u64;
            self.position = self.position.max(Some(end));
            self.commits.push((entry, offsets));
            self
        }

        fn saying(mut self, change: impl FnOnce(&mut LedgerEntry)) -> Self {
            if let Some((entry, _)) = self.commits.last_mut() {
                change(entry);
            }
            self
        }
    }

    #[async_trait]
    impl Sink for Doctored {
        fn describe(&self) -> String {
            "doctored landing".to_owned()
        }

        async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
            let source = SourceIdentity::default();
            let position = |position| LandedPosition { position, window: None, source: source.clone(), newest: None };
            Ok(of.iter().filter_map(|of| Some((of.clone(), position(self.position?)))).collect())
        }

        async fn claim(&self, _: &Claim) -> Result<()> {
            Err(Error::internal("nothing is claimed here"))
        }

        async fn partition_count(&self, _: &str) -> Result<Option<i32>> {
            Ok(None)
        }

        async fn open(&self, _: &WindowInfo) -> Result<Box<dyn Landing>> {
            Err(Error::internal("nothing lands here"))
        }

        async fn ledger(&self, _: &str) -> Result<Vec<LedgerEntry>> {
            Ok(self.commits.iter().map(|(entry, _)| entry.clone()).collect())
        }

        async fn landed_offsets(&self, entry: &LedgerEntry) -> Result<Vec<i64>> {
            let found = self.commits.iter().find(|(commit, _)| commit.window == entry.window);
            match found {
                Some((entry, _)) if entry.location == "broken.parquet" => {
                    Err(Error::unavailable("read broken.parquet"))
                }
                Some((_, offsets)) => Ok(offsets.clone()),
                None => Ok(Vec::new()),
            }
        }
    }

    fn kinds(report: &AuditReport) -> Vec<FindingKind> {
        report.findings().map(|finding| finding.kind).collect()
    }

    async fn offline(sink: &Doctored) -> AuditReport {
        audit_landing(sink, &["orders".to_owned()]).await.expect("audited")
    }

    /// Against a log of 100 records in `orders[0]` and 7 in `orders[1]`.
    async fn online(sink: &Doctored) -> AuditReport {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 2).expect("made");
        broker.produce_values("orders", 0, 100).expect("produced");
        broker.produce_values("orders", 1, 7).expect("produced");
        let source = KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]);
        audit_against_broker(sink, &source).await.expect("audited")
    }

    #[tokio::test]
    async fn a_landing_of_everything_is_clean() {
        let sink = Doctored::default().landed(0, 60, 0..60).landed(60, 100, 60..100);
        let report = online(&sink).await;
        assert!(report.is_clean(), "{report:?}");
        assert_eq!((report.totals().row_count, report.totals().lag), (100, 7));
        assert!(offline(&sink).await.is_clean());
    }

    #[tokio::test]
    async fn a_record_that_readers_see_and_the_landing_lacks_is_unexplained() {
        let sink = Doctored::default().landed(0, 60, (0..60).filter(|offset| *offset != 41));
        let report = online(&sink).await;
        assert!(!report.is_clean());
        assert_eq!(kinds(&report), [FindingKind::Unexplained]);
        assert_eq!(report.findings().next().and_then(|finding| finding.range), OffsetRange::new(41, 42).ok());
        assert_eq!(report.totals().holes.unexplained, 1);
    }

    #[tokio::test]
    async fn without_a_broker_a_hole_is_unchecked() {
        let sink = Doctored::default().landed(0, 60, (0..60).filter(|offset| *offset != 41));
        let report = offline(&sink).await;
        assert!(report.is_clean());
        assert_eq!(report.totals().holes, Holes { unchecked: 1, ..Holes::default() });
    }

    #[tokio::test]
    async fn a_landing_beyond_the_log_is_found() {
        let sink = Doctored::default().landed(0, 120, 0..120);
        assert_eq!(kinds(&online(&sink).await), [FindingKind::BeyondLogEnd]);
    }

    #[tokio::test]
    async fn another_cluster_is_found() {
        let sink = Doctored::default().landed(0, 60, 0..60).saying(|entry| entry.source.cluster_id = "other".into());
        assert_eq!(kinds(&online(&sink).await), [FindingKind::SourceChanged]);
    }

    #[tokio::test]
    async fn an_offset_that_landed_twice_is_found() {
        let sink = Doctored::default().landed(0, 10, (0..10).chain([4])).saying(|entry| entry.record_count = 10);
        assert_eq!(kinds(&offline(&sink).await), [FindingKind::CountMismatch, FindingKind::Duplicate]);
    }

    #[tokio::test]
    async fn a_row_of_a_foreign_offset_is_found() {
        let sink = Doctored::default().landed(0, 10, (0..9).chain([11]));
        assert_eq!(kinds(&offline(&sink).await), [FindingKind::OutsideRange]);
    }

    #[tokio::test]
    async fn a_lost_row_is_found_without_a_broker() {
        let sink = Doctored::default().landed(0, 10, 0..9).saying(|entry| entry.record_count = 10);
        assert_eq!(kinds(&offline(&sink).await), [FindingKind::CountMismatch]);
    }

    #[tokio::test]
    async fn a_position_that_the_ledger_does_not_back_is_found() {
        let mut sink = Doctored::default().landed(0, 10, 0..10);
        sink.position = Some(11);
        assert_eq!(kinds(&offline(&sink).await), [FindingKind::PositionMismatch]);
    }

    #[tokio::test]
    async fn a_file_that_cannot_be_read_is_named() {
        let sink = Doctored::default().landed(0, 10, 0..10).saying(|entry| entry.location = "broken.parquet".into());
        let report = offline(&sink).await;
        assert_eq!(kinds(&report), [FindingKind::Unreadable]);
        assert!(report.findings().all(|finding| finding.what.contains("broken.parquet")));
    }

    #[tokio::test]
    async fn a_pattern_needs_a_broker() {
        assert!(audit_landing(&Doctored::default(), &["^orders".to_owned()]).await.is_err());
    }
}
