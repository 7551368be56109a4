//! `rdp demo`: the whole of it in seconds, with the real loader and the real sink.
//!
//! The embedded broker lives in this process; the first loader is a process of its own, `rdp load`, which a failpoint
//! kills as `kill -9` would, at the worst moment there is: some files of a window are visible, others are not.

mod events;
mod folder;
mod story;

use std::os::unix::process::ExitStatusExt;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Instant;

use rdp_elt::config::Config;
use rdp_elt::kafka::EmbeddedBroker;
use rdp_elt::reader::commits_of;
use rdp_elt::sink::LedgerEntry;
use rdp_elt::{Error, Result, Shutdown, Until};
use serde_json::json;

use self::events::{OrderEvents, PARTITION_COUNT};
use self::folder::DemoFolder;
use self::story::Story;
use super::sql::{self, Answer};
use super::{audit, blocking, land, shell_word};
use crate::args::Demo;
use crate::exit::Failure;
use crate::number::{counted, grouped, seconds};
use crate::screen::Screen;

pub(super) async fn run(args: &Demo, screen: &Screen) -> Result<(), Failure> {
    let started = Instant::now();
    let mut story = Story::new(screen.output());
    story.title("A Kafka topic lands in Parquet exactly once, though its loader is killed halfway.")?;

    let folder = DemoFolder::make(&args.folder)?;
    let broker = produce(args, &mut story).await?;
    folder.write_config(&broker.brokers(), TOPIC, (args.records / WINDOW_COUNT).max(1))?;
    let config = Config::from_path(folder.config())?;
    let sink = config.open_sink()?;

    story.step("load", &format!("rdp load {}", shell_word(&folder.config())))?;
    kill_halfway(folder.config()).await?;
    let survived = Survived::of(&commits_of(&*sink.reader(), TOPIC).await?);
    story
        .detail(&format!("killed without warning (SIGKILL) while a window landed: {} are in place", survived.text()))?;

    story.step("load", "the same command again")?;
    let landed = land::land(&config, Until::LogEnd, &Shutdown::new(), screen).await?;
    story.detail(&format!(
        "went on where the files end: {} in {}",
        counted(landed.report.record_count, "record"),
        seconds(landed.time)
    ))?;

    story.step("audit", "ledger against broker: consumed = landed + quarantined, no hole, no overlap")?;
    let report = audit::against_broker(&config).await?;
    story.block(&audit::table(&report).to_string())?;
    story.detail(&audit::verdict(&report))?;

    let statuses = match sql::IS_BUILT_IN {
        true => {
            let statuses = query(&mut story, &folder, STATUS_QUERY).await?;
            query(&mut story, &folder, POISON_QUERY).await?;
            Some(statuses.rows)
        }
        false => None,
    };

    ending(&story, &folder, started)?;
    let took = started.elapsed().as_secs_f64();
    let printed = screen.output().object(&json!({
        "records": args.records,
        "landed_before_the_kill": survived.record_count,
        "landed_after": landed.report.record_count,
        "audit": audit::with_verdict(&report),
        "statuses": statuses,
        "folder": args.folder,
        "seconds": took,
    }));
    drop(broker);
    let verdict = if report.is_clean() { Ok(()) } else { Err(Failure::NotClean) };
    screen.end(printed, verdict)
}

/// Starts the broker and fills its topic.
async fn produce(args: &Demo, story: &mut Story) -> Result<EmbeddedBroker, Failure> {
    let (record_count, seed) = (args.records, args.seed);
    let (broker, tombstone_count, poisoned_count) = blocking(move || {
        let broker = EmbeddedBroker::start()?;
        broker.create_topic(TOPIC, PARTITION_COUNT)?;
        let mut events = OrderEvents::new(TOPIC, record_count, seed);
        broker.produce(events.by_ref())?;
        Ok((broker, events.tombstone_count(), events.poisoned_count()))
    })
    .await?;
    let partitions = counted(PARTITION_COUNT.unsigned_abs().into(), "partition");
    story.step("broker", &format!("embedded, at {}; topic {TOPIC} with {partitions}", broker.brokers()))?;
    story.step("produce", &format!("{} order events, {}", grouped(record_count), format_args!("seed {seed}")))?;
    story.detail(&format!(
        "{} and {} among them",
        counted(tombstone_count, "tombstone"),
        counted(poisoned_count, "poisoned payload")
    ))?;
    Ok(broker)
}

