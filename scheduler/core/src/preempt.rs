// SPDX-License-Identifier: Apache-2.0
//! Preemption: which pods would have to go for a pod that fits nowhere (plugin defaultpreemption, kube-scheduler v1.36), over all
//! nodes.

use crate::Slot;
use crate::engine::{Engine, Subject};
use crate::pods::{NOT_STARTED, PodIx};
use crate::specs::SpecIx;
use crate::whatif::{Asking, Ground};
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::DisruptionBudget;
use berth_scheduler_model::pod::PreemptionPolicy;
use berth_scheduler_model::rules::{Code, Plugin};
use core::cmp::Reverse;

/// What must go from a node so that a pod fits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Eviction {
    /// The node.
    pub node: Slot,
    /// The pods to evict, most important first.
    pub victims: Vec<PodIx>,
    /// How many of them violate a disruption budget.
    pub violations: u32,
}

/// Why a pod may not preempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ineligible {
    /// Its preemption policy, or its profile has preemption off.
    Never,
    /// It preempted already: on its nominated node a pod is still terminating for it.
    Waiting,
}

/// Everything there is to say about preemption for a pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreemptionExplanation {
    /// Why the pod may not preempt, if it may not.
    pub ineligible: Option<Ineligible>,
    /// By node, the first plugin that refuses it, and whether preemption may help.
    pub filter: Vec<(Slot, Plugin, Code)>,
    /// Nodes where evicting helps.
    pub candidates: Vec<Eviction>,
    /// Nodes where it might have helped and does not: the plugin that refuses even then; `None`: no pod of lower priority.
    pub failed: Vec<(Slot, Option<Plugin>)>,
    /// The best candidates, all that are equally good.
    pub best: Vec<Slot>,
}

/// What orders candidates: the least is best. Violations, highest priority, sum of priorities, number, latest start of the
/// earliest of the most important ones.
pub(crate) type Cost = (u32, i32, i64, u32, Reverse<i64>);

impl Asking<'_> {
    fn never_preempts(&self) -> bool {
        self.class.key.may_preempt == PreemptionPolicy::Never || !self.profile.profile.preemption
    }
}

/// A pod of lower priority on a node.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Lower {
    priority: i32,
    started: i64,
    pod: PodIx,
    violates: bool,
}

/// What is thought to be taken off a node.
#[derive(Debug, Default)]
struct Room {
    delta: crate::local::Delta,
}

impl Engine {
    /// Whom to evict for a pod that was just refused, if that helps.
    pub(crate) fn eviction(&mut self, ix: SpecIx, subject: Subject<'_>) -> Option<Eviction> {
        let class = self.class_of(ix)?;
        let priority = self.class(class).key.priority;
        if self.priorities.first_key_value().is_none_or(|(lowest, _)| *lowest >= priority) {
            return None;
        }
        let ground = self.ground();
        let asking = self.asking(class, subject.uid);
        // What PreFilter says of the whole pod no eviction changes.
        if asking.pre_filter(ground).is_some() || self.ineligible(asking, ground, subject).is_some()
        {
            return None;
        }
        if is_simple(asking) {
            return self.cheapest(class, subject);
        }
        let slots: Vec<Slot> = self.nodes.iter().map(|(slot, _)| slot).collect();
        self.cheapest_of(asking, &slots).map(|(_, _, eviction)| eviction)
    }

    /// The cheapest of some nodes, each tried anew.
    fn cheapest_of(&self, asking: Asking<'_>, slots: &[Slot]) -> Option<(Cost, u32, Eviction)> {
        let mut best: Option<(Cost, u32, Eviction)> = None;
        for slot in slots {
            let Ok(Some(eviction)) = self.candidate(asking, self.ground(), *slot) else { continue };
            if self.strict_budgets && eviction.violations > 0 {
                continue;
            }
            let rank = (self.cost(&eviction), self.nodes.tie[*slot as usize]);
            if best.as_ref().is_none_or(|(cost, tie, _)| rank < (*cost, *tie)) {
                best = Some((rank.0, rank.1, eviction));
            }
        }
        best
    }

