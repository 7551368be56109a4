//! Several Kafka nodes that form one cluster, to kill them one by one.

use crate::server::{KafkaOptions, KafkaServer, Membership, wait_for_nodes};
use crate::topic::{Topic, TopicOptions};

/// A cluster of Kafka nodes. Topics have a replica on each, and a write is acknowledged by a majority.
#[derive(Debug)]
pub struct KafkaCluster {
    nodes: Vec<KafkaServer>,
    brokers: String,
}

impl KafkaCluster {
    /// Starts `nodes` nodes and waits until all have found each other.
    pub fn start(nodes: usize) -> Self {
        Self::start_with(nodes, |_| KafkaOptions::default())
    }

    /// Starts nodes with options; `options` is asked for each by its id, from 1.
    pub fn start_with(nodes: usize, options: impl Fn(usize) -> KafkaOptions) -> Self {
        let members = Membership::of_new_cluster(nodes);
        let nodes: Vec<_> = members.iter().map(|member| KafkaServer::launch(member, &options(member.node))).collect();
        let brokers = nodes.iter().map(KafkaServer::brokers).collect::<Vec<_>>().join(",");
        let cluster = KafkaCluster { nodes, brokers };
        cluster.wait_until_whole();
        cluster
    }

    /// The bootstrap addresses of all nodes.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// A node by its id, from 1: kill it, freeze it, restart it.
    pub fn node(&self, id: usize) -> &KafkaServer {
        &self.nodes[id - 1]
    }

    /// Creates a topic whose name begins with `name` and is unique, with a replica on every node.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Topic {
        self.create_topic_with(name, TopicOptions::new(partitions))
    }

    /// Creates a topic with options; a replica on every node unless they say otherwise.
    pub fn create_topic_with(&self, name: &str, options: TopicOptions) -> Topic {
        let replicas = i32::try_from(self.nodes.len()).expect("a handful of nodes");
        Topic::create(self.brokers(), name, options.replicas_or(replicas))
    }

    /// Waits until every node is known to every client: after a restart.
    pub fn wait_until_whole(&self) {
        wait_for_nodes(&self.brokers, self.nodes.len(), || self.nodes.iter().for_each(KafkaServer::check_alive));
    }
}
