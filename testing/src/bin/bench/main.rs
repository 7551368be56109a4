//! `make bench`: what landing costs beside reading, and beside what else one could do, on a real broker.
//!
//! Everything is measured in one run, in turns, so that a machine that is busy for a minute does not favour anybody.
//! Tables go to stdout in Markdown, progress to stderr. `docs/PERFORMANCE.md` says how to read them.

mod contender;
mod fill;
mod measure;
mod processors;
mod report;
mod target;

use std::process::Command;
use std::time::Instant;

use clap::Parser;
use rdp_testing::{KafkaOptions, KafkaServer, Topic};

use contender::{Setup, decode, land, land_by_hand, rehearse};
use measure::{Measure, median};
use processors::Clocks;
use report::{Line, Rounds, judge_backlogs, judge_lanes, judge_partitions, judge_windows, print_series};

/// Measures RDP on a real Kafka, beside raw consumption, a hand-written loader and arrow-json.
#[derive(Debug, Parser)]
struct Args {
    /// Records of the topic, and of every topic of --partitions and --lanes
    #[arg(long, default_value_t = 5_000_000, value_parser = clap::value_parser!(u64).range(1..))]
    records: u64,
    /// How often each is run; the tables hold medians
    #[arg(long, default_value_t = 3, value_parser = clap::value_parser!(u32).range(1..))]
    rounds: u32,
    /// Run `rdp load` on topics with these numbers of partitions too: 6,48,192
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    partitions: Vec<i32>,
    /// Run `rdp load` on topics with these numbers of records too: 1000000,20000000
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    backlogs: Vec<u64>,
    /// Run `rdp load` with these numbers of lanes too, beside one lane on one processor: 1,2
    #[arg(long, value_delimiter = ',', value_name = "N,N")]
    lanes: Vec<usize>,
    /// The same seed gives the same records
    #[arg(long, default_value_t = 20_240_531)]
    seed: u64,
    /// Fill a topic and end: what this program calls itself for
    #[arg(long, hide = true, num_args = 2, value_names = ["BROKERS", "TOPIC"])]
    fill: Option<Vec<String>>,
}

fn main() {
    let args = Args::parse();
    if let Some([brokers, topic]) = args.fill.as_deref() {
        return fill::fill(brokers, topic, args.records, args.seed);
    }
    let broker = KafkaServer::start_with(KafkaOptions::default().heap_mib(1_024));
    println!("{} records of a seed, {} rounds in turns, medians; {}\n", args.records, args.rounds, machine());

    let topic = filled(&broker, 6, args.records, args.seed);
    let rounds = in_turns(&args, &topic);
    let mut targets = rounds.print();
    let on_topic = |name: String, setup| Run { name, topic: &topic, setup, records: args.records };

    let windows = [("one", "1h"), ("every 200 ms", "200ms")];
    let windows = windows
        .map(|(name, max_wait)| on_topic(name.to_owned(), Setup { max_wait: Some(max_wait), ..Setup::default() }));
    let series = measured(&broker, args.rounds, &windows);
    print_series("windows", &series);
    targets.extend(judge_windows(&series));

    if !args.lanes.is_empty() {
        let alone = Setup { lanes: Some(1), on_one_processor: true, ..Setup::default() };
        let mut lanes = vec![on_topic("1, with one processor".to_owned(), alone)];
        let counts = std::iter::once(1).chain(args.lanes.iter().copied().filter(|&lanes| lanes != 1));
        lanes.extend(counts.map(|lanes| on_topic(lanes.to_string(), Setup { lanes: Some(lanes), ..Setup::default() })));
        let series = measured(&broker, args.rounds, &lanes);
        print_series("lanes", &series);
        targets.extend(judge_lanes(&series));
    }
    topic.delete();

    let fill = |&partitions| filled(&broker, partitions, args.records, args.seed);
    let topics: Vec<Topic> = args.partitions.iter().map(fill).collect();
    let series = measured_topics(&broker, &args, topics, |topic, _| (topic.partitions().to_string(), args.records));
    print_series("partitions", &series);
    targets.extend(judge_partitions(&series));

    let topics: Vec<Topic> = args.backlogs.iter().map(|&records| filled(&broker, 6, records, args.seed)).collect();
    let series =
        measured_topics(&broker, &args, topics, |_, place| (args.backlogs[place].to_string(), args.backlogs[place]));
    print_series("backlog", &series);
    targets.extend(judge_backlogs(&series));

    target::print(&targets);
}

