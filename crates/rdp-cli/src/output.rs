//! Data on stdout, in the form that was asked for.

use std::io::{self, Write};

use clap::ValueEnum;
use serde::Serialize;

use crate::exit::Failure;
use crate::table::Table;

/// The form of the data on stdout.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    /// Tables and text for a person
    Table,
    /// One JSON value
    Json,
    /// One JSON value per line
    Ndjson,
}

impl Output {
    /// Whether a person reads it.
    pub(crate) fn is_for_people(self) -> bool {
        self == Output::Table
    }

    /// Prints rows: the table for a person, the same rows as objects for a machine.
    pub(crate) fn rows<T: Serialize>(self, table: &Table, objects: &[T]) -> Result<(), Failure> {
        match self {
            Output::Table => text(&table.to_string()),
            Output::Json => write(|out| line(out, &objects)),
            Output::Ndjson => write(|out| objects.iter().try_for_each(|object| line(out, object))),
        }
    }

    /// Prints one object for a machine; a person gets nothing here.
    pub(crate) fn object(self, object: &impl Serialize) -> Result<(), Failure> {
        match self {
            Output::Table => Ok(()),
            Output::Json | Output::Ndjson => write(|out| line(out, object)),
        }
    }
}

/// Prints text for a person, with a line's end.
pub(crate) fn text(text: &str) -> Result<(), Failure> {
    write(|out| {
        out.write_all(text.as_bytes())?;
        if text.ends_with('\n') { Ok(()) } else { out.write_all(b"\n") }
    })
}

/// Whoever reads stdout may have seen enough: `rdp audit | head -1`. That is no error, and no reason to leave out what comes
/// behind, such as a verdict.
fn write(what: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<(), Failure> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    match what(&mut out).and_then(|()| out.flush()) {
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => Ok(written?),
    }
}

fn line(out: &mut dyn Write, object: &impl Serialize) -> io::Result<()> {
    // An error of the pipe has to stay one: serde_json would wrap it.
    let mut text = serde_json::to_vec(object)?;
    text.push(b'\n');
    out.write_all(&text)
}
