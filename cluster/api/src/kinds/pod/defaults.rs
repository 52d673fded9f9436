// SPDX-License-Identifier: Apache-2.0
//! What a client may leave out of a pod (upstream's core/v1 defaults and conversions).

use super::view::{View, fill, fill_zero, inner, items, made};
use crate::Map;
use serde_json::{Value, json};

/// The lists of containers of a pod.
pub(crate) const CONTAINER_LISTS: [&str; 3] =
    ["containers", "initContainers", "ephemeralContainers"];

/// Of a pod as a whole: what templates do not get too.
pub(crate) fn pod(object: &mut Map) {
    if let Some(spec) = made(object, "spec") {
        spec_of_pod_or_template(spec);
        fill(spec, "enableServiceLinks", true);
        let host_network = spec.flag("hostNetwork");
        for list in ["containers", "initContainers"] {
            for container in items(spec, list) {
                requests_from_limits(container);
                if host_network {
                    host_ports(container);
                }
            }
        }
    }
    if let Some(status) = inner(object, "status") {
        addresses(status);
    }
}

/// Of a template, as it stands in workloads.
pub fn template(template: &mut Map) {
    made(template, "metadata");
    if let Some(spec) = made(template, "spec") {
        spec_of_pod_or_template(spec);
    }
}

fn spec_of_pod_or_template(spec: &mut Map) {
    fill_zero(spec, "restartPolicy", "Always");
    fill_zero(spec, "dnsPolicy", "ClusterFirst");
    fill_zero(spec, "schedulerName", "default-scheduler");
    fill(spec, "terminationGracePeriodSeconds", 30);
    fill(spec, "securityContext", json!({}));
    service_account(spec);
    for list in CONTAINER_LISTS {
        for container in items(spec, list) {
            self::container(container);
        }
    }
    for volume in items(spec, "volumes") {
        super::volume_defaults::volume(volume);
    }
}

/// `serviceAccount` is the old name of `serviceAccountName`; both are always shown.
fn service_account(spec: &mut Map) {
    let name = match spec.text("serviceAccountName") {
        "" => spec.text("serviceAccount"),
        name => name,
    }
    .to_owned();
    if !name.is_empty() {
        spec.insert("serviceAccountName".to_owned(), name.clone().into());
        spec.insert("serviceAccount".to_owned(), name.into());
    }
}

fn container(container: &mut Map) {
    let policy = pull_policy(container.text("image"));
    fill_zero(container, "imagePullPolicy", policy);
    fill_zero(container, "terminationMessagePath", "/dev/termination-log");
    fill_zero(container, "terminationMessagePolicy", "File");
    fill(container, "resources", json!({}));
    for port in items(container, "ports") {
        fill_zero(port, "protocol", "TCP");
    }
    for env in items(container, "env") {
        if let Some(from) = inner(env, "valueFrom") {
            references(from);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = inner(container, name) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = inner(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(get) = inner(lifecycle, name).and_then(|one| inner(one, "httpGet")) {
                http_get(get);
            }
        }
    }
}

/// Of a reference to a field of the pod, or to a container's resource.
pub(super) fn references(from: &mut Map) {
    if let Some(field) = inner(from, "fieldRef") {
        fill_zero(field, "apiVersion", "v1");
    }
    if let Some(resource) = inner(from, "resourceFieldRef") {
        fill(resource, "divisor", "0");
    }
}

fn probe(probe: &mut Map) {
    fill_zero(probe, "timeoutSeconds", 1);
    fill_zero(probe, "periodSeconds", 10);
    fill_zero(probe, "successThreshold", 1);
    fill_zero(probe, "failureThreshold", 3);
    if let Some(get) = inner(probe, "httpGet") {
        http_get(get);
    }
    if let Some(grpc) = inner(probe, "grpc") {
        fill(grpc, "service", "");
    }
}

fn http_get(get: &mut Map) {
    fill_zero(get, "path", "/");
    fill_zero(get, "scheme", "HTTP");
}

fn requests_from_limits(container: &mut Map) {
    let Some(resources) = inner(container, "resources") else { return };
    let Some(limits) = resources.map("limits").cloned() else { return };
    if let Some(requests) = made(resources, "requests") {
        for (name, limit) in limits {
            fill(requests, &name, limit);
        }
        if requests.is_empty() {
            resources.remove("requests");
        }
    }
}

fn host_ports(container: &mut Map) {
    for port in items(container, "ports") {
        if let Some(number) = port.int("containerPort").filter(|number| *number != 0) {
            fill_zero(port, "hostPort", number);
        }
    }
}

/// The single address and the first of the list are the same.
fn addresses(status: &mut Map) {
    let (single, list) = ("podIP", "podIPs");
    let address = status.text(single).to_owned();
    let first = status.list(list).first().map(|one| one.text("ip").to_owned());
    match first {
        Some(first) if address.is_empty() => {
            status.insert(single.to_owned(), first.into());
        }
        first if !address.is_empty() && first.as_deref() != Some(&address) => {
            status.insert(list.to_owned(), json!([{ "ip": address }]));
        }
        _ => {}
    }
}

/// `Always` for what is or means the tag `latest`; else what is there is good enough.
pub(super) fn pull_policy(image: &str) -> &'static str {
    let (rest, digest) = match image.split_once('@') {
        Some((rest, digest)) => (rest, Some(digest)),
        None => (image, None),
    };
    let slash = rest.rfind('/').map_or(0, |at| at + 1);
    let (name, tag) = match rest[slash..].find(':') {
        Some(at) => (&rest[..slash + at], Some(&rest[slash + at + 1..])),
        None => (rest, None),
    };
    let part = |text: &str| {
        !text.is_empty()
            && text
                .bytes()
                .all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b"._-".contains(&b))
    };
    // the part before the first slash may be a host, with a port and capitals
    let (host, path) = match name.split_once('/') {
        Some((host, path)) if host.contains(['.', ':']) || host == "localhost" => (host, path),
        _ => ("", name),
    };
    let valid = !host.contains(char::is_whitespace) && path.split('/').all(part);
    match (valid, tag, digest) {
        (true, Some("latest"), _) | (true, None, None) => "Always",
        _ => "IfNotPresent",
    }
}

/// The labels of a pod that the scheduler's `matchLabelKeys` name become part of the terms' selectors when it is created.
pub(crate) fn match_label_keys(object: &mut Map) {
    let labels = object.at("metadata").map("labels").cloned().unwrap_or_default();
    let Some(affinity) = inner(object, "spec").and_then(|spec| inner(spec, "affinity")) else {
        return;
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(kind) = inner(affinity, kind) else { continue };
        for term in items(kind, "requiredDuringSchedulingIgnoredDuringExecution") {
            add_label_keys(term, &labels);
        }
        for weighted in items(kind, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = inner(weighted, "podAffinityTerm") {
                add_label_keys(term, &labels);
            }
        }
    }
}

fn add_label_keys(term: &mut Map, labels: &Map) {
    let mut more: Vec<Value> = Vec::new();
    for (list, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        for key in term.list(list).iter().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                more.push(json!({ "key": key, "operator": operator, "values": [value] }));
            }
        }
    }
    let Some(selector) = inner(term, "labelSelector") else { return };
    if !more.is_empty() {
        let mut all = selector.list("matchExpressions").to_vec();
        all.extend(more);
        selector.insert("matchExpressions".to_owned(), all.into());
    }
}
