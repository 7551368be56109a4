//! What is asked of a cluster beside its metadata: offsets of partitions, topics and their ids, topic configurations.

use std::collections::BTreeSet;
use std::ffi::c_char;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::types::RDKafkaErrorCode;
use rdkafka::{Offset, TopicPartitionList};
use rdkafka_sys as ffi;

use super::admin::{Admin, Patience};
use super::builder::Isolation;
use super::error::{from_code, from_kafka};
use super::foreign::{Owned, c_string, code_of, slice_of, text};
use crate::error::{Error, Result};
use crate::offset::TopicPartition;

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
    /// One offset of each partition: its beginning, its end (under `ReadCommitted` the last stable offset), or the first
    /// at or after a time in milliseconds; `-1` where nothing is that late.
    pub(crate) fn list_offsets(
        &self,
        doing: &str,
        of: &[TopicPartition],
        at: Offset,
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, i64)>> {
        let patience = Patience::new(self, doing);
        let mut open: BTreeSet<TopicPartition> = of.iter().cloned().collect();
        let mut found = Vec::with_capacity(open.len());
        while !open.is_empty() {
            for (partition, answer) in self.list_offsets_once(doing, &open, at, isolation)? {
                match answer {
                    Ok(offset) => {
                        open.remove(&partition);
                        found.push((partition, offset));
                    }
                    Err(code) if !is_moving(code) || patience.is_over() => {
                        return Err(from_code(&format!("{doing}: {partition}"), code, None));
                    }
                    // Its leader changes: soon there will be another.
                    Err(_) => {}
                }
            }
            if !open.is_empty() {
                std::thread::sleep(LEADER_WAIT);
                // librdkafka asks the leader that it knows, by the epoch that it knows, until told of another.
                self.all_topics(doing)?;
            }
        }
        found.sort();
        Ok(found)
    }

    fn list_offsets_once(
        &self,
        doing: &str,
        of: &BTreeSet<TopicPartition>,
        at: Offset,
        isolation: Isolation,
    ) -> Result<Vec<(TopicPartition, Result<i64, RDKafkaErrorCode>)>> {
        let mut list = TopicPartitionList::with_capacity(of.len());
        for partition in of {
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
            unsafe { ffi::rd_kafka_ListOffsets(self.native_ptr(), list.ptr(), options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a ListOffsets result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_ListOffsets_result(event.as_ptr());
            let mut count = 0;
            let infos = ffi::rd_kafka_ListOffsets_result_infos(result, &mut count);
            let answers = slice_of(infos, count).iter().map(|info| {
                let answer = &*ffi::rd_kafka_ListOffsetsResultInfo_topic_partition(*info);
                let partition = TopicPartition::new(text(answer.topic), answer.partition);
                (partition, code_of(answer.err).map_or(Ok(answer.offset), Err))
            });
            Ok(answers.collect())
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
            unsafe { ffi::rd_kafka_DescribeTopics(self.native_ptr(), topics.as_ptr(), options.as_ptr(), queue) }
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
            let Some(resource) = slice_of(resources, count).first() else { return Ok(None) };
            if let Some(code) = code_of(ffi::rd_kafka_ConfigResource_error(*resource)) {
                return Err(from_code(doing, code, None));
            }
            let entries = ffi::rd_kafka_ConfigResource_configs(*resource, &mut count);
            let entry = slice_of(entries, count).iter().find(|e| text(ffi::rd_kafka_ConfigEntry_name(**e)) == key);
            Ok(entry.map(|entry| text(ffi::rd_kafka_ConfigEntry_value(*entry))))
        }
    }
}

/// Codes of a partition whose leader is changing.
fn is_moving(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::NotLeaderForPartition
            | RDKafkaErrorCode::LeaderNotAvailable
            | RDKafkaErrorCode::ReplicaNotAvailable
            | RDKafkaErrorCode::FencedLeaderEpoch
            | RDKafkaErrorCode::UnknownLeaderEpoch
            | RDKafkaErrorCode::OffsetNotAvailable
    )
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

/// A leader is elected within seconds; asking is cheap.
const LEADER_WAIT: Duration = Duration::from_millis(100);
