// SPDX-License-Identifier: Apache-2.0
//! A class: a signature with what its pods request. Finds the best lane of each group of nodes.
//!
//! A lane is local score and tie order in one word, 0 for a node that is out by itself. What is held between decisions depends on
//! who asks: lists of each group's best nodes ([`tops`]) for a class that comes often; nothing ([`scan`]) for one that comes
//! seldom; and where single nodes are asked for, the lanes of all of them, with the best lane of each block. Each decision
//! first mends what is held about the nodes that changed since the class's last one.
//!
//! In the last case one 64-bit cell is kept of a node:
//!
//! ```text
//!  63          32 31        8 7       0
//! |     lane     |   group   | verdict |
//! ```

mod inputs;
mod narrow;
mod outs;
mod scan;
mod tops;

use crate::decide::Evaluated;
use crate::local::{self, Shape, Summary, single, whole_block};
use crate::nodes::Usage;
use crate::sig::{NO_GROUP, Sig, SigId};
use crate::ties::TIE_BITS;
use crate::vector::{Vector, dispatch};
use crate::victims::Costs;
use crate::{BLOCK, Slot};
use alloc::boxed::Box;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::PreemptionPolicy;
use berth_scheduler_model::rules::Plugin;
pub(crate) use inputs::Inputs;
use outs::Outs;
use scan::Scan;
pub(crate) use tops::{LISTED, Room};
use tops::{TOPS_GROUPS_MAX, Tops};

/// Index of a class.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ClassId(pub(crate) u32);

impl ClassId {
    /// No class.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

impl Default for ClassId {
    fn default() -> Self {
        Self::NONE
    }
}

/// What makes pods of one class.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct ClassKey {
    pub(crate) sig: SigId,
    pub(crate) usage: Usage,
    pub(crate) images: Vec<Str>,
    pub(crate) containers: u32,
    pub(crate) priority: i32,
    pub(crate) may_preempt: PreemptionPolicy,
}

/// A class.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) key: ClassKey,
    pub(crate) shape: Shape,
    /// Specs that refer to it.
    pub(crate) refs: u32,
    /// Decisions so far: lanes are kept from the second one on.
    pub(crate) uses: u64,
    /// When it was last used, in decisions of the engine.
    pub(crate) last_used: u64,
    pub(crate) lanes: Option<Box<Lanes>>,
    /// What preemption would cost on each node.
    pub(crate) costs: Option<Box<Costs>>,
}

/// More groups than this, and no maxima per block are kept for them.
const NARROW_MAX: usize = 192;

/// One group's part of the lanes.
#[derive(Debug, Default)]
pub(crate) struct GroupLanes {
    /// Nodes that pass by themselves.
    pub(crate) members: u32,
    /// The best lane; to be recomputed from `blocks` if `stale`.
    best: u32,
    stale: bool,
    /// Place in `Lanes::live`.
    live_at: u32,
    /// No lane of a block is better than this.
    blocks: Vec<u32>,
    /// A bit for each block whose bound may be too high: it is worked out when it matters.
    loose: Vec<u64>,
}

impl GroupLanes {
    fn resize(&mut self, blocks: usize) {
        self.blocks.resize(blocks, 0);
        self.loose.resize(blocks.div_ceil(64), 0);
    }

    /// The best lane of a block is at least this.
    #[inline]
    fn raise(&mut self, block: usize, lane: u32) {
        if lane > self.blocks[block] {
            self.blocks[block] = lane;
            self.loose[block / 64] &= !(1 << (block % 64));
            self.best = self.best.max(lane);
        }
    }

    fn resident(&self) -> usize {
        size_of::<Self>() + self.blocks.capacity() * 4 + self.loose.capacity() * 8
    }

    /// A lane of a block was lowered or left from `old`.
    #[inline]
    fn lower(&mut self, block: usize, old: u32) {
        if self.blocks[block] == old {
            self.loose[block / 64] |= 1 << (block % 64);
            self.stale |= self.best == old;
        }
    }
}

