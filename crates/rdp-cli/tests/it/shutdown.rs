//! Asked to end, the loader lands what it holds.

use std::time::Instant;

use rdp_testing::{KafkaServer, RdpConfig, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn stopped_in_order_it_lands_the_window_in_hand() {
    let topic = KafkaServer::shared().create_topic("shutdown", 3);
    topic.produce(orders(7, 4_500));
    let config = RdpConfig::orders(&topic).window(400, "60s");
    let mut process = rdp("run").arg(config.path()).spawn();
    let deadline = Instant::now() + LIMIT;
    while config.landed_files().is_empty() {
        assert!(!process.has_ended(), "it ended before anything landed:\n{}", process.stderr());
        assert!(Instant::now() < deadline, "nothing landed within {LIMIT:?}:\n{}", process.stderr());
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    process.term();
    process.wait(LIMIT).assert_success();
    oracle::check_landed_so_far(&config).assert_exact();

    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    let verdict = oracle::check(&config);
    verdict.assert_exact();
    assert_eq!((verdict.records, verdict.unverifiable), (4_500, 0));
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
}
