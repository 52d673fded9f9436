// SPDX-License-Identifier: Apache-2.0
//! A bounded table whose entries lie in lists by their last use: what the tables keyed by source are made of.
//!
//! Entries stay in their slot for as long as they live, so that a caller may link them by slot; slots are reused. There are two
//! lists, since one kind of entry is often worth more than the other.
//!
//! The index is an array of chains, as many as there may be entries, and never grows. An open-addressing table would have to be
//! cleared of deleted marks every so often, which touches all of a million entries at once, in the middle of a flood.
//! Room for all entries is asked for at the beginning; the pages come as they are used.

use crate::hash::Seeded;
use alloc::vec;
use alloc::vec::Vec;
use core::hash::Hash;

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// A bounded table.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: Vec<Entry<K, V>>,
    /// The first slot of each chain plus one, 0 if it is empty: memory that is all zeros need not be touched.
    chains: Vec<u32>,
    free: u32,
    used: u32,
    lists: [List; 2],
    hasher: Seeded,
    capacity: u32,
}

#[derive(Debug)]
struct Entry<K, V> {
    item: Option<(K, V)>,
    /// Used later; of a free slot, the next free one.
    next: u32,
    /// Used earlier.
    prev: u32,
    /// The next slot of its chain plus one.
    chained: u32,
    list: u8,
}

#[derive(Debug, Clone, Copy)]
struct List {
    oldest: u32,
    newest: u32,
}

impl<K: Hash + Eq, V> Lru<K, V> {
    /// Memory of an entry, with its share of the chains where their number was rounded up the most.
    pub(crate) const ENTRY_BYTES: usize = size_of::<Entry<K, V>>() + 2 * size_of::<u32>();

    /// An empty table for at most `capacity` entries; never more than 2^31.
    pub(crate) fn new(capacity: u32, seed: u64) -> Self {
        let capacity = capacity.clamp(1, 1 << 31);
        Self {
            entries: Vec::with_capacity(capacity as usize),
            chains: vec![0; capacity.next_power_of_two() as usize],
            free: NONE,
            used: 0,
            lists: [List { oldest: NONE, newest: NONE }; 2],
            hasher: Seeded::new(seed),
            capacity,
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.used as usize
    }

    pub(crate) fn is_full(&self) -> bool {
        self.used >= self.capacity
    }

    /// The chain of a key.
    #[inline]
    fn chain(&self, key: &K) -> usize {
        #[expect(clippy::cast_possible_truncation, reason = "any of the bits do")]
        let hash = self.hasher.hash(key) as usize;
        hash & (self.chains.len() - 1)
    }

    /// Slots ever used.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(NONE)
    }

