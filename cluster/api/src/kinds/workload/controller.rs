// SPDX-License-Identifier: Apache-2.0
//! ReplicationControllers: what ReplicaSets were before there were selectors.

use super::{cells, common_defaults, first_generation, prepare_update, replicas};
use crate::Map;
use crate::field::Errors;
use crate::kinds::access::make;
use crate::kinds::view::View;
use crate::registry::{Part, Rules};
use berth_cluster_json::{Value, json};

#[derive(Debug)]
pub(super) struct Controller;

/// The labels of the template are those of the controller, and its selector, where it has none.
fn default_labels(object: &mut Map) {
    let labels = object.at("spec").at("template").at("metadata").at("labels").clone();
    if labels.as_object().is_none_or(Map::is_empty) {
        return;
    }
    for (owner, field) in [("spec", "selector"), ("metadata", "labels")] {
        if let Some(owner) = make(object, owner)
            && owner.map(field).is_none_or(Map::is_empty)
        {
            owner.insert(field.to_owned(), labels.clone());
        }
    }
}

impl Rules for Controller {
    fn default(&self, object: &mut Map) {
        default_labels(object);
        // Its template may be missing, and is not made up.
        let bare = !object.at("spec").has("template");
        common_defaults(object);
        if let (true, Some(spec)) = (bare, make(object, "spec")) {
            spec.remove("template");
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "replicas": 0 }));
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        prepare_update(new, old, part);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        replicas::replication_controller(object, errors);
    }

    fn validate_update(&self, new: &Map, _old: &Map, part: Part, errors: &mut Errors) {
        match part {
            // upstream looks at the whole twice
            Part::Main => replicas::replication_controller(new, errors),
            Part::Status => replicas::replica_set_status(new.at("status"), errors),
            Part::Other(_) => {}
        }
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let count = object.at("status").int("replicas").unwrap_or(0);
        vec![("status.replicas", count.to_string())]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::replica_set(object, now)
    }
}
