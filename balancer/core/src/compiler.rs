// SPDX-License-Identifier: Apache-2.0
//! Makes tables: keeps what is wanted, takes changes, and compiles no more than they touch.
//!
//! A change is judged as a whole before anything is touched: the running table stays if it is refused. [`Compiler::apply`] takes
//! one change, [`Compiler::replace`] everything anew; both come to the same table, and frontends and backends that are in both
//! keep their ids. `batch` has changes that must all be right, `slots` hands out ids, `judge` says what a change would break, `frontend` compiles one port of one service.

mod batch;
mod frontend;
mod judge;
mod slots;

use crate::model::{Config, Endpoint, EndpointSet, Name, Node, Service, Settings};
use crate::problem::Problem;
use crate::table::{Diff, Frontend, Key, Owner, Served, Table};
use crate::validate::validate;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::IpAddr;
use slots::{BackendSlots, Slots};

/// A change of what is wanted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// This node is different.
    Node(Node),
    /// A service is new, or different; its endpoints stay.
    Service(Box<Service>),
    /// A service is gone, and its endpoints with it. Nothing happens if there is none of the name.
    RemoveService(Name),
    /// All endpoints of a service.
    Endpoints(EndpointSet),
    /// An endpoint of a service is new, or different.
    Endpoint {
        /// Name of the service.
        service: Name,
        /// The endpoint.
        endpoint: Endpoint,
    },
    /// An endpoint of a service is gone.
    RemoveEndpoint {
        /// Name of the service.
        service: Name,
        /// Name of the endpoint.
        endpoint: Name,
    },
    /// Active checks found an endpoint healthy, or not. It is forgotten when the endpoint is another one.
    Health {
        /// Name of the service.
        service: Name,
        /// Name of the endpoint.
        endpoint: Name,
        /// Name of the service's port that was checked.
        port: Name,
        /// What was found.
        healthy: bool,
    },
}

/// Makes tables. A clone costs as much as there is wanted.
#[derive(Debug, Clone, Default)]
pub struct Compiler {
    node: Node,
    services: BTreeMap<Name, Entry>,
    /// Ports of the node on which a service's health is told.
    health_ports: BTreeMap<u16, Name>,
    /// Those that came last: services that say the same share them.
    settings: Arc<Settings>,
    frontend_slots: Slots,
    backend_slots: BackendSlots,
    table: Table,
}

/// A service, and what it was compiled to.
#[derive(Debug, Clone)]
struct Entry {
    service: Service,
    endpoints: BTreeMap<Name, Endpoint>,
    /// Slots of its frontends.
    frontends: Vec<u32>,
}

impl Entry {
    fn new(service: Service) -> Self {
        Self { service, endpoints: BTreeMap::new(), frontends: Vec::new() }
    }
}

impl Compiler {
    /// Nothing is wanted yet.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// The table of what is wanted now. Clone it to publish it.
    #[must_use]
    pub fn table(&self) -> &Table {
        &self.table
    }

    /// A service that is wanted.
    #[must_use]
    pub fn service(&self, name: &str) -> Option<&Service> {
        self.services.get(name).map(|entry| &entry.service)
    }

    /// The endpoints of a service, in the order of their names.
    pub fn endpoints(&self, service: &str) -> impl Iterator<Item = &Endpoint> {
        self.services.get(service).into_iter().flat_map(|entry| entry.endpoints.values())
    }

    /// Everything that is wanted, in the order of names.
    #[must_use]
    pub fn config(&self) -> Config {
        let set = |entry: &Entry| EndpointSet {
            service: entry.service.name.clone(),
            endpoints: entry.endpoints.values().cloned().collect(),
        };
        Config {
            node: self.node.clone(),
            services: self.services.values().map(|entry| entry.service.clone()).collect(),
            endpoints: self.services.values().map(set).collect(),
        }
    }

