//! The rows of one poll window on their way into landed files, and the commit that makes them visible.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZero;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arrow::array::AsArray;
use arrow::datatypes::Int64Type;
use async_trait::async_trait;
use tempfile::TempPath;

use super::Landings;
use super::file::Place;
use super::writer::{PartitionWriter, WrittenFile};
use crate::blocking::blocking;
use crate::error::{Error, Result};
use crate::failpoint;
use crate::load::LoadedRows;
use crate::offset::{OffsetRange, OffsetRanges, Positions, TopicPartition};
use crate::sink::{Commit, LedgerEntry, Receipt, WindowInfo, WindowWriter};

/// The open files of one window, one per partition.
pub(super) struct ParquetWindow {
    landings: Arc<Landings>,
    window: WindowInfo,
    writers: BTreeMap<TopicPartition, PartitionWriter>,
    memory_bytes: usize,
    // Rows may be missing from a file whose append failed: such a window must never land.
    has_failed: bool,
}

impl ParquetWindow {
    pub(super) fn new(landings: Arc<Landings>, window: WindowInfo) -> Self {
        ParquetWindow { landings, window, writers: BTreeMap::new(), memory_bytes: 0, has_failed: false }
    }

    fn append_rows(&mut self, loaded: &LoadedRows) -> Result<()> {
        if loaded.rows.num_rows() == 0 {
            return Ok(());
        }
        let writer = match self.writers.entry(loaded.topic_partition.clone()) {
            Entry::Occupied(writer) => writer.into_mut(),
            Entry::Vacant(none) => none.insert(begin(&self.landings, &self.window, loaded)?),
        };
        let before = writer.memory_bytes();
        writer.append(loaded, self.landings.options.row_group_bytes)?;
        self.memory_bytes = self.memory_bytes - before + writer.memory_bytes();
        while self.memory_bytes > self.landings.options.memory_bytes && self.write_largest_out()? {}
        Ok(())
    }

    /// Writes out what the largest open row group holds; `false` where that would free nothing.
    fn write_largest_out(&mut self) -> Result<bool> {
        let Some(largest) = self.writers.values_mut().max_by_key(|writer| writer.memory_bytes()) else {
            return Ok(false);
        };
        let before = largest.memory_bytes();
        largest.cut_row_group()?;
        let after = largest.memory_bytes();
        self.memory_bytes = self.memory_bytes - before + after;
        Ok(after < before)
    }

    /// The whole commit; it blocks.
    fn land(self, ranges: &OffsetRanges) -> Result<Receipt> {
        let whole = self.make_whole(ranges)?;
        let passed = whole.pass_fences()?;
        failpoint::pass("fence_passed")?;
        passed.name()
    }

    /// First the files, and then the fences: a commit that finds its start free must have a file by then that whoever
    /// overtakes it can take away.
    pub(super) fn make_whole(mut self, ranges: &OffsetRanges) -> Result<WholeWindow> {
        if self.has_failed {
            return Err(Error::internal("a window of which an append failed cannot be committed"));
        }
        let moving = ranges.iter().filter(|(_, range)| !range.is_empty());
        let files: Vec<_> = moving.map(|(of, range)| (of, *range, self.writers.remove(of))).collect();
        if let Some(partition) = self.writers.keys().next() {
            return Err(Error::internal(format!("land {partition}: it has rows and no range")));
        }
        let mut durable = Vec::with_capacity(files.len());
        let mut files = files.into_iter().peekable();
        while files.peek().is_some() {
            durable.extend(write(&self.landings, &self.window, files.by_ref().take(OPEN_FILES).collect())?);
        }
        Ok(WholeWindow { landings: self.landings, files: durable, positions: ranges.ends() })
    }
}

/// A window whose files are whole and durable, and have not asked yet whether they may land.
pub(super) struct WholeWindow {
    landings: Arc<Landings>,
    files: Vec<DurableFile>,
    positions: Positions,
}

/// A window that may land.
pub(super) struct PassedWindow {
    whole: WholeWindow,
    /// Topics with a partition of which nothing has landed before: its folder may be new.
    begun: BTreeSet<Arc<str>>,
}

impl WholeWindow {
    /// All fences before the first name: a window that was overtaken in one partition lands in none.
    pub(super) fn pass_fences(self) -> Result<PassedWindow> {
        let begun = self.landings.pass_fences(&self.files.iter().map(|file| &file.entry).collect::<Vec<_>>())?;
        Ok(PassedWindow { whole: self, begun })
    }
}

