//! Who watches the watchmen: landings that are spoiled as bugs would spoil them, and who notices.

use rdp_testing::{KafkaServer, RdpConfig, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn every_seeded_bug_is_found_by_what_the_docs_say() {
    let topic = KafkaServer::shared().create_topic("bugs", 2);
    for round in 0..4 {
        topic.produce(orders(31 + round, 1_500));
        // What no committed reader sees must not land either.
        topic.transaction(orders(41 + round, 100)).abort();
    }
    topic.produce(orders(51, 500));
    let healthy = RdpConfig::orders(&topic).window(700, "5s");
    rdp("load").arg(healthy.path()).run(LIMIT).assert_success();
    oracle::check(&healthy).assert_exact();
    rdp("audit").arg(healthy.path()).run(LIMIT).assert_success();

    // A copy is clean by itself: what is found below is the bug's doing.
    let copy = healthy.duplicate();
    oracle::check(&copy).assert_exact();
    rdp("audit").arg(copy.path()).run(LIMIT).assert_success();

    let found: Vec<Found> = oracle::bugs().into_iter().map(|bug| Found::look(&healthy, bug)).collect();
    println!("{:<32} {:<8} audit", "bug", "oracle");
    found.iter().for_each(|Found { bug, oracle, audit }| println!("{bug:<32} {oracle:<8} {audit}"));
    assert!(found.len() >= 30, "{}", found.len());
    for Found { bug, oracle, audit } in &found {
        assert!(oracle == FOUND || audit != NOT_FOUND, "{bug} is not found");
    }
    assert_eq!(found, documented(), "left: measured; right: the table in docs/AUDIT.md");
}

/// Who notices a bug.
#[derive(Debug, PartialEq, Eq)]
struct Found {
    bug: String,
    oracle: String,
    /// What the audit calls it.
    audit: String,
}

impl Found {
    /// Spoils a copy of a landing, and asks oracle and audit.
    fn look(healthy: &RdpConfig, bug: String) -> Found {
        let spoiled = healthy.duplicate();
        oracle::doctor(&spoiled.landing(), &bug);
        let oracle = if oracle::check(&spoiled).is_exact() { NOT_FOUND } else { FOUND };
        let audit = rdp("audit").arg(spoiled.path()).run(LIMIT);
        let said = format!("{}{}", audit.stdout, audit.stderr);
        let finding = match audit.code() {
            Some(0) => NOT_FOUND,
            _ => FINDINGS.iter().find(|finding| said.contains(*finding)).unwrap_or_else(|| panic!("{bug}: {said}")),
        };
        Found { bug, oracle: oracle.to_owned(), audit: finding.to_owned() }
    }
}

/// The table in the docs: `| bug | what happened | oracle | audit |`.
fn documented() -> Vec<Found> {
    let rows = include_str!("../../../../docs/AUDIT.md").lines().filter(|line| line.starts_with("| `"));
    let cells = rows.map(|row| row.split('|').map(|cell| cell.trim().replace('`', "")).collect::<Vec<_>>());
    let found = cells.map(|cells| match cells.as_slice() {
        [_, bug, _, oracle, audit, _] => Found { bug: bug.clone(), oracle: oracle.clone(), audit: audit.clone() },
        other => panic!("a row of four cells: {other:?}"),
    });
    found.collect()
}

const FOUND: &str = "found";
const NOT_FOUND: &str = "-";

/// What the audit's findings are called; the first that it says is the one that counts.
const FINDINGS: [&str; 14] = [
    "stray",
    "damaged",
    "not RDP's",
    "mixed source",
    "overlap",
    "gap",
    "duplicate",
    "outside range",
    "count mismatch",
    "position mismatch",
    "beyond log end",
    "unexplained",
    "unreadable",
    "removed",
];
