// SPDX-License-Identifier: Apache-2.0
//! StatefulSets: pods with a name and storage of their own each.

use super::replicas::{
    at_most_all, empty, invalid_amount, matches, numbers, runs_on, unmatched, whole_or_percent,
    zero,
};
use super::{cells, common_defaults, first_generation, prepare_update};
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{keep, make, map_mut, or_set, or_set_missing};
use crate::kinds::pod::{label_selector, validate_metadata};
use crate::kinds::storage::default_claim_spec;
use crate::kinds::view::{View, items};
use crate::names;
use crate::registry::{Part, Rules};
use berth_cluster_json::{Value, json};

/// What of a spec may change.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

#[derive(Debug)]
pub(super) struct StatefulSet;

/// Takes away what 1.33 has behind a gate that is closed, where it was not there before.
fn drop_gated(new: &mut Map, old: Option<&Map>) {
    let field = "maxUnavailable";
    let rolling = |of: &Value| of.at("updateStrategy").at("rollingUpdate").has(field);
    if !old.is_some_and(|old| rolling(old.at("spec")))
        && let Some(rolling) = map_mut(new, "spec")
            .and_then(|spec| map_mut(spec, "updateStrategy"))
            .and_then(|strategy| map_mut(strategy, "rollingUpdate"))
    {
        rolling.remove(field);
    }
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (rolling, at) = (strategy.at("rollingUpdate"), path.child("rollingUpdate"));
    match strategy.text("type") {
        "" => errors.required(path, ""),
        "OnDelete" if !rolling.is_null() => {
            let why = "only allowed for updateStrategy 'RollingUpdate'";
            errors.invalid(&at, rolling.clone(), why);
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            numbers(rolling, &["partition"], &at, errors);
            let (most, at) = (rolling.at("maxUnavailable"), at.child("maxUnavailable"));
            if !most.is_null() {
                whole_or_percent(most, &at, errors);
                if zero(most) {
                    invalid_amount(most, &at, "cannot be 0", errors);
                }
                at_most_all(most, &at, errors);
            }
        }
        _ => errors.invalid(path, strategy.clone(), "must be 'RollingUpdate' or 'OnDelete'"),
    }
}

/// Of the template upstream judges little, since its volumes are claims that are made later.
fn template(spec: &Value, path: &Path, errors: &mut Errors) {
    let (selector, at) = (spec.at("selector"), path.child("selector"));
    if selector.is_null() {
        errors.required(&at, "");
    } else {
        label_selector(selector, &at, errors);
        if empty(selector) {
            errors.invalid(&at, selector.clone(), "empty selector is invalid for statefulset");
        }
    }
    let (template, to) = (spec.at("template"), path.child("template"));
    let mut wrong = Errors::new();
    label_selector(selector, &at, &mut wrong);
    if wrong.is_empty() {
        let labels = template.at("metadata").at("labels");
        if !empty(selector) && !matches(selector, labels) {
            unmatched(labels, &to, errors);
        }
        validate_metadata(template.at("metadata"), &to, errors);
    } else {
        errors.invalid(&at, selector.clone(), "");
    }
    runs_on(template, &to, "StatefulSet", errors);
}

fn whole(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    let (policy, at) = (spec.text("podManagementPolicy"), path.child("podManagementPolicy"));
    match policy {
        "" => errors.required(&at, ""),
        "OrderedReady" | "Parallel" => {}
        other => errors.invalid(&at, other, "must be 'OrderedReady' or 'Parallel'"),
    }
    strategy(spec.at("updateStrategy"), &path.child("updateStrategy"), errors);
    let field = "persistentVolumeClaimRetentionPolicy";
    for when in ["whenDeleted", "whenScaled"].iter().filter(|_| spec.has(field)) {
        let (what, known) = (spec.at(field).text(when), ["Retain", "Delete"]);
        if !known.contains(&what) {
            errors.not_supported(&path.child(field).child(when), what, &known);
        }
    }
    numbers(spec, &["replicas", "minReadySeconds"], &path, errors);
    numbers(spec.at("ordinals"), &["start"], &path.child("ordinals"), errors);
    template(spec, &path, errors);
}

fn update(new: &Map, old: &Map, errors: &mut Errors) {
    let (Some(spec), Some(before)) = (new.map("spec"), old.map("spec")) else { return };
    let mut after = spec.clone();
    for field in MUTABLE {
        keep(&mut after, before, field);
    }
    if after != *before {
        let why = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', \
                   'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.forbidden(&Path::new("spec"), why);
    }
}

fn status(new: &Map, old: &Map, errors: &mut Errors) {
    let (status, path) = (new.at("status"), Path::new("status"));
    let counts =
        ["replicas", "readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    numbers(status, &counts, &path, errors);
    numbers(status, &["observedGeneration", "collisionCount"], &path, errors);
    let count = |field| status.int(field).unwrap_or(0);
    for field in &counts[1..] {
        if count(field) > count("replicas") {
            let why = "cannot be greater than status.replicas";
            errors.invalid(&path.child(field), count(field), why);
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let why = "cannot be greater than status.readyReplicas";
        errors.invalid(&path.child("availableReplicas"), count("availableReplicas"), why);
    }
    collisions(status, old.at("status"), errors);
}

/// Collisions are only counted up.
pub(super) fn collisions(new: &Value, old: &Value, errors: &mut Errors) {
    let (field, count) = ("collisionCount", |of: &Value| of.int("collisionCount").unwrap_or(0));
    if old.has(field) && count(new) < count(old) {
        let path = Path::new("status").child(field);
        errors.invalid(&path, count(new), "cannot be decremented");
    }
}

impl Rules for StatefulSet {
    fn missing_as_scale(&self) -> bool {
        false
    }

    fn default(&self, object: &mut Map) {
        common_defaults(object);
        let Some(spec) = make(object, "spec") else { return };
        or_set(spec, "podManagementPolicy", "OrderedReady");
        or_set_missing(spec, "revisionHistoryLimit", 10);
        if let Some(strategy) = make(spec, "updateStrategy") {
            or_set(strategy, "type", "RollingUpdate");
            if strategy.text("type") == "RollingUpdate"
                && let Some(rolling) = make(strategy, "rollingUpdate")
            {
                or_set_missing(rolling, "partition", 0);
            }
        }
        if let Some(policy) = make(spec, "persistentVolumeClaimRetentionPolicy") {
            or_set(policy, "whenDeleted", "Retain");
            or_set(policy, "whenScaled", "Retain");
        }
        for claim in items(spec, "volumeClaimTemplates") {
            claim.insert("apiVersion".to_owned(), "v1".into());
            claim.insert("kind".to_owned(), "PersistentVolumeClaim".into());
            if let Some(spec) = make(claim, "spec") {
                default_claim_spec(spec);
            }
            if let Some(status) = make(claim, "status") {
                or_set(status, "phase", "Pending");
            }
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        drop_gated(object, None);
        let none = json!({ "replicas": 0, "availableReplicas": 0 });
        object.insert("status".to_owned(), none);
        first_generation(object);
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        drop_gated(new, Some(old));
        prepare_update(new, old, part);
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        whole(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => {
                // upstream looks at the whole twice
                whole(new, errors);
                update(new, old, errors);
            }
            Part::Status => status(new, old, errors),
            Part::Other(_) => {}
        }
    }

    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns_label(name, prefix)
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::stateful_set(object, now)
    }
}
