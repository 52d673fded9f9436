// SPDX-License-Identifier: Apache-2.0
//! InterPodAffinity.

use crate::filters::{Refusal, refuse, resolvable};
use crate::snapshot::{NodeInfo, Snapshot};
use berth_scheduler_model::Str;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::pod::{Pod, PodAffinityTerm};
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::Reason;
use std::collections::BTreeMap;

/// Whether a term of the incoming pod means `other`: its namespace selector chooses among the namespaces that exist.
///
/// v1.36 then forgets to drop the selector (it replaces it in a copy of the term), and evaluates it once more against no labels
/// at all: one that only excludes (`DoesNotExist`, `NotIn`), or is empty, takes in every namespace.
fn own_term_means(term: &PodAffinityTerm, other: &Pod, snapshot: &Snapshot<'_>) -> bool {
    let by_selector = term.namespace_selector.as_ref().is_some_and(|selector| {
        selector.matches(&Labels::default())
            || snapshot.namespace(&other.namespace).is_some_and(|labels| selector.matches(labels))
    });
    (by_selector || term.namespaces.contains(&other.namespace)) && selects(term, other)
}

/// Whether a term of a pod that is there means the incoming pod: a namespace that does not exist has no labels.
fn their_term_means(term: &PodAffinityTerm, pod: &Pod, snapshot: &Snapshot<'_>) -> bool {
    let none = Labels::default();
    let labels = snapshot.namespace(&pod.namespace).unwrap_or(&none);
    let by_selector = term.namespace_selector.as_ref().is_some_and(|s| s.matches(labels));
    (by_selector || term.namespaces.contains(&pod.namespace)) && selects(term, pod)
}

fn selects(term: &PodAffinityTerm, pod: &Pod) -> bool {
    term.selector.as_ref().is_some_and(|selector| selector.matches(&pod.spec.labels))
}

/// Numbers per topology key and value.
type Counts<'a> = BTreeMap<(&'a str, &'a str), i64>;

/// What the filter knows before it looks at nodes.
#[derive(Debug)]
pub(crate) struct Known<'a> {
    /// Required anti-affinity of pods that are there, against the incoming pod.
    existing_anti: Counts<'a>,
    /// Pods that meet all terms of the incoming pod's required affinity.
    affinity: Counts<'a>,
    /// Per term of its required anti-affinity the pods that meet it.
    anti: Vec<Counts<'a>>,
    /// The pod meets all its own terms: it may be the first of its kind.
    first: bool,
}

/// Counts over all nodes.
pub(crate) fn count<'a>(pod: &'a Pod, snapshot: &Snapshot<'a>) -> Known<'a> {
    let spec = &pod.spec;
    let meets_all = |other: &Pod| {
        !spec.affinity_required.is_empty()
            && spec.affinity_required.iter().all(|term| own_term_means(term, other, snapshot))
    };
    let mut counts = Known {
        existing_anti: Counts::new(),
        affinity: Counts::new(),
        anti: vec![Counts::new(); spec.anti_affinity_required.len()],
        first: meets_all(pod),
    };
    for (node, other) in snapshot.pods() {
        let add = |counts: &mut Counts<'a>, key: &'a Str| {
            if let Some(value) = node.labels.get(key) {
                *counts.entry((key, value)).or_insert(0) += 1;
            }
        };
        for term in &other.spec.anti_affinity_required {
            if their_term_means(term, pod, snapshot) {
                add(&mut counts.existing_anti, &term.topology_key);
            }
        }
        if meets_all(other) {
            for term in &spec.affinity_required {
                add(&mut counts.affinity, &term.topology_key);
            }
        }
        for (term, counts) in spec.anti_affinity_required.iter().zip(&mut counts.anti) {
            if own_term_means(term, other, snapshot) {
                add(counts, &term.topology_key);
            }
        }
    }
    counts
}

impl Known<'_> {
    /// Upstream's PreFilter leaves the plugin out for the whole cycle, also where pods nominated to a node would matter.
    pub(crate) fn skip(&self, pod: &Pod) -> bool {
        self.existing_anti.is_empty()
            && pod.spec.affinity_required.is_empty()
            && pod.spec.anti_affinity_required.is_empty()
    }

    /// The filter.
    pub(crate) fn filter(&self, pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
        if !self.affinity_holds(pod, info) {
            return Some(refuse(Reason::Affinity));
        }
        let here = |counts: &Counts<'_>, key: &str| {
            info.label(key)
                .is_some_and(|value| counts.get(&(key, &**value)).is_some_and(|n| *n > 0))
        };
        let mut own = pod.spec.anti_affinity_required.iter().zip(&self.anti);
        if own.any(|(term, counts)| here(counts, &term.topology_key)) {
            return Some(resolvable(Reason::AntiAffinity));
        }
        let theirs = info.node.labels.iter().any(|(key, _)| here(&self.existing_anti, key));
        theirs.then(|| resolvable(Reason::ExistingAntiAffinity))
    }

    fn affinity_holds(&self, pod: &Pod, info: &NodeInfo<'_>) -> bool {
        let mut found = true;
        for term in &pod.spec.affinity_required {
            let Some(value) = info.label(&term.topology_key) else { return false };
            let count = self.affinity.get(&(&*term.topology_key, &**value));
            found &= count.is_some_and(|n| *n > 0);
        }
        found || (self.affinity.is_empty() && self.first)
    }
}

/// The sums of weights per topology key and value; `None` where nothing scores.
pub(crate) fn weigh<'a>(
    profile: &Profile,
    pod: &'a Pod,
    snapshot: &Snapshot<'a>,
) -> Option<BTreeMap<(&'a str, &'a str), i64>> {
    let spec = &pod.spec;
    let prefers = !spec.affinity_preferred.is_empty() || !spec.anti_affinity_preferred.is_empty();
    if profile.ignore_preferred_of_existing && !prefers {
        return None;
    }
    let mut sums = Counts::new();
    for (node, other) in snapshot.pods() {
        let mut add = |term: &'a PodAffinityTerm, weight: i64| {
            if let Some(value) = node.labels.get(&term.topology_key) {
                *sums.entry((&term.topology_key, value)).or_insert(0) += weight;
            }
        };
        for (sign, terms) in [(1, &spec.affinity_preferred), (-1, &spec.anti_affinity_preferred)] {
            for (weight, term) in terms {
                if own_term_means(term, other, snapshot) {
                    add(term, sign * i64::from(*weight));
                }
            }
        }
        if profile.hard_pod_affinity_weight > 0 {
            for term in &other.spec.affinity_required {
                if their_term_means(term, pod, snapshot) {
                    add(term, profile.hard_pod_affinity_weight);
                }
            }
        }
        let theirs = &other.spec;
        for (sign, terms) in
            [(1, &theirs.affinity_preferred), (-1, &theirs.anti_affinity_preferred)]
        {
            for (weight, term) in terms {
                if their_term_means(term, pod, snapshot) {
                    add(term, sign * i64::from(*weight));
                }
            }
        }
    }
    (!sums.is_empty()).then_some(sums)
}

/// The score of a node before it is normalised.
pub(crate) fn sum(sums: &BTreeMap<(&str, &str), i64>, info: &NodeInfo<'_>) -> i64 {
    info.node.labels.iter().filter_map(|(key, value)| sums.get(&(&**key, &**value))).sum()
}
