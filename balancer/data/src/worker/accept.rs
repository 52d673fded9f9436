// SPDX-License-Identifier: Apache-2.0
//! Letting connections in, and not letting them in when there is no room.

use super::conn::{Conn, Direction, Side, State};
use super::slab::Id;
use super::wheel::Links;
use super::{Kind, WATCHED, Worker, word};
use crate::limits::ACCEPTS_MAX;
use crate::sys;
use berth_balancer_core::model::{Limits, Protocol, ProxyProtocol};
use berth_balancer_core::table::FrontendId;
use berth_balancer_core::{Guest, Refusal, Sources};
use rustix::event::epoll::{self, EventFlags};
use rustix::io::Errno;
use rustix::net::{SocketFlags, acceptfrom_with};
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A listener of this worker.
#[derive(Debug)]
pub(super) struct Listener {
    pub(super) socket: Arc<OwnedFd>,
    pub(super) place: SocketAddr,
    /// The shortcut's: its connections have addresses of their own.
    is_shortcut: bool,
    /// How many connections are taken at the next event: as many as came in the last one, so that asking in vain is rare.
    burst: u8,
    /// It is not watched, since there is no room.
    pub(super) is_off: bool,
}

impl Listener {
    pub(super) fn new(socket: Arc<OwnedFd>, place: SocketAddr) -> Self {
        let is_shortcut = sys::is_transparent(&*socket, place.is_ipv6());
        Self { socket, place, is_shortcut, burst: 1, is_off: false }
    }
}

/// Keeps room for others: when all but a sixteenth of a worker's connections are taken, a source that has a quarter gets no more.
#[derive(Debug)]
pub(super) struct Crowd {
    sources: Sources,
    tight: u32,
    limits: Limits,
}

/// Not a frontend: under it sources are counted for the worker as a whole.
const ALL: FrontendId = FrontendId { slot: u32::MAX, generation: u32::MAX };

impl Crowd {
    pub(super) fn new(connections_max: u32, seed: u64) -> Self {
        let free = Limits { connections_per_source_max: Some(u32::MAX), ..Limits::default() };
        let clients = connections_max.min(crate::limits::CLIENTS_MAX);
        Self {
            sources: Sources::new(clients, seed ^ 0x5eed),
            tight: connections_max - connections_max / 16,
            limits: free,
        }
    }

    /// Counts a connection of a source, of `connections` in all.
    fn enter(
        &mut self,
        source: IpAddr,
        connections: u32,
        now: u64,
    ) -> Result<Option<Guest>, Refusal> {
        let mut limits = self.limits;
        if connections >= self.tight {
            limits.connections_per_source_max = Some((self.tight / 4).max(1));
        }
        match self.sources.enter(ALL, &limits, source, now) {
            // More sources than can be counted: those that cannot are few connections each.
            Err(Refusal::SourcesFull) => Ok(None),
            other => other,
        }
    }

    pub(super) fn leave(&mut self, guest: Guest) {
        self.sources.leave(guest);
    }
}

impl Worker {
    /// A listener has connections.
    pub(super) fn accept(&mut self, id: Id) {
        let burst = self.listeners.get(id).map_or(0, |listener| listener.burst);
        let mut taken = 0;
        while taken < burst {
            if self.conns.len() >= self.connections_max {
                self.pause();
            }
            if self.paused_until.is_some() {
                return self.turn_off(id);
            }
            let Some(listener) = self.listeners.get(id) else { return };
            let own = (!listener.is_shortcut).then_some(listener.place);
            let flags = SocketFlags::NONBLOCK | SocketFlags::CLOEXEC;
            match acceptfrom_with(&*listener.socket, flags) {
                Ok((socket, source)) => {
                    taken += 1;
                    let source = source.and_then(|source| SocketAddr::try_from(source).ok());
                    match (source, own.or_else(|| self.meant(&socket))) {
                        (Some(source), Some(place)) => self.admit(socket, source, place),
                        _ => sys::reset(socket),
                    }
                }
                Err(Errno::AGAIN) => break,
                Err(error) if sys::is_exhausted(error) => self.pause(),
                // That connection broke while it waited.
                Err(_) => taken += 1,
            }
        }
        if let Some(listener) = self.listeners.get(id) {
            let full = taken == burst;
            listener.burst = if full { (burst * 2).min(ACCEPTS_MAX) } else { taken.max(1) };
        }
    }

