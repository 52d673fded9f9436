// SPDX-License-Identifier: Apache-2.0
//! How a pod may change (upstream's `ValidatePodUpdate`).

use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{keep, make};
use crate::kinds::view::{View, items};
use crate::registry::{Part, Subresource};
use berth_cluster_json::Value;

const EPHEMERAL: Part = Part::Other(Subresource::EphemeralContainers);

const MUTABLE: &str = "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,\
     `spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),\
     `spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)";

/// Keeps of `old` what this part may not change.
pub(super) fn prepare(new: &mut Map, old: &Map, part: Part) {
    super::keep_parts(new, old, part);
    if part == EPHEMERAL {
        super::ephemeral::prepare(new, old);
    }
    let changed = new.at("spec") != old.at("spec");
    if part == Part::Status {
        if let Some(meta) = make(new, "metadata") {
            let none = Map::new();
            keep(meta, old.map("metadata").unwrap_or(&none), "ownerReferences");
        }
        if let Some(status) = make(new, "status") {
            let class = old.at("status").text("qosClass").to_owned();
            crate::kinds::access::or_set(status, "qosClass", class);
        }
    }
    let generation = old.at("metadata").int("generation").unwrap_or(0);
    if let Some(meta) = make(new, "metadata") {
        meta.insert("generation".to_owned(), (generation + i64::from(changed)).into());
    }
}

/// What is wrong with a change.
pub(super) fn validate(new: &Map, old: &Map, part: Part, errors: &mut Errors) {
    match part {
        Part::Main => {}
        Part::Status => return status(new, old, errors),
        Part::Other(Subresource::EphemeralContainers) => {
            return super::ephemeral::update(new, old, errors);
        }
        Part::Other(_) => return,
    }
    let path = Path::new("spec");
    let (spec, before) = (new.at("spec"), old.at("spec"));
    for list in ["containers", "initContainers"] {
        if spec.list(list).len() != before.list(list).len() {
            errors.forbidden(&path.child(list), "pod updates may not add or remove containers");
            return;
        }
        for (i, one) in spec.list(list).iter().enumerate() {
            if one.text("image").is_empty() {
                errors.required(&path.child(list).index(i).child("image"), "");
            }
        }
    }
    if !deadline(spec, before, &path.child("activeDeadlineSeconds"), errors) {
        return;
    }
    let gone = |one: &&Value| !spec.list("tolerations").iter().any(|new| same_toleration(one, new));
    if before.list("tolerations").iter().any(|one| gone(&one)) {
        let why = "existing toleration can not be modified except its tolerationSeconds";
        errors.forbidden(&path.child("tolerations"), why);
    }
    let added = |one: &&Value| !before.list("schedulingGates").contains(one);
    for (i, gate) in spec.list("schedulingGates").iter().enumerate().filter(|(_, one)| added(one)) {
        let why = format!(
            "only deletion is allowed, but found new scheduling gate '{}'",
            gate.text("name")
        );
        errors.forbidden(&path.child("schedulingGates").index(i), why);
    }
    let mut munged = munged(spec, before);
    if !before.list("schedulingGates").is_empty() {
        node_selector(&mut munged, before, &path.child("nodeSelector"), errors);
    }
    if munged != *before {
        errors.forbidden(&path, MUTABLE);
    }
}

/// While a pod waits for gates, its node selector may become narrower.
fn node_selector(munged: &mut Value, before: &Value, path: &Path, errors: &mut Errors) {
    let new = munged.at("nodeSelector");
    if before.entries("nodeSelector").iter().any(|(key, value)| new.at(key) != *value) {
        let why = "only additions to spec.nodeSelector are allowed (no mutations or deletions)";
        errors.invalid(path, new.clone(), why);
    }
    if let (Some(spec), Some(old)) = (munged.as_object_mut(), before.as_object()) {
        keep(spec, old, "nodeSelector");
    }
}

/// What is wrong with a change of the status.
fn status(new: &Map, old: &Map, errors: &mut Errors) {
    let (path, before) = (Path::new("status"), old.at("status"));
    let class = new.at("status").text("qosClass");
    if class != before.text("qosClass") {
        errors.invalid(&path.child("qosClass"), class, "field is immutable");
    }
    let policy = new.at("spec").text("restartPolicy");
    if policy == "Always" {
        return;
    }
    let list = "containerStatuses";
    for (i, one) in before.list(list).iter().enumerate() {
        let ended = one.at("state").at("terminated");
        let again = policy == "OnFailure" && ended.int("exitCode").unwrap_or(0) != 0;
        let lives = |new: &Value| {
            new.text("name") == one.text("name") && !new.at("state").has("terminated")
        };
        if !ended.is_null() && !again && new.at("status").list(list).iter().any(lives) {
            let at = path.child(list).index(i).child("state");
            errors.forbidden(&at, "may not be transitioned to non-terminated state");
        }
    }
}

fn same_toleration(old: &Value, new: &Value) -> bool {
    ["key", "operator", "value", "effect"].iter().all(|field| old.text(field) == new.text(field))
}

/// A deadline may come nearer, or come up; false if it is the only thing worth saying.
fn deadline(spec: &Value, before: &Value, path: &Path, errors: &mut Errors) -> bool {
    let field = "activeDeadlineSeconds";
    match (spec.int(field), before.int(field)) {
        (Some(new), Some(old)) if old < new => {
            errors.invalid(path, new, "must be less than or equal to previous value");
            false
        }
        (None, Some(_)) => {
            errors.invalid(path, "null", "must not update from a positive integer to nil value");
            true
        }
        _ => true,
    }
}

/// The new spec with the fields that may change as they were.
fn munged(spec: &Value, before: &Value) -> Value {
    let (Some(mut spec), Some(old)) = (spec.as_object().cloned(), before.as_object()) else {
        return spec.clone();
    };
    for list in ["containers", "initContainers"] {
        for (one, old) in items(&mut spec, list).zip(old.list(list)) {
            if let Some(old) = old.as_object() {
                keep(one, old, "image");
            }
        }
    }
    for field in ["activeDeadlineSeconds", "tolerations", "schedulingGates"] {
        keep(&mut spec, old, field);
    }
    let grace = "terminationGracePeriodSeconds";
    if old.int(grace).is_some_and(|seconds| seconds < 0) && spec.int(grace) == Some(1) {
        keep(&mut spec, old, grace);
    }
    spec.into()
}
