//! Parquet files in a local folder: one file per partition and window, exactly-once without a manifest.
//!
//! Any reader can glob `landing/**/*.parquet`. What a file covers is in its footer, so rows and position become visible by
//! one step: the file gets its name. The name is a function of the position at which the file starts, so of two writers at
//! one position one gets it; that is the fence. `docs/adr/001-parquet-fence.md` has the reasoning.
//!
//! The way of a window: [`window`] takes rows, [`writer`] encodes them ([`encoding`] says how) into a [`file`] without a
//! name, [`fence`] lets the commit pass, [`store`] gives the name. [`footer`] reads it all back. Where a partition begins of
//! which nothing has landed is in the [`claims`].

mod claims;
mod encoding;
mod fence;
mod file;
mod footer;
mod layout;
mod place;
mod store;
mod window;
mod writer;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use arrow::array::RecordBatch;
use arrow::datatypes::{Schema, SchemaRef};
use async_trait::async_trait;
use parquet::basic::ZstdLevel;
use tempfile::TempPath;

use self::claims::{ClaimedStart, Claims, Wanted};
use self::encoding::TopicEncoding;
use self::fence::Look;
use self::footer::Footer;
use self::store::{Named, Store};
use self::window::{ParquetWindow, WAITING, in_parallel, lock};
use crate::blocking::blocking;
use crate::error::{Error, ErrorKind, Result};
use crate::landing_url::LandingUrl;
use crate::load::{LoadedRows, envelope_fields};
use crate::offset::{OffsetRange, TopicPartition};
use crate::reader::{ParquetReader, Reader};
use crate::sink::{
    BroughtBy, Claim, Claimed, LandedPosition, LedgerEntry, MARK_COMMITS, RecordMark, Sink, WindowInfo, WindowWriter,
    evolution,
};
use crate::trouble;

/// How Parquet files are written; what lands does not depend on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParquetSinkOptions {
    /// The zstd level, 1 to 22. Default 1. Higher: smaller files, and much more CPU.
    pub zstd_level: i32,
    /// A row group is cut when it has so many encoded bytes. Default 64 MiB. More: fewer row groups, which readers scan
    /// quicker, and more memory.
    pub row_group_bytes: usize,
    /// Memory that all open files of one window may hold together; past it the largest row group is cut early. Default
    /// 96 MiB. Less: less memory, and more and smaller row groups.
    pub memory_bytes: usize,
}

impl Default for ParquetSinkOptions {
    fn default() -> Self {
        ParquetSinkOptions { zstd_level: 1, row_group_bytes: 64 << 20, memory_bytes: 96 << 20 }
    }
}

/// Lands windows as Parquet files in a local folder.
///
/// Cheap to clone; clones share what they know.
#[derive(Debug, Clone)]
pub struct ParquetSink(Arc<Landings>);

/// What all windows of one sink share.
#[derive(Debug)]
struct Landings {
    store: Arc<Store>,
    /// Whether nothing may change, leftovers of dead writers included.
    only_reads: bool,
    options: ParquetSinkOptions,
    zstd_level: ZstdLevel,
    /// The columns of each topic that was prepared.
    columns: Mutex<HashMap<String, SchemaRef>>,
    encodings: Mutex<HashMap<Arc<str>, Arc<TopicEncoding>>>,
    // The newest landed range of each partition that this process has seen. Landings only grow: what falls behind this was
    // taken away by somebody.
    known: Mutex<HashMap<TopicPartition, OffsetRange>>,
}

/// What was found of a partition, and what had been known of it before.
struct Seen {
    of: TopicPartition,
    known: Option<OffsetRange>,
    look: Look,
    mark: Option<RecordMark>,
}

impl ParquetSink {
    /// Opens a landing in a local folder, given as a path or as a `file:` URL; makes the folder where it is missing.
    ///
    /// # Errors
    /// [`Unsupported`](ErrorKind::Unsupported) for the URL of a remote store; [`Config`](ErrorKind::Config) for options out
    /// of range or a path that is no folder; [`Denied`](ErrorKind::Denied) and [`Unavailable`](ErrorKind::Unavailable) where
    /// the disk refuses.
    pub fn open(url_or_path: &str, options: ParquetSinkOptions) -> Result<Self> {
        Self::over(Store::open(folder_of(url_or_path)?)?, options, false)
    }

    /// Opens what has landed in a folder, to be read: nothing of it is made, changed or removed. `None` where there is no such
    /// folder.
    ///
    /// # Errors
    /// Those of [`open`](Self::open).
    pub fn open_to_read(url_or_path: &str) -> Result<Option<Self>> {
        let store = Store::open_to_read(folder_of(url_or_path)?)?;
        store.map(|store| Self::over(store, ParquetSinkOptions::default(), true)).transpose()
    }

