// SPDX-License-Identifier: Apache-2.0
//! Counts for each port and endpoint, and what is told of flows.
//!
//! They are copied by the thread that decides, and put together with names by who asks: a hundred thousand names would keep packets
//! waiting.

use super::{Engine, Held};
use crate::conntrack::Entry;
use crate::report::{DrainReport, EndpointReport, FlowQuery, FlowReport, Latencies, PortReport};
use berth_balancer_core::model::{Name, Protocol};
use berth_balancer_core::table::{BackendId, Frontend, FrontendId};
use berth_balancer_core::{Flow, FlowKey, REFUSALS, Refusal, Table};
use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;

/// Of one port.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Port {
    generation: u32,
    accepted: u64,
    refused: [u64; REFUSALS.len()],
    bytes: (u64, u64),
    connect: Latencies,
}

/// Of one endpoint.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Endpoint {
    generation: u32,
    opened: u64,
    ended: u64,
    failed: u64,
    ejected: u64,
    bytes: (u64, u64),
}

/// All counts, by slot.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tallies {
    ports: Vec<Option<Box<Port>>>,
    endpoints: Vec<Endpoint>,
}

impl Tallies {
    pub(super) fn port(&mut self, id: FrontendId) -> &mut Port {
        let at = id.slot as usize;
        if self.ports.len() <= at {
            self.ports.resize_with(at + 1, || None);
        }
        let port = self.ports[at].get_or_insert_default();
        if port.generation != id.generation {
            **port = Port { generation: id.generation, ..Port::default() };
        }
        port
    }

    pub(super) fn endpoint(&mut self, id: BackendId) -> &mut Endpoint {
        let at = id.slot as usize;
        if self.endpoints.len() <= at {
            self.endpoints.resize(at + 1, Endpoint::default());
        }
        let endpoint = &mut self.endpoints[at];
        if endpoint.generation != id.generation {
            *endpoint = Endpoint { generation: id.generation, ..Endpoint::default() };
        }
        endpoint
    }

    fn known_port(&self, id: FrontendId) -> Port {
        let port = self.ports.get(id.slot as usize).and_then(Option::as_deref).copied();
        port.filter(|port| port.generation == id.generation).unwrap_or_default()
    }

    fn known_endpoint(&self, id: BackendId) -> Endpoint {
        let endpoint = self.endpoints.get(id.slot as usize).copied();
        endpoint.filter(|endpoint| endpoint.generation == id.generation).unwrap_or_default()
    }
}

impl Port {
    pub(super) fn accept(&mut self) {
        self.accepted += 1;
    }

    pub(super) fn refuse(&mut self, refusal: Refusal) {
        self.refused[refusal.index()] += 1;
    }

    pub(super) fn connect(&mut self, latency_ns: u64) {
        self.connect.observe(latency_ns);
    }
}

impl Endpoint {
    pub(super) fn open(&mut self) {
        self.opened += 1;
    }

    pub(super) fn end(&mut self) {
        self.ended += 1;
    }

    pub(super) fn fail(&mut self, ejected: bool) {
        self.failed += 1;
        self.ejected += u64::from(ejected);
    }
}

/// What of a backend changes by itself.
#[derive(Debug, Clone, Copy)]
struct Live {
    id: BackendId,
    active: u32,
    latency_ns: u64,
    ejected_until_ns: u64,
}

/// All counts at a time.
#[derive(Debug)]
pub(crate) struct Snapshot {
    tallies: Tallies,
    /// In the order of the slots.
    live: Vec<Live>,
}

impl Snapshot {
    /// With the names of a table; what it has and the snapshot has not is 0.
    pub(crate) fn ports(&self, table: &Table, takes: fn(&Frontend) -> bool) -> Vec<PortReport> {
        let mut ports = Vec::new();
        table.each(|frontend| {
            if takes(frontend) {
                ports.push(self.of(frontend));
            }
        });
        ports
    }

    fn of(&self, frontend: &Frontend) -> PortReport {
        let port = self.tallies.known_port(frontend.id);
        let endpoints: Vec<EndpointReport> = frontend
            .backends
            .iter()
            .map(|backend| {
                let counts = self.tallies.known_endpoint(backend.id);
                let live = self.live.binary_search_by_key(&backend.id.slot, |live| live.id.slot);
                let live = live.ok().map(|at| self.live[at]).filter(|live| live.id == backend.id);
                EndpointReport {
                    name: backend.name().clone(),
                    address: backend.address,
                    active: live.map_or(0, |live| live.active.into()),
                    opened: counts.opened,
                    ended: counts.ended,
                    failed: counts.failed,
                    ejected: counts.ejected,
                    ejected_until_ns: live.map_or(0, |live| live.ejected_until_ns),
                    bytes_in: counts.bytes.0,
                    bytes_out: counts.bytes.1,
                    latency_ns: live.map_or(0, |live| live.latency_ns),
                    is_healthy: backend.is_healthy(),
                }
            })
            .collect();
        PortReport {
            service: frontend.service.clone(),
            port: frontend.port.clone(),
            protocol: frontend.protocol,
            active: endpoints.iter().map(|endpoint| endpoint.active).sum(),
            accepted: port.accepted,
            refused: port.refused,
            bytes_in: port.bytes.0,
            bytes_out: port.bytes.1,
            connect: port.connect,
            endpoints,
        }
    }
}

