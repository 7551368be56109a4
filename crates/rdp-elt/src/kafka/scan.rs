//! Reads which offsets of a range a reader sees, and nothing else of the records. For the audit, which asks it of ranges
//! where offsets are missing from a landing.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;

use super::builder::{Isolation, KafkaConsumerBuilder};
use super::error::from_code;
use super::fetcher::{Event, Fetched, Fetcher, Place};
use super::native::NativeConsumer;
use super::slice::Message;
use crate::error::{Error, ErrorKind, Result};
use crate::offset::{OffsetRange, Positions, TopicPartition};

/// Calls `seen` with every offset of these ranges that a reader of this isolation sees.
///
/// Whatever `seen` was not called with is not visible: a range is done only when a record at or past its end shows, or
/// the end-of-partition event does; and behind anything but a record it is read on from where the scan itself has come to.
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
    let config = source
        .clone()
        .isolation(isolation)
        .without_group()
        .with_end_events()
        .with_queue_bytes(QUEUE_BYTES)
        .client_config()?;
    let consumer = NativeConsumer::open(&config)?;
    let mut scan = Scan { config, consumer, open: BTreeMap::new(), trouble: None };
    // One range of each partition at a time.
    for round in 0.. {
        let next = ranges.iter().filter_map(|(partition, ranges)| Some((partition.clone(), *ranges.get(round)?)));
        scan.open = next.map(|(partition, range)| (partition, Open { range, position: range.start() })).collect();
        if scan.open.is_empty() {
            break;
        }
        scan.read_round(&mut seen)?;
    }
    Ok(())
}

/// What librdkafka may hold: nothing is kept of the records, so little is enough.
const QUEUE_BYTES: usize = 2 << 20;

struct Scan {
    config: ClientConfig,
    consumer: NativeConsumer,
    /// What is not done in this round.
    open: BTreeMap<TopicPartition, Open>,
    /// The newest error that librdkafka goes on after.
    trouble: Option<Error>,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    range: OffsetRange,
    /// The next offset to read: behind the newest record that was seen. librdkafka's own position is not asked; it counts
    /// error events as records.
    position: i64,
}

impl Scan {
    fn read_round(&mut self, seen: &mut impl FnMut(&TopicPartition, i64)) -> Result<()> {
        let of_round: Vec<TopicPartition> = self.open.keys().cloned().collect();
        self.consumer.assign(&self.positions(), false)?;
        let mut messages: Vec<Message> = Vec::new();
        let mut silence = Silence::new();
        while !self.open.is_empty() {
            self.consumer.consume_batch(&mut messages, BATCH_RECORDS, BATCH_WAIT);
            if self.take(messages.drain(..), seen)? {
                silence = Silence::new();
            }
            match silence.next_step() {
                Step::Wait => {}
                Step::Tell => tracing::warn!(
                    "the offsets of {} are read, and nothing has come for {SAID_AFTER:?}: waiting for their leaders",
                    self.waiting()
                ),
                Step::Renew => {
                    tracing::debug!("nothing comes: the scan goes on with a new client");
                    self.consumer = NativeConsumer::open(&self.config)?;
                    self.consumer.assign(&self.positions(), false)?;
                }
                Step::GiveUp => return Err(self.silent()),
            }
        }
        // A pause outlives the assignment.
        self.consumer.set_paused(of_round.iter(), false)?;
        self.consumer.unassign(&[], false)
    }

    /// Takes what came. Returns whether the scan has come any further.
    fn take(
        &mut self,
        messages: impl Iterator<Item = Message>,
        seen: &mut impl FnMut(&TopicPartition, i64),
    ) -> Result<bool> {
        let mut has_moved = false;
        // Where something but a record came: what follows it in this call may begin a record too late.
        let mut disturbed: BTreeMap<TopicPartition, Place> = BTreeMap::new();
        for message in messages {
            let partition = TopicPartition::new(message.topic(), message.partition());
            let Some(open) = self.open.get_mut(&partition) else {
                // An error without a topic is the client's.
                if partition.topic.is_empty()
                    && let Event::Failed(code, text) = message.event()
                {
                    self.trouble = Some(from_code("read offsets", code, Some(&text)));
                }
                continue;
            };
            if disturbed.contains_key(&partition) {
                continue;
            }
            match read(&message, &partition, open.range)? {
                Read::Nothing => continue,
                Read::Record { offset } => {
                    seen(&partition, offset);
                    open.position = open.position.max(offset + 1);
                }
                Read::Disturbed(error) => {
                    disturbed.insert(partition, Place::from(open.position));
                    self.trouble = Some(error);
                    continue;
                }
                Read::Done => {
                    self.consumer.set_paused(std::iter::once(&partition), true)?;
                    self.open.remove(&partition);
                }
            }
            has_moved = true;
        }
        if !disturbed.is_empty() {
            self.consumer.seek(&disturbed.into_iter().collect::<Vec<_>>(), SEEK_TIMEOUT)?;
        }
        Ok(has_moved)
    }