    /// Where the client of a connection wanted to go that the shortcut brought. Its address is the service's.
    fn meant(&self, socket: &OwnedFd) -> Option<SocketAddr> {
        self.counters.own.shortcut.add(1);
        SocketAddr::try_from(rustix::net::getsockname(socket).ok()?).ok()
    }

    /// Takes a connection in.
    fn admit(&mut self, socket: OwnedFd, source: SocketAddr, place: SocketAddr) {
        self.counters.own.accepted.add(1);
        let Some(found) = self.table.lookup(Protocol::Tcp, place) else {
            return sys::reset(socket);
        };
        let (frontend, via) = (found.frontend, found.via);
        let counts = self.counters.frontend(frontend.id);
        if !frontend.admits(via, source.ip()) {
            counts.refuse(Refusal::Source);
            return sys::reset(socket);
        }
        let Ok(crowd) = self.crowd.enter(source.ip(), self.conns.len(), self.now) else {
            self.counters.own.crowded.add(1);
            return sys::reset(socket);
        };
        counts.accepted.add(1);
        counts.active.add(1);
        let header = frontend.settings.proxy_in != ProxyProtocol::Off;
        let conn = Conn {
            // Listeners pass on that small messages are not held back.
            client: Side { socket: Some(socket), writable: true, writes: 2, ..Side::default() },
            server: Side::default(),
            up: Direction::default(),
            down: Direction::default(),
            state: if header { State::Header } else { State::Connecting },
            queued: false,
            unprobed: false,
            talk: super::talk::Talk::default(),
            attempts: 0,
            via,
            links: Links::NONE,
            dial: super::open::IDLE,
            ticket: None,
            frontend: frontend.id,
            settings: frontend.settings.clone(),
            source,
            destination: place,
            tried: Vec::new(),
            guest: None,
            crowd,
            opened_ns: self.now,
            active_ns: self.now,
            asked_ns: 0,
        };
        let id = self.conns.insert(conn);
        self.counters.own.connections.set(u64::from(self.conns.len()));
        if header {
            self.arm(id);
        } else {
            self.enter(id);
        }
        // Watched last: most connections that find no endpoint need not be.
        let Some(conn) = self.conns.get(id) else { return };
        let Some(socket) = &conn.client.socket else { return };
        if epoll::add(&self.epoll, socket, word(Kind::Client, id), WATCHED).is_err() {
            self.end(id, super::finish::End::Cut);
        }
    }

    /// Stops watching a listener that has connections for which there is no room.
    fn turn_off(&mut self, id: Id) {
        if let Some(listener) = self.listeners.get(id).filter(|listener| !listener.is_off) {
            listener.is_off = true;
            let data = word(Kind::Listener, id);
            // Should this fail, the listener asks again at once: slow, and right.
            let _ = epoll::modify(&self.epoll, &*listener.socket, data, EventFlags::empty());
        }
    }

    /// Takes connections again, where there is room.
    pub(super) fn resume(&mut self) {
        // A few places, so that one that ends does not let a single one in each time.
        let most = self.connections_max - self.connections_max / 64;
        let room = self.conns.len() <= most.min(self.connections_max.saturating_sub(1));
        let waited = self.paused_until.is_none_or(|until| until <= self.now);
        if !room || !waited {
            if waited {
                self.pause();
            }
            return;
        }
        self.paused_until = None;
        self.turn_on();
    }

    /// Watches all listeners.
    pub(super) fn turn_on(&mut self) {
        let off: Vec<Id> =
            self.listeners.iter().filter(|(_, l)| l.is_off).map(|(id, _)| id).collect();
        for id in off {
            if let Some(listener) = self.listeners.get(id) {
                listener.is_off = false;
                let data = word(Kind::Listener, id);
                let _ = epoll::modify(&self.epoll, &*listener.socket, data, EventFlags::IN);
            }
        }
    }
}
