// SPDX-License-Identifier: Apache-2.0
//! Writes (invariants A): of racing ones each takes effect or is told that it did not; and what is not to change, stays. How objects
//! end is tried in `lifecycle.rs`, who may write what in `attacks.rs`.

use crate::kit::{Call, Cluster, Reply, config, pod, revision};
use crate::tier::Row;
use berth_cluster_apiserver::{Environment, Moment};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

const CONFIGS: &str = "/api/v1/namespaces/t1/configmaps";
const PODS: &str = "/api/v1/namespaces/t1/pods";
const SERVICES: &str = "/api/v1/namespaces/t1/services";
const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/t1/deployments";

fn deployment(name: &str) -> Value {
    let labels = json!({ "app": name });
    json!({
        "metadata": { "name": name },
        "spec": {
            "replicas": 2,
            "selector": { "matchLabels": labels },
            "template": { "metadata": { "labels": labels }, "spec": pod("x")["spec"] },
        },
    })
}

fn service(name: &str) -> Value {
    json!({ "metadata": { "name": name }, "spec": { "type": "NodePort", "ports": [{ "port": 80 }] } })
}

/// All answers of calls that are made at the same time.
async fn race(calls: Vec<Call>) -> Vec<Reply> {
    let running: Vec<_> = calls.into_iter().map(|call| tokio::spawn(call.reply())).collect();
    let mut all = Vec::new();
    for one in running {
        all.push(one.await.unwrap());
    }
    all
}

fn count(replies: &[Reply], status: u16) -> usize {
    replies.iter().filter(|one| one.status == status).count()
}

// ---- races ----

/// On disk commits take turns; in memory threads do.
async fn check_races(cluster: Cluster, mut row: Row) {
    while row.next_of(32).is_some() {
        check_race(&cluster).await;
        cluster.admin("DELETE", &format!("{PODS}/p")).done(200).await;
        assert_eq!(cluster.admin("GET", &format!("{PODS}/p")).status().await, 200, "it has time");
        cluster.admin("DELETE", &format!("{PODS}/p?gracePeriodSeconds=0")).done(200).await;
    }
}

async fn check_race(cluster: &Cluster) {
    let path = &format!("{CONFIGS}/a");
    let creates =
        (0..32).map(|n| cluster.admin("POST", CONFIGS).json(&config("a", &n.to_string())));
    let replies = race(creates.collect()).await;
    assert_eq!((count(&replies, 201), count(&replies, 409)), (1, 31), "one creates");
    let made = replies.iter().find(|one| one.status == 201).unwrap().value();
    assert_eq!(cluster.get(path).await, made);

    for method in ["PUT", "PATCH"] {
        let old = cluster.get(path).await;
        let change = |n: usize| {
            let mut object = config("a", &format!("{method} {n}"));
            object["metadata"]["resourceVersion"] = old["metadata"]["resourceVersion"].clone();
            let call = cluster.admin(method, path);
            if method == "PUT" { call.json(&object) } else { call.merge(&object) }
        };
        let replies = race((0..32).map(change).collect()).await;
        assert_eq!((count(&replies, 200), count(&replies, 409)), (1, 31), "one {method}s");
        let won = replies.iter().find(|one| one.status == 200).unwrap().value();
        assert_eq!(cluster.get(path).await, won);
    }

    let replies = race((0..32).map(|_| cluster.admin("DELETE", path)).collect()).await;
    assert_eq!((count(&replies, 200), count(&replies, 404)), (1, 31), "one deletes");

    cluster.make(PODS, pod("p")).await;
    let bind = |n: usize| {
        let node = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": format!("n{n}") } });
        cluster.admin("POST", &format!("{PODS}/p/binding")).json(&node)
    };
    let replies = race((0..32).map(bind).collect()).await;
    assert_eq!((count(&replies, 201), count(&replies, 409)), (1, 31), "one binds");
    let winner = replies.iter().position(|one| one.status == 201).unwrap();
    let bound = cluster.get(&format!("{PODS}/p")).await;
    assert_eq!(bound["spec"]["nodeName"], format!("n{winner}"));
}

