//! The loader below the processes: lanes over a log in memory, a clock and faults that a seed decides.
//!
//! The lanes, their consumers and the run are the product's own; what stands in for the rest is a [`world`] (logs, time, a
//! group), a [`client`] with the habits of librdkafka's (it counts errors as records, and goes on from there), and a
//! [`sink`] that fails. One thread moves all of it, a turn at a time, so the same seed is the same run. After every turn
//! what is visible in the sink is held against the logs ([`judge`]).

mod client;
mod judge;
mod member;
mod schedule;
mod sink;
mod world;

use self::schedule::{Outcome, play};

/// Plays schedules of so many seeds, from `first` on; fails with the seeds that broke something.
fn play_all(first: u64, count: u64) -> Outcome {
    let mut sum = Outcome::default();
    let mut broken = Vec::new();
    for seed in first..first + count {
        match std::panic::catch_unwind(|| play(seed)) {
            Ok(Ok(outcome)) => sum.add(&outcome),
            Ok(Err(what)) => broken.push(format!("seed {seed}: {what}")),
            Err(_) => broken.push(format!("seed {seed}: panicked, see above")),
        }
    }
    let first_ones: Vec<_> = broken.iter().take(10).map(String::as_str).collect();
    assert!(broken.is_empty(), "{} of {count} schedules broke:\n{}", broken.len(), first_ones.join("\n"));
    sum
}

fn setting(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

#[test]
fn schedules_of_faults_lose_double_and_hang_nothing() {
    let (first, count) = (setting("RDP_SIMULATION_SEED", 1), setting("RDP_SIMULATION_COUNT", 1_500));
    let sum = play_all(first, count);
    println!("{count} schedules from seed {first}: {sum}");
    // What never struck proves nothing.
    if count >= 1_000 {
        sum.assert_all_struck();
    }
}

#[test]
fn the_same_seed_is_the_same_run() {
    for seed in 1..20 {
        let (one, other) = (play(seed), play(seed));
        assert_eq!(one.map(|outcome| outcome.trace), other.map(|outcome| outcome.trace), "seed {seed}");
    }
}
