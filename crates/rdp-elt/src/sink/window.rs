//! What a sink is told of a poll window.

use super::Sources;
use crate::error::{Error, Result};
use crate::ledger::{SourceIdentity, WindowId};

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
