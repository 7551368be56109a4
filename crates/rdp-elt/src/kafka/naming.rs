//! Topics by name and by pattern: what a name may be, and which topics a pattern means.

use regex::Regex;

use super::builder::KafkaConsumerBuilder;
use crate::error::{Error, Result};

impl KafkaConsumerBuilder {
    /// Whether its names and patterns mean this topic.
    ///
    /// # Errors
    /// `Config` for a pattern that is no regular expression.
    pub(crate) fn means(&self, topic: &str) -> Result<bool> {
        if let Some(partitions) = self.assigned_partitions() {
            return Ok(partitions.iter().any(|partition| &*partition.topic == topic));
        }
        for name in self.topic_names() {
            let is_meant = if name.starts_with('^') { compile(name)?.is_match(topic) } else { name == topic };
            if is_meant {
                return Ok(true);
            }
        }
        Ok(false)
    }
}

/// Makes sure that a topic can have this name, or that a pattern is one.
///
/// # Errors
/// [`Config`](crate::ErrorKind::Config) where not.
pub(crate) fn check_topic(name: &str) -> Result<()> {
    if name.starts_with('^') {
        return compile(name).map(drop);
    }
    let is_plain = |letter: char| letter.is_ascii_alphanumeric() || "._-".contains(letter);
    let is_name = !name.is_empty() && name.len() <= LONGEST_NAME && ![".", ".."].contains(&name);
    if is_name && name.chars().all(is_plain) {
        return Ok(());
    }
    Err(Error::config(format!("no topic can be called {name:?}"))
        .with_help("a topic's name is up to 249 letters, digits, '.', '_' and '-'"))
}

/// Whether this is a pattern that means the topic.
pub(crate) fn pattern_means(pattern: &str, topic: &str) -> bool {
    pattern.starts_with('^') && compile(pattern).is_ok_and(|pattern| pattern.is_match(topic))
}

/// The pattern, which begins with `^`.
///
/// # Errors
/// `Config` where it is no regular expression.
pub(super) fn compile(pattern: &str) -> Result<Regex> {
    Regex::new(pattern).map_err(|error| {
        Error::config(format!("read topic pattern {pattern:?}"))
            .with_help("a topic that begins with ^ is a regular expression")
            .with_source(error)
    })
}

/// Kafka's bound.
const LONGEST_NAME: usize = 249;
