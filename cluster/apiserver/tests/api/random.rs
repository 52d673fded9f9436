// SPDX-License-Identifier: Apache-2.0
//! The API asked at random: objects come back as they went in, finalizers are what keeps an object, and no bytes stop the server.

use crate::kit::{Call, Cluster, Random, config, pod};
use crate::tier::Row;
use crate::writes::one_of_each;
use berth_cluster_json::{Map, Value, json};
use std::collections::{BTreeMap, BTreeSet};

// ---- finalizers: a model ----

/// What is known of an object: its finalizers, and whether it is ending.
#[derive(Debug, Clone, Default, PartialEq)]
struct Held {
    finalizers: BTreeSet<String>,
    ending: bool,
}

const OWN: [&str; 3] = ["x.y/one", "x.y/two", "x.y/three"];
const POLICIES: [&str; 4] = ["", "Background", "Foreground", "Orphan"];

struct Model {
    cluster: Cluster,
    random: Random,
    namespace: String,
    there: BTreeMap<String, Held>,
    /// The namespace is ending.
    closed: bool,
}

fn some(random: &mut Random, of: impl IntoIterator<Item = String>) -> BTreeSet<String> {
    of.into_iter().filter(|_| random.below(2) == 0).collect()
}

fn own() -> impl Iterator<Item = String> {
    OWN.iter().map(|&one| one.to_owned())
}

fn finalizers(names: &BTreeSet<String>) -> Value {
    names.iter().map(|name| Value::from(name.as_str())).collect()
}

impl Model {
    fn configs(&self) -> String {
        format!("/api/v1/namespaces/{}/configmaps", self.namespace)
    }

    fn patch(&self, name: &str, body: &Value) -> Call {
        self.cluster.admin("PATCH", &format!("{}/{name}", self.configs())).merge(body)
    }

    async fn create(&mut self, name: &str) {
        let names = some(&mut self.random, own());
        let mut object = config(name, "");
        object["metadata"]["finalizers"] = finalizers(&names);
        let status = self.cluster.admin("POST", &self.configs()).json(&object).status().await;
        let wanted = match (self.there.contains_key(name), self.closed) {
            // Which of both is said is not promised.
            (true, true) if status == 403 => 403,
            (true, _) => 409,
            (false, true) => 403,
            (false, false) => 201,
        };
        assert_eq!(status, wanted, "create");
        if status == 201 {
            self.there.insert(name.into(), Held { finalizers: names, ending: false });
        }
    }

    async fn hold(&mut self, name: &str) {
        let old = self.there.get(name).cloned();
        let known = old.clone().unwrap_or_default().finalizers;
        let mut names = some(&mut self.random, own().chain(known.clone()).collect::<BTreeSet<_>>());
        if self.random.below(2) == 0 {
            names = names.intersection(&known).cloned().collect();
        }
        let body = json!({ "metadata": { "finalizers": finalizers(&names) } });
        let status = self.patch(name, &body).status().await;
        let Some(old) = old else { return assert_eq!(status, 404, "patch") };
        if old.ending && !names.is_subset(&old.finalizers) {
            assert_eq!(status, 422, "{names:?} after {:?}", old.finalizers);
        } else {
            assert_eq!(status, 200, "{names:?} after {:?}", old.finalizers);
            self.set(name, Held { finalizers: names, ..old });
        }
    }

    async fn end(&mut self, name: &str) {
        let policy = POLICIES[usize::try_from(self.random.below(4)).unwrap()];
        let mut call = self.cluster.admin("DELETE", &format!("{}/{name}", self.configs()));
        if !policy.is_empty() {
            call = call.json(&json!({ "propagationPolicy": policy }));
        }
        let status = call.status().await;
        let Some(mut held) = self.there.get(name).cloned() else {
            return assert_eq!(status, 404, "delete");
        };
        assert_eq!(status, 200, "delete");
        if !policy.is_empty() || !held.ending {
            // Without a policy, what was asked for before stays.
            if !policy.is_empty() {
                held.finalizers.retain(|one| one.contains('/'));
            }
            match policy {
                "Foreground" => held.finalizers.insert("foregroundDeletion".into()),
                "Orphan" => held.finalizers.insert("orphan".into()),
                _ => false,
            };
        }
        held.ending = true;
        self.set(name, held);
    }

