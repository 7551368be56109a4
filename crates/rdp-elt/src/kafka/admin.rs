//! A client of librdkafka that asks a cluster about itself, in safe clothes: how a question is sent, how long its answer
//! is waited for, and what is made of silence. The questions are in [`question`](super::question);
//! [`Cluster`](super::Cluster) gives them meaning.

use std::cell::Cell;
use std::ffi::c_int;
use std::ptr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka_sys as ffi;

use super::description::TopicDescription;
use super::error::{from_code, from_kafka, from_look_up};
use super::foreign::{Owned, code_of, millis, slice_of, text};
use super::watch::Watch;
use crate::error::{Error, Result};

/// A client of a cluster that reads nothing and joins nothing.
pub(crate) struct Admin {
    client: Client<Watch>,
    /// Whether any answer has come so far.
    answered: AtomicBool,
}

pub(super) struct Metadata {
    /// A broker that can be asked.
    broker: i32,
    pub(super) topics: Vec<TopicDescription>,
}

impl Admin {
    pub(crate) fn new(config: &ClientConfig) -> Result<Self> {
        let doing = "open a client";
        let native = config.create_native_config().map_err(|error| from_kafka(doing, error))?;
        // SAFETY: the configuration is alive. Errors come as events on the main queue, which `drain` reads.
        unsafe { ffi::rd_kafka_conf_set_events(native.ptr(), ffi::RD_KAFKA_EVENT_ERROR) };
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_CONSUMER, Watch::default())
            .map_err(|error| from_kafka(doing, error))?;
        Ok(Admin { client, answered: AtomicBool::new(false) })
    }

    /// Whether the brokers have answered this client: one that heard nothing yet is not deaf.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::SeqCst)
    }

    /// The cluster's id; `None` where the broker has none to tell. After any other answer it is known.
    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.client.fetch_cluster_id(CLUSTER_ID_WAIT)
    }

    /// Waits for a sign of life.
    pub(crate) fn reach(&self, doing: &str, wait: Duration) -> Result<()> {
        self.metadata(&Patience::new(self, doing, wait), false).map(drop)
    }

    /// Every topic that we may see, with its number of partitions and without its id.
    pub(crate) fn all_topics(&self, doing: &str, wait: Duration) -> Result<Vec<TopicDescription>> {
        Ok(self.metadata(&Patience::new(self, doing, wait), true)?.topics)
    }

    pub(super) fn metadata(&self, patience: &Patience<'_>, all_topics: bool) -> Result<Metadata> {
        let mut slice = Duration::from_millis(500);
        loop {
            let error = match self.metadata_once(all_topics, patience.slice(slice)) {
                Ok((metadata, true)) => {
                    self.note_answer();
                    return Ok(metadata);
                }
                // Who answers so is fenced or has just started, and knows nothing of the rest either.
                Ok((_, false)) => {
                    Error::unavailable(format!("{}: a broker answers, and lists no broker", patience.doing))
                        .with_help("it has lost its controller, or was frozen: wait for it, or mend it")
                }
                Err(code) if passes(code) => patience.silence(),
                Err(code) => from_look_up(patience.doing, code, None),
            };
            if !error.is_retryable() || patience.is_over() {
                return Err(error);
            }
            patience.pause();
            slice *= 2;
        }
    }

    pub(super) fn native_ptr(&self) -> *mut ffi::rd_kafka_t {
        self.client.native_ptr()
    }

    /// What was answered, and whether it lists any broker.
    fn metadata_once(&self, all_topics: bool, wait: Duration) -> Result<(Metadata, bool), RDKafkaErrorCode> {
        let mut answer = ptr::null();
        // SAFETY: without a topic handle the call asks for all topics or for none; the answer is ours to destroy.
        let code = unsafe {
            ffi::rd_kafka_metadata(
                self.client.native_ptr(),
                c_int::from(all_topics),
                ptr::null_mut(),
                &mut answer,
                millis(wait),
            )
        };
        if let Some(code) = code_of(code) {
            return Err(code);
        }
        // SAFETY: the answer is valid after success; names are copied before it is destroyed.
        unsafe {
            let metadata: &ffi::rd_kafka_metadata = &*answer;
            let topics = slice_of(metadata.topics, usize::try_from(metadata.topic_cnt).unwrap_or(0))
                .iter()
                .map(|topic| TopicDescription {
                    name: text(topic.topic).into(),
                    partition_count: topic.partition_cnt,
                    topic_id: String::new(),
                    error: code_of(topic.err),
                })
                .collect();
            let brokers = slice_of(metadata.brokers, usize::try_from(metadata.broker_cnt).unwrap_or(0));
            let brokers: Vec<i32> = brokers.iter().map(|broker| broker.id).filter(|id| *id >= 0).collect();
            // A bootstrap address has no id of its own, and who answered may be about to leave.
            let answered_by = Some(metadata.orig_broker_id).filter(|id| brokers.contains(id));
            let broker = answered_by.or_else(|| brokers.first().copied());
            ffi::rd_kafka_metadata_destroy(answer);
            Ok((Metadata { broker: broker.unwrap_or(-1), topics }, broker.is_some()))
        }
    }

    pub(super) fn options(
        &self,
        patience: &Patience<'_>,
        operation: ffi::rd_kafka_admin_op_t,
    ) -> Result<Owned<ffi::rd_kafka_AdminOptions_t>> {
        // SAFETY: the client is alive.
        let options = unsafe { ffi::rd_kafka_AdminOptions_new(self.client.native_ptr(), operation) };
        let options = Owned::new(options, ffi::rd_kafka_AdminOptions_destroy)?;
        // SAFETY: the options are alive; no text is asked for. A refused timeout leaves librdkafka's own, which
        // `ask` cuts short.
        unsafe {
            ffi::rd_kafka_AdminOptions_set_request_timeout(
                options.as_ptr(),
                millis(patience.share()),
                ptr::null_mut(),
                0,
            )
        };
        Ok(options)
    }

    /// Options of a request that every broker can answer. librdkafka would wait for the controller.
    pub(super) fn options_for_any_broker(
        &self,
        patience: &Patience<'_>,
        operation: ffi::rd_kafka_admin_op_t,
    ) -> Result<Owned<ffi::rd_kafka_AdminOptions_t>> {
        let broker = self.metadata(patience, false)?.broker;
        let options = self.options(patience, operation)?;
        // SAFETY: the options are alive; no text is asked for.
        let code = unsafe { ffi::rd_kafka_AdminOptions_set_broker(options.as_ptr(), broker, ptr::null_mut(), 0) };
        match code_of(code) {
            Some(code) => Err(from_code(patience.doing, code, None)),
            None => Ok(options),
        }
    }

    /// Sends a request once and waits for its answer. An error that is retryable says that there was none.
    pub(super) fn ask(
        &self,
        patience: &Patience<'_>,
        send: impl FnOnce(*mut ffi::rd_kafka_queue_t),
    ) -> Result<Owned<ffi::rd_kafka_event_t>> {
        // SAFETY: the client is alive.
        let queue = unsafe { ffi::rd_kafka_queue_new(self.client.native_ptr()) };
        let queue = Owned::new(queue, ffi::rd_kafka_queue_destroy)?;
        // librdkafka answers by itself when a request's time is over, and looks once a second whether it is.
        let deadline = Instant::now() + patience.share() + Duration::from_secs(2);
        send(queue.as_ptr());
        loop {
            // SAFETY: the queue is alive; the event is ours to destroy.
            let event = unsafe { ffi::rd_kafka_queue_poll(queue.as_ptr(), millis(patience.slice(ANSWER_SLICE))) };
            if event.is_null() {
                if patience.is_over() || Instant::now() > deadline {
                    return Err(patience.silence());
                }
                continue;
            }
            let event = Owned::new(event, ffi::rd_kafka_event_destroy)?;
            // SAFETY: the event is alive.
            let (code, reason) = unsafe {
                (
                    code_of(ffi::rd_kafka_event_error(event.as_ptr())),
                    text(ffi::rd_kafka_event_error_string(event.as_ptr())),
                )
            };
            return match code {
                None => {
                    self.note_answer();
                    Ok(event)
                }
                Some(code) if passes(code) => {
                    self.drain();
                    Err(patience.silence())
                }
                Some(code) => Err(from_look_up(patience.doing, code, Some(&reason))),
            };
        }
    }

    /// An answer came: what was wrong before is over.
    fn note_answer(&self) {
        self.answered.store(true, Ordering::SeqCst);
        self.drain();
        self.client.context().clear();
    }

    /// Reads what librdkafka has to tell beside its answers: errors and log lines.
    fn drain(&self) {
        // SAFETY: the client is alive; the handle to its main queue is ours to destroy.
        let queue = unsafe { ffi::rd_kafka_queue_get_main(self.client.native_ptr()) };
        let Ok(queue) = Owned::new(queue, ffi::rd_kafka_queue_destroy) else { return };
        loop {
            // SAFETY: the queue is alive; the event is ours to destroy.
            let event = unsafe { ffi::rd_kafka_queue_poll(queue.as_ptr(), 0) };
            let Ok(event) = Owned::new(event, ffi::rd_kafka_event_destroy) else { return };
            tell(self.client.context(), event.as_ptr());
        }
    }
}

