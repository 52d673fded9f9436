// SPDX-License-Identifier: Apache-2.0
//! What `POST .../binding` does to a pod.

use crate::kinds::access::make;
use crate::kinds::view::View;
use crate::{Map, Refusal};
use berth_cluster_json::{Value, json};

/// A decision where a pod shall run.
#[derive(Debug, Clone, Copy)]
pub struct Binding<'a> {
    /// Name of the node.
    pub node: &'a str,
    /// Annotations that the pod gets with it.
    pub annotations: &'a Map,
    /// The time, as the API writes it.
    pub now: &'a str,
}

/// Gives the pod its node; refused if it has one, waits for a gate, or is going away.
pub fn bind(pod: &mut Map, binding: Binding<'_>) -> Result<(), Refusal> {
    let name = pod.at("metadata").text("name").to_owned();
    let refuse = |why: &str| Err(Refusal::conflict("", "pods/binding", &name, why));
    if pod.at("metadata").has("deletionTimestamp") {
        return refuse(&format!("pod {name} is being deleted, cannot be assigned to a host"));
    }
    let node = pod.at("spec").text("nodeName");
    if !node.is_empty() {
        return refuse(&format!("pod {name} is already assigned to node {node:?}"));
    }
    if !pod.at("spec").list("schedulingGates").is_empty() {
        return refuse(&format!("pod {name} has non-empty .spec.schedulingGates"));
    }
    if let Some(spec) = make(pod, "spec") {
        spec.insert("nodeName".to_owned(), binding.node.into());
    }
    if !binding.annotations.is_empty()
        && let Some(kept) = make(pod, "metadata").and_then(|meta| make(meta, "annotations"))
    {
        kept.extend(binding.annotations.clone());
    }
    if let Some(status) = make(pod, "status") {
        scheduled(status, binding.now);
        // What was expected has come to be (`ClearingNominatedNodeNameAfterBinding`, on by default since v1.35).
        status.remove("nominatedNodeName");
    }
    Ok(())
}

fn scheduled(status: &mut Map, now: &str) {
    let mut all = status.list("conditions").to_vec();
    let of_scheduling = |one: &Value| one.text("type") == "PodScheduled";
    let met = |one: &Value| of_scheduling(one) && one.text("status") == "True";
    if all.iter().any(met) {
        return;
    }
    let condition = json!({
        "type": "PodScheduled",
        "status": "True",
        "lastProbeTime": null,
        "lastTransitionTime": now,
    });
    match all.iter_mut().find(|one| of_scheduling(one)) {
        Some(old) => *old = condition,
        None => all.push(condition),
    }
    status.insert("conditions".to_owned(), all.into());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pod_is_bound_once() {
        let pod = json!({ "metadata": { "name": "p" }, "spec": {}, "status": { "nominatedNodeName": "m" } });
        let mut pod = pod.as_object().unwrap().clone();
        let none = Map::new();
        let binding = Binding { node: "n", annotations: &none, now: "2026-01-01T00:00:00Z" };
        bind(&mut pod, binding).unwrap();
        assert_eq!(pod.at("spec").text("nodeName"), "n");
        assert!(!pod.at("status").has("nominatedNodeName"));
        let refusal = bind(&mut pod, binding).unwrap_err();
        let why = "Operation cannot be fulfilled on pods/binding \"p\": pod p is already assigned to node \"n\"";
        assert_eq!(refusal.message, why);
    }
}
