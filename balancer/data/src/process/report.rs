// SPDX-License-Identifier: Apache-2.0
//! What the process tells of itself.

use super::fast::Lane;
use super::state::{Process, State};
use crate::control::{FlowFilter, Reply, Request};
use crate::limits::FLOWS_LISTED_MAX;
use crate::stats::{
    Draining, EndpointStats, FAST, FastCount, FlowInfo, Histogram, PortStats, Predecessor,
    REFUSALS, Stats, WorkerStats,
};
use crate::sys;
use crate::worker::Command;
use berth_balancer_core::model::{Config, Name};
use berth_balancer_core::table::{Backend, Frontend};
use berth_balancer_fast::Fast;
use berth_balancer_fast::report::{FlowQuery, FlowReport, PortReport};
use std::collections::BTreeMap;
use std::sync::mpsc;

impl State {
    /// Revision of the table that all workers use.
    pub(crate) fn revision(&self) -> u64 {
        self.table.version()
    }

    /// What is wanted.
    pub(crate) fn config(&self) -> Config {
        self.compiler.config()
    }
}

impl Process {
    /// All counters.
    pub(crate) fn stats(&self) -> Stats {
        let mut state = self.state();
        let predecessors = predecessors(&mut state);
        let table = state.table.clone();
        let forwarded = state.fast.running().map(Fast::ports).unwrap_or_default();
        let mut addresses = state.places.report();
        addresses.warnings.extend(state.open.warning());
        let mut ports = Vec::new();
        table.each(|frontend| ports.push(self.port(frontend, &state.fast)));
        add(&mut ports, forwarded);
        let counts = state.fast.running().map(|fast| fast.stats().named()).unwrap_or_default();
        drop(state);
        let fast = counts.into_iter().map(|(name, value)| FastCount { name: name.into(), value });
        Stats {
            revision: table.version(),
            pid: std::process::id(),
            uptime_ns: sys::now().saturating_sub(self.started_ns),
            is_retired: self.is_retired(),
            workers: self.workers.iter().map(|hand| worker(&hand.counters.own)).collect(),
            ports,
            fast: fast.collect(),
            predecessors,
            addresses,
        }
    }

    fn port(&self, frontend: &Frontend, lane: &Lane) -> PortStats {
        let mut port = PortStats {
            service: frontend.service.clone(),
            port: frontend.port.clone(),
            protocol: frontend.protocol,
            is_fast: lane.has(frontend),
            active: 0,
            accepted: 0,
            refused: vec![0; REFUSALS.len()],
            retries: 0,
            bytes_in: 0,
            bytes_out: 0,
            connect: Histogram::default(),
            first_byte: Histogram::default(),
            endpoints: Vec::new(),
        };
        for hand in &self.workers {
            let Some(counts) = hand.counters.known_frontend(frontend.id) else { continue };
            port.active += counts.active.get();
            port.accepted += counts.accepted.get();
            for (sum, count) in port.refused.iter_mut().zip(&counts.refused) {
                *sum += count.get();
            }
            port.retries += counts.retries.get();
            port.bytes_in += counts.bytes_in.get();
            port.bytes_out += counts.bytes_out.get();
            counts.connect.add_to(&mut port.connect);
            counts.first_byte.add_to(&mut port.first_byte);
        }
        port.endpoints = frontend.backends.iter().map(|backend| self.endpoint(backend)).collect();
        port
    }

    fn endpoint(&self, backend: &Backend) -> EndpointStats {
        let mut endpoint = EndpointStats {
            name: backend.name().clone(),
            address: backend.address,
            active: 0,
            opened: 0,
            failed: 0,
            ejected: 0,
            bytes_in: 0,
            bytes_out: 0,
            latency_ns: 0,
            is_healthy: backend.is_healthy(),
        };
        for hand in &self.workers {
            let Some(counts) = hand.counters.known_backend(backend.id) else { continue };
            endpoint.active += counts.active.get();
            endpoint.opened += counts.opened.get();
            endpoint.failed += counts.failed.get();
            endpoint.ejected += counts.ejected.get();
            endpoint.bytes_in += counts.bytes_in.get();
            endpoint.bytes_out += counts.bytes_out.get();
            endpoint.latency_ns = endpoint.latency_ns.max(counts.latency_ns.get());
        }
        endpoint
    }