/// How long one look-up goes on, with all the requests that it takes.
pub(super) struct Patience<'a> {
    admin: &'a Admin,
    pub(super) doing: &'a str,
    began: Instant,
    wait: Duration,
    /// What the first request gets of it.
    first: Duration,
    pause: Cell<Duration>,
}

impl<'a> Patience<'a> {
    pub(super) fn new(admin: &'a Admin, doing: &'a str, wait: Duration) -> Self {
        Patience { admin, doing, began: Instant::now(), wait, first: wait / 3, pause: Cell::new(SHORTEST_PAUSE) }
    }

    /// For one request that is not sent again.
    pub(super) fn of_one_request(admin: &'a Admin, doing: &'a str, wait: Duration) -> Self {
        Patience { first: wait, ..Self::new(admin, doing, wait) }
    }

    /// The time that is left.
    fn left(&self) -> Duration {
        self.wait.saturating_sub(self.began.elapsed())
    }

    /// `wanted`, or less where less time is left.
    fn slice(&self, wanted: Duration) -> Duration {
        wanted.min(self.left()).max(Duration::from_millis(1))
    }

    /// How long one request is waited for: an answer that got lost leaves time to ask again.
    fn share(&self) -> Duration {
        if self.began.elapsed() < self.first { self.first } else { self.slice(self.wait) }
    }

