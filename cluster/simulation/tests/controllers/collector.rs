// SPDX-License-Identifier: Apache-2.0
//! What is owned goes when its owners do, in the way that was asked for.

use berth_cluster_controllers::{Controllers, Settings};
use berth_cluster_simulation::Cluster;
use serde_json::{Value, json};
use std::time::Duration;

const CONFIGS: &str = "/api/v1/namespaces/default/configmaps";

fn control(cluster: &Cluster) -> Controllers {
    cluster.control(&["garbage-collector-controller"], Settings::default())
}

/// A ConfigMap that others own, who wait for it or not.
async fn make(cluster: &Cluster, name: &str, owners: &[(&Value, bool)]) -> Value {
    let owners: Vec<Value> =
        owners.iter().map(|(owner, blocks)| reference(owner, *blocks)).collect();
    cluster.make(CONFIGS, json!({ "metadata": { "name": name, "ownerReferences": owners } })).await
}

fn reference(owner: &Value, blocks: bool) -> Value {
    let meta = &owner["metadata"];
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "name": meta["name"], "uid": meta["uid"], "blockOwnerDeletion": blocks })
}

async fn there(cluster: &Cluster, name: &str) -> bool {
    cluster.find(&format!("{CONFIGS}/{name}")).await.is_some()
}

async fn delete(cluster: &Cluster, name: &str, policy: &str) {
    cluster.delete(&format!("{CONFIGS}/{name}"), json!({ "propagationPolicy": policy })).await;
}

#[tokio::test(start_paused = true)]
async fn what_is_owned_goes_with_the_last_owner() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let a = make(&cluster, "a", &[]).await;
    let b = make(&cluster, "b", &[]).await;
    let child = make(&cluster, "child", &[(&a, false), (&b, false)]).await;
    make(&cluster, "grandchild", &[(&child, true)]).await;
    cluster.silent(Duration::from_secs(40)).await;
    delete(&cluster, "a", "Background").await;
    tokio::time::sleep(Duration::from_secs(40)).await;
    let kept = cluster.get(&format!("{CONFIGS}/child")).await;
    assert_eq!(
        kept["metadata"]["ownerReferences"],
        json!([
            { "apiVersion": "v1", "kind": "ConfigMap", "name": "b", "uid": b["metadata"]["uid"], "controller": false, "blockOwnerDeletion": false },
        ])
    );
    delete(&cluster, "b", "Background").await;
    cluster
        .until("all are gone", async |c| !there(c, "child").await && !there(c, "grandchild").await)
        .await;
}

#[tokio::test(start_paused = true)]
async fn in_the_foreground_an_owner_goes_last() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let a = make(&cluster, "a", &[]).await;
    let child = make(&cluster, "child", &[(&a, true)]).await;
    make(&cluster, "grandchild", &[(&child, true)]).await;
    // Somebody holds the last.
    cluster
        .change(
            &format!("{CONFIGS}/grandchild"),
            json!({ "metadata": { "finalizers": ["example.com/held"] } }),
        )
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    delete(&cluster, "a", "Foreground").await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    for name in ["a", "child", "grandchild"] {
        let object = cluster.get(&format!("{CONFIGS}/{name}")).await;
        assert!(!object["metadata"]["deletionTimestamp"].is_null(), "{name} is to go");
    }
    cluster.silent(Duration::from_mins(1)).await;
    cluster
        .change(&format!("{CONFIGS}/grandchild"), json!({ "metadata": { "finalizers": null } }))
        .await;
    cluster.until("all are gone", async |c| !there(c, "a").await && !there(c, "child").await).await;
}

#[tokio::test(start_paused = true)]
async fn orphans_stay_and_have_no_owner() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let a = make(&cluster, "a", &[]).await;
    make(&cluster, "child", &[(&a, true)]).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    delete(&cluster, "a", "Orphan").await;
    cluster.until("a is gone", async |c| !there(c, "a").await).await;
    cluster.silent(Duration::from_mins(1)).await;
    assert_eq!(
        cluster.get(&format!("{CONFIGS}/child")).await["metadata"]["ownerReferences"],
        Value::Null
    );
}

