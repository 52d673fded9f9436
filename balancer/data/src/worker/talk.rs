// SPDX-License-Identifier: Apache-2.0
//! Connections that talk: small messages, to and fro. The kernel's rings have them, so that a message costs no system call of its
//! own ([`crate::sys::Ring`]).
//!
//! | state | event | next |
//! |---|---|---|
//! | off: `epoll` watches it | some small messages in a row | on |
//! | on: both sockets have an armed receive | a large message, a full socket, an end, anything wrong | leaving |
//! | leaving: receives are being cancelled | the kernel has neither a receive nor a send | off |
//!
//! Only what is plain is done here. All else is found out once `epoll` watches the sockets again: it tells of everything that is so.

use super::conn::{Conn, Direction, Rest, Side, State};
use super::relay::relay;
use super::slab::Id;
use super::{Kind, WATCHED, Worker, finish, unword, word};
use crate::options::Rings;
use crate::sys::{Done, PIECE_BYTES, Piece, Ring, RingEnd};
use rustix::event::epoll::{self, EventData};
use rustix::io::Errno;

/// Small messages in a row after which a connection talks; each time that it left, twice as many.
const SMALL_ONES: u8 = 6;
/// As many times it doubles.
const DOUBLES: u8 = 4;

/// What the rings have of a connection.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Talk {
    pub(super) phase: Phase,
    /// Small messages in a row.
    small: u8,
    /// How often it left.
    left: u8,
    /// The client's socket has an armed receive.
    client: bool,
    server: bool,
    /// A piece from the client is on its way.
    up: bool,
    down: bool,
}

/// Where a connection is, with regard to the rings.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) enum Phase {
    #[default]
    Off,
    On,
    Leaving,
}

impl Talk {
    fn is_armed(&mut self, is_client: bool) -> &mut bool {
        if is_client { &mut self.client } else { &mut self.server }
    }

    fn sends(&mut self, is_up: bool) -> &mut bool {
        if is_up { &mut self.up } else { &mut self.down }
    }

    /// Whether the kernel has nothing of it any more.
    fn is_over(self) -> bool {
        !(self.client || self.server || self.up || self.down)
    }
}

impl Conn {
    /// Whether there is nothing about it but small messages.
    fn is_plain(&self) -> bool {
        let side = |side: &Side| {
            side.socket.is_some() && side.writable && !side.ended && !side.broken && !side.urgent
        };
        let way = |way: &Direction| way.is_empty() && !way.splices && !way.at_end;
        let all = side(&self.client) && side(&self.server) && way(&self.up) && way(&self.down);
        all && self.state == State::Open && !self.queued
    }

    fn way(&mut self, is_up: bool) -> &mut Direction {
        if is_up { &mut self.up } else { &mut self.down }
    }

    fn side(&mut self, is_client: bool) -> &mut Side {
        if is_client { &mut self.client } else { &mut self.server }
    }
}

fn receive_word(id: Id, is_client: bool) -> EventData {
    word(if is_client { Kind::Client } else { Kind::Server }, id)
}

impl Worker {
    /// So many bytes passed: a connection of small messages talks from now on.
    pub(super) fn notice(&mut self, id: Id, bytes: u64) {
        if bytes == 0 || self.rings == Rings::Off {
            return;
        }
        let Some(conn) = self.conns.get(id) else { return };
        if bytes >= PIECE_BYTES as u64 {
            conn.talk.small = 0;
            return;
        }
        conn.talk.small = conn.talk.small.saturating_add(1);
        let enough = if self.rings == Rings::Eager { 1 } else { SMALL_ONES };
        if conn.talk.small >= enough << conn.talk.left && conn.is_plain() {
            self.talk(id);
        }
    }

    fn talk(&mut self, id: Id) {
        if self.ring.is_none() {
            match Ring::new() {
                Ok(ring) => self.ring = Some(ring),
                // Not here, and not later: `epoll` does all.
                Err(_) => return self.rings = Rings::Off,
            }
        }
        let (Some(conn), Some(ring)) = (self.conns.get(id), &mut self.ring) else { return };
        for is_client in [true, false] {
            let side = conn.side(is_client);
            let Some(socket) = &side.socket else { continue };
            if epoll::delete(&self.epoll, socket).is_ok() {
                side.readable = false;
                ring.receive(socket, receive_word(id, is_client).u64());
                *conn.talk.is_armed(is_client) = true;
            }
        }
        conn.talk.phase = Phase::On;
        self.counters.own.talks.add(1);
    }

    /// The kernel is done with something.
    pub(super) fn on_done(&mut self, done: Done) {
        match done {
            Done::Received { word, piece } => self.on_received(word, piece),
            Done::Sent { word, piece, sent } => self.on_sent(word, piece, sent),
            Done::Disarmed { word, why } => self.on_disarmed(word, why),
            Done::Readable => self.is_watched = false,
        }
    }

    /// Bytes came: they go on as they are, behind what is on its way.
    fn on_received(&mut self, word: u64, piece: Piece) {
        let (kind, id) = unword(EventData::new_u64(word));
        let is_up = kind == Kind::Client as u8;
        let Some(ring) = &mut self.ring else { return };
        let Some(conn) = self.conns.get(id) else { return ring.give_back(piece) };
        let waits = *conn.talk.sends(is_up) || conn.way(is_up).rest.is_some();
        let to = if is_up { &conn.server } else { &conn.client };
        if let Some(socket) = to.socket.as_ref().filter(|_| !waits) {
            ring.send(socket, word, piece);
            *conn.talk.sends(is_up) = true;
        } else {
            append(conn.way(is_up), ring.bytes(piece));
            ring.give_back(piece);
        }
        if piece.len() == PIECE_BYTES {
            self.leave_talk(id);
        }
    }

