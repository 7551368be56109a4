//! `[sink.…]`: where rows land.

use std::sync::Arc;

use super::Completeness;
use super::mistake::told;
use super::section::Section;
use crate::error::{ErrorKind, Result};
use crate::offset::TopicPartition;
use crate::sink::{ParquetSink, ParquetSinkOptions, Sink};

/// The one section under `[sink]`.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum SinkConfig {
    /// `[sink.parquet]`: Parquet files in a folder.
    Parquet {
        /// The landing's place, such as `file:landing`. A relative path is relative to the current directory, as it is
        /// for every tool.
        url: String,
        /// How files are written.
        options: ParquetSinkOptions,
    },
}

impl SinkConfig {
    /// The landing's place as the file names it.
    pub fn url(&self) -> &str {
        match self {
            SinkConfig::Parquet { url, .. } => url,
        }
    }

    /// The same at another place.
    pub(super) fn at(self, url: &str) -> Self {
        match self {
            SinkConfig::Parquet { options, .. } => SinkConfig::Parquet { url: url.to_owned(), options },
        }
    }

    /// Whether the landing is there already.
    pub fn is_there(&self) -> bool {
        match self {
            SinkConfig::Parquet { url, .. } => ParquetSink::is_there(url),
        }
    }

    /// Writes where a landing of these partitions would, and leaves nothing behind.
    ///
    /// # Errors
    /// What a commit would end with, as far as that tells.
    pub fn try_writing(&self, of: &[TopicPartition]) -> Result<()> {
        match self {
            SinkConfig::Parquet { url, .. } => ParquetSink::try_writing(url, of),
        }
    }

    /// Opens it; one landing holds at most `memory_bytes`.
    pub(super) fn open(&self, memory_bytes: usize) -> Result<Arc<dyn Sink>> {
        match self {
            SinkConfig::Parquet { url, options } => {
                let options = ParquetSinkOptions { memory_bytes, ..options.clone() };
                Ok(Arc::new(ParquetSink::open(url, options)?))
            }
        }
    }
}

impl SinkConfig {
    /// Opens what has landed, to be read: nothing is made or changed. `None` where there is no landing.
    pub(super) fn open_to_read(&self) -> Result<Option<Arc<dyn Sink>>> {
        match self {
            SinkConfig::Parquet { url, .. } => {
                Ok(ParquetSink::open_to_read(url)?.map(|sink| Arc::new(sink) as Arc<dyn Sink>))
            }
        }
    }
}

/// Reads `[sink]`: `Some(None)` where there is none and none is needed.
pub(super) fn read(section: &Section<'_>, completeness: Completeness) -> Option<Option<SinkConfig>> {
    let parquet = section.section("parquet");
    section.finish();
    if section.has("parquet") {
        return read_parquet(&parquet).map(Some);
    }
    if completeness == Completeness::SourceOnly {
        return Some(None);
    }
    section.missing_whole(HOW_TO_NAME_ONE)
}

fn read_parquet(section: &Section<'_>) -> Option<SinkConfig> {
    let url = section.required_text("url", "the landing's place, such as \"file:landing\"");
    let mut options = ParquetSinkOptions::default();
    if let Some(level) = section.number("compression_level", 1..=22).and_then(|level| i32::try_from(level).ok()) {
        options.zstd_level = level;
    }
    if let Some(bytes) = section.size("row_group_size") {
        options.row_group_bytes = bytes;
    }
    section.finish();
    let url = url?;
    if let Err(error) = ParquetSink::look_at(&url, &options)
        && [ErrorKind::Config, ErrorKind::Unsupported].contains(&error.kind())
    {
        return section.wrong("url", told(&error));
    }
    Some(SinkConfig::Parquet { url, options })
}

pub(super) const HOW_TO_NAME_ONE: &str = "add [sink.parquet] with url = \"file:landing\"";
