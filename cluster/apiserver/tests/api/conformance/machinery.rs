// SPDX-License-Identifier: Apache-2.0
//! Discovery, fields that nobody knows, namespaces.

use super::{controlled, until};
use crate::kit::{Cluster, brief, config};
use berth_cluster_json::{Value, json};

const DEPLOYMENTS: &str = "/apis/apps/v1/namespaces/t1/deployments";

#[tokio::test]
async fn each_group_names_the_version_it_prefers() {
    let cluster = Cluster::new().await;
    let list = cluster.get("/apis").await;
    assert_eq!(list["kind"], "APIGroupList");
    let groups = list["groups"].as_array().unwrap();
    assert!(groups.len() > 5, "{groups:?}");
    for group in groups {
        let name = group["name"].as_str().unwrap();
        let own = cluster.get(&format!("/apis/{name}")).await;
        assert_eq!((&own["kind"], &own["name"]), (&json!("APIGroup"), &json!(name)));
        let preferred = own["preferredVersion"]["groupVersion"].as_str().unwrap();
        assert!(preferred.starts_with(&format!("{name}/")), "{preferred}");
        let versions = own["versions"].as_array().unwrap();
        assert!(versions.contains(&own["preferredVersion"]), "{name}: {versions:?}");
        assert_eq!(own["preferredVersion"], group["preferredVersion"]);
    }
}

#[tokio::test]
async fn a_resource_is_found_in_the_version_of_its_group() {
    let cluster = Cluster::new().await;
    let groups = cluster.get("/apis").await;
    for (group, version, resource, kind) in [
        ("apps", "v1", "deployments", "Deployment"),
        ("policy", "v1", "poddisruptionbudgets", "PodDisruptionBudget"),
        ("rbac.authorization.k8s.io", "v1", "clusterroles", "ClusterRole"),
        ("coordination.k8s.io", "v1", "leases", "Lease"),
        ("discovery.k8s.io", "v1", "endpointslices", "EndpointSlice"),
        ("events.k8s.io", "v1", "events", "Event"),
        ("scheduling.k8s.io", "v1", "priorityclasses", "PriorityClass"),
    ] {
        let wanted = format!("{group}/{version}");
        let found = groups["groups"].as_array().unwrap().iter().find(|one| one["name"] == group);
        let versions = found.unwrap()["versions"].as_array().unwrap();
        assert!(versions.iter().any(|one| one["groupVersion"] == *wanted), "{versions:?}");
        let list = cluster.get(&format!("/apis/{wanted}")).await;
        assert_eq!(list["groupVersion"], *wanted);
        let resources = list["resources"].as_array().unwrap();
        let row = resources.iter().find(|one| one["name"] == resource).unwrap();
        assert_eq!(row["kind"], kind);
    }
    let core = cluster.get("/api/v1").await;
    let names: Vec<_> =
        core["resources"].as_array().unwrap().iter().map(|one| &one["name"]).collect();
    for name in [
        "namespaces",
        "namespaces/status",
        "namespaces/finalize",
        "services",
        "services/status",
        "pods",
    ] {
        assert!(names.contains(&&json!(name)), "{name}");
    }
}

/// Group, version and resource of all that a document of aggregated discovery has.
fn resources(document: &Value) -> Vec<(String, String, String)> {
    let list = |value: &Value| value.as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let mut all = Vec::new();
    for group in list(&document["items"]) {
        for version in list(&group["versions"]) {
            for resource in list(&version["resources"]) {
                let of = text(&group["metadata"]["name"]);
                all.push((of, text(&version["version"]), text(&resource["resource"])));
            }
        }
    }
    all
}

#[tokio::test]
async fn discovery_comes_in_one_document_where_it_is_asked_for() {
    let cluster = Cluster::new().await;
    let form = |version: &str| {
        format!("application/json;g=apidiscovery.k8s.io;v={version};as=APIGroupDiscoveryList")
    };
    let mut found = Vec::new();
    for path in ["/api", "/apis"] {
        for (accept, version) in [
            (form("v2"), "v2"),
            (form("v2beta1"), "v2beta1"),
            (format!("{},{}", form("v2"), form("v2beta1")), "v2"),
            (format!("{},application/json", form("v2")), "v2"),
            (format!("{},{},application/json", form("v3"), form("v2beta1")), "v2beta1"),
        ] {
            let reply = cluster.admin("GET", path).header("accept", &accept).reply().await;
            assert_eq!(reply.status, 200);
            let document = reply.value();
            assert_eq!(document["kind"], "APIGroupDiscoveryList", "{accept}");
            assert_eq!(
                document["apiVersion"],
                format!("apidiscovery.k8s.io/{version}"),
                "{accept}"
            );
            let media = reply.headers["content-type"].to_str().unwrap();
            assert!(
                media.contains(&format!("v={version}"))
                    && media.contains("as=APIGroupDiscoveryList"),
                "{media}"
            );
            if version == "v2" {
                found.extend(resources(&document));
            }
        }
        // Who does not ask for it gets the old one.
        let plain = cluster.get(path).await;
        assert_ne!(plain["kind"], "APIGroupDiscoveryList");
    }
    for wanted in [
        ("", "v1", "namespaces"),
        ("", "v1", "pods"),
        ("", "v1", "services"),
        ("apps", "v1", "deployments"),
        ("apps", "v1", "replicasets"),
    ] {
        let wanted = (wanted.0.to_owned(), wanted.1.to_owned(), wanted.2.to_owned());
        assert!(found.contains(&wanted), "{wanted:?}");
    }
}

