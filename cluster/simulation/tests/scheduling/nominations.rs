// SPDX-License-Identifier: Apache-2.0
//! `status.nominatedNodeName` through preemptions: said, kept while it is waited for, and cleared when somebody takes it or nothing comes
//! of it, as kube-scheduler v1.36 does.

use crate::{NODES, PODS, node, pod, scheduler, within};
use berth_cluster_simulation::{Cluster, checker};
use serde_json::{Value, json};
use std::time::Duration;

/// A cluster with one node, and priorities `p5`, `p10` and `p20`.
async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    for value in [5, 10, 20] {
        let class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
            "metadata": { "name": format!("p{value}") }, "value": value });
        cluster.make("/apis/scheduling.k8s.io/v1/priorityclasses", class).await;
    }
    cluster.make(NODES, node("n1", 1_000)).await;
    cluster
}

/// A pod of one of these priorities.
fn urgent(name: &str, cpu: u32, priority: u32) -> Value {
    let mut pod = pod(name, cpu);
    pod["spec"]["priorityClassName"] = format!("p{priority}").into();
    pod
}

async fn nominated(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&format!("{PODS}/{name}")).await["status"]["nominatedNodeName"].clone()
}

async fn is_nominated(cluster: &Cluster, name: &str, node: &str) {
    let what = format!("{name} is nominated to {node}");
    cluster.until(&what, async |all| nominated(all, name).await == node).await;
}

async fn is_not_nominated(cluster: &Cluster, name: &str) {
    let what = format!("{name} is not nominated");
    cluster.until(&what, async |all| nominated(all, name).await.is_null()).await;
}

async fn leaves(cluster: &Cluster, name: &str) -> bool {
    !cluster.get(&format!("{PODS}/{name}")).await["metadata"]["deletionTimestamp"].is_null()
}

async fn is_gone(cluster: &Cluster, name: &str) {
    cluster.delete(&format!("{PODS}/{name}"), json!({ "gracePeriodSeconds": 0 })).await;
}

async fn is_bound(cluster: &Cluster, name: &str, node: &str) {
    let on = async |all: &Cluster| {
        let pod = all.get(&format!("{PODS}/{name}")).await;
        pod["spec"]["nodeName"] == node && pod["status"]["nominatedNodeName"].is_null()
    };
    cluster.until(&format!("{name} is on {node}, and nominated no more"), on).await;
}

/// Nothing is broken by all that happened.
fn check(cluster: &Cluster) {
    let (state, mut broken) = checker::replay(&checker::log(&cluster.store));
    broken.extend(state.forgotten());
    assert!(broken.is_empty(), "{broken:#?}");
}