    /// Whether the time is over, or librdkafka has said things that make waiting on vain.
    pub(super) fn is_over(&self) -> bool {
        self.admin.drain();
        let limit = self.admin.client.context().patience().map_or(self.wait, |patience| patience.min(self.wait));
        self.began.elapsed() >= limit
    }

    /// Waits before the next look, longer each time.
    pub(super) fn pause(&self) {
        let pause = self.pause.get();
        std::thread::sleep(self.slice(pause));
        self.pause.set((pause * 2).min(LONGEST_PAUSE));
    }

    /// Why nothing came.
    pub(super) fn silence(&self) -> Error {
        self.admin.client.context().timeout(self.doing)
    }
}

/// Codes that say no more than that nobody answered.
fn passes(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::BrokerTransportFailure
            | RDKafkaErrorCode::OperationTimedOut
            | RDKafkaErrorCode::TimedOutQueue
    )
}

fn tell(watch: &Watch, event: *mut ffi::rd_kafka_event_t) {
    // SAFETY: the caller holds the event; texts are copied before it is destroyed.
    unsafe {
        match ffi::rd_kafka_event_type(event) {
            ffi::RD_KAFKA_EVENT_ERROR => {
                let code = RDKafkaErrorCode::from(ffi::rd_kafka_event_error(event));
                watch.error(KafkaError::Global(code), &text(ffi::rd_kafka_event_error_string(event)));
            }
            ffi::RD_KAFKA_EVENT_LOG => {
                let (mut facility, mut message, mut level) = (ptr::null(), ptr::null(), 0);
                if ffi::rd_kafka_event_log(event, &mut facility, &mut message, &mut level) == 0 {
                    watch.log(log_level(level), &text(facility), &text(message));
                }
            }
            _ => {}
        }
    }
}

fn log_level(syslog: c_int) -> RDKafkaLogLevel {
    match syslog {
        ..=3 => RDKafkaLogLevel::Error,
        4 => RDKafkaLogLevel::Warning,
        5 => RDKafkaLogLevel::Notice,
        6 => RDKafkaLogLevel::Info,
        _ => RDKafkaLogLevel::Debug,
    }
}

const ANSWER_SLICE: Duration = Duration::from_millis(100);
const CLUSTER_ID_WAIT: Duration = Duration::from_secs(2);
/// A leader is elected within seconds; asking is cheap.
const SHORTEST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_millis(800);