impl PassedWindow {
    /// Makes the files visible.
    pub(super) fn name(self) -> Result<Receipt> {
        let PassedWindow { whole: WholeWindow { landings, files, positions }, begun } = self;
        let mut receipt = Receipt { positions, landed_bytes: 0 };
        let mut landed = Vec::with_capacity(files.len());
        for DurableFile { entry, temporary, length } in files {
            landings.name(temporary, &entry)?;
            failpoint::pass("file_visible")?;
            receipt.landed_bytes += length;
            landed.push(entry);
        }
        in_parallel(WAITING, landed.iter().collect(), |entry| landings.store.sync_partition(&entry.topic_partition))?;
        in_parallel(WAITING, begun.into_iter().collect(), |topic| landings.store.sync_topic(&topic))?;
        failpoint::pass("names_durable")?;
        landings.remember(landed);
        Ok(receipt)
    }
}

/// A whole and durable file that lacks nothing but its name.
struct DurableFile {
    entry: LedgerEntry,
    temporary: TempPath,
    length: u64,
}

/// Makes files whole and durable. The first takes processors, the second patience.
fn write(
    landings: &Landings,
    window: &WindowInfo,
    files: Vec<(&TopicPartition, OffsetRange, Option<PartitionWriter>)>,
) -> Result<Vec<DurableFile>> {
    let cores = std::thread::available_parallelism().map_or(1, NonZero::get);
    let written = in_parallel(cores, files, |(of, range, writer)| match writer {
        Some(writer) => writer.finish(range, window),
        None => {
            let place = place(landings, window, of, range.start());
            PartitionWriter::begin(place, &*landings.encoding_of(of)?)?.finish(range, window)
        }
    })?;
    in_parallel(WAITING, written, |WrittenFile { entry, sealed }| {
        let (length, temporary) = (sealed.length, sealed.sync()?);
        failpoint::pass("file_written")?;
        Ok(DurableFile { entry, temporary, length })
    })
}

#[async_trait]
impl WindowWriter for ParquetWindow {
    async fn append(&mut self, rows: &LoadedRows) -> Result<()> {
        let appended = self.append_rows(rows);
        self.has_failed |= appended.is_err();
        appended
    }

    fn memory_bytes(&self) -> usize {
        self.memory_bytes
    }

    async fn commit(self: Box<Self>, ranges: &OffsetRanges) -> Commit {
        let ranges = ranges.clone();
        blocking(move || self.land(&ranges)).await.into()
    }

    // Files without a name go away when they are dropped.
    async fn discard(self: Box<Self>) {}
}

fn begin(landings: &Arc<Landings>, window: &WindowInfo, loaded: &LoadedRows) -> Result<PartitionWriter> {
    let offsets = loaded.rows.column_by_name("_kafka_offset").and_then(|column| column.as_primitive_opt::<Int64Type>());
    let Some(&first) = offsets.and_then(|column| column.values().first()) else {
        return Err(Error::internal(format!("rows of {} have no _kafka_offset", loaded.topic_partition)));
    };
    let encoding = landings.encoding_for(loaded)?;
    PartitionWriter::begin(place(landings, window, &loaded.topic_partition, first), &encoding)
}

fn place(landings: &Landings, window: &WindowInfo, of: &TopicPartition, start: i64) -> Place {
    Place { store: landings.store.clone(), topic_partition: of.clone(), start, window: window.id.clone() }
}

/// Does the same to each, so many at a time. The first error ends it.
pub(super) fn in_parallel<T: Send, R: Send>(
    threads: usize,
    each: Vec<T>,
    act: impl Fn(T) -> Result<R> + Sync,
) -> Result<Vec<R>> {
    let threads = threads.min(each.len());
    if threads <= 1 {
        return each.into_iter().map(act).collect();
    }
    let (waiting, done) = (Mutex::new(each.into_iter().enumerate()), Mutex::new(Vec::new()));
    let failed = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let work = || {
            while !failed.load(Ordering::Relaxed) {
                let Some((place, one)) = lock(&waiting).next() else { break };
                let result = act(one);
                failed.fetch_or(result.is_err(), Ordering::Relaxed);
                lock(&done).push((place, result));
            }
        };
        for _ in 1..threads {
            // Where no thread can be had, those that are there do it all.
            if std::thread::Builder::new().spawn_scoped(scope, work).is_err() {
                break;
            }
        }
        work();
    });
    let mut done = done.into_inner().unwrap_or_else(PoisonError::into_inner);
    done.sort_by_key(|(place, _)| *place);
    done.into_iter().map(|(_, result)| result).collect()
}

/// A panic in one of the threads ends the whole call, so that a poisoned lock guards nothing half-done.
pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// How many at a time wait for the disk: one flush must not delay the next.
pub(super) const WAITING: usize = 8;

/// Files that a commit holds open at a time, however many partitions its window has.
const OPEN_FILES: usize = 128;
