// SPDX-License-Identifier: Apache-2.0
//! Pods.

mod affinity;
mod features;
mod images;
mod ports;
pub(crate) mod resources;
mod spread;
mod tolerations;
mod volumes;

use crate::error::{ObjectError, Path, Problem};
use crate::field::{
    Lax, List, QuantityMap, Text, TextMap, at_most, each, labels, name, one_of, optional, text,
    view,
};
use crate::groups::Meta;
use crate::time;
use affinity::AffinityView;
pub(crate) use affinity::NodeAffinityView;
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::{CONTAINERS_MAX, TERMS_MAX};
use berth_scheduler_model::objects::Event;
use berth_scheduler_model::pod::{OwnerRef, Pod, PodSpec, PreemptionPolicy};
use ports::PortView;
use resources::{ContainerStatusView, ResourcesView};
use serde::de::IgnoredAny;
use serde::{Deserialize, Deserializer};
pub(crate) use spread::SpreadView;
use std::sync::Arc;
use tolerations::TolerationView;
use volumes::VolumeView;

/// A pod, and whether it still counts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PodObject {
    /// The pod.
    pub pod: Pod,
    /// It succeeded or failed: for the scheduler it is gone.
    pub finished: bool,
    /// What a scheduler said of it last, if it was that no node will do.
    pub unschedulable: Option<Unschedulable>,
}

/// The condition `PodScheduled` of a pod that was refused (status `False`, reason `Unschedulable`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unschedulable {
    /// Why.
    pub message: Str,
    /// `lastTransitionTime`, as it is written.
    pub since: Str,
}

