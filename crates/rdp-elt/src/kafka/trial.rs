//! Tries a client's settings out without a connection. What librdkafka thinks of each value it says at once; what it thinks
//! of them together, of the files that they name and of what SASL needs, it says where a client is made.

use rdkafka::client::{Client, ClientContext};
use rdkafka::config::ClientConfig;
use rdkafka::types::RDKafkaType;

use super::builder::KafkaConsumerBuilder;
use super::error::from_kafka;
use crate::error::Result;

impl KafkaConsumerBuilder {
    /// Makes a client of these settings that knows no broker, and throws it away.
    ///
    /// # Errors
    /// [`Config`](crate::ErrorKind::Config) where [`KafkaConsumer::open`](super::KafkaConsumer::open) would refuse the
    /// settings.
    pub fn try_out(&self) -> Result<()> {
        let doing = "open a Kafka consumer";
        let refused = |error| from_kafka(doing, error);
        let mut config = self.client_config()?;
        config.create_native_config().map_err(refused)?;
        // Without brokers there is nobody to connect to, and without a group nobody to look for.
        config.remove("bootstrap.servers").remove("group.id").remove("group.instance.id");
        let makes_own_token =
            self.setting("enable.sasl.oauthbearer.unsecure.jwt").is_some_and(|is| is.eq_ignore_ascii_case("true"));
        match makes_own_token {
            true => open(&config, NoToken),
            false => open(&config, NoTokenYet),
        }
        .map_err(refused)
    }
}

fn open<C: ClientContext>(config: &ClientConfig, context: C) -> Result<(), rdkafka::error::KafkaError> {
    let native = config.create_native_config()?;
    Client::new(config, native, RDKafkaType::RD_KAFKA_CONSUMER, context).map(drop)
}

struct NoToken;

impl ClientContext for NoToken {}

/// With a callback for tokens, which is never called, librdkafka does not go to fetch one by itself.
struct NoTokenYet;

impl ClientContext for NoTokenYet {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = true;
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, Instant};

    use super::*;
    use crate::error::ErrorKind;

    fn with(settings: &[(&str, &str)]) -> KafkaConsumerBuilder {
        let builder = KafkaConsumerBuilder::new("localhost:9").topics(["orders"]).group_id("g");
        settings
            .iter()
            .try_fold(builder, |builder, (key, value)| builder.set(*key, *value))
            .unwrap_or_else(|error| panic!("{settings:?}: {error:?}"))
    }

    #[test]
    fn settings_that_do_not_go_together_are_refused_before_anything_connects() {
        for (settings, says) in [
            (vec![("session.timeout.ms", "400000")], "max.poll.interval.ms"),
            (vec![("security.protocol", "SSL"), ("ssl.ca.location", "/no/such/file")], "ssl.ca.location"),
            (vec![("security.protocol", "SASL_SSL"), ("sasl.mechanisms", "NONSENSE")], "mechanism"),
            (vec![("fetch.max.bytes", "1000"), ("message.max.bytes", "2000")], "fetch.max.bytes"),
            (vec![("group.protocol", "consumer"), ("heartbeat.interval.ms", "100")], "heartbeat.interval.ms"),
            (
                vec![
                    ("security.protocol", "SASL_PLAINTEXT"),
                    ("sasl.mechanisms", "OAUTHBEARER"),
                    ("sasl.oauthbearer.method", "oidc"),
                ],
                "token.endpoint.url",
            ),
        ] {
            let error = with(&settings).try_out().err().unwrap_or_else(|| panic!("{settings:?} is taken"));
            assert_eq!(error.kind(), ErrorKind::Config, "{error:?}");
            assert!(format!("{error:?}").contains(says), "{settings:?}: {error:?}");
        }
    }

    #[test]
    fn settings_that_are_right_are_taken_in_a_moment() {
        let began = Instant::now();
        let oidc = [
            ("security.protocol", "SASL_PLAINTEXT"),
            ("sasl.mechanisms", "OAUTHBEARER"),
            ("sasl.oauthbearer.method", "oidc"),
            ("sasl.oauthbearer.token.endpoint.url", "http://127.0.0.1:9/token"),
            ("sasl.oauthbearer.client.id", "rdp"),
            ("sasl.oauthbearer.client.secret", "hunter2"),
        ];
        let scram = [("security.protocol", "SASL_PLAINTEXT"), ("sasl.mechanisms", "SCRAM-SHA-256")];
        let login = [("sasl.username", "u"), ("sasl.password", "hunter2")];
        for settings in [&[][..], &oidc, &[scram, login].concat(), &[("group.protocol", "CONSUMER")]] {
            with(settings).try_out().unwrap_or_else(|error| panic!("{settings:?}: {error:?}"));
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
    }

    #[test]
    fn whatever_memory_there_is_the_keys_that_are_made_of_it_are_librdkafkas() {
        for power in 0..usize::BITS {
            let memory = 1_usize << power;
            for lanes in [1, 2, 100] {
                for settings in [
                    vec![],
                    vec![("message.max.bytes", "1000000000")],
                    vec![("message.max.bytes", "1000")],
                    vec![("receive.message.max.bytes", "1000512")],
                    vec![("receive.message.max.bytes", "2147483647")],
                    vec![("max.poll.interval.ms", "1")],
                    vec![("group.protocol", "Consumer")],
                ] {
                    let builder = with(&settings).with_queue_bytes(memory / 4 / lanes);
                    let config = builder.client_config().expect("a description");
                    let native = config.create_native_config().map(drop);
                    assert!(native.is_ok(), "{memory} bytes, {lanes} lanes, {settings:?}: {native:?}");
                    // A client takes a while to make, and the values do not differ any more.
                    if lanes == 1 && (power < 30 || power % 8 == 0) && power % 4 == 0 {
                        let tried = builder.try_out();
                        assert!(tried.is_ok(), "{memory} bytes, {settings:?}: {tried:?}");
                    }
                }
            }
        }
    }
}
