//! Members come and go; what the group lands stays exact.

use std::thread::sleep;
use std::time::Duration;

use rdp_testing::{KafkaServer, RdpConfig, RdpProcess, oracle, orders};

use crate::{LIMIT, rdp};

#[test]
#[ignore = "needs a broker"]
fn members_that_wait_at_the_end_of_the_log_miss_nothing_when_others_join() {
    for strategy in ["cooperative-sticky", "range"] {
        let topic = KafkaServer::shared().create_topic("rebalance", 6);
        topic.produce(orders(41, 3_000));
        let config = RdpConfig::orders(&topic)
            .window(500, "200ms")
            .librdkafka("partition.assignment.strategy", strategy)
            .librdkafka("session.timeout.ms", "3000")
            .librdkafka("heartbeat.interval.ms", "500");

        // Each joins after the others have read all there is, and then there is more.
        let mut members: Vec<RdpProcess> = Vec::new();
        for round in 0..4 {
            members.push(rdp("run").arg(config.path()).spawn());
            sleep(Duration::from_secs(2));
            topic.produce(orders(50 + round, 600));
            sleep(Duration::from_secs(1));
        }
        // The first leaves in order, the second does not.
        members[0].term();
        members[1].kill();
        topic.produce(orders(60, 600));
        sleep(Duration::from_secs(1));
        members[2..].iter_mut().for_each(RdpProcess::term);
        for (place, member) in members.into_iter().enumerate() {
            let exit = member.wait(LIMIT);
            assert!(
                exit.code() == Some(0) || place == 1,
                "{strategy}, member {place}: {}\n{}",
                exit.status,
                exit.stderr
            );
        }

        rdp("load").arg(config.path()).run(LIMIT).assert_success();
        oracle::check(&config).assert_exact();
        rdp("audit").arg(config.path()).run(LIMIT).assert_success();
    }
}
