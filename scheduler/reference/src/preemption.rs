// SPDX-License-Identifier: Apache-2.0
//! DefaultPreemption: which pods would have to go for a pod that fits nowhere.

use crate::filters::Cycle;
use crate::scheduler::{rejections, with_nominated};
use crate::snapshot::Snapshot;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::DisruptionBudget;
use berth_scheduler_model::pod::{Pod, PreemptionPolicy};
use berth_scheduler_model::rules::{Code, Plugin};
use berth_scheduler_testkit::{Candidate, Ineligible, PreemptionVerdict};
use std::cmp::Reverse;
use std::collections::BTreeMap;

pub(crate) fn judge(cycle: &Cycle<'_>) -> PreemptionVerdict {
    let mut verdict = PreemptionVerdict::default();
    let mut evictions: BTreeMap<Str, (Vec<&Pod>, usize)> = BTreeMap::new();
    let rejections = rejections(cycle);
    for (info, rejection) in cycle.snapshot.nodes.iter().zip(&rejections) {
        if let Some(rejection) = rejection {
            let name = info.node.name.clone();
            verdict.filter.insert(name, (rejection.plugin, rejection.code));
        }
    }
    verdict.ineligible = ineligible(cycle, &verdict);
    if verdict.ineligible.is_some() {
        return verdict;
    }
    for (at, rejection) in rejections.iter().enumerate() {
        if rejection.as_ref().is_none_or(|rejection| rejection.code != Code::Unschedulable) {
            continue;
        }
        let name = cycle.snapshot.nodes[at].node.name.clone();
        match victims(cycle, at) {
            Ok(found) => drop(evictions.insert(name, found)),
            Err(still) => drop(verdict.failed.insert(name, still)),
        }
    }
    let best = evictions.values().map(|(victims, violations)| cost(victims, *violations)).min();
    for (name, (victims, violations)) in evictions {
        if Some(cost(&victims, violations)) == best {
            verdict.nominated.insert(name.clone());
        }
        let victims = victims.iter().map(|pod| (pod.namespace.clone(), pod.name.clone())).collect();
        verdict.candidates.insert(name, Candidate { victims, violations });
    }
    verdict
}

/// Whether the pod may not preempt. One that did already waits for what it made terminate.
fn ineligible(cycle: &Cycle<'_>, verdict: &PreemptionVerdict) -> Option<Ineligible> {
    let pod = cycle.pod;
    if pod.spec.preemption == PreemptionPolicy::Never {
        return Some(Ineligible::Never);
    }
    let nominated = pod.nominated.as_ref()?;
    let hopeless = verdict
        .filter
        .get(nominated)
        .is_some_and(|(_, code)| *code == Code::UnschedulableAndUnresolvable);
    let info = cycle.snapshot.nodes.iter().find(|info| info.node.name == *nominated)?;
    let leaving = |other: &&Pod| other.spec.priority < pod.spec.priority && other.preempted;
    (!hopeless && info.pods.iter().any(leaving)).then_some(Ineligible::Waiting)
}

/// The pods that must go from a node, most important first, and how many of them violate a budget; or the plugin that rejects
/// the pod even with all pods of lower priority gone.
fn victims<'a>(cycle: &Cycle<'a>, at: usize) -> Result<(Vec<&'a Pod>, usize), Option<Plugin>> {
    let snapshot = cycle.snapshot;
    let (mut lower, mut stay): (Vec<&Pod>, Vec<&Pod>) = snapshot.nodes[at]
        .pods
        .iter()
        .partition(|other| other.spec.priority < cycle.pod.spec.priority);
    if lower.is_empty() {
        return Err(None);
    }
    if let Some(plugin) = still_rejects(cycle, snapshot.with_pods(at, stay.clone()), at) {
        return Err(Some(plugin));
    }
    lower.sort_by(|a, b| importance(a).cmp(&importance(b)));
    let (violating, harmless) = split_by_budgets(cycle, lower);
    let mut victims = Vec::new();
    let mut violations = 0;
    for (group, violates) in [(violating, true), (harmless, false)] {
        for pod in group {
            stay.push(pod);
            if still_rejects(cycle, snapshot.with_pods(at, stay.clone()), at).is_some() {
                stay.pop();
                victims.push(pod);
                violations += usize::from(violates);
            }
        }
    }
    victims.sort_by(|a, b| importance(a).cmp(&importance(b)));
    Ok((victims, violations))
}

fn still_rejects(cycle: &Cycle<'_>, what_if: Snapshot<'_>, at: usize) -> Option<Plugin> {
    with_nominated(cycle, &cycle.filters(&what_if), at).map(|(plugin, _)| plugin)
}

/// Sorts the more important first: higher priority, then earlier start. One without start time starts now. Upstream leaves the
/// order of equals open; here it is that of their uids.
fn importance(pod: &Pod) -> (Reverse<i32>, i64, &str) {
    (Reverse(pod.spec.priority), pod.started.unwrap_or(i64::MAX), &pod.uid)
}

/// Splits pods into those whose eviction violates a budget, given that those before them are evicted too, and the others.
fn split_by_budgets<'a>(cycle: &Cycle<'a>, pods: Vec<&'a Pod>) -> (Vec<&'a Pod>, Vec<&'a Pod>) {
    let budgets: Vec<&DisruptionBudget> = cycle.snapshot.state.budgets.values().collect();
    let mut left: Vec<i64> = budgets.iter().map(|budget| i64::from(budget.allowed)).collect();
    pods.into_iter().partition(|pod| {
        let mut violates = false;
        for (budget, left) in budgets.iter().zip(&mut left) {
            let selector = budget.selector.as_ref().filter(|selector| !selector.is_empty());
            let counts = budget.namespace == pod.namespace
                && !pod.spec.labels.is_empty()
                && selector.is_some_and(|selector| selector.matches(&pod.spec.labels))
                && !budget.disrupted.contains(&pod.name);
            if counts {
                *left -= 1;
                violates |= *left < 0;
            }
        }
        violates
    })
}

/// The less the better: violations, highest priority, sum of priorities, number of victims, and then the latest start of the
/// earliest of the most important ones.
fn cost(victims: &[&Pod], violations: usize) -> (usize, i32, i64, usize, Reverse<i64>) {
    let highest = victims.first().map_or(i32::MIN, |pod| pod.spec.priority);
    let sum = victims.iter().map(|pod| i64::from(pod.spec.priority) + (1 << 31)).sum();
    let top = victims.iter().filter(|pod| pod.spec.priority == highest);
    let earliest = top.map(|pod| pod.started.unwrap_or(i64::MAX)).min().unwrap_or(i64::MAX);
    (violations, highest, sum, victims.len(), Reverse(earliest))
}
