use std::time::Duration;

use super::*;
use crate::error::ErrorKind;
use crate::kafka::StartPosition;
use crate::load::{Format, OnError, UnknownFields};

const TOML: &str = r#"
    [source]
    brokers = "${HOST:-localhost}:9092"
    group_id = "rdp-orders"
    topics = ["orders"]
    start = { "0" = 120 }
    [window]
    max_records = 1_000
    max_bytes = "64MiB"
    max_wait = "30s"
    [load]
    on_error = "fail"
    unknown_fields = "keep"
    keep_value = true
    schema = [{ name = "order_id", type = "int64" }]
    [loader]
    lanes = 2
    memory = "1GiB"
    retry_cap = "5s"
    give_up_after = "2m"
    [sink.parquet]
    url = "file:landing"
"#;

const YAML: &str = r#"
source:
  brokers: ${HOST:-localhost}:9092
  group_id: rdp-orders
  topics: [orders]
  start: {0: 120}
window: {max_records: 1000, max_bytes: 64MiB, max_wait: 30s}
load:
  on_error: fail
  unknown_fields: keep
  keep_value: true
  schema:
    - {name: order_id, type: int64}
loader: {lanes: 2, memory: 1GiB, retry_cap: 5s, give_up_after: 2m}
sink:
  parquet:
    url: file:landing
"#;

const JSON: &str = r#"{
    "source": {"brokers": "${HOST:-localhost}:9092", "group_id": "rdp-orders", "topics": ["orders"],
               "start": {"0": 120}},
    "window": {"max_records": 1000, "max_bytes": "64MiB", "max_wait": "30s"},
    "load": {"on_error": "fail", "unknown_fields": "keep", "keep_value": true,
             "schema": [{"name": "order_id", "type": "int64"}]},
    "loader": {"lanes": 2, "memory": "1GiB", "retry_cap": "5s", "give_up_after": "2m"},
    "sink": {"parquet": {"url": "file:landing"}}
}"#;

fn parse(text: &str) -> Result<Config> {
    let origin = Origin { name: "test.toml", folder: Path::new("") };
    read_text(text, ConfigSyntax::Toml, Completeness::Whole, &origin, &|_| None)
}

/// What is said of a config with this source line added and everything else right.
fn mistake_in(section: &str, line: &str) -> String {
    let mut sections = vec![
        ("source", "brokers = \"b:1\"\ngroup_id = \"g\"\n"),
        ("window", ""),
        ("load", ""),
        ("loader", ""),
        ("sink.parquet", "url = \"file:landing\"\n"),
    ];
    if !line.starts_with("topics") {
        sections[0].1 = "brokers = \"b:1\"\ngroup_id = \"g\"\ntopics = [\"orders\"]\n";
    }
    if !sections.iter().any(|(name, _)| *name == section) {
        sections.push((section, ""));
    }
    let text: String = sections
        .iter()
        .map(|(name, lines)| format!("[{name}]\n{lines}{}\n", if *name == section { line } else { "" }))
        .collect();
    let error = parse(&text).err().unwrap_or_else(|| panic!("{line:?} in [{section}] is taken"));
    assert_eq!(error.kind(), ErrorKind::Config);
    error.message().to_owned()
}

#[test]
fn a_topic_may_load_in_its_own_way() {
    let text = r#"
        [source]
        brokers = "b:1"
        topics = ["orders", "^eu[.]", "clicks", "raw"]
        [load]
        schema = [{ name = "id", type = "int64" }]
        on_error = "fail"
        [load.topics.clicks]
        schema = [{ name = "page", type = "utf8" }]
        unknown_fields = "keep"
        [load.topics."eu.orders"]
        keep_value = true
        [load.topics.raw]
        format = "raw"
        on_error = "quarantine"
        [sink.parquet]
        url = "file:landing"
    "#;
    let plan = Config::from_text(text, ConfigSyntax::Toml).expect("it is right").load_plan();
    let of = |topic| {
        let options = plan.of(topic);
        let names: Vec<_> = options.schema.fields().iter().map(|field| field.name.clone()).collect();
        (options.format, names.join(","), options.on_error, options.unknown_fields, options.keep_value)
    };
    let id = (Format::Json, "id".to_owned(), OnError::Fail, UnknownFields::Ignore, false);
    assert_eq!(of("orders"), id);
    assert_eq!(of("eu.returns"), id);
    assert_eq!(of("eu.orders"), (id.0, id.1, id.2, id.3, true));
    assert_eq!(of("clicks"), (Format::Json, "page".to_owned(), OnError::Fail, UnknownFields::Keep, false));
    assert_eq!(of("raw"), (Format::Raw, String::new(), OnError::Quarantine, UnknownFields::Ignore, false));
}

