// SPDX-License-Identifier: Apache-2.0
//! How much a namespace may have (ResourceQuota), and how much of it one object (LimitRange).

mod limits;
mod resources;

use super::access::keep;
use super::pod::round_amounts;
use super::row::{AGE, RowExt, column, name_column, row};
use super::view::View;
use crate::field::{Errors, Path};
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::{Map, cells};
use berth_cluster_json::{Value, json};
use std::collections::BTreeSet;

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let columns = vec![
        name_column(),
        AGE,
        column("Request", "string", "What is asked for, of what may be."),
        column("Limit", "string", "What is the most that may be used, of what may be."),
    ];
    let quota = row("", "ResourceQuota", "resourcequotas", &[], Quota)
        .short(&["quota"])
        .below(&[Subresource::Status])
        .returns_object();
    let when = vec![name_column(), column("Created At", "date", "When the object was made.")];
    let limits =
        row("", "LimitRange", "limitranges", &[], limits::Limits).short(&["limits"]).by_put();
    vec![Kind { columns, ..quota }, Kind { columns: when, ..limits }]
}

#[derive(Debug)]
struct Quota;

fn amounts(of: &Value, field: &str, path: &Path, errors: &mut Errors) {
    for (name, amount) in of.entries(field) {
        let path = path.child(field).key(name);
        resources::quota_name(name, &path, errors);
        resources::amount(name, amount, &path, errors);
    }
}

/// Scopes that no pod is in at the same time.
const CONFLICTS: [[&str; 2]; 2] =
    [["BestEffort", "NotBestEffort"], ["Terminating", "NotTerminating"]];

/// What is wrong with the scopes; `shown` is what a sentence shows.
fn scopes(spec: &Value, all: &[&str], shown: &Value, path: &Path, errors: &mut Errors) {
    for scope in all {
        for (name, _) in spec.entries("hard") {
            if !resources::in_scope(scope, name) {
                errors.invalid(path, shown.clone(), "unsupported scope applied to resource");
            }
        }
    }
    let all: BTreeSet<&str> = all.iter().copied().collect();
    if CONFLICTS.iter().any(|pair| pair.iter().all(|one| all.contains(one))) {
        errors.invalid(path, shown.clone(), "conflicting scopes");
    }
}

fn selector(spec: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("scopeSelector").child("matchExpressions");
    let all = spec.at("scopeSelector").list("matchExpressions");
    for one in all {
        let (scope, operator) = (one.text("scopeName"), one.text("operator"));
        let (values, at) = (one.list("values"), path.child("values"));
        if !resources::is_scope(scope) {
            errors.invalid(&path.child("scopeName"), scope, "unsupported scope");
        }
        if resources::is_scope(scope) && scope != "PriorityClass" && operator != "Exists" {
            let why = "must be 'Exist' when scope is any of ResourceQuotaScopeTerminating, ResourceQuotaScopeNotTerminating, \
                       ResourceQuotaScopeBestEffort, ResourceQuotaScopeNotBestEffort or ResourceQuotaScopeCrossNamespacePodAffinity";
            errors.invalid(&path.child("operator"), operator, why);
        }
        match operator {
            "In" | "NotIn" if values.is_empty() => {
                let why = "must be at least one value when `operator` is 'In' or 'NotIn' for scope selector";
                errors.required(&at, why);
            }
            "Exists" | "DoesNotExist" if !values.is_empty() => {
                let why = "must be no value when `operator` is 'Exist' or 'DoesNotExist' for scope selector";
                errors.invalid(&at, values.to_vec(), why);
            }
            "In" | "NotIn" | "Exists" | "DoesNotExist" => {}
            other => {
                errors.invalid(&path.child("operator"), other, "not a valid selector operator");
            }
        }
    }
    let names: Vec<&str> = all.iter().map(|one| one.text("scopeName")).collect();
    scopes(spec, &names, spec.at("scopeSelector"), &path, errors);
}

fn texts(of: &Value, field: &str) -> Vec<String> {
    let mut all: Vec<String> =
        of.list(field).iter().filter_map(Value::as_str).map(str::to_owned).collect();
    all.sort();
    all
}

impl Rules for Quota {
    fn default(&self, object: &mut Map) {
        for (owner, fields) in [("spec", ["hard"].as_slice()), ("status", &["hard", "used"])] {
            if let Some(owner) = super::access::map_mut(object, owner) {
                for field in fields {
                    round_amounts(owner, field);
                }
            }
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        object.insert("status".to_owned(), json!({}));
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => {}
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let (spec, path) = (object.at("spec"), Path::new("spec"));
        amounts(spec, "hard", &path, errors);
        let (all, at) = (spec.list("scopes"), path.child("scopes"));
        for scope in all.iter().filter_map(Value::as_str) {
            if !resources::is_scope(scope) {
                errors.invalid(&at, all.to_vec(), "unsupported scope");
            }
        }
        let names: Vec<&str> = all.iter().filter_map(Value::as_str).collect();
        scopes(spec, &names, spec.at("scopes"), &at, errors);
        selector(spec, &path, errors);
        for field in ["hard", "used"] {
            amounts(object.at("status"), field, &Path::new("status"), errors);
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        if part == Part::Status {
            for field in ["hard", "used"] {
                amounts(new.at("status"), field, &Path::new("status"), errors);
            }
            return;
        }
        let (spec, path) = (new.at("spec"), Path::new("spec"));
        amounts(spec, "hard", &path, errors);
        let scopes = texts(spec, "scopes");
        if scopes != texts(old.at("spec"), "scopes") {
            errors.invalid(&path.child("scopes"), scopes, "field is immutable");
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let status = object.at("status");
        let (mut asked, mut most) = (Vec::new(), Vec::new());
        for (name, hard) in status.entries("hard") {
            let used = status.at("used").at(name).as_str().unwrap_or("0");
            let text = format!("{name}: {used}/{}", hard.as_str().unwrap_or("0"));
            if name.starts_with("limits.") { most.push(text) } else { asked.push(text) }
        }
        vec![
            cells::name(object),
            cells::age(object, now),
            asked.join(", ").into(),
            most.join(", ").into(),
        ]
    }
}
