// SPDX-License-Identifier: Apache-2.0
//! Kinds that come and go while the server runs.

use crate::kit::{Cluster, brief};
use berth_cluster_api::registry::{Kind, Rules};
use berth_cluster_api::schema::{Builder, Field, Form, Patch, Schema, Structure};
use berth_cluster_apiserver::Resources;
use berth_cluster_json::{Value, json};
use std::sync::Arc;

// ---- kinds that come and go ----

#[derive(Debug)]
struct Plain;

impl Rules for Plain {}

fn thing(schema: Schema) -> Kind {
    Kind {
        group: "g.test".into(),
        version: "v1".into(),
        kind: "Thing".into(),
        plural: "things".into(),
        singular: "thing".into(),
        short_names: vec!["th".into()],
        categories: Vec::new(),
        namespaced: true,
        stored_as: "g.test/things".into(),
        schema,
        subresources: Vec::new(),
        delete_returns_object: false,
        create_on_update: false,
        columns: Vec::new(),
        rules: Arc::new(Plain),
    }
}

/// Things with a number and a text.
fn formed() -> Schema {
    let mut builder = Builder::with_built_in();
    let field = |form| Field {
        form,
        tags: Vec::new(),
        required: false,
        pointer: true,
        zero: false,
        patch: Patch::default(),
        merge_key: String::new(),
        list_type: String::new(),
        map_keys: Vec::new(),
        default: None,
    };
    let (text, number) = (builder.form(Form::Text), builder.form(Form::Int32));
    let metadata = builder.named("meta.v1.ObjectMeta");
    let spec = builder.structure(Structure {
        name: "g.test.Spec".to_owned(),
        fields: std::iter::once(("size".to_owned(), field(number))).collect(),
        ..Structure::default()
    });
    let fields = [("apiVersion", text), ("kind", text), ("metadata", metadata), ("spec", spec)];
    let fields = fields.into_iter().map(|(name, form)| (name.to_owned(), field(form)));
    let root = builder.structure(Structure {
        name: "g.test.Thing".to_owned(),
        kind: Some(("g.test".to_owned(), "v1".to_owned(), "Thing".to_owned())),
        fields: fields.collect(),
        ..Structure::default()
    });
    builder.finish(root)
}

const THINGS: &str = "/apis/g.test/v1/namespaces/t1/things";

#[tokio::test]
async fn a_kind_is_served_as_soon_as_it_is_there_and_no_longer() {
    let cluster = Cluster::new().await;
    let before = cluster.server.resources();
    let object = json!({ "metadata": { "name": "a" }, "any": { "thing": [1, null, "x"] } });
    assert_eq!(cluster.admin("POST", THINGS).json(&object).status().await, 404);
    assert_eq!(cluster.admin("GET", "/apis/g.test/v1").status().await, 404);
    cluster.server.serve_kinds(before.with(thing(Schema::any())));
    let list = cluster.get("/apis/g.test/v1").await;
    assert_eq!(list["resources"][0]["name"], "things");
    let mut watch = cluster.admin("GET", &format!("{THINGS}?watch=1")).watch().await;
    let made = cluster.make(THINGS, object.clone()).await;
    assert_eq!((&made["any"], &made["apiVersion"]), (&object["any"], &json!("g.test/v1")));
    let path = &format!("{THINGS}/a");
    let patch = json!({ "any": { "other": 1, "thing": null } });
    let changed = cluster.admin("PATCH", path).merge(&patch).done(200).await;
    assert_eq!(changed["any"], json!({ "other": 1 }));
    let strategic =
        cluster.admin("PATCH", path).bytes("application/strategic-merge-patch+json", "{}");
    assert_eq!(strategic.status().await, 415, "upstream has none for such kinds");
    assert_eq!(cluster.get("/apis/g.test/v1/things").await["items"].as_array().unwrap().len(), 1);
    // Who watched a kind that is no longer served sees it to its end.
    cluster.server.serve_kinds(Resources::new(before.kinds().map(|kind| (**kind).clone())));
    assert_eq!(cluster.admin("GET", path).status().await, 404);
    assert_eq!(cluster.admin("GET", "/apis/g.test/v1").status().await, 404);
    let words: Vec<String> = watch.ready().iter().map(|one| brief(one).0).collect();
    assert_eq!(words, ["ADDED", "MODIFIED"]);
    cluster.server.serve_kinds(before.with(thing(Schema::any())));
    assert_eq!(cluster.get(path).await, changed, "it was not lost");
    cluster.admin("DELETE", path).done(200).await;
    assert_eq!(brief(&watch.next().await.unwrap()).0, "DELETED");
}

