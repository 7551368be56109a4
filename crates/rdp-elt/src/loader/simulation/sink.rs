//! A sink in memory that is slow, fails, and leaves it open whether it did.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use async_trait::async_trait;

use super::world::World;
use crate::error::{Error, Result};
use crate::load::LoadedRows;
use crate::offset::{OffsetRanges, TopicPartition};
use crate::sink::{
    Claim, Claimed, LandedPosition, LandedRows, Landing, LedgerEntry, MemorySink, Receipt, Sink, WindowInfo,
};

pub(super) struct FailingSink {
    pub(super) within: Arc<MemorySink>,
    pub(super) world: World,
}

struct FailingLanding {
    within: Box<dyn Landing>,
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

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        fails(&self.world, "positions cannot be read", 40)?;
        self.within.positions(of).await
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        fails(&self.world, "claim fails", 8)?;
        self.within.claim(claim).await?;
        fails(&self.world, "claim fails after its effect", 8)
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        self.within.claimed(topic).await
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn Landing>> {
        fails(&self.world, "window cannot be opened", 60)?;
        let within = self.within.open(window).await?;
        Ok(Box::new(FailingLanding { within, world: self.world.clone() }))
    }

    async fn ledger(&self, topic: &str) -> Result<Vec<LedgerEntry>> {
        self.within.ledger(topic).await
    }

    async fn landed_rows(&self, entry: &LedgerEntry) -> Result<LandedRows> {
        self.within.landed_rows(entry).await
    }

    async fn topics(&self) -> Result<Vec<String>> {
        self.within.topics().await
    }

    async fn strays(&self) -> Result<Vec<String>> {
        self.within.strays().await
    }
}

#[async_trait]
impl Landing for FailingLanding {
    async fn append(&mut self, rows: &LoadedRows) -> Result<()> {
        self.within.append(rows).await?;
        fails(&self.world, "append fails", 150)
    }

    fn memory_bytes(&self) -> usize {
        self.within.memory_bytes()
    }

    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Result<Receipt> {
        let FailingLanding { within, world } = *self;
        let ready_at = {
            let mut state = world.lock();
            let slow = state.strikes("slow commit", 10);
            state.now + Duration::from_millis(state.random.u64(if slow { 500..8_000 } else { 0..6 }))
        };
        std::future::poll_fn(|_| if world.lock().now < ready_at { Poll::Pending } else { Poll::Ready(()) }).await;
        fails(&world, "commit fails", 15)?;
        let receipt = within.commit(ranges).await?;
        fails(&world, "commit fails after its effect", 15)?;
        Ok(receipt)
    }

    async fn discard(self: Box<Self>) {
        self.within.discard().await;
    }
}
