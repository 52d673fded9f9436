// SPDX-License-Identifier: Apache-2.0
//! UDP flows: which backend the packets of a client's port go to.
//!
//! | state | event | next |
//! |---|---|---|
//! | none | a packet of the client | unreplied, if a backend is found |
//! | unreplied | a packet of the backend | replied |
//! | unreplied, replied | a packet of either | the same, its time begins anew |
//! | unreplied, replied | its time is over; its backend is gone; it is evicted | none |
//!
//! Bounded: when the table is full, the unreplied flow that was silent longest goes, as long as more than an eighth of the table is
//! unreplied, else the replied one. So a flood from made-up sources, which nobody answers, pushes out itself and no conversation
//! (conntrack's early drop); and where all are conversations, a new one that waits for its first reply is not what goes.
//! Which of two was silent longest is told to a second: a packet moves its flow in the list at most once in that time.

use crate::hash::bits;
use crate::lru::{Lru, NONE};
use crate::model::Timeouts;
use crate::table::BackendId;
use alloc::vec::Vec;
use core::net::SocketAddr;

/// Who talks to which service address.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct FlowKey {
    source: u128,
    destination: u128,
    ports: u32,
}

impl FlowKey {
    /// The flow of packets from `source` to `destination`.
    #[must_use]
    #[inline]
    pub fn new(source: SocketAddr, destination: SocketAddr) -> Self {
        Self {
            source: bits(source.ip()),
            destination: bits(destination.ip()),
            ports: u32::from(source.port()) << 16 | u32::from(destination.port()),
        }
    }

    /// The client.
    #[must_use]
    pub fn source(&self) -> SocketAddr {
        socket(self.source, self.ports >> 16)
    }

    /// The service's address, from which replies come.
    #[must_use]
    pub fn destination(&self) -> SocketAddr {
        socket(self.destination, self.ports & 0xffff)
    }
}

fn socket(address: u128, port: u32) -> SocketAddr {
    let address = core::net::Ipv6Addr::from_bits(address).to_canonical();
    SocketAddr::new(address, u16::try_from(port).unwrap_or(0))
}

/// A flow.
#[derive(Debug)]
pub struct Flow<V> {
    /// Where it goes.
    pub backend: BackendId,
    /// What the data plane keeps with it: its socket, its ticket.
    pub value: V,
    /// When the last packet passed, in nanoseconds.
    last: u64,
    /// Times, in milliseconds.
    unreplied: u32,
    replied: u32,
    is_replied: bool,
    /// Flows of the same backend.
    next: u32,
    prev: u32,
}

impl<V> Flow<V> {
    /// Whether the backend ever sent a packet.
    #[must_use]
    pub fn is_replied(&self) -> bool {
        self.is_replied
    }

    /// When it ends unless a packet passes, in nanoseconds.
    #[must_use]
    #[inline]
    pub fn expires_ns(&self) -> u64 {
        let time = if self.is_replied { self.replied } else { self.unreplied };
        self.last.saturating_add(u64::from(time) * MILLISECOND)
    }
}

const MILLISECOND: u64 = 1_000_000;

/// How exactly it is known which flow was silent longest.
const RECENT_NS: u64 = 1_000 * MILLISECOND;

/// Flows of one worker.
#[derive(Debug)]
pub struct FlowTable<V> {
    flows: Lru<FlowKey, Flow<V>>,
    /// The first flow of each backend, by its slot.
    heads: Vec<u32>,
    cursor: u32,
    unreplied: u32,
    /// So many may be unreplied before those go first.
    unreplied_max: u32,
}

impl<V> FlowTable<V> {
    /// Bytes that a flow takes. The table asks for the memory of all at the beginning; pages come as they are used.
    pub const FLOW_BYTES: usize = Lru::<FlowKey, Flow<V>>::ENTRY_BYTES;

    /// A table for at most `flows_max` flows. The seed should be secret: who knows it can choose
    /// sources that collide.
    #[must_use]
    pub fn new(flows_max: u32, seed: u64) -> Self {
        Self {
            flows: Lru::new(flows_max, seed),
            heads: Vec::new(),
            cursor: 0,
            unreplied: 0,
            unreplied_max: flows_max / 8,
        }
    }

    /// Flows that are there, expired ones that were not swept included.
    #[must_use]
    pub fn len(&self) -> usize {
        self.flows.len()
    }

    /// Whether there is no flow.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The flow of a client's packet at `now` (nanoseconds), whose time begins anew.
    ///
    /// `None`: there is none, or it expired and is to be taken out by [`Self::take`] first.
    #[inline]
    pub fn packet(&mut self, key: &FlowKey, now: u64) -> Option<&mut Flow<V>> {
        let slot = self.flows.find(key)?;
        self.pass(slot, now, false)
    }

    /// The flow of a backend's packet at `now`. From now on it counts as replied.
    #[inline]
    pub fn reply(&mut self, key: &FlowKey, now: u64) -> Option<&mut Flow<V>> {
        let slot = self.flows.find(key)?;
        self.pass(slot, now, true)
    }

