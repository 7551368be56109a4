//! The line to a cluster: the client that look-ups go through, and a new one where it has gone deaf.
//!
//! A broker that was fenced (frozen past its session) answers with topics and without brokers. librdkafka then takes every
//! broker that it knows for gone, the bootstrap ones too, and never finds back. Nor is that the only way: so whatever
//! the reason, a client that answered once and does no more is given up.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::config::ClientConfig;

use super::admin::Admin;
use crate::error::Result;

/// Shared by whoever looks up; a renewed client is everybody's.
pub(super) struct Line {
    config: ClientConfig,
    client: Mutex<Option<Arc<Admin>>>,
}

impl Line {
    /// Opens a client; nothing is sent yet.
    pub(super) fn open(config: ClientConfig) -> Result<Self> {
        let line = Line { config, client: Mutex::default() };
        line.client()?;
        Ok(line)
    }

    /// Asks within `wait`. Where the client that answered before is silent now, half of the time is a new one's.
    pub(super) fn ask<T>(&self, wait: Duration, ask: impl Fn(&Admin, Duration) -> Result<T>) -> Result<T> {
        let deadline = Instant::now() + wait;
        let client = self.client()?;
        let has_answered = client.has_answered();
        let outcome = ask(&client, if has_answered { wait / 2 } else { wait });
        match outcome {
            Err(error) if error.is_retryable() => {
                self.give_up(&client);
                drop(client);
                let left = deadline.saturating_duration_since(Instant::now());
                if !has_answered || left.is_zero() {
                    return Err(error);
                }
                tracing::debug!(%error, "a look-up was not answered: asked again by a new client");
                let client = self.client()?;
                let outcome = ask(&client, left);
                if outcome.as_ref().is_err_and(crate::Error::is_retryable) {
                    self.give_up(&client);
                }
                outcome
            }
            outcome => outcome,
        }
    }

    /// As [`ask`](Self::ask), for what must not be sent twice.
    pub(super) fn ask_once<T>(&self, wait: Duration, ask: impl FnOnce(&Admin, Duration) -> Result<T>) -> Result<T> {
        let client = self.client()?;
        let outcome = ask(&client, wait);
        if outcome.as_ref().is_err_and(crate::Error::is_retryable) {
            self.give_up(&client);
        }
        outcome
    }

    fn client(&self) -> Result<Arc<Admin>> {
        let mut current = self.lock();
        if let Some(client) = &*current {
            return Ok(Arc::clone(client));
        }
        let client = Arc::new(Admin::new(&self.config)?);
        *current = Some(Arc::clone(&client));
        Ok(client)
    }

    /// The next to ask opens a new client, unless somebody has done so already.
    fn give_up(&self, client: &Arc<Admin>) {
        let mut current = self.lock();
        if current.as_ref().is_some_and(|current| Arc::ptr_eq(current, client)) {
            *current = None;
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<Arc<Admin>>> {
        self.client.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;

    use super::*;
    use crate::error::Error;
    use crate::kafka::EmbeddedBroker;

    #[test]
    fn a_client_that_answered_once_and_does_no_more_is_replaced_within_the_call() {
        let broker = EmbeddedBroker::start().expect("starts");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", broker.brokers());
        let line = Line::open(config).expect("opened");
        let reach = |client: &Admin, wait| client.reach("reach it", wait);
        line.ask(Duration::from_secs(10), reach).expect("answered");
        let deaf = line.client().expect("open");
        let hear = |client: &Admin, wait| match std::ptr::eq(client, &*deaf) {
            true => Err(Error::unavailable("it does not hear")),
            false => reach(client, wait),
        };
        line.ask(Duration::from_secs(10), hear).expect("a new client hears");
        assert!(!Arc::ptr_eq(&deaf, &line.client().expect("open")), "and it is everybody's from now on");
    }

    #[test]
    fn a_client_that_hears_nothing_is_given_up_quickly() {
        // Takes connections and never answers.
        let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
        let address = silent.local_addr().expect("bound");
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", address.to_string());
        let line = Line::open(config).expect("opened");
        let asked = line.ask(Duration::from_secs(2), |client, wait| client.reach("reach it", wait));
        assert!(asked.is_err_and(|error| error.is_retryable()));
        assert!(line.lock().is_none(), "the next to ask opens a new client");
        let client = line.client().expect("opened");
        assert!(client.reach("reach it", Duration::from_secs(1)).is_err());
        line.give_up(&client);
        let began = Instant::now();
        drop(client);
        assert!(began.elapsed() < Duration::from_secs(1), "whoever asks waits for it: {:?}", began.elapsed());
    }
}
