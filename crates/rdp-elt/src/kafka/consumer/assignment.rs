//! Taking partitions, giving them back, and moving, holding and resuming their reading.
//!
//! Whatever stops the reading of a partition, it goes on by a seek to the position that is known here. What the client
//! remembers of it is not looked at: it counts errors and ends of partitions as records.

use std::collections::BTreeMap;
use std::time::Duration;

use super::super::fetcher::{Fetcher, Place};
use super::Consumer;
use super::partition::Owned;
use crate::error::Result;
use crate::offset::{Positions, TopicPartition};

impl<F: Fetcher> Consumer<F> {
    /// Takes what the group gave; reading begins at these places, which name every partition of it.
    pub(crate) fn assign(&mut self, places: &BTreeMap<TopicPartition, Place>) -> Result<()> {
        let incremental = self.is_incremental();
        if incremental || !self.joins_group {
            self.owned.retain(|owned| !places.contains_key(&owned.partition));
        } else {
            self.owned.clear();
        }
        self.forget_belated(places);
        for (partition, place) in places {
            let end = self.ends.as_ref().map(|ends| ends.position(partition).unwrap_or(place.position));
            self.owned.push(Owned::new(partition.clone(), *place, end));
        }
        let assigned = match incremental {
            true => places.iter().map(|(partition, place)| (partition.clone(), place.position)).collect(),
            false => self.positions(),
        };
        self.begin_fetching(&assigned, incremental)?;
        self.restart_stalled()?;
        self.sync_paused()
    }

    /// Gives back what the group took.
    pub(crate) fn revoke(&mut self, partitions: &[TopicPartition]) -> Result<()> {
        let incremental = self.is_incremental();
        match incremental {
            true => self.owned.retain(|owned| !partitions.contains(&owned.partition)),
            false => self.owned.clear(),
        }
        let owned = &self.owned;
        self.belated.take_if(|(partition, _)| !owned.iter().any(|owned| owned.partition == *partition));
        self.stalled.retain(|partition| owned.iter().any(|owned| owned.partition == *partition));
        self.fetcher.unassign(partitions, incremental)?;
        self.doubt_all();
        Ok(())
    }

    /// Goes on reading at these places, of partitions that it owns.
    pub(crate) fn seek(&mut self, places: &BTreeMap<TopicPartition, Place>) -> Result<()> {
        self.forget_belated(places);
        for owned in &mut self.owned {
            if let Some(place) = places.get(&owned.partition) {
                owned.move_to(*place);
                owned.must_seek = !self.stalled.contains(&owned.partition);
            }
        }
        self.seek_where_owed()?;
        self.restart_stalled()?;
        self.sync_paused()
    }

    fn forget_belated(&mut self, places: &BTreeMap<TopicPartition, Place>) {
        self.belated.take_if(|(partition, _)| places.contains_key(partition));
    }

    /// Stops fetching, and stays in the group as long as it is polled.
    pub(crate) fn pause(&mut self) -> Result<()> {
        self.held = true;
        self.sync_paused()
    }

    /// Fetches again what is not done.
    pub(crate) fn resume(&mut self) -> Result<()> {
        self.held = false;
        self.sync_paused()
    }

    /// Seeks what has to be sought before anything of it is taken. Where that fails, it stays so.
    pub(super) fn seek_where_owed(&mut self) -> Result<()> {
        // What the client gave up it refuses to seek.
        let stalled = &self.stalled;
        let is_owed = |owned: &Owned| owned.must_seek && !stalled.contains(&owned.partition);
        let places: Vec<_> = self
            .owned
            .iter()
            .filter(|owned| is_owed(owned))
            .map(|owned| (owned.partition.clone(), owned.place()))
            .collect();
        if places.is_empty() || self.fetcher.is_rebalancing() {
            return Ok(());
        }
        self.fetcher.seek(&places, SEEK_TIMEOUT)?;
        self.owned.iter_mut().filter(|owned| is_owed(owned)).for_each(Owned::sought);
        Ok(())
    }

    /// Fetches what is to be fetched: nothing while held back, and no partition that is done.
    pub(super) fn sync_paused(&mut self) -> Result<()> {
        for paused in [true, false] {
            let held = self.held;
            let wanted = |owned: &Owned| (held || owned.is_done()) == paused && owned.paused != paused;
            if !self.owned.iter().any(wanted) {
                continue;
            }
            let changed = self.owned.iter().filter(|owned| wanted(owned)).map(|owned| &owned.partition);
            self.fetcher.set_paused(changed, paused)?;
            for owned in self.owned.iter_mut().filter(|owned| wanted(owned)) {
                owned.paused = paused;
                owned.must_seek |= !paused && !self.stalled.contains(&owned.partition);
            }
        }
        Ok(())
    }

    fn begin_fetching(&mut self, assigned: &Positions, incremental: bool) -> Result<()> {
        self.fetcher.assign(assigned, incremental)?;
        self.stalled.retain(|partition| assigned.position(partition).is_none());
        // The client keeps a pause over a loss and a return of the partition.
        self.fetcher.set_paused(assigned.partitions(), false)?;
        let resumed = |owned: &&mut Owned| assigned.position(&owned.partition).is_some();
        self.owned.iter_mut().filter(resumed).for_each(|owned| owned.paused = false);
        self.doubt_all();
        Ok(())
    }

    /// An answer to a rebalance makes the client pause and resume what is kept, by what it remembers of it.
    fn doubt_all(&mut self) {
        for owned in self.owned.iter_mut().filter(|owned| !self.stalled.contains(&owned.partition)) {
            owned.must_seek = true;
            owned.disturb();
        }
    }

    /// Assigns what the client gave up to read once more, at the present positions. While a rebalance waits for its
    /// answer, that comes first: anything else would be taken for it.
    fn restart_stalled(&mut self) -> Result<()> {
        if self.stalled.is_empty() || self.fetcher.is_rebalancing() {
            return Ok(());
        }
        let mut positions = self.positions();
        let incremental = self.is_incremental();
        if incremental {
            let stalled = positions.iter().filter(|(partition, _)| self.stalled.contains(*partition));
            positions = stalled.map(|(partition, position)| (partition.clone(), position)).collect();
            self.fetcher.unassign(&positions.partitions().cloned().collect::<Vec<_>>(), true)?;
        }
        self.begin_fetching(&positions, incremental)
    }

    fn is_incremental(&self) -> bool {
        self.joins_group && self.fetcher.is_incremental()
    }
}

/// How long a seek may take.
const SEEK_TIMEOUT: Duration = Duration::from_secs(10);