    /// The cheapest node for a simple pod, by the costs that its class keeps.
    fn cheapest(&mut self, id: crate::class::ClassId, subject: Subject<'_>) -> Option<Eviction> {
        let mut costs = self.class_mut(id).costs.take().unwrap_or_default();
        let mut scratch = core::mem::take(&mut self.lower_pods);
        let asking = self.asking(id, subject.uid);
        let (slots, epoch) = (self.nodes.slots(), self.budget_epoch);
        costs.catch_up(&self.log, slots, epoch, |slot| {
            self.simple_cost(asking, slot, &mut scratch)
                .map(|cost| (cost, self.nodes.tie[slot as usize]))
        });
        let nominated = self.nominated_nodes();
        let kept = costs.best(nominated);
        let tried = self.cheapest_of(asking, nominated);
        let eviction = match (kept, tried) {
            (Some((cost, tie, _)), Some((other, other_tie, eviction)))
                if (other, other_tie) < (cost, tie) =>
            {
                Some(eviction)
            }
            (Some((cost, _, slot)), _) => {
                let eviction = self.candidate(asking, self.ground(), slot).ok().flatten();
                debug_assert_eq!(
                    eviction.as_ref().map(|e| self.cost(e)),
                    Some(cost),
                    "costs are right"
                );
                eviction
            }
            (None, tried) => tried.map(|(_, _, eviction)| eviction),
        };
        self.lower_pods = scratch;
        self.class_mut(id).costs = Some(costs);
        eviction
    }

    /// The cost of preemption on a node for a simple pod; `None` where it does not help (or, with strict budgets, may not).
    fn simple_cost(&self, asking: Asking<'_>, slot: Slot, lower: &mut Vec<Lower>) -> Option<Cost> {
        if asking.sig.bits[slot as usize] != 0 {
            return None;
        }
        let shape = &asking.class.shape;
        let at = self.at(slot);
        let mut room = Room::default();
        let (mut short, mut beyond) = (false, false);
        crate::local::shortages(at, shape, &room.delta, |shortage| {
            short = true;
            beyond |= shortage.beyond_capacity;
        });
        if !short || beyond {
            return None;
        }
        let priority = asking.class.key.priority;
        lower.clear();
        for pod in self.pods.on_node(self.nodes.entry(slot).first_pod) {
            let record = self.pods.get(pod);
            let entry = self.specs.get(record.spec);
            if entry.spec.priority < priority {
                let started = self.started(pod);
                lower.push(Lower { priority: entry.spec.priority, started, pod, violates: false });
                room.delta.add(&entry.usage, -1);
            }
        }
        let fits = |room: &Room| {
            let mut fits = true;
            crate::local::shortages(at, shape, &room.delta, |_| fits = false);
            fits
        };
        if lower.is_empty() || !fits(&room) {
            return None;
        }
        lower.sort_by(|a, b| {
            let rank = |l: &Lower| (Reverse(l.priority), l.started);
            rank(a).cmp(&rank(b)).then_with(|| self.pods.uid(a.pod).cmp(self.pods.uid(b.pod)))
        });
        self.mark_violations(lower);
        let mut cost: Cost = (0, i32::MIN, 0, 0, Reverse(i64::MAX));
        for violates in [true, false] {
            for pod in lower.iter().filter(|l| l.violates == violates) {
                let usage = &self.specs.get(self.pods.get(pod.pod).spec).usage;
                room.delta.add(usage, 1);
                if fits(&room) {
                    continue;
                }
                room.delta.add(usage, -1);
                cost.0 += u32::from(violates);
                let earliest =
                    if pod.priority == cost.1 { cost.4.0.min(pod.started) } else { pod.started };
                if pod.priority >= cost.1 {
                    (cost.1, cost.4) = (pod.priority, Reverse(earliest));
                }
                cost.2 += i64::from(pod.priority) + (1 << 31);
                cost.3 += 1;
            }
        }
        (!self.strict_budgets || cost.0 == 0).then_some(cost)
    }

    /// Marks the pods whose eviction violates a budget, given that those before them are evicted too.
    fn mark_violations(&self, pods: &mut [Lower]) {
        if self.budgets.is_empty() {
            return;
        }
        for budget in self.budgets.values() {
            let mut left = i64::from(budget.allowed);
            for pod in pods.iter_mut() {
                if self.covers(budget, pod.pod) {
                    left -= 1;
                    pod.violates |= left < 0;
                }
            }
        }
    }

