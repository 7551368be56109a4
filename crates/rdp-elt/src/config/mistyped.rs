//! No secret of a config is told, whatever slip of the pen stands in it: every key that bears one, in every syntax, with
//! each of its letters left out, doubled, swapped or replaced; and whole files with any one sign of theirs changed.

use std::path::Path;

use super::*;

/// Nothing of a message has this in it by accident, and neither has half of it.
const SECRET: &str = "xq7vhunter2zk9w";
const HALF: &str = "hunter2";

const BEARERS: &[&str] = &[
    "sasl.password",
    "sasl.username",
    "sasl.jaas.config",
    "sasl.oauthbearer.config",
    "sasl.oauthbearer.extensions",
    "sasl.oauthbearer.client.id",
    "sasl.oauthbearer.client.secret",
    "sasl.oauthbearer.client.credentials.client.secret",
    "sasl.oauthbearer.assertion.private.key.passphrase",
    "sasl.oauthbearer.assertion.private.key.pem",
    "ssl.key.password",
    "ssl.key.pem",
    "ssl.keystore.password",
    "ssl.certificate.pem",
    "ssl.ca.pem",
];

/// A key with every single slip.
fn slips(key: &str) -> Vec<String> {
    let letters: Vec<char> = key.chars().collect();
    let mut slips = vec![key.to_owned()];
    for at in 0..letters.len() {
        let mut change = |with: &dyn Fn(&mut Vec<char>)| {
            let mut changed = letters.clone();
            with(&mut changed);
            slips.push(changed.into_iter().collect());
        };
        change(&|letters| {
            letters.remove(at);
        });
        change(&|letters| letters.insert(at, letters[at]));
        change(&|letters| letters.insert(at, 'x'));
        change(&|letters| letters[at] = 'x');
        change(&|letters| letters[at] = '_');
        if at + 1 < letters.len() {
            change(&|letters| letters.swap(at, at + 1));
        }
    }
    slips.sort();
    slips.dedup();
    slips
}

/// All that is said of a config, right or wrong.
fn said(text: &str, syntax: ConfigSyntax) -> String {
    let origin = Origin { name: "test", folder: Path::new("") };
    let config =
        read_text(text, syntax, Completeness::Whole, &origin, &|name| (name == "PASSWORD").then(|| SECRET.to_owned()));
    match config {
        Err(error) => format!("{error} {error:?} {:?}", error.help()),
        Ok(config) => {
            let (source, load) = (config.source_config(), config.load_plan());
            format!(
                "{:?} {:?} {:?} {:?}",
                config.source(),
                source.topics(),
                load,
                config.sink_config().map(SinkConfig::url)
            )
        }
    }
}

fn assert_untold(text: &str, syntax: ConfigSyntax) {
    let said = said(text, syntax);
    assert!(!said.contains(HALF), "{syntax}\n{text}\nsaid: {said}");
}

fn with_setting(key: &str, value: &str) -> [(ConfigSyntax, String); 5] {
    let text = serde_json::Value::from(value);
    let rest = "topics: [orders]\nload: {}\nsink: {parquet: {url: 'file:landing'}}";
    let (topics, sections) = rest.split_once('\n').expect("two parts");
    [
        (
            ConfigSyntax::Toml,
            format!(
                "[source]\nbrokers = \"b:1\"\ntopics = [\"orders\"]\n[source.librdkafka]\n\"{key}\" = {text}\n\
                 [sink.parquet]\nurl = \"file:landing\"\n"
            ),
        ),
        (
            ConfigSyntax::Toml,
            format!(
                "source.brokers = \"b:1\"\nsource.topics = [\"orders\"]\nsource.librdkafka.{key} = {text}\n\
                 sink.parquet.url = \"file:landing\"\n"
            ),
        ),
        (
            ConfigSyntax::Yaml,
            format!("source:\n  brokers: b:1\n  {topics}\n  librdkafka:\n    {key}: {text}\n{sections}\n"),
        ),
        (
            ConfigSyntax::Yaml,
            format!("source: {{brokers: b:1, {topics}, librdkafka: {{{key}: {text}}}}}\n{sections}\n"),
        ),
        (
            ConfigSyntax::Json,
            format!(
                "{{\"source\": {{\"brokers\": \"b:1\", \"topics\": [\"orders\"], \"librdkafka\": {{\"{key}\": {text}}}}}, \
                 \"sink\": {{\"parquet\": {{\"url\": \"file:landing\"}}}}}}"
            ),
        ),
    ]
}

