// SPDX-License-Identifier: Apache-2.0
//! Claims that wait for their first consumer: who gets which volume, what becomes of what comes to nothing, and that nothing is left
//! behind. The volume controller and the provisioner are played ([`berth_cluster_simulation::volumes`]).

mod random;

use crate::{NODES, PODS, caller, node, pod, scheduler, within};
use berth_cluster_apiserver::{Faults, Fixed, Server};
use berth_cluster_client::Api;
use berth_cluster_simulation::cluster::NOW;
use berth_cluster_simulation::volumes::{Fate, Manner, SELECTED, VOLUMES, Volumes};
use berth_cluster_simulation::{Cluster, checker, volumes};
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};
use std::time::Duration;

const CLAIMS: &str = "/api/v1/namespaces/default/persistentvolumeclaims";
const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const SOON: Duration = Duration::from_secs(2);

fn class(name: &str, provisioner: &str, mode: &str) -> Value {
    json!({
        "apiVersion": "storage.k8s.io/v1", "kind": "StorageClass", "metadata": { "name": name },
        "provisioner": provisioner, "volumeBindingMode": mode,
    })
}

/// A cluster with the classes `local`, of volumes that are there, and `made`, of those that are made.
async fn cluster() -> Cluster {
    let cluster = Cluster::new().await;
    cluster
        .make(CLASSES, class("local", "kubernetes.io/no-provisioner", "WaitForFirstConsumer"))
        .await;
    cluster.make(CLASSES, class("made", "test", "WaitForFirstConsumer")).await;
    cluster
}

/// A volume on one node.
fn volume(name: &str, gib: u32, node: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolume", "metadata": { "name": name },
        "spec": {
            "capacity": { "storage": format!("{gib}Gi") }, "accessModes": ["ReadWriteOnce"],
            "storageClassName": "local", "local": { "path": "/disk" },
            "nodeAffinity": { "required": { "nodeSelectorTerms": [{ "matchExpressions": [
                { "key": "kubernetes.io/hostname", "operator": "In", "values": [node] },
            ] }] } },
        },
    })
}

fn claim(name: &str, class: &str, gib: u32) -> Value {
    json!({
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": name },
        "spec": {
            "accessModes": ["ReadWriteOnce"], "storageClassName": class,
            "resources": { "requests": { "storage": format!("{gib}Gi") } },
        },
    })
}

/// A pod that uses claims.
fn user(name: &str, cpu: u32, claims: &[&str]) -> Value {
    let mut pod = pod(name, cpu);
    let volume =
        |name: &&str| json!({ "name": name, "persistentVolumeClaim": { "claimName": name } });
    pod["spec"]["volumes"] = claims.iter().map(volume).collect();
    pod
}

async fn has_node(cluster: &Cluster, name: &str) -> bool {
    !cluster.get(&format!("{PODS}/{name}")).await["spec"]["nodeName"].is_null()
}

/// Waits until a pod is bound, and says where.
async fn node_of(cluster: &Cluster, name: &str) -> String {
    cluster.until(&format!("{name} is bound"), async |all| has_node(all, name).await).await;
    let pod = cluster.get(&format!("{PODS}/{name}")).await;
    assert!(pod["status"]["nominatedNodeName"].is_null(), "it is where it was to go: {pod}");
    pod["spec"]["nodeName"].as_str().unwrap().to_owned()
}

/// Why a pod waits: reason and message of its condition.
async fn words(cluster: &Cluster, name: &str) -> (String, String) {
    let pod = cluster.get(&format!("{PODS}/{name}")).await;
    let all = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
    let one = all.into_iter().find(|one| one["type"] == "PodScheduled").unwrap_or_default();
    let text = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
    (text("reason"), text("message"))
}