/// Mending so large a share of the nodes takes as long as to look at all of them in 16 bits (measured at 5,000 nodes; with 40, lists
/// are made and given up in turn by classes that come with 100 others, at twice the cost of either).
const NARROW_SHARE: u64 = 100;

/// A verdict about a node by itself: 0 passes, else place of the first refusing plugin plus one.
type Verdict = u8;

const ABSENT: Verdict = u8::MAX;

/// The bits of a cell that say in which group a node is counted, and how.
const PLACE: u64 = 0xffff_ffff;

/// No group, in a cell: 24 bits.
const NO_GROUP_HERE: u32 = (1 << 24) - 1;

/// The cell of a free slot.
const EMPTY: u64 = cell(0, NO_GROUP, ABSENT);

const fn cell(lane: u32, group: u32, verdict: Verdict) -> u64 {
    (lane as u64) << 32 | ((group & NO_GROUP_HERE) as u64) << 8 | verdict as u64
}

const fn with_group(cell: u64, group: u32) -> u64 {
    cell & !(PLACE & !0xff) | ((group & NO_GROUP_HERE) as u64) << 8
}

const fn lane_of(cell: u64) -> u32 {
    (cell >> 32) as u32
}

#[expect(clippy::cast_possible_truncation, reason = "24 bits")]
const fn group_of(cell: u64) -> u32 {
    (cell >> 8) as u32 & NO_GROUP_HERE
}

const fn verdict_in(cell: u64) -> Verdict {
    (cell & 0xff) as Verdict
}

/// The largest lane of one group in a block.
#[inline(always)]
fn best_in_cells(cells: &[u64; BLOCK], group: u32) -> u32 {
    let wanted = u64::from(group) << 8;
    let mut best = 0;
    for cell in cells {
        let lane = if *cell & PLACE & !0xff == wanted { *cell } else { 0 };
        best = best.max(lane);
    }
    lane_of(best)
}

dispatch! {
    /// The largest lane of one group in a block.
    fn best_in(cells: &[u64; BLOCK], group: u32) -> u32 = best_in_cells;
}

const fn refused_by(plugin: Plugin) -> Verdict {
    plugin as u8 + 1
}

/// What lanes hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Held {
    /// Nothing that is right.
    #[default]
    Nothing,
    /// Each group's best lane and number of members, of one decision.
    Best,
    /// Numbers of nodes that are out, of one decision; lanes are in the engine's [`Room`].
    Outs,
    /// Numbers of nodes that are out, of one decision; what is known of all nodes is in the engine's [`Room`].
    Narrow,
    /// Each group's best nodes.
    Tops,
    /// Everything.
    Lanes,
}

/// Lanes of a class.
#[derive(Debug, Default)]
pub(crate) struct Lanes {
    cells: Vec<u64>,
    tops: Tops,
    outs: Outs,
    /// Nodes refused by themselves, by plugin.
    pub(crate) refused: [u32; Plugin::FILTERS],
    pub(crate) groups: Vec<GroupLanes>,
    /// Groups with members.
    pub(crate) live: Vec<u32>,
    wide: bool,
    sig_version: u32,
    cursor: u64,
    held: Held,
    /// Group moves of the signature that were taken in.
    moves: u64,
    /// The log's head at the last decision.
    last_use: Option<u64>,
    /// Changes from one decision to the next, as of late; `u64::MAX` before the second one.
    usual_gap: u64,
    dirty: Vec<Slot>,
    mended: Vec<u32>,
    /// One for each thread.
    scans: Vec<Scan>,
    /// Scores of ImageLocality, weighted, of nodes where they are not zero; by slot.
    pub(crate) images: Vec<(Slot, i64)>,
    pub(crate) image_epoch: u64,
    pub(crate) volume_epoch: u64,
    /// Bytes counted against the engine's budget.
    pub(crate) accounted: usize,
    rebuilt: bool,
    /// The class they were last computed for.
    pub(crate) owner: ClassId,
}