    /// Takes one change at `now` (nanoseconds). Costs what the service has, whatever else is in the table.
    ///
    /// # Errors
    /// All problems of the change; nothing is different then. Their paths begin at the change: `service.ports[0].port`,
    /// `endpoint.weight`.
    pub fn apply(&mut self, change: Change, now: u64) -> Result<(), Vec<Problem>> {
        self.judge(&change)?;
        self.backend_slots.expire(now);
        match change {
            Change::Node(node) => self.set_node(node, now),
            Change::Service(service) => {
                let name = service.name.clone();
                self.set_service(*service);
                self.recompile(&name, now);
            }
            Change::RemoveService(name) => self.remove(&name),
            Change::Endpoints(set) => {
                let endpoints = set.endpoints.into_iter().map(|e| (e.name.clone(), e)).collect();
                self.set_endpoints(&set.service, endpoints, now);
            }
            Change::Endpoint { service, endpoint } => {
                if let Some(entry) = self.services.get_mut(&service) {
                    entry.endpoints.insert(endpoint.name.clone(), endpoint);
                }
                self.recompile(&service, now);
            }
            Change::RemoveEndpoint { service, endpoint } => {
                if let Some(entry) = self.services.get_mut(&service) {
                    entry.endpoints.remove(&endpoint);
                }
                self.recompile(&service, now);
            }
            Change::Health { service, endpoint, port, healthy } => {
                self.set_health(&service, &endpoint, &port, healthy, now);
            }
        }
        self.finish();
        Ok(())
    }

    /// Takes everything anew at `now` (nanoseconds). What is the same stays the same.
    ///
    /// # Errors
    /// All problems of the configuration; nothing is different then.
    pub fn replace(&mut self, config: Config, now: u64) -> Result<(), Vec<Problem>> {
        validate(&config)?;
        self.backend_slots.expire(now);
        if self.node != config.node {
            self.set_node(config.node, now);
        }
        let mut sets: BTreeMap<Name, Vec<Endpoint>> =
            config.endpoints.into_iter().map(|set| (set.service, set.endpoints)).collect();
        let wanted: BTreeMap<Name, Service> =
            config.services.into_iter().map(|service| (service.name.clone(), service)).collect();
        let gone: Vec<Name> =
            self.services.keys().filter(|name| !wanted.contains_key(*name)).cloned().collect();
        for name in gone {
            self.remove(&name);
        }
        for (name, service) in wanted {
            let endpoints = sets.remove(&name).unwrap_or_default();
            let endpoints = endpoints.into_iter().map(|e| (e.name.clone(), e)).collect();
            let known = self.services.get(&name).is_some_and(|entry| entry.service == service);
            if !known {
                self.set_service(service);
            }
            let entry = self.services.get(&name);
            if !known || entry.is_some_and(|entry| entry.endpoints != endpoints) {
                self.set_endpoints(&name, endpoints, now);
            }
        }
        self.finish();
        Ok(())
    }

    /// What is different in the table of today against an older one.
    #[must_use]
    pub fn since(&self, old: &Table) -> Diff {
        Diff::between(old, &self.table)
    }

    fn finish(&mut self) {
        self.table.version += 1;
        self.table.counts.frontend_slots = self.frontend_slots.len();
        self.table.counts.backend_slots = self.backend_slots.len();
        self.table.counts.frontends = self.frontend_slots.used();
        self.table.counts.backends = self.backend_slots.used();
    }

    fn set_node(&mut self, node: Node, now: u64) {
        let mut addresses: Vec<IpAddr> = node.addresses.iter().map(IpAddr::to_canonical).collect();
        addresses.sort_unstable();
        addresses.dedup();
        self.table.addresses.node = addresses.into();
        self.node = node;
        let names: Vec<Name> = self.services.keys().cloned().collect();
        for name in names {
            self.recompile(&name, now);
        }
    }

    fn set_service(&mut self, mut service: Service) {
        self.forget_health_port(&service.name);
        let old = self.services.get(&service.name).map(|entry| &entry.service.settings);
        for known in old.into_iter().chain([&self.settings]) {
            if *known == service.settings {
                service.settings = known.clone();
            }
        }
        self.settings = service.settings.clone();
        if let Some(port) = service.settings.health_check_node_port {
            self.health_ports.insert(port, service.name.clone());
        }
        match self.services.get_mut(&service.name) {
            Some(entry) => entry.service = service,
            None => {
                self.services.insert(service.name.clone(), Entry::new(service));
            }
        }
    }

