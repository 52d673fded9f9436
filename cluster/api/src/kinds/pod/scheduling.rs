// SPDX-License-Identifier: Apache-2.0
//! What is wrong with where a pod wants to run: affinity, spreading, gates, tolerations.

use super::checks::{each, label_selector, one_of};
use crate::field::{Errors, Path};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;
use std::collections::BTreeSet;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";

/// Affinity to nodes and to pods.
pub(super) fn affinity(affinity: &Value, path: &Path, errors: &mut Errors) {
    let node = affinity.at("nodeAffinity");
    let at = path.child("nodeAffinity");
    if node.has(REQUIRED) {
        let at = at.child(REQUIRED).child("nodeSelectorTerms");
        let terms = node.at(REQUIRED).list("nodeSelectorTerms");
        if terms.is_empty() {
            errors.required(&at, "must have at least one node selector term");
        }
        for (i, term) in terms.iter().enumerate() {
            node_term(term, &at.index(i), errors);
        }
    }
    for (i, one) in node.list(PREFERRED).iter().enumerate() {
        let at = at.child(PREFERRED).index(i);
        weight(one, &at, errors);
        node_term(one.at("preference"), &at.child("preference"), errors);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (affinity.at(kind), path.child(kind));
        for (i, term) in pods.list(REQUIRED).iter().enumerate() {
            pod_term(term, &at.child(REQUIRED).index(i), errors);
        }
        for (i, one) in pods.list(PREFERRED).iter().enumerate() {
            let at = at.child(PREFERRED).index(i);
            weight(one, &at, errors);
            pod_term(one.at("podAffinityTerm"), &at.child("podAffinityTerm"), errors);
        }
    }
}

fn weight(one: &Value, path: &Path, errors: &mut Errors) {
    let weight = one.int("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.invalid(&path.child("weight"), weight, "must be in the range 1-100");
    }
}

/// A term of a selector of nodes.
pub(crate) fn node_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (i, one) in term.list("matchExpressions").iter().enumerate() {
        node_expression(one, &path.child("matchExpressions").index(i), errors);
    }
    for (i, one) in term.list("matchFields").iter().enumerate() {
        node_field(one, &path.child("matchFields").index(i), errors);
    }
}

fn node_expression(one: &Value, path: &Path, errors: &mut Errors) {
    let count = one.list("values").len();
    let at = path.child("values");
    match one.text("operator") {
        "In" | "NotIn" if count == 0 => {
            errors.required(&at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            errors.forbidden(
                &at,
                "may not be specified when `operator` is 'Exists' or 'DoesNotExist'",
            );
        }
        "Gt" | "Lt" if count != 1 => {
            errors.required(&at, "must be specified single value when `operator` is 'Lt' or 'Gt'");
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    let key = one.text("key");
    each(names::qualified(key), &path.child("key"), key, errors);
}

fn node_field(one: &Value, path: &Path, errors: &mut Errors) {
    match one.text("operator") {
        "In" | "NotIn" if one.list("values").len() != 1 => errors.required(
            &path.child("values"),
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
        "In" | "NotIn" => {}
        other => errors.invalid(&path.child("operator"), other, "not a valid selector operator"),
    }
    match one.text("key") {
        "metadata.name" => {
            for (i, name) in one.list("values").iter().filter_map(Value::as_str).enumerate() {
                each(
                    names::dns_subdomain(name, false),
                    &path.child("values").index(i),
                    name,
                    errors,
                );
            }
        }
        other => errors.invalid(&path.child("key"), other, "not a valid field selector key"),
    }
}

fn pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        label_selector(term.at(field), &path.child(field), errors);
    }
    for name in term.list("namespaces").iter().filter_map(Value::as_str) {
        each(names::dns_label(name, false), &path.child("namespace"), name, errors);
    }
    let (key, at) = (term.text("topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.required(&at, "can not be empty");
    }
    each(names::qualified(key), &at, key, errors);
}

/// How pods are spread over domains.
pub(super) fn spread(spec: &Value, path: &Path, errors: &mut Errors) {
    let all = spec.list("topologySpreadConstraints");
    for (i, one) in all.iter().enumerate() {
        let path = path.index(i);
        let skew = one.int("maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
        }
        let (key, when) = (one.text("topologyKey"), one.text("whenUnsatisfiable"));
        if key.is_empty() {
            errors.required(&path.child("topologyKey"), "can not be empty");
        }
        let known = ["DoNotSchedule", "ScheduleAnyway"];
        one_of(when, &known, true, &path.child("whenUnsatisfiable"), errors);
        let same = |other: &Value| {
            other.text("topologyKey") == key && other.text("whenUnsatisfiable") == when
        };
        if all.iter().skip(i + 1).any(same) {
            let at = path.child("{topologyKey, whenUnsatisfiable}");
            errors.duplicate(&at, format!("{{{key}, {when}}}"));
        }
        domains(one, when, &path.child("minDomains"), errors);
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            if one.has(field) {
                one_of(one.text(field), &["Honor", "Ignore"], false, &path.child(field), errors);
            }
        }
        label_selector(one.at("labelSelector"), &path.child("labelSelector"), errors);
    }
}

fn domains(one: &Value, when: &str, path: &Path, errors: &mut Errors) {
    let Some(least) = one.int("minDomains") else { return };
    if least <= 0 {
        errors.invalid(path, least, "must be greater than zero");
    }
    if when != "DoNotSchedule" {
        let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
        errors.invalid(path, least, why);
    }
}

/// Conditions that readiness waits for, and gates that scheduling waits for.
pub(super) fn gates(spec: &Value, path: &Path, errors: &mut Errors) {
    for (i, one) in spec.list("readinessGates").iter().enumerate() {
        let (name, at) = (one.text("conditionType"), path.child("readinessGates").index(i));
        each(names::qualified(name), &at.child("conditionType"), name, errors);
    }
    let mut names = BTreeSet::new();
    for (i, one) in spec.list("schedulingGates").iter().enumerate() {
        let (name, at) = (one.text("name"), path.child("schedulingGates").index(i));
        each(names::qualified(name), &at, name, errors);
        if !names.insert(name) {
            errors.duplicate(&at, name);
        }
    }
    if !names.is_empty() && !spec.text("nodeName").is_empty() {
        let why = "cannot be set until all schedulingGates have been cleared";
        errors.forbidden(&path.child("nodeName"), why);
    }
}

/// Tolerations of a pod.
pub(crate) fn tolerations(spec: &Value, path: &Path, errors: &mut Errors) {
    for (i, one) in spec.list("tolerations").iter().enumerate() {
        let path = path.index(i);
        let (key, operator, effect) = (one.text("key"), one.text("operator"), one.text("effect"));
        let at = path.child("operator");
        if !key.is_empty() {
            each(names::qualified(key), &path.child("key"), key, errors);
        } else if operator != "Exists" {
            let why = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.invalid(&at, operator, why);
        }
        if one.has("tolerationSeconds") && effect != "NoExecute" {
            let why = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.invalid(&path.child("effect"), effect, why);
        }
        let value = one.text("value");
        match operator {
            "" | "Equal" => each(names::label_value(value), &at, value, errors),
            "Exists" if !value.is_empty() => {
                errors.invalid(&at, one.clone(), "value must be empty when `operator` is 'Exists'");
            }
            "Exists" => {}
            other => errors.not_supported(&at, other, &["Equal", "Exists"]),
        }
        let known = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
        if !effect.is_empty() {
            one_of(effect, &known, false, &path.child("effect"), errors);
        }
    }
}
