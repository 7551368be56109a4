//! The calls of librdkafka that ask a cluster about itself, in safe clothes: metadata, list offsets, describe topics and
//! configs. Blocking, each with a deadline. [`Cluster`](super::Cluster) gives them meaning.

use std::collections::BTreeSet;
use std::ffi::{c_char, c_int};
use std::ptr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::{Client, ClientContext};
use rdkafka::config::{ClientConfig, RDKafkaLogLevel};
use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaErrorCode, RDKafkaType};
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as ffi;

use super::builder::Isolation;
use super::error::{from_code, from_kafka};
use super::foreign::{Owned, c_string, code_of, millis, slice_of, text};
use super::watch::Watch;
use crate::error::{Error, Result};
use crate::offset::TopicPartition;

/// A client of a cluster that reads nothing and joins nothing.
pub(crate) struct Admin {
    client: Client<Watch>,
    timeout: Duration,
}

struct Metadata {
    answered_by: i32,
    topics: Vec<TopicDescription>,
}

/// What the cluster says of one topic.
#[derive(Debug)]
pub(crate) struct TopicDescription {
    pub(crate) name: Arc<str>,
    pub(crate) partition_count: i32,
    /// Empty where the broker has none to tell.
    pub(crate) topic_id: String,
    pub(crate) error: Option<RDKafkaErrorCode>,
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

