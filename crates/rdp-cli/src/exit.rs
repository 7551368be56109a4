//! How a command ends other than well, and the exit code that says so.

use std::fmt::Write as _;
use std::io::{self, Write as _};

use rdp_elt::{Error, ErrorKind};

/// Why a command did not end well.
#[derive(Debug)]
pub(crate) enum Failure {
    /// The library said no.
    Error(Error),
    /// The audit found something that nothing explains.
    NotClean,
    /// Failed with this exit code, and why has been told already: by a child process, or in the output.
    Told(u8),
    /// Stopped at once by a second signal; the window in hand was given up.
    Stopped,
}

impl Failure {
    /// The process's exit code.
    pub(crate) fn exit_code(&self) -> u8 {
        match self {
            Failure::Error(error) => error.kind().exit_code(),
            Failure::NotClean => NOT_CLEAN,
            Failure::Told(code) => *code,
            Failure::Stopped => STOPPED,
        }
    }
}

/// Ends the process now. The usual way out frees what C libraries share while librdkafka's threads, of clients that wait for
/// a broker and that nobody waits for, still use it; and what is killed at any moment needs no goodbye.
pub(crate) fn leave(code: u8) -> ! {
    let _ = (io::stdout().flush(), io::stderr().flush());
    // SAFETY: it takes no pointer and does not return.
    unsafe { libc::_exit(i32::from(code)) }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Failure::Error(error)
    }
}

/// Errors of writing to stdout.
impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Failure::Error(Error::unavailable("write to stdout").with_source(error))
    }
}

/// The table of exit codes at the end of `--help`.
pub(crate) fn codes_help() -> String {
    let mut help = String::from("Exit codes:\n    0  all well\n    2  wrong arguments\n");
    let _ = writeln!(help, "{NOT_CLEAN:>5}  audit found something that nothing explains, or torture was not clean");
    for kind in ErrorKind::ALL {
        let _ = writeln!(help, "{:>5}  {:<14} {}", kind.exit_code(), kind.as_str(), advice(kind));
    }
    let _ = write!(help, "{STOPPED:>5}  stopped at once by a second signal; the next start goes on where files end");
    help
}

/// What to do about an error of this kind.
fn advice(kind: ErrorKind) -> &'static str {
    match kind {
        ErrorKind::Config => "mend the settings or the query",
        ErrorKind::Denied => "mend credentials or permissions",
        ErrorKind::Unavailable => "try again: broker, disk or network could not be used",
        ErrorKind::Data => "look at the record: its bytes do not fit, and on_error is fail",
        ErrorKind::Schema => "bring landing schema and sink together",
        ErrorKind::Conflict => "another writer has landed at this position: start again",
        ErrorKind::SourceChanged => "decide what to do: retention overtook, or the topic was made anew",
        ErrorKind::Unsupported => "this build cannot do it",
        _ => "report a bug",
    }
}

pub(crate) const NOT_CLEAN: u8 = 3;
pub(crate) const STOPPED: u8 = 130;
