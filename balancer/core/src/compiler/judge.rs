// SPDX-License-Identifier: Apache-2.0
//! What a change would break.

use super::{Change, Compiler};
use crate::limits::{BACKENDS_MAX, FRONTENDS_MAX};
use crate::model::{Config, Endpoint, Name, Node, Protocol, Service};
use crate::problem::{Fault, Problem};
use crate::table::Key;
use crate::validate::{self, Judge, Place};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::net::SocketAddr;

impl Compiler {
    pub(super) fn judge(&self, change: &Change) -> Result<(), Vec<Problem>> {
        let mut judge = Judge::default();
        match change {
            Change::Node(node) => self.judge_node(node, &mut judge),
            Change::Service(service) => self.judge_service(service, &mut judge),
            Change::RemoveService(_) => {}
            Change::Endpoints(set) => {
                if let Some(service) = self.known(&set.service, &mut judge) {
                    validate::endpoints(
                        || String::from("endpoints"),
                        service,
                        &set.endpoints,
                        &mut judge,
                    );
                    let less = self.endpoints(&set.service).map(|e| e.ports.len()).sum();
                    let more = set.endpoints.iter().map(|e| e.ports.len()).sum();
                    self.judge_room("endpoints", less, more, &mut judge);
                }
            }
            Change::Endpoint { service, endpoint } => {
                if let Some(known) = self.known(service, &mut judge) {
                    validate::endpoint(|| String::from("endpoint"), known, endpoint, &mut judge);
                    self.judge_twins(service, endpoint, &mut judge);
                    let before = self.services[service].endpoints.get(&endpoint.name);
                    let less = before.map_or(0, |endpoint| endpoint.ports.len());
                    self.judge_room("endpoint", less, endpoint.ports.len(), &mut judge);
                }
            }
            Change::RemoveEndpoint { service, endpoint } => {
                self.judge_endpoint(service, endpoint, &mut judge);
            }
            Change::Health { service, endpoint, port, .. } => {
                if let Some(known) = self.known(service, &mut judge)
                    && !known.ports.iter().any(|own| own.name == *port)
                {
                    judge.note(String::from("port"), Fault::UnknownPort(port.clone()));
                }
                self.judge_endpoint(service, endpoint, &mut judge);
            }
        }
        judge.verdict()
    }

    fn known(&self, name: &Name, judge: &mut Judge) -> Option<&Service> {
        let entry = self.services.get(name);
        if entry.is_none() {
            judge.note(String::from("service"), Fault::UnknownService(name.clone()));
        }
        entry.map(|entry| &entry.service)
    }

    fn judge_endpoint(&self, service: &Name, endpoint: &Name, judge: &mut Judge) {
        match self.services.get(service) {
            None => judge.note(String::from("service"), Fault::UnknownService(service.clone())),
            Some(entry) if !entry.endpoints.contains_key(endpoint) => {
                judge.note(String::from("endpoint"), Fault::UnknownEndpoint(endpoint.clone()));
            }
            Some(_) => {}
        }
    }

    /// A node's own addresses are places of services too, by their node ports.
    fn judge_node(&self, node: &Node, judge: &mut Judge) {
        validate::node(node, judge);
        let services = self.services.values().map(|entry| entry.service.clone()).collect();
        let config = Config { node: node.clone(), services, endpoints: Vec::new() };
        if let Err(problems) = validate::validate(&config) {
            for problem in problems.into_iter().filter(|p| !p.path.starts_with("node.")) {
                judge.note(problem.path, problem.fault);
            }
        }
    }

    fn judge_service(&self, service: &Service, judge: &mut Judge) {
        validate::service(|| String::from("service"), service, &self.node, judge);
        validate::own_overlaps("service", service, &self.node, judge);
        for claim in validate::claims(service) {
            let with = self.owner(claim.protocol, claim.at, &service.name);
            let (Some(with), protocol) = (with, claim.protocol) else { continue };
            let fault = match claim.at {
                Place::Address(address) => Fault::Overlap { address, protocol, with },
                Place::Node(port) => Fault::NodePortOverlap { port, protocol, with },
            };
            judge.note(format!("service.{}", claim.path), fault);
        }
        let entry = self.services.get(&service.name);
        let before = entry.map_or(0, |entry| entry.frontends.len());
        let frontends = self.frontend_slots.used() as usize + service.ports.len();
        if frontends.saturating_sub(before) > FRONTENDS_MAX {
            judge.note(String::from("service.ports"), Fault::TableFull { most: FRONTENDS_MAX });
        }
        // A service may get the address of one of its endpoints.
        let mut loops = Judge::default();
        for endpoint in entry.iter().flat_map(|entry| entry.endpoints.values()) {
            validate::endpoint(|| String::from("service"), service, endpoint, &mut loops);
        }
        for problem in loops.verdict().err().unwrap_or_default() {
            if matches!(problem.fault, Fault::Loop(_)) {
                judge.note(String::from("service.ports"), problem.fault);
            }
        }
    }

    /// The other service that has a place.
    fn owner(&self, protocol: Protocol, at: Place, but: &Name) -> Option<Name> {
        let addresses = &self.table.addresses;
        let other = |slot: u32| {
            let frontend = self.table.frontends.get(slot)?;
            (frontend.service != *but).then(|| frontend.service.clone())
        };
        let exact = |address: SocketAddr| other(addresses.exact(Key::new(protocol, address))?.slot);
        let node_port = |port: u16| {
            let checked = || self.checked(port, but).filter(|_| protocol == Protocol::Tcp);
            addresses.node_port(protocol, port).and_then(other).or_else(checked)
        };
        match at {
            Place::Address(address) => exact(address).or_else(|| {
                let on_node = addresses.node.binary_search(&address.ip().to_canonical()).is_ok();
                if on_node { node_port(address.port()) } else { None }
            }),
            Place::Node(port) => node_port(port)
                .or_else(|| addresses.node.iter().find_map(|ip| exact(SocketAddr::new(*ip, port)))),
        }
    }

    /// The other service whose health is told on a port of the node.
    fn checked(&self, port: u16, but: &Name) -> Option<Name> {
        self.health_ports.get(&port).filter(|name| *name != but).cloned()
    }

    /// Another endpoint of a port has the address already.
    fn judge_twins(&self, service: &Name, endpoint: &Endpoint, judge: &mut Judge) {
        let Some(entry) = self.services.get(service) else { return };
        for other in entry.endpoints.values().filter(|other| other.name != endpoint.name) {
            if other.address.to_canonical() != endpoint.address.to_canonical() {
                continue;
            }
            for port in endpoint.ports.iter().filter(|port| other.ports.contains(port)) {
                let address = SocketAddr::new(endpoint.address, port.port);
                judge.note(String::from("endpoint.address"), Fault::DuplicateEndpoint(address));
            }
        }
    }

    /// `more` backends come for `less` that go.
    fn judge_room(&self, path: &str, less: usize, more: usize, judge: &mut Judge) {
        let used = self.backend_slots.used() as usize;
        if used.saturating_sub(less) + more > BACKENDS_MAX {
            judge.note(String::from(path), Fault::TableFull { most: BACKENDS_MAX });
        }
    }
}
