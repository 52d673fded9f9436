// SPDX-License-Identifier: Apache-2.0
//! What is wrong with ReplicaSets and Deployments (upstream's apps validation).

use crate::Map;
use crate::field::{Error, Errors, Path, Problem};
use crate::kinds::pod::{label_selector, not_negative, validate_template};
use crate::kinds::view::View;
use berth_cluster_json::Value;

/// A ReplicaSet by itself.
pub(super) fn replica_set(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    numbers(spec, &["replicas", "minReadySeconds"], &path, errors);
    selected_template(spec, &path, errors);
}

/// A ReplicationController by itself.
pub(super) fn replication_controller(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    numbers(spec, &["minReadySeconds"], &path, errors);
    let selector = spec.entries("selector");
    if selector.is_empty() {
        errors.required(&path.child("selector"), "");
    }
    numbers(spec, &["replicas"], &path, errors);
    let (template, at) = (spec.at("template"), path.child("template"));
    if template.is_null() {
        errors.required(&at, "");
        return;
    }
    let labels = template.at("metadata").at("labels");
    if selector.iter().any(|(key, value)| labels.at(key) != *value) {
        unmatched(labels, &at, errors);
    }
    validate_template(template, &at, errors);
    runs_on(template, &at, "ReplicationController", errors);
}

/// The selector does not take the pods of the template.
pub(super) fn unmatched(labels: &Value, template: &Path, errors: &mut Errors) {
    let why = "`selector` does not match template `labels`";
    errors.invalid(&template.child("metadata").child("labels"), labels.clone(), why);
}

/// Pods of a template run until somebody ends them. `kind`: whose template it is.
pub(super) fn runs_on(template: &Value, path: &Path, kind: &str, errors: &mut Errors) {
    let (pod, at) = (template.at("spec"), path.child("spec"));
    let policy = pod.text("restartPolicy");
    if policy != "Always" {
        errors.not_supported(&at.child("restartPolicy"), policy, &["Always"]);
    }
    if pod.has("activeDeadlineSeconds") {
        let why = format!("activeDeadlineSeconds in {kind} is not Supported");
        errors.forbidden(&at.child("activeDeadlineSeconds"), why);
    }
}

/// A Deployment by itself.
pub(super) fn deployment(object: &Map, errors: &mut Errors) {
    let (spec, path) = (object.at("spec"), Path::new("spec"));
    numbers(spec, &["replicas"], &path, errors);
    selected_template(spec, &path, errors);
    strategy(spec.at("strategy"), &path.child("strategy"), errors);
    let rest = ["minReadySeconds", "revisionHistoryLimit", "progressDeadlineSeconds"];
    numbers(spec, &rest, &path, errors);
    if let Some(deadline) = spec.int("progressDeadlineSeconds")
        && deadline <= spec.int("minReadySeconds").unwrap_or(0)
    {
        let path = path.child("progressDeadlineSeconds");
        errors.invalid(&path, deadline, "must be greater than minReadySeconds");
    }
}

pub(super) fn numbers(owner: &Value, fields: &[&str], path: &Path, errors: &mut Errors) {
    for field in fields {
        not_negative(owner.int(field).unwrap_or(0), &path.child(field), errors);
    }
}

fn selected_template(spec: &Value, path: &Path, errors: &mut Errors) {
    let (selector, at) = (spec.at("selector"), path.child("selector"));
    if selector.is_null() {
        errors.required(&at, "");
    } else {
        label_selector(selector, &at, errors);
        if empty(selector) {
            errors.invalid(&at, selector.clone(), "empty selector is invalid for deployment");
        }
    }
    let mut wrong = Errors::new();
    label_selector(selector, &at, &mut wrong);
    if !wrong.is_empty() {
        errors.invalid(&at, selector.clone(), "invalid label selector");
        return;
    }
    let (template, at) = (spec.at("template"), path.child("template"));
    let labels = template.at("metadata").at("labels");
    if selector.is_null() || !matches(selector, labels) {
        unmatched(labels, &at, errors);
    }
    validate_template(template, &at, errors);
    runs_on(template, &at, "ReplicaSet", errors);
}

pub(super) fn empty(selector: &Value) -> bool {
    selector.entries("matchLabels").is_empty() && selector.list("matchExpressions").is_empty()
}

/// Whether labels are as a selector asks.
pub(super) fn matches(selector: &Value, labels: &Value) -> bool {
    selector.entries("matchLabels").iter().all(|(key, value)| labels.at(key) == *value)
        && selector.list("matchExpressions").iter().all(|one| {
            let value = labels.at(one.text("key"));
            match one.text("operator") {
                "In" => one.list("values").contains(value),
                "NotIn" => !one.list("values").contains(value),
                "Exists" => !value.is_null(),
                _ => value.is_null(),
            }
        })
}

