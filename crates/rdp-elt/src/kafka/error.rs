//! From librdkafka's errors to ours: the one place that decides what a broker's answer asks of the caller.

use rdkafka::error::KafkaError;
use rdkafka::types::{RDKafkaConfRes, RDKafkaErrorCode as Code};

use super::keys::{KNOWN, near};
use super::secrets::{is_secret_key, named, told};
use crate::error::{Error, ErrorKind};

/// Our error for librdkafka's, where `doing` says what was being done and on what.
pub(crate) fn from_kafka(doing: &str, error: KafkaError) -> Error {
    match error {
        KafkaError::ClientConfig(..) => setting_error(error),
        KafkaError::ClientCreation(reason) => {
            Error::config(format!("{doing}: librdkafka refuses the settings: {}", told(&reason)))
                .with_help("mend the librdkafka key that the message names")
        }
        KafkaError::Nul(_) => Error::config(format!("{doing}: a name or a value holds a NUL byte")),
        error => match error.rdkafka_error_code() {
            Some(code) => from_code(doing, code, None),
            None => Error::internal(doing).with_source(error),
        },
    }
}

/// Our error for a code of librdkafka or the broker; `reason` is what librdkafka said beside it.
pub(crate) fn from_code(doing: &str, code: Code, reason: Option<&str>) -> Error {
    let reason = reason.map_or_else(|| code.to_string(), str::to_owned);
    let (kind, help) = judge(code, &reason);
    let mut error = Error::new(kind, format!("{doing}: {}", told(&reason)));
    if matches!(code, Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition) {
        error = error.of_missing_topic();
    }
    match help {
        Some(help) => error.with_help(help),
        None => error,
    }
}

/// Our error for a code that came where a look-up waited for its answer. What cannot be read is no answer, and neither is
/// a refusal to read what librdkafka asked: both are the connection's or the broker's moment, and no record is touched.
pub(crate) fn from_look_up(doing: &str, code: Code, reason: Option<&str>) -> Error {
    let is_garbled = matches!(
        code,
        Code::BadMessage
            | Code::BadCompression
            | Code::Underflow
            | Code::Inconsistent
            | Code::InvalidMessage
            | Code::InvalidRecord
            | Code::InvalidRequest
            | Code::Outdated
            // librdkafka's own, where an answer names no broker to go on with: what we ask is well-formed.
            | Code::InvalidArgument
    );
    if !is_garbled {
        return from_code(doing, code, reason);
    }
    let reason = reason.map_or_else(|| code.to_string(), str::to_owned);
    Error::unavailable(format!("{doing}: {}", told(&reason))).with_help(
        "if this goes on, what is between here and the brokers garbles answers, or they are no Kafka brokers",
    )
}

/// A key or a value that librdkafka refuses.
pub(crate) fn setting_error(error: KafkaError) -> Error {
    let KafkaError::ClientConfig(outcome, reason, key, value) = error else {
        return from_kafka("set a librdkafka key", error);
    };
    if outcome == RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN {
        let near = near(&key, KNOWN.iter().copied());
        let error = Error::config(format!("set librdkafka key {:?}: there is no such key", named(&key)));
        return error.with_help(match near.as_slice() {
            [] => "librdkafka's CONFIGURATION.md lists its keys".to_owned(),
            near => format!("did you mean {}?", near.join(" or ")),
        });
    }
    // librdkafka's reason repeats the value.
    let message = match is_secret_key(&key) {
        true => format!("set librdkafka key {:?}: it refuses the value, which is not shown", named(&key)),
        false => format!("set librdkafka key {key:?} to {value:?}: {reason}"),
    };
    Error::config(message).with_help("librdkafka's CONFIGURATION.md says which values the key takes")
}