    /// The slot of a key.
    #[inline]
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        let mut at = self.chains[self.chain(key)];
        loop {
            let slot = at.checked_sub(1)?;
            let entry = &self.entries[slot as usize];
            if entry.item.as_ref().is_some_and(|(other, _)| other == key) {
                return Some(slot);
            }
            at = entry.chained;
        }
    }

    /// What is in a slot.
    #[inline]
    pub(crate) fn item(&self, slot: u32) -> Option<&(K, V)> {
        self.entries.get(slot as usize)?.item.as_ref()
    }

    #[inline]
    pub(crate) fn value(&mut self, slot: u32) -> Option<&mut V> {
        Some(&mut self.entries.get_mut(slot as usize)?.item.as_mut()?.1)
    }

    /// The entry of a list that was not used for longest.
    pub(crate) fn oldest(&self, list: u8) -> Option<u32> {
        Some(self.lists[usize::from(list)].oldest).filter(|slot| *slot != NONE)
    }

    /// The entries of a list, the one that was not used for longest first.
    pub(crate) fn iter(&self, list: u8) -> impl Iterator<Item = &(K, V)> {
        let first = self.entries.get(self.lists[usize::from(list)].oldest as usize);
        core::iter::successors(first, |entry| self.entries.get(entry.next as usize))
            .filter_map(|entry| entry.item.as_ref())
    }

    /// Puts a new entry at the end of a list. The key must not be there, and the table not full.
    pub(crate) fn insert(&mut self, list: u8, key: K, value: V) -> u32 {
        debug_assert!(!self.is_full() && self.find(&key).is_none(), "room, and a new key");
        let chain = self.chain(&key);
        let chained = self.chains[chain];
        let entry = Entry { item: Some((key, value)), next: NONE, prev: NONE, chained, list };
        let slot = if self.free == NONE {
            self.entries.push(entry);
            self.slots() - 1
        } else {
            let slot = self.free;
            let place = &mut self.entries[slot as usize];
            self.free = place.next;
            *place = entry;
            slot
        };
        self.chains[chain] = slot + 1;
        self.used += 1;
        self.append(slot, list);
        slot
    }

    /// Moves an entry to the end of a list: it was used last.
    #[inline]
    pub(crate) fn touch(&mut self, slot: u32, list: u8) {
        let entry = &self.entries[slot as usize];
        if entry.list != list || entry.next != NONE {
            self.unlink(slot);
            self.append(slot, list);
        }
    }

    /// Takes an entry out.
    pub(crate) fn remove(&mut self, slot: u32) -> Option<(K, V)> {
        let chain = self.chain(&self.item(slot)?.0);
        self.unchain(chain, slot);
        self.unlink(slot);
        self.used -= 1;
        let entry = &mut self.entries[slot as usize];
        entry.next = self.free;
        self.free = slot;
        entry.item.take()
    }

    /// Takes a slot out of its chain.
    fn unchain(&mut self, chain: usize, slot: u32) {
        let behind = self.entries[slot as usize].chained;
        let mut at = self.chains[chain];
        if at == slot + 1 {
            self.chains[chain] = behind;
            return;
        }
        while let Some(entry) = at.checked_sub(1).and_then(|at| self.entries.get_mut(at as usize)) {
            if entry.chained == slot + 1 {
                entry.chained = behind;
                return;
            }
            at = entry.chained;
        }
    }

    fn append(&mut self, slot: u32, list: u8) {
        let newest = self.lists[usize::from(list)].newest;
        let entry = &mut self.entries[slot as usize];
        (entry.prev, entry.next, entry.list) = (newest, NONE, list);
        match self.entries.get_mut(newest as usize) {
            Some(before) => before.next = slot,
            None => self.lists[usize::from(list)].oldest = slot,
        }
        self.lists[usize::from(list)].newest = slot;
    }

    fn unlink(&mut self, slot: u32) {
        let Entry { next, prev, list, .. } = self.entries[slot as usize];
        let list = usize::from(list);
        match self.entries.get_mut(prev as usize) {
            Some(before) => before.next = next,
            None => self.lists[list].oldest = next,
        }
        match self.entries.get_mut(next as usize) {
            Some(behind) => behind.prev = prev,
            None => self.lists[list].newest = prev,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::Random;
    use std::collections::VecDeque;

    /// Oldest first, in both lists.
    fn order(lru: &Lru<u32, u64>) -> [Vec<u32>; 2] {
        [0, 1].map(|list| {
            let mut keys = Vec::new();
            let mut at = lru.lists[list].oldest;
            while at != NONE {
                keys.push(lru.item(at).expect("a linked slot is in use").0);
                at = lru.entries[at as usize].next;
            }
            keys
        })
    }

    fn forget(queues: &mut [VecDeque<(u32, u64)>; 2], key: u32) {
        for queue in queues {
            queue.retain(|(other, _)| *other != key);
        }
    }

    #[test]
    fn a_table_is_two_queues_and_a_map() {
        let mut random = Random::new(3);
        let mut lru: Lru<u32, u64> = Lru::new(50, 7);
        let mut queues: [VecDeque<(u32, u64)>; 2] = Default::default();
        for step in 0..20_000_u64 {
            let (key, list) = (random.below(80), u8::from(random.below(2) == 1));
            let known = queues.iter().flatten().find(|(other, _)| *other == key).copied();
            assert_eq!(lru.find(&key).and_then(|slot| lru.item(slot)).copied(), known);
            match (lru.find(&key), random.below(3)) {
                (Some(slot), 0) => {
                    assert_eq!(lru.remove(slot), known);
                    forget(&mut queues, key);
                }
                (Some(slot), _) => {
                    lru.touch(slot, list);
                    forget(&mut queues, key);
                    queues[usize::from(list)].push_back(known.unwrap());
                }
                (None, _) => {
                    if lru.is_full() {
                        let from = u8::from(queues[0].is_empty());
                        let oldest = lru.oldest(from).unwrap();
                        assert_eq!(lru.remove(oldest), queues[usize::from(from)].pop_front());
                    }
                    lru.insert(list, key, step);
                    queues[usize::from(list)].push_back((key, step));
                }
            }
            assert_eq!(lru.len(), queues[0].len() + queues[1].len());
            assert!(lru.slots() <= 50, "slots are used again");
        }
        let keys = queues.map(|queue| queue.into_iter().map(|(key, _)| key).collect::<Vec<_>>());
        assert_eq!(order(&lru), keys);
    }
}
