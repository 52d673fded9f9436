// SPDX-License-Identifier: Apache-2.0
//! The best nodes of a class, listed by group, for one that comes often.
//!
//! A class that comes often needs its best node, not an order of all of them. So only those nodes of a group are listed whose lane
//! is above the group's floor; all others are known to be at or below it. As long as the best of the lists is, groups' scores
//! included, above what every floor allows, it is the best of all. If it is not, all nodes are looked at and listed anew.
//!
//! Upkeep is to list the changed nodes that are above their floor. Most are not, and one comparison tells: no group of many nodes
//! has a floor below the *threshold*. Nodes of the others (few, often the ones with the highest scores) are *watched*: looked
//! at whatever their lane. Nothing is taken off when a node changes: an entry says up to which place of the log it holds, and is
//! dropped if it comes to the top and the node has changed since, as in a priority queue with lazy deletion.

use super::narrow::Narrow;
use super::outs::Outs;
use super::{GroupLanes, Held, Inputs, Lanes, block_of, lanes_at, touch};
use crate::decide::Evaluated;
use crate::local;
use crate::log::Log;
use crate::sig::{NO_GROUP, Sig};
use crate::ties::TIE_BITS;
use crate::vector::{Vector, dispatch};
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;

/// Groups of a signature beyond which single lanes are held instead.
pub(super) const TOPS_GROUPS_MAX: usize = 1 << 12;
/// Nodes that are listed when all are looked at, unless said otherwise.
pub(crate) const LISTED: usize = 64;
/// Nodes that are then listed of one group at least, if it has them.
const LISTED_MIN: usize = 16;
/// What is further below the best total is not listed: points.
const WINDOW: u64 = 16;
/// Beyond twice what is kept of a list when it is trimmed, it may have this share of `LISTED` more: it is trimmed seldom.
const SPARE_SHARE: usize = 2;
/// Lists that served so many decisions at most should have been longer, up to so many times.
const SOON: usize = 12;
const SCALE_MAX: usize = 8;
/// Those that served so many need not be as long.
const LATE: usize = 128;
/// When lists served a single decision so often in a row, none are made for the next `LISTED` decisions.
const WASTED_MAX: u32 = 4;
/// Changed nodes are gathered from where they are if they are no more than this share of `LISTED`.
const GATHERED_SHARE: usize = 6;
/// One in so many nodes may be watched.
const WATCHED_SHARE: usize = 8;
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

    /// Lists a node; the list will not be longer than `most`.
    #[inline]
    fn push(&mut self, lane: u32, source: Source, most: usize) {
        if self.lanes.len() == self.lanes.capacity() {
            self.reserve(most);
        }
        if lane > self.best {
            self.best = lane;
            self.best_at = self.lanes.len();
        }
        self.lanes.push(lane);
        self.sources.push(source);
    }

    /// Makes room in two steps to the whole: most groups are small, and those that are not should not grow for long.
    #[cold]
    fn reserve(&mut self, most: usize) {
        let (have, half) = (self.lanes.len(), LISTED_MIN * 2);
        let more = if have < half { half - have } else { most.saturating_sub(have).max(half) };
        self.lanes.reserve_exact(more);
        self.sources.reserve_exact(more);
    }

    /// Takes the best entry off.
    fn drop_best(&mut self, vector: Vector) {
        self.lanes.swap_remove(self.best_at);
        self.sources.swap_remove(self.best_at);
        (self.best, self.best_at) = largest_at(vector, &self.lanes);
    }

    /// Takes off what does not hold any more, and if that leaves too many, all but the best.
    #[cold]
    fn trim(&mut self, kept: usize, log: &Log, scratch: &mut Vec<u32>) {
        self.keep(|_, source| !log.changed_since(source.slot, source.until));
        if self.lanes.len() > kept * 3 / 2 {
            scratch.clear();
            scratch.extend_from_slice(&self.lanes);
            // Lanes that hold differ: the tie order is part of them.
            let (_, floor, _) = scratch.select_nth_unstable_by(kept, |a, b| b.cmp(a));
            let floor = *floor;
            self.floor = floor;
            self.keep(|lane, _| lane > floor);
        }
        (self.best, self.best_at) = largest_at(Vector::BASELINE, &self.lanes);
    }

    fn keep(&mut self, wanted: impl Fn(u32, Source) -> bool) {
        let mut kept = 0;
        for at in 0..self.lanes.len() {
            let (lane, source) = (self.lanes[at], self.sources[at]);
            if wanted(lane, source) {
                self.lanes[kept] = lane;
                self.sources[kept] = source;
                kept += 1;
            }
        }
        self.lanes.truncate(kept);
        self.sources.truncate(kept);
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
    /// No node that is not watched is listed with a lane that is not above this.
    threshold: u32,
    /// A bit for each slot whose node is watched. More may be set than need be.
    watched: Vec<u64>,
    /// Whether any is.
    watches: bool,
    /// Nodes listed of a group when all nodes are looked at.
    kept: usize,
    /// Entries that a list may have beyond twice those.
    spare: usize,
    /// Decisions since all nodes were looked at.
    decisions: usize,
    /// How many times as many nodes are listed: more where lists are used up soon.
    scale: usize,
    /// Times in a row that lists served a single decision.
    wasted: u32,
    /// Decisions for which nothing is listed, after that.
    pause: usize,
    scratch: Vec<u32>,
}

