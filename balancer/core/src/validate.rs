// SPDX-License-Identifier: Apache-2.0
//! Judges configurations: all problems at once, each with the path of its field.
//!
//! `service` and `settings` judge one service, `endpoint` the endpoints of one; here is what only the whole can say: names
//! that come twice, and addresses that two services claim.

mod endpoint;
mod service;
mod settings;

pub(crate) use endpoint::{endpoint, endpoints};
pub(crate) use service::service;

use crate::limits::{BACKENDS_MAX, FRONTENDS_MAX};
use crate::model::{Config, Endpoint, Name, Node, Protocol, Service};
use crate::problem::{Fault, Problem};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};

/// Every problem of a configuration, in the order of its fields. None: a table can be made of it.
///
/// # Errors
/// The problems.
pub fn validate(config: &Config) -> Result<(), Vec<Problem>> {
    let mut judge = Judge::default();
    node(&config.node, &mut judge);
    let services = services(&config.node, config.services.iter(), &mut judge);
    let mut sets = BTreeSet::new();
    for (at, set) in config.endpoints.iter().enumerate() {
        let path = format!("endpoints[{at}]");
        if !sets.insert(&set.service) {
            judge.note(format!("{path}.service"), Fault::DuplicateName(set.service.clone()));
        }
        match services.get(&*set.service) {
            Some(service) => {
                endpoints(|| format!("{path}.endpoints"), service, &set.endpoints, &mut judge);
            }
            None => {
                let fault = Fault::UnknownService(set.service.clone());
                judge.note(format!("{path}.service"), fault);
            }
        }
    }
    let sets = config.endpoints.iter().map(|set| &*set.endpoints);
    room(config.services.iter(), sets, &mut judge);
    judge.verdict()
}

/// Every problem of some services, each with its endpoints, as [`validate()`] tells them: the endpoints of `parts[3]` stand in
/// `endpoints[3]`. For who holds them otherwise than in one configuration.
///
/// # Errors
/// The problems.
pub fn validate_parts(node: &Node, parts: &[(&Service, &[Endpoint])]) -> Result<(), Vec<Problem>> {
    let mut judge = Judge::default();
    self::node(node, &mut judge);
    services(node, parts.iter().map(|(service, _)| *service), &mut judge);
    for (at, (service, all)) in parts.iter().enumerate() {
        endpoints(|| format!("endpoints[{at}].endpoints"), service, all, &mut judge);
    }
    room(parts.iter().map(|(service, _)| *service), parts.iter().map(|(_, all)| *all), &mut judge);
    judge.verdict()
}

/// Judges services by themselves and against each other.
fn services<'a>(
    node: &Node,
    all: impl Iterator<Item = &'a Service>,
    judge: &mut Judge,
) -> BTreeMap<&'a str, &'a Service> {
    let mut services: BTreeMap<&str, &Service> = BTreeMap::new();
    let mut claims = Claims::new(node);
    for (at, one) in all.enumerate() {
        let path = || format!("services[{at}]");
        service(path, one, node, judge);
        if services.insert(&one.name, one).is_some() {
            judge.note(format!("{}.name", path()), Fault::DuplicateName(one.name.clone()));
            continue;
        }
        claims.claim(path, one, judge);
    }
    services
}

fn room<'a>(
    services: impl Iterator<Item = &'a Service>,
    sets: impl Iterator<Item = &'a [Endpoint]>,
    judge: &mut Judge,
) {
    if services.map(|service| service.ports.len()).sum::<usize>() > FRONTENDS_MAX {
        judge.note(String::from("services"), Fault::TableFull { most: FRONTENDS_MAX });
    }
    let ports = |set: &[Endpoint]| set.iter().map(|e| e.ports.len()).sum::<usize>();
    if sets.map(ports).sum::<usize>() > BACKENDS_MAX {
        judge.note(String::from("endpoints"), Fault::TableFull { most: BACKENDS_MAX });
    }
}

/// Judges a node.
pub(crate) fn node(node: &Node, judge: &mut Judge) {
    for (at, address) in node.addresses.iter().enumerate() {
        judge.host(|| format!("node.addresses[{at}]"), *address);
    }
    if let Some((first, last)) = node.node_ports {
        judge.range(|| String::from("node.node_ports[0]"), first.into(), 1, 65_535);
        if first > last {
            let fault = Fault::Above { field: "node.node_ports[1]" };
            judge.note(String::from("node.node_ports[0]"), fault);
        }
    }
}

/// Collects problems.
#[derive(Debug, Default)]
pub(crate) struct Judge {
    problems: Vec<Problem>,
}

impl Judge {
    pub(crate) fn note(&mut self, path: String, fault: Fault) {
        self.problems.push(Problem { path, fault });
    }

    pub(crate) fn verdict(self) -> Result<(), Vec<Problem>> {
        if self.problems.is_empty() { Ok(()) } else { Err(self.problems) }
    }

    pub(crate) fn range(
        &mut self,
        path: impl FnOnce() -> String,
        value: u64,
        least: u64,
        most: u64,
    ) {
        if !(least..=most).contains(&value) {
            self.note(path(), Fault::OutOfRange { value, least, most });
        }
    }