/// One `rdp load` of a series, and the name that tells it from the others.
struct Run<'a> {
    name: String,
    topic: &'a Topic,
    setup: Setup,
    records: u64,
}

/// `rdp load` on several topics in turns; they are deleted afterwards.
fn measured_topics(
    broker: &KafkaServer,
    args: &Args,
    topics: Vec<Topic>,
    describe: impl Fn(&Topic, usize) -> (String, u64),
) -> Vec<Line> {
    let run = |(place, topic)| {
        let (name, records) = describe(topic, place);
        Run { name, topic, setup: Setup::default(), records }
    };
    let series = measured(broker, args.rounds, &topics.iter().enumerate().map(run).collect::<Vec<_>>());
    topics.iter().for_each(Topic::delete);
    series
}

/// The five, in turns.
fn in_turns(args: &Args, topic: &Topic) -> Rounds {
    let mut rounds = Rounds::default();
    let count = args.records;
    for round in 1..=args.rounds {
        rounds.consume.push(told(round, "consume", rehearse(topic, "consume", count)));
        rounds.load.push(told(round, "load", rehearse(topic, "load", count)));
        rounds.land.push(told(round, "rdp load", land(topic, Setup::default(), count)));
        rounds.by_hand.push(told(round, "by hand", land_by_hand(topic, count)));
        let decoders = decode(count, args.seed);
        eprintln!("bench: round {round}, arrow-json: {:.3} CPU-s/M", decoders.arrow_json);
        rounds.decoders.push(decoders);
    }
    rounds
}

/// The medians of a series, taken in turns.
fn measured(broker: &KafkaServer, rounds: u32, runs: &[Run<'_>]) -> Vec<Line> {
    let process = broker.process_id().expect("the broker runs");
    let mut measures: Vec<Vec<Measure>> = vec![Vec::new(); runs.len()];
    for round in 1..=rounds {
        for (run, measures) in runs.iter().zip(&mut measures) {
            let before = Clocks::read(process);
            let measure = land(run.topic, run.setup, run.records);
            let measure = Measure { spent: Clocks::read(process).since(before), ..measure };
            measures.push(told(round, &format!("rdp load, series at {}", run.name), measure));
        }
    }
    runs.iter().zip(&measures).map(|(run, measures)| (run.name.clone(), median(measures))).collect()
}

fn told(round: u32, name: &str, measure: Measure) -> Measure {
    eprintln!(
        "bench: round {round}, {name}: {:.3} CPU-s/M, {:.2} s, {:.0} MiB",
        measure.cpu_per_million(),
        measure.wall_seconds,
        measure.peak_mib
    );
    measure
}

/// A topic with that many records, which a child process produces.
fn filled(broker: &KafkaServer, partitions: i32, record_count: u64, seed: u64) -> Topic {
    let topic = broker.create_topic("purchases", partitions);
    let began = Instant::now();
    let mut command = Command::new(std::env::current_exe().expect("a process knows its binary"));
    command.args(["--records", &record_count.to_string(), "--seed", &seed.to_string()]);
    let status = command.args(["--fill", topic.brokers(), topic.name()]).status().expect("it starts again");
    assert!(status.success(), "filling {} ended with {status}", topic.name());
    eprintln!("bench: {record_count} records in {partitions} partitions after {:.1} s", began.elapsed().as_secs_f64());
    topic
}

/// What it ran on: cores, model, and how busy it was before.
fn machine() -> String {
    let cores = processors::count();
    let read = |path| std::fs::read_to_string(path).unwrap_or_default();
    let cpuinfo = read("/proc/cpuinfo");
    let model = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")).unwrap_or("unknown CPU");
    let model = model.trim_start_matches(['\t', ' ', ':']);
    let load = read("/proc/loadavg");
    let load = load.split(' ').next().unwrap_or("?");
    format!("{cores} cores of {model}, load before {load}")
}