    #[inline]
    fn pass(&mut self, slot: u32, now: u64, reply: bool) -> Option<&mut Flow<V>> {
        let flow = self.flows.value(slot)?;
        if flow.expires_ns() <= now {
            return None;
        }
        let turns = reply && !flow.is_replied;
        let moves = turns || now.saturating_sub(flow.last) >= RECENT_NS;
        flow.last = flow.last.max(now);
        flow.is_replied |= reply;
        self.unreplied -= u32::from(turns);
        if moves {
            let list = u8::from(flow.is_replied);
            self.flows.touch(slot, list);
        }
        self.flows.value(slot)
    }

    /// A new flow. Gives back the flow that had to go for it, or the one that expired under its key.
    #[must_use = "what goes holds a socket and a ticket"]
    pub fn insert(
        &mut self,
        key: FlowKey,
        backend: BackendId,
        value: V,
        timeouts: &Timeouts,
        now: u64,
    ) -> Option<(FlowKey, Flow<V>)> {
        let slot = self.flows.find(&key).or_else(|| {
            let first = u8::from(self.unreplied <= self.unreplied_max);
            let oldest = || self.flows.oldest(first).or_else(|| self.flows.oldest(1 - first));
            if self.flows.is_full() { oldest() } else { None }
        });
        let evicted = slot.and_then(|slot| self.remove(slot));
        let milliseconds =
            |time: u64| u32::try_from(time.div_ceil(MILLISECOND)).unwrap_or(u32::MAX);
        let flow = Flow {
            backend,
            value,
            last: now,
            unreplied: milliseconds(timeouts.udp_unreplied_ns),
            replied: milliseconds(timeouts.udp_replied_ns),
            is_replied: false,
            next: NONE,
            prev: NONE,
        };
        let slot = self.flows.insert(0, key, flow);
        self.unreplied += 1;
        self.link(slot, backend);
        evicted
    }

    /// Takes a flow out.
    #[must_use = "what goes holds a socket and a ticket"]
    pub fn take(&mut self, key: &FlowKey) -> Option<(FlowKey, Flow<V>)> {
        let slot = self.flows.find(key)?;
        self.remove(slot)
    }

    /// Takes all flows of a backend out, at the cost of their number, and gives each to `gone`.
    pub fn remove_backend(&mut self, backend: BackendId, mut gone: impl FnMut(FlowKey, Flow<V>)) {
        let mut at = self.head(backend);
        while let Some((_, flow)) = self.flows.item(at) {
            let next = flow.next;
            // Another generation of the slot may have flows already.
            if flow.backend == backend
                && let Some((key, flow)) = self.remove(at)
            {
                gone(key, flow);
            }
            at = next;
        }
    }

    /// Takes expired flows out, in `budget` of the slots: call it again and again, so often that all slots are seen within the
    /// time that a dead flow may hold its socket. Lookups are exact without it.
    pub fn sweep(&mut self, now: u64, budget: u32, mut gone: impl FnMut(FlowKey, Flow<V>)) {
        for _ in 0..budget.min(self.flows.slots()) {
            self.cursor = if self.cursor + 1 >= self.flows.slots() { 0 } else { self.cursor + 1 };
            let expired = |item: &(FlowKey, Flow<V>)| item.1.expires_ns() <= now;
            if self.flows.item(self.cursor).is_some_and(expired)
                && let Some((key, flow)) = self.remove(self.cursor)
            {
                gone(key, flow);
            }
        }
    }

    /// Shows all flows to `visit`, expired ones that were not swept included, in no order that means anything. Costs what the table
    /// can hold.
    pub fn each(&self, mut visit: impl FnMut(&FlowKey, &Flow<V>)) {
        for slot in 0..self.flows.slots() {
            if let Some((key, flow)) = self.flows.item(slot) {
                visit(key, flow);
            }
        }
    }

    fn remove(&mut self, slot: u32) -> Option<(FlowKey, Flow<V>)> {
        let (key, flow) = self.flows.remove(slot)?;
        self.unreplied -= u32::from(!flow.is_replied);
        match self.flows.value(flow.prev) {
            Some(before) => before.next = flow.next,
            None => self.heads[flow.backend.slot as usize] = flow.next,
        }
        if let Some(behind) = self.flows.value(flow.next) {
            behind.prev = flow.prev;
        }
        Some((key, flow))
    }

    fn link(&mut self, slot: u32, backend: BackendId) {
        let at = backend.slot as usize;
        if self.heads.len() <= at {
            self.heads.resize(at + 1, NONE);
        }
        let head = core::mem::replace(&mut self.heads[at], slot);
        if let Some(first) = self.flows.value(head) {
            first.prev = slot;
        }
        if let Some(flow) = self.flows.value(slot) {
            flow.next = head;
        }
    }

    fn head(&self, backend: BackendId) -> u32 {
        self.heads.get(backend.slot as usize).copied().unwrap_or(NONE)
    }
}

#[cfg(test)]
mod tests;
