// SPDX-License-Identifier: Apache-2.0
//! ConfigMaps, Secrets, ServiceAccounts, Leases, nodes, disruption budgets, priority classes, pods.

use super::{labelled, lives, named, watched};
use crate::kit::{Cluster, config, pod};
use berth_cluster_json::{Value, json};

const CONFIGS: (&str, &str) = ("/api/v1/configmaps", "/api/v1/namespaces/t1/configmaps");
const SECRETS: (&str, &str) = ("/api/v1/secrets", "/api/v1/namespaces/t1/secrets");
const ACCOUNTS: (&str, &str) = ("/api/v1/serviceaccounts", "/api/v1/namespaces/t1/serviceaccounts");
const LEASES: (&str, &str) =
    ("/apis/coordination.k8s.io/v1/leases", "/apis/coordination.k8s.io/v1/namespaces/t1/leases");
const BUDGETS: (&str, &str) =
    ("/apis/policy/v1/poddisruptionbudgets", "/apis/policy/v1/namespaces/t1/poddisruptionbudgets");
const CLASSES: &str = "/apis/scheduling.k8s.io/v1/priorityclasses";
const PODS: &str = "/api/v1/namespaces/t1/pods";

#[tokio::test]
async fn an_empty_key_is_refused() {
    let cluster = Cluster::new().await;
    for (collection, value) in [(CONFIGS.1, "x"), (SECRETS.1, "dmFsdWU=")] {
        let object = json!({ "metadata": { "name": "a" }, "data": { "": value } });
        let refused = cluster.admin("POST", collection).json(&object).done(422).await;
        assert_eq!(refused["reason"], "Invalid", "{refused}");
        cluster.admin("GET", &format!("{collection}/a")).done(404).await;
    }
}

#[tokio::test]
async fn a_config_map_lives() {
    let cluster = Cluster::new().await;
    lives(&cluster, CONFIGS, config("a", "before"), &json!({ "data": { "text": "after" } })).await;
}

#[tokio::test]
async fn a_secret_is_patched() {
    let cluster = Cluster::new().await;
    let object =
        json!({ "metadata": { "name": "a" }, "data": { "key": "dmFsdWU=" }, "type": "Opaque" });
    lives(&cluster, SECRETS, object.clone(), &json!({ "data": { "key": "bmV3" } })).await;
    cluster.make(SECRETS.1, object).await;
    let patch =
        json!({ "metadata": { "labels": { "test": "p" } }, "stringData": { "key": "value1" } });
    let path = format!("{}/a", SECRETS.1);
    let call = cluster
        .admin("PATCH", &path)
        .bytes("application/strategic-merge-patch+json", patch.to_string());
    call.done(200).await;
    let read = cluster.get(&path).await;
    assert_eq!(
        (&read["data"]["key"], &read["metadata"]["labels"]["test"]),
        (&json!("dmFsdWUx"), &json!("p"))
    );
    assert!(read.get("stringData").is_none());
}

#[tokio::test]
async fn what_is_immutable_stays_until_it_is_deleted() {
    let cluster = Cluster::new().await;
    for (collection, old, new) in [(CONFIGS.1, "old", "new"), (SECRETS.1, "b2xk", "bmV3")] {
        let path = format!("{collection}/a");
        let object = json!({ "metadata": { "name": "a" }, "data": { "k": old } });
        cluster.make(collection, object.clone()).await;
        let patch = |body: Value| cluster.admin("PATCH", &path).merge(&body);
        patch(json!({ "data": { "k": new } })).done(200).await;
        patch(json!({ "immutable": true })).done(200).await;
        for (what, body) in [
            ("a value", json!({ "data": { "k": old } })),
            ("one more", json!({ "data": { "more": old } })),
            ("mutable", json!({ "immutable": false })),
            ("not told", json!({ "immutable": null })),
        ] {
            let refused = patch(body).done(422).await;
            assert_eq!(refused["reason"], "Invalid", "{what}");
        }
        patch(json!({ "metadata": { "labels": { "may": "change" } } })).done(200).await;
        assert_eq!(cluster.get(&path).await["data"], json!({ "k": new }));
        cluster.admin("DELETE", &path).done(200).await;
        cluster.make(collection, object).await;
    }
}

