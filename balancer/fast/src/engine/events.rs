// SPDX-License-Identifier: Apache-2.0
//! What the kernel's table says of flows: by events, and after some were lost by a reading of the whole.

use super::decide::UNHEARD_NS;
use super::{Engine, Held};
use crate::conntrack::{Entry, Tuple, tcp};
use crate::rules::{FLOW_MASQUERADE, FLOW_OURS};
use berth_balancer_core::FlowKey;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::BackendId;
use std::io;
use std::net::SocketAddr;

fn key(tuple: &Tuple) -> FlowKey {
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
        if entry.gone && entry.tcp_state == Some(tcp::TIME_WAIT) {
            // Its end was told when it came into that state, and by now another flow may have its port.
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
        // A ticket cannot be in the books of the table and in those of the worker at once: it is put back at once.
        let Some(mut ticket) = flow.value.ticket.take() else { return };
        self.worker.on_connected(&mut ticket, now);
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

    /// Reads the kernel's whole table, so that the books are what it says.
    ///
    /// # Errors
    /// What the kernel said; the books are as before.
    pub(crate) fn resync(&mut self, now: u64) -> io::Result<()> {
        let mut entries = Vec::new();
        self.outside.conntrack.dump(|entry| entries.push(entry))?;
        self.counters.resyncs.add(1);
        self.epoch = self.epoch.wrapping_add(1);
        for entry in entries.iter().filter(|entry| !entry.is_closed()) {
            self.on_entry(entry, now);
            let epoch = self.epoch;
            let key = key(&entry.original);
            match self.flow_table(entry.original.protocol).packet(&key, now) {
                Some(flow) => flow.value.epoch = epoch,
                None => self.find_again(entry, &key, now),
            }
        }
        for protocol in [Protocol::Tcp, Protocol::Udp] {
            let (epoch, mut stale) = (self.epoch, Vec::new());
            self.flow_table(protocol).each(|key, flow| {
                // What was booked a moment ago may not be in the kernel's table yet.
                let young = now.saturating_sub(flow.value.since) < 1_000_000_000;
                if flow.value.epoch != epoch && (!young || flow.value.connected) {
                    stale.push(*key);
                }
            });
            for key in stale {
                if let Some((_, flow)) = self.flow_table(protocol).take(&key) {
                    self.close(flow.value, true, now);
                }
            }
        }
        Ok(())
    }

    /// A flow that the kernel has and the books have not: from before a restart, or its event was lost.
    fn find_again(&mut self, entry: &Entry, key: &FlowKey, now: u64) {
        let Tuple { protocol, source, destination } = entry.original;
        let endpoint = entry.reply.source;
        let table = self.table.clone();
        let found = table.lookup(protocol, destination);
        let position = found.and_then(|found| {
            found.frontend.backends.iter().position(|backend| backend.address == endpoint)
        });
        if let (Some(found), Some(position)) = (found, position) {
            let position = u32::try_from(position).unwrap_or(u32::MAX);
            let limits = &found.frontend.settings.limits;
            let guest = self.sources.enter(found.frontend.id, limits, source.ip(), now);
            let ticket = self.worker.resume(found.frontend, position, now);
            let held = Held {
                guest: guest.ok().flatten(),
                address: endpoint,
                masquerade: entry.mark & FLOW_MASQUERADE != 0,
                connected: entry.replied,
                since: now,
                epoch: self.epoch,
                ticket: None,
            };
            let backend = ticket.backend;
            self.book(protocol, *key, backend, Held { ticket: Some(ticket), ..held });
            return;
        }
        if !self.is_place(destination, found.is_some()) {
            return; // another instance's
        }
        match protocol {
            Protocol::Udp => {
                self.counters.ended.add(1);
                drop(self.outside.conntrack.delete(&[entry.original]));
            }
            Protocol::Tcp => {
                let drain = found.map_or(0, |found| found.frontend.settings.drain_ns);
                self.orphans.entry(now.saturating_add(drain)).or_default().push(entry.original);
            }
        }
    }

    fn is_place(&self, destination: SocketAddr, found: bool) -> bool {
        let address = destination.ip();
        found || self.addresses.contains(&address) || self.former.binary_search(&address).is_ok()
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

    /// Events were lost.
    pub(crate) fn on_overflow(&self) {
        self.counters.overflows.add(1);
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
