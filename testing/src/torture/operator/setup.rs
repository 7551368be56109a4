//! The config of the moment.

use serde_json::{Value, json};

use super::model::Start;
use super::plan::{Change, Group, Protocol};
use super::record::{COLUMNS, time};
use crate::rdp_config::RdpConfig;
use crate::topic::Topic;

/// What operators have made of the config.
#[derive(Debug, Clone)]
pub(super) struct Setup {
    pub(super) start: Start,
    pub(super) group: Group,
    pub(super) even_only: bool,
    columns: Vec<&'static str>,
    window: usize,
    protocol: Protocol,
    lanes: u8,
    is_pattern: bool,
}

impl Setup {
    pub(super) fn new() -> Self {
        Setup {
            start: Start::Earliest,
            group: Group::None,
            even_only: false,
            columns: vec!["id", "word", "weight"],
            window: 10,
            protocol: Protocol::Cooperative,
            lanes: 1,
            is_pattern: false,
        }
    }

    pub(super) fn change(&mut self, change: Change) {
        match change {
            Change::Column(column) if self.columns.contains(&column) => self.columns.retain(|known| *known != column),
            Change::Column(column) => self.columns.push(column),
            Change::Window(window) => self.window = window,
            Change::Start(start) => self.start = start,
            Change::Group(group) => self.group = group,
            Change::Protocol(protocol) => self.protocol = protocol,
            Change::Lanes(lanes) => self.lanes = lanes,
            Change::EvenOnly(even_only) => self.even_only = even_only,
            Change::Pattern(is_pattern) => self.is_pattern = is_pattern,
        }
    }

    /// The partitions that it names, of so many.
    pub(super) fn only(&self, partitions: i32) -> Option<Vec<i32>> {
        self.even_only.then(|| (0..partitions).step_by(2).collect())
    }

    /// The payload's columns as they land.
    pub(super) fn columns(&self) -> Vec<String> {
        self.columns.iter().map(|&column| column.to_owned()).collect()
    }

    /// As a config file that lands where `home` does.
    pub(super) fn write(&self, topic: &Topic, home: &RdpConfig) -> RdpConfig {
        let fields = self.columns.iter().map(|&column| {
            let kind = COLUMNS.iter().find(|(name, _)| *name == column).map_or("utf8", |(_, kind)| kind);
            json!({ "name": column, "type": kind })
        });
        let start = match self.start {
            Start::Earliest => "earliest".to_owned(),
            Start::Latest => "latest".to_owned(),
            Start::Time(id) => time(id),
        };
        let config = RdpConfig::json(topic, Value::Array(fields.collect()))
            .landing_of(home)
            .window(self.window, "150ms")
            .set("/load/keep_value", true)
            .set("/loader/lanes", self.lanes)
            .set("/source/start", start)
            .librdkafka("topic.metadata.refresh.interval.ms", "1000");
        let config = match (self.only(topic.partitions()), self.is_pattern) {
            (Some(only), _) => config.set("/source/partitions", only),
            (None, true) => config.set("/source/topics", vec![format!("^{}$", topic.name())]),
            (None, false) => config,
        };
        match self.group {
            Group::None => config.without_group(),
            Group::First => self.protocol.configure(config),
            Group::Second => {
                self.protocol.configure(config.set("/source/group_id", format!("rdp-{}-second", topic.name())))
            }
        }
    }
}

impl Protocol {
    fn configure(self, config: RdpConfig) -> RdpConfig {
        let classic = |config: RdpConfig, strategy: &str| {
            let config = config.librdkafka("partition.assignment.strategy", strategy);
            config.librdkafka("session.timeout.ms", "2000").librdkafka("heartbeat.interval.ms", "300")
        };
        match self {
            Protocol::Cooperative => classic(config, "cooperative-sticky"),
            Protocol::Eager => classic(config, "range"),
            Protocol::Consumer => config.librdkafka("group.protocol", "consumer"),
        }
    }
}
