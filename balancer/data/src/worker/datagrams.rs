// SPDX-License-Identifier: Apache-2.0
//! UDP. Datagrams of a client's port go to one endpoint, through a socket of the flow's own that is connected to it: so nobody else
//! is heard on it, and the endpoint's refusals are told to it. Replies go out through the service's socket, and so come from the
//! address and port to which the client sent.
//!
//! Datagrams are taken and given in batches: those of one flow that lie behind one another go by one call, and so do replies to all
//! flows of a service.

use super::burst::Burst;
use super::slab::{Id, Slab};
use super::{Kind, Worker, word};
use crate::sys::{self, Datagrams, Name};
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::{BackendId, Diff, Served};
use berth_balancer_core::{FlowKey, FlowTable, Guest, Refusal, Request, Table, Ticket};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use std::net::SocketAddr;
use std::ops::Range;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What a worker has of UDP.
#[derive(Debug)]
pub(super) struct Udp {
    services: Slab<Service>,
    pub(super) links: Slab<Link>,
    pub(super) table: FlowTable<Id>,
    /// From clients.
    incoming: Datagrams,
    /// To clients, and through which service's socket each goes.
    outgoing: Datagrams,
    outlets: Vec<Id>,
    /// Of each incoming datagram, its flow.
    routes: Vec<Option<Id>>,
    /// When a client was last told that nobody has the port.
    refused_ns: u64,
}

/// A service's socket.
#[derive(Debug)]
struct Service {
    socket: Arc<OwnedFd>,
    place: SocketAddr,
    burst: Burst,
}

/// A flow's socket.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) socket: OwnedFd,
    pub(super) key: FlowKey,
    service: Id,
    pub(super) ticket: Option<Ticket>,
    pub(super) guest: Option<Guest>,
    asked_ns: u64,
    burst: Burst,
}

/// A flow, for people.
#[derive(Debug)]
pub(super) struct FlowView<'a> {
    pub(super) source: SocketAddr,
    pub(super) destination: SocketAddr,
    pub(super) ticket: &'a Ticket,
}

impl Udp {
    pub(super) fn new(flows_max: u32, seed: u64) -> Self {
        Self {
            services: Slab::new(),
            links: Slab::new(),
            table: FlowTable::new(flows_max, seed ^ 0xf10e),
            incoming: Datagrams::new(),
            outgoing: Datagrams::new(),
            outlets: Vec::new(),
            routes: Vec::new(),
            refused_ns: 0,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    pub(super) fn flows(&self) -> impl Iterator<Item = FlowView<'_>> {
        self.links.iter().filter_map(|(_, link)| {
            let (source, destination) = (link.key.source(), link.key.destination());
            Some(FlowView { source, destination, ticket: link.ticket.as_ref()? })
        })
    }
}

impl Worker {
    pub(super) fn open_datagrams(&mut self, place: SocketAddr, socket: Arc<OwnedFd>) {
        let service = Service { socket: socket.clone(), place, burst: Burst::new() };
        let id = self.udp.services.insert(service);
        self.places.insert((Protocol::Udp, place), id);
        let flags = if self.waits { EventFlags::empty() } else { EventFlags::IN };
        let _ = self.watch(&*socket, word(Kind::Datagrams, id), flags);
    }

    /// Reads the services' sockets from here on. Until then the process before did: a datagram of a flow that it alone knows would
    /// have gone to another endpoint.
    pub(super) fn watch_datagrams(&mut self) {
        for (id, service) in self.udp.services.iter() {
            let data = word(Kind::Datagrams, id);
            let _ =
                rustix::event::epoll::modify(&self.epoll, &*service.socket, data, EventFlags::IN);
        }
    }

    /// Forgets a service's socket, and ends the flows that answer through it.
    pub(super) fn close_datagrams(&mut self, service: Id) {
        let links = self.udp.links.iter();
        let of: Vec<Id> =
            links.filter(|(_, link)| link.service == service).map(|(id, _)| id).collect();
        for id in of {
            self.end_link(id, false);
        }
        // The process may hold the socket for a successor, and events of it would come for ever.
        if let Some(service) = self.udp.services.remove(service) {
            let _ = rustix::event::epoll::delete(&self.epoll, &*service.socket);
        }
    }

