//! A real Apache Kafka as a plain process: one KRaft node, broker and controller in one, on loopback.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};

use crate::cache::{self, RunFolder};
use crate::child::ChildProcess;
use crate::port::free_port;
use crate::proxy::FaultProxy;
use crate::topic::{Topic, TopicOptions};

/// How a broker differs from the usual one.
#[derive(Debug, Clone, Default)]
pub struct KafkaOptions {
    properties: Vec<(String, String)>,
    /// The ports of the proxies in front, each with a listener of its own.
    proxies: Vec<FaultProxy>,
    heap_mib: Option<u32>,
}

impl KafkaOptions {
    /// Sets the largest heap of the broker's process, in MiB; 512 by default.
    #[must_use]
    pub fn heap_mib(mut self, heap_mib: u32) -> Self {
        self.heap_mib = Some(heap_mib);
        self
    }

    /// Sets a property of the broker, over what it usually has.
    #[must_use]
    pub fn property(mut self, key: &str, value: impl ToString) -> Self {
        self.properties.push((key.to_owned(), value.to_string()));
        self
    }

    /// Gives the broker one more listener that is advertised through this proxy: clients that bootstrap from
    /// [`FaultProxy::address`] pass through it with everything they do.
    #[must_use]
    pub fn proxied(mut self, proxy: &FaultProxy) -> Self {
        self.proxies.push(proxy.clone());
        self
    }
}

/// One Kafka node. It is killed when dropped, and when the test process dies.
#[derive(Debug)]
pub struct KafkaServer {
    /// Dropped before its folder goes.
    process: Mutex<Option<ChildProcess>>,
    brokers: String,
    port: u16,
    heap_mib: u32,
    folder: RunFolder,
}

/// All that a broker kept at some moment.
#[derive(Debug)]
pub struct Backup(RunFolder);

/// What tells the nodes of one cluster apart and lets them find each other.
#[derive(Debug, Clone)]
pub(crate) struct Membership {
    pub(crate) cluster_id: String,
    pub(crate) node: usize,
    pub(crate) controller_ports: Vec<u16>,
}

impl Membership {
    /// A cluster of `nodes`; the id is new, so that no two clusters are taken for the same.
    pub(crate) fn of_new_cluster(nodes: usize) -> Vec<Membership> {
        let cluster_id = random_id();
        let controller_ports: Vec<u16> = (0..nodes).map(|_| free_port()).collect();
        let member =
            |node| Membership { cluster_id: cluster_id.clone(), node, controller_ports: controller_ports.clone() };
        (1..=nodes).map(member).collect()
    }
}

impl KafkaServer {
    /// Starts a broker and waits until it answers.
    pub fn start() -> Self {
        Self::start_with(KafkaOptions::default())
    }

    /// Starts a broker with options.
    pub fn start_with(options: KafkaOptions) -> Self {
        let member = Membership::of_new_cluster(1).remove(0);
        let server = Self::launch(&member, &options);
        server.wait_until_ready();
        server
    }

