// SPDX-License-Identifier: Apache-2.0
//! Records by a small number. Grows by a chunk, so that what is there never moves and growth never doubles; a number that is used
//! again has another generation, so that a late event finds nothing instead of somebody else.

/// Records of one chunk.
const CHUNK: usize = 64;

/// Names a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) index: u32,
    /// Of 24 bits.
    pub(super) generation: u32,
}

/// Records.
#[derive(Debug)]
pub(super) struct Slab<T> {
    chunks: Vec<Box<[Slot<T>]>>,
    free: Vec<u32>,
    used: u32,
}

#[derive(Debug)]
struct Slot<T> {
    generation: u32,
    record: Option<T>,
}

impl<T> Slab<T> {
    pub(super) const fn new() -> Self {
        Self { chunks: Vec::new(), free: Vec::new(), used: 0 }
    }

    /// Records that are there.
    pub(super) fn len(&self) -> u32 {
        self.used
    }

    /// Slots, used or not.
    pub(super) fn slots(&self) -> u32 {
        u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX)
    }

    /// Adds a record.
    pub(super) fn insert(&mut self, record: T) -> Id {
        let index = self.free.pop().unwrap_or_else(|| self.grow());
        let slot = &mut self.chunks[index as usize / CHUNK][index as usize % CHUNK];
        slot.record = Some(record);
        self.used += 1;
        Id { index, generation: slot.generation }
    }

    fn grow(&mut self) -> u32 {
        let first = u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX);
        let slots = (0..CHUNK).map(|_| Slot { generation: 0, record: None });
        self.chunks.push(slots.collect());
        self.free.extend((first + 1..first + 64).rev());
        first
    }

    fn slot(&mut self, id: Id) -> Option<&mut Slot<T>> {
        let slot = self.chunks.get_mut(id.index as usize / CHUNK)?;
        let slot = &mut slot[id.index as usize % CHUNK];
        (slot.generation == id.generation).then_some(slot)
    }

    /// A record.
    #[inline]
    pub(super) fn get(&mut self, id: Id) -> Option<&mut T> {
        self.slot(id)?.record.as_mut()
    }

    /// Takes a record out.
    pub(super) fn remove(&mut self, id: Id) -> Option<T> {
        let slot = self.slot(id)?;
        let record = slot.record.take()?;
        slot.generation = (slot.generation + 1) & 0x00ff_ffff;
        self.free.push(id.index);
        self.used -= 1;
        Some(record)
    }

    /// The record of an index, whichever its generation.
    pub(super) fn at(&mut self, index: u32) -> Option<(Id, &mut T)> {
        let slot = self.chunks.get_mut(index as usize / CHUNK)?.get_mut(index as usize % CHUNK)?;
        let id = Id { index, generation: slot.generation };
        slot.record.as_mut().map(|record| (id, record))
    }

    /// All records.
    pub(super) fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        let slots = self.chunks.iter().flat_map(|chunk| chunk.iter());
        (0..).zip(slots).filter_map(|(index, slot)| {
            let id = Id { index, generation: slot.generation };
            slot.record.as_ref().map(|record| (id, record))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_late_name_finds_nothing() {
        let mut slab = Slab::new();
        let first = slab.insert("a");
        assert_eq!(slab.remove(first), Some("a"));
        let second = slab.insert("b");
        assert_eq!(second.index, first.index);
        assert_eq!(slab.get(first), None);
        assert_eq!(slab.remove(first), None);
        assert_eq!(slab.get(second), Some(&mut "b"));
        assert_eq!(slab.len(), 1);
    }

    #[test]
    fn records_stay_where_they_are_while_it_grows() {
        let mut slab = Slab::new();
        let ids: Vec<Id> = (0..1_000).map(|number| slab.insert(number)).collect();
        assert!(ids.iter().zip(0..).all(|(id, number)| slab.get(*id) == Some(&mut { number })));
        assert_eq!(slab.iter().count(), 1_000);
    }
}
