// SPDX-License-Identifier: Apache-2.0
//! One pass over nodes that finds each group's best lane and number of members, and keeps nothing of single nodes.

use super::{GroupLanes, Held, Inputs, Lanes, block_of, lanes_at};
use crate::parallel::{Parallel, for_each};
use crate::sig::Sig;
use crate::vector::{Vector, dispatch};
use crate::{BLOCK, Slot};
use alloc::vec::Vec;
use berth_scheduler_model::rules::Plugin;
use core::ops::Range;

/// Of so many groups at most, each is looked for in all lanes of a block; of more, the group of each lane is looked up.
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

/// What a scan has found in some blocks: by place in `wanted` if the groups are few, else by group with one more place for slots
/// without one.
#[derive(Debug, Default)]
pub(super) struct Scan {
    pub(super) blocks: Range<usize>,
    pub(super) wanted: Vec<u32>,
    pub(super) best: Vec<u32>,
    pub(super) members: Vec<u32>,
    pub(super) refused: [u32; Plugin::FILTERS],
}

impl Scan {
    pub(super) fn begin(&mut self, sig: &Sig, blocks: Range<usize>) {
        self.blocks = blocks;
        self.refused = [0; Plugin::FILTERS];
        self.wanted.clear();
        let with_nodes = (0..).zip(&sig.groups).filter(|(_, group)| group.nodes > 0);
        self.wanted.extend(with_nodes.map(|(group, _)| group).take(SIEVED_MAX + 1));
        let sieved = (1..=SIEVED_MAX).contains(&self.wanted.len());
        let places = if sieved { self.wanted.len() } else { sig.groups.len() + 1 };
        if !sieved {
            self.wanted.clear();
        }
        for sums in [&mut self.best, &mut self.members] {
            sums.clear();
            sums.resize(places, 0);
        }
    }

    pub(super) fn run(&mut self, inputs: Inputs<'_>, images: &[(Slot, i64)]) {
        let one_group = self.wanted.len() == 1;
        for block in self.blocks.clone() {
            let mut lanes = [0_u32; BLOCK];
            let found = block_of(block, inputs, images, &mut self.refused, &mut lanes, &mut None);
            if one_group {
                self.best[0] = self.best[0].max(found.best);
                self.members[0] += found.fitting;
            } else {
                let groups = lanes_at(&inputs.sig.group_of, block * BLOCK);
                self.take(inputs.vector, &lanes, groups);
            }
        }
    }

    /// Takes a block in.
    fn take(&mut self, vector: Vector, lanes: &[u32; BLOCK], groups: &[u32; BLOCK]) {
        if !self.wanted.is_empty() {
            sieve(vector, lanes, groups, &self.wanted, &mut self.best, &mut self.members);
            return;
        }
        let nowhere = self.best.len() - 1;
        for i in 0..BLOCK {
            let group = (groups[i] as usize).min(nowhere);
            self.best[group] = self.best[group].max(lanes[i]);
            self.members[group] += u32::from(lanes[i] != 0);
        }
    }
}

impl Lanes {
    /// Finds each group's best lane and number of members, and keeps nothing else.
    pub(super) fn scan(&mut self, inputs: Inputs<'_>) {
        self.reset(Held::Best);
        let groups = inputs.sig.groups.len();
        if self.groups.len() < groups {
            self.groups.resize_with(groups, GroupLanes::default);
        }
        let blocks = inputs.nodes.slots() / BLOCK;
        let threads = inputs.parallel.filter(|_| blocks >= SHARED_MIN);
        let mut scans = core::mem::take(&mut self.scans);
        scans.resize_with(threads.map_or(1, Parallel::threads), Scan::default);
        let share = blocks.div_ceil(scans.len());
        for (at, scan) in scans.iter_mut().enumerate() {
            scan.begin(inputs.sig, at * share..((at + 1) * share).min(blocks));
        }
        match threads {
            Some(threads) => for_each(threads, &mut scans, |scan| scan.run(inputs, &self.images)),
            None => scans[0].run(inputs, &self.images),
        }
        for scan in &scans {
            self.take_scanned(scan);
        }
        self.scans = scans;
    }

    /// Adds what was found in a part of the nodes.
    fn take_scanned(&mut self, scan: &Scan) {
        for (all, part) in self.refused.iter_mut().zip(scan.refused) {
            *all += part;
        }
        for (at, members) in scan.members.iter().enumerate().filter(|(_, members)| **members > 0) {
            let number = scan.wanted.get(at).map_or(at, |group| *group as usize);
            let group = &mut self.groups[number];
            if group.members == 0 {
                self.live.push(u32::try_from(number).expect("groups are at most nodes"));
            }
            group.members += *members;
            group.best = group.best.max(scan.best[at]);
        }
    }
}
