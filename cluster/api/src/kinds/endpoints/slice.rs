// SPDX-License-Identifier: Apache-2.0
//! EndpointSlices.

use super::{place, protocols, shown, special_address};
use crate::field::{Errors, Path, Problem};
use crate::kinds::access::{add_all, immutable, make, or_set_missing, same};
use crate::kinds::row::{column, row};
use crate::kinds::view::{View, items};
use crate::registry::{Kind, Part, Rules};
use crate::{Map, cells, meta, names};
use berth_cluster_json::Value;
use core::net::IpAddr;

const TYPES: [&str; 3] = ["FQDN", "IPv4", "IPv6"];

/// The most endpoints of a slice.
const ENDPOINTS: usize = 1000;

/// The most addresses of an endpoint.
const ADDRESSES: usize = 100;

/// The most ports of a slice.
const PORTS: usize = 20_000;

/// The most labels of an endpoint's place, in the old form.
const TOPOLOGY: usize = 16;

/// The most zones and nodes that an endpoint is meant for.
const HINTS: usize = 8;

/// The row.
pub(super) fn kind() -> Kind {
    let columns = [
        column("AddressType", "string", "What kind of addresses the endpoints have."),
        column("Ports", "string", "The ports of each endpoint."),
        column("Endpoints", "string", "Addresses of the endpoints, ready or not."),
    ];
    row("discovery.k8s.io", "EndpointSlice", "endpointslices", &columns, SliceRules)
}

/// The rules of EndpointSlices.
#[derive(Debug)]
struct SliceRules;

impl Rules for SliceRules {
    fn default(&self, object: &mut Map) {
        for port in items(object, "ports") {
            or_set_missing(port, "name", "");
            or_set_missing(port, "protocol", "TCP");
        }
    }

    fn prepare_create(&self, object: &mut Map) {
        drop_topology(object);
        if let Some(meta) = make(object, "metadata") {
            meta.insert("generation".to_owned(), 1.into());
        }
    }

    fn prepare_update(&self, new: &mut Map, old: &Map, _part: Part) {
        let fields = ["addressType", "endpoints", "ports"];
        // labels say whose endpoints these are, so that they count, too
        let labels =
            |object: &Map| object.at("metadata").map("labels").cloned().unwrap_or_default();
        let changed =
            fields.iter().any(|field| !same(new, old, field)) || labels(new) != labels(old);
        let generation = old.at("metadata").int("generation").unwrap_or(0) + i64::from(changed);
        if !same(new, old, "endpoints") {
            drop_topology(new);
        }
        if let Some(meta) = make(new, "metadata") {
            meta.insert("generation".to_owned(), generation.into());
        }
    }

    fn validate(&self, object: &Map, errors: &mut Errors) {
        let kind = object.text("addressType");
        match kind {
            "" => errors.required(&Path::new("addressType"), ""),
            known if TYPES.contains(&known) => {}
            other => errors.not_supported(&Path::new("addressType"), other, &TYPES),
        }
        let (all, at) = (object.list("endpoints"), Path::new("endpoints"));
        if few(all.len(), ENDPOINTS, &at, errors) {
            for (i, one) in all.iter().enumerate() {
                endpoint(one, kind, &at.index(i), errors);
            }
        }
        let (all, at) = (object.list("ports"), Path::new("ports"));
        if few(all.len(), PORTS, &at, errors) {
            ports(all, &at, errors);
        }
    }

    fn validate_update(&self, new: &Map, old: &Map, _part: Part, errors: &mut Errors) {
        immutable(new, old, "addressType", &Path::default(), errors);
    }

    fn warnings(&self, object: &Map) -> Vec<String> {
        let names = object.text("addressType") == "FQDN";
        let warning = "spec.addressType: FQDN endpoints are deprecated";
        names.then(|| warning.to_owned()).into_iter().collect()
    }