fn deployment() -> Value {
    json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "d", "labels": { "app": "n" } },
        "spec": {
            "selector": { "matchLabels": { "app": "n" } },
            "template": {
                "metadata": { "labels": { "app": "n" } },
                "spec": { "containers": [{ "name": "n", "image": "n:latest" }] },
            },
        },
    })
}

#[tokio::test]
async fn fields_that_are_unknown_or_double_are_told() {
    let cluster = Cluster::new().await;
    let mut object = deployment();
    object["spec"]["unknown1"] = json!("a");
    object["spec"]["template"]["spec"]["unknownNested"] = json!(1);
    // A field twice, which no value of this language can have.
    let text =
        object.to_string().replacen("\"spec\":{", "\"spec\":{\"paused\":true,\"paused\":false,", 1);
    let strict = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let refused =
        cluster.admin("POST", &strict).bytes("application/json", text.clone()).done(400).await;
    let message = refused["message"].as_str().unwrap();
    for part in [
        "strict decoding error",
        "unknown field \"spec.unknown1\"",
        "unknown field \"spec.template.spec.unknownNested\"",
        "duplicate field \"spec.paused\"",
    ] {
        assert!(message.contains(part), "{part}: {message}");
    }
    cluster.admin("GET", &format!("{DEPLOYMENTS}/d")).done(404).await;
    let warned = cluster.admin("POST", DEPLOYMENTS).bytes("application/json", text).reply().await;
    let warnings = warned.warnings().join("\n");
    assert!(
        warned.status == 201
            && warnings.contains("spec.unknown1")
            && warnings.contains("spec.paused"),
        "{warnings}"
    );
}

#[tokio::test]
async fn fields_of_metadata_that_are_unknown_are_told() {
    let cluster = Cluster::new().await;
    let mut object = deployment();
    object["metadata"]["unknownMeta"] = json!("a");
    object["spec"]["template"]["metadata"]["unknownSubMeta"] = json!("b");
    let strict = format!("{DEPLOYMENTS}?fieldValidation=Strict");
    let refused = cluster.admin("POST", &strict).json(&object).done(400).await;
    let message = refused["message"].as_str().unwrap();
    for field in ["metadata.unknownMeta", "spec.template.metadata.unknownSubMeta"] {
        assert!(message.contains(&format!("unknown field \"{field}\"")), "{message}");
    }
    cluster.make(DEPLOYMENTS, deployment()).await;
    // A change is held against the same.
    let patch = json!({ "metadata": { "unknownMeta": "a" } });
    let path = format!("{DEPLOYMENTS}/d?fieldValidation=Strict");
    let refused = cluster.admin("PATCH", &path).merge(&patch).done(422).await;
    assert!(refused["message"].as_str().unwrap().contains("metadata.unknownMeta"), "{refused}");
}

#[tokio::test]
async fn a_namespace_is_patched_and_updated() {
    let cluster = Cluster::new().await;
    let path = "/api/v1/namespaces/t1";
    let patch = json!({ "metadata": { "labels": { "testLabel": "testValue" } } });
    let patched = cluster
        .admin("PATCH", path)
        .bytes("application/strategic-merge-patch+json", patch.to_string());
    patched.done(200).await;
    let mut object = cluster.get(path).await;
    assert_eq!(object["metadata"]["labels"]["testLabel"], "testValue");
    assert_eq!(object["metadata"]["labels"]["kubernetes.io/metadata.name"], "t1");
    object["metadata"]["labels"]["t1"] = "updated".into();
    let put = cluster.admin("PUT", path).json(&object).done(200).await;
    assert_eq!(put["metadata"]["labels"]["t1"], "updated");
}