    /// One offset of each partition: its beginning, its end (under `ReadCommitted` the last stable offset), or the first
    /// at or after a time in milliseconds; `-1` where nothing is that late.
    pub(crate) fn list_offsets(
        &self,
        doing: &str,
        of: &[TopicPartition],
        at: Offset,
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        if of.is_empty() {
            return Ok(Vec::new());
        }
        let mut list = TopicPartitionList::with_capacity(of.len());
        for partition in of.iter().collect::<BTreeSet<_>>() {
            c_string(doing, &partition.topic)?;
            list.add_partition_offset(&partition.topic, partition.partition, at)
                .map_err(|error| from_kafka(&format!("{doing}: {partition}"), error))?;
        }
        let isolation = match isolation {
            Isolation::ReadCommitted => ffi::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            Isolation::ReadUncommitted => ffi::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        };
        let options = self.options(ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS)?;
        // SAFETY: the options are alive; the error that may come back is ours to destroy.
        unsafe {
            let refused = ffi::rd_kafka_AdminOptions_set_isolation_level(options.as_ptr(), isolation);
            if !refused.is_null() {
                ffi::rd_kafka_error_destroy(refused);
                return Err(Error::internal(format!("{doing}: librdkafka refuses the isolation level")));
            }
        }
        let event = self.ask(doing, |queue| {
            // SAFETY: client, list, options and queue live until the answer; librdkafka copies list and options.
            unsafe { ffi::rd_kafka_ListOffsets(self.client.native_ptr(), list.ptr(), options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a ListOffsets result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_ListOffsets_result(event.as_ptr());
            let mut count = 0;
            let infos = ffi::rd_kafka_ListOffsets_result_infos(result, &mut count);
            slice_of(infos, count)
                .iter()
                .map(|info| {
                    let answer = &*ffi::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                    let partition = TopicPartition::new(text(answer.topic), answer.partition);
                    match code_of(answer.err) {
                        Some(code) => Err(from_code(&format!("{doing}: {partition}"), code, None)),
                        None => Ok((partition, answer.offset)),
                    }
                })
                .collect()
        }
    }

    /// What the cluster says of these topics; a topic that it does not have bears an error.
    pub(crate) fn describe_topics(&self, doing: &str, names: &[&str]) -> Result<Vec<TopicDescription>> {
        if names.is_empty() {
            return Ok(Vec::new());
        }
        let names = names.iter().map(|name| c_string(doing, name)).collect::<Result<Vec<_>>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names outlive the call, which copies them.
        let topics = unsafe { ffi::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
        let topics = Owned::new(topics, ffi::rd_kafka_TopicCollection_destroy)?;
        let options = self.options_for_any_broker(doing, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS)?;
        let event = self.ask(doing, |queue| {
            // SAFETY: as in `list_offsets`.
            unsafe { ffi::rd_kafka_DescribeTopics(self.client.native_ptr(), topics.as_ptr(), options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a DescribeTopics result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_DescribeTopics_result(event.as_ptr());
            let mut count = 0;
            let described = ffi::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            Ok(slice_of(described, count).iter().map(|topic| read_description(*topic)).collect())
        }
    }

    /// The value of one key of a topic's configuration.
    pub(crate) fn topic_config(&self, doing: &str, topic: &str, key: &str) -> Result<Option<String>> {
        let topic = c_string(doing, topic)?;
        // SAFETY: the name outlives the call, which copies it.
        let resource = unsafe {
            ffi::rd_kafka_ConfigResource_new(ffi::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, topic.as_ptr())
        };
        let resource = Owned::new(resource, ffi::rd_kafka_ConfigResource_destroy)?;
        let options =
            self.options_for_any_broker(doing, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS)?;
        let event = self.ask(doing, |queue| {
            let mut resources = [resource.as_ptr()];
            // SAFETY: as in `list_offsets`.
            unsafe {
                ffi::rd_kafka_DescribeConfigs(
                    self.client.native_ptr(),
                    resources.as_mut_ptr(),
                    resources.len(),
                    options.as_ptr(),
                    queue,
                );
            }
        })?;
        // SAFETY: the event is a DescribeConfigs result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_DescribeConfigs_result(event.as_ptr());
            let mut count = 0;
            let resources = ffi::rd_kafka_DescribeConfigs_result_resources(result, &mut count);
            let Some(resource) = slice_of(resources, count).first() else { return Ok(None) };
            if let Some(code) = code_of(ffi::rd_kafka_ConfigResource_error(*resource)) {
                return Err(from_code(doing, code, None));
            }
            let entries = ffi::rd_kafka_ConfigResource_configs(*resource, &mut count);
            let entry = slice_of(entries, count).iter().find(|e| text(ffi::rd_kafka_ConfigEntry_name(**e)) == key);
            Ok(entry.map(|entry| text(ffi::rd_kafka_ConfigEntry_value(*entry))))
        }
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

    fn options(&self, operation: ffi::rd_kafka_admin_op_t) -> Result<Owned<ffi::rd_kafka_AdminOptions_t>> {
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
    fn options_for_any_broker(
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
    fn ask(&self, doing: &str, send: impl FnOnce(*mut ffi::rd_kafka_queue_t)) -> Result<Owned<ffi::rd_kafka_event_t>> {
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
struct Patience<'a> {
    admin: &'a Admin,
    doing: &'a str,
    began: Instant,
}

impl<'a> Patience<'a> {
    fn new(admin: &'a Admin, doing: &'a str) -> Self {
        Patience { admin, doing, began: Instant::now() }
    }

    /// `wanted`, or less where less time is left.
    fn slice(&self, wanted: Duration) -> Duration {
        let left = self.admin.timeout.saturating_sub(self.began.elapsed());
        wanted.min(left).max(Duration::from_millis(1))
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

/// # Safety
/// `topic` is one of a living DescribeTopics result.
unsafe fn read_description(topic: *const ffi::rd_kafka_TopicDescription_t) -> TopicDescription {
    // SAFETY: what is read belongs to the result and is copied.
    unsafe {
        let mut partition_count = 0;
        ffi::rd_kafka_TopicDescription_partitions(topic, &mut partition_count);
        let error = ffi::rd_kafka_TopicDescription_error(topic);
        TopicDescription {
            name: text(ffi::rd_kafka_TopicDescription_name(topic)).into(),
            partition_count: i32::try_from(partition_count).unwrap_or(i32::MAX),
            topic_id: topic_id(ffi::rd_kafka_TopicDescription_topic_id(topic)),
            error: if error.is_null() { None } else { code_of(ffi::rd_kafka_error_code(error)) },
        }
    }
}

/// The id as Kafka's own tools print it.
///
/// # Safety
/// `id` is null or alive.
unsafe fn topic_id(id: *const ffi::rd_kafka_Uuid_t) -> String {
    if id.is_null() {
        return String::new();
    }
    // SAFETY: by this function's contract.
    let (high, low) =
        unsafe { (ffi::rd_kafka_Uuid_most_significant_bits(id), ffi::rd_kafka_Uuid_least_significant_bits(id)) };
    if (high, low) == (0, 0) {
        return String::new();
    }
    URL_SAFE_NO_PAD.encode([high.to_be_bytes(), low.to_be_bytes()].concat())
}

const ANSWER_SLICE: Duration = Duration::from_millis(100);
const CLUSTER_ID_WAIT: Duration = Duration::from_secs(2);
