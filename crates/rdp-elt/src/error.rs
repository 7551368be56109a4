//! The one error of the crate. Its kind says what the caller does next; its text says what was being done, on what, and
//! how to mend it.

use std::error::Error as StdError;
use std::fmt;

/// The result of everything in this crate that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What the caller has to do about an [`Error`].
///
/// The same names are the Python exceptions, the C codes, the Java kinds and the exit codes of `rdp`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// Mend the settings: a key, a value or a combination is wrong.
    Config,
    /// Mend the credentials or the permissions.
    Denied,
    /// Try again: the broker, the disk or the network could not be used now.
    Unavailable,
    /// Look at the record: its bytes do not fit and the policy is `on_error = "fail"`.
    Data,
    /// Bring landing schema and sink together: they disagree.
    Schema,
    /// Reopen: another writer has landed at this position.
    Conflict,
    /// Decide what to do about the source: retention overtook the reader, or the topic was truncated or re-created.
    SourceChanged,
    /// Build with the feature, or do without: this build cannot do it.
    Unsupported,
    /// Report a bug.
    Internal,
}

impl ErrorKind {
    /// Every kind, in the order of the exit codes.
    pub const ALL: [ErrorKind; 9] = [
        ErrorKind::Config,
        ErrorKind::Denied,
        ErrorKind::Unavailable,
        ErrorKind::Data,
        ErrorKind::Schema,
        ErrorKind::Conflict,
        ErrorKind::SourceChanged,
        ErrorKind::Unsupported,
        ErrorKind::Internal,
    ];

    /// The name that every language shows.
    pub const fn as_str(self) -> &'static str {
        match self {
            ErrorKind::Config => "Config",
            ErrorKind::Denied => "Denied",
            ErrorKind::Unavailable => "Unavailable",
            ErrorKind::Data => "Data",
            ErrorKind::Schema => "Schema",
            ErrorKind::Conflict => "Conflict",
            ErrorKind::SourceChanged => "SourceChanged",
            ErrorKind::Unsupported => "Unsupported",
            ErrorKind::Internal => "Internal",
        }
    }

    /// The exit code of `rdp`: 10 for `Config`, then one more for each kind in the order of [`ErrorKind::ALL`].
    pub fn exit_code(self) -> u8 {
        let place = Self::ALL.iter().position(|kind| *kind == self).unwrap_or(Self::ALL.len());
        10 + u8::try_from(place).unwrap_or(u8::MAX - 10)
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.as_str())
    }
}

/// What went wrong: a [kind](ErrorKind), what was being done and on what, what to do next, and the cause.
pub struct Error(Box<Inner>);

struct Inner {
    kind: ErrorKind,
    message: String,
    help: Option<String>,
    source: Option<Box<dyn StdError + Send + Sync>>,
    of_missing_topic: bool,
}

impl Error {
    /// An error of this kind; `message` says what was being done and on what.
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Error(Box::new(Inner { kind, message: message.into(), help: None, source: None, of_missing_topic: false }))
    }

    /// A [`ErrorKind::Config`] error.
    pub fn config(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Config, message)
    }

    /// A [`ErrorKind::Unavailable`] error.
    pub fn unavailable(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Unavailable, message)
    }

    /// A [`ErrorKind::Internal`] error.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorKind::Internal, message)
    }

    /// Adds what the person who reads this should do next.
    #[must_use]
    pub fn with_help(mut self, help: impl Into<String>) -> Self {
        self.0.help = Some(help.into());
        self
    }

    /// Attaches the cause; its text is not repeated in the message.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        self.0.source = Some(source.into());
        self
    }

    /// Marks an answer of the cluster that it does not know a topic or a partition. Before a run that is a mistake in the
    /// settings; while one is on it may pass, after an election or a restart.
    #[must_use]
    pub(crate) fn of_missing_topic(mut self) -> Self {
        self.0.of_missing_topic = true;
        self
    }

    /// Whether the cluster says that it does not know the topic or the partition.
    pub(crate) fn is_of_missing_topic(&self) -> bool {
        self.0.of_missing_topic
    }

    /// What the caller does next.
    pub fn kind(&self) -> ErrorKind {
        self.0.kind
    }

    /// What was being done, and on what.
    pub fn message(&self) -> &str {
        &self.0.message
    }

    /// What to do next, where there is more to say than the kind does.
    pub fn help(&self) -> Option<&str> {
        self.0.help.as_deref()
    }

    /// Whether the same call may succeed later without anybody's doing.
    pub fn is_retryable(&self) -> bool {
        self.0.kind == ErrorKind::Unavailable
    }
}

/// The message; with `{:#}` what caused it too, in one line.
impl fmt::Display for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0.message)?;
        let mut cause = self.source().filter(|_| out.alternate());
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        Ok(())
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(out, "{}: {}", self.0.kind, self.0.message)?;
        let mut cause = self.source();
        while let Some(error) = cause {
            write!(out, ": {error}")?;
            cause = error.source();
        }
        match &self.0.help {
            Some(help) => write!(out, " (help: {help})"),
            None => Ok(()),
        }
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cause_is_told_where_it_is_asked_for() {
        let error = Error::unavailable("list folder: path=a").with_source(std::io::Error::other("it is on fire"));
        assert_eq!(error.to_string(), "list folder: path=a");
        assert_eq!(format!("{error:#}"), "list folder: path=a: it is on fire");
    }

    #[test]
    fn every_kind_has_an_exit_code_of_its_own() {
        let codes: std::collections::BTreeSet<u8> = ErrorKind::ALL.iter().map(|kind| kind.exit_code()).collect();
        assert_eq!(codes.len(), ErrorKind::ALL.len());
        assert_eq!(ErrorKind::Config.exit_code(), 10);
    }
}
