// SPDX-License-Identifier: Apache-2.0
//! What a node's agent may read and write: attacks 11 to 14 of RELIABILITY among it, in upstream's words.

use crate::kit::{Call, Cluster, pod};
use berth_cluster_apiserver::Tolerations;
use berth_cluster_auth::token::{Issuer, SigningKey};
use berth_cluster_json::{Value, json};
use berth_cluster_store::{Options, Store};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};

const PODS: &str = "/api/v1/namespaces/t1/pods";
const SECRETS: &str = "/api/v1/namespaces/t1/secrets";
const NODES: &str = "/api/v1/nodes";
const LEASES: &str = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases";
const CSI: &str = "/apis/storage.k8s.io/v1/csinodes";

impl Cluster {
    fn node(&self, name: &str, method: &str, path: &str) -> Call {
        self.call(method, path).user(&format!("system:node:{name}"), &["system:nodes"])
    }
}

/// The refusal has this sentence.
async fn refused(call: Call, status: u16, sentence: &str) {
    let answer = call.done(status).await;
    let message = answer["message"].as_str().unwrap_or_default();
    assert!(message.ends_with(sentence), "{message}\nis not ...{sentence}");
}

fn bound(name: &str, node: &str, secret: &str) -> Value {
    let mut pod = pod(name);
    pod["spec"]["nodeName"] = node.into();
    pod["spec"]["serviceAccountName"] = "robot".into();
    pod["spec"]["volumes"] = json!([{ "name": "v", "secret": { "secretName": secret } }]);
    pod
}

/// Nodes `n1` and `n2`, with a pod each that uses a Secret each.
async fn cluster() -> Cluster {
    let random = SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let key = SigningKey::from_pkcs8(key.as_ref()).unwrap();
    let issuer = Issuer::new("https://berth.test", key, Vec::new());
    let cluster =
        Cluster::with(Store::memory(Options::default()), |builder| builder.issuer(issuer)).await;
    for (node, name, secret) in [("n1", "p1", "s1"), ("n2", "p2", "s2")] {
        let taint = json!([{ "key": "k", "effect": "NoSchedule" }]);
        let node_object = json!({ "metadata": { "name": node }, "spec": { "taints": taint } });
        cluster.make(NODES, node_object).await;
        cluster.make(LEASES, json!({ "metadata": { "name": node } })).await;
        cluster.make(SECRETS, json!({ "metadata": { "name": secret } })).await;
        cluster.make(PODS, bound(name, node, secret)).await;
    }
    cluster
        .make("/api/v1/namespaces/t1/serviceaccounts", json!({ "metadata": { "name": "robot" } }))
        .await;
    cluster
}

#[tokio::test]
async fn attack_11_a_node_reads_what_its_pods_use_and_no_longer() {
    let cluster = cluster().await;
    let get = |node: &str, what: &str| cluster.node(node, "GET", &format!("{SECRETS}/{what}"));
    assert_eq!(get("n1", "s1").status().await, 200);
    let answer = get("n1", "s2").done(403).await;
    assert_eq!(
        answer["message"],
        "secrets \"s2\" is forbidden: User \"system:node:n1\" cannot get resource \"secrets\" in API group \"\" in the \
         namespace \"t1\": no relationship found between node 'n1' and this object"
    );
    for path in ["/api/v1/secrets", SECRETS, "/api/v1/secrets?watch=1"] {
        assert_eq!(cluster.node("n1", "GET", path).status().await, 403, "{path}");
    }
    let one = format!("{SECRETS}?fieldSelector=metadata.name%3Ds1");
    assert_eq!(cluster.node("n1", "GET", &one).status().await, 200);
    // A pod that is bound later, and one that goes.
    let mut late = bound("late", "", "s2");
    late["spec"].as_object_mut().unwrap().remove("nodeName");
    cluster.make(PODS, late).await;
    assert_eq!(get("n1", "s2").status().await, 403, "the pod is not bound yet");
    let binding =
        json!({ "metadata": { "name": "late" }, "target": { "kind": "Node", "name": "n1" } });
    cluster.admin("POST", &format!("{PODS}/late/binding")).json(&binding).done(201).await;
    assert_eq!(get("n1", "s2").status().await, 200);
    cluster.admin("DELETE", &format!("{PODS}/late?gracePeriodSeconds=0")).done(200).await;
    assert_eq!(get("n1", "s2").status().await, 403, "the pod is gone");
    assert_eq!(get("n1", "s1").status().await, 200);
    // A container that is added to a pod that is bound.
    let add = json!({ "spec": { "ephemeralContainers": [{
        "name": "e", "image": "i", "terminationMessagePolicy": "File",
        "envFrom": [{ "secretRef": { "name": "s2" } }],
    }] } });
    let path = format!("{PODS}/p1/ephemeralcontainers");
    cluster.admin("PATCH", &path).merge(&add).done(200).await;
    assert_eq!(get("n1", "s2").status().await, 200, "the container needs it");
    assert_eq!(get("n3", "s2").status().await, 403);
}

