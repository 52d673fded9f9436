// SPDX-License-Identifier: Apache-2.0
//! Messages to what is wanted. What a message can say and a balancer cannot read is a problem with its path; the rest is judged with
//! everything else.

mod settings;

use crate::problem::Problems;
use crate::wanted::{Common, Draft, EndpointUpdate, LastSettings, Origin, Owner, Update, Wish};
use berth_balancer_core::model::{
    Cidr, Endpoint, EndpointPort, Name, Node, Protocol, Service, ServicePort,
};
use berth_proto::balancer as pb;
use std::net::IpAddr;
use std::str::FromStr;

/// What a request wants.
///
/// # Errors
/// All fields that cannot be read.
pub fn update(request: pb::ApplyRequest) -> Result<Update, Problems> {
    let mut problems = Problems::default();
    let mut update = Update::new(Owner::Grpc);
    update.replace = request.replace;
    update.remove = request.remove.into_iter().map(Into::into).collect();
    update.common = request.common.map(|common| read_common(common, &mut problems));
    update.services.reserve(request.services.len());
    let mut last = LastSettings::default();
    for (at, message) in request.services.into_iter().enumerate() {
        let at = At("services", at);
        update.services.push(service(message, at, &mut last, &mut problems));
    }
    for (at, change) in request.endpoints.into_iter().enumerate() {
        let service: Name = change.service.into();
        match change.what {
            Some(pb::endpoint_change::What::Set(message)) => {
                let path = || format!("endpoints[{at}].set");
                let endpoint = Box::new(endpoint(message, path, &[], &mut problems));
                update.endpoints.push(EndpointUpdate::Set { service, endpoint });
            }
            Some(pb::endpoint_change::What::Remove(name)) => {
                let endpoint = name.into();
                update.endpoints.push(EndpointUpdate::Remove { service, endpoint });
            }
            None => problems.note(format!("endpoints[{at}]"), "neither set nor remove"),
        }
    }
    problems.finish(update)
}

/// An entry of a list; its text is made for problems only.
#[derive(Clone, Copy)]
struct At(&'static str, usize);

impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}[{}]", self.0, self.1)
    }
}

fn read_common(common: pb::Common, problems: &mut Problems) -> Common {
    let pools = common.load_balancer_pools.iter().enumerate();
    let pools = pools.filter_map(|(at, text)| {
        let path = || format!("common.load_balancer_pools[{at}]");
        parsed::<Cidr>(text, "range of addresses, such as 203.0.113.0/24", path, problems)
    });
    let pools = pools.collect();
    let node = common.node.map(|node| read_node(node, problems)).unwrap_or_default();
    Common { node, pools, external_ips: common.allow_external_ips }
}

fn read_node(node: pb::Node, problems: &mut Problems) -> Node {
    let named = |text: String| (!text.is_empty()).then(|| text.into());
    let mut node_ports = None;
    if node.node_port_first != 0 || node.node_port_last != 0 {
        let first = port(node.node_port_first, || "common.node.node_port_first".into(), problems);
        let last = port(node.node_port_last, || "common.node.node_port_last".into(), problems);
        node_ports = Some((first, last));
    }
    Node {
        addresses: addresses(&node.addresses, || "common.node.addresses".into(), problems),
        name: named(node.name),
        zone: named(node.zone),
        node_ports,
    }
}

