//! Brokers that stand still for longer than their session lasts (4 s here): their connections stay open, nothing answers,
//! and once they go on they learn that the controller has given them up.

use std::sync::Arc;
use std::thread;
use std::time::Duration;

use rdp_elt::Until;
use rdp_elt::kafka::KafkaConsumerBuilder;
use rdp_elt::sink::MemorySink;
use rdp_testing::wire::Mode;
use rdp_testing::{KafkaCluster, KafkaServer, Topic};

use super::{Produced, Running, assert_landed, landed};
use crate::{loader, source};

/// One loader on a topic of its own.
struct Reader {
    mode: Mode,
    topic: Topic,
    produced: Produced,
    sink: Arc<MemorySink>,
    running: Option<Running>,
}

impl Reader {
    fn new(mode: Mode, topic: Topic, count: usize) -> Self {
        let (mut produced, sink) = (Produced::default(), Arc::new(MemorySink::new()));
        produced.add(&topic, 0..topic.partitions(), count);
        Reader { mode, topic, produced, sink, running: None }
    }

    /// With the settings that people have: none.
    fn source(&self) -> KafkaConsumerBuilder {
        let source = source(&self.topic);
        if self.mode.has_group() {
            let strategy = |source: KafkaConsumerBuilder| match self.mode {
                Mode::Consumer => source.set("group.protocol", "consumer"),
                _ => source.set("session.timeout.ms", "6000"),
            };
            return strategy(source.group_id(format!("frozen-{}", self.topic.name()))).expect("keys of librdkafka's");
        }
        source
    }

    fn start(mut self, until: Until) -> Self {
        self.running = Some(Running::start(loader(self.source(), &self.sink), until));
        self
    }

    fn produce(&mut self, count: usize) {
        self.produced.add(&self.topic, 0..self.topic.partitions(), count);
    }

    /// Panics where records are missing after a while.
    fn wait(&self, when: &str) {
        let wanted = self.produced.len();
        super::wait_within(PATIENCE, &format!("{:?} has landed {wanted} records {when}", self.mode), || {
            let ended = self.running.as_ref().is_some_and(|running| running.outcome.is_finished());
            ended || landed(&self.sink, &self.topic).len() >= wanted
        });
    }

    fn stop(self) {
        let running = self.running.expect("it was started");
        running.stop().unwrap_or_else(|error| panic!("{:?} ends with {error:?}", self.mode));
        assert_landed(&self.sink, &self.topic, &self.produced);
    }
}

const MODES: [Mode; 3] = [Mode::Alone, Mode::Cooperative, Mode::Consumer];

#[test]
#[ignore = "needs Apache Kafka"]
fn a_broker_that_was_frozen_past_its_session_is_read_on() {
    let broker = KafkaServer::start();
    let mut readers: Vec<_> = MODES
        .iter()
        .map(|mode| Reader::new(*mode, broker.create_topic("frozen", 2), 100).start(Until::Stopped))
        .collect();
    readers.iter().for_each(|reader| reader.wait("before the broker is frozen"));
    broker.pause();
    thread::sleep(Duration::from_secs(12));
    broker.resume();
    readers.iter_mut().for_each(|reader| reader.produce(50));
    readers.iter().for_each(|reader| reader.wait("after the broker was frozen"));
    readers.into_iter().for_each(Reader::stop);
}

#[test]
#[ignore = "needs Apache Kafka"]
fn a_bounded_run_that_begins_while_the_broker_is_frozen_lands_all() {
    let broker = KafkaServer::start();
    let readers: Vec<_> =
        MODES.iter().map(|mode| Reader::new(*mode, broker.create_topic("frozen-start", 2), 200)).collect();
    broker.pause();
    let readers: Vec<_> = readers.into_iter().map(|reader| reader.start(Until::LogEnd)).collect();
    thread::sleep(Duration::from_millis(13_500));
    broker.resume();
    for Reader { mode, topic, produced, sink, running } in readers {
        let report = running.expect("it was started").end_within(PATIENCE);
        let report = report.unwrap_or_else(|error| panic!("{mode:?} ends with {error:?}"));
        assert_eq!(report.record_count as usize, produced.len(), "{mode:?} ended well and had not landed all");
        assert_landed(&sink, &topic, &produced);
    }
}

#[test]
#[ignore = "needs Apache Kafka"]
fn nodes_that_were_frozen_one_and_all_are_read_on() {
    let cluster = KafkaCluster::start(3);
    let mut readers: Vec<_> = MODES
        .iter()
        .map(|mode| Reader::new(*mode, cluster.create_topic("frozen-nodes", 3), 100).start(Until::Stopped))
        .collect();
    readers.iter().for_each(|reader| reader.wait("before a node is frozen"));
    for frozen in [vec![1], vec![1, 2, 3]] {
        frozen.iter().for_each(|node| cluster.node(*node).pause());
        thread::sleep(Duration::from_secs(9));
        frozen.iter().for_each(|node| cluster.node(*node).resume());
        cluster.wait_until_whole();
        readers.iter_mut().for_each(|reader| reader.produce(50));
        readers.iter().for_each(|reader| reader.wait(&format!("after nodes {frozen:?} were frozen")));
    }
    readers.into_iter().for_each(Reader::stop);
}

/// What takes longer, once brokers answer again, does not come back.
const PATIENCE: Duration = Duration::from_secs(75);
