// SPDX-License-Identifier: Apache-2.0
//! Dense ids with generations.

use alloc::collections::VecDeque;
use alloc::vec::Vec;

/// Hands out slots. One that was given back is used again last of all free ones, with another generation: what still holds the
/// old id does not take the new one for it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Slots {
    generations: Vec<u32>,
    free: VecDeque<u32>,
}

impl Slots {
    /// A slot and its generation.
    pub(crate) fn take(&mut self) -> (u32, u32) {
        if let Some(slot) = self.free.pop_front() {
            let generation = &mut self.generations[slot as usize];
            *generation = generation.wrapping_add(1);
            return (slot, *generation);
        }
        let slot = self.len();
        // Generation 0 is nobody's: state that is all zeros belongs to no backend.
        self.generations.push(1);
        (slot, 1)
    }

    pub(crate) fn give_back(&mut self, slot: u32) {
        debug_assert!(self.free.len() > 64 || !self.free.contains(&slot), "given back twice");
        self.free.push_back(slot);
    }

    /// Slots ever used.
    pub(crate) fn len(&self) -> u32 {
        u32::try_from(self.generations.len()).unwrap_or(u32::MAX)
    }

    /// Slots in use.
    pub(crate) fn used(&self) -> u32 {
        self.len() - u32::try_from(self.free.len()).unwrap_or(0)
    }
}