/// Patches and PUTs that name no version all take effect, 64 at a time; and of an object's parts none is lost.
async fn check_patches(cluster: Cluster) {
    cluster.make(CONFIGS, config("a", "")).await;
    let path = &format!("{CONFIGS}/a");
    let before = cluster.store.revision();
    let merge = |n: usize| {
        let body = json!({ "data": { format!("m{n}"): "x" } });
        cluster.admin("PATCH", path).merge(&body)
    };
    let add = |n: usize| {
        let body = json!([{ "op": "add", "path": format!("/data/j{n}"), "value": "x" }]);
        cluster.admin("PATCH", path).bytes("application/json-patch+json", body.to_string())
    };
    let strategic = |n: usize| {
        let body = json!({ "metadata": { "annotations": { format!("s{n}"): "x" } } }).to_string();
        cluster.admin("PATCH", path).bytes("application/strategic-merge-patch+json", body)
    };
    let calls = (0..64).map(|n| match n % 3 {
        0 => merge(n),
        1 => add(n),
        _ => strategic(n),
    });
    let replies = race(calls.collect()).await;
    assert_eq!(count(&replies, 200), 64, "{:?}", replies.iter().find(|one| one.status != 200));
    let revisions: BTreeSet<u64> = replies.iter().map(|one| revision(&one.value())).collect();
    assert_eq!(revisions.len(), 64, "each is a write of its own");
    assert_eq!(cluster.store.revision(), before + 64);
    let end = cluster.get(path).await;
    let data = end["data"].as_object().unwrap().len() - 1;
    let annotations = end["metadata"]["annotations"].as_object().unwrap().len();
    assert_eq!(data + annotations, 64);

    let puts = (0..32).map(|n| cluster.admin("PUT", path).json(&config("a", &n.to_string())));
    let replies = race(puts.collect()).await;
    assert_eq!(count(&replies, 200), 32);
    let last = replies.iter().max_by_key(|one| revision(&one.value())).unwrap().value();
    assert_eq!(cluster.get(path).await, last);
}

/// Each client counts one up, as often as it takes: the sum is what was acknowledged.
async fn count_up(cluster: Cluster, times: usize) {
    let path = &format!("{CONFIGS}/sum");
    let mut done = 0;
    while done < times {
        let mut object = cluster.get(path).await;
        let sum: u64 = object["data"]["text"].as_str().unwrap().parse().unwrap();
        object["data"]["text"] = (sum + 1).to_string().into();
        let reply = if done % 2 == 0 {
            cluster.admin("PUT", path).json(&object).reply().await
        } else {
            let old = sum.to_string();
            let patch = json!([
                { "op": "test", "path": "/data/text", "value": old },
                { "op": "replace", "path": "/data/text", "value": (sum + 1).to_string() },
            ]);
            let patch = patch.to_string();
            cluster.admin("PATCH", path).bytes("application/json-patch+json", patch).reply().await
        };
        match reply.status {
            200 => done += 1,
            409 | 422 => {}
            other => unreachable!("{other}: {}", reply.text()),
        }
    }
}