impl Lanes {
    /// Brings what is held up to the log's head. `sig` must be up to date. Epochs of images and volumes are the caller's to
    /// compare: it calls `forget` first when one has moved.
    ///
    /// By cost: mend the nodes that changed; look at all nodes and keep what is mended next time, when the class comes often;
    /// else only look for each group's best. `whole`: the lanes of all nodes will be asked for.
    pub(crate) fn catch_up(&mut self, inputs: Inputs<'_>, whole: bool, room: &mut Room) {
        let head = inputs.log.head();
        let gap = self.last_use.replace(head).map_or(u64::MAX, |last| head - last);
        let usual = self.usual_gap;
        self.usual_gap = if usual == u64::MAX { gap } else { (usual * 3 + gap) / 4 };
        let wanted = wanted(inputs, whole);
        let narrow = wanted == Held::Tops && self.is_narrow(inputs);
        let useless = wanted == Held::Tops && (inputs.listed == 0 || self.tops.pauses());
        if self.can_mend(inputs, wanted, narrow) && !useless {
            self.mend_held(inputs);
        } else if !whole && (useless || !self.is_frequent(inputs, narrow)) {
            self.scan(inputs, narrow, room);
        } else if wanted == Held::Lanes {
            self.rebuild(inputs);
        } else {
            self.count_outs(inputs);
        }
        self.cursor = head;
    }

    /// Brings the lanes up to the log's head ahead of a decision, if mending is the way.
    pub(crate) fn mend_ahead(&mut self, inputs: Inputs<'_>) {
        let wanted = wanted(inputs, false);
        let narrow = wanted == Held::Tops && self.is_narrow(inputs);
        if !self.can_mend(inputs, wanted, narrow) {
            return;
        }
        self.mend_held(inputs);
        self.cursor = inputs.log.head();
        if self.held == Held::Lanes && !self.wide {
            for at in 0..self.live.len() {
                self.best(self.live[at], inputs.vector);
            }
        }
    }

    fn mend_held(&mut self, inputs: Inputs<'_>) {
        if self.held == Held::Tops {
            self.mend_tops(inputs);
        } else {
            self.mend_all(inputs);
        }
    }

    /// To mend a node takes as long as to scan a few, or many in 16 bits. What will be mended again is worth more than that.
    fn is_frequent(&self, inputs: Inputs<'_>, narrow: bool) -> bool {
        let share = if narrow { NARROW_SHARE } else { 8 };
        self.usual_gap <= (inputs.nodes.slots() as u64 / share).max(64)
    }

    /// Whether all nodes can be looked at in 16 bits, and the best is soon found there. Where pods want to be near others the
    /// groups of the highest score have few nodes, and among many groups too: those are far down in the order of bounds.
    fn is_narrow(&self, inputs: Inputs<'_>) -> bool {
        let indifferent = inputs.sig.is_trivial() && inputs.sig.prefer_hits == 0;
        indifferent
            && self.images.is_empty()
            && narrow::serves(inputs)
            && scan::has_few_groups(inputs.sig)
    }

    /// Whether what is wanted is held, and the nodes that changed are known, and few.
    fn can_mend(&self, inputs: Inputs<'_>, wanted: Held, narrow: bool) -> bool {
        let share = if self.is_frequent(inputs, narrow) {
            2
        } else if narrow {
            NARROW_SHARE
        } else {
            12
        };
        let few = (inputs.nodes.slots() as u64 / share).max(64);
        self.held == wanted
            && self.sig_version == inputs.sig.version
            && inputs.log.reaches(self.cursor)
            && inputs.log.head() - self.cursor <= few
            && inputs.sig.moves_reach(self.moves)
            && (self.held == Held::Tops || self.wide || inputs.sig.groups.len() <= NARROW_MAX * 2)
    }

    /// Whether everything was recomputed since the last time this was asked.
    pub(crate) fn take_rebuilt(&mut self) -> bool {
        core::mem::take(&mut self.rebuilt)
    }

