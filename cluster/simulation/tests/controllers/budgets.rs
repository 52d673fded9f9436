// SPDX-License-Identifier: Apache-2.0
//! Budgets of disruptions.

use berth_cluster_controllers::Settings;
use berth_cluster_simulation::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

const BUDGETS: &str = "/apis/policy/v1/namespaces/default/poddisruptionbudgets";
const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const PODS: &str = "/api/v1/namespaces/default/pods";

async fn budget(cluster: &Cluster, name: &str, field: &str, amount: Value) {
    let spec = json!({ field: amount, "selector": { "matchLabels": { "app": "web" } } });
    cluster.make(BUDGETS, json!({ "metadata": { "name": name }, "spec": spec })).await;
}

/// Allowed, healthy, desired, expected, and the reason.
async fn numbers(cluster: &Cluster, name: &str) -> Value {
    let budget = cluster.get(&format!("{BUDGETS}/{name}")).await;
    let status = &budget["status"];
    let seen = status["observedGeneration"] == budget["metadata"]["generation"];
    let condition = &status["conditions"][0];
    json!([
        seen,
        status["disruptionsAllowed"],
        status["currentHealthy"],
        status["desiredHealthy"],
        status["expectedPods"],
        condition["reason"],
    ])
}

/// All pods run, and are ready or not.
async fn ready(cluster: &Cluster, ready: &str) {
    for pod in cluster.get(PODS).await["items"].as_array().unwrap() {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let conditions = json!([{ "type": "Ready", "status": ready }]);
        let status = json!({ "status": { "phase": "Running", "conditions": conditions } });
        cluster.change(&format!("{PODS}/{name}/status"), status).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_budget_says_how_many_may_go_and_charges_who_is_allowed_to() {
    let cluster = Cluster::new().await;
    let names = ["replicaset-controller", "disruption-controller"];
    let _controllers = cluster.control(&names, Settings::default());
    budget(&cluster, "web", "maxUnavailable", json!("40%")).await;
    let none = json!([true, 0, 0, 0, 0, "InsufficientPods"]);
    cluster.until("nobody is known", async |c| numbers(c, "web").await == none).await;
    let labels = json!({ "app": "web" });
    let template = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let spec =
        json!({ "replicas": 4, "selector": { "matchLabels": labels }, "template": template });
    cluster.make(SETS, json!({ "metadata": { "name": "web" }, "spec": spec })).await;
    let waits = json!([true, 0, 0, 2, 4, "InsufficientPods"]);
    cluster.until("they are not ready", async |c| numbers(c, "web").await == waits).await;
    ready(&cluster, "True").await;
    let may = json!([true, 2, 4, 2, 4, "SufficientPods"]);
    cluster.until("two may go", async |c| numbers(c, "web").await == may).await;
    let set = format!("{SETS}/web");
    cluster
        .until("their set knows", async |c| c.get(&set).await["status"]["readyReplicas"] == 4)
        .await;
    cluster.silent(Duration::from_secs(100)).await;
    // Two go, and a third may not.
    let pods = cluster.get(PODS).await;
    let mut codes = Vec::new();
    for pod in pods["items"].as_array().unwrap().iter().take(3) {
        let name = pod["metadata"]["name"].as_str().unwrap();
        let eviction =
            json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": name } });
        let path = format!("{PODS}/{name}/eviction");
        let answer = cluster.admin().post(&path, eviction.to_string().into()).await;
        codes.push(answer.err().and_then(|error| error.code()));
    }
    assert_eq!(codes, [None, None, Some(429)]);
    let fewer = json!([true, 0, 2, 2, 4, "InsufficientPods"]);
    cluster
        .until("those that came instead are not ready", async |c| numbers(c, "web").await == fewer)
        .await;
    cluster.until("four are there", async |c| c.list(PODS).await.len() == 4).await;
    ready(&cluster, "True").await;
    cluster.until("two may go again", async |c| numbers(c, "web").await == may).await;
    // Whose pods nobody counts may not go.
    let mut stray = json!({ "metadata": { "name": "stray", "labels": labels }, "spec": { "containers": [{ "name": "c", "image": "i" }] } });
    let owner =
        json!({ "apiVersion": "x/v1", "kind": "X", "name": "x", "uid": "x", "controller": true });
    stray["metadata"]["ownerReferences"] = json!([owner]);
    cluster.make(PODS, stray).await;
    cluster.until("it cannot be told", async |c| numbers(c, "web").await[5] == "SyncFailed").await;
    assert_eq!(numbers(&cluster, "web").await[1], 0);
    let told = cluster.told.of("PodDisruptionBudget/web");
    let why = "found no controllers for pod \"stray\"";
    assert!(told.iter().any(|text| text.contains(why)), "{told:?}");
}