    /// A service's socket has datagrams.
    pub(super) fn on_datagrams(&mut self, id: Id) {
        let Some(service) = self.udp.services.get(id) else { return };
        let place = service.place;
        self.udp.incoming.clear();
        let most = service.burst.most();
        let received = self.udp.incoming.receive(&*service.socket, Name::Address, most);
        let Ok(count) = received else { return };
        service.burst.got(count);
        self.pace.count(count);
        self.udp.routes.clear();
        for at in 0..count {
            let source = self.udp.incoming.address(at);
            let route = source.and_then(|source| self.route(id, source, place, None));
            self.counters.own.dropped.add(u64::from(route.is_none()));
            self.udp.routes.push(route);
        }
        let mut from = 0;
        while from < count {
            let route = self.udp.routes[from];
            let run = self.udp.routes[from..count].iter().take_while(|other| **other == route);
            let upto = from + run.count();
            if let Some(link) = route {
                self.send_up(link, from..upto, true);
            }
            from = upto;
        }
    }

    /// The flow of a client's datagram: the one that is there, or a new one.
    fn route(
        &mut self,
        service: Id,
        source: SocketAddr,
        place: SocketAddr,
        failed: Option<BackendId>,
    ) -> Option<Id> {
        let key = FlowKey::new(source, place);
        if let Some(flow) = self.udp.table.packet(&key, self.now) {
            return Some(flow.value);
        }
        if let Some((_, flow)) = self.udp.table.take(&key) {
            self.end_taken(flow.value, false);
        }
        let found = self.table.lookup(Protocol::Udp, place)?;
        let (frontend, via) = (found.frontend.clone(), found.via);
        let counts = self.counters.frontend(frontend.id);
        if !frontend.admits(via, source.ip()) {
            counts.refuse(Refusal::Source);
            return None;
        }
        let limits = &frontend.settings.limits;
        let limited =
            limits.connections_per_source_max.is_some() || limits.rate_per_source.is_some();
        let mut guest = None;
        if limited {
            let mut sources = self.shared.sources(source.ip());
            match sources.enter(frontend.id, limits, source.ip(), self.now) {
                Ok(entered) => guest = entered,
                Err(refusal) => {
                    counts.refuse(refusal);
                    return None;
                }
            }
        }
        let inside = via.is_external() && self.is_inside(source);
        let tried = failed.as_slice();
        let request = Request { via, inside, source, now: self.now, prefer: None, tried };
        let opened = self.choose(&frontend, request).map_err(Some).and_then(|ticket| {
            match sys::connect_datagrams(&ticket.address) {
                Ok(socket) => Ok((ticket, socket)),
                Err(_) => {
                    self.core.on_close(ticket);
                    Err(None)
                }
            }
        });
        let (ticket, socket) = match opened {
            Ok(opened) => opened,
            Err(refusal) => {
                let counts = self.counters.frontend(frontend.id);
                if let Some(refusal) = refusal {
                    counts.refuse(refusal);
                }
                if let Some(guest) = guest {
                    self.shared.sources(source.ip()).leave(guest);
                }
                return None;
            }
        };
        let timeouts = frontend.settings.timeouts;
        self.link(service, key, (ticket, socket, guest), &timeouts)
    }

    /// Puts a new flow into the books.
    pub(super) fn link(
        &mut self,
        service: Id,
        key: FlowKey,
        (ticket, socket, guest): (Ticket, OwnedFd, Option<Guest>),
        timeouts: &berth_balancer_core::model::Timeouts,
    ) -> Option<Id> {
        let backend = ticket.backend;
        let counts = self.counters.frontend(ticket.frontend);
        counts.accepted.add(1);
        counts.active.add(1);
        let counts = self.counters.backend(backend);
        counts.opened.add(1);
        counts.active.add(1);
        let (ticket, burst) = (Some(ticket), Burst::new());
        let link = Link { socket, key, service, ticket, guest, asked_ns: 0, burst };
        let id = self.udp.links.insert(link);
        let evicted = self.udp.table.insert(key, backend, id, timeouts, self.now);
        if let Some((_, flow)) = evicted {
            self.counters.own.evicted.add(1);
            self.end_taken(flow.value, false);
        }
        let watched = {
            let socket = &self.udp.links.get(id)?.socket;
            rustix::event::epoll::add(&self.epoll, socket, word(Kind::Flow, id), EventFlags::IN)
        };
        if watched.is_err() {
            self.end_link(id, false);
            return None;
        }
        self.counters.own.flows.set(u64::from(self.udp.links.len()));
        Some(id)
    }

