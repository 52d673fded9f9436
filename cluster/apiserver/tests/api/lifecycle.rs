// SPDX-License-Identifier: Apache-2.0
//! How objects end: finalizers, time for pods, conditions, collections, namespaces; and that what a service held is free again, and
//! never two services' (invariants A).

use crate::kit::{Cluster, brief, config, pod, revision};
use berth_cluster_api::kinds::service::allocate::Ranges;
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};
use std::collections::{BTreeMap, BTreeSet};

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const PODS: &str = "/api/v1/namespaces/t1/pods";
const SERVICES: &str = "/api/v1/namespaces/t1/services";
/// The tests' time, and later.
const BEGIN: &str = "2027-01-15T08:00:00Z";

// ---- finalizers ----

async fn make_held(cluster: &Cluster, name: &str, finalizers: &[&str]) {
    let mut object = config(name, "");
    object["metadata"]["finalizers"] = json!(finalizers);
    cluster.make(CONFIGS, object).await;
}

fn hold(finalizers: &[&str]) -> Value {
    json!({ "metadata": { "finalizers": finalizers } })
}

#[tokio::test]
async fn an_object_is_gone_when_nothing_holds_it_any_more() {
    let cluster = Cluster::new().await;
    make_held(&cluster, "a", &["x.y/one", "x.y/two"]).await;
    let mut watch = cluster.admin("GET", &format!("{CONFIGS}?watch=1")).watch().await;
    let path = &format!("{CONFIGS}/a");
    let marked = cluster.admin("DELETE", path).done(200).await;
    assert_eq!(
        (
            &marked["metadata"]["deletionTimestamp"],
            &marked["metadata"]["deletionGracePeriodSeconds"]
        ),
        (&json!(BEGIN), &json!(0))
    );
    let before = cluster.store.revision();
    cluster.clock.advance(60);
    let again = cluster.admin("DELETE", path).done(200).await;
    assert_eq!(
        (cluster.store.revision(), &again["metadata"]["deletionTimestamp"]),
        (before, &json!(BEGIN)),
        "it was marked already"
    );
    let patch = |body: Value| cluster.admin("PATCH", path).merge(&body);
    for (what, body, status) in [
        ("one more", hold(&["x.y/one", "x.y/two", "x.y/three"]), 422),
        ("another", hold(&["x.y/one", "x.y/three"]), 422),
        ("no end", json!({ "metadata": { "deletionTimestamp": null } }), 200),
        (
            "a later end",
            json!({ "metadata": { "deletionTimestamp": "2030-01-01T00:00:00Z" } }),
            200,
        ),
        ("data", json!({ "data": { "text": "still there" } }), 200),
        ("one less", hold(&["x.y/two"]), 200),
    ] {
        patch(body).done(status).await;
        let metadata = cluster.get(path).await["metadata"].clone();
        assert_eq!(metadata["deletionTimestamp"], BEGIN, "{what}");
    }
    let last = patch(hold(&[])).done(200).await;
    assert!(
        last["metadata"]["finalizers"].is_null() || last["metadata"]["finalizers"] == json!([])
    );
    assert_eq!(cluster.admin("GET", path).status().await, 404);
    let words: Vec<String> = watch.ready().iter().map(|one| brief(one).0).collect();
    assert_eq!(words, ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]);
    cluster.make(CONFIGS, config("a", "a new one may come")).await;
}

#[tokio::test]
async fn a_creation_over_one_that_is_ending_says_so() {
    let cluster = Cluster::new().await;
    make_held(&cluster, "a", &["x.y/one"]).await;
    cluster.admin("DELETE", &format!("{CONFIGS}/a")).done(200).await;
    let refused = cluster.admin("POST", CONFIGS).json(&config("a", "")).done(409).await;
    assert!(refused["message"].as_str().unwrap().contains("object is being deleted"), "{refused}");
}