#[tokio::test]
async fn the_status_of_a_namespace_is_changed_by_itself() {
    let cluster = Cluster::new().await;
    let path = "/api/v1/namespaces/t1/status";
    let read = cluster.get(path).await;
    assert_eq!(read["status"]["phase"], "Active");
    let condition = |kind: &str| json!({ "type": kind, "status": "True", "reason": "E2E", "message": "by a test", "lastTransitionTime": null });
    let patch = json!({ "metadata": { "annotations": { "a": "b" } }, "status": { "conditions": [condition("StatusPatch")] } });
    let patched = cluster.admin("PATCH", path).merge(&patch).done(200).await;
    assert_eq!(patched["status"]["conditions"][0]["type"], "StatusPatch");
    assert_eq!(patched["status"]["phase"], "Active");
    let mut object = patched.clone();
    object["status"]["conditions"].as_array_mut().unwrap().push(condition("StatusUpdate"));
    object["spec"]["finalizers"] = json!([]);
    cluster.admin("PUT", path).json(&object).done(200).await;
    let read = cluster.get("/api/v1/namespaces/t1").await;
    assert_eq!(read["status"]["conditions"][1]["type"], "StatusUpdate");
    assert_eq!(read["spec"]["finalizers"], json!(["kubernetes"]), "the spec is not the status's");
}

#[tokio::test]
async fn a_finalizer_of_a_namespace_comes_and_goes() {
    let cluster = Cluster::new().await;
    let (path, part) = ("/api/v1/namespaces/t1", "/api/v1/namespaces/t1/finalize");
    let mut object = cluster.get(path).await;
    object["spec"]["finalizers"] = json!(["kubernetes", "e2e.example.com/fake"]);
    let held = cluster.admin("PUT", part).json(&object).done(200).await;
    assert_eq!(held["spec"]["finalizers"], json!(["kubernetes", "e2e.example.com/fake"]));
    // A PUT of the whole does not change them.
    let mut whole = held.clone();
    whole["spec"]["finalizers"] = json!(["kubernetes"]);
    let whole = cluster.admin("PUT", path).json(&whole).done(200).await;
    assert_eq!(whole["spec"]["finalizers"], held["spec"]["finalizers"]);
    let mut freed = whole;
    freed["spec"]["finalizers"] = json!(["kubernetes"]);
    let freed = cluster.admin("PUT", part).json(&freed).done(200).await;
    assert_eq!(freed["spec"]["finalizers"], json!(["kubernetes"]));
    let running = controlled(&cluster);
    cluster.admin("DELETE", path).done(200).await;
    until(&cluster, path, |status, _| status == 404).await;
    running.stop().await;
}

#[tokio::test]
async fn with_a_namespace_go_its_services() {
    let cluster = Cluster::new().await;
    let running = controlled(&cluster);
    let services = "/api/v1/namespaces/gone/services";
    let service = json!({ "metadata": { "name": "s" }, "spec": { "ports": [{ "port": 80 }] } });
    let namespace = json!({ "metadata": { "name": "gone" } });
    cluster.make("/api/v1/namespaces", namespace.clone()).await;
    let made = cluster.make(services, service.clone()).await;
    cluster.make("/api/v1/namespaces/gone/configmaps", config("c", "")).await;
    cluster.admin("DELETE", "/api/v1/namespaces/gone").done(200).await;
    until(&cluster, "/api/v1/namespaces/gone", |status, _| status == 404).await;
    cluster.make("/api/v1/namespaces", namespace).await;
    let list = cluster.get(services).await;
    assert_eq!(list["items"], json!([]), "one of the same name has none of them");
    let mut again = service;
    again["spec"]["clusterIP"] = made["spec"]["clusterIP"].clone();
    cluster.make(services, again).await;
    running.stop().await;
}

#[tokio::test]
async fn every_namespace_has_the_ca_again_and_again() {
    let cluster = Cluster::new().await;
    let running = controlled(&cluster);
    let path = "/api/v1/namespaces/t1/configmaps/kube-root-ca.crt";
    let right = |_: u16, object: &Value| object["data"]["ca.crt"] == "a CA";
    until(&cluster, path, right).await;
    cluster.admin("DELETE", path).done(200).await;
    until(&cluster, path, right).await;
    cluster
        .admin("PATCH", path)
        .merge(&json!({ "data": { "ca.crt": "", "more": "x" } }))
        .done(200)
        .await;
    let back = until(&cluster, path, right).await;
    assert_eq!(brief(&json!({ "object": back })).1, "kube-root-ca.crt");
    running.stop().await;
}
