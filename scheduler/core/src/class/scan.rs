// SPDX-License-Identifier: Apache-2.0
//! One pass over all nodes for one decision, of which nothing is kept: each group's best lane and number of members, or where the
//! groups are many, all lanes and the numbers of nodes that are out.

use super::tops::Room;
use super::{GroupLanes, Held, Inputs, Lanes, block_of, lanes_at};
use crate::parallel::{Parallel, for_each};
use crate::sig::{NO_GROUP, Sig};
use crate::vector::dispatch;
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;
use core::ops::Range;

/// Of so many groups at most, each is looked for in all lanes of a block; of more, scores are looked up once they are known.
const SIEVED_MAX: usize = 16;

/// Raises the best lane, and counts the members, of each wanted group in a block.
#[inline(always)]
fn sieve_lanes(
    lanes: &[u32; BLOCK],
    groups: &[u32; BLOCK],
    wanted: &[u32],
    best: &mut [u32],
    members: &mut [u32],
) {
    for ((group, best), members) in wanted.iter().zip(best).zip(members) {
        let (mut most, mut count) = (*best, 0);
        for i in 0..BLOCK {
            let lane = if groups[i] == *group { lanes[i] } else { 0 };
            most = most.max(lane);
            count += u32::from(lane != 0);
        }
        *best = most;
        *members += count;
    }
}

dispatch! {
    fn sieve(lanes: &[u32; BLOCK], groups: &[u32; BLOCK], wanted: &[u32], best: &mut [u32], members: &mut [u32]) = sieve_lanes;
}

/// So many blocks at least are shared out over threads: to hand work over takes as long as to scan a few dozen.
pub(super) const SHARED_MIN: usize = 256;

/// What a scan has found in some blocks.
#[derive(Debug, Default)]
pub(super) struct Scan {
    blocks: Range<usize>,
    /// Groups with nodes, if they are few.
    wanted: Vec<u32>,
    /// By place in `wanted`.
    best: Vec<u32>,
    members: Vec<u32>,
    /// By group, if they are many: nodes that are out.
    outs: Vec<u32>,
    refused: [u32; Plugin::FILTERS],
}

impl Scan {
    fn begin(&mut self, sig: &Sig, blocks: Range<usize>) {
        self.blocks = blocks;
        self.refused = [0; Plugin::FILTERS];
        self.wanted.clear();
        self.wanted.extend(with_nodes(sig).take(SIEVED_MAX + 1));
        for (sums, places) in [
            (&mut self.best, self.wanted.len()),
            (&mut self.members, self.wanted.len()),
            (&mut self.outs, sig.groups.len()),
        ] {
            sums.clear();
            sums.resize(places, 0);
        }
    }

    /// Finds the best lane and the number of members of each of a few groups.
    fn sieve(&mut self, inputs: Inputs<'_>, images: &[(Slot, i64)]) {
        let one_group = self.wanted.len() == 1;
        for block in self.blocks.clone() {
            let mut lanes = [0_u32; BLOCK];
            let found = block_of(block, inputs, images, &mut self.refused, &mut lanes, &mut None);
            if one_group {
                self.best[0] = self.best[0].max(found.best);
                self.members[0] += found.fitting;
            } else {
                let groups = lanes_at(&inputs.sig.group_of, block * BLOCK);
                let (best, members) = (&mut self.best, &mut self.members);
                sieve(inputs.vector, &lanes, groups, &self.wanted, best, members);
            }
        }
    }

    /// Computes all lanes, and counts the nodes of each of many groups that are out.
    fn compute(&mut self, inputs: Inputs<'_>, images: &[(Slot, i64)], lanes: &mut [u32]) {
        for (block, lanes) in self.blocks.clone().zip(lanes.chunks_exact_mut(BLOCK)) {
            let lanes: &mut [u32; BLOCK] = lanes.try_into().expect("slots come in whole blocks");
            let found = block_of(block, inputs, images, &mut self.refused, &mut *lanes, &mut None);
            if found.fitting as usize == BLOCK {
                continue;
            }
            let groups = lanes_at(&inputs.sig.group_of, block * BLOCK);
            for (lane, group) in lanes.iter().zip(groups) {
                if *lane == 0 && *group != NO_GROUP {
                    self.outs[*group as usize] += 1;
                }
            }
        }
    }
}

