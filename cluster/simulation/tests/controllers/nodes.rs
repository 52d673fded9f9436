// SPDX-License-Identifier: Apache-2.0
//! Nodes that are lost, their pods, and their addresses.

use berth_cluster_client::clock;
use berth_cluster_controllers::Settings;
use berth_cluster_simulation::Cluster;
use berth_cluster_simulation::kubelet::{Fare, play};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::time::Duration;
use tokio::task::JoinHandle;

const NODES: &str = "/api/v1/nodes";
const PODS: &str = "/api/v1/namespaces/default/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

/// Nodes that are ready and renew their leases every ten seconds.
pub(crate) async fn nodes(cluster: &Cluster, names: &[&str]) -> Vec<JoinHandle<()>> {
    let mut lives = Vec::new();
    for name in names {
        cluster.make(NODES, json!({ "metadata": { "name": name } })).await;
        ready(cluster, name).await;
        let lease = json!({ "metadata": { "name": name }, "spec": { "holderIdentity": name } });
        cluster.make(LEASES, lease).await;
        lives.push(live(cluster, name));
    }
    lives
}

async fn ready(cluster: &Cluster, name: &str) {
    let now = clock::seconds(cluster.clock.micros());
    let conditions = json!([{ "type": "Ready", "status": "True", "lastHeartbeatTime": now, "lastTransitionTime": now }]);
    cluster
        .change(
            &format!("{NODES}/{name}/status"),
            json!({ "status": { "conditions": conditions } }),
        )
        .await;
}

fn live(cluster: &Cluster, name: &str) -> JoinHandle<()> {
    let (cluster, path) = (cluster.clone(), format!("{LEASES}/{name}"));
    tokio::spawn(async move {
        loop {
            let now = clock::micro_time(cluster.clock.micros());
            cluster.change(&path, json!({ "spec": { "renewTime": now } })).await;
            tokio::time::sleep(Duration::from_secs(10)).await;
        }
    })
}

pub(crate) async fn pod(cluster: &Cluster, name: &str, node: &str, tolerations: Value) {
    let object = json!({
        "metadata": { "name": name },
        "spec": { "nodeName": node, "tolerations": tolerations, "containers": [{ "name": "c", "image": "i" }] },
    });
    cluster.make(PODS, object).await;
}

pub(crate) async fn taints(cluster: &Cluster, node: &str) -> BTreeSet<String> {
    let node = cluster.get(&format!("{NODES}/{node}")).await;
    let taints = node["spec"]["taints"].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    taints.iter().map(|one| format!("{}:{}", text(&one["key"]), text(&one["effect"]))).collect()
}

