//! `rdp poll`: one poll window of raw records on stdout. It joins no group and commits nothing.

use std::time::{Duration, Instant};

use rdp_elt::config::Config;
use rdp_elt::kafka::{KafkaConsumer, KafkaConsumerBuilder, WindowLimits};
use rdp_elt::load::records_to_json;
use rdp_elt::{Error, KafkaStreamRecord};

use super::blocking;
use crate::args::Poll;
use crate::exit::Failure;
use crate::number::counted;
use crate::output::Output;
use crate::screen::Screen;
use crate::table::Table;

pub(super) async fn run(args: &Poll, screen: &Screen) -> Result<(), Failure> {
    let config = Config::source_from_path(&args.file.config)?;
    let records = look(&config, args.records).await?;
    let objects: Vec<serde_json::Value> = serde_json::from_str(&records_to_json(&records))
        .map_err(|error| Error::internal("read records' own JSON form").with_source(error))?;
    // A record is no table's row: its value may be long and have lines of its own.
    let output = match screen.output() {
        Output::Table => Output::Ndjson,
        other => other,
    };
    output.rows(&Table::new(), &objects)?;
    screen.say(counted(records.len() as u64, "record"));
    Ok(())
}

/// Takes up to `records` records from the config's topics, from `start` on, or what there is within a short time. That there
/// is nothing is believed only where the logs end at the start.
pub(super) async fn look(config: &Config, records: usize) -> Result<Vec<KafkaStreamRecord>, Failure> {
    look_at(config, config.peek_source(), config.topics().join(", "), records).await
}

/// The same of a source of one's own.
pub(super) async fn look_at(
    config: &Config,
    source: KafkaConsumerBuilder,
    topics: String,
    records: usize,
) -> Result<Vec<KafkaStreamRecord>, Failure> {
    let limits = WindowLimits { max_records: records, max_wait: PATIENCE, ..config.limits() };
    Ok(blocking(move || {
        let began = Instant::now();
        let mut consumer = KafkaConsumer::open(&source)?;
        loop {
            let records = consumer.poll_window(&limits)?.to_records()?;
            if !records.is_empty() {
                return Ok(records);
            }
            let behind: Vec<_> = consumer.lag()?.iter().filter(|(_, lag)| *lag > 0).map(|(of, _)| of.clone()).collect();
            let Some(first) = behind.first() else { return Ok(Vec::new()) };
            let message = format!("poll {topics}: {first} has records, and none of them has come");
            if began.elapsed() > GIVE_UP_AFTER {
                return Err(Error::unavailable(message).with_help("check that the partition's leader runs"));
            }
            tracing::warn!("{message} yet: waiting for the partition's leader");
        }
    })
    .await?)
}

/// How long a look waits for more records than there are.
const PATIENCE: Duration = Duration::from_secs(3);
/// And for the first one, where the log has one.
const GIVE_UP_AFTER: Duration = Duration::from_secs(30);
