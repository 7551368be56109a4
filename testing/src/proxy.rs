//! A TCP proxy on loopback whose fault is switched while it runs.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU16, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use socket2::SockRef;

/// What the proxy does to what passes, on new connections and on those that are open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Fault {
    /// Everything passes.
    Pass,
    /// Each piece is held back for this long, both ways.
    Delay(Duration),
    /// Connections are taken and stay open; nothing passes, until the fault is lifted.
    BlackHole,
    /// Connections are reset.
    Reset,
    /// Connections are closed in order, and new ones at once.
    Close,
    /// So many bytes more pass from the server to the clients, all connections together; then each is reset on its next.
    CutAfter(u64),
}

/// A proxy; clones are handles to the same one.
#[derive(Debug, Clone)]
pub struct FaultProxy(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    port: u16,
    shared: Arc<Shared>,
}

#[derive(Debug)]
struct Shared {
    fault: Mutex<Fault>,
    upstream: AtomicU16,
    /// What [`Fault::CutAfter`] still lets through.
    allowance: AtomicU64,
    connections: AtomicU64,
    ended: AtomicBool,
}

impl FaultProxy {
    /// Listens on a free port; hand it to [`KafkaOptions::proxied`](crate::KafkaOptions::proxied), or name what is
    /// behind it by [`FaultProxy::set_upstream`].
    pub fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("loopback has a free port");
        let port = listener.local_addr().expect("a bound listener has an address").port();
        let shared = Arc::new(Shared {
            fault: Mutex::new(Fault::Pass),
            upstream: AtomicU16::new(0),
            allowance: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            ended: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        FaultProxy(Arc::new(Inner { port, shared }))
    }

    /// Where clients connect.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.0.port)
    }

    /// Sets the port on loopback that connections lead to.
    pub fn set_upstream(&self, port: u16) {
        self.0.shared.upstream.store(port, Ordering::SeqCst);
    }

    /// Switches the fault; open connections feel it within 50 ms.
    pub fn set(&self, fault: Fault) {
        if let Fault::CutAfter(bytes) = fault {
            self.0.shared.allowance.store(bytes, Ordering::SeqCst);
        }
        *self.0.shared.fault.lock().unwrap_or_else(PoisonError::into_inner) = fault;
    }

    /// How many connections were taken so far.
    pub fn connection_count(&self) -> u64 {
        self.0.shared.connections.load(Ordering::SeqCst)
    }
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.shared.ended.store(true, Ordering::SeqCst);
        // Wakes the accepting thread, which then ends and closes the port.
        let _ = TcpStream::connect((Ipv4Addr::LOCALHOST, self.port));
    }
}

impl Shared {
    fn fault(&self) -> Fault {
        match self.ended.load(Ordering::SeqCst) {
            true => Fault::Close,
            false => *self.fault.lock().unwrap_or_else(PoisonError::into_inner),
        }
    }

    /// How many of `wanted` bytes may still pass before the cut.
    fn take_allowance(&self, wanted: usize) -> usize {
        let wanted = wanted as u64;
        let before =
            self.allowance.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| Some(left.saturating_sub(wanted)));
        before.unwrap_or_default().min(wanted) as usize
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for client in listener.incoming().flatten() {
        if shared.ended.load(Ordering::SeqCst) {
            return;
        }
        shared.connections.fetch_add(1, Ordering::SeqCst);
        match shared.fault() {
            Fault::Reset => reset(&client),
            Fault::Close => {}
            _ => connect(client, shared),
        }
    }
}

fn connect(client: TcpStream, shared: &Arc<Shared>) {
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, shared.upstream.load(Ordering::SeqCst))) else {
        // As a port on which nobody listens.
        reset(&client);
        return;
    };
    let cut = Arc::new(AtomicBool::new(false));
    let doubled = || Some((client.try_clone().ok()?, server.try_clone().ok()?));
    let Some((client_too, server_too)) = doubled() else { return };
    let (shared_too, cut_too) = (Arc::clone(shared), Arc::clone(&cut));
    thread::spawn(move || pump(client_too, server_too, Way::Up, &shared_too, &cut_too));
    let shared = Arc::clone(shared);
    thread::spawn(move || pump(server, client, Way::Down, &shared, &cut));
}

