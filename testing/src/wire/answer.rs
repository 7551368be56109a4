//! An answer on its way back: taken apart where something is to be done to it, and put together again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::{Buf, Bytes, BytesMut};
use kafka_protocol::messages::*;
use kafka_protocol::protocol::{Decodable, Encodable, StrBytes};

use super::connection::{Passage, Pending};
use super::fault::What;
use super::{Api, Shared, lock};

/// Answers that can be taken apart, by their API.
macro_rules! answers {
    ($($api:ident => $response:ident,)*) => {
        #[derive(Debug, Clone, PartialEq)]
        pub(super) enum Answer {
            $($api($response),)*
        }

        impl Answer {
            /// `None` for APIs that are not taken apart, and for what cannot be read.
            fn decode(api: Api, version: i16, body: &mut Bytes) -> Option<Self> {
                match api {
                    $(Api::$api => $response::decode(body, version).ok().map(Answer::$api),)*
                    _ => None,
                }
            }

            fn encode(&self, version: i16, out: &mut BytesMut) -> Option<()> {
                match self {
                    $(Answer::$api(answer) => answer.encode(out, version).ok(),)*
                }
            }

            /// An answer of nothing.
            fn emptied(&self) -> Self {
                match self {
                    $(Answer::$api(_) => Answer::$api($response::default()),)*
                }
            }

            fn is_of(api: Api) -> bool {
                matches!(api, $(Api::$api)|*)
            }
        }
    };
}

answers! {
    ApiVersions => ApiVersionsResponse,
    ConsumerGroupDescribe => ConsumerGroupDescribeResponse,
    ConsumerGroupHeartbeat => ConsumerGroupHeartbeatResponse,
    DescribeCluster => DescribeClusterResponse,
    DescribeConfigs => DescribeConfigsResponse,
    DescribeTopicPartitions => DescribeTopicPartitionsResponse,
    Fetch => FetchResponse,
    FindCoordinator => FindCoordinatorResponse,
    Heartbeat => HeartbeatResponse,
    JoinGroup => JoinGroupResponse,
    LeaveGroup => LeaveGroupResponse,
    ListOffsets => ListOffsetsResponse,
    Metadata => MetadataResponse,
    OffsetCommit => OffsetCommitResponse,
    OffsetFetch => OffsetFetchResponse,
    OffsetForLeaderEpoch => OffsetForLeaderEpochResponse,
    SyncGroup => SyncGroupResponse,
}

/// What becomes of an answer under the faults that are on.
pub(super) fn pass(shared: &Arc<Shared>, pending: &Pending, frame: Bytes) -> Passage {
    let faults = shared.faults(pending.api);
    let names_addresses = matches!(pending.api, Api::Metadata | Api::FindCoordinator | Api::DescribeCluster);
    if faults.is_empty() && !names_addresses {
        return Passage::Send(frame, Duration::ZERO);
    }
    let Some((header_length, mut answer)) = read(pending, &frame) else {
        if Answer::is_of(pending.api) {
            shared.unreadable.fetch_add(1, Ordering::SeqCst);
        }
        return pass_whole(shared, pending, frame);
    };
    shared.rewrite_addresses(&mut answer);
    shared.learn_names(&answer);
    let encoded = |answer: &Answer| {
        let mut out = BytesMut::from(&frame[..header_length]);
        answer.encode(pending.version, &mut out).map(|()| out.freeze())
    };
    let mut stale = None;
    if pending.api == Api::Metadata
        && let Some(frame) = encoded(&answer)
    {
        let mut first = lock(&shared.first_answers);
        let first = first.entry((pending.version, pending.request.clone())).or_insert_with(|| frame.slice(4..));
        // All of it but the correlation id, which belongs to the request.
        stale = Some([frame.slice(..4), first.clone()].concat().into());
    }
    let mut replaced: Option<Bytes> = None;
    for armed in faults {
        let spoilt = match armed.fault.what {
            What::Empty => Some(answer.emptied()),
            What::Stale => {
                if stale.is_some() && armed.is_struck() {
                    replaced = stale.clone();
                }
                continue;
            }
            _ => {
                let mut spoilt = answer.clone();
                spoilt.spoil(&armed.fault, &lock(&shared.names)).then_some(spoilt)
            }
        };
        if let Some(spoilt) = spoilt
            && armed.is_struck()
        {
            answer = spoilt;
        }
    }
    match replaced.or_else(|| encoded(&answer)) {
        Some(frame) => pass_whole(shared, pending, frame),
        None => {
            shared.unreadable.fetch_add(1, Ordering::SeqCst);
            pass_whole(shared, pending, frame)
        }
    }
}

/// The faults that need not know what is in an answer.
fn pass_whole(shared: &Shared, pending: &Pending, mut frame: Bytes) -> Passage {
    let mut wait = Duration::ZERO;
    for armed in shared.faults(pending.api) {
        match armed.fault.what {
            What::Delay(time) if armed.is_struck() => wait += time,
            What::DropAnswer if armed.is_struck() => return Passage::Keep,
            What::CloseAfter if armed.is_struck() => return Passage::Close,
            What::Cut if armed.is_struck() => return Passage::Cut(frame),
            // The correlation id stays, or it would be no answer at all.
            What::Short if armed.is_struck() => frame = frame.slice(..frame.len().div_ceil(2).max(4)),
            _ => {}
        }
    }
    Passage::Send(frame, wait)
}

/// An answer, and how long the header before it is.
fn read(pending: &Pending, frame: &Bytes) -> Option<(usize, Answer)> {
    let mut rest = frame.clone();
    ResponseHeader::decode(&mut rest, pending.api.response_header_version(pending.version)).ok()?;
    let header_length = frame.len() - rest.remaining();
    let answer = Answer::decode(pending.api, pending.version, &mut rest)?;
    rest.is_empty().then_some((header_length, answer))
}

impl Shared {
    /// Leads clients through this proxy to every node that an answer names.
    fn rewrite_addresses(self: &Arc<Self>, answer: &mut Answer) {
        let lead = |host: &mut StrBytes, port: &mut i32| {
            if let Ok(upstream @ 1..) = u16::try_from(*port) {
                *host = StrBytes::from_static_str("127.0.0.1");
                *port = Shared::port_for(self, upstream).into();
            }
        };
        match answer {
            Answer::Metadata(of) => of.brokers.iter_mut().for_each(|node| lead(&mut node.host, &mut node.port)),
            Answer::DescribeCluster(of) => of.brokers.iter_mut().for_each(|node| lead(&mut node.host, &mut node.port)),
            Answer::Fetch(of) => of.node_endpoints.iter_mut().for_each(|node| lead(&mut node.host, &mut node.port)),
            Answer::FindCoordinator(of) => {
                lead(&mut of.host, &mut of.port);
                of.coordinators.iter_mut().for_each(|node| lead(&mut node.host, &mut node.port));
            }
            _ => {}
        }
    }

    fn learn_names(&self, answer: &Answer) {
        let Answer::Metadata(of) = answer else { return };
        let mut names = lock(&self.names);
        for topic in &of.topics {
            if let Some(name) = &topic.name {
                names.insert(*topic.topic_id.as_bytes(), name.as_str().to_owned());
            }
        }
    }
}
