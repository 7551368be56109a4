//! `rdp bench`: what the topics of a config cost to read, to load and to land, on these brokers and this disk.
//!
//! Each stage runs in a child process ([`stage`]), so that its peak memory and its CPU time are its own. No stage joins
//! the config's group, and none touches its landing.

mod stage;

use std::process::Command;
use std::time::Duration;

use rdp_elt::config::Config;
use rdp_elt::{Error, ErrorKind, Shutdown};
use serde::Serialize;
use tempfile::TempDir;

use self::stage::Outcome;
use super::blocking;
use super::scratch::folder_beside_landing;
use crate::args::{Bench, BenchStage};
use crate::child::{Measured, measure};
use crate::exit::Failure;
use crate::number::{bytes, grouped};
use crate::screen::Screen;
use crate::signal;
use crate::table::Table;

pub(super) async fn run(args: &Bench, screen: &Screen) -> Result<(), Failure> {
    let config = Config::from_path(&args.file.config)?;
    if let Some(inside) = args.inside {
        return stage::run(&config, inside, args.into.as_deref(), screen).await;
    }
    let shutdown = Shutdown::new();
    let signals = signal::watch(&shutdown, screen)?;
    let rows = measure_stages(args, &config, &shutdown, screen).await;
    signals.abort();
    let rows = rows?;
    screen.output().rows(&table(&rows), &rows)?;
    if shutdown.is_requested() {
        return Err(Failure::Stopped);
    }
    if let Some(verdict) = verdict(&rows) {
        screen.say(verdict);
    }
    Ok(())
}

/// One stage's row.
#[derive(Serialize)]
struct Row {
    stage: BenchStage,
    record_count: u64,
    byte_count: Option<u64>,
    wall_seconds: f64,
    cpu_seconds: f64,
    cpu_seconds_per_million: f64,
    peak_bytes: u64,
    records_per_second: f64,
}

async fn measure_stages(
    args: &Bench,
    config: &Config,
    shutdown: &Shutdown,
    screen: &Screen,
) -> Result<Vec<Row>, Failure> {
    let asked = if args.stage.is_empty() { BenchStage::ALL } else { &args.stage };
    let mut rows = Vec::new();
    for &stage in asked {
        if shutdown.is_requested() {
            break;
        }
        let landing = match stage {
            BenchStage::Land => match folder_beside_landing(config, ".rdp-bench-").map_err(help) {
                Ok(landing) => Some(landing),
                Err(error) if error.kind() == ErrorKind::Unsupported && args.stage.is_empty() => {
                    screen.say(format_args!("land: left out, {}", error.message()));
                    continue;
                }
                Err(error) => return Err(error.into()),
            },
            _ => None,
        };
        screen.say(format_args!("{}: {}", stage.name(), stage.description()));
        let command = command(stage, landing.as_ref())?;
        let shutdown = shutdown.clone();
        let measured = blocking(move || measure(command, &shutdown)).await?;
        if measured.code != 0 {
            return Err(Failure::Told(measured.code));
        }
        rows.push(Row::new(stage, &measured)?);
    }
    Ok(rows)
}

fn help(error: Error) -> Error {
    error.with_help("the land stage needs room for a second landing; `--stage consume --stage load` needs none")
}

/// This very command again, for one stage inside one process.
fn command(stage: BenchStage, landing: Option<&TempDir>) -> Result<Command, Error> {
    let binary = std::env::current_exe().map_err(|error| Error::internal("find this binary").with_source(error))?;
    let mut command = Command::new(binary);
    command.args(std::env::args_os().skip(1)).args(["--inside", stage.name()]);
    if let Some(landing) = landing {
        command.arg("--into").arg(landing.path());
    }
    Ok(command)
}

impl Row {
    fn new(stage: BenchStage, measured: &Measured) -> Result<Self, Error> {
        let outcome: Outcome = serde_json::from_str(&measured.stdout)
            .map_err(|error| Error::internal(format!("read what stage {} told", stage.name())).with_source(error))?;
        let (wall, cpu) = (measured.wall.as_secs_f64(), measured.cpu.as_secs_f64());
        Ok(Row {
            stage,
            record_count: outcome.record_count,
            byte_count: outcome.byte_count,
            wall_seconds: wall,
            cpu_seconds: cpu,
            cpu_seconds_per_million: per(cpu * 1e6, outcome.record_count as f64),
            peak_bytes: measured.peak_bytes,
            records_per_second: per(outcome.record_count as f64, wall),
        })
    }
}

fn table(rows: &[Row]) -> Table {
    let columns = Table::new().text("stage").number("records").number("wall s").number("CPU-s");
    let mut table = columns.number("CPU-s/M records").number("peak memory").number("records/s");
    for row in rows {
        table.row([
            row.stage.name().to_owned(),
            grouped(row.record_count),
            format!("{:.2}", row.wall_seconds),
            format!("{:.2}", row.cpu_seconds),
            format!("{:.3}", row.cpu_seconds_per_million),
            bytes(row.peak_bytes),
            grouped(row.records_per_second as u64),
        ]);
    }
    table
}

/// What landing costs beside reading, where both were measured over records enough to tell.
fn verdict(rows: &[Row]) -> Option<String> {
    let of = |stage| rows.iter().find(|row| row.stage == stage && row.record_count > 0);
    let (consume, land) = (of(BenchStage::Consume)?, of(BenchStage::Land)?);
    let ratio = per(land.cpu_seconds, consume.cpu_seconds);
    let note = match consume.wall_seconds < LEAST.as_secs_f64() {
        true => "; too few records to trust it: starting up weighs in",
        false => "",
    };
    Some(format!("landing takes {ratio:.2} times the CPU of reading alone{note}"))
}

fn per(amount: f64, by: f64) -> f64 {
    if by > 0.0 { amount / by } else { 0.0 }
}

/// How long a stage has to run for its numbers to mean something.
const LEAST: Duration = Duration::from_secs(2);
