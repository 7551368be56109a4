//! What is done to which requests, and a form of it that can be printed and read back.

use std::fmt;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use super::Api;

/// One fault: at an API's requests number `from` to `from + times - 1`, as far as there is something to do it to.
///
/// Printed and read back as `fetch@2+3/1:partition-error=-1`: three times from the second on, for partition 1. `+*` is
/// for ever, `>joingroup` before the colon: once a request of that API has come.
#[derive(Debug, Clone, PartialEq)]
pub struct Fault {
    pub(super) api: Api,
    pub(super) from: u64,
    pub(super) times: Option<u64>,
    pub(super) topic: Option<String>,
    pub(super) partition: Option<i32>,
    pub(super) after: Option<Api>,
    /// What is done.
    pub what: What,
}

/// What is done to an answer, or to the request before it is one.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum What {
    /// The answer bears this error as a whole.
    Error(i16),
    /// Each topic in it bears this error.
    TopicError(i16),
    /// Each partition in it bears this error.
    PartitionError(i16),
    /// The answer comes later, and so does everything behind it on the connection.
    Delay(Duration),
    /// The request does not arrive, and nobody says so.
    Swallow,
    /// The request arrives, its answer does not; the connection stays.
    DropAnswer,
    /// The connection is closed and the request has not arrived.
    CloseBefore,
    /// The connection is closed instead of the answer.
    CloseAfter,
    /// The connection is closed in the middle of the answer.
    Cut,
    /// The answer ends in its middle, and its length says that it is whole.
    Short,
    /// The answer is one of nothing: no topics, no members, no errors.
    Empty,
    /// Metadata without a broker.
    NoBrokers,
    /// Metadata, offsets or fetched records without the topic.
    NoTopic,
    /// Metadata in which the partitions have no leader.
    NoLeader,
    /// The answer that the same metadata request got first.
    Stale,
    /// An answer without the partition.
    NoPartition,
    /// Offsets that are unknown: -1.
    NoOffset,
    /// A fetch that brings nothing.
    NoRecords,
    /// A fetch that brings the first half of its first record batch.
    HalfBatch,
    /// A fetch that brings the first ten bytes of its first record batch: less than tells what it is.
    Scrap,
    /// A fetch whose last record batch ends in its middle.
    HalfTail,
    /// One wrong bit in a record batch.
    Corrupt,
    /// A fetch without its first record batch.
    FirstMissing,
    /// A fetch whose first two record batches come the other way round.
    Swapped,
}

impl Fault {
    /// At the first request alone.
    pub fn new(api: Api, what: What) -> Self {
        Fault { api, from: 1, times: Some(1), topic: None, partition: None, after: None, what }
    }

    /// From the n-th request on, counted from 1 and from when it is injected.
    #[must_use]
    pub fn at(mut self, from: u64) -> Self {
        self.from = from;
        self
    }

    /// So many times.
    #[must_use]
    pub fn times(mut self, times: u64) -> Self {
        self.times = Some(times);
        self
    }

    /// Until it is lifted.
    #[must_use]
    pub fn forever(mut self) -> Self {
        self.times = None;
        self
    }

    /// To what an answer says of this topic alone.
    #[must_use]
    pub fn topic(mut self, name: &str) -> Self {
        self.topic = Some(name.to_owned());
        self
    }

    /// To what an answer says of this partition alone.
    #[must_use]
    pub fn partition(mut self, partition: i32) -> Self {
        self.partition = Some(partition);
        self
    }

    /// Only once a request of this API has come.
    #[must_use]
    pub fn after(mut self, api: Api) -> Self {
        self.after = Some(api);
        self
    }

    /// Whether it lasts until it is lifted.
    pub fn is_forever(&self) -> bool {
        self.times.is_none()
    }

    /// Whether it strikes so often, if it meets as many requests.
    pub(super) fn lasts(&self, times: u64) -> bool {
        self.times.is_none_or(|own| own >= times)
    }

    /// The API that it is done to.
    pub fn api(&self) -> Api {
        self.api
    }

    /// Whether it is done to what an answer says of this partition.
    pub(super) fn meets(&self, topic: &str, partition: i32) -> bool {
        self.meets_topic(topic) && self.partition.is_none_or(|wanted| wanted == partition)
    }

    pub(super) fn meets_topic(&self, topic: &str) -> bool {
        self.topic.as_deref().is_none_or(|wanted| wanted == topic)
    }
}

/// A fault that is switched on.
#[derive(Debug)]
pub(super) struct Armed {
    pub(super) fault: Fault,
    seen: AtomicU64,
    struck: AtomicU64,
    lifted: AtomicBool,
}

impl Armed {
    pub(super) fn new(fault: Fault) -> Self {
        Armed { fault, seen: AtomicU64::new(0), struck: AtomicU64::new(0), lifted: AtomicBool::new(false) }
    }

