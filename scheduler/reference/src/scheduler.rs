// SPDX-License-Identifier: Apache-2.0
//! The scheduler: takes events in, answers questions.

use crate::filters::{Cycle, Filters};
use crate::preemption;
use crate::scores;
use crate::snapshot::Snapshot;
use crate::state::State;
use berth_scheduler_model::Str;
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::Pod;
use berth_scheduler_model::profile::Profile;
use berth_scheduler_model::rules::{Code, Plugin, Reason};
use berth_scheduler_testkit::{Oracle, PreemptionVerdict, Rejection, Verdict};
use std::cmp::Reverse;

/// The naive scheduler.
#[derive(Debug, Default)]
pub struct Scheduler {
    profile: Profile,
    state: State,
}

impl Scheduler {
    /// An empty cluster, scheduled by this profile.
    pub fn new(profile: Profile) -> Self {
        Self { profile, state: State::default() }
    }

    /// Where the pod goes: its nominated node if that will do, else of the best nodes the one with the lowest `tie`, else by
    /// name.
    pub fn place(&self, pod: &Pod, tie: impl Fn(&str) -> u64) -> Option<Str> {
        let verdict = self.judge(pod);
        if let Some(nominated) = &pod.nominated
            && verdict.feasible.contains(nominated)
        {
            return Some(nominated.clone());
        }
        let by_total =
            |(node, total): &(&Str, &i64)| (**total, Reverse((tie(node), (*node).clone())));
        verdict.totals.iter().max_by_key(by_total).map(|(node, _)| node.clone())
    }

    fn judge(&self, pod: &Pod) -> Verdict {
        let snapshot = Snapshot::of(&self.state);
        let cycle = Cycle::new(&self.profile, pod, &snapshot);
        let mut verdict = Verdict::default();
        let rejections = rejections(&cycle);
        let mut feasible = Vec::new();
        for (at, (info, rejection)) in snapshot.nodes.iter().zip(rejections).enumerate() {
            let name = info.node.name.clone();
            if let Some(rejection) = rejection {
                verdict.rejected.insert(name, rejection);
            } else {
                feasible.push(at);
                verdict.feasible.insert(name);
            }
        }
        for (at, scores) in feasible.iter().zip(scores::scores(&cycle, &feasible)) {
            let name = &snapshot.nodes[*at].node.name;
            verdict.totals.insert(name.clone(), scores::total(&cycle, &scores));
            verdict.scores.insert(name.clone(), scores);
        }
        verdict
    }
}

/// Per node why it is rejected, if it is.
pub(crate) fn rejections(cycle: &Cycle<'_>) -> Vec<Option<Rejection>> {
    let count = cycle.snapshot.nodes.len();
    let early = |plugin: Plugin, reason: Reason| Rejection {
        plugin,
        reasons: vec![reason],
        code: Code::UnschedulableAndUnresolvable,
        pre_filter: true,
        plugins: Vec::new(),
    };
    let named = match cycle.pre_filter() {
        Ok(named) => named,
        Err((plugin, reason)) => return vec![Some(early(plugin, reason)); count],
    };
    let plain = cycle.filters(cycle.snapshot);
    let reject = |at: usize| {
        let name = &cycle.snapshot.nodes[at].node.name;
        if named.as_ref().is_some_and(|named| !named.contains(name)) {
            return Some(early(Plugin::NodeAffinity, Reason::PreFilterNodeAffinity));
        }
        let (plugin, (reasons, code)) = with_nominated(cycle, &plain, at)?;
        let plugins = plain.all(at).map(|(plugin, _)| plugin).collect();
        Some(Rejection { plugin, reasons, code, pre_filter: false, plugins })
    };
    (0..count).map(reject).collect()
}

/// The first filter that refuses a node, with the pods nominated to it, and without them.
pub(crate) fn with_nominated(
    cycle: &Cycle<'_>,
    plain: &Filters<'_, '_>,
    at: usize,
) -> Option<(Plugin, crate::filters::Refusal)> {
    let info = &plain.snapshot().nodes[at];
    let pod = cycle.pod;
    let nominated = |other: &&Pod| {
        other.nominated.as_ref() == Some(&info.node.name)
            && other.spec.priority >= pod.spec.priority
            && other.uid != pod.uid
    };
    let mut pods = info.pods.clone();
    pods.extend(cycle.snapshot.waiting.iter().copied().filter(nominated));
    if pods.len() > info.pods.len() {
        let what_if = plain.snapshot().with_pods(at, pods);
        if let Some(refusal) = cycle.filters(&what_if).first(at) {
            return Some(refusal);
        }
    }
    plain.first(at)
}

impl Oracle for Scheduler {
    fn reset(&mut self, profile: Profile) {
        *self = Self::new(profile);
    }

    fn apply(&mut self, event: Event) {
        self.state.apply(event);
    }

    fn verdict(&mut self, pod: &Pod) -> Verdict {
        self.judge(pod)
    }

    fn preempt(&mut self, pod: &Pod) -> Option<PreemptionVerdict> {
        let snapshot = Snapshot::of(&self.state);
        Some(preemption::judge(&Cycle::new(&self.profile, pod, &snapshot)))
    }
}
