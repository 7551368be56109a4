//! The arguments, as a person types them.

use std::path::PathBuf;

use clap::{Args as ClapArgs, Parser, Subcommand, ValueEnum};
use clap_complete::Shell;
use serde::Serialize;

use crate::exit;
use crate::output::Output;

/// Lands Kafka topics in files exactly once, audits what landed and queries it with SQL.
#[derive(Debug, Parser)]
#[command(name = "rdp", version, after_help = exit::codes_help(), max_term_width = 100)]
pub(crate) struct Args {
    #[command(flatten)]
    pub(crate) global: Global,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// What every command takes.
#[derive(Debug, ClapArgs)]
pub(crate) struct Global {
    /// The form of the data on stdout; messages, progress and logs go to stderr
    #[arg(long, short, global = true, value_enum, default_value_t = Output::Table, value_name = "FORM")]
    pub(crate) output: Output,
    /// Say more: -v info, -vv debug, -vvv trace
    #[arg(long, short, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,
    /// Say nothing but errors: no progress, no summary
    #[arg(long, short, global = true, conflicts_with = "verbose")]
    pub(crate) quiet: bool,
    /// Log level, or levels by module: info, or rdp_elt=debug,warn [env: RDP_LOG]
    #[arg(long, global = true, value_name = "FILTER")]
    pub(crate) log: Option<String>,
}

/// What to do.
#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Show the whole of it in seconds: embedded broker, a killed loader, audit and, where it is built in, SQL
    Demo(Demo),
    /// Ask the brokers, sample the topics and write a config to begin with
    Init(Init),
    /// Read a config and say what it means, or everything that is wrong with it
    Check(Check),
    /// Land what the topics hold as of now, then end
    Load(ConfigFile),
    /// Land what the topics hold and what comes, until stopped
    Run(ConfigFile),
    /// Print one poll window of raw records; nothing is committed
    Poll(Poll),
    /// Sample the topics and print the landing schema to paste into the config
    Schema(SchemaOf),
    /// Run SQL over landings and files
    #[cfg_attr(
        not(feature = "sql"),
        command(
            about = "Run SQL over landings and files: not in this rdp, which is built without; make build builds it in"
        )
    )]
    Sql(Sql),
    /// Prove from the ledger, and against the broker, that everything landed once
    Audit(Audit),
    /// Show how far each partition has landed, and its lag
    Positions(ConfigFile),
    /// Measure what the topics cost to read, to load and to land; the landing and the group are left alone
    Bench(Bench),
    /// Kill a loader over and over, in a topic and a landing of its own on your brokers and disk, and compare
    Torture(Torture),
    /// Print the completion script of a shell
    Completions {
        /// The shell
        shell: Shell,
    },
}

