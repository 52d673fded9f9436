// SPDX-License-Identifier: Apache-2.0
//! The queue with tokio's clock: keys go to a worker as they become due.

use super::{Key, Queue};
use berth_cluster_client::CallError;
use std::collections::BTreeMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// What came of work on a key.
#[derive(Debug)]
pub(crate) enum Outcome {
    /// All is done.
    Done,
    /// All that can be done is; look again after a while.
    After(Duration),
    /// It is not yet the time to look: nothing was tried.
    Later(Duration),
    /// Somebody was faster, or something failed: again, after a pause that grows.
    Again(Option<Duration>),
}

impl Outcome {
    /// What a call that failed means for its key.
    pub(crate) fn failed(key: &Key, error: &CallError) -> Self {
        let least = match error {
            CallError::Refused { retry_after, .. } => retry_after.map(Duration::from_secs),
            CallError::Lost { .. } => None,
        };
        if error.code() == Some(409) {
            tracing::debug!(%key, %error, "others were faster");
        } else {
            tracing::info!(%key, %error, "a call failed; the key comes again");
        }
        Self::Again(least)
    }
}

/// A queue that many tasks add to.
#[derive(Debug, Clone)]
pub(crate) struct Work(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    queue: Mutex<Queue<Key>>,
    added: Notify,
    start: Instant,
}

impl Work {
    pub(crate) fn new() -> Self {
        let start = Instant::now();
        Self(Arc::new(Shared { queue: Mutex::default(), added: Notify::new(), start }))
    }

    fn queue(&self) -> MutexGuard<'_, Queue<Key>> {
        self.0.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The time of this queue.
    pub(crate) fn now(&self) -> Duration {
        self.0.start.elapsed()
    }

    /// How many keys wait for their time.
    pub(crate) fn waiting(&self) -> usize {
        self.queue().waiting()
    }

    /// A key wants work.
    pub(crate) fn add(&self, key: Key) {
        self.queue().add(key);
        self.0.added.notify_one();
    }

    /// A key wants work after a while.
    pub(crate) fn add_after(&self, key: Key, after: Duration) {
        self.queue().add_at(key, self.now().saturating_add(after));
        self.0.added.notify_one();
    }

    async fn take(&self) -> Key {
        loop {
            let due = {
                let mut queue = self.queue();
                if let Some(key) = queue.take(self.now()) {
                    return key;
                }
                queue.next_due()
            };
            let added = self.0.added.notified();
            match due {
                // tokio's timer counts whole milliseconds and is never early
                Some(due) => drop(tokio::time::timeout_at(self.0.start + due, added).await),
                None => added.await,
            }
        }
    }

    fn done(&self, key: &Key, outcome: Outcome) {
        let now = self.now();
        let mut queue = self.queue();
        match outcome {
            Outcome::Done => queue.forget(key),
            Outcome::After(after) => {
                queue.forget(key);
                queue.add_at(key.clone(), now.saturating_add(after));
            }
            Outcome::Later(after) => queue.add_at(key.clone(), now.saturating_add(after)),
            Outcome::Again(least) => {
                queue.add_failed(key.clone(), now, least.unwrap_or_default());
            }
        }
        queue.done(key);
        self.0.added.notify_one();
    }
}

/// Works off a queue for ever, on at most so many keys at a time.
pub(crate) async fn run<F>(work: Work, at_once: usize, sync: impl Fn(Key) -> F)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut tasks = JoinSet::new();
    let mut keys = BTreeMap::new();
    loop {
        tokio::select! {
            biased;
            Some(ended) = tasks.join_next_with_id(), if !tasks.is_empty() => {
                let (id, outcome) = ended.unwrap_or_else(|error| {
                    tracing::error!(%error, "work on a key ended in a panic");
                    (error.id(), Outcome::Again(None))
                });
                if let Some(key) = keys.remove(&id) {
                    work.done(&key, outcome);
                }
            }
            key = work.take(), if tasks.len() < at_once => {
                keys.insert(tasks.spawn(sync(key.clone())).id(), key);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn keys_come_when_they_are_due() {
        let work = Work::new();
        let (send, mut receive) = tokio::sync::mpsc::unbounded_channel();
        let start = Instant::now();
        let worker = tokio::spawn(run(work.clone(), 2, move |key: Key| {
            let send = send.clone();
            async move {
                let fails = key.name == "bad" && start.elapsed() < Duration::from_millis(20);
                drop(send.send((key.name, start.elapsed().as_millis())));
                if fails { Outcome::Again(None) } else { Outcome::Done }
            }
        }));
        work.add_after(Key::new("", "late"), Duration::from_mins(1));
        work.add(Key::new("", "bad"));
        work.add(Key::new("", "good"));
        let mut seen = Vec::new();
        while seen.len() < 6 {
            seen.push(receive.recv().await.unwrap());
        }
        let names: Vec<_> = seen.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(names, ["bad", "good", "bad", "bad", "bad", "late"], "{seen:?}");
        assert!((60_000..60_010).contains(&seen[5].1));
        worker.abort();
    }
}
