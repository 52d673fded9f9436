// SPDX-License-Identifier: Apache-2.0
//! A signature: everything of a pod that decides about nodes except what it requests, compiled against the present cluster.
//!
//! Pods of equal signature meet the same static verdict on every node and the same counts of other pods. A signature keeps, per
//! node, a *group*: nodes of one group have equal static facts (taints, node affinity, topology values) and, for keys whose
//! values are unique to a node (host names), equal counts of their own. A pod that comes or leaves moves its node from one group
//! to another, and that step is the same for all nodes of the group. Rules about other pods and all normalised scores are
//! then decided once per group, not per node.
//!
//! Upkeep, from the log of changes: (1) pods that came and went are added to the counts under the static facts as this signature
//! knows them; (2) nodes whose own fields changed are looked at anew and, where a fact changed, the counts of all their present
//! pods move from the old fact to the new. Counts are sums, so the order of the two does not matter to the result.

mod groups;
mod targets;

use crate::Slot;
use crate::class::touch;
use crate::columns::{ColumnId, Columns, Value};
use crate::hash::{Hasher, Table};
use crate::log::Log;
use crate::nodes::Nodes;
use crate::peers::{PeerId, Peers};
use crate::pods::Pods;
use crate::rules::{Compiled, ProfileRules};
use crate::terms::Namespaces;
use alloc::sync::Arc;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::LabelSelector;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::rules::Plugin;

use groups::{Group, Step};
use targets::{Effect, INTERESTS_MAX, NO_EFFECT, UNKNOWN, counted};
pub(crate) use targets::{Kind, Target};

/// Index of a signature.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct SigId(pub(crate) u32);

/// What makes pods of one signature.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct SigKey {
    pub(crate) profile: u32,
    pub(crate) namespace: u32,
    /// The spec with everything blanked that does not belong here, and only labels that live rules read.
    pub(crate) spec: PodSpec,
    /// Selector of the default spread constraints, where those apply.
    pub(crate) default_selector: Option<LabelSelector>,
}

/// The tables a signature is compiled against.
#[derive(Clone, Copy)]
pub(crate) struct Tables<'a> {
    pub(crate) nodes: &'a Nodes,
    pub(crate) pods: &'a Pods,
    pub(crate) peers: &'a Peers,
    pub(crate) log: &'a Log,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) profiles: &'a [ProfileRules],
}

/// A label key that the signature reads.
#[derive(Debug, Clone)]
pub(crate) struct UsedColumn {
    pub(crate) id: ColumnId,
    pub(crate) key: Str,
    /// No two nodes share a value (as of the last rebuild).
    pub(crate) unique: bool,
    epoch: u32,
}

/// The static facts that nodes of a group share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Facts {
    /// Number of PreferNoSchedule taints that are not tolerated.
    pub(crate) taints: u32,
    /// Sum of weights of preferred node affinity terms that match.
    pub(crate) affinity: i32,
    /// By place in [`Sig::columns`]: the value, 0 for none; for unique keys 1 stands for any value.
    pub(crate) values: Vec<Value>,
    /// Bit per hard spread constraint: pods of this node count.
    pub(crate) hard: u64,
    /// Bit per soft spread constraint: pods of this node count.
    pub(crate) soft: u64,
    /// Lacks a key of the soft spread constraints where that excludes it from their scores.
    pub(crate) ignored: bool,
    /// Lacks a declared feature.
    pub(crate) features: bool,
}

#[derive(Debug)]
pub(crate) struct StaticGroup {
    pub(crate) facts: Facts,
    nodes: u32,
}

/// No group: the slot is free.
pub(crate) const NO_GROUP: u32 = u32::MAX;

/// The bit that says a node is outside a PreFilter result.
pub(crate) const PRE_FILTER: u16 = 1 << 15;

/// Bits of a free slot.
pub(crate) const ABSENT: u16 = u16::MAX;

