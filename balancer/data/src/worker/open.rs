// SPDX-License-Identifier: Apache-2.0
//! Finding an endpoint for a connection: choosing, connecting, and trying another one.

use super::conn::{Rest, Side, State};
use super::finish::End;
use super::slab::Id;
use super::{Kind, WATCHED, Worker, word};
use crate::limits::ATTEMPTS_MAX;
use crate::sys;
use berth_balancer_core::model::{Protocol, ProxyProtocol};
use berth_balancer_core::proxy::{self, Parsed};
use berth_balancer_core::table::{BackendId, Frontend};
use berth_balancer_core::{Pick, Prefer, Refusal, Request, Ticket};
use rustix::event::epoll::EventFlags;
use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::net::SocketAddr;

/// No place among those that connect.
pub(super) const IDLE: u32 = u32::MAX;

/// The most bytes of a PROXY header that are looked at.
const HEADER_BYTES: usize = berth_balancer_core::limits::PROXY_V2_BYTES_MAX;

impl Worker {
    /// Chooses an endpoint for a flow and counts it, by affinity where the service has one.
    pub(super) fn choose(
        &mut self,
        frontend: &Frontend,
        request: Request<'_>,
    ) -> Result<Ticket, Refusal> {
        let Some(affinity) = frontend.settings.affinity else {
            return self.core.open(frontend, &request);
        };
        let source = request.source.ip();
        let mut clients = self.shared.affinity(source);
        let prefer = clients.find(frontend.id, source, request.now);
        let ticket = self.core.open(frontend, &Request { prefer, ..request })?;
        let position = frontend.position(ticket.backend, prefer.map_or(0, |p| p.position));
        let pick = Pick {
            position: position.unwrap_or(0),
            backend: ticket.backend,
            address: ticket.address,
        };
        let timeout = affinity.timeout_ns;
        clients.assign(frontend.id, source, Prefer::from(pick), timeout, request.now);
        Ok(ticket)
    }

    /// Whether a client is on this node: for it the external traffic policy does not count.
    pub(super) fn is_inside(&self, source: SocketAddr) -> bool {
        let address = source.ip().to_canonical();
        address.is_loopback() || self.table.node_addresses().binary_search(&address).is_ok()
    }

    /// Connects to an endpoint, or ends the connection if there is none.
    pub(super) fn open(&mut self, id: Id) {
        loop {
            let Some(conn) = self.conns.get(id) else { return };
            if conn.attempts >= ATTEMPTS_MAX {
                return self.end(id, End::Server);
            }
            conn.attempts += 1;
            let (attempts, source, via) = (conn.attempts, conn.source, conn.via);
            let (wanted, tried) = (conn.frontend, std::mem::take(&mut conn.tried));
            let frontend = self.table.frontend(wanted).cloned();
            let inside = via.is_external() && self.is_inside(source);
            let request =
                Request { via, inside, source, now: self.now, prefer: None, tried: &tried };
            let chosen = match &frontend {
                Some(frontend) => self.choose(frontend, request),
                None => Err(Refusal::NoEndpoint),
            };
            let Some(conn) = self.conns.get(id) else { return };
            conn.tried = tried;
            let ticket = match chosen {
                Ok(ticket) => ticket,
                Err(refusal) => {
                    if let Some(counts) = self.counters.known_frontend(wanted) {
                        counts.refuse(refusal);
                    }
                    return self.end(id, End::Cut);
                }
            };
            let counts = self.counters.backend(ticket.backend);
            counts.opened.add(1);
            counts.active.add(1);
            if attempts > 1
                && let Some(counts) = self.counters.known_frontend(wanted)
            {
                counts.retries.add(1);
            }
            let connected = sys::connect(&ticket.address).and_then(|socket| {
                self.watch(&socket, word(Kind::Server, id), WATCHED)?;
                Ok(socket)
            });
            let Some(conn) = self.conns.get(id) else { return };
            match connected {
                Ok(socket) => {
                    conn.server = Side::default();
                    conn.server.socket = Some(socket);
                    conn.state = State::Connecting;
                    conn.ticket = Some(ticket);
                    conn.dial = u32::try_from(self.dialing.len()).unwrap_or(IDLE);
                    self.dialing.push(id);
                    return self.arm(id);
                }
                Err(error) if sys::is_exhausted(error) => {
                    self.give_back(ticket, false);
                    self.pause();
                    return self.end(id, End::Cut);
                }
                Err(_) => {
                    conn.tried.push(ticket.backend);
                    self.give_back(ticket, true);
                }
            }
        }
    }

    /// The endpoint refused, or is late: another one.
    pub(super) fn retry(&mut self, id: Id) {
        let Some(conn) = self.conns.get(id) else { return };
        conn.server.socket = None;
        let dial = std::mem::replace(&mut conn.dial, IDLE);
        self.end_dial(dial);
        let Some(conn) = self.conns.get(id) else { return };
        if let Some(ticket) = conn.ticket.take() {
            conn.tried.push(ticket.backend);
            self.give_back(ticket, true);
        }
        self.open(id);
    }

