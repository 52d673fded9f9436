// SPDX-License-Identifier: Apache-2.0
//! TCP connections of the backends.

use super::Counts;
use crate::balance::message::Request;
use crate::balance::pattern::{Pattern, Place};
use crate::balance::poller::Ready;
use crate::balance::wire::{LONGEST, Wire};
use rustix::io::Errno;
use rustix::net::{RecvFlags, SendFlags, SocketFlags, accept_with, recv, send};
use std::io;
use std::os::fd::OwnedFd;

/// Bytes that are read at once: no request is longer, and few come together.
const ROOM: usize = 4_096;

/// What a connection is about.
#[derive(Debug, Clone, Copy)]
pub struct Kind {
    /// How its requests look.
    pub wire: Wire,
    /// Whether it is answered by bulk.
    pub bulk: bool,
    /// The service that it reached.
    pub service: u32,
    /// The endpoint that it reached.
    pub endpoint: u32,
}

#[derive(Debug)]
struct Stream {
    socket: OwnedFd,
    kind: Kind,
    read: usize,
    bytes: [u8; LONGEST],
    bulk: Option<Bulk>,
}

/// Bulk that is due.
#[derive(Debug, Clone, Copy)]
struct Bulk {
    place: Place,
    left: u64,
}

/// What becomes of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Stays,
    Ends,
    Reset,
}

/// All of them, by slot.
#[derive(Debug)]
pub struct Streams {
    slots: Vec<Option<Box<Stream>>>,
    free: Vec<usize>,
    pattern: Pattern,
    room: Box<[u8; ROOM]>,
}

impl Default for Streams {
    fn default() -> Self {
        let room = Box::new([0; ROOM]);
        Self { slots: Vec::new(), free: Vec::new(), pattern: Pattern::new(), room }
    }
}

/// Accepts a connection, if one waits.
pub fn accept(listener: &OwnedFd) -> io::Result<Option<OwnedFd>> {
    match accept_with(listener, SocketFlags::NONBLOCK | SocketFlags::CLOEXEC) {
        Ok(socket) => Ok(Some(socket)),
        Err(Errno::AGAIN | Errno::CONNABORTED | Errno::INTR) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

impl Streams {
    /// Takes a connection in.
    pub fn insert(&mut self, socket: OwnedFd, kind: Kind) -> usize {
        let stream = Stream { socket, kind, read: 0, bytes: [0; LONGEST], bulk: None };
        let stream = Some(Box::new(stream));
        if let Some(slot) = self.free.pop() {
            self.slots[slot] = stream;
            return slot;
        }
        self.slots.push(stream);
        self.slots.len() - 1
    }

    /// A connection's socket.
    pub fn socket(&self, slot: usize) -> Option<&OwnedFd> {
        self.slots.get(slot)?.as_ref().map(|stream| &stream.socket)
    }

    /// Reads and answers as far as it goes.
    pub fn ready(&mut self, slot: usize, ready: Ready, counts: &mut Counts) {
        let Some(Some(stream)) = self.slots.get_mut(slot) else { return };
        let mut fate = Fate::Stays;
        if ready.readable {
            fate = stream.read(ready.ended, &mut self.room, counts);
        }
        if fate == Fate::Stays {
            fate = stream.write(&self.pattern);
        }
        if fate != Fate::Stays {
            counts.resets += u64::from(fate == Fate::Reset);
            self.slots[slot] = None;
            self.free.push(slot);
        }
    }
}

impl Stream {
    /// Reads what there is, and answers each whole request. A read that fills less than its room was the last one: what comes
    /// later is another event. After the other side's end it has to be read to the end, as nothing more will tell of it.
    fn read(&mut self, ended: bool, room: &mut [u8; ROOM], counts: &mut Counts) -> Fate {
        loop {
            let read = match recv(&self.socket, room.as_mut_slice(), RecvFlags::empty()) {
                Ok((0, _)) => return Fate::Ends,
                Ok((read, _)) => read,
                Err(Errno::AGAIN) => return Fate::Stays,
                Err(Errno::INTR) => continue,
                Err(_) => return Fate::Reset,
            };
            if !self.take(&room[..read], counts) {
                return Fate::Ends;
            }
            if read < ROOM && !ended {
                return Fate::Stays;
            }
        }
    }

    /// Takes bytes of requests; false ends the connection.
    fn take(&mut self, mut bytes: &[u8], counts: &mut Counts) -> bool {
        let whole = self.kind.wire.request_bytes();
        while !bytes.is_empty() {
            let (some, rest) = bytes.split_at(bytes.len().min(whole - self.read));
            self.bytes[self.read..self.read + some.len()].copy_from_slice(some);
            self.read += some.len();
            bytes = rest;
            if self.read == whole {
                self.read = 0;
                if !self.answer(counts) {
                    return false;
                }
            }
        }
        true
    }

    /// Answers the request in `bytes`; false ends the connection.
    fn answer(&mut self, counts: &mut Counts) -> bool {
        let Kind { wire, bulk, service, endpoint } = self.kind;
        let request = wire.read_request(&self.bytes[..wire.request_bytes()], service);
        let (request, last) = match request {
            Ok(read) => read,
            Err(wrong) => {
                counts.wrong(wrong);
                // The client finds an end where an answer is due; the count says why.
                return false;
            }
        };
        counts.requests += 1;
        if bulk {
            let Request { nonce, amount, .. } = request;
            self.bulk = Some(Bulk { place: Place::of(nonce), left: amount });
            return true;
        }
        let length = wire.answer(&mut self.bytes, &request, endpoint);
        // A client that leaves so many answers unread that there is no room for one is none of ours.
        let sent = send(&self.socket, &self.bytes[..length], SendFlags::NOSIGNAL);
        sent == Ok(length) && !last
    }

    /// Writes bulk until there is no room.
    fn write(&mut self, pattern: &Pattern) -> Fate {
        while let Some(bulk) = &mut self.bulk {
            let chunk = pattern.at(bulk.place);
            let length = usize::try_from(bulk.left).unwrap_or(usize::MAX).min(chunk.len());
            match send(&self.socket, &chunk[..length], SendFlags::NOSIGNAL) {
                Ok(sent) => {
                    bulk.place.advance(sent);
                    bulk.left -= sent as u64;
                }
                Err(Errno::AGAIN) => return Fate::Stays,
                Err(Errno::INTR) => {}
                Err(_) => return Fate::Reset,
            }
            if bulk.left == 0 {
                self.bulk = None;
            }
        }
        Fate::Stays
    }
}
