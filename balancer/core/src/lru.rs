// SPDX-License-Identifier: Apache-2.0
//! A bounded table whose entries lie in lists by their last use: what the tables keyed by source are made of.
//!
//! Entries stay in their slot for as long as they live, so that a caller may link them by slot; slots are reused. There are two
//! lists, since one kind of entry is often worth more than the other.

use crate::hash::Seeded;
use alloc::vec::Vec;
use core::hash::Hash;
use hashbrown::HashTable;

/// No entry.
pub(crate) const NONE: u32 = u32::MAX;

/// A bounded table.
#[derive(Debug)]
pub(crate) struct Lru<K, V> {
    entries: Vec<Entry<K, V>>,
    index: HashTable<u32>,
    free: u32,
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
    list: u8,
}

#[derive(Debug, Clone, Copy)]
struct List {
    oldest: u32,
    newest: u32,
}

impl<K: Hash + Eq, V> Lru<K, V> {
    /// An empty table for at most `capacity` entries, of which it takes the memory as they come.
    pub(crate) fn new(capacity: u32, seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            index: HashTable::new(),
            free: NONE,
            lists: [List { oldest: NONE, newest: NONE }; 2],
            hasher: Seeded::new(seed),
            capacity: capacity.clamp(1, NONE - 1),
        }
    }

    pub(crate) fn len(&self) -> usize {
        self.index.len()
    }

    pub(crate) fn is_full(&self) -> bool {
        self.index.len() >= self.capacity as usize
    }

    /// Slots ever used.
    pub(crate) fn slots(&self) -> u32 {
        u32::try_from(self.entries.len()).unwrap_or(NONE)
    }

    /// The slot of a key.
    #[inline]
    pub(crate) fn find(&self, key: &K) -> Option<u32> {
        let same = |slot: &u32| self.item(*slot).is_some_and(|(other, _)| other == key);
        self.index.find(self.hasher.hash(key), same).copied()
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

    /// Puts a new entry at the end of a list. The key must not be there, and the table not full.
    pub(crate) fn insert(&mut self, list: u8, key: K, value: V) -> u32 {
        debug_assert!(!self.is_full() && self.find(&key).is_none(), "room, and a new key");
        let hash = self.hasher.hash(&key);
        let entry = Entry { item: Some((key, value)), next: NONE, prev: NONE, list };
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
        self.append(slot, list);
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.index.insert_unique(hash, slot, |slot| match &entries[*slot as usize].item {
            Some((key, _)) => hasher.hash(key),
            None => 0,
        });
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
        let hash = self.hasher.hash(&self.item(slot)?.0);
        if let Ok(found) = self.index.find_entry(hash, |other| *other == slot) {
            found.remove();
        }
        self.unlink(slot);
        let entry = &mut self.entries[slot as usize];
        entry.next = self.free;
        self.free = slot;
        entry.item.take()
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
