//! What faults do inside an answer.

use std::collections::HashMap;

use bytes::Bytes;
use kafka_protocol::messages::metadata_response::MetadataResponseTopic;
use kafka_protocol::messages::{BrokerId, FetchResponse, ListOffsetsResponse, MetadataResponse};
use kafka_protocol::protocol::StrBytes;

use super::answer::Answer;
use super::fault::{Fault, What};
use super::records;

/// The names of topics by their ids.
type Names = HashMap<[u8; 16], String>;

impl Answer {
    /// Does a fault to the answer; says whether there was anything to do it to.
    pub(super) fn spoil(&mut self, fault: &Fault, names: &Names) -> bool {
        match fault.what {
            What::Error(code) => self.fail(code),
            What::TopicError(code) => self.fail_topics(fault, code),
            What::PartitionError(code) => self.fail_partitions(fault, code, names),
            _ => match self {
                Answer::Metadata(metadata) => spoil_metadata(metadata, fault),
                Answer::ListOffsets(offsets) => spoil_offsets(offsets, fault),
                Answer::Fetch(fetch) => spoil_fetch(fetch, fault, names),
                _ => false,
            },
        }
    }

    /// Bears an error as a whole, as a broker would say it.
    fn fail(&mut self, code: i16) -> bool {
        match self {
            Answer::ApiVersions(of) => of.error_code = code,
            Answer::ConsumerGroupHeartbeat(of) => {
                of.error_code = code;
                of.error_message = Some(StrBytes::from_static_str("said by the proxy"));
                of.assignment = None;
            }
            Answer::DescribeCluster(of) => of.error_code = code,
            Answer::Fetch(of) => {
                of.error_code = code;
                of.responses.clear();
            }
            Answer::FindCoordinator(of) => {
                (of.error_code, of.node_id, of.port) = (code, BrokerId(-1), -1);
                for node in &mut of.coordinators {
                    (node.error_code, node.node_id, node.port) = (code, BrokerId(-1), -1);
                }
            }
            Answer::Heartbeat(of) => of.error_code = code,
            Answer::JoinGroup(of) => {
                (of.error_code, of.generation_id) = (code, -1);
                of.members.clear();
            }
            Answer::LeaveGroup(of) => of.error_code = code,
            Answer::Metadata(of) => of.error_code = code,
            Answer::OffsetFetch(of) => {
                of.error_code = code;
                of.groups.iter_mut().for_each(|group| group.error_code = code);
            }
            Answer::SyncGroup(of) => {
                of.error_code = code;
                of.assignment = Bytes::new();
            }
            Answer::ConsumerGroupDescribe(of) => of.groups.iter_mut().for_each(|group| group.error_code = code),
            Answer::DescribeConfigs(of) => of.results.iter_mut().for_each(|result| {
                result.error_code = code;
                result.configs.clear();
            }),
            // These speak of partitions alone.
            Answer::DescribeTopicPartitions(_)
            | Answer::ListOffsets(_)
            | Answer::OffsetCommit(_)
            | Answer::OffsetForLeaderEpoch(_) => return false,
        }
        true
    }

    fn fail_topics(&mut self, fault: &Fault, code: i16) -> bool {
        let mut found = false;
        match self {
            Answer::Metadata(of) => {
                for topic in of.topics.iter_mut().filter(|topic| is_met(topic, fault)) {
                    topic.error_code = code;
                    topic.partitions.clear();
                    found = true;
                }
            }
            Answer::DescribeTopicPartitions(of) => {
                let meets = |name: &Option<_>| name.as_ref().is_some_and(|name: &StrBytes| fault.meets_topic(name));
                for topic in of.topics.iter_mut().filter(|topic| meets(&topic.name.clone().map(Into::into))) {
                    topic.error_code = code;
                    topic.partitions.clear();
                    found = true;
                }
            }
            _ => {}
        }
        found
    }

