//! A rehearsal reads what a loader would land, and nobody notices.

use std::sync::Arc;

use rdp_elt::load::{Format, LoadOptions};
use rdp_elt::sink::MemorySink;
use rdp_elt::{LoaderOptions, Rehearsal, RehearsalStage, Schema, Shutdown};
use rdp_testing::{KafkaServer, OrderKind, Record, orders, orders_schema};

use crate::{land, source};

#[test]
#[ignore = "needs Kafka"]
fn a_rehearsal_reads_what_lands_markers_and_aborted_records_aside() {
    let topic = KafkaServer::shared().create_topic("rehearsal", 3);
    topic.transaction(orders(41, 2_000)).commit();
    topic.transaction(orders(42, 500)).abort();
    let misfits = orders(41, 2_000).filter(|order| order.kind == OrderKind::Poisoned).count() as u64;
    let schema = Schema::from_json(&orders_schema().to_string()).expect("a schema");
    let load = LoadOptions { format: Format::Json, schema, ..LoadOptions::default() };

    for lanes in [1, 2] {
        let options = LoaderOptions { lanes, ..LoaderOptions::default() };
        let rehearsal = Rehearsal::new(source(&topic).group_id("rehearsal"), load.clone()).with_options(options);
        let consumed = rehearsal.run(RehearsalStage::Consume, &Shutdown::new()).expect("it reads");
        let loaded = rehearsal.run(RehearsalStage::Load, &Shutdown::new()).expect("it loads");
        assert_eq!((consumed.record_count, consumed.quarantined_count), (2_000, 0), "{lanes} lanes");
        assert_eq!((loaded.record_count, loaded.quarantined_count), (2_000, misfits), "{lanes} lanes");
        assert_eq!(consumed.byte_count, loaded.byte_count);
    }

    let sink = Arc::new(MemorySink::new());
    assert_eq!(land(source(&topic).group_id("rehearsal"), &sink).expect("it lands").record_count, 2_000);
}

#[test]
#[ignore = "needs Kafka"]
fn a_rehearsal_of_an_empty_topic_ends() {
    let topic = KafkaServer::shared().create_topic("rehearsal-empty", 3);
    topic.produce([Record::new("only one partition has a record").partition(1)]);
    let rehearsal = Rehearsal::new(source(&topic), LoadOptions::default());
    let read = rehearsal.run(RehearsalStage::Consume, &Shutdown::new()).expect("it reads");
    assert_eq!(read.record_count, 1);
}
