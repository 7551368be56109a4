//! One thing that goes wrong with a disk: in which call, on what, when, and for how long.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

/// A fault: `write:ENOSPC:temporary:3:ever`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The calls that it strikes.
    pub call: Call,
    /// What becomes of them.
    pub what: What,
    /// On what.
    pub place: Place,
    /// Which such call of the process is the first that it strikes; the first is 1.
    pub first: u64,
    /// For how long.
    pub length: Length,
}

/// A call on a file or a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Call {
    /// All of them.
    Any,
    /// `open` of what is there.
    Open,
    /// `open` of what is not.
    Create,
    /// `read`, `pread`.
    Read,
    /// `write`.
    Write,
    /// `fsync`, `fdatasync`; of folders too.
    Sync,
    /// `renameat2` that does not clobber: it gives landed files their names.
    Name,
    /// `rename`.
    Rename,
    /// `link`: instead of `Name` on a disk that cannot do that.
    Link,
    /// `mkdir`.
    Mkdir,
    /// `opendir`.
    List,
    /// `readdir`.
    Next,
    /// `stat`, `lstat`, `fstat`.
    Stat,
    /// `unlink`, `rmdir`.
    Unlink,
}

/// What becomes of a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum What {
    /// It is not done, and answered with this error.
    Error(&'static str),
    /// It is done, and answered with this error: as when an answer is lost on its way from a file server.
    DoneAndError(&'static str),
    /// It is done later.
    Slow(Duration),
    /// Half of what it was asked to read or write.
    Short,
}

/// What a call is made on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place {
    /// All that is in the landing, and its folder.
    Any,
    /// The landing's folder.
    Root,
    /// A topic's folder.
    Topic,
    /// A partition's folder.
    Partition,
    /// A claim, also one that is being written.
    Claim,
    /// A landed file.
    File,
    /// A file that is being written.
    Temporary,
}

/// For how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Length {
    /// So many such calls.
    Calls(u64),
    /// All such calls in this time.
    Time(Duration),
    /// For good.
    Ever,
}

impl Call {
    /// Every call.
    pub const ALL: [Call; 14] = [
        Call::Any,
        Call::Open,
        Call::Create,
        Call::Read,
        Call::Write,
        Call::Sync,
        Call::Name,
        Call::Rename,
        Call::Link,
        Call::Mkdir,
        Call::List,
        Call::Next,
        Call::Stat,
        Call::Unlink,
    ];
}

impl Place {
    /// Every place.
    pub const ALL: [Place; 7] =
        [Place::Any, Place::Root, Place::Topic, Place::Partition, Place::Claim, Place::File, Place::Temporary];
}

/// The errors of a disk, by name, and by the number and the words that Linux has for them.
const ERRORS: [(&str, i32); 26] = [
    ("EIO", libc::EIO),
    ("ENOSPC", libc::ENOSPC),
    ("EDQUOT", libc::EDQUOT),
    ("EACCES", libc::EACCES),
    ("EPERM", libc::EPERM),
    ("EROFS", libc::EROFS),
    ("EMFILE", libc::EMFILE),
    ("ENFILE", libc::ENFILE),
    ("ENOENT", libc::ENOENT),
    ("ESTALE", libc::ESTALE),
    ("EEXIST", libc::EEXIST),
    ("EINTR", libc::EINTR),
    ("EAGAIN", libc::EAGAIN),
    ("ENOMEM", libc::ENOMEM),
    ("EBUSY", libc::EBUSY),
    ("EXDEV", libc::EXDEV),
    ("ENAMETOOLONG", libc::ENAMETOOLONG),
    ("ETIMEDOUT", libc::ETIMEDOUT),
    ("ENOTEMPTY", libc::ENOTEMPTY),
    ("EINVAL", libc::EINVAL),
    ("ENOSYS", libc::ENOSYS),
    ("EFBIG", libc::EFBIG),
    ("EMLINK", libc::EMLINK),
    ("ENOTDIR", libc::ENOTDIR),
    ("ELOOP", libc::ELOOP),
    ("EHOSTDOWN", libc::EHOSTDOWN),
];

impl Fault {
    /// The name of the error that it answers with, where it does.
    pub fn error(&self) -> Option<&'static str> {
        match self.what {
            What::Error(name) | What::DoneAndError(name) => Some(name),
            What::Slow(_) | What::Short => None,
        }
    }

    /// What the system says of the error that it answers with, where it does.
    pub fn words(&self) -> Option<String> {
        let (_, number) = ERRORS.iter().find(|(name, _)| Some(*name) == self.error())?;
        Some(std::io::Error::from_raw_os_error(*number).to_string())
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Fault { call, what, place, first, length } = self;
        write!(out, "{}:{what}:{}:{first}:{length}", word(call), word(place))
    }
}

impl fmt::Display for What {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Error(name) => out.write_str(name),
            What::DoneAndError(name) => write!(out, "{name}+"),
            What::Slow(time) => write!(out, "slow{}", time.as_millis()),
            What::Short => out.write_str("short"),
        }
    }
}

impl fmt::Display for Length {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Length::Calls(count) => write!(out, "{count}"),
            Length::Time(time) => write!(out, "{}ms", time.as_millis()),
            Length::Ever => out.write_str("ever"),
        }
    }
}

impl FromStr for Fault {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let read = || {
            let parts: Vec<&str> = text.split(':').collect();
            let [call, what, place, first, length] = parts.try_into().ok()?;
            Some(Fault {
                call: Call::ALL.into_iter().find(|it| word(it) == call)?,
                what: read_what(what)?,
                place: Place::ALL.into_iter().find(|it| word(it) == place)?,
                first: first.parse().ok()?,
                length: match (length, length.strip_suffix("ms")) {
                    ("ever", _) => Length::Ever,
                    (_, Some(millis)) => Length::Time(Duration::from_millis(millis.parse().ok()?)),
                    (count, None) => Length::Calls(count.parse().ok()?),
                },
            })
        };
        read().ok_or_else(|| format!("{text:?} is no fault of a disk"))
    }
}

fn read_what(text: &str) -> Option<What> {
    let error = |text: &str| ERRORS.iter().find(|(name, _)| *name == text).map(|(name, _)| *name);
    match (text, text.strip_prefix("slow"), text.strip_suffix('+')) {
        ("short", ..) => Some(What::Short),
        (_, Some(millis), _) => Some(What::Slow(Duration::from_millis(millis.parse().ok()?))),
        (_, _, Some(name)) => error(name).map(What::DoneAndError),
        (name, ..) => error(name).map(What::Error),
    }
}

fn word(it: &impl fmt::Debug) -> String {
    format!("{it:?}").to_lowercase()
}
