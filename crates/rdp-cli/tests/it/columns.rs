//! Columns that change between two runs, and topics that have columns of their own.

use rdp_testing::{KafkaServer, RdpConfig, Record, oracle, orders};
use serde_json::{Value, json};

use crate::{LIMIT, rdp};

fn schema(text: &str) -> Value {
    serde_json::from_str(text).expect("a schema")
}

/// The one table that a query prints, as JSON.
fn query(config: &RdpConfig, sql: &str) -> Value {
    let printed = rdp("sql").arg(sql).args(["--output", "json", "--config"]).arg(config.path()).run(LIMIT);
    printed.assert_success();
    serde_json::from_str(&printed.stdout).expect("JSON")
}

#[test]
#[ignore = "needs a broker"]
fn columns_widen_come_and_go_and_no_other_change_lands() {
    let topic = KafkaServer::shared().create_topic("columns", 1);
    let produce = |numbers: std::ops::Range<i64>| {
        topic.produce(
            numbers.map(|n| Record::new(format!(r#"{{"n": {n}, "x": {n}.5, "d": {n}.25, "old": "a", "new": true}}"#))),
        );
    };
    let first = schema(
        r#"[{"name": "n", "type": "int32", "required": true}, {"name": "x", "type": "float32"},
            {"name": "d", "type": "decimal(6,2)"}, {"name": "old", "type": "utf8"}]"#,
    );
    let config = RdpConfig::json(&topic, first);
    produce(0..10);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();

    let wider = schema(
        r#"[{"name": "n", "type": "int64"}, {"name": "x", "type": "float64"}, {"name": "d", "type": "decimal(12,2)"},
            {"name": "new", "type": "bool"}]"#,
    );
    let config = config.set("/load/schema", wider);
    produce(10..20);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();

    let files = config.landed_files();
    let changed = [("n", "utf8", "int64"), ("n", "int32", "int64"), ("d", "decimal(12,3)", "decimal(12,2)")];
    for (name, now, was) in changed {
        let config = config.duplicate().set("/load/schema", json!([{ "name": name, "type": now }]));
        for command in ["load", "run"] {
            let refused = rdp(command).arg(config.path()).run(LIMIT);
            refused.assert_code(14);
            for told in [topic.name(), &format!("column {name} "), was, now, "topic="] {
                assert!(refused.stderr.contains(told), "{told}: {}", refused.stderr);
            }
        }
        let checked = rdp("check").arg(config.path()).arg("--connect").run(LIMIT);
        checked.assert_code(14);
    }
    assert_eq!(config.landed_files(), files);

    let table = format!("\"{}\"", topic.name());
    let sums = query(
        &config,
        &format!("SELECT SUM(n) AS n, SUM(x) AS x, SUM(d) AS d, COUNT(old) AS old, COUNT(new) AS new FROM {table}"),
    );
    let numbers: f64 = (0..20).sum::<i32>().into();
    let of = |name: &str| sums[0][name].as_f64().or_else(|| sums[0][name].as_str()?.parse().ok());
    assert_eq!(of("n"), Some(numbers), "{sums}");
    assert_eq!(of("x"), Some(numbers + 10.0), "{sums}");
    assert_eq!(of("d"), Some(numbers + 5.0), "{sums}");
    assert_eq!((of("old"), of("new")), (Some(10.0), Some(10.0)), "{sums}");
    let agreement = oracle::readers(&config.landing());
    assert!(agreement.agree && agreement.rows == 20, "{agreement:#?}");
}

#[test]
#[ignore = "needs a broker"]
fn topics_load_in_their_own_way_beside_each_other() {
    let broker = KafkaServer::shared();
    let (of_orders, clicks, bytes) = (
        broker.create_topic("own-orders", 2),
        broker.create_topic("own-clicks", 2),
        broker.create_topic("own-bytes", 1),
    );
    of_orders.produce(orders(91, 400));
    clicks.produce((0..300).map(|n| Record::new(format!(r#"{{"page": "p{n}", "ms": {n}}}"#))));
    bytes.produce((0..50).map(|n| Record::new(format!("no json {n}"))));
    let pages = schema(r#"[{"name": "page", "type": "utf8", "required": true}]"#);
    let config = RdpConfig::orders(&of_orders)
        .set("/source/topics", json!([of_orders.name(), clicks.name(), bytes.name()]))
        .set(&format!("/load/topics/{}", clicks.name()), json!({ "schema": pages, "unknown_fields": "keep" }))
        .set(&format!("/load/topics/{}", bytes.name()), json!({ "format": "raw" }))
        .set("/loader/lanes", 2);
    let checked = rdp("check").arg(config.path()).run(LIMIT);
    checked.assert_success();
    assert!(checked.stdout.contains(&format!("{}: JSON into 1 column", clicks.name())), "{}", checked.stdout);
    rdp("load").arg(config.path()).run(LIMIT).assert_success();
    rdp("audit").arg(config.path()).run(LIMIT).assert_success();
    oracle::check(&config).assert_exact();
    for (topic, sql, expected) in [
        (&clicks, "SELECT COUNT(page) AS n, COUNT(_rdp_extra) AS m FROM", json!([{ "n": 300, "m": 300 }])),
        (&clicks, "SELECT COUNT(*) AS n FROM", json!([{ "n": 300 }])),
        (&bytes, "SELECT COUNT(_kafka_value) AS n FROM", json!([{ "n": 50 }])),
    ] {
        assert_eq!(query(&config, &format!("{sql} \"{}\"", topic.name())), expected, "{sql}");
    }
    let proposed = rdp("schema").arg(config.path()).run(LIMIT);
    assert!(!proposed.stderr.contains("panicked"), "{}", proposed.stderr);
}

/// By two commands alone.
#[test]
#[ignore = "needs a broker"]
fn a_topic_of_ones_own_lands_in_two_commands() {
    let broker = KafkaServer::shared();
    let (of_orders, bytes) = (broker.create_topic("init-orders", 2), broker.create_topic("init-bytes", 1));
    of_orders.produce((0..300).map(|n| Record::new(format!(r#"{{"id": {n}, "status": "paid", "amount": "{n}.25"}}"#))));
    bytes.produce((0..50).map(|n| Record::new(format!("no json {n}"))));
    let place = RdpConfig::orders(&of_orders);
    let (folder, landing) = (place.folder(), format!("file:{}", place.landing().display()));
    for (topics, expected) in [(vec![&of_orders], 300), (vec![&of_orders, &bytes], 50), (vec![&bytes], 0)] {
        let path = folder.join(format!("own-{expected}.toml"));
        let init = rdp("init").arg(of_orders.brokers()).args(topics.iter().map(|topic| topic.name()));
        let init = init.args(["--to", &landing, "--set", "client.id=own", "--file"]).arg(&path).run(LIMIT);
        init.assert_success();
        assert!(init.stderr.contains("next: rdp load"), "{}", init.stderr);
        rdp("check").arg(&path).arg("--connect").run(LIMIT).assert_success();
        rdp("load").arg(&path).run(LIMIT).assert_success();
        rdp("audit").arg(&path).run(LIMIT).assert_success();
    }
    let counts = query(&place, &format!("SELECT COUNT(id) AS n, COUNT(_rdp_error) AS m FROM \"{}\"", of_orders.name()));
    assert_eq!(counts, json!([{ "n": 300, "m": 0 }]));

    // What is there stays, and what is not there is said.
    let again = rdp("init").arg(of_orders.brokers()).arg(of_orders.name()).arg("--file").arg(folder.join("own-0.toml"));
    let again = again.run(LIMIT);
    again.assert_code(10);
    assert!(again.stderr.contains("there already"), "{}", again.stderr);
    let missing = folder.join("missing.toml");
    let refused = rdp("init").arg(of_orders.brokers()).arg("no-such-topic").arg("--file").arg(&missing).run(LIMIT);
    refused.assert_code(10);
    assert!(!missing.exists());
}
