// SPDX-License-Identifier: Apache-2.0
//! Pods out of templates.

use crate::place::{PODS, Place};
use berth_cluster_client::Id;
use serde_json::{Value, json};

/// The entry of `ownerReferences` of what an object controls.
pub(crate) fn controller(place: Place, owner: &Id) -> Value {
    json!({
        "apiVersion": place.version,
        "kind": place.kind,
        "name": owner.name,
        "uid": owner.uid,
        "controller": true,
        "blockOwnerDeletion": true,
    })
}

/// A pod of a template, controlled by an object that gives it its name's beginning.
pub(crate) fn pod(template: &Value, place: Place, owner: &Id) -> Value {
    let mut metadata = json!({
        "generateName": format!("{}-", owner.name),
        "namespace": owner.namespace,
        "ownerReferences": [controller(place, owner)],
    });
    for field in ["labels", "annotations", "finalizers"] {
        let given = &template["metadata"][field];
        if !given.is_null() {
            metadata[field] = given.clone();
        }
    }
    json!({
        "apiVersion": PODS.version,
        "kind": PODS.kind,
        "metadata": metadata,
        "spec": template["spec"],
    })
}

/// The name of an object that the server answered with.
pub(crate) fn name(answer: &[u8]) -> String {
    let object: Value = serde_json::from_slice(answer).unwrap_or_default();
    object["metadata"]["name"].as_str().unwrap_or_default().to_owned()
}
