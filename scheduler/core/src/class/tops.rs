// SPDX-License-Identifier: Apache-2.0
//! The best nodes of a class, listed by group, for one that comes often.
//!
//! A class that comes often needs its best node, not an order of all of them. So only those nodes are listed whose lane is above
//! a floor; the floor of a group says what lane its other nodes are at or below. Floors are set such that the nodes listed are
//! those with the highest totals, groups' scores included, as they were when all nodes were last looked at. As long as the
//! best of the list is above all floors in total, it is the best of all.
//!
//! Upkeep is to write down the changed nodes that are above their floor, which most are not. Nothing is ever taken off when a node
//! changes: an entry says up to which place of the log it holds, and is dropped if it is found at the top and the node has
//! changed since. (The same idea as in a priority queue with lazy deletion.)

use super::{Held, Inputs, Lanes, block_of, lanes_at, touch};
use crate::decide::Evaluated;
use crate::log::Log;
use crate::ties::TIE_BITS;
use crate::vector::{Vector, dispatch};
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;

/// Entries that are listed after all nodes were looked at are half of this, unless said otherwise; four times as many are too
/// many.
pub(crate) const LISTED: usize = 256;
/// Groups of a signature beyond which single lanes are held instead.
pub(super) const TOPS_GROUPS_MAX: usize = 1 << 12;
/// Floor of a group of whose nodes nothing is known.
const UNKNOWN: u32 = u32::MAX;

/// Where an entry of a list comes from.
#[derive(Debug, Clone, Copy)]
struct Source {
    slot: Slot,
    /// The lane holds if the node did not change from this place of the log on.
    until: u64,
}

/// The list of a group.
#[derive(Debug)]
struct List {
    /// No lane of the group that is not listed is above this.
    floor: u32,
    /// The largest of `lanes`, 0 if there is none, and its place.
    best: u32,
    best_at: usize,
    lanes: Vec<u32>,
    sources: Vec<Source>,
}

impl List {
    fn new(floor: u32) -> Self {
        Self { floor, best: 0, best_at: 0, lanes: Vec::new(), sources: Vec::new() }
    }

    fn clear(&mut self, floor: u32) {
        self.floor = floor;
        self.best = 0;
        self.lanes.clear();
        self.sources.clear();
    }

    #[inline]
    fn push(&mut self, lane: u32, source: Source) {
        if lane > self.best {
            self.best = lane;
            self.best_at = self.lanes.len();
        }
        self.lanes.push(lane);
        self.sources.push(source);
    }

    /// Takes the best entry off.
    fn drop_best(&mut self, vector: Vector) {
        self.lanes.swap_remove(self.best_at);
        self.sources.swap_remove(self.best_at);
        (self.best, self.best_at) = largest_at(vector, &self.lanes);
    }

    /// Takes off what does not hold any more.
    fn sweep(&mut self, log: &Log) {
        let mut kept = 0;
        for at in 0..self.lanes.len() {
            let (lane, source) = (self.lanes[at], self.sources[at]);
            if !log.changed_since(source.slot, source.until) {
                self.lanes[kept] = lane;
                self.sources[kept] = source;
                kept += 1;
            }
        }
        self.lanes.truncate(kept);
        self.sources.truncate(kept);
        (self.best, self.best_at) = largest_at(Vector::BASELINE, &self.lanes);
    }

    fn resident(&self) -> usize {
        size_of::<Self>()
            + self.lanes.capacity() * 4
            + self.sources.capacity() * size_of::<Source>()
    }
}

/// The lists of all groups.
#[derive(Debug, Default)]
pub(super) struct Tops {
    lists: Vec<List>,
    /// The lowest floor: what is not above it is listed nowhere.
    threshold: u32,
    /// Entries of all lists.
    entries: usize,
    /// Entries after all nodes were looked at.
    wanted: usize,
    /// The best nodes found so far: total and lane in one word, group.
    found: Vec<(u64, u32, Slot)>,
    /// By group: score plus one, 0 if it is not feasible.
    scores: Vec<u32>,
    /// Places in `dirty` that are to be looked at.
    picked: Vec<u32>,
}

impl Tops {
    /// Forgets all lists.
    fn clear(&mut self, slots: usize, listed: usize) {
        // More where a look at all nodes takes longer.
        self.wanted = ((listed + slots / 256) / 2).max(1);
        self.threshold = UNKNOWN;
        self.entries = 0;
        for list in &mut self.lists {
            list.clear(UNKNOWN);
        }
    }

    fn list_mut(&mut self, group: u32) -> &mut List {
        let at = group as usize;
        if self.lists.len() <= at {
            // All nodes of a group that is new came into it by changes, which were compared with the threshold.
            let threshold = self.threshold;
            self.lists.resize_with(at + 1, || List::new(threshold));
        }
        &mut self.lists[at]
    }

    /// Lists a node if it is above the floor of its group.
    #[inline]
    fn offer(&mut self, group: u32, lane: u32, source: Source) {
        let list = self.list_mut(group);
        if lane > list.floor {
            list.push(lane, source);
            self.entries += 1;
        }
    }