#[test]
fn what_is_wrong_with_one_topics_load_is_told_under_its_name() {
    let text = |load: &str| {
        format!(
            "[source]\nbrokers = \"b:1\"\ntopics = [\"orders\", \"clicks\"]\n[sink.parquet]\nurl = \"file:landing\"\n{load}"
        )
    };
    for (load, told) in [
        (
            "[load.topics.clicsk]\nformat = \"raw\"",
            "load.topics.clicsk: source.topics has no such topic; did you mean clicks?",
        ),
        ("[load.topics.clicks]\nformat = \"json\"", "load.topics.clicks.schema: missing"),
        (
            "[load.topics.clicks]\non_errors = \"fail\"",
            "load.topics.clicks.on_errors: unknown key; did you mean load.topics.clicks.on_error?",
        ),
        ("[load]\ntopics = 3", "load.topics: expected a table"),
        ("[load.topics]\nclicks = 3", "load.topics.clicks: expected a table: [load.topics.clicks]"),
        ("[load.topics.clicks]\nschema = [{ name = \"a\" }]", "load.topics.clicks.schema"),
        ("[load]\nformat = \"json\"\n[load.topics.clicks]\nformat = \"raw\"", "load.schema: missing"),
    ] {
        let error = Config::from_text(&text(load), ConfigSyntax::Toml).err().expect(load);
        assert!(error.message().contains(told), "{load}: {error:?}");
        assert!(!error.message().contains("2 mistakes"), "each is told once: {error:?}");
    }
    let each_has_its_own = "[load]\nformat = \"json\"\n[load.topics.clicks]\nformat = \"raw\"\n[load.topics.orders]\nschema = [{ name = \"a\", type = \"utf8\" }]";
    Config::from_text(&text(each_has_its_own), ConfigSyntax::Toml).expect("nobody falls back on the first");
}

#[test]
fn the_three_syntaxes_are_one_tree() {
    let tree =
        |syntax: ConfigSyntax, text| syntax.parse(text).unwrap_or_else(|error| panic!("{:?}", error.into_error("")));
    assert_eq!(tree(ConfigSyntax::Toml, TOML), tree(ConfigSyntax::Yaml, YAML));
    assert_eq!(tree(ConfigSyntax::Toml, TOML), tree(ConfigSyntax::Json, JSON));
}

#[test]
fn every_section_is_read() {
    for (syntax, text) in [(ConfigSyntax::Toml, TOML), (ConfigSyntax::Yaml, YAML), (ConfigSyntax::Json, JSON)] {
        let origin = Origin { name: "test", folder: Path::new("") };
        let config = read_text(text, syntax, Completeness::Whole, &origin, &|_| Some("kafka-1".to_owned()))
            .unwrap_or_else(|error| panic!("{error:?}"));
        assert_eq!(config.source_config().brokers(), "kafka-1:9092");
        assert_eq!(config.source_config().group_id(), Some("rdp-orders"));
        assert_eq!(config.topics(), ["orders"]);
        let limits = WindowLimits { max_records: 1000, max_bytes: 64 << 20, max_wait: Duration::from_secs(30) };
        assert_eq!(config.limits(), limits);
        let load = config.load_plan().others().clone();
        assert!(matches!(load.format, Format::Json), "a schema makes the format json");
        assert!(matches!(load.on_error, OnError::Fail));
        assert!(matches!(load.unknown_fields, UnknownFields::Keep));
        assert!(load.keep_value);
        let loader = config.loader_options();
        assert_eq!((loader.lanes, loader.memory_bytes), (2, 1 << 30));
        assert_eq!(loader.retry_cap, Duration::from_secs(5));
        assert_eq!(loader.give_up_after, Some(Duration::from_secs(120)));
        assert_eq!(config.sink_config().map(SinkConfig::url), Some("file:landing"));
    }
}

