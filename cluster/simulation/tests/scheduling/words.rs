// SPDX-License-Identifier: Apache-2.0
//! What users see: conditions, events, nominations, and that no more rights are needed than kube-scheduler has.

use crate::{NODES, PODS, node, pod, scheduler, within};
use berth_cluster_simulation::Cluster;
use serde_json::{Value, json};

async fn events(cluster: &Cluster, of: &str) -> Vec<String> {
    let path = "/api/v1/namespaces/default/events";
    let all = cluster.list(path).await;
    let mine = all.iter().filter(|one| one["involvedObject"]["name"] == of);
    mine.map(|one| {
        format!("{} {}", one["reason"].as_str().unwrap(), one["message"].as_str().unwrap())
    })
    .collect()
}

async fn condition(cluster: &Cluster, name: &str) -> Value {
    let pod = cluster.get(&format!("{PODS}/{name}")).await;
    let all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    all.into_iter().find(|one| one["type"] == "PodScheduled").unwrap_or_default()
}

async fn has_node(cluster: &Cluster, name: &str) -> bool {
    !cluster.get(&format!("{PODS}/{name}")).await["spec"]["nodeName"].is_null()
}

#[tokio::test(start_paused = true)]
async fn pods_are_bound_and_those_that_wait_are_told_why() {
    let cluster = Cluster::new().await;
    let running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(NODES, node("n1", 1_000)).await;
    cluster.make(PODS, pod("first", 600)).await;
    cluster.until("first is bound", async |all| has_node(all, "first").await).await;
    cluster.make(PODS, pod("second", 600)).await;
    cluster.make(PODS, pod("third", 700)).await;
    let said = async |all: &Cluster| condition(all, "third").await["message"].is_string();
    cluster.until("third is told", said).await;
    let text = "0/1 nodes are available: 1 Insufficient cpu. preemption: 0/1 nodes are available: \
                1 No preemption victims found for incoming pod.";
    for name in ["second", "third"] {
        let condition = condition(&cluster, name).await;
        assert_eq!(
            (&condition["status"], &condition["reason"]),
            (&json!("False"), &json!("Unschedulable"))
        );
        assert_eq!(condition["message"], text, "{name}");
    }
    tokio::time::sleep(std::time::Duration::from_secs(2)).await;
    assert_eq!(
        events(&cluster, "first").await,
        ["Scheduled Successfully assigned default/first to n1"]
    );
    assert_eq!(events(&cluster, "second").await, [format!("FailedScheduling {text}")]);
    // Nothing changes: nothing is written but the Lease.
    let before =
        cluster.get(&format!("{PODS}/second")).await["metadata"]["resourceVersion"].clone();
    tokio::time::sleep(std::time::Duration::from_mins(30)).await;
    let after = cluster.get(&format!("{PODS}/second")).await["metadata"]["resourceVersion"].clone();
    assert_eq!(before, after, "who waits is told once");
    // Room comes free, and a second node.
    cluster.delete(&format!("{PODS}/first"), json!({ "gracePeriodSeconds": 0 })).await;
    cluster.until("second is bound", async |all| has_node(all, "second").await).await;
    cluster.make(NODES, node("n2", 1_000)).await;
    cluster.until("third is bound", async |all| has_node(all, "third").await).await;
    assert_eq!(condition(&cluster, "third").await["status"], "True");
    assert_eq!(running.stats().bound(), 3);
    running.stop().await;
    let lease = cluster
        .get("/apis/coordination.k8s.io/v1/namespaces/kube-system/leases/kube-scheduler")
        .await;
    assert_eq!(lease["spec"]["holderIdentity"], "", "it is given back");
}

#[tokio::test(start_paused = true)]
async fn a_pod_of_higher_priority_takes_the_place_of_another() {
    let cluster = Cluster::new().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster
        .make(
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            json!({ "apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": { "name": "high" }, "value": 1000 }),
        )
        .await;
    cluster.make(NODES, node("n1", 1_000)).await;
    cluster.make(PODS, pod("low", 800)).await;
    cluster.until("low is bound", async |all| has_node(all, "low").await).await;
    let mut high = pod("high", 800);
    high["spec"]["priorityClassName"] = "high".into();
    cluster.make(PODS, high).await;
    let leaves = async |all: &Cluster| {
        !all.get(&format!("{PODS}/low")).await["metadata"]["deletionTimestamp"].is_null()
    };
    cluster.until("low is to go", leaves).await;
    let low = cluster.get(&format!("{PODS}/low")).await;
    let reasons: Vec<&Value> =
        low["status"]["conditions"].as_array().unwrap().iter().map(|one| &one["reason"]).collect();
    assert!(reasons.contains(&&json!("PreemptionByScheduler")), "{low}");
    let nominated = async |all: &Cluster| {
        all.get(&format!("{PODS}/high")).await["status"]["nominatedNodeName"] == "n1"
    };
    cluster.until("high is nominated", nominated).await;
    // Its room is not for others meanwhile.
    cluster.make(PODS, pod("other", 800)).await;
    cluster.delete(&format!("{PODS}/low"), json!({ "gracePeriodSeconds": 0 })).await;
    cluster.until("high is bound", async |all| has_node(all, "high").await).await;
    assert!(!has_node(&cluster, "other").await);
    let events = events(&cluster, "low").await;
    assert!(
        events.iter().any(|text| text.starts_with("Preempted Preempted by pod ")),
        "{events:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn another_takes_over_and_nothing_is_lost() {
    let cluster = Cluster::new().await;
    let first = scheduler(&cluster, within(&cluster), "a");
    let second = scheduler(&cluster, within(&cluster), "b");
    cluster.make(NODES, node("n1", 10_000)).await;
    cluster.make(PODS, pod("p1", 100)).await;
    cluster.until("p1 is bound", async |all| has_node(all, "p1").await).await;
    assert_eq!((first.stats().leads(), second.stats().leads()), (true, false));
    // Killed: the Lease is not given back.
    drop(first);
    cluster.make(PODS, pod("p2", 100)).await;
    cluster.until("p2 is bound", async |all| has_node(all, "p2").await).await;
    assert_eq!((second.stats().leads(), second.stats().bound()), (true, 1));
}