/// An endpoint that left the table.
#[derive(Debug)]
struct Gone {
    service: Name,
    endpoint: Name,
    address: SocketAddr,
}

/// Endpoints that left the table with connections.
#[derive(Debug, Default)]
pub(super) struct Leavers(BTreeMap<BackendId, Gone>);

impl Leavers {
    pub(super) fn add(&mut self, frontend: &Frontend, id: BackendId) {
        let backend = frontend.backends.iter().find(|backend| backend.id == id);
        if let Some(backend) = backend {
            let (service, endpoint) = (frontend.service.clone(), backend.name().clone());
            self.0.insert(id, Gone { service, endpoint, address: backend.address });
        }
    }
}

impl Engine {
    pub(crate) fn snapshot(&self, now: u64) -> Snapshot {
        let mut live = Vec::with_capacity(self.table.counts().backends as usize);
        self.table.each(|frontend| {
            for backend in &frontend.backends {
                let seen = self.worker.seen(frontend, backend.id, now);
                live.push(Live {
                    id: backend.id,
                    active: seen.active,
                    latency_ns: seen.latency_ns,
                    ejected_until_ns: seen.ejected_until_ns,
                });
            }
        });
        live.sort_unstable_by_key(|live| live.id.slot);
        Snapshot { tallies: self.tallies.clone(), live }
    }

    /// Endpoints that left the table and still have connections.
    pub(crate) fn draining(&mut self) -> Vec<DrainReport> {
        let drains: BTreeMap<BackendId, u32> = self.worker.drains().iter().collect();
        self.leavers.0.retain(|id, _| drains.contains_key(id));
        let report = |(id, gone): (&BackendId, &Gone)| DrainReport {
            service: gone.service.clone(),
            endpoint: gone.endpoint.clone(),
            address: gone.address,
            connections: drains.get(id).copied().unwrap_or(0).into(),
        };
        self.leavers.0.iter().map(report).collect()
    }

    /// Flows that are booked.
    pub(crate) fn list(&self, query: &FlowQuery, now: u64) -> Vec<FlowReport> {
        let mut all = Vec::new();
        for (protocol, flows) in [(Protocol::Tcp, &self.tcp), (Protocol::Udp, &self.udp)] {
            flows.each(|key, flow| {
                if all.len() < query.most {
                    all.extend(self.of_flow(protocol, key, flow, query, now));
                }
            });
        }
        all
    }

    fn of_flow(
        &self,
        protocol: Protocol,
        key: &FlowKey,
        flow: &Flow<Held>,
        query: &FlowQuery,
        now: u64,
    ) -> Option<FlowReport> {
        let (service, endpoint) = self.names(protocol, key, flow.backend);
        let asked = |wanted: &Option<Name>, name: &Name| wanted.as_ref().is_none_or(|w| w == name);
        (asked(&query.service, &service) && asked(&query.endpoint, &endpoint)).then(|| FlowReport {
            protocol,
            source: key.source(),
            destination: key.destination(),
            service,
            endpoint,
            address: flow.value.address,
            age_ns: now.saturating_sub(flow.value.since),
        })
    }

    fn names(&self, protocol: Protocol, key: &FlowKey, id: BackendId) -> (Name, Name) {
        let none = || Name::from("");
        let found = self.table.lookup(protocol, key.destination());
        let service = found.map(|found| found.frontend.service.clone());
        let position = found.and_then(|found| found.frontend.position(id, 0));
        if let (Some(found), Some(position)) = (found, position) {
            let endpoint = found.frontend.backends[position as usize].name().clone();
            return (service.unwrap_or_else(none), endpoint);
        }
        match self.leavers.0.get(&id) {
            Some(gone) => (gone.service.clone(), gone.endpoint.clone()),
            None => (service.unwrap_or_else(none), none()),
        }
    }

    /// Bytes of a flow that the kernel forgets, if it counts them.
    pub(super) fn count_bytes(&mut self, entry: &Entry) {
        /// Endpoints that are compared; of a larger service only the port's bytes are told.
        const COMPARED: usize = 256;
        let Some(bytes) = entry.bytes else { return };
        let add = |sum: &mut (u64, u64)| {
            sum.0 = sum.0.saturating_add(bytes.0);
            sum.1 = sum.1.saturating_add(bytes.1);
        };
        let found = self.table.lookup(entry.original.protocol, entry.original.destination);
        let Some(frontend) = found.map(|found| Arc::clone(found.frontend)) else { return };
        add(&mut self.tallies.port(frontend.id).bytes);
        if frontend.backends.len() <= COMPARED
            && let Some(backend) =
                frontend.backends.iter().find(|backend| backend.address == entry.reply.source)
        {
            add(&mut self.tallies.endpoint(backend.id).bytes);
        }
    }
}
