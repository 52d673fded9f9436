// SPDX-License-Identifier: Apache-2.0
//! What becomes of a queued packet.

use super::{Engine, Held, Outside};
use crate::address::Version;
use crate::owner::Turn;
use crate::packet::{Kind, Packet, parse};
use crate::queue::{Queued, Verdict};
use crate::rules::Mark;
use crate::topology::{Ends, Source, source};
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::{BackendId, Found, Frontend};
use berth_balancer_core::{FlowKey, Prefer, Refusal, Request};
use std::net::SocketAddr;
use std::sync::Arc;

/// Time after which a flow of which nothing was heard is looked up: the endpoint had its chance, and the first packet was sent
/// again at least once.
pub(super) const UNHEARD_NS: u64 = 3_000_000_000;
/// Flows that are waited for in this way at most: in a flood the oldest are given up, and end by what the kernel says of them.
pub(super) const UNHEARD_MAX: usize = 1 << 16;

/// Hook of packets that this host sends.
const OUTPUT: u8 = 3;

/// Where a flow goes.
#[derive(Debug, Clone, Copy)]
struct Way {
    backend: BackendId,
    address: SocketAddr,
    masquerade: bool,
}

impl Engine {
    /// Decides on a packet at `now` (nanoseconds).
    pub(crate) fn decide(&mut self, queued: &Queued<'_>, now: u64) -> Verdict {
        self.counters.packets.add(1);
        let Some(packet) = parse(queued.payload) else {
            self.counters.malformed.add(1);
            return Verdict::Drop;
        };
        match packet.kind {
            Kind::Reset => Verdict::Drop,
            Kind::Middle => self.resume(&packet, now),
            Kind::First => {
                self.again(&packet, now).unwrap_or_else(|| self.begin(queued, &packet, now))
            }
        }
    }

    /// A first packet that came again before its entry was there, or two at once: they must go the same way.
    fn again(&mut self, packet: &Packet, now: u64) -> Option<Verdict> {
        let key = FlowKey::new(packet.source, packet.destination);
        let flow = self.flow_table(packet.protocol).packet(&key, now)?;
        let young = now.saturating_sub(flow.value.since) < UNHEARD_NS;
        let stays = match packet.protocol {
            Protocol::Tcp => young && !flow.value.connected,
            Protocol::Udp => true,
        };
        let way = Way {
            backend: flow.backend,
            address: flow.value.address,
            masquerade: flow.value.masquerade,
        };
        if stays && self.is_served(packet, way) {
            return Some(forward(way, self.turn));
        }
        // A new connection from the same port: the end of the old one was not heard of.
        if let Some((_, flow)) = self.flow_table(packet.protocol).take(&key) {
            self.close(flow.value, false, now);
        }
        None
    }

    /// Whether the way is one that the table has today.
    fn is_served(&self, packet: &Packet, way: Way) -> bool {
        let found = self.table.lookup(packet.protocol, packet.destination);
        found.is_some_and(|found| {
            found.frontend.backends.iter().any(|backend| backend.id == way.backend)
        })
    }

    /// A packet in the middle of a connection whose entry is not there.
    fn resume(&mut self, packet: &Packet, now: u64) -> Verdict {
        let key = FlowKey::new(packet.source, packet.destination);
        let known = self.tcp.packet(&key, now).map(|flow| Way {
            backend: flow.backend,
            address: flow.value.address,
            masquerade: flow.value.masquerade,
        });
        let lost = || {
            let (_, flow) = self.lost.take(&key)?;
            let (address, masquerade) = (flow.value.address, flow.value.masquerade);
            Some(Way { backend: flow.backend, address, masquerade })
        };
        let Some(way) = known.or_else(lost).filter(|way| self.has_slot(way)) else {
            if !self.is_ours(packet.destination) {
                self.counters.passed.add(1);
                return Verdict::Repeat(Mark::NotOurs.bits(self.turn));
            }
            self.counters.strayed.add(1);
            return Verdict::Repeat(Mark::Refuse.bits(self.turn));
        };
        self.counters.resumed.add(1);
        if known.is_none() {
            let held = Held {
                ticket: self.ticket(packet, way, now),
                guest: None,
                address: way.address,
                masquerade: way.masquerade,
                connected: true,
                since: now,
                epoch: self.epoch,
            };
            self.book(Protocol::Tcp, key, way.backend, held);
        }
        forward(way, self.turn)
    }

    /// Books a connection at the endpoint that it had, if the table has it.
    fn ticket(
        &mut self,
        packet: &Packet,
        way: Way,
        now: u64,
    ) -> Option<berth_balancer_core::Ticket> {
        let found = self.table.lookup(Protocol::Tcp, packet.destination)?;
        let position = found.frontend.position(way.backend, 0)?;
        Some(self.worker.resume(found.frontend, position, now))
    }