    /// The one broker that the tests of this process share: take it unless the test kills or freezes its broker.
    pub fn shared() -> &'static KafkaServer {
        static SHARED: OnceLock<KafkaServer> = OnceLock::new();
        SHARED.get_or_init(KafkaServer::start)
    }

    /// Lays out a node's folder and starts its process, without waiting.
    pub(crate) fn launch(member: &Membership, options: &KafkaOptions) -> Self {
        let folder = RunFolder::create(&format!("kafka-{}", member.node));
        let port = free_port();
        let data = folder.path().join("data");
        cache::copy_folder(&cache::kafka().join("formatted"), &data);
        let identity = format!(
            "version=1\nnode.id={}\ndirectory.id={}\ncluster.id={}\n",
            member.node,
            random_id(),
            member.cluster_id
        );
        write(&data.join("meta.properties"), &identity);
        write(&folder.path().join("broker.properties"), &properties(member, options, port, &data));
        let brokers = format!("127.0.0.1:{port}");
        let heap_mib = options.heap_mib.unwrap_or(512);
        let server = KafkaServer { process: Mutex::new(None), brokers, port, heap_mib, folder };
        server.spawn();
        server
    }

    /// The bootstrap address.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// The port of the plain listener.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// What the broker has logged so far.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    /// The process id, while it runs.
    pub fn process_id(&self) -> Option<u32> {
        self.process().as_ref().map(ChildProcess::id)
    }

    /// Creates a topic whose name begins with `name` and is unique, with `retention.ms=-1`.
    pub fn create_topic(&self, name: &str, partitions: i32) -> Topic {
        self.create_topic_with(name, TopicOptions::new(partitions))
    }

    /// Creates a topic with options.
    pub fn create_topic_with(&self, name: &str, options: TopicOptions) -> Topic {
        Topic::create(self.brokers(), name, options)
    }

    /// The names of all topics, internal ones too.
    pub fn topic_names(&self) -> Vec<String> {
        let client: BaseConsumer =
            ClientConfig::new().set("bootstrap.servers", self.brokers()).create().expect("a plain client can be made");
        let metadata = client.fetch_metadata(None, Duration::from_secs(30));
        let metadata = metadata.unwrap_or_else(|error| panic!("list the topics of {self}: {error}"));
        metadata.topics().iter().map(|topic| topic.name().to_owned()).collect()
    }

    /// Kills it as `kill -9` does.
    pub fn kill(&self) {
        if let Some(mut process) = self.process().take() {
            process.kill();
        }
    }

    /// Stops it in order, by SIGTERM.
    pub fn stop(&self) {
        if let Some(mut process) = self.process().take() {
            process.signal(libc::SIGTERM);
            let ended = process.wait(Duration::from_secs(15));
            assert!(ended.is_some(), "{self} did not stop within 15 s of SIGTERM");
        }
    }

    /// Starts it again on the same data and ports, and waits until it answers; kills it first where it runs.
    pub fn restart(&self) {
        self.relaunch();
        self.wait_until_ready();
    }

    /// Stops it in order, copies all that it keeps, and starts it again.
    pub fn back_up(&self) -> Backup {
        self.stop();
        let backup = Backup(RunFolder::create("backup"));
        cache::copy_folder(&self.data(), backup.0.path());
        self.restart();
        backup
    }

    /// Stops it, puts everything back as it was at the backup, and starts it again.
    pub fn restore(&self, backup: &Backup) {
        self.stop();
        fs::remove_dir_all(self.data()).unwrap_or_else(|error| panic!("empty {}: {error}", self.data().display()));
        cache::copy_folder(backup.0.path(), &self.data());
        self.restart();
    }

    /// Stops it, puts the logs of one topic back as they were at the backup, and starts it again: what the cluster knows
    /// of the topic, its leader epochs too, goes on from where it is.
    pub fn restore_logs(&self, backup: &Backup, topic: &Topic) {
        self.stop();
        for partition in 0..topic.partitions() {
            let name = format!("{}-{partition}", topic.name());
            let (kept, log) = (backup.0.path().join(&name), self.data().join(&name));
            if kept.is_dir() {
                fs::remove_dir_all(&log).unwrap_or_else(|error| panic!("empty {}: {error}", log.display()));
                cache::copy_folder(&kept, &log);
            }
        }
        self.restart();
    }

    /// Freezes the process by SIGSTOP: its connections stay open and nothing answers.
    pub fn pause(&self) {
        self.signal(libc::SIGSTOP);
    }

    /// Lets a frozen process go on.
    pub fn resume(&self) {
        self.signal(libc::SIGCONT);
    }

    pub(crate) fn relaunch(&self) {
        self.kill();
        self.spawn();
    }

    pub(crate) fn wait_until_ready(&self) {
        wait_for_nodes(&self.brokers, 1, || self.check_alive());
    }

    /// Panics with the end of the log where the process has ended by itself.
    pub(crate) fn check_alive(&self) {
        let ended = self.process().as_mut().and_then(ChildProcess::ended);
        if let Some(status) = ended {
            let log = self.log();
            let lines: Vec<&str> = log.lines().collect();
            panic!("{self} ended by itself ({status}):\n{}", lines[lines.len().saturating_sub(30)..].join("\n"));
        }
    }

    fn signal(&self, signal: libc::c_int) {
        let mut process = self.process();
        process.as_mut().unwrap_or_else(|| panic!("{self} does not run")).signal(signal);
    }

    fn spawn(&self) {
        let kafka = cache::kafka();
        let log = File::options().create(true).append(true).open(self.log_path()).expect("the broker's log opens");
        let mut command = Command::new(cache::java());
        command
            // An archive that this java cannot use is passed over.
            .arg(format!("-XX:SharedArchiveFile={}", kafka.join("broker.jsa").display()))
            .arg("-Xshare:auto")
            .arg(format!("-Dlog4j2.configurationFile={}", kafka.join("log4j2.yaml").display()))
            .arg(format!("-Xmx{}m", self.heap_mib))
            .args(["-XX:TieredStopAtLevel=1", "-XX:+UseSerialGC"])
            .args(["-cp", &format!("{}/libs/*", kafka.display()), "kafka.Kafka", "broker.properties"])
            .current_dir(self.folder.path())
            .stdin(std::process::Stdio::null())
            .stdout(log.try_clone().expect("a file handle can be doubled"))
            .stderr(log);
        let process = ChildProcess::spawn(command).unwrap_or_else(|error| panic!("start java for {self}: {error}"));
        *self.process() = Some(process);
    }

    fn process(&self) -> MutexGuard<'_, Option<ChildProcess>> {
        self.process.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("broker.log")
    }
}

