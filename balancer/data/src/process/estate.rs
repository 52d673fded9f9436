// SPDX-License-Identifier: Apache-2.0
//! What a successor takes over beside sockets: verdicts of active checks, ejections, affinity, and how many connections each source
//! has. Connections stay with the old process, and it is asked how many now and then, so that a limit counts them too.

use super::state::{Process, State};
use crate::control::{
    ClientEstate, Estate, PortEstate, RecordEstate, Reply, Request, SourceEstate,
};
use crate::sys;
use crate::worker::Found;
use berth_balancer_core::model::Name;
use berth_balancer_core::table::{Backend, Frontend, FrontendId};
use berth_balancer_core::{Change, Known, Prefer, Record, Table};
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

/// Connections that processes which were replaced have, by service and source.
pub(super) type Elsewhere = BTreeMap<(FrontendId, IpAddr), u32>;

/// Time between two questions after connections of sources.
const ASK_NS: u64 = 200_000_000;

/// An estate that is being drawn up.
struct Ports<'a> {
    table: &'a Table,
    all: BTreeMap<FrontendId, PortEstate>,
}

impl<'a> Ports<'a> {
    fn new(table: &'a Table) -> Self {
        Self { table, all: BTreeMap::new() }
    }

    fn of(&mut self, id: FrontendId) -> Option<(&mut PortEstate, &'a Arc<Frontend>)> {
        let frontend = self.table.frontend(id)?;
        let new = || PortEstate::new(frontend.service.clone(), frontend.port.clone());
        Some((self.all.entry(id).or_insert_with(new), frontend))
    }

    fn add_source(&mut self, frontend: FrontendId, source: IpAddr, known: Known) {
        if let Some((port, _)) = self.of(frontend) {
            let Known { connections, bucket } = known;
            port.sources.push(SourceEstate { source, connections, bucket });
        }
    }

    fn done(self) -> Vec<PortEstate> {
        self.all.into_values().filter(|port| !port.is_empty()).collect()
    }
}

/// Frontends by the names of their service and port.
fn by_name(table: &Table) -> BTreeMap<(Name, Name), Arc<Frontend>> {
    let mut all = BTreeMap::new();
    table.each(|frontend| {
        all.insert((frontend.service.clone(), frontend.port.clone()), frontend.clone());
    });
    all
}

impl Process {
    /// What there is to leave. `found` is what workers saw, each under its number.
    pub(super) fn estate(&self, state: &State, found: Vec<(u32, Vec<Found>)>) -> Vec<PortEstate> {
        let now = sys::now();
        let mut ports = Ports::new(&state.table);
        state.table.each(|frontend| {
            let unhealthy = |backend: &&Backend| !backend.is_healthy();
            for backend in frontend.backends.iter().filter(unhealthy) {
                if let Some((port, _)) = ports.of(frontend.id) {
                    port.unhealthy.push(backend.name().clone());
                }
            }
        });
        for (worker, found) in found {
            for Found { frontend, backend, record } in found {
                let Some((port, frontend)) = ports.of(frontend) else { continue };
                let Some(at) = frontend.position(backend, 0) else { continue };
                let backend = &frontend.backends[at as usize];
                port.records.push(RecordEstate {
                    worker,
                    endpoint: backend.name().clone(),
                    address: backend.address,
                    until_ns: record.until_ns,
                    ejections: record.ejections,
                    failures: record.failures,
                });
            }
        }
        self.shared.each_affinity(|frontend, source, prefer, expires_ns| {
            if expires_ns <= now {
                return;
            }
            let Some((port, frontend)) = ports.of(frontend) else { return };
            if let Some(endpoint) = frontend.position(prefer.backend, prefer.position) {
                port.clients.push(ClientEstate { source, endpoint, expires_ns });
            }
        });
        self.shared.each_source(now, |frontend, source, known| {
            ports.add_source(frontend, source, known);
        });
        ports.done()
    }