    /// Whether the kernel's map has the endpoint: those that drain stay in it until their slot is needed.
    fn has_slot(&self, way: &Way) -> bool {
        self.slots.get(way.backend.slot as usize) == Some(&Some((way.backend, way.address)))
    }

    /// Whether a destination belongs to a service of the fast path.
    fn is_ours(&self, destination: SocketAddr) -> bool {
        self.addresses.contains(&destination.ip())
            || self.table.node_addresses().binary_search(&destination.ip()).is_ok()
    }

    /// A first packet.
    fn begin(&mut self, queued: &Queued<'_>, packet: &Packet, now: u64) -> Verdict {
        let table = self.table.clone();
        let takes = self.takes;
        let found = table.lookup(packet.protocol, packet.destination);
        // A packet from a loopback address does not leave the host: whoever listens there serves it.
        let is_near = packet.destination.ip().is_loopback();
        let Some(found) = found.filter(|found| !is_near && takes(found.frontend)) else {
            return if self.addresses.contains(&packet.destination.ip()) {
                self.counters.refused.add(1);
                Verdict::Repeat(Mark::Refuse.bits(self.turn))
            } else {
                self.counters.passed.add(1);
                Verdict::Repeat(Mark::NotOurs.bits(self.turn))
            };
        };
        let id = found.frontend.id;
        match self.choose(queued, packet, found, now) {
            Ok(way) => {
                self.counters.opened.add(1);
                self.tallies.port(id).accept();
                self.tallies.endpoint(way.backend).open();
                forward(way, self.turn)
            }
            Err(refusal) => {
                self.tallies.port(id).refuse(refusal);
                self.refuse(refusal)
            }
        }
    }

    /// Chooses an endpoint and books the flow.
    fn choose(
        &mut self,
        queued: &Queued<'_>,
        packet: &Packet,
        found: Found<'_>,
        now: u64,
    ) -> Result<Way, Refusal> {
        let frontend: &Arc<Frontend> = found.frontend;
        let (settings, client) = (&frontend.settings, packet.source.ip());
        let from = self.outside.ways.place(client);
        let guest = self.sources.enter(frontend.id, &settings.limits, client, now)?;
        let prefer = settings.affinity.and_then(|_| self.affinity.find(frontend.id, client, now));
        let inside = queued.hook == OUTPUT || from.hop.local || from.inside;
        let request =
            Request { via: found.via, inside, source: packet.source, now, prefer, tried: &[] };
        let ticket = match self.worker.open(frontend, &request) {
            Ok(ticket) => ticket,
            Err(refusal) => {
                if let Some(guest) = guest {
                    self.sources.leave(guest);
                }
                return Err(refusal);
            }
        };
        let (backend, address) = (ticket.backend, ticket.address);
        if let Some(affinity) = settings.affinity {
            let position = frontend.position(backend, 0).unwrap_or(0);
            let prefer = Prefer { backend, position };
            self.affinity.assign(frontend.id, client, prefer, affinity.timeout_ns, now);
        }
        let ends = Ends {
            client: (client, from),
            endpoint: (address.ip(), self.outside.ways.place(address.ip())),
            bridge_calls_netfilter: self.outside.ways.bridge_calls(Version::of(client)),
        };
        let masquerade = source(settings.source, &ends).0 == Source::Masquerade;
        if client == address.ip() && queued.bridge_port != 0 {
            let Outside { ways, notes, .. } = &mut self.outside;
            ways.let_hairpin(queued.bridge_port, notes);
        }
        let way = Way { backend, address, masquerade };
        let key = FlowKey::new(packet.source, packet.destination);
        let held = Held {
            ticket: Some(ticket),
            guest,
            address,
            masquerade,
            connected: false,
            since: now,
            epoch: self.epoch,
        };
        self.book(packet.protocol, key, backend, held);
        self.wait_for_word(now + UNHEARD_NS, packet.protocol, key);
        Ok(way)
    }

    /// Says no: at once where trying again elsewhere is of no use, else by silence, as kube-proxy does.
    fn refuse(&self, refusal: Refusal) -> Verdict {
        match refusal {
            Refusal::NoEndpoint
            | Refusal::AllTried
            | Refusal::EndpointsFull
            | Refusal::ServiceFull => {
                self.counters.refused.add(1);
                Verdict::Repeat(Mark::Refuse.bits(self.turn))
            }
            _ => {
                self.counters.dropped.add(1);
                Verdict::Drop
            }
        }
    }
}

fn forward(way: Way, turn: Turn) -> Verdict {
    let mark = Mark::Forward { slot: way.backend.slot, masquerade: way.masquerade };
    Verdict::Repeat(mark.bits(turn))
}
