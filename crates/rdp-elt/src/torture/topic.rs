//! The topic: made, filled, compared with its landing, deleted.

use futures::stream::TryStreamExt;

use super::comparison::{Comparing, Comparison, Produced};
use super::record::{Fate, Records};
use super::rows::Rows;
use crate::error::{Error, ErrorKind, Result};
use crate::kafka::{Cluster, KafkaConsumerBuilder, KafkaProducer};
use crate::loader::Shutdown;
use crate::offset::TopicPartition;
use crate::reader::Reader;

/// A topic that is ours alone, and all that is known of its records.
///
/// All calls block. Remembers 4 bytes per record: where it arrived.
pub struct TortureTopic {
    source: KafkaConsumerBuilder,
    cluster: Cluster,
    producer: KafkaProducer,
    records: Records,
    produced: Produced,
}

impl TortureTopic {
    /// Makes the topic on the brokers that `source` reads from, by its connection and its credentials. The same seed gives
    /// the same records.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) where the right to make or delete topics lacks,
    /// [`Unavailable`](ErrorKind::Unavailable) where no broker answers, [`Config`](ErrorKind::Config) where the topic exists
    /// or a policy of the brokers refuses it.
    pub fn create(source: &KafkaConsumerBuilder, name: &str, partition_count: i32, seed: u64) -> Result<Self> {
        let source = source.of_topic(name);
        let cluster = Cluster::connect(&source)?;
        let producer = KafkaProducer::open(&source.producer_config())?;
        cluster.create_topic(name, partition_count, CONFIGS)?;
        let records = Records::new(name, partition_count, seed);
        Ok(TortureTopic { source, cluster, producer, records, produced: Produced::new(partition_count) })
    }

    /// The topic's name.
    pub fn name(&self) -> &str {
        self.records.topic()
    }

    /// A consumer of this topic and nothing else.
    pub fn source(&self) -> &KafkaConsumerBuilder {
        &self.source
    }

    /// How many records were produced.
    pub fn record_count(&self) -> u64 {
        self.produced.record_count()
    }

    /// How many of them have no value.
    pub fn tombstone_count(&self) -> u64 {
        self.produced.tombstone_count
    }

    /// How many of them do not fit the schema.
    pub fn poisoned_count(&self) -> u64 {
        self.produced.poisoned_count
    }

    /// Produces the next so many records and waits until all have arrived, or until `shutdown` asks for an end.
    ///
    /// # Errors
    /// [`Denied`](ErrorKind::Denied) where the right to write lacks, [`Unavailable`](ErrorKind::Unavailable) where a record
    /// does not arrive within a minute or before the end that was asked for. The topic is of no use after an error: what arrived is not known.
    pub fn produce(&mut self, record_count: u64, shutdown: &Shutdown) -> Result<()> {
        let first = self.record_count();
        let (mut tombstones, mut poisoned) = (0, 0);
        let records = (first..first + record_count).map(|number| {
            let made = self.records.make(number);
            tombstones += u64::from(made.fate == Fate::Tombstone);
            poisoned += u64::from(made.fate == Fate::Quarantined);
            made.record
        });
        for delivery in self.producer.produce(records, || shutdown.is_requested())? {
            self.produced.arrived(delivery)?;
        }
        self.produced.tombstone_count += tombstones;
        self.produced.poisoned_count += poisoned;
        Ok(())
    }

    /// Compares all records with what landed of them, commit by commit.
    ///
    /// # Errors
    /// Those of the reader; [`Data`](ErrorKind::Data) where columns are missing. What is lost, doubled or altered is no error.
    pub async fn compare(&self, reader: &dyn Reader) -> Result<Comparison> {
        let mut comparing = Comparing::new(&self.records, &self.produced);
        for partition in 0..self.records.partition_count() {
            let of = TopicPartition::new(self.records.topic().clone(), partition);
            comparing.begin(partition);
            let mut commits = reader.ledger(&of, 0).await?.commits;
            while let Some(commit) = commits.try_next().await? {
                comparing.file_count += 1;
                let mut batches = reader.rows_of(&commit, None).await?;
                while let Some(batch) = batches.try_next().await? {
                    let rows = Rows::of(&batch).ok_or_else(|| {
                        let found = batch.schema();
                        let message = format!("read the rows of {}: its columns are {found:?}", commit.location);
                        Error::new(ErrorKind::Data, message)
                    })?;
                    comparing.add(&rows);
                }
            }
            comparing.end();
        }
        Ok(comparing.finish())
    }

    /// Deletes the topic.
    ///
    /// # Errors
    /// As for [`create`](Self::create).
    pub fn delete(&self) -> Result<()> {
        self.cluster.delete_topic(self.name())
    }
}

impl Produced {
    fn arrived(&mut self, delivery: crate::kafka::Delivery) -> Result<()> {
        self.note(delivery.partition, delivery.offset).ok_or_else(|| {
            Error::new(
                ErrorKind::SourceChanged,
                format!("produce: a record arrived at offset {} of partition {}", delivery.offset, delivery.partition),
            )
            .with_help("does somebody else write to this topic, or delete from it?")
        })
    }
}

/// What the brokers' defaults must not decide: the records are old and have to stay, as they are.
const CONFIGS: &[(&str, &str)] = &[
    ("cleanup.policy", "delete"),
    ("retention.ms", "-1"),
    ("retention.bytes", "-1"),
    ("message.timestamp.type", "CreateTime"),
];
