// SPDX-License-Identifier: Apache-2.0
//! Why a pod goes where it goes: the verdict of each rule on each node, and the score terms of the nodes that pass.
//!
//! Asked of the same compiled signature, lanes and groups that a placement is decided with; nothing is placed.

use crate::class::ClassId;
use crate::decide::{GroupReason, affinity_refusal, spread_refusal};
use crate::engine::{Engine, Subject};
use crate::local::{At, Delta, Resource, ShortOf, balance_score, fit_score, shortages};
use crate::nodes::split;
use crate::pods::NO_SLOT;
use crate::rules::{matches_added, matches_affinity};
use crate::sig::{PRE_FILTER, Sig};
use crate::whatif::{Asking, Change};
use crate::{BLOCK, Slot};
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::rules::{Code, Plugin, Reason};

/// What one plugin says against a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Objection {
    /// Which plugin.
    pub plugin: Plugin,
    /// Its reasons.
    pub reasons: Vec<Reason>,
    /// Whether preemption may help.
    pub code: Code,
}

/// The verdict on one node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeVerdict {
    /// The node.
    pub node: Slot,
    /// Every plugin that refuses it on its own, in filter order; the first is the one that counts. Empty: it passes.
    pub objections: Vec<Objection>,
    /// It was ruled out before the filters ran; then there is one objection.
    pub pre_filter: bool,
    /// Normalised scores, 0..=100 before their weights, of plugins that have something to say; empty for a refused node.
    pub scores: Vec<(Plugin, i64)>,
    /// Weighted sum of the scores.
    pub total: i64,
}

/// The verdict on all nodes.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Explanation {
    /// By slot.
    pub nodes: Vec<NodeVerdict>,
    /// What keeps the pod from every node, whatever they are like: something that Berth does not have, or no profile.
    pub unsupported: Vec<Reason>,
}

impl Engine {
    /// Explains where a pod of this spec could go now.
    pub fn explain(&mut self, pod: &Pod) -> Explanation {
        let spec = &pod.spec;
        let ix = self.intern(&pod.namespace, spec);
        let Some(class) = self.class_of(ix) else {
            let name =
                spec.scheduler_name.clone().unwrap_or_else(|| Str::from("default-scheduler"));
            return Explanation { nodes: Vec::new(), unsupported: vec![Reason::Unsupported(name)] };
        };
        let mut totals: BTreeMap<Slot, (i64, Vec<(Plugin, i64)>)> = BTreeMap::new();
        let profile = self.sig(self.class(class).key.sig).key.profile;
        let rules = self.profiles[profile as usize].clone();
        let mut least = Vec::new();
        let subject = Subject { uid: &pod.uid, nominated: NO_SLOT };
        self.evaluate(class, subject, true, |found| {
            let decision = found.decision;
            least.extend_from_slice(decision.least());
            let groups: BTreeMap<u32, _> = decision.groups.iter().map(|g| (g.group, *g)).collect();
            let mut feasible = Vec::new();
            decision.totals(found.lanes, |slot, total| feasible.push((slot, total)));
            for (slot, total) in feasible {
                let group = groups[&found.lanes.lane(slot).1];
                let scores = decision.scores(found.inputs.sig, &rules, &group);
                let scores = [
                    (Plugin::TaintToleration, scores.taints),
                    (Plugin::NodeAffinity, scores.affinity),
                    (Plugin::PodTopologySpread, scores.spread),
                    (Plugin::InterPodAffinity, scores.prefer),
                ];
                let scores = scores.into_iter().filter_map(|(p, s)| Some((p, s?))).collect();
                totals.insert(slot, (total, scores));
            }
        });
        let asking = self.asking(class, &pod.uid);
        if let Some((plugin, reason)) = asking.pre_filter(self.ground()) {
            let nodes = self.nodes.iter().map(|(slot, _)| early(slot, plugin, reason.clone()));
            return Explanation { nodes: nodes.collect(), unsupported: Vec::new() };
        }
        let slots: Vec<Slot> = self.nodes.iter().map(|(slot, _)| slot).collect();
        let mut nodes = Vec::with_capacity(slots.len());
        for slot in slots {
            nodes.push(match totals.remove(&slot) {
                Some((total, mut scores)) => {
                    scores.extend(self.local_scores(class, slot));
                    scores.sort_unstable();
                    NodeVerdict {
                        node: slot,
                        objections: Vec::new(),
                        pre_filter: false,
                        scores,
                        total,
                    }
                }
                None => self.refusal_of(class, asking, slot, &least),
            });
        }
        Explanation { nodes, unsupported: Vec::new() }
    }

