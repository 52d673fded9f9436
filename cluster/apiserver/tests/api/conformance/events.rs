// SPDX-License-Identifier: Apache-2.0
//! Events, in both of their groups.

use super::{labelled, named, watched};
use crate::kit::Cluster;
use berth_cluster_json::{Value, json};

const CORE: (&str, &str) = ("/api/v1/events", "/api/v1/namespaces/t1/events");
const NEW: (&str, &str) =
    ("/apis/events.k8s.io/v1/events", "/apis/events.k8s.io/v1/namespaces/t1/events");
const TIME: &str = "2027-01-15T08:00:00.000000Z";

fn of_core(name: &str) -> Value {
    json!({
        "metadata": { "name": name }, "message": "before", "reason": "Test", "type": "Normal", "count": 1,
        "involvedObject": { "kind": "Pod", "name": "p", "namespace": "t1" },
        "firstTimestamp": "2027-01-15T08:00:00Z", "lastTimestamp": "2027-01-15T08:00:00Z",
    })
}

fn of_new(name: &str) -> Value {
    json!({
        "metadata": { "name": name }, "note": "before", "reason": "Test", "type": "Normal", "action": "Do",
        "regarding": { "kind": "Pod", "name": "p", "namespace": "t1" },
        "eventTime": TIME, "reportingController": "test-controller", "reportingInstance": "test-1",
    })
}

#[tokio::test]
async fn an_event_of_the_core_group_lives() {
    let cluster = Cluster::new().await;
    let path = format!("{}/e", CORE.1);
    cluster.make(CORE.1, labelled(of_core("e"), "e")).await;
    for collection in [CORE.0, CORE.1, NEW.0] {
        assert_eq!(named(&cluster, collection, "test=e").await, ["e"], "{collection}");
    }
    let patch = json!({ "message": "after" }).to_string();
    let call = cluster.admin("PATCH", &path).bytes("application/strategic-merge-patch+json", patch);
    call.done(200).await;
    let mut object = cluster.get(&path).await;
    assert_eq!((&object["message"], &object["reason"]), (&json!("after"), &json!("Test")));
    object["series"] = json!({ "count": 100, "lastObservedTime": TIME });
    cluster.admin("PUT", &path).json(&object).done(200).await;
    assert_eq!(cluster.get(&path).await["series"]["count"], 100);
    cluster.admin("DELETE", &path).done(200).await;
    assert!(named(&cluster, CORE.0, "test=e").await.is_empty());
}

#[tokio::test]
async fn an_event_of_its_own_group_lives() {
    let cluster = Cluster::new().await;
    let path = format!("{}/e", NEW.1);
    let mut events = watched(&cluster, NEW.1, "test=e").await;
    cluster.make(NEW.1, labelled(of_new("e"), "e")).await;
    for (collection, count) in
        [(NEW.0, 1), (NEW.1, 1), ("/apis/events.k8s.io/v1/namespaces/default/events", 0)]
    {
        assert_eq!(named(&cluster, collection, "test=e").await.len(), count, "{collection}");
    }
    let found = cluster.get(&format!("{}?fieldSelector=metadata.name%3De", NEW.1)).await;
    assert_eq!(found["items"][0]["note"], "before");
    let series = json!({ "series": { "count": 2, "lastObservedTime": TIME } }).to_string();
    cluster
        .admin("PATCH", &path)
        .bytes("application/strategic-merge-patch+json", series)
        .done(200)
        .await;
    let mut object = cluster.get(&path).await;
    assert_eq!(object["series"]["count"], 2);
    object["series"] = json!({ "count": 100, "lastObservedTime": "2027-01-15T08:00:09.000000Z" });
    cluster.admin("PUT", &path).json(&object).done(200).await;
    let read = cluster.get(&path).await;
    assert_eq!((&read["series"]["count"], &read["note"]), (&json!(100), &json!("before")));
    cluster.admin("DELETE", &path).done(200).await;
    cluster.admin("GET", &path).done(404).await;
    assert_eq!(super::types(&mut events), ["ADDED", "MODIFIED", "MODIFIED", "DELETED"]);
}

#[tokio::test]
async fn a_collection_of_events_is_deleted() {
    let cluster = Cluster::new().await;
    for (number, (collection, make)) in
        [(CORE, of_core as fn(&str) -> Value), (NEW, of_new)].into_iter().enumerate()
    {
        let label = format!("set{number}");
        for name in ["a", "b", "c"] {
            cluster.make(collection.1, labelled(make(&format!("{label}{name}")), &label)).await;
        }
        cluster.make(collection.1, labelled(make(&format!("{label}d")), "stays")).await;
        assert_eq!(named(&cluster, collection.0, &format!("test={label}")).await.len(), 3);
        let path = format!("{}?labelSelector=test%3D{label}", collection.1);
        cluster.admin("DELETE", &path).done(200).await;
        assert!(named(&cluster, collection.0, &format!("test={label}")).await.is_empty());
        assert_eq!(named(&cluster, collection.1, "test=stays").await.len(), number + 1);
    }
}