#[test]
fn a_wrong_value_is_named_with_its_key_and_what_was_expected() {
    let cases = [
        ("window", "max_wait = \"30 parsecs\"", "window.max_wait = \"30 parsecs\": expected a time with its unit"),
        ("window", "max_wait = 30", "window.max_wait = 30: expected a time with its unit"),
        ("window", "max_bytes = \"lots\"", "window.max_bytes = \"lots\": expected a size such as \"64MiB\""),
        ("window", "max_records = 0", "window.max_records = 0: expected a whole number from 1 on"),
        ("window", "max_records = -5", "window.max_records = -5: expected a whole number from 1 on"),
        ("window", "max_records = 1.5", "window.max_records = 1.5: expected a whole number from 1 on"),
        ("load", "keep_value = \"yes\"", "load.keep_value = \"yes\": expected true or false"),
        ("load", "on_error = \"quarantin\"", "expected \"quarantine\" or \"fail\"; did you mean \"quarantine\"?"),
        ("load", "schema = []", "load.schema: load: the format is json and the schema names no field"),
        ("load", "on_error = 3", "load.on_error = 3: expected \"quarantine\" or \"fail\""),
        ("load", "format = \"json\"", "load.schema: missing; expected the landing schema"),
        (
            "load",
            "schema_file = \"no-such-file.json\"",
            "load.schema_file = \"no-such-file.json\": read schema no-such",
        ),
        (
            "source",
            "topics = \"../x\"",
            "source.topics = \"../x\": no topic can be called \"../x\"; a topic's name is up to",
        ),
        ("source", "topics = [\"a\", \"\"]", "source.topics = [\"a\",\"\"]: expected the topics' names"),
        ("source", "topics = \"..\"", "source.topics = \"..\": no topic can be called"),
        ("source", "topics = \"^(\"", "source.topics = \"^(\": read topic pattern \"^(\": regex parse error"),
        (
            "source",
            "start = \"yesterday\"",
            "source.start = \"yesterday\": expected \"earliest\", \"latest\", an RFC 3339",
        ),
        ("source", "start = { \"one\" = 3 }", "source.start = {\"one\":3}: expected \"earliest\""),
        ("source", "start = { \"payments:1\" = 3 }", "source.start = {\"payments:1\":3}: expected \"earliest\""),
        ("source", "isolation = \"committed\"", "source.isolation = \"committed\": expected \"read_committed\""),
        ("source", "partitions = [-1]", "source.partitions = [-1]: expected partition numbers"),
        ("source", "topics = [\"orders\", 3]", "source.topics = [\"orders\",3]: expected the topics' names"),
        (
            "sink.parquet",
            "compression_level = 99",
            "sink.parquet.compression_level = 99: expected a whole number from 1 to 22",
        ),
        ("loader", "give_up_after = \"soon\"", "loader.give_up_after = \"soon\": expected a time with its unit"),
    ];
    for (section, line, said) in cases {
        let message = mistake_in(section, line);
        assert!(message.contains(said), "{line}\n  said:     {message}\n  expected: {said}");
    }
}

#[test]
fn a_place_that_no_landing_can_have_is_a_mistake() {
    for (url, said) in
        [("file://host/x", "the URL names a host"), ("file:", "the path is empty"), ("/dev/null", "open")]
    {
        let text = format!("[source]\nbrokers = \"b:1\"\ntopics = \"t\"\n[sink.parquet]\nurl = {url:?}\n");
        let message = parse(&text).err().unwrap_or_else(|| panic!("{url} is taken")).message().to_owned();
        assert!(message.contains("sink.parquet.url: ") && message.contains(said), "{message}");
    }
}

#[test]
fn partitions_of_what_cannot_be_a_topic_are_a_mistake() {
    let text = "[source]\nbrokers = \"b:1\"\npartitions = [\"../x:0\"]\n[sink.parquet]\nurl = \"l\"\n";
    let message = parse(text).err().expect("no topic's name").message().to_owned();
    assert!(message.contains("source.partitions") && message.contains("no topic can be called"), "{message}");
}

#[test]
fn a_byte_order_mark_is_passed_over_in_every_syntax() {
    for (syntax, text) in [(ConfigSyntax::Toml, TOML), (ConfigSyntax::Yaml, YAML), (ConfigSyntax::Json, JSON)] {
        let marked =
            syntax.parse(&format!("\u{feff}{text}")).unwrap_or_else(|error| panic!("{:?}", error.into_error("")));
        assert!(syntax.parse(text).is_ok_and(|plain| plain == marked), "{syntax}");
    }
}