#[test]
fn a_secret_under_a_mistyped_key_is_not_told() {
    const OTHERS: [&str; 4] =
        ["${PASSWORD}", "${NO_SUCH:-xq7vhunter2zk9w}", "${NO_SUCH:xq7vhunter2zk9w}", "${xq7v-hunter2"];
    let mut count = 0;
    for key in BEARERS {
        for (number, slip) in slips(key).iter().enumerate() {
            let values = if slip == key { OTHERS.to_vec() } else { vec![OTHERS[number % OTHERS.len()]] };
            for (syntax, text) in values.into_iter().chain([SECRET]).flat_map(|value| with_setting(slip, value)) {
                assert_untold(&text, syntax);
                count += 1;
            }
        }
    }
    assert!(count > 10_000, "{count}");
}

#[test]
fn a_secret_where_another_thing_belongs_is_not_told() {
    for value in [format!("[{SECRET:?}]"), format!("{{\"a\": {SECRET:?}}}"), format!("[{{\"a\": [{SECRET:?}]}}]")] {
        for key in ["sasl.password", "sasl.pasword", "session.timeout.ms", "security.protocol", "librdkafka"] {
            let text = format!("{{\"source\": {{\"brokers\": \"b:1\", \"librdkafka\": {{{key:?}: {value}}}}}}}");
            if key.starts_with("sasl") {
                assert_untold(&text, ConfigSyntax::Json);
            }
        }
        for place in
            ["source", "load", "sink", "window", "loader", "sink.parquet", "source.librdkafka", "source.brokers"]
        {
            let nested = place.rsplit('.').fold(value.clone(), |inner, key| format!("{{{key:?}: {inner}}}"));
            assert_untold(&nested, ConfigSyntax::Json);
            let text = place.rsplit('.').fold(format!("{SECRET:?}"), |inner, key| format!("{{{key:?}: {inner}}}"));
            assert_untold(&text, ConfigSyntax::Json);
        }
    }
    for text in
        [SECRET, "sasl.password:xq7vhunter2zk9w", "- sasl.password:xq7vhunter2zk9w", "sasl.password=xq7vhunter2zk9w"]
    {
        assert_untold(text, ConfigSyntax::Yaml);
        assert_untold(text, ConfigSyntax::Toml);
        assert_untold(text, ConfigSyntax::Json);
    }
}

#[test]
fn no_change_of_one_sign_makes_a_file_tell_its_secret() {
    const SIGNS: &[&str] = &[
        "", "\"", "'", ":", ",", "=", "[", "]", "{", "}", "#", "\n", " ", "x", "!", "&", "*", "%", "@", "|", ">", "?",
        "$", "\\",
    ];
    let mut count = 0;
    for (syntax, text) in with_setting("sasl.password", SECRET) {
        let from = text.find("librdkafka").expect("the section");
        let secret = text.find(SECRET).expect("the secret");
        // What breaks the secret in two may leave a half that nobody can tell from a key: the signs around it are changed.
        let places = (from..=text.len()).filter(|at| *at <= secret || *at >= secret + SECRET.len());
        for at in places.filter(|at| text.is_char_boundary(*at)) {
            for sign in SIGNS {
                let end = (at + 1).min(text.len());
                assert_untold(&format!("{}{sign}{}", &text[..at], &text[at..]), syntax);
                assert_untold(&format!("{}{sign}{}", &text[..at], &text[end..]), syntax);
                count += 2;
            }
        }
    }
    assert!(count > 10_000, "{count}");
}
