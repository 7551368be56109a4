//! Reads which offsets of a range a reader sees, and nothing else of the records. For the audit, which asks it of ranges
//! where offsets are missing from a landing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use super::builder::{Isolation, KafkaConsumerBuilder};
use super::error::from_code;
use super::fetcher::{Event, Fetched, Fetcher};
use super::native::NativeConsumer;
use super::slice::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{OffsetRange, Positions, TopicPartition};

/// Calls `seen` with every offset of these ranges that a reader of this isolation sees.
///
/// Whatever `seen` was not called with is not visible: a range is done only when a record at or past its end shows, or
/// the end-of-partition event does.
///
/// # Errors
/// [`Unavailable`](ErrorKind::Unavailable) where the broker stays silent, or where the log ends before a range does;
/// [`SourceChanged`](ErrorKind::SourceChanged) where retention takes a range away meanwhile.
pub(crate) fn scan_offsets(
    source: &KafkaConsumerBuilder,
    isolation: Isolation,
    ranges: &BTreeMap<TopicPartition, Vec<OffsetRange>>,
    mut seen: impl FnMut(&TopicPartition, i64),
) -> Result<()> {
    if ranges.values().all(Vec::is_empty) {
        return Ok(());
    }
    let config = source.clone().isolation(isolation).without_group().with_end_events().client_config()?;
    let mut consumer = NativeConsumer::open(&config)?;
    // One range of each partition at a time.
    for round in 0.. {
        let open: BTreeMap<TopicPartition, OffsetRange> =
            ranges.iter().filter_map(|(partition, ranges)| Some((partition.clone(), *ranges.get(round)?))).collect();
        if open.is_empty() {
            break;
        }
        scan_round(&mut consumer, open, &mut seen)?;
    }
    Ok(())
}

fn scan_round(
    consumer: &mut NativeConsumer,
    mut open: BTreeMap<TopicPartition, OffsetRange>,
    seen: &mut impl FnMut(&TopicPartition, i64),
) -> Result<()> {
    let starts: Positions = open.iter().map(|(partition, range)| (partition.clone(), range.start())).collect();
    consumer.assign(&starts, false)?;
    let mut messages: Vec<Message> = Vec::new();
    let mut moved = Instant::now();
    while !open.is_empty() {
        consumer.consume_batch(&mut messages, BATCH_RECORDS, BATCH_WAIT);
        for message in messages.drain(..) {
            let partition = TopicPartition::new(message.topic(), message.partition());
            let Some(range) = open.get(&partition) else { continue };
            match read(&message, &partition, *range)? {
                Read::Nothing => continue,
                Read::Record { offset } => seen(&partition, offset),
                Read::Done => {
                    consumer.set_paused(std::iter::once(&partition), true)?;
                    open.remove(&partition);
                }
            }
            moved = Instant::now();
        }
        if moved.elapsed() > SILENCE {
            let waiting = open.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ");
            let silent = Error::unavailable(format!("read the offsets of {waiting}: nothing came for {SILENCE:?}"));
            return Err(match consumer.take_trouble() {
                Some(trouble) => silent.with_source(trouble),
                None => silent,
            });
        }
    }
    // A pause outlives the assignment.
    consumer.set_paused(starts.partitions(), false)?;
    consumer.unassign(&[], false)
}

enum Read {
    Nothing,
    Record { offset: i64 },
    Done,
}

fn read(message: &Message, partition: &TopicPartition, range: OffsetRange) -> Result<Read> {
    let offset = message.offset();
    if message.is_record() {
        return Ok(match offset {
            // Messages that were under way when the round before ended.
            _ if offset < range.start() => Read::Nothing,
            _ if offset < range.end() => Read::Record { offset },
            _ => Read::Done,
        });
    }
    match message.event() {
        Event::EndOfPartition if offset >= range.end() => Ok(Read::Done),
        Event::EndOfPartition => {
            let message =
                format!("read the offsets of {partition} in {range}: its log ends at {offset} for this reader");
            Err(Error::unavailable(message).with_help("try again when its replicas have caught up"))
        }
        Event::Failed(code, text) => {
            let doing = format!("read the offsets of {partition} in {range}");
            let error = from_code(&doing, code, Some(&text));
            // librdkafka goes on by itself after those.
            if error.kind() == ErrorKind::Unavailable { Ok(Read::Nothing) } else { Err(error) }
        }
    }
}

const BATCH_RECORDS: usize = 10_000;
const BATCH_WAIT: Duration = Duration::from_millis(100);
const SILENCE: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::EmbeddedBroker;

    #[test]
    fn a_scan_sees_its_ranges_and_no_more() {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 2).expect("made");
        broker.produce_values("orders", 0, 100).expect("produced");
        broker.produce_values("orders", 1, 50).expect("produced");
        let source = KafkaConsumerBuilder::new(broker.brokers()).topics(["orders"]);
        let range = |start, end| OffsetRange::new(start, end).expect("a range");
        let ranges = BTreeMap::from([
            (TopicPartition::new("orders", 0), vec![range(10, 12), range(90, 100)]),
            (TopicPartition::new("orders", 1), vec![range(0, 1)]),
        ]);
        let mut seen = Vec::new();
        scan_offsets(&source, Isolation::ReadCommitted, &ranges, |partition, offset| {
            seen.push((partition.partition, offset));
        })
        .expect("scanned");
        seen.sort_unstable();
        let wanted: Vec<(i32, i64)> =
            [(0, 10), (0, 11)].into_iter().chain((90..100).map(|offset| (0, offset))).chain([(1, 0)]).collect();
        assert_eq!(seen, wanted);
    }
}
