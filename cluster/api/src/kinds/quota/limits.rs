// SPDX-License-Identifier: Apache-2.0
//! LimitRanges: how little and how much a pod, a container or a claim may ask for.

use super::resources::limit_name;
use crate::Map;
use crate::field::{Errors, Path};
use crate::kinds::access::{make, map_mut, or_set_missing};
use crate::kinds::pod::{each, nano, round_amounts};
use crate::kinds::view::{View, items};
use crate::registry::{Part, Rules};
use crate::schema::quantity::NANO;
use crate::{cells, names};
use berth_cluster_json::Value;
use std::collections::BTreeSet;

const FIELDS: [&str; 5] = ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"];

#[derive(Debug)]
pub(super) struct Limits;

/// Of a container: the most is what it gets, and what it gets is what it asks for; else the least is.
fn default_container(limit: &mut Map) {
    for (from, to) in [("max", "default"), ("default", "defaultRequest"), ("min", "defaultRequest")]
    {
        let amounts = limit.map(from).cloned().unwrap_or_default();
        if amounts.is_empty() {
            continue;
        }
        if let Some(to) = make(limit, to) {
            for (name, amount) in amounts {
                or_set_missing(to, &name, amount);
            }
        }
    }
}

/// Pairs of which the first may not be more than the second: their names in sentences, and whose value is shown, where.
const ORDER: [(&str, &str, &str, &str); 6] = [
    ("min", "max", "min", "min"),
    ("min", "defaultRequest", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "max", "defaultRequest", "defaultRequest"),
    ("defaultRequest", "default", "defaultRequest", "defaultRequest"),
    ("min", "default", "min", "default"),
    ("default", "max", "max", "default"),
];

fn word(field: &str, against: &str) -> &'static str {
    match (field, against) {
        ("min", _) => "min value",
        ("max", _) => "max value",
        ("defaultRequest", _) => "default request value",
        ("default", "defaultRequest") => "default limit value",
        _ => "default value",
    }
}

/// What is wrong with the amounts of one resource.
fn resource(limit: &Value, name: &str, path: &Path, errors: &mut Errors) {
    let text = |field: &str| limit.at(field).at(name).as_str().unwrap_or_default();
    let amount = |field: &str| nano(limit.at(field).at(name));
    for (less, more, shown, at) in ORDER {
        let (Some(a), Some(b)) = (amount(less), amount(more)) else { continue };
        if a > b {
            let why = format!(
                "{} {} is greater than {} {}",
                word(less, more),
                text(less),
                word(more, less),
                text(more)
            );
            errors.invalid(&path.child(at).key(name), text(shown), why);
        }
    }
    let (field, at) = ("maxLimitRequestRatio", path.child("maxLimitRequestRatio").key(name));
    if let Some(ratio) = amount(field) {
        if ratio < NANO {
            errors.invalid(&at, text(field), format!("ratio {} is less than 1", text(field)));
        }
        if let (Some(least), Some(most)) = (amount("min").filter(|it| *it > 0), amount("max"))
            && ratio * least > most * NANO
        {
            #[expect(clippy::cast_precision_loss, reason = "it is shown with six places")]
            let most = most as f64 / least as f64;
            let why = format!("ratio {} is greater than max/min = {most:.6}", text(field));
            errors.invalid(&at, text(field), why);
        }
    }
    let fixed = name.contains('/') || name.starts_with("hugepages-");
    if let (true, Some(a), Some(b)) = (fixed, amount("default"), amount("defaultRequest"))
        && a != b
    {
        let why = format!(
            "default value {} must equal to defaultRequest value {} in {name}",
            text("default"),
            text("defaultRequest")
        );
        errors.invalid(&path.child("defaultRequest").key(name), text("defaultRequest"), why);
    }
}

fn item(limit: &Value, path: &Path, errors: &mut Errors) {
    let kind = limit.text("type");
    let pods = ["Pod", "Container"].contains(&kind);
    let mut all = BTreeSet::new();
    for field in FIELDS {
        let at = path.child(field);
        let entries = limit.entries(field);
        if kind == "Pod" && field.starts_with("default") {
            if !entries.is_empty() {
                errors.forbidden(&at, "may not be specified when `type` is 'Pod'");
            }
            continue;
        }
        if kind == "PersistentVolumeClaim" && field == "maxLimitRequestRatio" {
            let bounded = ["min", "max"].iter().any(|it| limit.at(it).has("storage"));
            if !bounded {
                let why =
                    "either minimum or maximum storage value is required, but neither was provided";
                errors.required(&path.child("limits"), why);
            }
        }
        for (name, _) in entries {
            limit_name(name, pods, &at.key(name), errors);
            all.insert(name);
        }
    }
    for name in all {
        resource(limit, name, path, errors);
    }
}

impl Rules for Limits {
    fn default(&self, object: &mut Map) {
        let Some(spec) = map_mut(object, "spec") else { return };
        if spec.list("limits").is_empty() {
            // Upstream shows none as null.
            spec.remove("limits");
        }
        for limit in items(spec, "limits") {
            for field in FIELDS {
                round_amounts(limit, field);
            }
            if limit.text("type") == "Container" {
                default_container(limit);
            }
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let mut seen = BTreeSet::new();
        for (index, limit) in object.at("spec").list("limits").iter().enumerate() {
            let path = Path::new("spec").child("limits").index(index);
            let (kind, at) = (limit.text("type"), path.child("type"));
            let problems = names::qualified(kind);
            let known = ["Pod", "Container", "PersistentVolumeClaim"];
            let odd = problems.is_empty() && !kind.contains('/') && !known.contains(&kind);
            each(problems, &at, kind, errors);
            if odd {
                let why = "must be a standard limit type or fully qualified";
                errors.invalid(&at, kind, why);
            }
            if !seen.insert(kind) {
                errors.duplicate(&at, kind);
            }
            item(limit, &path, errors);
        }
    }

    fn validate_update(&self, _new: &Map, _old: &Map, _part: Part, _errors: &mut Errors) {}

    fn cells(&self, object: &Map, _now: i64) -> Vec<Value> {
        let at = object.at("metadata").text("creationTimestamp");
        vec![cells::name(object), at.into()]
    }
}
