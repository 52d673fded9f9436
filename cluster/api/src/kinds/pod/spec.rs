// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a pod's spec by itself (upstream's `ValidatePodSpec`).

use super::checks::{between, each, labels, not_negative, number_or_name, one_of};
use super::quantity::{is_whole, nano};
use super::{env, ephemeral, network, scheduling, security, volumes};
use crate::field::{Errors, Path, Problem};
use crate::kinds::view::View;
use crate::names;
use berth_cluster_json::Value;
use std::collections::BTreeSet;

const RESTART: [&str; 3] = ["Always", "OnFailure", "Never"];
const DNS: [&str; 4] = ["ClusterFirstWithHostNet", "ClusterFirst", "Default", "None"];

/// The spec of a pod, or of a template.
pub fn spec(spec: &Value, path: &Path, errors: &mut Errors) {
    volumes::volumes(spec, &path.child("volumes"), errors);
    containers(spec, path, errors);
    ephemeral::containers(spec, &path.child("ephemeralContainers"), errors);
    one_of(spec.text("restartPolicy"), &RESTART, true, &path.child("restartPolicy"), errors);
    one_of(spec.text("dnsPolicy"), &DNS, true, &path.child("dnsPolicy"), errors);
    labels(spec, "nodeSelector", &path.child("nodeSelector"), errors);
    security::of_pod(spec, &path.child("securityContext"), errors);
    scheduling::affinity(spec.at("affinity"), &path.child("affinity"), errors);
    network::dns(spec, &path.child("dnsConfig"), errors);
    scheduling::gates(spec, path, errors);
    scheduling::spread(spec, &path.child("topologySpreadConstraints"), errors);
    if let Some(seconds) = spec.int("activeDeadlineSeconds") {
        between(seconds, 1, i64::from(i32::MAX), &path.child("activeDeadlineSeconds"), errors);
    }
    for (field, check) in [
        ("serviceAccountName", names::dns_subdomain as fn(&str, bool) -> Vec<String>),
        ("nodeName", names::dns_subdomain),
        ("hostname", names::dns_label),
        ("subdomain", names::dns_label),
    ] {
        let text = spec.text(field);
        if !text.is_empty() {
            each(check(text, false), &path.child(field), text, errors);
        }
    }
    scheduling::tolerations(spec, &path.child("tolerations"), errors);
    network::host_aliases(spec, &path.child("hostAliases"), errors);
    rest(spec, path, errors);
}

/// What is rarely there.
fn rest(spec: &Value, path: &Path, errors: &mut Errors) {
    for field in ["priorityClassName", "runtimeClassName"] {
        let name = spec.text(field);
        if !name.is_empty() {
            each(names::dns_subdomain(name, false), &path.child(field), name, errors);
        }
    }
    let policy = spec.text("preemptionPolicy");
    if !policy.is_empty() {
        let known = ["Never", "PreemptLowerPriority"];
        one_of(policy, &known, false, &path.child("preemptionPolicy"), errors);
    }
    if spec.has("os") {
        let at = path.child("os").child("name");
        one_of(spec.at("os").text("name"), &["linux", "windows"], true, &at, errors);
    }
}

fn containers(spec: &Value, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    let mut ports = BTreeSet::new();
    if spec.list("containers").is_empty() {
        errors.required(&path.child("containers"), "");
    }
    for list in ["containers", "initContainers"] {
        for (i, one) in spec.list(list).iter().enumerate() {
            let at = path.child(list).index(i);
            container(one, spec, &at, errors);
            attended(one, list, &at, errors);
            let name = one.text("name");
            if !name.is_empty() && !names.insert(name) {
                errors.duplicate(&at.child("name"), name);
            }
            if list == "containers" {
                host_ports(one, &mut ports, &at.child("ports"), errors);
            }
        }
    }
}

/// What every container may have.
pub(super) fn container(one: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    match one.text("name") {
        "" => errors.required(&path.child("name"), ""),
        name => each(names::dns_label(name, false), &path.child("name"), name, errors),
    }
    let image = one.text("image");
    if image.is_empty() {
        errors.required(&path.child("image"), "");
    } else if image.trim() != image {
        errors.invalid(&path.child("image"), image, "must not have leading or trailing whitespace");
    }
    let policy = one.text("terminationMessagePolicy");
    let at = path.child("terminationMessagePolicy");
    one_of(policy, &["FallbackToLogsOnError", "File"], true, &at, errors);
    container_ports(one, spec, &path.child("ports"), errors);
    env::variables(one, path, errors);
    env::sources(one, path, errors);
    mounts(one, spec, &path.child("volumeMounts"), errors);
    let policy = one.text("imagePullPolicy");
    let known = ["Always", "IfNotPresent", "Never"];
    one_of(policy, &known, true, &path.child("imagePullPolicy"), errors);
    resources(one.at("resources"), &path.child("resources"), errors);
    security::of_container(one, &path.child("securityContext"), errors);
}