#[tokio::test]
async fn a_node_reads_its_own_pods_and_its_own_node() {
    let cluster = cluster().await;
    for (path, wanted) in [
        (format!("{PODS}/p1"), 200),
        (format!("{PODS}/p2"), 403),
        ("/api/v1/pods".to_owned(), 403),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn1".to_owned(), 200),
        ("/api/v1/pods?fieldSelector=spec.nodeName%3Dn2".to_owned(), 403),
        ("/api/v1/pods?fieldSelector=spec.nodeName%21%3Dn1".to_owned(), 403),
        (format!("{NODES}/n1"), 200),
        (format!("{NODES}/n2"), 403),
        (NODES.to_owned(), 403),
        (format!("{NODES}?fieldSelector=metadata.name%3Dn1"), 200),
        (format!("{LEASES}/n1"), 200),
        (format!("{LEASES}/n2"), 403),
        ("/api/v1/services".to_owned(), 200),
        ("/apis/node.k8s.io/v1/runtimeclasses".to_owned(), 200),
        ("/api/v1/namespaces".to_owned(), 403),
        ("/apis/apps/v1/deployments".to_owned(), 403),
    ] {
        let status = cluster.node("n1", "GET", &path).status().await;
        assert_eq!(status, wanted, "{path}");
    }
    let reader = json!([{ "apiGroups": [""], "resources": ["nodes"], "verbs": ["list"] }]);
    cluster.grant("system:node:n1", "", reader).await;
    assert_eq!(cluster.node("n1", "GET", NODES).status().await, 200, "a role gives more");
}

#[tokio::test]
async fn attack_12_a_node_writes_nothing_of_another() {
    let cluster = cluster().await;
    let patch = |path: String, body: Value| cluster.node("n1", "PATCH", &path).merge(&body);
    let status = json!({ "status": { "phase": "Running" } });
    patch(format!("{PODS}/p1/status"), status.clone()).done(200).await;
    refused(
        patch(format!("{PODS}/p2/status"), status),
        403,
        "node \"n1\" can only update pod status for pods with spec.nodeName set to itself",
    )
    .await;
    let labels = json!({ "metadata": { "labels": { "a": "b" } }, "status": { "reason": "x" } });
    refused(
        patch(format!("{PODS}/p1/status"), labels),
        403,
        "node \"n1\" cannot update labels through pod status",
    )
    .await;
    let ready = json!({ "status": { "conditions": [{ "type": "Ready", "status": "True" }] } });
    patch(format!("{NODES}/n1/status"), ready.clone()).done(200).await;
    refused(
        patch(format!("{NODES}/n2/status"), ready),
        403,
        "node \"n1\" is not allowed to modify node \"n2\"",
    )
    .await;
    let lease = json!({ "spec": { "holderIdentity": "n1" } });
    patch(format!("{LEASES}/n1"), lease.clone()).done(200).await;
    refused(
        patch(format!("{LEASES}/n2"), lease),
        403,
        "can only access node lease with the same name as the requesting node",
    )
    .await;
    refused(
        cluster.node("n1", "POST", LEASES).json(&json!({ "metadata": { "name": "n3" } })),
        403,
        "leases.coordination.k8s.io \"n3\" is forbidden: can only access node lease with the same name as the requesting node",
    )
    .await;
    refused(
        cluster.node("n1", "DELETE", &format!("{PODS}/p2")),
        403,
        "pods \"p2\" is forbidden: node \"n1\" can only delete pods with spec.nodeName set to itself",
    )
    .await;
    cluster.node("n1", "DELETE", &format!("{PODS}/p1?gracePeriodSeconds=0")).done(200).await;
    let own = json!({ "metadata": { "name": "n1" }, "spec": { "drivers": [] } });
    cluster.node("n1", "POST", CSI).json(&own).done(201).await;
    let other = json!({ "metadata": { "name": "n2" }, "spec": { "drivers": [] } });
    refused(
        cluster.node("n1", "POST", CSI).json(&other),
        403,
        "can only access CSINode with the same name as the requesting node",
    )
    .await;
    assert_eq!(cluster.node("n1", "DELETE", &format!("{NODES}/n1")).status().await, 403);
}