fn service(
    message: pb::Service,
    at: At,
    last: &mut LastSettings,
    problems: &mut Problems,
) -> Draft {
    let mut ports = Vec::with_capacity(message.ports.len());
    let mut targets = Vec::with_capacity(message.ports.len());
    for (number, port_message) in message.ports.into_iter().enumerate() {
        let path = |field: &str| format!("{at}.ports[{number}].{field}");
        let own = port(port_message.port, || path("port"), problems);
        let target = port(port_message.target_port, || path("target_port"), problems);
        let node_port = port(port_message.node_port, || path("node_port"), problems);
        let protocol = match pb::Protocol::try_from(port_message.protocol) {
            Ok(pb::Protocol::Unspecified | pb::Protocol::Tcp) => Protocol::Tcp,
            Ok(pb::Protocol::Udp) => Protocol::Udp,
            Err(_) => {
                let message = format!("{} is no protocol", port_message.protocol);
                problems.note(path("protocol"), message);
                Protocol::Tcp
            }
        };
        let name: Name = port_message.name.into();
        let target = if target == 0 { own } else { target };
        targets.push(EndpointPort { name: name.clone(), port: target });
        let node_port = (node_port != 0).then_some(node_port);
        ports.push(ServicePort { name, protocol, port: own, node_port });
    }
    let lists = [
        ("addresses", &message.addresses),
        ("external_ips", &message.external_ips),
        ("load_balancer_ips", &message.load_balancer_ips),
    ];
    let [cluster_ips, external_ips, load_balancer_ips] =
        lists.map(|(field, list)| addresses(list, || format!("{at}.{field}"), problems));
    let settings = settings::read(message.settings.unwrap_or_default(), at, problems);
    let settings = last.share(settings);
    let mut endpoints = Vec::with_capacity(message.endpoints.len());
    for (number, one) in message.endpoints.into_iter().enumerate() {
        let path = || format!("{at}.endpoints[{number}]");
        endpoints.push(endpoint(one, path, &targets, problems));
    }
    let name = message.name.into();
    let service = Service { name, cluster_ips, external_ips, load_balancer_ips, ports, settings };
    let wish = Wish { service, from_pool: message.load_balancer, endpoints };
    Draft { wish, origin: Origin::at(at.to_string()) }
}

fn endpoint(
    message: pb::Endpoint,
    path: impl Fn() -> String,
    targets: &[EndpointPort],
    problems: &mut Problems,
) -> Endpoint {
    let address = message.address.parse().unwrap_or_else(|_| {
        let text = format!("\"{}\" is no IP address", message.address);
        problems.note(format!("{}.address", path()), text);
        IpAddr::from([0, 0, 0, 0])
    });
    let mut ports: Vec<EndpointPort> = Vec::with_capacity(message.ports.len().max(targets.len()));
    for (at, one) in message.ports.into_iter().enumerate() {
        let port = port(one.port, || format!("{}.ports[{at}].port", path()), problems);
        ports.push(EndpointPort { name: one.name.into(), port });
    }
    if ports.is_empty() {
        ports.extend_from_slice(targets);
    }
    let named = |text: String| (!text.is_empty()).then(|| Name::from(text));
    Endpoint {
        name: if message.name.is_empty() { message.address.into() } else { message.name.into() },
        address,
        ports,
        ready: message.ready.unwrap_or(!message.terminating),
        serving: message.serving.unwrap_or(true),
        terminating: message.terminating,
        node: named(message.node),
        zone: named(message.zone),
        weight: message.weight.unwrap_or(1),
    }
}

/// A port; 0 is judged with the rest.
fn port(number: u32, path: impl FnOnce() -> String, problems: &mut Problems) -> u16 {
    u16::try_from(number).unwrap_or_else(|_| {
        problems.note(path(), format!("{number} is not between 1 and 65535"));
        0
    })
}

fn addresses(texts: &[String], path: impl Fn() -> String, problems: &mut Problems) -> Vec<IpAddr> {
    let read = |(at, text): (usize, &String)| {
        parsed(text, "IP address", || format!("{}[{at}]", path()), problems)
    };
    texts.iter().enumerate().filter_map(read).collect()
}

fn parsed<T: FromStr>(
    text: &str,
    what: &str,
    path: impl FnOnce() -> String,
    problems: &mut Problems,
) -> Option<T> {
    let parsed = text.parse().ok();
    if parsed.is_none() {
        problems.note(path(), format!("\"{text}\" is no {what}"));
    }
    parsed
}

/// Nanoseconds of a duration from 0 on.
pub(super) fn nanoseconds(duration: &prost_types::Duration) -> Option<u64> {
    let seconds = u64::try_from(duration.seconds).ok()?.checked_mul(1_000_000_000)?;
    let nanos = u64::try_from(duration.nanos).ok().filter(|nanos| *nanos < 1_000_000_000)?;
    seconds.checked_add(nanos)
}
