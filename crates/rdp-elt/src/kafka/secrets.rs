//! What must never be seen. Values are shown of keys alone that are known to be harmless, since a mistyped key bears the
//! secret of the one that was meant; and what librdkafka says passes [`told`], since it may repeat what it was given.

use std::borrow::Cow;
use std::collections::HashSet;
use std::sync::{PoisonError, RwLock};

use super::keys::is_known;

/// Whether a librdkafka key's value must never be seen: in `Debug`, logs, errors, metrics or a shown configuration. That
/// holds for every key that is not known to be harmless.
pub fn is_secret_key(key: &str) -> bool {
    let is_of_security = ["sasl.", "ssl.", "https."].iter().any(|family| key.starts_with(family));
    !is_known(key) || (is_of_security && !HARMLESS_OF_SECURITY.contains(&key))
}

/// A key's value as it may be shown.
pub(crate) fn shown<'a>(key: &str, value: &'a str) -> &'a str {
    if is_secret_key(key) { REDACTED } else { value }
}

/// A key's name as it may be shown: what somebody took for a key may be one and its value run together.
pub(crate) fn named(key: &str) -> Cow<'_, str> {
    let belongs = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    match key.char_indices().find(|(at, letter)| !belongs(*letter) || *at >= LONGEST_NAME) {
        None => key.into(),
        Some((at, _)) => format!("{}…", &key[..at]).into(),
    }
}

/// Remembers the secrets among a client's settings, so that [`told`] knows them.
pub(crate) fn remember<'a>(settings: impl Iterator<Item = (&'a str, &'a str)>) {
    for (_, secret) in settings.filter(|(key, value)| bears_secret(key) && value.len() >= SHORTEST) {
        let is_known = |secrets: &Secrets| secrets.whole.iter().any(|known| known == secret);
        if !is_known(&SECRETS.read().unwrap_or_else(PoisonError::into_inner)) {
            SECRETS.write().unwrap_or_else(PoisonError::into_inner).add(secret);
        }
    }
}

/// What librdkafka says, without any secret that a client of this process was given, and without pieces of one.
pub(crate) fn told(text: &str) -> Cow<'_, str> {
    // Where it cannot read on, it repeats the rest of what it was to read.
    let (text, is_cut) = match text.split_once("beginning at:") {
        Some((before, _)) => (before.trim_end(), true),
        None => (text, false),
    };
    let hidden = SECRETS.read().unwrap_or_else(PoisonError::into_inner).hidden_in(text);
    match (hidden, is_cut) {
        (Some(hidden), _) => hidden.into(),
        (None, true) => format!("{text} somewhere").into(),
        (None, false) => text.into(),
    }
}

/// Whether a key is there to bear a secret, or may bear one among other things.
fn bears_secret(key: &str) -> bool {
    // Keys of later releases are covered by their endings.
    const ENDINGS: [&str; 7] =
        ["password", "passphrase", "secret", "key.pem", "keystore.pem", "oauthbearer.config", "jaas.config"];
    ENDINGS.iter().any(|ending| key.ends_with(ending))
}

/// The secrets of all clients of the process: librdkafka speaks through callbacks and codes that know no client of ours.
static SECRETS: RwLock<Secrets> = RwLock::new(Secrets { whole: Vec::new(), pieces: None });

struct Secrets {
    whole: Vec<String>,
    /// Every run of so many bytes of each that is long enough.
    pieces: Option<HashSet<[u8; PIECE]>>,
}

impl Secrets {
    fn add(&mut self, secret: &str) {
        self.whole.push(secret.to_owned());
        let runs = secret.as_bytes().windows(PIECE).filter_map(|run| <[u8; PIECE]>::try_from(run).ok());
        self.pieces.get_or_insert_default().extend(runs);
    }

    /// The text with what is secret in it replaced; `None` where nothing is.
    fn hidden_in(&self, text: &str) -> Option<String> {
        let pieces = self.pieces.as_ref()?;
        let mut is_secret = vec![false; text.len()];
        for (at, run) in text.as_bytes().windows(PIECE).enumerate() {
            if <[u8; PIECE]>::try_from(run).is_ok_and(|run| pieces.contains(&run)) {
                is_secret[at..at + PIECE].fill(true);
            }
        }
        for short in self.whole.iter().filter(|secret| secret.len() < PIECE) {
            text.match_indices(short).for_each(|(at, found)| is_secret[at..at + found.len()].fill(true));
        }
        if !is_secret.contains(&true) {
            return None;
        }
        let mut hidden = String::with_capacity(text.len());
        let mut was_secret = false;
        for (at, letter) in text.char_indices() {
            match is_secret[at] {
                true if !was_secret => hidden.push_str(REDACTED),
                true => {}
                false => hidden.push(letter),
            }
            was_secret = is_secret[at];
        }
        Some(hidden)
    }
}

