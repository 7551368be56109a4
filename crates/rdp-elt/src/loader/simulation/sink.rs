//! A sink in memory that is slow, fails, and leaves it open whether it did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;

use super::world::World;
use crate::error::{Error, Result};
use crate::load::LoadedRows;
use crate::offset::{OffsetRanges, TopicPartition};
use crate::reader::Reader;
use crate::sink::{BroughtBy, Claim, Claimed, Commit, LandedPosition, MemorySink, Sink, WindowInfo, WindowWriter};

pub(super) struct FailingSink {
    pub(super) within: Arc<MemorySink>,
    pub(super) world: World,
}

struct FailingWindow {
    within: Box<dyn WindowWriter>,
    world: World,
}

fn fails(world: &World, what: &'static str, once_in: u32) -> Result<()> {
    match world.lock().strikes(what, once_in) {
        true => Err(Error::unavailable(format!("{what}, as the seed has it"))),
        false => Ok(()),
    }
}

#[async_trait]
impl Sink for FailingSink {
    fn describe(&self) -> String {
        "a failing sink".to_owned()
    }

    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()> {
        self.within.prepare(topic, columns).await
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        fails(&self.world, "positions cannot be read", 40)?;
        let mut positions = self.within.positions(of).await?;
        // As a table does whose snapshots have expired.
        if self.world.lock().strikes("window forgotten", 10) {
            for landed in positions.values_mut().filter(|landed| landed.has_landed()) {
                landed.brought_by = BroughtBy::Forgotten;
            }
        }
        Ok(positions)
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        fails(&self.world, "claim fails", 8)?;
        self.within.claim(claim).await?;
        fails(&self.world, "claim fails after its effect", 8)
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        self.within.claimed(topic).await
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        fails(&self.world, "window cannot be opened", 60)?;
        let within = self.within.open(window).await?;
        Ok(Box::new(FailingWindow { within, world: self.world.clone() }))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.within.reader()
    }
}

#[async_trait]
impl WindowWriter for FailingWindow {
    async fn append(&mut self, rows: &LoadedRows) -> Result<()> {
        self.within.append(rows).await?;
        fails(&self.world, "append fails", 150)
    }

    fn memory_bytes(&self) -> usize {
        self.within.memory_bytes()
    }

    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Commit {
        let FailingWindow { within, world } = *self;
        let ready_at = {
            let mut state = world.lock();
            let slow = state.strikes("slow commit", 10);
            state.now + Duration::from_millis(state.random.u64(if slow { 500..8_000 } else { 0..6 }))
        };
        std::future::poll_fn(|_| if world.lock().now < ready_at { Poll::Pending } else { Poll::Ready(()) }).await;
        if let Err(error) = fails(&world, "commit fails", 15) {
            return Commit::Unknown(error);
        }
        let commit = within.commit(ranges).await;
        match fails(&world, "commit fails after its effect", 15) {
            Err(error) if matches!(commit, Commit::Landed(_)) => Commit::Unknown(error),
            _ => commit,
        }
    }

    async fn discard(self: Box<Self>) {
        self.within.discard().await;
    }
}
