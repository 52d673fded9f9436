// SPDX-License-Identifier: Apache-2.0
//! A worker: one thread, one `epoll`, its own listeners, its own connections. What it shares with others is said in
//! [`crate::shared`] and in the core's table.
//!
//! `accept` lets connections in, `open` finds them an endpoint, `relay` moves bytes, `talk` has the kernel move small messages,
//! `finish` ends connections; `datagrams` has UDP; `pace` speaks to the kernel's scheduler.
//! `mail` is how the process talks to it: a table arrives with the listeners that it needs, and is in effect when the message is
//! answered.

mod accept;
mod burst;
mod conn;
mod datagrams;
mod finish;
mod flows;
mod handing;
mod mail;
mod open;
mod pace;
mod pipes;
mod relay;
mod slab;
mod talk;
mod wheel;

pub(crate) use mail::{Command, Found, Mailbox, Place};

use crate::counters::Counters;
use crate::limits::{BUFFER_BYTES, EVENTS_MAX, PAUSE_MS};
use crate::options::Rings;
use crate::shared::Shared;
use crate::sys::{self, Done, Ring};
use accept::{Crowd, Listener};
use berth_balancer_core::table::BackendId;
use berth_balancer_core::{Table, Worker as Core};
use conn::{Conn, State};
use datagrams::Udp;
use flows::Leaving;
use pace::Pace;
use pipes::Pipes;
use relay::Tools;
use rustix::event::epoll::{self, Event, EventData, EventFlags};
use rustix::io::Errno;
use slab::{Id, Slab};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};
use std::sync::Arc;
use std::sync::mpsc::Receiver;
use wheel::Wheel;

/// What a worker is made with.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) number: u32,
    pub(crate) seed: u64,
    pub(crate) connections_max: u32,
    pub(crate) flows_max: u32,
    pub(crate) pipes_max: usize,
    pub(crate) rings: Rings,
    pub(crate) shared: Arc<Shared>,
    /// Takes nothing new until it is told.
    pub(crate) waits: bool,
    pub(crate) counters: Arc<Counters>,
    pub(crate) mail: Receiver<Command>,
    /// Readable when there is mail.
    pub(crate) bell: Arc<OwnedFd>,
}

/// A worker.
#[derive(Debug)]
pub(crate) struct Worker {
    number: u32,
    epoll: OwnedFd,
    /// Made when the first connection talks.
    ring: Option<Ring>,
    rings: Rings,
    /// The ring tells when there are events.
    is_watched: bool,
    pace: Pace,
    core: Core,
    table: Table,
    conns: Slab<Conn>,
    listeners: Slab<Listener>,
    /// Listeners and UDP sockets by place.
    places: BTreeMap<Place, Id>,
    wheel: Wheel,
    tools: Tools,
    udp: Udp,
    crowd: Crowd,
    shared: Arc<Shared>,
    counters: Arc<Counters>,
    mail: Receiver<Command>,
    bell: Arc<OwnedFd>,
    /// Who the endpoints are that left the table and have connections.
    leaving: BTreeMap<BackendId, Leaving>,
    /// Connections whose endpoint has not accepted yet, in no order.
    dialing: Vec<Id>,
    /// Connections that wait for another turn.
    again: Vec<Id>,
    due: Vec<Id>,
    now: u64,
    connections_max: u32,
    /// Another process serves still: nothing new is taken.
    waits: bool,
    /// Until when nothing is accepted.
    paused_until: Option<u64>,
    /// Connections whose endpoint is not probed yet, and where the search for them is.
    unprobed: u32,
    probe_at: u32,
    swept_ns: u64,
    sweep: usize,
    stops: bool,
}

/// What an event is about: the upper byte of its word; then 24 bits of generation and 32 of index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
enum Kind {
    Bell = 0,
    Listener = 1,
    Client = 2,
    Server = 3,
    Datagrams = 4,
    Flow = 5,
}

fn word(kind: Kind, id: Id) -> EventData {
    EventData::new_u64((kind as u64) << 56 | u64::from(id.generation) << 32 | u64::from(id.index))
}

