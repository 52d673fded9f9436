// SPDX-License-Identifier: Apache-2.0
//! Simulated nodes before this server: they are Nodes like any, run what is bound to them, fail, come back, and are taken over.

use crate::kit::{Cluster, NOW, pod, rule};
use berth_cluster_apiserver::{Caller, Faults, Server};
use berth_cluster_auth::user::{MASTERS, NODE_PREFIX, NODES, User};
use berth_cluster_client::{Api, Clock};
use berth_cluster_hollow::{DURATION, EXIT_CODE, Hollow, Identity, Options, Outage, SILENT, USAGE};
use berth_cluster_json::{Value, json};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

const PODS: &str = "/api/v1/namespaces/t1/pods";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";

fn api(server: &Server) -> Api {
    let user = User::authenticated("simulation", "", vec![MASTERS.to_owned()]);
    Api::within(server.clone(), Caller(user))
}

fn options(nodes: u32) -> Options {
    Options { nodes, clock: Clock::counted(NOW * 1_000_000), ..Options::default() }
}

/// A pod is made and bound, by hand.
async fn bound(cluster: &Cluster, name: &str, node: &str, policy: &str, notes: &Value) {
    let mut one = pod(name);
    one["metadata"]["annotations"] = notes.clone();
    one["spec"]["restartPolicy"] = policy.into();
    cluster.make(PODS, one).await;
    let binding = json!({
        "apiVersion": "v1", "kind": "Binding", "metadata": { "name": name },
        "target": { "kind": "Node", "name": node },
    });
    cluster.make(&format!("{PODS}/{name}/binding"), binding).await;
}

async fn status(cluster: &Cluster, name: &str) -> Value {
    cluster.get(&format!("{PODS}/{name}")).await["status"].clone()
}

fn condition<'a>(status: &'a Value, kind: &str) -> &'a Value {
    let mut all = status["conditions"].as_array().unwrap().iter();
    all.find(|one| one["type"] == kind).unwrap_or_else(|| panic!("{kind}: {status}"))
}

async fn renewed(cluster: &Cluster, node: &str) -> String {
    let lease = cluster.get(&format!("{LEASES}/{node}")).await;
    lease["spec"]["renewTime"].as_str().unwrap().to_owned()
}

async fn seconds(seconds: u64) {
    sleep(Duration::from_secs(seconds)).await;
}

#[tokio::test(start_paused = true)]
async fn nodes_register_and_renew_their_leases_one_after_the_other() {
    let cluster = Cluster::new().await;
    let hollow = Hollow::start(api(&cluster.server), options(20));
    hollow.registered().await;
    seconds(30).await;
    let node = cluster.get("/api/v1/nodes/sim-00004").await;
    let labels = &node["metadata"]["labels"];
    assert_eq!(labels["kubernetes.io/hostname"], "sim-00004");
    assert_eq!(labels["topology.kubernetes.io/zone"], "zone-b");
    assert_eq!(labels["berth.dev/simulated"], "true");
    assert_eq!(node["status"]["allocatable"]["pods"], "110");
    assert_eq!(condition(&node["status"], "Ready")["reason"], "KubeletReady");
    let version = node["status"]["nodeInfo"]["kubeletVersion"].as_str().unwrap();
    assert!(version.contains("simulated"), "{version}");
    let mut times = BTreeSet::new();
    for number in 0..20 {
        let name = format!("sim-{number:05}");
        let lease = cluster.get(&format!("{LEASES}/{name}")).await;
        assert_eq!(lease["spec"]["holderIdentity"], name);
        assert_eq!(lease["metadata"]["ownerReferences"][0]["name"], name);
        let time = lease["spec"]["renewTime"].as_str().unwrap().to_owned();
        assert!(("2027-01-15T08:00:19".."2027-01-15T08:00:31").contains(&&*time), "{time}");
        times.insert(time);
    }
    assert!(times.len() >= 19, "they are spread: {times:?}");
    // Conditions are told every five minutes.
    let before = node["metadata"]["resourceVersion"].clone();
    seconds(600).await;
    let node = cluster.get("/api/v1/nodes/sim-00004").await;
    assert_ne!(node["metadata"]["resourceVersion"], before);
    let ready = condition(&node["status"], "Ready");
    assert!(ready["lastHeartbeatTime"].as_str().unwrap() > "2027-01-15T08:05:00Z");
    assert!(ready["lastTransitionTime"].as_str().unwrap() < "2027-01-15T08:00:10Z");
    hollow.stop().await;
    let before = renewed(&cluster, "sim-00004").await;
    seconds(60).await;
    assert_eq!(renewed(&cluster, "sim-00004").await, before, "it has stopped");
}