    /// Sends datagrams to an endpoint. Where it refuses they go to another one, once.
    fn send_up(&mut self, id: Id, range: Range<usize>, again: bool) {
        let Some(link) = self.udp.links.get(id) else { return };
        let (service, key) = (link.service, link.key);
        let backend = link.ticket.as_ref().map(|ticket| ticket.backend);
        let mut from = range.start;
        while from < range.end {
            match self.udp.incoming.send(&link.socket, from..range.end, Name::Connected) {
                Ok(sent) if sent > 0 => from += sent,
                Err(Errno::INTR) => {}
                Err(Errno::CONNREFUSED | Errno::HOSTUNREACH | Errno::NETUNREACH) => {
                    self.end_link(id, true);
                    let (source, place) = (key.source(), key.destination());
                    let next =
                        if again { self.route(service, source, place, backend) } else { None };
                    match next {
                        Some(next) => self.send_up(next, from..range.end, false),
                        None => {
                            self.refuse(&key);
                            self.counters.own.dropped.add((range.end - from) as u64);
                        }
                    }
                    return;
                }
                // Too long for the way, or no room: as on any way, it is lost.
                Ok(_) | Err(_) => {
                    self.counters.own.dropped.add(1);
                    from += 1;
                }
            }
        }
        let bytes: usize = range.map(|at| self.udp.incoming.length(at)).sum();
        if link.asked_ns == 0 {
            link.asked_ns = self.now;
        }
        if let Some(ticket) = &link.ticket {
            count(&self.counters, ticket, bytes as u64, 0);
        }
    }

    /// A flow's socket has replies, or a refusal.
    pub(super) fn on_flow(&mut self, id: Id) {
        if self.udp.outgoing.is_full() {
            self.flush_datagrams();
        }
        let udp = &mut self.udp;
        let Some(link) = udp.links.get(id) else { return };
        let first = udp.outgoing.len();
        let most = link.burst.most();
        let room = crate::limits::DATAGRAMS_MAX - first;
        let received = udp.outgoing.receive(&link.socket, Name::Connected, most);
        let (key, service) = (link.key, link.service);
        match received {
            Ok(count) if count > 0 => {
                if most <= room {
                    link.burst.got(count);
                }
                self.pace.count(count);
            }
            Ok(_) | Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => {
                self.refuse(&key);
                return self.end_link(id, true);
            }
        }
        if udp.table.reply(&key, self.now).is_none() {
            // It expired in between.
            udp.outgoing.truncate(first);
            return self.end_link(id, false);
        }
        let mut bytes = 0;
        for at in first..udp.outgoing.len() {
            udp.outgoing.set_address(at, &key.source());
            udp.outlets.push(service);
            bytes += udp.outgoing.length(at);
        }
        let asked = std::mem::take(&mut link.asked_ns);
        let Some(ticket) = &link.ticket else { return };
        count(&self.counters, ticket, 0, bytes as u64);
        if asked != 0 {
            let waited = self.now.saturating_sub(asked);
            self.core.on_first_byte(ticket, waited, self.now);
            if let Some(counts) = self.counters.known_frontend(ticket.frontend) {
                counts.first_byte.observe(waited);
            }
        }
    }

