// SPDX-License-Identifier: Apache-2.0
//! The best nodes of each group, in lists that are mended from the log.
//!
//! A class that comes often needs its best node, not an order of all of them. So for each group of nodes only those are listed
//! whose lane is above a floor; all others are known to be at or below it. As long as a list has an entry, the best of the list
//! is the best of the group. A node that changed is compared with the floor of its group: mostly nothing is to be written, and
//! what is written lies close together. A list that is used up is found anew by a pass over all nodes, as all lists are then;
//! releases fill lists as placements drain them, so that this is seldom.
//!
//! Of each node one word is kept:
//!
//! ```text
//!  31      20 19     6 5       1   0
//! |  place   | group  | verdict |listed|
//! ```

use super::{ABSENT, Held, Inputs, Lanes, block_of, lanes_at, touch};
use crate::sig::NO_GROUP;
use crate::{BLOCK, Slot};
use alloc::vec::Vec;

/// Entries at which a list is cut to half of them, unless said otherwise.
pub(crate) const LISTED: usize = 256;
/// Entries that a list has room for at first.
const LISTED_FIRST: usize = 32;
/// Bounds of that number: a half has an entry, and a mark can name each place.
const LISTED_BOUNDS: (usize, usize) = (2, 1 << 12);
/// Groups that a mark can name.
pub(super) const TOPS_GROUPS_MAX: usize = 1 << 12;

/// What is kept of a node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Mark(u32);

impl Mark {
    /// A free slot.
    pub(super) const ABSENT: Self = Self::new(NO_GROUP_HERE, ABSENT_HERE);

    /// A node of a group, not listed. The verdict is 0 (passes) or names what refuses it, below 31.
    const fn new(group: u32, verdict: u8) -> Self {
        Self((group & NO_GROUP_HERE) << 6 | (verdict as u32 & 31) << 1)
    }

    const fn group(self) -> u32 {
        self.0 >> 6 & NO_GROUP_HERE
    }

    /// 0 passes, 31 is a free slot.
    const fn verdict(self) -> u8 {
        (self.0 >> 1 & 31) as u8
    }

    /// Whether it passes by itself.
    const fn passes(self) -> bool {
        self.verdict() == 0
    }

    const fn listed(self) -> bool {
        self.0 & 1 != 0
    }

    const fn place(self) -> usize {
        (self.0 >> 20) as usize
    }

    const fn at(self, place: u32) -> Self {
        Self(self.0 & PLACELESS | place << 20 | 1)
    }

    const fn off(self) -> Self {
        Self(self.0 & PLACELESS & !1)
    }
}

const NO_GROUP_HERE: u32 = (1 << 14) - 1;
const ABSENT_HERE: u8 = 31;
const PLACELESS: u32 = (1 << 20) - 1;

/// The list of a group.
#[derive(Debug, Default)]
struct List {
    /// No lane of the group that is not listed is above this.
    floor: u32,
    best: u32,
    /// `best` is to be found again.
    stale: bool,
    lanes: Vec<u32>,
    slots: Vec<Slot>,
}

/// The lists of all groups.
#[derive(Debug, Default)]
pub(super) struct Tops {
    marks: Vec<Mark>,
    lists: Vec<List>,
    scratch: Vec<u32>,
    /// Entries at which a list is cut.
    listed: usize,
}

impl Tops {
    /// Starts over, with all slots free, and lists of up to `listed` nodes, and more where a pass over all nodes takes longer.
    pub(super) fn clear(&mut self, slots: usize, listed: usize) {
        self.listed = (listed + slots / 256).clamp(LISTED_BOUNDS.0, LISTED_BOUNDS.1);
        self.marks.clear();
        self.marks.resize(slots, Mark::ABSENT);
        for list in &mut self.lists {
            list.floor = 0;
            list.best = 0;
            list.stale = false;
            list.lanes.clear();
            list.slots.clear();
        }
    }

    /// Makes room for more slots.
    pub(super) fn grow(&mut self, slots: usize) {
        if self.marks.len() < slots {
            self.marks.resize(slots, Mark::ABSENT);
        }
    }

