// SPDX-License-Identifier: Apache-2.0
//! What a refusal says, in kube-scheduler's words (its `FitError`).

use crate::explain::Explanation;
use crate::preempt::{Ineligible, PreemptionExplanation};
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use berth_scheduler_model::rules::{Code, Plugin, Reason};

/// Why no node will do: `0/5 nodes are available: 2 Insufficient cpu, 3 Too many pods.`, of the reasons that each node has.
pub fn message(explanation: &Explanation, nodes: u32) -> String {
    if let Some(reason) = explanation.unsupported.first().or_else(|| of_the_pod(explanation)) {
        return format!("0/{nodes} nodes are available: {}.", reason.text());
    }
    let mut counts: BTreeMap<&Reason, u32> = BTreeMap::new();
    for verdict in &explanation.nodes {
        for reason in verdict.objections.first().into_iter().flat_map(|first| &first.reasons) {
            *counts.entry(reason).or_default() += 1;
        }
    }
    sentence(nodes, counts.into_iter().map(|(reason, nodes)| (nodes, reason.text())))
}

/// What was said of the whole pod, before any node was looked at. Names of nodes that a pod is bound to are said of nodes.
fn of_the_pod(explanation: &Explanation) -> Option<&Reason> {
    let first = explanation.nodes.first().filter(|verdict| verdict.pre_filter)?;
    let reason = first.objections.first()?.reasons.first()?;
    (*reason != Reason::PreFilterNodeAffinity).then_some(reason)
}

/// Why preemption does not help: `preemption: 0/5 nodes are available: 5 No preemption victims found for incoming pod.`
pub fn preemption(
    explanation: &Explanation,
    preemption: &PreemptionExplanation,
    nodes: u32,
) -> String {
    match preemption.ineligible {
        Some(Ineligible::Never) => {
            return "preemption: not eligible due to preemptionPolicy=Never.".into();
        }
        Some(Ineligible::Waiting) => {
            return "preemption: not eligible due to a terminating pod on the nominated node."
                .into();
        }
        None => {}
    }
    let mut counts: BTreeMap<String, u32> = BTreeMap::new();
    for (_, _, code) in &preemption.filter {
        if *code == Code::UnschedulableAndUnresolvable {
            let text = "Preemption is not helpful for scheduling";
            *counts.entry(text.into()).or_default() += 1;
        }
    }
    for (slot, plugin) in &preemption.failed {
        let verdict = explanation.nodes.iter().find(|verdict| verdict.node == *slot);
        let same = |objection: &&crate::Objection| Some(objection.plugin) == *plugin;
        let objection = verdict.and_then(|verdict| verdict.objections.iter().find(same));
        match objection {
            Some(objection) => {
                for reason in &objection.reasons {
                    *counts.entry(reason.text()).or_default() += 1;
                }
            }
            None => {
                let text =
                    plugin.map_or("No preemption victims found for incoming pod", Plugin::name);
                *counts.entry(text.into()).or_default() += 1;
            }
        }
    }
    let parts = counts.into_iter().map(|(text, nodes)| (nodes, text));
    format!("preemption: {}", sentence(nodes, parts))
}

/// `0/5 nodes are available: 2 this, 3 that.`; the parts sorted as texts, number first, as upstream does.
pub fn sentence(nodes: u32, parts: impl Iterator<Item = (u32, String)>) -> String {
    if nodes == 0 {
        return "no nodes available to schedule pods".into();
    }
    let mut parts: Vec<String> = parts.map(|(count, text)| format!("{count} {text}")).collect();
    parts.sort();
    let colon = if parts.is_empty() { "" } else { ": " };
    format!("0/{nodes} nodes are available{colon}{}.", parts.join(", "))
}
