//! Answers of brokers that are wrong, while the landing is slow: the engine holds fetching back and goes on.

use std::path::Path;

use rdp_testing::wire::{Api, Fault, What, WireProxy};
use rdp_testing::{KafkaServer, Rdp, RdpConfig, oracle, orders};

use crate::{LIMIT, rdp};

/// librdkafka counts an error as a record, and would go on behind it once fetching is let go on.
#[test]
#[ignore = "needs a broker"]
fn fetch_errors_before_a_slow_commit_lose_no_record() {
    slow_commits_lose_nothing_under(
        &(2..40).step_by(2).map(|nth| Fault::new(Api::Fetch, What::PartitionError(-1)).at(nth)).collect::<Vec<_>>(),
    );
}

/// After enough of them librdkafka reports an error in the record's place.
#[test]
#[ignore = "needs a broker"]
fn fetches_of_scraps_before_a_slow_commit_lose_no_record() {
    let faults: Vec<_> = (0..8).map(|round| Fault::new(Api::Fetch, What::Scrap).at(3 + 60 * round).times(50)).collect();
    slow_commits_lose_nothing_under(&faults);
}

fn slow_commits_lose_nothing_under(faults: &[Fault]) {
    let broker = KafkaServer::shared();
    let topic = broker.create_topic("slow-commit", 2);
    topic.produce_with(&[("batch.num.messages", "10")], orders(11, 240));
    let proxy = WireProxy::start(broker);
    let config = RdpConfig::orders(&topic.through(&proxy.address())).window(25, "200ms").without_group();
    let settings =
        [("max.partition.fetch.bytes", "4000"), ("fetch.wait.max.ms", "50"), ("fetch.error.backoff.ms", "20")];
    let config = settings.iter().fold(config, |config, (key, value)| config.librdkafka(key, *value));
    let injected: Vec<_> = faults.iter().map(|fault| proxy.inject(fault.clone())).collect();
    slowly(config.path().as_path()).run(LIMIT).assert_success();
    assert!(injected.iter().any(|one| one.struck() > 0), "no fault struck: {}", proxy.log());
    let verdict = oracle::check(&config);
    verdict.assert_exact();
    assert_eq!(verdict.records, 240);
}

/// Each commit takes longer than the engine waits before it holds fetching back.
fn slowly(config: &Path) -> Rdp {
    rdp("load").arg(config).failpoint("file_written=delay:1300")
}

/// As a broker does that has just started: what it leaves out is not missing by its own account.
#[test]
#[ignore = "needs a broker"]
fn partitions_that_the_first_looks_do_not_show_land_too() {
    let broker = KafkaServer::shared();
    let topic = broker.create_topic("left-out", 2);
    topic.produce(orders(11, 200));
    for in_group in [false, true] {
        let proxy = WireProxy::start(broker);
        let config = RdpConfig::orders(&topic.through(&proxy.address()));
        let config = if in_group { config } else { config.without_group() };
        let left_out = proxy.inject(Fault::new(Api::Metadata, What::NoPartition).partition(1).times(5));
        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        assert!(left_out.struck() >= 3, "{}", proxy.log());
        let verdict = oracle::check(&config);
        verdict.assert_exact();
        assert_eq!(verdict.records, 200, "in a group: {in_group}");
    }
}