#[test]
fn what_is_nested_without_end_is_refused_in_a_moment() {
    let many = 100_000;
    let texts = [
        "[".repeat(many),
        "{".repeat(many),
        "[{".repeat(many),
        "a: [".repeat(many),
        "{a: ".repeat(many),
        "{\"a\": ".repeat(many),
        "a = [".to_owned() + &"[".repeat(many),
        "a = ".to_owned() + &"{a=".repeat(many),
        "- ".repeat(many),
        "? ".repeat(many),
        (0..2_000).map(|depth| " ".repeat(depth) + "a:\n").collect(),
        "a.".repeat(many) + "a = 1",
        "[".to_owned() + &"a.".repeat(many) + "a]",
        "&a ".repeat(many),
        (0..30).fold("a0: &a0 [x]\n".to_owned(), |text, n| format!("{text}a{}: &a{} [*a{n}, *a{n}]\n", n + 1, n + 1)),
    ];
    for text in &texts {
        for syntax in [ConfigSyntax::Toml, ConfigSyntax::Yaml, ConfigSyntax::Json] {
            let asked = std::time::Instant::now();
            let refused = syntax.parse(text).is_err();
            let start: String = text.chars().take(20).collect();
            // Dots stand in YAML's texts.
            let is_text = syntax == ConfigSyntax::Yaml && start.trim_start_matches('[').starts_with("a.");
            assert!(refused != is_text, "{syntax} takes {start:?} many times");
            assert!(asked.elapsed() < Duration::from_secs(10), "{syntax} took {:?} for {start:?}", asked.elapsed());
        }
    }
}

#[test]
fn a_file_without_an_end_is_not_read_to_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("endless.toml");
    std::os::unix::fs::symlink("/dev/zero", &path).expect("a link");
    let error = Config::from_path(&path).err().expect("it is no config");
    assert_eq!(error.kind(), ErrorKind::Config);
    assert!(error.message().contains("larger than any config"), "{error:?}");
}

#[test]
fn a_schema_file_may_be_what_is_to_be_pasted() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(
        folder.path().join("s.toml"),
        "[load]\nformat = \"json\"\nschema = [{ name = \"a\", type = \"int64\" }]\n",
    )
    .expect("a file");
    let path = folder.path().join("c.toml");
    let text =
        "[source]\nbrokers = \"b:1\"\ntopics = \"t\"\n[load]\nschema_file = \"s.toml\"\n[sink.parquet]\nurl = \"l\"\n";
    std::fs::write(&path, text).expect("a file");
    let config = Config::from_path(&path).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(config.load_plan().others().schema.fields().len(), 1);
}

#[test]
fn memory_without_measure_leaves_the_settings_right() {
    for memory in ["1B", "1MiB", "8GiB", "1TiB", "8EiB"] {
        let config = parse(&TOML.replace("memory = \"1GiB\"", &format!("memory = \"{memory}\""))).expect("a config");
        config.try_out().unwrap_or_else(|error| panic!("{memory}: {error:?}"));
    }
}

#[test]
fn an_unknown_key_is_told_its_nearest_spelling() {
    let cases = [
        ("window", "max_waits = \"30s\"", "window.max_waits: unknown key; did you mean window.max_wait?"),
        ("source", "broker = \"b:1\"", "source.broker: unknown key; did you mean source.brokers?"),
        ("source", "group-id = \"g\"", "source.group-id: unknown key; did you mean source.group_id?"),
        ("source", "max_wait = \"30s\"", "source.max_wait: unknown key; did you mean window.max_wait?"),
        ("sink.parque", "url = \"x\"", "sink.parque: unknown key; did you mean sink.parquet?"),
        ("windows", "", "windows: unknown key; did you mean window?"),
        ("loader", "zzzzzz = 1", "loader.zzzzzz: unknown key; [loader] has give_up_after, lanes"),
    ];
    for (section, line, said) in cases {
        let message = mistake_in(section, line);
        assert!(message.contains(said), "{line}\n  said:     {message}\n  expected: {said}");
    }
}

#[test]
fn all_mistakes_of_a_file_come_together() {
    let error =
        parse("[source]\nbrokres = \"b:1\"\n[window]\nmax_wait = \"x\"\n").err().expect("it is full of mistakes");
    for key in ["source.brokers: missing", "source.brokres: unknown", "source.topics", "window.max_wait", "sink:"] {
        assert!(error.message().contains(key), "{key} is not in {}", error.message());
    }
    assert!(error.message().contains("5 mistakes"), "{}", error.message());
}

#[test]
fn an_unset_variable_is_one_mistake() {
    let message = mistake_in("window", "max_wait = \"${NO_SUCH_VARIABLE}\"");
    assert!(message.contains("window.max_wait = \"${NO_SUCH_VARIABLE}\""), "{message}");
    assert!(message.contains("NO_SUCH_VARIABLE is not set"), "{message}");
    assert!(!message.contains("expected a time"), "{message}");
}