    /// Gives those another endpoint that are still connecting to one that left the table (`gone`, in order): its address may have another owner by
    /// the time that it answers.
    pub(super) fn redirect(&mut self, gone: &[BackendId]) {
        let mut lost: Vec<Id> = Vec::new();
        for id in &self.dialing {
            let ticket = self.conns.get(*id).and_then(|conn| conn.ticket.as_ref());
            if ticket.is_some_and(|ticket| gone.binary_search(&ticket.backend).is_ok()) {
                lost.push(*id);
            }
        }
        for id in lost {
            let Some(conn) = self.conns.get(id) else { continue };
            conn.server.socket = None;
            // It is not this connection's failure.
            conn.attempts -= 1;
            let (dial, ticket) = (std::mem::replace(&mut conn.dial, IDLE), conn.ticket.take());
            self.end_dial(dial);
            if let Some(ticket) = ticket {
                self.give_back(ticket, false);
            }
            self.open(id);
        }
    }

    /// The connection in this place is not among those that connect any more.
    pub(super) fn end_dial(&mut self, dial: u32) {
        if dial == IDLE {
            return;
        }
        self.dialing.swap_remove(dial as usize);
        if let Some(moved) = self.dialing.get(dial as usize)
            && let Some(conn) = self.conns.get(*moved)
        {
            conn.dial = dial;
        }
    }

    /// An event of a socket that connects.
    pub(super) fn on_connect(&mut self, id: Id, flags: EventFlags) {
        let Some(conn) = self.conns.get(id) else { return };
        if flags.intersects(EventFlags::ERR | EventFlags::HUP) {
            let Some(socket) = &conn.server.socket else { return };
            let failed = sys::error_of(socket).is_some();
            // A connection that was accepted and ended in one go has no error.
            if failed || !flags.contains(EventFlags::OUT) {
                return self.retry(id);
            }
            conn.server.broken = false;
        }
        if !flags.contains(EventFlags::OUT) {
            return;
        }
        conn.state = State::Open;
        conn.unprobed = true;
        self.unprobed += 1;
        let dial = std::mem::replace(&mut conn.dial, IDLE);
        self.end_dial(dial);
        let Some(conn) = self.conns.get(id) else { return };
        let Some(ticket) = &mut conn.ticket else { return };
        self.core.on_connected(ticket, self.now);
        if let Some(counts) = self.counters.known_frontend(ticket.frontend) {
            counts.connect.observe(self.now.saturating_sub(ticket.opened_ns));
        }
        let backend = ticket.backend;
        if let Some(frontend) = self.table.frontend(ticket.frontend)
            && let Some(counts) = self.counters.known_backend(backend)
        {
            counts.latency_ns.set(self.core.seen(frontend, backend, self.now).latency_ns);
        }
        if conn.settings.proxy_out != ProxyProtocol::Off {
            let bytes = header(conn.settings.proxy_out, conn.source, conn.destination);
            conn.up.rest = Some(Box::new(Rest { bytes, from: 0 }));
        }
        self.arm(id);
        self.drive(id);
    }

    /// Reads the client's PROXY header. Nothing behind it is taken from the socket.
    pub(super) fn read_header(&mut self, id: Id) {
        let Some(conn) = self.conns.get(id) else { return };
        let version = conn.settings.proxy_in;
        let Some(socket) = &conn.client.socket else { return };
        let buffer = &mut self.tools.buffer[..HEADER_BYTES];
        let got = match recv(socket, &mut *buffer, RecvFlags::PEEK) {
            Ok((got, _)) => got,
            Err(Errno::AGAIN | Errno::INTR) => return,
            Err(_) => return self.end(id, End::Client),
        };
        match proxy::parse(version, &buffer[..got]) {
            Ok(Parsed::NeedMore { .. }) if got > 0 && !conn.client.ended => {}
            Ok(Parsed::Header { header, length }) => {
                let taken = recv(socket, &mut buffer[..length], RecvFlags::empty());
                if taken.is_err() {
                    return self.end(id, End::Client);
                }
                if let Some(proxied) = header.proxied {
                    conn.source = proxied.source;
                    conn.destination = proxied.destination;
                }
                self.enter(id);
            }
            Ok(Parsed::NeedMore { .. }) | Err(_) => {
                self.counters.own.malformed.add(1);
                self.end(id, End::Cut);
            }
        }
    }

    /// Counts a connection for its service, and opens it if the limits allow.
    pub(super) fn enter(&mut self, id: Id) {
        let Some(conn) = self.conns.get(id) else { return };
        let (source, frontend, limits) = (conn.source.ip(), conn.frontend, conn.settings.limits);
        if limits.connections_per_source_max.is_some() || limits.rate_per_source.is_some() {
            let entered = self.shared.sources(source).enter(frontend, &limits, source, self.now);
            match entered {
                Ok(guest) => conn.guest = guest.map(Box::new),
                Err(refusal) => {
                    if let Some(counts) = self.counters.known_frontend(frontend) {
                        counts.refuse(refusal);
                    }
                    return self.end(id, End::Cut);
                }
            }
        }
        self.open(id);
    }
}

fn header(version: ProxyProtocol, source: SocketAddr, destination: SocketAddr) -> Box<[u8]> {
    let both = Some((source, destination));
    if version == ProxyProtocol::V1 {
        let mut bytes = [0; proxy::V1_BYTES_MAX];
        let length = proxy::write_v1(both, &mut bytes);
        return bytes[..length].into();
    }
    let mut bytes = [0; proxy::V2_BYTES];
    let length = proxy::write_v2(Protocol::Tcp, both, &mut bytes);
    bytes[..length].into()
}
