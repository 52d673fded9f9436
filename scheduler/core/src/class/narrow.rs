// SPDX-License-Identifier: Apache-2.0
//! A look at all nodes with numbers of 16 bits: four times as many nodes to a vector register as with doubles, and a fifth of the
//! memory to be read.
//!
//! [`columns`] computes of each node, for a class, an upper bound of its local score, and a mark where the exact score may be
//! lower by a rounding. Here the best node is looked for from the highest bound downwards, in the order in which ties are
//! broken: so the first node of a bound that is in a group of the highest score is the one, and the others are not visited.
//! Marked nodes that are visited are computed exactly. So the answer is that of the exact kernel, always.

mod columns;
#[cfg(test)]
mod tests;

use super::Inputs;
use crate::decide::Evaluated;
use crate::local::{self, At, lane, lane_score, single};
use crate::log::Log;
use crate::nodes::{Nodes, split};
use crate::ties::TIE_BITS;
use crate::vector::dispatch;
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use columns::{Columns, MARKS, MAYBE, Reference, Taken, UNSURE, all_words};

/// After visits of so large a share of the nodes, the groups are taken into account for all of them at once.
const VISITS_SHARE: usize = 8;
/// New nodes stand behind the others, out of order, until they are so large a share of all.
const TAIL_SHARE: usize = 16;
/// No slot, or no place.
const NONE: u32 = u32::MAX;

/// The nodes in 16 bits, and room for a look at them. One serves all classes.
#[derive(Debug, Default)]
pub(super) struct Narrow {
    reference: Reference,
    columns: Vec<Columns>,
    /// By place: the slot. The first `sorted` blocks are in the order in which ties are broken.
    slots: Vec<Slot>,
    sorted: usize,
    /// By slot: its place, and the hash that put it there.
    places: Vec<(u32, u64)>,
    /// Up to where of the log the columns are right; `None`: nowhere.
    cursor: Option<u64>,
    /// By place, of the present look: bound of the score plus one, and marks; 0 for nodes that are out.
    words: Vec<[u16; BLOCK]>,
    highest: u16,
    /// Nodes that may be the best, and their exact lanes.
    candidates: Vec<Slot>,
    exact: Vec<u32>,
}

/// What a class requests, if requests alone decide about single nodes, by the default profile's rules.
fn amounts(inputs: Inputs<'_>) -> Option<[f64; 4]> {
    let plain = inputs.rules.kernel.is_some() && inputs.sig.refusing == 0 && inputs.is_plain();
    inputs.shape.plain_amounts().filter(|_| plain)
}

/// Whether this is made for such a class. Its requests may still be too large.
pub(super) fn serves(inputs: Inputs<'_>) -> bool {
    amounts(inputs).is_some()
}

impl Narrow {
    /// Computes all words for a class; `false` where it takes more than this kernel. Calls back with each node that is there
    /// and is out.
    pub(super) fn look(&mut self, inputs: Inputs<'_>, out: impl FnMut(Slot)) -> bool {
        let Some(amounts) = amounts(inputs) else { return false };
        self.catch_up(inputs.nodes, inputs.log);
        let Some(request) = self.reference.request(amounts) else { return false };
        self.words.resize(self.columns.len(), [0; BLOCK]);
        let found = all_words(inputs.vector, &self.columns, request, &mut self.words);
        self.highest = found.best >> MARKS;
        if found.maybe {
            self.judge(inputs);
        }
        if found.maybe || found.fitting < inputs.nodes.live() {
            self.tell_out(inputs, out);
        }
        true
    }

    /// Computes exactly the nodes of which it is not certain that the requests fit.
    fn judge(&mut self, inputs: Inputs<'_>) {
        for (words, slots) in self.words.iter_mut().zip(self.slots.chunks(BLOCK)) {
            let mut bits = having(inputs.vector, words, MAYBE);
            while bits != 0 {
                let i = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                let (block, lane) = split(slots[i]);
                let block = &inputs.nodes.blocks[block];
                let at = At { block, lane, entry: inputs.nodes.entry(slots[i]) };
                words[i] = match single(at, 0, inputs.rules, inputs.shape) {
                    0 => 0,
                    lane => {
                        let bound = u16::try_from(lane_score(lane) + 1).expect("below 256");
                        self.highest = self.highest.max(bound);
                        bound << MARKS
                    }
                };
            }
        }
    }

    fn tell_out(&self, inputs: Inputs<'_>, mut out: impl FnMut(Slot)) {
        for (words, slots) in self.words.iter().zip(self.slots.chunks(BLOCK)) {
            // Places that nobody has had yet are out, too.
            let mut bits = at_level(inputs.vector, words, 0);
            while bits != 0 {
                let i = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                if let Some(slot) = slots.get(i).filter(|slot| inputs.nodes.get(**slot).is_some()) {
                    out(*slot);
                }
            }
        }
    }