/// A command that takes a config and nothing else.
#[derive(Debug, ClapArgs)]
pub(crate) struct ConfigFile {
    /// The config file: .toml, .yaml or .json
    #[arg(value_name = "CONFIG")]
    pub(crate) config: PathBuf,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Demo {
    /// How many order events; the embedded broker has room for 110,000
    #[arg(long, default_value_t = 100_000, value_parser = clap::value_parser!(u64).range(100..=110_000))]
    pub(crate) records: u64,
    /// Where to put it; a folder that holds anything else is left alone
    #[arg(long, default_value = "rdp-demo", value_name = "DIR")]
    pub(crate) folder: PathBuf,
    /// The same seed gives the same events
    #[arg(long, default_value_t = 7)]
    pub(crate) seed: u64,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Init {
    /// Where the cluster is: host:port, several with commas between them
    #[arg(value_name = "BROKERS")]
    pub(crate) brokers: String,
    /// The topics: names, or regular expressions that begin with ^
    #[arg(value_name = "TOPIC", required = true)]
    pub(crate) topics: Vec<String>,
    /// Where they shall land
    #[arg(long, default_value = "file:landing", value_name = "URL")]
    pub(crate) to: String,
    /// The file to write. Without it, the topic's name and .toml, or topics.toml for several
    #[arg(long, value_name = "CONFIG")]
    pub(crate) file: Option<PathBuf>,
    /// A key of librdkafka's, such as security.protocol=SASL_SSL; may stand several times. What is secret stays in the
    /// environment: 'sasl.password=${KAFKA_PASSWORD}'
    #[arg(long, value_name = "KEY=VALUE", value_parser = setting)]
    pub(crate) set: Vec<(String, String)>,
    /// How many records of each topic to look at
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) samples: usize,
}

/// A key and its value. What is wrong is not told with the value, which may be secret.
fn setting(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.trim().is_empty() => Ok((key.trim().to_owned(), value.to_owned())),
        _ => Err("expected KEY=VALUE"),
    }
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Check {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Ask the broker and open the sink too
    #[arg(long)]
    pub(crate) connect: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Poll {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// At most so many records
    #[arg(short = 'n', long, default_value_t = 10, value_name = "N")]
    pub(crate) records: usize,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct SchemaOf {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// How many records of each topic to look at
    #[arg(long, default_value_t = 1_000, value_name = "N")]
    pub(crate) samples: usize,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Sql {
    /// One SQL statement; each topic of a landing is a table under its own name
    #[arg(value_name = "QUERY")]
    pub(crate) query: String,
    /// A landing's folder; may stand several times. Without any, ./landing where there is one
    #[arg(long, value_name = "DIR")]
    pub(crate) landing: Vec<String>,
    /// A config whose landing is meant; may stand several times
    #[arg(long, value_name = "CONFIG")]
    pub(crate) config: Vec<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Audit {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Ask the ledger alone, not the broker
    #[arg(long)]
    pub(crate) offline: bool,
    /// The oldest or newest files were removed on purpose: no finding
    #[arg(long)]
    pub(crate) allow_removed: bool,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Bench {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// Measure this stage; may stand several times. Without any, all
    #[arg(long, value_enum, value_name = "STAGE")]
    pub(crate) stage: Vec<BenchStage>,
    /// Run this stage in this process, and tell the process that measures it
    #[arg(long, hide = true, value_enum)]
    pub(crate) inside: Option<BenchStage>,
    /// The fresh folder that the land stage lands in
    #[arg(long, hide = true, requires = "inside")]
    pub(crate) into: Option<PathBuf>,
}

#[derive(Debug, ClapArgs)]
pub(crate) struct Torture {
    #[command(flatten)]
    pub(crate) file: ConfigFile,
    /// How many times the loader is killed
    #[arg(long, default_value_t = 25, value_name = "N", value_parser = clap::value_parser!(u64).range(1..=10_000))]
    pub(crate) kills: u64,
    /// How many records are produced
    #[arg(long, default_value_t = 100_000, value_name = "N",
          value_parser = clap::value_parser!(u64).range(100..=100_000_000))]
    pub(crate) records: u64,
    /// How many partitions the topic has
    #[arg(long, default_value_t = 6, value_name = "N", value_parser = clap::value_parser!(i32).range(1..=1_000))]
    pub(crate) partitions: i32,
    /// The same seed gives the same records and aims at the same steps; without one it is drawn
    #[arg(long, value_name = "N")]
    pub(crate) seed: Option<u64>,
    /// Leave topic and landing where they are
    #[arg(long)]
    pub(crate) keep: bool,
}

/// What `rdp bench` measures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum BenchStage {
    /// Read every record and drop it
    Consume,
    /// Read and load every record, and drop the rows
    Load,
    /// Land every record in a fresh folder beside the landing, which is removed afterwards
    Land,
}

impl BenchStage {
    /// All, from the cheapest on.
    pub(crate) const ALL: &[BenchStage] = &[BenchStage::Consume, BenchStage::Load, BenchStage::Land];

    /// The stage as a person types it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            BenchStage::Consume => "consume",
            BenchStage::Load => "load",
            BenchStage::Land => "land",
        }
    }

    /// What is done in it.
    pub(crate) fn description(self) -> &'static str {
        match self {
            BenchStage::Consume => "reading every record and dropping it",
            BenchStage::Load => "reading and loading every record, and dropping the rows",
            BenchStage::Land => "landing every record in a fresh folder beside the landing",
        }
    }
}

impl Global {
    /// The filter that `--log`, `-v` and `-q` amount to.
    pub(crate) fn log_filter(&self) -> String {
        let level = match (self.quiet, self.verbose) {
            (true, _) => "error",
            (false, 0) => "warn",
            (false, 1) => "info",
            (false, 2) => "debug",
            (false, _) => "trace",
        };
        self.log.clone().or_else(|| std::env::var("RDP_LOG").ok()).unwrap_or_else(|| level.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn the_arguments_agree_with_each_other() {
        Args::command().debug_assert();
    }

    #[test]
    fn options_for_all_commands_may_stand_behind_them() {
        let args =
            Args::try_parse_from(["rdp", "positions", "orders.toml", "--output", "json", "-vv"]).expect("they parse");
        assert_eq!(args.global.output, Output::Json);
        assert_eq!(args.global.log_filter(), "debug");
        assert!(Args::try_parse_from(["rdp", "-q", "-v", "demo"]).is_err());
    }

    #[test]
    fn the_help_lists_every_exit_code() {
        let help = Args::command().render_long_help().to_string();
        for kind in rdp_elt::ErrorKind::ALL {
            assert!(help.contains(&format!("{}  {kind}", kind.exit_code())), "{kind} is missing in {help}");
        }
    }
}
