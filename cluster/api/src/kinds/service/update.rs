// SPDX-License-Identifier: Apache-2.0
//! What a change of a service need not say, and what goes with a change of its type.

use super::spec::{
    LOAD_BALANCER, exposed_on_nodes, gets_node_ports, needs_cluster_ip, needs_health_check,
    node_port, node_ports, texts,
};
use crate::Map;
use crate::kinds::access::{make, same};
use crate::kinds::view::{View, items};
use berth_cluster_json::{Value, json};
use std::collections::BTreeMap;

/// Keeps what the server once gave to the service where the writer says nothing of it, so that the same document can be sent again.
pub(super) fn keep_allocated(new: &mut Map, old: &Value) {
    if needs_cluster_ip(old) && needs_cluster_ip(new) {
        for field in ["clusterIP", "clusterIPs"] {
            let empty = new.text(field).is_empty() && new.list(field).is_empty();
            if empty && old.has(field) {
                new.insert(field.to_owned(), old.at(field).clone());
            }
        }
    }
    if gets_node_ports(old) && gets_node_ports(new) {
        keep_node_ports(new, old);
    }
    let health = old.int("healthCheckNodePort").unwrap_or(0);
    if needs_health_check(old)
        && needs_health_check(new)
        && new.int("healthCheckNodePort").unwrap_or(0) == 0
    {
        new.insert("healthCheckNodePort".to_owned(), health.into());
    }
}

/// Ports are known by their names: anything else of them may have changed.
fn keep_node_ports(new: &mut Map, old: &Value) {
    let named = node_ports(new);
    let before: BTreeMap<&str, i64> = old
        .list("ports")
        .iter()
        .map(|port| (port.text("name"), port.int("nodePort").unwrap_or(0)))
        .collect();
    for port in items(new, "ports").filter(|port| node_port(*port).is_none()) {
        let kept = before.get(port.text("name")).copied().unwrap_or(0);
        // one that another port names now is that port's
        if kept != 0 && !named.contains(&kept) {
            port.insert("nodePort".to_owned(), kept.into());
        }
    }
}

/// Brings `clusterIPs` in line with `clusterIP`, which is all that older clients know.
pub(super) fn sync_cluster_ips(new: &mut Map, old: Option<&Value>) {
    let address = new.text("clusterIP").to_owned();
    let Some(old) = old else {
        if !address.is_empty() && new.list("clusterIPs").is_empty() {
            new.insert("clusterIPs".to_owned(), json!([address]));
        }
        return;
    };
    let (before, all) = (old.text("clusterIP"), old.list("clusterIPs"));
    if before == address && new.list("clusterIPs").is_empty() && !all.is_empty() {
        new.insert("clusterIPs".to_owned(), all.into());
    }
    // the list was sent back as it had been read
    if before != address && new.list("clusterIPs") == all {
        if address.is_empty() {
            new.remove("clusterIPs");
        } else {
            new.insert("clusterIPs".to_owned(), json!([address]));
        }
    }
}

/// Takes away what does not belong to the new type and the writer did not touch.
pub(super) fn drop_by_type(object: &mut Map, old: &Map) {
    let old = old.at("spec");
    let Some(spec) = make(object, "spec") else { return };
    if needs_cluster_ip(old) && !needs_cluster_ip(spec) {
        if unchanged(spec, old, "clusterIP") && unchanged(spec, old, "clusterIPs") {
            spec.remove("clusterIP");
            spec.remove("clusterIPs");
        }
        drop_if_unchanged(spec, old, "ipFamilies");
        drop_if_unchanged(spec, old, "ipFamilyPolicy");
    }
    if exposed_on_nodes(old) && !exposed_on_nodes(spec) {
        let before = node_ports(old);
        if node_ports(spec).iter().all(|port| before.contains(port)) {
            for port in items(spec, "ports") {
                port.remove("nodePort");
            }
        }
        drop_if_unchanged(spec, old, "externalTrafficPolicy");
    }
    if needs_health_check(old) && !needs_health_check(spec) {
        drop_if_unchanged(spec, old, "healthCheckNodePort");
    }
    let balanced = |spec: &str| spec == LOAD_BALANCER;
    if balanced(old.text("type")) && !balanced(spec.text("type")) {
        drop_if_unchanged(spec, old, "allocateLoadBalancerNodePorts");
        drop_if_unchanged(spec, old, "loadBalancerClass");
    }
    if !balanced(spec.text("type"))
        && let Some(status) = make(object, "status")
    {
        status.insert("loadBalancer".to_owned(), json!({}));
    }
}

fn unchanged(spec: &Map, old: &Value, field: &str) -> bool {
    old.as_object().is_some_and(|old| same(spec, old, field))
}

fn drop_if_unchanged(spec: &mut Map, old: &Value, field: &str) {
    if unchanged(spec, old, field) {
        spec.remove(field);
    }
}

/// Whether both have the same addresses and families.
pub(super) fn same_addresses(spec: &impl View, old: &impl View) -> bool {
    ["clusterIPs", "ipFamilies"].iter().all(|field| texts(spec, field) == texts(old, field))
}