fn set(texts: &[&str]) -> BTreeSet<String> {
    texts.iter().map(|&text| text.to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_lost_nodes_pods_are_unready_then_leave_when_they_cannot_stand_it() {
    let cluster = Cluster::new().await;
    let names = ["node-lifecycle-controller", "taint-eviction-controller"];
    let _controllers = cluster.control(&names, Settings::default());
    let lives = nodes(&cluster, &["n1", "n2", "n3"]).await;
    let played = play(
        &cluster,
        Fare { ready_after: Duration::from_secs(1), gone_after: Duration::from_secs(1) },
    );
    let stands = |seconds: Value| json!([{ "key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": seconds }]);
    pod(&cluster, "hasty", "n1", stands(json!(30))).await;
    pod(&cluster, "steady", "n1", stands(Value::Null)).await;
    pod(&cluster, "other", "n2", json!([])).await;
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert_eq!(taints(&cluster, "n1").await, set(&[]));
    assert_eq!(cluster.list(PODS).await.len(), 3);
    played.abort();
    lives[0].abort();
    tokio::time::sleep(Duration::from_secs(39)).await;
    assert_eq!(taints(&cluster, "n1").await, set(&[]));
    cluster
        .until("it is lost", async |c| {
            taints(c, "n1").await == set(&["unreachable:NoSchedule", "unreachable:NoExecute"])
        })
        .await;
    let node = cluster.get(&format!("{NODES}/n1")).await;
    let ready_condition =
        node["status"]["conditions"].as_array().unwrap().iter().find(|one| one["type"] == "Ready");
    assert_eq!(ready_condition.unwrap()["reason"], "NodeStatusUnknown");
    cluster
        .until("its pods are not ready", async |c| {
            let pod = c.get(&format!("{PODS}/steady")).await;
            pod["status"]["conditions"]
                .as_array()
                .unwrap()
                .iter()
                .any(|one| one["type"] == "Ready" && one["status"] == "False")
        })
        .await;
    tokio::time::sleep(Duration::from_secs(20)).await;
    let leaves = async |name: &str| {
        !cluster.get(&format!("{PODS}/{name}")).await["metadata"]["deletionTimestamp"].is_null()
    };
    assert!(!leaves("hasty").await);
    tokio::time::sleep(Duration::from_secs(15)).await;
    assert!(leaves("hasty").await && !leaves("steady").await && !leaves("other").await);
    // It comes back.
    ready(&cluster, "n1").await;
    let _life = live(&cluster, "n1");
    cluster.until("it is well", async |c| taints(c, "n1").await.is_empty()).await;
    tokio::time::sleep(Duration::from_secs(100)).await;
    assert_eq!(taints(&cluster, "n1").await, set(&[]));
    let told = cluster.told.of("Node/n1");
    assert!(
        told.iter().any(|text| text == "NodeNotReady Node n1 status is now: NodeNotReady"),
        "{told:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn conditions_and_cordons_become_taints() {
    let cluster = Cluster::new().await;
    let _controllers = cluster.control(&["node-lifecycle-controller"], Settings::default());
    let _lives = nodes(&cluster, &["n1"]).await;
    cluster.change(&format!("{NODES}/n1"), json!({ "spec": { "unschedulable": true } })).await;
    cluster
        .until("it is tainted", async |c| {
            taints(c, "n1").await == set(&["unschedulable:NoSchedule"])
        })
        .await;
    cluster.change(&format!("{NODES}/n1"), json!({ "spec": { "unschedulable": null } })).await;
    cluster.until("it is not", async |c| taints(c, "n1").await.is_empty()).await;
    let conditions = json!([{ "type": "Ready", "status": "True" }, { "type": "DiskPressure", "status": "True" }]);
    cluster
        .change(&format!("{NODES}/n1/status"), json!({ "status": { "conditions": conditions } }))
        .await;
    cluster
        .until("it is tainted", async |c| {
            taints(c, "n1").await == set(&["disk-pressure:NoSchedule"])
        })
        .await;
}

#[tokio::test(start_paused = true)]
async fn nodes_get_addresses_and_who_comes_too_late_is_told() {
    let cluster = Cluster::new().await;
    let settings =
        Settings { cluster_cidr: ("10.9.0.0".parse().unwrap(), 22), ..Settings::default() };
    let controllers = cluster.control(&["node-ipam-controller"], settings.clone());
    let range =
        async |node: &str| cluster.get(&format!("{NODES}/{node}")).await["spec"]["podCIDR"].clone();
    for name in ["a", "b", "c", "d"] {
        cluster.make(NODES, json!({ "metadata": { "name": name } })).await;
        cluster.until("it has its range", async |_| !range(name).await.is_null()).await;
    }
    assert_eq!((range("a").await, range("d").await), (json!("10.9.0.0/24"), json!("10.9.3.0/24")));
    cluster.make(NODES, json!({ "metadata": { "name": "e" } })).await;
    cluster
        .until("it is told", async |c| {
            c.told.of("Node/e") == ["CIDRNotAvailable Node e status is now: CIDRNotAvailable"]
        })
        .await;
    drop(controllers);
    cluster.delete(&format!("{NODES}/b"), json!({})).await;
    let _controllers = cluster.control(&["node-ipam-controller"], settings);
    cluster.until("it has its range", async |_| range("e").await == "10.9.1.0/24").await;
    cluster.silent(Duration::from_secs(100)).await;
}

#[tokio::test(start_paused = true)]
async fn pods_of_nodes_that_are_gone_are_removed() {
    let cluster = Cluster::new().await;
    let _controllers = cluster.control(
        &["pod-garbage-collector-controller"],
        Settings { terminated_pods_max: 2, ..Settings::default() },
    );
    cluster.make(NODES, json!({ "metadata": { "name": "n1" } })).await;
    pod(&cluster, "kept", "n1", json!([])).await;
    pod(&cluster, "lost", "gone", json!([])).await;
    for number in 0..4 {
        let name = format!("done-{number}");
        pod(&cluster, &name, "n1", json!([])).await;
        cluster
            .change(&format!("{PODS}/{name}/status"), json!({ "status": { "phase": "Succeeded" } }))
            .await;
        tokio::time::sleep(Duration::from_secs(2)).await;
    }
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert!(cluster.find(&format!("{PODS}/lost")).await.is_some(), "its node may only be new");
    tokio::time::sleep(Duration::from_secs(40)).await;
    let pods = cluster.list(PODS).await;
    let names: BTreeSet<_> =
        pods.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap()).collect();
    assert_eq!(names, BTreeSet::from(["done-2", "done-3", "kept"]));
}
