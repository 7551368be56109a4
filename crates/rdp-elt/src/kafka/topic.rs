//! What is changed in a cluster: a topic of our own is made, filled by [`super::producer`], and deleted again. Nobody
//! else's topic is ever touched.

use std::ffi::c_int;
use std::ptr;
use std::time::Duration;

use rdkafka::types::RDKafkaErrorCode;
use rdkafka_sys as ffi;

use super::admin::{Admin, Patience};
use super::cluster::Cluster;
use super::error::from_code;
use super::foreign::{Owned, c_string, code_of, millis, slice_of, text};
use crate::error::{Error, ErrorKind, Result};

impl Cluster {
    /// Makes a topic with these configs and as many replicas as the brokers give by default.
    ///
    /// # Errors
    /// As for [`Cluster`]; [`Config`](ErrorKind::Config) where the topic exists or a policy of the brokers refuses it.
    pub(crate) fn create_topic(&self, name: &str, partition_count: i32, configs: &[(&str, &str)]) -> Result<()> {
        let doing = format!("make topic {name} with {partition_count} partitions");
        let create = |admin: &Admin, wait| admin.create_topic(&doing, wait, name, partition_count, configs);
        match self.line.ask_once(self.timeout, create)? {
            None => Ok(()),
            Some((code, reason)) => Err(lacking_right(from_code(&doing, code, reason.as_deref()), "CREATE and DELETE")),
        }
    }

    /// Deletes a topic. One that does not exist is deleted already.
    ///
    /// # Errors
    /// As for [`Cluster`].
    pub(crate) fn delete_topic(&self, name: &str) -> Result<()> {
        let doing = format!("delete topic {name}");
        match self.line.ask_once(self.timeout, |admin, wait| admin.delete_topic(&doing, wait, name))? {
            None | Some((RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic, _)) => Ok(()),
            Some((code, reason)) => Err(lacking_right(from_code(&doing, code, reason.as_deref()), "DELETE")),
        }
    }
}

impl Admin {
    fn create_topic(
        &self,
        doing: &str,
        wait: Duration,
        name: &str,
        partition_count: i32,
        configs: &[(&str, &str)],
    ) -> Result<Option<Refusal>> {
        let patience = Patience::of_one_request(self, doing, wait);
        let name = c_string(doing, name)?;
        // SAFETY: the name outlives the call, which copies it; no text is asked for.
        let topic =
            unsafe { ffi::rd_kafka_NewTopic_new(name.as_ptr(), partition_count, BROKERS_DEFAULT, ptr::null_mut(), 0) };
        if topic.is_null() {
            return Err(
                Error::config(format!("{doing}: librdkafka refuses it")).with_help("ask for 1 to 100,000 partitions")
            );
        }
        let topic = Owned::new(topic, ffi::rd_kafka_NewTopic_destroy)?;
        for (key, value) in configs {
            let (key, value) = (c_string(doing, key)?, c_string(doing, value)?);
            // SAFETY: the topic is alive; both texts outlive the call, which copies them.
            let code = unsafe { ffi::rd_kafka_NewTopic_set_config(topic.as_ptr(), key.as_ptr(), value.as_ptr()) };
            if let Some(code) = code_of(code) {
                return Err(from_code(doing, code, None));
            }
        }
        let options = self.options_to_the_end(&patience, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_CREATETOPICS)?;
        let event = self.ask(&patience, |queue| {
            let mut topics = [topic.as_ptr()];
            // SAFETY: client, topic, options and queue live until the answer; librdkafka copies topic and options.
            unsafe { ffi::rd_kafka_CreateTopics(self.native_ptr(), topics.as_mut_ptr(), 1, options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a CreateTopics result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_CreateTopics_result(event.as_ptr());
            let mut count = 0;
            let answers = ffi::rd_kafka_CreateTopics_result_topics(result, &mut count);
            Ok(refusal(slice_of(answers, count)))
        }
    }

    fn delete_topic(&self, doing: &str, wait: Duration, name: &str) -> Result<Option<Refusal>> {
        let patience = Patience::of_one_request(self, doing, wait);
        let name = c_string(doing, name)?;
        // SAFETY: the name outlives the call, which copies it.
        let topic = unsafe { ffi::rd_kafka_DeleteTopic_new(name.as_ptr()) };
        let topic = Owned::new(topic, ffi::rd_kafka_DeleteTopic_destroy)?;
        let options = self.options_to_the_end(&patience, ffi::rd_kafka_admin_op_t::RD_KAFKA_ADMIN_OP_DELETETOPICS)?;
        let event = self.ask(&patience, |queue| {
            let mut topics = [topic.as_ptr()];
            // SAFETY: as in `create_topic`.
            unsafe { ffi::rd_kafka_DeleteTopics(self.native_ptr(), topics.as_mut_ptr(), 1, options.as_ptr(), queue) }
        })?;
        // SAFETY: the event is a DeleteTopics result, and what is read from it is copied before it is destroyed.
        unsafe {
            let result = ffi::rd_kafka_event_DeleteTopics_result(event.as_ptr());
            let mut count = 0;
            let answers = ffi::rd_kafka_DeleteTopics_result_topics(result, &mut count);
            Ok(refusal(slice_of(answers, count)))
        }
    }

    /// Options of a request that is answered when it has been carried out, and not when it is begun.
    fn options_to_the_end(
        &self,
        patience: &Patience<'_>,
        operation: ffi::rd_kafka_admin_op_t,
    ) -> Result<Owned<ffi::rd_kafka_AdminOptions_t>> {
        let options = self.options(patience, operation)?;
        // SAFETY: the options are alive; no text is asked for. A refused timeout leaves librdkafka's own.
        unsafe {
            ffi::rd_kafka_AdminOptions_set_operation_timeout(options.as_ptr(), millis(TO_THE_END), ptr::null_mut(), 0)
        };
        Ok(options)
    }
}

/// Why the cluster did not do it, and what it said beside.
type Refusal = (RDKafkaErrorCode, Option<String>);

/// # Safety
/// The answers are those of a living result.
unsafe fn refusal(answers: &[*const ffi::rd_kafka_topic_result_t]) -> Option<Refusal> {
    let answer = *answers.first()?;
    // SAFETY: by this function's contract; the text is copied.
    unsafe {
        let code = code_of(ffi::rd_kafka_topic_result_error(answer))?;
        let reason = text(ffi::rd_kafka_topic_result_error_string(answer));
        Some((code, Some(reason).filter(|reason| !reason.is_empty())))
    }
}

/// A broker says only that it refuses; the rights that are missing here are not a reader's.
fn lacking_right(error: Error, rights: &str) -> Error {
    match error.kind() {
        ErrorKind::Denied => error.with_help(format!("grant {rights} on the topic, or on all that begin as it does")),
        _ => error,
    }
}

/// As many replicas as `default.replication.factor` says (KIP-464).
const BROKERS_DEFAULT: c_int = -1;
const TO_THE_END: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_may_not_be_made_names_the_right_that_lacks() {
        for code in [RDKafkaErrorCode::TopicAuthorizationFailed, RDKafkaErrorCode::ClusterAuthorizationFailed] {
            let error = lacking_right(from_code("make topic t", code, None), "CREATE and DELETE");
            assert_eq!(error.kind(), ErrorKind::Denied);
            assert!(error.help().is_some_and(|help| help.contains("CREATE and DELETE")), "{error:?}");
        }
    }
}