#[tokio::test]
async fn a_policy_is_a_finalizer_until_somebody_has_done_it() {
    let cluster = Cluster::new().await;
    for (number, (query, body, finalizers, status)) in [
        ("", json!({ "propagationPolicy": "Foreground" }), json!(["foregroundDeletion"]), 200),
        ("", json!({ "propagationPolicy": "Orphan" }), json!(["orphan"]), 200),
        ("", json!({ "orphanDependents": true }), json!(["orphan"]), 200),
        ("?propagationPolicy=Foreground", Value::Null, json!(["foregroundDeletion"]), 200),
        ("", json!({ "propagationPolicy": "Background" }), Value::Null, 200),
        ("", json!({ "orphanDependents": false }), Value::Null, 200),
        ("", Value::Null, Value::Null, 200),
        ("", json!({ "propagationPolicy": "Nothing" }), json!("there"), 422),
        (
            "",
            json!({ "propagationPolicy": "Orphan", "orphanDependents": true }),
            json!("there"),
            422,
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let name = format!("c{number}");
        cluster.make(CONFIGS, config(&name, "")).await;
        let path = format!("{CONFIGS}/{name}");
        let mut call = cluster.admin("DELETE", &format!("{path}{query}"));
        if !body.is_null() {
            call = call.json(&body);
        }
        call.done(status).await;
        if finalizers.is_null() {
            assert_eq!(cluster.admin("GET", &path).status().await, 404, "{query} {body}");
            continue;
        }
        let left = cluster.get(&path).await;
        let ending = left["metadata"]["deletionTimestamp"].is_string();
        assert_eq!(ending, status == 200, "{query} {body}");
        if status == 200 {
            assert_eq!(left["metadata"]["finalizers"], finalizers, "{query} {body}");
            cluster.admin("PATCH", &path).merge(&hold(&[])).done(200).await;
            assert_eq!(cluster.admin("GET", &path).status().await, 404, "{query} {body}");
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_lets_go_at_the_same_time_ends_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    let all: Vec<String> = (0..16).map(|number| format!("x.y/f{number}")).collect();
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    make_held(&cluster, "a", &all).await;
    let from = cluster.store.revision();
    cluster.admin("DELETE", &format!("{CONFIGS}/a")).done(200).await;
    let mut running = Vec::new();
    for own in &all {
        let (cluster, own) = (cluster.clone(), (*own).to_owned());
        running.push(tokio::spawn(async move {
            let path = format!("{CONFIGS}/a");
            loop {
                let mut object = cluster.get(&path).await;
                let finalizers = object["metadata"]["finalizers"].as_array_mut().unwrap();
                finalizers.retain(|one| *one != own);
                let status = cluster.admin("PUT", &path).json(&object).status().await;
                assert!([200, 409].contains(&status), "{status}");
                if status == 200 {
                    break;
                }
            }
        }));
    }
    for one in running {
        one.await.unwrap();
    }
    assert_eq!(cluster.admin("GET", &format!("{CONFIGS}/a")).status().await, 404);
    let path = format!("{CONFIGS}?watch=1&resourceVersion={from}");
    let words: Vec<String> =
        cluster.admin("GET", &path).watch().await.ready().iter().map(|one| brief(one).0).collect();
    assert_eq!(
        words.iter().filter(|word| *word == "MODIFIED").count(),
        16,
        "the mark, and all but the last"
    );
    assert_eq!(words.last().map(String::as_str), Some("DELETED"));
}

// ---- time for pods ----

/// A pod that runs on a node, or not yet, in a phase.
async fn running(cluster: &Cluster, name: &str, node: &str, phase: &str) -> String {
    let mut object = pod(name);
    if !node.is_empty() {
        object["spec"]["nodeName"] = node.into();
    }
    cluster.make(PODS, object).await;
    let path = format!("{PODS}/{name}");
    let status = json!({ "status": { "phase": phase } });
    cluster.admin("PATCH", &format!("{path}/status")).merge(&status).done(200).await;
    path
}

#[tokio::test]
async fn a_pod_that_runs_is_given_time_and_others_are_not() {
    let cluster = Cluster::new().await;
    for (number, (node, phase, query, left)) in [
        ("n1", "Running", "", Some((30, "08:00:30"))),
        ("n1", "Pending", "", Some((30, "08:00:30"))),
        ("n1", "Running", "?gracePeriodSeconds=5", Some((5, "08:00:05"))),
        ("n1", "Running", "?gracePeriodSeconds=600", Some((600, "08:10:00"))),
        ("n1", "Running", "?gracePeriodSeconds=-1", Some((1, "08:00:01"))),
        ("n1", "Running", "?gracePeriodSeconds=0", None),
        ("n1", "Succeeded", "", None),
        ("n1", "Failed", "", None),
        ("", "Pending", "", None),
    ]
    .into_iter()
    .enumerate()
    {
        let path = running(&cluster, &format!("p{number}"), node, phase).await;
        cluster.admin("DELETE", &format!("{path}{query}")).done(200).await;
        let what = format!("{node} {phase} {query}");
        let Some((seconds, time)) = left else {
            assert_eq!(cluster.admin("GET", &path).status().await, 404, "{what}");
            continue;
        };
        let metadata = cluster.get(&path).await["metadata"].clone();
        assert_eq!(metadata["deletionGracePeriodSeconds"], seconds, "{what}");
        assert_eq!(metadata["deletionTimestamp"], format!("2027-01-15T{time}Z"), "{what}");
        // The agent says that it has ended.
        cluster.admin("DELETE", &format!("{path}?gracePeriodSeconds=0")).done(200).await;
        assert_eq!(cluster.admin("GET", &path).status().await, 404, "{what}");
    }
}

/// A pod that goes at once is marked first. An agent that sees the mark may be faster than whoever set it.
#[tokio::test]
async fn who_marked_a_pod_is_told_that_it_is_gone_whoever_ended_it() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    let mut raced = 0;
    for number in 0..20 {
        let path = running(&cluster, &format!("p{number}"), "n1", "Succeeded").await;
        let person = async { cluster.admin("DELETE", &path).done(200).await };
        let agent = async {
            loop {
                let reply = cluster.admin("GET", &path).reply().await;
                if reply.status == 404 {
                    return 0;
                }
                if reply.value()["metadata"]["deletionTimestamp"].is_string() {
                    let end = cluster.admin("DELETE", &format!("{path}?gracePeriodSeconds=0"));
                    return u32::from(end.status().await == 200);
                }
                tokio::task::yield_now().await;
            }
        };
        let (_, first) = tokio::join!(person, agent);
        raced += first;
        assert_eq!(cluster.admin("GET", &path).status().await, 404);
    }
    assert!(raced > 0, "the agent was never in between");
}

#[tokio::test]
async fn the_end_of_a_pod_may_come_earlier_and_not_later() {
    let cluster = Cluster::new().await;
    let path = running(&cluster, "p", "n1", "Running").await;
    let delete =
        |seconds: u32| cluster.admin("DELETE", &format!("{path}?gracePeriodSeconds={seconds}"));
    for (seconds, grace, time) in
        [(60, 60, "08:01:00"), (90, 60, "08:01:00"), (20, 20, "08:00:20"), (60, 20, "08:00:20")]
    {
        delete(seconds).done(200).await;
        let metadata = cluster.get(&path).await["metadata"].clone();
        assert_eq!(metadata["deletionGracePeriodSeconds"], grace, "{seconds}");
        assert_eq!(metadata["deletionTimestamp"], format!("2027-01-15T{time}Z"), "{seconds}");
        cluster.clock.advance(1);
    }
    let binding =
        json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n2" } });
    assert_eq!(
        cluster.admin("POST", &format!("{path}/binding")).json(&binding).status().await,
        409
    );
    // A finalizer holds a pod that has no time left.
    cluster
        .make(PODS, {
            let mut object = pod("q");
            object["metadata"]["finalizers"] = json!(["x.y/z"]);
            object
        })
        .await;
    let held = format!("{PODS}/q");
    cluster.admin("DELETE", &held).done(200).await;
    assert_eq!(cluster.get(&held).await["metadata"]["deletionGracePeriodSeconds"], 0);
    cluster.admin("PATCH", &held).merge(&hold(&[])).done(200).await;
    assert_eq!(cluster.admin("GET", &held).status().await, 404);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_pod_ends_once_however_many_end_it() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    for round in 0..10 {
        let path = running(&cluster, &format!("p{round}"), "", "Pending").await;
        let from = cluster.store.revision();
        let calls: Vec<_> =
            (0..16).map(|_| tokio::spawn(cluster.admin("DELETE", &path).status())).collect();
        let mut fine = 0;
        for call in calls {
            let status = call.await.unwrap();
            assert!([200, 404].contains(&status), "{status}");
            fine += usize::from(status == 200);
        }
        assert!(fine > 0);
        let watch = format!("{PODS}?watch=1&resourceVersion={from}");
        let events = cluster.admin("GET", &watch).watch().await.ready();
        let words: Vec<String> = events.iter().map(|one| brief(one).0).collect();
        assert_eq!(words, ["MODIFIED", "DELETED"], "the mark, and the end");
    }
}

// ---- conditions ----

#[tokio::test]
async fn a_condition_that_does_not_hold_ends_nothing() {
    let cluster = Cluster::new().await;
    let old = cluster.make(CONFIGS, config("a", "")).await;
    let path = &format!("{CONFIGS}/a");
    cluster.admin("PATCH", path).merge(&json!({ "data": { "text": "x" } })).done(200).await;
    let now = cluster.get(path).await;
    let (uid, version) = (&now["metadata"]["uid"], &now["metadata"]["resourceVersion"]);
    let delete = |conditions: Value| {
        cluster.admin("DELETE", path).json(&json!({ "preconditions": conditions }))
    };
    for (conditions, status) in [
        (json!({ "uid": "other" }), 409),
        (json!({ "resourceVersion": old["metadata"]["resourceVersion"] }), 409),
        (json!({ "uid": uid, "resourceVersion": "1" }), 409),
        (json!({ "uid": "other", "resourceVersion": version }), 409),
        (json!({ "uid": uid, "resourceVersion": version }), 200),
    ] {
        let before = cluster.store.revision();
        delete(conditions.clone()).done(status).await;
        let stored = cluster.store.revision() - before;
        assert_eq!(stored, u64::from(status == 200), "{conditions}");
    }
    // Another object of the name is not the one that was meant.
    cluster.make(CONFIGS, config("a", "")).await;
    delete(json!({ "uid": uid })).done(409).await;
    let mut stale = now.clone();
    stale["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    assert_eq!(cluster.admin("PUT", path).json(&stale).status().await, 409);
    cluster.admin("DELETE", &format!("{CONFIGS}/none")).done(404).await;
}

// ---- collections ----

fn names(list: &Value) -> Vec<String> {
    let items = list["items"].as_array().unwrap().iter();
    items.map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test]
async fn of_a_collection_what_is_selected_goes() {
    let cluster = Cluster::new().await;
    for number in 0..6 {
        let mut object = config(&format!("c{number}"), "");
        object["metadata"]["labels"] = json!({ "even": (number % 2 == 0).to_string() });
        cluster.make(CONFIGS, object).await;
    }
    make_held(&cluster, "held", &["x.y/z"]).await;
    cluster.make("/api/v1/namespaces/default/configmaps", config("c0", "")).await;
    let delete = |query: &str| cluster.admin("DELETE", &format!("{CONFIGS}{query}"));
    let gone = delete("?labelSelector=even%3Dtrue").done(200).await;
    assert_eq!(names(&gone), ["c0", "c2", "c4"]);
    assert_eq!(names(&cluster.get(CONFIGS).await), ["c1", "c3", "c5", "held"]);
    let gone = delete("?fieldSelector=metadata.name%3Dc3").done(200).await;
    assert_eq!(names(&gone), ["c3"]);
    let gone = delete("?limit=1").done(200).await;
    assert_eq!(
        (names(&gone), names(&cluster.get(CONFIGS).await)),
        (vec!["c1".to_owned()], vec!["c5".to_owned(), "held".to_owned()])
    );
    assert!(gone["metadata"]["continue"].is_string());
    delete("").done(200).await;
    let left = cluster.get(CONFIGS).await;
    assert_eq!(names(&left), ["held"]);
    assert!(left["items"][0]["metadata"]["deletionTimestamp"].is_string());
    assert_eq!(names(&cluster.get("/api/v1/namespaces/default/configmaps").await), ["c0"]);
    for (path, status) in [("/api/v1/configmaps", 405), ("/api/v1/namespaces", 405)] {
        assert_eq!(cluster.admin("DELETE", path).status().await, status, "{path}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_collection_goes_whoever_else_deletes_it() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    for number in 0..40 {
        cluster.make(CONFIGS, config(&format!("c{number:02}"), "")).await;
    }
    let mut calls: Vec<_> =
        (0..4).map(|_| tokio::spawn(cluster.admin("DELETE", CONFIGS).status())).collect();
    for number in (0..40).step_by(3) {
        let call = cluster.admin("DELETE", &format!("{CONFIGS}/c{number:02}"));
        calls.push(tokio::spawn(async move {
            let status = call.status().await;
            assert!([200, 404].contains(&status));
            200
        }));
    }
    for call in calls {
        assert_eq!(call.await.unwrap(), 200);
    }
    assert_eq!(names(&cluster.get(CONFIGS).await), Vec::<String>::new());
}

// ---- namespaces ----

#[tokio::test]
async fn in_a_namespace_that_ends_nothing_begins() {
    let cluster = Cluster::new().await;
    cluster.make(CONFIGS, config("old", "")).await;
    let ended = cluster.admin("DELETE", "/api/v1/namespaces/t1").reply().await;
    assert!([200, 202].contains(&ended.status));
    let namespace = cluster.get("/api/v1/namespaces/t1").await;
    assert_eq!(namespace["status"]["phase"], "Terminating");
    let endpoints = "/api/v1/namespaces/t1/endpoints";
    let service = json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } });
    for (call, what) in [
        (cluster.admin("POST", CONFIGS).json(&config("new", "")), "POST"),
        (
            cluster.admin("POST", &format!("{CONFIGS}?dryRun=All")).json(&config("new", "")),
            "a dry run",
        ),
        (cluster.admin("POST", PODS).json(&pod("new")), "a pod"),
        (cluster.admin("POST", SERVICES).json(&service), "a service"),
        (
            cluster
                .admin("PUT", &format!("{endpoints}/e"))
                .json(&json!({ "metadata": { "name": "e" } })),
            "PUT",
        ),
    ] {
        let refused = call.done(403).await;
        assert_eq!(refused["details"]["causes"][0]["reason"], "NamespaceTerminating", "{what}");
    }
    assert_eq!(
        cluster
            .admin("POST", "/api/v1/namespaces/none/configmaps")
            .json(&config("a", ""))
            .status()
            .await,
        404
    );
    // What is there can still be changed and deleted, or nothing would ever end.
    cluster
        .admin("PATCH", &format!("{CONFIGS}/old"))
        .merge(&json!({ "data": { "a": "b" } }))
        .done(200)
        .await;
    cluster.admin("DELETE", &format!("{CONFIGS}/old")).done(200).await;
    let mut done = cluster.get("/api/v1/namespaces/t1").await;
    done["spec"]["finalizers"] = json!([]);
    cluster.admin("PUT", "/api/v1/namespaces/t1/finalize").json(&done).done(200).await;
    let gone = cluster.admin("GET", "/api/v1/namespaces/t1").status().await;
    if gone == 200 {
        cluster.admin("DELETE", "/api/v1/namespaces/t1").done(200).await;
    }
    assert_eq!(cluster.admin("GET", "/api/v1/namespaces/t1").status().await, 404);
    assert_eq!(cluster.admin("POST", CONFIGS).json(&config("new", "")).status().await, 404);
    for name in ["default", "kube-system", "kube-public"] {
        assert_eq!(
            cluster.admin("DELETE", &format!("/api/v1/namespaces/{name}")).status().await,
            403
        );
    }
}

/// Creates objects until it is told that it is too late; how many.
async fn create_until_refused(cluster: Cluster, writer: usize) -> usize {
    let mut done = 0;
    loop {
        let call = if done % 2 == 0 {
            cluster.admin("POST", CONFIGS).json(&config(&format!("w{writer}-{done}"), ""))
        } else {
            let object = json!({ "metadata": { "name": format!("w{writer}-{done}") } });
            let path = format!("/api/v1/namespaces/t1/endpoints/w{writer}-{done}");
            cluster.admin("PUT", &path).json(&object)
        };
        match call.status().await {
            201 => done += 1,
            403 => return done,
            other => unreachable!("neither made nor refused: {other}"),
        }
    }
}

async fn check_ending(cluster: Cluster) {
    let writers: Vec<_> =
        (0..16).map(|writer| tokio::spawn(create_until_refused(cluster.clone(), writer))).collect();
    while cluster.store.stats().objects < 200 {
        tokio::task::yield_now().await;
    }
    let ended = cluster.admin("DELETE", "/api/v1/namespaces/t1").reply().await;
    assert!([200, 202].contains(&ended.status), "{}", ended.text());
    let end = revision(&ended.value());
    let mut made = 0;
    for writer in writers {
        made += writer.await.unwrap();
    }
    let mut all = Vec::new();
    for path in [CONFIGS, "/api/v1/namespaces/t1/endpoints"] {
        all.extend(cluster.get(path).await["items"].as_array().unwrap().clone());
    }
    assert_eq!(all.len(), made, "what was acknowledged is there");
    let late: Vec<&Value> = all.iter().filter(|one| revision(one) > end).collect();
    assert!(late.is_empty(), "made after {end}: {late:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_creation_slips_into_a_namespace_that_ends_in_memory() {
    check_ending(Cluster::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_creation_slips_into_a_namespace_that_ends_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    check_ending(Cluster::on_disk(&folder).await).await;
}

// ---- addresses and ports ----

fn service(name: &str, kind: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "type": kind, "ports": [{ "port": 80 }] } })
}