    /// The best total of all nodes of these groups, as total and lane in one word, 1 too high; 0 if no node is left. `scores`:
    /// by group, score plus one, 0 if it is not feasible.
    pub(super) fn best(&mut self, groups: &[Evaluated], scores: &[u32], inputs: Inputs<'_>) -> u64 {
        let top = groups.iter().map(|group| group.score).max().unwrap_or(0);
        let top = u32::try_from(top + 1).expect("weights are at most WEIGHT_MAX");
        let search = Search { scores, inputs, top };
        let (mut best, mut visits) = (0, 0);
        let mut level = self.highest;
        // A node of this level may be as good as the best so far, and go before it.
        while level > 0 && u64::from(level) + u64::from(top) >= best >> TIE_BITS {
            if visits > self.slots.len() / VISITS_SHARE {
                return self.best_of_all(&search);
            }
            best = best.max(self.best_at(level, &search, &mut visits));
            level -= 1;
        }
        best
    }

    /// The best total of the nodes whose bound is `level`.
    fn best_at(&self, level: u16, search: &Search<'_>, visits: &mut usize) -> u64 {
        let mut best = 0;
        let whole = u64::from(level) + u64::from(search.top);
        for (block, words) in self.words.iter().enumerate() {
            let mut bits = at_level(search.inputs.vector, words, level);
            while bits != 0 {
                let i = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                *visits += 1;
                let total = search.total(self.slots[block * BLOCK + i], words[i]);
                best = best.max(total);
                // Of those that stand in order, none that follows is better.
                if total >> TIE_BITS == whole && block < self.sorted {
                    return best.max(self.best_in_tail(level, search));
                }
            }
        }
        best
    }

    /// The same of the nodes that stand behind the sorted ones.
    fn best_in_tail(&self, level: u16, search: &Search<'_>) -> u64 {
        let mut best = 0;
        for (block, words) in self.words.iter().enumerate().skip(self.sorted) {
            let mut bits = at_level(search.inputs.vector, words, level);
            while bits != 0 {
                let i = bits.trailing_zeros() as usize;
                bits &= bits - 1;
                best = best.max(search.total(self.slots[block * BLOCK + i], words[i]));
            }
        }
        best
    }

    /// The best total of all nodes, where the highest bounds belong to groups of low scores.
    fn best_of_all(&mut self, search: &Search<'_>) -> u64 {
        let (mut best, mut below) = (0, u32::MAX);
        loop {
            let most = self.find_most(below, search);
            if most == 0 {
                return best;
            }
            best = best.max(self.best_candidate(search));
            if best >> TIE_BITS >= u64::from(most) {
                return best;
            }
            // Some bounds were too high: nodes with lower ones may be as good.
            below = most;
        }
    }

    /// The highest bound of a total that is below `below`, and its nodes in `candidates`.
    fn find_most(&mut self, below: u32, search: &Search<'_>) -> u32 {
        let words = self.words.as_flattened();
        let mut most = 0;
        self.candidates.clear();
        for (slot, (place, _)) in (0..).zip(&self.places) {
            let score = search.score(slot);
            let word = words.get(*place as usize).copied().unwrap_or(0);
            let total = u32::from(word >> MARKS) + score;
            if score == 0 || word == 0 || total < most || total >= below {
                continue;
            }
            if total > most {
                most = total;
                self.candidates.clear();
            }
            self.candidates.push(slot);
        }
        most
    }

    /// The best total of the candidates, computed exactly.
    fn best_candidate(&mut self, search: &Search<'_>) -> u64 {
        let inputs = search.inputs;
        self.exact.clear();
        self.exact.resize(self.candidates.len(), 0);
        let (slots, exact) = (&self.candidates, &mut self.exact);
        local::gather(inputs.vector, inputs.nodes, inputs.rules, inputs.shape, slots, exact);
        let totals = slots.iter().zip(exact);
        totals.map(|(slot, lane)| total(*lane, search.score(*slot))).max().unwrap_or(0)
    }

    /// Brings the columns up to the log's head.
    fn catch_up(&mut self, nodes: &Nodes, log: &Log) {
        let known = self.cursor.filter(|cursor| log.reaches(*cursor));
        let few = known.filter(|cursor| log.head() - cursor < nodes.slots() as u64);
        let mut right = few.is_some();
        for position in few.unwrap_or(log.head())..log.head() {
            right &= self.take(log.entry(position).slot, nodes);
        }
        if !right || self.columns.len() > self.sorted + self.sorted / TAIL_SHARE + 1 {
            self.rebuild(nodes);
        }
        self.cursor = Some(log.head());
    }

