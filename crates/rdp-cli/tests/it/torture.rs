//! A short form of `make torture`: killed, failed, slowed, frozen and rebalanced at every step, the loader loses nothing,
//! lands nothing twice and alters nothing.

use std::path::PathBuf;
use std::time::Duration;

use rdp_testing::torture::disk::Disk;
use rdp_testing::torture::matrix::Matrix;
use rdp_testing::torture::operator::Operators;
use rdp_testing::torture::storm::{Protocol, Storm, StormReport};
use rdp_testing::torture::wire::Wire;
use rdp_testing::torture::zombie::Zombies;
use rdp_testing::torture::{STEPS, Step};

fn binary() -> PathBuf {
    PathBuf::from(env!("CARGO_BIN_EXE_rdp"))
}

#[test]
fn every_step_is_tortured() {
    let tortured: Vec<&str> = STEPS.iter().map(|step: &Step| step.name).collect();
    assert_eq!(tortured, rdp_elt::failpoint::STEPS);
}

#[test]
#[ignore = "needs a broker"]
fn struck_at_every_step_in_every_way_nothing_is_lost_duplicated_or_altered() {
    let report = Matrix { binary: binary(), repeats: 9, random_kills: 15, seed: 20_26, threads: 6 }.run();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
#[ignore = "needs a broker"]
fn a_zombie_lands_nothing() {
    let report = Zombies { binary: binary(), repeats: 1, seed: 7, threads: 4 }.run();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}

/// Few, since the library's own tests try many more: here it is what `rdp` says and how it ends.
#[test]
#[ignore = "needs a broker"]
fn whatever_brokers_answer_for_a_while_rdp_lands_once_and_says_why_it_waits() {
    let report = Wire { binary: binary(), schedules: 40, seed: 10_000, threads: 12 }.run();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
#[ignore = "needs a broker"]
fn however_a_disk_fails_rdp_lands_once_and_says_why_it_waits() {
    let report = Disk { binary: binary(), schedules: 30, seed: 1, threads: 12 }.run();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
#[ignore = "needs a broker"]
fn whatever_operators_do_between_runs_nothing_is_lost_doubled_or_mixed_and_no_change_is_missed() {
    let report = Operators { binary: binary(), seed: 1, sequences: 18, length: 10, threads: 5 }.run();
    println!("{report}");
    assert!(report.is_clean(), "{report}");
}

#[test]
#[ignore = "needs a broker"]
fn a_rebalance_storm_of_the_eager_protocol_loses_nothing() {
    storm(Protocol::Eager);
}

#[test]
#[ignore = "needs a broker"]
fn a_rebalance_storm_of_the_cooperative_protocol_loses_nothing() {
    storm(Protocol::Cooperative);
}

#[test]
#[ignore = "needs a broker"]
fn a_rebalance_storm_of_the_consumer_protocol_loses_nothing() {
    storm(Protocol::Consumer);
}

fn storm(protocol: Protocol) {
    let report = Storm { binary: binary(), protocol, time: Duration::from_secs(40), seed: 3 }.run();
    let table = StormReport::table(std::slice::from_ref(&report));
    println!("{table}");
    assert!(report.is_clean(), "{table}");
}
