// SPDX-License-Identifier: Apache-2.0
//! Pods by their uid: many small tables instead of a large one.
//!
//! A table that is full is moved into one twice its size, while a decision waits for it. With millions of pods in one table that
//! would be 100 ms; of 256 tables each takes its own turn, for the time that some thousands take. What is moved is 8 bytes with
//! the hash in it, so that no pod has to be looked at.

use crate::hash::{Hasher, Table};
use crate::pods::PodIx;
use alloc::boxed::Box;
use core::iter;

/// The hash of a uid, as one engine reckons it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct UidHash(u64);

impl UidHash {
    /// As a number.
    pub fn bits(self) -> u64 {
        self.0
    }
}

/// Hashes uids as an engine does, on whichever thread.
#[derive(Debug, Clone)]
pub struct UidHasher(pub(crate) Hasher);

impl UidHasher {
    /// The hash of a uid.
    #[inline]
    pub fn hash(&self, uid: &str) -> UidHash {
        self.of(uid.as_bytes())
    }

    #[inline]
    pub(crate) fn of(&self, uid: &[u8]) -> UidHash {
        UidHash(self.0.hash(uid))
    }
}

/// Tables.
const PARTS: usize = 256;

/// A pod, and the upper half of its uid's hash.
#[derive(Debug, Clone, Copy)]
struct Entry {
    hash: u32,
    pod: PodIx,
}

impl Entry {
    /// What the tables take as its hash. They read the low bits and the topmost seven: both come from the upper half, as the
    /// lower chose the table.
    #[inline]
    fn spread(hash: u32) -> u64 {
        u64::from(hash) << 32 | u64::from(hash)
    }
}

/// Pods by their uid.
#[derive(Debug)]
pub(crate) struct Uids {
    parts: Box<[Table<Entry>; PARTS]>,
    len: usize,
}

impl Default for Uids {
    fn default() -> Self {
        let parts = iter::repeat_with(Table::new).take(PARTS).collect::<Box<[_]>>();
        let Ok(parts) = parts.try_into() else { unreachable!("as many as were taken") };
        Self { parts, len: 0 }
    }
}

/// Part and rest of a hash.
#[inline]
fn split(hash: UidHash) -> (usize, u32) {
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    let (low, high) = (hash.0 as usize % PARTS, (hash.0 >> 32) as u32);
    (low, high)
}

impl Uids {
    /// Number of pods.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The pod with that uid; `is_it` compares the uid itself.
    #[inline]
    pub(crate) fn find(
        &self,
        hash: UidHash,
        mut is_it: impl FnMut(PodIx) -> bool,
    ) -> Option<PodIx> {
        let (part, hash) = split(hash);
        let found = self.parts[part]
            .find(Entry::spread(hash), |entry| entry.hash == hash && is_it(entry.pod));
        found.map(|entry| entry.pod)
    }

    /// Takes in a pod whose uid is not known.
    #[inline]
    pub(crate) fn insert(&mut self, hash: UidHash, pod: PodIx) {
        let (part, hash) = split(hash);
        let entry = Entry { hash, pod };
        self.parts[part]
            .insert_unique(Entry::spread(hash), entry, |entry| Entry::spread(entry.hash));
        self.len += 1;
    }

    /// Forgets a pod.
    #[inline]
    pub(crate) fn remove(&mut self, hash: UidHash, pod: PodIx) {
        let (part, hash) = split(hash);
        if let Ok(found) =
            self.parts[part].find_entry(Entry::spread(hash), |entry| entry.pod == pod)
        {
            found.remove();
            self.len -= 1;
        }
    }

    /// Bytes held.
    pub(crate) fn resident(&self) -> usize {
        size_of::<[Table<Entry>; PARTS]>()
            + self.parts.iter().map(Table::allocation_size).sum::<usize>()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::string::String;
    use alloc::vec::Vec;

    #[test]
    fn pods_are_found_until_they_are_removed_and_no_table_has_many() {
        let hasher = UidHasher(Hasher::new(3));
        let uids: Vec<String> = (0..100_000).map(|i| format!("uid-{i}")).collect();
        let mut table = Uids::default();
        for (at, uid) in (0..).zip(&uids) {
            table.insert(hasher.hash(uid), PodIx(at));
        }
        for (at, uid) in (0..).zip(&uids) {
            let found = table.find(hasher.hash(uid), |pod| uids[pod.0 as usize] == *uid);
            assert_eq!(found, Some(PodIx(at)));
        }
        let most = table.parts.iter().map(Table::len).max();
        assert!(most < Some(2 * uids.len() / PARTS), "{most:?}");
        for (at, uid) in (0..).zip(&uids).step_by(2) {
            table.remove(hasher.hash(uid), PodIx(at));
        }
        assert_eq!(table.len(), uids.len() / 2);
        for (at, uid) in (0..).zip(&uids) {
            let found = table.find(hasher.hash(uid), |pod| uids[pod.0 as usize] == *uid);
            assert_eq!(found, (at % 2 == 1).then_some(PodIx(at)));
        }
    }
}
