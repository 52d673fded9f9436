// SPDX-License-Identifier: Apache-2.0
//! What is wrong from outside: objects that contradict each other, refusals, a clock that is set, an API that fails. Who meets it says so,
//! asks ever more rarely, and goes on by itself when it is over.

mod claims;
mod clocks;
mod owners;
mod refused;
mod storms;

use berth_cluster_simulation::Cluster;
use berth_cluster_simulation::cluster::template;
use berth_cluster_simulation::door::Door;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/default/deployments";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";
const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";
const NODES: &str = "/api/v1/nodes";
/// The longest pause between two tries, and a little.
const BACKOFF_MAX: Duration = Duration::from_secs(1_010);

/// A Deployment.
fn deployment(name: &str, app: &str, replicas: u32) -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name },
        "spec": {
            "replicas": replicas,
            "selector": { "matchLabels": { "app": app } },
            "template": template(app, "i1"),
        },
    })
}

/// A condition of an object.
async fn condition(cluster: &Cluster, path: &str, kind: &str) -> Value {
    let object = cluster.get(path).await;
    let all = object["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["type"] == kind).unwrap_or_default()
}

/// What a Deployment or a ReplicaSet wants is there and can be used.
async fn available(cluster: &Cluster, path: &str) -> bool {
    let object = cluster.get(path).await;
    let (status, wanted) = (&object["status"], &object["spec"]["replicas"]);
    status["observedGeneration"] == object["metadata"]["generation"]
        && status["availableReplicas"] == *wanted
        && status["replicas"] == *wanted
        && (object["kind"] != "Deployment" || status["updatedReplicas"] == *wanted)
}

/// Nobody asks for one thing more often than once a second (C-9), from a minute after `since` on: at first who meets trouble tries a few
/// times fast.
fn cool(door: &Door, since: Instant) {
    let hot = door.hot(since + Duration::from_mins(1), Duration::from_secs(30), 30);
    assert!(hot.is_empty(), "C-9: more than thirty calls in thirty seconds: {hot:#?}");
}