    /// Says everything about preemption for a pod. Nothing changes.
    pub fn explain_preemption(
        &mut self,
        pod: &berth_scheduler_model::pod::Pod,
    ) -> PreemptionExplanation {
        let ix = self.intern(&pod.namespace, &pod.spec);
        let nominated = pod.nominated.as_ref().and_then(|name| self.nodes.find(name));
        let subject =
            Subject { uid: &pod.uid, nominated: nominated.unwrap_or(crate::pods::NO_SLOT) };
        let mut explanation = PreemptionExplanation::default();
        let Some(class) = self.class_of(ix) else { return explanation };
        self.evaluate(class, subject, true, |_| ());
        let ground = self.ground();
        let asking = self.asking(class, &pod.uid);
        let slots: Vec<Slot> = self.nodes.iter().map(|(slot, _)| slot).collect();
        if let Some((plugin, _)) = asking.pre_filter(ground) {
            let code = Code::UnschedulableAndUnresolvable;
            explanation.filter = slots.iter().map(|slot| (*slot, plugin, code)).collect();
            explanation.ineligible = asking.never_preempts().then_some(Ineligible::Never);
            return explanation;
        }
        for slot in &slots {
            if let Some((plugin, code)) = ground.refusal_with_nominees(asking, *slot, &[]) {
                explanation.filter.push((*slot, plugin, code));
            }
        }
        explanation.ineligible = self.ineligible(asking, ground, subject);
        if explanation.ineligible.is_some() {
            return explanation;
        }
        for slot in slots {
            match self.candidate(asking, ground, slot) {
                Ok(Some(eviction)) => explanation.candidates.push(eviction),
                Ok(None) => {}
                Err(plugin) => explanation.failed.push((slot, plugin)),
            }
        }
        let best = explanation.candidates.iter().map(|e| self.cost(e)).min();
        for eviction in &explanation.candidates {
            if Some(self.cost(eviction)) == best {
                explanation.best.push(eviction.node);
            }
        }
        explanation
    }

    /// Whom a pod would evict in production. Nothing changes.
    pub fn survey_eviction(&mut self, pod: &berth_scheduler_model::pod::Pod) -> Option<Eviction> {
        let ix = self.intern(&pod.namespace, &pod.spec);
        let nominated = pod.nominated.as_ref().and_then(|name| self.nodes.find(name));
        let subject =
            Subject { uid: &pod.uid, nominated: nominated.unwrap_or(crate::pods::NO_SLOT) };
        let class = self.class_of(ix)?;
        self.evaluate(class, subject, true, |_| ());
        self.eviction(ix, subject)
    }