/// A compiled signature.
#[derive(Debug)]
pub(crate) struct Sig {
    pub(crate) key: Arc<SigKey>,
    /// Classes that use it.
    pub(crate) refs: u32,
    pub(crate) rules: Compiled,
    pub(crate) columns: Vec<UsedColumn>,
    pub(crate) targets: Vec<Target>,
    /// By peer: 0 none, 1 unknown, else index of `effects` plus 2.
    effect_of: Vec<u32>,
    effects: Vec<Effect>,
    /// By slot: a bit per static filter that refuses the node, by [`Plugin`], and [`PRE_FILTER`].
    pub(crate) bits: Vec<u16>,
    /// Nodes that a static filter refuses.
    pub(crate) refusing: u32,
    /// By slot.
    pub(crate) group_of: Vec<u32>,
    /// Number of targets that are kept per node.
    owns: usize,
    pub(crate) statics: Vec<StaticGroup>,
    statics_ids: Table<u32>,
    pub(crate) groups: Vec<Group>,
    /// `owns` numbers for each group.
    own_keys: Vec<i64>,
    group_ids: Table<u32>,
    group_free: Vec<u32>,
    /// Groups without nodes that are still known.
    empty_groups: usize,
    /// By group, effect and sign: the group that a node moves to.
    steps: Vec<Step>,
    /// Effects that `steps` has room for.
    steps_width: usize,
    /// By hard constraint and value: nodes whose pods count (shared keys).
    pub(crate) domain_nodes: Vec<Vec<u32>>,
    /// Matches of required affinity on nodes with the key.
    pub(crate) affinity_total: i64,
    /// Matches of other pods' anti-affinity on nodes with the key.
    pub(crate) existing_total: i64,
    /// Matches of preferences on nodes with the key.
    pub(crate) prefer_hits: i64,
    cursor: u64,
    /// Nodes that changed their group, in a ring.
    moves: Vec<Slot>,
    moves_head: u64,
    /// Peers that change a count here, if they are few.
    interests: Vec<PeerId>,
    /// Peers made so far when all of them were last known here.
    births: u64,
    /// Bytes counted against the engine's budget, and the version they were counted at.
    pub(crate) accounted: usize,
    pub(crate) accounted_version: u32,
    /// Changes at each rebuild: who keeps groups by number starts over.
    pub(crate) version: u32,
    built: bool,
    namespace_epoch: u32,
    /// Peers' ids mean what they meant when they were last given out anew.
    recycled_at: u64,
    /// By set of taints: (keeps the pod away, PreferNoSchedule taints not tolerated).
    taints: Vec<Option<(bool, u32)>>,
    scratch: Vec<i64>,
}

impl Sig {
    pub(crate) fn new(key: Arc<SigKey>, rules: Compiled) -> Self {
        Self {
            key,
            refs: 0,
            rules,
            columns: Vec::new(),
            targets: Vec::new(),
            effect_of: Vec::new(),
            effects: Vec::new(),
            bits: Vec::new(),
            refusing: 0,
            group_of: Vec::new(),
            owns: 0,
            statics: Vec::new(),
            statics_ids: Table::new(),
            groups: Vec::new(),
            own_keys: Vec::new(),
            group_ids: Table::new(),
            group_free: Vec::new(),
            empty_groups: 0,
            steps: Vec::new(),
            steps_width: 4,
            domain_nodes: Vec::new(),
            affinity_total: 0,
            existing_total: 0,
            prefer_hits: 0,
            cursor: 0,
            moves: Vec::new(),
            moves_head: 0,
            interests: Vec::new(),
            births: 0,
            accounted: 0,
            accounted_version: 0,
            version: 0,
            built: false,
            namespace_epoch: 0,
            recycled_at: 0,
            taints: Vec::new(),
            scratch: Vec::new(),
        }
    }

    /// The counts on each of a group's nodes, by own target, whether or not they count there.
    #[inline]
    pub(crate) fn own_key(&self, group: u32) -> &[i64] {
        let start = group as usize * self.owns;
        &self.own_keys[start..start + self.owns]
    }

    /// The facts of a group.
    #[inline]
    pub(crate) fn facts(&self, group: u32) -> &Facts {
        &self.statics[self.groups[group as usize].statics as usize].facts
    }

    /// The static refusals of a node, if they are up to date.
    pub(crate) fn known_bits(&self, slot: Slot, log: &Log) -> Option<u16> {
        let current = self.built && !log.slot_static_since(slot, self.cursor);
        current.then(|| self.bits.get(slot as usize).copied()).flatten()
    }

