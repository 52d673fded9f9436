// SPDX-License-Identifier: Apache-2.0
//! What all back ends share: the durable state and its lock, and what is sequenced but not durable yet.

use crate::entry::{Entry, Event};
use crate::state::State;
use crate::txn::{CommitError, Op, Txn};
use crate::watch::Ended;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};
use tokio::sync::watch;

/// The state, and what is about to become part of it.
#[derive(Debug)]
pub(crate) struct Shared {
    state: RwLock<State>,
    pending: Mutex<Pending>,
    published: watch::Sender<u64>,
}

/// The newest sequenced state of keys that have something under way; `None` is a deletion.
type Pending = BTreeMap<Arc<str>, (u64, Option<Arc<Entry>>)>;

impl Shared {
    pub(crate) fn new(state: State) -> Arc<Self> {
        let published = watch::Sender::new(state.revision);
        let (state, pending) = (RwLock::new(state), Mutex::default());
        Arc::new(Self { state, pending, published })
    }

    /// Begins with another state, before anybody has seen this one.
    pub(crate) fn begin(&self, state: State) {
        self.published.send_replace(state.revision);
        *self.state_mut() = state;
    }

    /// Puts another state in the place of this one. Who watches cannot be told what lies between, and begins anew.
    pub(crate) fn replace(&self, revision: u64, entries: Vec<Entry>) {
        let mut state = self.state_mut();
        state.index.end_all(Ended::Closed);
        state.reset(revision, entries);
        let revision = state.revision;
        drop(state);
        self.published.send_replace(revision);
    }

    pub(crate) fn state(&self) -> RwLockReadGuard<'_, State> {
        self.state.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn state_mut(&self) -> RwLockWriteGuard<'_, State> {
        self.state.write().unwrap_or_else(PoisonError::into_inner)
    }

    fn pending(&self) -> MutexGuard<'_, Pending> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Tells when the published revision changes.
    pub(crate) fn published(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// The newest sequenced state of a key.
    pub(crate) fn latest(&self, key: &str) -> Option<Arc<Entry>> {
        // What leaves the pending ones is in the state before that, so this order misses nothing.
        if let Some((_, entry)) = self.pending().get(key) {
            return entry.clone();
        }
        self.state().get(key)
    }

    /// Makes the events of one revision part of the state, and tells the watchers.
    pub(crate) fn publish(&self, events: &[Arc<Event>], revision: u64) {
        let mut state = self.state_mut();
        for event in events {
            state.apply(event);
        }
        state.revision = state.revision.max(revision);
        drop(state);
        self.published.send_replace(revision);
    }

    /// Notes what was sequenced.
    pub(crate) fn note(&self, events: &[Arc<Event>]) {
        let mut pending = self.pending();
        for event in events {
            let entry = (!event.deleted).then(|| Arc::clone(&event.entry));
            pending.insert(Arc::clone(&event.entry.key), (event.revision, entry));
        }
    }

    /// Whether something of a key, or of any, is sequenced and not durable yet.
    pub(crate) fn is_under_way(&self, key: Option<&str>) -> bool {
        let pending = self.pending();
        key.map_or(!pending.is_empty(), |key| pending.contains_key(key))
    }

    /// Forgets what is no longer under way.
    pub(crate) fn settle(&self, events: &[Arc<Event>]) {
        let mut pending = self.pending();
        for event in events {
            let key = &event.entry.key;
            if pending.get(key).is_some_and(|(revision, _)| *revision == event.revision) {
                pending.remove(key);
            }
        }
    }

    /// Checks a transaction against the newest sequenced state, and makes its events. The caller sequences: nobody else may be
    /// between this and [`Shared::note`] or [`Shared::publish`].
    pub(crate) fn prepare(&self, txn: Txn, revision: u64) -> Result<Vec<Arc<Event>>, CommitError> {
        once_each(&txn.ops)?;
        let before = self.before(&txn)?;
        let ops = txn.ops.into_iter().zip(before);
        ops.map(|(op, before)| Ok(Arc::new(event(op, before, revision)?))).collect()
    }

    /// What the operations find, if all that is compared is as it should be.
    fn before(&self, txn: &Txn) -> Result<Vec<Option<Arc<Entry>>>, CommitError> {
        let (pending, state) = (self.pending(), self.state());
        let latest = |key: &str| match pending.get(key) {
            Some((_, entry)) => entry.clone(),
            None => state.get(key),
        };
        let mut compared = Vec::with_capacity(txn.compares.len());
        for compare in &txn.compares {
            let current = latest(&compare.key);
            if current.as_ref().map_or(0, |entry| entry.revision) != compare.revision {
                return Err(CommitError::Conflict { key: compare.key.clone(), current });
            }
            compared.push((compare.key.as_str(), current));
        }
        let known = |key: &str| compared.iter().find(|(known, _)| *known == key);
        let find = |op: &Op| match known(op.key()) {
            Some((_, entry)) => entry.clone(),
            None => latest(op.key()),
        };
        Ok(txn.ops.iter().map(find).collect())
    }
}

/// Refuses a transaction that changes a key twice.
pub(crate) fn once_each(ops: &[Op]) -> Result<(), CommitError> {
    if ops.len() < 2 {
        return Ok(());
    }
    let mut keys: Vec<&str> = ops.iter().map(Op::key).collect();
    keys.sort_unstable();
    match keys.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(CommitError::Failed(format!("the key {} is changed twice", pair[0]))),
        None => Ok(()),
    }
}

/// What an operation does to a key.
fn event(op: Op, before: Option<Arc<Entry>>, revision: u64) -> Result<Event, CommitError> {
    match op {
        Op::Put { key, body, meta } => {
            let Some(bytes) = body.finish(revision) else {
                return Err(CommitError::Failed(format!("the body of {key} has no such hole")));
            };
            let (key, created) = match &before {
                Some(before) => (Arc::clone(&before.key), before.created),
                None => (key.into(), revision),
            };
            let (hole, meta) = (body.hole, Arc::new(meta));
            let entry = Entry { key, revision, created, bytes, hole, meta };
            Ok(Event::new(Arc::new(entry), before, false))
        }
        Op::Delete { key } => match before {
            Some(before) => Ok(Event::new(Arc::new(before.at(revision)), Some(before), true)),
            None => Err(CommitError::Conflict { key, current: None }),
        },
    }
}
