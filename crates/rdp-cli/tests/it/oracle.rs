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
    assert!(bugs.len() >= 25, "{bugs:?}");
    let mut unseen = Vec::new();
    println!("{:<32} {:<7} {:<6} what the audit says", "bug", "oracle", "audit");
    for bug in bugs {
        let spoiled = healthy.duplicate();
        oracle::doctor(&spoiled.landing(), &bug);
        let by_oracle = !oracle::check(&spoiled).is_exact();
        let audit = rdp("audit").arg(spoiled.path()).run(LIMIT);
        let by_audit = audit.code() != Some(0);
        let said = format!("{}{}", audit.stdout, audit.stderr);
        let finding = FINDINGS.iter().find(|finding| by_audit && said.contains(*finding)).unwrap_or(&"");
        println!("{bug:<32} {:<7} {:<6} {finding}", mark(by_oracle), mark(by_audit));
        if !by_audit && (!by_oracle || FOR_THE_AUDIT.contains(&bug.as_str())) {
            unseen.push(bug);
        }
    }
    assert!(unseen.is_empty(), "not found: {unseen:?}");
}

fn mark(found: bool) -> &'static str {
    if found { "found" } else { "-" }
}

/// Bugs that break ranges, counts or a file: the ledger and the rows' offsets alone must give them away.
const FOR_THE_AUDIT: [&str; 13] = [
    "record_dropped",
    "record_landed_twice",
    "record_counted_once_too_often",
    "offsets_one_too_high",
    "offsets_one_too_low",
    "tombstone_dropped",
    "window_landed_by_a_zombie",
    "window_overlaps_the_one_before",
    "range_ends_too_early",
    "range_ends_too_late",
    "file_lost",
    "file_cut_short",
    "bit_flipped",
];

/// What the audit's findings are called.
const FINDINGS: [&str; 10] = [
    "damaged",
    "not RDP's",
    "overlap",
    "gap",
    "duplicate",
    "outside range",
    "count mismatch",
    "beyond log end",
    "unexplained",
    "unreadable",
];
