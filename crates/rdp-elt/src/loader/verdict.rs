//! Why a run is ended from beside its lanes.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::source;
use crate::error::Error;
use crate::offset::Positions;

/// Why a lookout ends the run.
#[derive(Debug)]
pub(super) enum Verdict {
    /// The cluster does not have these topics any more.
    Gone(BTreeSet<Arc<str>>),
    /// A topic is not the one that it was.
    Changed(Error),
    /// The cluster has given neither an answer nor a record for as long as the options are patient.
    Silent(Error),
}

impl Verdict {
    /// The run's error, told once its lanes have ended and have landed what they land.
    pub(super) fn into_error(self, landed: &Positions) -> Error {
        match self {
            Verdict::Gone(topics) => source::gone(&topics, landed),
            Verdict::Changed(error) | Verdict::Silent(error) => error,
        }
    }
}
