// SPDX-License-Identifier: Apache-2.0
//! Services, Endpoints and EndpointSlices.

use super::{controlled, labelled, lives, named, types, until, watched};
use crate::kit::Cluster;
use berth_cluster_json::{Value, json};

const SERVICES: (&str, &str) = ("/api/v1/services", "/api/v1/namespaces/t1/services");
const ENDPOINTS: (&str, &str) = ("/api/v1/endpoints", "/api/v1/namespaces/t1/endpoints");
const SLICES: (&str, &str) = (
    "/apis/discovery.k8s.io/v1/endpointslices",
    "/apis/discovery.k8s.io/v1/namespaces/t1/endpointslices",
);

fn service(name: &str) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "type": "LoadBalancer", "ports": [{ "name": "http", "protocol": "TCP", "port": 80, "targetPort": 80 }] },
    })
}

#[tokio::test]
async fn the_status_of_a_service_has_a_life_of_its_own() {
    let cluster = Cluster::new().await;
    let path = format!("{}/s", SERVICES.1);
    let status = format!("{path}/status");
    let mut events = watched(&cluster, SERVICES.1, "test=s").await;
    cluster.make(SERVICES.1, labelled(service("s"), "s")).await;
    assert_eq!(named(&cluster, SERVICES.0, "test=s").await, ["s"]);
    assert_eq!(cluster.get(&status).await["status"]["loadBalancer"], json!({}));
    let ingress = json!({ "ingress": [{ "ip": "203.0.113.1" }] });
    let patch = json!({ "metadata": { "annotations": { "patched": "true" } }, "status": { "loadBalancer": ingress } });
    let patched = cluster.admin("PATCH", &status).merge(&patch).done(200).await;
    assert_eq!(patched["status"]["loadBalancer"]["ingress"][0]["ip"], "203.0.113.1");
    assert_eq!(patched["metadata"]["annotations"]["patched"], "true");
    let mut object = patched.clone();
    object["status"]["conditions"] = json!([{
        "type": "StatusUpdate", "status": "True", "reason": "E2E", "message": "by a test",
        "lastTransitionTime": "2027-01-15T08:00:00Z",
    }]);
    object["spec"]["ports"][0]["port"] = 81.into();
    cluster.admin("PUT", &status).json(&object).done(200).await;
    let read = cluster.get(&path).await;
    assert_eq!(read["status"]["conditions"][0]["type"], "StatusUpdate");
    assert_eq!(read["spec"]["ports"][0]["port"], 80, "the spec is not the status's");
    let label = json!({ "metadata": { "labels": { "patched": "yes" } }, "status": { "loadBalancer": null } });
    let patched = cluster.admin("PATCH", &path).merge(&label).done(200).await;
    assert_eq!(patched["metadata"]["labels"]["patched"], "yes");
    assert_eq!(patched["status"], read["status"], "the status is not the service's");
    cluster.admin("DELETE", &path).done(200).await;
    assert_eq!(types(&mut events), ["ADDED", "MODIFIED", "MODIFIED", "MODIFIED", "DELETED"]);
}

#[tokio::test]
async fn of_services_a_collection_is_deleted() {
    let cluster = Cluster::new().await;
    for (name, label) in [("a", "goes"), ("b", "goes"), ("c", "stays")] {
        cluster.make(SERVICES.1, labelled(service(name), label)).await;
    }
    assert_eq!(named(&cluster, SERVICES.1, "test=goes").await, ["a", "b"]);
    cluster.admin("DELETE", &format!("{}?labelSelector=test%3Dgoes", SERVICES.1)).done(200).await;
    assert!(named(&cluster, SERVICES.1, "test=goes").await.is_empty());
    assert_eq!(named(&cluster, SERVICES.1, "test=stays").await, ["c"]);
}

#[tokio::test]
async fn a_service_lives() {
    let cluster = Cluster::new().await;
    let change = json!({ "spec": { "ports": [{ "name": "http", "port": 8_080 }] } });
    lives(&cluster, SERVICES, service("s"), &change).await;
}

