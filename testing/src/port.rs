//! Free ports on loopback.

use std::net::{Ipv4Addr, TcpListener};
use std::sync::atomic::{AtomicU16, Ordering};

/// A port that nobody listens on.
///
/// It lies below the range from which the kernel gives clients their ports: a broker that is down must find its own port
/// free when it comes back, and a client that calls it meanwhile must not be connected to itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Test processes that run side by side begin at different places.
    let from = (std::process::id() % 64) as u16 * (SPAN / 64);
    for _ in 0..SPAN {
        let port = FIRST + (from + NEXT.fetch_add(1, Ordering::Relaxed) % SPAN) % SPAN;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
    panic!("no free port between {FIRST} and {} on loopback", FIRST + SPAN)
}

const FIRST: u16 = 20_000;
const SPAN: u16 = 12_032;
