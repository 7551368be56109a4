//! A process of its own, as far as the simulation goes: one run with one lane, which can die and freeze.

use std::sync::{Arc, Mutex, PoisonError};

use super::client::Client;
use super::sink::FailingSink;
use super::world::{TOPIC, World};
use crate::clock::{Clock, Moment};
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{Consumer, KafkaConsumerBuilder, StartPosition, WindowLimits};
use crate::load::LoadOptions;
use crate::loader::executor::Executor;
use crate::loader::lane::{Assignment, Lane, Open};
use crate::loader::run::{Opened, Run};
use crate::loader::source::Source;
use crate::loader::{LoadEvent, LoadReport, Loader, LoaderOptions, Shutdown, Until};
use crate::sink::{MemorySink, Sink};

pub(super) struct Member {
    pub(super) number: u64,
    pub(super) in_group: bool,
    pub(super) frozen_until: Moment,
    pub(super) shutdown: Shutdown,
    run: Arc<Run>,
    lane: Option<Lane<Client>>,
    told_at: Arc<Mutex<Moment>>,
}

/// How a member reads.
#[derive(Debug, Clone)]
pub(super) struct Habit {
    pub(super) in_group: bool,
    pub(super) until: Until,
    pub(super) start: StartPosition,
    pub(super) max_records: usize,
}

impl Member {
    /// Starts one; an error where it could not even begin.
    pub(super) fn start(number: u64, habit: &Habit, world: &World, sink: &Arc<MemorySink>) -> Result<Self> {
        let clock: Arc<dyn Clock> = Arc::new(world.clone());
        let executor = Executor::Steps(clock.clone());
        let sink: Arc<dyn Sink> = Arc::new(FailingSink { within: sink.clone(), world: world.clone() });
        let mut source = KafkaConsumerBuilder::new("simulated").topics([TOPIC]).start(habit.start.clone());
        if habit.in_group {
            source = source.group_id("group");
        }
        let told_at = Arc::new(Mutex::new(world.lock().now));
        let (told, clock_too) = (told_at.clone(), world.clone());
        let seconds = std::time::Duration::from_secs;
        let loader = Loader::new(source.clone(), LoadOptions::default(), sink.clone())
            .with_limits(WindowLimits {
                max_records: habit.max_records,
                max_wait: seconds(2),
                ..WindowLimits::default()
            })
            .with_options(LoaderOptions {
                retry_cap: seconds(2),
                give_up_after: Some(seconds(600)),
                ..LoaderOptions::default()
            })
            .with_observer(move |event| {
                if matches!(event, LoadEvent::Waiting { .. } | LoadEvent::Retrying { .. }) {
                    *told.lock().unwrap_or_else(PoisonError::into_inner) = clock_too.lock().now;
                }
            });
        let source = Source::new(Box::new(world.clone()), &source, sink, loader.load.clone());
        let opened = Opened::of(source, habit.until, &executor)?;
        let shutdown = Shutdown::new();
        let run = Arc::new(Run::new(&loader, habit.until, &shutdown, clock.clone(), opened));
        let (world, in_group) = (world.clone(), habit.in_group);
        let opened_clock = clock.clone();
        let open: Open<Client> = Box::new(move |assignment| {
            let own = match assignment {
                Assignment::Partitions(partitions) => Some(partitions),
                Assignment::Topics(_) => None,
            };
            let in_group = own.is_none();
            let client = Client::new(&world, number, in_group);
            let consumer = Consumer::new(client, opened_clock.clone(), own);
            if in_group {
                consumer.subscribe(&[TOPIC.to_owned()])?;
            }
            Ok(consumer)
        });
        let own = (!in_group).then(|| run.present().to_vec());
        let lane = Lane::start(0, own, open, run.clone(), executor)?;
        Ok(Member { number, in_group, frozen_until: Moment::ZERO, shutdown, run, lane: Some(lane), told_at })
    }

    /// One turn; its end where it has come.
    pub(super) fn turn(&mut self) -> Option<Result<LoadReport>> {
        let ended = self.lane.as_mut()?.step()?;
        let lane = self.lane.take()?;
        Some(ended.map(|()| lane.into_report()))
    }

    /// What the lookout would do now and then.
    pub(super) fn look(&self) {
        let looked = self.run.source.look();
        if looked.is_ok()
            && let Ok(ends) = self.run.source.log_ends(self.run.present())
        {
            self.run.note_heard();
            self.run.note_log_ends(ends);
        }
    }

    /// What it is at, for a person.
    pub(super) fn state(&self) -> String {
        let reading = self.lane.as_ref().map_or_else(String::new, Lane::state);
        format!("member {}, lagging {:?}, {reading}", self.number, self.run.lagging())
    }

    /// When it last told that something does not come.
    pub(super) fn told_at(&self) -> Moment {
        *self.told_at.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether an error is one that faults like these may end a run with.
pub(super) fn is_fitting(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::Conflict)
}
