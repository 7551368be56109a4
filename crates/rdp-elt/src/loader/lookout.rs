//! Looks at the cluster now and then, beside the lanes and on a thread of its own: are the topics still there, are they
//! the same, and are there more partitions? A lane sees none of it by itself while nothing comes, and must not wait for a
//! broker that does not answer.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant};

use super::run::Run;
use super::verdict::Verdict;
use super::{LoadEvent, TELL_AFTER, TELL_EVERY, source};
use crate::clock::Moment;
use crate::error::{Error, ErrorKind, Result};

/// Starts looking, every `period` from now on, for as long as the run lives.
pub(super) fn start(run: &Arc<Run>, period: Duration) -> Result<()> {
    let weak = Arc::downgrade(run);
    let started = thread::Builder::new().name("rdp-lookout".to_owned()).spawn(move || keep(&weak, period));
    // Not joined: it may be waiting for a broker's answer, and nobody waits for its own.
    let thread = started.map_err(|cause| Error::unavailable("start the lookout").with_source(cause))?;
    run.is_watched_by(thread.thread().clone());
    Ok(())
}

fn keep(run: &Weak<Run>, period: Duration) {
    let mut missing = Missing::default();
    let mut silence = Silence::default();
    loop {
        let wait = if missing.is_empty() && !silence.lasts() { period } else { MIN_PAUSE };
        thread::park_timeout(wait.saturating_sub(MIN_PAUSE));
        // However often it is nudged, it looks once in so long.
        thread::sleep(MIN_PAUSE);
        // The run is held for no longer than it takes to report: its end must not wait for a broker.
        let Some((source, bounded, asked_at)) = watched(run) else { return };
        let seen = source.look().and_then(|survey| {
            let ends = if bounded { None } else { Some(source.log_ends(&survey.partitions().collect::<Vec<_>>())?) };
            Ok((survey, ends))
        });
        let Some(run) = run.upgrade() else { return };
        match seen {
            Ok((survey, ends)) => {
                silence = Silence::default();
                run.note_heard();
                let known = source.identities().all();
                let gone = missing.note(survey.missing.iter().filter(|topic| known.contains_key(*topic)));
                if !gone.is_empty() {
                    return run.fail(Verdict::Gone(gone));
                }
                run.note_topics(survey.topics.keys().map(|topic| &**topic));
                run.deal_out(survey.partitions());
                if let Some(ends) = ends {
                    run.note_log_ends(ends);
                }
            }
            Err(error) if error.kind() == ErrorKind::SourceChanged => return run.fail(Verdict::Changed(error)),
            // Silence proves nothing, and neither does what was seen before it.
            Err(error) => {
                tracing::debug!(?error, "the lookout sees nothing");
                missing = Missing::default();
                if error.is_retryable()
                    && let Some(verdict) = silence.note(&run, asked_at, error)
                {
                    return run.fail(verdict);
                }
            }
        }
    }
}

/// What is looked at: the source, whether the run is bounded, and the present; `None` where the run is over.
fn watched(run: &Weak<Run>) -> Option<(Arc<source::Source>, bool, Moment)> {
    let run = run.upgrade().filter(|run| !run.is_failed())?;
    Some((run.source.clone(), run.ends.is_some(), run.clock.now()))
}

/// For how long the cluster has not answered.
#[derive(Debug, Default)]
struct Silence {
    began: Option<Moment>,
    told: Option<Duration>,
}

impl Silence {
    fn lasts(&self) -> bool {
        self.began.is_some()
    }

    /// Notes one more question without an answer; says so where that lasts, and ends the run where it lasts too long.
    fn note(&mut self, run: &Run, asked_at: Moment, error: Error) -> Option<Verdict> {
        let began = *self.began.get_or_insert(asked_at);
        // Records that come are an answer too.
        let since = run.clock.since(began.max(run.heard_at()));
        if since < TELL_AFTER {
            self.told = None;
            return None;
        }
        if run.options.give_up_after.is_some_and(|limit| since >= limit) {
            return Some(Verdict::Silent(error));
        }
        if self.told.is_none_or(|told| since >= told + TELL_EVERY) {
            self.told = Some(since);
            let reason = format!("the cluster does not answer: {error}");
            run.tell(LoadEvent::Waiting { reason, since });
        }
        None
    }
}

/// Topics that the cluster did not know in the newest looks. A broker that was just started, or that has not heard yet
/// of a new leader, may not know a topic for a moment.
#[derive(Debug, Default)]
struct Missing(BTreeMap<Arc<str>, (Instant, u32)>);

impl Missing {
    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Notes what one look missed. Returns what has been missing for so long, look after look, that it is gone.
    fn note<'a>(&mut self, missed: impl Iterator<Item = &'a Arc<str>>) -> BTreeSet<Arc<str>> {
        let mut now = BTreeMap::new();
        for topic in missed {
            let (since, looks) = self.0.get(topic).copied().unwrap_or_else(|| (Instant::now(), 0));
            now.insert(topic.clone(), (since, looks + 1));
        }
        self.0 = now;
        let is_gone = |(since, looks): &(Instant, u32)| *looks >= GONE_LOOKS && since.elapsed() >= GONE_AFTER;
        self.0.iter().filter(|(_, missing)| is_gone(missing)).map(|(topic, _)| topic.clone()).collect()
    }
}

/// The shortest time between two looks.
const MIN_PAUSE: Duration = Duration::from_secs(1);
/// How long the cluster has to say that it does not have a topic, in look after look, until it is believed.
const GONE_AFTER: Duration = Duration::from_secs(15);
/// And in how many looks at least: a process may have slept between two of them.
const GONE_LOOKS: u32 = 5;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_topic_that_shows_again_is_not_gone() {
        let long_ago = Instant::now().checked_sub(GONE_AFTER).expect("the clock is that old");
        let topic: Arc<str> = "orders".into();
        let mut missing = Missing(BTreeMap::from([(topic.clone(), (long_ago, GONE_LOOKS))]));
        assert!(missing.note(std::iter::empty()).is_empty());
        assert!(missing.note(std::iter::once(&topic)).is_empty());
        assert_eq!(missing.0[&topic].1, 1, "it counts from the beginning");
    }

    #[test]
    fn a_topic_is_gone_after_enough_looks_in_enough_time() {
        let long_ago = Instant::now().checked_sub(GONE_AFTER).expect("the clock is that old");
        let topic: Arc<str> = "orders".into();
        let mut missing = Missing(BTreeMap::from([(topic.clone(), (long_ago, GONE_LOOKS - 2))]));
        assert!(missing.note(std::iter::once(&topic)).is_empty(), "one look short");
        assert_eq!(missing.note(std::iter::once(&topic)), BTreeSet::from([topic]));
    }
}
