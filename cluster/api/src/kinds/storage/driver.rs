// SPDX-License-Identifier: Apache-2.0
//! Drivers of storage, and which of them run on a node.

use super::cells;
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{count_generation, immutable, make, map, map_mut, or_set_missing};
use crate::kinds::pod::{driver_name, each, not_negative, one_of};
use crate::kinds::view::View;
use crate::names;
use crate::registry::{Part, Rules};
use berth_cluster_json::{Value, json};
use std::collections::BTreeSet;

#[derive(Debug)]
pub(super) struct Driver;

#[derive(Debug)]
pub(super) struct Node;

/// A field that 1.33 has only behind a gate that is closed.
const GATED: &str = "nodeAllocatableUpdatePeriodSeconds";

/// A driver by itself.
fn driver(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    if spec.has("fsGroupPolicy") {
        let known = ["File", "None", "ReadWriteOnceWithFSType"];
        let policy = spec.text("fsGroupPolicy");
        one_of(policy, &known, false, &path.child("fsGroupPolicy"), errors);
    }
    tokens(spec, &path.child("tokenRequests"), errors);
    let known = ["Persistent", "Ephemeral"];
    for mode in spec.list("volumeLifecycleModes").iter().filter_map(Value::as_str) {
        one_of(mode, &known, false, &path.child("volumeLifecycleModes"), errors);
    }
    if let Some(seconds) = spec.int(GATED).filter(|seconds| *seconds < 10) {
        let why = "must be greater than or equal to 10 seconds";
        errors.invalid(&path.child(GATED), seconds, why);
    }
}

/// A driver asks for one token for each audience.
fn tokens(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut audiences = BTreeSet::new();
    for (index, one) in spec.list("tokenRequests").iter().enumerate() {
        let (path, audience) = (path.index(index), one.text("audience"));
        if !audiences.insert(audience) {
            errors.duplicate(&path.child("audience"), audience);
            continue;
        }
        let seconds = one.int("expirationSeconds").unwrap_or(600);
        let at = path.child("expirationSeconds");
        if seconds < 600 {
            errors.invalid(&at, seconds, "may not specify a duration less than 10 minutes");
        }
        if seconds > 1 << 32 {
            errors.invalid(&at, seconds, "may not specify a duration larger than 2^32 seconds");
        }
    }
}

impl Rules for Driver {
    fn default(&self, object: &mut Map) {
        let Some(spec) = make(object, "spec") else { return };
        or_set_missing(spec, "attachRequired", true);
        for field in ["podInfoOnMount", "storageCapacity", "requiresRepublish", "seLinuxMount"] {
            or_set_missing(spec, field, false);
        }
        or_set_missing(spec, "fsGroupPolicy", "ReadWriteOnceWithFSType");
        if spec.list("volumeLifecycleModes").is_empty() {
            spec.insert("volumeLifecycleModes".to_owned(), json!(["Persistent"]));
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        if let Some(spec) = map_mut(object, "spec") {
            spec.remove(GATED);
        }
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        if !old.at("spec").has(GATED)
            && let Some(spec) = map_mut(new, "spec")
        {
            spec.remove(GATED);
        }
        count_generation(new, old, &["spec"]);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        // Upstream looks twice, at creation and at an update.
        driver(object, errors);
        driver(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        let (none, path) = (Map::new(), Path::new("spec"));
        let [new, old] = [new, old].map(|it| map(it, "spec").unwrap_or(&none));
        // Upstream writes the first path so.
        if new.at("attachRequired") != old.at("attachRequired") {
            let value = new.at("attachRequired").clone();
            errors.invalid(&path.child("attachedRequired"), value, "field is immutable");
        }
        immutable(new, old, "volumeLifecycleModes", &path, errors);
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::driver(object, now)
    }
}

/// The longest name by which a driver knows a node.
const NODE_ID: usize = 256;

/// What a driver says of a node.
fn on_node(one: &Value, path: &Path, errors: &mut Errors) {
    driver_name(one.text("name"), &path.child("name"), errors);
    let (id, at) = (one.text("nodeID"), path.child("nodeID"));
    if id.is_empty() {
        errors.required(&at, "");
    }
    if id.len() > NODE_ID {
        errors.invalid(&at, id, format!("must be {NODE_ID} characters or less"));
    }
    let count = one.at("allocatable").int("count").unwrap_or(0);
    not_negative(count, &path.child("allocatable").child("count"), errors);
}

impl Rules for Node {
    fn validate(&self, object: &Map, errors: &mut Errors) {
        let mut seen = BTreeSet::new();
        for (index, one) in object.at("spec").list("drivers").iter().enumerate() {
            let path = Path::new("spec").child("drivers").index(index);
            on_node(one, &path, errors);
            if !seen.insert(one.text("name")) {
                errors.duplicate(&path.child("name"), one.text("name"));
            }
            let mut keys = BTreeSet::new();
            for key in one.list("topologyKeys").iter().filter_map(Value::as_str) {
                if key.is_empty() {
                    errors.required(&path, "");
                }
                if !keys.insert(key) {
                    errors.duplicate(&path, key);
                }
                each(names::qualified(key), &path, key, errors);
            }
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        // Upstream looks at the whole twice.
        self.validate(new, errors);
        for before in old.at("spec").list("drivers") {
            for after in new.at("spec").list("drivers") {
                if before.text("name") == after.text("name") && before != after {
                    let path = Path::new("spec").child("drivers");
                    errors.invalid(&path, after.clone(), "field is immutable");
                }
            }
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::node(object, now)
    }
}
