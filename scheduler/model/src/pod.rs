// SPDX-License-Identifier: Apache-2.0
//! What the scheduler knows of a pod: its identity, what replicas share ([`PodSpec`]), and where it stands.

use crate::Str;
use crate::labels::{LabelSelector, Labels, NodeSelector, NodeSelectorTerm};
use crate::requests::Requests;
use crate::volume::PodVolume;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A pod: pending, bound or terminating. Pods that succeeded or failed are deleted from the scheduler's view.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pod {
    /// Identity over time: a pod of the same name with another uid is another pod.
    pub uid: Str,
    /// Namespace.
    pub namespace: Str,
    /// Name, unique in the namespace.
    pub name: Str,
    /// What replicas share.
    pub spec: Arc<PodSpec>,
    /// The node it is bound to (`spec.nodeName` of a pod that counts on its node).
    pub node: Option<Str>,
    /// The node that preemption made room on for it (`status.nominatedNodeName`).
    pub nominated: Option<Str>,
    /// `status.startTime`, microseconds since the Unix epoch; a later one is preempted first.
    pub started: Option<i64>,
    /// `metadata.deletionTimestamp` is set.
    pub terminating: bool,
    /// Terminating because a scheduler preempted it (condition DisruptionTarget, reason `PreemptionByScheduler`).
    pub preempted: bool,
}

/// What replicas of one controller share, labels included.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct PodSpec {
    /// `metadata.labels`.
    pub labels: Labels,
    /// The owner reference with `controller: true`.
    pub controller: Option<OwnerRef>,
    /// The profile that places it (`spec.schedulerName`); `None` means `default-scheduler`.
    pub scheduler_name: Option<Str>,
    /// Higher goes first and may preempt lower.
    pub priority: i32,
    /// Whether it may preempt.
    pub preemption: PreemptionPolicy,
    /// What it requests in all.
    pub requests: Requests,
    /// `spec.nodeName` of a pod that is still to be placed: only this node will do.
    pub node_name: Option<Str>,
    /// `spec.nodeSelector`: every pair must be on the node.
    pub node_selector: Labels,
    /// Required node affinity.
    pub node_required: Option<NodeSelector>,
    /// Preferred node affinity: weight 1..=100.
    pub node_preferred: Vec<(i32, NodeSelectorTerm)>,
    /// Required pod affinity.
    pub affinity_required: Vec<PodAffinityTerm>,
    /// Preferred pod affinity: weight 1..=100.
    pub affinity_preferred: Vec<(i32, PodAffinityTerm)>,
    /// Required pod anti-affinity.
    pub anti_affinity_required: Vec<PodAffinityTerm>,
    /// Preferred pod anti-affinity: weight 1..=100.
    pub anti_affinity_preferred: Vec<(i32, PodAffinityTerm)>,
    /// Which taints it accepts.
    pub tolerations: Vec<Toleration>,
    /// Topology spread constraints.
    pub spread: Vec<SpreadConstraint>,
    /// Ports it wants on the host itself, of containers and init containers.
    pub host_ports: Vec<HostPort>,
    /// Images of init containers, containers and image volumes, with tag (`:latest` where none was given), in that order.
    pub images: Vec<Str>,
    /// Number of init containers and containers.
    pub containers: u32,
    /// Volumes that matter for placement.
    pub volumes: Vec<PodVolume>,
    /// Names of scheduling gates: while there is one, the pod waits.
    pub gates: Vec<Str>,
    /// Node features it needs (KEP-5328), sorted.
    pub needs_features: Vec<Str>,
    /// What it needs that Berth does not have, each a phrase that names the field (`spec.resourceClaims`): it stays pending.
    pub unsupported: Vec<Str>,
}

/// The controller that owns a pod.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct OwnerRef {
    /// `apps/v1`, `v1`.
    pub api_version: Str,
    /// `ReplicaSet`, `StatefulSet`, `ReplicationController`, or another.
    pub kind: Str,
    /// Its name, in the pod's namespace.
    pub name: Str,
}

