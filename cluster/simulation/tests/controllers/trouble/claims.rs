// SPDX-License-Identifier: Apache-2.0
//! Selectors that match what is another owner's: what is owned is nobody else's, and nobody fights.

use super::{DEPLOYMENTS, PODS, SETS, available, deployment};
use berth_cluster_simulation::cluster::{replica_set, template};
use berth_cluster_simulation::door::Door;
use berth_cluster_simulation::kubelet::{Fare, play};
use berth_cluster_simulation::{Cluster, checker};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use tokio::time::Instant;

const FARE: Fare = Fare { ready_after: Duration::from_secs(1), gone_after: Duration::from_secs(1) };
const CONTROLLERS: [&str; 3] =
    ["replicaset-controller", "deployment-controller", "garbage-collector-controller"];

fn controller(object: &Value) -> Option<&str> {
    let owners = object["metadata"]["ownerReferences"].as_array()?;
    owners.iter().find(|owner| owner["controller"] == true)?["name"].as_str()
}

/// The objects of a kind that went from one owner to another, or lost theirs, at any revision.
fn disputed(cluster: &Cluster, kind: &str) -> Vec<String> {
    let mut owned: BTreeMap<String, String> = BTreeMap::new();
    let mut disputed = Vec::new();
    for event in checker::log(&cluster.store) {
        let object: Value = serde_json::from_slice(&event.entry.bytes).unwrap();
        if object["kind"] != kind || event.deleted {
            continue;
        }
        let uid = object["metadata"]["uid"].as_str().unwrap();
        let owner = controller(&object).unwrap_or_default();
        match owned.get(uid) {
            Some(before) if before != owner => {
                disputed.push(format!("{}: {before} to {owner}", object["metadata"]["name"]));
            }
            Some(_) => continue,
            None if owner.is_empty() => continue,
            None => {}
        }
        owned.insert(uid.to_owned(), owner.to_owned());
    }
    disputed
}

/// How many pods each owner has.
async fn shares(cluster: &Cluster) -> BTreeMap<String, usize> {
    let mut shares = BTreeMap::new();
    for pod in cluster.list(PODS).await {
        *shares.entry(controller(&pod).unwrap_or_default().to_owned()).or_default() += 1;
    }
    shares
}

/// Nothing is written, and nobody asks for anything but what is followed.
async fn quiet(cluster: &Cluster, door: &Door) {
    tokio::time::sleep(Duration::from_secs(5)).await;
    let start = Instant::now();
    cluster.silent(Duration::from_mins(10)).await;
    let asked = door.hot(start, Duration::from_mins(10), 0);
    let asked: Vec<_> = asked.iter().filter(|((_, what), _)| !what.ends_with("?watch")).collect();
    // Which kinds there are is asked now and then.
    let asked = asked.into_iter().filter(|((who, _), _)| !who.contains("garbage-collector"));
    let asked: Vec<_> = asked.collect();
    assert!(asked.is_empty(), "{asked:?}");
}

fn of(shares: &[(&str, usize)]) -> BTreeMap<String, usize> {
    shares.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect()
}

#[tokio::test(start_paused = true)]
async fn two_sets_with_one_selector_leave_each_other_in_peace() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&CONTROLLERS);
    let _nodes = play(&cluster, FARE);
    for name in ["x", "y", "z"] {
        let pod = json!({ "metadata": { "name": name, "labels": { "app": "a" } }, "spec": template("a", "i")["spec"] });
        cluster.make(PODS, pod).await;
    }
    for (name, replicas) in [("a", 4), ("b", 2)] {
        let mut set = replica_set("a", replicas);
        set["metadata"]["name"] = name.into();
        cluster.make(SETS, set).await;
    }
    let set = |name: &str| format!("{SETS}/{name}");
    let both = async |c: &Cluster| available(c, &set("a")).await && available(c, &set("b")).await;
    cluster.until("both have their pods", both).await;
    assert_eq!(shares(&cluster).await, of(&[("a", 4), ("b", 2)]));
    quiet(&cluster, &door).await;
    for (name, replicas, left) in [("a", 1, [("a", 1), ("b", 2)]), ("b", 5, [("a", 1), ("b", 5)])] {
        cluster.change(&set(name), json!({ "spec": { "replicas": replicas } })).await;
        cluster.until("its size is as wanted", async |c| shares(c).await == of(&left)).await;
        cluster.until("it says so", both).await;
    }
    // What one lets go by its end is the other's, once, and what is too many goes.
    cluster.delete(&set("a"), json!({ "propagationPolicy": "Orphan" })).await;
    cluster
        .until("the other has no more than it wants", async |c| {
            shares(c).await == of(&[("b", 5)]) && c.find(&set("a")).await.is_none()
        })
        .await;
    quiet(&cluster, &door).await;
    let disputed = disputed(&cluster, "Pod");
    let orphaned = disputed
        .iter()
        .all(|one| one.ends_with("a to ") || one.ends_with(": to b") || one.ends_with(":  to b"));
    assert!(orphaned, "{disputed:#?}");
}

#[tokio::test(start_paused = true)]
async fn deployments_with_one_selector_and_a_bare_pod_leave_each_other_in_peace() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&CONTROLLERS);
    let _nodes = play(&cluster, FARE);
    let bare = json!({ "metadata": { "name": "bare", "labels": { "app": "a" } }, "spec": template("a", "i1")["spec"] });
    cluster.make(PODS, bare).await;
    // One template, so that their sets have one selector, too.
    for name in ["a", "b"] {
        cluster.make(DEPLOYMENTS, deployment(name, "a", 3)).await;
    }
    let one = |name: &str| format!("{DEPLOYMENTS}/{name}");
    let both = async |c: &Cluster| available(c, &one("a")).await && available(c, &one("b")).await;
    cluster.until("both are there", both).await;
    quiet(&cluster, &door).await;
    let others = async |c: &Cluster| {
        let sets = c.list(SETS).await;
        let of_b = sets.iter().filter(|set| controller(set) == Some("b"));
        of_b.map(|set| set["metadata"]["resourceVersion"].clone()).collect::<Vec<_>>()
    };
    let (bare, of_b) = (cluster.get(&format!("{PODS}/bare")).await, others(&cluster).await);
    for image in ["i2", "i3"] {
        let template = json!({ "spec": template("a", image)["spec"] });
        cluster.change(&one("a"), json!({ "spec": { "template": template } })).await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        cluster.until("it is rolled out", both).await;
    }
    tokio::time::sleep(Duration::from_secs(5)).await;
    quiet(&cluster, &door).await;
    assert_eq!(cluster.get(&format!("{PODS}/bare")).await, bare, "it is nobody's");
    assert_eq!(others(&cluster).await, of_b, "what is b's is not touched");
    assert_eq!(cluster.list(PODS).await.len(), 7);
    assert_eq!(disputed(&cluster, "Pod"), [""; 0]);
    assert_eq!(disputed(&cluster, "ReplicaSet"), [""; 0]);
}
