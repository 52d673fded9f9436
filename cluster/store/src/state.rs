// SPDX-License-Identifier: Apache-2.0
//! The durable state: objects by key, the recent past, and who watches.

use crate::entry::{Entry, Event};
use crate::watch::Index;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much of the past is kept.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Window {
    pub(crate) bytes: usize,
    pub(crate) age: Duration,
    pub(crate) least: usize,
}

/// Objects of one revision.
#[derive(Debug, Clone)]
pub struct Listing {
    /// The revision that was read.
    pub revision: u64,
    /// Objects in the order of their keys.
    pub entries: Vec<Arc<Entry>>,
    /// Whether there are further ones.
    pub more: bool,
    /// How many further keys under the prefix were not looked at.
    pub remaining: usize,
}

/// The revision is too old to be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the revision is too old; the oldest is {oldest}")]
pub struct Compacted {
    /// The oldest revision that can be read.
    pub oldest: u64,
}

#[derive(Debug)]
pub(crate) struct State {
    pub(crate) revision: u64,
    pub(crate) oldest: u64,
    pub(crate) entries: BTreeMap<Arc<str>, Arc<Entry>>,
    /// Bytes of the objects.
    pub(crate) bytes: u64,
    pub(crate) index: Index,
    expiry: BTreeSet<(i64, Arc<str>)>,
    history: VecDeque<(Instant, Arc<Event>)>,
    history_bytes: usize,
    window: Window,
}

impl State {
    pub(crate) fn new(window: Window) -> Self {
        Self {
            revision: 0,
            oldest: 0,
            entries: BTreeMap::new(),
            bytes: 0,
            index: Index::default(),
            expiry: BTreeSet::new(),
            history: VecDeque::new(),
            history_bytes: 0,
            window,
        }
    }

    pub(crate) fn get(&self, key: &str) -> Option<Arc<Entry>> {
        self.entries.get(key).cloned()
    }

    /// Puts or removes an object, without an event.
    pub(crate) fn set(&mut self, key: &Arc<str>, entry: Option<Arc<Entry>>) {
        let added = entry.as_ref().map_or(0, |entry| size(entry));
        if let Some(expires) = entry.as_ref().and_then(|entry| entry.meta.expires) {
            self.expiry.insert((expires, Arc::clone(key)));
        }
        let kept = entry.as_ref().and_then(|entry| entry.meta.expires);
        let before = match entry {
            Some(entry) => self.entries.insert(Arc::clone(key), entry),
            None => self.entries.remove(key),
        };
        self.bytes += added;
        if let Some(before) = before {
            self.bytes -= size(&before);
            if let Some(expires) = before.meta.expires.filter(|expires| Some(*expires) != kept) {
                self.expiry.remove(&(expires, Arc::clone(key)));
            }
        }
    }

    /// Takes an event in: the object, the past, the watchers.
    pub(crate) fn apply(&mut self, event: &Arc<Event>) {
        let entry = (!event.deleted).then(|| Arc::clone(&event.entry));
        self.set(&event.entry.key, entry);
        self.revision = self.revision.max(event.revision);
        self.history_bytes += event.cost();
        let now = Instant::now();
        self.history.push_back((now, Arc::clone(event)));
        while self.history.len() > self.window.least
            && let Some((then, _)) = self.history.front()
            && (self.history_bytes > self.window.bytes
                || now.duration_since(*then) > self.window.age)
        {
            self.forget_one();
        }
        self.index.deliver(event);
    }

    fn forget_one(&mut self) {
        if let Some((_, event)) = self.history.pop_front() {
            self.history_bytes -= event.cost();
            self.oldest = self.oldest.max(event.revision);
        }
    }

    /// Forgets the past up to a revision.
    pub(crate) fn compact(&mut self, revision: u64) {
        let revision = revision.min(self.revision);
        while self.history.front().is_some_and(|(_, event)| event.revision <= revision) {
            self.forget_one();
        }
        self.oldest = self.oldest.max(revision);
    }

