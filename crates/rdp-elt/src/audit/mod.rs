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
mod rows;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use crate::blocking::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::KafkaConsumerBuilder;
use crate::offset::{OffsetRange, TopicPartition};
use crate::reader::{Reader, commits_of};
use crate::sink::{Claimed, LedgerEntry, Sink, SourceIdentity};

pub use hole::Holes;
pub use ledger::audit_ledger;
pub use report::{AuditReport, AuditTotals, Finding, FindingKind, PartitionAudit};

use broker::Broker;
use hole::{Coverage, coverage, length};
use rows::Rows;

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
    let mut audit = Audit::new(sink, None);
    for topic in topics.iter().collect::<BTreeSet<_>>() {
        audit.look_at(topic).await?;
    }
    audit.explain_holes().await?;
    let partitions = audit.landed.into_values().map(|landed| landed.audit).collect();
    Ok(AuditReport { against_broker: false, partitions, landing: strays(&*sink.reader()).await?, notes: Vec::new() })
}

/// Audits what has landed of a source's topics against the broker's log, those that the cluster has no more included. Where
/// the source has a group, what the group was told is held against the landing too.
///
/// Its memory does not grow with the records: holes are explained a batch at a time.
///
/// # Errors
/// Those of [`Cluster`](crate::kafka::Cluster), and what the sink fails with where its ledger cannot be read.
pub async fn audit_against_broker(sink: &dyn Sink, source: &KafkaConsumerBuilder) -> Result<AuditReport> {
    let source = source.clone();
    let known = sink.reader().topics().await?;
    // What the group was told is read before the landing, which a loader may be adding to meanwhile.
    let broker = blocking(move || Broker::look_at(&source, &known)).await?;
    let topics = broker.topics();
    let mut audit = Audit::new(sink, Some(broker));
    for topic in topics {
        audit.look_at(&topic).await?;
    }
    audit.explain_holes().await?;
    let Audit { mut landed, broker, .. } = audit;
    let landing = strays(&*sink.reader()).await?;
    let Some(broker) = broker else { return Err(Error::internal("audit against the broker: it is not there")) };
    // The log's ends are read after the landing.
    blocking(move || {
        let mut broker = broker.look_again()?;
        for partition in broker.partitions() {
            landed.entry(partition.clone()).or_insert_with(|| Landed::nothing_of(partition.clone()));
        }
        let mut landed: Vec<Landed> = landed.into_values().filter(|landed| broker.is_asked_of(landed)).collect();
        landed.iter_mut().for_each(|landed| broker.compare(landed));
        let partitions = landed.into_iter().map(|landed| landed.audit).collect();
        Ok(AuditReport { against_broker: true, partitions, landing, notes: broker.take_notes() })
    })
    .await
}

async fn strays(reader: &dyn Reader) -> Result<Vec<Finding>> {
    let strays = reader.strays().await?.into_iter();
    Ok(strays.map(|what| Finding::of_landing(FindingKind::Stray, what)).collect())
}

/// What was found in the landing of one partition.
struct Landed {
    audit: PartitionAudit,
    /// Where its newest commit's rows came from.
    source: SourceIdentity,
    /// Where it begins, by its claim.
    claimed: Option<i64>,
    /// What the landing of its topic is called.
    landing_id: Option<String>,
}

impl Landed {
    fn nothing_of(partition: TopicPartition) -> Self {
        let (source, claimed, landing_id) = Default::default();
        Landed { audit: PartitionAudit::new(partition), source, claimed, landing_id }
    }
}

/// An audit at work.
struct Audit<'a> {
    sink: &'a dyn Sink,
    reader: Arc<dyn Reader>,
    broker: Option<Broker>,
    landed: BTreeMap<TopicPartition, Landed>,
    /// Offsets without a row that nobody was asked about yet, ascending by partition.
    missing: BTreeMap<TopicPartition, Vec<OffsetRange>>,
    missing_count: usize,
}

