// SPDX-License-Identifier: Apache-2.0
//! Watching: who wants which events, and their queues. Publishing never waits for a reader.

use crate::entry::{Entry, Event};
use crate::shared::Shared;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// What a watcher wants to hear of.
#[derive(Debug, Clone, Default)]
pub struct Interest {
    /// Keys that begin so; empty, or ends in `/`.
    pub prefix: String,
    /// Only this key.
    pub key: Option<String>,
    /// Only objects that have, or had before the event, this value in this field.
    pub field: Option<(String, String)>,
}

impl Interest {
    /// Whether the event is of interest.
    pub fn wants(&self, event: &Event) -> bool {
        let key = &*event.entry.key;
        let named = self.key.as_deref().is_none_or(|wanted| wanted == key);
        named && key.starts_with(&self.prefix) && self.has_field(event)
    }

    fn has_field(&self, event: &Event) -> bool {
        let Some((name, value)) = &self.field else { return true };
        let has = |entry: &Arc<Entry>| entry.meta.field(name) == Some(value);
        has(&event.entry) || event.before.as_ref().is_some_and(has)
    }
}

/// Why a watch cannot begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum WatchError {
    /// Events after that revision are no longer known.
    #[error("the revision is too old; the oldest is {oldest}")]
    Compacted {
        /// The oldest revision to begin from.
        oldest: u64,
    },
    /// That revision is yet to come.
    #[error("the revision is in the future; the present one is {revision}")]
    Future {
        /// The present revision.
        revision: u64,
    },
}

/// Why a watch has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Ended {
    /// The reader was too slow for its budget.
    #[error("events came faster than they were read")]
    Overflow,
    /// The store was closed, or lost its place in the history.
    #[error("the store ended the watch")]
    Closed,
}

/// Events that wait for one reader.
#[derive(Debug)]
pub(crate) struct Queue {
    interest: Interest,
    budget: usize,
    content: Mutex<Content>,
    wake: Notify,
}

#[derive(Debug, Default)]
struct Content {
    events: VecDeque<(Arc<Event>, usize)>,
    bytes: usize,
    ended: Option<Ended>,
}

impl Queue {
    fn content(&self) -> MutexGuard<'_, Content> {
        self.content.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, event: &Arc<Event>) {
        let cost = event.cost();
        let mut content = self.content();
        if content.ended.is_some() {
            return;
        }
        let empty = content.events.is_empty();
        // One event is always taken: a budget smaller than an object would deliver nothing at all.
        if !empty && content.bytes + cost > self.budget {
            *content = Content { ended: Some(Ended::Overflow), ..Content::default() };
        } else {
            content.bytes += cost;
            content.events.push_back((Arc::clone(event), cost));
        }
        drop(content);
        if empty {
            self.wake.notify_one();
        }
    }

    fn end(&self, why: Ended) {
        self.content().ended.get_or_insert(why);
        self.wake.notify_one();
    }
}

/// A running watch. Dropping ends it.
#[derive(Debug)]
pub struct Watch {
    shared: Arc<Shared>,
    id: u64,
    queue: Arc<Queue>,
}

impl Watch {
    /// The next event. Safe to cancel.
    pub async fn next(&mut self) -> Result<Arc<Event>, Ended> {
        loop {
            if let Some(event) = self.try_next() {
                return Ok(event);
            }
            if let Some(ended) = self.queue.content().ended {
                return Err(ended);
            }
            self.queue.wake.notified().await;
        }
    }

    /// The next event, if there is one already.
    pub fn try_next(&mut self) -> Option<Arc<Event>> {
        let mut content = self.queue.content();
        let (event, cost) = content.events.pop_front()?;
        content.bytes -= cost;
        Some(event)
    }