/// Hooks and probes; containers that only come first have none.
fn attended(one: &Value, list: &str, path: &Path, errors: &mut Errors) {
    const PROBES: [&str; 3] = ["livenessProbe", "readinessProbe", "startupProbe"];
    let (policy, at) = (one.text("restartPolicy"), path.child("restartPolicy"));
    if list == "containers" && !policy.is_empty() {
        errors.forbidden(&at, "may not be set for non-init containers");
    } else if !policy.is_empty() {
        one_of(policy, &["Always"], false, &at, errors);
    }
    if list != "containers" && policy != "Always" {
        for field in ["lifecycle"].iter().chain(&PROBES) {
            if one.has(field) {
                let why = "may not be set for init containers without restartPolicy=Always";
                errors.forbidden(&path.child(field), why);
            }
        }
        return;
    }
    for hook in ["postStart", "preStop"] {
        let action = one.at("lifecycle").at(hook);
        if !action.is_null() {
            let path = path.child("lifecycle").child(hook);
            handler(action, &["exec", "httpGet", "tcpSocket", "sleep"], &path, errors);
        }
    }
    for name in PROBES {
        if one.has(name) {
            probe(one.at(name), name != "readinessProbe", &path.child(name), errors);
        }
    }
}

fn container_ports(one: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let mut names = BTreeSet::new();
    for (i, port) in one.list("ports").iter().enumerate() {
        let path = path.index(i);
        let name = port.text("name");
        if !name.is_empty() {
            let why = names::port_name(name);
            if why.is_empty() && !names.insert(name) {
                errors.duplicate(&path.child("name"), name);
            }
            each(why, &path.child("name"), name, errors);
        }
        let number = port.int("containerPort").unwrap_or(0);
        if number == 0 {
            errors.required(&path.child("containerPort"), "");
        } else {
            between(number, 1, 65535, &path.child("containerPort"), errors);
        }
        let host = port.int("hostPort").unwrap_or(0);
        if host != 0 {
            between(host, 1, 65535, &path.child("hostPort"), errors);
        }
        if spec.flag("hostNetwork") && host != 0 && host != number {
            let why = "must match `hostPort` when `hostNetwork` is true";
            errors.invalid(&path.child("containerPort"), number, why);
        }
        let known = ["SCTP", "TCP", "UDP"];
        one_of(port.text("protocol"), &known, true, &path.child("protocol"), errors);
    }
}

fn host_ports(one: &Value, seen: &mut BTreeSet<String>, path: &Path, errors: &mut Errors) {
    for (i, port) in one.list("ports").iter().enumerate() {
        let Some(number) = port.int("hostPort").filter(|number| *number != 0) else { continue };
        let text = format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"));
        if !seen.insert(text.clone()) {
            errors.duplicate(&path.index(i).child("hostPort"), text);
        }
    }
}

fn mounts(one: &Value, spec: &Value, path: &Path, errors: &mut Errors) {
    let mut places = BTreeSet::new();
    for (i, mount) in one.list("volumeMounts").iter().enumerate() {
        let at = path.index(i);
        let (name, place) = (mount.text("name"), mount.text("mountPath"));
        if name.is_empty() {
            errors.required(&at.child("name"), "");
        }
        if !spec.list("volumes").iter().any(|volume| volume.text("name") == name) || name.is_empty()
        {
            errors.add(Problem::NotFound, &at.child("name"), &name.into(), "");
        }
        if place.is_empty() {
            errors.required(&at.child("mountPath"), "");
        } else if !places.insert(place) {
            errors.invalid(&at.child("mountPath"), place, "must be unique");
        }
        // upstream leaves the index out of these paths
        super::checks::local_path(mount.text("subPath"), &path.child("subPath"), errors);
        let expression = mount.text("subPathExpr");
        if !expression.is_empty() && !mount.text("subPath").is_empty() {
            let why = "subPathExpr and subPath are mutually exclusive";
            errors.invalid(&at.child("subPathExpr"), expression, why);
        }
        super::checks::local_path(expression, &path.child("subPathExpr"), errors);
        propagation(mount.text("mountPropagation"), one, &path.child("mountPropagation"), errors);
    }
}

