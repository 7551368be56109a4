//! The tables, in Markdown.

use crate::contender::Decoders;
use crate::measure::{Measure, median, middle};

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
    /// The table of medians, and the ratios beside their targets.
    pub(crate) fn print(&self) {
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
        println!("\n| ratio | measured | target |");
        println!("| --- | --- | --- |");
        println!("| (c) / (a), CPU | {:.2} | at most 3.0 |", c / a);
        println!("| (d) / (c), CPU | {:.2} | at least 2.4 |", by_hand.cpu_seconds / c);
        println!("| (d) / (c), wall | {:.2} | at least 2.4 |", by_hand.wall_seconds / land.wall_seconds);
        let load_alone = (b - a) * 1e6 / consume.record_count as f64;
        println!("| ((b) - (a)) / (e), CPU | {:.2} | at most 0.6 |", load_alone / arrow_json);
        println!("| peak memory of (c), MiB | {:.0} | below 400 |", land.peak_mib);
    }
}

/// How (c) changes with something, each beside the first.
pub(crate) fn print_series(what: &str, series: &[(u64, Measure)]) {
    let Some((_, first)) = series.first() else { return };
    println!(
        "\n| {what} | records | CPU-s/M | beside the first | wall, s | speed beside the first | peak memory, MiB | beside the first |"
    );
    println!("| --- | --- | --- | --- | --- | --- | --- | --- |");
    for (value, measure) in series {
        println!(
            "| {value} | {} | {:.3} | {:.2} | {:.2} | {:.2} | {:.0} | {:.2} |",
            measure.record_count,
            measure.cpu_per_million(),
            measure.cpu_per_million() / first.cpu_per_million(),
            measure.wall_seconds,
            measure.records_per_second() / first.records_per_second(),
            measure.peak_mib,
            measure.peak_mib / first.peak_mib,
        );
    }
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