#[tokio::test(start_paused = true)]
async fn circles_end_in_any_way() {
    for policy in ["Background", "Foreground"] {
        let cluster = Cluster::new().await;
        let _controllers = control(&cluster);
        tokio::time::sleep(Duration::from_secs(1)).await;
        let a = make(&cluster, "a", &[]).await;
        let b = make(&cluster, "b", &[(&a, true)]).await;
        let owners = json!({ "metadata": { "ownerReferences": [reference(&b, true)] } });
        cluster.change(&format!("{CONFIGS}/a"), owners).await;
        cluster.silent(Duration::from_mins(1)).await;
        delete(&cluster, "a", policy).await;
        cluster
            .until("both are gone", async |c| !there(c, "a").await && !there(c, "b").await)
            .await;
    }
}

#[tokio::test(start_paused = true)]
async fn owners_that_never_were_or_are_elsewhere_are_absent() {
    let cluster = Cluster::new().await;
    cluster.make("/api/v1/namespaces", json!({ "metadata": { "name": "other" } })).await;
    let far = cluster
        .make("/api/v1/namespaces/other/configmaps", json!({ "metadata": { "name": "far" } }))
        .await;
    let never =
        json!({ "metadata": { "name": "never", "uid": "2ec7f5a6-0000-4000-8000-000000000000" } });
    make(&cluster, "of-never", &[(&never, false)]).await;
    // Of two absent ones it is true, too; of one that is there it is not.
    let here = make(&cluster, "here", &[]).await;
    make(&cluster, "of-both", &[(&never, false), (&here, false)]).await;
    let _controllers = control(&cluster);
    cluster.until("it is gone", async |c| !there(c, "of-never").await).await;
    tokio::time::sleep(Duration::from_secs(2)).await;
    make(&cluster, "of-far", &[(&far, false)]).await;
    cluster.until("it is gone", async |c| !there(c, "of-far").await).await;
    let told = cluster.told.of("ConfigMap/of-far");
    let uid = far["metadata"]["uid"].as_str().unwrap();
    assert_eq!(
        told,
        [format!(
            "OwnerRefInvalidNamespace ownerRef [v1/ConfigMap, namespace: default, name: far, uid: {uid}] does not exist in namespace \"default\""
        )]
    );
    assert!(there(&cluster, "of-both").await);
    assert!(cluster.find("/api/v1/namespaces/other/configmaps/far").await.is_some());
    cluster.silent(Duration::from_secs(100)).await;
}

#[tokio::test(start_paused = true)]
async fn a_deployment_goes_with_all_that_is_its_own() {
    let cluster = Cluster::new().await;
    let names = [
        "garbage-collector-controller",
        "deployment-controller",
        "replicaset-controller",
        "endpointslice-controller",
    ];
    let _controllers = cluster.control(&names, Settings::default());
    let deployments = "/apis/apps/v1/namespaces/default/deployments";
    cluster.make(deployments, json!({
        "metadata": { "name": "a" },
        "spec": { "replicas": 3, "selector": { "matchLabels": { "app": "a" } }, "template": berth_cluster_simulation::cluster::template("a", "i") },
    })).await;
    let services = "/api/v1/namespaces/default/services";
    cluster.make(services, json!({ "metadata": { "name": "s" }, "spec": { "selector": { "app": "a" }, "ports": [{ "port": 80 }] } })).await;
    let pods = "/api/v1/namespaces/default/pods";
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Ds";
    cluster
        .until("all are there", async |c| {
            c.list(pods).await.len() == 3 && c.list(slices).await.len() == 1
        })
        .await;
    cluster.silent(Duration::from_mins(1)).await;
    cluster.delete(&format!("{deployments}/a"), json!({ "propagationPolicy": "Foreground" })).await;
    cluster.delete(&format!("{services}/s"), json!({})).await;
    cluster
        .until("all are gone", async |c| {
            c.list(pods).await.is_empty()
                && c.list("/apis/apps/v1/namespaces/default/replicasets").await.is_empty()
                && c.list(deployments).await.is_empty()
                && c.list(slices).await.is_empty()
        })
        .await;
    cluster.silent(Duration::from_mins(1)).await;
}
