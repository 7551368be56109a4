//! Promise 6: no silent jump.

use std::sync::Arc;

use rdp_elt::sink::MemorySink;
use rdp_testing::{KafkaServer, Record, Topic};

use crate::{assert_source_changed, land, source};

fn landed(name: &str) -> (Topic, Arc<MemorySink>) {
    let topic = KafkaServer::shared().create_topic(name, 1);
    topic.produce((0..100).map(|number| Record::new(format!("{number}")).partition(0)));
    let sink = Arc::new(MemorySink::new());
    land(source(&topic), &sink).expect("the first load");
    (topic, sink)
}

#[test]
#[ignore = "needs Kafka"]
fn retention_that_overtook_the_reader_stops_it() {
    let (topic, sink) = landed("retention");
    topic.produce((0..100).map(|number| Record::new(format!("{number}")).partition(0)));
    topic.delete_records(0, 150);
    let error = land(source(&topic), &sink).expect_err("records are gone");
    assert_source_changed(&error, &["[100, 150)"]);
}

#[test]
#[ignore = "needs Kafka"]
fn retention_below_the_position_changes_nothing() {
    let (topic, sink) = landed("retention-below");
    topic.delete_records(0, 100);
    topic.produce((0..10).map(|number| Record::new(format!("{number}")).partition(0)));
    assert_eq!(land(source(&topic), &sink).expect("a load").record_count, 10);
}

#[test]
#[ignore = "needs Kafka"]
fn a_topic_made_anew_under_its_old_name_stops_it() {
    let (topic, sink) = landed("recreated");
    topic.recreate();
    let error = land(source(&topic), &sink).expect_err("another topic");
    assert_source_changed(&error, &["is not the one that was landed"]);
    topic.produce((0..500).map(|number| Record::new(format!("{number}")).partition(0)));
    let error = land(source(&topic), &sink).expect_err("another topic, longer than the old one");
    assert_source_changed(&error, &["is not the one that was landed"]);
}
