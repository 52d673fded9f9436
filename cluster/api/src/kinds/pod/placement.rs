// SPDX-License-Identifier: Apache-2.0
//! Where a pod wants to be: affinity, spread over topologies, and gates (upstream's `validateAffinity` and its neighbours).

use super::checks::{between, dns_label, dns_subdomain, each, label_selector, qualified_name};
use super::view::View;
use crate::field::{Errors, Path};
use serde_json::Value;

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
const UNKNOWN_OPERATOR: &str = "not a valid selector operator";

/// Affinity to nodes and to other pods.
pub(super) fn affinity(affinity: &Value, path: &Path, errors: &mut Errors) {
    let (nodes, at) = (affinity.at("nodeAffinity"), path.child("nodeAffinity"));
    if nodes.has(REQUIRED) {
        let at = at.child(REQUIRED).child("nodeSelectorTerms");
        let terms = nodes.at(REQUIRED).list("nodeSelectorTerms");
        if terms.is_empty() {
            errors.required(&at, "must have at least one node selector term");
        }
        for (i, term) in terms.iter().enumerate() {
            node_term(term, &at.index(i), errors);
        }
    }
    for (i, one) in nodes.list(PREFERRED).iter().enumerate() {
        let at = at.child(PREFERRED).index(i);
        weight(one, &at, errors);
        node_term(one.at("preference"), &at.child("preference"), errors);
    }
    for field in ["podAffinity", "podAntiAffinity"] {
        let (pods, at) = (affinity.at(field), path.child(field));
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

/// A term that selects nodes.
fn node_term(term: &Value, path: &Path, errors: &mut Errors) {
    for (i, one) in term.list("matchExpressions").iter().enumerate() {
        node_requirement(one, &path.child("matchExpressions").index(i), errors);
    }
    for (i, one) in term.list("matchFields").iter().enumerate() {
        field_requirement(one, &path.child("matchFields").index(i), errors);
    }
}

fn node_requirement(one: &Value, path: &Path, errors: &mut Errors) {
    let (at, count) = (path.child("values"), one.list("values").len());
    match one.text("operator") {
        "In" | "NotIn" if count == 0 => {
            errors.required(&at, "must be specified when `operator` is 'In' or 'NotIn'");
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let why = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.forbidden(&at, why);
        }
        "Gt" | "Lt" if count != 1 => {
            let why = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.required(&at, why);
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => errors.invalid(&path.child("operator"), other, UNKNOWN_OPERATOR),
    }
    let key = one.text("key");
    each(qualified_name(key), &path.child("key"), key, errors);
}

/// Nodes are selected by one field alone: their name.
fn field_requirement(one: &Value, path: &Path, errors: &mut Errors) {
    let (at, values) = (path.child("values"), one.list("values"));
    match one.text("operator") {
        "In" | "NotIn" if values.len() != 1 => errors.required(
            &at,
            "must be only one value when `operator` is 'In' or 'NotIn' for node field selector",
        ),
        "In" | "NotIn" => {}
        other => errors.invalid(&path.child("operator"), other, UNKNOWN_OPERATOR),
    }
    let key = one.text("key");
    if key != "metadata.name" {
        errors.invalid(&path.child("key"), key, "not a valid field selector key");
        return;
    }
    for (i, value) in values.iter().filter_map(Value::as_str).enumerate() {
        each(dns_subdomain(value), &at.index(i), value, errors);
    }
}

/// A term that selects pods, and how far from them.
fn pod_term(term: &Value, path: &Path, errors: &mut Errors) {
    for field in ["labelSelector", "namespaceSelector"] {
        if term.has(field) {
            label_selector(term.at(field), &path.child(field), errors);
        }
    }
    for name in term.list("namespaces").iter().filter_map(Value::as_str) {
        each(dns_label(name), &path.child("namespace"), name, errors);
    }
    let (key, at) = (term.text("topologyKey"), path.child("topologyKey"));
    if key.is_empty() {
        errors.required(&at, "can not be empty");
    }
    each(qualified_name(key), &at, key, errors);
}

/// Spread over topologies.
pub(super) fn spread(spec: &Value, path: &Path, errors: &mut Errors) {
    let constraints = spec.list("topologySpreadConstraints");
    for (i, one) in constraints.iter().enumerate() {
        let path = path.index(i);
        let skew = one.int("maxSkew").unwrap_or(0);
        if skew <= 0 {
            errors.invalid(&path.child("maxSkew"), skew, "must be greater than zero");
        }
        if one.text("topologyKey").is_empty() {
            errors.required(&path.child("topologyKey"), "can not be empty");
        }
        let when = one.text("whenUnsatisfiable");
        if !["DoNotSchedule", "ScheduleAnyway"].contains(&when) {
            let known = ["DoNotSchedule", "ScheduleAnyway"];
            errors.not_supported(&path.child("whenUnsatisfiable"), when, &known);
        }
        let same = |other: &&Value| {
            other.text("topologyKey") == one.text("topologyKey")
                && other.text("whenUnsatisfiable") == when
        };
        if constraints.iter().skip(i + 1).any(|other| same(&other)) {
            let what = format!("{{{}, {when}}}", one.text("topologyKey"));
            errors.duplicate(&path.child("{topologyKey, whenUnsatisfiable}"), what);
        }
        least_domains(one, when, &path.child("minDomains"), errors);
        for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
            let policy = one.text(field);
            if one.has(field) && !["Honor", "Ignore"].contains(&policy) {
                errors.not_supported(&path.child(field), policy, &["Honor", "Ignore"]);
            }
        }
        if one.has("labelSelector") {
            label_selector(one.at("labelSelector"), &path.child("labelSelector"), errors);
        }
    }
}

fn least_domains(one: &Value, when: &str, path: &Path, errors: &mut Errors) {
    let Some(least) = one.int("minDomains") else { return };
    if least <= 0 {
        errors.invalid(path, least, "must be greater than zero");
    }
    if when != "DoNotSchedule" {
        let why = format!("can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {when}");
        errors.invalid(path, least, why);
    }
}

/// Conditions that a pod's readiness waits for, and what keeps it from being scheduled.
pub(super) fn gates(spec: &Value, path: &Path, errors: &mut Errors) {
    for (i, gate) in spec.list("readinessGates").iter().enumerate() {
        let (name, at) = (gate.text("conditionType"), path.child("readinessGates").index(i));
        each(qualified_name(name), &at.child("conditionType"), name, errors);
    }
    let gates = spec.list("schedulingGates");
    for (i, gate) in gates.iter().enumerate() {
        let (name, at) = (gate.text("name"), path.child("schedulingGates").index(i));
        // upstream leaves the field out of this path
        each(qualified_name(name), &at, name, errors);
        if gates.iter().take(i).any(|before| before.text("name") == name) {
            errors.duplicate(&at, name);
        }
    }
}

/// Names that a pod has in its own hosts file.
pub(super) fn host_aliases(spec: &Value, path: &Path, errors: &mut Errors) {
    for (i, alias) in spec.list("hostAliases").iter().enumerate() {
        let (ip, at) = (alias.text("ip"), path.index(i));
        each(crate::names::ip(ip), &at.child("ip"), ip, errors);
        for (j, name) in alias.list("hostnames").iter().filter_map(Value::as_str).enumerate() {
            each(dns_subdomain(name), &at.child("hostnames").index(j), name, errors);
        }
    }
}

/// What a pod's resolver is told beside its policy.
pub(super) fn resolver(spec: &Value, path: &Path, errors: &mut Errors) {
    let config = spec.at("dnsConfig");
    let servers = config.list("nameservers");
    if spec.text("dnsPolicy") == "None" && servers.is_empty() {
        let why = "must provide at least one DNS nameserver when `dnsPolicy` is None";
        errors.required(&path.child("nameservers"), why);
    }
    if servers.len() > 3 {
        let why = "must not have more than 3 nameservers";
        errors.invalid(&path.child("nameservers"), servers.to_vec(), why);
    }
    for (i, ip) in servers.iter().filter_map(Value::as_str).enumerate() {
        each(crate::names::ip(ip), &path.child("nameservers").index(i), ip, errors);
    }
    let searches = config.list("searches");
    if searches.len() > 32 {
        let why = "must not have more than 32 search paths";
        errors.invalid(&path.child("searches"), searches.to_vec(), why);
    }
    let length: usize = searches.iter().filter_map(Value::as_str).map(|one| one.len() + 1).sum();
    if length > 2_049 {
        let why = "must not have more than 2048 characters (including spaces) in the search list";
        errors.invalid(&path.child("searches"), searches.to_vec(), why);
    }
    for (i, search) in searches.iter().filter_map(Value::as_str).enumerate() {
        // A search path may be the root, and may end in it.
        let name = search.strip_suffix('.').unwrap_or(search);
        if !name.is_empty() {
            each(dns_subdomain(name), &path.child("searches").index(i), search, errors);
        }
    }
    for (i, option) in config.list("options").iter().enumerate() {
        if option.text("name").is_empty() {
            errors.required(&path.child("options").index(i), "must not be empty");
        }
    }
}

/// A user's or a group's number.
pub(super) fn account(owner: &Value, field: &str, path: &Path, errors: &mut Errors) {
    if let Some(number) = owner.int(field) {
        between(number, 0, i64::from(i32::MAX), &path.child(field), errors);
    }
}