/// 62 addresses and 40 ports: few enough to be fought for.
fn narrow() -> Ranges {
    Ranges { cluster_ips: "10.9.0.0/26".parse().unwrap(), node_ports: 30_000..=30_039 }
}

/// The address and the ports of a service.
fn held(service: &Value) -> Vec<String> {
    let spec = &service["spec"];
    let mut all: Vec<String> =
        spec["clusterIPs"].as_array().into_iter().flatten().map(Value::to_string).collect();
    let ports = spec["ports"].as_array().into_iter().flatten();
    all.extend(ports.map(|port| port["nodePort"].to_string()).filter(|port| port != "null"));
    all
}

/// Creates a service, changes its type, and deletes it, again and again. Who finds nothing free tries again.
async fn churn(cluster: Cluster, writer: usize) {
    for round in 0..4 {
        let name = format!("s{writer}");
        let kind = if (writer + round).is_multiple_of(2) { "NodePort" } else { "ClusterIP" };
        let path = format!("{SERVICES}/{name}");
        let reply = cluster.admin("POST", SERVICES).json(&service(&name, kind)).reply().await;
        if reply.status != 201 {
            assert!([422, 500].contains(&reply.status), "{}", reply.text());
            continue;
        }
        let other = if kind == "NodePort" { "ClusterIP" } else { "NodePort" };
        let patch = json!({ "spec": { "type": other } });
        let reply = cluster.admin("PATCH", &path).merge(&patch).reply().await;
        assert!([200, 422, 500].contains(&reply.status), "{}", reply.text());
        if round < 3 {
            cluster.admin("DELETE", &path).done(200).await;
        }
    }
}

