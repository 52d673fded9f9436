// SPDX-License-Identifier: Apache-2.0
//! Rows of nodes in tables.

use crate::kinds::row::{AGE, column, name_column, wide};
use crate::kinds::view::View;
use crate::registry::Column;
use crate::{Map, cells};
use berth_cluster_json::Value;
use std::collections::BTreeSet;

/// The columns of nodes.
pub(super) fn columns() -> Vec<Column> {
    let addresses =
        "Addresses of the node, as its agent or the provider of the machine tells them.";
    vec![
        name_column(),
        column("Status", "string", "The status of the node"),
        column("Roles", "string", "The roles of the node"),
        AGE,
        column("Version", "string", "Version of the agent (kubelet)."),
        wide("Internal-IP", "string", addresses),
        wide("External-IP", "string", addresses),
        wide("OS-Image", "string", "The system's own name for itself."),
        wide("Kernel-Version", "string", "Version of the kernel (`uname -r`)."),
        wide("Container-Runtime", "string", "What runs containers, and its version."),
    ]
}

/// Whether the node is ready, and whether it takes pods.
fn status(object: &Map) -> String {
    // Of several, upstream takes the last.
    let ready =
        object.at("status").list("conditions").iter().rfind(|one| one.text("type") == "Ready");
    let mut text = match ready.map(|one| one.text("status")) {
        Some("True") => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    }
    .to_owned();
    if object.at("spec").flag("unschedulable") {
        text.push_str(",SchedulingDisabled");
    }
    text
}

/// Roles are labels.
fn roles(object: &Map) -> String {
    let labels = object.at("metadata").entries("labels");
    let role = |(key, value): &(&str, &Value)| match key.strip_prefix("node-role.kubernetes.io/") {
        Some(role) => Some(role.to_owned()),
        None if *key == "kubernetes.io/role" => value.as_str().map(str::to_owned),
        None => None,
    };
    let roles: BTreeSet<String> = labels.iter().filter_map(role).collect();
    let roles: Vec<String> = roles.into_iter().filter(|role| !role.is_empty()).collect();
    if roles.is_empty() { "<none>".to_owned() } else { roles.join(",") }
}

/// The first address of the kind.
fn address(object: &Map, kind: &str) -> Value {
    let all = object.at("status").list("addresses");
    let found = all.iter().find(|one| one.text("type") == kind);
    found.map_or("<none>", |one| one.text("address")).into()
}

/// The cells of a node.
pub(super) fn cells(object: &Map, now: i64) -> Vec<Value> {
    let info = object.at("status").at("nodeInfo");
    let known = |field| match info.text(field) {
        "" => "<unknown>".into(),
        text => Value::from(text),
    };
    vec![
        cells::name(object),
        status(object).into(),
        roles(object).into(),
        cells::age(object, now),
        info.text("kubeletVersion").into(),
        address(object, "InternalIP"),
        address(object, "ExternalIP"),
        known("osImage"),
        known("kernelVersion"),
        known("containerRuntimeVersion"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use berth_cluster_json::json;

    #[test]
    fn rows_are_as_kubectl_shows_them() {
        let node = json!({
            "metadata": {
                "name": "n",
                "creationTimestamp": "1970-01-01T00:00:00Z",
                "labels": { "node-role.kubernetes.io/control-plane": "", "kubernetes.io/role": "a" },
            },
            "spec": { "unschedulable": true },
            "status": {
                "conditions": [{ "type": "Ready", "status": "False" }],
                "addresses": [{ "type": "InternalIP", "address": "10.0.0.1" }],
                "nodeInfo": { "kubeletVersion": "v1", "osImage": "o", "kernelVersion": "k" },
            },
        });
        let row = cells(node.as_object().unwrap(), 90);
        let wanted = json!([
            "n",
            "NotReady,SchedulingDisabled",
            "a,control-plane",
            "90s",
            "v1",
            "10.0.0.1",
            "<none>",
            "o",
            "k",
            "<unknown>"
        ]);
        assert_eq!(Value::from(row), wanted);
        assert_eq!(columns().len(), wanted.as_array().unwrap().len());
        let bare = json!({ "metadata": { "name": "n" } });
        let row = cells(bare.as_object().unwrap(), 90);
        assert_eq!(Value::from(row[1..5].to_vec()), json!(["Unknown", "<none>", "<unknown>", ""]));
    }
}