fn unword(data: EventData) -> (u8, Id) {
    let word = data.u64();
    let [kind, ..] = word.to_be_bytes();
    #[expect(clippy::cast_possible_truncation, reason = "the parts of the word")]
    let id = Id { index: word as u32, generation: (word >> 32) as u32 & 0x00ff_ffff };
    (kind, id)
}

/// How a TCP socket is watched, once for all its life.
const WATCHED: EventFlags = EventFlags::IN
    .union(EventFlags::OUT)
    .union(EventFlags::PRI)
    .union(EventFlags::RDHUP)
    .union(EventFlags::ET);

impl Worker {
    /// A worker with an empty table.
    pub(crate) fn new(plan: Plan) -> Result<Self, Errno> {
        let epoll = epoll::create(epoll::CreateFlags::CLOEXEC)?;
        let bell = word(Kind::Bell, Id { index: 0, generation: 0 });
        epoll::add(&epoll, &*plan.bell, bell, EventFlags::IN)?;
        let now = sys::now();
        Ok(Self {
            number: plan.number,
            epoll,
            ring: None,
            rings: plan.rings,
            is_watched: false,
            pace: Pace::new(),
            core: Core::new(plan.seed),
            table: Table::default(),
            conns: Slab::new(),
            listeners: Slab::new(),
            places: BTreeMap::new(),
            wheel: Wheel::new(now),
            tools: Tools {
                buffer: vec![0; BUFFER_BYTES].into_boxed_slice(),
                pipes: Pipes::new(plan.pipes_max),
                spliced: 0,
            },
            udp: Udp::new(plan.flows_max, plan.seed),
            crowd: Crowd::new(plan.connections_max, plan.seed),
            shared: plan.shared,
            waits: plan.waits,
            counters: plan.counters,
            mail: plan.mail,
            bell: plan.bell,
            leaving: BTreeMap::new(),
            dialing: Vec::new(),
            again: Vec::new(),
            due: Vec::new(),
            now,
            connections_max: plan.connections_max,
            paused_until: None,
            unprobed: 0,
            probe_at: 0,
            swept_ns: now,
            sweep: 0,
            stops: false,
        })
    }

    /// Works until it is told to stop.
    pub(crate) fn run(mut self) -> Result<(), Errno> {
        let mut events: Vec<Event> = Vec::with_capacity(EVENTS_MAX);
        let mut done: Vec<Done> = Vec::new();
        self.pace.begin();
        while !self.stops {
            events.clear();
            self.wait_for(&mut events, &mut done)?;
            self.now = sys::now();
            self.counters.own.loops.add(1);
            self.pace.count(done.len() + events.len());
            for done in done.drain(..) {
                self.on_done(done);
            }
            for event in &events {
                // The event is packed.
                let Event { flags, data, .. } = *event;
                self.on_event(flags, data);
            }
            self.flush_datagrams();
            self.take_turns();
            self.counters.own.spliced_bytes.set(self.tools.spliced);
            self.on_time();
        }
        Ok(())
    }

