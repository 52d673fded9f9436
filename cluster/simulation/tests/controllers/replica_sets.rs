// SPDX-License-Identifier: Apache-2.0
//! ReplicaSets before the real apiserver.

use berth_cluster_controllers::Settings;
use berth_cluster_simulation::Cluster;
use berth_cluster_simulation::cluster::replica_set;
use berth_cluster_simulation::kubelet::{Fare, play};
use serde_json::{Value, json};
use std::time::Duration;

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const SET: &str = "/apis/apps/v1/namespaces/default/replicasets/a";
const PODS: &str = "/api/v1/namespaces/default/pods";
const FARE: Fare = Fare { ready_after: Duration::from_secs(1), gone_after: Duration::from_secs(1) };

async fn status(cluster: &Cluster) -> Value {
    cluster.get(SET).await["status"].clone()
}

#[tokio::test(start_paused = true)]
async fn a_replica_set_gets_its_pods_and_loses_them_and_then_all_is_silent() {
    let cluster = Cluster::new().await;
    let _controllers = cluster.control(&["replicaset-controller"], Settings::default());
    let _nodes = play(&cluster, FARE);
    cluster.make(SETS, replica_set("a", 10)).await;
    cluster.until("all are available", async |c| status(c).await["availableReplicas"] == 10).await;
    let pods = cluster.list(PODS).await;
    assert_eq!(pods.len(), 10);
    for pod in &pods {
        let owner = &pod["metadata"]["ownerReferences"][0];
        assert_eq!((&owner["kind"], &owner["name"]), (&json!("ReplicaSet"), &json!("a")));
        assert_eq!(
            (&owner["controller"], &owner["blockOwnerDeletion"]),
            (&json!(true), &json!(true))
        );
        assert_eq!(pod["metadata"]["generateName"], "a-");
    }
    let told = cluster.told.of("ReplicaSet/a");
    assert_eq!(told.len(), 10);
    assert!(told[0].starts_with("SuccessfulCreate Created pod: a-"), "{told:?}");
    cluster.silent(Duration::from_mins(1)).await;
    cluster.change(SET, json!({ "spec": { "replicas": 3 } })).await;
    cluster.until("three are left", async |c| c.list(PODS).await.len() == 3).await;
    cluster
        .until("it says so", async |c| {
            let status = status(c).await;
            status["replicas"] == 3
                && status["observedGeneration"] == 2
                && status["terminatingReplicas"] == 0
        })
        .await;
    cluster.silent(Duration::from_mins(1)).await;
    // One that is deleted is replaced.
    let name = cluster.list(PODS).await[0]["metadata"]["name"].as_str().unwrap().to_owned();
    cluster.delete(&format!("{PODS}/{name}"), json!({})).await;
    cluster.until("it is gone", async |c| c.find(&format!("{PODS}/{name}")).await.is_none()).await;
    cluster.until("it is replaced", async |c| status(c).await["availableReplicas"] == 3).await;
}

#[tokio::test(start_paused = true)]
async fn pods_are_adopted_and_released_by_their_labels() {
    let cluster = Cluster::new().await;
    let pod = |name: &str| {
        json!({ "metadata": { "name": name, "labels": { "app": "a" } },
                "spec": { "containers": [{ "name": "c", "image": "i" }] } })
    };
    for name in ["x", "y"] {
        cluster.make(PODS, pod(name)).await;
    }
    let _controllers = cluster.control(&["replicaset-controller"], Settings::default());
    cluster.make(SETS, replica_set("a", 3)).await;
    cluster.until("there are three", async |c| status(c).await["replicas"] == 3).await;
    let x = cluster.get(&format!("{PODS}/x")).await;
    assert_eq!(x["metadata"]["ownerReferences"][0]["name"], "a");
    assert_eq!(cluster.told.of("ReplicaSet/a").len(), 1, "two were there");
    cluster.change(&format!("{PODS}/x"), json!({ "metadata": { "labels": { "app": "z" } } })).await;
    cluster
        .until("x is released", async |c| {
            c.get(&format!("{PODS}/x")).await["metadata"]["ownerReferences"].is_null()
        })
        .await;
    cluster.until("it is replaced", async |c| c.list(PODS).await.len() == 4).await;
    cluster.until("it is counted", async |c| status(c).await["replicas"] == 3).await;
    cluster.silent(Duration::from_mins(1)).await;
}

#[tokio::test(start_paused = true)]
async fn refused_pods_are_told_of_and_tried_again_ever_more_slowly() {
    let cluster = Cluster::new().await;
    let _controllers = cluster.control(&["replicaset-controller"], Settings::default());
    let mut set = replica_set("a", 50);
    set["spec"]["template"]["spec"]["priorityClassName"] = json!("later");
    cluster.make(SETS, set).await;
    cluster
        .until("it says that it failed", async |c| {
            let status = status(c).await;
            let condition = &status["conditions"][0];
            condition["type"] == "ReplicaFailure" && condition["reason"] == "FailedCreate"
        })
        .await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    let told = cluster.told.of("ReplicaSet/a");
    assert!(
        told.iter().all(|text| text.starts_with("FailedCreate Error creating: pods ")),
        "{told:?}"
    );
    assert!((10..25).contains(&told.len()), "{}", told.len());
    cluster
        .make(
            "/apis/scheduling.k8s.io/v1/priorityclasses",
            json!({ "metadata": { "name": "later" }, "value": 7 }),
        )
        .await;
    tokio::time::sleep(Duration::from_secs(1000)).await;
    let status = status(&cluster).await;
    assert_eq!((&status["replicas"], &status["conditions"]), (&json!(50), &Value::Null));
}

#[tokio::test(start_paused = true)]
async fn who_has_to_be_ready_for_a_while_is_available_only_then() {
    let cluster = Cluster::new().await;
    let _controllers = cluster.control(&["replicaset-controller"], Settings::default());
    let _nodes = play(&cluster, FARE);
    let mut set = replica_set("a", 2);
    set["spec"]["minReadySeconds"] = json!(30);
    cluster.make(SETS, set).await;
    cluster.until("both are ready", async |c| status(c).await["readyReplicas"] == 2).await;
    tokio::time::sleep(Duration::from_secs(28)).await;
    assert_eq!(status(&cluster).await["availableReplicas"], Value::Null);
    tokio::time::sleep(Duration::from_secs(4)).await;
    assert_eq!(status(&cluster).await["availableReplicas"], 2);
}