#[test]
fn what_a_variable_became_is_not_shown() {
    let text = "[source]\nbrokers = \"b:1\"\ngroup_id = \"g\"\ntopics = \"t\"\nisolation = \"${SECRET}\"\n[sink.parquet]\nurl = \"l\"";
    let origin = Origin { name: "test.toml", folder: Path::new("") };
    let error = read_text(text, ConfigSyntax::Toml, Completeness::Whole, &origin, &|_| Some("hunter2".to_owned()))
        .err()
        .expect("it is no isolation");
    assert!(error.message().contains("${SECRET}") && !error.message().contains("hunter2"), "{}", error.message());
}

#[test]
fn a_refused_librdkafka_key_says_why_and_shows_no_secret() {
    let message = mistake_in("source.librdkafka", "\"group.id\" = \"g\"");
    assert!(message.contains("source.librdkafka.\"group.id\" = \"g\""), "{message}");
    assert!(message.contains("use `group_id`"), "{message}");
    let message = mistake_in("source.librdkafka", "\"sasl.password\" = [\"hunter2\"]");
    assert!(message.contains("sasl.password") && !message.contains("hunter2"), "{message}");
    let message = mistake_in("source.librdkafka", "sesion.timeout.ms = 6000");
    assert!(message.contains("session.timeout.ms"), "{message}");
}

#[test]
fn a_syntax_error_has_a_place_and_does_not_quote_the_line() {
    let cases = [
        (ConfigSyntax::Toml, "[source]\npassword = \"hunter2\nx = 1"),
        (ConfigSyntax::Json, "{\"password\": \"hunter2\" \"x\": 1}"),
        (ConfigSyntax::Yaml, "a: 1\nb: [1, \"hunter2\"\nc: }"),
    ];
    for (syntax, text) in cases {
        let error = Config::from_text(text, syntax).err().expect("it is not of its syntax");
        assert!(error.message().contains("line "), "{}", error.message());
        assert!(!format!("{error:?}").contains("hunter2"), "{error:?}");
    }
}

#[test]
fn a_key_that_stands_twice_is_refused_in_every_syntax() {
    for (syntax, text) in [
        (ConfigSyntax::Toml, "[window]\nmax_records = 1\nmax_records = 2"),
        (ConfigSyntax::Yaml, "window:\n  max_records: 1\n  max_records: 2\n"),
        (ConfigSyntax::Json, "{\"window\": {\"max_records\": 1, \"max_records\": 2}}"),
    ] {
        assert!(syntax.parse(text).is_err(), "{syntax} takes it");
    }
}

#[test]
fn starts_are_words_times_and_offsets() {
    let start = |line: &str, topics: &[&str]| {
        let text = format!("[source]\n{line}\n");
        let tree = ConfigSyntax::Toml.parse(&text).unwrap_or_else(|error| panic!("{:?}", error.into_error("")));
        let mistakes = Mistakes::default();
        let topics: Vec<String> = topics.iter().map(|topic| (*topic).to_owned()).collect();
        let start = source::read_start(&Section::root(&tree, &tree, &mistakes).section("source"), &topics);
        assert!(mistakes.into_error("").is_none());
        start
    };
    let offsets = |partition: &str, number| {
        Some(StartPosition::Offsets([(crate::TopicPartition::new(partition, number), 120)].into()))
    };
    assert_eq!(start("start = \"latest\"", &["orders"]), Some(StartPosition::Latest));
    assert_eq!(start("start = 1970-01-01T00:00:01Z", &["orders"]), Some(StartPosition::Time(1000)));
    assert_eq!(start("start = \"1970-01-01T01:00:01+01:00\"", &["orders"]), Some(StartPosition::Time(1000)));
    assert_eq!(start("start = { \"3\" = 120 }", &["orders"]), offsets("orders", 3));
    assert_eq!(start("start = { \"pay:2\" = 120 }", &["orders", "pay"]), offsets("pay", 2));
    assert_eq!(start("", &["orders"]), None);
}

#[test]
fn sampling_needs_a_source_alone() {
    let text = "[source]\nbrokers = \"b:1\"\ngroup_id = \"g\"\ntopics = \"orders\"\n[load]\nformat = \"json\"\n";
    let origin = Origin { name: "test.toml", folder: Path::new("") };
    let read = |completeness| read_text(text, ConfigSyntax::Toml, completeness, &origin, &|_| None);
    assert!(read(Completeness::SourceOnly).is_ok());
    let message = read(Completeness::Whole).err().expect("schema and sink are missing").message().to_owned();
    assert!(message.contains("load.schema: missing") && message.contains("sink: missing"), "{message}");
}