/// Whether a pod may preempt others.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum PreemptionPolicy {
    /// It may.
    #[default]
    PreemptLowerPriority,
    /// It may not.
    Never,
}

/// One term of pod affinity or anti-affinity.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct PodAffinityTerm {
    /// Which pods; `None` matches none. matchLabelKeys and mismatchLabelKeys are already merged in (as an API server does).
    pub selector: Option<LabelSelector>,
    /// Namespaces by name. With neither these nor a `namespace_selector` the pod's own is filled in by the shell.
    pub namespaces: Vec<Str>,
    /// Namespaces by label; an empty selector means all of them. As long as the pod is pending, one that matches no labels at
    /// all (`DoesNotExist`, `NotIn`) means all of them too: v1.36 evaluates it so, by an oversight.
    pub namespace_selector: Option<LabelSelector>,
    /// Node label whose equal values make one domain.
    pub topology_key: Str,
}

/// Compares a taint with what a pod tolerates.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Toleration {
    /// The taint's key; `None` (with `Exists`) means any.
    pub key: Option<Str>,
    /// `Some(value)`: operator Equal. `None`: operator Exists.
    pub value: Option<Str>,
    /// Which effect; `None` means any.
    pub effect: Option<TaintEffect>,
}

impl Toleration {
    /// Whether the taint is tolerated (k8s.io/api `Toleration.ToleratesTaint`).
    pub fn tolerates(&self, taint: &Taint) -> bool {
        self.effect.is_none_or(|effect| effect == taint.effect)
            && self.key.as_ref().is_none_or(|key| *key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

/// What a taint does to pods that do not tolerate it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub enum TaintEffect {
    /// They are not placed here.
    NoSchedule,
    /// They are placed here only if nothing else will do.
    PreferNoSchedule,
    /// As `NoSchedule`, and those that run are evicted.
    NoExecute,
}

/// A mark on a node that keeps pods away.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Taint {
    /// Key.
    pub key: Str,
    /// Value, maybe empty.
    pub value: Str,
    /// What it does.
    pub effect: TaintEffect,
}

/// One topology spread constraint.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SpreadConstraint {
    /// Largest allowed difference to the least loaded domain, at least 1.
    pub max_skew: i32,
    /// Node label whose equal values make one domain.
    pub topology_key: Str,
    /// `true`: DoNotSchedule; `false`: ScheduleAnyway.
    pub hard: bool,
    /// Which pods count; `None` matches none. `matchLabelKeys` are not merged in: see `match_label_keys`.
    pub selector: Option<LabelSelector>,
    /// With fewer domains than this the least loaded one counts as empty. `None`: 1. Hard constraints only.
    pub min_domains: Option<i32>,
    /// `nodeAffinityPolicy: Honor` (the default): only nodes that the pod's node affinity and selector allow count.
    pub honor_affinity: bool,
    /// `nodeTaintsPolicy: Honor` (not the default): nodes whose taints it does not tolerate do not count.
    pub honor_taints: bool,
    /// Labels of the incoming pod whose values are added to the selector.
    pub match_label_keys: Vec<Str>,
}

/// A port on the host.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct HostPort {
    /// Host address; `0.0.0.0` stands for all of them and for none given.
    pub ip: Str,
    /// Protocol.
    pub protocol: Protocol,
    /// 1..=65535.
    pub port: u16,
}

impl HostPort {
    /// Whether both cannot be on one host.
    pub fn conflicts(&self, other: &Self) -> bool {
        let any = |ip: &str| ip == "0.0.0.0" || ip.is_empty();
        self.port == other.port
            && self.protocol == other.protocol
            && (self.ip == other.ip || any(&self.ip) || any(&other.ip))
    }
}

/// Transport protocol of a port.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, Default, PartialOrd, Ord, Serialize, Deserialize,
)]
pub enum Protocol {
    /// TCP.
    #[default]
    Tcp,
    /// UDP.
    Udp,
    /// SCTP.
    Sctp,
}
