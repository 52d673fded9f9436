// SPDX-License-Identifier: Apache-2.0
//! Metadata that every kind has (`ObjectMeta`), and selectors of labels: what is wrong with them.
#![allow(clippy::result_large_err, reason = "a refusal is rare, and is the answer")]

use crate::Map;
use crate::Refusal;
use crate::field::{Errors, Path, Problem};
use crate::kinds::access::{flag, int, list, map, text};
use crate::names;
use crate::registry::Rules;
use berth_cluster_json::Value;

/// The most bytes that all annotations of an object may have.
const ANNOTATIONS: usize = 256 * 1024;

/// Fills in what a creator may not say, and refuses a namespace that is not the path's. `namespace` is empty for a kind without.
pub fn prepare_create(object: &mut Map, namespace: &str) -> Result<(), Refusal> {
    let meta = object.entry("metadata").or_insert_with(|| Map::new().into());
    let Value::Object(meta) = meta else { return Ok(()) };
    let said = text(meta, "namespace");
    if !namespace.is_empty() && said.is_empty() {
        meta.insert("namespace".to_owned(), namespace.into());
    } else if said != namespace && !namespace.is_empty() {
        return Err(Refusal::bad_request(
            "the namespace of the provided object does not match the namespace sent on the request",
        ));
    }
    for field in ["uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds"] {
        meta.remove(field);
    }
    meta.remove("selfLink");
    Ok(())
}

/// What an update may leave out of the metadata: it is as it was.
pub fn prepare_update(new: &mut Map, old: &Map) {
    let (Some(Value::Object(new)), Some(old)) = (new.get_mut("metadata"), map(old, "metadata"))
    else {
        return;
    };
    let mut keep = |field: &str| {
        if let Some(value) = old.get(field) {
            new.insert(field.to_owned(), value.clone());
            return true;
        }
        false
    };
    // When it was made, and of which generation it is, no client says.
    keep("creationTimestamp");
    let counted = keep("generation");
    // An end that is set cannot be taken back.
    keep("deletionTimestamp");
    if !counted {
        new.remove("generation");
    }
    for field in ["uid", "namespace", "deletionGracePeriodSeconds"] {
        let empty = new.get(field).is_none_or(|value| value.is_null() || value == "");
        if let (true, Some(value)) = (empty, old.get(field)) {
            new.insert(field.to_owned(), value.clone());
        }
    }
}

/// Everything that is wrong with the metadata at `path` (usually `metadata`) by itself.
pub fn validate(meta: &Map, namespaced: bool, rules: &dyn Rules, path: &Path, errors: &mut Errors) {
    let add = |errors: &mut Errors, field: &str, value: &str, prefix: bool| {
        for problem in rules.name_problem(value, prefix) {
            errors.invalid(&path.child(field), value, problem);
        }
    };
    let (prefix, name) = (text(meta, "generateName"), text(meta, "name"));
    if !prefix.is_empty() {
        add(errors, "generateName", prefix, true);
    }
    if name.is_empty() {
        errors.required(&path.child("name"), "name or generateName is required");
    } else {
        add(errors, "name", name, false);
    }
    validate_namespace(text(meta, "namespace"), namespaced, &path.child("namespace"), errors);
    let generation = int(meta, "generation").unwrap_or(0);
    if generation < 0 {
        let path = path.child("generation");
        errors.invalid(&path, generation, "must be greater than or equal to 0");
    }
    validate_parts(meta, path, errors);
    let finalizers = path.child("finalizers");
    validate_finalizers(meta, &finalizers, errors);
    validate_managed_fields(meta, &path.child("managedFields"), errors);
    for (index, finalizer) in list(meta, "finalizers").iter().enumerate() {
        standard_finalizer(finalizer.as_str().unwrap_or(""), &finalizers.index(index), errors);
    }
}

fn validate_namespace(namespace: &str, namespaced: bool, path: &Path, errors: &mut Errors) {
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.required(path, ""),
        (true, false) => {
            for problem in names::dns_label(namespace, false) {
                errors.invalid(path, namespace, problem);
            }
        }
        (false, false) => errors.forbidden(path, "not allowed on this type"),
        (false, true) => {}
    }
}

/// What is checked on creating and on updating.
fn validate_parts(meta: &Map, path: &Path, errors: &mut Errors) {
    if let Some(labels) = map(meta, "labels") {
        validate_labels(labels, &path.child("labels"), errors);
    }
    if let Some(annotations) = map(meta, "annotations") {
        validate_annotations(annotations, &path.child("annotations"), errors);
    }
    validate_owners(meta, &path.child("ownerReferences"), errors);
}