    /// Fit, balance and image scores of a node.
    fn local_scores(&self, class: ClassId, slot: Slot) -> Vec<(Plugin, i64)> {
        let class = self.class(class);
        let rules = &self.profiles[self.sig(class.key.sig).key.profile as usize];
        let at = self.at(slot);
        let on = |plugin: Plugin| rules.profile.weights[plugin as usize] != 0;
        let mut scores = Vec::new();
        if on(Plugin::NodeResourcesFit) {
            scores.push((Plugin::NodeResourcesFit, fit_score(at, &rules.local, &class.shape)));
        }
        if on(Plugin::NodeResourcesBalancedAllocation)
            && let Some(score) = balance_score(at, &rules.local, &class.shape)
        {
            scores.push((Plugin::NodeResourcesBalancedAllocation, score));
        }
        if on(Plugin::ImageLocality) {
            let mut images = Vec::new();
            self.images.scores(
                &class.key.images,
                class.key.containers,
                self.nodes.live(),
                &mut images,
            );
            let score = images.iter().find(|(s, _)| *s == slot).map_or(0, |(_, score)| *score);
            scores.push((Plugin::ImageLocality, score));
        }
        scores
    }

    /// What the local rules read of a node.
    pub(crate) fn at(&self, slot: Slot) -> At<'_> {
        let (block, lane) = split(slot);
        debug_assert!(lane < BLOCK);
        At { block: &self.nodes.blocks[block], lane, entry: self.nodes.entry(slot) }
    }

    /// Every objection to a node. The signature must be up to date.
    fn refusal_of(
        &self,
        class: ClassId,
        asking: Asking<'_>,
        slot: Slot,
        least: &[i64],
    ) -> NodeVerdict {
        let sig = asking.sig;
        if sig.bits[slot as usize] & PRE_FILTER != 0 {
            let all_conflict = sig.rules.names.as_ref().is_some_and(Vec::is_empty);
            let reason = if all_conflict {
                Reason::ConflictingNodeNames
            } else {
                Reason::PreFilterNodeAffinity
            };
            return early(slot, Plugin::NodeAffinity, reason);
        }
        let mut objections = self.static_objections(sig, slot);
        objections.extend(self.booked_objections(class, slot));
        let volumes = self.ground().volume_refusals(asking, slot, Change::default());
        objections.extend(volumes.into_iter().map(|(plugin, reasons, code)| Objection {
            plugin,
            reasons,
            code,
        }));
        let group = sig.group_of[slot as usize];
        objections.extend(group_objections(
            sig,
            &self.profiles[sig.key.profile as usize],
            group,
            least,
        ));
        if sig.facts(group).features {
            let node = self.nodes.node(slot);
            let missing: Vec<&str> = sig
                .key
                .spec
                .needs_features
                .iter()
                .filter(|f| !node.features.contains(f))
                .map(|f| &**f)
                .collect();
            objections.push(Objection {
                plugin: Plugin::NodeDeclaredFeatures,
                reasons: vec![Reason::MissingFeatures(Str::from(missing.join(", ")))],
                code: Code::UnschedulableAndUnresolvable,
            });
        }
        self.object_for_nominees(asking, slot, &mut objections);
        NodeVerdict { node: slot, objections, pre_filter: false, scores: Vec::new(), total: 0 }
    }

    /// Room that is kept for nominated pods comes first, as upstream's filters meet it first.
    fn object_for_nominees(&self, asking: Asking<'_>, slot: Slot, objections: &mut Vec<Objection>) {
        let on = self.ground().nominees(asking, slot);
        if on.is_empty() {
            return;
        }
        if let Some((plugin, code)) =
            self.ground().refusal(asking, slot, Change { off: &[], on: &on })
        {
            let known = objections.iter().position(|o| o.plugin == plugin);
            // The same plugin may refuse for another reason without them, which preemption may change or not.
            let plain = known.map(|at| objections.remove(at)).filter(|plain| plain.code == code);
            let objection = plain.unwrap_or_else(|| Objection {
                plugin,
                reasons: vec![Reason::Nominated],
                code,
            });
            objections.insert(0, objection);
        }
    }

    fn static_objections(&self, sig: &Sig, slot: Slot) -> Vec<Objection> {
        let rules = &self.profiles[sig.key.profile as usize];
        let bits = sig.bits[slot as usize];
        let fixed = [
            (Plugin::NodeUnschedulable, Reason::NodeUnschedulable),
            (Plugin::NodeName, Reason::NodeName),
            (Plugin::TaintToleration, Reason::Taint),
            (Plugin::NodeAffinity, {
                let node = self.nodes.node(slot);
                // Upstream looks at the added affinity first.
                if matches_added(rules, node) {
                    debug_assert!(
                        bits & (1 << Plugin::NodeAffinity as u16) == 0
                            || !matches_affinity(&sig.key.spec, node)
                    );
                    Reason::NodeAffinity
                } else {
                    Reason::EnforcedNodeAffinity
                }
            }),
        ];
        let refused = fixed.into_iter().filter(|(plugin, _)| bits & (1 << *plugin as u16) != 0);
        refused
            .map(|(plugin, reason)| Objection {
                plugin,
                reasons: vec![reason],
                code: Code::UnschedulableAndUnresolvable,
            })
            .collect()
    }

    /// Objections for want of what is booked on the node: ports, resources, volumes.
    fn booked_objections(&self, id: ClassId, slot: Slot) -> Vec<Objection> {
        let class = self.class(id);
        let rules = &self.profiles[self.sig(class.key.sig).key.profile as usize];
        let mut objections = Vec::new();
        let at = self.at(slot);
        let taken = class
            .shape
            .usage
            .ports
            .iter()
            .any(|port| at.entry.ports.iter().any(|used| used.port.conflicts(*port)));
        if rules.filters(Plugin::NodePorts) && taken {
            objections.push(Objection {
                plugin: Plugin::NodePorts,
                reasons: vec![Reason::Ports],
                code: Code::Unschedulable,
            });
        }
        let mut reasons = Vec::new();
        let mut code = Code::Unschedulable;
        if rules.filters(Plugin::NodeResourcesFit) {
            shortages(at, &class.shape, &Delta::default(), |shortage| {
                if shortage.beyond_capacity {
                    code = Code::UnschedulableAndUnresolvable;
                }
                reasons.push(match shortage.resource {
                    ShortOf::Places => Reason::TooManyPods,
                    ShortOf::Resource(resource) => {
                        Reason::Insufficient(self.resource_name(resource))
                    }
                });
            });
        }
        if !reasons.is_empty() {
            objections.push(Objection { plugin: Plugin::NodeResourcesFit, reasons, code });
        }
        objections
    }

    fn resource_name(&self, resource: Resource) -> Str {
        match resource {
            Resource::Cpu => Str::from("cpu"),
            Resource::Memory => Str::from("memory"),
            Resource::Ephemeral => Str::from("ephemeral-storage"),
            Resource::Scalar(id) => self.resources.name(id).clone(),
        }
    }
}

