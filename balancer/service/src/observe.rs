// SPDX-License-Identifier: Apache-2.0
//! Counters of the data plane, over a connection of their own: who looks does not keep changes waiting.

use berth_balancer_data::control::{Client, FlowFilter};
use berth_balancer_data::stats::{Draining, FlowInfo, Stats};
use std::fmt::Debug;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Counters that are so old are good enough: many who look cost no more than one.
const FRESH: Duration = Duration::from_millis(100);

/// Someone who has a data plane's counters.
pub trait Observe: Debug + Send {
    /// All counters.
    ///
    /// # Errors
    /// Why there are none, for people.
    fn stats(&mut self) -> Result<Stats, String>;

    /// Endpoints that left the table and still have connections.
    ///
    /// # Errors
    /// Why it is not known, for people.
    fn drains(&mut self) -> Result<Vec<Draining>, String>;

    /// Connections and flows.
    ///
    /// # Errors
    /// Why they are not known, for people.
    fn flows(&mut self, filter: FlowFilter) -> Result<Vec<FlowInfo>, String>;
}

/// The counters of the process at a control socket.
#[derive(Debug)]
pub struct Socket {
    path: PathBuf,
    client: Option<Client>,
}

impl Socket {
    /// The process that listens at a path, whichever that is.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, client: None }
    }

    /// Asks; once more with a new connection if the old one is of no more use.
    fn ask<T>(
        &mut self,
        ask: impl Fn(&mut Client) -> Result<T, berth_balancer_data::control::ClientError>,
    ) -> Result<T, String> {
        let mut fresh = false;
        loop {
            let client = match &mut self.client {
                Some(client) => client,
                None => {
                    fresh = true;
                    let client = Client::connect(&self.path).map_err(|error| error.to_string())?;
                    self.client.insert(client)
                }
            };
            match ask(client) {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    self.client = None;
                    if fresh {
                        return Err(error.to_string());
                    }
                }
            }
        }
    }
}

impl Observe for Socket {
    fn stats(&mut self) -> Result<Stats, String> {
        self.ask(Client::stats)
    }

    fn drains(&mut self) -> Result<Vec<Draining>, String> {
        self.ask(Client::drains)
    }

    fn flows(&mut self, filter: FlowFilter) -> Result<Vec<FlowInfo>, String> {
        self.ask(|client| client.flows(filter.clone()))
    }
}

/// Counters for whoever asks.
#[derive(Debug, Clone)]
pub struct Observer(Arc<Mutex<Cached>>);

#[derive(Debug)]
struct Cached {
    observe: Box<dyn Observe>,
    last: Option<(Instant, Arc<Stats>)>,
}

impl Observer {
    /// Shares what somebody has.
    #[must_use]
    pub fn new(observe: Box<dyn Observe>) -> Self {
        Self(Arc::new(Mutex::new(Cached { observe, last: None })))
    }

    /// All counters, a tenth of a second old at most.
    ///
    /// # Errors
    /// Why there are none, for people.
    pub async fn stats(&self) -> Result<Arc<Stats>, String> {
        self.blocking(|cached| {
            if let Some((at, stats)) = &cached.last
                && at.elapsed() < FRESH
            {
                return Ok(Arc::clone(stats));
            }
            let stats = Arc::new(cached.observe.stats()?);
            cached.last = Some((Instant::now(), Arc::clone(&stats)));
            Ok(stats)
        })
        .await
    }

    /// Endpoints that left the table and still have connections.
    ///
    /// # Errors
    /// Why it is not known, for people.
    pub async fn drains(&self) -> Result<Vec<Draining>, String> {
        self.blocking(|cached| cached.observe.drains()).await
    }

    async fn blocking<T: Send + 'static>(
        &self,
        ask: impl FnOnce(&mut Cached) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let cached = Arc::clone(&self.0);
        let asked = tokio::task::spawn_blocking(move || {
            ask(&mut cached.lock().unwrap_or_else(PoisonError::into_inner))
        });
        asked.await.unwrap_or_else(|error| Err(error.to_string()))
    }
}