#[tokio::test]
async fn a_service_account_lives_and_is_updated() {
    let cluster = Cluster::new().await;
    let object = json!({ "metadata": { "name": "a" } });
    lives(&cluster, ACCOUNTS, object.clone(), &json!({ "automountServiceAccountToken": false }))
        .await;
    let path = format!("{}/a", ACCOUNTS.1);
    let mut made = cluster.make(ACCOUNTS.1, object).await;
    made["automountServiceAccountToken"] = true.into();
    cluster.admin("PUT", &path).json(&made).done(200).await;
    assert_eq!(cluster.get(&path).await["automountServiceAccountToken"], true);
}

#[tokio::test]
async fn a_lease_lives() {
    let cluster = Cluster::new().await;
    let spec = |holder: &str, transitions: i64| {
        json!({
            "holderIdentity": holder, "leaseDurationSeconds": 30, "acquireTime": "2027-01-15T08:00:00.000001Z",
            "renewTime": "2027-01-15T08:00:05.000002Z", "leaseTransitions": transitions,
        })
    };
    let object = |name: &str| json!({ "metadata": { "name": name }, "spec": spec("holder", 0) });
    lives(&cluster, LEASES, object("l"), &json!({ "spec": { "leaseDurationSeconds": 60 } })).await;
    let path = format!("{}/a", LEASES.1);
    let made = cluster.make(LEASES.1, object("a")).await;
    assert_eq!(made["spec"], spec("holder", 0), "to the millionth of a second");
    let mut next = made;
    next["spec"] = spec("holder2", 1);
    let put = cluster.admin("PUT", &path).json(&next).done(200).await;
    assert_eq!(put["spec"], spec("holder2", 1));
    let patch = json!({ "spec": { "leaseTransitions": 2 } }).to_string();
    cluster
        .admin("PATCH", &path)
        .bytes("application/strategic-merge-patch+json", patch)
        .done(200)
        .await;
    assert_eq!(cluster.get(&path).await["spec"], spec("holder2", 2));
    cluster.admin("DELETE", &path).done(200).await;
    cluster.admin("GET", &path).done(404).await;
}

#[tokio::test]
async fn a_node_lives() {
    let cluster = Cluster::new().await;
    let object = json!({ "metadata": { "name": "fake-node" } });
    let change = json!({ "metadata": { "labels": { "patched": "true" } }, "spec": { "unschedulable": true } });
    lives(&cluster, ("/api/v1/nodes", "/api/v1/nodes"), object, &change).await;
}

#[tokio::test]
async fn a_disruption_budget_is_made_changed_and_deleted() {
    let cluster = Cluster::new().await;
    let object = |name: &str| {
        json!({
            "metadata": { "name": name },
            "spec": { "selector": { "matchLabels": { "foo": "bar" } }, "minAvailable": 1 },
        })
    };
    lives(&cluster, BUDGETS, object("b"), &json!({ "spec": { "minAvailable": "50%" } })).await;
    // In two namespaces, of which one is emptied.
    cluster.make("/api/v1/namespaces", json!({ "metadata": { "name": "t2" } })).await;
    let far = BUDGETS.1.replace("t1", "t2");
    for (collection, name) in [(BUDGETS.1, "a"), (BUDGETS.1, "b"), (&far, "c")] {
        cluster.make(collection, labelled(object(name), "set")).await;
    }
    assert_eq!(named(&cluster, BUDGETS.0, "test=set").await, ["a", "b", "c"]);
    cluster.admin("DELETE", &format!("{}?labelSelector=test%3Dset", BUDGETS.1)).done(200).await;
    assert_eq!(named(&cluster, BUDGETS.0, "test=set").await, ["c"]);
    // What its controller writes is a part by itself.
    let path = format!("{far}/c/status");
    let status = json!({ "currentHealthy": 1, "desiredHealthy": 1, "disruptionsAllowed": 0, "expectedPods": 1 });
    let patched = cluster.admin("PATCH", &path).merge(&json!({ "status": status })).done(200).await;
    assert_eq!(patched["status"]["expectedPods"], 1);
    assert_eq!(cluster.get(&path).await["spec"], patched["spec"]);
}

