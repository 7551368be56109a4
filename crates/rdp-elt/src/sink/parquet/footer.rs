//! What a landed file says of itself: the ledger entry and the checksums in its footer, and how they are read back.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

use arrow::datatypes::SchemaRef;
use parquet::arrow::parquet_to_arrow_schema;
use parquet::file::FOOTER_SIZE;
use parquet::file::metadata::{FooterTail, KeyValue, ParquetMetaData, ParquetMetaDataReader};
use serde::{Deserialize, Serialize};

use super::file::{CHECKSUM, Checksum};
use crate::error::{Error, ErrorKind, Result};
use crate::sink::LedgerEntry;
use crate::trouble;

/// The key of the ledger entry in the footer's metadata.
pub(super) const LEDGER: &str = "rdp.ledger";

/// The form of the ledger entry. A reader refuses a form that it does not know.
const FORMAT: u32 = 1;

#[derive(Serialize, Deserialize)]
struct Stored<'a> {
    format: u32,
    #[serde(flatten)]
    entry: std::borrow::Cow<'a, LedgerEntry>,
}

/// A landed file's footer, proved unaltered.
#[derive(Debug)]
pub(super) struct Footer {
    /// The entry, with the file's path as its location.
    pub(super) entry: LedgerEntry,
    metadata: ParquetMetaData,
}

/// The entry as metadata of a footer. The location is left out: the file may be moved with its landing.
pub(super) fn ledger_metadata(entry: &LedgerEntry) -> Result<KeyValue> {
    let stored = Stored { format: FORMAT, entry: std::borrow::Cow::Borrowed(entry) };
    let text = serde_json::to_string(&stored)
        .map_err(|error| Error::internal("write a ledger entry as JSON").with_source(error))?;
    Ok(KeyValue::new(LEDGER.to_owned(), text))
}

impl Footer {
    /// Reads the end of a file. It costs one read of about [`TAIL_BYTES`], however large the file is.
    ///
    /// # Errors
    /// [`Data`](ErrorKind::Data) where the file is truncated, altered or not RDP's.
    pub(super) fn read(path: &Path) -> Result<Self> {
        let mut file = open(path)?;
        Self::read_from(&mut file, path)
    }

    fn read_from(file: &mut File, path: &Path) -> Result<Self> {
        let end = End::read(file, TAIL_BYTES, path)?;
        let Some((_, marker)) = end.bytes.split_last_chunk::<FOOTER_SIZE>() else {
            return Err(trouble::damaged(path, format!("it is {} bytes long", end.file_length)));
        };
        let length = FooterTail::try_from(*marker)
            .map_err(|error| trouble::damaged(path, "it has no Parquet footer").with_source(error))?
            .metadata_length() as u64;
        let end = end.reaching_back(length.saturating_add(FOOTER_SIZE as u64), file, path)?;
        let from = end.bytes.len() - FOOTER_SIZE - length as usize;
        let metadata = ParquetMetaDataReader::decode_metadata(&end.bytes[from..end.bytes.len() - FOOTER_SIZE])
            .map_err(|error| trouble::damaged(path, "its footer cannot be read").with_source(error))?;

        let (Some(ledger), Some(checksum)) = (text_of(&metadata, LEDGER), text_of(&metadata, CHECKSUM)) else {
            return Err(trouble::foreign(path, "its footer has no ledger entry"));
        };
        let checksum = Checksum::parse(checksum)
            .ok_or_else(|| trouble::damaged(path, format!("its checksum {checksum:?} is not one")))?;
        let tail_length = end.file_length.saturating_sub(checksum.data_length);
        let end = end.reaching_back(tail_length, file, path)?;
        if !checksum.matches_tail(&end.bytes[end.bytes.len() - tail_length as usize..]) {
            return Err(trouble::damaged(path, "its footer is not what was written (checksum)"));
        }
        Ok(Footer { entry: parse_entry(ledger, path)?, metadata })
    }

    /// The columns of the file.
    pub(super) fn schema(&self, path: &Path) -> Result<SchemaRef> {
        let file = self.metadata.file_metadata();
        parquet_to_arrow_schema(file.schema_descr(), file.key_value_metadata())
            .map(SchemaRef::new)
            .map_err(|error| trouble::damaged(path, "its columns cannot be read").with_source(error))
    }
}

/// Opens a landed file. What is no file, such as a pipe that nobody writes to, would be waited for.
fn open(path: &Path) -> Result<File> {
    let failed = |error| trouble::disk("read a landed file", path, error);
    match fs::metadata(path).map_err(failed)?.is_file() {
        true => File::open(path).map_err(failed),
        false => Err(trouble::damaged(path, "it is no file")),
    }
}

fn parse_entry(text: &str, path: &Path) -> Result<LedgerEntry> {
    let stored: Stored<'_> = serde_json::from_str(text)
        .map_err(|error| trouble::damaged(path, "its ledger entry cannot be read").with_source(error))?;
    if stored.format != FORMAT {
        let message = format!("read a landed file: path={}: ledger format {}", path.display(), stored.format);
        return Err(Error::new(ErrorKind::Unsupported, message)
            .with_help(format!("this RDP reads format {FORMAT}: use the RDP that wrote the file, or a newer one")));
    }
    let mut entry = stored.entry.into_owned();
    entry.location = path.display().to_string();
    Ok(entry)
}

fn text_of<'a>(metadata: &'a ParquetMetaData, key: &str) -> Option<&'a str> {
    metadata.file_metadata().key_value_metadata()?.iter().find(|pair| pair.key == key)?.value.as_deref()
}

/// The last bytes of a file.
struct End {
    file_length: u64,
    bytes: Vec<u8>,
}

impl End {
    fn read(file: &mut File, wanted: u64, path: &Path) -> Result<Self> {
        let failed = |error| trouble::disk("read a landed file", path, error);
        let file_length = file.metadata().map_err(failed)?.len();
        let mut bytes = Vec::new();
        file.seek(SeekFrom::Start(file_length.saturating_sub(wanted))).map_err(failed)?;
        file.take(wanted).read_to_end(&mut bytes).map_err(failed)?;
        Ok(End { file_length, bytes })
    }

    /// The same with at least so many bytes.
    fn reaching_back(self, wanted: u64, file: &mut File, path: &Path) -> Result<Self> {
        if self.bytes.len() as u64 >= wanted {
            return Ok(self);
        }
        let end = if wanted <= self.file_length { Self::read(file, wanted, path)? } else { self };
        if (end.bytes.len() as u64) < wanted {
            return Err(trouble::damaged(path, format!("it is {} bytes long and was longer", end.file_length)));
        }
        Ok(end)
    }
}

const TAIL_BYTES: u64 = 32 << 10;
