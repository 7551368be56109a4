//! What a run would find at its start, found by the same way and without leaving a trace: claims are made beside the sink.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use arrow::datatypes::SchemaRef;
use async_trait::async_trait;
use tokio::runtime::Handle;

use super::Loader;
use super::executor::Executor;
use super::run::builder_of;
use super::source::Source;
use crate::error::{Error, Result};
use crate::offset::{Positions, TopicPartition};
use crate::reader::Reader;
use crate::sink::{BroughtBy, Claim, Claimed, LandedPosition, Sink, WindowInfo, WindowWriter};

/// Where a run would begin and end, as of now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outlook {
    /// Where reading of each partition would begin: where it landed, or where the config has it begin.
    pub starts: Positions,
    /// Where each log ends for this reader.
    pub ends: Positions,
}

impl Loader {
    /// Looks at the brokers and at the sink as a [`run`](Self::run) does at its start, once, and changes nothing. Blocks, and
    /// needs the same runtime.
    ///
    /// # Errors
    /// Whatever a run would begin, and not wait, with: `Config` for a topic, a partition or a start that is not there,
    /// `SourceChanged`, `Denied`; and `Unavailable`, which a run would wait for.
    pub fn foresee(&self) -> Result<Outlook> {
        let executor = Executor::Runtime(Handle::current());
        let beside = Arc::new(Beside { sink: self.sink.clone(), claims: Mutex::default() });
        let source = Source::connect(&builder_of(self), beside, self.load.clone(), self.options.give_up_after)?;
        let present = source.partitions()?;
        let ends = source.log_ends(&present)?;
        let starts = source.starts(&present, &executor)?;
        source.check_whole(&present, &executor)?;
        let starts = starts.into_iter().map(|(partition, start)| (partition, start.place.position)).collect();
        Ok(Outlook { starts, ends })
    }
}

/// A sink as it would be after claims that it never hears of.
struct Beside {
    sink: Arc<dyn Sink>,
    claims: Mutex<BTreeMap<TopicPartition, LandedPosition>>,
}

#[async_trait]
impl Sink for Beside {
    fn describe(&self) -> String {
        self.sink.describe()
    }

    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()> {
        self.sink.prepare(topic, columns).await
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        let mut positions = self.sink.positions(of).await?;
        let claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, claimed) in claims.iter().filter(|(partition, _)| of.contains(partition)) {
            positions.entry(partition.clone()).or_insert_with(|| claimed.clone());
        }
        Ok(positions)
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        let mut claims = self.claims.lock().unwrap_or_else(PoisonError::into_inner);
        for (partition, start) in &claim.starts {
            let source = claim.source.clone();
            claims.entry(TopicPartition::new(claim.topic.clone(), *partition)).or_insert(LandedPosition {
                position: *start,
                brought_by: BroughtBy::Claim,
                source,
                newest: None,
            });
        }
        Ok(())
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        self.sink.claimed(topic).await
    }

    async fn open(&self, _window: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        Err(Error::internal("open a window: an outlook lands nothing"))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        self.sink.reader()
    }
}
