//! One connection: frames from the client to the broker, and their answers back.

use std::collections::HashMap;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use bytes::{Buf, Bytes};
use kafka_protocol::messages::RequestHeader;
use kafka_protocol::protocol::decode_request_header_from_buffer;

use super::fault::What;
use super::{Api, Shared, answer, lock};

/// Both threads of a connection hold it.
pub(super) struct Connection {
    number: u64,
    shared: Arc<Shared>,
    client: TcpStream,
    server: TcpStream,
    /// By correlation id.
    pending: Mutex<HashMap<i32, Pending>>,
}

/// A request that waits for its answer.
pub(super) struct Pending {
    pub(super) api: Api,
    pub(super) version: i16,
    /// The request without its header, of APIs that need it.
    pub(super) request: Bytes,
}

/// What becomes of an answer.
pub(super) enum Passage {
    /// It goes to the client after a while.
    Send(Bytes, Duration),
    /// It is kept back.
    Keep,
    /// The connection is closed instead.
    Close,
    /// Half of it goes to the client, then the connection is closed.
    Cut(Bytes),
}

impl Connection {
    pub(super) fn start(number: u64, client: TcpStream, server: TcpStream, shared: &Arc<Shared>) {
        let _ = (client.set_nodelay(true), server.set_nodelay(true));
        let doubled = || Some([client.try_clone().ok()?, server.try_clone().ok()?]);
        let Some(both) = doubled() else { return };
        lock(&shared.open).insert(number, both);
        let connection =
            Arc::new(Connection { number, shared: shared.clone(), client, server, pending: Mutex::default() });
        let up = connection.clone();
        thread::spawn(move || {
            let _ = up.pass_requests();
            up.end();
        });
        thread::spawn(move || {
            let _ = connection.pass_answers();
            connection.end();
        });
    }

    fn end(&self) {
        close(&self.client);
        close(&self.server);
        lock(&self.shared.open).remove(&self.number);
    }

    fn pass_requests(&self) -> io::Result<()> {
        loop {
            let frame = read_frame(&self.client)?;
            let Some((header, request)) = read_header(&frame) else {
                write_frame(&self.server, &frame)?;
                continue;
            };
            let Ok(api) = Api::try_from(header.request_api_key) else {
                write_frame(&self.server, &frame)?;
                continue;
            };
            self.shared.note_request(api);
            let mut swallowed = false;
            for armed in self.shared.faults(api) {
                match armed.fault.what {
                    What::CloseBefore if armed.is_struck() => return Ok(()),
                    What::Swallow if armed.is_struck() => swallowed = true,
                    _ => {}
                }
            }
            if swallowed {
                continue;
            }
            let pending = Pending { api, version: header.request_api_version, request };
            lock(&self.pending).insert(header.correlation_id, pending);
            write_frame(&self.server, &frame)?;
        }
    }

    fn pass_answers(&self) -> io::Result<()> {
        loop {
            let frame = read_frame(&self.server)?;
            let correlation = frame.get(..4).map(|mut id| id.get_i32());
            let pending = correlation.and_then(|id| lock(&self.pending).remove(&id));
            let passage = match pending {
                Some(pending) => answer::pass(&self.shared, &pending, frame),
                None => Passage::Send(frame, Duration::ZERO),
            };
            match passage {
                Passage::Send(frame, wait) => {
                    thread::sleep(wait);
                    write_frame(&self.client, &frame)?;
                }
                Passage::Keep => {}
                Passage::Close => return Ok(()),
                Passage::Cut(frame) => {
                    let mut half = length(&frame).to_vec();
                    half.extend_from_slice(&frame[..frame.len() / 2]);
                    return (&self.client).write_all(&half);
                }
            }
        }
    }
}

/// Closes both directions, whoever else has a handle.
pub(super) fn close(stream: &TcpStream) {
    let _ = stream.shutdown(Shutdown::Both);
}

fn read_header(frame: &Bytes) -> Option<(RequestHeader, Bytes)> {
    // The crate's own reading takes the length for granted.
    if frame.len() < 8 {
        return None;
    }
    let mut rest = frame.clone();
    let header = decode_request_header_from_buffer(&mut rest).ok()?;
    Some((header, rest))
}

fn read_frame(mut from: &TcpStream) -> io::Result<Bytes> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = usize::try_from(i32::from_be_bytes(length)).unwrap_or(usize::MAX);
    if length > LONGEST_FRAME {
        return Err(io::Error::other(format!("a frame of {length} bytes")));
    }
    let mut frame = vec![0; length];
    from.read_exact(&mut frame)?;
    Ok(frame.into())
}

fn write_frame(mut to: &TcpStream, frame: &Bytes) -> io::Result<()> {
    let mut whole = length(frame).to_vec();
    whole.extend_from_slice(frame);
    to.write_all(&whole)
}

fn length(frame: &Bytes) -> [u8; 4] {
    i32::try_from(frame.len()).expect("it came as one frame").to_be_bytes()
}

/// As Kafka's own `socket.request.max.bytes`.
const LONGEST_FRAME: usize = 100 << 20;