    /// Takes all nodes anew, in order.
    fn rebuild(&mut self, nodes: &Nodes) {
        self.reference.choose(nodes);
        self.slots.clear();
        self.slots.extend(nodes.iter().map(|(slot, _)| slot));
        self.slots.sort_unstable_by_key(|slot| nodes.tie[*slot as usize]);
        self.places.clear();
        self.columns.clear();
        let slots = core::mem::take(&mut self.slots);
        for slot in slots {
            self.take(slot, nodes);
        }
        self.sorted = self.columns.len();
    }

    /// Takes a node as it is now; `false` if it is smaller than the reference.
    fn take(&mut self, slot: Slot, nodes: &Nodes) -> bool {
        let at = slot as usize;
        if self.places.len() <= at {
            self.places.resize(nodes.slots(), (NONE, 0));
        }
        let (mut place, hash) = self.places[at];
        let there = nodes.get(slot).is_some();
        let new_hash = nodes.entry(slot).tie_hash;
        if place != NONE && (!there || hash != new_hash) {
            self.clear(place);
            place = NONE;
        }
        if there && place == NONE {
            place = self.next_place();
            self.slots.push(slot);
        }
        self.places[at] = (place, new_hash);
        if !there {
            return true;
        }
        let (block, i) = split(place);
        let taken = self.columns[block].take(i, &self.reference, nodes, slot);
        taken != Taken::Small
    }

    /// Nobody stands there any more.
    fn clear(&mut self, place: u32) {
        let (block, i) = split(place);
        self.columns[block].clear(i);
        self.slots[place as usize] = NONE;
    }

    /// The place behind all others; after the sorted ones, in a block of its own.
    fn next_place(&mut self) -> u32 {
        if self.columns.len() == self.sorted && self.sorted > 0 {
            self.slots.resize(self.sorted * BLOCK, NONE);
        }
        if self.slots.len() == self.columns.len() * BLOCK {
            self.columns.push(Columns::EMPTY);
        }
        u32::try_from(self.slots.len()).expect("places are below twice NODES_MAX")
    }
}

/// What a search for the best node asks of each one it visits.
struct Search<'a> {
    scores: &'a [u32],
    inputs: Inputs<'a>,
    /// The highest score.
    top: u32,
}

impl Search<'_> {
    /// Score of a node's group plus one; 0 if it is not feasible. The last place is that of no group.
    #[inline]
    fn score(&self, slot: Slot) -> u32 {
        let group = self.inputs.sig.group_of.get(slot as usize).copied().unwrap_or(u32::MAX);
        self.scores[(group as usize).min(self.scores.len() - 1)]
    }

    /// The exact total of a node with this word.
    #[inline]
    fn total(&self, slot: Slot, word: u16) -> u64 {
        let score = self.score(slot);
        if score == 0 {
            return 0;
        }
        let inputs = self.inputs;
        let tie = inputs.nodes.tie[slot as usize];
        if word & UNSURE == 0 {
            return total(lane(i64::from(word >> MARKS) - 1, tie), score);
        }
        let (block, i) = split(slot);
        let at =
            At { block: &inputs.nodes.blocks[block], lane: i, entry: inputs.nodes.entry(slot) };
        total(single(at, tie, inputs.rules, inputs.shape), score)
    }
}

/// Lane plus the score of its group (which counts 1 more than it is); 0 if one of them is.
#[inline]
fn total(lane: u32, score: u32) -> u64 {
    if lane == 0 || score == 0 { 0 } else { u64::from(lane) + (u64::from(score) << TIE_BITS) }
}

/// A bit for each word of this bound.
#[inline(always)]
fn bits_at_level(words: &[u16; BLOCK], level: u16) -> u64 {
    let mut bits = 0;
    for (i, word) in words.iter().enumerate() {
        bits |= u64::from(*word >> MARKS == level) << i;
    }
    bits
}

/// A bit for each word with this mark.
#[inline(always)]
fn bits_having(words: &[u16; BLOCK], mark: u16) -> u64 {
    let mut bits = 0;
    for (i, word) in words.iter().enumerate() {
        bits |= u64::from(*word & mark != 0) << i;
    }
    bits
}

dispatch! {
    fn at_level(words: &[u16; BLOCK], level: u16) -> u64 = bits_at_level;
}
dispatch! {
    fn having(words: &[u16; BLOCK], mark: u16) -> u64 = bits_having;
}
