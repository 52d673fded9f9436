// SPDX-License-Identifier: Apache-2.0
//! Rules of kinds of which the record says nothing, from upstream's validation.
#![allow(clippy::unwrap_used, reason = "what a test writes has these fields")]

use berth_cluster_api::field::Errors;
use berth_cluster_api::registry::{Kind, Part, Subresource};
use berth_cluster_api::{Map, kinds};
use berth_cluster_json::{Value, json};

fn kind(name: &str) -> Kind {
    kinds::builtin().into_iter().find(|kind| *kind.kind == *name).unwrap()
}

fn object(value: &Value) -> Map {
    value.as_object().unwrap().clone()
}

fn told(errors: &Errors) -> Vec<String> {
    errors.0.iter().map(ToString::to_string).collect()
}

/// What is wrong with a new object.
fn refused(name: &str, value: &Value) -> Vec<String> {
    let (kind, mut errors) = (kind(name), Errors::new());
    let mut object = object(value);
    kind.rules.default(&mut object);
    kind.rules.prepare_create(&mut object);
    kind.rules.validate(&object, &mut errors);
    kind.rules.validate_create(&object, &mut errors);
    told(&errors)
}

/// What becomes of an object, and what is wrong with that.
fn changed(name: &str, old: &Value, new: &Value, part: Part) -> (Value, Vec<String>) {
    let (kind, mut errors) = (kind(name), Errors::new());
    let (mut new, old) = (object(new), object(old));
    kind.rules.default(&mut new);
    kind.rules.prepare_update(&mut new, &old, part);
    if part == Part::Main {
        kind.rules.validate(&new, &mut errors);
    }
    kind.rules.validate_update(&new, &old, part, &mut errors);
    (new.into(), told(&errors))
}

#[test]
fn ephemeral_containers_are_refused_on_creation() {
    let pod = json!({ "metadata": { "name": "p" }, "spec": {
        "containers": [{ "name": "c", "image": "i" }],
        "ephemeralContainers": [{ "name": "e", "image": "i" }],
    } });
    let wanted = ["spec.ephemeralContainers: Forbidden: cannot be set on create"];
    assert_eq!(refused("Pod", &pod), wanted);
}

#[test]
fn a_namespace_changes_its_finalizers_below_finalize_only() {
    let old = json!({
        "metadata": { "name": "n" },
        "spec": { "finalizers": ["kubernetes"] },
        "status": { "phase": "Active" },
    });
    let new = json!({ "metadata": { "name": "n" }, "status": { "phase": "Terminating" } });
    let (made, errors) = changed("Namespace", &old, &new, Part::Main);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(made["spec"], old["spec"]);
    assert_eq!(made["status"], old["status"]);
    assert_eq!(made["metadata"]["labels"]["kubernetes.io/metadata.name"], "n");
    let (made, errors) = changed("Namespace", &old, &new, Part::Other(Subresource::Finalize));
    assert!(errors.is_empty() && made["spec"].is_null(), "{errors:?} {made}");
    assert_eq!(made["status"], old["status"]);
    let (made, errors) = changed("Namespace", &old, &new, Part::Status);
    assert_eq!(made["spec"], old["spec"]);
    let wanted = "status.Phase: Invalid value: \"Terminating\": may only be 'Active' if `deletionTimestamp` is empty";
    assert_eq!(errors, [wanted]);
}

#[test]
fn nodes_have_one_network_of_each_family_and_whole_pods() {
    let node = |spec: Value, status: Value| {
        refused("Node", &json!({ "metadata": { "name": "n" }, "spec": spec, "status": status }))
    };
    assert!(node(json!({ "podCIDRs": ["10.0.0.0/24", "fd00::/64"] }), json!({})).is_empty());
    let two = node(json!({ "podCIDRs": ["10.0.0.0/24", "10.1.0.0/24"] }), json!({}));
    assert!(two[0].ends_with("may specify no more than one CIDR for each IP family"), "{two:?}");
    let amounts = json!({ "capacity": { "pods": "1500m", "cpu": "-1" } });
    let wanted = [
        "status.capacity.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
        "status.capacity.pods: Invalid value: \"1500m\": must be an integer",
        "status.allocatable.cpu: Invalid value: \"-1\": must be greater than or equal to 0",
        "status.allocatable.pods: Invalid value: \"1500m\": must be an integer",
    ];
    assert_eq!(node(json!({}), amounts), wanted);
    let taint = json!({ "taints": [{ "key": "k", "value": "a b" }] });
    let errors = node(taint, json!({}));
    assert!(errors[0].starts_with("metadata.taints[0].value: Invalid value"), "{errors:?}");
    assert_eq!(errors[1], "metadata.taints[0].effect: Required value");
}