    /// The next use recomputes everything.
    pub(crate) fn forget(&mut self) {
        self.held = Held::Nothing;
    }

    /// Forgets also how often it was used: the lanes are another class's from now on.
    pub(crate) fn give_to(&mut self, owner: ClassId) {
        self.forget();
        self.owner = owner;
        self.last_use = None;
        self.usual_gap = u64::MAX;
        self.image_epoch = 0;
        self.images.clear();
    }

    /// Gathers the nodes that changed since the cursor into `dirty`, and their lanes into `mended`.
    fn gather_dirty(&mut self, inputs: Inputs<'_>) {
        self.dirty.clear();
        for position in self.cursor..inputs.log.head() {
            let slot = inputs.log.entry(position).slot;
            if inputs.log.is_last(position, slot) {
                self.dirty.push(slot);
            }
        }
        self.mended.clear();
        self.mended.resize(self.dirty.len(), 0);
        let (dirty, lanes) = (&self.dirty, &mut self.mended);
        local::gather(inputs.vector, inputs.nodes, inputs.rules, inputs.shape, dirty, lanes);
    }

    /// Forgets all counts: what is held from now on is this.
    fn reset(&mut self, held: Held) {
        self.held = held;
        self.refused = [0; Plugin::FILTERS];
        self.live.clear();
        for group in &mut self.groups {
            group.members = 0;
            group.best = 0;
            group.stale = false;
        }
    }

    /// Starts over with something that will be mended.
    fn begin(&mut self, held: Held, inputs: Inputs<'_>) {
        self.reset(held);
        self.wide = held == Held::Lanes && inputs.sig.groups.len() > NARROW_MAX;
        self.moves = inputs.sig.moves_head();
        self.sig_version = inputs.sig.version;
        self.rebuilt = true;
    }

    /// The verdict on a node and its lane, images included; `lane` is before static rules, ports, volumes and images.
    #[inline]
    fn judge(&self, slot: Slot, lane: u32, inputs: Inputs<'_>) -> (Verdict, u32) {
        let verdict = inputs.verdict(slot, lane);
        let lane = match verdict {
            0 if self.images.is_empty() => lane,
            0 => lane + image_part(&self.images, slot),
            _ => 0,
        };
        (verdict, lane)
    }

    /// Mends the nodes that changed since the cursor.
    fn mend_all(&mut self, inputs: Inputs<'_>) {
        self.grow(inputs.nodes.slots());
        for at in self.moves..inputs.sig.moves_head() {
            let slot = inputs.sig.moved(at);
            let old = self.cells[slot as usize];
            let moved = match inputs.sig.group_of[slot as usize] {
                NO_GROUP => EMPTY,
                group => with_group(old, group),
            };
            if moved != old {
                self.place(slot, moved);
            }
        }
        self.moves = inputs.sig.moves_head();
        self.gather_dirty(inputs);
        let (dirty, lanes) = (core::mem::take(&mut self.dirty), core::mem::take(&mut self.mended));
        touch(dirty.iter().map(|slot| lane_of(self.cells[*slot as usize])));
        for (slot, lane) in dirty.iter().zip(&lanes) {
            self.set(*slot, *lane, inputs);
        }
        self.dirty = dirty;
        self.mended = lanes;
    }

    fn grow(&mut self, slots: usize) {
        if self.cells.len() >= slots {
            return;
        }
        self.cells.resize(slots, EMPTY);
        for group in self.groups.iter_mut().filter(|g| !g.blocks.is_empty()) {
            group.resize(slots / BLOCK);
        }
    }

    /// Takes a node out, as refused by this plugin, until it is mended.
    pub(crate) fn suppress(&mut self, slot: Slot, plugin: Plugin) {
        let group = group_of(self.cells[slot as usize]);
        self.place(slot, cell(0, group, refused_by(plugin)));
    }

