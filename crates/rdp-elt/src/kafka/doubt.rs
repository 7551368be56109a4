//! When an answer that nobody wants to hear is believed. A broker that has just started, that lags behind its controller or
//! that is about to stop says for a moment that a topic does not exist; a run that ended at the first such word would
//! blame the settings. So a refusal of the broker counts once look after look says the same, for some time.

use std::time::{Duration, Instant};

use rdkafka::types::RDKafkaErrorCode;

/// What the newest looks in a row have said of one thing.
#[derive(Debug, Default)]
pub(super) struct Doubt {
    told: Option<(RDKafkaErrorCode, Instant)>,
    looks: u32,
}

impl Doubt {
    /// Notes what one look said. Returns whether it is to be believed by now.
    pub(super) fn note(&mut self, code: RDKafkaErrorCode) -> bool {
        let since = match self.told {
            Some((told, since)) if told == code => since,
            _ => {
                self.clear();
                Instant::now()
            }
        };
        self.told = Some((code, since));
        self.looks += 1;
        self.looks >= LOOKS && since.elapsed() >= TIME
    }

    /// A look said something else.
    pub(super) fn clear(&mut self) {
        *self = Doubt::default();
    }
}

/// Whether a code is the broker's word; the others are librdkafka's own, which knows what it says.
pub(super) fn is_of_broker(code: RDKafkaErrorCode) -> bool {
    code as i32 > 0
}

/// How many looks have to agree.
const LOOKS: u32 = 4;
/// And over how long.
const TIME: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests {
    use super::*;

    fn told_long_ago(looks: u32) -> Doubt {
        let since = Instant::now().checked_sub(TIME).expect("the clock is that old");
        Doubt { told: Some((RDKafkaErrorCode::UnknownTopicOrPartition, since)), looks }
    }

    #[test]
    fn enough_looks_over_enough_time_are_believed() {
        assert!(!told_long_ago(LOOKS - 2).note(RDKafkaErrorCode::UnknownTopicOrPartition));
        assert!(told_long_ago(LOOKS - 1).note(RDKafkaErrorCode::UnknownTopicOrPartition));
        let mut quick = Doubt::default();
        assert!((0..LOOKS * 2).all(|_| !quick.note(RDKafkaErrorCode::UnknownTopicOrPartition)));
    }

    #[test]
    fn another_word_begins_anew() {
        let mut doubt = told_long_ago(LOOKS);
        assert!(!doubt.note(RDKafkaErrorCode::InvalidTopic));
        assert!(!doubt.note(RDKafkaErrorCode::UnknownTopicOrPartition));
        assert_eq!(doubt.looks, 1);
    }
}