    /// Waits until something is to be done: for the rings, if they have connections, and for `epoll`, if it has events.
    fn wait_for(&mut self, events: &mut Vec<Event>, done: &mut Vec<Done>) -> Result<(), Errno> {
        let mut wait = self.wait();
        if let Some(ring) = &mut self.ring
            && !ring.is_idle()
        {
            if !self.is_watched {
                ring.watch(&self.epoll);
                self.is_watched = true;
            }
            ring.turn(wait, done)?;
            if !done.iter().any(|done| matches!(done, Done::Readable)) {
                return Ok(());
            }
            wait = Some(rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let room = rustix::buffer::spare_capacity(events);
        match epoll::wait(&self.epoll, room, wait.as_ref()) {
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error),
        }
    }

    fn on_event(&mut self, flags: EventFlags, data: EventData) {
        let (kind, id) = unword(data);
        match kind {
            kind if kind == Kind::Client as u8 => self.on_socket(id, flags, true),
            kind if kind == Kind::Server as u8 => self.on_socket(id, flags, false),
            kind if kind == Kind::Listener as u8 => self.accept(id),
            kind if kind == Kind::Datagrams as u8 => self.on_datagrams(id),
            kind if kind == Kind::Flow as u8 => self.on_flow(id),
            _ => self.on_bell(),
        }
    }

    /// How long to wait for events; `None` for ever.
    fn wait(&self) -> Option<rustix::event::Timespec> {
        if !self.again.is_empty() {
            return Some(rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 });
        }
        let mut wait = self.wheel.wait_ns(self.now);
        let mut until = |time: Option<u64>| {
            if let Some(time) = time {
                let ns = time.saturating_sub(self.now);
                wait = Some(wait.map_or(ns, |wait| wait.min(ns)));
            }
        };
        until(self.core.drains().deadline());
        until(self.paused_until);
        until((!self.udp.is_empty() || self.unprobed > 0).then_some(self.swept_ns + SWEEP_NS));
        let wait = wait?;
        // Rounded up to a millisecond: waking too soon would be a busy loop.
        let wait = wait.div_ceil(1_000_000) * 1_000_000;
        Some(rustix::event::Timespec {
            tv_sec: i64::try_from(wait / 1_000_000_000).unwrap_or(i64::MAX),
            tv_nsec: i64::try_from(wait % 1_000_000_000).unwrap_or(0),
        })
    }