    /// The connections of sources that are counted here, and in processes before this one.
    pub(crate) fn sources(&self) -> Estate {
        let table = self.state().table.clone();
        let mut ports = Ports::new(&table);
        self.shared.each_connected(|frontend, source, known| {
            ports.add_source(frontend, source, known);
        });
        Estate { config: None, ports: ports.done() }
    }

    /// Takes an estate: `state` has the table to which it belongs. Gives what each worker is to know.
    pub(super) fn inherit(&self, state: &mut State, ports: Vec<PortEstate>) -> Vec<Vec<Found>> {
        let now = sys::now();
        let mut found: Vec<Vec<Found>> = self.workers.iter().map(|_| Vec::new()).collect();
        for port in &ports {
            for endpoint in &port.unhealthy {
                let (service, endpoint) = (port.service.clone(), endpoint.clone());
                let healthy = false;
                let change = Change::Health { service, endpoint, port: port.port.clone(), healthy };
                // Of an endpoint that is gone nothing need be known.
                let _ = state.compiler.apply(change, now);
            }
        }
        let table = state.compiler.table().clone();
        let frontends = by_name(&table);
        let mut elsewhere = Elsewhere::new();
        for port in ports {
            let Some(frontend) = frontends.get(&(port.service, port.port)) else { continue };
            for record in port.records {
                let same = |backend: &&Backend| {
                    *backend.name() == record.endpoint && backend.address == record.address
                };
                let backend = frontend.backends.iter().find(same);
                let worker = found.get_mut(record.worker as usize);
                let (Some(backend), Some(worker)) = (backend, worker) else { continue };
                let RecordEstate { until_ns, ejections, failures, .. } = record;
                let record = Record { until_ns, ejections, failures };
                worker.push(Found { frontend: frontend.id, backend: backend.id, record });
            }
            let timeout = frontend.settings.affinity;
            for client in port.clients.into_iter().filter(|_| timeout.is_some()) {
                let Some(backend) = frontend.backends.get(client.endpoint as usize) else {
                    continue;
                };
                let prefer = Prefer { backend: backend.id, position: client.endpoint };
                let left = client.expires_ns.saturating_sub(now);
                let mut clients = self.shared.affinity(client.source);
                clients.assign(frontend.id, client.source, prefer, left, now);
            }
            for source in port.sources {
                let mut sources = self.shared.sources(source.source);
                sources.set_bucket(frontend.id, source.source, source.bucket);
                sources.set_elsewhere(frontend.id, source.source, source.connections);
                if source.connections > 0 {
                    elsewhere.insert((frontend.id, source.source), source.connections);
                }
            }
        }
        state.elsewhere = elsewhere;
        found
    }

    /// Asks those that were replaced how many connections each source has, where any is counted.
    pub(super) fn ask_sources(&self, state: &mut State, now: u64) {
        if state.elsewhere.is_empty() || now.saturating_sub(state.asked_ns) < ASK_NS {
            return;
        }
        state.asked_ns = now;
        let frontends = by_name(&state.table);
        let mut elsewhere = Elsewhere::new();
        state.predecessors.retain_mut(|client| {
            let Ok(Reply::Estate(estate)) = client.ask(&Request::Sources) else { return false };
            for port in estate.ports {
                let Some(frontend) = frontends.get(&(port.service, port.port)) else { continue };
                for source in port.sources.iter().filter(|source| source.connections > 0) {
                    *elsewhere.entry((frontend.id, source.source)).or_default() +=
                        source.connections;
                }
            }
            true
        });
        let before = std::mem::replace(&mut state.elsewhere, elsewhere);
        for (frontend, source) in before.into_keys() {
            if !state.elsewhere.contains_key(&(frontend, source)) {
                self.shared.sources(source).set_elsewhere(frontend, source, 0);
            }
        }
        for ((frontend, source), connections) in &state.elsewhere {
            self.shared.sources(*source).set_elsewhere(*frontend, *source, *connections);
        }
    }
}
