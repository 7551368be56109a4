//! Where the landing of each of a topic's partitions begins: small numbered files in the topic's folder.
//!
//! One file has all partitions of one claim, and gets its name when it is whole and durable, so a claim is one step for the
//! whole topic. A new claim takes the next free number. Of several that name a partition, that of the lowest number holds,
//! so what holds once holds for ever.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::store::Store;
use crate::error::{Error, ErrorKind, Result};
use crate::failpoint;
use crate::sink::{SourceIdentity, WindowId};
use crate::trouble;

/// What holds of a topic.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Where each claimed partition begins.
    pub(super) starts: BTreeMap<i32, ClaimedStart>,
    /// The fewest partitions that a claim has seen of the topic.
    pub(super) partition_count: Option<i32>,
    /// What the first claim called the landing of the topic.
    pub(super) landing_id: Option<String>,
    next_number: u32,
}

/// Where a partition begins, and which topic's it was then.
#[derive(Debug, Clone)]
pub(super) struct ClaimedStart {
    pub(super) start: i64,
    pub(super) source: SourceIdentity,
}

/// A claim to be made.
#[derive(Debug, Clone)]
pub(super) struct Wanted<'a> {
    pub(super) topic: &'a str,
    pub(super) source: SourceIdentity,
    /// `None` where a commit claims its own start, which knows nothing of the topic.
    pub(super) partition_count: Option<i32>,
    pub(super) starts: BTreeMap<i32, i64>,
}

#[derive(Serialize, Deserialize)]
struct Stored {
    claim: StoredClaim,
    /// Of the claim's own text.
    crc32: String,
}

#[derive(Serialize, Deserialize)]
struct StoredClaim {
    format: u32,
    source: SourceIdentity,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    partition_count: Option<i32>,
    starts: BTreeMap<i32, i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    landing_id: Option<String>,
}

impl Claims {
    /// Reads what holds: one listing, and each claim.
    pub(super) fn read(store: &Store, topic: &str) -> Result<Self> {
        let mut claims = Claims::default();
        for number in store.list_topic(topic)?.claims {
            let StoredClaim { source, partition_count, starts, landing_id, .. } = read(&store.claim(topic, number)?)?;
            for (partition, start) in starts {
                claims.starts.entry(partition).or_insert_with(|| ClaimedStart { start, source: source.clone() });
            }
            claims.partition_count = fewest(claims.partition_count, partition_count);
            claims.landing_id = claims.landing_id.or(landing_id);
            claims.next_number = number.saturating_add(1);
        }
        Ok(claims)
    }

    /// Claims what is not claimed yet, and answers with what holds then, durably.
    pub(super) fn make(store: &Store, wanted: &Wanted<'_>) -> Result<Self> {
        let topic = wanted.topic;
        let mut tried = None;
        loop {
            // Also after our own: another one of a lower number may be there by now.
            let claims = Claims::read(store, topic)?;
            let Some(claim) = claims.still_missing(wanted) else {
                // Whoever wrote them may have died before the names were durable.
                store.sync_topic(topic)?;
                clean_up(store, topic, claims.next_number);
                return Ok(claims);
            };
            let number = Some(claims.next_number);
            if tried == number {
                // Somebody has this number, or ours was taken away, and nobody sees it: a folder that is told of late.
                let error = io::Error::from_raw_os_error(libc::EEXIST);
                return Err(trouble::disk("claim", &store.claim(topic, claims.next_number)?, error));
            }
            tried = number;
            store.put_claim(topic, claims.next_number, &text_of(claim)?)?;
            failpoint::pass("origin_claimed")?;
        }
    }

    /// What of a claim would change anything.
    fn still_missing(&self, wanted: &Wanted<'_>) -> Option<StoredClaim> {
        let unclaimed = wanted.starts.iter().filter(|(partition, _)| !self.starts.contains_key(partition));
        let starts: BTreeMap<i32, i64> = unclaimed.map(|(partition, start)| (*partition, *start)).collect();
        let tells = fewest(self.partition_count, wanted.partition_count) != self.partition_count;
        (tells || !starts.is_empty()).then(|| StoredClaim {
            format: FORMAT,
            source: wanted.source.clone(),
            partition_count: wanted.partition_count,
            starts,
            landing_id: self.landing_id.is_none().then(|| WindowId::generate().to_string()),
        })
    }
}

fn fewest(one: Option<i32>, other: Option<i32>) -> Option<i32> {
    one.into_iter().chain(other).min()
}

/// Removes claims that died while they were written, or were too slow: their numbers are given.
fn clean_up(store: &Store, topic: &str, next_number: u32) {
    let Ok(listing) = store.list_topic(topic) else { return };
    for (_, path) in listing.claim_temporaries.into_iter().filter(|(number, _)| *number < next_number) {
        if let Err(error) = fs::remove_file(&path) {
            tracing::debug!(path = %path.display(), %error, "an unfinished claim stays");
        }
    }
}

fn text_of(claim: StoredClaim) -> Result<Vec<u8>> {
    let crc32 = checksum(&claim)?;
    serde_json::to_vec(&Stored { claim, crc32 }).map_err(unwritable)
}

fn checksum(claim: &StoredClaim) -> Result<String> {
    let text = serde_json::to_vec(claim).map_err(unwritable)?;
    Ok(format!("{:08x}", crc32fast::hash(&text)))
}

fn unwritable(error: serde_json::Error) -> Error {
    Error::internal("write a claim as JSON").with_source(error)
}

fn read(path: &Path) -> Result<StoredClaim> {
    let content = fs::read(path).map_err(|error| trouble::disk("read", path, error))?;
    let Stored { claim, crc32 } = serde_json::from_slice(&content)
        .map_err(|error| trouble::damaged_claim(path, "it cannot be read").with_source(error))?;
    if claim.format != FORMAT {
        let message = format!("read a claim: path={}: format {}", path.display(), claim.format);
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_help(format!("this RDP reads format {FORMAT}: use the RDP that wrote the file, or a newer one")));
    }
    match checksum(&claim)? == crc32 {
        true => Ok(claim),
        false => Err(trouble::damaged_claim(path, "it is not what was written (checksum)")),
    }
}

/// The form of a claim. A reader refuses a form that it does not know.
const FORMAT: u32 = 1;
