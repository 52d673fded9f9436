// SPDX-License-Identifier: Apache-2.0
//! The compiled table: from an address, port and protocol to a frontend, and to the sets of backends that may serve it.
//!
//! A table never changes. [`crate::Compiler`] makes the next one, which shares with it all that stayed the same; a data plane
//! publishes it by swapping a pointer. Cloning costs a few reference counts.

mod address;
mod backend;
mod diff;
mod frontend;
mod pool;

pub use backend::{Backend, BackendId, Shared};
pub use diff::{Diff, Moved};
pub use frontend::{Frontend, FrontendId, Served, Via};
pub use pool::{Pool, Tier};

pub(crate) use address::{Addresses, Key, Owner};
pub(crate) use backend::{Flags, leave as backend_leave};
pub(crate) use pool::Hashing;

use crate::model::Protocol;
use crate::trie::Trie;
use alloc::sync::Arc;
use core::net::{IpAddr, SocketAddr};

/// A compiled table.
#[derive(Debug, Clone, Default)]
pub struct Table {
    pub(crate) version: u64,
    /// By slot.
    pub(crate) frontends: Trie<Arc<Frontend>, 4>,
    pub(crate) addresses: Addresses,
    pub(crate) counts: Counts,
}

/// How much there is in a table.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frontends.
    pub frontends: u32,
    /// Backends.
    pub backends: u32,
    /// Slots of frontends: all of their ids have lower ones.
    pub frontend_slots: u32,
    /// Slots of backends: all of their ids have lower ones.
    pub backend_slots: u32,
}

/// What serves an address.
#[derive(Debug, Clone, Copy)]
pub struct Found<'a> {
    /// The frontend.
    pub frontend: &'a Arc<Frontend>,
    /// The kind of the address.
    pub via: Via,
}

impl Table {
    /// Counts up with each change.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.version
    }

    /// How much there is.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.counts
    }

    /// What serves a destination: its own address and port, or a node port on one of the node's addresses.
    #[must_use]
    #[inline]
    pub fn lookup(&self, protocol: Protocol, destination: SocketAddr) -> Option<Found<'_>> {
        let owner = self.addresses.find(protocol, destination)?;
        let frontend = self.frontends.get(owner.slot)?;
        Some(Found { frontend, via: owner.via })
    }

    /// A frontend by its id, if it is still there.
    #[must_use]
    #[inline]
    pub fn frontend(&self, id: FrontendId) -> Option<&Arc<Frontend>> {
        self.frontends.get(id.slot).filter(|frontend| frontend.id == id)
    }

    /// Calls `visit` with every frontend, in the order of their slots.
    pub fn each(&self, mut visit: impl FnMut(&Arc<Frontend>)) {
        self.frontends.each(|_, frontend| visit(frontend));
    }

    /// Addresses on which node ports are served, in order.
    #[must_use]
    pub fn node_addresses(&self) -> &[IpAddr] {
        &self.addresses.node
    }
}
