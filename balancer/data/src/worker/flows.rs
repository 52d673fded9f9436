// SPDX-License-Identifier: Apache-2.0
//! Telling of connections and flows.

use super::Worker;
use crate::control::FlowFilter;
use crate::limits::FLOWS_LISTED_MAX;
use crate::stats::{Draining, FlowInfo};
use berth_balancer_core::model::{Name, Protocol};
use berth_balancer_core::table::{BackendId, Diff};
use berth_balancer_core::{Table, Ticket};
use std::net::SocketAddr;

/// Who an endpoint was that left the table.
#[derive(Debug)]
pub(super) struct Leaving {
    service: Name,
    endpoint: Name,
    address: SocketAddr,
}

impl Worker {
    /// Remembers endpoints that leave the table with connections, and forgets those whose last one ended.
    pub(super) fn note_leaving(&mut self, old: &Table, diff: &Diff) {
        let drains: Vec<BackendId> = self.core.drains().iter().map(|(id, _)| id).collect();
        self.leaving.retain(|id, _| drains.binary_search(id).is_ok());
        for (frontend, id) in &diff.backends_removed {
            if drains.binary_search(id).is_err() {
                continue;
            }
            let Some(frontend) = old.frontend(*frontend) else { continue };
            let Some(at) = frontend.position(*id, 0) else { continue };
            let backend = &frontend.backends[at as usize];
            let (service, endpoint) = (frontend.service.clone(), backend.name().clone());
            self.leaving.insert(*id, Leaving { service, endpoint, address: backend.address });
        }
    }

    /// Endpoints that left the table and still have connections.
    pub(super) fn list_drains(&self) -> Vec<Draining> {
        let all = self.core.drains().iter();
        all.filter_map(|(id, connections)| {
            let leaving = self.leaving.get(&id)?;
            Some(Draining {
                service: leaving.service.clone(),
                endpoint: leaving.endpoint.clone(),
                address: leaving.address,
                connections: connections.into(),
            })
        })
        .collect()
    }

    /// Connections and flows that a filter asks for.
    pub(super) fn list_flows(&mut self, filter: &FlowFilter) -> Vec<FlowInfo> {
        let most = match filter.most {
            0 => FLOWS_LISTED_MAX,
            most => FLOWS_LISTED_MAX.min(most as usize),
        };
        let mut listed = Vec::new();
        for (_, conn) in self.conns.iter() {
            if listed.len() >= most {
                return listed;
            }
            let Some(ticket) = &conn.ticket else { continue };
            let (service, endpoint) = self.names(ticket);
            let info = FlowInfo {
                worker: self.number,
                protocol: Protocol::Tcp,
                source: conn.source,
                destination: conn.destination,
                service,
                endpoint,
                address: ticket.address,
                age_ns: self.now.saturating_sub(conn.opened_ns),
            };
            if fits(filter, &info) {
                listed.push(info);
            }
        }
        let flows = self.udp.flows().filter_map(|flow| {
            let (service, endpoint) = self.names(flow.ticket);
            let info = FlowInfo {
                worker: self.number,
                protocol: Protocol::Udp,
                source: flow.source,
                destination: flow.destination,
                service,
                endpoint,
                address: flow.ticket.address,
                age_ns: 0,
            };
            fits(filter, &info).then_some(info)
        });
        let room = most - listed.len();
        listed.extend(flows.take(room));
        listed
    }

    /// Names of a flow's service and endpoint; empty where they are gone.
    pub(super) fn names(&self, ticket: &Ticket) -> (Name, Name) {
        let Some(frontend) = self.table.frontend(ticket.frontend) else {
            return ("".into(), "".into());
        };
        let backend: BackendId = ticket.backend;
        let endpoint = frontend.position(backend, 0).map(|at| {
            let backend = &frontend.backends[at as usize];
            backend.name().clone()
        });
        (frontend.service.clone(), endpoint.unwrap_or_else(|| "".into()))
    }
}

fn fits(filter: &FlowFilter, info: &FlowInfo) -> bool {
    filter.service.as_ref().is_none_or(|service| *service == info.service)
        && filter.endpoint.as_ref().is_none_or(|endpoint| *endpoint == info.endpoint)
}
