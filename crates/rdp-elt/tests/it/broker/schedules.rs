//! Fuzz on the wire: many seeded schedules of faults side by side, each on a topic, a proxy and a loader of its own.
//!
//! Whatever a broker answers for some seconds, what was landed in the end is what it had, a bounded run ends and has all,
//! an endless one goes on, and nobody waits for long without saying so. `RDP_SCHEDULES=5000` tries that many, from seed
//! `RDP_SEED` on; `RDP_SCHEDULE="seed=7 load alone …"` tries one again, as it was printed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdp_elt::kafka::{KafkaConsumerBuilder, WindowLimits};
use rdp_elt::sink::MemorySink;
use rdp_elt::{ErrorKind, LoadEvent, LoadReport, LoaderOptions, Result, Until};
use rdp_testing::wire::{Injected, Mode, Schedule, WireProxy};
use rdp_testing::{KafkaServer, Record, Topic};

use super::{Produced, Running, assert_landed, landed};
use crate::{assert_tiles, land, loader, source};

#[test]
#[ignore = "needs Apache Kafka"]
fn whatever_brokers_answer_for_a_while_lands_once_and_nothing_waits_in_silence() {
    let broker = KafkaServer::start();
    let schedules: Vec<Schedule> = match std::env::var("RDP_SCHEDULE") {
        Ok(line) => vec![line.parse().expect("a schedule as it was printed")],
        Err(_) => {
            let first = number("RDP_SEED", 1);
            (first..first + number("RDP_SCHEDULES", 240)).map(Schedule::generate).collect()
        }
    };
    let (next, struck, failed) = (AtomicU64::new(0), AtomicU64::new(0), Mutex::new(Vec::new()));
    let began = Instant::now();
    thread::scope(|scope| {
        for _ in 0..SIDE_BY_SIDE.min(schedules.len()) {
            scope.spawn(|| {
                while let Some(schedule) = schedules.get(next.fetch_add(1, Ordering::SeqCst) as usize) {
                    let outcome = catch_unwind(AssertUnwindSafe(|| Trial::start(&broker, schedule).run()));
                    match outcome {
                        Ok(strikes) => _ = struck.fetch_add(strikes, Ordering::SeqCst),
                        Err(panic) => {
                            let why = format!("{schedule}\n  {}", text_of(&*panic));
                            println!("FAILED {why}");
                            failed.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                        }
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let (count, struck) = (schedules.len(), struck.into_inner());
    println!("{count} schedules, {struck} strikes, {} failed, in {:?}", failed.len(), began.elapsed());
    assert!(failed.is_empty(), "{} of {count} schedules failed:\n{}", failed.len(), failed.join("\n"));
    assert!(count == 1 || struck > count as u64, "the faults hardly struck: {struck} times");
}

/// One schedule at work.
struct Trial<'a> {
    schedule: &'a Schedule,
    topic: Topic,
    proxy: WireProxy,
    produced: Produced,
    sink: Arc<MemorySink>,
    signs: Arc<Signs>,
    running: Running,
    injected: Vec<Injected>,
    began: Instant,
}

impl<'a> Trial<'a> {
    fn start(broker: &KafkaServer, schedule: &'a Schedule) -> Self {
        let topic = broker.create_topic("wire", schedule.partitions);
        let proxy = WireProxy::start(broker);
        let (mut produced, sink, signs) = (Produced::default(), Arc::new(MemorySink::new()), Arc::new(Signs::new()));
        fill(&mut produced, &topic, schedule, 90);
        let seen = signs.clone();
        let limits = WindowLimits { max_records: 40, max_wait: Duration::from_millis(200), ..WindowLimits::default() };
        let options = LoaderOptions {
            lanes: schedule.mode.lanes(),
            memory_bytes: 8 << 20,
            retry_cap: Duration::from_millis(500),
            give_up_after: Some(Schedule::GIVE_UP_AFTER),
        };
        let mut injected = Vec::new();
        let now = schedule.faults.iter().filter(|(at, _)| at.is_zero());
        injected.extend(now.map(|(_, fault)| proxy.inject(fault.clone())));
        let through = topic.through(&proxy.address());
        let loader = loader(described(&through, schedule.mode), &sink).with_limits(limits).with_options(options);
        let loader = loader.with_observer(move |event| seen.note(&event));
        let until = if schedule.endless { Until::Stopped } else { Until::LogEnd };
        let running = Running::start(loader, until);
        Trial { schedule, topic, proxy, produced, sink, signs, running, injected, began: Instant::now() }
    }

    /// Panics with what went wrong; returns how often a fault struck.
    fn run(mut self) -> u64 {
        let mut later: Vec<_> = self.schedule.faults.iter().filter(|(at, _)| !at.is_zero()).collect();
        later.sort_by_key(|(at, _)| *at);
        for (at, fault) in later {
            self.sleep_until(*at);
            self.injected.push(self.proxy.inject(fault.clone()));
        }
        if self.schedule.endless {
            fill(&mut self.produced, &self.topic, self.schedule, 30);
        }
        self.sleep_until(self.schedule.time);
        self.proxy.lift();
        if self.schedule.endless {
            fill(&mut self.produced, &self.topic, self.schedule, 30);
        }
        self.wait();
        let Trial { schedule, topic, produced, sink, running, injected, began, .. } = self;
        let ended_by_itself = running.outcome.is_finished();
        let outcome = running.end_within(Duration::from_secs(30));
        check_end(schedule, &outcome, ended_by_itself, began.elapsed());
        let (got, wanted) = (landed(&sink, &topic).len(), produced.len());
        assert!(outcome.is_err() || got == wanted, "FALSE END: it ended well with {got} of {wanted} records landed");
        land(source(&topic), &sink).unwrap_or_else(|error| panic!("a clean load ends with {error:?}"));
        assert_exact(schedule, &sink, &topic, &produced);
        injected.iter().map(Injected::struck).sum()
    }

    fn sleep_until(&self, at: Duration) {
        while self.began.elapsed() < at && !self.running.outcome.is_finished() {
            thread::sleep(Duration::from_millis(10));
        }
    }

    /// Waits until it has ended, or has landed all of an endless run, which is then asked to stop.
    fn wait(&self) {
        let lifted = Instant::now();
        while !self.running.outcome.is_finished() {
            let is_complete = || landed(&self.sink, &self.topic).len() >= self.produced.len();
            if self.schedule.endless && is_complete() {
                break;
            }
            if lifted.elapsed() > BOUND || self.signs.silence() > LONGEST_SILENCE {
                let what = if lifted.elapsed() > BOUND { "HANG" } else { "SILENCE" };
                let (got, wanted) = (landed(&self.sink, &self.topic).len(), self.produced.len());
                let told = self.signs.last();
                let log = self.proxy.log();
                // It is left to itself, and does not outlive the test for long.
                self.running.stop.request();
                self.running.stop.request();
                panic!("{what}: {got} of {wanted} have landed; told last: {told}; requests: {log}");
            }
            thread::sleep(Duration::from_millis(30));
        }
        self.running.stop.request();
    }
}

/// Whether a run may end so under these faults.
fn check_end(schedule: &Schedule, outcome: &Result<LoadReport>, by_itself: bool, after: Duration) {
    let Err(error) = outcome else {
        assert!(!(schedule.endless && by_itself), "FALSE END: an endless run ended well by itself");
        return;
    };
    let kind = error.kind();
    let in_time = kind == ErrorKind::Unavailable && after >= Schedule::GIVE_UP_AFTER;
    assert!(in_time || schedule.fitting_kinds().contains(&kind.as_str()), "WRONG END after {after:.1?}: {error:?}");
}

pub(super) fn described(topic: &Topic, mode: Mode) -> KafkaConsumerBuilder {
    let group = format!("wire-{}", topic.name());
    let described = source(topic);
    let described = if mode.has_group() { described.group_id(group) } else { described };
    let settings = Schedule::SETTINGS.iter().chain(mode.settings());
    settings.fold(described, |source, (key, value)| source.set(*key, *value).expect("a librdkafka key"))
}

/// As [`assert_landed`], and where records came in transactions the ranges end behind the last marker.
fn assert_exact(schedule: &Schedule, sink: &MemorySink, topic: &Topic, produced: &Produced) {
    if !schedule.transactions {
        return assert_landed(sink, topic, produced);
    }
    let landed = landed(sink, topic);
    let lost: Vec<_> = produced.0.keys().filter(|place| !landed.contains_key(place)).take(10).collect();
    assert!(lost.is_empty(), "lost, among others: {lost:?}");
    assert!(landed == produced.0, "other records landed than were committed");
    for partition in 0..schedule.partitions {
        assert_tiles(sink, topic, partition, 0, topic.last_stable_offset(partition));
    }
}

/// Produces so many records to each partition in small batches; of those in transactions a third is aborted.
fn fill(produced: &mut Produced, topic: &Topic, schedule: &Schedule, count: usize) {
    let settings = [("batch.num.messages", "10"), ("linger.ms", "2")];
    produced.add_with(&settings, topic, 0..schedule.partitions, count);
    if !schedule.transactions {
        return;
    }
    let records = |from: usize| {
        let value = move |number: usize, partition: i32| format!("{from}-{number}-{partition}").into_bytes();
        let places = (0..10).flat_map(|number| (0..schedule.partitions).map(move |partition| (number, partition)));
        places.map(|(number, partition)| (partition, value(number, partition))).collect::<Vec<_>>()
    };
    for round in 0..3 {
        let records = records(count + round);
        let transaction = topic.transaction(Vec::<Record>::new());
        let sent = records.iter().map(|(partition, value)| Record::new(value.clone()).partition(*partition));
        let places = transaction.produce(sent);
        if round == 1 {
            transaction.abort();
            continue;
        }
        transaction.commit();
        for (place, (_, value)) in places.into_iter().zip(records) {
            produced.0.insert((place.partition, place.offset), value);
        }
    }
}

/// When the loader last landed something or said that it waits.
pub(super) struct Signs(Mutex<(Instant, String)>);

impl Signs {
    pub(super) fn new() -> Self {
        Signs(Mutex::new((Instant::now(), NOTHING.to_owned())))
    }

    pub(super) fn note(&self, event: &LoadEvent) {
        let told = match event {
            LoadEvent::Assigned { .. } | LoadEvent::Loaded { .. } | LoadEvent::Revoked { .. } => return,
            LoadEvent::Landed { ranges, .. } => format!("landed {ranges:?}"),
            other => format!("{other:?}"),
        };
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = (Instant::now(), told);
    }

    pub(super) fn silence(&self) -> Duration {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).0.elapsed()
    }

    /// Whether it ever said something.
    pub(super) fn has_told(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).1 != NOTHING
    }

    pub(super) fn last(&self) -> String {
        let last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        format!("{} {:.1?} ago", last.1, last.0.elapsed())
    }
}

pub(super) fn text_of(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().cloned();
    text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned())).unwrap_or_default()
}

fn number(variable: &str, default: u64) -> u64 {
    let text = std::env::var(variable).ok();
    text.map_or(default, |text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

const NOTHING: &str = "nothing";
const SIDE_BY_SIDE: usize = 24;
/// Faults have ended: what then takes longer does not end at all.
const BOUND: Duration = Duration::from_secs(60);
/// The longest that a loader may have something to land, not land it, and say nothing.
const LONGEST_SILENCE: Duration = Duration::from_secs(30);
