// SPDX-License-Identifier: Apache-2.0
//! Endpoints and EndpointSlices before the real apiserver.

use berth_cluster_controllers::{Controllers, Settings};
use berth_cluster_simulation::Cluster;
use berth_cluster_simulation::cluster::replica_set;
use berth_cluster_simulation::kubelet::{Fare, play};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;

const SETS: &str = "/apis/apps/v1/namespaces/default/replicasets";
const SET: &str = "/apis/apps/v1/namespaces/default/replicasets/a";
const SERVICES: &str = "/api/v1/namespaces/default/services";
const SLICES: &str = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io/service-name%3Ds";
const ENDPOINTS: &str = "/api/v1/namespaces/default/endpoints/s";
const PODS: &str = "/api/v1/namespaces/default/pods";
const FARE: Fare = Fare { ready_after: Duration::from_secs(1), gone_after: Duration::from_secs(5) };

fn control(cluster: &Cluster) -> Controllers {
    let names = ["replicaset-controller", "endpoints-controller", "endpointslice-controller"];
    cluster.control(&names, Settings::default())
}

fn service(more: Value) -> Value {
    let mut spec = json!({ "selector": { "app": "a" }, "ports": [{ "name": "web", "port": 80, "targetPort": "http" }] });
    spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    json!({ "metadata": { "name": "s", "labels": { "team": "t" } }, "spec": spec })
}

async fn node_and_set(cluster: &Cluster, replicas: u32) {
    let labels = json!({ "topology.kubernetes.io/zone": "z1" });
    cluster.make("/api/v1/nodes", json!({ "metadata": { "name": "n1", "labels": labels } })).await;
    let mut set = replica_set("a", replicas);
    set["spec"]["template"]["spec"]["nodeName"] = json!("n1");
    cluster.make(SETS, set).await;
}

/// All endpoints, and the sizes of slices.
async fn endpoints(cluster: &Cluster) -> (Vec<Value>, Vec<usize>) {
    let slices = cluster.list(SLICES).await;
    let of = |slice: &Value| slice["endpoints"].as_array().cloned().unwrap_or_default();
    let mut sizes: Vec<usize> = slices.iter().map(|slice| of(slice).len()).collect();
    sizes.sort_unstable();
    (slices.iter().flat_map(of).collect(), sizes)
}

async fn ready(cluster: &Cluster) -> usize {
    let (all, _) = endpoints(cluster).await;
    all.iter().filter(|one| one["conditions"]["ready"] == true).count()
}

#[tokio::test(start_paused = true)]
async fn who_is_ready_serves_and_who_leaves_is_told_apart() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    let _nodes = play(&cluster, FARE);
    cluster.make(SERVICES, service(json!({}))).await;
    cluster.until("there is an empty slice", async |c| endpoints(c).await.1 == [0]).await;
    let empty = &cluster.list(SLICES).await[0];
    assert_eq!(
        empty["metadata"]["labels"],
        json!({
            "kubernetes.io/service-name": "s", "endpointslice.kubernetes.io/managed-by": "endpointslice-controller.k8s.io", "team": "t",
        })
    );
    assert_eq!(empty["metadata"]["ownerReferences"][0]["kind"], "Service");
    cluster.silent(Duration::from_secs(30)).await;
    node_and_set(&cluster, 3).await;
    cluster.until("three are ready", async |c| ready(c).await == 3).await;
    assert_eq!(endpoints(&cluster).await.1, [3], "the empty one was filled");
    let slice = &cluster.list(SLICES).await[0];
    assert_eq!(slice["ports"], json!([{ "name": "web", "port": 8080, "protocol": "TCP" }]));
    let one = &slice["endpoints"][0];
    assert_eq!(
        (&one["nodeName"], &one["zone"], &one["targetRef"]["kind"]),
        (&json!("n1"), &json!("z1"), &json!("Pod"))
    );
    assert_eq!(one["conditions"], json!({ "ready": true, "serving": true, "terminating": false }));
    let subsets = cluster.get(ENDPOINTS).await["subsets"].clone();
    assert_eq!(subsets[0]["addresses"].as_array().unwrap().len(), 3);
    assert_eq!(subsets[0]["ports"], json!([{ "name": "web", "port": 8080, "protocol": "TCP" }]));
    cluster.silent(Duration::from_secs(30)).await;
    let name = one["targetRef"]["name"].as_str().unwrap();
    cluster.delete(&format!("{PODS}/{name}"), json!({})).await;
    cluster
        .until("it is on its way out", async |c| {
            let (all, _) = endpoints(c).await;
            let leaving = json!({ "ready": false, "serving": true, "terminating": true });
            all.iter().any(|one| one["targetRef"]["name"] == name && one["conditions"] == leaving)
        })
        .await;
    cluster
        .until("three are ready again", async |c| {
            ready(c).await == 3 && endpoints(c).await.1 == [3]
        })
        .await;
    cluster.silent(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn slices_hold_a_hundred_and_few_of_them_change() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    let _nodes = play(&cluster, FARE);
    node_and_set(&cluster, 250).await;
    cluster.make(SERVICES, service(json!({}))).await;
    cluster.until("all are ready", async |c| ready(c).await == 250).await;
    let (_, sizes) = endpoints(&cluster).await;
    assert!(sizes.iter().all(|size| *size <= 100), "{sizes:?}");
    tokio::time::sleep(Duration::from_secs(10)).await;
    let versions = async || -> BTreeSet<String> {
        let slices = cluster.list(SLICES).await;
        slices
            .iter()
            .map(|slice| slice["metadata"]["resourceVersion"].as_str().unwrap().to_owned())
            .collect()
    };
    let before = versions().await;
    cluster.change(SET, json!({ "spec": { "replicas": 251 } })).await;
    cluster.until("one more is ready", async |c| ready(c).await == 251).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let after = versions().await;
    assert_eq!(before.difference(&after).count(), 1, "one slice changed");
    assert_eq!(before.len(), after.len());
    cluster.change(SET, json!({ "spec": { "replicas": 0 } })).await;
    cluster.until("an empty slice is left", async |c| endpoints(c).await.1 == [0]).await;
    cluster.silent(Duration::from_secs(30)).await;
}