#[tokio::test]
async fn the_server_is_a_service_and_its_endpoints_name_it() {
    let cluster = Cluster::new().await;
    let running = controlled(&cluster);
    let path = "/api/v1/namespaces/default/services/kubernetes";
    let service = until(&cluster, path, |status, _| status == 200).await;
    let port = &service["spec"]["ports"][0];
    assert_eq!(
        (&port["name"], &port["port"], &port["protocol"]),
        (&json!("https"), &json!(443), &json!("TCP"))
    );
    let all = cluster.get(SERVICES.0).await;
    let found = all["items"].as_array().unwrap().iter().any(|one| {
        one["metadata"]["name"] == "kubernetes" && one["metadata"]["namespace"] == "default"
    });
    assert!(found, "it is among the services of all namespaces");
    let endpoints = "/api/v1/namespaces/default/endpoints/kubernetes";
    let endpoints = until(&cluster, endpoints, |status, _| status == 200).await;
    let subset = &endpoints["subsets"][0];
    assert_eq!(
        (&subset["addresses"][0]["ip"], &subset["ports"][0]["port"]),
        (&json!("192.0.2.7"), &json!(6_443))
    );
    let slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices?labelSelector=kubernetes.io%2Fservice-name%3Dkubernetes";
    let slices =
        until(&cluster, slices, |_, list| !list["items"].as_array().unwrap().is_empty()).await;
    let slice = &slices["items"][0];
    assert_eq!(slice["endpoints"][0]["addresses"], json!(["192.0.2.7"]));
    assert_eq!(
        (&slice["ports"][0]["port"], &slice["addressType"]),
        (&json!(6_443), &json!("IPv4"))
    );
    running.stop().await;
}

#[tokio::test]
async fn endpoints_live() {
    let cluster = Cluster::new().await;
    let object = json!({
        "metadata": { "name": "e" },
        "subsets": [{ "addresses": [{ "ip": "10.0.0.24" }], "ports": [{ "name": "http", "port": 80, "protocol": "TCP" }] }],
    });
    let change = json!({
        "metadata": { "labels": { "more": "x" } },
        "subsets": [{ "addresses": [{ "ip": "10.0.0.25" }], "ports": [{ "name": "http-test", "port": 8_080 }] }],
    });
    lives(&cluster, ENDPOINTS, object.clone(), &change).await;
    cluster.make(ENDPOINTS.1, object).await;
    let patched =
        cluster.admin("PATCH", &format!("{}/e", ENDPOINTS.1)).merge(&change).done(200).await;
    let subset = &patched["subsets"][0];
    assert_eq!(
        (&subset["addresses"][0]["ip"], &subset["ports"][0]["protocol"]),
        (&json!("10.0.0.25"), &json!("TCP"))
    );
}

#[tokio::test]
async fn an_endpoint_slice_lives() {
    let cluster = Cluster::new().await;
    let group = cluster.get("/apis/discovery.k8s.io").await;
    assert_eq!(group["preferredVersion"]["groupVersion"], "discovery.k8s.io/v1");
    let object = json!({
        "metadata": { "name": "s" }, "addressType": "IPv4",
        "endpoints": [{ "addresses": ["10.1.2.3"], "conditions": { "ready": true } }],
        "ports": [{ "name": "http", "port": 80 }],
    });
    let change = json!({ "metadata": { "annotations": { "patched": "true" } } });
    lives(&cluster, SLICES, object.clone(), &change).await;
    // By name alone as well, and never of another family.
    cluster.make(SLICES.1, object).await;
    let path = format!("{}/s", SLICES.1);
    cluster.admin("PATCH", &path).merge(&json!({ "addressType": "IPv6" })).done(422).await;
    cluster.admin("DELETE", &path).done(200).await;
    cluster.admin("GET", &path).done(404).await;
}