    /// The best node of these groups as total and lane in one word, if the lists can tell.
    fn best(&mut self, groups: &[Evaluated], log: &Log, vector: Vector) -> Option<u64> {
        let (mut best, mut bound) = (0, 0);
        for evaluated in groups {
            let score = u64::try_from(evaluated.score).expect("scores are not negative") << TIE_BITS;
            let list = self.list_mut(evaluated.group);
            if list.floor != 0 {
                bound = bound.max(score + u64::from(list.floor));
            }
            let mut dropped = 0;
            while list.best != 0 && score + u64::from(list.best) > best {
                let source = list.sources[list.best_at];
                if log.changed_since(source.slot, source.until) {
                    list.drop_best(vector);
                    dropped += 1;
                } else {
                    best = score + u64::from(list.best);
                }
            }
            self.entries -= dropped;
        }
        (best > bound).then_some(best)
    }

    /// Keeps the lists short.
    fn trim(&mut self, groups: &[Evaluated], log: &Log) {
        if self.entries <= self.wanted * 8 {
            return;
        }
        for list in &mut self.lists {
            list.sweep(log);
        }
        self.entries = self.lists.iter().map(|list| list.lanes.len()).sum();
        if self.entries <= self.wanted * 4 {
            return;
        }
        // All nodes will be looked at when these groups matter.
        self.spread_scores(groups);
        let scores = self.scores.iter().copied().chain(core::iter::repeat(0));
        for (list, score) in self.lists.iter_mut().zip(scores) {
            let keeps = score == 0 && list.lanes.len() * 2 <= self.wanted;
            if !keeps {
                self.entries -= list.lanes.len();
                list.clear(UNKNOWN);
            }
        }
    }

    fn spread_scores(&mut self, groups: &[Evaluated]) {
        let bound = groups.iter().map(|g| g.group as usize + 1).max().unwrap_or(0);
        self.scores.clear();
        self.scores.resize(bound, 0);
        for evaluated in groups {
            self.scores[evaluated.group as usize] =
                u32::try_from(evaluated.score + 1).expect("weights are at most WEIGHT_MAX");
        }
    }

    /// Bytes held.
    pub(super) fn resident(&self) -> usize {
        let lists: usize = self.lists.iter().map(List::resident).sum();
        lists + self.found.capacity() * 16 + (self.scores.capacity() + self.picked.capacity()) * 4
    }
}

/// The largest lane and its place; 0 if there is none.
#[inline(always)]
fn largest_with_place(lanes: &[u32]) -> (u32, usize) {
    let best = lanes.iter().copied().fold(0, u32::max);
    let mut at = 0;
    for chunk in lanes.chunks(16) {
        if chunk.iter().fold(false, |found, lane| found | (*lane == best)) {
            return (best, at + chunk.iter().position(|lane| *lane == best).unwrap_or(0));
        }
        at += chunk.len();
    }
    (best, 0)
}

dispatch! {
    fn largest_at(lanes: &[u32]) -> (u32, usize) = largest_with_place;
}

/// A bit for each lane above a floor.
#[inline(always)]
fn bits_above(lanes: &[u32; BLOCK], floor: u32) -> u64 {
    let mut bits = 0;
    for (i, lane) in lanes.iter().enumerate() {
        bits |= u64::from(*lane > floor) << i;
    }
    bits
}

dispatch! {
    fn above(lanes: &[u32; BLOCK], floor: u32) -> u64 = bits_above;
}

impl Lanes {
    /// Takes in the nodes that changed since the cursor.
    pub(super) fn mend_tops(&mut self, inputs: Inputs<'_>) {
        self.gather_dirty(inputs);
        // Only a change of a node's own fields, or a rule about more than requests, keeps out a node that the requests fit.
        let all = !inputs.is_plain()
            || !self.images.is_empty()
            || inputs.log.static_since(self.cursor);
        let (outs, threshold) = (&self.outs, self.tops.threshold);
        let any_out = outs.any();
        let picked = &mut self.tops.picked;
        picked.clear();
        picked.resize(self.dirty.len(), 0);
        let mut count = 0;
        for (at, (slot, lane)) in (0..).zip(self.dirty.iter().zip(&self.mended)) {
            picked[count] = at;
            let look = all || *lane > threshold || *lane == 0 || (any_out && outs.has(*slot));
            count += usize::from(look);
        }
        picked.truncate(count);
        let group_of = &inputs.sig.group_of;
        touch(picked.iter().map(|at| group_of[self.dirty[*at as usize] as usize]));
        for at in 0..count {
            let at = self.tops.picked[at] as usize;
            let slot = self.dirty[at];
            let (verdict, lane) = self.judge(slot, self.mended[at], inputs);
            let group = group_of[slot as usize];
            if verdict != 0 || (any_out && self.outs.has(slot)) {
                self.outs.settle(slot, group, verdict, &mut self.refused);
            }
            if lane > threshold {
                self.tops.offer(group, lane, Source { slot, until: inputs.log.head() });
            }
        }
    }