#[test]
fn a_status_of_a_node_has_each_address_once() {
    let old = json!({ "metadata": { "name": "n" }, "spec": { "providerID": "p" } });
    let address = json!({ "type": "InternalIP", "address": "10.0.0.1" });
    let new = json!({ "metadata": { "name": "n" }, "status": { "addresses": [address, address] } });
    let (made, errors) = changed("Node", &old, &new, Part::Status);
    assert_eq!(made["spec"]["providerID"], "p");
    assert_eq!(errors.len(), 1);
    assert!(errors[0].starts_with("status.addresses[1]: Duplicate value"), "{errors:?}");
}

#[test]
fn priorities_of_classes_stay_and_the_systems_are_its_own() {
    let class = |name: &str, value: i64| json!({ "metadata": { "name": name }, "value": value, "preemptionPolicy": "Never" });
    assert!(refused("PriorityClass", &class("system-node-critical", 2_000_001_000)).is_empty());
    let errors = refused("PriorityClass", &class("system-node-critical", 1));
    assert!(errors[0].ends_with("value of system-node-critical PriorityClass must be 2000001000"));
    let mut new = class("a", 2);
    new["preemptionPolicy"] = "PreemptLowerPriority".into();
    let (_, errors) = changed("PriorityClass", &class("a", 1), &new, Part::Main);
    let wanted = [
        "value: Forbidden: may not be changed in an update.",
        "preemptionPolicy: Invalid value: \"PreemptLowerPriority\": field is immutable",
    ];
    assert_eq!(errors, wanted);
}

#[test]
fn a_budget_counts_its_generations_and_keeps_its_status() {
    let budget = |spec: Value, allowed: i64| {
        json!({
            "metadata": { "name": "b", "generation": 3 },
            "spec": spec,
            "status": { "disruptionsAllowed": allowed },
        })
    };
    let (old, new) =
        (budget(json!({ "minAvailable": 1 }), 1), budget(json!({ "minAvailable": 2 }), 7));
    let (made, errors) = changed("PodDisruptionBudget", &old, &new, Part::Main);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(made["metadata"]["generation"], 4);
    assert_eq!(made["status"], old["status"]);
    let (made, errors) = changed("PodDisruptionBudget", &old, &new, Part::Status);
    assert!(errors.is_empty(), "{errors:?}");
    assert_eq!(made["metadata"]["generation"], 3);
    assert_eq!(made["spec"], old["spec"]);
    let mut bad = budget(json!({}), -1);
    bad["status"]["conditions"] = json!([
        { "type": "A", "status": "True", "reason": "R", "lastTransitionTime": "2020-01-01T00:00:00Z" },
        { "type": "A", "status": "yes", "reason": "1" },
    ]);
    let (_, errors) = changed("PodDisruptionBudget", &old, &bad, Part::Status);
    let fields: Vec<&str> = errors.iter().map(|it| it.split_once(": ").unwrap().0).collect();
    let wanted = [
        "status.conditions[1].type",
        "status.conditions[1].status",
        "status.conditions[1].lastTransitionTime",
        "status.conditions[1].reason",
        "status.disruptionsAllowed",
    ];
    assert_eq!(fields, wanted);
}

#[test]
fn values_that_no_label_has_may_stay_in_a_budget() {
    let budget = |value: &str| {
        let term = json!({ "key": "k", "operator": "In", "values": [value] });
        json!({
            "metadata": { "name": "b" },
            "spec": { "selector": { "matchExpressions": [term] }, "unhealthyPodEvictionPolicy": "AlwaysAllow" },
        })
    };
    assert!(refused("PodDisruptionBudget", &budget("ok")).is_empty());
    assert_eq!(refused("PodDisruptionBudget", &budget("not ok")).len(), 1);
    let (before, after) = (budget("not ok"), budget("nor this"));
    assert!(changed("PodDisruptionBudget", &before, &after, Part::Main).1.is_empty());
    let mut other = budget("ok");
    other["spec"]["unhealthyPodEvictionPolicy"] = "X".into();
    let wanted = "spec.unhealthyPodEvictionPolicy: Unsupported value: \"X\": supported values: \"AlwaysAllow\", \
                  \"IfHealthyBudget\"";
    assert_eq!(refused("PodDisruptionBudget", &other), [wanted]);
}

#[test]
fn a_budget_is_shown_with_what_it_allows() {
    let budget = json!({
        "metadata": { "name": "b", "creationTimestamp": "1970-01-01T00:00:00Z" },
        "spec": { "maxUnavailable": 1 },
        "status": { "disruptionsAllowed": 2 },
    });
    let cells = kind("PodDisruptionBudget").rules.cells(&object(&budget), 60);
    assert_eq!(Value::from(cells), json!(["b", "N/A", "1", 2, "60s"]));
}
