// SPDX-License-Identifier: Apache-2.0
//! Judges one service by itself.

use super::{Judge, settings};
use crate::limits::{ADDRESSES_MAX, PORTS_MAX};
use crate::model::{Node, Service};
use crate::problem::Fault;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::string::String;

/// Judges one service by itself. `path` is where it stands.
pub(crate) fn service(
    path: impl Fn() -> String,
    service: &Service,
    node: &Node,
    judge: &mut Judge,
) {
    let path = &path;
    judge.name(|| format!("{}.name", path()), &service.name);
    let lists = [
        ("cluster_ips", &service.cluster_ips),
        ("external_ips", &service.external_ips),
        ("load_balancer_ips", &service.load_balancer_ips),
    ];
    for (field, list) in lists {
        judge.length(|| format!("{}.{field}", path()), list.len(), ADDRESSES_MAX);
        for (at, address) in list.iter().enumerate() {
            judge.host(|| format!("{}.{field}[{at}]", path()), *address);
        }
    }
    ports(path, service, node, judge);
    let addresses = lists.iter().any(|(_, list)| !list.is_empty());
    if !addresses && service.ports.iter().all(|port| port.node_port.is_none()) {
        judge.note(format!("{}.cluster_ips", path()), Fault::Unreachable);
    }
    settings::settings(path, service, node, judge);
}

fn ports(path: impl Fn() -> String, service: &Service, node: &Node, judge: &mut Judge) {
    if service.ports.is_empty() {
        judge.note(format!("{}.ports", path()), Fault::Empty);
    }
    judge.length(|| format!("{}.ports", path()), service.ports.len(), PORTS_MAX);
    let mut names = BTreeSet::new();
    for (at, port) in service.ports.iter().enumerate() {
        let path = || format!("{}.ports[{at}]", path());
        if service.ports.len() > 1 {
            judge.name(|| format!("{}.name", path()), &port.name);
        }
        if !names.insert(&port.name) {
            judge.note(format!("{}.name", path()), Fault::DuplicateName(port.name.clone()));
        }
        judge.range(|| format!("{}.port", path()), port.port.into(), 1, 65_535);
        if let Some(node_port) = port.node_port {
            let (least, most) = node.node_ports.unwrap_or((1, 65_535));
            let (least, most) = (u64::from(least), u64::from(most));
            judge.range(|| format!("{}.node_port", path()), node_port.into(), least, most);
        }
    }
}
