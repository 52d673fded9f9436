// SPDX-License-Identifier: Apache-2.0
//! Names of resources that can be counted in a namespace, and their amounts.

use crate::field::{Errors, Path};
use crate::kinds::pod::{each, nano};
use crate::names;
use crate::schema::quantity::NANO;
use berth_cluster_json::Value;

/// Objects that are counted.
const OBJECTS: [&str; 9] = [
    "pods",
    "services",
    "services.nodeports",
    "services.loadbalancers",
    "replicationcontrollers",
    "resourcequotas",
    "secrets",
    "configmaps",
    "persistentvolumeclaims",
];

/// What pods use.
const USED: [&str; 11] = [
    "cpu",
    "memory",
    "ephemeral-storage",
    "requests.cpu",
    "requests.memory",
    "requests.ephemeral-storage",
    "limits.cpu",
    "limits.memory",
    "limits.ephemeral-storage",
    "requests.storage",
    "storage",
];

fn is_huge(name: &str) -> bool {
    name.starts_with("hugepages-") || name.starts_with("requests.hugepages-")
}

/// Whether upstream's quotas know the resource.
fn is_quota(name: &str) -> bool {
    name != "storage" && (OBJECTS.contains(&name) || USED.contains(&name) || is_huge(name))
}

/// The name of what a quota bounds.
pub(super) fn quota_name(name: &str, path: &Path, errors: &mut Errors) {
    let problems = names::qualified(name);
    let sound = problems.is_empty();
    each(problems, path, name, errors);
    if sound && !name.contains('/') && !is_quota(name) {
        if name != "storage" {
            let why = "must be a standard resource type or fully qualified";
            errors.invalid(path, name, why);
        }
        errors.invalid(path, name, "must be a standard resource for quota");
    }
}

/// The name of what one object is bounded in. `pods`: of pods and their containers.
pub(super) fn limit_name(name: &str, pods: bool, path: &Path, errors: &mut Errors) {
    let problems = names::qualified(name);
    let plain = problems.is_empty() && !name.contains('/');
    each(problems, path, name, errors);
    let known = OBJECTS.contains(&name) || USED.contains(&name) || is_huge(name);
    if plain && !known {
        errors.invalid(path, name, "must be a standard resource type or fully qualified");
    }
    let used = ["cpu", "memory", "ephemeral-storage"].contains(&name);
    if plain && pods && !used && !name.starts_with("hugepages-") {
        errors.invalid(path, name, "must be a standard resource for containers");
    }
}

/// Amounts are not negative, and whole where things are counted.
pub(super) fn amount(name: &str, amount: &Value, path: &Path, errors: &mut Errors) {
    let nano = nano(amount).unwrap_or(0);
    if nano < 0 {
        errors.invalid(path, amount.clone(), "must be greater than or equal to 0");
    }
    let extended = name.contains('/') && !name.contains("kubernetes.io/");
    let counted = OBJECTS.contains(&name) || extended && !name.starts_with("requests.");
    if counted && !name.starts_with("count/") && nano % NANO != 0 {
        errors.invalid(path, amount.clone(), "must be an integer");
    }
}

/// Whether the scope is one of upstream's.
pub(super) fn is_scope(scope: &str) -> bool {
    let known = [
        "Terminating",
        "NotTerminating",
        "BestEffort",
        "NotBestEffort",
        "PriorityClass",
        "CrossNamespacePodAffinity",
    ];
    known.contains(&scope)
}

/// Whether a scope narrows a resource down at all: scopes are properties of pods.
pub(super) fn in_scope(scope: &str, name: &str) -> bool {
    let of_pods = name == "pods"
        || USED.contains(&name) && !["storage", "requests.storage"].contains(&name)
        || is_huge(name);
    match scope {
        "BestEffort" => !is_quota(name) || name == "pods",
        "Terminating"
        | "NotTerminating"
        | "NotBestEffort"
        | "PriorityClass"
        | "CrossNamespacePodAffinity" => !is_quota(name) || of_pods,
        _ => true,
    }
}