    /// Counts something that it could be done to; says whether it is.
    pub(super) fn is_struck(&self) -> bool {
        if self.lifted.load(Ordering::SeqCst) {
            return false;
        }
        let number = self.seen.fetch_add(1, Ordering::SeqCst) + 1;
        let Fault { from, times, .. } = self.fault;
        let strikes = number >= from && times.is_none_or(|times| number - from < times);
        if strikes {
            self.struck.fetch_add(1, Ordering::SeqCst);
        }
        strikes
    }

    pub(super) fn struck(&self) -> u64 {
        self.struck.load(Ordering::SeqCst)
    }

    pub(super) fn lift(&self) {
        self.lifted.store(true, Ordering::SeqCst);
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}@{}", api_name(self.api), self.from)?;
        match self.times {
            Some(1) => {}
            Some(times) => write!(out, "+{times}")?,
            None => out.write_str("+*")?,
        }
        if let Some(partition) = self.partition {
            write!(out, "/{partition}")?;
        }
        if let Some(after) = self.after {
            write!(out, ">{}", api_name(after))?;
        }
        write!(out, ":{}", self.what)
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is no fault");
        let (place, what) = text.split_once(':').ok_or_else(wrong)?;
        let (place, after) = place.split_once('>').map_or((place, None), |(place, after)| (place, Some(after)));
        let (place, partition) = place.split_once('/').map_or((place, None), |(place, at)| (place, Some(at)));
        let (api, times) = place.split_once('@').ok_or_else(wrong)?;
        let (from, times) = times.split_once('+').unwrap_or((times, "1"));
        let number = |text: &str| text.parse::<u64>().map_err(|_| wrong());
        let mut fault = Fault::new(api_named(api).ok_or_else(wrong)?, what.parse()?).at(number(from)?);
        fault.times = if times == "*" { None } else { Some(number(times)?) };
        fault.partition = partition.map(|text| text.parse().map_err(|_| wrong())).transpose()?;
        fault.after = after.map(|name| api_named(name).ok_or_else(wrong)).transpose()?;
        Ok(fault)
    }
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Error(code) => write!(out, "error={code}"),
            What::TopicError(code) => write!(out, "topic-error={code}"),
            What::PartitionError(code) => write!(out, "partition-error={code}"),
            What::Delay(time) => write!(out, "delay={}", time.as_millis()),
            plain => {
                let name = PLAIN.iter().find(|(_, what)| what == plain).map_or("?", |(name, _)| name);
                out.write_str(name)
            }
        }
    }
}

impl FromStr for What {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("{text:?} is nothing that is done");
        let Some((name, number)) = text.split_once('=') else {
            return PLAIN.iter().find(|(name, _)| *name == text).map(|(_, what)| *what).ok_or_else(wrong);
        };
        let code = number.parse::<i16>().map_err(|_| wrong());
        match name {
            "error" => code.map(What::Error),
            "topic-error" => code.map(What::TopicError),
            "partition-error" => code.map(What::PartitionError),
            "delay" => number.parse().map(|millis| What::Delay(Duration::from_millis(millis))).map_err(|_| wrong()),
            _ => Err(wrong()),
        }
    }
}

fn api_name(api: Api) -> String {
    format!("{api:?}").to_lowercase()
}

fn api_named(name: &str) -> Option<Api> {
    (0..100).filter_map(|key| Api::try_from(key).ok()).find(|api| api_name(*api) == name)
}

const PLAIN: [(&str, What); 20] = [
    ("swallow", What::Swallow),
    ("drop-answer", What::DropAnswer),
    ("close-before", What::CloseBefore),
    ("close-after", What::CloseAfter),
    ("cut", What::Cut),
    ("short", What::Short),
    ("empty", What::Empty),
    ("no-brokers", What::NoBrokers),
    ("no-topic", What::NoTopic),
    ("no-leader", What::NoLeader),
    ("stale", What::Stale),
    ("no-partition", What::NoPartition),
    ("no-offset", What::NoOffset),
    ("no-records", What::NoRecords),
    ("half-batch", What::HalfBatch),
    ("scrap", What::Scrap),
    ("half-tail", What::HalfTail),
    ("corrupt", What::Corrupt),
    ("first-missing", What::FirstMissing),
    ("swapped", What::Swapped),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_that_was_printed_is_read_back() {
        let texts = [
            "fetch@2+3/1:partition-error=-1",
            "metadata@1+*>joingroup:topic-error=3",
            "listoffsets@4:close-after",
            "consumergroupheartbeat@1:delay=250",
        ];
        for text in texts {
            assert_eq!(text.parse::<Fault>().map(|fault| fault.to_string()), Ok(text.to_owned()));
        }
        for (name, what) in PLAIN {
            assert_eq!((what.to_string().as_str(), name.parse()), (name, Ok(what)));
        }
        assert!("fetch:nothing".parse::<Fault>().is_err());
    }

    #[test]
    fn a_fault_strikes_at_its_requests_alone() {
        let armed = Armed::new(Fault::new(Api::Fetch, What::Cut).at(2).times(2));
        let strikes: Vec<bool> = (0..5).map(|_| armed.is_struck()).collect();
        assert_eq!(strikes, [false, true, true, false, false]);
        assert_eq!(armed.struck(), 2);
    }
}