    /// Sends replies that wait.
    pub(super) fn flush_datagrams(&mut self) {
        let udp = &mut self.udp;
        let mut from = 0;
        while from < udp.outlets.len() {
            let outlet = udp.outlets[from];
            let upto = from + udp.outlets[from..].iter().take_while(|o| **o == outlet).count();
            let Some(service) = udp.services.get(outlet) else {
                from = upto;
                continue;
            };
            match udp.outgoing.send(&*service.socket, from..upto, Name::Address) {
                Ok(sent) if sent > 0 => from += sent,
                Err(Errno::INTR) => {}
                Ok(_) | Err(_) => {
                    self.counters.own.dropped.add(1);
                    from += 1;
                }
            }
        }
        udp.outlets.clear();
        udp.outgoing.clear();
    }

    /// Ends a flow.
    fn end_link(&mut self, id: Id, failed: bool) {
        if let Some(link) = self.udp.links.get(id) {
            let key = link.key;
            // Another flow may have the key since.
            if self.udp.table.take(&key).is_some_and(|(_, flow)| flow.value != id) {
                debug_assert!(false, "a key has one flow");
            }
        }
        self.end_taken(id, failed);
    }

    /// Ends a flow that is out of the table.
    fn end_taken(&mut self, id: Id, failed: bool) {
        let Some(mut link) = self.udp.links.remove(id) else { return };
        if let Some(ticket) = link.ticket.take() {
            if let Some(counts) = self.counters.known_frontend(ticket.frontend) {
                counts.active.sub(1);
            }
            self.give_back(ticket, failed);
        }
        if let Some(guest) = link.guest.take() {
            self.shared.sources(link.key.source().ip()).leave(guest);
        }
        self.counters.own.flows.set(u64::from(self.udp.links.len()));
    }

    /// Ends the flows of endpoints that are gone, and those to places that another service has.
    pub(super) fn end_flows(&mut self, old: &Table, diff: &Diff) {
        let mut gone: Vec<Id> = Vec::new();
        let unfit = diff.backends_changed.iter().filter(|(frontend, backend)| {
            let frontend = self.table.frontend(*frontend);
            let changed =
                frontend.and_then(|f| Some(&f.backends[f.position(*backend, 0)? as usize]));
            changed.is_some_and(|backend| !(backend.is_serving() && backend.is_healthy()))
        });
        // A client that never stops would stay with an endpoint that does not answer any more.
        for (_, backend) in diff.backends_removed.iter().chain(unfit) {
            self.udp.table.remove_backend(*backend, |_, flow| gone.push(flow.value));
        }
        let moved = diff.served_moved.iter().filter(|moved| moved.protocol == Protocol::Udp);
        for moved in moved {
            let is_there = |to: SocketAddr| match moved.served {
                Served::At { address, .. } => address == to,
                Served::NodePort(port) => {
                    port == to.port() && old.node_addresses().contains(&to.ip().to_canonical())
                }
            };
            let links = self.udp.links.iter();
            let at = links.filter(|(_, link)| is_there(link.key.destination()));
            gone.extend(at.map(|(id, _)| id));
        }
        for id in gone {
            self.end_link(id, false);
        }
    }

    /// Ends flows that expired, some at a time: all within a few seconds.
    pub(super) fn sweep_flows(&mut self) {
        let mut gone: Vec<Id> = Vec::new();
        self.udp.table.sweep(self.now, 4_096, |_, flow| gone.push(flow.value));
        for id in gone {
            self.end_taken(id, false);
        }
    }

    /// Tells a client that its datagrams reach nobody.
    fn refuse(&mut self, key: &FlowKey) {
        if self.now.saturating_sub(self.udp.refused_ns) >= crate::limits::UNREACHABLE_NS {
            self.udp.refused_ns = self.now;
            // Without the privilege the client is not told.
            let _ = sys::unreachable(key.source(), key.destination());
        }
    }
}

fn count(counters: &crate::counters::Counters, ticket: &Ticket, up: u64, down: u64) {
    if let Some(counts) = counters.known_backend(ticket.backend) {
        counts.bytes_in.add(up);
        counts.bytes_out.add(down);
    }
    if let Some(counts) = counters.known_frontend(ticket.frontend) {
        counts.bytes_in.add(up);
        counts.bytes_out.add(down);
    }
}
