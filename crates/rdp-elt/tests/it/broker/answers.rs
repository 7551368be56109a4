//! Single answers that are wrong, missing or refused: what a loader makes of each.

use std::fmt::Debug;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rdp_elt::kafka::{KafkaConsumerBuilder, StartPosition, WindowLimits};
use rdp_elt::sink::MemorySink;
use rdp_elt::{ErrorKind, LoadReport, LoaderOptions, Result, Until};
use rdp_testing::wire::{Api, Fault, Mode, What, WireProxy};
use rdp_testing::{KafkaServer, Topic};

use super::schedules::{Signs, described};
use super::{Produced, Running, assert_landed, landed, wait_until, wait_within};
use crate::{land, loader, source};

/// A topic with records in many small batches, behind a proxy.
struct Stage {
    topic: Topic,
    proxy: WireProxy,
    produced: Produced,
    sink: Arc<MemorySink>,
    signs: Arc<Signs>,
}

impl Stage {
    fn new(partitions: i32, count: usize) -> Self {
        let broker = KafkaServer::shared();
        let topic = broker.create_topic("answers", partitions);
        let mut stage = Stage {
            proxy: WireProxy::start(broker),
            topic,
            produced: Produced::default(),
            sink: Arc::new(MemorySink::new()),
            signs: Arc::new(Signs::new()),
        };
        stage.produce(count);
        stage
    }

    fn produce(&mut self, count: usize) {
        let settings = [("batch.num.messages", "10")];
        self.produced.add_with(&settings, &self.topic, 0..self.topic.partitions(), count);
    }

    fn described(&self, mode: Mode) -> KafkaConsumerBuilder {
        described(&self.topic.through(&self.proxy.address()), mode)
    }

    fn start(&self, source: KafkaConsumerBuilder, until: Until, give_up_after: Duration) -> Running {
        let limits = WindowLimits { max_records: 50, max_wait: Duration::from_millis(200), ..WindowLimits::default() };
        let options = LoaderOptions {
            memory_bytes: 8 << 20,
            retry_cap: Duration::from_millis(500),
            give_up_after: Some(give_up_after),
            ..LoaderOptions::default()
        };
        let signs = self.signs.clone();
        let loader = loader(source, &self.sink).with_limits(limits).with_options(options);
        Running::start(loader.with_observer(move |event| signs.note(&event)), until)
    }

    /// Loads to the log's end under one fault; fails where the fault does not strike, or not all is landed.
    fn assert_landed_under(&self, mode: Mode, fault: Fault) {
        let injected = self.proxy.inject(fault);
        let running = self.start(self.described(mode), Until::LogEnd, Duration::from_secs(60));
        let report = running.end_within(Duration::from_secs(90)).unwrap_or_else(|error| panic!("{error:?}"));
        assert!(injected.struck() > 0, "the fault did not strike: {}", self.proxy.log());
        assert_eq!(report.record_count as usize, self.produced.len(), "it ended well and had not landed all");
        assert_landed(&self.sink, &self.topic, &self.produced);
    }

    /// Loads under a fault that lasts; fails where the loader does not say soon that it waits, or does not give up in
    /// time.
    fn assert_told_and_given_up(&self, mode: Mode, fault: Fault) {
        let injected = self.proxy.inject(fault.forever());
        let began = Instant::now();
        let running = self.start(self.described(mode), Until::LogEnd, Duration::from_secs(35));
        wait_within(TOLD_WITHIN, "it is told", || self.signs.has_told() || running.outcome.is_finished());
        let outcome = running.end_within(Duration::from_secs(70));
        assert!(injected.struck() > 0, "the fault did not strike: {}", self.proxy.log());
        let error = outcome.expect_err("it cannot end well");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
        assert!(began.elapsed() > Duration::from_secs(30), "it gave up after {:?}: {error:?}", began.elapsed());
        self.proxy.lift();
        land(source(&self.topic), &self.sink).expect("a clean load");
        assert_landed(&self.sink, &self.topic, &self.produced);
    }

    fn end_under(&self, mode: Mode, fault: Fault) -> Result<LoadReport> {
        let injected = self.proxy.inject(fault.forever());
        let running = self.start(self.described(mode), Until::LogEnd, Duration::from_secs(60));
        let outcome = running.end_within(Duration::from_secs(40));
        assert!(injected.struck() > 0, "the fault did not strike: {}", self.proxy.log());
        outcome
    }
}