#[tokio::test(start_paused = true)]
async fn a_burst_of_pods_is_written_in_few_steps() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    cluster.make(SERVICES, service(json!({}))).await;
    let _nodes = play(&cluster, FARE);
    node_and_set(&cluster, 80).await;
    cluster.until("all are ready", async |c| ready(c).await == 80).await;
    let slice = &cluster.list(SLICES).await[0];
    assert!(slice["metadata"]["generation"].as_i64().unwrap() < 12, "{}", slice["metadata"]);
}

#[tokio::test(start_paused = true)]
async fn headless_services_and_those_that_publish_all() {
    let cluster = Cluster::new().await;
    let _controllers = control(&cluster);
    let fare = Fare { ready_after: Duration::from_secs(1), ..FARE };
    let _nodes = play(&cluster, fare);
    let more = json!({ "clusterIP": "None", "publishNotReadyAddresses": true, "ports": [] });
    cluster.make(SERVICES, service(more)).await;
    // It has an address, but is not ready.
    let pod = json!({
        "metadata": { "name": "p-0", "labels": { "app": "a" } },
        "spec": { "nodeName": "n1", "hostname": "p-0", "subdomain": "s", "containers": [{ "name": "c", "image": "never" }] },
    });
    cluster.make(PODS, pod).await;
    let status = json!({ "status": { "podIP": "10.9.9.9", "podIPs": [{ "ip": "10.9.9.9" }], "phase": "Running" } });
    cluster.change(&format!("{PODS}/p-0/status"), status).await;
    // It is adopted as one of the two.
    node_and_set(&cluster, 2).await;
    cluster.until("both serve", async |c| ready(c).await == 2).await;
    let (all, _) = endpoints(&cluster).await;
    let named = all.iter().find(|one| one["hostname"] == "p-0").unwrap();
    assert_eq!(
        named["conditions"],
        json!({ "ready": true, "serving": false, "terminating": false })
    );
    let slice = &cluster.list(SLICES).await[0];
    assert_eq!(slice["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    let endpoints = cluster.get(ENDPOINTS).await;
    assert_eq!(endpoints["subsets"][0]["addresses"].as_array().unwrap().len(), 2);
    assert_eq!(endpoints["metadata"]["labels"]["service.kubernetes.io/headless"], "");
    cluster.silent(Duration::from_secs(30)).await;
    // Endpoints end with their Service.
    cluster.delete(&format!("{SERVICES}/s"), json!({})).await;
    cluster.until("they are gone", async |c| c.find(ENDPOINTS).await.is_none()).await;
}