    /// Whether pods of a peer may change a count here.
    pub(crate) fn reads_peer(&self, peer: PeerId) -> bool {
        let known = self.built && peer != PeerId::NONE;
        !known || self.effect_of.get(peer.0 as usize).is_none_or(|effect| *effect != NO_EFFECT)
    }

    /// Whether no rule about other pods or features can refuse a node.
    pub(crate) fn is_trivial(&self) -> bool {
        self.targets.iter().all(|t| matches!(t.kind, Kind::Soft(_) | Kind::Prefer))
            && self.rules.hard.is_empty()
            && self.key.spec.needs_features.is_empty()
            && self.key.spec.affinity_required.is_empty()
    }

    /// The target of a spread constraint.
    #[inline]
    pub(crate) fn target(&self, kind: Kind) -> &Target {
        self.targets.iter().find(|t| t.kind == kind).expect("each constraint has its target")
    }

    /// A count as a group of nodes sees it.
    #[inline]
    pub(crate) fn count(&self, group: u32, target: &Target) -> i64 {
        let facts = self.facts(group);
        match target.own {
            Some(own) if self.counts_here(target, facts) => self.own_key(group)[own],
            Some(_) => 0,
            None => target.sums[facts.values[target.column] as usize],
        }
    }

    /// A count on one node.
    pub(crate) fn count_on(&self, slot: Slot, target: &Target) -> i64 {
        self.count(self.group_of[slot as usize], target)
    }

    /// Whether pods of a node with these facts count for a target.
    pub(crate) fn counts_here(&self, target: &Target, facts: &Facts) -> bool {
        let value = facts.values[target.column];
        value != 0 && (self.is_per_node(target.kind) || counted(target.kind, value, facts))
    }

    /// The sum of all counts of a kind, over the keys that the group's nodes have.
    pub(crate) fn count_of_kind(&self, group: u32, kind: Kind) -> i64 {
        let facts = self.facts(group);
        let of_kind = self.targets.iter().filter(|t| t.kind == kind && facts.values[t.column] != 0);
        of_kind.map(|t| self.count(group, t)).sum()
    }

    /// Bytes held.
    pub(crate) fn resident(&self) -> usize {
        self.bits.capacity() * 2
            + self.group_of.capacity() * 4
            + self.steps.capacity() * size_of::<Step>()
            + self.moves.capacity() * 4
            + self.own_keys.capacity() * 8
            + self.effect_of.capacity() * 4
            + self.groups.capacity() * size_of::<Group>()
            + self.targets.iter().map(|t| t.sums.capacity() * 8).sum::<usize>()
            + 1_024
    }

    /// Lets go of everything that is compiled; the next use rebuilds it.
    pub(crate) fn drop_state(&mut self, columns: &mut Columns) {
        for column in self.columns.drain(..) {
            columns.release(column.id);
        }
        let (key, rules, refs, version) =
            (self.key.clone(), self.rules.clone(), self.refs, self.version);
        *self = Self::new(key, rules);
        self.refs = refs;
        self.version = version + 1;
    }

    /// Whether what is compiled is there.
    pub(crate) fn is_built(&self) -> bool {
        self.built
    }

    /// Brings everything up to the log's head.
    pub(crate) fn catch_up(&mut self, t: Tables<'_>, columns: &mut Columns, hasher: &Hasher) {
        if !self.mend(t, columns, hasher) {
            self.rebuild(t, columns, hasher);
        }
    }

    /// Brings everything up to the log's head; `false` where it has to be compiled anew, which is not done.
    pub(crate) fn mend(&mut self, t: Tables<'_>, columns: &Columns, hasher: &Hasher) -> bool {
        if self.must_rebuild(t, columns) {
            return false;
        }
        let (from, head) = (self.cursor, t.log.head());
        if from == head {
            return true;
        }
        self.grow(t.nodes.slots());
        if (!self.targets.is_empty() || t.log.terms_since(from)) && !self.replay(from, t, hasher) {
            self.built = false;
            return false;
        }
        if t.log.static_since(from) {
            if columns_changed_kind(&self.columns, columns) {
                self.built = false;
                return false;
            }
            for position in from..head {
                let slot = t.log.entry(position).slot;
                if t.log.is_last(position, slot) && t.log.slot_static_since(slot, from) {
                    self.look_again(slot, t, columns, hasher);
                }
            }
        }
        self.cursor = head;
        true
    }

