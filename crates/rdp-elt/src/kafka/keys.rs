//! librdkafka's keys: which there are, which RDP owns, and what is nearest to a mistyped one.

/// What to use instead of a key that RDP owns; `None` for a key that anybody may set.
pub(crate) fn owned_by(key: &str) -> Option<&'static str> {
    OWNED.iter().find(|(owned, _)| *owned == key).map(|(_, instead)| *instead)
}

/// Whether it is a key of librdkafka's, whoever may set it.
pub(crate) fn is_known(key: &str) -> bool {
    KNOWN.contains(&key) || owned_by(key).is_some() || stays_with_consumer(key)
}

/// The key that RDP would have read from the environment, had its name been spelt right: most variables of this prefix are
/// of Kafka's own scripts and images, and of no concern.
pub(crate) fn nearly(key: &str) -> Option<&'static str> {
    // What one slip makes of a word as short as a program's own `LOG_DIR` proves nothing.
    let limit = if key.chars().count() < LONG_ENOUGH_FOR_TWO_SLIPS { 1 } else { 2 };
    let owned = OWNED.iter().map(|(owned, _)| *owned);
    let dotted = KNOWN.iter().copied().chain(owned).filter(|known| known.contains('.') && !known.contains('_'));
    dotted
        .map(|known| (strsim::damerau_levenshtein(key, known), known))
        .filter(|(distance, _)| *distance <= limit)
        .min()
        .map(|(_, known)| known)
}

/// Up to three candidates that a person may have meant, the nearest first.
pub(crate) fn near<'a>(wanted: &str, candidates: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let limit = (wanted.chars().count() / 3).max(2);
    let mut found: Vec<(usize, &str)> = candidates
        .into_iter()
        .map(|candidate| (strsim::damerau_levenshtein(wanted, candidate), candidate))
        .filter(|(distance, _)| *distance <= limit)
        .collect();
    found.sort();
    found.truncate(3);
    found.into_iter().map(|(_, candidate)| candidate).collect()
}

/// With two slips of the pen a shorter word may be any other.
const LONG_ENOUGH_FOR_TWO_SLIPS: usize = 12;

/// Keys whose value is RDP's business, and the setting of ours that says the same.
const OWNED: &[(&str, &str)] = &[
    ("bootstrap.servers", "use `brokers`"),
    ("metadata.broker.list", "use `brokers`"),
    ("group.id", "use `group_id`"),
    ("auto.offset.reset", "use `start`; a position that the log no longer has always stops the reader"),
    ("isolation.level", "use `isolation`"),
    ("enable.auto.commit", "leave it out: positions are committed with the rows that they belong to"),
    ("auto.commit.enable", "leave it out: positions are committed with the rows that they belong to"),
    ("auto.commit.interval.ms", "leave it out: positions are committed with the rows that they belong to"),
    ("enable.auto.offset.store", "leave it out: positions are committed with the rows that they belong to"),
    ("offset.store.method", "leave it out: positions are committed with the rows that they belong to"),
    ("offset.store.path", "leave it out: positions are committed with the rows that they belong to"),
    ("offset.store.sync.interval.ms", "leave it out: positions are committed with the rows that they belong to"),
    ("enable.partition.eof", "leave it out: bounded runs need the end-of-partition event"),
    ("log.queue", "leave it out: librdkafka's log goes to RDP's own"),
    ("enabled_events", "leave it out: RDP handles librdkafka's events"),
    ("message.copy.max.bytes", "leave it out: it is the producer's"),
    ("topic.blacklist", "use `topics`"),
];

/// Whether a key that was set for a consumer is not a producer's: one that only consumers know, or one that would undo
/// what our producers rest on.
pub(crate) fn stays_with_consumer(key: &str) -> bool {
    CONSUMERS_ALONE.contains(&key) || PRODUCERS_OWN.contains(&key)
}

