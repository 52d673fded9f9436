// SPDX-License-Identifier: Apache-2.0
//! Namespaces: what holds other objects, and stays until its finalizers are gone.

use super::access::{add_all, keep, list, make, map, or_set, text};
use super::row::{RowExt, column, row};
use crate::field::{Errors, Path};
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::{Map, cells, meta, names};
use serde_json::{Value, json};

/// The label that says a namespace's name, so that selectors can find it.
const NAME_LABEL: &str = "kubernetes.io/metadata.name";

/// Keeps a namespace until all in it is gone.
const FINALIZER: &str = "kubernetes";

/// The row.
pub fn kinds() -> Vec<Kind> {
    let status = column("Status", "string", "The status of the namespace");
    vec![
        row("", "Namespace", "namespaces", &[status], Namespace)
            .short(&["ns"])
            .cluster_scoped()
            .below(&[Subresource::Finalize, Subresource::Status])
            .returns_object(),
    ]
}

#[derive(Debug)]
struct Namespace;

/// Labels a namespace that has a name: one to be generated is not there yet when defaults are set.
fn label(object: &mut Map) {
    let Some(meta) = make(object, "metadata") else { return };
    let name = text(meta, "name").to_owned();
    if name.is_empty() {
        return;
    }
    if let Some(labels) = make(meta, "labels") {
        labels.insert(NAME_LABEL.to_owned(), name.into());
    }
}

fn finalizer(name: &str, path: &Path, errors: &mut Errors) {
    add_all(errors, path, name, names::qualified(name));
    meta::standard_finalizer(name, path, errors);
}

/// Names of the finalizers in the spec.
fn finalizers(object: &Map) -> impl Iterator<Item = &str> {
    let all = map(object, "spec").map_or(&[][..], |spec| list(spec, "finalizers"));
    all.iter().map(|one| one.as_str().unwrap_or(""))
}

fn phase(object: &Map) -> &str {
    map(object, "status").map_or("", |status| text(status, "phase"))
}

fn validate_phase(object: &Map, errors: &mut Errors) {
    let meta = map(object, "metadata");
    let alive = meta.is_none_or(|meta| text(meta, "deletionTimestamp").is_empty());
    // Upstream writes the path so.
    let (path, phase) = (Path::new("status").child("Phase"), phase(object));
    if alive && phase != "Active" {
        errors.invalid(&path, phase, "may only be 'Active' if `deletionTimestamp` is empty");
    }
    if !alive && phase != "Terminating" {
        let detail = "may only be 'Terminating' if `deletionTimestamp` is not empty";
        errors.invalid(&path, phase, detail);
    }
}

impl Rules for Namespace {
    fn default(&self, object: &mut Map) {
        label(object);
        if let Some(status) = make(object, "status") {
            or_set(status, "phase", "Active");
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        label(object);
        object.insert("status".to_owned(), json!({ "phase": "Active" }));
        let mut all: Vec<Value> = finalizers(object).map(Value::from).collect();
        if !all.iter().any(|one| one == FINALIZER) {
            all.push(FINALIZER.into());
        }
        if let Some(spec) = make(object, "spec") {
            spec.insert("finalizers".to_owned(), all.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => {
                keep(new, old, "status");
                let none = Map::new();
                if let Some(spec) = make(new, "spec") {
                    keep(spec, map(old, "spec").unwrap_or(&none), "finalizers");
                }
            }
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => keep(new, old, "status"),
        }
    }

    fn name_problem(&self, name: &str, prefix: bool) -> Vec<String> {
        names::dns_label(name, prefix)
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let path = Path::new("spec").child("finalizers");
        for name in finalizers(object) {
            finalizer(name, &path, errors);
        }
    }

    fn validate_update(&self, new: &Map, _old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => {}
            Part::Status => validate_phase(new, errors),
            Part::Other(_) => {
                let path = Path::new("spec").child("finalizers");
                for (index, name) in finalizers(new).enumerate() {
                    finalizer(name, &path.index(index), errors);
                }
            }
        }
    }

    fn fields(&self, object: &Map) -> Vec<(&'static str, String)> {
        let name = map(object, "metadata").map_or("", |meta| text(meta, "name"));
        vec![("status.phase", phase(object).to_owned()), ("name", name.to_owned())]
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        vec![cells::name(object), phase(object).into(), cells::age(object, now)]
    }
}