    pub(crate) fn length(&mut self, path: impl FnOnce() -> String, length: usize, most: usize) {
        if length > most {
            self.note(path(), Fault::TooLong { most });
        }
    }

    pub(crate) fn name(&mut self, path: impl FnOnce() -> String, name: &str) {
        if name.is_empty() {
            self.note(path(), Fault::Empty);
        } else {
            self.length(path, name.len(), crate::limits::NAME_BYTES_MAX);
        }
    }

    pub(crate) fn host(&mut self, path: impl FnOnce() -> String, address: IpAddr) {
        let canonical = address.to_canonical();
        let broadcast = matches!(canonical, IpAddr::V4(v4) if v4.is_broadcast());
        if canonical.is_unspecified() || canonical.is_multicast() || broadcast {
            self.note(path(), Fault::NoHostAddress);
        }
    }
}

/// Who has which address, port and protocol.
struct Claims<'a> {
    node: &'a Node,
    addresses: BTreeMap<(Protocol, IpAddr, u16), Name>,
    node_ports: BTreeMap<(Protocol, u16), Name>,
}

impl<'a> Claims<'a> {
    fn new(node: &'a Node) -> Self {
        Self { node, addresses: BTreeMap::new(), node_ports: BTreeMap::new() }
    }

    fn claim(&mut self, path: impl Fn() -> String, service: &Service, judge: &mut Judge) {
        for claim in claims(service) {
            let protocol = claim.protocol;
            match claim.at {
                Place::Address(address) => {
                    let ip = address.ip();
                    let key = (protocol, ip, address.port());
                    let on_node = self.node.addresses.iter().any(|a| a.to_canonical() == ip);
                    let port = on_node.then(|| self.node_ports.get(&(protocol, address.port())));
                    let taken = self.addresses.get(&key).or(port.flatten());
                    if let Some(with) = taken {
                        let fault = Fault::Overlap { address, protocol, with: with.clone() };
                        judge.note(format!("{}.{}", path(), claim.path), fault);
                    } else {
                        self.addresses.insert(key, service.name.clone());
                    }
                }
                Place::Node(port) => {
                    let on_node = |address: &IpAddr| {
                        self.addresses.get(&(protocol, address.to_canonical(), port))
                    };
                    let taken = self.node_ports.get(&(protocol, port));
                    let taken = taken.or_else(|| self.node.addresses.iter().find_map(on_node));
                    if let Some(with) = taken {
                        let fault = Fault::NodePortOverlap { port, protocol, with: with.clone() };
                        judge.note(format!("{}.{}", path(), claim.path), fault);
                    } else {
                        self.node_ports.insert((protocol, port), service.name.clone());
                    }
                }
            }
        }
    }
}

/// Notes where a service claims one place twice.
pub(crate) fn own_overlaps(path: &str, service: &Service, node: &Node, judge: &mut Judge) {
    Claims::new(node).claim(|| path.into(), service, judge);
}

/// A place that a service wants for itself.
#[derive(Debug, Clone)]
pub struct Claim {
    /// The field of the service that says so.
    pub path: ClaimPath,
    /// The protocol.
    pub protocol: Protocol,
    /// The place.
    pub at: Place,
}

/// The field of a service that claims a place; its text is made for problems only.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClaimPath {
    /// An address: `cluster_ips[0]`.
    Address {
        /// The list.
        field: &'static str,
        /// Its place in the list.
        at: usize,
    },
    /// The node port of a port: `ports[0].node_port`.
    NodePort(usize),
    /// The port of the node on which the service's health is told.
    HealthPort,
}

impl fmt::Display for ClaimPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Address { field, at } => write!(f, "{field}[{at}]"),
            Self::NodePort(number) => write!(f, "ports[{number}].node_port"),
            Self::HealthPort => f.write_str("settings.health_check_node_port"),
        }
    }
}

/// Where a service can be reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Place {
    /// An address, canonical, and a port.
    Address(SocketAddr),
    /// A port on all of the node's addresses.
    Node(u16),
}

/// The places that a service wants for itself. No two services may claim one; who keeps books of several sources of truth asks for
/// them before there is a whole configuration to judge.
#[must_use]
pub fn claims(service: &Service) -> Vec<Claim> {
    let mut claims = Vec::new();
    for (number, port) in service.ports.iter().enumerate() {
        let protocol = port.protocol;
        let lists = [
            ("cluster_ips", &service.cluster_ips),
            ("external_ips", &service.external_ips),
            ("load_balancer_ips", &service.load_balancer_ips),
        ];
        for (field, list) in lists {
            for (at, address) in list.iter().enumerate() {
                let at_port = SocketAddr::new(address.to_canonical(), port.port);
                let at_port = Place::Address(at_port);
                let path = ClaimPath::Address { field, at };
                claims.push(Claim { path, protocol, at: at_port });
            }
        }
        if let Some(node_port) = port.node_port {
            let path = ClaimPath::NodePort(number);
            claims.push(Claim { path, protocol, at: Place::Node(node_port) });
        }
    }
    if let Some(port) = service.settings.health_check_node_port {
        let path = ClaimPath::HealthPort;
        claims.push(Claim { path, protocol: Protocol::Tcp, at: Place::Node(port) });
    }
    claims
}
