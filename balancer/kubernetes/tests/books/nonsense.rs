// SPDX-License-Identifier: Apache-2.0
//! Objects that say nothing, null, or nonsense are empty or an error, and nobody falls over them.

use crate::support::{around, put_service, put_slice, table};
use berth_balancer_kubernetes::Books;
use berth_balancer_kubernetes::view::{Node, Pod, Service, Slice};
use berth_cluster_client::View;
use serde_json::{Value, json};

/// Whether all kinds can read it.
fn reads(object: &Value) -> [bool; 4] {
    let text = object.to_string();
    let json = text.as_bytes();
    [
        Service::read(json).is_ok(),
        Slice::read(json).is_ok(),
        Pod::read(json).is_ok(),
        Node::read(json).is_ok(),
    ]
}

#[test]
fn nothing_and_null_are_read_as_nothing() {
    let nothing = json!({ "metadata": {} });
    let nulls = json!({
        "metadata": { "labels": null, "annotations": null, "creationTimestamp": null, "deletionTimestamp": null },
        "spec": null, "status": null, "endpoints": null, "ports": null, "addressType": null,
    });
    for object in [&nothing, &nulls] {
        assert_eq!(reads(object), [true; 4], "{object}");
    }
    let mut books = Books::new(around());
    put_service(&mut books, "web", &nothing);
    put_slice(&mut books, "web-1", &nulls);
    assert!(table(&mut books).is_empty());
}

#[test]
fn what_cannot_be_is_refused_by_itself_and_said() {
    let wrong = json!({ "metadata": {}, "spec": { "clusterIP": "10.96.0.1", "ports": [{ "port": 70000 }] } });
    assert!(Service::read(wrong.to_string().as_bytes()).is_err());
    // What the API would not let in, were it to: a port of 0, two ports of one name, an address that no host has.
    for (spec, served) in [
        (json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 0 }] }), false),
        (json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }, { "port": 81 }] }), false),
        (json!({ "clusterIP": "255.255.255.255", "ports": [{ "port": 80 }] }), false),
        (json!({ "clusterIP": "nonsense", "ports": [{ "port": 80 }] }), false),
        (json!({ "clusterIP": "10.96.0.1", "ports": [] }), false),
        (
            json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }], "sessionAffinity": "ClientIP",
            "sessionAffinityConfig": { "clientIP": { "timeoutSeconds": 0 } } }),
            false,
        ),
        (json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }] }), true),
    ] {
        let mut books = Books::new(around());
        put_service(&mut books, "web", &json!({ "metadata": {}, "spec": spec }));
        let endpoints = json!([
            { "addresses": [] }, { "addresses": ["fqdn.example.com"] }, { "addresses": null },
            { "addresses": ["0.0.0.0"], "conditions": null },
        ]);
        let slice = json!({
            "metadata": { "labels": { "kubernetes.io/service-name": "other" } }, "addressType": "IPv4",
            "ports": [{ "name": null, "port": 8080, "protocol": null }], "endpoints": endpoints,
        });
        put_slice(&mut books, "web-1", &slice);
        assert_eq!(table(&mut books).len(), usize::from(served), "{spec}");
    }
}

#[test]
fn one_endpoint_that_cannot_be_does_not_take_its_service_along() {
    let mut books = Books::new(around());
    let spec = json!({ "clusterIP": "10.96.0.1", "ports": [{ "port": 80 }] });
    put_service(&mut books, "web", &json!({ "metadata": {}, "spec": spec }));
    let slice = json!({
        "metadata": { "labels": { "kubernetes.io/service-name": "web" } }, "addressType": "IPv4",
        "ports": [{ "port": 8080 }],
        "endpoints": [{ "addresses": ["0.0.0.0"] }, { "addresses": ["224.0.0.1"] }, { "addresses": ["10.1.0.1"] }],
    });
    put_slice(&mut books, "web-1", &slice);
    assert_eq!(
        table(&mut books),
        ["web"].map(|name| format!("d/{name} cluster=10.96.0.1 80/TCP>[10.1.0.1:8080-]"))
    );
}
