// SPDX-License-Identifier: Apache-2.0
//! What is wrong with variables of containers and with references to fields of the pod.

use super::checks::each;
use super::quantity::nano;
use crate::field::{Errors, Path};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;

const FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];

/// Variables of a container.
pub(super) fn variables(container: &Value, path: &Path, errors: &mut Errors) {
    for (i, one) in container.list("env").iter().enumerate() {
        let path = path.child("env").index(i);
        let name = one.text("name");
        if name.is_empty() {
            errors.required(&path.child("name"), "");
        } else {
            each(names::relaxed_env_var_name(name), &path.child("name"), name, errors);
        }
        if one.has("valueFrom") {
            value_from(one, &path.child("valueFrom"), errors);
        }
    }
}

fn value_from(one: &Value, path: &Path, errors: &mut Errors) {
    let from = one.at("valueFrom");
    let mut count = 0;
    for kind in ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef"] {
        let source = from.at(kind);
        if source.is_null() {
            continue;
        }
        count += 1;
        let path = path.child(kind);
        match kind {
            "fieldRef" => field_ref(source, &FIELDS, &path, errors),
            "resourceFieldRef" => resource_ref(source, false, &path, errors),
            _ => key_ref(source, &path, errors),
        }
    }
    if count == 0 {
        let why = "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`";
        errors.invalid(path, "", why);
    } else if !one.text("value").is_empty() {
        errors.invalid(path, "", "may not be specified when `value` is not empty");
    } else if count > 1 {
        errors.invalid(path, "", "may not have more than one field specified at a time");
    }
}

fn key_ref(source: &Value, path: &Path, errors: &mut Errors) {
    let name = source.text("name");
    each(names::dns_subdomain(name, false), &path.child("name"), name, errors);
    match source.text("key") {
        "" => errors.required(&path.child("key"), ""),
        key => each(names::config_key(key), &path.child("key"), key, errors),
    }
}

/// A reference to a field of the pod, which has to be one of `known`.
pub(super) fn field_ref(source: &Value, known: &[&str], path: &Path, errors: &mut Errors) {
    let (version, field) = (source.text("apiVersion"), source.text("fieldPath"));
    let at = path.child("fieldPath");
    if version.is_empty() {
        errors.required(&path.child("apiVersion"), "");
        return;
    }
    if field.is_empty() {
        errors.required(&at, "");
        return;
    }
    if version != "v1" {
        let why = format!("error converting fieldPath: unsupported pod version: {version}");
        errors.invalid(&at, field, why);
        return;
    }
    let (base, key) = match field.strip_suffix("']").and_then(|rest| rest.split_once("['")) {
        Some((base, key)) => (base, Some(key)),
        None => (field, None),
    };
    let keyed = matches!(base, "metadata.annotations" | "metadata.labels");
    match key {
        Some(key) if keyed => each(names::qualified(key), path, key, errors),
        Some(_) => errors.invalid(path, base, "does not support subscript"),
        None if !keyed && !FIELDS.contains(&field) && field != "spec.restartPolicy" => {
            let why = format!("error converting fieldPath: field label not supported: {field}");
            errors.invalid(&at, field, why);
        }
        None if !known.contains(&field) => {
            let mut known = known.to_vec();
            known.sort_unstable();
            errors.not_supported(&at, field, &known);
        }
        None => {}
    }
}

const RESOURCES: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];

/// A reference to a resource of a container; in volumes the container has to be named.
pub(super) fn resource_ref(source: &Value, named: bool, path: &Path, errors: &mut Errors) {
    let resource = source.text("resource");
    let huge = |start| resource.starts_with(start);
    if named && source.text("containerName").is_empty() {
        errors.required(&path.child("containerName"), "");
    } else if resource.is_empty() {
        errors.required(&path.child("resource"), "");
    } else if !RESOURCES.contains(&resource)
        && !huge("limits.hugepages-")
        && !huge("requests.hugepages-")
    {
        errors.not_supported(&path.child("resource"), resource, &RESOURCES);
    }
    divisor(source, resource, path, errors);
}

fn divisor(source: &Value, resource: &str, path: &Path, errors: &mut Errors) {
    let amount = nano(source.at("divisor")).unwrap_or(0);
    if amount == 0 {
        return;
    }
    let cpu = matches!(resource, "limits.cpu" | "requests.cpu");
    let known: &[&str] = if cpu {
        &["1m", "1"]
    } else {
        &["1", "1k", "1M", "1G", "1T", "1P", "1E", "1Ki", "1Mi", "1Gi", "1Ti", "1Pi", "1Ei"]
    };
    if known.iter().any(|one| nano(&Value::from(*one)) == Some(amount)) {
        return;
    }
    let kind = resource.rsplit('.').next().unwrap_or_default();
    let why = if cpu {
        "only divisor's values 1m and 1 are supported with the cpu resource".to_owned()
    } else {
        format!(
            "only divisor's values 1, 1k, 1M, 1G, 1T, 1P, 1E, 1Ki, 1Mi, 1Gi, 1Ti, 1Pi, 1Ei are supported with the {kind} resource"
        )
    };
    errors.invalid(&path.child("divisor"), resource, why);
}

/// Whole maps that a container takes its variables from.
pub(super) fn sources(container: &Value, path: &Path, errors: &mut Errors) {
    let path = path.child("envFrom");
    for (i, one) in container.list("envFrom").iter().enumerate() {
        let at = path.index(i);
        let prefix = one.text("prefix");
        if !prefix.is_empty() {
            each(names::relaxed_env_var_name(prefix), &at.child("prefix"), prefix, errors);
        }
        let mut count = 0;
        for kind in ["configMapRef", "secretRef"] {
            if one.has(kind) {
                count += 1;
                let at = at.child(kind).child("name");
                match one.at(kind).text("name") {
                    "" => errors.required(&at, ""),
                    name => each(names::dns_subdomain(name, false), &at, name, errors),
                }
            }
        }
        if count == 0 {
            errors.invalid(&path, "", "must specify one of: `configMapRef` or `secretRef`");
        } else if count > 1 {
            errors.invalid(&path, "", "may not have more than one field specified at a time");
        }
    }
}
