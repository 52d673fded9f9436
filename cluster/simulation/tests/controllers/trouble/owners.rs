// SPDX-License-Identifier: Apache-2.0
//! Owners that own each other, and owners where none can be.

use super::{CONFIGS, cool};
use berth_cluster_simulation::Cluster;
use berth_cluster_simulation::door::Door;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const COLLECTOR: [&str; 1] = ["garbage-collector-controller"];

fn reference(kind: &str, version: &str, owner: &Value) -> Value {
    let meta = &owner["metadata"];
    json!({ "apiVersion": version, "kind": kind, "name": meta["name"], "uid": meta["uid"], "blockOwnerDeletion": true })
}

fn owned(name: &str, owners: &[Value]) -> Value {
    json!({ "metadata": { "name": name, "ownerReferences": owners } })
}

/// ConfigMaps of which each owns the next, and the last the first; all wait for what they own.
async fn circle(cluster: &Cluster, length: usize) -> Vec<String> {
    let names: Vec<String> = (0..length).map(|number| format!("c{number}")).collect();
    let first = cluster.make(CONFIGS, owned(&names[0], &[])).await;
    let mut last = first;
    for name in &names[1..] {
        last = cluster.make(CONFIGS, owned(name, &[reference("ConfigMap", "v1", &last)])).await;
    }
    let patch = json!({ "metadata": { "ownerReferences": [reference("ConfigMap", "v1", &last)] } });
    cluster.change(&format!("{CONFIGS}/{}", names[0]), patch).await;
    names
}

async fn gone(cluster: &Cluster, names: &[String]) -> bool {
    for name in names {
        if cluster.find(&format!("{CONFIGS}/{name}")).await.is_some() {
            return false;
        }
    }
    true
}

#[tokio::test(start_paused = true)]
async fn a_circle_of_any_length_stays_until_one_of_it_goes_and_then_goes_whole() {
    for length in 1..5 {
        for policy in ["Background", "Foreground"] {
            let cluster = Cluster::new().await;
            let door = Door::new(&cluster, 1);
            let _controllers = door.control(&COLLECTOR);
            tokio::time::sleep(Duration::from_secs(1)).await;
            let names = circle(&cluster, length).await;
            cluster.silent(Duration::from_mins(5)).await;
            let start = Instant::now();
            cluster.delete(&format!("{CONFIGS}/c0"), json!({ "propagationPolicy": policy })).await;
            let what = format!("a circle of {length} is gone ({policy})");
            cluster.until(&what, async |c| gone(c, &names).await).await;
            cool(&door, start);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_circle_all_of_which_are_told_to_wait_for_each_other_goes_all_the_same() {
    for length in 1..5 {
        let cluster = Cluster::new().await;
        let door = Door::new(&cluster, 1);
        let names = circle(&cluster, length).await;
        for name in &names {
            let options = json!({ "propagationPolicy": "Foreground" });
            cluster.delete(&format!("{CONFIGS}/{name}"), options).await;
        }
        let start = Instant::now();
        let _controllers = door.control(&COLLECTOR);
        cluster.until("all are gone", async |c| gone(c, &names).await).await;
        cool(&door, start);
    }
}

#[tokio::test(start_paused = true)]
async fn a_circle_that_somebody_else_owns_too_outlives_one_of_it() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&COLLECTOR);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let holder = cluster.make(CONFIGS, owned("holder", &[])).await;
    circle(&cluster, 3).await;
    let c0 = cluster.get(&format!("{CONFIGS}/c0")).await;
    let owners = json!([reference("ConfigMap", "v1", &c0), reference("ConfigMap", "v1", &holder)]);
    cluster
        .change(&format!("{CONFIGS}/c1"), json!({ "metadata": { "ownerReferences": owners } }))
        .await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let start = Instant::now();
    cluster.delete(&format!("{CONFIGS}/c0"), json!({ "propagationPolicy": "Background" })).await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    assert!(!gone(&cluster, &["c1".to_owned()]).await && !gone(&cluster, &["c2".to_owned()]).await);
    cluster.silent(Duration::from_mins(5)).await;
    cluster.delete(&format!("{CONFIGS}/holder"), json!({})).await;
    let rest = ["c1", "c2"].map(str::to_owned);
    cluster.until("the rest is gone", async |c| gone(c, &rest).await).await;
    cool(&door, start);
}

#[tokio::test(start_paused = true)]
async fn what_is_in_no_namespace_is_not_owned_by_what_is_in_one_and_says_so() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&COLLECTOR);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let map = cluster.make(CONFIGS, owned("map", &[])).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let mut class = owned("class", &[reference("ConfigMap", "v1", &map)]);
    class["value"] = 7.into();
    let class = cluster.make(CLASSES, class).await;
    let uid = map["metadata"]["uid"].as_str().unwrap();
    let told = async |c: &Cluster| {
        c.told.of("PriorityClass/class")
            == [format!(
                "OwnerRefInvalidNamespace ownerRef [v1/ConfigMap, namespace: , name: map, uid: {uid}] does not exist in namespace \"\""
            )]
    };
    cluster.until("it is told", told).await;
    cluster.delete(&format!("{CONFIGS}/map"), json!({})).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    cluster.silent(Duration::from_mins(10)).await;
    let stays = cluster.get(&format!("{CLASSES}/class")).await;
    assert_eq!(stays["metadata"], class["metadata"], "nobody touches it");
    let asked = door.calls("generic-garbage-collector", "priorityclasses/class", start);
    assert!(asked.len() < 10, "{asked:?}");
    // The other way round is as it should be.
    let owner = reference("PriorityClass", "scheduling.k8s.io/v1", &stays);
    cluster.make(CONFIGS, owned("child", &[owner])).await;
    cluster.silent(Duration::from_mins(1)).await;
    cluster.delete(&format!("{CLASSES}/class"), json!({})).await;
    cluster.until("it goes with it", async |c| gone(c, &["child".to_owned()]).await).await;
    cool(&door, start);
}

#[tokio::test(start_paused = true)]
async fn owners_of_a_kind_that_nobody_knows_are_asked_for_ever_more_rarely() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&COLLECTOR);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let uid = "2ec7f5a6-0000-4000-8000-000000000000";
    let owner = json!({ "apiVersion": "example.com/v1", "kind": "Thing", "name": "x", "uid": uid });
    cluster.make(CONFIGS, owned("lost", &[owner])).await;
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(!gone(&cluster, &["lost".to_owned()]).await, "nobody can say that its owner is gone");
    let asked = door.calls("generic-garbage-collector", "configmaps/lost", start);
    assert!((10..30).contains(&asked.len()), "{asked:?}");
    cool(&door, start);
}
