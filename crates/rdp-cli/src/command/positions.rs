//! `rdp positions`: how far each partition has landed, where its log ends, and what lies between.

use std::collections::BTreeMap;
use std::path::Path;

use rdp_elt::config::Config;
use rdp_elt::kafka::Cluster;
use serde::Serialize;

use super::blocking;
use crate::exit::Failure;
use crate::number::grouped;
use crate::screen::Screen;
use crate::table::Table;

/// One partition's row.
#[derive(Serialize)]
struct Row {
    topic: String,
    partition: i32,
    /// The next offset to land; null where nothing has landed yet.
    landed: Option<i64>,
    log_start: i64,
    log_end: i64,
    lag: i64,
}

pub(super) async fn run(path: &Path, screen: &Screen) -> Result<(), Failure> {
    let config = Config::from_path(path)?;
    let landing = config.open_landing()?;
    let source = config.peek_source();
    let (partitions, logs) = blocking(move || {
        let cluster = Cluster::connect(&source)?;
        let partitions = cluster.partitions()?;
        let logs = cluster.watermarks(&partitions)?;
        Ok((partitions, logs))
    })
    .await?;
    let landed = match &landing {
        Some(landing) => landing.positions(&partitions).await?,
        None => BTreeMap::new(),
    };
    // Where a loader would go on is for it to say; and where it would not, that is its error, behind the table.
    let looked = config.clone();
    let outlook = blocking(move || looked.foresee()).await;
    let begins = |at| outlook.as_ref().ok().and_then(|outlook| outlook.starts.position(at));
    let rows: Vec<Row> = logs
        .iter()
        .map(|(at, log)| {
            let landed = landed.get(at).map(|landed| landed.position);
            Row {
                topic: at.topic.to_string(),
                partition: at.partition,
                landed,
                log_start: log.low,
                log_end: log.high,
                lag: (log.high - begins(at).or(landed).unwrap_or(log.low).max(log.low)).max(0),
            }
        })
        .collect();

    let mut table = Table::new().text("topic").number("partition").number("landed").number("log end").number("lag");
    for row in &rows {
        let landed = row.landed.map_or_else(|| "-".to_owned(), grouped);
        table.row([row.topic.clone(), row.partition.to_string(), landed, grouped(row.log_end), grouped(row.lag)]);
    }
    screen.output().rows(&table, &rows)?;
    outlook?;
    let place = landing.map_or_else(|| "a landing that is not there yet".to_owned(), |landing| landing.describe());
    match rows.iter().map(|row| row.lag).sum::<i64>() {
        0 => screen.say(format_args!("everything has landed in {place}")),
        lag => screen.say(format_args!("{} offsets to land in {place}", grouped(lag))),
    }
    Ok(())
}