    /// Recomputes one node.
    pub(crate) fn mend(&mut self, slot: Slot, inputs: Inputs<'_>) {
        let lane = match inputs.nodes.get(slot) {
            Some(_) => {
                let tie = inputs.nodes.tie[slot as usize];
                single(inputs.at(slot), tie, inputs.rules, inputs.shape)
            }
            None => 0,
        };
        self.set(slot, lane, inputs);
    }

    /// A node's lane is now this, before static rules, ports, volumes and images. Its group is as it was.
    #[inline]
    fn set(&mut self, slot: Slot, lane: u32, inputs: Inputs<'_>) {
        let (verdict, lane) = self.judge(slot, lane, inputs);
        let group = group_of(self.cells[slot as usize]);
        self.place(slot, cell(lane, group, verdict));
    }

    /// A node's cell is now this.
    #[inline]
    fn place(&mut self, slot: Slot, new: u64) {
        let at = slot as usize;
        let old = core::mem::replace(&mut self.cells[at], new);
        let same_place = (old ^ new) & PLACE == 0;
        if !same_place || self.wide {
            self.move_members(old, new);
        }
        if self.wide {
            return;
        }
        let (old_lane, new_lane, block) = (lane_of(old), lane_of(new), at / BLOCK);
        if old_lane != 0 && (!same_place || new_lane < old_lane) {
            self.groups[group_of(old) as usize].lower(block, old_lane);
        }
        if new_lane != 0 {
            self.groups[group_of(new) as usize].raise(block, new_lane);
        }
    }

    /// Counts a node out of its old group and verdict, and into the new ones.
    fn move_members(&mut self, old: u64, new: u64) {
        let (was, is) = (verdict_in(old), verdict_in(new));
        if was != is {
            if was != 0 && was != ABSENT {
                self.refused[usize::from(was) - 1] -= 1;
            }
            if is != 0 && is != ABSENT {
                self.refused[usize::from(is) - 1] += 1;
            }
        }
        if lane_of(old) != 0 && (lane_of(new) == 0 || group_of(old) != group_of(new)) {
            self.leave(group_of(old));
        }
        if lane_of(new) != 0 && (lane_of(old) == 0 || group_of(old) != group_of(new)) {
            self.join(group_of(new));
        }
    }

    fn join(&mut self, group: u32) {
        debug_assert!(group < NO_GROUP_HERE, "a node that passes has a group");
        let at = group as usize;
        if self.groups.len() <= at {
            self.groups.resize_with(at + 1, GroupLanes::default);
        }
        let blocks = if self.wide { 0 } else { self.cells.len() / BLOCK };
        let joined = &mut self.groups[at];
        if joined.members == 0 {
            joined.resize(blocks);
            // Bounds of members that left may still stand.
            joined.best = 0;
            joined.stale = true;
            joined.live_at = u32::try_from(self.live.len()).expect("groups are at most nodes");
            self.live.push(group);
        }
        self.groups[at].members += 1;
    }

    fn leave(&mut self, group: u32) {
        let left = &mut self.groups[group as usize];
        left.members -= 1;
        if left.members == 0 {
            let at = left.live_at;
            self.live.swap_remove(at as usize);
            if let Some(moved) = self.live.get(at as usize) {
                self.groups[*moved as usize].live_at = at;
            }
        }
    }

    /// The groups with nodes that pass by themselves, and how many.
    pub(crate) fn members<'a>(&'a self, sig: &'a Sig) -> impl Iterator<Item = (u32, u32)> + 'a {
        let live = self.live.iter().map(|group| (*group, self.groups[*group as usize].members));
        let by_outs = matches!(self.held, Held::Tops | Held::Outs | Held::Narrow);
        let groups = if by_outs { sig.groups.as_slice() } else { &[] };
        let passing = (0..).zip(groups).filter_map(|(group, state)| {
            let passing = state.nodes - self.outs.of_group(group);
            (passing > 0).then_some((group, passing))
        });
        live.chain(passing)
    }

