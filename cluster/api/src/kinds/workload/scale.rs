// SPDX-License-Identifier: Apache-2.0
//! The scale of a workload: how many there are and shall be (autoscaling/v1).

use super::selector;
use crate::Map;
use crate::kinds::access::{keep, make};
use crate::kinds::view::View;
use berth_cluster_json::{Value, json};

/// The `Scale` of an object with `spec.replicas`, `status.replicas` and `spec.selector`.
pub fn read(object: &Map) -> Value {
    let (meta, spec, status) = (object.at("metadata"), object.at("spec"), object.at("status"));
    let mut about = Map::new();
    let none = Map::new();
    let from = meta.as_object().unwrap_or(&none);
    for field in ["name", "namespace", "uid", "resourceVersion", "creationTimestamp"] {
        keep(&mut about, from, field);
    }
    let mut wanted = Map::new();
    if let Some(replicas) = spec.int("replicas").filter(|replicas| *replicas != 0) {
        wanted.insert("replicas".to_owned(), replicas.into());
    }
    json!({
        "kind": "Scale",
        "apiVersion": "autoscaling/v1",
        "metadata": about,
        "spec": wanted,
        "status": {
            "replicas": status.int("replicas").unwrap_or(0),
            "selector": selector::text(spec.at("selector")),
        },
    })
}

/// Writes what a `Scale` asks for into the object.
pub fn write(object: &mut Map, scale: &Map) {
    let replicas = scale.at("spec").int("replicas").unwrap_or(0);
    let version = scale.at("metadata").text("resourceVersion").to_owned();
    if let Some(spec) = make(object, "spec") {
        spec.insert("replicas".to_owned(), replicas.into());
    }
    // a version that is given has to be the one that is stored
    if !version.is_empty()
        && let Some(meta) = make(object, "metadata")
    {
        meta.insert("resourceVersion".to_owned(), version.into());
    }
}