/// Keys and values of labels.
pub fn validate_labels(labels: &Map, path: &Path, errors: &mut Errors) {
    for (key, value) in labels {
        validate_label_key(key, path, errors);
        let value = value.as_str().unwrap_or("");
        for problem in names::label_value(value) {
            errors.invalid(path, value, problem);
        }
    }
}

/// A key of labels.
pub fn validate_label_key(key: &str, path: &Path, errors: &mut Errors) {
    for problem in names::qualified(key) {
        errors.invalid(path, key, problem);
    }
}

/// Keys of annotations, and the size of all.
pub fn validate_annotations(annotations: &Map, path: &Path, errors: &mut Errors) {
    let mut size = 0;
    for (key, value) in annotations {
        for problem in names::qualified(&key.to_lowercase()) {
            errors.invalid(path, key.as_str(), problem);
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS {
        let detail = format!("may not be more than {ANNOTATIONS} bytes");
        errors.add(Problem::TooLong, path, &Value::Null, detail);
    }
}

fn validate_owners(meta: &Map, path: &Path, errors: &mut Errors) {
    let owners = list(meta, "ownerReferences");
    let mut controller: Option<&str> = None;
    for owner in owners.iter().filter_map(Value::as_object) {
        let version = text(owner, "apiVersion");
        if version.is_empty() || version.ends_with('/') {
            errors.invalid(&path.child("apiVersion"), version, "version must not be empty");
        }
        for field in ["kind", "name", "uid"] {
            if text(owner, field).is_empty() {
                errors.invalid(&path.child(field), "", format!("{field} must not be empty"));
            }
        }
        if version == "v1" && text(owner, "kind") == "Event" {
            let detail = "/v1, Kind=Event is disallowed from being an owner";
            errors.invalid(path, owner.clone(), detail);
        }
        if flag(owner, "controller") {
            let name = text(owner, "name");
            if let Some(first) = controller {
                let detail = format!(
                    "Only one reference can have Controller set to true. Found \"true\" in references for {first} and {name}"
                );
                errors.invalid(path, owners.to_vec(), detail);
            }
            controller = Some(name);
        }
    }
}

fn validate_finalizers(meta: &Map, path: &Path, errors: &mut Errors) {
    let finalizers = list(meta, "finalizers");
    let has = |name: &str| finalizers.iter().any(|one| one == name);
    for finalizer in finalizers.iter().filter_map(Value::as_str) {
        validate_label_key(finalizer, path, errors);
    }
    if has("orphan") && has("foregroundDeletion") {
        let detail = "finalizer orphan and foregroundDeletion cannot be both set";
        errors.invalid(path, finalizers.to_vec(), detail);
    }
}

/// A finalizer without a domain has to be one of upstream's own.
pub fn standard_finalizer(name: &str, path: &Path, errors: &mut Errors) {
    let known = ["kubernetes", "orphan", "foregroundDeletion"];
    if !name.contains('/') && !known.contains(&name) {
        let detail = "name is neither a standard finalizer name nor is it fully qualified";
        errors.invalid(path, name, detail);
    }
}

fn validate_managed_fields(meta: &Map, path: &Path, errors: &mut Errors) {
    for (index, one) in list(meta, "managedFields").iter().enumerate() {
        let (Some(one), path) = (one.as_object(), path.index(index)) else { continue };
        let operation = text(one, "operation");
        if operation != "Apply" && operation != "Update" {
            errors.invalid(&path.child("operation"), operation, "must be `Apply` or `Update`");
        }
        let fields = text(one, "fieldsType");
        if !fields.is_empty() && fields != "FieldsV1" {
            errors.invalid(&path.child("fieldsType"), fields, "must be `FieldsV1`");
        }
        validate_manager(text(one, "manager"), &path.child("manager"), errors);
    }
}

/// The name of who manages fields (also the query's `fieldManager`).
pub fn validate_manager(manager: &str, path: &Path, errors: &mut Errors) {
    if manager.len() > 128 {
        let detail = "may not be more than 128 bytes";
        errors.add(Problem::TooLong, path, &Value::Null, detail);
    }
    if manager.chars().any(char::is_control) {
        errors.invalid(path, manager, "should only contain printable characters");
    }
}

/// Everything that is wrong with a change of metadata. `new` is the whole metadata, with the resource version the client gave.
pub fn validate_update(new: &Map, old: &Map, path: &Path, errors: &mut Errors) {
    if old.get("deletionTimestamp").is_some_and(|value| !value.is_null()) {
        new_finalizers(new, old, &path.child("finalizers"), errors);
    }
    if text(new, "resourceVersion").is_empty() {
        let path = path.child("resourceVersion");
        errors.invalid(&path, "", "must be specified for an update");
    }
    let (after, before) = (int(new, "generation"), int(old, "generation"));
    if after.unwrap_or(0) < before.unwrap_or(0) {
        let value = after.unwrap_or(0);
        errors.invalid(&path.child("generation"), value, "must not be decremented");
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        let value = new.get(field).unwrap_or(&Value::Null);
        if value != old.get(field).unwrap_or(&Value::Null) {
            immutable(&path.child(field), value, field.ends_with("Timestamp"), errors);
        }
    }
    validate_parts(new, path, errors);
    validate_managed_fields(new, &path.child("managedFields"), errors);
}

fn new_finalizers(new: &Map, old: &Map, path: &Path, errors: &mut Errors) {
    let before = list(old, "finalizers");
    let mut extra: Vec<String> = list(new, "finalizers")
        .iter()
        .filter(|one| !before.contains(one))
        .map(Value::to_string)
        .collect();
    extra.sort();
    if !extra.is_empty() {
        let extra = extra.join(", ");
        let detail = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{extra}}}"
        );
        errors.forbidden(path, detail);
    }
}

