// SPDX-License-Identifier: Apache-2.0
//! What a service's spec says of itself.

use crate::field::{Errors, Path};
use crate::kinds::view::View;
use berth_cluster_json::Value;

/// The "address" of a service without one.
pub(super) const NONE: &str = "None";

/// Services of this type are an alias of a name.
pub(super) const EXTERNAL_NAME: &str = "ExternalName";

/// Services of this type have a load balancer of the cloud.
pub(super) const LOAD_BALANCER: &str = "LoadBalancer";

/// Whether it has something in `clusterIP`, be it `None`.
pub(super) fn needs_cluster_ip(spec: &impl View) -> bool {
    spec.text("type") != EXTERNAL_NAME
}

/// Whether its type is one that nodes have ports for.
pub(super) fn exposed_on_nodes(spec: &impl View) -> bool {
    matches!(spec.text("type"), "NodePort" | LOAD_BALANCER)
}

/// Whether ports of nodes that it does not name are given to it.
pub(super) fn gets_node_ports(spec: &impl View) -> bool {
    match spec.text("type") {
        "NodePort" => true,
        LOAD_BALANCER => spec.at("allocateLoadBalancerNodePorts") != false,
        _ => false,
    }
}

/// Whether load balancers ask each node if it has a pod of the service.
pub(super) fn needs_health_check(spec: &impl View) -> bool {
    spec.text("type") == LOAD_BALANCER && spec.text("externalTrafficPolicy") == "Local"
}

/// Whether it can be reached from outside.
pub(super) fn externally_accessible(spec: &impl View) -> bool {
    exposed_on_nodes(spec)
        || spec.text("type") == "ClusterIP" && !spec.list("externalIPs").is_empty()
}

/// Whether it has no address.
pub(super) fn is_headless(spec: &impl View) -> bool {
    matches!(spec.list("clusterIPs"), [one] if one == NONE)
}

/// The ports of nodes that it names.
pub(super) fn node_ports(spec: &impl View) -> Vec<i64> {
    spec.list("ports").iter().filter_map(node_port).collect()
}

/// The port of nodes that one of its ports names.
pub(super) fn node_port(port: &impl View) -> Option<i64> {
    port.int("nodePort").filter(|port| *port != 0)
}

/// The texts of a list.
pub(super) fn texts<'a>(spec: &'a impl View, field: &str) -> Vec<&'a str> {
    spec.list(field).iter().filter_map(Value::as_str).collect()
}

/// The field in all of `spec`.
pub(super) fn path(field: &str) -> Path {
    Path::new("spec").child(field)
}

/// A list of texts is wrong; messages show it as Go prints it. `kind` is the type of the texts.
pub(super) fn invalid_texts(
    errors: &mut Errors,
    at: &Path,
    kind: &str,
    all: &[&str],
    why: impl Into<String>,
) {
    errors.invalid(at, Value::Null, why);
    if let Some(last) = errors.0.last_mut() {
        let texts: Vec<String> = all.iter().map(|text| format!("{text:?}")).collect();
        last.value = if all.is_empty() {
            format!("[]{kind}(nil)")
        } else {
            format!("[]{kind}{{{}}}", texts.join(", "))
        };
    }
}
