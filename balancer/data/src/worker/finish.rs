// SPDX-License-Identifier: Apache-2.0
//! The ends of a connection.

use super::Worker;
use super::conn::{Conn, State};
use super::relay::{Relayed, relay};
use super::slab::Id;
use crate::sys;
use berth_balancer_core::Ticket;
use berth_balancer_core::table::BackendId;
use rustix::net::{Shutdown, shutdown};

/// Why a connection ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum End {
    /// Both sides said all they had.
    Whole,
    /// The client broke it: the endpoint gets a reset.
    Client,
    /// The endpoint broke it, or did not answer in time: the client gets a reset.
    Server,
    /// We do: both get one.
    Cut,
}

impl Worker {
    /// What follows from how far both directions came.
    pub(super) fn conclude(&mut self, id: Id, up: Relayed, down: Relayed) {
        let Some(conn) = self.conns.get(id) else { return };
        // What an endpoint sent before it broke is the client's, and the other way round: a server may refuse an upload, say why,
        // and reset.
        if up == Relayed::SinkBroke || down == Relayed::SinkBroke {
            let broken = if up == Relayed::SinkBroke { &mut conn.server } else { &mut conn.client };
            (broken.readable, broken.broken) = (true, true);
            let last = if up == Relayed::SinkBroke {
                relay(&mut conn.server, &mut conn.client, &mut conn.down, &mut self.tools)
            } else {
                relay(&mut conn.client, &mut conn.server, &mut conn.up, &mut self.tools)
            };
            let (sent, got) =
                if up == Relayed::SinkBroke { (0, last.bytes) } else { (last.bytes, 0) };
            self.account(id, sent, got);
            return self.end(id, if up == Relayed::SinkBroke { End::Server } else { End::Client });
        }
        if up == Relayed::SourceBroke {
            return self.end(id, End::Client);
        }
        if down == Relayed::SourceBroke {
            return self.end(id, End::Server);
        }
        if up == Relayed::Again || down == Relayed::Again {
            if !conn.queued {
                conn.queued = true;
                self.again.push(id);
            }
            return;
        }
        // A broken socket of which nothing is read any more, since it is at its end or the other side takes nothing.
        if conn.client.broken {
            return self.end(id, End::Client);
        }
        if conn.server.broken {
            return self.end(id, End::Server);
        }
        let up = conn.up.at_end && conn.up.is_empty();
        let down = conn.down.at_end && conn.down.is_empty();
        if up && down {
            return self.end(id, End::Whole);
        }
        let (way, sink) = if up {
            (&mut conn.up, &conn.server)
        } else if down {
            (&mut conn.down, &conn.client)
        } else {
            return;
        };
        if !way.is_shut {
            way.is_shut = true;
            if let Some(socket) = &sink.socket {
                // Where this fails the socket is broken, and an event says so.
                let _ = shutdown(socket, Shutdown::Write);
            }
        }
    }

    /// Ends a connection.
    pub(super) fn end(&mut self, id: Id, end: End) {
        self.wheel.disarm(&mut self.conns, id.index);
        let Some(mut conn) = self.conns.remove(id) else { return };
        self.unprobed -= u32::from(conn.unprobed);
        self.hang_up(id, conn.talk);
        self.end_dial(conn.dial);
        for way in [&mut conn.up, &mut conn.down] {
            if let Some(pipe) = way.pipe.take() {
                self.tools.pipes.give_back(pipe);
            }
        }
        let (client, server) = (conn.client.socket.take(), conn.server.socket.take());
        let (reset_client, reset_server) =
            (matches!(end, End::Server | End::Cut), matches!(end, End::Client | End::Cut));
        for (socket, resets) in [(server, reset_server), (client, reset_client)] {
            match socket {
                Some(socket) if resets => sys::reset(socket),
                socket => drop(socket),
            }
        }
        let unanswered =
            end == End::Server && (conn.asked_ns != 0 || conn.state == State::Connecting);
        if let Some(ticket) = conn.ticket.take() {
            self.give_back(ticket, unanswered);
        }
        self.leave(&mut conn);
        self.counters.own.connections.set(u64::from(self.conns.len()));
        if self.paused_until.is_some() {
            self.resume();
        }
    }

    /// Takes a connection off the books of sources.
    fn leave(&mut self, conn: &mut Conn) {
        if let Some(guest) = conn.guest.take() {
            self.shared.sources(conn.source.ip()).leave(*guest);
        }
        if let Some(guest) = conn.crowd.take() {
            self.crowd.leave(guest);
        }
        if let Some(counts) = self.counters.known_frontend(conn.frontend) {
            counts.active.sub(1);
        }
    }

    /// Gives a ticket back.
    pub(super) fn give_back(&mut self, ticket: Ticket, failed: bool) {
        let backend = ticket.backend;
        let frontend = self.table.frontend(ticket.frontend);
        let counts = self.counters.known_backend(backend);
        if let Some(counts) = counts {
            counts.active.sub(1);
        }
        if !failed {
            self.core.on_close(ticket);
        } else if let (Some(frontend), Some(counts)) = (frontend, counts) {
            counts.failed.add(1);
            let before = self.core.seen(frontend, backend, self.now).ejected_until_ns;
            self.core.on_failed(&self.table, ticket, self.now);
            let after = self.core.seen(frontend, backend, self.now);
            counts.ejected.add(u64::from(after.ejected_until_ns > before));
            counts.latency_ns.set(after.latency_ns);
        } else {
            self.core.on_failed(&self.table, ticket, self.now);
        }
    }

    /// Ends the connections of endpoints whose drain time is over.
    pub(super) fn end_drained(&mut self) {
        let mut gone: Vec<BackendId> = Vec::new();
        while let Some(backend) = self.core.drain_expired(self.now) {
            gone.push(backend);
        }
        gone.sort_unstable();
        let is_gone = |ticket: &Ticket| gone.binary_search(&ticket.backend).is_ok();
        let all = self.conns.iter();
        let ids: Vec<Id> = all
            .filter(|(_, conn)| conn.ticket.as_ref().is_some_and(is_gone))
            .map(|(id, _)| id)
            .collect();
        for id in ids {
            self.end(id, End::Cut);
        }
    }
}
