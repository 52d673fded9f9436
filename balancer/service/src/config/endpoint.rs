// SPDX-License-Identifier: Apache-2.0
//! Endpoints: a text (`10.0.0.1:8080`, `10.0.0.1`), or an object with all there is to say.

use super::fields::{Fields, Notes, kind};
use super::path::Path;
use super::service::Port;
use super::value::Value;
use berth_balancer_core::model::{Endpoint, EndpointPort, Name};
use std::net::{IpAddr, SocketAddr};

pub(super) fn list(fields: &Fields<'_, '_>, ports: &[Port]) -> Vec<Endpoint> {
    let list = fields.list("endpoints");
    let path = fields.path.field("endpoints");
    let read = |(at, value): (usize, &Value)| {
        let path = path.index(at);
        match value {
            Value::String(text) => short(text, &path, fields.notes, ports),
            Value::Object(_) => long(value, &path, fields.notes, ports),
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::Array(_) => {
                let message = format!("expected an address or fields, found {}", kind(value));
                fields.notes.note(&path, message);
                endpoint(String::new().into(), IpAddr::from([0, 0, 0, 0]), Vec::new())
            }
        }
    };
    list.iter().enumerate().map(read).collect()
}

fn endpoint(name: Name, address: IpAddr, ports: Vec<EndpointPort>) -> Endpoint {
    Endpoint {
        name,
        address,
        ports,
        ready: true,
        serving: true,
        terminating: false,
        node: None,
        zone: None,
        weight: 1,
    }
}

fn short(text: &str, path: &Path<'_>, notes: &Notes, ports: &[Port]) -> Endpoint {
    let Some((address, port)) = address_and_port(text) else {
        notes.note(path, format!("\"{text}\" is no address, such as 10.0.0.1:8080"));
        return endpoint(text.into(), IpAddr::from([0, 0, 0, 0]), Vec::new());
    };
    endpoint(text.into(), address, served(port, ports))
}

fn address_and_port(text: &str) -> Option<(IpAddr, Option<u16>)> {
    if let Ok(address) = text.parse::<SocketAddr>() {
        return Some((address.ip(), Some(address.port())));
    }
    text.parse().ok().map(|address| (address, None))
}

/// The endpoint's port for each of the service's: the one it says, or where the service says they listen.
fn served(port: Option<u16>, ports: &[Port]) -> Vec<EndpointPort> {
    let one =
        |own: &Port| EndpointPort { name: own.name.clone(), port: port.unwrap_or(own.target) };
    ports.iter().map(one).collect()
}

fn long(value: &Value, path: &Path<'_>, notes: &Notes, ports: &[Port]) -> Endpoint {
    let fields = Fields::of(value, path, notes);
    let text = fields.text("address");
    if text.is_none() && !fields.has("address") {
        fields.note("address", "missing");
    }
    let parsed = text.as_deref().map(|text| {
        let parsed = address_and_port(text);
        if parsed.is_none() {
            let message = format!("\"{text}\" is no address, such as 10.0.0.1 or 10.0.0.1:8080");
            fields.note("address", message);
        }
        parsed
    });
    let (address, of_address) = parsed.flatten().unwrap_or((IpAddr::from([0, 0, 0, 0]), None));
    let name = fields.text("name").or(text).unwrap_or_default();
    let own = fields.port("port");
    if own.is_some() && of_address.is_some() {
        fields.note("port", "the address says a port already");
    }
    let ports = match fields.get("ports") {
        None => served(own.or(of_address), ports),
        Some(value) => {
            if own.is_some() || of_address.is_some() {
                fields.note("ports", "not together with a port");
            }
            named(value, &fields)
        }
    };
    let terminating = fields.boolean("terminating").unwrap_or(false);
    // As EndpointSlices have it: who is being stopped is not ready, and who is ready serves.
    let ready = fields.boolean("ready").unwrap_or(!terminating);
    let endpoint = Endpoint {
        ready,
        serving: fields.boolean("serving").unwrap_or(true),
        terminating,
        node: fields.text("node").map(Into::into),
        zone: fields.text("zone").map(Into::into),
        weight: fields.count("weight").unwrap_or(1),
        ..endpoint(name.into(), address, ports)
    };
    fields.end();
    endpoint
}

/// Ports by the names that the service gave them: `{http: 8080, metrics: 9090}`.
fn named(value: &Value, fields: &Fields<'_, '_>) -> Vec<EndpointPort> {
    let path = fields.path.field("ports");
    let Value::Object(map) = value else {
        fields.note("ports", format!("expected ports by name, found {}", kind(value)));
        return Vec::new();
    };
    let mut ports = Vec::with_capacity(map.len());
    for (name, value) in map.iter() {
        match value.as_u64().and_then(|port| u16::try_from(port).ok()) {
            Some(port) => ports.push(EndpointPort { name: name.into(), port }),
            None => fields.notes.note(&path.field(name), "no port"),
        }
    }
    ports
}
