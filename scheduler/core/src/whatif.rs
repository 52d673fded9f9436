// SPDX-License-Identifier: Apache-2.0
//! One node with some pods taken off or put on in thought: what nominated pods and preemption ask.
//!
//! The counts of a signature stay as they are; the change is added on top of them. Semantics: `RunFilterPluginsWithNominatedPods`
//! and the plugins' `AddPod` and `RemovePod`.

use crate::Slot;
use crate::class::Class;
use crate::decide::GroupReason;
use crate::local::{At, Delta, shortages};
use crate::nodes::{Nodes, split};
use crate::peers::{PeerKey, Peers, Terms};
use crate::pods::{PodIx, Pods};
use crate::rules::ProfileRules;
use crate::sig::{Kind, PRE_FILTER, Sig, Target};
use crate::specs::Specs;
use crate::terms::Namespaces;
use crate::volumes::{Storage, There, Wants};
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::PodSpec;
use berth_scheduler_model::rules::{Code, Plugin, Reason};

/// The tables that rules about one node read.
#[derive(Clone, Copy)]
pub(crate) struct Ground<'a> {
    pub(crate) nodes: &'a Nodes,
    pub(crate) pods: &'a Pods,
    pub(crate) specs: &'a Specs,
    pub(crate) peers: &'a Peers,
    pub(crate) namespaces: &'a Namespaces,
    pub(crate) storage: &'a Storage,
}

/// The pod in question.
#[derive(Clone, Copy)]
pub(crate) struct Asking<'a> {
    pub(crate) sig: &'a Sig,
    pub(crate) class: &'a Class,
    pub(crate) profile: &'a ProfileRules,
    pub(crate) uid: &'a str,
}

/// Pods taken off and put on.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Change<'a> {
    pub(crate) off: &'a [PodIx],
    pub(crate) on: &'a [PodIx],
}

impl Asking<'_> {
    /// The pod's volumes.
    pub(crate) fn wants<'a>(&'a self, ground: Ground<'a>) -> Wants<'a> {
        Wants {
            namespace: ground.namespaces.ids.name(self.sig.key.namespace),
            spec: &self.sig.key.spec,
            uid: self.uid,
        }
    }
}

impl Asking<'_> {
    /// What refuses the pod on every node before nodes are looked at (PreFilter); NodeAffinity's part is in the static bits.
    pub(crate) fn pre_filter(&self, ground: Ground<'_>) -> Option<(Plugin, Reason)> {
        let spec = &self.sig.key.spec;
        if spec.volumes.is_empty() && spec.unsupported.is_empty() {
            return None;
        }
        if self.sig.rules.names.as_ref().is_some_and(Vec::is_empty) {
            return None;
        }
        let runs = |plugin| self.profile.filters(plugin);
        if let Some(refusal) = ground.storage.pre_filter(self.wants(ground), runs) {
            return Some(refusal);
        }
        let list = &spec.unsupported;
        (!list.is_empty())
            .then(|| (Plugin::DynamicResources, Reason::Unsupported(Str::from(list.join(", ")))))
    }
}

impl<'a> Ground<'a> {
    /// Namespace and spec of a pod.
    fn spec_of(self, pod: PodIx) -> (&'a Str, &'a PodSpec) {
        let entry = self.specs.get(self.pods.get(pod).spec);
        (self.namespaces.ids.name(entry.namespace), &entry.spec)
    }

