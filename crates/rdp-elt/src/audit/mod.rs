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
use crate::sink::{LandedPosition, LedgerEntry, Sink, SourceIdentity};

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
    let broker = blocking(move || Broker::look_at(&source)).await?;
    let mut landed = BTreeMap::new();
    for topic in broker.topics() {
        for partition in look_at(sink, &topic).await? {
            landed.insert(partition.audit.topic_partition.clone(), partition);
        }
    }
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
    let mut found: BTreeMap<TopicPartition, Landed> = audits
        .into_iter()
        .map(|mut audit| {
            let partition = audit.topic_partition.clone();
            check_position(&mut audit, positions.get(&partition));
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

fn check_position(audit: &mut PartitionAudit, position: Option<&LandedPosition>) {
    let end = audit.landed.map(|landed| landed.end());
    let position = position.map(|landed| landed.position);
    if end != position {
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