    fn over(store: Store, options: ParquetSinkOptions, only_reads: bool) -> Result<Self> {
        let zstd_level = ZstdLevel::try_new(options.zstd_level).map_err(|error| {
            Error::config(format!("zstd_level = {} is not a level of zstd", options.zstd_level))
                .with_help("use 1 (quick) to 22 (small)")
                .with_source(error)
        })?;
        let store = Arc::new(store);
        let (columns, encodings, known) = Default::default();
        Ok(ParquetSink(Arc::new(Landings { store, only_reads, options, zstd_level, columns, encodings, known })))
    }

    /// The landing's folder.
    pub fn folder(&self) -> &Path {
        self.0.store.root()
    }
}

#[async_trait]
impl Sink for ParquetSink {
    fn describe(&self) -> String {
        format!("parquet at {}", self.0.store.root().display())
    }

    async fn prepare(&self, topic: &str, columns: &SchemaRef) -> Result<()> {
        let (landings, topic, columns) = (self.0.clone(), topic.to_owned(), columns.clone());
        blocking(move || landings.prepare(&topic, columns)).await
    }

    async fn positions(&self, of: &[TopicPartition]) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        let (landings, of) = (self.0.clone(), of.to_vec());
        blocking(move || landings.read_positions(of)).await
    }

    async fn claim(&self, claim: &Claim) -> Result<()> {
        self.0.may_change()?;
        let (landings, claim) = (self.0.clone(), claim.clone());
        blocking(move || landings.claim(&claim)).await
    }

    async fn claimed(&self, topic: &str) -> Result<Claimed> {
        let (store, topic) = (self.0.store.clone(), topic.to_owned());
        blocking(move || {
            let Claims { starts, partition_count, landing_id, .. } = Claims::read(&store, &topic)?;
            let starts = starts.into_iter().map(|(partition, claimed)| (partition, claimed.start)).collect();
            Ok(Claimed { starts, partition_count, landing_id })
        })
        .await
    }

    async fn open(&self, window: &WindowInfo) -> Result<Box<dyn WindowWriter>> {
        self.0.may_change()?;
        Ok(Box::new(ParquetWindow::new(self.0.clone(), window.clone())))
    }

    fn reader(&self) -> Arc<dyn Reader> {
        Arc::new(ParquetReader::of_folder(self.folder().to_path_buf()))
    }
}

impl Landings {
    fn may_change(&self) -> Result<()> {
        match self.only_reads {
            true => Err(Error::internal(format!("{} was opened to be read", self.store.root().display()))),
            false => Ok(()),
        }
    }

    /// Holds the columns against those of each partition's newest file with rows.
    fn prepare(&self, topic: &str, columns: SchemaRef) -> Result<()> {
        let partitions = self.store.list_topic(topic)?.partitions;
        in_parallel(WAITING, partitions, |partition| {
            let of = TopicPartition::new(topic, partition);
            for &start in self.store.list(&of)?.starts.iter().rev().take(MARK_COMMITS) {
                let path = self.store.file(&of, start)?;
                let footer = Footer::read(&path)?;
                evolution::check(topic, &*footer.schema(&path)?, &path.display().to_string(), &columns)?;
                if footer.entry.record_count > 0 {
                    break;
                }
            }
            Ok(())
        })?;
        lock(&self.columns).insert(topic.to_owned(), columns);
        Ok(())
    }