fn propagation(mode: &str, container: &Value, path: &Path, errors: &mut Errors) {
    if mode.is_empty() {
        return;
    }
    one_of(mode, &["Bidirectional", "HostToContainer", "None"], false, path, errors);
    if mode == "Bidirectional" && !container.at("securityContext").flag("privileged") {
        let why = "Bidirectional mount propagation is available only to privileged containers";
        errors.forbidden(path, why);
    }
}

/// What a container may use, and asks for.
pub(crate) fn resources(resources: &Value, path: &Path, errors: &mut Errors) {
    for list in ["limits", "requests"] {
        for (name, amount) in resources.entries(list) {
            let at = path.child(list).key(name);
            if !name.contains('/') && !standard(name) {
                errors.invalid(&at, name, "must be a standard resource type or fully qualified");
                errors.invalid(&at, name, "must be a standard resource for containers");
            }
            if nano(amount).is_some_and(|amount| amount < 0) {
                errors.invalid(&at, amount.clone(), "must be greater than or equal to 0");
            }
            if name.contains('/') && !is_whole(amount) {
                errors.invalid(&at, amount.clone(), "must be an integer");
            }
        }
    }
    for (name, request) in resources.entries("requests") {
        let limit = resources.at("limits").at(name);
        let fixed = name.contains('/') || name.starts_with("hugepages-");
        if limit.is_null() {
            if fixed {
                let why = "Limit must be set for non overcommitable resources";
                errors.required(&path.child("limits"), why);
            }
        } else if fixed && nano(request) != nano(limit) {
            let why =
                format!("must be equal to {name} limit of {}", limit.as_str().unwrap_or_default());
            errors.invalid(&path.child("requests"), request.clone(), why);
        } else if nano(request) > nano(limit) {
            let why = format!(
                "must be less than or equal to {name} limit of {}",
                limit.as_str().unwrap_or_default()
            );
            errors.invalid(&path.child("requests"), request.clone(), why);
        }
    }
}

fn standard(name: &str) -> bool {
    matches!(name, "cpu" | "memory" | "ephemeral-storage") || name.starts_with("hugepages-")
}

/// What is done in a hook or a probe: one thing.
fn handler(handler: &Value, kinds: &[&str], path: &Path, errors: &mut Errors) {
    let mut count = 0;
    for kind in kinds {
        let action = handler.at(kind);
        if action.is_null() {
            continue;
        }
        let path = path.child(kind);
        count += 1;
        if count > 1 {
            errors.forbidden(&path, "may not specify more than 1 handler type");
            continue;
        }
        match *kind {
            "exec" if action.list("command").is_empty() => {
                errors.required(&path.child("command"), "");
            }
            "exec" | "sleep" => {}
            _ => number_or_name(action.at("port"), &path.child("port"), errors),
        }
        if *kind == "httpGet" {
            let known = ["HTTP", "HTTPS"];
            one_of(action.text("scheme"), &known, true, &path.child("scheme"), errors);
        }
    }
    if count == 0 {
        errors.required(path, "must specify a handler type");
    }
}

fn probe(probe: &Value, once: bool, path: &Path, errors: &mut Errors) {
    handler(probe, &["exec", "httpGet", "tcpSocket", "grpc"], path, errors);
    for name in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        not_negative(probe.int(name).unwrap_or(0), &path.child(name), errors);
    }
    let successes = probe.int("successThreshold").unwrap_or(1);
    if once && successes != 1 {
        errors.invalid(&path.child("successThreshold"), successes, "must be 1");
    }
}

/// What a template may have of metadata.
pub(crate) fn metadata(meta: &Value, path: &Path, errors: &mut Errors) {
    labels(meta, "labels", &path.child("labels"), errors);
    super::checks::annotations(meta, "annotations", &path.child("annotations"), errors);
}

/// A template of pods.
pub fn template(template: &Value, path: &Path, errors: &mut Errors) {
    let (meta, at) = (template.at("metadata"), path.child("metadata"));
    metadata(meta, &at, errors);
    let (pod, path) = (template.at("spec"), path.child("spec"));
    spec(pod, &path, errors);
    if !pod.list("ephemeralContainers").is_empty() {
        let why = "ephemeral containers not allowed in pod template";
        errors.forbidden(&path.child("ephemeralContainers"), why);
    }
}