fn judge(code: Code, reason: &str) -> (ErrorKind, Option<&'static str>) {
    match code {
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            (ErrorKind::Config, Some("name topics and partitions that the cluster has"))
        }
        Code::InvalidTopic => (ErrorKind::Config, Some("a topic's name is letters, digits, '.', '_' and '-'")),
        Code::UnsupportedSASLMechanism | Code::IllegalSASLState => {
            (ErrorKind::Config, Some("set sasl.mechanisms to one that the broker's listener offers"))
        }
        Code::InvalidArgument
        | Code::InvalidConfig
        | Code::InvalidGroupId
        | Code::InvalidSessionTimeout
        | Code::InconsistentGroupProtocol
        | Code::UnsupportedAssignor
        | Code::NotConfigured
        | Code::UnknownGroup
        | Code::InvalidRequest
        | Code::InvalidPartitions
        | Code::InvalidReplicationFactor
        | Code::PolicyViolation
        | Code::TopicAlreadyExists
        | Code::TopicDeletionDisabled
        | Code::GroupMaxSizeReached => (ErrorKind::Config, None),

        Code::Authentication | Code::SaslAuthenticationFailed => (
            ErrorKind::Denied,
            Some("check user, password and mechanism; a listener without SASL also answers like this"),
        ),
        // A broker that goes down in the middle of a handshake is not a wrong certificate.
        Code::SSL if reason.contains("Disconnected") => {
            (ErrorKind::Unavailable, Some("if this goes on, the listener does not speak TLS: mend security.protocol"))
        }
        Code::SSL => (
            ErrorKind::Denied,
            Some(
                "check ssl.ca.location, and ssl.certificate.location and ssl.key.location where the broker wants a certificate",
            ),
        ),
        Code::TopicAuthorizationFailed => (ErrorKind::Denied, Some("grant READ and DESCRIBE on the topic")),
        Code::GroupAuthorizationFailed => (ErrorKind::Denied, Some("grant READ on the consumer group")),
        Code::ClusterAuthorizationFailed
        | Code::TransactionalIdAuthorizationFailed
        | Code::DelegationTokenAuthorizationFailed
        | Code::DelegationTokenExpired
        | Code::DelegationTokenNotFound
        | Code::UnacceptableCredential => (ErrorKind::Denied, None),

        Code::OffsetOutOfRange | Code::AutoOffsetReset | Code::NoOffset => (
            ErrorKind::SourceChanged,
            Some(
                "retention overtook the reader, or the topic was truncated or re-created: compare `rdp positions` with the log",
            ),
        ),
        Code::LogTruncation => (
            ErrorKind::SourceChanged,
            Some("the broker lost records after an unclean leader election: compare the landing with the log"),
        ),
        Code::UnknownTopicId => (ErrorKind::SourceChanged, Some("the topic was deleted or re-created")),

        Code::FencedInstanceId => (
            ErrorKind::Config,
            Some("another process has the same group.instance.id: give each process one of its own"),
        ),
        // The group goes on, without this member until it joins again.
        Code::Fenced
        | Code::FencedMemberEpoch
        | Code::StaleMemberEpoch
        | Code::IllegalGeneration
        | Code::UnknownMemberId
        | Code::RebalanceInProgress
        | Code::AssignmentLost
        | Code::UnreleasedInstanceId
        | Code::PollExceeded => (ErrorKind::Unavailable, Some("another member of the group has taken over")),

        // Bytes of records that do not fit what surrounds them. Where no record was read, `from_look_up` decides.
        Code::BadMessage | Code::BadCompression | Code::InvalidMessage | Code::InvalidRecord | Code::Underflow => (
            ErrorKind::Data,
            Some("the log or the way to it is corrupt: read the range with another client to see which"),
        ),

        Code::UnsupportedFeature
        | Code::UnsupportedVersion
        | Code::NotImplemented
        | Code::UnsupportedForMessageFormat
        | Code::UnsupportedCompressionType => (ErrorKind::Unsupported, None),

        Code::Fatal
        | Code::State
        | Code::Conflict
        | Code::CriticalSystemResource
        | Code::Application
        | Code::ReadOnly
        | Code::InvalidType => (ErrorKind::Internal, None),

        // librdkafka's own, where a fetch came cut short: the next one may be whole.
        Code::MessageSizeTooLarge => (
            ErrorKind::Unavailable,
            Some("if this goes on, a record is larger than what one fetch may bring: raise fetch.message.max.bytes"),
        ),

        // Everything else passes: connections, elections, loading coordinators, quotas, timeouts.
        _ => (ErrorKind::Unavailable, Some("check that the brokers run and can be reached from here")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_kind_says_what_to_do_next() {
        use ErrorKind::{Config, Data, Denied, Internal, SourceChanged, Unavailable, Unsupported};
        let kinds: &[(ErrorKind, &[Code])] = &[
            // Connections, elections, coordinators that load, disks, quotas: all of it passes.
            (
                Unavailable,
                &[
                    Code::AllBrokersDown,
                    Code::BrokerTransportFailure,
                    Code::OperationTimedOut,
                    Code::Resolve,
                    Code::Partial,
                    Code::DestroyBroker,
                    Code::UnknownBroker,
                    Code::WaitingForCoordinator,
                    Code::LeaderNotAvailable,
                    Code::NotLeaderForPartition,
                    Code::RequestTimedOut,
                    Code::BrokerNotAvailable,
                    Code::ReplicaNotAvailable,
                    Code::NetworkException,
                    Code::CoordinatorLoadInProgress,
                    Code::CoordinatorNotAvailable,
                    Code::NotCoordinator,
                    Code::NotController,
                    Code::KafkaStorageError,
                    Code::Unknown,
                    Code::FetchSessionIdNotFound,
                    Code::InvalidFetchSessionEpoch,
                    Code::FencedLeaderEpoch,
                    Code::UnknownLeaderEpoch,
                    Code::OffsetNotAvailable,
                    Code::UnstableOffsetCommit,
                    Code::ThrottlingQuotaExceeded,
                    Code::RebootstrapRequired,
                    Code::MessageSizeTooLarge,
                    // Who lost its place in the group joins again.
                    Code::UnreleasedInstanceId,
                    Code::AssignmentLost,
                ],
            ),
            (Denied, &[Code::Authentication, Code::TopicAuthorizationFailed, Code::GroupAuthorizationFailed]),
            (
                Config,
                &[
                    Code::UnknownTopicOrPartition,
                    Code::InvalidTopic,
                    Code::InvalidSessionTimeout,
                    Code::InconsistentGroupProtocol,
                    Code::InvalidGroupId,
                    Code::InvalidRequest,
                    Code::InvalidArgument,
                    Code::FencedInstanceId,
                ],
            ),
            (
                SourceChanged,
                &[Code::AutoOffsetReset, Code::OffsetOutOfRange, Code::LogTruncation, Code::UnknownTopicId],
            ),
            (Data, &[Code::BadMessage, Code::Underflow, Code::BadCompression, Code::InvalidRecord]),
            (Unsupported, &[Code::UnsupportedVersion, Code::UnsupportedFeature]),
            (Internal, &[Code::Fatal, Code::State]),
        ];
        for (kind, codes) in kinds {
            for code in *codes {
                assert_eq!(from_code("read orders[0]", *code, None).kind(), *kind, "{code}");
            }
        }
    }

    #[test]
    fn what_a_look_up_cannot_read_is_no_answer_and_what_it_is_told_is() {
        let kind = |code| from_look_up("list topics", code, None).kind();
        for code in [Code::BadMessage, Code::Underflow, Code::InvalidRequest, Code::Inconsistent, Code::InvalidArgument]
        {
            assert_eq!(kind(code), ErrorKind::Unavailable, "{code}");
        }
        assert_eq!(kind(Code::TopicAuthorizationFailed), ErrorKind::Denied);
        assert_eq!(kind(Code::UnknownTopicOrPartition), ErrorKind::Config);
        assert_eq!(kind(Code::UnsupportedVersion), ErrorKind::Unsupported);
    }

    #[test]
    fn a_fetch_that_is_cut_short_names_the_key_to_raise() {
        let error = from_code("poll orders[0]", Code::MessageSizeTooLarge, None);
        assert!(error.help().is_some_and(|help| help.contains("fetch.message.max.bytes")), "{error:?}");
    }

    #[test]
    fn a_refused_secret_is_not_in_the_error() {
        let refused = KafkaError::ClientConfig(
            RDKafkaConfRes::RD_KAFKA_CONF_INVALID,
            "Invalid value \"hunter2\"".to_owned(),
            "sasl.password".to_owned(),
            "hunter2".to_owned(),
        );
        assert!(!format!("{:?}", setting_error(refused)).contains("hunter2"));
    }
}
