// SPDX-License-Identifier: Apache-2.0
//! An object as it is stored: its JSON with a hole for the revision, and what is to be known of it without reading it.

use berth_cluster_api::registry::Kind;
use berth_cluster_api::{Map, time};
use berth_cluster_json::Value;
use berth_cluster_store::{Body, Meta, Owner};
use std::sync::Arc;

/// How every stored object of a kind begins. A list leaves this out: its items have neither.
pub fn head(kind: &Kind) -> Vec<u8> {
    begin(&kind.kind, &kind.api_version())
}

fn begin(kind: &str, version: &str) -> Vec<u8> {
    // Room for most objects whole.
    let mut text = Vec::with_capacity(1_024);
    text.extend_from_slice(b"{\"kind\":");
    berth_cluster_json::write_text(&mut text, kind);
    text.extend_from_slice(b",\"apiVersion\":");
    berth_cluster_json::write_text(&mut text, version);
    text.push(b',');
    text
}

/// Where an object of a kind is kept. `namespace` is empty for one that lives in none.
pub fn key(kind: &Kind, namespace: &str, name: &str) -> String {
    if namespace.is_empty() {
        format!("{}/{name}", kind.stored_as)
    } else {
        format!("{}/{namespace}/{name}", kind.stored_as)
    }
}

/// Writes an object for the store: [`head`], its metadata with an empty `resourceVersion`, then its other fields by name.
pub fn encode(kind: &Kind, object: &Map) -> Body {
    // What is kept in another version's form begins as that does.
    let version = object.get("apiVersion").and_then(Value::as_str);
    let mut text = version.map_or_else(|| head(kind), |version| begin(&kind.kind, version));
    text.extend_from_slice(b"\"metadata\":{\"resourceVersion\":\"");
    let hole = text.len();
    text.push(b'"');
    if let Some(Value::Object(metadata)) = object.get("metadata") {
        for (name, value) in metadata.iter().filter(|(name, _)| *name != "resourceVersion") {
            member(&mut text, name, value);
        }
    }
    text.push(b'}');
    let known = ["kind", "apiVersion", "metadata"];
    for (name, value) in object.iter().filter(|(name, _)| !known.contains(&name.as_str())) {
        member(&mut text, name, value);
    }
    text.push(b'}');
    // Bodies of requests are bounded far below this.
    let hole = u32::try_from(hole).unwrap_or(u32::MAX);
    Body { bytes: text.into(), hole }
}

fn member(text: &mut Vec<u8>, name: &str, value: &Value) {
    text.push(b',');
    berth_cluster_json::write_text(text, name);
    text.push(b':');
    berth_cluster_json::write(text, value);
}

/// What selectors, watches and the garbage collector ask of an object.
pub fn meta(kind: &Kind, object: &Map) -> Meta {
    let metadata = object.get("metadata").and_then(Value::as_object);
    let text = |name: &str| metadata.and_then(|meta| meta.get(name)).and_then(Value::as_str);
    let labels = metadata.and_then(|meta| meta.get("labels")).and_then(Value::as_object);
    let labels = labels.into_iter().flatten();
    let labels = labels
        .map(|(name, value)| (name.as_str().into(), value.as_str().unwrap_or_default().into()));
    let mut fields: Vec<(Arc<str>, Arc<str>)> = vec![
        ("metadata.name".into(), text("name").unwrap_or_default().into()),
        ("metadata.namespace".into(), text("namespace").unwrap_or_default().into()),
    ];
    let own = kind.rules.fields(object).into_iter();
    fields.extend(own.map(|(name, value)| (name.into(), value.into())));
    let owners = metadata.and_then(|meta| meta.get("ownerReferences")).and_then(Value::as_array);
    Meta {
        uid: text("uid").unwrap_or_default().to_owned(),
        labels: labels.collect(),
        fields: fields.into(),
        owners: owners.into_iter().flatten().map(owner).collect(),
        deletion: text("deletionTimestamp").and_then(time::parse).map(|(at, _)| at),
        expires: None,
    }
}

fn owner(reference: &Value) -> Owner {
    let text = |name: &str| reference[name].as_str().unwrap_or_default().to_owned();
    let flag = |name: &str| reference[name].as_bool().unwrap_or_default();
    Owner {
        uid: text("uid"),
        kind: text("kind"),
        name: text("name"),
        controller: flag("controller"),
        block: flag("blockOwnerDeletion"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{kind, object};
    use berth_cluster_json::json;

    #[test]
    fn the_hole_is_the_revisions_whatever_the_object_says() {
        let pod = object(json!({
            "apiVersion": "v1", "kind": "Pod",
            "metadata": { "name": "a", "resourceVersion": "7", "annotations": { "b": "\"resourceVersion\":\"\"" } },
            "spec": { "resourceVersion": "" }, "aaa": 1,
        }));
        let body = encode(&kind(), &pod);
        let whole = body.finish(4711).unwrap();
        let read: Value = serde_json::from_slice(&whole).unwrap();
        let mut wanted = Value::Object(pod);
        wanted["metadata"]["resourceVersion"] = "4711".into();
        assert_eq!(read, wanted);
        assert!(whole.starts_with(&head(&kind())));
    }

    #[test]
    fn what_is_asked_of_an_object_lies_beside_it() {
        let pod = object(json!({
            "metadata": {
                "name": "a", "namespace": "n", "uid": "u", "labels": { "x": "1", "y": "2" },
                "deletionTimestamp": "2026-11-27T10:51:05Z",
                "ownerReferences": [{ "uid": "o", "kind": "ReplicaSet", "name": "r", "controller": true }],
            },
            "spec": { "nodeName": "n1" },
        }));
        let meta = meta(&kind(), &pod);
        assert_eq!((meta.uid.as_str(), meta.labels.len()), ("u", 2));
        assert_eq!(meta.field("spec.nodeName"), Some("n1"));
        assert_eq!(meta.field("metadata.namespace"), Some("n"));
        assert_eq!(meta.deletion, Some(1_795_776_665));
        assert!(meta.owners[0].controller && !meta.owners[0].block);
        assert_eq!(key(&kind(), "n", "a"), "pods/n/a");
    }
}
