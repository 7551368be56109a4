//! What a cluster says of one topic.

use std::sync::Arc;

use rdkafka::types::RDKafkaErrorCode;

/// What the cluster says of one topic.
#[derive(Debug)]
pub(crate) struct TopicDescription {
    pub(crate) name: Arc<str>,
    pub(crate) partition_count: i32,
    /// Empty where the broker has none to tell.
    pub(crate) topic_id: String,
    pub(crate) error: Option<RDKafkaErrorCode>,
}

impl TopicDescription {
    /// Whether the cluster says that it does not have it.
    pub(crate) fn is_missing(&self) -> bool {
        self.error.is_some_and(is_missing)
    }
}

/// Codes that say that there is no such topic or partition.
pub(super) fn is_missing(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic | RDKafkaErrorCode::UnknownPartition
    )
}
