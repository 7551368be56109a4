//! The tables, in Markdown, and what they say of the targets.

use crate::contender::Decoders;
use crate::measure::{Measure, median, middle};
use crate::processors;
use crate::target::Target;

/// All rounds of the five.
#[derive(Debug, Default)]
pub(crate) struct Rounds {
    pub(crate) consume: Vec<Measure>,
    pub(crate) load: Vec<Measure>,
    pub(crate) land: Vec<Measure>,
    pub(crate) by_hand: Vec<Measure>,
    pub(crate) decoders: Vec<Decoders>,
}

impl Rounds {
    /// The table of medians.
    pub(crate) fn print(&self) -> Vec<Target> {
        let [consume, load, land, by_hand] =
            [&self.consume, &self.load, &self.land, &self.by_hand].map(|measures| median(measures));
        println!("| what | CPU-s/M | of it in the kernel | wall, s | records/s | peak memory, MiB |");
        println!("| --- | --- | --- | --- | --- | --- |");
        row("(a) raw consumption, records dropped", &consume);
        row("(b) load only, rows dropped", &load);
        row("(c) `rdp load` to Parquet", &land);
        row("(d) hand-written confluent-kafka + pyarrow loader", &by_hand);
        let arrow_json = middle(self.decoders.iter().map(|decoders| decoders.arrow_json));
        let record_loader = middle(self.decoders.iter().map(|decoders| decoders.record_loader));
        println!("| (e) arrow-json's decoder on the same payloads | {arrow_json:.3} | | | | |");
        println!("| RDP's load on the same payloads, no broker | {record_loader:.3} | | | | |");

        let [a, b, c] = [&consume, &load, &land].map(|measure| measure.cpu_seconds);
        let load_alone = (b - a) * 1e6 / consume.record_count as f64;
        vec![
            Target::at_most(3.0, "(c) / (a), CPU", c / a),
            Target::at_least(2.4, "(d) / (c), CPU", by_hand.cpu_seconds / c),
            Target::at_least(2.4, "(d) / (c), wall", by_hand.wall_seconds / land.wall_seconds),
            Target::at_most(0.6, "((b) - (a)) / (e), CPU", load_alone / arrow_json),
            Target::at_most(MOST_MEMORY, "peak memory of (c), MiB", land.peak_mib),
        ]
    }
}

/// One line of a series: what tells it from the others, and its median.
pub(crate) type Line = (String, Measure);

/// How (c) changes with something, each beside the first.
pub(crate) fn print_series(what: &str, series: &[Line]) {
    let Some((_, first)) = series.first() else { return };
    println!(
        "\n| {what} | records | windows | CPU-s/M | beside the first | wall, s | speed beside the first | peak memory, MiB | beside the first | broker, CPU-s/M | processors busy |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- | --- | --- | --- |");
    for (value, measure) in series {
        println!(
            "| {value} | {} | {} | {:.3} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} | {:.3} | {:.0} % |",
            measure.record_count,
            measure.window_count,
            measure.cpu_per_million(),
            measure.cpu_per_million() / first.cpu_per_million(),
            measure.wall_seconds,
            measure.records_per_second() / first.records_per_second(),
            measure.peak_mib,
            measure.peak_mib / first.peak_mib,
            measure.spent.broker_seconds * 1e6 / measure.record_count as f64,
            measure.spent.busy_share * 100.0,
        );
    }
}

/// Lanes beside one lane: the first line is one lane that has one processor, the second one lane that has all.
pub(crate) fn judge_lanes(series: &[Line]) -> Vec<Target> {
    let [(_, alone), (_, one), more @ ..] = series else { return Vec::new() };
    let processors = processors::count() as f64;
    let judge = |(lanes, measure): &Line| {
        // No engine is quicker than every processor at work on what the records take, the broker's part included.
        let all_busy = (measure.cpu_seconds + measure.spent.broker_seconds) / processors;
        println!(
            "\n{lanes} lanes are {:.2} times as fast as one lane with the same processors; with every processor at work all the \
             time they would be {:.2} times as fast.",
            one.wall_seconds / measure.wall_seconds,
            one.wall_seconds / all_busy,
        );
        let what = format!("{lanes} lanes with {processors} processors beside one lane with one, speed");
        Target::at_least(1.7, what, alone.wall_seconds / measure.wall_seconds)
    };
    more.iter().map(judge).collect()
}

/// What a commit takes: the first line has one window, the second many.
pub(crate) fn judge_windows(series: &[Line]) -> Vec<Target> {
    let [(_, whole), (_, cut)] = series else { return Vec::new() };
    let per_window =
        (cut.cpu_seconds - whole.cpu_seconds) / cut.window_count.saturating_sub(whole.window_count).max(1) as f64;
    let per_second = whole.cpu_seconds / whole.wall_seconds;
    println!(
        "\nA commit of 6 partitions takes {:.1} ms of CPU: 3 % of what {:.0} records take altogether.",
        per_window * 1e3,
        per_window / 0.03 / whole.cpu_per_million() * 1e6,
    );
    vec![Target::at_most(
        3.0,
        "commits' part of the CPU at windows of 10 s, %",
        per_window / (10.0 * per_second) * 100.0,
    )]
}

pub(crate) fn judge_partitions(series: &[Line]) -> Vec<Target> {
    let Some((fewest, first)) = series.first() else { return Vec::new() };
    let judge = |(partitions, measure): &Line| {
        let ratio = measure.cpu_per_million() / first.cpu_per_million();
        [
            Target::at_most(1.1, format!("{partitions} partitions beside {fewest}, CPU per record"), ratio),
            Target::at_most(MOST_MEMORY, format!("peak memory at {partitions} partitions, MiB"), measure.peak_mib),
        ]
    };
    series.iter().skip(1).flat_map(judge).collect()
}

pub(crate) fn judge_backlogs(series: &[Line]) -> Vec<Target> {
    let Some((fewest, first)) = series.first() else { return Vec::new() };
    let judge = |(records, measure): &Line| {
        let what = format!("peak memory at {records} records beside {fewest}");
        Target::at_most(1.15, what, measure.peak_mib / first.peak_mib)
    };
    series.iter().skip(1).map(judge).collect()
}

fn row(name: &str, measure: &Measure) {
    println!(
        "| {name} | {:.3} | {:.0} % | {:.2} | {:.0} | {:.0} |",
        measure.cpu_per_million(),
        measure.system_seconds / measure.cpu_seconds * 100.0,
        measure.wall_seconds,
        measure.records_per_second(),
        measure.peak_mib,
    );
}

/// MiB.
const MOST_MEMORY: f64 = 400.0;
