// SPDX-License-Identifier: Apache-2.0
//! A kind that is followed: what is there now, and every change in order, for as many as want to know.

use crate::api::Api;
use crate::cache::{Change, Id, Item, Known};
use crate::line::View;
use crate::reflector::{self, Resource};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;
use tokio::sync::{Notify, mpsc};
use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};

/// How often it is looked whether a revision is reached.
const LOOK: Duration = Duration::from_millis(5);

/// Objects of a kind, kept up to date while a handle of it is left.
#[derive(Debug)]
pub struct Informer<V>(Arc<Running<V>>);

impl<V> Clone for Informer<V> {
    fn clone(&self) -> Self {
        Self(Arc::clone(&self.0))
    }
}

#[derive(Debug)]
struct Running<V> {
    shared: Arc<Shared<V>>,
    task: JoinHandle<()>,
}

impl<V> Drop for Running<V> {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What the reflector writes and others read.
#[derive(Debug)]
pub(crate) struct Shared<V> {
    state: Mutex<State<V>>,
    synced: AtomicBool,
    /// Wakes who waits for that, in the order in which they came: the same seed gives the same run.
    told: Notify,
    /// Everything up to this revision is taken in; 0 while nothing is, or where revisions are no numbers.
    reached: AtomicU64,
}

#[derive(Debug)]
struct State<V> {
    known: Known<V>,
    subscribers: Vec<mpsc::UnboundedSender<Change<V>>>,
    /// Until when all that happened is shown; none while a watch is open, which shows all as it happens.
    shown: Option<Instant>,
}

impl<V> Shared<V> {
    pub(crate) fn new() -> Arc<Self> {
        let shown = Some(Instant::now());
        let state = State { known: Known::default(), subscribers: Vec::new(), shown };
        Arc::new(Self {
            state: Mutex::new(state),
            synced: AtomicBool::new(false),
            told: Notify::new(),
            reached: AtomicU64::new(0),
        })
    }

    fn state(&self) -> MutexGuard<'_, State<V>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tell(&self, change: impl FnOnce(&mut Known<V>) -> Vec<Change<V>>) {
        let mut state = self.state();
        let changes = change(&mut state.known);
        if changes.is_empty() {
            return;
        }
        // Who does not listen any more is forgotten.
        state.subscribers.retain(|to| changes.iter().all(|one| to.send(one.clone()).is_ok()));
    }

    pub(crate) fn set(&self, item: Arc<Item<V>>) {
        self.tell(|known| known.set(item));
    }

    pub(crate) fn remove(&self, id: &Id) {
        self.tell(|known| known.remove(id));
    }

    /// A watch is open, or no longer.
    pub(crate) fn watches(&self, open: bool) {
        self.state().shown = (!open).then(Instant::now);
    }

    /// All that happened up to this revision is taken in.
    pub(crate) fn reached(&self, revision: &str) {
        self.reached.store(revision.parse().unwrap_or(0), Ordering::Release);
    }

    pub(crate) fn replace(&self, items: Vec<Arc<Item<V>>>) {
        self.tell(|known| known.replace(items));
        self.state().shown = Some(Instant::now());
        self.synced.store(true, Ordering::Release);
        self.told.notify_waiters();
    }
}

impl<V: View> Informer<V> {
    /// Begins to follow a kind. `seed` decides how long it waits after failures, so that not all come back at once.
    pub fn start(api: Api, resource: Resource, seed: u64) -> Self {
        let shared = Shared::new();
        let to: Weak<Shared<V>> = Arc::downgrade(&shared);
        let task = tokio::spawn(reflector::follow(api, resource, to, seed));
        Self(Arc::new(Running { shared, task }))
    }

    /// Waits until what was there at the beginning is known.
    pub async fn synced(&self) {
        let shared = &self.0.shared;
        let told = shared.told.notified();
        // Whoever looked before the flag was raised is woken after it.
        if !shared.synced.load(Ordering::Acquire) {
            told.await;
        }
    }

    /// Waits, but not longer than this, until it shows all that happened up to a revision of the API; whether it does. Revisions of all
    /// kinds are numbers that can be compared (KEP-5504).
    pub async fn reaches(&self, revision: u64, patience: Duration) -> bool {
        let end = Instant::now() + patience;
        loop {
            let shared = &self.0.shared;
            if shared.synced.load(Ordering::Acquire)
                && shared.reached.load(Ordering::Acquire) >= revision
            {
                return true;
            }
            if Instant::now() >= end {
                return false;
            }
            sleep(LOOK).await;
        }
    }

    /// An object.
    pub fn get(&self, namespace: &str, name: &str) -> Option<Arc<Item<V>>> {
        self.0.shared.state().known.get(namespace, name)
    }

    /// All objects, by namespace and name.
    pub fn all(&self) -> Vec<Arc<Item<V>>> {
        self.0.shared.state().known.all()
    }

    /// How old what it shows is at most: who has heard nothing from the API for a while must not take silence for the end of what is silent.
    pub fn age(&self) -> Duration {
        self.0.shared.state().shown.map_or(Duration::ZERO, |shown| shown.elapsed())
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.shared.state().known.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All changes from now on, and before them what is there, as new.
    pub fn subscribe(&self) -> Subscription<V> {
        let (send, receive) = mpsc::unbounded_channel();
        let mut state = self.0.shared.state();
        for item in state.known.all() {
            // The receiver is there.
            drop(send.send(Change { before: None, after: Some(item) }));
        }
        state.subscribers.push(send);
        Subscription(receive)
    }
}

/// Changes in the order in which they happened. None is lost: who subscribes has to read.
#[derive(Debug)]
pub struct Subscription<V>(mpsc::UnboundedReceiver<Change<V>>);

impl<V> Subscription<V> {
    /// The next change; none once the informer is gone.
    pub async fn next(&mut self) -> Option<Change<V>> {
        self.0.recv().await
    }

    /// Appends changes that are there, at most so many; waits for one if there are none. Returns how many: 0 once the informer is gone.
    pub async fn next_many(&mut self, changes: &mut Vec<Change<V>>, most: usize) -> usize {
        self.0.recv_many(changes, most).await
    }

    /// A change, if there is one now.
    pub fn try_next(&mut self) -> Option<Change<V>> {
        self.0.try_recv().ok()
    }
}
