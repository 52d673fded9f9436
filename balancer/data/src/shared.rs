// SPDX-License-Identifier: Apache-2.0
//! The two tables that must hold for one client on all workers: affinity and limits per source. Each is cut into parts behind
//! locks of their own, chosen by the source's hash; a lock is held for less than a microsecond and never over a system call, and
//! never by the control plane. Who is replaced tells its successor what lies in them, a part at a time.

use crate::limits::CLIENTS_MAX;
use berth_balancer_core::table::FrontendId;
use berth_balancer_core::{Affinity, Known, Prefer, Sources, source_hash};
use std::net::IpAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

const PARTS: u32 = 32;

/// Tables keyed by source.
#[derive(Debug)]
pub(crate) struct Shared {
    affinity: Box<[Mutex<Affinity>]>,
    sources: Box<[Mutex<Sources>]>,
}

impl Shared {
    /// Empty ones. `seed` must be secret.
    pub(crate) fn new(seed: u64) -> Self {
        let each = CLIENTS_MAX / PARTS;
        let seeds = || (0..u64::from(PARTS)).map(|part| seed.wrapping_add(part));
        Self {
            affinity: seeds().map(|seed| Mutex::new(Affinity::new(each, seed))).collect(),
            sources: seeds().map(|seed| Mutex::new(Sources::new(each, !seed))).collect(),
        }
    }

    /// The part that has a source's affinity.
    pub(crate) fn affinity(&self, source: IpAddr) -> MutexGuard<'_, Affinity> {
        // A worker that panicked in between left a table that is whole: its operations do not panic half way.
        self.affinity[part(source)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The part that has a source's limits. Those of an IPv6 network of 64 bits are one client, and lie in one part.
    pub(crate) fn sources(&self, source: IpAddr) -> MutexGuard<'_, Sources> {
        let network = match source.to_canonical() {
            IpAddr::V6(v6) => IpAddr::V6((v6.to_bits() >> 64 << 64).into()),
            v4 @ IpAddr::V4(_) => v4,
        };
        self.sources[part(network)].lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Shows all clients that have an endpoint, in the order of [`Affinity::each`] for those that lie in one part.
    pub(crate) fn each_affinity(&self, mut visit: impl FnMut(FrontendId, IpAddr, Prefer, u64)) {
        for part in &self.affinity {
            part.lock().unwrap_or_else(PoisonError::into_inner).each(&mut visit);
        }
    }

    /// Shows all clients that have connections.
    pub(crate) fn each_connected(&self, mut visit: impl FnMut(FrontendId, IpAddr, Known)) {
        for part in &self.sources {
            part.lock().unwrap_or_else(PoisonError::into_inner).connected(&mut visit);
        }
    }

    /// Shows all clients that are counted.
    pub(crate) fn each_source(&self, now: u64, mut visit: impl FnMut(FrontendId, IpAddr, Known)) {
        for part in &self.sources {
            part.lock().unwrap_or_else(PoisonError::into_inner).each(now, &mut visit);
        }
    }

    /// Forgets what expired, a bit at a time.
    pub(crate) fn sweep(&self, now: u64, part: usize) {
        let part = &self.affinity[part % self.affinity.len()];
        part.lock().unwrap_or_else(PoisonError::into_inner).sweep(now, 256);
    }
}

fn part(source: IpAddr) -> usize {
    usize::try_from(source_hash(source) % u64::from(PARTS)).unwrap_or(0)
}