    /// What is known of a node.
    #[inline]
    pub(super) fn mark(&self, slot: Slot) -> Mark {
        self.marks[slot as usize]
    }

    /// A group came to have its first member.
    pub(super) fn begin(&mut self, group: u32) {
        let list = self.list_mut(group);
        debug_assert!(list.lanes.is_empty(), "members are taken off when they leave");
        list.floor = 0;
    }

    /// A node's group, verdict and lane are now these; the lane is 0 unless it passes.
    #[inline]
    pub(super) fn set(&mut self, slot: Slot, new: Mark, lane: u32) {
        let old = self.marks[slot as usize];
        if old.listed() {
            if old.group() == new.group() && lane > self.lists[old.group() as usize].floor {
                self.lists[old.group() as usize].change(old.place(), lane);
                return;
            }
            self.unlist(old);
        }
        self.marks[slot as usize] = new;
        if lane != 0 && lane > self.list_mut(new.group()).floor {
            self.enlist(slot, lane);
        }
    }

    fn list_mut(&mut self, group: u32) -> &mut List {
        let at = group as usize;
        if self.lists.len() <= at {
            self.lists.resize_with(at + 1, List::default);
        }
        &mut self.lists[at]
    }

    fn enlist(&mut self, slot: Slot, lane: u32) {
        let mark = self.marks[slot as usize];
        let list = &mut self.lists[mark.group() as usize];
        let place = u32::try_from(list.lanes.len()).expect("lists are cut");
        if list.lanes.len() == list.lanes.capacity() {
            // In two steps to the whole: most groups are small, and those that are not should not grow for long.
            let more = if list.lanes.is_empty() { LISTED_FIRST } else { self.listed };
            list.lanes.reserve_exact(more);
            list.slots.reserve_exact(more);
        }
        list.lanes.push(lane);
        list.slots.push(slot);
        list.best = list.best.max(lane);
        self.marks[slot as usize] = mark.at(place);
        if list.lanes.len() >= self.listed {
            self.cut(mark.group());
        }
    }

    fn unlist(&mut self, mark: Mark) {
        let list = &mut self.lists[mark.group() as usize];
        let place = mark.place();
        let slot = list.slots.swap_remove(place);
        list.stale |= list.lanes.swap_remove(place) == list.best;
        let moved = list.slots.get(place).copied();
        self.marks[slot as usize] = self.marks[slot as usize].off();
        if let Some(moved) = moved {
            self.marks[moved as usize] = self.marks[moved as usize].at(mark.0 >> 20);
        }
    }

    /// Keeps the better half of a list.
    fn cut(&mut self, group: u32) {
        let list = &mut self.lists[group as usize];
        self.scratch.clear();
        self.scratch.extend_from_slice(&list.lanes);
        // Lanes of one group differ: the tie order is part of them.
        let (_, floor, _) = self.scratch.select_nth_unstable_by(self.listed / 2, |a, b| b.cmp(a));
        list.floor = *floor;
        let mut place = 0;
        for at in 0..list.lanes.len() {
            let (lane, slot) = (list.lanes[at], list.slots[at]);
            let mark = &mut self.marks[slot as usize];
            if lane > list.floor {
                list.lanes[place] = lane;
                list.slots[place] = slot;
                *mark = mark.at(u32::try_from(place).expect("few"));
                place += 1;
            } else {
                *mark = mark.off();
            }
        }
        list.lanes.truncate(place);
        list.slots.truncate(place);
    }

    /// Whether a group with members has its best one listed.
    #[inline]
    pub(super) fn knows(&self, group: u32) -> bool {
        self.lists.get(group as usize).is_some_and(|list| !list.lanes.is_empty())
    }

    /// The best lane of a group that [`Tops::knows`].
    #[inline]
    pub(super) fn best(&mut self, group: u32, largest: impl FnOnce(&[u32]) -> u32) -> u32 {
        let list = &mut self.lists[group as usize];
        if list.stale {
            list.stale = false;
            list.best = largest(&list.lanes);
        }
        list.best
    }

