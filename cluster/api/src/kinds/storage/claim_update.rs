// SPDX-License-Identifier: Apache-2.0
//! How a claim may change: it is bound once, and may ask for more.

use super::{OLD_CLASS, amounts};
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{keep, map_mut};
use crate::kinds::pod::{each, nano};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;

/// What is wrong with a change of what is wanted.
pub(super) fn main(new: &Map, old: &Map, errors: &mut Errors) {
    let path = Path::new("spec");
    let (Some(mut after), Some(mut before)) = (new.map("spec").cloned(), old.map("spec").cloned())
    else {
        return;
    };
    if before.text("volumeName").is_empty() {
        keep(&mut before, &after.clone(), "volumeName");
    }
    class(new, old, &mut after, errors);
    let bound = new.at("status").text("phase") == "Bound";
    let requests = map_mut(&mut after, "resources").and_then(|all| map_mut(all, "requests"));
    if let (true, Some(requests)) = (bound, requests) {
        let was = old.at("spec").at("resources").at("requests").at("storage").clone();
        requests.insert("storage".to_owned(), was);
    }
    keep(&mut after, &before, "volumeAttributesClassName");
    if after != before {
        let why = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.forbidden(&path, why);
    }
    size(new, old, errors);
    let mode = new.at("spec").at("volumeMode");
    if mode != old.at("spec").at("volumeMode") {
        errors.invalid(&Path::new("volumeMode"), mode.clone(), "field is immutable");
    }
    let field = "volumeAttributesClassName";
    if old.at("spec").has(field) {
        let why = match new.at("spec").at(field).as_str() {
            None => "update from non-nil value to nil is forbidden",
            Some("") => "update from non-nil value to an empty string is forbidden",
            Some(_) => return,
        };
        errors.forbidden(&path.child(field), why);
    }
}

/// A class may be named that was not named before, and the annotation that named one may become the field.
fn class(new: &Map, old: &Map, after: &mut Map, errors: &mut Errors) {
    let annotation = |of: &Map| of.at("metadata").at("annotations").at(OLD_CLASS).clone();
    let (said, was) = (annotation(new), annotation(old));
    let field = "storageClassName";
    let unnamed = !old.at("spec").has(field);
    let named = new.at("spec").at(field).clone();
    let upgraded = !was.is_null() && unnamed && named == was && (said.is_null() || said == was);
    if !upgraded && said != was {
        let path = Path::new("metadata").child("annotations").child(OLD_CLASS);
        errors.invalid(&path, said.as_str().unwrap_or(""), "field is immutable");
    }
    if upgraded || unnamed && !named.is_null() && (was.is_null() || was == named) {
        after.remove(field);
    }
}

/// Less may be asked for only where what was asked for did not come: never less than there is.
fn size(new: &Map, old: &Map, errors: &mut Errors) {
    let wanted =
        |of: &Map| nano(of.at("spec").at("resources").at("requests").at("storage")).unwrap_or(0);
    let there = nano(old.at("status").at("capacity").at("storage")).unwrap_or(0);
    if wanted(new) < wanted(old) && wanted(new) <= there {
        let path = Path::new("spec").child("resources").child("requests").child("storage");
        errors.forbidden(&path, "field can not be less than status.capacity");
    }
}

/// What may be said of a growth that goes on.
const RESIZES: [&str; 5] = [
    "ControllerResizeFailed",
    "ControllerResizeInProgress",
    "NodeResizeFailed",
    "NodeResizeInProgress",
    "NodeResizePending",
];

/// What is wrong with a status.
pub(super) fn status(new: &Map, errors: &mut Errors) {
    let (status, path) = (new.at("status"), Path::new("status"));
    if new.at("spec").list("accessModes").is_empty() {
        errors.required(&Path::new("Spec").child("accessModes"), "");
    }
    for (name, amount) in status.entries("capacity") {
        amounts::measured(amount, &path.child("capacity").key(name), errors);
    }
    // Upstream writes the path so.
    let at = path.child("allocatedResourceStatus");
    for (name, state) in status.entries("allocatedResourceStatuses") {
        resource(name, &at, errors);
        if !RESIZES.contains(&state.as_str().unwrap_or("")) {
            errors.not_supported(&at, name, &RESIZES);
        }
    }
    let at = path.child("allocatedResources");
    for (name, amount) in status.entries("allocatedResources") {
        if resource(name, &at, errors) {
            amounts::measured(amount, &at.key(name), errors);
        }
    }
}

/// Storage, or something of somebody else's; whether it is.
fn resource(name: &str, path: &Path, errors: &mut Errors) -> bool {
    let problems = names::qualified(name);
    let native = !name.contains('/') || name.contains("kubernetes.io/");
    let sound = problems.is_empty() && (!native || name == "storage");
    if problems.is_empty() && !sound {
        errors.not_supported(path, Value::from(name), &["storage"]);
    }
    each(problems, path, name, errors);
    sound
}