    fn read_positions(&self, of: Vec<TopicPartition>) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        self.positions_by(in_parallel(WAITING, of, |of| self.see(of))?)
    }

    /// Looks at a partition. What was known before is what holds against it: others of this process may land meanwhile.
    fn see(&self, of: TopicPartition) -> Result<Seen> {
        let known = lock(&self.known).get(&of).copied();
        let look = Look::at(&self.store, &of)?;
        let mark = look.newest_mark(&self.store, &of)?;
        Ok(Seen { of, known, look, mark })
    }

    fn positions_by(&self, seen: Vec<Seen>) -> Result<BTreeMap<TopicPartition, LandedPosition>> {
        self.make_durable(&seen)?;
        let nothing_of = seen.iter().filter(|seen| seen.look.newest.is_none());
        let claims = self.read_claims(nothing_of.map(|seen| seen.of.topic.clone()).collect())?;

        let mut positions = BTreeMap::new();
        for Seen { of, known, look, mark } in seen {
            let position = match &look.newest {
                Some(entry) => Some(LandedPosition {
                    position: entry.range.end(),
                    brought_by: BroughtBy::Window(entry.window.clone()),
                    source: entry.source.clone(),
                    newest: mark,
                }),
                None => claimed_start(&claims, &of).map(|ClaimedStart { start, source }| LandedPosition {
                    position: *start,
                    brought_by: BroughtBy::Claim,
                    source: source.clone(),
                    newest: None,
                }),
            };
            self.refuse_going_back(&of, known, position.as_ref().map(|landed| landed.position))?;
            if let Some(entry) = &look.newest {
                self.note(&of, entry.range);
            }
            if let Some(position) = position {
                if !self.only_reads {
                    look.clean_up(position.position);
                }
                positions.insert(of, position);
            }
        }
        Ok(positions)
    }

    /// Makes names durable that this process has not: whoever gave them may have died before, or could not. A position is
    /// answered for, by whoever is told of it.
    fn make_durable(&self, seen: &[Seen]) -> Result<()> {
        if self.only_reads {
            return Ok(());
        }
        let is_new = |seen: &&Seen| seen.look.end() > seen.known.map(|range| range.end());
        let unsure: Vec<&TopicPartition> = seen.iter().filter(is_new).map(|seen| &seen.of).collect();
        let topics: BTreeSet<&str> = unsure.iter().map(|of| &*of.topic).collect();
        in_parallel(WAITING, unsure, |of| self.store.sync_partition(of))?;
        in_parallel(WAITING, topics.into_iter().collect(), |topic| self.store.sync_topic(topic)).map(drop)
    }

    fn read_claims(&self, topics: BTreeSet<Arc<str>>) -> Result<BTreeMap<Arc<str>, Claims>> {
        let topics = topics.into_iter().collect();
        let claims =
            in_parallel(WAITING, topics, |topic: Arc<str>| Ok((topic.clone(), Claims::read(&self.store, &topic)?)));
        Ok(claims?.into_iter().collect())
    }

    fn claim(&self, claim: &Claim) -> Result<()> {
        claim.check()?;
        let claims = Claims::read(&self.store, &claim.topic)?;
        let unclaimed = claim.starts.iter().filter(|(partition, _)| !claims.starts.contains_key(partition));
        let starts = in_parallel(WAITING, unclaimed.collect(), |(partition, start)| {
            let of = TopicPartition::new(claim.topic.clone(), *partition);
            Ok(self.store.list(&of)?.starts.is_empty().then_some((*partition, *start)))
        })?;
        let wanted = Wanted {
            topic: &claim.topic,
            source: claim.source.clone(),
            partition_count: Some(claim.partition_count),
            starts: starts.into_iter().flatten().collect(),
        };
        Claims::make(&self.store, &wanted).map(|_| ())
    }

    /// Lets the commit of all these pass or none, and stops whom it has overtaken. Every file is whole, durable and bears
    /// its range's start by now: whoever overtakes this commit after the look knows what to take away.
    ///
    /// Answers with the topics that have a partition whose first file this is.
    fn pass_fences(&self, entries: &[&LedgerEntry]) -> Result<BTreeSet<Arc<str>>> {
        let looks = in_parallel(WAITING, entries.to_vec(), |LedgerEntry { topic_partition: of, range, .. }| {
            let known = lock(&self.known).get(of).copied();
            let has_seen = known.is_some_and(|known| known.end() == range.start());
            let mut look = Look::at(&self.store, of)?;
            // A listing takes time: one that met the newest file on its way may have begun before a writer that did not
            // see that file had made its own. One that began afterwards has both.
            if !has_seen && look.newest.is_some() {
                look.listing = self.store.list(of)?;
            }
            self.refuse_going_back(of, known, look.end())?;
            Ok(look)
        })?;
        for (entry, look) in entries.iter().zip(&looks) {
            starts_at(look.end(), entry)?;
        }
        let firsts = entries.iter().zip(&looks).filter(|(_, look)| look.newest.is_none()).map(|(entry, _)| *entry);
        let claims = self.claim_starts(firsts)?;
        for (entry, _) in entries.iter().zip(&looks).filter(|(_, look)| look.newest.is_none()) {
            starts_at(claimed_start(&claims, &entry.topic_partition).map(|claimed| claimed.start), entry)?;
        }
        in_parallel(WAITING, entries.iter().zip(&looks).collect(), |(entry, look)| {
            look.stop_overtaken(entry.range.start())
        })?;
        Ok(claims.into_keys().collect())
    }

    /// What is claimed of the topics of these first commits, once each of them is: what nobody has claimed is claimed here.
    fn claim_starts<'a>(&self, firsts: impl Iterator<Item = &'a LedgerEntry>) -> Result<BTreeMap<Arc<str>, Claims>> {
        let mut wanted = BTreeMap::<Arc<str>, Wanted<'a>>::new();
        for LedgerEntry { topic_partition: of, range, source, .. } in firsts {
            let of_topic = wanted.entry(of.topic.clone()).or_insert_with(|| Wanted {
                topic: &of.topic,
                source: source.clone(),
                partition_count: None,
                starts: BTreeMap::new(),
            });
            of_topic.starts.insert(of.partition, range.start());
        }
        wanted.into_iter().map(|(topic, wanted)| Ok((topic, Claims::make(&self.store, &wanted)?))).collect()
    }

    fn refuse_going_back(&self, of: &TopicPartition, known: Option<OffsetRange>, position: Option<i64>) -> Result<()> {
        let Some(known) = known else { return Ok(()) };
        if position.is_some_and(|position| position >= known.end()) {
            return Ok(());
        }
        let found = position.map_or_else(|| "nothing".to_owned(), |position| format!("nothing past {position}"));
        let root = self.store.root().display();
        Err(Error::new(
            ErrorKind::Conflict,
            format!(
                "landed files of {of} were taken away: path={root}: it had landed up to {}, now {found}",
                known.end()
            ),
        )
        .with_help("put the files back; or, if they were removed on purpose, start again to land from what is left"))
    }

    /// Gives a file its name, or finds out why it cannot have it.
    fn name(&self, temporary: TempPath, entry: &LedgerEntry) -> Result<()> {
        let of = &entry.topic_partition;
        let path = self.store.file(of, entry.range.start())?;
        if self.store.name(temporary, &path)? == Named::Given {
            return Ok(());
        }
        let look = Look::at(&self.store, of)?;
        if look.listing.starts.contains(&entry.range.start()) {
            let landed = fence::entry_of(&self.store, of, entry.range.start())?;
            if landed.window == entry.window && landed.range == entry.range {
                return Ok(());
            }
            return Err(fence::overtaken(
                of,
                entry.range,
                &format!("window {} landed {}", landed.window, landed.range),
            ));
        }
        match look.end() {
            Some(end) if end > entry.range.start() => {
                Err(fence::overtaken(of, entry.range, &format!("it has landed up to {end}")))
            }
            // Nobody has landed past it: the unfinished file, or the folder with it, went away by other hands.
            _ => {
                let gone = std::io::Error::from_raw_os_error(libc::ENOENT);
                Err(trouble::disk("give a landed file its name", &path, gone))
            }
        }
    }

    fn remember(&self, landed: Vec<LedgerEntry>) {
        for entry in landed {
            self.note(&entry.topic_partition, entry.range);
        }
    }

    fn note(&self, of: &TopicPartition, newest: OffsetRange) {
        let mut known = lock(&self.known);
        let range = known.entry(of.clone()).or_insert(newest);
        if newest.end() > range.end() {
            *range = newest;
        }
    }

    /// The encoding for a new file with these rows.
    fn encoding_for(&self, loaded: &LoadedRows) -> Result<Arc<TopicEncoding>> {
        let topic = &loaded.topic_partition.topic;
        let mut encodings = lock(&self.encodings);
        if let Some(encoding) = encodings.get(topic)
            && encoding.schema == loaded.rows.schema()
            && !encoding.is_outdone_by(&loaded.rows)
        {
            return Ok(encoding.clone());
        }
        let encoding = Arc::new(self.decide(topic, &loaded.rows)?);
        encodings.insert(topic.clone(), encoding.clone());
        Ok(encoding)
    }

    /// The encoding for a file without rows: with the columns that the topic was prepared for.
    fn encoding_of(&self, of: &TopicPartition) -> Result<Arc<TopicEncoding>> {
        if let Some(encoding) = lock(&self.encodings).get(&of.topic) {
            return Ok(encoding.clone());
        }
        let prepared = lock(&self.columns).get(&*of.topic).cloned();
        let columns = prepared.unwrap_or_else(|| Arc::new(Schema::new(envelope_fields())));
        Ok(Arc::new(self.decide(&of.topic, &RecordBatch::new_empty(columns))?))
    }

    fn decide(&self, topic: &str, rows: &RecordBatch) -> Result<TopicEncoding> {
        TopicEncoding::decide(rows, self.zstd_level).map_err(|error| {
            Error::new(ErrorKind::Schema, format!("write topic {topic} as Parquet"))
                .with_help("Parquet has no form for a column of this landing schema: change its type")
                .with_source(error)
        })
    }
}

fn starts_at(position: Option<i64>, entry: &LedgerEntry) -> Result<()> {
    match position.filter(|position| *position != entry.range.start()) {
        Some(position) => {
            let how = format!("it has landed up to {position}");
            Err(fence::overtaken(&entry.topic_partition, entry.range, &how))
        }
        None => Ok(()),
    }
}

fn claimed_start<'a>(claims: &'a BTreeMap<Arc<str>, Claims>, of: &TopicPartition) -> Option<&'a ClaimedStart> {
    claims.get(&of.topic)?.starts.get(&of.partition)
}

fn folder_of(url_or_path: &str) -> Result<PathBuf> {
    Ok(url_or_path.parse::<LandingUrl>()?.folder().to_owned())
}

#[cfg(test)]
mod tests;
