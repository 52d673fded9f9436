// SPDX-License-Identifier: Apache-2.0
//! What a service may leave out.

use super::spec::{LOAD_BALANCER, externally_accessible};
use crate::Map;
use crate::kinds::access::{list_mut, make, map_mut, or_set, or_set_missing, unset};
use crate::kinds::view::{View, items};
use berth_cluster_json::{Value, json};

/// Three hours: how long a client stays with a pod.
const AFFINITY_SECONDS: u32 = 10_800;

pub(super) fn service(object: &mut Map) {
    let Some(spec) = make(object, "spec") else { return };
    affinity(spec);
    or_set(spec, "type", "ClusterIP");
    for port in items(spec, "ports") {
        or_set(port, "protocol", "TCP");
        if unset(port, "targetPort") {
            port.insert("targetPort".to_owned(), port.int("port").unwrap_or(0).into());
        }
    }
    if externally_accessible(spec) {
        or_set(spec, "externalTrafficPolicy", "Cluster");
    }
    match spec.text("type") {
        "ClusterIP" | "NodePort" => or_set_missing(spec, "internalTrafficPolicy", "Cluster"),
        LOAD_BALANCER => {
            or_set_missing(spec, "internalTrafficPolicy", "Cluster");
            or_set_missing(spec, "allocateLoadBalancerNodePorts", true);
            ingress_modes(object);
        }
        // upstream once set it here, too, and now hides it when it reads
        "ExternalName" => drop(spec.remove("internalTrafficPolicy")),
        _ => {}
    }
}

fn affinity(spec: &mut Map) {
    or_set(spec, "sessionAffinity", "None");
    match spec.text("sessionAffinity") {
        "None" => drop(spec.remove("sessionAffinityConfig")),
        "ClientIP" => {
            let timeout = spec.at("sessionAffinityConfig").at("clientIP").at("timeoutSeconds");
            if timeout.is_null() {
                let config = json!({ "clientIP": { "timeoutSeconds": AFFINITY_SECONDS } });
                spec.insert("sessionAffinityConfig".to_owned(), config);
            }
        }
        _ => {}
    }
}

/// Addresses of load balancers are virtual ones unless said otherwise.
fn ingress_modes(object: &mut Map) {
    let Some(balancer) =
        map_mut(object, "status").and_then(|status| map_mut(status, "loadBalancer"))
    else {
        return;
    };
    for one in list_mut(balancer, "ingress").iter_mut().filter_map(Value::as_object_mut) {
        if !one.text("ip").is_empty() {
            or_set_missing(one, "ipMode", "VIP");
        }
    }
}