    /// The tables that rules about one node read.
    pub(crate) fn ground(&self) -> Ground<'_> {
        Ground {
            nodes: &self.nodes,
            pods: &self.pods,
            specs: &self.specs,
            peers: &self.peers,
            namespaces: &self.namespaces,
            storage: &self.storage,
        }
    }

    pub(crate) fn asking<'a>(&'a self, class: crate::class::ClassId, uid: &'a str) -> Asking<'a> {
        let class = self.class(class);
        let sig = self.sig(class.key.sig);
        Asking { sig, class, profile: &self.profiles[sig.key.profile as usize], uid }
    }

    /// Whether the pod may not preempt. One that did already waits for what it made terminate.
    fn ineligible(
        &self,
        asking: Asking<'_>,
        ground: Ground<'_>,
        subject: Subject<'_>,
    ) -> Option<Ineligible> {
        if asking.never_preempts() {
            return Some(Ineligible::Never);
        }
        self.nodes.get(subject.nominated)?;
        let refusal = ground.refusal_with_nominees(asking, subject.nominated, &[]);
        if refusal.is_some_and(|(_, code)| code == Code::UnschedulableAndUnresolvable) {
            return None;
        }
        let mut here = self.pods.on_node(self.nodes.entry(subject.nominated).first_pod);
        let leaving = here.any(|pod| {
            self.pods.get(pod).preempted && self.priority(pod) < asking.class.key.priority
        });
        leaving.then_some(Ineligible::Waiting)
    }

    /// The pods that must go from a node; `None` where preemption cannot help; an error where it does not: the plugin that refuses
    /// the pod even with all pods of lower priority gone.
    fn candidate(
        &self,
        asking: Asking<'_>,
        ground: Ground<'_>,
        slot: Slot,
    ) -> Result<Option<Eviction>, Option<Plugin>> {
        match ground.refusal_with_nominees(asking, slot, &[]) {
            Some((_, Code::Unschedulable)) => {}
            _ => return Ok(None),
        }
        let priority = asking.class.key.priority;
        let here = self.pods.on_node(self.nodes.entry(slot).first_pod);
        let mut lower: Vec<PodIx> = here.filter(|pod| self.priority(*pod) < priority).collect();
        if lower.is_empty() {
            return Err(None);
        }
        if let Some((plugin, _)) = ground.refusal_with_nominees(asking, slot, &lower) {
            return Err(Some(plugin));
        }
        lower.sort_by(|a, b| self.importance(*a).cmp(&self.importance(*b)));
        let (violating, harmless) = self.split_by_budgets(&lower);
        let mut off = lower;
        let mut victims = Vec::new();
        let mut violations = 0;
        for (group, violates) in [(violating, true), (harmless, false)] {
            for pod in group {
                let at = off.iter().position(|p| *p == pod).expect("all of them are off at first");
                off.remove(at);
                if ground.refusal_with_nominees(asking, slot, &off).is_some() {
                    off.push(pod);
                    victims.push(pod);
                    violations += u32::from(violates);
                }
            }
        }
        victims.sort_by(|a, b| self.importance(*a).cmp(&self.importance(*b)));
        Ok(Some(Eviction { node: slot, victims, violations }))
    }

    pub(crate) fn priority(&self, pod: PodIx) -> i32 {
        self.specs.get(self.pods.get(pod).spec).spec.priority
    }

    fn started(&self, pod: PodIx) -> i64 {
        match self.pods.get(pod).started {
            NOT_STARTED => i64::MAX,
            started => started,
        }
    }

    /// Sorts the more important first: higher priority, then earlier start, one without start time last; then by uid, so that the
    /// order in which pods came makes no difference.
    fn importance(&self, pod: PodIx) -> (Reverse<i32>, i64, &str) {
        (Reverse(self.priority(pod)), self.started(pod), self.pods.uid(pod))
    }

    /// Splits pods into those whose eviction violates a budget, given that those before them are evicted too, and the others.
    fn split_by_budgets(&self, pods: &[PodIx]) -> (Vec<PodIx>, Vec<PodIx>) {
        if self.budgets.is_empty() {
            return (Vec::new(), pods.to_vec());
        }
        let mut left: Vec<i64> = self.budgets.values().map(|b| i64::from(b.allowed)).collect();
        pods.iter().partition(|pod| {
            let mut violates = false;
            for (budget, left) in self.budgets.values().zip(&mut left) {
                if self.covers(budget, **pod) {
                    *left -= 1;
                    violates |= *left < 0;
                }
            }
            violates
        })
    }

    /// Whether a budget counts the eviction of a pod.
    fn covers(&self, budget: &DisruptionBudget, pod: PodIx) -> bool {
        let entry = self.specs.get(self.pods.get(pod).spec);
        let namespace: &Str = self.namespaces.ids.name(entry.namespace);
        let selector = budget.selector.as_ref().filter(|selector| !selector.is_empty());
        budget.namespace == *namespace
            && !entry.spec.labels.is_empty()
            && selector.is_some_and(|selector| selector.matches(&entry.spec.labels))
            && !budget.disrupted.iter().any(|name| **name == *self.pods.name(pod))
    }

    fn cost(&self, eviction: &Eviction) -> Cost {
        let victims = &eviction.victims;
        let highest = victims.first().map_or(i32::MIN, |pod| self.priority(*pod));
        let sum = victims.iter().map(|pod| i64::from(self.priority(*pod)) + (1 << 31)).sum();
        let top = victims.iter().filter(|pod| self.priority(**pod) == highest);
        let earliest = top.map(|pod| self.started(*pod)).min().unwrap_or(i64::MAX);
        let count = u32::try_from(victims.len()).expect("pods of one node");
        (eviction.violations, highest, sum, count, Reverse(earliest))
    }
}

/// Whether nothing but static rules and requests can keep the pod from a node.
fn is_simple(asking: Asking<'_>) -> bool {
    let spec = &asking.sig.key.spec;
    asking.sig.is_trivial()
        && spec.volumes.is_empty()
        && asking.class.shape.usage.ports.is_empty()
        && asking.profile.filters(Plugin::NodeResourcesFit)
}