    /// The best total of these groups, with the tie order of its node, as in a lane; `None` if there is no node.
    pub(crate) fn best_of(
        &mut self,
        groups: &[Evaluated],
        inputs: Inputs<'_>,
        room: &mut Room,
    ) -> Option<u64> {
        if self.held == Held::Tops {
            return self.best_listed(groups, inputs, room);
        }
        if self.held == Held::Narrow {
            return (!groups.is_empty()).then(|| room.best_narrow(groups, inputs));
        }
        if self.held == Held::Outs {
            return (!groups.is_empty()).then(|| room.best(groups, inputs));
        }
        let total = |evaluated: &Evaluated| {
            evaluated.above_ties() + u64::from(self.best(evaluated.group, inputs.vector))
        };
        groups.iter().map(total).max()
    }

    /// The best lane of a group.
    fn best(&mut self, group: u32, vector: Vector) -> u32 {
        let lanes = &mut self.groups[group as usize];
        if !lanes.stale {
            return lanes.best;
        }
        lanes.stale = false;
        loop {
            let bound = local::largest(vector, &lanes.blocks);
            let block = lanes.blocks.iter().position(|b| *b == bound).unwrap_or(0);
            let (word, bit) = (block / 64, 1 << (block % 64));
            if bound == 0 || lanes.loose[word] & bit == 0 {
                lanes.best = bound;
                return bound;
            }
            lanes.loose[word] &= !bit;
            lanes.blocks[block] = best_in(vector, cells_at(&self.cells, block * BLOCK), group);
        }
    }

    /// Whether groups have no maxima of their own: the best node is found by a pass over all lanes.
    pub(crate) fn is_wide(&self) -> bool {
        self.wide && self.held == Held::Lanes
    }

    /// Lane and group of each slot; the lane is 0 for nodes that are out by themselves.
    pub(crate) fn lanes(&self) -> impl Iterator<Item = (u32, u32)> {
        self.cells.iter().map(|cell| (lane_of(*cell), group_of(*cell)))
    }

    /// Lane and group of a slot.
    pub(crate) fn lane(&self, slot: Slot) -> (u32, u32) {
        let cell = self.cells.get(slot as usize).copied().unwrap_or(EMPTY);
        (lane_of(cell), group_of(cell))
    }

    /// Recomputes everything and keeps it.
    fn rebuild(&mut self, inputs: Inputs<'_>) {
        let slots = inputs.nodes.slots();
        self.begin(Held::Lanes, inputs);
        for group in &mut self.groups {
            if self.wide {
                (group.blocks, group.loose) = (Vec::new(), Vec::new());
            } else {
                group.blocks.clear();
                group.loose.clear();
            }
        }
        self.cells.clear();
        self.cells.resize(slots, EMPTY);
        for block in 0..slots / BLOCK {
            let first = block * BLOCK;
            let mut lanes = [0_u32; BLOCK];
            let mut verdicts = Some([0; BLOCK]);
            let (images, refused) = (&self.images, &mut self.refused);
            let found = block_of(block, inputs, images, refused, &mut lanes, &mut verdicts);
            let verdicts = verdicts.expect("asked for above");
            let groups = lanes_at(&inputs.sig.group_of, first);
            for i in 0..BLOCK {
                self.cells[first + i] = cell(lanes[i], groups[i], verdicts[i]);
            }
            self.join_block(block, &lanes, groups, found);
        }
    }

    /// Takes the lanes of a block into the groups.
    fn join_block(
        &mut self,
        block: usize,
        lanes: &[u32; BLOCK],
        groups: &[u32; BLOCK],
        found: Summary,
    ) {
        let one = groups[0];
        if one != NO_GROUP && groups.iter().all(|g| *g == one) {
            if found.fitting > 0 {
                self.join(one);
                let group = &mut self.groups[one as usize];
                group.members += found.fitting - 1;
                if !self.wide {
                    group.raise(block, found.best);
                }
            }
            return;
        }
        for i in 0..BLOCK {
            if lanes[i] == 0 {
                continue;
            }
            self.join(groups[i]);
            if !self.wide {
                self.groups[groups[i] as usize].raise(block, lanes[i]);
            }
        }
    }

