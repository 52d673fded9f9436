// SPDX-License-Identifier: Apache-2.0
//! Pod disruption budgets: how many pods of an application may be taken away on purpose.

use super::access::{count_generation, keep, make};
use super::pod::not_negative;
use super::row::{RowExt, column, row};
use super::view::View;
use super::workload::{at_most_all, whole_or_percent};
use crate::field::{Errors, Path};
use crate::registry::{Kind, Part, Rules, Subresource};
use crate::{Map, cells, meta};
use berth_cluster_json::{Value, json};

/// The row.
pub fn kinds() -> Vec<Kind> {
    let columns = [
        column("Min Available", "string", "The minimum number of pods that must be available."),
        column("Max Unavailable", "string", "The maximum number of pods that may be unavailable."),
        column(
            "Allowed Disruptions",
            "integer",
            "Calculated number of pods that may be disrupted at this time.",
        ),
    ];
    vec![
        row("policy", "PodDisruptionBudget", "poddisruptionbudgets", &columns, Budget)
            .short(&["pdb"])
            .below(&[Subresource::Status]),
    ]
}

#[derive(Debug)]
struct Budget;

/// A budget by itself. `loose`: values in its selector need not be such as labels have.
fn validate(object: &Map, loose: bool, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let detail = "minAvailable and maxUnavailable cannot be both set";
        errors.invalid(&path, spec.clone(), detail);
    }
    for field in ["minAvailable", "maxUnavailable"] {
        let (amount, path) = (spec.at(field), path.child(field));
        whole_or_percent(amount, &path, errors);
        at_most_all(amount, &path, errors);
    }
    if let Some(selector) = spec.map("selector") {
        meta::validate_selector(selector, loose, &path.child("selector"), errors);
    }
    let known = ["AlwaysAllow", "IfHealthyBudget"];
    if let Some(policy) = spec.at("unhealthyPodEvictionPolicy").as_str()
        && !known.contains(&policy)
    {
        errors.not_supported(&path.child("unhealthyPodEvictionPolicy"), policy, &known);
    }
}

/// Whether the selector has values that labels cannot have.
fn is_loose(object: &Map) -> bool {
    let mut errors = Errors::new();
    if let Some(selector) = object.at("spec").map("selector") {
        meta::validate_selector(selector, false, &Path::default(), &mut errors);
    }
    !errors.is_empty()
}

fn status(object: &Map, errors: &mut Errors) {
    let (status, path) = (object.at("status"), Path::new("status"));
    meta::validate_conditions(status.list("conditions"), &path.child("conditions"), errors);
    for field in ["disruptionsAllowed", "currentHealthy", "desiredHealthy", "expectedPods"] {
        not_negative(status.int(field).unwrap_or(0), &path.child(field), errors);
    }
}

impl Rules for Budget {
    fn prepare_create(&self, object: &mut Map) {
        let none = json!({
            "disruptionsAllowed": 0,
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "expectedPods": 0,
        });
        object.insert("status".to_owned(), none);
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, part: Part) {
        match part {
            Part::Main => keep(new, old, "status"),
            Part::Status => keep(new, old, "spec"),
            Part::Other(_) => {}
        }
        count_generation(new, old, &["spec"]);
    }

    fn validate_create(&self, object: &Map, errors: &mut Errors) {
        validate(object, false, errors);
    }

    fn validate_update(&self, new: &Map, old: &Map, part: Part, errors: &mut Errors) {
        match part {
            Part::Main => validate(new, is_loose(old), errors),
            Part::Status => status(new, errors),
            Part::Other(_) => {}
        }
    }

    fn unconditional_update(&self) -> bool {
        false
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let (spec, status) = (object.at("spec"), object.at("status"));
        let amount = |field| match spec.at(field) {
            Value::Null => "N/A".into(),
            Value::String(text) => Value::from(text.as_str()),
            number => number.to_string().into(),
        };
        vec![
            cells::name(object),
            amount("minAvailable"),
            amount("maxUnavailable"),
            status.int("disruptionsAllowed").unwrap_or(0).into(),
            cells::age(object, now),
        ]
    }
}
