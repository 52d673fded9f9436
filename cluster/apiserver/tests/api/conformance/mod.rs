// SPDX-License-Identifier: Apache-2.0
//! What upstream's conformance tests of the API alone ask for, on the kinds that are built. Which of them is which test here stands in
//! `docs/conformance.md`; steps that only prepare for upstream's own tools are left out.

mod events;
mod machinery;
mod network;
mod objects;
mod reading;

use crate::kit::{Cluster, Events};
use berth_cluster_apiserver::{CONTROLLERS, Control, Controllers};
use berth_cluster_json::{Value, json};
use std::net::{Ipv4Addr, SocketAddrV4};
use std::time::Duration;

/// The controllers that the server has, with an address for the Service `kubernetes`.
fn controlled(cluster: &Cluster) -> Controllers {
    cluster.server.control(Control {
        names: CONTROLLERS.map(str::to_owned).to_vec(),
        ca: "a CA".to_owned(),
        service_ip: Ipv4Addr::new(10, 0, 0, 1),
        url: Some("https://192.0.2.7:6443".to_owned()),
        advertised: Some(SocketAddrV4::new(Ipv4Addr::new(192, 0, 2, 7), 6_443)),
    })
}

/// Waits for what a path has to become so; a controller has to do it.
async fn until(cluster: &Cluster, path: &str, is: impl Fn(u16, &Value) -> bool) -> Value {
    for _ in 0..1_000 {
        let reply = cluster.admin("GET", path).reply().await;
        if is(reply.status, &reply.value()) {
            return reply.value();
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{path} does not become what it should be");
}

/// A watch of what has the label `test=NAME`, from now on.
async fn watched(cluster: &Cluster, collection: &str, label: &str) -> Events {
    let path = format!("{collection}?watch=1&labelSelector={}", label.replace('=', "%3D"));
    cluster.admin("GET", &path).watch().await
}

/// The types of events that are there, in order.
fn types(events: &mut Events) -> Vec<String> {
    events.ready().iter().map(|one| crate::kit::brief(one).0).collect()
}

/// Names in a list of what has a label.
async fn named(cluster: &Cluster, collection: &str, label: &str) -> Vec<String> {
    let list =
        cluster.get(&format!("{collection}?labelSelector={}", label.replace('=', "%3D"))).await;
    let items = list["items"].as_array().unwrap();
    items.iter().map(|one| one["metadata"]["name"].as_str().unwrap().to_owned()).collect()
}

/// The object with a label `test`.
fn labelled(mut object: Value, label: &str) -> Value {
    object["metadata"]["labels"]["test"] = label.into();
    object
}

/// What all objects that can be deleted by a collection have in common: made, found in their namespace and in all, changed by patch and
/// by PUT, and gone with the collection, each told to who watches. `change` is a merge patch.
async fn lives(cluster: &Cluster, (all, own): (&str, &str), object: Value, change: &Value) {
    let name = object["metadata"]["name"].as_str().unwrap().to_owned();
    let path = format!("{own}/{name}");
    let mut events = watched(cluster, own, "test=life").await;
    let made = cluster.make(own, labelled(object, "life")).await;
    assert_eq!(cluster.get(&path).await["metadata"], made["metadata"]);
    for collection in [all, own] {
        assert_eq!(named(cluster, collection, "test=life").await, [name.as_str()], "{collection}");
        assert!(named(cluster, collection, "test=other").await.is_empty());
    }
    let patched = cluster.admin("PATCH", &path).merge(change).done(200).await;
    assert_ne!(patched["metadata"]["resourceVersion"], made["metadata"]["resourceVersion"]);
    let mut next = patched.clone();
    next["metadata"]["annotations"] = json!({ "updated": "true" });
    let put = cluster.admin("PUT", &path).json(&next).done(200).await;
    assert_eq!(put["metadata"]["annotations"]["updated"], "true");
    // A PUT with what was there before is refused.
    cluster.admin("PUT", &path).json(&patched).done(409).await;
    let collection = format!("{own}?labelSelector=test%3Dlife");
    cluster.admin("DELETE", &format!("{own}?labelSelector=test%3Dother")).done(200).await;
    assert_eq!(cluster.get(&path).await["metadata"]["uid"], made["metadata"]["uid"]);
    cluster.admin("DELETE", &collection).done(200).await;
    cluster.admin("GET", &path).done(404).await;
    assert!(named(cluster, all, "test=life").await.is_empty());
    assert_eq!(types(&mut events), ["ADDED", "MODIFIED", "MODIFIED", "DELETED"], "{path}");
}