/// Groups that have nodes.
fn with_nodes(sig: &Sig) -> impl Iterator<Item = u32> {
    let groups = (0..).zip(&sig.groups);
    groups.filter(|(_, group)| group.nodes > 0).map(|(group, _)| group)
}

/// Whether few groups have nodes.
pub(super) fn has_few_groups(sig: &Sig) -> bool {
    with_nodes(sig).take(SIEVED_MAX + 1).count() <= SIEVED_MAX
}

impl Lanes {
    /// Finds what a decision needs in one pass, and keeps nothing else. `narrow`: all nodes can be looked at in 16
    /// bits.
    pub(super) fn scan(&mut self, inputs: Inputs<'_>, narrow: bool, room: &mut Room) {
        if narrow && self.look(inputs, room) {
            return;
        }
        let sieved = has_few_groups(inputs.sig);
        self.reset(if sieved { Held::Best } else { Held::Outs });
        let blocks = inputs.nodes.slots() / BLOCK;
        let threads = inputs.parallel.filter(|_| blocks >= SHARED_MIN);
        let mut scans = core::mem::take(&mut self.scans);
        scans.resize_with(threads.map_or(1, Parallel::threads), Scan::default);
        let share = blocks.div_ceil(scans.len());
        for (at, scan) in scans.iter_mut().enumerate() {
            scan.begin(inputs.sig, at * share..((at + 1) * share).min(blocks));
        }
        if !sieved {
            room.resize(inputs.nodes.slots());
        }
        let images = &self.images;
        match threads {
            None if sieved => scans[0].sieve(inputs, images),
            None => scans[0].compute(inputs, images, room.lanes_mut()),
            Some(threads) if sieved => {
                for_each(threads, &mut scans, |scan| scan.sieve(inputs, images));
            }
            Some(threads) => {
                let parts = room.lanes_mut().chunks_mut((share * BLOCK).max(1));
                let mut parts: Vec<_> = scans.iter_mut().zip(parts).collect();
                for_each(threads, &mut parts, |(scan, lanes)| scan.compute(inputs, images, lanes));
            }
        }
        if sieved {
            let groups = inputs.sig.groups.len();
            if self.groups.len() < groups {
                self.groups.resize_with(groups, GroupLanes::default);
            }
        } else {
            self.outs.clear();
        }
        for scan in &scans {
            self.take_scanned(scan);
        }
        self.scans = scans;
    }

    /// The same in 16 bits; `false` where that is not possible.
    fn look(&mut self, inputs: Inputs<'_>, room: &mut Room) -> bool {
        self.reset(Held::Narrow);
        self.outs.clear();
        let (outs, groups) = (&mut self.outs, &inputs.sig.group_of);
        let mut unfit = 0;
        let looked = room.narrow.look(inputs, |slot| {
            outs.count(groups[slot as usize], 1);
            unfit += 1;
        });
        self.refused[Plugin::NodeResourcesFit as usize] = unfit;
        looked
    }

    /// Adds what was found in a part of the nodes.
    fn take_scanned(&mut self, scan: &Scan) {
        for (all, part) in self.refused.iter_mut().zip(scan.refused) {
            *all += part;
        }
        if self.held == Held::Outs {
            for (group, outs) in (0..).zip(&scan.outs).filter(|(_, outs)| **outs > 0) {
                self.outs.count(group, *outs);
            }
            return;
        }
        for (at, group) in scan.wanted.iter().enumerate().filter(|(at, _)| scan.members[*at] > 0) {
            let lanes = &mut self.groups[*group as usize];
            if lanes.members == 0 {
                self.live.push(*group);
            }
            lanes.members += scan.members[at];
            lanes.best = lanes.best.max(scan.best[at]);
        }
    }
}
