//! What the ledger alone proves: that the ranges of each partition tile, that its numbers add up, and that all of it
//! came from one topic. No I/O.

use std::collections::BTreeSet;

use super::report::{FindingKind, PartitionAudit};
use crate::offset::OffsetRange;
use crate::sink::LedgerEntry;

/// Audits what commits say of themselves; entries in any order.
///
/// Rows are not looked at: `row_count` and `holes` stay empty.
pub fn audit_ledger(entries: &[LedgerEntry]) -> Vec<PartitionAudit> {
    in_order(entries).chunk_by(|one, next| one.topic_partition == next.topic_partition).map(audit_partition).collect()
}

/// Entries by partition and start.
pub(super) fn in_order(entries: &[LedgerEntry]) -> Vec<&LedgerEntry> {
    let mut entries: Vec<&LedgerEntry> = entries.iter().collect();
    entries.sort_by_key(|entry| (&entry.topic_partition, entry.range.start(), entry.range.end()));
    entries
}

/// What a person calls a commit.
pub(super) fn named(entry: &LedgerEntry) -> String {
    match entry.location.as_str() {
        "" => format!("commit {} of window {}", entry.range, entry.window),
        location => location.to_owned(),
    }
}

fn audit_partition(entries: &[&LedgerEntry]) -> PartitionAudit {
    let first = entries[0];
    let mut audit = PartitionAudit::new(first.topic_partition.clone());
    let mut before: Option<&LedgerEntry> = None;
    for entry in entries {
        audit.commit_count += 1;
        audit.record_count += entry.record_count;
        audit.quarantined_count += entry.quarantined_count;
        audit.tombstone_count += entry.tombstone_count;
        check_counts(&mut audit, entry);
        if let Some(before) = before {
            check_tiling(&mut audit, before, entry);
        }
        if before.is_none_or(|before| entry.range.end() > before.range.end()) {
            before = Some(entry);
        }
    }
    let end = before.map_or(first.range.end(), |last| last.range.end());
    audit.landed = OffsetRange::new(first.range.start(), end).ok();
    check_sources(&mut audit, entries);
    audit
}

fn check_counts(audit: &mut PartitionAudit, entry: &LedgerEntry) {
    let (records, offsets) = (entry.record_count, entry.range.len());
    if records > offsets {
        let what = format!("{} says {records} records in {offsets} offsets", named(entry));
        audit.find(FindingKind::CountMismatch, Some(entry.range), what);
    }
    if entry.quarantined_count > records || entry.tombstone_count > records {
        let (quarantined, tombstones) = (entry.quarantined_count, entry.tombstone_count);
        let what =
            format!("{} says {quarantined} quarantined and {tombstones} tombstones of {records} records", named(entry));
        audit.find(FindingKind::CountMismatch, Some(entry.range), what);
    }
}

/// `before` is, of all commits so far, the one that reaches furthest.
fn check_tiling(audit: &mut PartitionAudit, before: &LedgerEntry, entry: &LedgerEntry) {
    let (reached, start) = (before.range.end(), entry.range.start());
    if start > reached {
        let what = format!("{} ends at {reached}, and next comes {}", named(before), named(entry));
        audit.find(FindingKind::Gap, OffsetRange::new(reached, start).ok(), what);
    }
    if start < reached {
        let what = format!("{} and {} both cover it", named(before), named(entry));
        audit.find(FindingKind::Overlap, OffsetRange::new(start, reached.min(entry.range.end())).ok(), what);
    }
}

fn check_sources(audit: &mut PartitionAudit, entries: &[&LedgerEntry]) {
    // An empty id is a broker that did not tell, and contradicts nothing.
    let topics: BTreeSet<&str> = known(entries.iter().map(|entry| entry.source.topic_id.as_str()));
    let clusters: BTreeSet<&str> = known(entries.iter().map(|entry| entry.source.cluster_id.as_str()));
    for (what, ids) in [("topic", topics), ("cluster", clusters)] {
        if ids.len() > 1 {
            let ids = ids.into_iter().collect::<Vec<_>>().join(", ");
            audit.find(
                FindingKind::MixedSource,
                audit.landed,
                format!("commits come from more than one {what} id: {ids}"),
            );
        }
    }
}

fn known<'a>(ids: impl Iterator<Item = &'a str>) -> BTreeSet<&'a str> {
    ids.filter(|id| !id.is_empty()).collect()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::offset::TopicPartition;
    use crate::sink::{SourceIdentity, WindowId};

    pub(in crate::audit) fn entry(partition: i32, start: i64, end: i64) -> LedgerEntry {
        let range = OffsetRange::new(start, end).expect("a range");
        LedgerEntry {
            topic_partition: TopicPartition::new("orders", partition),
            range,
            record_count: range.len(),
            quarantined_count: 1,
            tombstone_count: 2,
            window: WindowId::generate(),
            source: SourceIdentity { cluster_id: "c".into(), topic_id: "t".into() },
            newest: None,
            location: format!("{start}.parquet"),
        }
    }

    fn findings(entries: &[LedgerEntry]) -> Vec<(FindingKind, Option<(i64, i64)>)> {
        let bounds = |range: OffsetRange| (range.start(), range.end());
        audit_ledger(entries)
            .iter()
            .flat_map(|partition| partition.findings.iter().map(|finding| (finding.kind, finding.range.map(bounds))))
            .collect()
    }

    #[test]
    fn ranges_that_tile_are_clean_in_any_order() {
        let audits = audit_ledger(&[entry(1, 0, 5), entry(0, 40, 60), entry(0, 10, 40)]);
        assert!(audits.iter().all(|audit| audit.findings.is_empty()), "{audits:?}");
        let first = &audits[0];
        assert_eq!(
            (first.commit_count, first.record_count, first.quarantined_count, first.tombstone_count),
            (2, 50, 2, 4)
        );
        assert_eq!(first.landed, OffsetRange::new(10, 60).ok());
        assert_eq!(audits.len(), 2);
    }

    #[test]
    fn a_gap_names_its_offsets() {
        assert_eq!(findings(&[entry(0, 0, 10), entry(0, 12, 20)]), [(FindingKind::Gap, Some((10, 12)))]);
    }

    #[test]
    fn an_overlap_names_its_offsets() {
        assert_eq!(findings(&[entry(0, 0, 10), entry(0, 8, 20)]), [(FindingKind::Overlap, Some((8, 10)))]);
    }

    #[test]
    fn a_commit_inside_another_hides_no_gap() {
        let found = findings(&[entry(0, 0, 10), entry(0, 2, 4), entry(0, 10, 20), entry(0, 21, 25)]);
        assert_eq!(found, [(FindingKind::Overlap, Some((2, 4))), (FindingKind::Gap, Some((20, 21)))]);
    }

    #[test]
    fn a_re_created_topic_shows_as_mixed_source() {
        let mut second = entry(0, 10, 20);
        second.source.topic_id = "other".into();
        assert_eq!(findings(&[entry(0, 0, 10), second]), [(FindingKind::MixedSource, Some((0, 20)))]);
        let mut untold = entry(0, 10, 20);
        untold.source = SourceIdentity::default();
        assert_eq!(findings(&[entry(0, 0, 10), untold]), []);
    }

    #[test]
    fn more_records_than_offsets_do_not_add_up() {
        let mut entry = entry(0, 0, 10);
        entry.record_count = 11;
        assert_eq!(findings(&[entry]), [(FindingKind::CountMismatch, Some((0, 10)))]);
    }
}
