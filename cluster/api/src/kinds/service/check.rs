// SPDX-License-Identifier: Apache-2.0
//! What is wrong with a service.

use super::families;
use super::spec::{
    EXTERNAL_NAME, LOAD_BALANCER, externally_accessible, is_headless, needs_cluster_ip,
    needs_health_check, node_port, path, texts,
};
use crate::field::{Errors, Path};
use crate::kinds::access::add_all;
use crate::kinds::endpoints::special_address;
use crate::kinds::view::View;
use crate::{Map, meta, names};
use berth_cluster_json::Value;

const HINTS: &str = "service.kubernetes.io/topology-aware-hints";
const MODE: &str = "service.kubernetes.io/topology-mode";
const SOURCES: &str = "service.beta.kubernetes.io/load-balancer-source-ranges";
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const TRAFFIC: [&str; 2] = ["Cluster", "Local"];

/// The port of kubelets.
const KUBELET: i64 = 10_250;

/// Everything, in upstream's order.
pub(super) fn service(object: &Map, errors: &mut Errors) {
    let (spec, annotations) = (object.at("spec"), object.at("metadata").at("annotations"));
    if annotations.has(MODE)
        && annotations.has(HINTS)
        && annotations.at(MODE) != annotations.at(HINTS)
    {
        let why = format!("must match annotations[{HINTS}] when both are specified");
        errors.invalid(&annotation(MODE), annotations.text(MODE), why);
    }
    by_type(spec, errors);
    let several = spec.list("ports").len() > 1;
    let mut seen = Vec::new();
    for (i, one) in spec.list("ports").iter().enumerate() {
        port(one, several, &mut seen, &path("ports").index(i), errors);
    }
    if let Some(selector) = spec.map("selector") {
        meta::validate_labels(selector, &path("selector"), errors);
    }
    affinity(spec, errors);
    families::check(spec, errors);
    for (i, address) in texts(spec, "externalIPs").into_iter().enumerate() {
        let at = path("externalIPs").index(i);
        let problems = names::ip(address);
        if problems.is_empty() {
            special_address(address, &at, errors);
        }
        add_all(errors, &at, address, problems);
    }
    one_of(spec, "type", &["ClusterIP", EXTERNAL_NAME, LOAD_BALANCER, "NodePort"], errors);
    repeated_ports(spec, errors);
    source_ranges(spec, annotations, errors);
    balancer(spec, errors);
    traffic(spec, errors);
}

fn annotation(key: &str) -> Path {
    Path::new("metadata").child("annotations").key(key)
}

/// A field that has to have one of some values.
fn one_of(spec: &Value, field: &str, known: &[&str], errors: &mut Errors) {
    match spec.text(field) {
        "" => errors.required(&path(field), ""),
        value if known.contains(&value) => {}
        value => errors.not_supported(&path(field), value, known),
    }
}

fn by_type(spec: &Value, errors: &mut Errors) {
    let (kind, ports) = (spec.text("type"), spec.list("ports"));
    if ports.is_empty() && !is_headless(spec) && kind != EXTERNAL_NAME {
        errors.required(&path("ports"), "");
    }
    if kind == LOAD_BALANCER {
        for (i, _) in ports.iter().enumerate().filter(|(_, port)| port.int("port") == Some(KUBELET))
        {
            let why =
                format!("may not expose port {KUBELET} externally since it is used by kubelet");
            errors.invalid(&path("ports").index(i), KUBELET, why);
        }
    }
    if is_headless(spec) && [LOAD_BALANCER, "NodePort"].contains(&kind) {
        let why = format!("may not be set to 'None' for {kind} services");
        errors.invalid(&path("clusterIPs").index(0), "None", why);
    }
    if needs_cluster_ip(spec) {
        return;
    }
    let set = [
        ("clusterIPs", !spec.list("clusterIPs").is_empty()),
        ("ipFamilies", !spec.list("ipFamilies").is_empty()),
        ("ipFamilyPolicy", spec.has("ipFamilyPolicy")),
    ];
    for (field, _) in set.iter().filter(|(_, set)| *set) {
        errors.forbidden(&path(field), "may not be set for ExternalName services");
    }
    // a dot at the end says that the name is whole
    let name = spec.text("externalName");
    match name.strip_suffix('.').unwrap_or(name) {
        "" => errors.required(&path("externalName"), ""),
        name => add_all(errors, &path("externalName"), name, names::dns_subdomain(name, false)),
    }
}

fn port<'a>(
    port: &'a Value,
    several: bool,
    seen: &mut Vec<&'a str>,
    path: &Path,
    errors: &mut Errors,
) {
    let (name, at) = (port.text("name"), path.child("name"));
    if !name.is_empty() {
        add_all(errors, &at, name, names::dns_label(name, false));
        if seen.contains(&name) {
            errors.duplicate(&at, name);
        }
        seen.push(name);
    } else if several {
        errors.required(&at, "");
    }
    let number = port.int("port").unwrap_or(0);
    for why in names::port_number(number) {
        errors.invalid(&path.child("port"), number, why);
    }
    match port.text("protocol") {
        "" => errors.required(&path.child("protocol"), ""),
        known if PROTOCOLS.contains(&known) => {}
        other => errors.not_supported(&path.child("protocol"), other, &PROTOCOLS),
    }
    let target = path.child("targetPort");
    match port.at("targetPort") {
        Value::String(name) => add_all(errors, &target, name, names::port_name(name)),
        number => {
            let number = number.as_i64().unwrap_or(0);
            for why in names::port_number(number) {
                errors.invalid(&target, number, why);
            }
        }
    }
    if let Some(protocol) = port.at("appProtocol").as_str() {
        add_all(errors, &path.child("appProtocol"), protocol, names::qualified(protocol));
    }
}