    /// Whether it is compiled, and the log has gone on since.
    pub(crate) fn is_behind(&self, head: u64) -> bool {
        self.built && self.cursor < head
    }

    fn must_rebuild(&self, t: Tables<'_>, columns: &Columns) -> bool {
        !self.built
            || !t.log.reaches(self.cursor)
            || self.recycled_at != t.peers.recycled_at()
            || (self.namespace_epoch != t.namespaces.epoch && self.reads_namespaces(t))
            || self.statics.len() > self.group_of.len() * 2 + 1_024
            || columns_changed_kind(&self.columns, columns)
    }

    /// Whether labels of namespaces may matter.
    fn reads_namespaces(&self, t: Tables<'_>) -> bool {
        Compiled::reads_namespaces(&self.key)
            || t.peers.with_terms() > 0
            || !self.targets.is_empty()
    }

    /// Phase 1: pods that came and went. `false`: a new key came up, rebuild.
    fn replay(&mut self, from: u64, t: Tables<'_>, hasher: &Hasher) -> bool {
        if self.births != t.peers.births() && !self.meet(t, hasher) {
            return false;
        }
        if self.interests.len() <= INTERESTS_MAX {
            // The log's chains lead to the few entries that matter.
            for at in 0..self.interests.len() {
                let peer = self.interests[at];
                let effect = self.effect_of[peer.0 as usize];
                for entry in t.log.of_peer(peer, from) {
                    self.apply(entry.slot, effect, i64::from(entry.delta), hasher);
                }
            }
            return true;
        }
        let entries = (from..t.log.head()).map(|position| t.log.entry(position));
        touch(entries.clone().map(|entry| self.group_of[entry.slot as usize]));
        for entry in entries.filter(|entry| entry.peer != PeerId::NONE) {
            let effect = self.effect_of[entry.peer.0 as usize];
            debug_assert_ne!(effect, UNKNOWN, "every peer was met");
            if effect != NO_EFFECT {
                self.apply(entry.slot, effect, i64::from(entry.delta), hasher);
            }
        }
        true
    }

    /// Phase 2: a node's own fields changed.
    fn look_again(&mut self, slot: Slot, t: Tables<'_>, columns: &Columns, hasher: &Hasher) {
        let old_group = self.group_of[slot as usize];
        let old = match old_group {
            NO_GROUP => NO_GROUP,
            group => self.groups[group as usize].statics,
        };
        let new = self.examine(slot, t, columns, hasher);
        if old == new {
            return;
        }
        let changes = self.counts_of_pods(slot, t);
        for (statics, sign) in [(old, -1), (new, 1)] {
            if statics != NO_GROUP {
                self.count_domains(statics, sign);
                self.count_shared(statics, sign, &changes);
            }
        }
        if new == NO_GROUP {
            self.move_to(slot, NO_GROUP, hasher);
        } else {
            let mut own = core::mem::take(&mut self.scratch);
            own.clear();
            if old_group == NO_GROUP {
                own.resize(self.owns, 0);
                for (target, amount, _) in &changes {
                    if let Some(place) = self.targets[*target].own {
                        own[place] += amount;
                    }
                }
            } else {
                own.extend_from_slice(self.own_key(old_group));
            }
            let group = self.group_with(new, &own, hasher);
            self.scratch = own;
            self.statics[new as usize].nodes += 1;
            self.move_to(slot, group, hasher);
        }
        if old != NO_GROUP {
            self.leave_statics(old);
        }
    }

    /// Adds what the pods of a node add up to, to what is kept for all nodes together.
    fn count_shared(&mut self, statics: u32, sign: i64, changes: &[(usize, i64, i64)]) {
        let facts = &self.statics[statics as usize].facts;
        for (target, amount, count) in changes.iter().copied() {
            let target = &mut self.targets[target];
            let value = facts.values[target.column];
            match target.kind {
                Kind::Affinity if value != 0 => self.affinity_total += sign * amount,
                Kind::Existing if value != 0 => self.existing_total += sign * amount,
                Kind::Prefer if value != 0 => self.prefer_hits += sign * count,
                _ => {}
            }
            if target.own.is_none() && counted(target.kind, value, facts) {
                target.sums[value as usize] += sign * amount;
            }
        }
    }