    /// Bytes held.
    pub(super) fn resident(&self) -> usize {
        let lists: usize = self.lists.iter().map(List::resident).sum();
        self.marks.capacity() * size_of::<Mark>() + lists
    }
}

impl List {
    #[inline]
    fn change(&mut self, place: usize, lane: u32) {
        let old = core::mem::replace(&mut self.lanes[place], lane);
        if lane >= self.best {
            self.best = lane;
        } else if old == self.best {
            self.stale = true;
        }
    }

    fn resident(&self) -> usize {
        size_of::<Self>() + self.lanes.capacity() * 4 + self.slots.capacity() * 4
    }
}

impl Lanes {
    /// Mends the lists of best nodes.
    pub(super) fn mend_tops(&mut self, inputs: Inputs<'_>) {
        self.tops.grow(inputs.nodes.slots());
        // A node that changed its group did so by a change that is in the log as well: its lane comes below.
        for at in self.moves..inputs.sig.moves_head() {
            let slot = inputs.sig.moved(at);
            let (old, group) = (self.tops.mark(slot), inputs.sig.group_of[slot as usize]);
            let verdict = if group == NO_GROUP { ABSENT } else { old.verdict() };
            let new = Mark::new(group, verdict);
            if old.group() != new.group() {
                self.settle(slot, new, 0);
            }
        }
        self.moves = inputs.sig.moves_head();
        self.gather_dirty(inputs);
        touch(self.dirty.iter().map(|slot| self.tops.mark(*slot).0));
        for at in 0..self.dirty.len() {
            let slot = self.dirty[at];
            let (verdict, lane) = self.judge(slot, self.mended[at], inputs);
            let group = self.tops.mark(slot).group();
            self.settle(slot, Mark::new(group, verdict), lane);
        }
        if !self.live.iter().all(|group| self.tops.knows(*group)) {
            self.find_tops(inputs);
        }
    }

    /// A node's group, verdict and lane are now these.
    #[inline]
    fn settle(&mut self, slot: Slot, new: Mark, lane: u32) {
        let old = self.tops.mark(slot);
        if old.group() != new.group() || old.verdict() != new.verdict() {
            self.recount(old, new);
        }
        self.tops.set(slot, new, lane);
    }

    /// Counts a node out of its old group and verdict, and into the new ones.
    fn recount(&mut self, old: Mark, new: Mark) {
        if let Some(count) = self.refused.get_mut(usize::from(old.verdict()).wrapping_sub(1)) {
            *count -= 1;
        }
        if let Some(count) = self.refused.get_mut(usize::from(new.verdict()).wrapping_sub(1)) {
            *count += 1;
        }
        if old.passes() {
            self.leave(old.group());
        }
        if new.passes() {
            self.join(new.group());
        }
    }

    /// Lists each group's best nodes anew.
    pub(super) fn find_tops(&mut self, inputs: Inputs<'_>) {
        let slots = inputs.nodes.slots();
        self.begin(Held::Tops, inputs);
        self.cells = Vec::new();
        for group in &mut self.groups {
            (group.blocks, group.loose) = (Vec::new(), Vec::new());
        }
        self.tops.clear(slots, inputs.listed);
        for block in 0..slots / BLOCK {
            let first = block * BLOCK;
            let mut lanes = [0_u32; BLOCK];
            let mut verdicts = Some([0; BLOCK]);
            let (images, refused) = (&self.images, &mut self.refused);
            block_of(block, inputs, images, refused, &mut lanes, &mut verdicts);
            let verdicts = verdicts.expect("asked for above");
            let groups = lanes_at(&inputs.sig.group_of, first);
            for i in 0..BLOCK {
                if verdicts[i] == ABSENT {
                    continue;
                }
                if verdicts[i] == 0 {
                    self.join(groups[i]);
                }
                let slot = u32::try_from(first + i).expect("slots are below NODES_MAX");
                self.tops.set(slot, Mark::new(groups[i], verdicts[i]), lanes[i]);
            }
        }
    }
}
