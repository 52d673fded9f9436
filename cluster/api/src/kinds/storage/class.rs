// SPDX-License-Identifier: Apache-2.0
//! Classes of storage, and how much there is of them where.

use super::{amounts, cells};
use crate::Map;
use crate::field::{Errors, Path, Problem};
use crate::kinds::access::or_set_missing;
use crate::kinds::pod::{each, one_of};
use crate::kinds::view::View;
use crate::registry::{Part, Rules};
use crate::{meta, names};
use berth_cluster_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// The most parameters of a class, and the most bytes of all.
const PARAMETERS: usize = 512;
const PARAMETERS_SIZE: usize = 256 * 1024;

#[derive(Debug)]
pub(super) struct Class;

#[derive(Debug)]
pub(super) struct Capacity;

fn too_long(most: usize, path: &Path, errors: &mut Errors) {
    let detail = format!("may not be more than {most} bytes");
    errors.add(Problem::TooLong, path, &Value::Null, detail);
}

fn parameters(object: &Map, errors: &mut Errors) {
    let (all, path) = (object.entries("parameters"), Path::new("parameters"));
    if all.len() > PARAMETERS {
        too_long(PARAMETERS, &path, errors);
        return;
    }
    if all.iter().any(|(key, _)| key.is_empty()) {
        errors.invalid(&path, "", "field can not be empty.");
    }
    let size = |(key, value): &(&str, &Value)| key.len() + value.as_str().map_or(0, str::len);
    if all.iter().map(size).sum::<usize>() > PARAMETERS_SIZE {
        too_long(PARAMETERS_SIZE, &path, errors);
    }
}

/// What a term asks of labels.
type Term<'a> = BTreeMap<&'a str, BTreeSet<&'a str>>;

fn term<'a>(term: &'a Value, path: &Path, errors: &mut Errors) -> Term<'a> {
    let mut all = Term::new();
    for (index, one) in term.list("matchLabelExpressions").iter().enumerate() {
        let path = path.child("matchLabelExpressions").index(index);
        let (key, at) = (one.text("key"), path.child("values"));
        let mut values = BTreeSet::new();
        if one.list("values").is_empty() {
            errors.required(&at, "");
        }
        for (index, value) in one.list("values").iter().filter_map(Value::as_str).enumerate() {
            if !values.insert(value) {
                errors.duplicate(&at.index(index), value);
            }
        }
        each(names::qualified(key), &path.child("key"), key, errors);
        if all.insert(key, values).is_some() {
            errors.duplicate(&path.child("key"), key);
        }
    }
    all
}

fn topologies(object: &Map, errors: &mut Errors) {
    let mut before: Vec<Term<'_>> = Vec::new();
    for (index, one) in object.list("allowedTopologies").iter().enumerate() {
        let path = Path::new("allowedTopologies").index(index);
        let term = term(one, &path, errors);
        if before.contains(&term) {
            errors.duplicate(&path.child("matchLabelExpressions"), "");
        }
        before.push(term);
    }
}

impl Rules for Class {
    fn default(&self, object: &mut Map) {
        or_set_missing(object, "reclaimPolicy", "Delete");
        or_set_missing(object, "volumeBindingMode", "Immediate");
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let (provisioner, path) =
            (object.text("provisioner").to_lowercase(), Path::new("provisioner"));
        if provisioner.is_empty() {
            errors.required(&path, "");
        } else {
            each(names::qualified(&provisioner), &path, &provisioner, errors);
        }
        parameters(object, errors);
        let policy = object.text("reclaimPolicy");
        if !policy.is_empty() {
            let path = Path::new("reclaimPolicy");
            one_of(policy, &["Delete", "Retain"], false, &path, errors);
        }
        let (mode, known) =
            (object.text("volumeBindingMode"), ["Immediate", "WaitForFirstConsumer"]);
        one_of(mode, &known, false, &Path::new("volumeBindingMode"), errors);
        topologies(object, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        for field in ["parameters", "provisioner", "reclaimPolicy"] {
            if !crate::kinds::access::same(new, old, field) {
                let why = format!("updates to {field} are forbidden.");
                errors.forbidden(&Path::new(field), why);
            }
        }
        let field = "volumeBindingMode";
        crate::kinds::access::immutable(new, old, field, &Path::default(), errors);
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        cells::class(object, now)
    }
}

/// Whether the selector has values that labels cannot have.
fn is_loose(object: &Map) -> bool {
    let mut errors = Errors::new();
    capacity(object, false, &mut errors);
    errors.0.iter().any(|error| error.path.as_str().starts_with("nodeTopology"))
}

fn capacity(object: &Map, loose: bool, errors: &mut Errors) {
    if let Some(selector) = object.map("nodeTopology") {
        meta::validate_selector(selector, loose, &Path::new("nodeTopology"), errors);
    }
    let (class, path) = (object.text("storageClassName"), Path::new("storageClassName"));
    each(names::dns_subdomain(class, false), &path, class, errors);
    amounts::not_negative(object.at("capacity"), &Path::new("capacity"), errors);
}

impl Rules for Capacity {
    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        capacity(object, false, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        capacity(new, is_loose(old), errors);
        for field in ["nodeTopology", "storageClassName"] {
            crate::kinds::access::immutable(new, old, field, &Path::default(), errors);
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, _now: i64) -> Vec<Value> {
        cells::capacity(object)
    }
}