    fn set(&mut self, name: &str, held: Held) {
        if held.ending && held.finalizers.is_empty() {
            self.there.remove(name);
        } else {
            self.there.insert(name.into(), held);
        }
    }

    /// What nobody can undo.
    async fn revive(&mut self, name: &str) {
        let body = json!({ "metadata": { "deletionTimestamp": null }, "data": { "a": "b" } });
        let status = self.patch(name, &body).status().await;
        assert_eq!(status, if self.there.contains_key(name) { 200 } else { 404 }, "revive");
    }

    async fn check(&self) {
        let list = self.cluster.get(&self.configs()).await;
        let mut found = BTreeMap::new();
        for item in list["items"].as_array().unwrap() {
            let metadata = &item["metadata"];
            let names = metadata["finalizers"].as_array().cloned().unwrap_or_default();
            let finalizers = names.iter().map(|one| one.as_str().unwrap().to_owned()).collect();
            let ending = metadata["deletionTimestamp"].is_string();
            found
                .insert(metadata["name"].as_str().unwrap().to_owned(), Held { finalizers, ending });
        }
        assert_eq!(found, self.there);
    }
}

const STEPS: u64 = 200;

#[tokio::test]
async fn an_object_lasts_as_long_as_its_finalizers_whatever_is_done() {
    let mut row = Row::new("steps with finalizers", 1_000, 100_000);
    while let Some(seed) = row.next_of(STEPS) {
        let cluster = Cluster::new().await;
        let (there, random) = (BTreeMap::new(), Random(seed));
        let mut model = Model { cluster, random, namespace: "t1".into(), there, closed: false };
        for step in 0..STEPS {
            let name = format!("c{}", model.random.below(4));
            match model.random.below(8) {
                0..3 => model.create(&name).await,
                3 | 4 => model.hold(&name).await,
                5 | 6 => model.end(&name).await,
                _ => model.revive(&name).await,
            }
            if step == 150 {
                let status = model.cluster.admin("DELETE", "/api/v1/namespaces/t1").status().await;
                assert!([200, 202].contains(&status));
                model.closed = true;
            }
            model.check().await;
        }
    }
}

// ---- objects there and back ----

