// SPDX-License-Identifier: Apache-2.0
//! Keys that wait for work. A key is in the queue once, however often it was added, and never worked on twice at a time; what failed
//! comes back later and later. Time is an argument: the time since any fixed moment.

mod driver;

pub(crate) use driver::{Outcome, Work, run};

use compact_str::CompactString as Text;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::time::Duration;

/// The first pause after a failure (client-go's number).
const PAUSE: Duration = Duration::from_millis(5);
/// The longest (client-go's number).
const PAUSE_MAX: Duration = Duration::from_secs(1000);

/// An object by namespace and name.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its namespace; empty for a kind without.
    pub namespace: Text,
    /// Its name.
    pub name: Text,
}

impl Key {
    /// Of an object.
    pub fn new(namespace: &str, name: &str) -> Self {
        Self { namespace: namespace.into(), name: name.into() }
    }
}

impl std::fmt::Display for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.namespace.as_str() {
            "" => f.write_str(&self.name),
            namespace => write!(f, "{namespace}/{}", self.name),
        }
    }
}

/// A queue of keys.
#[derive(Debug)]
pub struct Queue<K> {
    ready: VecDeque<K>,
    /// Keys that want work: those in `ready`, and those that were added while somebody worked on them.
    wanted: BTreeSet<K>,
    worked: BTreeSet<K>,
    later: BTreeSet<(Duration, K)>,
    /// When a key in `later` is due.
    due: BTreeMap<K, Duration>,
    failures: BTreeMap<K, u32>,
}

impl<K> Default for Queue<K> {
    fn default() -> Self {
        Self {
            ready: VecDeque::new(),
            wanted: BTreeSet::new(),
            worked: BTreeSet::new(),
            later: BTreeSet::new(),
            due: BTreeMap::new(),
            failures: BTreeMap::new(),
        }
    }
}

impl<K: Clone + Ord> Queue<K> {
    /// A key wants work.
    pub fn add(&mut self, key: K) {
        if self.wanted.insert(key.clone()) && !self.worked.contains(&key) {
            self.ready.push_back(key);
        }
    }

    /// A key wants work at a time; of several the earliest counts.
    pub fn add_at(&mut self, key: K, at: Duration) {
        match self.due.get(&key) {
            Some(known) if *known <= at => return,
            Some(known) => drop(self.later.remove(&(*known, key.clone()))),
            None => {}
        }
        self.due.insert(key.clone(), at);
        self.later.insert((at, key));
    }

    /// Work on a key failed: it comes again after a pause, of at least `least`, that doubles with each failure.
    pub fn add_failed(&mut self, key: K, now: Duration, least: Duration) {
        let failures = self.failures.entry(key.clone()).or_insert(0);
        let pause = PAUSE.saturating_mul(1 << (*failures).min(30)).min(PAUSE_MAX);
        *failures = failures.saturating_add(1);
        self.add_at(key, now.saturating_add(pause.max(least)));
    }

    /// Work on a key succeeded: the next failure is the first.
    pub fn forget(&mut self, key: &K) {
        self.failures.remove(key);
    }

    /// How often work on a key failed since it last succeeded.
    pub fn failures(&self, key: &K) -> u32 {
        self.failures.get(key).copied().unwrap_or(0)
    }

    /// The next key to work on, which has to be given back by [`Self::done`].
    pub fn take(&mut self, now: Duration) -> Option<K> {
        while let Some((at, key)) = self.later.first().cloned()
            && at <= now
        {
            self.later.pop_first();
            self.due.remove(&key);
            self.add(key);
        }
        let key = self.ready.pop_front()?;
        self.wanted.remove(&key);
        self.worked.insert(key.clone());
        Some(key)
    }

    /// Nobody works on a key any more. If it was added meanwhile, it is ready again.
    pub fn done(&mut self, key: &K) {
        self.worked.remove(key);
        if self.wanted.contains(key) {
            self.ready.push_back(key.clone());
        }
    }

    /// How many keys wait for their time.
    pub fn waiting(&self) -> usize {
        self.due.len()
    }

    /// When the next key that waits is due.
    pub fn next_due(&self) -> Option<Duration> {
        self.later.first().map(|(at, _)| *at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn a_key_is_there_once_and_worked_on_by_one() {
        let mut queue = Queue::default();
        for key in ["a", "b", "a", "a"] {
            queue.add(key);
        }
        assert_eq!(
            (queue.take(ms(0)), queue.take(ms(0)), queue.take(ms(0))),
            (Some("a"), Some("b"), None)
        );
        queue.add("a");
        assert_eq!(queue.take(ms(0)), None, "somebody works on it");
        queue.done(&"a");
        assert_eq!(queue.take(ms(0)), Some("a"), "it was added meanwhile");
        queue.done(&"a");
        queue.done(&"b");
        assert_eq!(queue.take(ms(0)), None);
    }

    #[test]
    fn pauses_double_and_end_with_success() {
        let mut queue = Queue::default();
        let mut now = ms(0);
        let mut pauses = Vec::new();
        for _ in 0..20 {
            queue.add_failed("a", now, ms(0));
            let due = queue.next_due().unwrap();
            pauses.push(due.saturating_sub(now).as_millis());
            assert_eq!(queue.take(due.saturating_sub(Duration::from_nanos(1))), None);
            now = due;
            assert_eq!(queue.take(now), Some("a"));
            queue.done(&"a");
        }
        assert_eq!(pauses[..4], [5, 10, 20, 40]);
        assert_eq!(pauses[17..], [655_360, 1_000_000, 1_000_000]);
        queue.forget(&"a");
        queue.add_failed("a", now, ms(0));
        assert_eq!(queue.next_due(), Some(now + ms(5)));
    }

    #[test]
    fn who_is_told_to_wait_waits_and_the_earliest_time_counts() {
        let mut queue = Queue::default();
        queue.add_failed("a", ms(0), ms(3000));
        assert_eq!(queue.next_due(), Some(ms(3000)));
        queue.add_at("a", ms(7000));
        assert_eq!(queue.next_due(), Some(ms(3000)));
        queue.add_at("a", ms(2000));
        assert_eq!((queue.take(ms(2000)), queue.next_due()), (Some("a"), None));
    }
}
