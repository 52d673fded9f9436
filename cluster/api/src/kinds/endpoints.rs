// SPDX-License-Identifier: Apache-2.0
//! Endpoints and EndpointSlices: where the pods of services are.

mod slice;

use super::access::add_all;
use super::row::{RowExt, column, row};
use super::view::{View, items};
use crate::field::{Errors, Path};
use crate::kinds::access::or_set;
use crate::registry::{Kind, Rules};
use crate::{Map, cells, names};
use berth_cluster_json::Value;
use core::net::IpAddr;

/// Protocols of ports, as messages list them.
const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];

/// How many places a cell shows.
const SHOWN: usize = 3;

/// The rows.
pub fn kinds() -> Vec<Kind> {
    let places = [column("Endpoints", "string", "Addresses and ports that are ready for traffic.")];
    let endpoints =
        row("", "Endpoints", "endpoints", &places, EndpointsRules).short(&["ep"]).by_put();
    vec![endpoints, slice::kind()]
}

/// The rules of Endpoints. Their order is the writer's: the server does not sort them.
#[derive(Debug)]
pub struct EndpointsRules;

impl Rules for EndpointsRules {
    fn deprecated(&self) -> Option<&'static str> {
        Some("v1 Endpoints is deprecated in v1.33+; use discovery.k8s.io/v1 EndpointSlice")
    }

    fn default(&self, object: &mut Map) {
        for subset in items(object, "subsets") {
            for port in items(subset, "ports") {
                or_set(port, "protocol", "TCP");
            }
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        for (i, one) in object.list("subsets").iter().enumerate() {
            subset(one, &Path::new("subsets").index(i), errors);
        }
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        vec![cells::name(object), places(object).into(), cells::age(object, now)]
    }
}

fn subset(subset: &Value, path: &Path, errors: &mut Errors) {
    let lists = ["addresses", "notReadyAddresses"];
    if lists.iter().all(|field| subset.list(field).is_empty()) {
        errors.required(path, "must specify `addresses` or `notReadyAddresses`");
    }
    for field in lists {
        for (i, one) in subset.list(field).iter().enumerate() {
            address(one, &path.child(field).index(i), errors);
        }
    }
    let ports = subset.list("ports");
    for (i, one) in ports.iter().enumerate() {
        let path = path.child("ports").index(i);
        match one.text("name") {
            "" if ports.len() > 1 => errors.required(&path.child("name"), ""),
            "" => {}
            name => add_all(errors, &path.child("name"), name, names::dns_label(name, false)),
        }
        let number = one.int("port").unwrap_or(0);
        for why in names::port_number(number) {
            errors.invalid(&path.child("port"), number, why);
        }
        protocols(one, &path, errors);
    }
}

fn address(address: &Value, path: &Path, errors: &mut Errors) {
    let (at, text) = (path.child("ip"), address.text("ip"));
    add_all(errors, &at, text, names::ip(text));
    place(address, path, errors);
    special_address(text, &at, errors);
}

/// What is wrong with the names of a host and a node.
fn place(one: &Value, path: &Path, errors: &mut Errors) {
    if let Some(name) = one.at("hostname").as_str().filter(|name| !name.is_empty()) {
        add_all(errors, &path.child("hostname"), name, names::dns_label(name, false));
    }
    if let Some(node) = one.at("nodeName").as_str() {
        add_all(errors, &path.child("nodeName"), node, names::dns_subdomain(node, false));
    }
}

/// What is wrong with the protocols of a port.
fn protocols(port: &Value, path: &Path, errors: &mut Errors) {
    match port.text("protocol") {
        "" => errors.required(&path.child("protocol"), ""),
        known if PROTOCOLS.contains(&known) => {}
        other => errors.not_supported(&path.child("protocol"), other, &PROTOCOLS),
    }
    if let Some(name) = port.at("appProtocol").as_str() {
        add_all(errors, &path.child("appProtocol"), name, names::qualified(name));
    }
}

/// Addresses that lead to no other host, or to something of the node's own.
pub(crate) fn special_address(text: &str, path: &Path, errors: &mut Errors) {
    let Ok(address) = text.parse::<IpAddr>() else {
        errors.invalid(path, text, "must be a valid IP address");
        return;
    };
    if address.is_unspecified() {
        errors.invalid(path, text, format!("may not be unspecified ({text})"));
    }
    if address.is_loopback() {
        errors.invalid(path, text, "may not be in the loopback range (127.0.0.0/8, ::1/128)");
    }
    let (link_local, multicast) = match address {
        IpAddr::V4(address) => (address.is_link_local(), address.octets()[..3] == [224, 0, 0]),
        IpAddr::V6(address) => {
            let first = address.segments()[0];
            (address.is_unicast_link_local(), first & 0xff0f == 0xff02)
        }
    };
    if link_local {
        let why = "may not be in the link-local range (169.254.0.0/16, fe80::/10)";
        errors.invalid(path, text, why);
    }
    if multicast {
        let why = "may not be in the link-local multicast range (224.0.0.0/24, ff02::/10)";
        errors.invalid(path, text, why);
    }
}

/// The first places, and how many more there are.
fn shown(all: Vec<String>, empty: &str) -> String {
    let first = all[..all.len().min(SHOWN)].join(",");
    match all.len() {
        0 => empty.to_owned(),
        count if count > SHOWN => format!("{first} + {} more...", count - SHOWN),
        _ => first,
    }
}

fn places(object: &Map) -> String {
    let subsets = object.list("subsets");
    if subsets.is_empty() {
        return "<none>".to_owned();
    }
    let mut all = Vec::new();
    for subset in subsets {
        let addresses = || subset.list("addresses").iter().map(|one| one.text("ip"));
        if subset.list("ports").is_empty() {
            all.extend(addresses().map(str::to_owned));
        }
        for port in subset.list("ports") {
            let number = port.int("port").unwrap_or(0);
            all.extend(addresses().map(|address| host_port(address, number)));
        }
    }
    shown(all, "")
}

fn host_port(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}