/// Pods and what holds them have the most fields.
fn rich() -> Vec<(String, Value)> {
    let mut rich = pod("rich");
    rich["metadata"]["labels"] = json!({ "a": "b", "c": "d" });
    rich["spec"] = json!({
        "containers": [{
            "name": "c", "image": "i:1", "command": ["a"], "args": ["b", "c"],
            "ports": [{ "containerPort": 80, "name": "web" }, { "containerPort": 81, "protocol": "UDP" }],
            "env": [{ "name": "A", "value": "b" }, { "name": "P", "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }],
            "resources": { "requests": { "cpu": "0.5", "memory": "1024Mi" }, "limits": { "cpu": "1000m" } },
            "livenessProbe": { "httpGet": { "path": "/", "port": "web" }, "periodSeconds": 5 },
            "volumeMounts": [{ "name": "v", "mountPath": "/v" }],
            "securityContext": { "runAsUser": 5, "capabilities": { "drop": ["ALL"] } },
        }],
        "initContainers": [{ "name": "i", "image": "i" }],
        "volumes": [{ "name": "v", "emptyDir": { "sizeLimit": "1Gi" } }, { "name": "w", "configMap": { "name": "m", "defaultMode": 420 } }],
        "nodeSelector": { "disk": "ssd" },
        "tolerations": [{ "key": "k", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 5 }],
        "affinity": { "podAntiAffinity": { "preferredDuringSchedulingIgnoredDuringExecution": [{
            "weight": 3, "podAffinityTerm": { "topologyKey": "z", "labelSelector": { "matchLabels": { "a": "b" } } },
        }] } },
        "topologySpreadConstraints": [{ "maxSkew": 1, "topologyKey": "z", "whenUnsatisfiable": "ScheduleAnyway" }],
    });
    let template = json!({ "metadata": { "labels": { "a": "b" } }, "spec": rich["spec"] });
    let spec = json!({ "selector": { "matchLabels": { "a": "b" } }, "template": template });
    let set = json!({ "metadata": { "name": "rich" }, "spec": spec });
    let mut all = one_of_each();
    all.push(("/api/v1/namespaces/t1/pods".into(), rich));
    for kind in ["deployments", "statefulsets", "daemonsets", "replicasets"] {
        all.push((format!("/apis/apps/v1/namespaces/t1/{kind}"), set.clone()));
    }
    all
}

/// What is put in the place of something.
fn odd(random: &mut Random) -> Value {
    let all = [
        json!(null),
        json!(0),
        json!(-1),
        json!(7),
        json!(65_536),
        json!(1_i64 << 40),
        json!(1.5),
        json!(true),
        json!(false),
        json!(""),
        json!("a"),
        json!("1Gi"),
        json!("0.001"),
        json!("Always"),
        json!("TCP"),
        json!("2020-01-01T00:00:00Z"),
        json!([]),
        json!({}),
        json!({ "a": "b" }),
        json!(["a", "a"]),
    ];
    all[usize::try_from(random.below(all.len() as u64)).unwrap()].clone()
}

fn change_object(map: &mut Map, random: &mut Random) {
    let names: Vec<String> = map.keys().map(ToString::to_string).collect();
    if names.is_empty() || random.below(8) == 0 {
        let name =
            random.pick(&["a", "name", "value", "type", "optional", "generateName", "nodeName"]);
        map.insert(name, odd(random));
        return;
    }
    let name = &names[usize::try_from(random.below(names.len() as u64)).unwrap()];
    match random.below(6) {
        0 => drop(map.remove(name)),
        1 => drop(map.insert(name.as_str(), odd(random))),
        _ => change(map.get_mut(name).unwrap(), random),
    }
}

/// Changes something somewhere.
fn change(value: &mut Value, random: &mut Random) {
    match value {
        Value::Object(map) => change_object(map, random),
        Value::Array(items) if !items.is_empty() => {
            let at = usize::try_from(random.below(items.len() as u64)).unwrap();
            match random.below(6) {
                0 => drop(items.remove(at)),
                1 => items.push(items[at].clone()),
                _ => change(&mut items[at], random),
            }
        }
        other => *other = odd(random),
    }
}

/// Whatever the server takes comes back as it was told, and is the same when it is sent once more.
#[tokio::test]
async fn what_is_taken_comes_back_and_is_the_same_a_second_time() {
    let mut row = Row::new("objects there and back", 3_000, 1_000_000);
    let (seeds, mut taken) = (rich(), 0);
    let mut cluster = Cluster::new().await;
    while let Some(seed) = row.next() {
        let mut random = Random(seed);
        if seed % 1_000 == 999 {
            cluster = Cluster::new().await;
        }
        let at = usize::try_from(random.below(seeds.len() as u64)).unwrap();
        let (path, mut object) = seeds[at].clone();
        for _ in 0..random.below(4) {
            change(&mut object, &mut random);
        }
        if !object["metadata"].is_object() {
            object["metadata"] = json!({});
        }
        object["metadata"]["name"] = "tried".into();
        let reply = cluster.admin("POST", &path).json(&object).reply().await;
        assert!([201, 400, 403, 409, 422].contains(&reply.status), "{object}: {}", reply.text());
        if reply.status != 201 {
            continue;
        }
        taken += 1;
        there_and_back(&cluster, &format!("{path}/tried"), &reply.value(), &object).await;
    }
    assert!(taken * 5 > row.goal().min(15_000), "only {taken} were taken");
    eprintln!("{taken} were taken");
}

async fn there_and_back(cluster: &Cluster, path: &str, made: &Value, sent: &Value) {
    assert_eq!(cluster.get(path).await, *made, "{sent}");
    let revision = cluster.store.revision();
    let yaml = cluster.admin("PUT", path).bytes("application/yaml", made.to_string());
    for call in [cluster.admin("PUT", path).json(made), yaml] {
        let again = call.reply().await;
        assert_eq!((again.status, again.value()), (200, made.clone()), "{sent}");
    }
    assert_eq!(cluster.store.revision(), revision, "a second time is a change: {sent}");
    let force = format!("{path}?gracePeriodSeconds=0");
    let freed = json!({ "metadata": { "finalizers": null } });
    let ended = cluster.admin("DELETE", &force).reply().await;
    assert!([200, 202].contains(&ended.status), "{}", ended.text());
    if cluster.admin("GET", path).status().await == 200 {
        cluster.admin("PATCH", path).merge(&freed).reply().await;
    }
    if path.ends_with("namespaces/tried") {
        let mut end = cluster.get(path).await;
        end["spec"]["finalizers"] = json!([]);
        cluster.admin("PUT", &format!("{path}/finalize")).json(&end).done(200).await;
    }
}

// ---- any bytes ----

const MEDIA: [&str; 7] = [
    "application/json",
    "application/yaml",
    "application/vnd.kubernetes.protobuf",
    "application/merge-patch+json",
    "application/json-patch+json",
    "application/strategic-merge-patch+json",
    "x/y",
];

/// Bytes that were an object once.
fn broken(mut bytes: Vec<u8>, random: &mut Random) -> Vec<u8> {
    for _ in 0..random.below(5) {
        let at = usize::try_from(random.below(bytes.len().max(1) as u64)).unwrap();
        let byte = u8::try_from(random.below(256)).unwrap();
        match random.below(5) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, byte),
            2 => bytes.extend_from_within(at..),
            3 => bytes.splice(at..at, *b"[{\"a\":").for_each(drop),
            _ => bytes.iter_mut().skip(at).take(1).for_each(|old| *old = byte),
        }
        bytes.truncate(20_000);
    }
    bytes
}

