// SPDX-License-Identifier: Apache-2.0
//! What a signature counts, and what pods of a peer change of that.

use super::{Facts, NO_GROUP, Sig, Tables};
use crate::Slot;
use crate::columns::Value;
use crate::hash::Hasher;
use crate::peers::{Peer, PeerId};
use alloc::vec::Vec;

/// What a count is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Pods that a hard spread constraint counts, by its place.
    Hard(u8),
    /// Pods that a soft spread constraint counts, by its place.
    Soft(u8),
    /// Pods that meet all of the pod's required affinity terms.
    Affinity,
    /// Pods that meet one of its required anti-affinity terms.
    Anti,
    /// Pods whose required anti-affinity it meets.
    Existing,
    /// Sum of preferences, of its own and of others.
    Prefer,
}

/// A count per topology value.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) kind: Kind,
    /// Place in [`Sig::columns`].
    pub(crate) column: usize,
    /// `Some(place)`: kept per node, since the key's values are unique. `None`: per value, in `sums`.
    pub(crate) own: Option<usize>,
    /// By value, for shared keys.
    pub(crate) sums: Vec<i64>,
}

/// What a pod of a peer changes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Effect {
    /// Target and amount.
    pub(super) amounts: Vec<(u8, i64)>,
    /// Some target is kept per node.
    pub(super) own: bool,
    /// Some target, or a total, is kept for all nodes together.
    pub(super) shared: bool,
}

/// With more peers than this that matter, the whole log is read.
pub(super) const INTERESTS_MAX: usize = 8;

/// Whether pods of a node with these facts count for a shared target.
#[inline]
pub(super) fn counted(kind: Kind, value: Value, facts: &Facts) -> bool {
    match kind {
        Kind::Hard(i) => facts.hard & (1 << i) != 0,
        Kind::Soft(i) => facts.soft & (1 << i) != 0 && value != 0,
        Kind::Affinity | Kind::Anti | Kind::Existing | Kind::Prefer => value != 0,
    }
}

/// `effect_of`: a pod of the peer changes nothing here.
pub(super) const NO_EFFECT: u32 = 0;
/// `effect_of`: not looked at yet.
pub(super) const UNKNOWN: u32 = 1;

impl Sig {
    /// Looks at the peers that were made since the last time. `false`: one of them brings a new key up.
    pub(super) fn meet(&mut self, t: Tables<'_>, hasher: &Hasher) -> bool {
        let Some(born) = t.peers.born_since(self.births) else { return false };
        self.effect_of.resize(t.peers.bound(), UNKNOWN);
        for id in born {
            // One that is gone again came and went since the cursor: its sum is zero.
            let effect = match t.peers.find(id) {
                None => NO_EFFECT,
                Some(_) if self.effect_of[id.0 as usize] != UNKNOWN => continue,
                Some(peer) => match self.effect(peer, t, hasher) {
                    None => return false,
                    Some(effect) => effect,
                },
            };
            self.learn(id, effect);
        }
        self.births = t.peers.births();
        true
    }

    pub(super) fn learn(&mut self, peer: PeerId, effect: u32) {
        self.effect_of[peer.0 as usize] = effect;
        if effect != NO_EFFECT && self.interests.len() <= INTERESTS_MAX {
            self.interests.push(peer);
        }
    }

    /// What one pod of a peer adds to the targets: index into the table of effects; `None`: to a key not yet used here.
    pub(super) fn effect(&mut self, peer: &Peer, t: Tables<'_>, _hasher: &Hasher) -> Option<u32> {
        let mut effect: Vec<(u8, i64)> = Vec::new();
        let mut unknown_key = false;
        let (targets, columns) = (&self.targets, &self.columns);
        let profile = &t.profiles[self.key.profile as usize];
        self.rules.effects(&self.key, &peer.key, t.namespaces, profile, |kind, key, amount| {
            let target =
                targets.iter().position(|t| t.kind == kind && columns[t.column].key == *key);
            match target {
                None => unknown_key = true,
                Some(target) => {
                    let target = u8::try_from(target).expect("few targets");
                    match effect.iter_mut().find(|(have, _)| *have == target) {
                        Some((_, sum)) => *sum += amount,
                        None => effect.push((target, amount)),
                    }
                }
            }
        });
        if unknown_key {
            return None;
        }
        if effect.is_empty() {
            return Some(NO_EFFECT);
        }
        let target = |(at, _): &(u8, i64)| &self.targets[usize::from(*at)];
        let own = effect.iter().any(|e| target(e).own.is_some());
        let total = |kind: Kind| matches!(kind, Kind::Affinity | Kind::Existing | Kind::Prefer);
        let shared = effect.iter().any(|e| target(e).own.is_none() || total(target(e).kind));
        let effect = Effect { amounts: effect, own, shared };
        let at = self.effects.iter().position(|e| *e == effect).unwrap_or_else(|| {
            self.effects.push(effect);
            self.effects.len() - 1
        });
        Some(u32::try_from(at).expect("few effects") + 2)
    }

    /// A pod of an effect came onto (`1`) or left (`-1`) a node. One that is not known here yet is counted when it is looked at.
    #[inline]
    pub(super) fn apply(&mut self, slot: Slot, effect: u32, count: i64, hasher: &Hasher) {
        let group = self.group_of[slot as usize];
        if group == NO_GROUP {
            return;
        }
        let at = effect as usize - 2;
        if self.effects[at].shared {
            self.apply_shared(group, at, count);
        }
        if self.effects[at].own {
            let new = self.step(group, at, count, hasher);
            self.move_to(slot, new, hasher);
        }
    }

    fn apply_shared(&mut self, group: u32, effect: usize, count: i64) {
        let facts = &self.statics[self.groups[group as usize].statics as usize].facts;
        for (target, amount) in &self.effects[effect].amounts {
            let target = &mut self.targets[usize::from(*target)];
            let value = facts.values[target.column];
            match target.kind {
                Kind::Affinity if value != 0 => self.affinity_total += amount * count,
                Kind::Existing if value != 0 => self.existing_total += amount * count,
                Kind::Prefer if value != 0 => self.prefer_hits += count,
                _ => {}
            }
            if target.own.is_none() && counted(target.kind, value, facts) {
                target.sums[value as usize] += amount * count;
            }
        }
    }
}
