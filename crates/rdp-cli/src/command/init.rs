//! `rdp init`: asks the brokers, samples the topics and writes a config to begin with.

use std::fmt::Write as _;
use std::fs::OpenOptions;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};

use rdp_elt::config::{Config, ConfigSyntax, literal};
use rdp_elt::kafka::Cluster;
use rdp_elt::{Error, ErrorKind};
use serde_json::Value;

use super::schema::{Proposal, by_topic, escaped, sample, section_of};
use super::{blocking, shell_word};
use crate::args::Init;
use crate::exit::Failure;
use crate::number::counted;
use crate::screen::Screen;

pub(super) async fn run(args: &Init, screen: &Screen) -> Result<(), Failure> {
    let path = args.file.clone().unwrap_or_else(|| PathBuf::from(format!("{}.toml", name_for(&args.topics))));
    // Better known before the brokers are asked.
    if path.exists() {
        return Err(is_there(&path).into());
    }
    let source = source(args, &path);
    let config = Config::source_from_text(&source, ConfigSyntax::Toml)?;
    let asked = config.peek_source();
    let topics = blocking(move || Cluster::connect(&asked)?.topics()).await?;
    let records = sample(&config, args.samples).await?;
    let samples = by_topic(&records);
    let mut proposals = Vec::new();
    for topic in &topics {
        let values = samples.get(&*topic.name).cloned().unwrap_or_default();
        // What cannot be proposed lands as bytes.
        let proposal = Proposal::of(&topic.name, values).ok();
        if let Some(proposal) = &proposal {
            proposal.tell(screen);
        }
        proposals.push((&*topic.name, proposal));
    }
    let text = format!("{source}\n{}\n{}", load(&proposals), rest(&args.to));
    // Nobody is told to use what would be refused.
    Config::from_text(&text, ConfigSyntax::Toml)?;
    write(&path, &text)?;
    for (topic, proposal) in &proposals {
        screen.say(match proposal {
            Some(proposal) => format!("{topic}: {}", counted(proposal.column_count(), "column")),
            None => format!("{topic}: no sample is a JSON object, so values land as bytes"),
        });
    }
    let path = shell_word(&path);
    screen.say(format_args!("wrote {path}; next: rdp load {path}"));
    Ok(())
}

/// `[source]`, which is all that is needed to look at the topics.
fn source(args: &Init, path: &Path) -> String {
    let topics: Vec<String> = args.topics.iter().map(|topic| quoted(topic)).collect();
    // Two files are two groups.
    let group = format!("rdp-{}", path.file_stem().unwrap_or_default().to_string_lossy());
    let mut text = format!(
        "# Written by `rdp init`. `rdp check` says what it means; the README lists every key.\n\n\
         [source]\n\
         brokers = {}\n\
         topics = [{}]{}\n\
         group_id = {}  # shares the partitions out among processes, and is told how far they have come\n\
         # start = \"earliest\"  # or \"latest\", or a time; where nothing has landed yet\n",
        quoted(&args.brokers),
        topics.join(", "),
        "  # names, or regular expressions that begin with ^",
        quoted(&group),
    );
    if !args.set.is_empty() {
        text.push_str("\n[source.librdkafka]\n");
        for (key, value) in &args.set {
            // A variable stays one.
            let value = Value::from(value.as_str());
            let _ = writeln!(text, "{} = {}", escaped(&Value::from(key.as_str())), escaped(&value));
        }
    }
    text
}

fn load(proposals: &[(&str, Option<Proposal<'_>>)]) -> String {
    let about = "# What lands in which column, proposed from samples: mend types, add required = true, leave out what is not needed.\n\
                 # A record that does not fit lands with its bytes and the reason, so nothing is lost by a wrong guess.\n";
    let section = |name: String, proposal: &Option<Proposal<'_>>| match proposal {
        Some(proposal) => proposal.as_section(&name),
        None => format!("[{name}]\nformat = \"raw\"\n"),
    };
    let sections: Vec<String> = match proposals {
        [(_, one)] => vec![section("load".to_owned(), one)],
        many => many.iter().map(|(topic, of_topic)| section(section_of(topic), of_topic)).collect(),
    };
    format!("{about}{}", sections.join("\n"))
}

fn rest(to: &str) -> String {
    format!(
        "[window]\n\
         # A file per partition lands when a window closes, at whichever comes first.\n\
         # max_records = 1_000_000\n\
         # max_bytes = \"256MiB\"\n\
         # max_wait = \"60s\"\n\n\
         [sink.parquet]\n\
         url = {}\n",
        quoted(to)
    )
}

/// What the file is called after: the topic, or what several are together.
fn name_for(topics: &[String]) -> &str {
    match topics {
        [topic] if !topic.starts_with('^') => topic,
        _ => "topics",
    }
}

fn quoted(text: &str) -> String {
    escaped(&Value::from(literal(text)))
}

fn write(path: &Path, text: &str) -> Result<(), Error> {
    let written =
        OpenOptions::new().write(true).create_new(true).open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        io::ErrorKind::AlreadyExists => is_there(path),
        io::ErrorKind::PermissionDenied => {
            Error::new(ErrorKind::Denied, format!("write {}", path.display())).with_source(error)
        }
        _ => Error::config(format!("write {}", path.display()))
            .with_source(error)
            .with_help("name another file with --file"),
    })
}

fn is_there(path: &Path) -> Error {
    Error::config(format!("write {}: it is there already", path.display()))
        .with_help("name another file with --file, or move that one away")
}
