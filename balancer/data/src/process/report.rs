// SPDX-License-Identifier: Apache-2.0
//! What the process tells of itself.

use super::state::{Process, State};
use crate::control::{FlowFilter, Reply, Request};
use crate::limits::FLOWS_LISTED_MAX;
use crate::stats::{
    Draining, EndpointStats, FlowInfo, Histogram, PortStats, Predecessor, REFUSALS, Stats,
    WorkerStats,
};
use crate::sys;
use crate::worker::Command;
use berth_balancer_core::model::Config;
use berth_balancer_core::table::{Backend, Frontend};
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
        let addresses = state.places.report();
        drop(state);
        let mut ports = Vec::new();
        table.each(|frontend| ports.push(self.port(frontend)));
        Stats {
            revision: table.version(),
            pid: std::process::id(),
            uptime_ns: sys::now().saturating_sub(self.started_ns),
            is_retired: self.is_retired(),
            workers: self.workers.iter().map(|hand| worker(&hand.counters.own)).collect(),
            ports,
            predecessors,
            addresses,
        }
    }

    fn port(&self, frontend: &Frontend) -> PortStats {
        let mut port = PortStats {
            service: frontend.service.clone(),
            port: frontend.port.clone(),
            protocol: frontend.protocol,
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
        all.iter().flatten().take(most).collect()
    }

    /// Endpoints that left the table and still have connections.
    pub(crate) fn drains(&self) -> Vec<Draining> {
        let (reply, all) = mpsc::channel();
        for hand in &self.workers {
            hand.mailbox.send(Command::Drains { reply: reply.clone() });
        }
        drop(reply);
        let mut drains: Vec<Draining> = Vec::new();
        for draining in all.iter().flatten() {
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
        paused: own.paused.get(),
        crowded: own.crowded.get(),
        evicted: own.evicted.get(),
        dropped: own.dropped.get(),
        malformed: own.malformed.get(),
        timed_out: own.timed_out.get(),
        spliced_bytes: own.spliced_bytes.get(),
        loops: own.loops.get(),
    }
}
