// SPDX-License-Identifier: Apache-2.0
//! Persistent volumes: pieces of storage that are there for claims.

use super::{OLD_CLASS, amounts, cells, source};
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{keep, make, or_set, or_set_missing};
use crate::kinds::pod::{default_source, each, node_term, one_of, round_amounts};
use crate::kinds::view::View;
use crate::names;
use crate::registry::{Part, Rules};
use berth_cluster_json::{Value, json};

/// The ways in which a volume is used, in the order of upstream's sentences.
const MODES: [&str; 4] = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];

/// What is in a volume: files or bytes.
pub(super) const CONTENTS: [&str; 2] = ["Block", "Filesystem"];

#[derive(Debug)]
pub(super) struct Volume;

/// The ways in which a volume is used; a way for one pod alone goes with no other.
pub(super) fn access_modes(spec: &Value, path: &Path, errors: &mut Errors) {
    let (all, at) = (spec.list("accessModes"), path.child("accessModes"));
    for mode in all.iter().filter_map(Value::as_str).filter(|mode| !MODES.contains(mode)) {
        errors.not_supported(&at, mode, &MODES);
    }
    let single = all.iter().any(|mode| mode == "ReadWriteOncePod");
    let others = |mode: &Value| mode != "ReadWriteOncePod" && MODES.iter().any(|it| mode == it);
    if single && all.iter().any(others) {
        errors.forbidden(&at, "may not use ReadWriteOncePod with other access modes");
    }
}

/// The nodes that reach a volume; whether any are said.
fn affinity(affinity: &Value, path: &Path, errors: &mut Errors) -> bool {
    let (required, at) = (affinity.at("required"), path.child("required"));
    if required.is_null() {
        errors.required(&at, "must specify required node constraints");
        return false;
    }
    let (terms, at) = (required.list("nodeSelectorTerms"), at.child("nodeSelectorTerms"));
    if terms.is_empty() {
        errors.required(&at, "must have at least one node selector term");
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(term, &at.index(index), errors);
    }
    true
}

fn capacity(spec: &Value, path: &Path, errors: &mut Errors) {
    let (all, at) = (spec.entries("capacity"), path.child("capacity"));
    if all.is_empty() {
        errors.required(&at, "");
    }
    if all.len() > 1 || !spec.at("capacity").has("storage") {
        errors.not_supported(&at, spec.at("capacity").clone(), &["storage"]);
    }
    for (name, amount) in all {
        let at = at.key(name);
        amounts::measured(amount, &at, errors);
        amounts::positive(amount, &at, errors);
    }
}

