//! TLS, mTLS and SASL in types. Every other security key of librdkafka goes through
//! [`KafkaConsumerBuilder::set`].

use std::fmt;
use std::path::PathBuf;

use super::builder::KafkaConsumerBuilder;
use super::secrets::REDACTED;

/// How the connection is encrypted, and who we are to the broker by certificate.
#[derive(Debug, Clone, Default)]
pub struct Tls {
    ca_file: Option<PathBuf>,
    certificate: Option<(PathBuf, PathBuf)>,
    key_password: Option<Secret>,
}

impl Tls {
    /// TLS that trusts the system's certificate authorities.
    pub fn new() -> Self {
        Self::default()
    }

    /// Trusts the authorities of this PEM file instead of the system's.
    #[must_use]
    pub fn ca_file(mut self, path: impl Into<PathBuf>) -> Self {
        self.ca_file = Some(path.into());
        self
    }

    /// Shows the broker this certificate (mTLS): PEM files of the certificate and of its private key.
    #[must_use]
    pub fn client_certificate(mut self, certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        self.certificate = Some((certificate.into(), key.into()));
        self
    }

    /// The password of the private key.
    #[must_use]
    pub fn key_password(mut self, password: impl Into<String>) -> Self {
        self.key_password = Some(Secret(password.into()));
        self
    }
}

/// Who we are to the broker by SASL.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Sasl {
    /// User and password in the clear: only with TLS.
    Plain(Login),
    /// SCRAM-SHA-256 (RFC 7677).
    ScramSha256(Login),
    /// SCRAM-SHA-512.
    ScramSha512(Login),
    /// OAUTHBEARER (KIP-768) with tokens that librdkafka fetches itself by OIDC client credentials.
    OauthBearer(Oidc),
}

/// A user's name and password.
#[derive(Debug, Clone)]
pub struct Login {
    user: String,
    password: Secret,
}

impl Login {
    /// A user's name and password.
    pub fn new(user: impl Into<String>, password: impl Into<String>) -> Self {
        Login { user: user.into(), password: Secret(password.into()) }
    }
}

/// Where OIDC tokens come from.
#[derive(Debug, Clone)]
pub struct Oidc {
    token_url: String,
    client_id: String,
    client_secret: Secret,
    scope: Option<String>,
    extensions: Option<String>,
}

impl Oidc {
    /// Tokens of this endpoint for this client.
    pub fn new(token_url: impl Into<String>, client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Oidc {
            token_url: token_url.into(),
            client_id: client_id.into(),
            client_secret: Secret(client_secret.into()),
            scope: None,
            extensions: None,
        }
    }

    /// Asks for this scope.
    #[must_use]
    pub fn scope(mut self, scope: impl Into<String>) -> Self {
        self.scope = Some(scope.into());
        self
    }

    /// Sends these SASL extensions along: `name=value` pairs split by commas.
    #[must_use]
    pub fn extensions(mut self, extensions: impl Into<String>) -> Self {
        self.extensions = Some(extensions.into());
        self
    }
}

impl KafkaConsumerBuilder {
    /// Encrypts the connection.
    #[must_use]
    pub fn tls(self, tls: Tls) -> Self {
        let protocol = if self.has_sasl() { "SASL_SSL" } else { "SSL" };
        let (certificate, key) = tls.certificate.unzip();
        self.with_setting("security.protocol", protocol)
            .with_path("ssl.ca.location", tls.ca_file)
            .with_path("ssl.certificate.location", certificate)
            .with_path("ssl.key.location", key)
            .with_text("ssl.key.password", tls.key_password.map(|password| password.0))
    }

    /// Logs in.
    #[must_use]
    pub fn sasl(self, sasl: Sasl) -> Self {
        let protocol = if self.has_tls() { "SASL_SSL" } else { "SASL_PLAINTEXT" };
        let builder = self.with_setting("security.protocol", protocol);
        match sasl {
            Sasl::Plain(login) => builder.with_login("PLAIN", login),
            Sasl::ScramSha256(login) => builder.with_login("SCRAM-SHA-256", login),
            Sasl::ScramSha512(login) => builder.with_login("SCRAM-SHA-512", login),
            Sasl::OauthBearer(oidc) => builder
                .with_setting("sasl.mechanisms", "OAUTHBEARER")
                .with_setting("sasl.oauthbearer.method", "oidc")
                .with_setting("sasl.oauthbearer.token.endpoint.url", oidc.token_url)
                .with_setting("sasl.oauthbearer.client.id", oidc.client_id)
                .with_setting("sasl.oauthbearer.client.secret", oidc.client_secret.0)
                .with_text("sasl.oauthbearer.scope", oidc.scope)
                .with_text("sasl.oauthbearer.extensions", oidc.extensions),
        }
    }

    fn has_sasl(&self) -> bool {
        self.protocol_is(&["SASL_SSL", "SASL_PLAINTEXT"])
    }

    fn has_tls(&self) -> bool {
        self.protocol_is(&["SASL_SSL", "SSL"])
    }

    fn protocol_is(&self, protocols: &[&str]) -> bool {
        self.setting("security.protocol").is_some_and(|set| protocols.iter().any(|one| one.eq_ignore_ascii_case(set)))
    }

    fn with_login(self, mechanism: &str, login: Login) -> Self {
        self.with_setting("sasl.mechanisms", mechanism)
            .with_setting("sasl.username", login.user)
            .with_setting("sasl.password", login.password.0)
    }

    fn with_path(self, key: &str, path: Option<PathBuf>) -> Self {
        self.with_text(key, path.map(|path| path.to_string_lossy().into_owned()))
    }

    fn with_text(self, key: &str, value: Option<String>) -> Self {
        match value {
            Some(value) => self.with_setting(key, value),
            None => self,
        }
    }
}

#[derive(Clone)]
struct Secret(String);

impl fmt::Debug for Secret {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(REDACTED)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tls_and_sasl_meet_in_either_order() {
        let login = || Sasl::ScramSha512(Login::new("u", "p"));
        let builder = || KafkaConsumerBuilder::new("localhost:9092").topics(["t"]);
        for both in [builder().tls(Tls::new()).sasl(login()), builder().sasl(login()).tls(Tls::new())] {
            assert_eq!(both.setting("security.protocol"), Some("SASL_SSL"));
            assert_eq!(both.setting("sasl.mechanisms"), Some("SCRAM-SHA-512"));
        }
    }

    #[test]
    fn librdkafka_takes_what_the_typed_settings_write() {
        let oidc = Oidc::new("https://login.example/token", "id", "hunter2").scope("kafka").extensions("a=b");
        let builder = KafkaConsumerBuilder::new("localhost:9092")
            .topics(["t"])
            .tls(Tls::new().ca_file("/ca.pem").client_certificate("/c.pem", "/k.pem").key_password("hunter2"))
            .sasl(Sasl::OauthBearer(oidc));
        assert!(!format!("{builder:?}").contains("hunter2"));
        let config = builder.client_config().expect("valid");
        assert!(config.create_native_config().is_ok());
    }
}
