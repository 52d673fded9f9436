// SPDX-License-Identifier: Apache-2.0
//! Answers that are good for a while.

use crate::limits::ANSWERS;
use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;
use tokio::time::Instant;

/// What a question is known by: its SHA-256.
pub(crate) type Key = [u8; 32];

/// Answers by their questions.
#[derive(Debug)]
pub(crate) struct Cache<V> {
    kept: Mutex<BTreeMap<Key, (Instant, V)>>,
}

impl<V: Clone> Cache<V> {
    pub(crate) fn new() -> Self {
        Self { kept: Mutex::new(BTreeMap::new()) }
    }

    pub(crate) fn get(&self, key: &Key) -> Option<V> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let (until, value) = kept.get(key)?;
        (*until > Instant::now()).then(|| value.clone())
    }

    pub(crate) fn put(&self, key: Key, value: V, time: Duration) {
        let now = Instant::now();
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if kept.len() >= ANSWERS {
            kept.retain(|_, (until, _)| *until > now);
        }
        if kept.len() >= ANSWERS {
            // Whose digest is the smallest is as good as any.
            kept.pop_first();
        }
        kept.insert(key, (now + time, value));
    }
}

/// The key of a question.
pub(crate) fn key(question: &[u8]) -> Key {
    let mut key = [0; 32];
    key.copy_from_slice(ring::digest::digest(&ring::digest::SHA256, question).as_ref());
    key
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn answers_expire_and_do_not_pile_up() {
        let cache = Cache::new();
        cache.put(key(b"a"), true, Duration::from_secs(3));
        assert_eq!((cache.get(&key(b"a")), cache.get(&key(b"b"))), (Some(true), None));
        tokio::time::advance(Duration::from_secs(3)).await;
        assert_eq!(cache.get(&key(b"a")), None);
        for question in 0..3 * ANSWERS {
            cache.put(key(&question.to_be_bytes()), true, Duration::from_secs(3));
        }
        assert_eq!(cache.kept.lock().unwrap().len(), ANSWERS);
    }
}
