// SPDX-License-Identifier: Apache-2.0
//! Rows of workloads in tables.

use super::selector;
use crate::Map;
use crate::kinds::view::View;
use crate::registry::Column;
use berth_cluster_json::{Value, json};

fn column(
    name: &'static str,
    kind: &'static str,
    description: &'static str,
    priority: u8,
) -> Column {
    let format = if name == "Name" { "name" } else { "" };
    Column { name, kind, format, description, priority }
}

/// The columns of ReplicaSets.
pub(super) fn of_replica_sets() -> Vec<Column> {
    let mut all = vec![
        column("Name", "string", "Name of the set.", 0),
        column("Desired", "integer", "The number of pods that there shall be.", 0),
        column("Current", "integer", "The number of pods that there are.", 0),
        column("Ready", "integer", "The number of ready replicas for this replica set.", 0),
        column("Age", "string", "Time since the set was created.", 0),
    ];
    all.extend(wide("Label selector of the pods that this set keeps."));
    all
}

/// The columns of Deployments.
pub(super) fn of_deployments() -> Vec<Column> {
    let up = "Total number of non-terminated pods targeted by this deployment that have the desired template spec.";
    let available = "Total number of available pods (ready for at least minReadySeconds) targeted by this deployment.";
    let mut all = vec![
        column("Name", "string", "Name of the deployment.", 0),
        column("Ready", "string", "Number of the pod with ready state", 0),
        column("Up-to-date", "string", up, 0),
        column("Available", "string", available, 0),
        column("Age", "string", "Time since the deployment was created.", 0),
    ];
    all.extend(wide(
        "Label selector for pods. Existing ReplicaSets whose pods are selected by this will be the ones affected by this deployment.",
    ));
    all
}

/// The columns of StatefulSets.
pub(super) fn of_stateful_sets() -> Vec<Column> {
    let mut all = vec![
        column("Name", "string", "Name of the set.", 0),
        column("Ready", "string", "Number of the pod with ready state", 0),
        column("Age", "string", "Time since the set was created.", 0),
    ];
    all.extend(wide("").into_iter().take(2));
    all
}

/// The columns of DaemonSets.
pub(super) fn of_daemon_sets() -> Vec<Column> {
    let mut all = vec![
        column("Name", "string", "Name of the set.", 0),
        column("Desired", "integer", "The number of nodes that shall run its pod.", 0),
        column("Current", "integer", "The number of nodes that shall, and do.", 0),
        column("Ready", "integer", "The number of those whose pod is ready.", 0),
        column(
            "Up-to-date",
            "integer",
            "The number of those whose pod is of the latest template.",
            0,
        ),
        column("Available", "integer", "The number of those whose pod is available.", 0),
        column("Node Selector", "string", "Labels of the nodes that the pods may run on.", 0),
        column("Age", "string", "Time since the set was created.", 0),
    ];
    all.extend(wide("Label selector of the pods that this set keeps."));
    all
}

fn wide(selector: &'static str) -> [Column; 3] {
    [
        column("Containers", "string", "Names of each container in the template.", 1),
        column("Images", "string", "Images referenced by each container in the template.", 1),
        column("Selector", "string", selector, 1),
    ]
}

/// The cells of a ReplicaSet.
pub(super) fn replica_set(object: &Map, now: i64) -> Vec<Value> {
    let counts = vec![
        json!(object.at("spec").int("replicas").unwrap_or(0)),
        json!(count(object, "replicas")),
        json!(count(object, "readyReplicas")),
    ];
    row(object, counts, now)
}

/// The cells of a Deployment.
pub(super) fn deployment(object: &Map, now: i64) -> Vec<Value> {
    let wanted = object.at("spec").int("replicas").unwrap_or(0);
    let counts = vec![
        json!(format!("{}/{wanted}", count(object, "readyReplicas"))),
        json!(count(object, "updatedReplicas")),
        json!(count(object, "availableReplicas")),
    ];
    row(object, counts, now)
}

/// The cells of a StatefulSet.
pub(super) fn stateful_set(object: &Map, now: i64) -> Vec<Value> {
    let wanted = object.at("spec").int("replicas").unwrap_or(0);
    let ready = json!(format!("{}/{wanted}", count(object, "readyReplicas")));
    let mut cells = row(object, vec![ready], now);
    cells.truncate(5);
    cells
}

/// The cells of a DaemonSet.
pub(super) fn daemon_set(object: &Map, now: i64) -> Vec<Value> {
    let mut counts: Vec<Value> = [
        "desiredNumberScheduled",
        "currentNumberScheduled",
        "numberReady",
        "updatedNumberScheduled",
        "numberAvailable",
    ]
    .iter()
    .map(|field| count(object, field).into())
    .collect();
    let pod = object.at("spec").at("template").at("spec");
    counts.push(crate::cells::labels(pod.map("nodeSelector")).into());
    row(object, counts, now)
}

/// Names of containers, and their images.
pub(super) fn containers(template: &Value) -> [String; 2] {
    let all = template.at("spec").list("containers");
    ["name", "image"]
        .map(|field| all.iter().map(|one| one.text(field)).collect::<Vec<_>>().join(","))
}

fn count(object: &Map, field: &str) -> i64 {
    object.at("status").int(field).unwrap_or(0)
}

fn row(object: &Map, counts: Vec<Value>, now: i64) -> Vec<Value> {
    let (meta, spec) = (object.at("metadata"), object.at("spec"));
    let [names, images] = containers(spec.at("template"));
    let selector = match selector::text(spec.at("selector")) {
        text if text.is_empty() => "<none>".to_owned(),
        text => text,
    };
    let mut cells = vec![meta.at("name").clone()];
    cells.extend(counts);
    cells.push(crate::cells::since(meta.text("creationTimestamp"), now).into());
    cells.extend([names, images, selector].map(Value::from));
    cells
}
