//! A proxy that speaks Kafka: it takes the answers of a real broker apart, and lies.
//!
//! [`WireProxy`] stands before one broker or a cluster; addresses in answers are rewritten, so that clients come through
//! it to every node. A [`Fault`] says to which [`Api`], at which of its requests and for which partition what is done:
//! [`What`]. Faults are switched while it runs, and each counts what it struck. [`Schedule`] makes some from a seed.
//!
//! The protocol itself is the crate `kafka-protocol`'s; by hand are the frames and the borders of record batches.

mod answer;
mod connection;
mod fault;
mod mutation;
mod records;
mod schedule;

use std::collections::{BTreeMap, HashMap};
use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use bytes::Bytes;
pub use kafka_protocol::messages::ApiKey as Api;

use self::connection::Connection;
use self::fault::Armed;
pub use self::fault::{Fault, What};
pub use self::schedule::{Mode, Schedule};
use crate::server::KafkaServer;

/// A proxy that speaks Kafka; clones are handles to the same one. Its connections end when the last is dropped.
#[derive(Debug, Clone)]
pub struct WireProxy(Arc<Inner>);

/// A fault that was switched on.
#[derive(Debug, Clone)]
pub struct Injected(Arc<Armed>);

#[derive(Debug)]
struct Inner {
    port: u16,
    shared: Arc<Shared>,
}

/// What the connections of one proxy share.
#[derive(Debug, Default)]
struct Shared {
    faults: Mutex<Vec<Arc<Armed>>>,
    /// Requests so far, by the key of their API.
    requests: Mutex<BTreeMap<i16, u64>>,
    /// The port of ours for each port of a broker's.
    ports: Mutex<BTreeMap<u16, u16>>,
    /// The names of topics, which newer fetches call by their ids.
    names: Mutex<HashMap<[u8; 16], String>>,
    /// The first answer to each metadata request.
    first_answers: Mutex<HashMap<(i16, Bytes), Bytes>>,
    /// Both ends of what is open.
    open: Mutex<BTreeMap<u64, [TcpStream; 2]>>,
    connections: AtomicU64,
    unreadable: AtomicU64,
    ended: AtomicBool,
}

impl WireProxy {
    /// Stands before a broker.
    pub fn start(broker: &KafkaServer) -> Self {
        Self::before(broker.port())
    }

    /// Stands before whatever listens on this port of loopback, and before all nodes that it names.
    pub fn before(port: u16) -> Self {
        let shared = Arc::new(Shared::default());
        let port = Shared::port_for(&shared, port);
        WireProxy(Arc::new(Inner { port, shared }))
    }

    /// Where clients bootstrap.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }

    /// Switches a fault on, beside those that are on.
    pub fn inject(&self, fault: Fault) -> Injected {
        let armed = Arc::new(Armed::new(fault));
        lock(&self.0.shared.faults).push(armed.clone());
        Injected(armed)
    }

    /// Switches all faults off. What is being held back stays so for its time.
    pub fn lift(&self) {
        lock(&self.0.shared.faults).clear();
    }

    /// Closes every connection that is open.
    pub fn disconnect(&self) {
        self.0.shared.disconnect();
    }

    /// How many requests of an API came so far.
    pub fn request_count(&self, api: Api) -> u64 {
        lock(&self.0.shared.requests).get(&(api as i16)).copied().unwrap_or_default()
    }

    /// How many requests of each API came so far, in one line.
    pub fn log(&self) -> String {
        let requests = lock(&self.0.shared.requests);
        let counts: Vec<String> = requests
            .iter()
            .filter_map(|(key, count)| Some(format!("{:?} {count}", Api::try_from(*key).ok()?)))
            .collect();
        counts.join(", ")
    }

    /// How many answers could not be read, and passed as they were.
    pub fn unreadable_count(&self) -> u64 {
        self.0.shared.unreadable.load(Ordering::SeqCst)
    }
}

impl Injected {
    /// How often it has struck.
    pub fn struck(&self) -> u64 {
        self.0.struck()
    }

    /// Switches it off.
    pub fn lift(&self) {
        self.0.lift();
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        self.shared.disconnect();
        for port in lock(&self.shared.ports).values() {
            // Wakes the accepting thread, which then ends and closes the port.
            let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, *port));
        }
    }
}

impl Shared {
    /// The port of ours that leads to this one; it is opened where there is none yet.
    fn port_for(shared: &Arc<Shared>, upstream: u16) -> u16 {
        let mut ports = lock(&shared.ports);
        if let Some(port) = ports.get(&upstream) {
            return *port;
        }
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        ports.insert(upstream, port);
        let accepting = Arc::clone(shared);
        thread::spawn(move || accept(&listener, upstream, &accepting));
        port
    }

    fn disconnect(&self) {
        for [client, server] in lock(&self.open).values() {
            connection::close(client);
            connection::close(server);
        }
    }

    /// Counts a request.
    fn note_request(&self, api: Api) {
        *lock(&self.requests).entry(api as i16).or_default() += 1;
    }

    /// The faults for an API that may strike now.
    fn faults(&self, api: Api) -> Vec<Arc<Armed>> {
        let requests = lock(&self.requests);
        let is_due = |after: Option<Api>| after.is_none_or(|after| requests.contains_key(&(after as i16)));
        let faults = lock(&self.faults);
        faults.iter().filter(|armed| armed.fault.api == api && is_due(armed.fault.after)).cloned().collect()
    }
}

fn accept(listener: &TcpListener, upstream: u16, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        // A broker that does not run refuses; then so do we.
        let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, upstream)) else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        Connection::start(number, client, server, shared);
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
