// SPDX-License-Identifier: Apache-2.0
//! One worker's side of the balancer: chooses backends, and keeps what this worker knows of them.
//!
//! Share-nothing: each worker owns a `Worker`, and no worker reads another's. Loads and latencies that a worker sees are a sample
//! of the whole, and power of two choices needs no more (it was made for balancers that do not know of each other). What must be
//! exact for all together is in the table as atomics ([`crate::table::Shared`]) and touched only where a limit asks for it; what
//! the control plane finds out (readiness, active health) comes with the next table.
//!
//! The way of a connection: [`Worker::open`], then [`Worker::on_connected`], [`Worker::on_first_byte`] any number of times, and
//! at last [`Worker::on_close`] or [`Worker::on_failed`]. `select` has the algorithms, `outlier` the ejections, `state` the arrays.

mod outlier;
mod select;
mod state;
mod ticket;

pub use outlier::Record;
pub use select::{Pick, Prefer, Request};
pub use ticket::{Refusal, Ticket};

use crate::drain::Drains;
use crate::random::Random;
use crate::table::{BackendId, Diff, Frontend, Table};
use state::{FrontendStates, States};

/// A worker's choices and books.
#[derive(Debug)]
pub struct Worker {
    states: States,
    frontends: FrontendStates,
    random: Random,
    drains: Drains,
}

/// What a worker knows of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seen {
    /// Connections of this worker.
    pub active: u32,
    /// Latency to expect, in nanoseconds.
    pub latency_ns: u64,
    /// Until when it is passed over; in the past if it is not.
    pub ejected_until_ns: u64,
    /// Failures in a row.
    pub failures: u16,
}

impl Worker {
    /// A worker that knows nothing yet. Each gets a seed of its own.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self {
            states: States::default(),
            frontends: FrontendStates::new(seed),
            random: Random::new(seed),
            drains: Drains::default(),
        }
    }

    /// Takes over from one table to a newer one at `now` (nanoseconds): state of backends that are in both stays, backends that
    /// are gone begin to drain, those that are back have their connections again. Makes room, so that no choice allocates. Says what is different.
    pub fn adopt(&mut self, old: &Table, new: &Table, now: u64) -> Diff {
        let diff = Diff::between(old, new);
        self.states.reserve(new.counts().backend_slots);
        self.frontends.reserve(new.counts().frontend_slots);
        for (frontend, backend) in &diff.backends_removed {
            let active = self.states.retire(*backend);
            let drain = old.frontend(*frontend).map_or(0, |frontend| frontend.settings.drain_ns);
            self.drains.begin(*backend, active, now.saturating_add(drain));
        }
        if !self.drains.is_empty() {
            for (_, backend) in &diff.backends_added {
                match self.drains.end(*backend) {
                    0 => {}
                    active => self.states.of(*backend).active = active,
                }
            }
        }
        diff
    }

    /// The backends that left the table with connections of this worker.
    #[must_use]
    pub fn drains(&self) -> &Drains {
        &self.drains
    }

    /// The next backend whose drain deadline has passed at `now`: the caller ends its connections and closes their tickets. It
    /// is named once.
    pub fn drain_expired(&mut self, now: u64) -> Option<BackendId> {
        self.drains.expired(now)
    }

    /// What this worker knows of a backend of a frontend.
    #[must_use]
    pub fn seen(&self, frontend: &Frontend, backend: BackendId, now: u64) -> Seen {
        let state = self.states.get(backend);
        let mean = self.frontends.get(frontend.id).mean.get();
        Seen {
            active: state.active,
            latency_ns: state.latency.estimate(mean, now),
            ejected_until_ns: state.ejected_until,
            failures: state.failures,
        }
    }
}
