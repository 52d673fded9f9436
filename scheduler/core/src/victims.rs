// SPDX-License-Identifier: Apache-2.0
//! What preemption would cost on each node, kept per class and mended from the log, for pods that nothing but requests and static
//! rules keep from a node. For all others, and for nodes that pods are nominated to, every node is tried anew.
//!
//! The cost only ranks: the victims of the node chosen are worked out by the general way, which decides.

use crate::log::Log;
use crate::preempt::Cost;
use crate::{BLOCK, Slot};
use alloc::vec::Vec;

/// A candidate's rank: cost, then the tie order.
type Rank = (Cost, u32, Slot);

/// Costs of a class.
#[derive(Debug, Default)]
pub(crate) struct Costs {
    /// By slot; `None` where preemption does not help.
    costs: Vec<Option<(Cost, u32)>>,
    /// By block: the best of it.
    best: Vec<Option<Rank>>,
    /// Blocks whose best is to be worked out.
    stale: Vec<usize>,
    cursor: u64,
    budgets: u64,
    built: bool,
}

impl Costs {
    /// Brings the costs up to the log's head. `cost` works one node's out; `budgets` is the budgets' epoch.
    pub(crate) fn catch_up(
        &mut self,
        log: &Log,
        slots: usize,
        budgets: u64,
        mut cost: impl FnMut(Slot) -> Option<(Cost, u32)>,
    ) {
        let head = log.head();
        let few = (slots as u64 / 4).max(64);
        let current = self.built
            && self.budgets == budgets
            && log.reaches(self.cursor)
            && head - self.cursor <= few;
        if self.costs.len() < slots {
            self.costs.resize(slots, None);
            self.best.resize(slots / BLOCK, None);
        }
        if current {
            for position in self.cursor..head {
                let slot = log.entry(position).slot;
                if log.is_last(position, slot) {
                    self.set(slot, cost(slot));
                }
            }
        } else {
            for slot in 0..u32::try_from(slots).expect("slots are below NODES_MAX") {
                self.set(slot, cost(slot));
            }
        }
        self.cursor = head;
        self.budgets = budgets;
        self.built = true;
    }

    fn set(&mut self, slot: Slot, cost: Option<(Cost, u32)>) {
        self.costs[slot as usize] = cost;
        let block = slot as usize / BLOCK;
        let rank = cost.map(|(cost, tie)| (cost, tie, slot));
        let best = &mut self.best[block];
        let was_best = best.is_some_and(|(.., of)| of == slot);
        if rank.is_some() && (best.is_none() || rank < *best) {
            *best = rank;
        } else if was_best {
            *best = rank;
            self.stale.push(block);
        }
    }

    /// The best node, those of `except` left out.
    pub(crate) fn best(&mut self, except: &[Slot]) -> Option<(Cost, u32, Slot)> {
        while let Some(block) = self.stale.pop() {
            self.best[block] = self.best_of(block, &[]);
        }
        let mut best: Option<Rank> = None;
        for (block, rank) in self.best.iter().enumerate() {
            let excepted = except.iter().any(|slot| *slot as usize / BLOCK == block);
            let rank = if excepted { self.best_of(block, except) } else { *rank };
            if rank.is_some() && (best.is_none() || rank < best) {
                best = rank;
            }
        }
        best
    }

    fn best_of(&self, block: usize, except: &[Slot]) -> Option<Rank> {
        let first = block * BLOCK;
        (0..)
            .zip(&self.costs[first..first + BLOCK])
            .filter_map(|(lane, cost)| {
                let slot = u32::try_from(first).expect("slots are below NODES_MAX") + lane;
                cost.map(|(cost, tie)| (cost, tie, slot))
            })
            .filter(|(.., slot)| !except.contains(slot))
            .min()
    }

    /// Bytes held.
    pub(crate) fn resident(&self) -> usize {
        self.costs.capacity() * size_of::<Option<(Cost, u32)>>()
            + self.best.capacity() * size_of::<Option<Rank>>()
    }
}