    /// Connections and flows.
    pub(crate) fn flows(&self, filter: &FlowFilter) -> Vec<FlowInfo> {
        let (reply, all) = mpsc::channel();
        for hand in &self.workers {
            hand.mailbox.send(Command::Flows { filter: filter.clone(), reply: reply.clone() });
        }
        drop(reply);
        let most = match filter.most {
            0 => FLOWS_LISTED_MAX,
            most => FLOWS_LISTED_MAX.min(most as usize),
        };
        let mut flows: Vec<FlowInfo> = all.iter().flatten().take(most).collect();
        let query = FlowQuery {
            service: filter.service.clone(),
            endpoint: filter.endpoint.clone(),
            most: most - flows.len(),
        };
        if query.most > 0
            && let Some(fast) = self.state().fast.running()
        {
            flows.extend(fast.flows(&query).into_iter().map(forwarded));
        }
        flows
    }

    /// Endpoints that left the table and still have connections.
    pub(crate) fn drains(&self) -> Vec<Draining> {
        let (reply, all) = mpsc::channel();
        for hand in &self.workers {
            hand.mailbox.send(Command::Drains { reply: reply.clone() });
        }
        drop(reply);
        let forwarded = self.state().fast.running().map(Fast::draining).unwrap_or_default();
        let forwarded = forwarded.into_iter().map(|drain| Draining {
            service: drain.service,
            endpoint: drain.endpoint,
            address: drain.address,
            connections: drain.connections,
        });
        let mut drains: Vec<Draining> = Vec::new();
        for draining in all.iter().flatten().chain(forwarded) {
            let same = |other: &Draining| {
                (&other.service, &other.endpoint, other.address)
                    == (&draining.service, &draining.endpoint, draining.address)
            };
            match drains.iter_mut().find(|other| same(other)) {
                Some(other) => other.connections += draining.connections,
                None => drains.push(draining),
            }
        }
        drains
    }
}

impl Process {
    /// Whether no process that this one replaced is left.
    pub(super) fn is_last(&self) -> bool {
        predecessors(&mut self.state()).is_empty()
    }
}

/// Adds what the fast path counted. A port that it has may have connections of a listener too.
fn add(ports: &mut [PortStats], forwarded: Vec<PortReport>) {
    let mut forwarded: BTreeMap<(Name, Name), PortReport> = forwarded
        .into_iter()
        .map(|port| ((port.service.clone(), port.port.clone()), port))
        .collect();
    for port in ports.iter_mut().filter(|port| port.is_fast) {
        let Some(more) = forwarded.remove(&(port.service.clone(), port.port.clone())) else {
            continue;
        };
        port.active += more.active;
        port.accepted += more.accepted;
        for (sum, count) in port.refused.iter_mut().zip(more.refused) {
            *sum += count;
        }
        port.bytes_in += more.bytes_in;
        port.bytes_out += more.bytes_out;
        port.connect.add(&more.connect.buckets, more.connect.sum_ns);
        for (endpoint, more) in port.endpoints.iter_mut().zip(more.endpoints) {
            endpoint.active += more.active;
            endpoint.opened += more.opened;
            endpoint.failed += more.failed;
            endpoint.ejected += more.ejected;
            endpoint.bytes_in += more.bytes_in;
            endpoint.bytes_out += more.bytes_out;
            endpoint.latency_ns = endpoint.latency_ns.max(more.latency_ns);
        }
    }
}

/// A flow of the fast path, as others are told.
fn forwarded(flow: FlowReport) -> FlowInfo {
    FlowInfo {
        worker: FAST,
        protocol: flow.protocol,
        source: flow.source,
        destination: flow.destination,
        service: flow.service,
        endpoint: flow.endpoint,
        address: flow.address,
        age_ns: flow.age_ns,
    }
}

/// Asks processes that were replaced how they fare. One that does not answer has ended.
fn predecessors(state: &mut State) -> Vec<Predecessor> {
    let mut told = Vec::new();
    state.predecessors.retain_mut(|client| {
        let pid = client.greeting().pid;
        let Ok(Reply::Stats(stats)) = client.ask(&Request::Stats) else { return false };
        let connections =
            stats.workers.iter().map(|worker| worker.connections + worker.flows).sum();
        told.push(Predecessor { pid, connections });
        told.extend(stats.predecessors);
        true
    });
    told
}

fn worker(own: &crate::counters::Own) -> WorkerStats {
    WorkerStats {
        connections: own.connections.get(),
        flows: own.flows.get(),
        accepted: own.accepted.get(),
        shortcut: own.shortcut.get(),
        paused: own.paused.get(),
        crowded: own.crowded.get(),
        evicted: own.evicted.get(),
        dropped: own.dropped.get(),
        malformed: own.malformed.get(),
        timed_out: own.timed_out.get(),
        spliced_bytes: own.spliced_bytes.get(),
        talks: own.talks.get(),
        loops: own.loops.get(),
    }
}