/// `many` clients, each of which counts eight up in a round.
async fn check_sum(cluster: Cluster, mut row: Row) {
    cluster.make(CONFIGS, config("sum", "0")).await;
    let many = if row.goal() > 1_000 { 100 } else { 16 };
    let mut sum = 0;
    while row.next_of(many * 8).is_some() {
        let clients: Vec<_> =
            (0..many).map(|_| tokio::spawn(count_up(cluster.clone(), 8))).collect();
        for client in clients {
            client.await.unwrap();
        }
        sum += many * 8;
        let found = &cluster.get(&format!("{CONFIGS}/sum")).await["data"]["text"];
        assert_eq!(*found, sum.to_string());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writes_one_wins_in_memory() {
    check_races(Cluster::new().await, Row::new("racing creates in memory", 64, 10_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn of_racing_writes_one_wins_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    check_races(Cluster::on_disk(&folder).await, Row::new("racing creates on disk", 64, 10_000))
        .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writes_without_a_version_all_take_effect_in_memory() {
    check_patches(Cluster::new().await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn racing_writes_without_a_version_all_take_effect_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    check_patches(Cluster::on_disk(&folder).await).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_count_is_lost_in_memory() {
    check_sum(Cluster::new().await, Row::new("counts in memory", 256, 10_000)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn no_count_is_lost_on_disk() {
    let folder = tempfile::tempdir().unwrap();
    check_sum(Cluster::on_disk(&folder).await, Row::new("counts on disk", 256, 10_000)).await;
}

// ---- what stays ----

/// An object of each of many kinds, and its collection.
pub(crate) fn one_of_each() -> Vec<(String, Value)> {
    let rbac = "/apis/rbac.authorization.k8s.io/v1/namespaces/t1";
    let labels = json!({ "app": "r" });
    let mut set = deployment("r");
    set["spec"]["selector"]["matchLabels"] = labels;
    let binding = json!({
        "metadata": { "name": "b" },
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "r" },
        "subjects": [],
    });
    let slice = json!({ "metadata": { "name": "s" }, "addressType": "IPv4", "endpoints": [{ "addresses": ["10.1.0.1"] }] });
    vec![
        (CONFIGS.to_owned(), config("c", "x")),
        (
            "/api/v1/namespaces/t1/secrets".to_owned(),
            json!({ "metadata": { "name": "s" }, "stringData": { "a": "b" } }),
        ),
        (
            "/api/v1/namespaces/t1/serviceaccounts".to_owned(),
            json!({ "metadata": { "name": "a" } }),
        ),
        (PODS.to_owned(), pod("p")),
        (SERVICES.to_owned(), service("s")),
        ("/api/v1/namespaces/t1/endpoints".to_owned(), json!({ "metadata": { "name": "e" } })),
        ("/apis/discovery.k8s.io/v1/namespaces/t1/endpointslices".to_owned(), slice),
        (DEPLOYMENTS.to_owned(), deployment("d")),
        ("/apis/apps/v1/namespaces/t1/replicasets".to_owned(), set),
        (format!("{rbac}/roles"), json!({ "metadata": { "name": "r" }, "rules": [] })),
        (format!("{rbac}/rolebindings"), binding),
        ("/api/v1/namespaces".to_owned(), json!({ "metadata": { "name": "t2" } })),
    ]
}

/// They are made: the collection and the name of each.
async fn made_of_each(cluster: &Cluster) -> Vec<(String, String)> {
    let mut made = Vec::new();
    for (path, object) in one_of_each() {
        let name = object["metadata"]["name"].as_str().unwrap().to_owned();
        cluster.make(&path, object).await;
        made.push((path, name));
    }
    made
}

#[tokio::test]
async fn a_write_that_changes_nothing_stores_nothing() {
    let cluster = Cluster::new().await;
    for (collection, name) in made_of_each(&cluster).await {
        let path = &format!("{collection}/{name}");
        let old = cluster.get(path).await;
        let before = cluster.store.revision();
        let mut plain = old.clone();
        plain["metadata"].as_object_mut().unwrap().remove("resourceVersion");
        let test = json!([{ "op": "test", "path": "/metadata/name", "value": name }]).to_string();
        let strategic = "application/strategic-merge-patch+json";
        for (what, call) in [
            ("PUT", cluster.admin("PUT", path).json(&old)),
            ("PUT without a version", cluster.admin("PUT", path).json(&plain)),
            ("PUT of less", cluster.admin("PUT", path).json(&less(&old))),
            ("PUT as YAML", cluster.admin("PUT", path).bytes("application/yaml", old.to_string())),
            ("an empty patch", cluster.admin("PATCH", path).merge(&json!({}))),
            ("a patch with the same", cluster.admin("PATCH", path).merge(&old)),
            ("a test", cluster.admin("PATCH", path).bytes("application/json-patch+json", test)),
            ("a strategic patch", cluster.admin("PATCH", path).bytes(strategic, plain.to_string())),
        ] {
            assert_eq!(call.done(200).await, old, "{path}: {what}");
            assert_eq!(cluster.store.revision(), before, "{path}: {what}");
        }
    }
}

/// The object without what the server sets anyway.
fn less(object: &Value) -> Value {
    let mut object = object.clone();
    let metadata = object["metadata"].as_object_mut().unwrap();
    for field in ["creationTimestamp", "uid", "generation", "namespace", "managedFields"] {
        metadata.remove(field);
    }
    object.as_object_mut().unwrap().remove("status");
    object
}

/// Kinds with a status: an object, another status, another spec.
fn parted() -> [(String, Value, Value); 4] {
    let sets = "/apis/apps/v1/namespaces/t1/replicasets";
    let condition = json!({
        "type": "A", "status": "True", "reason": "R", "message": "", "lastTransitionTime": "2027-01-01T00:00:00Z",
    });
    let replicas = json!({ "observedGeneration": 1, "replicas": 2 });
    [
        (
            format!("{PODS}/p"),
            json!({ "phase": "Running", "podIP": "10.1.0.1" }),
            json!({ "activeDeadlineSeconds": 5 }),
        ),
        (format!("{DEPLOYMENTS}/d"), replicas.clone(), json!({ "replicas": 7 })),
        (format!("{sets}/r"), replicas, json!({ "replicas": 7 })),
        (
            format!("{SERVICES}/s"),
            json!({ "conditions": [condition] }),
            json!({ "sessionAffinity": "ClientIP" }),
        ),
    ]
}

#[tokio::test]
async fn a_status_and_its_object_do_not_write_one_another() {
    for method in ["PATCH", "PUT"] {
        let cluster = Cluster::new().await;
        made_of_each(&cluster).await;
        for (path, status, spec) in parted() {
            let both = json!({ "spec": spec, "status": status });
            let write = |path: &str, mut whole: Value| {
                if method == "PATCH" {
                    return cluster.admin("PATCH", path).merge(&both);
                }
                for part in ["spec", "status"] {
                    for (field, value) in both[part].as_object().unwrap() {
                        whole[part][field] = value.clone();
                    }
                }
                cluster.admin("PUT", path).json(&whole)
            };
            let old = cluster.get(&path).await;
            let sub = &format!("{path}/status");
            let written = write(sub, old.clone()).done(200).await;
            assert_eq!(written["spec"], old["spec"], "{method} {sub} keeps the spec");
            assert_eq!(includes(&written["status"], &status), Ok(()), "{method} {sub}");
            assert_eq!(cluster.get(sub).await, written, "{method} {sub}");
            let back = json!({ "status": old["status"] });
            let back = cluster.admin("PATCH", sub).merge(&back).done(200).await;
            let written = write(&path, back.clone()).done(200).await;
            assert_eq!(written["status"], back["status"], "{method} {path} keeps the status");
            assert_eq!(includes(&written["spec"], &spec), Ok(()), "{method} {path}");
        }
    }
}

fn unversioned(object: &Value) -> Value {
    let mut object = object.clone();
    object["metadata"].as_object_mut().unwrap().remove("resourceVersion");
    object
}

/// Whether the object has these fields.
fn includes(object: &Value, wanted: &Value) -> Result<(), String> {
    for (field, value) in wanted.as_object().unwrap() {
        if &object[field] != value {
            return Err(format!("{field}: {} is not {value}", object[field]));
        }
    }
    Ok(())
}

/// Patches that change what may not change: of which object, and the answers that are right.
fn immutable() -> Vec<(&'static str, Value, &'static [u16])> {
    let c = "/api/v1/namespaces/t1/configmaps/c";
    let frozen = "/api/v1/namespaces/t1/configmaps/frozen";
    let p = "/api/v1/namespaces/t1/pods/p";
    let d = "/apis/apps/v1/namespaces/t1/deployments/d";
    let s = "/api/v1/namespaces/t1/services/s";
    let (changed, elsewhere): (&'static [u16], &'static [u16]) = (&[422], &[400, 422]);
    let secret = "/api/v1/namespaces/t1/secrets/s";
    let slice = "/apis/discovery.k8s.io/v1/namespaces/t1/endpointslices/s";
    let binding = "/apis/rbac.authorization.k8s.io/v1/namespaces/t1/rolebindings/b";
    let namespace = "/api/v1/namespaces/t2";
    vec![
        (c, json!({ "metadata": { "name": "x" } }), elsewhere),
        (c, json!({ "metadata": { "namespace": "default" } }), elsewhere),
        (c, json!({ "metadata": { "uid": "x" } }), &[409, 422][..]),
        (c, json!({ "kind": "Secret" }), elsewhere),
        (c, json!({ "apiVersion": "v2" }), elsewhere),
        (c, json!({ "metadata": { "deletionTimestamp": "2027-01-01T00:00:00Z" } }), changed),
        (c, json!({ "metadata": { "deletionGracePeriodSeconds": 5 } }), changed),
        (c, json!({ "metadata": null }), elsewhere),
        (frozen, json!({ "data": { "a": "c" } }), changed),
        (frozen, json!({ "data": { "b": "c" } }), changed),
        (frozen, json!({ "immutable": false }), changed),
        (frozen, json!({ "immutable": null }), changed),
        (secret, json!({ "type": "x/y" }), changed),
        (p, json!({ "spec": { "nodeName": "n2" } }), changed),
        (p, json!({ "spec": { "nodeName": null } }), changed),
        (p, json!({ "spec": { "containers": [] } }), changed),
        (p, json!({ "spec": { "containers": [{ "name": "d", "image": "i" }] } }), changed),
        (p, json!({ "spec": { "hostNetwork": true } }), changed),
        (p, json!({ "spec": { "serviceAccountName": "a" } }), changed),
        (
            p,
            json!({ "spec": { "containers": [{ "name": "c", "image": "i", "securityContext": { "privileged": true } }] } }),
            changed,
        ),
        (
            d,
            json!({ "spec": { "selector": { "matchLabels": { "app": "x" } }, "template": { "metadata": { "labels": { "app": "x" } } } } }),
            changed,
        ),
        (s, json!({ "spec": { "clusterIP": "10.0.0.77", "clusterIPs": ["10.0.0.77"] } }), changed),
        (s, json!({ "spec": { "clusterIP": "None", "clusterIPs": ["None"] } }), changed),
        (slice, json!({ "addressType": "FQDN" }), changed),
        (binding, json!({ "roleRef": { "name": "x" } }), changed),
        (namespace, json!({ "metadata": { "name": "x" } }), elsewhere),
    ]
}

#[tokio::test]
async fn what_is_immutable_does_not_change() {
    let cluster = Cluster::new().await;
    made_of_each(&cluster).await;
    let frozen =
        json!({ "metadata": { "name": "frozen" }, "data": { "a": "b" }, "immutable": true });
    cluster.make(CONFIGS, frozen).await;
    let bound = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n1" } });
    cluster.admin("POST", &format!("{PODS}/p/binding")).json(&bound).done(201).await;
    for (path, patch, wanted) in immutable() {
        let (old, before) = (cluster.get(path).await, cluster.store.revision());
        let reply = cluster.admin("PATCH", path).merge(&patch).reply().await;
        assert!(
            wanted.contains(&reply.status),
            "{path} {patch}: {} {}",
            reply.status,
            reply.text()
        );
        assert_eq!(
            (cluster.get(path).await, cluster.store.revision()),
            (old, before),
            "{path} {patch}"
        );
    }
}

#[tokio::test]
async fn what_a_client_need_not_say_is_as_it_was() {
    let cluster = Cluster::new().await;
    made_of_each(&cluster).await;
    for patch in [
        json!({ "metadata": { "creationTimestamp": "2000-01-01T00:00:00Z" } }),
        json!({ "metadata": { "creationTimestamp": null } }),
        json!({ "metadata": { "uid": null } }),
        json!({ "spec": { "finalizers": [] } }),
        json!({ "status": { "phase": "Terminating" } }),
    ] {
        let path = "/api/v1/namespaces/t2";
        let old = cluster.get(path).await;
        let reply = cluster.admin("PATCH", path).merge(&patch).reply().await;
        assert!([200, 422].contains(&reply.status), "{patch}: {}", reply.text());
        assert_eq!(unversioned(&cluster.get(path).await), unversioned(&old), "{patch}");
    }
}

#[tokio::test]
async fn no_client_says_the_generation() {
    let cluster = Cluster::new().await;
    for (collection, name) in made_of_each(&cluster).await {
        let path = format!("{collection}/{name}");
        let old = cluster.get(&path).await;
        let patch = json!({ "metadata": { "generation": 9 } });
        let reply = cluster.admin("PATCH", &path).merge(&patch).reply().await;
        assert!([200, 422].contains(&reply.status), "{path}: {}", reply.text());
        let new = cluster.get(&path).await;
        assert_eq!(new["metadata"]["generation"], old["metadata"]["generation"], "{path}");
    }
}

#[tokio::test]
async fn a_creator_does_not_say_what_the_server_says() {
    let cluster = Cluster::new().await;
    let object = json!({
        "metadata": {
            "name": "a", "uid": "mine", "creationTimestamp": "2000-01-01T00:00:00Z",
            "deletionTimestamp": "2000-01-01T00:00:00Z", "deletionGracePeriodSeconds": 5, "selfLink": "/x",
            "managedFields": [{ "manager": "m", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV1", "fieldsV1": {} }],
        },
    });
    let made = cluster.make(CONFIGS, object).await;
    let metadata = made["metadata"].as_object().unwrap();
    assert_eq!(metadata["creationTimestamp"], "2027-01-15T08:00:00Z");
    assert_eq!(metadata["uid"].as_str().unwrap().len(), 36);
    let fields: Vec<&str> = metadata.keys().map(berth_cluster_json::Text::as_str).collect();
    assert_eq!(fields, ["creationTimestamp", "name", "namespace", "resourceVersion", "uid"]);
    let mut running = pod("p");
    running["status"] = json!({ "phase": "Running", "podIP": "10.1.0.1" });
    let made = cluster.make(PODS, running).await;
    assert_eq!(
        (&made["status"]["phase"], &made["status"]["podIP"]),
        (&json!("Pending"), &Value::Null)
    );
}

// ---- names ----

/// Chance that is the same for a while: names that are made of it collide.
#[derive(Debug)]
struct Sticky {
    asked: AtomicU64,
    lasting: u64,
}

impl Environment for Sticky {
    fn now(&self) -> Moment {
        Moment { seconds: crate::kit::NOW, nanos: 0 }
    }

    fn random(&self) -> u64 {
        self.asked.fetch_add(1, Ordering::Relaxed) / self.lasting
    }
}

#[tokio::test]
async fn a_generated_name_that_is_taken_is_generated_anew() {
    // Each try asks for three numbers: within eight of them a number that lasts for twelve changes, one that lasts for ever does not.
    for (lasting, free) in [(12, true), (u64::MAX, false)] {
        let store = Store::memory(Options::default());
        let environment = Sticky { asked: AtomicU64::new(0), lasting };
        let cluster =
            Cluster::with(store, |builder| builder.environment(Arc::new(environment))).await;
        let object = json!({ "metadata": { "generateName": "c-" } });
        cluster.make(CONFIGS, object.clone()).await;
        for _ in 0..5 {
            let before = cluster.store.revision();
            let reply = cluster.admin("POST", CONFIGS).json(&object).reply().await;
            assert_eq!(reply.status, if free { 201 } else { 409 }, "{}", reply.text());
            if !free {
                assert_eq!(reply.value()["reason"], "AlreadyExists");
                assert_eq!(cluster.store.revision(), before);
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn generated_names_differ() {
    let cluster = Cluster::new().await;
    let object = json!({ "metadata": { "generateName": "c-" } });
    let (mut row, mut names) = (Row::new("generated names", 200, 10_000), BTreeSet::new());
    while row.next_of(200).is_some() {
        let calls = (0..200).map(|_| cluster.admin("POST", CONFIGS).json(&object));
        let replies = race(calls.collect()).await;
        assert_eq!(count(&replies, 201), 200);
        for reply in replies {
            let name = reply.value()["metadata"]["name"].to_string();
            assert!(names.insert(name.clone()), "{name} twice");
        }
    }
    let long = json!({ "metadata": { "generateName": "a".repeat(63) } });
    let made = cluster.make(PODS, {
        let mut object = pod("");
        object["metadata"] = long["metadata"].clone();
        object
    });
    assert_eq!(made.await["metadata"]["name"].as_str().unwrap().len(), 63);
    let named = json!({ "metadata": { "name": "n", "generateName": "c-" } });
    assert_eq!(cluster.make(CONFIGS, named.clone()).await["metadata"]["name"], "n");
    assert_eq!(cluster.admin("POST", CONFIGS).json(&named).status().await, 409, "its name is said");
}

// ---- dry run ----

/// Writes that are only tried, and their answers.
fn tried_writes(cluster: &Cluster) -> Vec<(&'static str, Call, u16)> {
    let node = json!({ "metadata": { "name": "p" }, "target": { "kind": "Node", "name": "n" } });
    let eviction =
        json!({ "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": "p" } });
    let scale = json!({ "metadata": { "name": "d" }, "spec": { "replicas": 9 } });
    let endpoints = "/api/v1/namespaces/t1/endpoints";
    let status = json!({ "status": { "phase": "Failed" } });
    let label = json!({ "metadata": { "labels": { "x": "y" } } });
    let ask = |method: &str, path: &str| cluster.admin(method, &format!("{path}?dryRun=All"));
    let d = format!("{DEPLOYMENTS}/d");
    vec![
        ("create", ask("POST", CONFIGS).json(&config("new", "")), 201),
        ("create again", ask("POST", CONFIGS).json(&config("c", "")), 409),
        (
            "create by generated name",
            ask("POST", CONFIGS).json(&json!({ "metadata": { "generateName": "x" } })),
            201,
        ),
        ("create a service", ask("POST", SERVICES).json(&service("new")), 201),
        (
            "create a namespace",
            ask("POST", "/api/v1/namespaces").json(&json!({ "metadata": { "name": "new" } })),
            201,
        ),
        (
            "create what is wrong",
            ask("POST", PODS).json(&json!({ "metadata": { "name": "new" } })),
            422,
        ),
        (
            "create by PUT",
            ask("PUT", &format!("{endpoints}/new")).json(&json!({ "metadata": { "name": "new" } })),
            201,
        ),
        ("update", ask("PUT", &format!("{CONFIGS}/c")).json(&config("c", "new")), 200),
        ("patch", ask("PATCH", &format!("{PODS}/p")).merge(&label), 200),
        (
            "patch a service",
            ask("PATCH", &format!("{SERVICES}/s"))
                .merge(&json!({ "spec": { "type": "ClusterIP" } })),
            200,
        ),
        ("patch a status", ask("PATCH", &format!("{PODS}/p/status")).merge(&status), 200),
        ("scale", ask("PUT", &format!("{d}/scale")).json(&scale), 200),
        ("scale by a patch", ask("PATCH", &format!("{d}/scale")).merge(&scale), 200),
        ("bind", ask("POST", &format!("{PODS}/p/binding")).json(&node), 201),
        ("evict", ask("POST", &format!("{PODS}/p/eviction")).json(&eviction), 201),
    ]
}

/// Deletions that are only tried, and their answers.
fn tried_deletions(cluster: &Cluster) -> Vec<(&'static str, Call, u16)> {
    let empty = json!({ "metadata": { "finalizers": [] } });
    let ask = |method: &str, path: &str| cluster.admin(method, &format!("{path}?dryRun=All"));
    vec![
        ("delete", ask("DELETE", &format!("{CONFIGS}/c")), 200),
        ("delete a pod", ask("DELETE", &format!("{PODS}/p")), 200),
        ("delete a service", ask("DELETE", &format!("{SERVICES}/s")), 200),
        ("delete a namespace", ask("DELETE", "/api/v1/namespaces/t2"), 200),
        (
            "delete, in the body",
            cluster.admin("DELETE", &format!("{CONFIGS}/c")).json(&json!({ "dryRun": ["All"] })),
            200,
        ),
        (
            "delete in the foreground",
            ask("DELETE", &format!("{DEPLOYMENTS}/d"))
                .json(&json!({ "propagationPolicy": "Foreground" })),
            200,
        ),
        ("delete all", ask("DELETE", CONFIGS), 200),
        (
            "delete all pods, in the body",
            cluster.admin("DELETE", PODS).json(&json!({ "dryRun": ["All"] })),
            200,
        ),
        ("let go", ask("PATCH", &format!("{CONFIGS}/held")).merge(&empty), 200),
        (
            "something else than all",
            cluster.admin("DELETE", &format!("{CONFIGS}/c?dryRun=Some")),
            422,
        ),
        (
            "something else, in the body",
            cluster.admin("DELETE", &format!("{CONFIGS}/c")).json(&json!({ "dryRun": ["Some"] })),
            422,
        ),
    ]
}

#[tokio::test]
async fn what_is_only_tried_is_not_done() {
    let cluster = Cluster::new().await;
    made_of_each(&cluster).await;
    let mut held = config("held", "");
    held["metadata"]["finalizers"] = json!(["a.b/c"]);
    cluster.make(CONFIGS, held).await;
    cluster.admin("DELETE", &format!("{CONFIGS}/held")).done(200).await;
    let all = cluster.store.list("", None, None, 0, &|_| true).unwrap();
    let rows = tried_writes(&cluster).into_iter().chain(tried_deletions(&cluster));
    for (what, call, wanted) in rows {
        let reply = call.reply().await;
        let accepted = wanted == 200 && reply.status == 202;
        assert!(reply.status == wanted || accepted, "{what}: {} {}", reply.status, reply.text());
        let now = cluster.store.list("", None, None, 0, &|_| true).unwrap();
        assert_eq!(now.revision, all.revision, "{what} is a write");
        assert_eq!(now.entries.len(), all.entries.len(), "{what}");
    }
    // What would be done is told.
    let ask = |method: &str, path: &str| cluster.admin(method, &format!("{path}?dryRun=All"));
    let d = format!("{DEPLOYMENTS}/d");
    let tried = ask("PATCH", &d).merge(&json!({ "spec": { "replicas": 5 } })).done(200).await;
    assert_eq!(
        (&tried["spec"]["replicas"], &tried["metadata"]["generation"]),
        (&json!(5), &json!(2))
    );
    let service = ask("POST", SERVICES).json(&service("new")).done(201).await;
    assert!(service["spec"]["clusterIP"].is_string() && service["metadata"]["uid"].is_string());
}

// ---- fields that are not known ----

#[tokio::test]
async fn unknown_fields_are_refused_or_warned_of_or_passed_over() {
    let cluster = Cluster::new().await;
    cluster.make(CONFIGS, config("old", "")).await;
    let unknown = r#"{"metadata":{"name":"NAME","labls":{}},"data":{"a":"1"},"dta":1}"#;
    let twice = r#"{"metadata":{"name":"NAME"},"data":{"a":"1","a":"2"}}"#;
    let texts = [
        (unknown, vec!["unknown field \"dta\"", "unknown field \"metadata.labls\""]),
        (twice, vec!["duplicate field \"data.a\""]),
    ];
    let mut number = 0;
    for (body, problems) in texts {
        for (mode, refused, warned) in [
            ("Strict", true, false),
            ("Warn", false, true),
            ("", false, true),
            ("Ignore", false, false),
        ] {
            number += 1;
            let query =
                if mode.is_empty() { String::new() } else { format!("?fieldValidation={mode}") };
            let new = body.replace("NAME", &format!("n{number}"));
            let old = body.replace("NAME", "old");
            let json = "application/json";
            let calls = [
                (201, cluster.admin("POST", &format!("{CONFIGS}{query}")).bytes(json, new)),
                (200, cluster.admin("PUT", &format!("{CONFIGS}/old{query}")).bytes(json, old)),
            ];
            for (fine, call) in calls {
                let before = cluster.store.revision();
                let reply = call.reply().await;
                let text = if refused {
                    reply.text().replace('\\', "")
                } else {
                    reply.warnings().join("\n").replace('\\', "")
                };
                assert_eq!(
                    reply.status,
                    if refused { 400 } else { fine },
                    "{mode}: {}",
                    reply.text()
                );
                if refused {
                    assert_eq!(cluster.store.revision(), before, "{mode}");
                    assert!(text.contains("strict decoding error"), "{text}");
                }
                for problem in &problems {
                    assert_eq!(
                        text.contains(problem),
                        refused || warned,
                        "{mode} {problem}: {text}"
                    );
                }
                let kept = reply.value();
                assert!(kept["dta"].is_null() && kept["metadata"]["labls"].is_null(), "{kept}");
            }
        }
    }
    let patch = json!({ "dta": 1 });
    let path = format!("{CONFIGS}/old");
    let strict = cluster.admin("PATCH", &format!("{path}?fieldValidation=Strict")).merge(&patch);
    assert!([400, 422].contains(&strict.status().await));
    let warned = cluster.admin("PATCH", &path).merge(&patch).reply().await;
    assert_eq!(
        (warned.status, warned.warnings()),
        (200, vec![r#"299 - "unknown field \"dta\"""#.to_owned()])
    );
    let odd =
        cluster.admin("POST", &format!("{CONFIGS}?fieldValidation=Some")).json(&config("x", ""));
    assert_eq!(odd.status().await, 422);
}
