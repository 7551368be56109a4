//! librdkafka tells of connections that fail only in passing, by error events and log lines, while the call that waits
//! for them just times out. This keeps the last one, so that a timeout can say why.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::types::RDKafkaErrorCode;

use super::error::from_code;
use super::secrets::told;
use crate::error::{Error, ErrorKind};

/// A client's context that remembers the last trouble and sends librdkafka's log to ours.
#[derive(Debug, Default)]
pub(crate) struct Watch {
    trouble: Mutex<Trouble>,
}

#[derive(Debug, Default, Clone)]
struct Trouble {
    /// Why a connection failed: the newest reason that is about one.
    reason: Option<(RDKafkaErrorCode, String)>,
    /// librdkafka has said that no broker is left to try.
    all_down: bool,
}

impl Watch {
    /// Forgets what happened before the call that begins now.
    pub(crate) fn clear(&self) {
        *self.lock() = Trouble::default();
    }

    /// How long waiting makes sense by what is known; `None` for as long as one likes. The trouble may be from before the
    /// call, since librdkafka tells the same trouble once only: so there is always a moment for a broker that is back.
    pub(crate) fn patience(&self) -> Option<Duration> {
        let trouble = self.lock();
        if trouble.all_down {
            return Some(HOPELESS);
        }
        let (code, reason) = trouble.reason.as_ref()?;
        match from_code("", *code, Some(reason)).kind() {
            ErrorKind::Unavailable => Some(UNREACHABLE),
            _ => Some(HOPELESS),
        }
    }

    /// The error of a call that timed out: why, where librdkafka has said so.
    pub(crate) fn timeout(&self, doing: &str) -> Error {
        match self.lock().reason.clone() {
            Some((code, reason)) => from_code(doing, code, Some(&reason)),
            None => from_code(doing, RDKafkaErrorCode::OperationTimedOut, Some("no broker answered in time")),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Trouble> {
        self.trouble.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ClientContext for Watch {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        let message = told(message);
        match level {
            RDKafkaLogLevel::Emerg | RDKafkaLogLevel::Alert | RDKafkaLogLevel::Critical | RDKafkaLogLevel::Error => {
                tracing::warn!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Warning | RDKafkaLogLevel::Notice => {
                tracing::info!(target: "librdkafka", facility, "{message}");
            }
            RDKafkaLogLevel::Info | RDKafkaLogLevel::Debug => {
                tracing::debug!(target: "librdkafka", facility, "{message}");
            }
        }
    }

    fn error(&self, error: KafkaError, reason: &str) {
        let code = error.rdkafka_error_code().unwrap_or(RDKafkaErrorCode::Unknown);
        tracing::debug!(target: "librdkafka", %code, "{}", told(reason));
        let mut trouble = self.lock();
        match code {
            RDKafkaErrorCode::AllBrokersDown => trouble.all_down = true,
            // A refusal says more than the disconnects that follow it.
            _ if trouble.reason.as_ref().is_some_and(|(known, _)| is_refusal(*known)) && !is_refusal(code) => {}
            _ => trouble.reason = Some((code, reason.to_owned())),
        }
    }
}

fn is_refusal(code: RDKafkaErrorCode) -> bool {
    matches!(
        code,
        RDKafkaErrorCode::Authentication | RDKafkaErrorCode::SSL | RDKafkaErrorCode::UnsupportedSASLMechanism
    )
}

/// The broker refuses us, or none is left to try.
const HOPELESS: Duration = Duration::from_secs(2);
/// A broker cannot be reached; another may answer, or a new leader be elected.
const UNREACHABLE: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_outlives_the_disconnects_that_follow_it() {
        let watch = Watch::default();
        watch.error(KafkaError::Global(RDKafkaErrorCode::Authentication), "SASL authentication failed");
        watch.error(KafkaError::Global(RDKafkaErrorCode::BrokerTransportFailure), "Disconnected");
        assert_eq!(watch.patience(), Some(HOPELESS));
        assert_eq!(watch.timeout("list topics").kind(), ErrorKind::Denied);
    }

    #[test]
    fn a_cleared_watch_knows_only_that_nobody_answered() {
        let watch = Watch::default();
        watch.error(KafkaError::Global(RDKafkaErrorCode::AllBrokersDown), "1/1 brokers are down");
        assert_eq!(watch.patience(), Some(HOPELESS));
        watch.clear();
        assert_eq!(watch.patience(), None);
        assert_eq!(watch.timeout("list topics").kind(), ErrorKind::Unavailable);
    }
}
