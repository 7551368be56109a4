//! A lane's turns, one by one.

use std::time::Instant;

use super::*;
use crate::kafka::EmbeddedBroker;
use crate::load::LoadOptions;
use crate::loader::{Loader, Shutdown, Until};
use crate::sink::MemorySink;

/// A lane that has come to the end of 50 records, the newest of which wait in a slice of their own.
fn lane_with_a_waiting_slice(runtime: &tokio::runtime::Runtime) -> (EmbeddedBroker, Lane) {
    let broker = EmbeddedBroker::start().expect("starts");
    broker.create_topic("orders", 1).expect("made");
    broker.produce_values("orders", 0, 50).expect("produced");
    let source = KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]);
    let loader = Loader::new(source, LoadOptions::default(), Arc::new(MemorySink::new()));
    let shutdown = Shutdown::new();
    let run = Arc::new(runtime.block_on(Run::open(&loader, Until::LogEnd, &shutdown)).expect("opened"));
    let source = run.share_out(1).remove(0);
    let mut lane = Lane::open(0, source, run, Executor::Runtime(runtime.handle().clone())).expect("opened");
    assert!(matches!(lane.turn().expect("the assignment"), Turn::GoOn));

    let began = Instant::now();
    while !lane.consumer.is_done() {
        assert!(began.elapsed() < Duration::from_secs(60), "the records do not come");
        if let Some(Polled::Slice(early)) = lane.waiting.take() {
            lane.take(&early).expect("taken");
        }
        lane.keep_in_group().expect("polled");
    }
    assert!(
        matches!(&lane.waiting, Some(Polled::Slice(slice)) if slice.record_count > 0),
        "the end came with a record"
    );
    (broker, lane)
}

/// What was polled while a commit was awaited has moved the positions already, and its rows are in no window yet.
#[test]
fn a_bounded_run_ends_once_the_waiting_slice_has_landed() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_broker, lane) = lane_with_a_waiting_slice(&runtime);
    assert_eq!(lane.run().expect("it ends by itself").record_count, 50);
}

/// librdkafka closes a consumer only once all of its records were given back.
#[test]
fn a_lane_that_is_stopped_with_a_waiting_slice_ends() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let (_broker, lane) = lane_with_a_waiting_slice(&runtime);
    lane.run.shutdown.request();
    lane.run.shutdown.request();
    let (tell, ended) = std::sync::mpsc::channel();
    std::thread::spawn(move || tell.send(lane.run().is_ok()));
    assert_eq!(ended.recv_timeout(Duration::from_secs(60)), Ok(true));
}
