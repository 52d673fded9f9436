// SPDX-License-Identifier: Apache-2.0
//! Timers of connections: a wheel of lists that run through the connections themselves. Setting one and taking it back cost a few
//! stores, and a connection without a timeout has no part in it.
//!
//! A timer is due in the turn of its slot at or after its time; what lies more than a round ahead is passed over each round.

use super::conn::Conn;
use super::slab::{Id, Slab};

/// Slots: with ticks of 8 ms a round takes 8 s.
const SLOTS: usize = 1_024;
const TICK_NS: u64 = 8_000_000;

const NONE: u32 = u32::MAX;

/// A connection's place in the wheel.
#[derive(Debug, Clone, Copy)]
pub(super) struct Links {
    /// When it is looked at, in nanoseconds; 0 if it is in no list.
    pub(super) due_ns: u64,
    prev: u32,
    next: u32,
}

impl Links {
    pub(super) const NONE: Self = Self { due_ns: 0, prev: NONE, next: NONE };
}

/// The wheel.
#[derive(Debug)]
pub(super) struct Wheel {
    heads: Box<[u32]>,
    /// The tick that is next.
    tick: u64,
    armed: u32,
}

impl Wheel {
    pub(super) fn new(now: u64) -> Self {
        Self { heads: vec![NONE; SLOTS].into_boxed_slice(), tick: now / TICK_NS, armed: 0 }
    }

    /// Nanoseconds until somebody may be due; `None` if nobody waits.
    pub(super) fn wait_ns(&self, now: u64) -> Option<u64> {
        if self.armed == 0 {
            return None;
        }
        // The next slot that has somebody: most have not, and a worker that sleeps does not wake for those.
        let ahead = (0..SLOTS as u64).find(|ahead| self.heads[slot(self.tick + ahead)] != NONE)?;
        Some(((self.tick + ahead + 1) * TICK_NS).saturating_sub(now))
    }

    /// Has a connection looked at at `due_ns`, unless it is looked at sooner already.
    pub(super) fn arm(&mut self, conns: &mut Slab<Conn>, id: Id, due_ns: u64) {
        let Some(conn) = conns.get(id) else { return };
        if conn.links.due_ns != 0 {
            if conn.links.due_ns <= due_ns {
                return;
            }
            self.disarm(conns, id.index);
        }
        let at = slot((due_ns / TICK_NS).max(self.tick));
        let next = std::mem::replace(&mut self.heads[at], id.index);
        if let Some((_, second)) = conns.at(next) {
            second.links.prev = id.index;
        }
        if let Some(conn) = conns.get(id) {
            conn.links = Links { due_ns: due_ns.max(self.tick * TICK_NS).max(1), prev: NONE, next };
            self.armed += 1;
        }
    }

    /// Takes a connection out.
    pub(super) fn disarm(&mut self, conns: &mut Slab<Conn>, index: u32) {
        let Some((_, conn)) = conns.at(index) else { return };
        let links = std::mem::replace(&mut conn.links, Links::NONE);
        if links.due_ns == 0 {
            return;
        }
        self.armed -= 1;
        match conns.at(links.prev) {
            Some((_, before)) => before.links.next = links.next,
            None => self.heads[slot(links.due_ns / TICK_NS)] = links.next,
        }
        if let Some((_, behind)) = conns.at(links.next) {
            behind.links.prev = links.prev;
        }
    }

    /// Takes those out that are due at `now`.
    pub(super) fn expire(&mut self, conns: &mut Slab<Conn>, now: u64, due: &mut Vec<Id>) {
        let last = now / TICK_NS;
        if self.armed == 0 {
            self.tick = last;
            return;
        }
        let rounds = last.saturating_sub(self.tick).min(SLOTS as u64);
        for tick in last - rounds..last {
            let mut at = self.heads[slot(tick)];
            while let Some((id, conn)) = conns.at(at) {
                let (due_ns, next) = (conn.links.due_ns, conn.links.next);
                if due_ns <= now {
                    self.disarm(conns, at);
                    due.push(id);
                }
                at = next;
            }
        }
        self.tick = last;
    }
}

fn slot(tick: u64) -> usize {
    usize::try_from(tick % SLOTS as u64).unwrap_or(0)
}
