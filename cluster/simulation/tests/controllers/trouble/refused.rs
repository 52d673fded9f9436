// SPDX-License-Identifier: Apache-2.0
//! Pods that are refused when they are made, or that no node can take: it is said why, nobody asks in vain all the time, and all goes on
//! by itself once the cause is gone.

use super::{BACKOFF_MAX, DEPLOYMENTS, NODES, PODS, SETS, available, condition, cool, deployment};
use berth_cluster_simulation::cluster::{replica_set, template};
use berth_cluster_simulation::door::{Door, Weather};
use berth_cluster_simulation::kubelet::{Fare, play};
use berth_cluster_simulation::{Cluster, checker};
use berth_scheduler_kubernetes::{Options, Replica};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::time::Instant;

const FARE: Fare = Fare { ready_after: Duration::from_secs(1), gone_after: Duration::from_secs(1) };
const CONTROLLERS: [&str; 2] = ["replicaset-controller", "deployment-controller"];

/// Each pause between tries is at least as long as the one before, and the last ones are long.
fn backs_off(tries: &[Duration]) {
    let pauses: Vec<_> = tries.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).collect();
    assert!(pauses.len() >= 8, "{tries:?}");
    // A change of its own status lets the set look once more: the pauses grow from then on.
    let grow = pauses[4..].windows(2).all(|pair| pair[1] >= pair[0]);
    assert!(grow && *pauses.last().unwrap() > Duration::from_mins(1), "{pauses:?}");
}

async fn refused_template(change: Value, why: &str) {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&CONTROLLERS);
    let _nodes = play(&cluster, FARE);
    let path = format!("{DEPLOYMENTS}/a");
    cluster.make(DEPLOYMENTS, deployment("a", "a", 3)).await;
    cluster.until("it is there", async |c| available(c, &path).await).await;
    let changed = Instant::now();
    cluster.change(&path, json!({ "spec": { "template": change } })).await;
    let failure = async |c: &Cluster| condition(c, &path, "ReplicaFailure").await;
    cluster.until("it says that it cannot", async |c| failure(c).await["status"] == "True").await;
    let told = failure(&cluster).await;
    assert_eq!(told["reason"], "FailedCreate");
    assert!(told["message"].as_str().unwrap().contains(why), "{told}");
    let sets = cluster.list(SETS).await;
    let set = sets.iter().find(|set| !set["status"]["conditions"].is_null()).unwrap();
    let name = set["metadata"]["name"].as_str().unwrap();
    let own = condition(&cluster, &format!("{SETS}/{name}"), "ReplicaFailure").await;
    assert_eq!((&own["reason"], &own["message"]), (&told["reason"], &told["message"]));
    tokio::time::sleep(Duration::from_mins(20)).await;
    let events = cluster.told.of(&format!("ReplicaSet/{name}"));
    assert!(
        events
            .iter()
            .all(|text| text.starts_with("FailedCreate Error creating: ") && text.contains(why)),
        "{events:#?}"
    );
    assert!((8..20).contains(&events.len()), "{events:#?}");
    backs_off(&door.calls("replicaset-controller", &format!("{PODS}/{name}-"), changed));
    cool(&door, changed);
    // Three old pods serve meanwhile: one may be gone.
    let pods = cluster.list(PODS).await;
    assert!(
        pods.len() >= 3 && pods.iter().all(|pod| pod["status"]["phase"] == "Running"),
        "{}",
        pods.len()
    );
    let mended = json!({ "metadata": { "labels": { "app": "a" }, "finalizers": null }, "spec": { "priority": null, "containers": template("a", "i3")["spec"]["containers"] } });
    cluster.change(&path, json!({ "spec": { "template": mended } })).await;
    tokio::time::sleep(Duration::from_millis(10)).await;
    cluster.until("it is rolled out", async |c| available(c, &path).await).await;
    assert_eq!(failure(&cluster).await, Value::Null, "nothing is wrong any more");
    tokio::time::sleep(Duration::from_secs(5)).await;
    cluster.silent(Duration::from_mins(10)).await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_only_pods_are_refused_for_by_validation_is_told_and_mended() {
    // Finalizers of a template are looked at when pods have them.
    refused_template(json!({ "metadata": { "finalizers": ["Not_A_Name"] } }), "Not_A_Name").await;
}

#[tokio::test(start_paused = true)]
async fn a_template_that_admission_refuses_is_told_and_mended() {
    refused_template(json!({ "spec": { "priority": 7 } }), "is forbidden").await;
}

