// SPDX-License-Identifier: Apache-2.0
//! The one way this crate hashes: seeded by an argument, so that a run can be replayed, and never iterated over.

use core::hash::{BuildHasher, Hash};
use foldhash::fast::FixedState;

/// A table of ids that are looked up by what they stand for.
pub(crate) type Table<T> = hashbrown::HashTable<T>;

/// The hash function.
#[derive(Debug, Clone)]
pub(crate) struct Hasher(FixedState);

impl Hasher {
    pub(crate) fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }

    #[inline]
    pub(crate) fn hash<T: Hash + ?Sized>(&self, value: &T) -> u64 {
        self.0.hash_one(value)
    }
}