    fn set_endpoints(&mut self, service: &Name, endpoints: BTreeMap<Name, Endpoint>, now: u64) {
        if let Some(entry) = self.services.get_mut(service) {
            entry.endpoints = endpoints;
        }
        self.recompile(service, now);
    }

    /// Compiles a service anew, and puts those of its frontends into the table that are different.
    fn recompile(&mut self, name: &Name, now: u64) {
        let Some(entry) = self.services.get_mut(name) else { return };
        let before = core::mem::take(&mut entry.frontends);
        let mut old: Vec<Arc<Frontend>> =
            before.iter().filter_map(|slot| self.table.frontends.get(*slot)).cloned().collect();
        for port in &entry.service.ports {
            let same = |f: &Arc<Frontend>| f.port == port.name && f.protocol == port.protocol;
            let before = old.iter().position(same).map(|at| old.swap_remove(at));
            let source = frontend::Source { node: &self.node, entry, port, now };
            let new = source.compile(
                before.as_deref(),
                &mut self.frontend_slots,
                &mut self.backend_slots,
            );
            let slot = new.id.slot;
            entry.frontends.push(slot);
            if before.as_ref().is_some_and(|before| before.is_same(&new)) {
                continue;
            }
            let served = before.as_ref().map(|before| &*before.served).unwrap_or_default();
            if *served != *new.served {
                forget(&mut self.table, slot, new.protocol, served);
                announce(&mut self.table, &new);
            }
            self.table.frontends.set(slot, Some(Arc::new(new)));
        }
        for gone in old {
            self.retire(&gone);
        }
    }

    /// Takes out the port on which a service's health is told, unless it is another's.
    fn forget_health_port(&mut self, name: &Name) {
        let entry = self.services.get(name);
        if let Some(port) = entry.and_then(|entry| entry.service.settings.health_check_node_port)
            && self.health_ports.get(&port) == Some(name)
        {
            self.health_ports.remove(&port);
        }
    }

    fn remove(&mut self, name: &Name) {
        self.forget_health_port(name);
        let Some(entry) = self.services.remove(name) else { return };
        for slot in entry.frontends {
            if let Some(gone) = self.table.frontends.get(slot).cloned() {
                self.retire(&gone);
            }
        }
    }

    /// Takes a frontend and its backends out.
    fn retire(&mut self, gone: &Frontend) {
        forget(&mut self.table, gone.id.slot, gone.protocol, &gone.served);
        self.table.frontends.set(gone.id.slot, None);
        self.frontend_slots.give_back(gone.id.slot);
        for backend in &gone.backends {
            self.backend_slots.give_back(backend.id);
        }
    }

    fn set_health(
        &mut self,
        service: &Name,
        endpoint: &Name,
        port: &Name,
        healthy: bool,
        now: u64,
    ) {
        let Some(entry) = self.services.get(service) else { return };
        for slot in entry.frontends.clone() {
            let Some(old) = self.table.frontends.get(slot) else { continue };
            if old.port == *port
                && let Some(new) = frontend::with_health(old, endpoint, healthy, now)
            {
                self.table.frontends.set(slot, Some(Arc::new(new)));
            }
        }
    }
}

/// Takes places out that a frontend no longer serves.
fn forget(table: &mut Table, slot: u32, protocol: crate::model::Protocol, served: &[Served]) {
    for served in served {
        match *served {
            Served::At { address, .. } => table.addresses.take(Key::new(protocol, address), slot),
            Served::NodePort(port) => table.addresses.take_port(protocol, port, slot),
        }
    }
}

/// Puts the places in that a frontend serves.
fn announce(table: &mut Table, frontend: &Frontend) {
    let (slot, protocol) = (frontend.id.slot, frontend.protocol);
    for served in &frontend.served {
        match *served {
            Served::At { address, via } => {
                table.addresses.give(Key::new(protocol, address), Owner { slot, via });
            }
            Served::NodePort(port) => table.addresses.give_port(protocol, port, slot),
        }
    }
}