#[tokio::test(start_paused = true)]
async fn what_is_bound_runs_ends_fails_and_goes() {
    let cluster = Cluster::new().await;
    let hollow = Hollow::start(api(&cluster.server), options(3));
    hollow.registered().await;
    let mut watch = cluster.admin("GET", &format!("{PODS}?watch=true")).watch().await;
    bound(&cluster, "serves", "sim-00000", "Always", &json!({ USAGE: "cpu=1" })).await;
    seconds(5).await;
    let writes: Vec<_> = watch.ready().iter().map(|event| event["type"].clone()).collect();
    assert_eq!(writes, ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED"], "bound, and two of the node");
    assert_eq!(hollow.usage("t1", "serves").as_deref(), Some("cpu=1"));
    let serves = status(&cluster, "serves").await;
    assert_eq!(serves["phase"], "Running");
    assert_eq!(serves["podIP"], "10.128.0.1");
    assert_eq!(serves["hostIP"], "172.16.0.1");
    for kind in
        ["PodReadyToStartContainers", "Initialized", "ContainersReady", "Ready", "PodScheduled"]
    {
        assert_eq!(condition(&serves, kind)["status"], "True", "{kind}");
    }
    assert_eq!(serves["containerStatuses"][0]["ready"], true);
    // Work ends well, or not.
    let work = json!({ DURATION: "5s" });
    bound(&cluster, "works", "sim-00001", "Never", &work).await;
    let fails = json!({ DURATION: "5s", EXIT_CODE: "3" });
    bound(&cluster, "fails", "sim-00001", "Never", &fails).await;
    bound(&cluster, "crashes", "sim-00001", "Always", &fails).await;
    seconds(3).await;
    assert_eq!(status(&cluster, "works").await["phase"], "Running");
    seconds(27).await;
    assert_eq!(status(&cluster, "works").await["phase"], "Succeeded");
    let fails = status(&cluster, "fails").await;
    assert_eq!(fails["phase"], "Failed");
    assert_eq!(fails["containerStatuses"][0]["state"]["terminated"]["exitCode"], 3);
    let crashes = status(&cluster, "crashes").await;
    let container = &crashes["containerStatuses"][0];
    assert!(container["restartCount"].as_u64().unwrap() >= 1, "{container}");
    assert_eq!(container["lastState"]["terminated"]["exitCode"], 3);
    // They go when they are told to, and their addresses are free.
    for name in ["serves", "works", "fails", "crashes"] {
        let reply = cluster.admin("DELETE", &format!("{PODS}/{name}")).reply().await;
        assert_eq!(reply.status, 200, "{}", reply.text());
    }
    assert_eq!(status(&cluster, "serves").await["phase"], "Running", "not at once");
    seconds(3).await;
    let left = cluster.get(PODS).await;
    assert_eq!(left["items"].as_array().unwrap().len(), 0, "{left}");
    bound(&cluster, "next", "sim-00000", "Always", &Value::Null).await;
    seconds(3).await;
    assert_eq!(status(&cluster, "next").await["podIP"], "10.128.0.1");
    // A pod of another node is not theirs.
    bound(&cluster, "other", "sim-00003", "Always", &Value::Null).await;
    seconds(60).await;
    assert_eq!(status(&cluster, "other").await["phase"], "Pending");
}

#[tokio::test(start_paused = true)]
async fn nodes_crash_and_recover_and_a_program_takes_over_from_another() {
    let cluster = Cluster::new().await;
    let outage = Outage {
        nodes: 2..3,
        from: Duration::from_secs(100),
        until: Some(Duration::from_secs(200)),
    };
    let options = Options { outages: vec![outage], ..options(3) };
    let hollow = Hollow::start(api(&cluster.server), options.clone());
    hollow.registered().await;
    bound(&cluster, "runs", "sim-00000", "Always", &Value::Null).await;
    bound(&cluster, "works", "sim-00000", "Never", &json!({ DURATION: "90s" })).await;
    seconds(20).await;
    hollow.crash(1..2);
    seconds(1).await;
    let (one, two) = (renewed(&cluster, "sim-00001").await, renewed(&cluster, "sim-00000").await);
    bound(&cluster, "late", "sim-00001", "Always", &Value::Null).await;
    seconds(30).await;
    assert_eq!(renewed(&cluster, "sim-00001").await, one);
    assert_ne!(renewed(&cluster, "sim-00000").await, two);
    assert!(status(&cluster, "late").await.get("startTime").is_none());
    // Somebody finds that it is not well.
    let unknown = json!({ "status": { "conditions": [{ "type": "Ready", "status": "Unknown" }] } });
    let path = "/api/v1/nodes/sim-00001/status";
    let patch = "application/strategic-merge-patch+json";
    cluster.admin("PATCH", path).bytes(patch, unknown.to_string()).done(200).await;
    seconds(10).await;
    let node = cluster.get("/api/v1/nodes/sim-00001").await;
    assert_eq!(condition(&node["status"], "Ready")["status"], "Unknown");
    hollow.recover(1..2);
    seconds(3).await;
    let node = cluster.get("/api/v1/nodes/sim-00001").await;
    assert_eq!(condition(&node["status"], "Ready")["status"], "True");
    assert_eq!(status(&cluster, "late").await["phase"], "Running");
    assert_ne!(renewed(&cluster, "sim-00001").await, one);
    // One that was planned.
    seconds(60).await;
    let three = renewed(&cluster, "sim-00002").await;
    seconds(60).await;
    assert_eq!(renewed(&cluster, "sim-00002").await, three);
    seconds(60).await;
    assert_ne!(renewed(&cluster, "sim-00002").await, three);
    assert_eq!(status(&cluster, "works").await["phase"], "Succeeded");
    // The next program goes on where this one was.
    let before = (cluster.get("/api/v1/nodes/sim-00000").await, status(&cluster, "runs").await);
    bound(&cluster, "soon", "sim-00000", "Never", &json!({ DURATION: "60s" })).await;
    seconds(5).await;
    hollow.stop().await;
    bound(&cluster, "between", "sim-00000", "Always", &Value::Null).await;
    let end = cluster.admin("DELETE", &format!("{PODS}/late")).reply().await;
    assert_eq!(end.status, 200);
    seconds(20).await;
    let options = Options { outages: Vec::new(), ..options };
    let hollow = Hollow::start(api(&cluster.server), options);
    hollow.registered().await;
    seconds(15).await;
    let after = (cluster.get("/api/v1/nodes/sim-00000").await, status(&cluster, "runs").await);
    assert_eq!(after.0["metadata"]["uid"], before.0["metadata"]["uid"]);
    assert_eq!(after.1, before.1);
    let between = status(&cluster, "between").await;
    assert_eq!(between["phase"], "Running");
    assert_ne!(between["podIP"], before.1["podIP"]);
    assert_eq!(cluster.admin("GET", &format!("{PODS}/late")).status().await, 404);
    assert_eq!(status(&cluster, "soon").await["phase"], "Running");
    seconds(25).await;
    assert_eq!(status(&cluster, "soon").await["phase"], "Succeeded", "60 s from its start");
}

/// Tells a node to be silent, or not any more.
async fn silence(cluster: &Cluster, node: &str, wanted: Value) {
    let patch = json!({ "metadata": { "annotations": { SILENT: wanted } } }).to_string();
    let path = format!("/api/v1/nodes/{node}");
    cluster.admin("PATCH", &path).bytes("application/merge-patch+json", patch).done(200).await;
}

#[tokio::test(start_paused = true)]
async fn a_node_that_is_told_to_be_silent_is_so_until_it_is_told_otherwise() {
    let cluster = Cluster::new().await;
    let hollow = Hollow::start(api(&cluster.server), options(2));
    hollow.registered().await;
    seconds(20).await;
    silence(&cluster, "sim-00001", "true".into()).await;
    seconds(1).await;
    let (zero, one) = (renewed(&cluster, "sim-00000").await, renewed(&cluster, "sim-00001").await);
    bound(&cluster, "late", "sim-00001", "Always", &Value::Null).await;
    seconds(60).await;
    assert_ne!(renewed(&cluster, "sim-00000").await, zero, "the other one goes on");
    assert_eq!(renewed(&cluster, "sim-00001").await, one);
    assert!(status(&cluster, "late").await.get("startTime").is_none());
    // The next program is told by the same word.
    hollow.stop().await;
    let hollow = Hollow::start(api(&cluster.server), options(2));
    seconds(60).await;
    assert_eq!(renewed(&cluster, "sim-00001").await, one);
    silence(&cluster, "sim-00001", Value::Null).await;
    seconds(15).await;
    assert_ne!(renewed(&cluster, "sim-00001").await, one);
    assert_eq!(status(&cluster, "late").await["phase"], "Running");
    // One that is removed while it is silent does not come back.
    silence(&cluster, "sim-00000", "true".into()).await;
    cluster.admin("DELETE", "/api/v1/nodes/sim-00000").done(200).await;
    seconds(60).await;
    assert_eq!(cluster.admin("GET", "/api/v1/nodes/sim-00000").status().await, 404);
    hollow.stop().await;
}

#[tokio::test(start_paused = true)]
async fn what_an_agent_would_answer_is_refused_in_words_that_say_why() {
    let cluster = Cluster::new().await;
    let hollow = Hollow::start(api(&cluster.server), options(1));
    hollow.registered().await;
    let said = async |method: &str, path: &str| {
        let reply = cluster.admin(method, &format!("{PODS}/{path}")).reply().await;
        (reply.status, reply.text())
    };
    cluster.make(PODS, pod("waits")).await;
    bound(&cluster, "runs", "sim-00000", "Always", &Value::Null).await;
    bound(&cluster, "other", "real", "Always", &Value::Null).await;
    for (method, path, code, words) in [
        ("GET", "none/log", 404, "pods \\\"none\\\" not found"),
        ("GET", "waits/log", 400, "pod waits does not have a host assigned"),
        (
            "GET",
            "runs/log?follow=true",
            501,
            "simulated node sim-00000, where nothing runs: there is no log",
        ),
        ("POST", "runs/exec?command=ls", 501, "there is nothing that a command could be run in"),
        ("GET", "runs/attach", 501, "there is nothing to attach to"),
        ("POST", "runs/portforward", 501, "there is no port to forward to"),
        ("GET", "other/log", 501, "on node real, and this server does not call agents"),
        ("GET", "runs/nothing", 404, "could not find the requested resource"),
    ] {
        let (status, text) = said(method, path).await;
        assert!(status == code && text.contains(words), "{method} {path}: {status} {text}");
        assert!(text.contains("\"kind\":\"Status\""), "{method} {path}: {text}");
    }
    hollow.stop().await;
}

#[tokio::test(start_paused = true)]
async fn each_node_may_call_as_itself() {
    let cluster = Cluster::new().await;
    // Who drives them sees, and writes nothing.
    cluster.grant("driver", "", rule(&["nodes", "pods"], &["list", "watch"])).await;
    let driver = User::authenticated("driver", "", Vec::new());
    let door = Api::within(cluster.server.clone(), Caller(driver));
    let refused = door.post("/api/v1/nodes", "{}".into()).await;
    assert_eq!(refused.unwrap_err().code(), Some(403));
    let identity = {
        let door = door.clone();
        Identity(Arc::new(move |name: &str| {
            let groups = vec![NODES.to_owned(), MASTERS.to_owned()];
            let user = User::authenticated(&format!("{NODE_PREFIX}{name}"), "", groups);
            door.clone().with_caller(Caller(user))
        }))
    };
    let options = Options { identity: Some(identity), ..options(5) };
    let hollow = Hollow::start(door, options);
    hollow.registered().await;
    bound(&cluster, "runs", "sim-00004", "Always", &Value::Null).await;
    seconds(15).await;
    assert_eq!(status(&cluster, "runs").await["phase"], "Running");
    assert_eq!(cluster.get(LEASES).await["items"].as_array().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn all_run_and_all_go_before_a_server_that_fails() {
    let cluster = Cluster::new().await;
    let faults = Faults {
        unavailable: 100,
        too_many: 50,
        slow: 200,
        lost: 100,
        delay: Duration::from_millis(700),
    };
    let bad = Server::builder(cluster.store.clone()).faults(faults).build();
    let hollow = Hollow::start(api(&bad), options(30));
    hollow.registered().await;
    for number in 0..300 {
        let node = format!("sim-{:05}", number % 30);
        bound(&cluster, &format!("p{number}"), &node, "Always", &Value::Null).await;
    }
    seconds(300).await;
    let pods = cluster.get(PODS).await;
    let mut addresses = BTreeSet::new();
    for one in pods["items"].as_array().unwrap() {
        assert_eq!(one["status"]["phase"], "Running", "{one}");
        assert!(addresses.insert(one["status"]["podIP"].to_string()), "{one}");
        let name = one["metadata"]["name"].as_str().unwrap();
        cluster.admin("DELETE", &format!("{PODS}/{name}")).done(200).await;
    }
    assert_eq!(addresses.len(), 300);
    seconds(300).await;
    assert_eq!(cluster.get(PODS).await["items"].as_array().unwrap().len(), 0);
    let nodes = cluster.get("/api/v1/nodes").await;
    assert_eq!(nodes["items"].as_array().unwrap().len(), 30);
}