impl<'a> Audit<'a> {
    fn new(sink: &'a dyn Sink, broker: Option<Broker>) -> Self {
        let (landed, missing) = Default::default();
        Audit { sink, reader: sink.reader(), broker, landed, missing, missing_count: 0 }
    }

    async fn look_at(&mut self, topic: &str) -> Result<()> {
        let entries = commits_of(&*self.reader, topic).await?;
        let audits = audit_ledger(&entries);
        let Claimed { starts, landing_id, .. } = self.sink.claimed(topic).await?;
        let partitions: Vec<TopicPartition> = audits.iter().map(|audit| audit.topic_partition.clone()).collect();
        let positions = self.sink.positions(&partitions).await?;
        let position = |partition: &TopicPartition| positions.get(partition).map(|landed| landed.position);
        // Where a loader is at work, a position may be ahead of a ledger that was read before it.
        let agreed =
            audits.iter().all(|audit| position(&audit.topic_partition) == audit.landed.map(|landed| landed.end()));
        let later = if agreed { Vec::new() } else { audit_ledger(&commits_of(&*self.reader, topic).await?) };
        let later: BTreeMap<_, _> = later.into_iter().map(|audit| (audit.topic_partition, audit.landed)).collect();
        for (partition, start) in &starts {
            let partition = TopicPartition::new(topic, *partition);
            let (claimed, landing_id) = (Some(*start), landing_id.clone());
            let landed = Landed { claimed, landing_id, ..Landed::nothing_of(partition.clone()) };
            self.landed.insert(partition, landed);
        }
        for mut audit in audits {
            let partition = audit.topic_partition.clone();
            let later = later.get(&partition).copied().flatten().map(|landed| landed.end());
            check_position(&mut audit, position(&partition), later);
            // The rows themselves are counted.
            (audit.quarantined_count, audit.tombstone_count) = (0, 0);
            let landed = self.landed.entry(partition.clone()).or_insert_with(|| Landed::nothing_of(partition));
            check_beginning(&mut audit, landed.claimed);
            landed.audit = audit;
        }
        for entry in ledger::in_order(&entries) {
            self.look_at_rows(entry).await?;
            if self.missing_count >= MOST_MISSING {
                self.explain_holes().await?;
            }
        }
        Ok(())
    }

    async fn look_at_rows(&mut self, entry: &LedgerEntry) -> Result<()> {
        let Some(landed) = self.landed.get_mut(&entry.topic_partition) else { return Ok(()) };
        landed.source = entry.source.clone();
        let rows = match Rows::read(&*self.reader, entry).await {
            Ok(rows) => rows,
            // Of what could not be read now nothing is known.
            Err(error) if matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Denied) => return Err(error),
            Err(error) => {
                let what = format!("{}: {error:?}", ledger::named(entry));
                landed.audit.find(FindingKind::Unreadable, Some(entry.range), what);
                return Ok(());
            }
        };
        check_counts(&mut landed.audit, entry, &rows);
        let cover = coverage(entry.range, rows.offsets)?;
        check_rows(&mut landed.audit, entry, &cover);
        self.missing_count += cover.missing.len();
        self.missing.entry(entry.topic_partition.clone()).or_default().extend(cover.missing);
        Ok(())
    }

    /// Asks about the offsets that are missing so far.
    async fn explain_holes(&mut self) -> Result<()> {
        let missing = std::mem::take(&mut self.missing);
        self.missing_count = 0;
        let Some(mut broker) = self.broker.take() else {
            for (partition, missing) in missing {
                if let Some(landed) = self.landed.get_mut(&partition) {
                    landed.audit.holes.unchecked += length(&missing);
                }
            }
            return Ok(());
        };
        let sources = missing.keys().filter_map(|of| Some((of.clone(), self.landed.get(of)?.source.clone()))).collect();
        let (broker, explained) = blocking(move || {
            let explained = broker.explain(missing, &sources)?;
            Ok((broker, explained))
        })
        .await?;
        self.broker = Some(broker);
        for (partition, (holes, unexplained)) in explained {
            if let Some(landed) = self.landed.get_mut(&partition) {
                landed.audit.holes += holes;
                report_unexplained(&mut landed.audit, &unexplained);
            }
        }
        Ok(())
    }
}