/// The keys that librdkafka 2.12 ignores, with a warning, in a producer, as far as anybody may set them.
const CONSUMERS_ALONE: &[&str] = &[
    "check.crcs",
    "consume.callback.max.messages",
    "coordinator.query.interval.ms",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "partition.assignment.strategy",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "session.timeout.ms",
];

/// Keys on which idempotence rests, under all their names.
const PRODUCERS_OWN: &[&str] = &[
    "acks",
    "delivery.timeout.ms",
    "enable.gapless.guarantee",
    "enable.idempotence",
    "linger.ms",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "message.send.max.retries",
    "message.timeout.ms",
    "queue.buffering.max.ms",
    "request.required.acks",
    "retries",
    "transactional.id",
];

/// Every key of librdkafka 2.12 that means something to a consumer, for suggestions.
pub(crate) const KNOWN: &[&str] = &[
    "allow.auto.create.topics",
    "api.version.fallback.ms",
    "api.version.request",
    "api.version.request.timeout.ms",
    "broker.address.family",
    "broker.address.ttl",
    "broker.version.fallback",
    "check.crcs",
    "client.dns.lookup",
    "client.id",
    "client.rack",
    "connections.max.idle.ms",
    "coordinator.query.interval.ms",
    "debug",
    "enable.metrics.push",
    "enable.random.seed",
    "enable.sasl.oauthbearer.unsecure.jwt",
    "enable.ssl.certificate.verification",
    "fetch.error.backoff.ms",
    "fetch.max.bytes",
    "fetch.message.max.bytes",
    "fetch.min.bytes",
    "fetch.queue.backoff.ms",
    "fetch.wait.max.ms",
    "group.instance.id",
    "group.protocol",
    "group.protocol.type",
    "group.remote.assignor",
    "heartbeat.interval.ms",
    "https.ca.location",
    "https.ca.pem",
    "internal.termination.signal",
    "log.connection.close",
    "log.thread.name",
    "log_level",
    "max.in.flight",
    "max.in.flight.requests.per.connection",
    "max.partition.fetch.bytes",
    "max.poll.interval.ms",
    "message.max.bytes",
    "metadata.max.age.ms",
    "metadata.recovery.rebootstrap.trigger.ms",
    "metadata.recovery.strategy",
    "partition.assignment.strategy",
    "plugin.library.paths",
    "queued.max.messages.kbytes",
    "queued.min.messages",
    "receive.message.max.bytes",
    "reconnect.backoff.max.ms",
    "reconnect.backoff.ms",
    "retry.backoff.max.ms",
    "retry.backoff.ms",
    "sasl.kerberos.keytab",
    "sasl.kerberos.kinit.cmd",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.aud",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.iss",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.assertion.claim.sub",
    "sasl.oauthbearer.assertion.file",
    "sasl.oauthbearer.assertion.jwt.template.file",
    "sasl.oauthbearer.assertion.private.key.file",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "sasl.oauthbearer.client.credentials.client.id",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "sasl.oauthbearer.scope",
    "sasl.oauthbearer.token.endpoint.url",
    "sasl.password",
    "sasl.username",
    "security.protocol",
    "session.timeout.ms",
    "socket.connection.setup.timeout.ms",
    "socket.keepalive.enable",
    "socket.max.fails",
    "socket.nagle.disable",
    "socket.receive.buffer.bytes",
    "socket.send.buffer.bytes",
    "socket.timeout.ms",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.ca.pem",
    "ssl.certificate.location",
    "ssl.certificate.pem",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.key.location",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.location",
    "ssl.keystore.password",
    "ssl.providers",
    "ssl.sigalgs.list",
    "statistics.interval.ms",
    "topic.metadata.propagation.max.ms",
    "topic.metadata.refresh.fast.interval.ms",
    "topic.metadata.refresh.interval.ms",
    "topic.metadata.refresh.sparse",
];