#[tokio::test]
async fn attack_13_a_node_does_not_choose_its_labels_taints_and_owners() {
    let cluster = cluster().await;
    let patch = |body: Value| cluster.node("n1", "PATCH", &format!("{NODES}/n1")).merge(&body);
    let label = |name: &str| patch(json!({ "metadata": { "labels": { name: "x" } } }));
    for own in [
        "example.org/a",
        "kubernetes.io/hostname",
        "topology.kubernetes.io/zone",
        "kubelet.kubernetes.io/a",
        "a.node.kubernetes.io/b",
        "node.kubernetes.io/instance-type",
        "plain",
    ] {
        label(own).done(200).await;
    }
    for other in [
        "node-restriction.kubernetes.io/x",
        "a.node-restriction.kubernetes.io/x",
        "node-role.kubernetes.io/control-plane",
        "kubernetes.io/x",
        "a.k8s.io/x",
    ] {
        refused(label(other), 403, &format!("is not allowed to modify labels: {other}")).await;
    }
    refused(
        patch(json!({ "spec": { "taints": null } })),
        403,
        "nodes \"n1\" is forbidden: node \"n1\" is not allowed to modify taints",
    )
    .await;
    let owner = json!([{ "apiVersion": "v1", "kind": "ConfigMap", "name": "gone", "uid": "u" }]);
    refused(
        patch(json!({ "metadata": { "ownerReferences": owner } })),
        403,
        "node \"n1\" is not allowed to modify ownerReferences",
    )
    .await;
    let new = |name: &str, label: &str| {
        let object =
            json!({ "metadata": { "name": name, "labels": { label: "x", "b.k8s.io/y": "" } } });
        cluster.node("n3", "POST", NODES).json(&object)
    };
    refused(
        new("n3", "node-restriction.kubernetes.io/x"),
        403,
        "node \"n3\" is not allowed to set the following labels: b.k8s.io/y, node-restriction.kubernetes.io/x",
    )
    .await;
    refused(new("n4", "a"), 403, "node \"n3\" is not allowed to modify node \"n4\"").await;
    let taint = json!([{ "key": "k", "effect": "NoSchedule" }]);
    let object = json!({ "metadata": { "name": "n3" }, "spec": { "taints": taint } });
    cluster.node("n3", "POST", NODES).json(&object).done(201).await;
    // An administrator may do all of it.
    let all =
        json!({ "metadata": { "labels": { "kubernetes.io/x": "y" } }, "spec": { "taints": null } });
    cluster.admin("PATCH", &format!("{NODES}/n1")).merge(&all).done(200).await;
}

fn mirror(uid: &Value) -> Value {
    let mut mirror = pod("m");
    mirror["metadata"]["annotations"] = json!({ "kubernetes.io/config.mirror": "x" });
    mirror["metadata"]["ownerReferences"] = json!([{
        "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": uid, "controller": true,
    }]);
    mirror["spec"]["nodeName"] = "n1".into();
    mirror
}