    /// An event of one of a connection's sockets.
    fn on_socket(&mut self, id: Id, flags: EventFlags, is_client: bool) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.talk.phase != talk::Phase::Off {
            // It came before the rings got the connection, and they find out for themselves.
            return;
        }
        let side = if is_client { &mut conn.client } else { &mut conn.server };
        let broken = flags.contains(EventFlags::ERR);
        side.readable |= flags
            .intersects(EventFlags::IN | EventFlags::RDHUP | EventFlags::HUP | EventFlags::ERR);
        side.writable |= flags.contains(EventFlags::OUT);
        side.ended |= flags.intersects(EventFlags::RDHUP | EventFlags::HUP);
        side.broken |= broken;
        side.urgent |= flags.contains(EventFlags::PRI);
        match (conn.state, is_client) {
            (State::Open, _) => self.drive(id),
            (State::Connecting, false) => self.on_connect(id, flags),
            // A client that resets need not be connected.
            (State::Connecting | State::Header, true) if broken => {
                self.end(id, finish::End::Client);
            }
            (State::Header, true) => self.read_header(id),
            (State::Connecting, true) | (State::Header, false) => {}
        }
    }

    /// Those that waited for another turn have it.
    fn take_turns(&mut self) {
        if self.again.is_empty() {
            return;
        }
        let mut turn = std::mem::take(&mut self.again);
        for id in turn.drain(..) {
            if let Some(conn) = self.conns.get(id) {
                conn.queued = false;
                self.drive(id);
            }
        }
        if self.again.is_empty() {
            self.again = turn;
        }
    }

    /// What happens without an event.
    fn on_time(&mut self) {
        let mut due = std::mem::take(&mut self.due);
        self.wheel.expire(&mut self.conns, self.now, &mut due);
        for id in due.drain(..) {
            self.on_due(id);
        }
        self.due = due;
        if self.core.drains().deadline().is_some_and(|deadline| deadline <= self.now) {
            self.end_drained();
        }
        if self.paused_until.is_some_and(|until| until <= self.now) {
            self.resume();
        }
        if self.now.saturating_sub(self.swept_ns) >= SWEEP_NS {
            self.swept_ns = self.now;
            self.sweep += 1;
            self.pace.look(self.now);
            self.shared.sweep(self.now, self.sweep);
            self.sweep_flows();
            if self.unprobed > 0 {
                self.probe_some();
            }
        }
    }

    fn on_due(&mut self, id: Id) {
        let Some(conn) = self.conns.get(id) else { return };
        let Some(due) = conn.due_ns() else { return };
        if due > self.now {
            self.wheel.arm(&mut self.conns, id, due);
            return;
        }
        match conn.state {
            State::Connecting => self.retry(id),
            State::Header => {
                self.counters.own.malformed.add(1);
                self.end(id, finish::End::Cut);
            }
            State::Open => {
                self.counters.own.timed_out.add(1);
                let late = conn.asked_ns != 0
                    && conn
                        .settings
                        .timeouts
                        .first_byte_ns
                        .is_some_and(|most| conn.asked_ns.saturating_add(most) <= self.now);
                self.end(id, if late { finish::End::Server } else { finish::End::Cut });
            }
        }
    }

    /// Watches the timers of a connection.
    fn arm(&mut self, id: Id) {
        if let Some(due) = self.conns.get(id).and_then(|conn| conn.due_ns()) {
            self.wheel.arm(&mut self.conns, id, due);
        }
    }

    /// Moves what a connection can move, and ends it if that is its end.
    fn drive(&mut self, id: Id) {
        let Some(conn) = self.conns.get(id).filter(|conn| conn.talk.phase == talk::Phase::Off)
        else {
            return;
        };
        let up = relay::relay(&mut conn.client, &mut conn.server, &mut conn.up, &mut self.tools);
        let down =
            relay::relay(&mut conn.server, &mut conn.client, &mut conn.down, &mut self.tools);
        self.account(id, up.bytes, down.bytes);
        self.conclude(id, up.end, down.end);
        self.notice(id, up.bytes + down.bytes);
    }

    /// Books bytes that passed.
    fn account(&mut self, id: Id, up: u64, down: u64) {
        let Some(conn) = self.conns.get(id).filter(|_| up + down > 0) else { return };
        conn.active_ns = self.now;
        let Some(ticket) = &conn.ticket else { return };
        if let Some(counts) = self.counters.known_backend(ticket.backend) {
            counts.bytes_in.add(up);
            counts.bytes_out.add(down);
        }
        let frontend = self.counters.known_frontend(ticket.frontend);
        if let Some(counts) = frontend {
            counts.bytes_in.add(up);
            counts.bytes_out.add(down);
        }
        if down > 0 && conn.asked_ns != 0 {
            let waited = self.now.saturating_sub(conn.asked_ns);
            conn.asked_ns = 0;
            self.core.on_first_byte(ticket, waited, self.now);
            if let Some(counts) = frontend {
                counts.first_byte.observe(waited);
            }
        } else if up > 0 && conn.asked_ns == 0 {
            conn.asked_ns = self.now;
            if conn.settings.timeouts.first_byte_ns.is_some() {
                self.arm(id);
            }
        }
    }

    /// Has the kernel probe endpoints of connections that lived for a while, some at a time. Those of one request do not pay for
    /// it: that is two system calls.
    fn probe_some(&mut self) {
        let slots = self.conns.slots();
        let some = (slots / PROBE_SWEEPS).max(64).min(slots);
        for _ in 0..some {
            self.probe_at = if self.probe_at + 1 >= slots { 0 } else { self.probe_at + 1 };
            let Some((_, conn)) = self.conns.at(self.probe_at) else { continue };
            if conn.unprobed && self.now.saturating_sub(conn.opened_ns) >= SWEEP_NS {
                conn.unprobed = false;
                self.unprobed -= 1;
                if let Some(socket) = &conn.server.socket {
                    sys::keep_alive(socket);
                }
            }
        }
    }

    /// Pauses accepting: descriptors or connections are at their bound.
    fn pause(&mut self) {
        if self.paused_until.is_none() {
            self.counters.own.paused.add(1);
        }
        self.paused_until = Some(self.now + u64::from(PAUSE_MS) * 1_000_000);
    }

    /// Watches a descriptor.
    fn watch(&self, socket: impl AsFd, data: EventData, flags: EventFlags) -> Result<(), Errno> {
        epoll::add(&self.epoll, socket, data, flags)
    }
}

/// Time between two looks at flows that may have expired.
const SWEEP_NS: u64 = 100_000_000;

/// Sweeps in which all connections are looked at once: 5 seconds.
const PROBE_SWEEPS: u32 = 50;