#[cfg(test)]
mod tests {
    use rdkafka::ClientConfig;
    use rdkafka::error::KafkaError;
    use rdkafka::types::RDKafkaConfRes;

    use super::*;

    #[test]
    fn every_suggested_key_is_librdkafkas() {
        for key in KNOWN.iter().chain(CONSUMERS_ALONE).chain(PRODUCERS_OWN) {
            let outcome = ClientConfig::new().set(*key, "").create_native_config();
            let unknown = matches!(outcome, Err(KafkaError::ClientConfig(RDKafkaConfRes::RD_KAFKA_CONF_UNKNOWN, ..)));
            assert!(!unknown, "{key} is unknown to librdkafka");
        }
    }

    #[test]
    fn a_variable_that_is_nearly_a_key_is_told_from_another_programs() {
        for (key, meant) in [
            ("sasl.pasword", "sasl.password"),
            ("security.protocl", "security.protocol"),
            ("sasl.mechansms", "sasl.mechanisms"),
            ("bootstrap.server", "bootstrap.servers"),
        ] {
            assert_eq!(nearly(key), Some(meant), "{key}");
        }
        // Of Kafka's scripts, of its images, of Kubernetes, and of our own examples.
        for variable in [
            "HOME",
            "OPTS",
            "HEAP_OPTS",
            "JVM_PERFORMANCE_OPTS",
            "LOG4J_OPTS",
            "LOG4J_CMD_OPTS",
            "GC_LOG_OPTS",
            "JMX_OPTS",
            "JMX_PORT",
            "JMX_HOSTNAME",
            "LOG_DIR",
            "LOG_DIRS",
            "LOG_LEVEL",
            "VERSION",
            "CLUSTER_ID",
            "NODE_ID",
            "BROKER_ID",
            "BROKER_RACK",
            "PROCESS_ROLES",
            "LISTENERS",
            "ADVERTISED_LISTENERS",
            "ADVERTISED_HOST_NAME",
            "LISTENER_SECURITY_PROTOCOL_MAP",
            "INTER_BROKER_LISTENER_NAME",
            "CONTROLLER_QUORUM_VOTERS",
            "CONTROLLER_LISTENER_NAMES",
            "ZOOKEEPER_CONNECT",
            "ZOOKEEPER_SESSION_TIMEOUT_MS",
            "NUM_PARTITIONS",
            "MIN_INSYNC_REPLICAS",
            "DEFAULT_REPLICATION_FACTOR",
            "OFFSETS_TOPIC_REPLICATION_FACTOR",
            "AUTO_CREATE_TOPICS_ENABLE",
            "LOG_RETENTION_HOURS",
            "CREATE_TOPICS",
            "SSL_KEYSTORE_TYPE",
            "SSL_KEYSTORE_FILENAME",
            "SSL_KEY_CREDENTIALS",
            "SSL_CLIENT_AUTH",
            "SASL_ENABLED_MECHANISMS",
            "SASL_MECHANISM_INTER_BROKER_PROTOCOL",
            "SECURITY_INTER_BROKER_PROTOCOL",
            "TOOLS_LOG4J_LOGLEVEL",
            "PORT",
            "SERVICE_HOST",
            "SERVICE_PORT",
            "PORT_9092_TCP",
            "PORT_9092_TCP_ADDR",
            "BROKERS",
            "PASSWORD",
            "USER",
            "TOPIC",
            "DEBUG",
            "GROUP",
            "COMPRESSION_TYPE",
            "ACKS",
            "SCHEMA_REGISTRY_URL",
        ] {
            assert_eq!(nearly(&variable.to_ascii_lowercase().replace('_', ".")), None, "KAFKA_{variable}");
        }
    }

    #[test]
    fn a_far_word_suggests_nothing() {
        assert_eq!(near("sasl.mechnism", KNOWN.iter().copied()).first(), Some(&"sasl.mechanism"));
        assert_eq!(near("colour", KNOWN.iter().copied()).first(), None);
    }
}
