// SPDX-License-Identifier: Apache-2.0
//! What the changed nodes looked like after each of the latest changes, in columns and in the order of the log.
//!
//! A class that was not asked for some time has a few hundred changed nodes to compute, which lie all over the node table: ten cache
//! lines each. Here they lie side by side, and the kernel takes 64 at once.

use crate::nodes::{Block, Nodes, split};
use crate::{BLOCK, Slot};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// So many blocks of changes are kept.
const BLOCKS: usize = 1 << 7;

/// 64 changes.
#[derive(Debug)]
pub(crate) struct Past {
    /// The nodes after the changes. `odd` is as in the node table; `live` is not kept.
    pub(crate) block: Block,
    pub(crate) ties: [u32; BLOCK],
    pub(crate) slots: [Slot; BLOCK],
}

/// A ring of changes.
#[derive(Debug, Default)]
pub(crate) struct Trail {
    ring: Vec<Box<Past>>,
}

/// Block of the ring, and place in it, of a position in the log.
#[expect(clippy::cast_possible_truncation, reason = "taken modulo the ring's length")]
fn place(position: u64) -> (usize, usize) {
    let at = (position % (BLOCKS * BLOCK) as u64) as usize;
    (at / BLOCK, at % BLOCK)
}

impl Trail {
    /// Notes a node as it is after the change at that position of the log. Positions come in order.
    #[inline]
    pub(crate) fn note(&mut self, position: u64, slot: Slot, nodes: &Nodes) {
        let (at, lane) = place(position);
        if self.ring.len() <= at {
            self.grow();
        }
        let past = &mut self.ring[at];
        let (block, from) = split(slot);
        past.block.copy_node(lane, &nodes.blocks[block], from);
        past.ties[lane] = nodes.tie[slot as usize];
        past.slots[lane] = slot;
    }

    #[cold]
    fn grow(&mut self) {
        let empty = Past { block: Block::EMPTY, ties: [0; BLOCK], slots: [0; BLOCK] };
        self.ring.push(Box::new(empty));
    }

    /// Whether changes from `cursor` on are all here, given the log's head.
    pub(crate) fn reaches(cursor: u64, head: u64) -> bool {
        head - cursor <= ((BLOCKS - 1) * BLOCK) as u64
    }

    /// The block of a position.
    pub(crate) fn past(&self, position: u64) -> &Past {
        &self.ring[place(position).0]
    }
}