#[tokio::test(start_paused = true)]
async fn who_makes_room_on_a_node_takes_the_nominations_of_lower_priority() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(PODS, urgent("low", 300, 5)).await;
    cluster.make(PODS, pod("lowest", 600)).await;
    for name in ["low", "lowest"] {
        is_bound(&cluster, name, "n1").await;
    }
    cluster.make(PODS, urgent("mid", 500, 10)).await;
    is_nominated(&cluster, "mid", "n1").await;
    assert!(leaves(&cluster, "lowest").await && !leaves(&cluster, "low").await);
    // Its victim takes its time.
    tokio::time::sleep(Duration::from_mins(7)).await;
    assert_eq!(nominated(&cluster, "mid").await, "n1");
    // One that needs the whole node, and one of the same priority as mid.
    cluster.make(PODS, urgent("high", 1_000, 20)).await;
    is_nominated(&cluster, "high", "n1").await;
    cluster.until("low is to go", async |all| leaves(all, "low").await).await;
    is_not_nominated(&cluster, "mid").await;
    tokio::time::sleep(Duration::from_mins(7)).await;
    assert_eq!(nominated(&cluster, "high").await, "n1");
    assert!(nominated(&cluster, "mid").await.is_null());
    // It is free to go elsewhere, and its room on n1 is nobody's.
    cluster.make(NODES, node("n2", 500)).await;
    is_bound(&cluster, "mid", "n2").await;
    is_gone(&cluster, "low").await;
    is_gone(&cluster, "lowest").await;
    is_bound(&cluster, "high", "n1").await;
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn who_is_overtaken_by_a_higher_priority_loses_its_nomination_when_it_is_tried() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(PODS, pod("low", 800)).await;
    is_bound(&cluster, "low", "n1").await;
    cluster.make(PODS, urgent("mid", 800, 10)).await;
    is_nominated(&cluster, "mid", "n1").await;
    // All that stands in its way is on its way out already: nobody has to be asked, and both wait for it.
    cluster.make(PODS, urgent("high", 900, 20)).await;
    is_nominated(&cluster, "high", "n1").await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(nominated(&cluster, "mid").await, "n1", "its victim is there still");
    is_gone(&cluster, "low").await;
    is_bound(&cluster, "high", "n1").await;
    is_not_nominated(&cluster, "mid").await;
    let mid = cluster.get(&format!("{PODS}/mid")).await;
    let conditions = mid["status"]["conditions"].as_array().unwrap();
    let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: 1 No preemption victims found for \
                incoming pod.";
    assert_eq!(conditions[0]["message"], text);
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_nomination_of_which_nothing_comes_is_cleared_and_its_room_is_for_others() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(PODS, pod("low", 800)).await;
    is_bound(&cluster, "low", "n1").await;
    cluster.make(PODS, urgent("mid", 800, 10)).await;
    is_nominated(&cluster, "mid", "n1").await;
    cluster.change(&format!("{NODES}/n1"), json!({ "spec": { "unschedulable": true } })).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    is_gone(&cluster, "low").await;
    is_not_nominated(&cluster, "mid").await;
    let mut tolerant = pod("tolerant", 800);
    tolerant["spec"]["tolerations"] =
        json!([{ "key": "node.kubernetes.io/unschedulable", "operator": "Exists" }]);
    cluster.make(PODS, tolerant).await;
    let on = async |all: &Cluster| {
        all.get(&format!("{PODS}/tolerant")).await["spec"]["nodeName"] == "n1"
    };
    cluster.until("the room is for others", on).await;
    assert!(nominated(&cluster, "mid").await.is_null());
}

#[tokio::test(start_paused = true)]
async fn a_nomination_ends_with_its_node() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(PODS, pod("low", 800)).await;
    is_bound(&cluster, "low", "n1").await;
    cluster.make(PODS, urgent("mid", 800, 10)).await;
    is_nominated(&cluster, "mid", "n1").await;
    cluster.delete(&format!("{NODES}/n1"), json!({})).await;
    is_not_nominated(&cluster, "mid").await;
    // One of the same name is not held for it.
    cluster.make(NODES, node("n1", 1_700)).await;
    is_bound(&cluster, "mid", "n1").await;
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_pod_that_may_not_preempt_keeps_what_somebody_else_said() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(PODS, pod("low", 800)).await;
    is_bound(&cluster, "low", "n1").await;
    let mut polite = urgent("polite", 800, 10);
    polite["spec"]["preemptionPolicy"] = "Never".into();
    let class = "/apis/scheduling.k8s.io/v1/priorityclasses/polite";
    let (classes, _) = class.rsplit_once('/').unwrap();
    let polite_class = json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass",
        "metadata": { "name": "polite" }, "value": 10, "preemptionPolicy": "Never" });
    cluster.make(classes, polite_class).await;
    polite["spec"]["priorityClassName"] = "polite".into();
    cluster.make(PODS, polite).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let status = json!({ "status": { "nominatedNodeName": "n1" } });
    cluster.change(&format!("{PODS}/polite/status"), status).await;
    tokio::time::sleep(Duration::from_mins(7)).await;
    assert_eq!(nominated(&cluster, "polite").await, "n1");
    assert!(!leaves(&cluster, "low").await);
    is_gone(&cluster, "low").await;
    is_bound(&cluster, "polite", "n1").await;
    check(&cluster);
}