/// Objections of the rules about other pods.
fn group_objections(
    sig: &Sig,
    rules: &crate::rules::ProfileRules,
    group: u32,
    least: &[i64],
) -> impl Iterator<Item = Objection> {
    let spread = spread_refusal(sig, group, least).map(|r| (Plugin::PodTopologySpread, r));
    let affinity = rules
        .filters(Plugin::InterPodAffinity)
        .then(|| affinity_refusal(sig, group))
        .flatten()
        .map(|r| (Plugin::InterPodAffinity, r));
    spread.into_iter().chain(affinity).map(|(plugin, reason)| {
        let (reason, code) = match reason {
            GroupReason::SpreadMissingLabel => {
                (Reason::SpreadMissingLabel, Code::UnschedulableAndUnresolvable)
            }
            GroupReason::Spread => (Reason::Spread, Code::Unschedulable),
            GroupReason::Affinity => (Reason::Affinity, Code::UnschedulableAndUnresolvable),
            GroupReason::AntiAffinity => (Reason::AntiAffinity, Code::Unschedulable),
            GroupReason::ExistingAntiAffinity => {
                (Reason::ExistingAntiAffinity, Code::Unschedulable)
            }
            GroupReason::Features => {
                (Reason::MissingFeatures(Str::from("")), Code::UnschedulableAndUnresolvable)
            }
        };
        Objection { plugin, reasons: vec![reason], code }
    })
}

/// A node that was ruled out before the filters ran.
fn early(node: Slot, plugin: Plugin, reason: Reason) -> NodeVerdict {
    let code = Code::UnschedulableAndUnresolvable;
    let objection = Objection { plugin, reasons: vec![reason], code };
    NodeVerdict {
        node,
        objections: vec![objection],
        pre_filter: true,
        scores: Vec::new(),
        total: 0,
    }
}