/// Waits until a pod is told something that begins so.
async fn is_told(cluster: &Cluster, name: &str, text: &str) {
    let said = async |all: &Cluster| words(all, name).await.1.starts_with(text);
    for _ in 0..600 {
        if said(cluster).await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    panic!("{name} is told {:?}, and not {text:?}", words(cluster, name).await);
}

async fn volume_of(cluster: &Cluster, claim: &str) -> String {
    let claim = cluster.get(&format!("{CLAIMS}/{claim}")).await;
    claim["spec"]["volumeName"].as_str().unwrap_or_default().to_owned()
}

async fn selected(cluster: &Cluster, claim: &str) -> Value {
    let claim = cluster.get(&format!("{CLAIMS}/{claim}")).await;
    claim["metadata"]["annotations"][SELECTED].clone()
}

async fn reserved(cluster: &Cluster, volume: &str) -> Value {
    cluster.get(&format!("{VOLUMES}/{volume}")).await["spec"]["claimRef"].clone()
}

/// A volume whose controller has seen it, and does nothing more.
async fn make_available(cluster: &Cluster, volume: Value) {
    let path = format!("{VOLUMES}/{}", volume["metadata"]["name"].as_str().unwrap());
    cluster.make(VOLUMES, volume).await;
    cluster.change(&format!("{path}/status"), json!({ "status": { "phase": "Available" } })).await;
}

fn play(cluster: &Cluster) -> Volumes {
    let at_once = |_: &str, _: &str| Fate::Makes(Duration::from_secs(1));
    Volumes::start(cluster.admin().clone(), Manner::default(), at_once)
}

/// Nothing is broken, by all that happened, and nothing is left behind.
fn check(cluster: &Cluster) {
    let log = checker::log(&cluster.store);
    let (_, mut broken) = checker::replay(&log);
    let (state, more) = volumes::check::replay(&log);
    broken.extend(more);
    broken.extend(state.left_behind());
    assert!(broken.is_empty(), "{broken:#?}");
}

/// A provisioner that does not answer at first.
fn silent_once() -> impl FnMut(&str, &str) -> Fate + Send + 'static {
    let mut first = true;
    move |_, _| {
        let silent = std::mem::take(&mut first);
        if silent { Fate::IsSilent } else { Fate::Makes(Duration::from_secs(1)) }
    }
}

