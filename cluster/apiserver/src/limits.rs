// SPDX-License-Identifier: Apache-2.0
//! How many requests run at a time, and that no user takes all the places. Leases always pass: a node that cannot renew its own
//! would be taken for dead.

use crate::ask::Ask;
use crate::server::Options;
use berth_cluster_api::Refusal;
use berth_cluster_auth::user::{MASTERS, User};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// How long a request waits for a place before it is sent away.
const PATIENCE: Duration = Duration::from_secs(5);

/// Places for requests.
#[derive(Debug)]
pub(crate) struct Limits {
    reading: Kind,
    writing: Kind,
    watchers: Arc<Mutex<BTreeMap<String, usize>>>,
    watches: usize,
}

#[derive(Debug)]
struct Kind {
    places: Arc<Semaphore>,
    all: usize,
    /// Places that one user may hold.
    share: usize,
    users: Arc<Mutex<BTreeMap<String, usize>>>,
}

/// A place; leaving gives it back.
#[derive(Debug)]
pub(crate) struct Place {
    _permit: OwnedSemaphorePermit,
    _counted: Counted,
}

/// A user's request that runs or waits, or a watch.
#[derive(Debug)]
pub(crate) struct Counted {
    user: String,
    users: Arc<Mutex<BTreeMap<String, usize>>>,
}

impl Drop for Counted {
    fn drop(&mut self) {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = users.get_mut(&self.user) {
            *count -= 1;
            if *count == 0 {
                users.remove(&self.user);
            }
        }
    }
}

impl Limits {
    pub(crate) fn new(options: &Options) -> Self {
        Self {
            reading: Kind::new(options.reading),
            writing: Kind::new(options.writing),
            watchers: Arc::default(),
            watches: options.watches,
        }
    }

    /// Counts a watch; 429 if its user has too many.
    pub(crate) fn watch(&self, user: &User) -> Result<Counted, Refusal> {
        let mut users = self.watchers.lock().unwrap_or_else(PoisonError::into_inner);
        let have = users.get(&user.name).copied().unwrap_or(0);
        if have >= self.watches && !user.is_in(MASTERS) {
            return Err(busy());
        }
        users.insert(user.name.clone(), have + 1);
        Ok(Counted { user: user.name.clone(), users: Arc::clone(&self.watchers) })
    }

    /// How many places are taken, for reading and for writing.
    pub(crate) fn running(&self) -> (usize, usize) {
        (self.reading.running(), self.writing.running())
    }

    /// Takes a place; 429 if there is none in time. `None` for a request that needs none.
    pub(crate) async fn enter(&self, ask: &Ask) -> Result<Option<Place>, Refusal> {
        // Nor does what the server and its administrators do wait behind others.
        if &*ask.kind.group == "coordination.k8s.io" || ask.user.is_in(MASTERS) {
            return Ok(None);
        }
        let kind = if ["get", "list"].contains(&ask.verb) { &self.reading } else { &self.writing };
        kind.enter(&ask.user.name).await.map(Some)
    }
}

impl Kind {
    fn new(places: usize) -> Self {
        let share = (places / 2).max(1);
        let free = Arc::new(Semaphore::new(places));
        Self { places: free, all: places, share, users: Arc::default() }
    }

    fn running(&self) -> usize {
        self.all.saturating_sub(self.places.available_permits())
    }

    async fn enter(&self, user: &str) -> Result<Place, Refusal> {
        let counted = self.count(user)?;
        let wait = Arc::clone(&self.places).acquire_owned();
        match tokio::time::timeout(PATIENCE, wait).await {
            Ok(Ok(permit)) => Ok(Place { _permit: permit, _counted: counted }),
            _ => Err(busy()),
        }
    }

    fn count(&self, user: &str) -> Result<Counted, Refusal> {
        let mut users = self.users.lock().unwrap_or_else(PoisonError::into_inner);
        let have = users.get(user).copied().unwrap_or(0);
        // While others find a place, one user may have more than its share.
        if have >= self.share && self.places.available_permits() < self.share {
            return Err(busy());
        }
        users.insert(user.to_owned(), have + 1);
        Ok(Counted { user: user.to_owned(), users: Arc::clone(&self.users) })
    }
}

fn busy() -> Refusal {
    Refusal::too_many_requests("Too many requests, please try again later.", 1)
}