/// Room for a look at all nodes, of whatever class.
#[derive(Debug, Default)]
pub(crate) struct Room {
    /// Lanes of all nodes.
    lanes: Vec<u32>,
    /// By group: score plus one, 0 if it is not feasible.
    scores: Vec<u32>,
    /// All nodes in 16 bits.
    pub(super) narrow: Narrow,
}

impl Room {
    /// Whether a group's nodes were feasible.
    fn feasible(&self, group: u32) -> bool {
        self.scores.get(group as usize).is_some_and(|score| *score != 0)
    }
}

impl Tops {
    /// Forgets all lists.
    fn clear(&mut self, sig: &Sig) {
        self.know(sig);
        self.threshold = UNKNOWN;
        for list in &mut self.lists {
            list.clear(UNKNOWN);
        }
    }

    /// Lists are used up sooner while a cluster is filled than when as many pods leave as come.
    fn rescale(&mut self, listed: usize) {
        self.wasted = if self.decisions <= 1 { self.wasted + 1 } else { 0 };
        if self.wasted > WASTED_MAX {
            (self.wasted, self.pause) = (0, listed);
        }
        let used_up_soon = self.decisions <= SOON && self.scale < SCALE_MAX;
        self.scale = (self.scale << u32::from(used_up_soon)).max(1);
        self.decisions = 0;
    }

    /// Whether lists are not worth making for this decision.
    pub(super) fn pauses(&mut self) -> bool {
        self.pause = self.pause.saturating_sub(1);
        self.pause > 0
    }

    /// Has a list for each group that there is.
    fn know(&mut self, sig: &Sig) {
        if let Some(last) = sig.groups.len().checked_sub(1) {
            self.list_mut(u32::try_from(last).expect("groups are at most nodes"));
        }
    }

    fn list_mut(&mut self, group: u32) -> &mut List {
        let at = group as usize;
        if self.lists.len() <= at {
            // Of a group that is new, all nodes came into it by moves, and were looked at.
            self.lists.resize_with(at + 1, || List::new(0));
        }
        &mut self.lists[at]
    }

    #[inline]
    fn is_watched(&self, slot: Slot) -> bool {
        let word = self.watched.get(slot as usize / 64).copied().unwrap_or(0);
        word >> (slot % 64) & 1 != 0
    }

    fn watch(&mut self, slot: Slot) {
        let word = slot as usize / 64;
        if self.watched.len() <= word {
            self.watched.resize(word + 1, 0);
        }
        self.watched[word] |= 1 << (slot % 64);
        self.watches = true;
    }

    /// Lists a node if it is above the floor of its group.
    #[inline]
    fn offer(&mut self, group: u32, lane: u32, source: Source, log: &Log) {
        let most = self.kept * 2 + self.spare;
        let list = self.list_mut(group);
        if lane > list.floor {
            list.push(lane, source, most);
            if list.lanes.len() >= most {
                if self.decisions >= LATE && self.scale > 1 {
                    self.decisions = 0;
                    self.scale /= 2;
                    self.kept = (self.kept / 2).max(1);
                }
                let mut scratch = core::mem::take(&mut self.scratch);
                self.lists[group as usize].trim(self.kept, log, &mut scratch);
                self.scratch = scratch;
            }
        }
    }