#[tokio::test(start_paused = true)]
async fn the_smallest_volume_that_will_do_is_taken_where_it_is() {
    let cluster = cluster().await;
    let (_running, _played) = (scheduler(&cluster, within(&cluster), "a"), play(&cluster));
    for name in ["n1", "n2", "n3"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    for (name, gib) in [("five", 5), ("two", 2), ("one", 1), ("three", 3)] {
        cluster.make(VOLUMES, volume(name, gib, "n2")).await;
    }
    cluster.make(CLAIMS, claim("c", "local", 2)).await;
    cluster.make(CLAIMS, claim("d", "local", 2)).await;
    tokio::time::sleep(SOON).await;
    cluster.make(PODS, user("p", 100, &["c", "d"])).await;
    assert_eq!(node_of(&cluster, "p").await, "n2");
    let mut taken = [volume_of(&cluster, "c").await, volume_of(&cluster, "d").await];
    taken.sort();
    assert_eq!(taken, ["three", "two"]);
    assert!(
        reserved(&cluster, "one").await.is_null() && reserved(&cluster, "five").await.is_null()
    );
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn of_two_pods_that_want_one_volume_one_gets_it() {
    let cluster = cluster().await;
    let (_running, _played) = (scheduler(&cluster, within(&cluster), "a"), play(&cluster));
    for name in ["n1", "n2"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    cluster.make(VOLUMES, volume("v1", 1, "n1")).await;
    for name in ["c", "d"] {
        cluster.make(CLAIMS, claim(name, "local", 1)).await;
    }
    tokio::time::sleep(SOON).await;
    // Both are decided on before anything of the first one's volume is written.
    cluster.make(PODS, user("first", 100, &["c"])).await;
    cluster.make(PODS, user("second", 100, &["d"])).await;
    assert_eq!(node_of(&cluster, "first").await, "n1");
    let text = "0/2 nodes are available: 2 node(s) didn't find available persistent volumes to bind. preemption: 0/2 nodes are \
                available: 2 Preemption is not helpful for scheduling.";
    is_told(&cluster, "second", text).await;
    cluster.make(VOLUMES, volume("v2", 1, "n2")).await;
    assert_eq!(node_of(&cluster, "second").await, "n2");
    assert_eq!(volume_of(&cluster, "d").await, "v2");
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_volume_is_made_where_the_pod_goes_and_its_room_is_kept_meanwhile() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    let manner = Manner { topology: "topology.kubernetes.io/zone", ..Manner::default() };
    let slow = |_: &str, _: &str| Fate::Makes(Duration::from_mins(2));
    let _played = Volumes::start(cluster.admin().clone(), manner, slow);
    for (name, zone, cpu) in [("n1", "a", 1_000), ("n2", "b", 1_000), ("n3", "b", 500)] {
        let mut node = node(name, cpu);
        node["metadata"]["labels"]["topology.kubernetes.io/zone"] = zone.into();
        cluster.make(NODES, node).await;
    }
    let mut zonal = class("zonal", "test", "WaitForFirstConsumer");
    zonal["allowedTopologies"] = json!([{ "matchLabelExpressions": [
        { "key": "topology.kubernetes.io/zone", "values": ["b"] },
    ] }]);
    cluster.make(CLASSES, zonal).await;
    cluster.make(CLAIMS, claim("c", "zonal", 1)).await;
    cluster.make(PODS, user("p", 800, &["c"])).await;
    let asked = async |all: &Cluster| selected(all, "c").await == "n2";
    cluster.until("the claim has its node", asked).await;
    let pod = cluster.get(&format!("{PODS}/p")).await;
    assert_eq!(pod["status"]["nominatedNodeName"], "n2", "it is said where it is expected");
    let mut other = self::pod("other", 800);
    other["spec"]["nodeSelector"] = json!({ "topology.kubernetes.io/zone": "b" });
    cluster.make(PODS, other).await;
    is_told(&cluster, "other", "0/3 nodes are available: 1 node(s) didn't match").await;
    assert_eq!(node_of(&cluster, "p").await, "n2");
    // Whoever comes later has to go where the volume is.
    cluster.make(PODS, user("q", 300, &["c"])).await;
    assert_eq!(node_of(&cluster, "q").await, "n3");
    assert!(!has_node(&cluster, "other").await);
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn where_a_provisioner_gives_up_another_node_is_tried() {
    for after in [0, 5] {
        let cluster = cluster().await;
        let running = scheduler(&cluster, within(&cluster), "a");
        let nodes = Arc::new(Mutex::new(Vec::new()));
        let tried = Arc::clone(&nodes);
        let third = move |_: &str, node: &str| {
            let mut nodes = nodes.lock().unwrap();
            nodes.push(node.to_owned());
            let pause = Duration::from_secs(after);
            if nodes.len() < 3 { Fate::GivesUp(pause) } else { Fate::Makes(pause) }
        };
        // It answers before anybody looks.
        let manner = Manner { pace: Duration::from_millis(10), ..Manner::default() };
        let _played = Volumes::start(cluster.admin().clone(), manner, third);
        for (name, cpu) in [("n1", 1_000), ("n2", 2_000), ("n3", 3_000)] {
            cluster.make(NODES, node(name, cpu)).await;
        }
        cluster.make(CLAIMS, claim("c", "made", 1)).await;
        cluster.make(PODS, user("p", 100, &["c"])).await;
        let began = tokio::time::Instant::now();
        let failed = async |all: &Cluster| words(all, "p").await.0 == "SchedulerError";
        cluster.until("it is told that nothing came of the first node", failed).await;
        let text = "no volume was provisioned for the persistentvolumeclaim \"c\": its selected node was taken back";
        assert_eq!(words(&cluster, "p").await.1, text);
        let at = node_of(&cluster, "p").await;
        let mut nodes = tried.lock().unwrap().clone();
        assert_eq!(nodes.last(), Some(&at));
        assert!(began.elapsed() < Duration::from_mins(1), "nobody waited for what was answered");
        nodes.sort();
        assert_eq!(nodes, ["n1", "n2", "n3"], "each is tried once");
        assert_eq!(running.stats().bound(), 1);
        check(&cluster);
    }
}

#[tokio::test(start_paused = true)]
async fn a_provisioner_that_never_answers_is_not_waited_for_for_ever() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    let later = silent_once();
    let _played = Volumes::start(cluster.admin().clone(), Manner::default(), later);
    cluster.make(NODES, node("n1", 1_000)).await;
    cluster.make(CLAIMS, claim("c", "made", 1)).await;
    cluster.make(PODS, user("p", 800, &["c"])).await;
    cluster.until("the claim has its node", async |all| selected(all, "c").await == "n1").await;
    tokio::time::sleep(Duration::from_mins(2)).await;
    cluster.make(PODS, pod("other", 600)).await;
    is_told(&cluster, "other", "0/1 nodes are available: 1 Insufficient cpu.").await;
    // The scheduler waits for ten minutes.
    tokio::time::sleep(Duration::from_secs(470)).await;
    assert!(!has_node(&cluster, "other").await && selected(&cluster, "c").await == "n1");
    assert_eq!(node_of(&cluster, "other").await, "n1", "the room is free");
    assert!(selected(&cluster, "c").await.is_null(), "another node may be tried");
    is_told(&cluster, "p", "0/1 nodes are available: 1 Insufficient cpu.").await;
    cluster.delete(&format!("{PODS}/other"), json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!(node_of(&cluster, "p").await, "n1");
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_volume_whose_claim_is_not_completed_is_given_back() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(NODES, node("n1", 1_000)).await;
    make_available(&cluster, volume("v", 1, "n1")).await;
    let mut by_hand = volume("w", 1, "n1");
    by_hand["spec"]["claimRef"] = json!({ "namespace": "default", "name": "d" });
    make_available(&cluster, by_hand).await;
    for name in ["c", "d"] {
        cluster.make(CLAIMS, claim(name, "local", 1)).await;
        cluster.make(PODS, user(name, 100, &[name])).await;
    }
    let kept = async |all: &Cluster| {
        reserved(all, "v").await["name"] == "c" && reserved(all, "w").await["uid"].is_string()
    };
    cluster.until("the volumes are reserved", kept).await;
    let given_back = async |all: &Cluster| {
        reserved(all, "v").await.is_null() && reserved(all, "w").await["uid"].is_null()
    };
    tokio::time::sleep(Duration::from_secs(590)).await;
    assert!(!given_back(&cluster).await, "ten minutes are not over");
    cluster.until("they are given back", given_back).await;
    let back = cluster.get(&format!("{VOLUMES}/v")).await;
    assert!(back["metadata"]["annotations"]["pv.kubernetes.io/bound-by-controller"].is_null());
    assert_eq!(
        reserved(&cluster, "w").await["name"],
        "d",
        "who reserved it by hand still means it"
    );
    let _played = play(&cluster);
    assert_eq!([node_of(&cluster, "c").await, node_of(&cluster, "d").await], ["n1", "n1"]);
    assert_eq!([volume_of(&cluster, "c").await, volume_of(&cluster, "d").await], ["v", "w"]);
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn what_is_taken_back_is_taken_back_also_where_every_other_call_fails() {
    for seed in 0..6 {
        let cluster = cluster().await;
        let faults = Faults { unavailable: 300, lost: 200, ..Faults::default() };
        let environment = Arc::new(Fixed::new(NOW, seed));
        let server = Server::builder(cluster.store.clone()).environment(environment);
        let bad = Api::within(server.faults(faults).build(), caller());
        let _running = scheduler(&cluster, bad, "a");
        cluster.make(NODES, node("n1", 1_000)).await;
        make_available(&cluster, volume("v", 1, "n1")).await;
        cluster.make(CLAIMS, claim("c", "local", 1)).await;
        cluster.make(CLAIMS, claim("d", "made", 1)).await;
        cluster.make(PODS, user("p", 100, &["c", "d"])).await;
        let written = async |all: &Cluster| {
            !reserved(all, "v").await.is_null() && !selected(all, "d").await.is_null()
        };
        cluster.until("both are written", written).await;
        // Nobody wants the claims any more: what was written for this pod is not written again for it.
        cluster.delete(&format!("{PODS}/p"), json!({ "gracePeriodSeconds": 0 })).await;
        let taken_back = async |all: &Cluster| {
            reserved(all, "v").await.is_null() && selected(all, "d").await.is_null()
        };
        cluster.until("both are taken back", taken_back).await;
        check(&cluster);
    }
}

#[tokio::test(start_paused = true)]
async fn a_claim_or_a_pod_that_goes_in_the_middle_leaves_nothing_behind() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    cluster.make(NODES, node("n1", 1_000)).await;
    make_available(&cluster, volume("v", 1, "n1")).await;
    cluster.make(CLAIMS, claim("c", "local", 1)).await;
    cluster.make(PODS, user("p", 800, &["c"])).await;
    cluster.until("v is reserved", async |all| reserved(all, "v").await["name"] == "c").await;
    cluster.delete(&format!("{CLAIMS}/c"), json!({})).await;
    tokio::time::sleep(SOON).await;
    assert!(reserved(&cluster, "v").await.is_null());
    let text = "0/1 nodes are available: persistentvolumeclaim \"c\" not found. preemption: 0/1 nodes are available: 1 Preemption is \
                not helpful for scheduling.";
    is_told(&cluster, "p", text).await;
    let again = cluster.make(CLAIMS, claim("c", "local", 1)).await;
    let uid = &again["metadata"]["uid"];
    cluster.until("it is again", async |all| reserved(all, "v").await["uid"] == *uid).await;
    // The pod goes: nobody waits for the claim any more.
    cluster.delete(&format!("{PODS}/p"), json!({ "gracePeriodSeconds": 0 })).await;
    cluster.make(PODS, pod("other", 800)).await;
    assert_eq!(node_of(&cluster, "other").await, "n1", "the room is free");
    tokio::time::sleep(SOON).await;
    assert!(reserved(&cluster, "v").await.is_null());
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn pods_that_share_a_claim_do_not_take_it_from_each_other() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    let slow = |_: &str, _: &str| Fate::Makes(Duration::from_mins(1));
    let _played = Volumes::start(cluster.admin().clone(), Manner::default(), slow);
    for name in ["n1", "n2"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    cluster.make(CLAIMS, claim("c", "made", 1)).await;
    for name in ["p", "q"] {
        cluster.make(PODS, user(name, 100, &["c"])).await;
    }
    let both = async |all: &Cluster| {
        let nodes = [all.get(&format!("{PODS}/p")).await, all.get(&format!("{PODS}/q")).await];
        let [p, q] = nodes.map(|pod| pod["status"]["nominatedNodeName"].clone());
        !p.is_null() && p == q
    };
    cluster.until("both wait", both).await;
    let began = cluster.revision();
    cluster.delete(&format!("{PODS}/p"), json!({ "gracePeriodSeconds": 0 })).await;
    let at = node_of(&cluster, "q").await;
    assert_eq!(selected(&cluster, "c").await, *at);
    let log = checker::log(&cluster.store);
    let taken_back = log.iter().filter(|event| event.revision > began).any(|event| {
        event.entry.key.ends_with("/c")
            && !String::from_utf8_lossy(&event.entry.bytes).contains(SELECTED)
    });
    assert!(!taken_back, "q waited for it all the time");
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn pods_that_share_a_claim_do_not_take_turns_in_waiting_for_it_for_ever() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    let later = silent_once();
    let _played = Volumes::start(cluster.admin().clone(), Manner::default(), later);
    cluster.make(NODES, node("n1", 1_000)).await;
    cluster.make(CLAIMS, claim("c", "made", 1)).await;
    cluster.make(PODS, user("p", 100, &["c"])).await;
    // The second one begins to wait while the first one does, and so on.
    tokio::time::sleep(Duration::from_mins(5)).await;
    cluster.make(PODS, user("q", 100, &["c"])).await;
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert_eq!([node_of(&cluster, "p").await, node_of(&cluster, "q").await], ["n1", "n1"]);
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_scheduler_that_is_killed_in_the_middle_is_followed_by_one_that_goes_on() {
    let cluster = cluster().await;
    let first = scheduler(&cluster, within(&cluster), "a");
    for name in ["n1", "n2", "n3"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    make_available(&cluster, volume("v", 1, "n3")).await;
    cluster.make(CLAIMS, claim("c", "local", 1)).await;
    cluster.make(CLAIMS, claim("d", "made", 1)).await;
    cluster.make(PODS, user("p", 100, &["c"])).await;
    cluster.make(PODS, user("q", 100, &["d"])).await;
    let written = async |all: &Cluster| {
        !reserved(all, "v").await.is_null() && !selected(all, "d").await.is_null()
    };
    cluster.until("both are written", written).await;
    let chosen = selected(&cluster, "d").await;
    drop(first);
    let second = scheduler(&cluster, within(&cluster), "b");
    tokio::time::sleep(Duration::from_mins(1)).await;
    assert!(second.stats().leads());
    let _played = play(&cluster);
    assert_eq!(node_of(&cluster, "p").await, "n3");
    assert_eq!(node_of(&cluster, "q").await, chosen.as_str().unwrap(), "where it was to be made");
    assert_eq!(second.stats().bound(), 2);
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn what_a_killed_scheduler_wrote_is_taken_back_by_the_next_one() {
    let cluster = cluster().await;
    let first = scheduler(&cluster, within(&cluster), "a");
    cluster.make(NODES, node("n1", 1_000)).await;
    make_available(&cluster, volume("v", 1, "n1")).await;
    cluster.make(CLAIMS, claim("c", "local", 1)).await;
    cluster.make(CLAIMS, claim("d", "made", 1)).await;
    cluster.make(PODS, user("p", 100, &["c", "d"])).await;
    let written = async |all: &Cluster| {
        !reserved(all, "v").await.is_null() && !selected(all, "d").await.is_null()
    };
    cluster.until("both are written", written).await;
    drop(first);
    let _second = scheduler(&cluster, within(&cluster), "b");
    tokio::time::sleep(Duration::from_mins(10)).await;
    let taken_back = async |all: &Cluster| {
        reserved(all, "v").await.is_null() && selected(all, "d").await.is_null()
    };
    cluster.until("both are taken back", taken_back).await;
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_claim_for_one_pod_alone_serves_one_after_the_other() {
    let cluster = cluster().await;
    let (_running, _played) = (scheduler(&cluster, within(&cluster), "a"), play(&cluster));
    for name in ["n1", "n2"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    let mut once = claim("c", "made", 1);
    once["spec"]["accessModes"] = json!(["ReadWriteOncePod"]);
    cluster.make(CLAIMS, once).await;
    cluster.make(PODS, user("p", 100, &["c"])).await;
    cluster.make(PODS, user("q", 100, &["c"])).await;
    let at = node_of(&cluster, "p").await;
    let text = "0/2 nodes are available: 2 node(s) unavailable due to PersistentVolumeClaim with ReadWriteOncePod access mode already \
                in-use by another pod.";
    is_told(&cluster, "q", text).await;
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(!has_node(&cluster, "q").await);
    cluster.delete(&format!("{PODS}/p"), json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!(node_of(&cluster, "q").await, at, "where the volume is");
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_node_takes_no_more_volumes_of_a_driver_than_it_can() {
    let cluster = cluster().await;
    let (_running, _played) = (scheduler(&cluster, within(&cluster), "a"), play(&cluster));
    cluster.make(NODES, node("n1", 1_000)).await;
    let csi_nodes = "/apis/storage.k8s.io/v1/csinodes";
    let drivers = |count: u32| {
        json!({ "drivers": [
            { "name": "test", "nodeID": "n1", "topologyKeys": [], "allocatable": { "count": count } },
        ] })
    };
    let mut csi_node = json!({ "apiVersion": "storage.k8s.io/v1", "kind": "CSINode",
        "metadata": { "name": "n1" } });
    csi_node["spec"] = drivers(2);
    cluster.make(csi_nodes, csi_node.clone()).await;
    tokio::time::sleep(SOON).await;
    for name in ["c", "d", "e"] {
        cluster.make(CLAIMS, claim(name, "made", 1)).await;
        cluster.make(PODS, user(name, 100, &[name])).await;
    }
    for name in ["c", "d"] {
        assert_eq!(node_of(&cluster, name).await, "n1");
    }
    is_told(&cluster, "e", "0/1 nodes are available: 1 node(s) exceed max volume count.").await;
    // Who uses a volume that is there already needs no more.
    cluster.make(PODS, user("f", 100, &["d"])).await;
    assert_eq!(node_of(&cluster, "f").await, "n1");
    assert!(!has_node(&cluster, "e").await);
    cluster.delete(&format!("{PODS}/c"), json!({ "gracePeriodSeconds": 0 })).await;
    assert_eq!(node_of(&cluster, "e").await, "n1");
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn a_claim_that_is_bound_at_once_or_not_there_is_waited_for() {
    let cluster = cluster().await;
    cluster.make(CLASSES, class("now", "test", "Immediate")).await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    for name in ["n1", "n2"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    cluster.make(CLAIMS, claim("c", "now", 1)).await;
    cluster.make(PODS, user("p", 100, &["c"])).await;
    cluster.make(PODS, user("q", 100, &["d"])).await;
    let rest = "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
    for (name, why) in [
        ("p", "pod has unbound immediate PersistentVolumeClaims"),
        ("q", "persistentvolumeclaim \"d\" not found"),
    ] {
        is_told(&cluster, name, &format!("0/2 nodes are available: {why}. {rest}")).await;
    }
    assert!(selected(&cluster, "c").await.is_null(), "it is not the scheduler's");
    let mut made = volume("v", 1, "n2");
    made["spec"]["storageClassName"] = "now".into();
    made["spec"]["claimRef"] = json!({ "namespace": "default", "name": "c" });
    cluster.make(VOLUMES, made).await;
    let _played = play(&cluster);
    assert_eq!(node_of(&cluster, "p").await, "n2");
    cluster.make(CLAIMS, claim("d", "made", 1)).await;
    node_of(&cluster, "q").await;
    check(&cluster);
}

#[tokio::test(start_paused = true)]
async fn the_checker_of_claims_finds_what_is_broken() {
    let cluster = cluster().await;
    for name in ["n1", "n2"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    for name in ["v", "w"] {
        make_available(&cluster, volume(name, 1, "n1")).await;
    }
    for name in ["c", "d", "e"] {
        cluster.make(CLAIMS, claim(name, "local", 1)).await;
        cluster.make(PODS, user(name, 100, &[name])).await;
    }
    let bind = async |pod: &str, node: &str| {
        let binding = json!({ "apiVersion": "v1", "kind": "Binding", "metadata": { "name": pod },
            "target": { "kind": "Node", "name": node } });
        cluster.make(&format!("{PODS}/{pod}/binding"), binding).await;
    };
    let replayed = || volumes::check::replay(&checker::log(&cluster.store));
    let (state, _) = replayed();
    let place =
        |name: &str, there: &str| state.lets(&user(name, 100, &[name]), &node(there, 1_000));
    assert!(place("c", "n1") && !place("c", "n2") && !place("absent", "n1"));
    bind("c", "n1").await;
    // One claim gets a volume, and a pod goes where that is not; another gets the same, and a volume is kept for nothing.
    let reserved = json!({ "spec": { "claimRef": { "namespace": "default", "name": "d",
        "uid": cluster.get(&format!("{CLAIMS}/d")).await["metadata"]["uid"] } } });
    for name in ["v", "w"] {
        cluster.change(&format!("{VOLUMES}/{name}"), reserved.clone()).await;
    }
    for name in ["d", "e"] {
        let given = json!({ "metadata": { "annotations": { "pv.kubernetes.io/bind-completed": "yes" } },
            "spec": { "volumeName": "v" } });
        cluster.change(&format!("{CLAIMS}/{name}"), given).await;
    }
    bind("d", "n2").await;
    let (state, broken) = replayed();
    let text = broken.join("\n");
    assert!(text.contains("SC-4: c is bound, and c has no volume"), "{text}");
    assert!(text.contains("v is the volume of e and of d"), "{text}");
    assert!(text.contains("SC-4: d is bound, and its node does not reach that of d"), "{text}");
    assert_eq!(broken.len(), 3, "{text}");
    let left = ["w is kept for a claim that never got it", "c is used, and has no volume"];
    assert_eq!(state.left_behind(), left);
}

#[tokio::test(start_paused = true)]
async fn a_volume_that_is_made_somewhere_else_after_all_is_followed_there() {
    let cluster = cluster().await;
    let _running = scheduler(&cluster, within(&cluster), "a");
    // It takes longer than the scheduler waits, and then the volume is where it was begun.
    let manner = Manner { stubborn: true, ..Manner::default() };
    let slow = |_: &str, _: &str| Fate::Makes(Duration::from_secs(610));
    let _played = Volumes::start(cluster.admin().clone(), manner, slow);
    for name in ["n1", "n2"] {
        cluster.make(NODES, node(name, 1_000)).await;
    }
    cluster.make(CLAIMS, claim("c", "made", 1)).await;
    cluster.make(PODS, user("p", 100, &["c"])).await;
    cluster.until("it has a node", async |all| !selected(all, "c").await.is_null()).await;
    let begun = selected(&cluster, "c").await;
    tokio::time::sleep(Duration::from_mins(9)).await;
    let moved = async |all: &Cluster| {
        let now = selected(all, "c").await;
        !now.is_null() && now != begun
    };
    cluster.until("another one is tried", moved).await;
    assert_eq!(node_of(&cluster, "p").await, begun.as_str().unwrap());
    check(&cluster);
}