fn affinity(spec: &Value, errors: &mut Errors) {
    one_of(spec, "sessionAffinity", &["ClientIP", "None"], errors);
    let (kind, config) = (spec.text("sessionAffinity"), spec.at("sessionAffinityConfig"));
    let at = path("sessionAffinityConfig");
    if kind == "None" && !config.is_null() {
        errors.forbidden(&at, "must not be set when session affinity is None");
    }
    if kind != "ClientIP" {
        return;
    }
    let why = "when session affinity type is ClientIP";
    let (client, seconds) = (at.child("clientIP"), at.child("clientIP").child("timeoutSeconds"));
    match config.at("clientIP").int("timeoutSeconds") {
        _ if config.is_null() => errors.required(&at, why),
        _ if !config.has("clientIP") => errors.required(&client, why),
        None => errors.required(&seconds, why),
        Some(1..=86_400) => {}
        Some(value) => {
            errors.invalid(&seconds, value, "must be greater than 0 and less than 86400");
        }
    }
}

/// Ports of nodes where there are none, and twice the same of one protocol.
fn repeated_ports(spec: &Value, errors: &mut Errors) {
    let (ports, at) = (spec.list("ports"), path("ports"));
    let named =
        || ports.iter().enumerate().filter_map(|(i, port)| Some((i, port, node_port(port)?)));
    if spec.text("type") == "ClusterIP" {
        for (i, ..) in named() {
            let why = "may not be used when `type` is 'ClusterIP'";
            errors.forbidden(&at.index(i).child("nodePort"), why);
        }
    }
    let mut seen = Vec::new();
    for (i, port, number) in named() {
        let key = (port.text("protocol"), number);
        if seen.contains(&key) {
            errors.duplicate(&at.index(i).child("nodePort"), number);
        }
        seen.push(key);
    }
    seen.clear();
    for (i, port) in ports.iter().enumerate() {
        let key = (port.text("protocol"), port.int("port").unwrap_or(0));
        if seen.contains(&key) {
            errors.duplicate(&at.index(i), Value::Null);
            if let Some(last) = errors.0.last_mut() {
                last.value = go_port(key.0, key.1);
            }
        }
        seen.push(key);
    }
}

/// A port as Go prints one of which only this is set.
fn go_port(protocol: &str, number: i64) -> String {
    format!(
        "core.ServicePort{{Name:\"\", Protocol:{protocol:?}, AppProtocol:(*string)(nil), Port:{number}, \
         TargetPort:intstr.IntOrString{{Type:0, IntVal:0, StrVal:\"\"}}, NodePort:0}}"
    )
}

fn source_ranges(spec: &Value, annotations: &Value, errors: &mut Errors) {
    // the field's name in messages has a capital letter
    let (field, ranges) =
        (path("LoadBalancerSourceRanges"), texts(spec, "loadBalancerSourceRanges"));
    let noted = annotations.text(SOURCES);
    let all: Vec<(Path, &str)> = if !ranges.is_empty() {
        ranges.iter().enumerate().map(|(i, range)| (field.index(i), range.trim())).collect()
    } else if annotations.has(SOURCES) {
        let parts = noted.split(',').filter(|_| !noted.trim().is_empty());
        parts.map(|range| (annotation(SOURCES), range.trim())).collect()
    } else {
        return;
    };
    if spec.text("type") != LOAD_BALANCER {
        let at = if ranges.is_empty() { annotation(SOURCES) } else { field };
        errors.forbidden(&at, "may only be used when `type` is 'LoadBalancer'");
    }
    for (at, range) in all.iter().filter(|(_, range)| !names::is_cidr(range)) {
        let why = "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)";
        errors.invalid(at, *range, why);
    }
}

/// What only services with a load balancer have.
fn balancer(spec: &Value, errors: &mut Errors) {
    let why = "may only be used when `type` is 'LoadBalancer'";
    let balanced = spec.text("type") == LOAD_BALANCER;
    match (balanced, spec.has("allocateLoadBalancerNodePorts")) {
        (false, true) => errors.forbidden(&path("allocateLoadBalancerNodePorts"), why),
        // upstream leaves the spec out of the path
        (true, false) => errors.required(&Path::new("allocateLoadBalancerNodePorts"), ""),
        _ => {}
    }
    let Some(class) = spec.at("loadBalancerClass").as_str() else { return };
    if balanced {
        add_all(errors, &path("loadBalancerClass"), class, names::qualified(class));
    } else {
        errors.forbidden(&path("loadBalancerClass"), why);
    }
}