    fn cells(&self, object: &Map, now: i64) -> Vec<Value> {
        let port = |port: &Value| match (port.int("port"), port.at("name").as_str()) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        };
        let ports: Vec<String> = object.list("ports").iter().map(port).collect();
        let endpoints = object.list("endpoints").iter();
        let addresses = endpoints.flat_map(|one| one.list("addresses")).filter_map(Value::as_str);
        vec![
            cells::name(object),
            object.text("addressType").into(),
            shown(ports, "<unset>").into(),
            shown(addresses.map(str::to_owned).collect(), "<unset>").into(),
            cells::age(object, now),
        ]
    }
}

/// The old form of an endpoint's place is read, and no longer written.
fn drop_topology(object: &mut Map) {
    for endpoint in items(object, "endpoints") {
        endpoint.remove("deprecatedTopology");
    }
}

/// Whether there are at most so many; says it if not.
fn few(count: usize, most: usize, path: &Path, errors: &mut Errors) -> bool {
    if count > most {
        let why = format!("must have at most {most} items");
        errors.add(Problem::TooMany, path, &count.into(), why);
    }
    count <= most
}

fn endpoint(one: &Value, kind: &str, path: &Path, errors: &mut Errors) {
    let (at, addresses) = (path.child("addresses"), one.list("addresses"));
    if addresses.is_empty() {
        errors.required(&at, "must contain at least 1 address");
    }
    few(addresses.len(), ADDRESSES, &at, errors);
    for (i, text) in addresses.iter().filter_map(Value::as_str).enumerate() {
        address(text, kind, &at.index(i), errors);
    }
    place(one, path, errors);
    let at = path.child("deprecatedTopology");
    if let Some(labels) = one.map("deprecatedTopology") {
        few(labels.len(), TOPOLOGY, &at, errors);
        meta::validate_labels(labels, &at, errors);
    }
    hints(one.at("hints"), "forZones", &path.child("hints"), errors);
    hints(one.at("hints"), "forNodes", &path.child("hints"), errors);
}

fn address(text: &str, kind: &str, path: &Path, errors: &mut Errors) {
    let parsed = text.parse::<IpAddr>().ok();
    match kind {
        "FQDN" => {
            let name = text.strip_suffix('.').unwrap_or(text);
            if name.is_empty() {
                errors.required(path, "");
                return;
            }
            let problems = names::dns_subdomain(name, false);
            if problems.is_empty() && !name.contains('.') {
                let why = "should be a domain with at least two segments separated by dots";
                errors.invalid(path, text, why);
            }
            add_all(errors, path, name, problems);
        }
        "IPv4" | "IPv6" => {
            let problems = names::ip(text);
            let fits = parsed.is_none_or(|address| address.is_ipv4() == (kind == "IPv4"));
            if problems.is_empty() && !fits {
                errors.invalid(path, text, format!("must be an {kind} address"));
            }
            add_all(errors, path, text, problems);
            if parsed.is_some() {
                special_address(text, path, errors);
            }
        }
        _ => {}
    }
}

fn hints(hints: &Value, field: &str, path: &Path, errors: &mut Errors) {
    let (all, at) = (hints.list(field), path.child(field));
    if !few(all.len(), HINTS, &at, errors) {
        return;
    }
    let mut seen = Vec::new();
    for (i, one) in all.iter().enumerate() {
        let (name, at) = (one.text("name"), at.index(i).child("name"));
        if seen.contains(&name) {
            errors.duplicate(&at, name);
        }
        seen.push(name);
        let nodes = field == "forNodes";
        let problems =
            if nodes { names::dns_subdomain(name, false) } else { names::label_value(name) };
        add_all(errors, &at, name, problems);
    }
}

fn ports(all: &[Value], path: &Path, errors: &mut Errors) {
    let mut seen = std::collections::BTreeSet::new();
    for (i, port) in all.iter().enumerate() {
        let (name, path) = (port.text("name"), path.index(i));
        if !name.is_empty() {
            add_all(errors, &path.child("name"), name, names::dns_label(name, false));
        }
        if !seen.insert(name) {
            errors.duplicate(&path.child("name"), name);
        }
        protocols(port, &path, errors);
    }
}
