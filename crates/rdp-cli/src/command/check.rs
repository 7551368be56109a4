//! `rdp check`: what a config means, or all that is wrong with it; with `--connect`, whether broker and sink agree.

use std::collections::BTreeSet;
use std::time::Duration;

use rdp_elt::config::{Config, SinkConfig};
use rdp_elt::kafka::{Cluster, StartPosition};
use rdp_elt::load::{Format, LoadOptions, LoadPlan, OnError, UnknownFields};
use serde::Serialize;

use super::blocking;
use crate::args::Check;
use crate::exit::Failure;
use crate::number::{bytes, counted, grouped};
use crate::screen::Screen;
use crate::table::Table;

/// One line of what was found.
#[derive(Serialize)]
struct Finding {
    part: &'static str,
    means: String,
}

pub(super) async fn run(args: &Check, screen: &Screen) -> Result<(), Failure> {
    let config = Config::from_path(&args.file.config)?;
    let tried = config.clone();
    blocking(move || tried.try_out()).await?;
    let mut findings = meaning(&config);
    findings.extend(folder_names(&config.load_plan()));
    if args.connect {
        findings.push(broker(&config).await?);
        findings.push(sink(&config).await?);
    }
    let mut table = Table::new().text("part").text("means");
    for finding in &findings {
        table.row([finding.part, finding.means.as_str()]);
    }
    screen.output().rows(&table, &findings)?;
    let path = super::shell_word(&args.file.config);
    screen.say(match args.connect {
        true => format!("{path} is right; next: rdp load {path}"),
        false => format!("{path} is right; next: rdp check {path} --connect"),
    });
    Ok(())
}

/// The config in words. Nothing of `[source.librdkafka]` is among them.
fn meaning(config: &Config) -> Vec<Finding> {
    let source = config.source_config();
    let group = source.group_id().map_or_else(|| "without a group".to_owned(), |group| format!("as group {group}"));
    let limits = config.limits();
    let loader = config.loader_options();
    let give_up = match loader.give_up_after {
        None => "after 5 minutes in `rdp load`, never in `rdp run`".to_owned(),
        Some(Duration::MAX) => "never".to_owned(),
        Some(time) => format!("after {time:?}"),
    };
    let plan = config.load_plan();
    let mut findings = vec![
        Finding {
            part: "source",
            means: format!("{} at {} {group}, {}", topics(config), source.brokers(), start(config)),
        },
        Finding {
            part: "window",
            means: format!(
                "closes at {} records, {} or {:?}",
                grouped(limits.max_records as u64),
                bytes(limits.max_bytes as u64),
                limits.max_wait
            ),
        },
        Finding { part: "load", means: load(plan.others()) },
        Finding {
            part: "loader",
            means: format!(
                "{}, at most {}; gives up {give_up}",
                counted(loader.lanes as u64, "lane"),
                bytes(loader.memory_bytes as u64)
            ),
        },
        Finding {
            part: "sink",
            means: match config.sink_config() {
                Some(SinkConfig::Parquet { url, .. }) => format!("Parquet files at {url}"),
                Some(other) => other.url().to_owned(),
                None => "none".to_owned(),
            },
        },
    ];
    let own = plan.own().map(|(topic, options)| Finding { part: "load", means: format!("{topic}: {}", load(options)) });
    let behind_load = findings.iter().position(|finding| finding.part == "load").map_or(0, |place| place + 1);
    findings.splice(behind_load..behind_load, own);
    findings
}

/// Fields that readers take from the folders' names instead, unless they are told not to.
fn folder_names(plan: &LoadPlan) -> Option<Finding> {
    let is_taken = |name: &&str| ["topic", "partition"].iter().any(|of| name.eq_ignore_ascii_case(of));
    let all = std::iter::once(plan.others()).chain(plan.own().map(|(_, options)| options));
    let names = all.flat_map(|load| load.schema.fields().iter().map(|field| &*field.name));
    let taken: BTreeSet<&str> = names.filter(is_taken).collect();
    (!taken.is_empty()).then(|| Finding {
        part: "warning",
        means: format!(
            "{}: readers that make columns of folders' names show those instead; name the field otherwise, or read with hive_partitioning = false",
            taken.into_iter().collect::<Vec<_>>().join(", ")
        ),
    })
}

fn topics(config: &Config) -> String {
    let topics = config.topics().join(", ");
    match config.source_config().partitions() {
        [] => topics,
        some => some.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "),
    }
}

fn start(config: &Config) -> String {
    let from = match config.source().start_position() {
        StartPosition::Earliest => "the oldest record".to_owned(),
        StartPosition::Latest => "the log's end".to_owned(),
        StartPosition::Time(millis) => format!("the first record at or after {millis} ms of 1970"),
        _ => "given offsets".to_owned(),
    };
    format!("from {from} where nothing has landed yet")
}

fn load(load: &LoadOptions) -> String {
    if matches!(load.format, Format::Raw) {
        return "raw: values land as bytes".to_owned();
    }
    let unknown = match load.unknown_fields {
        UnknownFields::Ignore => "other fields are left out",
        UnknownFields::Keep => "other fields land in _rdp_extra",
        UnknownFields::Quarantine => "a record with other fields is quarantined",
    };
    let misfit = match load.on_error {
        OnError::Quarantine => "what does not fit is quarantined",
        OnError::Fail => "what does not fit stops the loader",
    };
    format!("JSON into {}; {unknown}; {misfit}", counted(load.schema.fields().len() as u64, "column"))
}

async fn broker(config: &Config) -> Result<Finding, Failure> {
    let source = config.peek_source();
    let (partitions, logs) = blocking(move || {
        let cluster = Cluster::connect(&source)?;
        let partitions = cluster.partitions()?;
        let logs = cluster.watermarks(&partitions)?;
        Ok((partitions, logs))
    })
    .await?;
    let topics: BTreeSet<_> = partitions.iter().map(|partition| &partition.topic).collect();
    let offsets: i64 = logs.values().map(|log| log.high - log.low).sum();
    let means = format!(
        "answers: {}, {}, {} offsets in the log",
        counted(topics.len() as u64, "topic"),
        counted(partitions.len() as u64, "partition"),
        grouped(offsets)
    );
    Ok(Finding { part: "broker", means })
}

/// What a loader would find, and whether it could write.
async fn sink(config: &Config) -> Result<Finding, Failure> {
    let config = config.clone();
    let means = blocking(move || {
        let outlook = config.foresee()?;
        let partitions: Vec<_> = outlook.starts.partitions().cloned().collect();
        let Some(sink) = config.sink_config() else { return Ok("none".to_owned()) };
        sink.try_writing(&partitions)?;
        let begin = |of| outlook.starts.position(of).unwrap_or_default();
        let left: i64 = outlook.ends.iter().map(|(of, end)| (end - begin(of)).max(0)).sum();
        let there = if sink.is_there() { "can be written to" } else { "can be made" };
        Ok(format!("{} {there}; {} offsets to land", sink.url(), grouped(left)))
    })
    .await?;
    Ok(Finding { part: "landing", means })
}
