// SPDX-License-Identifier: Apache-2.0
//! ControllerRevisions: what a workload was like before.

use crate::field::{Errors, Path};
use crate::kinds::pod::not_negative;
use crate::kinds::row::{column, row};
use crate::kinds::view::View;
use crate::registry::{Kind, Part, Rules};
use crate::{Map, cells};
use berth_cluster_json::Value;

/// The row.
pub(super) fn kind() -> Kind {
    let columns = [
        column("Controller", "string", "The workload that was so."),
        column("Revision", "string", "The number of the state among those of its workload."),
    ];
    row("apps", "ControllerRevision", "controllerrevisions", &columns, Revision)
}

#[derive(Debug)]
struct Revision;

/// The owner that is the controller: `statefulset.apps/web`.
fn controller(object: &Map) -> String {
    let owners = object.at("metadata").list("ownerReferences");
    let Some(owner) = owners.iter().find(|owner| owner.flag("controller")) else {
        return "<none>".to_owned();
    };
    let mut kind = owner.text("kind").to_lowercase();
    if let Some((group, _)) = owner.text("apiVersion").split_once('/') {
        kind = format!("{kind}.{group}");
    }
    format!("{kind}/{}", owner.text("name"))
}

impl Rules for Revision {
    fn validate(&self, object: &Map, errors: &mut Errors) {
        if !object.has("data") {
            errors.required(&Path::new("data"), "data is mandatory");
        }
        not_negative(object.int("revision").unwrap_or(0), &Path::new("revision"), errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        // upstream looks at the whole twice
        self.validate(new, errors);
        let data = new.at("data");
        if data != old.at("data") {
            errors.invalid(&Path::new("data"), data.clone(), "field is immutable");
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        vec![
            cells::name(object),
            controller(object).into(),
            object.int("revision").unwrap_or(0).into(),
            cells::age(object, now),
        ]
    }
}
