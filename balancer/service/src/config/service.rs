// SPDX-License-Identifier: Apache-2.0
//! One service.

use super::fields::{Fields, Notes, kind, shown, text};
use super::path::Path;
use super::value::Value;
use super::{endpoint, settings};
use crate::wanted::{Draft, LastSettings, Origin, Wish};
use berth_balancer_core::model::{Name, Protocol, Service, ServicePort, Settings};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

/// A port of a service as it is read: with the port that its endpoints have where they say none.
#[derive(Debug)]
pub(super) struct Port {
    pub(super) name: Name,
    pub(super) target: u16,
}

pub(super) fn read(
    value: &Value,
    path: &Path<'_>,
    notes: &Notes,
    (defaults, last): (&Settings, &mut LastSettings),
) -> Draft {
    let fields = Fields::of(value, path, notes);
    let name = fields.text("name");
    if name.is_none() && !fields.has("name") {
        fields.note("name", "missing");
    }
    let mut service = Service {
        name: name.unwrap_or_default().into(),
        cluster_ips: Vec::new(),
        external_ips: fields.parsed_list("external_ips", "IP address"),
        load_balancer_ips: Vec::new(),
        ports: Vec::new(),
        settings: Arc::default(),
    };
    let mut origin = Origin { path: path.to_string(), ..Origin::default() };
    let port = addresses(&fields, &mut service, &mut origin);
    let from_pool = load_balancer(&fields, &mut service);
    let targets = ports(&fields, port, &mut service, &mut origin);
    let mut settings = defaults.clone();
    settings::read(&fields, &mut settings);
    service.settings = last.share(settings);
    let endpoints = endpoint::list(&fields, &targets);
    fields.end();
    Draft { wish: Wish { service, from_pool, endpoints }, origin }
}

/// `address` (with or without a port, which is given back) or `addresses`.
fn addresses(fields: &Fields<'_, '_>, service: &mut Service, origin: &mut Origin) -> Option<u16> {
    service.cluster_ips = fields.parsed_list("addresses", "IP address");
    let text = fields.text("address")?;
    if fields.has("addresses") {
        fields.note("address", "not together with addresses");
    }
    origin.one_address = service.cluster_ips.is_empty();
    if let Ok(address) = text.parse::<IpAddr>() {
        service.cluster_ips.push(address);
        return None;
    }
    match text.parse::<SocketAddr>() {
        Ok(address) => {
            service.cluster_ips.push(address.ip());
            Some(address.port())
        }
        Err(_) => {
            let message = format!("\"{text}\" is no address, such as 10.96.0.1 or [fd00::1]:80");
            fields.note("address", message);
            None
        }
    }
}

/// `true` for one of the pools, or a list of addresses.
fn load_balancer(fields: &Fields<'_, '_>, service: &mut Service) -> bool {
    match fields.get("load_balancer") {
        None => false,
        Some(Value::Bool(wanted)) => *wanted,
        Some(Value::Array(_)) => {
            service.load_balancer_ips = fields.parsed_list("load_balancer", "IP address");
            false
        }
        Some(other) => {
            let found = kind(other);
            fields.note("load_balancer", format!("expected true or a list, found {found}"));
            false
        }
    }
}

/// The list `ports`, or the one port that the service itself says.
fn ports(
    fields: &Fields<'_, '_>,
    of_address: Option<u16>,
    service: &mut Service,
    origin: &mut Origin,
) -> Vec<Port> {
    let Some(value) = fields.get("ports") else {
        origin.one_port = true;
        let own = fields.has("port");
        let (port, target) = one(fields, of_address);
        // An address that was not understood may have said one.
        let understood = !fields.has("address") || !service.cluster_ips.is_empty();
        if port.port == 0 && !own && of_address.is_none() && understood {
            let message = "missing: say `port`, or put it behind the address, or list `ports`";
            fields.note("port", message);
        }
        service.ports.push(port);
        return vec![target];
    };
    for name in ["port", "protocol", "target_port", "node_port"] {
        if fields.get(name).is_some() {
            fields.note(name, "not together with ports");
        }
    }
    if of_address.is_some() {
        fields.note("address", "says a port; not together with ports");
    }
    let Value::Array(list) = value else {
        fields.note("ports", format!("expected a list, found {}", kind(value)));
        return Vec::new();
    };
    let path = fields.path.field("ports");
    let mut targets = Vec::with_capacity(list.len());
    for (at, value) in list.iter().enumerate() {
        let path = path.index(at);
        // A bare number is a port that has no more to say.
        let (port, target) = if value.is_object() {
            let fields = Fields::of(value, &path, fields.notes);
            let name = fields.text("name");
            let (port, target) = one(&fields, None);
            if !fields.has("port") {
                fields.note("port", "missing");
            }
            fields.end();
            let name: Name = name.unwrap_or_default().into();
            (ServicePort { name: name.clone(), ..port }, Port { name, ..target })
        } else {
            bare(value, &path, fields.notes)
        };
        service.ports.push(port);
        targets.push(target);
    }
    targets
}

fn bare(value: &Value, path: &Path<'_>, notes: &Notes) -> (ServicePort, Port) {
    let number = text(value).and_then(|text| text.parse().ok());
    if number.is_none() {
        notes.note(path, format!("{} is no port", shown(value)));
    }
    let (name, port): (Name, u16) = (String::new().into(), number.unwrap_or(0));
    let target = Port { name: name.clone(), target: port };
    (ServicePort { name, protocol: Protocol::Tcp, port, node_port: None }, target)
}

/// The fields of one port.
fn one(fields: &Fields<'_, '_>, of_address: Option<u16>) -> (ServicePort, Port) {
    let words = [("TCP", Protocol::Tcp), ("UDP", Protocol::Udp)];
    let words = words.into_iter().chain([("tcp", Protocol::Tcp), ("udp", Protocol::Udp)]);
    let words: Vec<(&str, Protocol)> = words.collect();
    let own = fields.port("port");
    if own.is_some() && of_address.is_some() {
        fields.note("port", "the address says a port already");
    }
    let port = own.or(of_address).unwrap_or(0);
    let name: Name = String::new().into();
    let target = fields.port("target_port").unwrap_or(port);
    let target = Port { name: name.clone(), target };
    let protocol = fields.word("protocol", &words).unwrap_or(Protocol::Tcp);
    (ServicePort { name, protocol, port, node_port: fields.port("node_port") }, target)
}