    /// Every event of interest up to this revision has been returned.
    pub fn progress(&self) -> u64 {
        // Events are published under the state's lock, so none can come between the two looks.
        let state = self.shared.state();
        let content = self.queue.content();
        match content.events.front() {
            Some((event, _)) => event.revision - 1,
            // What an overflow threw away was not returned.
            None if content.ended.is_some() => 0,
            None => state.revision,
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.shared.state_mut().index.remove(self.id);
    }
}

/// Who wants what, so that an event finds its watchers without asking the others.
#[derive(Debug, Default)]
pub(crate) struct Index {
    all: BTreeMap<u64, Arc<Queue>>,
    keys: BTreeMap<String, Watchers>,
    places: BTreeMap<String, Place>,
    next: u64,
}

type Watchers = BTreeMap<u64, Arc<Queue>>;

#[derive(Debug, Default)]
struct Place {
    all: Watchers,
    fields: BTreeMap<String, BTreeMap<String, Watchers>>,
}

impl Index {
    /// How many watch.
    pub(crate) fn len(&self) -> usize {
        self.all.len()
    }

    /// Registers a watcher that has `replay` to read first. Those events lie in the history too, so they cost it nothing.
    pub(crate) fn add(
        &mut self,
        shared: &Arc<Shared>,
        interest: Interest,
        budget: usize,
        replay: VecDeque<Arc<Event>>,
    ) -> Watch {
        self.next += 1;
        let id = self.next;
        let events = replay.into_iter().map(|event| (event, 0)).collect();
        let content = Mutex::new(Content { events, ..Content::default() });
        let queue = Arc::new(Queue { interest, budget, content, wake: Notify::new() });
        self.all.insert(id, Arc::clone(&queue));
        self.watchers(&queue.interest).insert(id, Arc::clone(&queue));
        Watch { shared: Arc::clone(shared), id, queue }
    }

    fn watchers(&mut self, interest: &Interest) -> &mut Watchers {
        if let Some(key) = &interest.key {
            return self.keys.entry(key.clone()).or_default();
        }
        let place = self.places.entry(interest.prefix.clone()).or_default();
        match &interest.field {
            None => &mut place.all,
            Some((name, value)) => {
                let values = place.fields.entry(name.clone()).or_default();
                values.entry(value.clone()).or_default()
            }
        }
    }

    fn remove(&mut self, id: u64) {
        let Some(queue) = self.all.remove(&id) else { return };
        let interest = &queue.interest;
        self.watchers(interest).remove(&id);
        if let Some(key) = &interest.key {
            if self.keys.get(key).is_some_and(BTreeMap::is_empty) {
                self.keys.remove(key);
            }
            return;
        }
        let Some(place) = self.places.get_mut(&interest.prefix) else { return };
        if let Some((name, value)) = &interest.field
            && let Some(values) = place.fields.get_mut(name)
        {
            if values.get(value).is_some_and(BTreeMap::is_empty) {
                values.remove(value);
            }
            if values.is_empty() {
                place.fields.remove(name);
            }
        }
        if place.all.is_empty() && place.fields.is_empty() {
            self.places.remove(&interest.prefix);
        }
    }

    /// Hands an event to everybody who wants it.
    pub(crate) fn deliver(&self, event: &Arc<Event>) {
        if self.all.is_empty() {
            return;
        }
        let key = &*event.entry.key;
        if let Some(watchers) = self.keys.get(key) {
            for queue in watchers.values().filter(|queue| queue.interest.wants(event)) {
                queue.push(event);
            }
        }
        self.deliver_at("", event);
        for (at, _) in key.match_indices('/') {
            self.deliver_at(&key[..=at], event);
        }
    }

    fn deliver_at(&self, prefix: &str, event: &Arc<Event>) {
        let Some(place) = self.places.get(prefix) else { return };
        for queue in place.all.values() {
            queue.push(event);
        }
        if place.fields.is_empty() {
            return;
        }
        let push = |name: &str, value: &str| {
            let watchers = place.fields.get(name).and_then(|values| values.get(value));
            for queue in watchers.into_iter().flat_map(BTreeMap::values) {
                queue.push(event);
            }
        };
        for (name, value) in &event.entry.meta.fields {
            push(name, value);
        }
        for (name, value) in event.before.iter().flat_map(|before| &before.meta.fields) {
            // Who was told for the state after is not told again for the one before.
            if event.entry.meta.field(name) != Some(value) {
                push(name, value);
            }
        }
    }

    /// Ends all watches.
    pub(crate) fn end_all(&self, why: Ended) {
        for queue in self.all.values() {
            queue.end(why);
        }
    }
}
