// SPDX-License-Identifier: Apache-2.0
//! Leases: who holds something, and until when.

use super::access::{add_all, map_mut};
use super::row::{RowExt, column, row};
use super::view::View;
use crate::field::{Errors, Path};
use crate::registry::{Kind, Part, Rules};
use crate::{Map, cells, names};
use berth_cluster_json::Value;

/// The row.
pub fn kinds() -> Vec<Kind> {
    let holder = column(
        "Holder",
        "string",
        "holderIdentity contains the identity of the holder of a current lease.",
    );
    vec![row("coordination.k8s.io", "Lease", "leases", &[holder], Lease).by_put()]
}

#[derive(Debug)]
struct Lease;

/// How a holder is chosen: one of upstream's own ways, or another with a domain.
fn strategy(name: &str, path: &Path, errors: &mut Errors) {
    // Upstream names the field twice.
    let path = path.child("strategy");
    if name.contains('/') {
        add_all(errors, &path, name, names::qualified(name));
    } else if name != "OldestEmulationVersion" {
        errors.not_supported(&path, name, &["OldestEmulationVersion"]);
    }
}

/// What is told of a chosen holder, which upstream keeps only where the choice is turned on; by default it is not.
const CHOICE: [&str; 2] = ["strategy", "preferredHolder"];

impl Rules for Lease {
    fn prepare_create(&self, object: &mut Map) {
        self.prepare_update(object, &Map::new(), Part::Main);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        let before = old.at("spec");
        if let Some(spec) = map_mut(new, "spec") {
            spec.retain(|field, _| !CHOICE.contains(&field.as_str()) || before.has(field));
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let (spec, path) = (object.at("spec"), Path::new("spec"));
        if let Some(seconds) = spec.int("leaseDurationSeconds").filter(|seconds| *seconds <= 0) {
            errors.invalid(&path.child("leaseDurationSeconds"), seconds, "must be greater than 0");
        }
        if let Some(count) = spec.int("leaseTransitions").filter(|count| *count < 0) {
            let detail = "must be greater than or equal to 0";
            errors.invalid(&path.child("leaseTransitions"), count, detail);
        }
        if let Some(name) = spec.at("strategy").as_str() {
            strategy(name, &path.child("strategy"), errors);
        }
        if !spec.text("preferredHolder").is_empty() && spec.text("strategy").is_empty() {
            let detail = "may only be specified if `strategy` is defined";
            errors.forbidden(&path.child("preferredHolder"), detail);
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let holder = object.at("spec").text("holderIdentity");
        vec![cells::name(object), holder.into(), cells::age(object, now)]
    }
}