    fn fail_partitions(&mut self, fault: &Fault, code: i16, names: &Names) -> bool {
        let mut found = false;
        /// For each partition of the answer that the fault is about.
        macro_rules! each {
            ($topics:expr, $name:ident, $index:ident, $partition:ident => $fail:block) => {
                for topic in $topics {
                    let name = topic.$name.to_string();
                    for $partition in &mut topic.partitions {
                        if fault.meets(&name, $partition.$index) {
                            $partition.error_code = code;
                            $fail
                            found = true;
                        }
                    }
                }
            };
        }
        match self {
            Answer::Fetch(of) => {
                for topic in &mut of.responses {
                    let name = name_of(&topic.topic, topic.topic_id.as_bytes(), names);
                    for partition in topic.partitions.iter_mut().filter(|at| fault.meets(&name, at.partition_index)) {
                        partition.error_code = code;
                        (partition.high_watermark, partition.last_stable_offset) = (-1, -1);
                        (partition.log_start_offset, partition.aborted_transactions) = (-1, None);
                        partition.records = Some(Bytes::new());
                        found = true;
                    }
                }
            }
            Answer::Metadata(of) => {
                for topic in of.topics.iter_mut().filter(|topic| is_met(topic, fault)) {
                    let name = topic.name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
                    for partition in topic.partitions.iter_mut().filter(|at| fault.meets(&name, at.partition_index)) {
                        partition.error_code = code;
                        if code == LEADER_NOT_AVAILABLE {
                            partition.leader_id = BrokerId(-1);
                        }
                        found = true;
                    }
                }
            }
            Answer::ListOffsets(of) => each!(&mut of.topics, name, partition_index, partition => {
                (partition.offset, partition.timestamp, partition.leader_epoch) = (-1, -1, -1);
            }),
            Answer::OffsetCommit(of) => each!(&mut of.topics, name, partition_index, partition => {}),
            Answer::OffsetFetch(of) => {
                each!(&mut of.topics, name, partition_index, partition => { partition.committed_offset = -1; });
                for group in &mut of.groups {
                    each!(&mut group.topics, name, partition_index, partition => { partition.committed_offset = -1; });
                }
            }
            Answer::OffsetForLeaderEpoch(of) => each!(&mut of.topics, topic, partition, partition => {
                (partition.end_offset, partition.leader_epoch) = (-1, -1);
            }),
            _ => {}
        }
        found
    }
}

fn is_met(topic: &MetadataResponseTopic, fault: &Fault) -> bool {
    topic.name.as_ref().is_some_and(|name| fault.meets_topic(name))
}

/// Older fetches name the topic, newer ones its id.
fn name_of(name: &StrBytes, id: &[u8; 16], names: &Names) -> String {
    if name.is_empty() { names.get(id).cloned().unwrap_or_default() } else { name.to_string() }
}

/// Drops what a fault is about from a list.
fn without<T>(list: &mut Vec<T>, is_met: impl Fn(&T) -> bool) -> bool {
    let before = list.len();
    list.retain(|one| !is_met(one));
    list.len() < before
}

fn spoil_metadata(metadata: &mut MetadataResponse, fault: &Fault) -> bool {
    match fault.what {
        What::NoBrokers => {
            metadata.brokers.clear();
            metadata.controller_id = BrokerId(-1);
            // A node that nobody names cannot lead.
            for partition in metadata.topics.iter_mut().flat_map(|topic| &mut topic.partitions) {
                (partition.error_code, partition.leader_id) = (LEADER_NOT_AVAILABLE, BrokerId(-1));
            }
            true
        }
        What::NoTopic => without(&mut metadata.topics, |topic| is_met(topic, fault)),
        What::NoPartition | What::NoLeader => {
            let mut found = false;
            for topic in metadata.topics.iter_mut().filter(|topic| is_met(topic, fault)) {
                let name = topic.name.as_ref().map(|name| name.as_str().to_owned()).unwrap_or_default();
                if fault.what == What::NoPartition {
                    found |= without(&mut topic.partitions, |at| fault.meets(&name, at.partition_index));
                    continue;
                }
                for partition in topic.partitions.iter_mut().filter(|at| fault.meets(&name, at.partition_index)) {
                    (partition.error_code, partition.leader_id) = (LEADER_NOT_AVAILABLE, BrokerId(-1));
                    found = true;
                }
            }
            found
        }
        _ => false,
    }
}

fn spoil_offsets(offsets: &mut ListOffsetsResponse, fault: &Fault) -> bool {
    if fault.what == What::NoTopic {
        return without(&mut offsets.topics, |topic| fault.meets_topic(&topic.name));
    }
    let mut found = false;
    for topic in &mut offsets.topics {
        let name = topic.name.to_string();
        match fault.what {
            What::NoPartition => found |= without(&mut topic.partitions, |at| fault.meets(&name, at.partition_index)),
            What::NoOffset => {
                for partition in topic.partitions.iter_mut().filter(|at| fault.meets(&name, at.partition_index)) {
                    (partition.offset, partition.timestamp) = (-1, -1);
                    found = true;
                }
            }
            _ => {}
        }
    }
    found
}

fn spoil_fetch(fetch: &mut FetchResponse, fault: &Fault, names: &Names) -> bool {
    if fault.what == What::NoTopic {
        return without(&mut fetch.responses, |topic| {
            fault.meets_topic(&name_of(&topic.topic, topic.topic_id.as_bytes(), names))
        });
    }
    let mut found = false;
    for topic in &mut fetch.responses {
        let name = name_of(&topic.topic, topic.topic_id.as_bytes(), names);
        if fault.what == What::NoPartition {
            found |= without(&mut topic.partitions, |at| fault.meets(&name, at.partition_index));
            continue;
        }
        for partition in topic.partitions.iter_mut().filter(|at| fault.meets(&name, at.partition_index)) {
            let spoilt = partition.records.as_ref().and_then(|fetched| records::spoil(fetched, fault.what));
            if spoilt.is_some() {
                partition.records = spoilt;
                found = true;
            }
        }
    }
    found
}

const LEADER_NOT_AVAILABLE: i16 = 5;
