// SPDX-License-Identifier: Apache-2.0
//! PodTopologySpread, and the selector of its default constraints (`helper.DefaultSelector`).

use crate::affinity;
use crate::filters::{Refusal, refuse, resolvable};
use crate::pods;
use crate::scores;
use crate::snapshot::{NodeInfo, Snapshot};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::{LabelSelector, Labels, Operator, Requirement};
use berth_scheduler_model::objects::GroupKind;
use berth_scheduler_model::pod::{Pod, SpreadConstraint};
use berth_scheduler_model::profile::{DefaultSpread, Profile};
use berth_scheduler_model::rules::Reason;
use std::collections::BTreeMap;

const HOSTNAME: &str = "kubernetes.io/hostname";
const ZONE: &str = "topology.kubernetes.io/zone";

/// The hard or the soft constraints of a pod, its own or the default ones, with their final selectors.
fn constraints(
    profile: &Profile,
    pod: &Pod,
    snapshot: &Snapshot<'_>,
    hard: bool,
) -> Vec<SpreadConstraint> {
    let own = !pod.spec.spread.is_empty();
    let mut list: Vec<SpreadConstraint> = match &profile.default_spread {
        _ if own => pod.spec.spread.clone(),
        DefaultSpread::System => vec![system(HOSTNAME, 3), system(ZONE, 5)],
        DefaultSpread::List(list) => list.clone(),
    };
    list.retain(|constraint| constraint.hard == hard);
    if own {
        for constraint in &mut list {
            add_match_labels(constraint, &pod.spec.labels);
        }
    } else if !list.is_empty() {
        let selector = default_selector(pod, snapshot);
        list.retain(|_| selector.is_some());
        for constraint in &mut list {
            constraint.selector.clone_from(&selector);
        }
    }
    list
}

fn system(key: &str, max_skew: i32) -> SpreadConstraint {
    SpreadConstraint {
        max_skew,
        topology_key: Str::from(key),
        hard: false,
        selector: None,
        min_domains: None,
        honor_affinity: true,
        honor_taints: false,
        match_label_keys: Vec::new(),
    }
}

/// matchLabelKeys: the pod's own values are demanded as well. (An absent selector then matches by them alone.)
fn add_match_labels(constraint: &mut SpreadConstraint, labels: &Labels) {
    for key in &constraint.match_label_keys {
        if let Some(value) = labels.get(key) {
            let selector = constraint.selector.get_or_insert_default();
            selector.requirements.push(is(key, value));
        }
    }
}

fn is(key: &Str, value: &Str) -> Requirement {
    Requirement { key: key.clone(), operator: Operator::In, values: vec![value.clone()] }
}

/// The selector of the Services that mean the pod and of the controller that owns it; `None` if it is empty.
fn default_selector(pod: &Pod, snapshot: &Snapshot<'_>) -> Option<LabelSelector> {
    let groups = &snapshot.state.groups;
    let mut pairs: BTreeMap<Str, Requirement> = BTreeMap::new();
    for ((kind, namespace, _), selector) in groups {
        if *kind != GroupKind::Service || *namespace != pod.namespace {
            continue;
        }
        for selector in selector.iter().filter(|selector| selector.matches(&pod.spec.labels)) {
            pairs.extend(selector.requirements.iter().map(|r| (r.key.clone(), r.clone())));
        }
    }
    let mut more = Vec::new();
    if let Some(owner) = &pod.spec.controller {
        let kind = match (&*owner.api_version, &*owner.kind) {
            ("v1", "ReplicationController") => Some(GroupKind::ReplicationController),
            ("apps/v1", "ReplicaSet") => Some(GroupKind::ReplicaSet),
            ("apps/v1", "StatefulSet") => Some(GroupKind::StatefulSet),
            _ => None,
        };
        let key = kind.map(|kind| (kind, pod.namespace.clone(), owner.name.clone()));
        let selector = key.and_then(|key| groups.get(&key)).and_then(Option::as_ref);
        let requirements = selector.into_iter().flat_map(|selector| &selector.requirements);
        if kind == Some(GroupKind::ReplicationController) {
            pairs.extend(requirements.map(|r| (r.key.clone(), r.clone())));
        } else {
            more.extend(requirements.cloned());
        }
    }
    let requirements: Vec<Requirement> = pairs.into_values().chain(more).collect();
    (!requirements.is_empty()).then_some(LabelSelector { requirements })
}

fn matches(constraint: &SpreadConstraint, pod: &Pod) -> bool {
    constraint.selector.as_ref().is_some_and(|selector| selector.matches(&pod.spec.labels))
}

/// The pods of the incoming pod's namespace that match and are not terminating; an empty selector counts none.
fn matching(constraint: &SpreadConstraint, pod: &Pod, others: &[&Pod]) -> i64 {
    if constraint.selector.as_ref().is_none_or(LabelSelector::is_empty) {
        return 0;
    }
    let counts = |other: &&&Pod| {
        other.namespace == pod.namespace && !other.terminating && matches(constraint, other)
    };
    scores::number(others.iter().filter(counts).count())
}

/// Whether the constraint's policies let a node count.
fn counts_here(constraint: &SpreadConstraint, pod: &Pod, info: &NodeInfo<'_>) -> bool {
    (!constraint.honor_affinity || affinity::allows(pod, info))
        && (!constraint.honor_taints || pods::tolerates_hard_taints(pod, info))
}

