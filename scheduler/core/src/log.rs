// SPDX-License-Identifier: Apache-2.0
//! The log of changed nodes. Each class reads it from its own cursor and mends what it holds about those nodes.
//!
//! A ring: who falls behind by more than its length rebuilds from the tables instead.

use crate::Slot;
use crate::nodes::Nodes;
use crate::peers::PeerId;
use crate::trail::Trail;
use alloc::vec;
use alloc::vec::Vec;

/// One change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// The node.
    pub(crate) slot: Slot,
    /// Which kind of pod came or went; `PeerId::NONE` where none did.
    pub(crate) peer: PeerId,
    /// How many came (negative: went).
    pub(crate) delta: i32,
    /// How far back the previous entry of the same peer lies; 0: out of reach, or there is none.
    back: u32,
}

/// The ring of changes. Positions count from the start of the run.
#[derive(Debug)]
pub(crate) struct Log {
    ring: Vec<Entry>,
    head: u64,
    /// Position after the last entry that says a node's own fields changed.
    static_head: u64,
    /// Position after the last entry of a peer with terms.
    terms_head: u64,
    /// By slot: position of its last entry.
    last: Vec<u64>,
    /// By slot: position of its last entry that says its own fields changed, plus one.
    last_static: Vec<u64>,
    /// By peer: position of its last entry, plus one.
    last_of_peer: Vec<u64>,
    trail: Trail,
}

const LENGTH: usize = 1 << 16;

impl Log {
    pub(crate) fn new() -> Self {
        let empty = Entry { slot: 0, peer: PeerId::NONE, delta: 0, back: 0 };
        Self {
            ring: vec![empty; LENGTH],
            head: 0,
            static_head: 0,
            terms_head: 0,
            last: Vec::new(),
            last_static: Vec::new(),
            last_of_peer: Vec::new(),
            trail: Trail::default(),
        }
    }

    /// Makes room for slots below `slots`.
    pub(crate) fn grow(&mut self, slots: usize) {
        self.last.resize(slots, 0);
        self.last_static.resize(slots, 0);
    }

    /// The position after the last entry.
    #[inline]
    pub(crate) fn head(&self) -> u64 {
        self.head
    }

    /// Pods came or went, or usage changed, which `nodes` shows.
    #[inline]
    pub(crate) fn push(
        &mut self,
        nodes: &Nodes,
        slot: Slot,
        peer: PeerId,
        delta: i32,
        terms: bool,
    ) {
        let at = self.head;
        self.trail.note(at, slot, nodes);
        #[expect(clippy::cast_possible_truncation, reason = "masked to the ring's length")]
        let index = at as usize & (LENGTH - 1);
        let back = self.link(peer, at);
        self.ring[index] = Entry { slot, peer, delta, back };
        self.last[slot as usize] = at;
        self.head = at + 1;
        if terms {
            self.terms_head = self.head;
        }
    }

    /// Chains an entry of a peer to its previous one.
    fn link(&mut self, peer: PeerId, at: u64) -> u32 {
        if peer == PeerId::NONE {
            return 0;
        }
        let peer = peer.0 as usize;
        if self.last_of_peer.len() <= peer {
            self.last_of_peer.resize(peer + 1, 0);
        }
        let previous = core::mem::replace(&mut self.last_of_peer[peer], at + 1);
        if previous == 0 { 0 } else { u32::try_from(at + 1 - previous).unwrap_or(0) }
    }

    /// Entries of one peer from `cursor` on, the latest first. All of them must be within reach.
    pub(crate) fn of_peer(&self, peer: PeerId, cursor: u64) -> impl Iterator<Item = Entry> {
        let mut next = self.last_of_peer.get(peer.0 as usize).copied().unwrap_or(0);
        core::iter::from_fn(move || {
            if next <= cursor {
                return None;
            }
            let entry = self.entry(next - 1);
            next = if entry.back == 0 { 0 } else { next - u64::from(entry.back) };
            Some(entry)
        })
    }

    /// The node's own fields changed: labels, taints, capacity, presence.
    pub(crate) fn push_static(&mut self, nodes: &Nodes, slot: Slot) {
        self.push(nodes, slot, PeerId::NONE, 0, false);
        self.static_head = self.head;
        self.last_static[slot as usize] = self.head;
    }

    /// Whether a reader at `cursor` can still read on.
    #[inline]
    pub(crate) fn reaches(&self, cursor: u64) -> bool {
        self.head - cursor <= LENGTH as u64
    }

    /// Whether a node's own fields changed since `cursor`.
    #[inline]
    pub(crate) fn static_since(&self, cursor: u64) -> bool {
        self.static_head > cursor
    }

    /// Whether pods with terms came or went since `cursor`.
    #[inline]
    pub(crate) fn terms_since(&self, cursor: u64) -> bool {
        self.terms_head > cursor
    }

    /// The changed nodes as they were after each change, if those from `cursor` on are all still known.
    pub(crate) fn trail(&self, cursor: u64) -> Option<&Trail> {
        Trail::reaches(cursor, self.head).then_some(&self.trail)
    }

    /// Whether that node's own fields changed since `cursor`.
    #[inline]
    pub(crate) fn slot_static_since(&self, slot: Slot, cursor: u64) -> bool {
        self.last_static[slot as usize] > cursor
    }

    /// The entry at a position within reach.
    #[inline]
    pub(crate) fn entry(&self, position: u64) -> Entry {
        #[expect(clippy::cast_possible_truncation, reason = "masked to the ring's length")]
        let index = position as usize & (LENGTH - 1);
        self.ring[index]
    }

    /// Whether the entry at `position` is the last one of its node.
    #[inline]
    pub(crate) fn is_last(&self, position: u64, slot: Slot) -> bool {
        self.last[slot as usize] == position
    }

    /// Whether the node has an entry at or after that position.
    #[inline]
    pub(crate) fn changed_since(&self, slot: Slot, position: u64) -> bool {
        self.last[slot as usize] >= position
    }
}