#[tokio::test]
async fn attack_14_a_node_makes_mirror_pods_that_use_nothing() {
    let cluster = cluster().await;
    let uid = cluster.get(&format!("{NODES}/n1")).await["metadata"]["uid"].clone();
    let post = |pod: &Value| cluster.node("n1", "POST", PODS).json(pod);
    let wrong = |path: &str, value: Value| {
        let mut pod = mirror(&uid);
        *pod.pointer_mut(path).unwrap() = value;
        pod
    };
    let volume = |volume: Value| {
        let mut pod = mirror(&uid);
        let mut volume = volume;
        volume["name"] = "v".into();
        pod["spec"]["volumes"] = json!([volume]);
        pod
    };
    let mut account = mirror(&uid);
    account["spec"]["serviceAccountName"] = "robot".into();
    let owner = "node \"n1\" can only create pods with an owner reference set to itself";
    let refusals = [
        (
            wrong("/metadata/annotations", json!({})),
            "pod does not have \"kubernetes.io/config.mirror\" annotation, node \"n1\" can only create mirror pods",
        ),
        (
            wrong("/spec/nodeName", "n2".into()),
            "node \"n1\" can only create pods with spec.nodeName set to itself",
        ),
        (wrong("/metadata/ownerReferences", json!([])), owner),
        (wrong("/metadata/ownerReferences/0/name", "n2".into()), owner),
        (
            wrong("/metadata/ownerReferences/0/controller", false.into()),
            "node \"n1\" can only create pods with a controller owner reference set to itself",
        ),
        (account, "node \"n1\" can not create pods that reference a service account"),
        (
            volume(json!({ "secret": { "secretName": "s2" } })),
            "node \"n1\" can not create pods that reference secrets",
        ),
        (
            volume(json!({ "configMap": { "name": "c" } })),
            "node \"n1\" can not create pods that reference configmaps",
        ),
        (
            volume(json!({ "persistentVolumeClaim": { "claimName": "c" } })),
            "node \"n1\" can not create pods that reference persistentvolumeclaims",
        ),
    ];
    for (pod, sentence) in refusals {
        refused(post(&pod), 403, sentence).await;
    }
    let stranger = wrong("/metadata/ownerReferences/0/uid", "other".into());
    let sentence = format!("node n1 UID mismatch: expected other got {}", uid.as_str().unwrap());
    refused(post(&stranger), 403, &sentence).await;
    post(&mirror(&uid)).done(201).await;
    refused(
        cluster.node("n1", "PUT", &format!("{PODS}/m")).json(&mirror(&uid)),
        403,
        "cannot update resource \"pods\" in API group \"\" in the namespace \"t1\"",
    )
    .await;
}

#[tokio::test]
async fn attack_14_a_node_gets_tokens_for_its_own_pods_only() {
    let cluster = cluster().await;
    let accounts = "/api/v1/namespaces/t1/serviceaccounts";
    cluster.make(accounts, json!({ "metadata": { "name": "unused" } })).await;
    let uid =
        async |pod: &str| cluster.get(&format!("{PODS}/{pod}")).await["metadata"]["uid"].clone();
    let (one, two) = (uid("p1").await, uid("p2").await);
    let token = |account: &str, bound: Value| {
        let request = json!({ "spec": { "audiences": [], "boundObjectRef": bound } });
        cluster.node("n1", "POST", &format!("{accounts}/{account}/token")).json(&request)
    };
    let of = |name: &str, uid: &Value| json!({ "apiVersion": "v1", "kind": "Pod", "name": name, "uid": uid });
    token("robot", of("p1", &one)).done(201).await;
    refused(
        token("unused", of("p1", &one)),
        403,
        "no relationship found between node 'n1' and this object",
    )
    .await;
    for (bound, sentence) in [
        (Value::Null, "node requested token not bound to a pod"),
        (
            json!({ "apiVersion": "v1", "kind": "Node", "name": "n1", "uid": "x" }),
            "node requested token not bound to a pod",
        ),
        (of("p1", &"".into()), "node requested token with a pod binding without a uid"),
        (of("p2", &two), "node requested token bound to a pod scheduled on a different node"),
        (
            of("p1", &two),
            "does not match the UID in record. The object might have been deleted and then recreated",
        ),
    ] {
        refused(token("robot", bound), 403, sentence).await;
    }
    assert_eq!(token("robot", of("none", &one)).status().await, 404);
}

#[tokio::test]
async fn a_node_evicts_its_own_pods_and_charges_nobody_for_others() {
    let cluster = cluster().await;
    let evict = |pod: &str| {
        let eviction = json!({
            "apiVersion": "policy/v1", "kind": "Eviction", "metadata": { "name": pod },
            "deleteOptions": { "gracePeriodSeconds": 0 },
        });
        cluster.node("n1", "POST", &format!("{PODS}/{pod}/eviction")).json(&eviction)
    };
    refused(evict("p2"), 403, "node n1 can only evict pods with spec.nodeName set to itself").await;
    cluster.get(&format!("{PODS}/p2")).await;
    evict("p1").done(201).await;
    assert_eq!(cluster.admin("GET", &format!("{PODS}/p1")).status().await, 404);
    refused(evict("none"), 404, "pods \"none\" not found").await;
}

