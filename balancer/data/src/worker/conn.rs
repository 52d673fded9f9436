// SPDX-License-Identifier: Apache-2.0
//! A TCP connection's record. While it is idle it owns no other memory.
//!
//! | state | event | next |
//! |---|---|---|
//! | header | the client's PROXY header is whole | connecting |
//! | header | it is malformed, late, or the client ends | gone |
//! | connecting | the endpoint accepts | open |
//! | connecting | the endpoint refuses or is late, others may be tried | connecting |
//! | connecting | none is left, or the client resets | gone |
//! | open | both directions are at their end | gone |
//! | open | a reset by either side, a timeout that cuts, the drain's deadline | gone, with a reset to the other side |

use super::pipes::Pipe;
use super::talk::Talk;
use super::wheel::Links;
use berth_balancer_core::model::Settings;
use berth_balancer_core::table::{BackendId, FrontendId, Via};
use berth_balancer_core::{Guest, Ticket};
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// A connection.
#[derive(Debug)]
pub(super) struct Conn {
    pub(super) client: Side,
    pub(super) server: Side,
    /// From the client to the endpoint.
    pub(super) up: Direction,
    /// From the endpoint to the client.
    pub(super) down: Direction,
    pub(super) state: State,
    /// It waits for another turn.
    pub(super) queued: bool,
    /// The kernel does not probe its endpoint yet.
    pub(super) unprobed: bool,
    /// What the rings have of it.
    pub(super) talk: Talk,
    pub(super) attempts: u8,
    pub(super) via: Via,
    pub(super) links: Links,
    /// Its place among those that connect.
    pub(super) dial: u32,
    pub(super) ticket: Option<Ticket>,
    pub(super) frontend: FrontendId,
    pub(super) settings: Arc<Settings>,
    /// The client: as its PROXY header says, where one is expected.
    pub(super) source: SocketAddr,
    /// The service's address.
    pub(super) destination: SocketAddr,
    /// Endpoints that failed.
    pub(super) tried: Vec<BackendId>,
    /// Counted for limits per source of the service.
    pub(super) guest: Option<Box<Guest>>,
    /// Counted for the worker's own bound per source.
    pub(super) crowd: Option<Guest>,
    pub(super) opened_ns: u64,
    /// When a byte last passed.
    pub(super) active_ns: u64,
    /// When the client sent what the endpoint has not answered; 0 if there is nothing.
    pub(super) asked_ns: u64,
}

// What an idle connection takes of the process' own memory, both sides together: the bound is half a kilobyte.
const _: () = assert!(size_of::<Conn>() <= 496);

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum State {
    Header,
    Connecting,
    Open,
}

/// One of the two sockets, and what is known of it.
#[derive(Debug, Default)]
pub(super) struct Side {
    pub(super) socket: Option<OwnedFd>,
    /// There may be something to read.
    pub(super) readable: bool,
    /// There may be room to write.
    pub(super) writable: bool,
    /// The peer's end of stream has arrived, maybe behind bytes.
    pub(super) ended: bool,
    /// The connection broke.
    pub(super) broken: bool,
    /// Urgent bytes came: a read ends before them, though more lies behind.
    pub(super) urgent: bool,
    /// Writes, up to two: from the second on small messages are not held back.
    pub(super) writes: u8,
}

/// One of the two ways that bytes take.
#[derive(Debug, Default)]
pub(super) struct Direction {
    /// Bytes that were read and could not be written.
    pub(super) rest: Option<Box<Rest>>,
    pub(super) pipe: Option<Pipe>,
    /// Goes through a pipe.
    pub(super) splices: bool,
    /// Large reads in a row; of one that splices, small ones.
    pub(super) run: u8,
    /// Nothing more will come.
    pub(super) at_end: bool,
    /// And the other side was told so.
    pub(super) is_shut: bool,
}

/// Bytes that were read and could not be written.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) bytes: Box<[u8]>,
    pub(super) from: usize,
}

impl Direction {
    /// Whether it holds bytes.
    pub(super) fn is_empty(&self) -> bool {
        self.rest.is_none() && self.pipe.as_ref().is_none_or(|pipe| pipe.filled == 0)
    }
}

impl Conn {
    /// When the connection is to be looked at, in nanoseconds.
    pub(super) fn due_ns(&self) -> Option<u64> {
        let timeouts = &self.settings.timeouts;
        match self.state {
            State::Header => {
                Some(self.opened_ns + u64::from(crate::limits::HEADER_MS_MAX) * 1_000_000)
            }
            State::Connecting => {
                let begun = self.ticket.as_ref().map_or(self.opened_ns, |ticket| ticket.opened_ns);
                Some(begun.saturating_add(timeouts.connect_ns))
            }
            State::Open => {
                let after = |from: u64, time: Option<u64>| Some(from.saturating_add(time?));
                let answer = timeouts.first_byte_ns.filter(|_| self.asked_ns != 0);
                let all = [
                    after(self.opened_ns, timeouts.age_ns_max),
                    after(self.active_ns, timeouts.idle_ns),
                    after(self.asked_ns, answer),
                ];
                all.into_iter().flatten().min()
            }
        }
    }
}