    /// Counts the nodes that do not pass by themselves anew, and lists none of the others.
    pub(super) fn count_outs(&mut self, inputs: Inputs<'_>) {
        let slots = inputs.nodes.slots();
        self.begin(Held::Tops, inputs);
        self.cells = Vec::new();
        for group in &mut self.groups {
            (group.blocks, group.loose) = (Vec::new(), Vec::new());
        }
        self.tops.clear(slots, inputs.listed);
        self.outs.clear();
        for block in 0..slots / BLOCK {
            let first = block * BLOCK;
            let (mut lanes, mut verdicts) = ([0_u32; BLOCK], Some([0; BLOCK]));
            let mut refused = [0; Plugin::FILTERS];
            block_of(block, inputs, &self.images, &mut refused, &mut lanes, &mut verdicts);
            if refused == [0; Plugin::FILTERS] {
                continue;
            }
            let verdicts = verdicts.expect("asked for above");
            let groups = lanes_at(&inputs.sig.group_of, first);
            for i in 0..BLOCK {
                if verdicts[i] != 0 {
                    let slot = u32::try_from(first + i).expect("slots are below NODES_MAX");
                    self.outs.settle(slot, groups[i], verdicts[i], &mut self.refused);
                }
            }
        }
    }

    /// The best node of these groups as total and lane in one word.
    pub(super) fn best_listed(&mut self, groups: &[Evaluated], inputs: Inputs<'_>) -> Option<u64> {
        if groups.is_empty() {
            return None;
        }
        self.tops.trim(groups, inputs.log);
        match self.tops.best(groups, inputs.log, inputs.vector) {
            None => self.find_tops(groups, inputs),
            best => best,
        }
    }

    /// Looks at all nodes, lists the best of these groups, and gives the best of them all.
    fn find_tops(&mut self, groups: &[Evaluated], inputs: Inputs<'_>) -> Option<u64> {
        self.rebuilt = true;
        self.tops.spread_scores(groups);
        let highest = u64::from(self.tops.scores.iter().copied().max().unwrap_or(0)) << TIE_BITS;
        let mut found = core::mem::take(&mut self.tops.found);
        found.clear();
        let wanted = self.tops.wanted;
        let mut floor = 0_u64;
        for block in 0..inputs.nodes.slots() / BLOCK {
            let (mut lanes, mut refused) = ([0_u32; BLOCK], [0; Plugin::FILTERS]);
            block_of(block, inputs, &self.images, &mut refused, &mut lanes, &mut None);
            let groups = lanes_at(&inputs.sig.group_of, block * BLOCK);
            // No score lifts a lower lane above the floor.
            let least = u32::try_from((floor + (1 << TIE_BITS)).saturating_sub(highest));
            let mut bits = above(inputs.vector, &lanes, least.unwrap_or(u32::MAX));
            while bits != 0 {
                let i = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let score = self.tops.scores.get(groups[i] as usize).copied().unwrap_or(0);
                let total = u64::from(lanes[i]) + (u64::from(score.wrapping_sub(1)) << TIE_BITS);
                if score == 0 || total <= floor {
                    continue;
                }
                let slot = u32::try_from(block * BLOCK + i).expect("slots are below NODES_MAX");
                found.push((total, groups[i], slot));
                if found.len() > wanted * 2 {
                    found.select_nth_unstable_by(wanted, |a, b| b.0.cmp(&a.0));
                    floor = found[wanted].0;
                    found.truncate(wanted);
                }
            }
        }
        let best = found.iter().map(|(total, ..)| *total).max();
        self.tops.list(&found, floor, groups, inputs);
        self.tops.found = found;
        best
    }
}

impl Tops {
    /// Lists what was found: all nodes of these groups whose total is above `floor`.
    fn list(
        &mut self,
        found: &[(u64, u32, Slot)],
        floor: u64,
        groups: &[Evaluated],
        inputs: Inputs<'_>,
    ) {
        if let Some(last) = inputs.sig.groups.len().checked_sub(1) {
            self.list_mut(u32::try_from(last).expect("groups are at most nodes"));
        }
        self.threshold = UNKNOWN;
        for evaluated in groups {
            let score = u64::try_from(evaluated.score).expect("scores are not negative") << TIE_BITS;
            // A lane is below `UNKNOWN` - 1: totals of 2^12 and more are not lanes.
            let floor = u32::try_from(floor.saturating_sub(score)).unwrap_or(UNKNOWN);
            self.lists[evaluated.group as usize].clear(floor);
            self.threshold = self.threshold.min(floor);
        }
        // A floor may always be raised. Those of other groups must not have all changes looked at.
        for list in &mut self.lists {
            list.floor = list.floor.max(self.threshold);
        }
        for (total, group, slot) in found {
            let score = u64::from(self.scores[*group as usize] - 1) << TIE_BITS;
            let lane = u32::try_from(total - score).expect("it was a lane");
            let source = Source { slot: *slot, until: inputs.log.head() };
            self.lists[*group as usize].push(lane, source);
        }
        self.entries = self.lists.iter().map(|list| list.lanes.len()).sum();
    }
}