fn traffic(spec: &Value, errors: &mut Errors) {
    let at = path("externalTrafficPolicy");
    if externally_accessible(spec) {
        one_of(spec, "externalTrafficPolicy", &TRAFFIC, errors);
    } else if !spec.text("externalTrafficPolicy").is_empty() {
        let why = "may only be set for externally-accessible services";
        errors.invalid(&at, spec.text("externalTrafficPolicy"), why);
    }
    let (at, port) = (path("healthCheckNodePort"), spec.int("healthCheckNodePort").unwrap_or(0));
    match (needs_health_check(spec), port) {
        (true, 0) => errors.required(&at, ""),
        (true, port) => {
            for why in names::port_number(port) {
                errors.invalid(&at, port, why);
            }
        }
        (false, 0) => {}
        (false, port) => {
            let why = "may only be set when `type` is 'LoadBalancer' and `externalTrafficPolicy` is 'Local'";
            errors.invalid(&at, port, why);
        }
    }
    let at = path("internalTrafficPolicy");
    match spec.at("internalTrafficPolicy").as_str() {
        Some(known) if TRAFFIC.contains(&known) => {}
        Some(other) => errors.not_supported(&at, other, &TRAFFIC),
        None if ["ClusterIP", "NodePort", LOAD_BALANCER].contains(&spec.text("type")) => {
            errors.required(&at, "");
        }
        None => {}
    }
    let distribution = spec.at("trafficDistribution").as_str();
    if let Some(other) = distribution.filter(|one| *one != "PreferClose") {
        errors.not_supported(&path("trafficDistribution"), other, &["PreferClose"]);
    }
}

/// What may not change.
pub(super) fn update(spec: &Value, old: &Value, errors: &mut Errors) {
    families::check_update(spec, old, errors);
    let balanced = |spec: &Value| spec.text("type") == LOAD_BALANCER;
    let class = spec.at("loadBalancerClass");
    if balanced(spec) && balanced(old) && class != old.at("loadBalancerClass") {
        errors.invalid(&path("loadBalancerClass"), class.clone(), "may not change once set");
    }
    let port = |spec: &Value| spec.int("healthCheckNodePort").unwrap_or(0);
    if needs_health_check(spec) && needs_health_check(old) && port(spec) != port(old) {
        errors.forbidden(&path("healthCheckNodePort"), "field is immutable");
    }
}

/// What is wrong with the state of a load balancer.
pub(super) fn status(object: &Map, errors: &mut Errors) {
    let at = Path::new("status").child("loadBalancer").child("ingress");
    let ingress = object.at("status").at("loadBalancer").list("ingress");
    if object.at("spec").text("type") != LOAD_BALANCER && !ingress.is_empty() {
        errors.forbidden(&at, "may only be used when `spec.type` is 'LoadBalancer'");
        return;
    }
    for (i, one) in ingress.iter().enumerate() {
        let at = at.index(i);
        let (address, name, mode) = (one.text("ip"), one.text("hostname"), one.at("ipMode"));
        if !address.is_empty() && !names::ip(address).is_empty() {
            errors.invalid(&at.child("ip"), address, "must be a valid IP address");
        }
        match (mode.as_str(), address.is_empty()) {
            (None, false) => {
                errors.required(&at.child("ipMode"), "must be specified when `ip` is set");
            }
            (Some(_), true) => {
                errors.forbidden(&at.child("ipMode"), "may not be specified when `ip` is not set");
            }
            (Some(other), false) if !["Proxy", "VIP"].contains(&other) => {
                errors.not_supported(&at.child("ipMode"), other, &["Proxy", "VIP"]);
            }
            _ => {}
        }
        if !name.is_empty() {
            let at = at.child("hostname");
            add_all(errors, &at, name, names::dns_subdomain(name, false));
            if names::ip(name).is_empty() {
                errors.invalid(&at, name, "must be a DNS name, not an IP address");
            }
        }
    }
}

/// What is taken and does nothing.
pub(super) fn warnings(object: &Map) -> Vec<String> {
    let (spec, mut all) = (object.at("spec"), Vec::new());
    if object.at("metadata").at("annotations").has(HINTS) {
        all.push(format!("annotation {HINTS} is deprecated, please use {MODE} instead"));
    }
    let (kind, external) = (spec.text("type"), !spec.list("externalIPs").is_empty());
    let headless = [
        ("loadBalancerIP", !spec.text("loadBalancerIP").is_empty()),
        ("externalIPs", external),
        ("SessionAffinity", spec.text("sessionAffinity") != "None"),
    ];
    if kind == "ClusterIP" && spec.text("clusterIP") == "None" {
        let set = headless.iter().filter(|(_, set)| *set);
        all.extend(set.map(|(field, _)| format!("spec.{field} is ignored for headless services")));
    }
    if kind == EXTERNAL_NAME && external {
        all.push("spec.externalIPs is ignored when spec.type is \"ExternalName\"".to_owned());
    }
    if kind != EXTERNAL_NAME && !spec.text("externalName").is_empty() {
        all.push("spec.externalName is ignored when spec.type is not \"ExternalName\"".to_owned());
    }
    all
}
