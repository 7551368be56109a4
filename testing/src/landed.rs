//! What is in the landed files, read by landed.py: for a judge that knows by itself what should be.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;
use serde_json::{Value, json};

use crate::cache;
use crate::child::ChildProcess;

/// All landed files of one topic, by partition and start.
#[derive(Debug, Clone, Deserialize)]
pub struct Landed {
    /// The files that are where they belong.
    pub files: Vec<LandedFile>,
    /// Other Parquet files in the landing.
    pub strangers: Vec<String>,
}

/// One landed file.
#[derive(Debug, Clone, Deserialize)]
pub struct LandedFile {
    /// The partition.
    pub partition: i32,
    /// Where its range begins, by its name.
    pub start: i64,
    /// Where its range ends, by its ledger.
    pub end: i64,
    /// Where it is.
    pub path: PathBuf,
    /// What is wrong with it by itself.
    pub error: Option<String>,
    /// Of all its bytes.
    pub digest: String,
    /// The payload's columns.
    pub columns: Vec<String>,
    /// Its rows, in order.
    pub rows: Vec<LandedRow>,
}

/// One landed row. Bytes are told as text, a character per byte.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LandedRow {
    /// The record's offset.
    pub offset: i64,
    /// Its timestamp in milliseconds.
    pub timestamp: Option<i64>,
    /// Its key.
    pub key: Option<String>,
    /// Its value, where the row has kept it.
    pub value: Option<String>,
    /// Whether it is a tombstone.
    pub tombstone: bool,
    /// Whether it is quarantined.
    pub quarantined: bool,
    /// What the payload's columns say.
    pub payload: BTreeMap<String, Value>,
}

/// Reads the landed files of a topic.
///
/// # Panics
/// Where landed.py gives no answer.
pub fn read(landing: &Path, topic: &str) -> Landed {
    // One process answers everybody: starting Python takes longer than reading a landing.
    static READER: Mutex<Option<Reader>> = Mutex::new(None);
    let mut reader = READER.lock().unwrap_or_else(PoisonError::into_inner);
    let reader = reader.get_or_insert_with(Reader::start);
    reader.ask(&json!({ "landing": landing, "topic": topic }))
}

struct Reader {
    /// Killed when dropped.
    _process: ChildProcess,
    questions: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Reader {
    fn start() -> Self {
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("landed.py");
        let mut command = Command::new(cache::python());
        command.arg(&script).stdin(Stdio::piped()).stdout(Stdio::piped());
        let started = ChildProcess::spawn(command);
        let mut process = started.unwrap_or_else(|error| panic!("start {}: {error}", script.display()));
        let (questions, answers) = process.take_pipes().expect("both were just made pipes");
        Reader { _process: process, questions, answers: BufReader::new(answers) }
    }

    fn ask(&mut self, question: &Value) -> Landed {
        let mut answer = String::new();
        let asked = writeln!(self.questions, "{question}").and_then(|()| self.answers.read_line(&mut answer));
        asked.unwrap_or_else(|error| panic!("ask landed.py {question}: {error}"));
        serde_json::from_str(&answer).unwrap_or_else(|error| panic!("landed.py answers {question}: {error}\n{answer}"))
    }
}