    /// Forgets the whole past and whatever was known before: the state is read anew.
    pub(crate) fn reset(&mut self, revision: u64, entries: Vec<Entry>) {
        self.entries.clear();
        self.expiry.clear();
        self.history.clear();
        (self.bytes, self.history_bytes) = (0, 0);
        for entry in entries {
            let entry = Arc::new(entry);
            self.set(&Arc::clone(&entry.key), Some(entry));
        }
        self.revision = self.revision.max(revision);
        self.oldest = self.revision;
    }

    /// Events of the past after a revision, oldest first.
    pub(crate) fn after(&self, revision: u64) -> impl DoubleEndedIterator<Item = &Arc<Event>> {
        let from = self.history.partition_point(|(_, event)| event.revision <= revision);
        self.history.range(from..).map(|(_, event)| event)
    }

    /// What was written or deleted at a revision, as far as the past is known.
    pub(crate) fn written_at(&self, revision: u64) -> Vec<Arc<Entry>> {
        let events = self.after(revision.saturating_sub(1));
        let same = events.take_while(|event| event.revision == revision);
        same.map(|event| Arc::clone(&event.entry)).collect()
    }

    /// Events of the past, and their bytes.
    pub(crate) fn past(&self) -> (usize, usize) {
        (self.history.len(), self.history_bytes)
    }

    /// Objects whose time is over.
    pub(crate) fn expired(&self, now: i64, most: usize) -> Vec<Arc<Entry>> {
        let over = self.expiry.iter().take_while(|(expires, _)| *expires <= now).take(most);
        over.filter_map(|(_, key)| self.get(key)).collect()
    }

    /// All objects under a prefix, after a key, as they were at a revision, in the order of their keys.
    pub(crate) fn range(&self, prefix: &str, after: Option<&str>, at: u64) -> Vec<Arc<Entry>> {
        let mut found = Vec::new();
        self.each(prefix, after, at, |entry| found.push(Arc::clone(entry)));
        found
    }

    /// The first of them, and how many more there are.
    pub(crate) fn page(
        &self,
        (prefix, after): (&str, Option<&str>),
        at: u64,
        limit: usize,
    ) -> (Vec<Arc<Entry>>, usize) {
        let (mut found, mut more) = (Vec::new(), 0);
        self.each(prefix, after, at, |entry| {
            if found.len() < limit {
                found.push(Arc::clone(entry));
            } else {
                more += 1;
            }
        });
        (found, more)
    }

    fn each(&self, prefix: &str, after: Option<&str>, at: u64, mut take: impl FnMut(&Arc<Entry>)) {
        let from = match after {
            Some(after) if after >= prefix => Bound::Excluded(after),
            _ => Bound::Included(prefix),
        };
        let bounds = (from, Bound::Unbounded);
        let mut undone: BTreeMap<&str, Option<&Arc<Entry>>> = BTreeMap::new();
        for event in self.after(at).rev() {
            let key = &*event.entry.key;
            if key.starts_with(prefix) && after.is_none_or(|after| key > after) {
                undone.insert(key, event.before.as_ref());
            }
        }
        let mut past = undone.into_iter().peekable();
        let present = self.entries.range::<str, _>(bounds);
        for (key, entry) in present.take_while(|(key, _)| key.starts_with(prefix)) {
            while let Some((_, before)) = past.next_if(|(undone, _)| **undone < **key) {
                before.into_iter().for_each(&mut take);
            }
            match past.next_if(|(undone, _)| **undone == **key) {
                Some((_, before)) => before.into_iter().for_each(&mut take),
                None => take(entry),
            }
        }
        past.filter_map(|(_, before)| before).for_each(take);
    }
}

fn size(entry: &Entry) -> u64 {
    (entry.bytes.len() + entry.key.len() + 64) as u64
}