    fn positions(&self) -> Positions {
        self.open.iter().map(|(partition, open)| (partition.clone(), open.position)).collect()
    }

    fn waiting(&self) -> String {
        self.open.keys().map(ToString::to_string).collect::<Vec<_>>().join(", ")
    }

    fn silent(&mut self) -> Error {
        let silent =
            Error::unavailable(format!("read the offsets of {}: nothing came for {GIVEN_UP_AFTER:?}", self.waiting()));
        match self.consumer.take_trouble().or(self.trouble.take()) {
            Some(trouble) => silent.with_source(trouble),
            None => silent.with_help("check that their leaders run and can be reached from here"),
        }
    }
}

/// How long nothing has come, and what was done about it.
struct Silence {
    since: Instant,
    is_told: bool,
    is_renewed: bool,
}

enum Step {
    Wait,
    Tell,
    Renew,
    GiveUp,
}

impl Silence {
    fn new() -> Self {
        Silence { since: Instant::now(), is_told: false, is_renewed: false }
    }

    fn next_step(&mut self) -> Step {
        let lasting = self.since.elapsed();
        if lasting > GIVEN_UP_AFTER {
            return Step::GiveUp;
        }
        if lasting > RENEWED_AFTER && !std::mem::replace(&mut self.is_renewed, true) {
            return Step::Renew;
        }
        if lasting > SAID_AFTER && !std::mem::replace(&mut self.is_told, true) {
            return Step::Tell;
        }
        Step::Wait
    }
}

enum Read {
    Nothing,
    Record {
        offset: i64,
    },
    Done,
    /// An error that librdkafka goes on after by itself, from its own position.
    Disturbed(Error),
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
            let error = from_code(&format!("read the offsets of {partition} in {range}"), code, Some(&text));
            if error.kind() == ErrorKind::Unavailable { Ok(Read::Disturbed(error)) } else { Err(error) }
        }
    }
}

const BATCH_RECORDS: usize = 10_000;
const BATCH_WAIT: Duration = Duration::from_millis(100);
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
/// After so long without a record the person is told what is waited for.
const SAID_AFTER: Duration = Duration::from_secs(8);
/// And a client that may have gone deaf is replaced.
const RENEWED_AFTER: Duration = Duration::from_secs(25);
const GIVEN_UP_AFTER: Duration = Duration::from_secs(60);

#[cfg(test)]
mod tests {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr as Response};

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

    #[test]
    fn errors_between_records_take_no_offset_away() {
        let broker = EmbeddedBroker::start().expect("starts");
        broker.create_topic("orders", 2).expect("made");
        for partition in 0..2 {
            broker.produce_values("orders", partition, 2_000).expect("produced");
        }
        let source = KafkaConsumerBuilder::new(broker.brokers())
            .topics(["orders"])
            .set("fetch.max.bytes", "2000")
            .and_then(|source| source.set("message.max.bytes", "1000"))
            .expect("keys of librdkafka's");
        let codes = [
            Response::RD_KAFKA_RESP_ERR_NO_ERROR,
            Response::RD_KAFKA_RESP_ERR_UNKNOWN,
            Response::RD_KAFKA_RESP_ERR_NO_ERROR,
            Response::RD_KAFKA_RESP_ERR_KAFKA_STORAGE_ERROR,
            Response::RD_KAFKA_RESP_ERR_UNKNOWN,
        ];
        broker.fail_next(RDKafkaApiKey::Fetch, &codes);
        let all = vec![OffsetRange::new(0, 2_000).expect("a range")];
        let ranges = (0..2).map(|number| (TopicPartition::new("orders", number), all.clone())).collect();
        let mut seen = Vec::new();
        scan_offsets(&source, Isolation::ReadCommitted, &ranges, |partition, offset| {
            seen.push((partition.partition, offset));
        })
        .expect("scanned");
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 4_000);
    }
}