    fn at(self, slot: Slot) -> At<'a> {
        let (block, lane) = split(slot);
        At { block: &self.nodes.blocks[block], lane, entry: self.nodes.entry(slot) }
    }

    /// The first filter that refuses the node under a change; the pod's signature must be up to date.
    pub(crate) fn refusal(
        self,
        asking: Asking<'_>,
        slot: Slot,
        change: Change<'_>,
    ) -> Option<(Plugin, Code)> {
        let (sig, profile) = (asking.sig, asking.profile);
        let bits = sig.bits[slot as usize];
        if bits & PRE_FILTER != 0 {
            return Some((Plugin::NodeAffinity, Code::UnschedulableAndUnresolvable));
        }
        if bits != 0 {
            let plugin = Plugin::at(bits.trailing_zeros() as usize)?;
            return Some((plugin, Code::UnschedulableAndUnresolvable));
        }
        if profile.filters(Plugin::NodePorts) && self.port_taken(asking, slot, change) {
            return Some((Plugin::NodePorts, Code::Unschedulable));
        }
        if profile.filters(Plugin::NodeResourcesFit)
            && let Some(code) = self.unfit(asking, slot, change)
        {
            return Some((Plugin::NodeResourcesFit, code));
        }
        if let Some(refusal) = self.volume_refusals(asking, slot, change).into_iter().next() {
            return Some((refusal.0, refusal.2));
        }
        self.peer_refusal(asking, slot, change)
    }

    /// The same with pods of equal or higher priority that are nominated to the node put on, and again without them.
    pub(crate) fn refusal_with_nominees(
        self,
        asking: Asking<'_>,
        slot: Slot,
        off: &[PodIx],
    ) -> Option<(Plugin, Code)> {
        let on = self.nominees(asking, slot);
        if !on.is_empty()
            && let Some(refusal) = self.refusal(asking, slot, Change { off, on: &on })
        {
            return Some(refusal);
        }
        self.refusal(asking, slot, Change { off, on: &[] })
    }

    /// Pods nominated to a node that the pod in question must leave room for.
    pub(crate) fn nominees(self, asking: Asking<'_>, slot: Slot) -> Vec<PodIx> {
        let all = self.nodes.entry(slot).nominees.iter().copied();
        all.filter(|pod| {
            self.spec_of(*pod).1.priority >= asking.class.key.priority
                && self.pods.uid(*pod) != asking.uid
        })
        .collect()
    }

    fn port_taken(self, asking: Asking<'_>, slot: Slot, change: Change<'_>) -> bool {
        let wanted = &asking.class.shape.usage.ports;
        if wanted.is_empty() {
            return false;
        }
        let ports_of = |pods: &'_ [PodIx]| -> Vec<_> {
            pods.iter()
                .flat_map(|pod| {
                    self.specs.get(self.pods.get(*pod).spec).usage.ports.iter().copied()
                })
                .collect()
        };
        let (off, on) = (ports_of(change.off), ports_of(change.on));
        wanted.iter().any(|port| {
            let used = self.nodes.entry(slot).ports.iter().any(|used| {
                let freed = off.iter().filter(|p| **p == used.port).count();
                used.port.conflicts(*port) && used.users as usize > freed
            });
            used || on.iter().any(|other| other.conflicts(*port))
        })
    }

    fn unfit(self, asking: Asking<'_>, slot: Slot, change: Change<'_>) -> Option<Code> {
        let mut delta = Delta::default();
        for (pods, sign) in [(change.off, -1), (change.on, 1)] {
            for pod in pods {
                delta.add(&self.specs.get(self.pods.get(*pod).spec).usage, sign);
            }
        }
        let mut code = None;
        shortages(self.at(slot), &asking.class.shape, &delta, |shortage| {
            if shortage.beyond_capacity {
                code = Some(Code::UnschedulableAndUnresolvable);
            } else {
                code.get_or_insert(Code::Unschedulable);
            }
        });
        code
    }

    /// Refusals of a node because of volumes, in filter order.
    pub(crate) fn volume_refusals(
        self,
        asking: Asking<'_>,
        slot: Slot,
        change: Change<'_>,
    ) -> Vec<crate::volumes::Refusal> {
        let mut refusals = Vec::new();
        if asking.sig.key.spec.volumes.is_empty() {
            return refusals;
        }
        let wants = asking.wants(self);
        let here = self.pods.on_node(self.nodes.entry(slot).first_pod);
        let mut pods: Vec<PodIx> = here.filter(|pod| !change.off.contains(pod)).collect();
        pods.extend_from_slice(change.on);
        let off = change.off.iter().map(|pod| self.spec_of(*pod));
        let on = change.on.iter().map(|pod| self.spec_of(*pod));
        let there = There {
            node: self.nodes.node(slot),
            pods: pods.iter().map(|pod| self.spec_of(*pod)),
            once_conflicts: self.storage.once_conflicts_after(wants, off, on),
        };
        let runs = |plugin| asking.profile.filters(plugin);
        self.storage.refusals(wants, &there, runs, |refusal| {
            refusals.push(refusal);
            true
        });
        refusals
    }

    /// PodTopologySpread, InterPodAffinity and NodeDeclaredFeatures.
    fn peer_refusal(
        self,
        asking: Asking<'_>,
        slot: Slot,
        change: Change<'_>,
    ) -> Option<(Plugin, Code)> {
        let sig = asking.sig;
        if let Some(reason) = self.spread_refusal(asking, slot, change) {
            let code = match reason {
                GroupReason::SpreadMissingLabel => Code::UnschedulableAndUnresolvable,
                _ => Code::Unschedulable,
            };
            return Some((Plugin::PodTopologySpread, code));
        }
        if asking.profile.filters(Plugin::InterPodAffinity)
            && let Some(reason) = self.affinity_refusal(asking, slot, change)
        {
            let code = match reason {
                GroupReason::Affinity => Code::UnschedulableAndUnresolvable,
                _ => Code::Unschedulable,
            };
            return Some((Plugin::InterPodAffinity, code));
        }
        let missing = sig.facts(sig.group_of[slot as usize]).features;
        missing.then_some((Plugin::NodeDeclaredFeatures, Code::UnschedulableAndUnresolvable))
    }

    /// What moved pods are to others, with 1 for those put on and -1 for those taken off.
    fn moved(self, change: Change<'_>) -> Vec<(PeerKey, i64)> {
        let key = |pod: &PodIx| {
            let record = self.pods.get(*pod);
            match self.peers.find(record.peer) {
                Some(peer) => peer.key.clone(),
                None => {
                    let entry = self.specs.get(record.spec);
                    PeerKey {
                        namespace: entry.namespace,
                        labels: entry.spec.labels.clone(),
                        terminating: record.terminating,
                        terms: Terms::of(&entry.spec),
                    }
                }
            }
        };
        let on = change.on.iter().map(|pod| (key(pod), 1));
        on.chain(change.off.iter().map(|pod| (key(pod), -1))).collect()
    }

    fn spread_refusal(
        self,
        asking: Asking<'_>,
        slot: Slot,
        change: Change<'_>,
    ) -> Option<GroupReason> {
        let sig = asking.sig;
        if sig.rules.hard.is_empty() {
            return None;
        }
        let moved = self.moved(change);
        let facts = sig.facts(sig.group_of[slot as usize]);
        for (i, constraint) in sig.rules.hard.iter().enumerate() {
            let target = sig.target(Kind::Hard(u8::try_from(i).expect("few")));
            if facts.values[target.column] == 0 {
                return Some(GroupReason::SpreadMissingLabel);
            }
            let counts = sig.counts_here(target, facts);
            let moved: i64 = moved
                .iter()
                .filter(|(peer, _)| counts && constraint.matches(&sig.key, peer))
                .map(|(_, sign)| sign)
                .sum();
            let here = sig.count_on(slot, target) + moved;
            let (others, domains) = least_elsewhere(sig, i, target, slot);
            let least = if counts { others.min(here) } else { others };
            let domains_enough = domains > 0 && domains >= constraint.min_domains;
            let least = if domains_enough { least } else { 0 };
            if here + constraint.self_match - least > constraint.max_skew {
                return Some(GroupReason::Spread);
            }
        }
        None
    }

    /// What a change moves at a node for InterPodAffinity's filter, by kind and key.
    fn affinity_moves(
        self,
        asking: Asking<'_>,
        slot: Slot,
        change: Change<'_>,
    ) -> Vec<(Kind, Str, i64)> {
        let (sig, node) = (asking.sig, self.nodes.node(slot));
        let mut moves: Vec<(Kind, Str, i64)> = Vec::new();
        for (peer, sign) in self.moved(change) {
            let mut add = |kind: Kind, key: &Str, amount: i64| {
                let filtered = matches!(kind, Kind::Affinity | Kind::Anti | Kind::Existing);
                if filtered && node.labels.get(key).is_some() {
                    moves.push((kind, key.clone(), sign * amount));
                }
            };
            sig.rules.effects(&sig.key, &peer, self.namespaces, asking.profile, &mut add);
        }
        moves
    }

    fn affinity_refusal(
        self,
        asking: Asking<'_>,
        slot: Slot,
        change: Change<'_>,
    ) -> Option<GroupReason> {
        let sig = asking.sig;
        let spec = &sig.key.spec;
        let no_rules = spec.affinity_required.is_empty() && spec.anti_affinity_required.is_empty();
        // Upstream leaves the plugin out of the whole cycle by what it sees at its start.
        if no_rules && sig.existing_total == 0 {
            return None;
        }
        let facts = sig.facts(sig.group_of[slot as usize]);
        let moves = self.affinity_moves(asking, slot, change);
        let moved = |kind: Kind, key: &Str| -> i64 {
            moves
                .iter()
                .filter(|(k, at, _)| *k == kind && at == key)
                .map(|(.., amount)| amount)
                .sum()
        };
        let (mut met, mut labelled) = (true, true);
        let (mut anti, mut existing) = (false, false);
        for target in &sig.targets {
            let labels = facts.values[target.column] != 0;
            let count =
                || sig.count_on(slot, target) + moved(target.kind, &sig.columns[target.column].key);
            match target.kind {
                Kind::Affinity if !labels => labelled = false,
                Kind::Affinity => met &= count() > 0,
                Kind::Anti => anti |= labels && count() > 0,
                Kind::Existing => existing |= labels && count() > 0,
                Kind::Hard(_) | Kind::Soft(_) | Kind::Prefer => {}
            }
        }
        // Keys that only moved pods bring up.
        let known = |key: &Str| {
            sig.targets
                .iter()
                .any(|t| t.kind == Kind::Existing && sig.columns[t.column].key == *key)
        };
        existing |= moves
            .iter()
            .any(|(kind, key, amount)| *kind == Kind::Existing && *amount > 0 && !known(key));
        let total: i64 = sig.affinity_total
            + moves.iter().filter(|(k, ..)| *k == Kind::Affinity).map(|(.., n)| n).sum::<i64>();
        let first = total == 0 && sig.rules.self_affinity;
        if !labelled || (!met && !first) {
            return Some(GroupReason::Affinity);
        }
        if anti {
            return Some(GroupReason::AntiAffinity);
        }
        existing.then_some(GroupReason::ExistingAntiAffinity)
    }
}

/// The smallest count of a hard constraint over the domains that the node is not in, and the number of all domains.
fn least_elsewhere(sig: &Sig, constraint: usize, target: &Target, slot: Slot) -> (i64, i64) {
    let group = sig.group_of[slot as usize];
    if target.own.is_some() {
        let bit = 1 << constraint;
        let mut least = i64::MAX;
        for (other, state) in (0..).zip(&sig.groups) {
            let nodes = state.nodes - u32::from(other == group && state.nodes > 0);
            if nodes > 0 && sig.facts(other).hard & bit != 0 {
                least = least.min(sig.count(other, target));
            }
        }
        let domains = sig.domain_nodes[constraint].get(1).copied().unwrap_or(0);
        return (least, i64::from(domains));
    }
    let here = sig.facts(group).values[target.column] as usize;
    let (mut least, mut domains) = (i64::MAX, 0);
    for (value, nodes) in sig.domain_nodes[constraint].iter().enumerate() {
        if *nodes > 0 {
            domains += 1;
            // The node's own domain counts with the change, where it counts at all.
            if value != here || !sig.counts_here(target, sig.facts(group)) {
                least = least.min(target.sums[value]);
            }
        }
    }
    (least, domains)
}