    /// One node fewer has these facts. They stay known: groups without nodes may still refer to them.
    fn leave_statics(&mut self, statics: u32) {
        self.statics[statics as usize].nodes -= 1;
    }

    /// What the pods of a node add up to: target, amount, number of pods' contributions.
    fn counts_of_pods(&self, slot: Slot, t: Tables<'_>) -> Vec<(usize, i64, i64)> {
        let mut sums: Vec<(usize, i64, i64)> = Vec::new();
        if self.targets.is_empty() {
            return sums;
        }
        for pod in t.pods.on_node(t.nodes.entry(slot).first_pod) {
            let peer = t.pods.get(pod).peer;
            let effect = self.effect_of.get(peer.0 as usize).copied().unwrap_or(UNKNOWN);
            debug_assert_ne!(effect, UNKNOWN, "phase 1 has seen every pod on a node");
            if effect < 2 {
                continue;
            }
            for (target, amount) in &self.effects[effect as usize - 2].amounts {
                let target = usize::from(*target);
                match sums.iter_mut().find(|(have, ..)| *have == target) {
                    Some((_, sum, count)) => {
                        *sum += amount;
                        *count += 1;
                    }
                    None => sums.push((target, *amount, 1)),
                }
            }
        }
        sums
    }

    /// A node with these facts is there (`1`) or gone (`-1`) as part of the domains of hard constraints.
    fn count_domains(&mut self, statics: u32, sign: i64) {
        let facts = &self.statics[statics as usize].facts;
        for (i, domains) in self.domain_nodes.iter_mut().enumerate() {
            if facts.hard & (1 << i) == 0 {
                continue;
            }
            let column =
                self.targets.iter().find(|t| t.kind == Kind::Hard(u8::try_from(i).expect("few")));
            let value = column.map_or(0, |t| facts.values[t.column]) as usize;
            if domains.len() <= value {
                domains.resize(value + 1, 0);
            }
            if sign > 0 {
                domains[value] += 1;
            } else {
                domains[value] -= 1;
            }
        }
    }

    /// Evaluates the static rules on a node: sets its refusals and gives its facts' id.
    fn examine(&mut self, slot: Slot, t: Tables<'_>, columns: &Columns, hasher: &Hasher) -> u32 {
        let old = self.bits[slot as usize];
        self.refusing -= u32::from(old != 0 && old != ABSENT);
        let Some(node) = t.nodes.get(slot) else {
            self.bits[slot as usize] = ABSENT;
            return NO_GROUP;
        };
        let profile = &t.profiles[self.key.profile as usize];
        let set = t.nodes.entry(slot).taint_set as usize;
        if self.taints.len() <= set {
            self.taints.resize(set + 1, None);
        }
        let (untolerated, soft_taints) = *self.taints[set].get_or_insert_with(|| {
            crate::rules::taints(
                &self.key.spec,
                t.nodes.taint_set(u32::try_from(set).expect("few")),
            )
        });
        let bits = self.rules.refusals(&self.key, profile, node, untolerated);
        self.bits[slot as usize] = bits;
        self.refusing += u32::from(bits != 0);
        let (hard, soft, ignored) = self.rules.counted(&self.key.spec, node, untolerated);
        let value = |c: &UsedColumn| {
            let value = columns.get(c.id).value(slot);
            if c.unique { u32::from(value != 0) } else { value }
        };
        let needs = &self.key.spec.needs_features;
        let facts = Facts {
            taints: if profile.profile.weights[Plugin::TaintToleration as usize] == 0 {
                0
            } else {
                soft_taints
            },
            affinity: Compiled::preference(&self.key.spec, profile, node),
            values: self.columns.iter().map(value).collect(),
            hard,
            soft,
            ignored,
            features: profile.filters(Plugin::NodeDeclaredFeatures)
                && !needs.iter().all(|f| node.features.contains(f)),
        };
        for target in self.targets.iter_mut().filter(|t| t.own.is_none()) {
            let value = facts.values[target.column] as usize;
            if target.sums.len() <= value {
                target.sums.resize(value + 1, 0);
            }
        }
        let hash = hasher.hash(&facts);
        if let Some(found) =
            self.statics_ids.find(hash, |s| self.statics[*s as usize].facts == facts)
        {
            return *found;
        }
        let group = StaticGroup { facts, nodes: 0 };
        self.statics.push(group);
        let id = u32::try_from(self.statics.len() - 1).expect("rebuilt long before");
        let statics = &self.statics;
        self.statics_ids.insert_unique(hash, id, |s| hasher.hash(&statics[*s as usize].facts));
        id
    }