fn has_all_keys(constraints: &[SpreadConstraint], info: &NodeInfo<'_>) -> bool {
    constraints.iter().all(|constraint| info.label(&constraint.topology_key).is_some())
}

/// A hard constraint with its counts per domain.
pub(crate) type Counted<'a> = (SpreadConstraint, BTreeMap<&'a Str, i64>);

/// The hard constraints with their counts.
pub(crate) fn count<'a>(profile: &Profile, pod: &Pod, snapshot: &Snapshot<'a>) -> Vec<Counted<'a>> {
    let constraints = constraints(profile, pod, snapshot, true);
    let count = |constraint: &SpreadConstraint| {
        let mut counts = BTreeMap::new();
        for info in snapshot.nodes.iter().filter(|info| has_all_keys(&constraints, info)) {
            let Some(value) = info.label(&constraint.topology_key) else { continue };
            if counts_here(constraint, pod, info) {
                let count = matching(constraint, pod, &info.original)
                    + change(constraint, pod, &info.pods, &info.original)
                    - change(constraint, pod, &info.original, &info.pods);
                *counts.entry(value).or_insert(0) += count;
            }
        }
        (constraint.clone(), counts)
    };
    constraints.iter().map(count).collect()
}

/// How many matching pods are in `here` and not in `there`. When pods are moved in thought, upstream looks neither at whether
/// they terminate nor at whether the selector is empty, so that a count may even fall below zero.
fn change(constraint: &SpreadConstraint, pod: &Pod, here: &[&Pod], there: &[&Pod]) -> i64 {
    let moved = |other: &&&Pod| {
        other.namespace == pod.namespace
            && matches(constraint, other)
            && !there.iter().any(|stays| stays.uid == other.uid)
    };
    scores::number(here.iter().filter(moved).count())
}

/// The filter.
pub(crate) fn filter(counted: &[Counted<'_>], pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    for (constraint, counts) in counted {
        let Some(value) = info.label(&constraint.topology_key) else {
            return Some(refuse(Reason::SpreadMissingLabel));
        };
        let too_few =
            counts.len() < usize::try_from(constraint.min_domains.unwrap_or(1)).unwrap_or(1);
        let least = if too_few { 0 } else { counts.values().copied().min().unwrap_or(0) };
        let this = i64::from(matches(constraint, pod));
        let skew = counts.get(value).copied().unwrap_or(0) + this - least;
        if skew > i64::from(constraint.max_skew) {
            return Some(resolvable(Reason::Spread));
        }
    }
    None
}

/// The normalised scores of the feasible nodes; `None` without soft constraints.
pub(crate) fn score(
    profile: &Profile,
    pod: &Pod,
    snapshot: &Snapshot<'_>,
    feasible: &[&NodeInfo<'_>],
) -> Option<Vec<i64>> {
    let constraints = constraints(profile, pod, snapshot, false);
    if constraints.is_empty() {
        return None;
    }
    let system = profile.default_spread == DefaultSpread::System;
    let all_keys = !pod.spec.spread.is_empty() || !system;
    let looked_at = |info: &NodeInfo<'_>| !all_keys || has_all_keys(&constraints, info);
    let mut raw = vec![0.0_f64; feasible.len()];
    for constraint in &constraints {
        let key = &constraint.topology_key;
        // A node without the label is of the domain "".
        let domain =
            |info: &NodeInfo<'_>| info.label(key).cloned().unwrap_or_else(|| Str::from(""));
        let mut counts: BTreeMap<Str, i64> = BTreeMap::new();
        for info in feasible.iter().filter(|info| looked_at(info)) {
            counts.insert(domain(info), 0);
        }
        let size = if &**key == HOSTNAME {
            feasible.iter().filter(|info| looked_at(info)).count()
        } else {
            counts.len()
        };
        for info in snapshot.nodes.iter().filter(|info| looked_at(info)) {
            if counts_here(constraint, pod, info)
                && let Some(count) = counts.get_mut(&domain(info))
            {
                *count += matching(constraint, pod, &info.pods);
            }
        }
        let weight = crate::ln(scores::float(scores::number(size) + 2));
        for (info, raw) in feasible.iter().zip(&mut raw) {
            if !looked_at(info) || info.label(key).is_none() {
                continue;
            }
            let count = if &**key == HOSTNAME {
                matching(constraint, pod, &info.pods)
            } else {
                counts.get(&domain(info)).copied().unwrap_or(0)
            };
            *raw += scores::float(count) * weight + f64::from(constraint.max_skew - 1);
        }
    }
    let raw: Vec<Option<i64>> = feasible
        .iter()
        .zip(raw)
        .map(|(info, raw)| looked_at(info).then(|| scores::rounded(raw)))
        .collect();
    let max = raw.iter().flatten().copied().max().unwrap_or(0).max(0);
    let min = raw.iter().flatten().copied().min().unwrap_or(0);
    let normal = |raw: Option<i64>| match raw {
        None => 0,
        Some(_) if max == 0 => 100,
        Some(raw) => 100 * (max + min - raw) / max,
    };
    Some(raw.into_iter().map(normal).collect())
}