const QUERIES: [&str; 12] = [
    "",
    "?watch=1&timeoutSeconds=1",
    "?limit=1",
    "?labelSelector=a%20in(b,)",
    "?fieldSelector=spec.nodeName!%3D",
    "?resourceVersion=99999999999999999999",
    "?continue=AAAA",
    "?dryRun=All&fieldValidation=Strict",
    "?fieldManager=%00",
    "?gracePeriodSeconds=-9223372036854775808",
    "?timeoutSeconds=9223372036854775807",
    "?resourceVersionMatch=Exact&resourceVersion=1",
];

/// Faults of a client that upstream, too, takes for its own: strategic patches that cannot be merged have no reason there.
fn upstreams(told: &str) -> bool {
    !told.contains("\"reason\"") || told.contains("duplicate nodePort")
}

#[tokio::test]
async fn no_request_stops_the_server() {
    let mut row = Row::new("requests of any bytes", 10_000, 1_000_000);
    let (seeds, mut statuses) = (rich(), BTreeMap::<u16, u64>::new());
    let mut cluster = Cluster::new().await;
    while let Some(seed) = row.next() {
        let mut random = Random(seed);
        if seed % 5_000 == 4_999 {
            cluster = Cluster::new().await;
        }
        let at = usize::try_from(random.below(seeds.len() as u64)).unwrap();
        let (mut path, mut object) = seeds[at].clone();
        change(&mut object, &mut random);
        let method = random.pick(&["GET", "POST", "PUT", "PATCH", "DELETE"]);
        if random.below(4) > 0 && method != "POST" {
            let name = seeds[at].1["metadata"]["name"].as_str().unwrap();
            path =
                format!("{path}/{name}{}", random.pick(&["", "", "/status", "/scale", "/binding"]));
        }
        path.push_str(random.pick(&QUERIES));
        let usual = usize::from(method == "PATCH") * 3 + usize::try_from(random.below(3)).unwrap();
        let media = if random.below(4) == 0 { random.pick(&MEDIA) } else { MEDIA[usual] };
        let mut bytes = object.to_string().into_bytes();
        if random.below(2) == 0 {
            bytes = broken(bytes, &mut random);
        }
        let sent = String::from_utf8_lossy(&bytes).into_owned();
        let call = cluster.admin(method, &path).bytes(media, bytes);
        // A watch has no end: what it begins with is enough.
        let answer = call.answer().await;
        let status = answer.status().as_u16();
        *statuses.entry(status).or_default() += 1;
        let told = crate::kit::start_of(answer.into_body());
        assert!(status != 500 || upstreams(&told), "{method} {path}, {media}: {told}\n{sent}");
    }
    assert!(statuses.len() > 6, "{statuses:?}");
    eprintln!("{statuses:?}");
}