    /// The best node of these groups as total and lane in one word, if the lists can tell.
    fn best(&mut self, groups: &[Evaluated], log: &Log, vector: Vector) -> Option<u64> {
        let (mut best, mut bound) = (0, 0);
        for evaluated in groups {
            let score = evaluated.above_ties();
            let list = self.list_mut(evaluated.group);
            if list.floor != 0 {
                bound = bound.max(score + u64::from(list.floor));
            }
            while list.best != 0 && score + u64::from(list.best) > best {
                let source = list.sources[list.best_at];
                if log.changed_since(source.slot, source.until) {
                    list.drop_best(vector);
                } else {
                    best = score + u64::from(list.best);
                }
            }
        }
        (best > bound).then_some(best)
    }

    /// Bytes held.
    pub(super) fn resident(&self) -> usize {
        let lists: usize = self.lists.iter().map(List::resident).sum();
        lists + self.watched.capacity() * 8 + self.scratch.capacity() * 4
    }
}

/// The largest lane and its place; 0 if there is none.
#[inline(always)]
fn largest_with_place(lanes: &[u32]) -> (u32, usize) {
    let best = lanes.iter().copied().fold(0, u32::max);
    let mut at = 0;
    for chunk in lanes.chunks(16) {
        // All of them, not up to the first: that is what becomes vector code.
        if chunk.iter().fold(0, |found, lane| found | u32::from(*lane == best)) != 0 {
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

/// A bit for each lane above a floor, and for each that is 0.
#[inline(always)]
fn bits_high_or_none(lanes: &[u32; BLOCK], floor: u32) -> u64 {
    let mut bits = 0;
    for (i, lane) in lanes.iter().enumerate() {
        bits |= u64::from(lane.wrapping_sub(1) >= floor) << i;
    }
    bits
}

dispatch! {
    fn high_or_none(lanes: &[u32; BLOCK], floor: u32) -> u64 = bits_high_or_none;
}

impl Lanes {
    /// Takes in the nodes that changed since the cursor.
    pub(super) fn mend_tops(&mut self, inputs: Inputs<'_>) {
        let group_of = &inputs.sig.group_of;
        for at in self.moves..inputs.sig.moves_head() {
            let slot = inputs.sig.moved(at);
            let group = group_of[slot as usize];
            if group != NO_GROUP && self.tops.list_mut(group).floor < self.tops.threshold {
                self.tops.watch(slot);
            }
        }
        self.moves = inputs.sig.moves_head();
        if !self.gather_trail(inputs) {
            self.gather_dirty(inputs);
        }
        touch(self.dirty.iter().map(|slot| group_of[*slot as usize]));
        let (log, until) = (inputs.log, inputs.log.head());
        for at in 0..self.dirty.len() {
            let slot = self.dirty[at];
            let (verdict, lane) = self.judge(slot, self.mended[at], inputs);
            let group = group_of[slot as usize];
            if verdict != 0 || self.outs.has(slot) {
                self.outs.settle(slot, group, verdict, &mut self.refused);
            }
            if lane != 0 {
                // It may have come into a group that is listed completely.
                if self.tops.list_mut(group).floor < self.tops.threshold {
                    self.tops.watch(slot);
                }
                self.tops.offer(group, lane, Source { slot, until }, log);
            }
        }
    }

    /// Gathers those nodes that changed since the cursor which may be listed, or may have come to pass or not, into `dirty`, and
    /// their lanes into `mended`; `false` if the kernel does not know all of them.
    fn gather_trail(&mut self, inputs: Inputs<'_>) -> bool {
        // Fewer are gathered sooner from where they are.
        let few = inputs.log.head() - self.cursor <= (inputs.listed / GATHERED_SHARE) as u64;
        let Some(trail) = inputs.log.trail(self.cursor).filter(|_| !few) else { return false };
        // Only a change of a node's own fields, or a rule about more than requests, keeps out a node that the requests fit.
        let all =
            !inputs.is_plain() || !self.images.is_empty() || inputs.log.static_since(self.cursor);
        self.dirty.clear();
        self.mended.clear();
        let (mut position, head) = (self.cursor, inputs.log.head());
        while position < head {
            let past = trail.past(position);
            let mut lanes = [0; BLOCK];
            if !local::past_lanes(inputs.vector, inputs.rules, inputs.shape, past, &mut lanes) {
                return false;
            }
            let first = position % BLOCK as u64;
            let count = (BLOCK as u64 - first).min(head - position);
            let wanted = (u64::MAX >> (BLOCK as u64 - count)) << first;
            let mut bits = wanted;
            if !all {
                bits &= high_or_none(inputs.vector, &lanes, self.tops.threshold)
                    | self.known(&past.slots);
            }
            while bits != 0 {
                let i = bits.trailing_zeros();
                bits &= bits - 1;
                let slot = past.slots[i as usize];
                if inputs.log.is_last(position - first + u64::from(i), slot) {
                    self.dirty.push(slot);
                    self.mended.push(lanes[i as usize]);
                }
            }
            position += count;
        }
        true
    }

    /// A bit for each of these nodes that is watched or out.
    fn known(&self, slots: &[Slot; BLOCK]) -> u64 {
        let mut bits = 0;
        if self.outs.any() {
            for (i, slot) in slots.iter().enumerate() {
                bits |= u64::from(self.tops.is_watched(*slot) || self.outs.has(*slot)) << i;
            }
        } else if self.tops.watches {
            for (i, slot) in slots.iter().enumerate() {
                bits |= u64::from(self.tops.is_watched(*slot)) << i;
            }
        }
        bits
    }

    /// Counts the nodes that do not pass by themselves anew, and lists none of the others.
    pub(super) fn count_outs(&mut self, inputs: Inputs<'_>) {
        let slots = inputs.nodes.slots();
        self.begin(Held::Tops, inputs);
        self.cells = Vec::new();
        for group in &mut self.groups {
            *group = GroupLanes::default();
        }
        self.tops.clear(inputs.sig);
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
    pub(super) fn best_listed(
        &mut self,
        groups: &[Evaluated],
        inputs: Inputs<'_>,
        room: &mut Room,
    ) -> Option<u64> {
        if groups.is_empty() {
            return None;
        }
        self.tops.decisions += 1;
        let known = self.tops.best(groups, inputs.log, inputs.vector);
        known.or_else(|| Some(self.find_tops(groups, inputs, room)))
    }

    /// Looks at all nodes, lists the best of these groups, and gives the best of them all.
    fn find_tops(&mut self, groups: &[Evaluated], inputs: Inputs<'_>, room: &mut Room) -> u64 {
        self.rebuilt = true;
        let slots = inputs.nodes.slots();
        self.tops.know(inputs.sig);
        room.resize(slots);
        for block in 0..slots / BLOCK {
            let first = block * BLOCK;
            let lanes = &mut room.lanes[first..first + BLOCK];
            let lanes = lanes.try_into().expect("slots come in whole blocks");
            let mut refused = [0; Plugin::FILTERS];
            block_of(block, inputs, &self.images, &mut refused, lanes, &mut None);
        }
        self.tops.rescale(inputs.listed);
        // More where a look at all nodes takes longer.
        let listed = inputs.listed * self.tops.scale + slots / 256;
        self.tops.kept = (listed / groups.len()).max(LISTED_MIN.min(inputs.listed)).max(1);
        self.tops.spare = inputs.listed / SPARE_SHARE;
        let best = room.best(groups, inputs);
        self.tops.list_window(groups, best, room, inputs);
        self.tops.choose_threshold(inputs.sig, &self.outs, room);
        best
    }
}

impl Room {
    /// Makes room for the lanes of so many nodes.
    pub(super) fn resize(&mut self, slots: usize) {
        self.lanes.resize(slots, 0);
    }

    /// The lanes of all nodes.
    pub(super) fn lanes_mut(&mut self) -> &mut [u32] {
        &mut self.lanes
    }

    /// The best total of all nodes, as total and lane in one word; from a look at them in 16 bits.
    pub(super) fn best_narrow(&mut self, groups: &[Evaluated], inputs: Inputs<'_>) -> u64 {
        Evaluated::lay_out(groups, inputs.sig.groups.len() + 1, &mut self.scores);
        self.narrow.best(groups, &self.scores, inputs).saturating_sub(1 << TIE_BITS)
    }

    /// The best total of all nodes, as total and lane in one word.
    pub(super) fn best(&mut self, groups: &[Evaluated], inputs: Inputs<'_>) -> u64 {
        // Nodes of other groups, and of none, have a score of 0.
        Evaluated::lay_out(groups, inputs.sig.groups.len() + 1, &mut self.scores);
        let best = best_total(inputs.vector, &self.lanes, &inputs.sig.group_of, &self.scores);
        best.saturating_sub(1 << TIE_BITS)
    }
}

/// The largest sum of lane and score (which counts 1 more than it is); a lane or score of 0 does not count.
#[inline(always)]
fn largest_total(lanes: &[u32], groups: &[u32], scores: &[u32]) -> u64 {
    let none = scores.len() - 1;
    let mut best = 0;
    for (lane, group) in lanes.iter().zip(groups) {
        let score = scores[(*group as usize).min(none)];
        let total = u64::from(*lane) + (u64::from(score) << TIE_BITS);
        best = best.max(if *lane == 0 || score == 0 { 0 } else { total });
    }
    best
}

dispatch! {
    fn best_total(lanes: &[u32], groups: &[u32], scores: &[u32]) -> u64 = largest_total;
}

impl Tops {
    /// Lists the nodes of these groups that are within a window below the best total, and the best of those if they are many.
    fn list_window(&mut self, groups: &[Evaluated], best: u64, room: &Room, inputs: Inputs<'_>) {
        let least = best.saturating_sub(WINDOW << TIE_BITS);
        let mut lowest = UNKNOWN;
        for evaluated in groups {
            let floor = least.saturating_sub(evaluated.above_ties());
            let floor = u32::try_from(floor).unwrap_or(UNKNOWN);
            self.lists[evaluated.group as usize].clear(floor);
            lowest = lowest.min(floor);
        }
        let lanes = &room.lanes;
        let until = inputs.log.head();
        for block in 0..lanes.len() / BLOCK {
            let first = block * BLOCK;
            let mut bits = above(inputs.vector, lanes_at(lanes, first), lowest);
            while bits != 0 {
                let at = first + bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let group = inputs.sig.group_of[at];
                if room.feasible(group) {
                    let slot = u32::try_from(at).expect("slots are below NODES_MAX");
                    self.offer(group, lanes[at], Source { slot, until }, inputs.log);
                }
            }
        }
    }

    /// Chooses the threshold, and which nodes are watched: those of the groups with the lowest floors, if they are not many.
    fn choose_threshold(&mut self, sig: &Sig, outs: &Outs, room: &Room) {
        let mut by_floor = core::mem::take(&mut self.scratch);
        by_floor.clear();
        by_floor.extend(
            (0..).zip(&sig.groups).map(|(group, _)| group).filter(|group| room.feasible(*group)),
        );
        by_floor.sort_unstable_by_key(|group| self.lists[*group as usize].floor);
        let mut budget = sig.group_of.len() / WATCHED_SHARE;
        self.threshold = UNKNOWN;
        for group in &by_floor {
            let group = *group;
            let nodes = sig.groups[group as usize].nodes as usize;
            if nodes > budget {
                self.threshold = self.lists[group as usize].floor;
                break;
            }
            budget -= nodes;
        }
        self.scratch = by_floor;
        for (group, (list, state)) in (0..).zip(self.lists.iter_mut().zip(&sig.groups)) {
            if state.nodes == outs.of_group(group) {
                // Without a node that passes, it is listed completely.
                list.clear(0);
            } else if !room.feasible(group) {
                // A floor may be raised at any time.
                list.floor = list.floor.max(self.threshold);
            }
        }
        self.watched.clear();
        self.watched.resize(sig.group_of.len().div_ceil(64), 0);
        for (word, groups) in self.watched.iter_mut().zip(sig.group_of.chunks(64)) {
            for (i, group) in groups.iter().enumerate() {
                let low = self.lists.get(*group as usize).is_some_and(|l| l.floor < self.threshold);
                *word |= u64::from(low) << i;
            }
        }
        self.watches = self.watched.iter().any(|word| *word != 0);
    }
}