impl std::fmt::Display for KafkaServer {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(out, "the broker at {}", self.brokers)
    }
}

/// Waits until metadata names `nodes` brokers; `check` may end the wait by a panic.
pub(crate) fn wait_for_nodes(brokers: &str, nodes: usize, check: impl Fn()) {
    let deadline = Instant::now() + Duration::from_secs(60);
    let mut client = ClientConfig::new();
    client.set("bootstrap.servers", brokers).set("reconnect.backoff.ms", "20").set("reconnect.backoff.max.ms", "100");
    // librdkafka is silent about a broker that is not up yet.
    client.set("log_level", "0").set_log_level(rdkafka::config::RDKafkaLogLevel::Emerg);
    let client: BaseConsumer = client.create().expect("a plain client can be made");
    loop {
        check();
        if let Ok(metadata) = client.fetch_metadata(None, Duration::from_millis(500))
            && metadata.brokers().len() >= nodes
        {
            return;
        }
        assert!(Instant::now() < deadline, "{brokers} did not show {nodes} brokers within 60 s");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn properties(member: &Membership, options: &KafkaOptions, port: u16, data: &Path) -> String {
    let node = member.node;
    let replicas = member.controller_ports.len();
    let voters: Vec<String> =
        (1..).zip(&member.controller_ports).map(|(id, port)| format!("{id}@127.0.0.1:{port}")).collect();
    let mut listeners = vec![
        format!("PLAINTEXT://127.0.0.1:{port}"),
        format!("CONTROLLER://127.0.0.1:{}", member.controller_ports[node - 1]),
    ];
    let mut advertised = vec![format!("PLAINTEXT://127.0.0.1:{port}")];
    let mut protocols = vec!["PLAINTEXT:PLAINTEXT".to_owned(), "CONTROLLER:PLAINTEXT".to_owned()];
    for (place, proxy) in options.proxies.iter().enumerate() {
        let behind = free_port();
        listeners.push(format!("PROXIED{place}://127.0.0.1:{behind}"));
        advertised.push(format!("PROXIED{place}://{}", proxy.address()));
        protocols.push(format!("PROXIED{place}:PLAINTEXT"));
        proxy.set_upstream(behind);
    }
    let mut text = format!(
        "node.id={node}\n\
         controller.quorum.voters={}\n\
         listeners={}\n\
         advertised.listeners={}\n\
         listener.security.protocol.map={}\n\
         log.dirs={}\n\
         offsets.topic.replication.factor={replicas}\n\
         transaction.state.log.replication.factor={replicas}\n\
         transaction.state.log.min.isr={least}\n\
         default.replication.factor={replicas}\n\
         min.insync.replicas={least}\n\
         {USUAL}",
        voters.join(","),
        listeners.join(","),
        advertised.join(","),
        protocols.join(","),
        data.display(),
        least = replicas / 2 + 1,
    );
    // The last of two equal keys counts.
    for (key, value) in &options.properties {
        text.push_str(&format!("{key}={value}\n"));
    }
    text
}

/// Kafka writes ids as 16 bytes in URL-safe base64; all but the last character are free, and no id begins with a dash.
fn random_id() -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut random = fastrand::Rng::new();
    let free = (0..20).map(|_| char::from(ALPHABET[random.usize(..64)]));
    std::iter::once('R').chain(free).chain(['Q']).collect()
}

fn write(path: &Path, text: &str) {
    fs::write(path, text).unwrap_or_else(|error| panic!("write {}: {error}", path.display()));
}

/// Small, quick to elect and to clean, and never creating a topic by accident.
const USUAL: &str = "\
process.roles=broker,controller
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
auto.create.topics.enable=false
offsets.topic.num.partitions=1
transaction.state.log.num.partitions=1
share.coordinator.state.topic.num.partitions=1
share.coordinator.state.topic.replication.factor=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
group.consumer.min.session.timeout.ms=1000
group.consumer.min.heartbeat.interval.ms=200
group.consumer.session.timeout.ms=6000
group.consumer.heartbeat.interval.ms=500
broker.session.timeout.ms=4000
broker.heartbeat.interval.ms=500
controller.quorum.election.timeout.ms=500
controller.quorum.fetch.timeout.ms=1000
replica.lag.time.max.ms=4000
log.initial.task.delay.ms=500
log.retention.check.interval.ms=500
log.cleaner.backoff.ms=200
log.cleaner.dedupe.buffer.size=2097152
log.cleaner.io.buffer.size=65536
";