#[tokio::test]
async fn priority_classes_answer_every_method() {
    let cluster = Cluster::new().await;
    let object = |name: &str, value: i64| json!({ "metadata": { "name": name }, "value": value, "description": "before" });
    lives(&cluster, (CLASSES, CLASSES), object("p", 7), &json!({ "description": "after" })).await;
    for (name, value) in [("p1", 1), ("p2", 2)] {
        cluster.make(CLASSES, labelled(object(name, value), "pc")).await;
        let path = format!("{CLASSES}/{name}");
        let mut read = cluster.get(&path).await;
        assert_eq!(read["value"], value);
        // The value is for ever, by whatever method.
        read["value"] = 10.into();
        cluster.admin("PUT", &path).json(&read).done(422).await;
        cluster.admin("PATCH", &path).merge(&json!({ "value": 10 })).done(422).await;
        let json_patch = json!([{ "op": "replace", "path": "/value", "value": 10 }]).to_string();
        cluster
            .admin("PATCH", &path)
            .bytes("application/json-patch+json", json_patch)
            .done(422)
            .await;
    }
    let table = cluster
        .admin("GET", CLASSES)
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    let table = table.done(200).await;
    assert_eq!(table["kind"], "Table");
    cluster.admin("DELETE", &format!("{CLASSES}/p1")).done(200).await;
    assert_eq!(named(&cluster, CLASSES, "test=pc").await, ["p2"]);
}

#[tokio::test]
async fn sysctls_have_names() {
    let cluster = Cluster::new().await;
    let mut object = pod("p");
    object["spec"]["securityContext"] = json!({ "sysctls": [
        { "name": "foo-", "value": "bar" }, { "name": "kernel.shmmax", "value": "100000000" },
        { "name": "safe-and-unsafe", "value": "100000000" }, { "name": "bar..", "value": "42" },
    ] });
    let refused = cluster.admin("POST", PODS).json(&object).done(422).await;
    let message = refused["message"].as_str().unwrap();
    for (number, name) in [(0, "foo-"), (3, "bar..")] {
        let part =
            format!("spec.securityContext.sysctls[{number}].name: Invalid value: \"{name}\"");
        assert!(message.contains(&part), "{part}: {message}");
    }
    assert!(
        !message.contains("kernel.shmmax") && !message.contains("safe-and-unsafe"),
        "{message}"
    );
}

#[tokio::test]
async fn a_pod_has_volumes_of_a_driver() {
    let cluster = Cluster::new().await;
    let mut object = labelled(pod("p"), "csi");
    let volume = json!({
        "name": "v", "csi": { "driver": "inline.example.com", "readOnly": true, "volumeAttributes": { "a": "b" } },
    });
    object["spec"]["volumes"] = json!([volume]);
    object["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "v", "mountPath": "/v" }]);
    let mut events = watched(&cluster, PODS, "test=csi").await;
    let made = cluster.make(PODS, object).await;
    assert_eq!(made["spec"]["volumes"], json!([volume]));
    assert_eq!(named(&cluster, "/api/v1/pods", "test=csi").await, ["p"]);
    let patch = json!({ "metadata": { "labels": { "patched": "true" } } });
    let patched = cluster.admin("PATCH", &format!("{PODS}/p")).merge(&patch).done(200).await;
    assert_eq!(patched["spec"]["volumes"], json!([volume]));
    cluster.admin("DELETE", &format!("{PODS}?labelSelector=test%3Dcsi")).done(200).await;
    cluster.admin("GET", &format!("{PODS}/p")).done(404).await;
    let told = super::types(&mut events);
    assert_eq!(
        (told.first().map(String::as_str), told.last().map(String::as_str)),
        (Some("ADDED"), Some("DELETED"))
    );
}
