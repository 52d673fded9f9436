// SPDX-License-Identifier: Apache-2.0
//! New tables, and the flows of endpoints that are gone: those of UDP end at once, those of TCP when their drain is over.

use super::Engine;
use crate::conntrack::Tuple;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::BackendId;
use berth_balancer_core::{FlowKey, Table};
use std::net::{IpAddr, SocketAddr};

/// What the kernel has of a new table.
#[derive(Debug, Default)]
pub(crate) struct Prepared {
    pub(crate) addresses_added: Vec<IpAddr>,
    pub(crate) addresses_removed: Vec<IpAddr>,
    pub(crate) backends: Vec<(BackendId, SocketAddr)>,
    /// Addresses that an earlier run had taken, in order: their flows are ours.
    pub(crate) former: Vec<IpAddr>,
}

impl Engine {
    /// Takes a new table, whose backends the kernel has already.
    pub(crate) fn adopt(&mut self, table: Table, prepared: Prepared, now: u64) {
        for (backend, address) in prepared.backends {
            self.set_slot(backend, address);
        }
        self.former = prepared.former;
        self.addresses.extend(prepared.addresses_added);
        for address in prepared.addresses_removed {
            self.addresses.remove(&address);
        }
        let old = std::mem::replace(&mut self.table, table);
        let diff = self.worker.adopt(&old, &self.table, now);
        drop(self.draining()); // forgets those that are through
        for (frontend, backend) in &diff.backends_removed {
            if let Some(frontend) = old.frontend(*frontend)
                && self.worker.drains().has(*backend)
            {
                self.leavers.add(frontend, *backend);
            }
        }
        if !diff.backends_removed.is_empty() {
            self.on_backends_removed(now);
        }
        for (frontend, backend) in &diff.backends_removed {
            let protocol = old.frontend(*frontend).map(|frontend| frontend.protocol);
            if protocol == Some(Protocol::Udp) {
                self.end_udp(*backend, now);
            }
        }
    }

    fn end_udp(&mut self, backend: BackendId, now: u64) {
        let (mut gone, mut tuples) = (Vec::new(), Vec::new());
        self.udp.remove_backend(backend, |key, flow| {
            tuples.push(tuple(Protocol::Udp, &key));
            gone.push(flow.value);
        });
        self.counters.ended.add(tuples.len() as u64);
        for held in gone {
            self.close(held, true, now);
        }
        drop(self.outside.conntrack.delete(&tuples));
    }

    /// Ends TCP flows whose drain is over.
    pub(crate) fn end_overdue(&mut self, now: u64) {
        while let Some(backend) = self.worker.drain_expired(now) {
            let (mut gone, mut tuples) = (Vec::new(), Vec::new());
            self.tcp.remove_backend(backend, |key, flow| {
                tuples.push(tuple(Protocol::Tcp, &key));
                gone.push(flow.value);
            });
            for held in gone {
                self.close(held, true, now);
            }
            self.end_tcp(&tuples);
        }
        while let Some(first) = self.orphans.first_entry().filter(|first| *first.key() <= now) {
            let tuples = first.remove();
            for tuple in &tuples {
                self.orphaned.remove(&FlowKey::new(tuple.source, tuple.destination));
            }
            self.end_tcp(&tuples);
        }
    }

    /// Ends connections with RST to both sides: from here on the rules answer each packet so, and a probe to each side makes it
    /// send one.
    fn end_tcp(&mut self, tuples: &[Tuple]) {
        for original in tuples {
            let conntrack = &mut self.outside.conntrack;
            let Ok(entry) = conntrack.get(original) else { continue };
            if conntrack.end(original).is_ok() {
                self.counters.ended.add(1);
                self.outside.probes.send(&entry);
            }
        }
    }

    /// Work that waits for no packet: call it some times a second.
    pub(crate) fn tick(&mut self, now: u64) {
        if !self.resting {
            self.resync_if_due(now);
            self.end_overdue(now);
            self.look_up_unheard(now);
        }
        self.affinity.sweep(now, 1_024);
        self.lost.sweep(now, 1_024, |_, _| ());
        let (tcp, udp) = self.flows();
        self.counters.tcp_flows.set(tcp as u64);
        self.counters.udp_flows.set(udp as u64);
    }

    /// Forgets what may have changed of routes and interfaces.
    pub(crate) fn refresh_ways(&mut self, buffer: &mut [u8]) {
        self.outside.ways.refresh(buffer);
    }
}

fn tuple(protocol: Protocol, key: &FlowKey) -> Tuple {
    Tuple { protocol, source: key.source(), destination: key.destination() }
}