/// What landed begins where it was claimed to, or its oldest files are gone.
fn check_beginning(audit: &mut PartitionAudit, claimed: Option<i64>) {
    let (Some(claimed), Some(landed)) = (claimed, audit.landed) else { return };
    if landed.start() > claimed {
        let what = format!("the landing began at {claimed}, what is there begins at {}", landed.start());
        audit.find(FindingKind::Removed, OffsetRange::new(claimed, landed.start()).ok(), what);
    }
}

fn check_counts(audit: &mut PartitionAudit, entry: &LedgerEntry, rows: &Rows) {
    audit.quarantined_count += rows.quarantined_count;
    audit.tombstone_count += rows.tombstone_count;
    for (of, told, found) in [
        ("quarantined", entry.quarantined_count, rows.quarantined_count),
        ("tombstones", entry.tombstone_count, rows.tombstone_count),
    ] {
        if told != found {
            let what = format!("{} says {told} {of} and has {found}", ledger::named(entry));
            audit.find(FindingKind::CountMismatch, Some(entry.range), what);
        }
    }
}

fn report_unexplained(audit: &mut PartitionAudit, ranges: &[OffsetRange]) {
    for range in ranges.iter().take(SHOWN_RANGES) {
        let offsets: Vec<i64> = (range.start()..range.end().min(range.start() + 6)).collect();
        let what = match range.len() {
            ..=5 => listed(&offsets).unwrap_or_default(),
            more => format!("offsets {} to {} ({more})", range.start(), range.end() - 1),
        };
        let what = format!("the log has a record at {what}, the landing has no row");
        audit.find(FindingKind::Unexplained, Some(*range), what);
    }
    if let Some(rest) = ranges.get(SHOWN_RANGES..).filter(|rest| !rest.is_empty()) {
        let what = format!("{} more such offsets in {} more ranges", length(rest), rest.len());
        audit.find(FindingKind::Unexplained, None, what);
    }
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

/// So many ranges without a row are gathered before the broker is asked: a few megabytes.
const MOST_MISSING: usize = 100_000;
const SHOWN_RANGES: usize = 20;

#[cfg(test)]
mod tests {
    use arrow::array::{ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray};
    use arrow::datatypes::SchemaRef;
    use async_trait::async_trait;
    use futures::stream::{self, StreamExt};

    use super::*;
    use crate::kafka::EmbeddedBroker;
    use crate::reader::{Ledger, RowStream, known_ledger};
    use crate::schema::{KAFKA_OFFSET, KAFKA_TOMBSTONE, RDP_ERROR};
    use crate::sink::{BroughtBy, Claim, LandedPosition, WindowInfo, WindowWriter};

    /// A landing that says whatever a test has it say.
    #[derive(Clone, Default)]
    struct Doctored {
        commits: Vec<(LedgerEntry, Vec<i64>)>,
        position: Option<i64>,
        claimed: Option<i64>,
        strays: Vec<String>,
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

        async fn prepare(&self, _: &str, _: &SchemaRef) -> Result<()> {
            Err(Error::internal("nothing lands here"))
        }

        async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
            let position = |position| LandedPosition {
                position,
                brought_by: BroughtBy::Forgotten,
                source: SourceIdentity::default(),
                newest: None,
            };
            Ok(of.iter().filter_map(|of| Some((of.clone(), position(self.position?)))).collect())
        }

        async fn claim(&self, _: &Claim) -> Result<()> {
            Err(Error::internal("nothing is claimed here"))
        }

        async fn claimed(&self, _: &str) -> Result<Claimed> {
            Ok(Claimed { starts: self.claimed.iter().map(|start| (0, *start)).collect(), ..Claimed::default() })
        }

        async fn open(&self, _: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
            Err(Error::internal("nothing lands here"))
        }

        fn reader(&self) -> Arc<dyn Reader> {
            Arc::new(self.clone())
        }
    }

    #[async_trait]
    impl Reader for Doctored {
        async fn topics(&self) -> Result<Vec<String>> {
            Ok(vec!["orders".to_owned()])
        }

        async fn partitions(&self, _: &str) -> Result<Vec<i32>> {
            Ok(if self.commits.is_empty() { Vec::new() } else { vec![0] })
        }

        async fn ledger(&self, _: &TopicPartition, from: i64) -> Result<Ledger> {
            Ok(known_ledger(self.commits.iter().map(|(entry, _)| entry.clone()).collect(), from))
        }

        async fn rows_of(&self, commit: &LedgerEntry, _: Option<&[&str]>) -> Result<RowStream> {
            match commit.location.as_str() {
                "broken.parquet" => return Err(Error::new(ErrorKind::Data, "read broken.parquet")),
                "away.parquet" => return Err(Error::unavailable("read away.parquet")),
                _ => {}
            }
            let found = self.commits.iter().find(|(found, _)| found.window == commit.window);
            let rows = found.map(|(_, offsets)| {
                let places = 0..offsets.len();
                let columns: [(&str, ArrayRef); 3] = [
                    (KAFKA_OFFSET, Arc::new(Int64Array::from(offsets.clone()))),
                    (KAFKA_TOMBSTONE, Arc::new(BooleanArray::from_iter(places.clone().map(|row| Some(row < 2))))),
                    (RDP_ERROR, Arc::new(StringArray::from_iter(places.map(|row| (row == 5).then_some("odd"))))),
                ];
                Ok(RecordBatch::try_from_iter(columns).expect("columns of one length"))
            });
            Ok(stream::iter(rows).boxed())
        }

        async fn strays(&self) -> Result<Vec<String>> {
            Ok(self.strays.clone())
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
    async fn a_landing_that_lost_its_oldest_files_is_found_and_may_be_accepted() {
        let mut sink = Doctored::default().landed(40, 60, 40..60);
        sink.claimed = Some(40);
        assert!(offline(&sink).await.is_clean());
        sink.claimed = Some(0);
        let mut report = offline(&sink).await;
        assert_eq!(kinds(&report), [FindingKind::Removed]);
        assert_eq!(report.findings().next().and_then(|finding| finding.range), OffsetRange::new(0, 40).ok());
        report.accept(FindingKind::Removed);
        assert!(report.is_clean() && report.notes.len() == 1, "{report:?}");
    }

    #[tokio::test]
    async fn what_readers_would_take_for_rows_is_found() {
        let mut sink = Doctored::default().landed(0, 10, 0..10);
        sink.strays = vec!["part-0.parquet is no file that RDP landed here".to_owned()];
        assert_eq!(kinds(&offline(&sink).await), [FindingKind::Stray]);
    }

    #[tokio::test]
    async fn counts_are_of_the_rows_and_not_what_the_ledger_says() {
        let sink = Doctored::default().landed(0, 10, 0..10).saying(|entry| entry.tombstone_count = 3);
        let report = offline(&sink).await;
        assert_eq!(kinds(&report), [FindingKind::CountMismatch]);
        assert_eq!((report.totals().quarantined_count, report.totals().tombstone_count), (1, 2));
    }

    #[tokio::test]
    async fn a_file_that_is_damaged_is_named() {
        let sink = Doctored::default().landed(0, 10, 0..10).saying(|entry| entry.location = "broken.parquet".into());
        let report = offline(&sink).await;
        assert_eq!(kinds(&report), [FindingKind::Unreadable]);
        assert!(report.findings().all(|finding| finding.what.contains("broken.parquet")));
    }

    #[tokio::test]
    async fn of_a_file_that_cannot_be_read_now_nothing_is_said() {
        let sink = Doctored::default().landed(0, 10, 0..10).saying(|entry| entry.location = "away.parquet".into());
        let error = audit_landing(&sink, &["orders".to_owned()]).await.expect_err("it was not read");
        assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "read away.parquet"));
    }

    #[tokio::test]
    async fn a_pattern_needs_a_broker() {
        assert!(audit_landing(&Doctored::default(), &["^orders".to_owned()]).await.is_err());
    }
}