/// What stands where a secret was.
pub(crate) const REDACTED: &str = "[redacted]";
/// A shorter value is found in every other word, and guessed as soon.
const SHORTEST: usize = 4;
/// So many bytes in a row that a text shares with a secret are no accident.
const PIECE: usize = 6;
/// Longer than any key of librdkafka's.
const LONGEST_NAME: usize = 64;

/// The keys of TLS and SASL whose values a person may see: names of mechanisms, of algorithms and of public files.
const HARMLESS_OF_SECURITY: &[&str] = &[
    "https.ca.location",
    "sasl.kerberos.keytab",
    "sasl.kerberos.min.time.before.relogin",
    "sasl.kerberos.principal",
    "sasl.kerberos.service.name",
    "sasl.mechanism",
    "sasl.mechanisms",
    "sasl.oauthbearer.assertion.algorithm",
    "sasl.oauthbearer.assertion.claim.exp.seconds",
    "sasl.oauthbearer.assertion.claim.jti.include",
    "sasl.oauthbearer.assertion.claim.nbf.seconds",
    "sasl.oauthbearer.grant.type",
    "sasl.oauthbearer.metadata.authentication.type",
    "sasl.oauthbearer.method",
    "ssl.ca.certificate.stores",
    "ssl.ca.location",
    "ssl.certificate.location",
    "ssl.cipher.suites",
    "ssl.crl.location",
    "ssl.curves.list",
    "ssl.endpoint.identification.algorithm",
    "ssl.engine.id",
    "ssl.engine.location",
    "ssl.keystore.location",
    "ssl.providers",
    "ssl.sigalgs.list",
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kafka::keys::KNOWN;

    #[test]
    fn a_key_is_secret_unless_it_is_known_to_be_harmless() {
        for key in ["sasl.password", "ssl.key.pem", "sasl.oauthbearer.config", "sasl.jaas.config", "sasl.username"] {
            assert!(is_secret_key(key), "{key}");
        }
        for key in ["sasl.pasword", "ssl.key.passwrd", "pasword", "", "security.protcol"] {
            assert!(is_secret_key(key), "{key:?} is no key: whose value it bears is not known");
        }
        for key in ["session.timeout.ms", "security.protocol", "sasl.mechanisms", "ssl.ca.location", "group.id"] {
            assert!(!is_secret_key(key), "{key}");
        }
    }

    #[test]
    fn every_key_that_bears_a_secret_is_a_secret_key() {
        let bearers: Vec<_> = KNOWN.iter().copied().filter(|key| bears_secret(key)).collect();
        assert_eq!(
            bearers,
            [
                "sasl.oauthbearer.assertion.private.key.passphrase",
                "sasl.oauthbearer.assertion.private.key.pem",
                "sasl.oauthbearer.client.credentials.client.secret",
                "sasl.oauthbearer.client.secret",
                "sasl.oauthbearer.config",
                "sasl.password",
                "ssl.key.password",
                "ssl.key.pem",
                "ssl.keystore.password",
            ]
        );
        assert!(bearers.iter().all(|key| is_secret_key(key)));
    }

    #[test]
    fn no_slip_of_one_letter_makes_a_harmless_key_of_one_that_bears_a_secret() {
        for key in KNOWN.iter().filter(|key| bears_secret(key)) {
            for other in KNOWN.iter().filter(|other| !is_secret_key(other)) {
                assert!(strsim::damerau_levenshtein(key, other) > 2, "{key} and {other}");
            }
        }
    }

    #[test]
    fn what_librdkafka_repeats_of_a_secret_is_taken_out() {
        remember([("sasl.password", "tr0mbone-parade"), ("client.id", "harmless-word")].into_iter());
        remember([("ssl.key.password", "qz7!")].into_iter());
        assert_eq!(told("login as tr0mbone-parade refused"), format!("login as {REDACTED} refused"));
        assert_eq!(told("at: mbone-par"), format!("at: {REDACTED}"), "a piece of it");
        assert_eq!(told("the key's password qz7! is wrong"), format!("the key's password {REDACTED} is wrong"));
        assert_eq!(told("harmless-word says a long s\u{17f}entence"), "harmless-word says a long s\u{17f}entence");
        let unread = "Unrecognized sasl.oauthbearer.config beginning at: xyz";
        assert_eq!(told(unread), "Unrecognized sasl.oauthbearer.config somewhere");
    }

    #[test]
    fn a_name_ends_where_no_name_goes_on() {
        assert_eq!(named("sasl.password"), "sasl.password");
        assert_eq!(named("sasl.password:hunter2"), "sasl.password…");
        assert_eq!(named("sasl.password = hunter2"), "sasl.password…");
        assert_eq!(named(&"x".repeat(99)).chars().count(), LONGEST_NAME + 1);
    }
}
