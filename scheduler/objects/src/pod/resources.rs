// SPDX-License-Identifier: Apache-2.0
//! Requests of a pod: what its containers, the pod as a whole and a resize under way ask for.
//!
//! Source: component-helpers `resource.PodRequests` with `UseStatusResources`, v1.36.

use super::{ContainerView, SpecView, StatusView};
use crate::error::{ObjectError, Path, Problem};
use crate::field::{QuantityMap, Text, at_most};
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::{LABELS_MAX, QUANTITY_MAX};
use berth_scheduler_model::requests::{
    ContainerRequests, PodLevelRequests, PodResources, Requests, Resources,
};
use serde::Deserialize;

/// `v1.ResourceRequirements`.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ResourcesView {
    requests: QuantityMap,
}

/// What `status` says of a container.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct ContainerStatusView {
    name: Text,
    resources: Option<ResourcesView>,
    allocated_resources: QuantityMap,
}

/// The requests of a pod in all.
pub(super) fn requests(spec: &SpecView, status: &StatusView) -> Result<Requests, ObjectError> {
    let at = Path::ROOT.field("spec");
    let mut pod = PodResources {
        overhead: amounts(&spec.overhead, QUANTITY_MAX, &at.field("overhead"))?,
        overhead_has_cpu: spec.overhead.contains_key("cpu"),
        overhead_has_memory: spec.overhead.contains_key("memory"),
        pod_level: pod_level(spec, status, &at.field("resources.requests"))?,
        ..PodResources::default()
    };
    let init = at.field("initContainers");
    for (index, view) in spec.init_containers.iter().enumerate() {
        pod.init_containers.push(container(view, status, view.is_sidecar(), &init.index(index))?);
    }
    let containers = at.field("containers");
    for (index, view) in spec.containers.iter().enumerate() {
        let mut container = container(view, status, true, &containers.index(index))?;
        container.sidecar = false;
        pod.containers.push(container);
    }
    Ok(pod.total())
}

/// A container's requests; while it is being resized, the largest of what is wanted, allocated and in force.
fn container(
    view: &ContainerView,
    status: &StatusView,
    resizable: bool,
    path: &Path<'_>,
) -> Result<ContainerRequests, ObjectError> {
    let at = path.field("resources.requests");
    let mut lists = vec![(&view.resources.requests, at)];
    // Upstream fills one map by name, init containers last.
    let found = status
        .init_container_statuses
        .iter()
        .chain(status.container_statuses.iter())
        .find(|status| *status.name == *view.name);
    if let Some(found) = found.filter(|_| resizable)
        && let Some(actual) = &found.resources
    {
        if status.resize_is_infeasible() {
            lists.clear();
        }
        lists.push((&actual.requests, path.field("status.resources.requests")));
        lists.push((&found.allocated_resources, path.field("status.allocatedResources")));
    }
    let mut container = ContainerRequests { sidecar: view.is_sidecar(), ..Default::default() };
    for (list, at) in lists {
        container.resources.raise(&amounts(list, QUANTITY_MAX, &at)?);
        container.has_cpu |= list.contains_key("cpu");
        container.has_memory |= list.contains_key("memory");
    }
    Ok(container)
}

/// Requests of the pod as a whole, if it has any that count.
fn pod_level(
    spec: &SpecView,
    status: &StatusView,
    path: &Path<'_>,
) -> Result<Option<PodLevelRequests>, ObjectError> {
    let counts =
        |name: &String| matches!(name.as_str(), "cpu" | "memory") || name.starts_with("hugepages-");
    if !spec.resources.requests.keys().any(counts) {
        return Ok(None);
    }
    let mut lists = vec![&spec.resources.requests];
    let has_status = status.resources.is_some() || !status.allocated_resources.is_empty();
    if has_status && status.resize_is_infeasible() {
        lists.clear();
    }
    lists.extend(status.resources.as_ref().map(|actual| &actual.requests));
    lists.push(&status.allocated_resources);
    let mut level = PodLevelRequests::default();
    let mut most = Resources::default();
    for list in lists {
        most.raise(&amounts(list, QUANTITY_MAX, path)?);
        for name in list.keys().filter(|name| counts(name)) {
            match name.as_str() {
                "cpu" => level.cpu = Some(most.cpu),
                "memory" => level.memory = Some(most.memory),
                huge => {
                    let huge = Str::from(huge);
                    level.huge_pages.retain(|(name, _)| *name != huge);
                    level.huge_pages.push((huge.clone(), most.scalar(&huge)));
                }
            }
        }
    }
    Ok(Some(level))
}

/// Reads a list of amounts by resource; what is no resource of a node (`pods`, `storage`) is passed over.
pub(crate) fn amounts(
    map: &QuantityMap,
    max: i64,
    path: &Path<'_>,
) -> Result<Resources, ObjectError> {
    at_most(map.len(), LABELS_MAX, path)?;
    let mut resources = Resources::default();
    for (name, quantity) in map.iter() {
        let at = path.key(name);
        let amount = match name.as_str() {
            "cpu" => quantity.milli(&at)?,
            _ => quantity.units(&at)?,
        };
        if amount > max {
            return Err(at.error(Problem::OutOfRange { found: amount, min: 0, max }));
        }
        match name.as_str() {
            "cpu" => resources.cpu = amount,
            "memory" => resources.memory = amount,
            "ephemeral-storage" => resources.ephemeral = amount,
            other if is_scalar(other) => resources.set_scalar(&Str::from(other), amount),
            _ => {}
        }
    }
    Ok(resources)
}

/// Extended resources, huge pages, prefixed native resources and attachable volumes (`util.IsScalarResourceName`).
fn is_scalar(name: &str) -> bool {
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    let extended = !native && !name.starts_with("requests.");
    extended
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}