/// A volume by itself.
fn spec(spec: &Value, path: &Path, errors: &mut Errors) {
    if spec.list("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    access_modes(spec, path, errors);
    capacity(spec, path, errors);
    let policy = spec.text("persistentVolumeReclaimPolicy");
    let known = ["Delete", "Recycle", "Retain"];
    if !policy.is_empty() {
        one_of(policy, &known, false, &path.child("persistentVolumeReclaimPolicy"), errors);
    }
    let mut bound = false;
    if spec.has("nodeAffinity") {
        bound = affinity(spec.at("nodeAffinity"), &path.child("nodeAffinity"), errors);
    }
    source::one(spec, bound, path, errors);
    let class = spec.text("storageClassName");
    if !class.is_empty() {
        each(names::dns_subdomain(class, false), &path.child("storageClassName"), class, errors);
    }
    if spec.has("volumeMode") {
        one_of(spec.text("volumeMode"), &CONTENTS, false, &path.child("volumeMode"), errors);
    }
    attributes(spec, path, errors);
}

fn attributes(spec: &Value, path: &Path, errors: &mut Errors) {
    let at = path.child("volumeAttributesClassName");
    match spec.at("volumeAttributesClassName").as_str() {
        None => return,
        Some("") => errors.required(&at, "an empty string is disallowed"),
        Some(name) => each(names::dns_subdomain(name, false), &at, name, errors),
    }
    if !spec.has("csi") {
        let why = "has to be specified when using volumeAttributesClassName";
        errors.required(&path.child("csi"), why);
    }
}

/// A volume that stands in an attachment: only what a driver needs to find it.
pub(super) fn inline(spec: &Value, path: &Path, errors: &mut Errors) {
    let context = "may not be specified in the context of inline volumes";
    for field in ["claimRef", "capacity"] {
        let there = spec.has(field) && !spec.map(field).is_some_and(Map::is_empty);
        if there {
            errors.forbidden(&path.child(field), context);
        }
    }
    if !spec.has("csi") {
        let why = "has to be specified in the context of inline volumes";
        errors.required(&path.child("csi"), why);
    }
    if spec.list("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "");
    }
    access_modes(spec, path, errors);
    if !["", "Retain"].contains(&spec.text("persistentVolumeReclaimPolicy")) {
        let why = "may only be Retain in the context of inline volumes";
        errors.forbidden(&path.child("persistentVolumeReclaimPolicy"), why);
    }
    if spec.has("nodeAffinity") {
        errors.forbidden(&path.child("nodeAffinity"), context);
    }
    source::one(spec, false, path, errors);
    if !spec.text("storageClassName").is_empty() {
        errors.forbidden(&path.child("storageClassName"), context);
    }
    if spec.has("volumeMode") && spec.text("volumeMode") != "Filesystem" {
        let why =
            "may not specify volumeMode other than Filesystem in the context of inline volumes";
        errors.forbidden(&path.child("volumeMode"), why);
    }
}

/// Keys of nodes that have a new name; an affinity may be brought up to it.
const RENAMED: [(&str, &str); 5] = [
    ("beta.kubernetes.io/arch", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "node.kubernetes.io/instance-type"),
    ("beta.kubernetes.io/os", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "topology.kubernetes.io/zone"),
];

/// Whether an affinity says what it said, under old or new names.
fn same_affinity(new: &Value, old: &Value) -> bool {
    match (new, old) {
        (Value::Object(new), Value::Object(old)) => {
            new.len() == old.len()
                && new.iter().all(|(field, value)| {
                    let before = old.at(field);
                    let pair = (before.as_str().unwrap_or(""), value.as_str().unwrap_or(""));
                    same_affinity(value, before) || field == "key" && RENAMED.contains(&pair)
                })
        }
        (Value::Array(new), Value::Array(old)) => {
            new.len() == old.len() && new.iter().zip(old).all(|(new, old)| same_affinity(new, old))
        }
        _ => new == old,
    }
}

fn update(new: &Value, old: &Value, errors: &mut Errors) {
    let path = Path::new("spec");
    if !source::same(new, old) {
        let why = "spec.persistentvolumesource is immutable after creation";
        errors.forbidden(&path.child("persistentvolumesource"), why);
    }
    // Upstream leaves `spec` out of these two paths.
    let mode = new.at("volumeMode");
    if mode != old.at("volumeMode") {
        errors.invalid(&Path::new("volumeMode"), mode.clone(), "field is immutable");
    }
    let (after, before) = (new.at("nodeAffinity"), old.at("nodeAffinity"));
    if !before.is_null() && !same_affinity(after, before) {
        errors.invalid(&Path::new("nodeAffinity"), after.clone(), "field is immutable");
    }
    let field = "volumeAttributesClassName";
    if old.has(field) && !new.has(field) {
        let why = "update from non-nil value to nil is forbidden";
        errors.forbidden(&path.child(field), why);
    }
}

impl Rules for Volume {
    fn default(&self, object: &mut Map) {
        if let Some(status) = make(object, "status") {
            or_set(status, "phase", "Pending");
        }
        if let Some(spec) = make(object, "spec") {
            or_set(spec, "persistentVolumeReclaimPolicy", "Retain");
            or_set_missing(spec, "volumeMode", "Filesystem");
            round_amounts(spec, "capacity");
            default_source(spec);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "phase": "Pending" }));
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => {}
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        spec(object.at("spec"), &Path::new("spec"), errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        if part == Part::Main {
            // Upstream looks at the whole twice.
            self.validate(new, errors);
            update(new.at("spec"), old.at("spec"), errors);
        }
    }

    fn warnings(&self, object: &Map) -> Vec<String> {
        let mut all = old_class_warning(object);
        if object.at("spec").text("persistentVolumeReclaimPolicy") == "Recycle" {
            let text = "spec.persistentVolumeReclaimPolicy: The Recycle reclaim policy is deprecated. Instead, the recommended approach is \
                        to use dynamic provisioning.";
            all.push(text.to_owned());
        }
        all
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::volume(object, now)
    }
}

/// Of a class that is named in the old way.
pub(super) fn old_class_warning(object: &Map) -> Vec<String> {
    let there = object.at("metadata").at("annotations").has(OLD_CLASS);
    let text = format!(
        "metadata.annotations[{OLD_CLASS}]: deprecated since v1.8; use \"storageClassName\" attribute instead"
    );
    if there { vec![text] } else { Vec::new() }
}
