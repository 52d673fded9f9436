// SPDX-License-Identifier: Apache-2.0
//! Filters that look at one node: unschedulable, name, taints, ports, images' score.

use crate::filters::{Refusal, refuse, resolvable};
use crate::snapshot::NodeInfo;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::{Pod, Taint, TaintEffect};
use berth_scheduler_model::rules::Reason;

/// NodeUnschedulable.
pub(crate) fn unschedulable(pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let taint = Taint {
        key: Str::from("node.kubernetes.io/unschedulable"),
        value: Str::from(""),
        effect: TaintEffect::NoSchedule,
    };
    let refused = info.node.unschedulable && !tolerates(pod, &taint);
    refused.then(|| refuse(Reason::NodeUnschedulable))
}

/// NodeName.
pub(crate) fn node_name(pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let refused = pod.spec.node_name.as_ref().is_some_and(|name| *name != info.node.name);
    refused.then(|| refuse(Reason::NodeName))
}

/// TaintToleration.
pub(crate) fn taints(pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    (!tolerates_hard_taints(pod, info)).then(|| refuse(Reason::Taint))
}

/// Whether the pod tolerates every taint of the node that keeps pods away.
pub(crate) fn tolerates_hard_taints(pod: &Pod, info: &NodeInfo<'_>) -> bool {
    let hard = |taint: &&Taint| taint.effect != TaintEffect::PreferNoSchedule;
    info.node.taints.iter().filter(hard).all(|taint| tolerates(pod, taint))
}

fn tolerates(pod: &Pod, taint: &Taint) -> bool {
    pod.spec.tolerations.iter().any(|toleration| toleration.tolerates(taint))
}

/// How many taints would rather not have the pod. Only tolerations without effect or with this one are looked at, which are
/// the only ones that can tolerate such a taint.
pub(crate) fn soft_taints(pod: &Pod, info: &NodeInfo<'_>) -> i64 {
    let soft = |taint: &&Taint| taint.effect == TaintEffect::PreferNoSchedule;
    let intolerable = info.node.taints.iter().filter(soft).filter(|taint| !tolerates(pod, taint));
    crate::scores::number(intolerable.count())
}

/// NodePorts.
pub(crate) fn ports(pod: &Pod, info: &NodeInfo<'_>) -> Option<Refusal> {
    let mut used = info.pods.iter().flat_map(|other| &other.spec.host_ports);
    let refused = used.any(|port| pod.spec.host_ports.iter().any(|wanted| wanted.conflicts(port)));
    refused.then(|| resolvable(Reason::Ports))
}
