// SPDX-License-Identifier: Apache-2.0
//! The nodes that do not pass by themselves, as a class last saw them: mostly none, or those that a taint keeps out.
//!
//! How many nodes of a group pass follows from them and from the group's size, so that nothing is written for those that do.

use super::{ABSENT, NO_GROUP_HERE, Verdict};
use crate::Slot;
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;

/// The group (24 bits) and verdict of a node that is out.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Out(u32);

impl Out {
    fn new(group: u32, verdict: Verdict) -> Self {
        debug_assert!(group < NO_GROUP_HERE, "classes with more groups hold single lanes");
        Self(group << 8 | u32::from(verdict))
    }

    fn group(self) -> usize {
        (self.0 >> 8) as usize
    }

    fn verdict(self) -> usize {
        (self.0 & 0xff) as usize
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct Outs {
    /// A bit for each slot.
    bits: Vec<u64>,
    /// By slot, if its bit is set.
    outs: Vec<Out>,
    /// By group: how many of its nodes are out.
    by_group: Vec<u32>,
    count: u32,
}

impl Outs {
    /// Starts over: no node is out.
    pub(super) fn clear(&mut self) {
        self.bits.clear();
        self.by_group.clear();
        self.count = 0;
    }

    /// Whether any node is out.
    pub(super) fn any(&self) -> bool {
        self.count > 0
    }

    /// Whether a node is out.
    #[inline]
    pub(super) fn has(&self, slot: Slot) -> bool {
        let word = self.bits.get(slot as usize / 64).copied().unwrap_or(0);
        word >> (slot % 64) & 1 != 0
    }

    /// How many nodes of a group are out.
    #[inline]
    pub(super) fn of_group(&self, group: u32) -> u32 {
        self.by_group.get(group as usize).copied().unwrap_or(0)
    }

    /// So many more nodes of a group are out; which ones is not kept.
    pub(super) fn count(&mut self, group: u32, nodes: u32) {
        if self.by_group.len() <= group as usize {
            self.by_group.resize(group as usize + 1, 0);
        }
        self.by_group[group as usize] += nodes;
    }

    /// A node's verdict and group are now these; a verdict of 0, or a free slot, takes it off. Keeps `refused` in step.
    pub(super) fn settle(
        &mut self,
        slot: Slot,
        group: u32,
        verdict: Verdict,
        refused: &mut [u32; Plugin::FILTERS],
    ) {
        let (at, word, bit) = (slot as usize, slot as usize / 64, 1 << (slot % 64));
        let new = (verdict != 0 && verdict != ABSENT).then(|| Out::new(group, verdict));
        if self.has(slot) {
            let old = self.outs[at];
            if new == Some(old) {
                return;
            }
            self.by_group[old.group()] -= 1;
            refused[old.verdict() - 1] -= 1;
            self.bits[word] &= !bit;
            self.count -= 1;
        }
        let Some(new) = new else { return };
        if self.bits.len() <= word {
            self.bits.resize(word + 1, 0);
        }
        if self.outs.len() < self.bits.len() * 64 {
            self.outs.resize(self.bits.len() * 64, Out::default());
        }
        if self.by_group.len() <= group as usize {
            self.by_group.resize(group as usize + 1, 0);
        }
        self.bits[word] |= bit;
        self.outs[at] = new;
        self.by_group[group as usize] += 1;
        refused[usize::from(verdict) - 1] += 1;
        self.count += 1;
    }

    /// Bytes held.
    pub(super) fn resident(&self) -> usize {
        self.bits.capacity() * 8
            + self.outs.capacity() * size_of::<Out>()
            + self.by_group.capacity() * 4
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_follow_each_change_of_group_and_verdict() {
        let mut outs = Outs::default();
        let mut refused = [0; Plugin::FILTERS];
        outs.settle(70, 2, 1, &mut refused);
        outs.settle(71, 2, 3, &mut refused);
        assert_eq!((outs.of_group(2), refused[0], refused[2]), (2, 1, 1));
        outs.settle(70, 1, 3, &mut refused);
        assert_eq!((outs.of_group(2), outs.of_group(1)), (1, 1));
        assert_eq!((refused[0], refused[2]), (0, 2));
        outs.settle(70, 1, 0, &mut refused);
        outs.settle(71, 2, ABSENT, &mut refused);
        assert_eq!((outs.of_group(1), outs.of_group(2), outs.any()), (0, 0, false));
        assert_eq!(refused, [0; Plugin::FILTERS]);
        assert!(!outs.has(70) && !outs.has(71) && !outs.has(1_000));
    }
}
