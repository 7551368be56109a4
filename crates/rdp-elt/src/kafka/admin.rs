//! A client of librdkafka that asks a cluster about itself, in safe clothes: how a question is sent, how long its answer
//! is waited for, and what is made of silence. The questions are in [`question`](super::question);
//! [`Cluster`](super::Cluster) gives them meaning.

use std::ffi::c_int;
use std::ptr;
use std::time::{Duration, Instant};

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka_sys as ffi;

use super::error::{from_code, from_kafka};
use super::foreign::{Owned, code_of, millis, slice_of, text};
use super::question::TopicDescription;
use super::watch::Watch;
use crate::error::Result;

/// A client of a cluster that reads nothing and joins nothing.
pub(crate) struct Admin {
    client: Client<Watch>,
    timeout: Duration,
}

struct Metadata {
    answered_by: i32,
    topics: Vec<TopicDescription>,
}

impl Admin {
    pub(crate) fn new(config: &ClientConfig, timeout: Duration) -> Result<Self> {
        let doing = "open a client";
        let native = config.create_native_config().map_err(|error| from_kafka(doing, error))?;
        // SAFETY: the configuration is alive. Errors come as events on the main queue, which `drain` reads.
        unsafe { ffi::rd_kafka_conf_set_events(native.ptr(), ffi::RD_KAFKA_EVENT_ERROR) };
        let client = Client::new(config, native, RDKafkaType::RD_KAFKA_CONSUMER, Watch::default())
            .map_err(|error| from_kafka(doing, error))?;
        Ok(Admin { client, timeout })
    }

    /// Sets the longest wait of every later call.
    pub(crate) fn set_timeout(&mut self, timeout: Duration) {
        self.timeout = timeout;
    }

    /// The cluster's id; `None` where the broker does not tell in time.
    pub(crate) fn cluster_id(&self) -> Option<String> {
        self.client.fetch_cluster_id(CLUSTER_ID_WAIT)
    }

    /// Every topic that we may see, with its number of partitions and without its id.
    pub(crate) fn all_topics(&self, doing: &str) -> Result<Vec<TopicDescription>> {
        Ok(self.metadata(doing, true)?.topics)
    }

    /// The id of a broker that answers.
    pub(crate) fn living_broker(&self, doing: &str) -> Result<i32> {
        Ok(self.metadata(doing, false)?.answered_by)
    }

    fn metadata(&self, doing: &str, all_topics: bool) -> Result<Metadata> {
        let patience = Patience::new(self, doing);
        let mut slice = Duration::from_millis(500);
        loop {
            match self.metadata_once(all_topics, patience.slice(slice)) {
                Ok(metadata) => {
                    self.forget_trouble();
                    return Ok(metadata);
                }
                Err(code) if passes(code) => patience.check()?,
                Err(code) => return Err(from_code(doing, code, None)),
            }
            slice *= 2;
        }
    }

    pub(super) fn native_ptr(&self) -> *mut ffi::rd_kafka_t {
        self.client.native_ptr()
    }

    fn metadata_once(&self, all_topics: bool, wait: Duration) -> Result<Metadata, RDKafkaErrorCode> {
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
            let answered_by = metadata.orig_broker_id;
            ffi::rd_kafka_metadata_destroy(answer);
            Ok(Metadata { answered_by, topics })
        }
    }

    pub(super) fn options(&self, operation: ffi::rd_kafka_admin_op_t) -> Result<Owned<ffi::rd_kafka_AdminOptions_t>> {
        // SAFETY: the client is alive.
        let options = unsafe { ffi::rd_kafka_AdminOptions_new(self.client.native_ptr(), operation) };
        let options = Owned::new(options, ffi::rd_kafka_AdminOptions_destroy)?;
        // SAFETY: the options are alive; no text is asked for. A refused timeout leaves librdkafka's own, which
        // `ask` cuts short.
        unsafe {
            ffi::rd_kafka_AdminOptions_set_request_timeout(options.as_ptr(), millis(self.timeout), ptr::null_mut(), 0)
        };
        Ok(options)
    }

    /// Options of a request that every broker can answer. librdkafka would wait for the controller.
    pub(super) fn options_for_any_broker(
        &self,
        doing: &str,
        operation: ffi::rd_kafka_admin_op_t,
    ) -> Result<Owned<ffi::rd_kafka_AdminOptions_t>> {
        let options = self.options(operation)?;
        let broker = self.living_broker(doing)?;
        // SAFETY: the options are alive; no text is asked for.
        let code = unsafe { ffi::rd_kafka_AdminOptions_set_broker(options.as_ptr(), broker, ptr::null_mut(), 0) };
        match code_of(code) {
            Some(code) => Err(from_code(doing, code, None)),
            None => Ok(options),
        }
    }

    /// Sends a request and waits for its answer.
    pub(super) fn ask(
        &self,
        doing: &str,
        send: impl FnOnce(*mut ffi::rd_kafka_queue_t),
    ) -> Result<Owned<ffi::rd_kafka_event_t>> {
        // SAFETY: the client is alive.
        let queue = unsafe { ffi::rd_kafka_queue_new(self.client.native_ptr()) };
        let queue = Owned::new(queue, ffi::rd_kafka_queue_destroy)?;
        send(queue.as_ptr());
        let patience = Patience::new(self, doing);
        loop {
            // SAFETY: the queue is alive; the event is ours to destroy.
            let event = unsafe { ffi::rd_kafka_queue_poll(queue.as_ptr(), millis(patience.slice(ANSWER_SLICE))) };
            if event.is_null() {
                patience.check()?;
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
                    self.forget_trouble();
                    Ok(event)
                }
                Some(code) if passes(code) => {
                    self.drain();
                    Err(self.client.context().timeout(doing))
                }
                Some(code) => Err(from_code(doing, code, Some(&reason))),
            };
        }
    }

    /// An answer came: what was wrong before is over.
    fn forget_trouble(&self) {
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

/// How long one call goes on waiting.
pub(super) struct Patience<'a> {
    admin: &'a Admin,
    doing: &'a str,
    began: Instant,
}

impl<'a> Patience<'a> {
    pub(super) fn new(admin: &'a Admin, doing: &'a str) -> Self {
        Patience { admin, doing, began: Instant::now() }
    }

    /// `wanted`, or less where less time is left.
    fn slice(&self, wanted: Duration) -> Duration {
        let left = self.admin.timeout.saturating_sub(self.began.elapsed());
        wanted.min(left).max(Duration::from_millis(1))
    }

    pub(super) fn is_over(&self) -> bool {
        self.began.elapsed() >= self.admin.timeout
    }

    /// Fails where the time is over, or where librdkafka has said things that make waiting on vain.
    fn check(&self) -> Result<()> {
        self.admin.drain();
        let watch = self.admin.client.context();
        let limit = watch.patience().map_or(self.admin.timeout, |patience| patience.min(self.admin.timeout));
        if self.began.elapsed() >= limit {
            return Err(watch.timeout(self.doing));
        }
        Ok(())
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