impl PodObject {
    /// What it means for the scheduler's state: the pod is there, or gone.
    pub fn into_event(self) -> Event {
        if self.finished {
            Event::PodGone { uid: self.pod.uid }
        } else {
            Event::Pod(Box::new(self.pod))
        }
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct PodView {
    metadata: Lax<Meta>,
    spec: Lax<SpecView>,
    status: Lax<StatusView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct SpecView {
    scheduler_name: Text,
    priority: Lax<i32>,
    preemption_policy: Text,
    node_name: Text,
    node_selector: TextMap,
    affinity: Lax<AffinityView>,
    tolerations: List<TolerationView>,
    topology_spread_constraints: List<SpreadView>,
    init_containers: List<ContainerView>,
    containers: List<ContainerView>,
    resources: Lax<ResourcesView>,
    overhead: QuantityMap,
    volumes: List<VolumeView>,
    scheduling_gates: List<GateView>,
    resource_claims: List<IgnoredAny>,
    host_network: Lax<bool>,
    host_users: Option<bool>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ContainerView {
    name: Text,
    image: Text,
    resources: Lax<ResourcesView>,
    ports: List<PortView>,
    restart_policy: Text,
    restart_policy_rules: List<RestartRuleView>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct RestartRuleView {
    action: Text,
}

impl ContainerView {
    /// An init container that keeps running beside the others.
    fn is_sidecar(&self) -> bool {
        *self.restart_policy == "Always"
    }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct GateView {
    name: Text,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct StatusView {
    phase: Text,
    nominated_node_name: Text,
    start_time: Option<String>,
    conditions: List<ConditionView>,
    container_statuses: List<ContainerStatusView>,
    init_container_statuses: List<ContainerStatusView>,
    resources: Option<ResourcesView>,
    allocated_resources: QuantityMap,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct ConditionView {
    r#type: Text,
    status: Text,
    reason: Text,
    message: Text,
    last_transition_time: Text,
}

/// Reads a `v1.Pod`.
///
/// A pod with `spec.nodeName` is taken as bound there.
pub fn pod<'de, D: Deserializer<'de>>(source: D) -> Result<PodObject, ObjectError> {
    let object: PodView = view(source)?;
    let meta = &object.metadata;
    let status = &object.status;
    let uid = meta.uid()?;
    let terminating = meta.deletion_timestamp.is_some();
    let at = Path::ROOT.field("status.startTime");
    let started = match &status.start_time {
        Some(text) => {
            Some(time::micros(text).ok_or_else(|| at.error(Problem::Time(text.clone())))?)
        }
        None => None,
    };
    let pod = Pod {
        namespace: meta.namespace()?,
        name: meta.name()?,
        node: optional(&object.spec.node_name, &Path::ROOT.field("spec.nodeName"))?,
        nominated: optional(
            &status.nominated_node_name,
            &Path::ROOT.field("status.nominatedNodeName"),
        )?,
        started,
        terminating,
        preempted: terminating && status.is_preempted(),
        spec: Arc::new(spec(&object)?),
        uid,
    };
    let finished = matches!(status.phase.as_str(), "Succeeded" | "Failed");
    Ok(PodObject { pod, finished, unschedulable: status.unschedulable() })
}

impl StatusView {
    /// Upstream looks at the first condition of the type only.
    fn is_preempted(&self) -> bool {
        self.conditions
            .iter()
            .find(|condition| *condition.r#type == "DisruptionTarget")
            .is_some_and(|condition| {
                *condition.status == "True" && *condition.reason == "PreemptionByScheduler"
            })
    }

    fn unschedulable(&self) -> Option<Unschedulable> {
        let found = self.conditions.iter().find(|one| *one.r#type == "PodScheduled")?;
        let refused = *found.status == "False" && *found.reason == "Unschedulable";
        refused.then(|| Unschedulable {
            message: found.message.as_str().into(),
            since: found.last_transition_time.as_str().into(),
        })
    }

    /// The kubelet found that a wanted resize can never be done.
    fn resize_is_infeasible(&self) -> bool {
        self.conditions
            .iter()
            .find(|condition| *condition.r#type == "PodResizePending")
            .is_some_and(|condition| *condition.reason == "Infeasible")
    }
}

fn spec(object: &PodView) -> Result<PodSpec, ObjectError> {
    let meta = &object.metadata;
    let view = &object.spec;
    let root = Path::ROOT;
    let spec = root.field("spec");
    at_most(
        view.init_containers.len() + view.containers.len(),
        CONTAINERS_MAX,
        &spec.field("containers"),
    )?;
    let namespace = meta.namespace()?;
    let mut unsupported = Vec::new();
    if !view.resource_claims.is_empty() {
        unsupported.push("spec.resourceClaims".into());
    }
    let gates = spec.field("schedulingGates");
    at_most(view.scheduling_gates.len(), TERMS_MAX, &gates)?;
    let affinity = view.affinity.read(&namespace, &spec.field("affinity"))?;
    Ok(PodSpec {
        labels: labels(&meta.labels, &root.field("metadata.labels"))?,
        controller: controller(meta)?,
        scheduler_name: optional(&view.scheduler_name, &spec.field("schedulerName"))?
            .filter(|name| &**name != "default-scheduler"),
        priority: view.priority.0,
        preemption: match view.preemption_policy.as_str() {
            "" => PreemptionPolicy::PreemptLowerPriority,
            policy => one_of(
                policy,
                &[
                    ("PreemptLowerPriority", PreemptionPolicy::PreemptLowerPriority),
                    ("Never", PreemptionPolicy::Never),
                ],
                &spec.field("preemptionPolicy"),
            )?,
        },
        requests: resources::requests(view, &object.status)?,
        node_name: None,
        node_selector: labels(&view.node_selector, &spec.field("nodeSelector"))?,
        node_required: affinity.node_required,
        node_preferred: affinity.node_preferred,
        affinity_required: affinity.required,
        affinity_preferred: affinity.preferred,
        anti_affinity_required: affinity.anti_required,
        anti_affinity_preferred: affinity.anti_preferred,
        tolerations: tolerations::read(
            &view.tolerations,
            &spec.field("tolerations"),
            &mut unsupported,
        )?,
        spread: spread::read(
            &view.topology_spread_constraints,
            &spec.field("topologySpreadConstraints"),
        )?,
        host_ports: ports::read(view, &spec)?,
        images: images::read(view, &spec)?,
        containers: u32::try_from(view.init_containers.len() + view.containers.len())
            .unwrap_or(u32::MAX),
        volumes: volumes::read(&view.volumes, &meta.name, &spec.field("volumes"))?,
        gates: each(&view.scheduling_gates, &gates, |gate, at| {
            text(&gate.name, &at.field("name"))
        })?,
        needs_features: features::needed(view),
        unsupported,
    })
}

fn controller(meta: &Meta) -> Result<Option<OwnerRef>, ObjectError> {
    let Some(index) = meta.owner_references.iter().position(|owner| owner.controller.0) else {
        return Ok(None);
    };
    let owner = &meta.owner_references[index];
    let at = Path::ROOT.field("metadata.ownerReferences");
    let at = at.index(index);
    Ok(Some(OwnerRef {
        api_version: name(&owner.api_version, &at.field("apiVersion"))?,
        kind: name(&owner.kind, &at.field("kind"))?,
        name: name(&owner.name, &at.field("name"))?,
    }))
}