/// Runs `rdp load` in a process of its own, which dies while its files become visible.
async fn kill_halfway(config: PathBuf) -> Result<()> {
    blocking(move || {
        let doing = "run the loader that is to be killed";
        let failed = |error| Error::unavailable(doing).with_source(error);
        let output = Command::new(std::env::current_exe().map_err(failed)?)
            .args(["load", "--quiet"])
            .arg(config)
            .env("RDP_FAILPOINT", format!("file_visible=kill@{KILL_AT_FILE}"))
            .env_remove("RDP_LOG")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .output()
            .map_err(failed)?;
        match output.status.signal() {
            Some(SIGKILL) => Ok(()),
            _ => Err(Error::internal(format!("{doing}: it ended by itself with {}", output.status))
                .with_source(String::from_utf8_lossy(&output.stderr).trim().to_owned())),
        }
    })
    .await
}

/// What was in place after the kill.
struct Survived {
    record_count: u64,
    file_count: u64,
}

impl Survived {
    fn of(ledger: &[LedgerEntry]) -> Self {
        let record_count = ledger.iter().map(|entry| entry.record_count).sum();
        Survived { record_count, file_count: ledger.len() as u64 }
    }

    fn text(&self) -> String {
        format!("{} in {}", counted(self.record_count, "record"), counted(self.file_count, "file"))
    }
}

/// Asks what has landed, and shows the answer.
async fn query(story: &mut Story, folder: &DemoFolder, statement: &str) -> Result<Answer, Failure> {
    story.step("sql", statement)?;
    let answer = sql::query(statement.to_owned(), vec![folder.landing().to_string_lossy().into_owned()]).await?;
    story.block(&answer.table.to_string())?;
    Ok(answer)
}

fn ending(story: &Story, folder: &DemoFolder, started: Instant) -> Result<(), Failure> {
    let landing = shell_word(&folder.landing());
    let took = seconds(started.elapsed());
    let ask = format!(
        "rdp sql 'SELECT currency, SUM(amount) AS amount FROM {TOPIC} WHERE paid GROUP BY currency' --landing {landing}"
    );
    let audit = format!("rdp audit {} --offline", shell_word(&folder.config()));
    story.line(&format!("Done in {took}. The files, for DuckDB, Polars, pandas and everybody else:"))?;
    story.line(&format!("  {landing}/topic={TOPIC}/partition=*/*.parquet\n\n"))?;
    story.line("Next, over what has just landed:")?;
    if sql::IS_BUILT_IN {
        story.line(&format!("  {}", story.strong(&ask)))?;
    }
    story.line(&format!("  {}", story.strong(&audit)))?;
    story.line("and with a topic of your own:")?;
    story.line(&format!("  {}", story.strong("rdp init BROKERS TOPIC, rdp load TOPIC.toml")))?;
    if !sql::IS_BUILT_IN {
        story
            .line("This rdp is built without SQL, which takes longest to build. Once `make build` has built it in:")?;
        story.line(&format!("  {}", story.strong(&ask)))?;
    }
    Ok(())
}

const TOPIC: &str = "orders";

/// Windows that the stream is cut into.
const WINDOW_COUNT: u64 = 10;

/// The visible file at which the first loader dies: in the middle of a window, some windows in.
const KILL_AT_FILE: u32 = 9;

const SIGKILL: i32 = 9;

const STATUS_QUERY: &str = "SELECT status, COUNT(*) AS orders, SUM(amount) AS amount \
     FROM orders WHERE order_id IS NOT NULL GROUP BY status ORDER BY orders DESC";

const POISON_QUERY: &str = "SELECT _kafka_partition, _kafka_offset, _rdp_error \
     FROM orders WHERE _rdp_error IS NOT NULL ORDER BY _kafka_partition, _kafka_offset LIMIT 5";