/// Adds that a field may not change. Times are shown as Go prints them.
fn immutable(path: &Path, value: &Value, time: bool, errors: &mut Errors) {
    errors.invalid(path, value.clone(), "field is immutable");
    if let (true, Some(text), Some(last)) = (time, value.as_str(), errors.0.last_mut()) {
        let text = text.trim_end_matches('Z').replacen('T', " ", 1);
        last.value = format!("{text} +0000 UTC");
    }
}

/// Everything that is wrong with a selector of labels (`LabelSelector` of meta/v1). `old` values of an update may be no labels.
pub fn validate_selector(selector: &Map, loose_values: bool, path: &Path, errors: &mut Errors) {
    if let Some(labels) = map(selector, "matchLabels") {
        validate_labels(labels, &path.child("matchLabels"), errors);
    }
    let terms = list(selector, "matchExpressions");
    for (index, term) in terms.iter().enumerate() {
        let Some(term) = term.as_object() else { continue };
        let path = path.child("matchExpressions").index(index);
        let (operator, values) = (text(term, "operator"), list(term, "values"));
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let detail = "must be specified when `operator` is 'In' or 'NotIn'";
                errors.required(&path.child("values"), detail);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let detail = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
                errors.forbidden(&path.child("values"), detail);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.invalid(&path.child("operator"), other, "not a valid selector operator");
            }
        }
        validate_label_key(text(term, "key"), &path.child("key"), errors);
        if loose_values {
            continue;
        }
        for (index, value) in values.iter().filter_map(Value::as_str).enumerate() {
            for problem in names::label_value(value) {
                errors.invalid(&path.child("values").index(index), value, problem);
            }
        }
    }
}

/// The most bytes that the reason and the message of a condition may have.
const REASON: usize = 1024;
const MESSAGE: usize = 32 * 1024;

/// Everything that is wrong with conditions of a status (`Condition` of meta/v1).
pub fn validate_conditions(conditions: &[Value], path: &Path, errors: &mut Errors) {
    for (index, condition) in conditions.iter().enumerate() {
        let (Some(condition), path) = (condition.as_object(), path.index(index)) else { continue };
        let kind = text(condition, "type");
        if conditions[..index].iter().any(|one| one["type"] == kind) {
            errors.duplicate(&path.child("type"), kind);
        }
        validate_condition(condition, &path, errors);
    }
}

fn validate_condition(condition: &Map, path: &Path, errors: &mut Errors) {
    validate_label_key(text(condition, "type"), &path.child("type"), errors);
    let (status, known) = (text(condition, "status"), ["False", "True", "Unknown"]);
    if !known.contains(&status) {
        errors.not_supported(&path.child("status"), status, &known);
    }
    if let Some(seen) = int(condition, "observedGeneration").filter(|seen| *seen < 0) {
        let detail = "must be greater than or equal to zero";
        errors.invalid(&path.child("observedGeneration"), seen, detail);
    }
    if text(condition, "lastTransitionTime").is_empty() {
        errors.required(&path.child("lastTransitionTime"), "must be set");
    }
    let (reason, at) = (text(condition, "reason"), path.child("reason"));
    if reason.is_empty() {
        errors.required(&at, "must be set");
    } else {
        for problem in names::condition_reason(reason) {
            errors.invalid(&at, reason, problem);
        }
    }
    for (field, most) in [("reason", REASON), ("message", MESSAGE)] {
        if text(condition, field).len() > most {
            let detail = format!("may not be more than {most} bytes");
            errors.add(Problem::TooLong, &path.child(field), &Value::Null, detail);
        }
    }
}
