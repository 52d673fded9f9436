// SPDX-License-Identifier: Apache-2.0
//! What a client may leave out of a pod (upstream's core/v1 defaults and conversions).

use super::quantity::round;
use crate::Map;
use crate::kinds::access::{make, map_mut, or_set, or_set_missing};
use crate::kinds::view::{View, items};
use berth_cluster_json::{Value, json};

/// The lists of containers of a pod.
pub(crate) const CONTAINER_LISTS: [&str; 3] =
    ["containers", "initContainers", "ephemeralContainers"];

/// Of a pod as a whole: what templates do not get too.
pub(crate) fn pod(object: &mut Map) {
    if let Some(spec) = make(object, "spec") {
        spec_of_pod_or_template(spec);
        or_set_missing(spec, "enableServiceLinks", true);
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
    if let Some(status) = map_mut(object, "status") {
        addresses(status);
    }
}

/// Of a template, as it stands in workloads.
pub fn template(template: &mut Map) {
    make(template, "metadata");
    if let Some(spec) = make(template, "spec") {
        spec_of_pod_or_template(spec);
    }
}

fn spec_of_pod_or_template(spec: &mut Map) {
    or_set(spec, "restartPolicy", "Always");
    or_set(spec, "dnsPolicy", "ClusterFirst");
    or_set(spec, "schedulerName", "default-scheduler");
    or_set_missing(spec, "terminationGracePeriodSeconds", 30);
    or_set_missing(spec, "securityContext", json!({}));
    service_account(spec);
    round(spec, "overhead");
    resources(spec);
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
    or_set(container, "imagePullPolicy", policy);
    or_set(container, "terminationMessagePath", "/dev/termination-log");
    or_set(container, "terminationMessagePolicy", "File");
    or_set_missing(container, "resources", json!({}));
    resources(container);
    for port in items(container, "ports") {
        or_set(port, "protocol", "TCP");
    }
    for env in items(container, "env") {
        if let Some(from) = map_mut(env, "valueFrom") {
            references(from);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = map_mut(container, name) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = map_mut(container, "lifecycle") {
        for name in ["postStart", "preStop"] {
            if let Some(get) = map_mut(lifecycle, name).and_then(|one| map_mut(one, "httpGet")) {
                http_get(get);
            }
        }
    }
}

fn resources(owner: &mut Map) {
    if let Some(resources) = map_mut(owner, "resources") {
        round(resources, "limits");
        round(resources, "requests");
    }
}

/// Of a reference to a field of the pod, or to a container's resource.
pub(super) fn references(from: &mut Map) {
    if let Some(field) = map_mut(from, "fieldRef") {
        or_set(field, "apiVersion", "v1");
    }
    if let Some(resource) = map_mut(from, "resourceFieldRef") {
        or_set_missing(resource, "divisor", "0");
    }
}

fn probe(probe: &mut Map) {
    or_set(probe, "timeoutSeconds", 1);
    or_set(probe, "periodSeconds", 10);
    or_set(probe, "successThreshold", 1);
    or_set(probe, "failureThreshold", 3);
    if let Some(get) = map_mut(probe, "httpGet") {
        http_get(get);
    }
    if let Some(grpc) = map_mut(probe, "grpc") {
        or_set_missing(grpc, "service", "");
    }
}

fn http_get(get: &mut Map) {
    or_set(get, "path", "/");
    or_set(get, "scheme", "HTTP");
}

fn requests_from_limits(container: &mut Map) {
    let Some(resources) = map_mut(container, "resources") else { return };
    let Some(limits) = resources.map("limits").cloned() else { return };
    if let Some(requests) = make(resources, "requests") {
        for (name, limit) in limits {
            or_set_missing(requests, &name, limit);
        }
        if requests.is_empty() {
            resources.remove("requests");
        }
    }
}

fn host_ports(container: &mut Map) {
    for port in items(container, "ports") {
        if let Some(number) = port.int("containerPort").filter(|number| *number != 0) {
            or_set(port, "hostPort", number);
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
    let Some(affinity) = map_mut(object, "spec").and_then(|spec| map_mut(spec, "affinity")) else {
        return;
    };
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(kind) = map_mut(affinity, kind) else { continue };
        for term in items(kind, "requiredDuringSchedulingIgnoredDuringExecution") {
            add_label_keys(term, &labels);
        }
        for weighted in items(kind, "preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = map_mut(weighted, "podAffinityTerm") {
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
    let Some(selector) = map_mut(term, "labelSelector") else { return };
    if !more.is_empty() {
        let mut all = selector.list("matchExpressions").to_vec();
        all.extend(more);
        selector.insert("matchExpressions".to_owned(), all.into());
    }
}
