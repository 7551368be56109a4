//! Which topic of which cluster rows come from.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::ledger::SourceIdentity;

/// The identities of all topics that are read, as they become known.
///
/// Clones share what they know, so that a topic that is discovered while a window is open lands with its identity. Nothing
/// is forgotten, and an id that was told stays.
#[derive(Debug, Clone, Default)]
pub struct Sources(Arc<Mutex<BTreeMap<Arc<str>, SourceIdentity>>>);

impl Sources {
    /// No identities yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Notes a topic's identity and answers with the one that holds: what was noted before stays, ids that were not told
    /// then are filled in. Where the answer tells another id than `identity`, the topic is another one.
    pub fn note(&self, topic: impl Into<Arc<str>>, identity: SourceIdentity) -> SourceIdentity {
        let mut known = self.lock();
        let held = known.entry(topic.into()).or_default();
        for (held, told) in [(&mut held.cluster_id, identity.cluster_id), (&mut held.topic_id, identity.topic_id)] {
            if held.is_empty() {
                *held = told;
            }
        }
        held.clone()
    }

    /// The identity of a topic; `None` where it was never noted.
    pub fn get(&self, topic: &str) -> Option<SourceIdentity> {
        self.lock().get(topic).cloned()
    }

    /// Every topic with its identity, as of now.
    pub fn all(&self) -> BTreeMap<Arc<str>, SourceIdentity> {
        self.lock().clone()
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Arc<str>, SourceIdentity>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<T: Into<Arc<str>>> FromIterator<(T, SourceIdentity)> for Sources {
    fn from_iter<I: IntoIterator<Item = (T, SourceIdentity)>>(identities: I) -> Self {
        let known = identities.into_iter().map(|(topic, identity)| (topic.into(), identity)).collect();
        Sources(Arc::new(Mutex::new(known)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn identity(cluster_id: &str, topic_id: &str) -> SourceIdentity {
        SourceIdentity { cluster_id: cluster_id.to_owned(), topic_id: topic_id.to_owned() }
    }

    #[test]
    fn what_a_clone_notes_is_known_to_all() {
        let sources = Sources::new();
        let clone = sources.clone();
        assert_eq!(clone.get("orders"), None);
        sources.note("orders", identity("c", "t"));
        assert_eq!(clone.get("orders"), Some(identity("c", "t")));
    }

    #[test]
    fn an_id_that_was_told_stays_and_one_that_was_not_is_filled_in() {
        let sources = Sources::new();
        sources.note("orders", identity("c", ""));
        assert_eq!(sources.note("orders", identity("other", "t")), identity("c", "t"));
        assert_eq!(sources.note("orders", identity("c", "made anew")), identity("c", "t"));
    }
}
