// SPDX-License-Identifier: Apache-2.0
//! What the tests of this crate share: a kind, and objects out of JSON.

use berth_cluster_api::Map;
use berth_cluster_api::registry::{Kind, Rules};
use berth_cluster_api::schema::Schema;
use berth_cluster_json::Value;
use std::sync::Arc;

#[derive(Debug)]
struct Plain;

impl Rules for Plain {
    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        vec![(
            "spec.nodeName",
            object
                .get("spec")
                .and_then(|spec| spec["nodeName"].as_str())
                .unwrap_or_default()
                .to_owned(),
        )]
    }
}

/// Pods, of whose rules only the node's name is here.
pub(crate) fn kind() -> Kind {
    Kind {
        group: "".into(),
        version: "v1".into(),
        kind: "Pod".into(),
        plural: "pods".into(),
        singular: "pod".into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        namespaced: true,
        stored_as: "pods".into(),
        schema: Schema::any(),
        subresources: Vec::new(),
        delete_returns_object: true,
        create_on_update: false,
        columns: Vec::new(),
        rules: Arc::new(Plain),
    }
}

/// The object in a value.
pub(crate) fn object(value: Value) -> Map {
    value.as_object().cloned().unwrap_or_default()
}
