//! What is asked of a cluster beside its metadata: offsets of partitions, topics and their ids, topic configurations.

use std::collections::BTreeMap;
use std::ffi::{CStr, c_char};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as ffi;

use super::admin::{Admin, Patience};
use super::builder::Isolation;
use super::description::{TopicDescription, is_missing};
use super::doubt::{Doubt, is_of_broker};
use super::error::{from_kafka, from_look_up};
use super::foreign::{Owned, c_string, code_of, slice_of, text};
use crate::error::{Error, ErrorKind, Result};
use crate::offset::TopicPartition;

/// When it is believed that a topic does not exist.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Missing {
    /// When look after look says so, the list of all topics too.
    Proved,
    /// When one answer says so: whoever asks counts them.
    Told,
}

impl Admin {
    /// One offset of each partition: its beginning, its end (under `ReadCommitted` the last stable offset), or the first
    /// at or after a time in milliseconds; `-1` where nothing is that late. What is no answer is asked again.
    pub(crate) fn list_offsets(
        &self,
        doing: &str,
        wait: Duration,
        of: &[TopicPartition],
        at: Offset,
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let patience = Patience::new(self, doing, wait);
        let mut open: BTreeMap<TopicPartition, Doubt> =
            of.iter().map(|partition| (partition.clone(), Doubt::default())).collect();
        let mut found = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let mut unanswered = None;
            match self.list_offsets_once(&patience, open.keys(), at, isolation) {
                Ok(answers) => {
                    for (partition, answer) in answers {
                        let Some(doubt) = open.get_mut(&partition) else { continue };
                        match answer {
                            Ok(offset) if is_answer(offset, at) => {
                                open.remove(&partition);
                                found.push((partition, offset));
                            }
                            Ok(_) => doubt.clear(),
                            Err(code) => {
                                unanswered = Some(weigh(doubt, &format!("{doing}: {partition}"), code)?);
                            }
                        }
                    }
                }
                Err(error) if error.is_retryable() => unanswered = Some(error),
                Err(error) => return Err(error),
            }
            let Some(first) = open.keys().next() else { break };
            if patience.is_over() {
                return Err(unanswered.unwrap_or_else(|| no_answer(doing, first)));
            }
            patience.pause();
            // librdkafka asks the leader that it knows, by the epoch that it knows, until told of another.
            match self.metadata(&patience, true) {
                Err(error) if !error.is_retryable() => return Err(error),
                _ => {}
            }
        }
        found.sort();
        Ok(found)
    }

    fn list_offsets_once<'a>(
        &self,
        patience: &Patience<'_>,
        of: impl Iterator<Item = &'a TopicPartition>,
        at: Offset,
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, Result<i64, RDKafkaErrorCode>)>> {
        let doing = patience.doing;
        let mut list = TopicPartitionList::new();
        for partition in of {
            c_string(doing, &partition.topic)?;
            list.add_partition_offset(&partition.topic, partition.partition, at)
                .map_err(|error| from_kafka(&format!("{doing}: {partition}"), error))?;
        }
        let isolation = match isolation {
            Isolation::ReadCommitted => ffi::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_COMMITTED,
            Isolation::ReadUncommitted => ffi::rd_kafka_IsolationLevel_t::RD_KAFKA_ISOLATION_LEVEL_READ_UNCOMMITTED,
        };
        let options = self.options(patience, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_LISTOFFSETS)?;
        // SAFETY: the options are alive; the error that may come back is ours to destroy.
        unsafe {
            let refused = ffi::rd_kafka_AdminOptions_set_isolation_level(options.as_ptr(), isolation);
            if !refused.is_null() {
                ffi::rd_kafka_error_destroy(refused);
                return Err(Error::internal(format!("{doing}: librdkafka refuses the isolation level")));
            }
        }
        let event = self.ask(patience, |queue| {
            // SAFETY: client, list, options and queue live until the answer; librdkafka copies list and options.
            unsafe { ffi::rd_kafka_ListOffsets(self.native_ptr(), list.ptr(), options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a ListOffsets result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_ListOffsets_result(event.as_ptr());
            let mut count = 0;
            let infos = ffi::rd_kafka_ListOffsets_result_infos(result, &mut count);
            let answers = slice_of(infos, count).iter().filter(|info| !info.is_null()).map(|info| {
                let answer = &*ffi::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let partition = TopicPartition::new(text(answer.topic), answer.partition);
                (partition, code_of(answer.err).map_or(Ok(answer.offset), Err))
            });
            Ok(answers.collect())
        }
    }

    /// What the cluster says of each of these topics, every one of them; a topic that it does not have bears an error.
    pub(crate) fn describe_topics(
        &self,
        doing: &str,
        wait: Duration,
        names: &[&str],
        missing: Missing,
    ) -> Result<Vec<TopicDescription>> {
        let patience = Patience::new(self, doing, wait);
        let mut open: BTreeMap<&str, Doubt> = names.iter().map(|name| (*name, Doubt::default())).collect();
        let mut found = Vec::with_capacity(open.len());
        while !open.is_empty() {
            let mut unanswered = None;
            match self.describe_topics_once(&patience, open.keys().copied()) {
                Ok(answers) => {
                    for topic in answers {
                        let Some(doubt) = open.get_mut(&*topic.name) else { continue };
                        let is_answer = match topic.error {
                            None => topic.partition_count > 0,
                            Some(code) if is_missing(code) && missing == Missing::Told => true,
                            Some(code) => match weigh(doubt, &format!("{doing}: topic {}", topic.name), code) {
                                Err(error) if !is_missing(code) => return Err(error),
                                Err(_) => match self.lists(&patience, &topic.name) {
                                    Ok(is_listed) => !is_listed,
                                    Err(error) if error.is_retryable() => false,
                                    Err(error) => return Err(error),
                                },
                                Ok(error) => {
                                    unanswered = Some(error);
                                    false
                                }
                            },
                        };
                        if is_answer {
                            open.remove(&*topic.name);
                            found.push(topic);
                        }
                    }
                }
                Err(error) if error.is_retryable() => unanswered = Some(error),
                Err(error) => return Err(error),
            }
            let Some(first) = open.keys().next() else { break };
            if patience.is_over() {
                return Err(unanswered.unwrap_or_else(|| no_answer(doing, &format_args!("topic {first}"))));
            }
            patience.pause();
        }
        Ok(found)
    }

    fn describe_topics_once<'a>(
        &self,
        patience: &Patience<'_>,
        names: impl Iterator<Item = &'a str>,
    ) -> Result<Vec<TopicDescription>> {
        let names = names.map(|name| c_string(patience.doing, name)).collect::<Result<Vec<_>>>()?;
        let mut pointers: Vec<*const c_char> = names.iter().map(|name| name.as_ptr()).collect();
        // SAFETY: the names outlive the call, which copies them.
        let topics = unsafe { ffi::rd_kafka_TopicCollection_of_topic_names(pointers.as_mut_ptr(), pointers.len()) };
        let topics = Owned::new(topics, ffi::rd_kafka_TopicCollection_destroy)?;
        let options =
            self.options_for_any_broker(patience, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBETOPICS)?;
        let event = self.ask(patience, |queue| {
            // SAFETY: as in `list_offsets`.
            unsafe { ffi::rd_kafka_DescribeTopics(self.native_ptr(), topics.as_ptr(), options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a DescribeTopics result, and what is read from it is copied before it is destroyed.
        // Where the broker left a topic out, librdkafka's list has a null.
        unsafe {
            let result = ffi::rd_kafka_event_DescribeTopics_result(event.as_ptr());
            let mut count = 0;
            let described = ffi::rd_kafka_DescribeTopics_result_topics(result, &mut count);
            let told = slice_of(described, count).iter().filter(|topic| !topic.is_null());
            Ok(told.map(|topic| read_description(*topic)).collect())
        }
    }

    /// Whether the list of all topics has this one.
    fn lists(&self, patience: &Patience<'_>, name: &str) -> Result<bool> {
        let topics = self.metadata(patience, true)?.topics;
        Ok(topics.iter().any(|topic| &*topic.name == name && !topic.is_missing()))
    }

    /// The value of one key of a topic's configuration.
    pub(crate) fn topic_config(&self, doing: &str, wait: Duration, topic: &str, key: &str) -> Result<Option<String>> {
        let patience = Patience::new(self, doing, wait);
        let topic = c_string(doing, topic)?;
        let mut doubt = Doubt::default();
        loop {
            let unanswered = match self.topic_config_once(&patience, &topic, key) {
                Ok(Some(Ok(value))) => return Ok(value),
                Ok(Some(Err(code))) => weigh(&mut doubt, doing, code)?,
                Ok(None) => no_answer(doing, &"the topic"),
                Err(error) if error.is_retryable() => error,
                Err(error) => return Err(error),
            };
            if patience.is_over() {
                return Err(unanswered);
            }
            patience.pause();
        }
    }

    /// `None` where the answer is not about this topic.
    fn topic_config_once(
        &self,
        patience: &Patience<'_>,
        topic: &CStr,
        key: &str,
    ) -> Result<Option<Result<Option<String>, RDKafkaErrorCode>>> {
        // SAFETY: the name outlives the call, which copies it.
        let resource = unsafe {
            ffi::rd_kafka_ConfigResource_new(ffi::rd_kafka_ResourceType_t::RD_KAFKA_RESOURCE_TOPIC, topic.as_ptr())
        };
        let resource = Owned::new(resource, ffi::rd_kafka_ConfigResource_destroy)?;
        let options =
            self.options_for_any_broker(patience, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS)?;
        let event = self.ask(patience, |queue| {
            let mut resources = [resource.as_ptr()];
            // SAFETY: as in `list_offsets`.
            unsafe {
                ffi::rd_kafka_DescribeConfigs(
                    self.native_ptr(),
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
            let Some(resource) = slice_of(resources, count).iter().find(|resource| !resource.is_null()) else {
                return Ok(None);
            };
            if let Some(code) = code_of(ffi::rd_kafka_ConfigResource_error(*resource)) {
                return Ok(Some(Err(code)));
            }
            let entries = ffi::rd_kafka_ConfigResource_configs(*resource, &mut count);
            let entry = slice_of(entries, count).iter().find(|e| text(ffi::rd_kafka_ConfigEntry_name(**e)) == key);
            Ok(Some(Ok(entry.map(|entry| text(ffi::rd_kafka_ConfigEntry_value(*entry))))))
        }
    }
}

/// Whether librdkafka's number is one that a broker gave. It presets every partition to a number of its own, bears no error
/// beside it, and leaves it where the leader's answer never came.
fn is_answer(offset: i64, at: Offset) -> bool {
    match at {
        // Nothing is that late.
        Offset::Offset(_) => offset >= -1,
        _ => offset >= 0,
    }
}

/// What to make of a code that came instead of an answer: the error to end with where the time runs out, or, as `Err`,
/// one that further looks would not change.
fn weigh(doubt: &mut Doubt, doing: &str, code: RDKafkaErrorCode) -> Result<Error> {
    let error = from_look_up(doing, code, None);
    if error.is_retryable() {
        doubt.clear();
        return Ok(error);
    }
    let may_pass = error.kind() != ErrorKind::Denied && (is_of_broker(code) || is_missing(code));
    if !may_pass || doubt.note(code) {
        return Err(error);
    }
    Ok(Error::unavailable(format!("{doing}: the time was too short to be sure of what the broker says"))
        .with_source(error))
}

fn no_answer(doing: &str, of: &dyn std::fmt::Display) -> Error {
    Error::unavailable(format!("{doing}: no answer came for {of}"))
        .with_help("check that its leader runs and can be reached from here")
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