#[tokio::test]
async fn a_kind_with_a_form_is_held_against_it() {
    let cluster = Cluster::new().await;
    let kinds = cluster.server.resources().with(thing(formed()));
    cluster.server.serve_kinds(kinds);
    let object = |spec: Value| json!({ "metadata": { "name": "a" }, "spec": spec });
    let post = |query: &str, spec: Value| {
        cluster.admin("POST", &format!("{THINGS}{query}")).json(&object(spec))
    };
    assert_eq!(post("", json!({ "size": "x" })).status().await, 400);
    assert_eq!(post("?fieldValidation=Strict", json!({ "sice": 1 })).status().await, 400);
    let reply = post("", json!({ "size": 3, "sice": 1 })).reply().await;
    assert_eq!(reply.status, 201, "{}", reply.text());
    assert_eq!(reply.value()["spec"], json!({ "size": 3 }));
    assert_eq!(reply.warnings(), [r#"299 - "unknown field \"spec.sice\"""#]);
    let table = cluster
        .admin("GET", THINGS)
        .header("accept", "application/json;as=Table;v=v1;g=meta.k8s.io");
    assert_eq!(table.done(200).await["kind"], "Table");
}

const CLASSES: &str = "/apis/storage.k8s.io/v1/storageclasses";
const CLAIMS: &str = "/api/v1/namespaces/t1/persistentvolumeclaims";

fn claim(name: &str) -> Value {
    let requests = json!({ "requests": { "storage": "1Gi" } });
    let spec = json!({ "accessModes": ["ReadWriteOnce"], "resources": requests });
    json!({ "metadata": { "name": name }, "spec": spec })
}

#[tokio::test]
async fn a_claim_that_names_no_class_gets_the_one_that_is_marked() {
    let cluster = Cluster::new().await;
    let none = cluster.make(CLAIMS, claim("early")).await;
    assert!(none["spec"]["storageClassName"].is_null());
    let marked = json!({ "storageclass.kubernetes.io/is-default-class": "true" });
    for (name, annotations) in [("a", json!({})), ("b", marked)] {
        let metadata = json!({ "name": name, "annotations": annotations });
        cluster.make(CLASSES, json!({ "metadata": metadata, "provisioner": "p" })).await;
    }
    let made = cluster.make(CLAIMS, claim("none")).await;
    assert_eq!(made["spec"]["storageClassName"], "b");
    for name in ["", "a"] {
        let mut said = claim(&format!("said{name}"));
        said["spec"]["storageClassName"] = name.into();
        assert_eq!(cluster.make(CLAIMS, said).await["spec"]["storageClassName"], name);
    }
    // Nothing holds a claim that is deleted: what would take its finalizer away is not built.
    cluster.admin("DELETE", &format!("{CLAIMS}/none")).done(200).await;
    assert_eq!(cluster.admin("GET", &format!("{CLAIMS}/none")).status().await, 404);
}

#[tokio::test]
async fn kinds_of_storage_and_of_workloads_are_told_and_scaled() {
    let cluster = Cluster::new().await;
    for (path, name, short) in [
        ("/api/v1", "persistentvolumes", json!(["pv"])),
        ("/api/v1", "replicationcontrollers", json!(["rc"])),
        ("/apis/apps/v1", "statefulsets", json!(["sts"])),
        ("/apis/storage.k8s.io/v1", "storageclasses", json!(["sc"])),
        ("/apis/networking.k8s.io/v1", "ingresses", json!(["ing"])),
    ] {
        let list = cluster.get(path).await;
        let all = list["resources"].as_array().unwrap();
        let found = all.iter().find(|one| one["name"] == name).unwrap();
        assert_eq!(found["shortNames"], short, "{name}");
    }
    let openapi = cluster.get("/openapi/v3/apis/storage.k8s.io/v1").await;
    assert!(openapi["components"]["schemas"]["io.k8s.api.storage.v1.StorageClass"].is_object());
    let path = "/api/v1/namespaces/t1/replicationcontrollers";
    let template = json!({
        "metadata": { "labels": { "app": "a" } },
        "spec": { "containers": [{ "name": "c", "image": "i" }] },
    });
    let object = json!({ "metadata": { "name": "w" }, "spec": { "template": template } });
    cluster.make(path, object).await;
    let scale = cluster.get(&format!("{path}/w/scale")).await;
    assert_eq!(scale["status"]["selector"], "app=a");
    let scaled = cluster.admin("PATCH", &format!("{path}/w/scale"));
    scaled.merge(&json!({ "spec": { "replicas": 4 } })).done(200).await;
    assert_eq!(cluster.get(&format!("{path}/w")).await["spec"]["replicas"], 4);
}
