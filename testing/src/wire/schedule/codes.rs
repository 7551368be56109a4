//! What a broker may plausibly say to each request, and what a loader may end with for it.

use super::{Api, Fault, What};

/// What is tried on the answers of an API, besides what is tried on all.
pub(super) fn trials(api: Api) -> Vec<What> {
    let (whole, of_topic, of_partition, own) = match api {
        Api::Fetch => (FETCH.as_slice(), [].as_slice(), FETCH_PARTITION.as_slice(), FETCH_OWN.as_slice()),
        Api::Metadata => (&[-1][..], &[-1, 3, 5, 7, 17, 29][..], &[5, 9, 72][..], METADATA_OWN.as_slice()),
        Api::ListOffsets => {
            (&[][..], &[][..], OFFSETS.as_slice(), &[What::NoPartition, What::NoOffset, What::NoTopic][..])
        }
        Api::OffsetForLeaderEpoch => (&[][..], &[][..], &[-1, 3, 6, 7, 29, 56, 74, 75, 78][..], &[][..]),
        Api::ApiVersions => (&[-1, 35, 42][..], &[][..], &[][..], &[][..]),
        Api::DescribeCluster => (&[-1, 7, 31][..], &[][..], &[][..], &[][..]),
        Api::FindCoordinator => (&[-1, 7, 14, 15, 24, 30][..], &[][..], &[][..], &[][..]),
        Api::OffsetCommit => (&[][..], &[][..], &[-1, 3, 12, 14, 15, 16, 22, 25, 27, 29, 30][..], &[][..]),
        Api::JoinGroup => (&[-1, 14, 15, 16, 22, 23, 24, 25, 26, 27, 30, 81][..], &[][..], &[][..], &[][..]),
        Api::SyncGroup => (&[-1, 14, 15, 16, 22, 25, 27, 30][..], &[][..], &[][..], &[][..]),
        Api::Heartbeat => (&[-1, 14, 15, 16, 22, 25, 27, 30][..], &[][..], &[][..], &[][..]),
        Api::LeaveGroup => (&[-1, 14, 15, 16, 25, 30][..], &[][..], &[][..], &[][..]),
        Api::ConsumerGroupHeartbeat => {
            (&[-1, 7, 14, 15, 16, 25, 30, 35, 42, 81, 110, 112][..], &[][..], &[][..], &[][..])
        }
        _ => (&[][..], &[][..], &[][..], &[][..]),
    };
    let whole = whole.iter().map(|code| What::Error(*code));
    let of_topic = of_topic.iter().map(|code| What::TopicError(*code));
    let of_partition = of_partition.iter().map(|code| What::PartitionError(*code));
    whole.chain(of_topic).chain(of_partition).chain(own.iter().copied()).collect()
}

/// The kinds of error, by name, that a loader may end with for a fault.
pub(super) fn kinds_for(fault: &Fault) -> &'static [&'static str] {
    let (What::Error(code) | What::TopicError(code) | What::PartitionError(code)) = fault.what else {
        return match fault.what {
            // What is corrupt again and again is so in the log, for all that a reader can see.
            What::Corrupt if fault.lasts(3) => &["Data"],
            // A topic that is absent in answer after answer is not there.
            What::NoTopic | What::Empty if fault.is_forever() && fault.api() == Api::Metadata => &["Config"],
            // A broker that offers nothing.
            What::Empty if fault.api() == Api::ApiVersions => &["Unsupported"],
            _ => &[],
        };
    };
    match code {
        // No permission for the topic, the group, the cluster.
        29..=31 => &["Denied"],
        // A broker says so of a log that was cut. It may have grown again since: that the log has the offset proves nothing.
        1 => &["SourceChanged"],
        2 if fault.lasts(3) => &["Data"],
        3 if fault.is_forever() && fault.api() == Api::Metadata => &["Config"],
        // No such topic name, no protocol in common, no such group name, no such timeout, no such request or assignor.
        17 | 23 | 24 | 26 | 42 | 112 => &["Config"],
        // No such version.
        35 => &["Unsupported", "Config"],
        // The group is full.
        81 => &["Config", "Denied"],
        _ => &[],
    }
}

const FETCH: [i16; 6] = [-1, 3, 56, 70, 71, 100];

const FETCH_PARTITION: [i16; 14] = [-1, 1, 2, 3, 5, 6, 9, 29, 56, 74, 75, 78, 100, 103];

/// A missing first batch is not tried: a reader cannot tell it from a compacted log.
const FETCH_OWN: [What; 7] =
    [What::NoRecords, What::HalfBatch, What::HalfTail, What::Corrupt, What::Swapped, What::NoPartition, What::NoTopic];

const METADATA_OWN: [What; 5] = [What::NoBrokers, What::NoTopic, What::NoPartition, What::NoLeader, What::Stale];

const OFFSETS: [i16; 11] = [-1, 3, 5, 6, 7, 9, 29, 56, 74, 75, 78];