    /// Bytes held.
    pub(crate) fn resident(&self) -> usize {
        self.cells.capacity() * 8
            + self.tops.resident()
            + self.outs.resident()
            + self.groups.iter().map(GroupLanes::resident).sum::<usize>()
            + self.images.capacity() * 16
            + (self.dirty.capacity() + self.mended.capacity()) * 4
            + size_of::<Self>()
    }
}

/// The lanes of a block after all rules about single nodes, with images; counts refusals.
pub(crate) fn block_of(
    block: usize,
    inputs: Inputs<'_>,
    images: &[(Slot, i64)],
    refused: &mut [u32; Plugin::FILTERS],
    lanes: &mut [u32; BLOCK],
    verdicts: &mut Option<[Verdict; BLOCK]>,
) -> Summary {
    let first = block * BLOCK;
    let slot_at = |i: usize| u32::try_from(first + i).expect("slots are below NODES_MAX");
    let nodes = inputs.nodes;
    let ties = lanes_at(&nodes.tie, first);
    let entry = |i: usize| nodes.entry(slot_at(i));
    let source = (&nodes.blocks[block], ties);
    let found = whole_block(inputs.vector, inputs.rules, inputs.shape, source, entry, lanes);
    let simple = inputs.sig.refusing == 0 && inputs.is_plain() && images.is_empty();
    if simple {
        let unfit = nodes.blocks[block].live.count_ones() - found.fitting;
        refused[Plugin::NodeResourcesFit as usize] += unfit;
        if let Some(verdicts) = verdicts {
            let live = nodes.blocks[block].live;
            for i in 0..BLOCK {
                verdicts[i] = match lanes[i] {
                    0 if live >> i & 1 == 0 => ABSENT,
                    0 => refused_by(Plugin::NodeResourcesFit),
                    _ => 0,
                };
            }
        }
        return found;
    }
    for i in 0..BLOCK {
        let verdict = inputs.verdict(slot_at(i), lanes[i]);
        if let Some(verdicts) = verdicts {
            verdicts[i] = verdict;
        }
        match verdict {
            0 if images.is_empty() => {}
            0 => lanes[i] += image_part(images, slot_at(i)),
            ABSENT => lanes[i] = 0,
            code => {
                lanes[i] = 0;
                refused[usize::from(code) - 1] += 1;
            }
        }
    }
    local::summary(inputs.vector, lanes)
}

fn image_part(images: &[(Slot, i64)], slot: Slot) -> u32 {
    match images.binary_search_by_key(&slot, |(s, _)| *s) {
        Ok(at) => image_lane(images[at].1),
        Err(_) => 0,
    }
}

/// What is to be held for a decision: everything, where single nodes will be asked for.
fn wanted(inputs: Inputs<'_>, whole: bool) -> Held {
    if whole || inputs.sig.groups.len() > TOPS_GROUPS_MAX { Held::Lanes } else { Held::Tops }
}

/// Reads places ahead of their use, all at once: each is likely a cache miss, and those then overlap.
#[inline]
pub(crate) fn touch(words: impl Iterator<Item = u32>) {
    core::hint::black_box(words.fold(0, |mixed, word| mixed ^ word));
}

fn image_lane(score: i64) -> u32 {
    u32::try_from(score).expect("an image score is 0..=100 times its weight") << TIE_BITS
}

fn cells_at(cells: &[u64], first: usize) -> &[u64; BLOCK] {
    cells[first..first + BLOCK].try_into().expect("slots come in whole blocks")
}

pub(crate) fn lanes_at(lanes: &[u32], first: usize) -> &[u32; BLOCK] {
    lanes[first..first + BLOCK].try_into().expect("slots come in whole blocks")
}

/// A table of nothing yet.
pub(crate) fn fresh() -> Box<Lanes> {
    Box::default()
}