#[tokio::test]
async fn of_a_claim_a_node_tells_the_size() {
    let cluster = cluster().await;
    let claims = "/api/v1/namespaces/t1/persistentvolumeclaims";
    let claim = json!({
        "metadata": { "name": "c" },
        "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } },
    });
    cluster.make(claims, claim).await;
    let patch =
        |body: Value| cluster.node("n1", "PATCH", &format!("{claims}/c/status")).merge(&body);
    let size = json!({ "status": { "capacity": { "storage": "2Gi" } } });
    assert_eq!(patch(size.clone()).status().await, 403, "no pod of the node uses it");
    let mut user = bound("user", "n1", "s1");
    user["spec"]["volumes"] =
        json!([{ "name": "v", "persistentVolumeClaim": { "claimName": "c" } }]);
    cluster.make(PODS, user).await;
    patch(size).done(200).await;
    for other in [
        json!({ "status": { "phase": "Lost" } }),
        json!({ "metadata": { "labels": { "a": "b" } } }),
    ] {
        refused(
            patch(other),
            403,
            "node \"n1\" is not allowed to update fields other than status.capacity and status.conditions",
        )
        .await;
    }
}

#[tokio::test]
async fn a_node_writes_events_in_both_groups() {
    let cluster = cluster().await;
    let old = json!({
        "metadata": { "name": "a" }, "involvedObject": { "kind": "Pod", "namespace": "t1", "name": "p1" },
    });
    cluster.node("n1", "POST", "/api/v1/namespaces/t1/events").json(&old).done(201).await;
    let new = json!({
        "metadata": { "name": "b" }, "regarding": { "kind": "Pod", "namespace": "t1", "name": "p1" },
        "eventTime": "2027-01-15T08:00:00.000000Z", "reportingController": "kubelet",
        "reportingInstance": "n1", "action": "Pulling", "reason": "Pulling", "type": "Normal",
    });
    let path = "/apis/events.k8s.io/v1/namespaces/t1/events";
    cluster.node("n1", "POST", path).json(&new).done(201).await;
    assert_eq!(cluster.node("n1", "DELETE", &format!("{path}/b")).status().await, 403);
}

#[tokio::test]
async fn one_who_only_calls_himself_a_node_is_none() {
    let cluster = cluster().await;
    let call = |path: &str| cluster.call("GET", path).user("system:node:n1", &[]);
    assert_eq!(call(&format!("{SECRETS}/s1")).status().await, 403);
    let nameless = cluster.call("GET", "/api/v1/services").user("system:node:", &["system:nodes"]);
    refused(nameless, 403, "unknown node for user \"system:node:\"").await;
}

#[tokio::test]
async fn pods_stay_five_minutes_on_a_lost_node_unless_they_say_otherwise() {
    let store = || Store::memory(Options::default());
    let toleration = |taint: &str, seconds: i64| {
        json!({
            "key": format!("node.kubernetes.io/{taint}"), "operator": "Exists", "effect": "NoExecute",
            "tolerationSeconds": seconds,
        })
    };
    let cluster = Cluster::new().await;
    let made = cluster.make(PODS, pod("plain")).await;
    let wanted = json!([toleration("not-ready", 300), toleration("unreachable", 300)]);
    assert_eq!(made["spec"]["tolerations"], wanted);
    for (name, own, more) in [
        ("own", toleration("not-ready", 5), json!([toleration("unreachable", 300)])),
        ("all", json!({ "operator": "Exists" }), json!([])),
        ("no-execute", json!({ "operator": "Exists", "effect": "NoExecute" }), json!([])),
        ("other", json!({ "key": "a", "operator": "Exists" }), wanted.clone()),
        ("schedule", json!({ "operator": "Exists", "effect": "NoSchedule" }), wanted.clone()),
    ] {
        let mut object = pod(name);
        object["spec"]["tolerations"] = json!([own.clone()]);
        let made = cluster.make(PODS, object).await;
        let mut all = vec![own];
        all.extend(more.as_array().unwrap().iter().cloned());
        assert_eq!(made["spec"]["tolerations"], Value::from(all), "{name}");
    }
    let short = Tolerations { not_ready_seconds: 1, unreachable_seconds: 2 };
    let cluster = Cluster::with(store(), |builder| builder.tolerations(short)).await;
    let made = cluster.make(PODS, pod("plain")).await;
    let wanted = json!([toleration("not-ready", 1), toleration("unreachable", 2)]);
    assert_eq!(made["spec"]["tolerations"], wanted);
    let off = ["DefaultTolerationSeconds".to_owned()];
    let cluster = Cluster::with(store(), |builder| builder.without_admission(off)).await;
    let made = cluster.make(PODS, pod("plain")).await;
    assert!(made["spec"]["tolerations"].is_null(), "{made}");
}
