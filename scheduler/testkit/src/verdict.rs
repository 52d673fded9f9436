// SPDX-License-Identifier: Apache-2.0
//! What a scheduler says of a pending pod, in all detail, and [`Oracle`]: how it is asked.

use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin, Reason};
use std::collections::{BTreeMap, BTreeSet};

/// A scheduler that can be asked for its verdicts.
pub trait Oracle {
    /// Forgets everything, and schedules by this profile from now on.
    fn reset(&mut self, profile: Profile);

    /// Takes a change of the cluster's state in.
    fn apply(&mut self, event: Event);

    /// Says everything of a pending pod. Nothing changes.
    fn verdict(&mut self, pod: &Pod) -> Verdict;

    /// Says where a pending pod could go, as the scheduler decides it in production. Nothing changes.
    fn decide(&mut self, pod: &Pod) -> Decision {
        let verdict = self.verdict(pod);
        let mut rejected_by = BTreeMap::new();
        for rejection in verdict.rejected.values() {
            *rejected_by.entry(rejection.plugin).or_insert(0) += 1;
        }
        Decision { totals: verdict.totals, rejected_by }
    }

    /// Binds a pending pod to a node.
    fn bind(&mut self, pod: &Pod, node: &Str) {
        let bound = Pod { node: Some(node.clone()), ..pod.clone() };
        self.apply(Event::Pod(Box::new(bound)));
    }

    /// Says where a pending pod, which fits nowhere, could go if others made room; `None` if it does not tell such details.
    /// Nothing changes.
    fn preempt(&mut self, pod: &Pod) -> Option<PreemptionVerdict>;

    /// Says what the scheduler would evict in production, and from which node. Nothing changes.
    fn evict(&mut self, pod: &Pod) -> Option<(Str, Candidate)> {
        let mut verdict = self.preempt(pod)?;
        let node = verdict.nominated.first()?.clone();
        let candidate = verdict.candidates.remove(&node)?;
        Some((node, candidate))
    }
}

/// What a scheduler says of a pending pod.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// Nodes that pass all filters.
    pub feasible: BTreeSet<Str>,
    /// The other nodes.
    pub rejected: BTreeMap<Str, Rejection>,
    /// Per feasible node the normalised scores, 0 to 100, before their weights; a plugin that was skipped is absent.
    pub scores: BTreeMap<Str, BTreeMap<Plugin, i64>>,
    /// Per feasible node the weighted sum.
    pub totals: BTreeMap<Str, i64>,
}

/// Why a node is rejected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejection {
    /// The first plugin that rejects it.
    pub plugin: Plugin,
    /// What that plugin says.
    pub reasons: Vec<Reason>,
    /// Whether preemption may help.
    pub code: Code,
    /// It was rejected before the filters ran.
    pub pre_filter: bool,
    /// Every plugin that rejects it on its own; empty if it was rejected before the filters ran.
    pub plugins: Vec<Plugin>,
}

/// Where a pending pod could go.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Decision {
    /// The weighted sum of scores of each node that passes all filters.
    pub totals: BTreeMap<Str, i64>,
    /// How many nodes each plugin was the first to reject.
    pub rejected_by: BTreeMap<Plugin, usize>,
}

/// Where a pending pod could go if others made room.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct PreemptionVerdict {
    /// Why the pod may not preempt, if it may not.
    pub ineligible: Option<Ineligible>,
    /// Per node the first plugin that rejects it, and whether preemption may help.
    pub filter: BTreeMap<Str, (Plugin, Code)>,
    /// Nodes where evicting helps.
    pub candidates: BTreeMap<Str, Candidate>,
    /// Nodes where preemption might have helped and does not: the plugin that rejects the pod even then, `None` where there
    /// is no pod of lower priority.
    pub failed: BTreeMap<Str, Option<Plugin>>,
    /// The best of the candidates, all that are equally good.
    pub nominated: BTreeSet<Str>,
}

/// What must go from a node.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Candidate {
    /// The pods to evict as (namespace, name), most important first.
    pub victims: Vec<(Str, Str)>,
    /// How many of them violate a disruption budget.
    pub violations: usize,
}

/// Why a pod may not preempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ineligible {
    /// Its preemption policy.
    Never,
    /// It preempted already: on its nominated node a pod is still terminating for it.
    Waiting,
}

impl Ineligible {
    /// Kubernetes' words for it.
    pub fn text(self) -> &'static str {
        match self {
            Self::Never => "not eligible due to preemptionPolicy=Never.",
            Self::Waiting => "not eligible due to a terminating pod on the nominated node.",
        }
    }
}