#[derive(Clone, Copy, PartialEq)]
enum Way {
    Up,
    Down,
}

/// Copies one way until the connection ends, by itself or by a fault; `cut` tells the other way.
fn pump(mut from: TcpStream, mut to: TcpStream, way: Way, shared: &Shared, cut: &AtomicBool) {
    let _ = from.set_read_timeout(Some(TICK));
    let _ = to.set_nodelay(true);
    let mut buffer = vec![0; 64 << 10];
    loop {
        match shared.fault() {
            Fault::BlackHole => {
                thread::sleep(Duration::from_millis(5));
                continue;
            }
            Fault::Close => break,
            Fault::Reset => cut.store(true, Ordering::SeqCst),
            _ => {}
        }
        if cut.load(Ordering::SeqCst) {
            reset(&from);
            reset(&to);
            return;
        }
        let count = match from.read(&mut buffer) {
            Ok(0) => break,
            Ok(count) => count,
            Err(error) if is_tick(&error) => continue,
            Err(_) => {
                cut.store(true, Ordering::SeqCst);
                continue;
            }
        };
        let mut passing = count;
        // What was read before the hole opened waits in it.
        while shared.fault() == Fault::BlackHole {
            thread::sleep(Duration::from_millis(5));
        }
        match shared.fault() {
            Fault::Delay(time) => thread::sleep(time),
            Fault::CutAfter(_) if way == Way::Down => passing = shared.take_allowance(count),
            _ => {}
        }
        if to.write_all(&buffer[..passing]).is_err() || passing < count {
            cut.store(true, Ordering::SeqCst);
        }
    }
    let _ = to.shutdown(Shutdown::Write);
    if shared.fault() == Fault::Close {
        let _ = from.shutdown(Shutdown::Both);
    }
}

/// Makes the socket send a reset, not an orderly end, once its last handle is dropped.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

fn is_tick(error: &std::io::Error) -> bool {
    matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut)
}

const TICK: Duration = Duration::from_millis(50);

#[cfg(test)]
mod tests {
    use super::*;

    /// A server that sends 100 kB to whoever connects, behind a proxy.
    fn proxied_sender() -> FaultProxy {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let proxy = FaultProxy::start();
        proxy.set_upstream(listener.local_addr().expect("an address").port());
        thread::spawn(move || {
            for mut client in listener.incoming().flatten() {
                let _ = client.write_all(&[7; 100_000]);
            }
        });
        proxy
    }

    fn received(proxy: &FaultProxy) -> std::io::Result<usize> {
        let mut stream = TcpStream::connect(proxy.address())?;
        stream.set_read_timeout(Some(Duration::from_millis(300)))?;
        let mut all = Vec::new();
        match stream.read_to_end(&mut all) {
            Err(error) if !is_tick(&error) && all.is_empty() => Err(error),
            _ => Ok(all.len()),
        }
    }

    #[test]
    fn everything_passes_without_a_fault() {
        assert_eq!(received(&proxied_sender()).expect("it passes"), 100_000);
    }

    #[test]
    fn a_cut_lets_exactly_its_bytes_through() {
        let proxy = proxied_sender();
        proxy.set(Fault::CutAfter(5_000));
        assert!(received(&proxy).unwrap_or_default() <= 5_000);
        proxy.set(Fault::Pass);
        assert_eq!(received(&proxy).expect("it passes again"), 100_000);
    }

    #[test]
    fn a_reset_is_seen_as_one() {
        let proxy = proxied_sender();
        proxy.set(Fault::Reset);
        let error = received(&proxy).expect_err("the connection is reset");
        assert_eq!(error.kind(), std::io::ErrorKind::ConnectionReset);
    }

    #[test]
    fn nothing_comes_out_of_a_black_hole_until_it_closes() {
        let proxy = proxied_sender();
        proxy.set(Fault::BlackHole);
        assert_eq!(received(&proxy).expect("the connection stays open"), 0);
        proxy.set(Fault::Pass);
        assert_eq!(received(&proxy).expect("it passes again"), 100_000);
    }
}