/// Replays the events: at no revision do two services hold the same.
fn check_held(events: &[Value]) -> BTreeMap<String, Vec<String>> {
    let mut services: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for event in events {
        let (word, name, at) = brief(event);
        services.remove(&name);
        if word == "DELETED" {
            continue;
        }
        let own = held(&event["object"]);
        for (other, all) in &services {
            let both: Vec<&String> = own.iter().filter(|one| all.contains(one)).collect();
            assert!(both.is_empty(), "at {at} {name} and {other} hold {both:?}");
        }
        services.insert(name, own);
    }
    services
}

async fn check_services(store: Store) {
    let cluster = Cluster::with(store, |builder| builder.ranges(narrow())).await;
    let from = cluster.store.revision();
    let writers: Vec<_> = (0..64).map(|n| tokio::spawn(churn(cluster.clone(), n))).collect();
    for writer in writers {
        writer.await.unwrap();
    }
    let path = format!("{SERVICES}?watch=1&resourceVersion={from}");
    let events = cluster.admin("GET", &path).watch().await.ready();
    let services = check_held(&events);
    assert!(events.len() > 300, "{} events", events.len());
    // What is held is reserved, and nothing else is: the rest is free for others.
    let reserved = cluster.store.list("reserved/", None, None, 0, &|_| true).unwrap();
    let held: BTreeSet<&String> = services.values().flatten().collect();
    assert_eq!(reserved.entries.len(), held.len());
    cluster.admin("DELETE", SERVICES).done(200).await;
    let reserved = cluster.store.list("reserved/", None, None, 0, &|_| true).unwrap();
    assert_eq!(reserved.entries.len(), 0, "all is free again");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_services_hold_the_same_in_memory() {
    check_services(Store::memory(Options::default())).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_two_services_hold_the_same_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    let spec = format!("sled:{}", folder.path().display());
    check_services(
        Store::open(&spec, berth_cluster_apiserver::read_meta(), Options::default()).unwrap(),
    )
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn an_address_that_many_ask_for_is_given_once() {
    let folder = tempfile::tempdir().unwrap();
    let cluster = Cluster::on_disk(&folder).await;
    let mut calls = Vec::new();
    for number in 0..16 {
        let mut object = service(&format!("s{number}"), "NodePort");
        object["spec"]["clusterIP"] = "10.0.0.9".into();
        object["spec"]["ports"][0]["nodePort"] = (30_000 + number % 2).into();
        calls.push(tokio::spawn(cluster.admin("POST", SERVICES).json(&object).reply()));
    }
    let mut made = 0;
    for call in calls {
        let reply = call.await.unwrap();
        assert!([201, 422].contains(&reply.status), "{}", reply.text());
        made += usize::from(reply.status == 201);
    }
    assert_eq!(made, 1);
}

#[tokio::test]
async fn a_service_that_is_let_go_and_changed_at_once_leaves_nothing_behind() {
    let cluster = Cluster::new().await;
    let mut object = service("s", "NodePort");
    object["metadata"]["finalizers"] = json!(["x.y/z"]);
    object["spec"]["ports"][0]["nodePort"] = 30_100.into();
    cluster.make(SERVICES, object).await;
    let path = format!("{SERVICES}/s");
    cluster.admin("DELETE", &path).done(200).await;
    let last = json!({ "metadata": { "finalizers": null }, "spec": { "type": "ClusterIP" } });
    cluster.admin("PATCH", &path).merge(&last).done(200).await;
    assert_eq!(cluster.admin("GET", &path).status().await, 404);
    let reserved = cluster.store.list("reserved/", None, None, 0, &|_| true).unwrap();
    let left: Vec<&str> = reserved.entries.iter().map(|entry| &*entry.key).collect();
    assert_eq!(left, Vec::<&str>::new());
}
