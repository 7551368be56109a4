//! The name of a poll window, and what a sink is told of it.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{SourceIdentity, Sources};
use crate::error::{Error, Result};

/// The name of one poll window, unique over all time.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct WindowId(Arc<str>);

impl WindowId {
    /// A new name (UUID version 7, so that names sort by time).
    pub fn generate() -> Self {
        WindowId(uuid::Uuid::now_v7().to_string().into())
    }

    /// The name's text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for WindowId {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(&self.0)
    }
}

/// What a sink is told of a window when its landing is opened.
#[derive(Debug, Clone)]
pub struct WindowInfo {
    /// The window's name.
    pub id: WindowId,
    /// The identities of the topics that it may hold. Topics may be noted while it is open, before rows of them come; a
    /// sink asks for an identity when it makes rows whole, and not before.
    pub sources: Sources,
}

impl WindowInfo {
    /// The identity of a topic of which there are rows in the window.
    ///
    /// # Errors
    /// [`Internal`](crate::ErrorKind::Internal) where it was never noted: rows without an identity would hide that their
    /// topic was made anew.
    pub fn source(&self, topic: &str) -> Result<SourceIdentity> {
        self.sources.get(topic).ok_or_else(|| {
            Error::internal(format!("land window {}: nobody has noted which topic {topic} it is", self.id))
        })
    }
}
