//! `rdp audit`: proof from the ledger, and against the broker, that everything landed once.

use std::sync::Arc;

use rdp_elt::Error;
use rdp_elt::audit::{AuditReport, FindingKind, Holes, PartitionAudit, audit_against_broker, audit_landing};
use rdp_elt::config::Config;
use rdp_elt::sink::Sink;

use crate::args::Audit;
use crate::exit::Failure;
use crate::number::{counted, grouped};
use crate::output;
use crate::screen::Screen;
use crate::table::Table;

pub(super) async fn run(args: &Audit, screen: &Screen) -> Result<(), Failure> {
    let config = Config::from_path(&args.file.config)?;
    let mut report = match args.offline {
        true => audit_landing(&*landing_of(&config)?, config.topics()).await?,
        false => against_broker(&config).await?,
    };
    if args.allow_removed {
        report.accept(FindingKind::Removed);
    }
    let printed = match screen.output().is_for_people() {
        true => output::text(&table(&report).to_string()).and_then(|()| output::text(&verdict(&report))),
        false => screen.output().object(&with_verdict(&report)),
    };
    for note in &report.notes {
        screen.say(format_args!("note: {note}"));
    }
    let verdict = if report.is_clean() { Ok(()) } else { Err(Failure::NotClean) };
    screen.end(printed, verdict)
}

/// Audits what a config lands against the broker's log.
pub(super) async fn against_broker(config: &Config) -> Result<AuditReport, Failure> {
    // With its group, which is asked and not joined.
    Ok(audit_against_broker(&*landing_of(config)?, &config.source()).await?)
}

/// What has landed by a config, where anything has: there is nothing to say of a landing that is not there.
fn landing_of(config: &Config) -> Result<Arc<dyn Sink>, Failure> {
    let url = config.sink_config().map_or_else(String::new, |sink| sink.url().to_owned());
    let missing = || {
        Error::config(format!("audit {url}: there is no landing"))
            .with_help("check [sink.parquet] url, and whether its disk is mounted; `rdp load` makes a landing")
    };
    Ok(config.open_landing()?.ok_or_else(missing)?)
}

/// One row per partition, and their sums.
pub(super) fn table(report: &AuditReport) -> Table {
    let columns = ["files", "consumed", "landed", "quarantined", "tombstones", "holes", "lag"];
    let table = Table::new().text("partition").text("range");
    let mut table = columns.into_iter().fold(table, |table, column| table.number(column));
    for partition in &report.partitions {
        table.row(row(partition));
    }
    let totals = report.totals();
    table.row([
        "all".to_owned(),
        String::new(),
        grouped(totals.commit_count),
        grouped(totals.record_count),
        grouped(totals.row_count.saturating_sub(totals.quarantined_count)),
        grouped(totals.quarantined_count),
        grouped(totals.tombstone_count),
        grouped(totals.holes.count()),
        if report.against_broker { grouped(totals.lag) } else { "-".to_owned() },
    ]);
    table
}

/// The sum in one line, then what explains the holes, then every finding with what to do about it.
pub(super) fn verdict(report: &AuditReport) -> String {
    let totals = report.totals();
    let mut lines = vec![format!(
        "{} consumed = {} landed + {} quarantined",
        grouped(totals.record_count),
        grouped(totals.row_count.saturating_sub(totals.quarantined_count)),
        grouped(totals.quarantined_count),
    )];
    lines.extend(explained(&totals.holes));
    for finding in report.findings() {
        lines.push(format!("{finding}"));
        lines.push(format!("  {}", finding.help));
    }
    lines.push(match (report.is_clean(), report.against_broker) {
        (true, true) => "clean: no hole, no overlap, and the broker's log agrees".to_owned(),
        (true, false) => "clean: no hole between commits, no overlap; the broker was not asked".to_owned(),
        (false, _) => format!("not clean: {}", counted(totals.finding_count, "finding")),
    });
    lines.join("\n")
}

/// The report with its sums and its verdict, for machines.
pub(super) fn with_verdict(report: &AuditReport) -> serde_json::Value {
    serde_json::json!({ "is_clean": report.is_clean(), "totals": report.totals(), "report": report })
}

fn row(partition: &PartitionAudit) -> [String; 9] {
    [
        partition.topic_partition.to_string(),
        partition.landed.map_or_else(|| "-".to_owned(), |range| range.to_string()),
        grouped(partition.commit_count),
        grouped(partition.record_count),
        grouped(partition.row_count.saturating_sub(partition.quarantined_count)),
        grouped(partition.quarantined_count),
        grouped(partition.tombstone_count),
        grouped(partition.holes.count()),
        partition.lag.map_or_else(|| "-".to_owned(), grouped),
    ]
}

fn explained(holes: &Holes) -> Option<String> {
    let reasons = [
        (holes.marker, "transaction markers"),
        (holes.aborted, "of aborted transactions"),
        (holes.compaction, "compacted away"),
        (holes.retention, "gone by retention since"),
        (holes.unchecked, "not checked without the broker"),
        (holes.unexplained, "unexplained"),
    ];
    let told: Vec<String> = reasons
        .iter()
        .filter(|(count, _)| *count > 0)
        .map(|(count, reason)| format!("{} {reason}", grouped(*count)))
        .collect();
    (!told.is_empty()).then(|| format!("offsets without a record: {}", told.join(", ")))
}
