// SPDX-License-Identifier: Apache-2.0
//! What the kernel's table says of flows: its events.

use super::Engine;
use super::decide::UNHEARD_NS;
use crate::conntrack::{Entry, Tuple, tcp};
use crate::rules::FLOW_OURS;
use berth_balancer_core::FlowKey;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::BackendId;
use std::net::SocketAddr;

pub(super) fn key(tuple: &Tuple) -> FlowKey {
    FlowKey::new(tuple.source, tuple.destination)
}

/// Lookups of unheard flows in one go: each is a system call.
const LOOKUPS: usize = 64;

impl Engine {
    /// Takes an entry's event at `now` (nanoseconds).
    pub(crate) fn on_entry(&mut self, entry: &Entry, now: u64) {
        if entry.mark & FLOW_OURS == 0 {
            return;
        }
        if entry.gone {
            self.count_bytes(entry);
        }
        if entry.gone && entry.has_both_fins() {
            // Its end was told with the second one, and by now another flow may have its port.
            return;
        }
        let (protocol, key) = (entry.original.protocol, key(&entry.original));
        if entry.gone || entry.is_closed() {
            self.on_end(entry, &key, now);
            return;
        }
        if !entry.replied {
            return;
        }
        let Some(flow) = self.flow_table(protocol).reply(&key, now) else { return };
        if flow.value.connected {
            return;
        }
        flow.value.connected = true;
        let waited = now.saturating_sub(flow.value.since);
        // A ticket cannot be in the books of the table and in those of the worker at once: it is put back at once.
        let Some(mut ticket) = flow.value.ticket.take() else { return };
        self.worker.on_connected(&mut ticket, now);
        if protocol == Protocol::Tcp {
            self.tallies.port(ticket.frontend).connect(waited);
        }
        if let Some(flow) = self.flow_table(protocol).reply(&key, now) {
            flow.value.ticket = Some(ticket);
        }
    }

    fn on_end(&mut self, entry: &Entry, key: &FlowKey, now: u64) {
        let protocol = entry.original.protocol;
        let Some((_, flow)) = self.flow_table(protocol).take(key) else { return };
        let open = protocol == Protocol::Tcp && flow.value.connected && !entry.is_closed();
        if open {
            // The entry went in the middle of the connection: somebody emptied the table.
            self.remember(*key, &flow, now);
        }
        // A datagram that nobody answers is no failure.
        let fair = protocol == Protocol::Udp;
        self.close(flow.value, fair, now);
    }

    /// Looks up flows of which nothing was heard: their packet may have been dropped behind the verdict, or the endpoint is
    /// silent. The next first packet chooses anew.
    pub(crate) fn look_up_unheard(&mut self, now: u64) {
        let mut lookups = 0;
        while lookups < LOOKUPS {
            let Some((due, protocol, key)) = self.unheard.front().copied() else { return };
            if due > now {
                return;
            }
            self.unheard.pop_front();
            let Some(flow) = self.flow_table(protocol).packet(&key, now) else { continue };
            // A younger flow from the same port has an entry of its own.
            if flow.value.connected || flow.value.since + UNHEARD_NS > due {
                continue;
            }
            lookups += 1;
            let original = Tuple { protocol, source: key.source(), destination: key.destination() };
            match self.outside.conntrack.get(&original) {
                Ok(entry) => self.on_silence(&entry, now),
                // Whatever dropped the packet, it was not the endpoint.
                Err(_) => self.forget(protocol, &key, now),
            }
        }
    }

    /// An entry is there, and its endpoint has said nothing that was heard.
    fn on_silence(&mut self, entry: &Entry, now: u64) {
        let (protocol, key) = (entry.original.protocol, key(&entry.original));
        if entry.replied || entry.is_closed() {
            self.on_entry(entry, now); // its event was lost
            return;
        }
        if protocol == Protocol::Tcp && entry.tcp_state == Some(tcp::SYN_SENT) {
            drop(self.outside.conntrack.delete(&[entry.original]));
            if let Some((_, flow)) = self.tcp.take(&key) {
                self.close(flow.value, false, now);
            }
        }
    }

    fn forget(&mut self, protocol: Protocol, key: &FlowKey, now: u64) {
        if let Some((_, flow)) = self.flow_table(protocol).take(key) {
            self.close(flow.value, true, now);
        }
    }

    /// The backend of a slot as the kernel's map has it.
    pub(crate) fn set_slot(&mut self, backend: BackendId, address: SocketAddr) {
        let at = backend.slot as usize;
        if self.slots.len() <= at {
            self.slots.resize(at + 1, None);
        }
        self.slots[at] = Some((backend, address));
    }
}