    fn on_sent(&mut self, word: u64, piece: Piece, sent: Result<usize, Errno>) {
        let (kind, id) = unword(EventData::new_u64(word));
        let is_up = kind == Kind::Client as u8;
        let Some(ring) = &mut self.ring else { return };
        let Some(conn) = self.conns.get(id) else { return ring.give_back(piece) };
        *conn.talk.sends(is_up) = false;
        let whole = sent == Ok(piece.len());
        if !whole {
            let to = conn.side(!is_up);
            match sent {
                Ok(_) | Err(Errno::AGAIN | Errno::INTR) => {
                    to.writable = false;
                    let from = sent.unwrap_or(0).min(piece.len());
                    prepend(conn.way(is_up), &ring.bytes(piece)[from..]);
                }
                Err(_) => to.broken = true,
            }
        }
        ring.give_back(piece);
        let bytes = sent.unwrap_or(0) as u64;
        let (up, down) = if is_up { (bytes, 0) } else { (0, bytes) };
        self.account(id, up, down);
        let rest = self.conns.get(id).is_some_and(|conn| conn.way(is_up).rest.is_some());
        if !whole || (rest && !self.flush_rest(id, is_up)) {
            self.leave_talk(id);
        }
        self.settle_talk(id);
    }

    /// Writes what came while a piece was on its way. True if that was all of it.
    fn flush_rest(&mut self, id: Id, is_up: bool) -> bool {
        let Some(conn) = self.conns.get(id) else { return false };
        let (from, to, way) = if is_up {
            (&mut conn.client, &mut conn.server, &mut conn.up)
        } else {
            (&mut conn.server, &mut conn.client, &mut conn.down)
        };
        let bytes = relay(from, to, way, &mut self.tools).bytes;
        let all = way.is_empty();
        self.account(id, if is_up { bytes } else { 0 }, if is_up { 0 } else { bytes });
        all
    }

    fn on_disarmed(&mut self, word: u64, why: RingEnd) {
        let (kind, id) = unword(EventData::new_u64(word));
        let is_client = kind == Kind::Client as u8;
        let (Some(conn), Some(ring)) = (self.conns.get(id), &mut self.ring) else { return };
        if why == RingEnd::Room && conn.talk.phase == Phase::On {
            if let Some(socket) = &conn.side(is_client).socket {
                ring.receive(socket, word);
            }
            return;
        }
        *conn.talk.is_armed(is_client) = false;
        // The error itself was told with this, and to nobody again.
        conn.side(is_client).broken |= why == RingEnd::Broke;
        self.leave_talk(id);
        self.settle_talk(id);
    }

    /// A connection goes back to `epoll`, as soon as the kernel lets go of it.
    fn leave_talk(&mut self, id: Id) {
        let (Some(conn), Some(ring)) = (self.conns.get(id), &mut self.ring) else { return };
        if conn.talk.phase != Phase::On {
            return;
        }
        conn.talk.phase = Phase::Leaving;
        (conn.talk.small, conn.talk.left) = (0, (conn.talk.left + 1).min(DOUBLES));
        for is_client in [true, false] {
            if *conn.talk.is_armed(is_client) {
                ring.cancel(receive_word(id, is_client).u64());
            }
        }
    }

    fn settle_talk(&mut self, id: Id) {
        let Some(conn) = self.conns.get(id) else { return };
        if conn.talk.phase != Phase::Leaving || !conn.talk.is_over() {
            return;
        }
        conn.talk.phase = Phase::Off;
        let mut watched = true;
        for is_client in [true, false] {
            let data = receive_word(id, is_client);
            // All that is so by now makes an event.
            let socket = conn.side(is_client).socket.as_ref();
            watched &=
                socket.is_some_and(|socket| epoll::add(&self.epoll, socket, data, WATCHED).is_ok());
        }
        if !watched {
            self.end(id, finish::End::Cut);
        }
    }

    /// A connection that talks ends. No order may name its sockets by number once they are closed, and no receive may keep them
    /// open.
    pub(super) fn hang_up(&mut self, id: Id, talk: Talk) {
        let Some(ring) = self.ring.as_mut().filter(|_| talk.phase != Phase::Off) else { return };
        let mut talk = talk;
        for is_client in [true, false] {
            if *talk.is_armed(is_client) {
                ring.cancel(receive_word(id, is_client).u64());
            }
        }
        ring.flush();
    }
}

/// Keeps bytes behind what is kept.
fn append(way: &mut Direction, more: &[u8]) {
    let kept = way.rest.take();
    let kept = kept.as_ref().map_or(&[][..], |rest| &rest.bytes[rest.from..]);
    way.rest = Some(Box::new(Rest { bytes: [kept, more].concat().into(), from: 0 }));
}

/// Keeps bytes before what is kept.
fn prepend(way: &mut Direction, first: &[u8]) {
    let kept = way.rest.take();
    append(way, first);
    if let Some(kept) = kept {
        append(way, &kept.bytes[kept.from..]);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_sent_goes_before_what_came_later() {
        let mut way = Direction::default();
        append(&mut way, b"3");
        append(&mut way, b"4");
        prepend(&mut way, b"12");
        assert_eq!(&*way.rest.as_ref().unwrap().bytes, b"1234");
        way.rest.as_mut().unwrap().from = 1;
        append(&mut way, b"5");
        assert_eq!(&*way.rest.as_ref().unwrap().bytes, b"2345");
    }
}
