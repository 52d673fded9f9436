// SPDX-License-Identifier: Apache-2.0
//! UDP flows that go to another process, and those that come from one.

use super::Worker;
use super::slab::Id;
use crate::control::{Handed, HandedFlow};
use berth_balancer_core::FlowKey;
use berth_balancer_core::model::{Limits, Protocol};
use std::os::fd::OwnedFd;

impl Worker {
    /// Gives all flows away.
    pub(super) fn export_flows(&mut self) -> Vec<(Handed, OwnedFd)> {
        let ids: Vec<Id> = self.udp.links.iter().map(|(id, _)| id).collect();
        let mut flows = Vec::new();
        for id in ids {
            let Some(link) = self.udp.links.get(id) else { continue };
            let key = link.key;
            let Some((_, flow)) = self.udp.table.take(&key) else { continue };
            let Some(mut link) = self.udp.links.remove(id) else { continue };
            let Some(ticket) = link.ticket.take() else { continue };
            let (service, endpoint) = self.names(&ticket);
            let handed = HandedFlow {
                source: key.source(),
                service,
                endpoint,
                address: ticket.address,
                replied: flow.is_replied(),
            };
            let place = key.destination();
            let handed =
                Handed { worker: self.number, protocol: Protocol::Udp, place, flow: Some(handed) };
            self.give_back(ticket, false);
            if let Some(guest) = link.guest.take() {
                self.shared.sources(key.source().ip()).leave(guest);
            }
            // The socket lives on in the successor, and so would the registration here.
            let _ = rustix::event::epoll::delete(&self.epoll, &link.socket);
            flows.push((handed, link.socket));
        }
        self.counters.own.flows.set(u64::from(self.udp.links.len()));
        flows
    }

    /// Takes flows over that another process had.
    pub(super) fn import_flows(&mut self, flows: Vec<(Handed, OwnedFd)>) {
        for (handed, socket) in flows {
            let place = handed.place;
            let Some(flow) = handed.flow else { continue };
            let Some(service) = self.place(&(Protocol::Udp, place)) else { continue };
            let Some(found) = self.table.lookup(Protocol::Udp, place) else { continue };
            let frontend = found.frontend.clone();
            let named = frontend.backends.iter().zip(0..).find(|(backend, _)| {
                *backend.name() == flow.endpoint && backend.address == flow.address
            });
            let Some((_, position)) = named else { continue };
            let ticket = self.core.resume(&frontend, position, self.now);
            let counted = frontend.settings.limits.connections_per_source_max.is_some();
            let limits = Limits {
                connections_per_source_max: counted.then_some(u32::MAX),
                ..Limits::default()
            };
            let source = flow.source.ip();
            let guest = self
                .shared
                .sources(source)
                .enter(frontend.id, &limits, source, self.now)
                .ok()
                .flatten();
            let key = FlowKey::new(flow.source, place);
            let timeouts = frontend.settings.timeouts;
            if self.link(service, key, (ticket, socket, guest), &timeouts).is_some() && flow.replied
            {
                self.udp.table.reply(&key, self.now);
            }
        }
    }
}