/// Tries all cases at the same time, since they mostly wait; fails with each that panics.
fn each<C: Debug + Sync>(cases: &[C], check: impl Fn(&C) + Sync) {
    let failed = Mutex::new(Vec::new());
    thread::scope(|scope| {
        for case in cases {
            let (check, failed) = (&check, &failed);
            scope.spawn(move || {
                let outcome = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| check(case)));
                if let Err(panic) = outcome {
                    let why = format!("{case:?}: {}", super::schedules::text_of(&*panic));
                    failed.lock().unwrap_or_else(PoisonError::into_inner).push(why);
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    assert!(failed.is_empty(), "{} of {}:\n{}", failed.len(), cases.len(), failed.join("\n"));
}

/// librdkafka counts the error as a record, and what is only kept over a rebalance it reads on from behind that.
#[test]
#[ignore = "needs Apache Kafka"]
fn a_fetch_error_before_a_rebalance_loses_no_record() {
    let mut stage = Stage::new(4, 25);
    let patience = Duration::from_secs(60);
    let [running, leaving] =
        [(); 2].map(|()| stage.start(stage.described(Mode::Cooperative), Until::Stopped, patience));
    running.wait_until_landed(&stage.sink, &stage.topic, stage.produced.len());
    // Both have their share by now.
    thread::sleep(Duration::from_secs(3));
    let fault = |partition| Fault::new(Api::Fetch, What::PartitionError(-1)).partition(partition);
    let injected: Vec<_> = (0..4).map(|partition| stage.proxy.inject(fault(partition))).collect();
    wait_until("the error has struck", || injected.iter().all(|one| one.struck() > 0));
    thread::sleep(Duration::from_millis(500));
    leaving.stop().expect("it ends well");
    thread::sleep(Duration::from_secs(2));
    stage.produce(6);
    wait_within(Duration::from_secs(30), "all has landed", || {
        landed(&stage.sink, &stage.topic).len() == stage.produced.len() || running.outcome.is_finished()
    });
    running.stop().expect("it ends well");
    assert_landed(&stage.sink, &stage.topic, &stage.produced);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_list_offsets_that_is_not_answered_is_asked_again() {
    let whats = [
        What::DropAnswer,
        What::CloseAfter,
        What::CloseBefore,
        What::Swallow,
        What::Short,
        What::Empty,
        What::NoPartition,
        What::NoOffset,
    ];
    let cases: Vec<_> = whats.into_iter().flat_map(|what| (1..=3).map(move |nth| (what, nth))).collect();
    each(&cases, |(what, nth)| {
        Stage::new(3, 100).assert_landed_under(Mode::Alone, Fault::new(Api::ListOffsets, *what).at(*nth));
    });
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_start_by_time_that_is_not_answered_is_asked_again() {
    let whats = [What::DropAnswer, What::CloseAfter, What::Swallow, What::Empty];
    let cases: Vec<_> = whats.into_iter().flat_map(|what| (1..=3).map(move |nth| (what, nth))).collect();
    each(&cases, |(what, nth)| {
        let stage = Stage::new(2, 50);
        let injected = stage.proxy.inject(Fault::new(Api::ListOffsets, *what).at(*nth));
        let source = stage.described(Mode::Alone).start(StartPosition::Time(1));
        let running = stage.start(source, Until::Stopped, Duration::from_secs(60));
        wait_within(Duration::from_secs(60), "all has landed", || {
            landed(&stage.sink, &stage.topic).len() == stage.produced.len() || running.outcome.is_finished()
        });
        running.stop().expect("it ends well");
        assert_landed(&stage.sink, &stage.topic, &stage.produced);
        assert!(injected.struck() > 0 || *nth > 2, "the fault did not strike: {}", stage.proxy.log());
    });
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_group_whose_leader_misses_the_topic_once_assigns_it_later() {
    let codes = [3, 5, 7].into_iter().map(What::TopicError).chain([What::NoTopic]);
    let modes = [Mode::Cooperative, Mode::Eager];
    let cases: Vec<_> = codes.flat_map(|what| modes.map(|mode| (what, mode))).collect();
    // Other clients ask too: the leader's own request is one of the first after it has joined.
    let cases: Vec<_> = cases.into_iter().flat_map(|case| (1..=2).map(move |nth| (case, nth))).collect();
    each(&cases, |((what, mode), nth)| {
        let fault = Fault::new(Api::Metadata, *what).at(*nth).after(Api::JoinGroup);
        Stage::new(2, 50).assert_landed_under(*mode, fault);
    });
}

#[test]
#[ignore = "needs Apache Kafka"]
fn what_goes_on_failing_is_told_soon_and_given_up_in_time() {
    let cases = [
        (Mode::Alone, Api::Fetch, What::PartitionError(3)),
        (Mode::Alone, Api::Fetch, What::PartitionError(56)),
        (Mode::Alone, Api::Fetch, What::PartitionError(75)),
        (Mode::Alone, Api::Fetch, What::Error(-1)),
        (Mode::Alone, Api::Fetch, What::Error(56)),
        (Mode::Alone, Api::Fetch, What::NoRecords),
        (Mode::Alone, Api::Fetch, What::Empty),
        (Mode::Alone, Api::Fetch, What::Short),
        (Mode::Alone, Api::Fetch, What::Swallow),
        (Mode::Alone, Api::Fetch, What::DropAnswer),
        (Mode::Alone, Api::ListOffsets, What::Swallow),
        (Mode::Lanes, Api::Fetch, What::PartitionError(3)),
        (Mode::Cooperative, Api::FindCoordinator, What::Error(15)),
        (Mode::Eager, Api::FindCoordinator, What::Swallow),
        (Mode::Cooperative, Api::JoinGroup, What::Error(14)),
        (Mode::Eager, Api::JoinGroup, What::DropAnswer),
        (Mode::Cooperative, Api::SyncGroup, What::Error(27)),
        (Mode::Consumer, Api::ConsumerGroupHeartbeat, What::Error(14)),
        (Mode::Consumer, Api::ConsumerGroupHeartbeat, What::Swallow),
        (Mode::Cooperative, Api::Fetch, What::PartitionError(3)),
    ];
    each(&cases, |(mode, api, what)| {
        Stage::new(2, 50).assert_told_and_given_up(*mode, Fault::new(*api, *what));
    });
}

/// librdkafka asks for twice as much each time, and in the end reports an error in the record's place.
#[test]
#[ignore = "needs Apache Kafka"]
fn fetches_that_bring_a_scrap_lose_no_record() {
    let scraps = [1, 20, 40].map(|times| (What::Scrap, times));
    let modes = [Mode::Alone, Mode::Cooperative];
    let cases: Vec<_> = scraps.into_iter().chain([(What::HalfBatch, 25), (What::HalfTail, 9)]).collect();
    let cases: Vec<_> = cases.iter().flat_map(|(what, times)| modes.map(|mode| (mode, *what, *times))).collect();
    each(&cases, |(mode, what, times)| {
        Stage::new(1, 100).assert_landed_under(*mode, Fault::new(Api::Fetch, *what).at(2).times(*times));
    });
}

#[test]
#[ignore = "needs Apache Kafka"]
fn one_bad_answer_at_the_start_is_not_believed() {
    let whats = [What::NoBrokers, What::NoTopic, What::Short, What::NoLeader, What::CloseAfter];
    let whats = whats.into_iter().chain([3, 5].map(What::TopicError));
    let cases: Vec<_> = whats.flat_map(|what| (1..=3).map(move |nth| (what, nth))).collect();
    each(&cases, |(what, nth)| {
        Stage::new(2, 50).assert_landed_under(Mode::Alone, Fault::new(Api::Metadata, *what).at(*nth));
    });
}

/// As a broker answers that was frozen and that the controller has given up. librdkafka then forgets even the brokers that
/// it was started with.
#[test]
#[ignore = "needs Apache Kafka"]
fn a_cluster_that_names_no_brokers_for_a_while_is_read_on() {
    each(&Mode::ALL, |mode| {
        let mut stage = Stage::new(2, 50);
        let running = stage.start(stage.described(*mode), Until::Stopped, Duration::from_secs(120));
        running.wait_until_landed(&stage.sink, &stage.topic, stage.produced.len());
        let no_brokers = stage.proxy.inject(Fault::new(Api::Metadata, What::NoBrokers).forever());
        // A connection that ends has it asked for metadata.
        stage.proxy.disconnect();
        thread::sleep(Duration::from_secs(5));
        stage.proxy.lift();
        stage.produce(20);
        let (sink, topic) = (stage.sink.clone(), stage.topic.clone());
        wait_within(Duration::from_secs(60), "all has landed", || {
            landed(&sink, &topic).len() == stage.produced.len() || running.outcome.is_finished()
        });
        assert!(no_brokers.struck() > 0, "no metadata was asked for: {}", stage.proxy.log());
        running.stop().expect("it ends well");
        assert_landed(&stage.sink, &stage.topic, &stage.produced);
    });
}

#[test]
#[ignore = "needs Apache Kafka"]
fn batches_that_come_out_of_order_lose_no_record() {
    let cases: Vec<_> = [Mode::Alone, Mode::Cooperative].into_iter().flat_map(|mode| [(mode, 1), (mode, 3)]).collect();
    each(&cases, |(mode, times)| {
        let stage = Stage::new(1, 200);
        stage.assert_landed_under(*mode, Fault::new(Api::Fetch, What::Swapped).times(*times));
    });
}

#[test]
#[ignore = "needs Apache Kafka"]
fn what_a_group_refuses_ends_the_run_by_its_kind() {
    let cases = [
        (Mode::Cooperative, Api::JoinGroup, 30, ErrorKind::Denied),
        (Mode::Eager, Api::FindCoordinator, 30, ErrorKind::Denied),
        (Mode::Consumer, Api::ConsumerGroupHeartbeat, 30, ErrorKind::Denied),
        (Mode::Cooperative, Api::JoinGroup, 26, ErrorKind::Config),
        (Mode::Eager, Api::JoinGroup, 23, ErrorKind::Config),
    ];
    each(&cases, |(mode, api, code, kind)| {
        let error = Stage::new(2, 50).end_under(*mode, Fault::new(*api, What::Error(*code))).expect_err("refused");
        assert_eq!(error.kind(), *kind, "{error:?}");
    });
}

/// A loader that does not land what it should says so within so long.
const TOLD_WITHIN: Duration = Duration::from_secs(30);