fn strategy(strategy: &Value, path: &Path, errors: &mut Errors) {
    let (rolling, at) = (strategy.at("rollingUpdate"), path.child("rollingUpdate"));
    match strategy.text("type") {
        "Recreate" if !rolling.is_null() => {
            errors.forbidden(&at, "may not be specified when strategy `type` is 'Recreate'");
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_null() => {
            errors.required(&at, "this should be defaulted and never be nil");
        }
        "RollingUpdate" => rolling_update(rolling, &at, errors),
        _ => errors.not_supported(path, strategy.clone(), &["Recreate", "RollingUpdate"]),
    }
}

fn rolling_update(rolling: &Value, path: &Path, errors: &mut Errors) {
    for name in ["maxUnavailable", "maxSurge"] {
        whole_or_percent(rolling.at(name), &path.child(name), errors);
    }
    let at = path.child("maxUnavailable");
    if zero(rolling.at("maxUnavailable")) && zero(rolling.at("maxSurge")) {
        invalid_amount(
            rolling.at("maxUnavailable"),
            &at,
            "may not be 0 when `maxSurge` is 0",
            errors,
        );
    }
    at_most_all(rolling.at("maxUnavailable"), &at, errors);
}

/// A share may not be more than all.
pub(crate) fn at_most_all(value: &Value, path: &Path, errors: &mut Errors) {
    if percent(value).is_some_and(|percent| percent > 100) {
        invalid_amount(value, path, "must not be greater than 100%", errors);
    }
}

/// Upstream shows these values as its language does.
pub(super) fn invalid_amount(value: &Value, path: &Path, why: &str, errors: &mut Errors) {
    let shown = match value.as_str() {
        Some(text) => format!("intstr.IntOrString{{Type:1, IntVal:0, StrVal:{text:?}}}"),
        None => format!("intstr.IntOrString{{Type:0, IntVal:{value}, StrVal:\"\"}}"),
    };
    let (problem, path, detail) = (Problem::Invalid, path.clone(), why.to_owned());
    errors.0.push(Error { problem, path, value: shown, detail });
}

pub(super) fn percent(value: &Value) -> Option<i64> {
    let digits = value.as_str()?.strip_suffix('%')?;
    if digits.bytes().all(|b| b.is_ascii_digit()) { digits.parse().ok() } else { None }
}

pub(super) fn zero(value: &Value) -> bool {
    value.is_null() || value.as_i64() == Some(0) || percent(value) == Some(0)
}

/// A number that is not negative, or a share; none is fine.
pub(crate) fn whole_or_percent(value: &Value, path: &Path, errors: &mut Errors) {
    if let Some(number) = value.as_i64() {
        not_negative(number, path, errors);
    } else if value.is_string() && percent(value).is_none() {
        let why = "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', \
                   regex used for validation is '[0-9]+%')";
        invalid_amount(value, path, why, errors);
    }
}

/// A selector may not change.
pub(super) fn selector_stays(new: &Map, old: &Map, errors: &mut Errors) {
    let selector = new.at("spec").at("selector");
    if selector != old.at("spec").at("selector") {
        let path = Path::new("spec").child("selector");
        errors.invalid(&path, selector.clone(), "field is immutable");
    }
}

/// The status of a ReplicaSet.
pub(super) fn replica_set_status(status: &Value, errors: &mut Errors) {
    let counts = [
        "replicas",
        "fullyLabeledReplicas",
        "readyReplicas",
        "availableReplicas",
        "observedGeneration",
    ];
    counted(
        status,
        &counts,
        &["fullyLabeledReplicas", "readyReplicas", "availableReplicas"],
        errors,
    );
}

/// The status of a Deployment.
pub(super) fn deployment_status(status: &Value, errors: &mut Errors) {
    let counts = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "collisionCount",
    ];
    counted(status, &counts, &["updatedReplicas", "readyReplicas", "availableReplicas"], errors);
}

pub(super) fn counted(status: &Value, counts: &[&str], parts: &[&str], errors: &mut Errors) {
    let path = Path::new("status");
    numbers(status, counts, &path, errors);
    let count = |name| status.int(name).unwrap_or(0);
    for part in parts {
        if count(part) > count("replicas") {
            let why = "cannot be greater than status.replicas";
            errors.invalid(&path.child(part), count(part), why);
        }
    }
    if count("availableReplicas") > count("readyReplicas") {
        let why = "cannot be greater than readyReplicas";
        errors.invalid(&path.child("availableReplicas"), count("availableReplicas"), why);
    }
}
