// SPDX-License-Identifier: Apache-2.0
//! Groups of nodes with equal facts and equal counts of their own, and how nodes move between them.

use super::{NO_GROUP, Sig};
use crate::Slot;
use crate::hash::Hasher;

/// Nodes with equal facts and equal counts of their own.
#[derive(Debug, Clone)]
pub(crate) struct Group {
    pub(crate) statics: u32,
    /// Nodes of this group, feasible or not.
    pub(crate) nodes: u32,
    /// Changes when the number is given to another group.
    pub(super) generation: u32,
}

/// Where a node of a group goes when a pod comes or leaves; valid while the generation is the same.
#[derive(Debug, Clone, Copy)]
pub(super) struct Step {
    group: u32,
    generation: u32,
}

const NO_STEP: Step = Step { group: NO_GROUP, generation: 0 };

/// So many groups without nodes are kept beyond as many as there are others.
const EMPTY_MAX: usize = 64;

/// So many group moves are remembered.
const MOVES: usize = 1 << 12;

fn ring(at: u64) -> usize {
    usize::try_from(at % MOVES as u64).expect("below MOVES")
}

impl Sig {
    /// The group that a node of `group` moves to; worked out once.
    #[inline]
    pub(super) fn step(&mut self, group: u32, effect: usize, count: i64, hasher: &Hasher) -> u32 {
        let at = (group as usize * self.steps_width + effect) * 2 + usize::from(count > 0);
        if effect < self.steps_width
            && let Some(step) = self.steps.get(at)
            && step.group != NO_GROUP
            && self.groups[step.group as usize].generation == step.generation
        {
            return step.group;
        }
        self.first_step(group, effect, count, hasher)
    }

    fn first_step(&mut self, group: u32, effect: usize, count: i64, hasher: &Hasher) -> u32 {
        let mut own = core::mem::take(&mut self.scratch);
        own.clear();
        own.extend_from_slice(self.own_key(group));
        for (target, amount) in &self.effects[effect].amounts {
            if let Some(place) = self.targets[usize::from(*target)].own {
                own[place] += amount * count;
            }
        }
        let statics = self.groups[group as usize].statics;
        let new = self.group_with(statics, &own, hasher);
        self.scratch = own;
        if effect >= self.steps_width {
            self.steps_width = (effect + 1).next_power_of_two();
            self.steps.clear();
        }
        let at = (group as usize * self.steps_width + effect) * 2 + usize::from(count > 0);
        if self.steps.len() <= at {
            self.steps.resize(self.groups.len() * self.steps_width * 2, NO_STEP);
        }
        let generation = self.groups[new as usize].generation;
        self.steps[at] = Step { group: new, generation };
        new
    }

    /// Puts a node into a group.
    #[inline]
    pub(super) fn move_to(&mut self, slot: Slot, new: u32, hasher: &Hasher) {
        let old = core::mem::replace(&mut self.group_of[slot as usize], new);
        if old == new {
            return;
        }
        self.note_move(slot);
        if new != NO_GROUP {
            let joined = &mut self.groups[new as usize];
            self.empty_groups -= usize::from(joined.nodes == 0);
            joined.nodes += 1;
        }
        if old != NO_GROUP {
            let left = &mut self.groups[old as usize];
            left.nodes -= 1;
            if left.nodes == 0 {
                self.empty_groups += 1;
                // Groups come and go; they are swept only when most of them are gone.
                if self.empty_groups * 2 > self.groups.len() + EMPTY_MAX {
                    self.sweep_groups(hasher);
                }
            }
        }
    }

    /// Forgets the groups without nodes.
    fn sweep_groups(&mut self, hasher: &Hasher) {
        self.group_free.clear();
        let groups = u32::try_from(self.groups.len()).expect("groups are at most nodes");
        for group in (0..groups).rev() {
            if self.groups[group as usize].nodes > 0 {
                continue;
            }
            let hash = hasher.hash(&(self.groups[group as usize].statics, self.own_key(group)));
            if let Ok(found) = self.group_ids.find_entry(hash, |g| *g == group) {
                found.remove();
                let swept = &mut self.groups[group as usize];
                swept.generation = swept.generation.wrapping_add(1);
            }
            self.group_free.push(group);
        }
        self.empty_groups = 0;
    }

    fn note_move(&mut self, slot: Slot) {
        let at = ring(self.moves_head);
        if self.moves.len() <= at {
            self.moves.push(slot);
        } else {
            self.moves[at] = slot;
        }
        self.moves_head += 1;
    }

    /// The number of group moves so far.
    pub(crate) fn moves_head(&self) -> u64 {
        self.moves_head
    }

    /// Whether group moves from that number on are still known.
    pub(crate) fn moves_reach(&self, from: u64) -> bool {
        self.moves_head - from <= MOVES as u64
    }

    /// The node of a group move.
    pub(crate) fn moved(&self, at: u64) -> Slot {
        self.moves[ring(at)]
    }

    /// The group of these facts and counts, made without nodes if there is none.
    pub(super) fn group_with(&mut self, statics: u32, own: &[i64], hasher: &Hasher) -> u32 {
        let hash = hasher.hash(&(statics, own));
        let found = self
            .group_ids
            .find(hash, |g| self.groups[*g as usize].statics == statics && self.own_key(*g) == own);
        if let Some(group) = found {
            return *group;
        }
        self.empty_groups += 1;
        let group = match self.group_free.pop() {
            Some(group) => {
                let reused = &mut self.groups[group as usize];
                reused.statics = statics;
                let start = group as usize * self.owns;
                self.own_keys[start..start + self.owns].copy_from_slice(own);
                self.forget_steps(group);
                group
            }
            None => {
                self.groups.push(Group { statics, nodes: 0, generation: 1 });
                self.own_keys.extend_from_slice(own);
                u32::try_from(self.groups.len() - 1).expect("groups are at most nodes")
            }
        };
        let (groups, keys, owns) = (&self.groups, &self.own_keys, self.owns);
        self.group_ids.insert_unique(hash, group, |g| {
            let start = *g as usize * owns;
            hasher.hash(&(groups[*g as usize].statics, &keys[start..start + owns]))
        });
        group
    }

    /// The steps from a group lead nowhere any more: its number was given to another.
    fn forget_steps(&mut self, group: u32) {
        let width = self.steps_width * 2;
        let start = group as usize * width;
        let end = (start + width).min(self.steps.len());
        if start < end {
            self.steps[start..end].fill(NO_STEP);
        }
    }
}
