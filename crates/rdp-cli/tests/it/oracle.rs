//! Who watches the watchmen: landings that are spoiled as bugs would spoil them, and who notices.

use rdp_testing::{KafkaServer, RdpConfig, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn every_seeded_bug_is_found() {
    let topic = KafkaServer::shared().create_topic("bugs", 2);
    topic.produce(orders(31, 6_000));
    let healthy = RdpConfig::orders(&topic).window(1_500, "5s");
    rdp("load").arg(healthy.path()).run(LIMIT).assert_success();
    oracle::check(&healthy).assert_exact();
    rdp("audit").arg(healthy.path()).run(LIMIT).assert_success();

    // A copy is clean by itself: what is found below is the bug's doing.
    let copy = healthy.duplicate();
    oracle::check(&copy).assert_exact();
    rdp("audit").arg(copy.path()).run(LIMIT).assert_success();

    let bugs = oracle::bugs();
    assert!(bugs.len() >= 15, "{bugs:?}");
    let mut unseen = Vec::new();
    for bug in bugs {
        let spoiled = healthy.duplicate();
        oracle::doctor(&spoiled.landing(), &bug);
        let by_oracle = !oracle::check(&spoiled).is_exact();
        let by_audit = rdp("audit").arg(spoiled.path()).run(LIMIT).code() != Some(0);
        println!("{bug:<32} oracle: {by_oracle:<5} audit: {by_audit}");
        if !by_oracle || (!by_audit && FOR_THE_AUDIT.contains(&bug.as_str())) {
            unseen.push(bug);
        }
    }
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}

/// Bugs that break the ranges or a file: the ledger alone must give them away.
const FOR_THE_AUDIT: [&str; 4] = ["window_landed_by_a_zombie", "file_lost", "range_ends_too_early", "file_cut_short"];