#[tokio::test(start_paused = true)]
async fn a_quota_that_is_used_up_is_told_and_what_is_missing_comes_when_it_is_raised() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    door.turn(Weather::Quota(2));
    let _controllers = door.control(&CONTROLLERS);
    let _nodes = play(&cluster, FARE);
    let start = Instant::now();
    cluster.make(SETS, replica_set("a", 20)).await;
    let path = format!("{SETS}/a");
    cluster
        .until("it says that it cannot", async |c| {
            condition(c, &path, "ReplicaFailure").await["reason"] == "FailedCreate"
        })
        .await;
    tokio::time::sleep(Duration::from_mins(20)).await;
    assert_eq!(cluster.list(PODS).await.len(), 2);
    let told = condition(&cluster, &path, "ReplicaFailure").await;
    let text = told["message"].as_str().unwrap();
    assert!(
        text.contains("exceeded quota: q, requested: pods=1, used: pods=2, limited: pods=2"),
        "{text}"
    );
    let tries = door.calls("replicaset-controller", &format!("{PODS}/a-"), start);
    // Two came, and of twenty it is asked for one at a time that fails.
    assert!(tries.len() < 30, "{}: {tries:?}", tries.len());
    cool(&door, start);
    let at = cluster.get(&path).await["status"].clone();
    assert_eq!((&at["replicas"], &at["availableReplicas"]), (&json!(2), &json!(2)));
    door.turn(Weather::Quota(40));
    tokio::time::sleep(BACKOFF_MAX).await;
    assert!(available(&cluster, &path).await, "all came within the longest pause");
    assert_eq!(condition(&cluster, &path, "ReplicaFailure").await, Value::Null);
    cluster.silent(Duration::from_mins(10)).await;
}

fn node(name: &str, zone: &str) -> Value {
    json!({
        "metadata": { "name": name, "labels": { "zone": zone } },
        "status": {
            "allocatable": { "cpu": "4", "memory": "8Gi", "pods": "20" },
            "conditions": [{ "type": "Ready", "status": "True" }],
        },
    })
}

#[tokio::test(start_paused = true)]
async fn pods_whose_affinity_no_node_has_wait_quietly_and_go_when_one_comes() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&CONTROLLERS);
    let options = Options { clock: cluster.clock, seed: 3, ..Options::default() };
    let _scheduler = Replica::start(door.scheduler(), options, None);
    cluster.make(NODES, node("earth", "earth")).await;
    let start = Instant::now();
    let mut object = deployment("a", "a", 3);
    // Nobody waits for its progress.
    object["spec"]["progressDeadlineSeconds"] = i32::MAX.into();
    object["spec"]["template"]["spec"]["affinity"] = json!({ "nodeAffinity": { "requiredDuringSchedulingIgnoredDuringExecution": {
        "nodeSelectorTerms": [{ "matchExpressions": [{ "key": "zone", "operator": "In", "values": ["mars"] }] }],
    } } });
    cluster.make(DEPLOYMENTS, object).await;
    let wait = "0/1 nodes are available: 1 node(s) didn't match Pod's node affinity/selector. preemption: 0/1 nodes are available: \
                1 Preemption is not helpful for scheduling.";
    let told = async |c: &Cluster| {
        let pods = c.list(PODS).await;
        let says = |pod: &Value| {
            pod["status"]["conditions"].as_array().is_some_and(|all| {
                all.iter().any(|one| one["message"] == wait && one["reason"] == "Unschedulable")
            })
        };
        pods.len() == 3 && pods.iter().all(says)
    };
    cluster.until("all are told", told).await;
    tokio::time::sleep(Duration::from_secs(10)).await;
    let (quiet, before) = (Instant::now(), cluster.revision());
    tokio::time::sleep(Duration::from_mins(30)).await;
    let log = checker::log(&cluster.store);
    let written: Vec<_> = log
        .iter()
        .filter(|event| event.revision > before)
        .map(|event| event.entry.key.to_string())
        .collect();
    assert!(
        written.iter().all(|key| key.starts_with("events/")),
        "nothing changes, and this is written: {written:?}"
    );
    // They are tried again now and then, for all that nobody told.
    assert!(door.count(quiet) < 3 * 12 + 40, "{}", door.count(quiet));
    cool(&door, start);
    cluster.make(NODES, node("mars", "mars")).await;
    cluster
        .until("all are there", async |c| {
            c.list(PODS).await.iter().all(|pod| pod["spec"]["nodeName"] == "mars")
        })
        .await;
    cool(&door, start);
}

/// A conflict says nothing of what was to be deleted: it is deleted later.
#[tokio::test(start_paused = true)]
async fn deletions_that_meet_a_conflict_are_tried_again() {
    let cluster = Cluster::new().await;
    let door = Door::new(&cluster, 1);
    let _controllers = door.control(&["replicaset-controller", "taint-eviction-controller"]);
    let _nodes = play(&cluster, FARE);
    let path = format!("{SETS}/a");
    cluster.make(SETS, replica_set("a", 4)).await;
    cluster.make(NODES, node("n", "earth")).await;
    let driven = json!({ "metadata": { "name": "driven" }, "spec": { "nodeName": "n", "containers": [{ "name": "c", "image": "i" }] } });
    cluster.make(PODS, driven).await;
    cluster.until("all are there", async |c| available(c, &path).await).await;
    let method = http::Method::DELETE;
    door.turn(Weather::Against { method, path: "/pods/", code: 409 });
    let start = Instant::now();
    cluster.change(&path, json!({ "spec": { "replicas": 1 } })).await;
    let taints = json!([{ "key": "t", "effect": "NoExecute" }]);
    cluster.change(&format!("{NODES}/n"), json!({ "spec": { "taints": taints } })).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!(cluster.list(PODS).await.len(), 5);
    cool(&door, start);
    door.turn(Weather::Fair);
    tokio::time::sleep(BACKOFF_MAX).await;
    assert!(available(&cluster, &path).await, "the set has one pod");
    assert_eq!(cluster.list(PODS).await.len(), 1, "who is driven out is gone");
}