    fn grow(&mut self, slots: usize) {
        if self.bits.len() < slots {
            self.bits.resize(slots, ABSENT);
            self.group_of.resize(slots, NO_GROUP);
        }
    }

    /// Compiles everything anew from the tables.
    fn rebuild(&mut self, t: Tables<'_>, columns: &mut Columns, hasher: &Hasher) {
        self.drop_state(columns);
        self.namespace_epoch = t.namespaces.epoch;
        self.recycled_at = t.peers.recycled_at();
        let profile = &t.profiles[self.key.profile as usize];
        self.rules = Compiled::new(&self.key, profile, t.namespaces);
        let mut keys: Vec<(Kind, Str)> = Vec::new();
        let mut want = |kind: Kind, key: &Str| {
            if !keys.iter().any(|(k, have)| *k == kind && have == key) {
                keys.push((kind, key.clone()));
            }
        };
        let key = self.key.clone();
        self.rules.keys(&key).for_each(|(kind, key)| want(kind, key));
        for (_, peer) in t.peers.iter() {
            self.rules
                .effects(&key, &peer.key, t.namespaces, profile, |kind, key, _| want(kind, key));
        }
        for (kind, key) in keys {
            self.add_target(kind, &key, t, columns);
        }
        self.domain_nodes = vec![Vec::new(); self.rules.hard.len()];
        self.grow(t.nodes.slots());
        self.effect_of = vec![UNKNOWN; t.peers.bound()];
        let none = vec![0; self.owns];
        for (slot, _) in t.nodes.iter() {
            let statics = self.examine(slot, t, columns, hasher);
            self.statics[statics as usize].nodes += 1;
            self.count_domains(statics, 1);
            let group = self.group_with(statics, &none, hasher);
            self.move_to(slot, group, hasher);
        }
        for (id, peer) in t.peers.iter() {
            let effect = self.effect(peer, t, hasher).expect("all keys of all peers were added");
            self.learn(id, effect);
            if effect != NO_EFFECT {
                for pod in t.pods.of_peer(peer.first) {
                    self.apply(t.pods.get(pod).slot, effect, 1, hasher);
                }
            }
        }
        self.births = t.peers.births();
        self.cursor = t.log.head();
        self.built = true;
    }

    /// A soft constraint on host names counts a node's own pods, whatever the policies and values.
    fn is_per_node(&self, kind: Kind) -> bool {
        matches!(kind, Kind::Soft(i) if self.rules.soft[usize::from(i)].per_node)
    }

    fn add_target(&mut self, kind: Kind, key: &Str, t: Tables<'_>, columns: &mut Columns) {
        let column = match self.columns.iter().position(|c| c.key == *key) {
            Some(at) => at,
            None => {
                let labels = t.nodes.iter().map(|(slot, node)| (slot, &node.labels));
                let id = columns.acquire(key, labels);
                let (unique, epoch) = (columns.get(id).unique(), columns.get(id).epoch());
                self.columns.push(UsedColumn { id, key: key.clone(), unique, epoch });
                self.columns.len() - 1
            }
        };
        let per_node = self.is_per_node(kind);
        let own = (self.columns[column].unique || per_node).then(|| {
            self.owns += 1;
            self.owns - 1
        });
        let bound = columns.get(self.columns[column].id).bound();
        let sums = if own.is_some() { Vec::new() } else { vec![0; bound] };
        self.targets.push(Target { kind, column, own, sums });
    }
}

/// Whether a key's values came to be unique or shared, or have other numbers.
fn columns_changed_kind(used: &[UsedColumn], columns: &Columns) -> bool {
    let changed = |c: &UsedColumn| {
        let column = columns.get(c.id);
        column.unique() != c.unique || column.epoch() != c.epoch
    };
    used.iter().any(changed)
}
