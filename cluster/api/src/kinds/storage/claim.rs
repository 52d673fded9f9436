// SPDX-License-Identifier: Apache-2.0
//! Claims: what somebody wants of a volume.

use super::volume::{CONTENTS, access_modes, old_class_warning};
use super::{amounts, cells, claim_update};
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{keep, make, map_mut, or_set, or_set_missing};
use crate::kinds::pod::{each, one_of, round_amounts};
use crate::kinds::view::View;
use crate::registry::{Part, Rules};
use crate::{meta, names};
use berth_cluster_json::{Value, json};

#[derive(Debug)]
pub(super) struct Claim;

/// What a client may leave out of a claim's spec, also where it is a template.
pub(crate) fn default_spec(spec: &mut Map) {
    or_set_missing(spec, "volumeMode", "Filesystem");
    if let Some(resources) = map_mut(spec, "resources") {
        round_amounts(resources, "limits");
        round_amounts(resources, "requests");
    }
}

/// A claim's spec by itself. `old`: what upstream lets pass in it, because it was there before.
pub(crate) fn spec(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut Errors) {
    if spec.list("accessModes").is_empty() {
        errors.required(&path.child("accessModes"), "at least 1 access mode is required");
    }
    if let Some(selector) = spec.map("selector") {
        let loose = old.is_some_and(is_loose);
        meta::validate_selector(selector, loose, &path.child("selector"), errors);
    }
    access_modes(spec, path, errors);
    let at = path.child("resources").key("storage");
    match spec.at("resources").at("requests").at("storage") {
        Value::Null => errors.required(&at, ""),
        amount => drop(amounts::positive(amount, &at, errors)),
    }
    let class_name = |field: &str, errors: &mut Errors| {
        let name = spec.text(field);
        if !name.is_empty() {
            each(names::dns_subdomain(name, false), &path.child(field), name, errors);
        }
    };
    class_name("storageClassName", errors);
    if spec.has("volumeMode") {
        one_of(spec.text("volumeMode"), &CONTENTS, false, &path.child("volumeMode"), errors);
    }
    sources(spec, old, path, errors);
    class_name("volumeAttributesClassName", errors);
}

/// Whether the selector has values that labels cannot have.
fn is_loose(spec: &Value) -> bool {
    let mut errors = Errors::new();
    if let Some(selector) = spec.map("selector") {
        meta::validate_selector(selector, false, &Path::default(), &mut errors);
    }
    !errors.is_empty()
}

/// What the volume is to be filled with. It is said twice, for clients of before and of now.
fn sources(spec: &Value, old: Option<&Value>, path: &Path, errors: &mut Errors) {
    let fields = ["dataSource", "dataSourceRef"];
    let loose = old.is_some_and(|old| fields.iter().any(|field| old.at(field).has("apiGroup")));
    for field in fields.iter().filter(|field| spec.has(field)) {
        source(spec.at(field), loose, &path.child(field), errors);
    }
    let [one, other] = fields.map(|field| spec.at(field));
    // Upstream shows the field's path as Go prints it, which has an address in it.
    if one.is_null() || other.is_null() {
        return;
    }
    let shown = path.child("dataSource").to_string();
    if !other.text("namespace").is_empty() {
        let why = "may not be specified when dataSourceRef.namespace is specified";
        errors.invalid(path, shown, why);
    } else if ["apiGroup", "kind", "name"].iter().any(|field| one.at(field) != other.at(field)) {
        errors.invalid(path, shown, "must match dataSourceRef");
    }
}

fn source(source: &Value, loose: bool, path: &Path, errors: &mut Errors) {
    for field in ["name", "kind"].iter().filter(|field| source.text(field).is_empty()) {
        errors.required(&path.child(field), "");
    }
    let (group, kind) = (source.text("apiGroup"), source.text("kind"));
    if group.is_empty() && kind != "PersistentVolumeClaim" {
        let why = "must be 'PersistentVolumeClaim' when referencing the default apiGroup";
        errors.invalid(path, kind, why);
    }
    if !group.is_empty() && !loose {
        each(names::dns_subdomain(group, false), &path.child("apiGroup"), group, errors);
    }
    let namespace = source.text("namespace");
    if !namespace.is_empty() {
        each(names::dns_label(namespace, false), &path.child("namespace"), namespace, errors);
    }
}

/// Makes both fields for the source say the same. `old`: the spec before.
fn join_sources(spec: &mut Map, old: Option<&Value>) {
    let before = |field| old.is_some_and(|old| old.has(field));
    let snapshot = spec.at("dataSource").text("kind") == "VolumeSnapshot"
        && spec.at("dataSource").text("apiGroup") == "snapshot.storage.k8s.io";
    let claim = spec.at("dataSource").text("kind") == "PersistentVolumeClaim"
        && spec.at("dataSource").text("apiGroup").is_empty();
    // What the old field never could say was passed over, and still is.
    if !snapshot && !claim && !before("dataSource") && !before("dataSourceRef") {
        spec.remove("dataSource");
    }
    let other = spec.at("dataSourceRef").clone();
    if spec.has("dataSource") && other.is_null() {
        let source = spec.at("dataSource").clone();
        spec.insert("dataSourceRef".to_owned(), source);
    } else if other.is_object() && !spec.has("dataSource") && other.text("namespace").is_empty() {
        let mut source = other;
        if let Some(source) = source.as_object_mut() {
            source.remove("namespace");
        }
        spec.insert("dataSource".to_owned(), source);
    }
}

impl Rules for Claim {
    fn default(&self, object: &mut Map) {
        if let Some(status) = make(object, "status") {
            or_set(status, "phase", "Pending");
            round_amounts(status, "capacity");
            round_amounts(status, "allocatedResources");
        }
        if let Some(spec) = make(object, "spec") {
            default_spec(spec);
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({ "phase": "Pending" }));
        if let Some(spec) = make(object, "spec") {
            join_sources(spec, None);
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => {}
        }
        if part == Part::Main
            && let Some(spec) = make(new, "spec")
        {
            join_sources(spec, Some(old.at("spec")));
        }
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        spec(object.at("spec"), None, &Path::new("spec"), errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => {
                // Upstream looks at the whole twice.
                for _ in 0..2 {
                    spec(new.at("spec"), Some(old.at("spec")), &Path::new("spec"), errors);
                }
                claim_update::main(new, old, errors);
            }
            Part::Status => claim_update::status(new, errors),
            Part::Other(_) => {}
        }
    }

    fn warnings(&self, object: &Map) -> Vec<String> {
        old_class_warning(object)
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::claim(object, now)
    }
}
