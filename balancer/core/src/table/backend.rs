// SPDX-License-Identifier: Apache-2.0
//! Backends: one endpoint's address and port behind one frontend.

use crate::model::{Name, Rate};
use crate::rate;
use alloc::sync::Arc;
use core::net::SocketAddr;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};

/// Identifies a backend from the table in which it appears to the one in which it is gone. Its name and address do not change
/// in between; another generation in the same slot is another backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BackendId {
    /// Dense: workers keep their state in an array by it.
    pub slot: u32,
    /// Which user of the slot.
    pub generation: u32,
}

/// An endpoint's address and port behind one frontend.
#[derive(Debug, Clone)]
pub struct Backend {
    /// Identity.
    pub id: BackendId,
    /// Where it listens.
    pub address: SocketAddr,
    /// Since when it takes new flows, in nanoseconds: slow start counts from here.
    pub since_ns: u64,
    /// Share of flows against others.
    pub weight: u32,
    pub(crate) flags: Flags,
    /// What all workers count together.
    pub shared: Arc<Shared>,
}

// One cache line: a choice reads two of them.
const _: () = assert!(size_of::<Backend>() == 64);

impl Backend {
    /// Name of the endpoint.
    #[must_use]
    pub fn name(&self) -> &Name {
        &self.shared.name
    }

    /// Whether it is ready.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.flags.has(Flags::READY)
    }

    /// Whether it is serving.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.flags.has(Flags::SERVING)
    }

    /// Whether it is terminating.
    #[must_use]
    pub fn is_terminating(&self) -> bool {
        self.flags.has(Flags::TERMINATING)
    }

    /// Whether active checks say nothing against it.
    #[must_use]
    #[inline]
    pub fn is_healthy(&self) -> bool {
        self.flags.has(Flags::HEALTHY)
    }

    /// Whether it runs on this node.
    #[must_use]
    pub fn is_local(&self) -> bool {
        self.flags.has(Flags::LOCAL)
    }

    /// Whether it runs in this node's zone.
    #[must_use]
    pub fn is_in_zone(&self) -> bool {
        self.flags.has(Flags::IN_ZONE)
    }

    /// The same in all that matters to who uses the table.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        (self.id, self.address, self.since_ns) == (other.id, other.address, other.since_ns)
            && (self.weight, self.flags) == (other.weight, other.flags)
    }
}

/// What is known of a backend, a bit each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    pub(crate) const READY: Self = Self(1);
    pub(crate) const SERVING: Self = Self(1 << 1);
    pub(crate) const TERMINATING: Self = Self(1 << 2);
    pub(crate) const HEALTHY: Self = Self(1 << 3);
    pub(crate) const LOCAL: Self = Self(1 << 4);
    pub(crate) const IN_ZONE: Self = Self(1 << 5);

    #[inline]
    pub(crate) fn has(self, flag: Self) -> bool {
        self.0 & flag.0 != 0
    }

    /// With a flag set or not.
    pub(crate) fn with(self, flag: Self, set: bool) -> Self {
        Self(if set { self.0 | flag.0 } else { self.0 & !flag.0 })
    }
}

/// What all workers count together about a backend: only where a limit asks for it, since a counter that all workers write goes
/// from core to core with each flow. Lives as long as anybody holds it, also after the backend left the table.
#[derive(Debug)]
pub struct Shared {
    name: Name,
    connections: AtomicU32,
    /// State of the bucket of new connections.
    bucket: AtomicU64,
}

impl Shared {
    pub(crate) fn new(name: Name) -> Self {
        Self { name, connections: AtomicU32::new(0), bucket: AtomicU64::new(0) }
    }

    /// Connections that are counted now.
    #[must_use]
    pub fn connections(&self) -> u32 {
        // Counters order nothing else: Relaxed, here and below.
        self.connections.load(Ordering::Relaxed)
    }

    /// Counts one more, unless there are `most`.
    pub(crate) fn enter(&self, most: u32) -> bool {
        enter(&self.connections, most)
    }

    /// Counts one less.
    pub(crate) fn leave(&self) {
        leave(&self.connections);
    }

    /// Whether a token is there at `now`.
    pub(crate) fn has_token(&self, rate: Rate, now: u64) -> bool {
        rate::take(self.bucket.load(Ordering::Relaxed), rate, now).is_some()
    }

    /// Takes a token.
    pub(crate) fn take_token(&self, rate: Rate, now: u64) -> bool {
        let take = |bucket| rate::take(bucket, rate, now);
        self.bucket.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok()
    }
}

/// Counts one more, unless there are `most`.
pub(crate) fn enter(count: &AtomicU32, most: u32) -> bool {
    let more = |count| (count < most).then_some(count + 1);
    count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).is_ok()
}

/// Counts one less.
pub(crate) fn leave(count: &AtomicU32) {
    let before = count.fetch_sub(1, Ordering::Relaxed);
    debug_assert!(before > 0, "more connections left than entered");
}
