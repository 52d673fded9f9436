// SPDX-License-Identifier: Apache-2.0
//! The client's side: one loop per kind of load, each on one thread, which checks every answer.
//!
//! - [`closed`]: connections that ask again when they are answered, or again on a new connection
//! - [`open`]: requests at fixed times, whatever became of those before
//! - [`bulk`]: downloads, as fast as they can be read
//! - [`change`]: endpoints come and go while connections are held
//! - [`idle`]: connections that are held
//! - [`datagrams`]: pairs of datagrams
//! - [`steady`]: held and new connections while something happens to the balancer

pub mod bulk;
pub mod change;
pub mod closed;
pub mod course;
pub mod datagrams;
pub mod idle;
pub mod open;
pub mod steady;
pub mod talk;

use super::message::Nonces;
use super::socket::Sources;
use super::wire::Wire;
use std::net::SocketAddr;
use std::time::Duration;

/// How long an answer may take before it counts as a failure.
pub const PATIENCE: Duration = Duration::from_secs(5);

/// Whom a load asks.
#[derive(Debug, Clone)]
pub struct Target {
    /// Where: of several addresses, each connection takes the next.
    pub addresses: Vec<SocketAddr>,
    /// The service.
    pub service: u32,
    /// From where.
    pub sources: Sources,
    /// Decides the nonces.
    pub seed: u64,
}

impl Target {
    /// The address of the connection of this number.
    pub fn address(&self, number: usize) -> SocketAddr {
        self.addresses[number % self.addresses.len()]
    }

    /// The nonces of a run.
    pub fn nonces(&self) -> Nonces {
        Nonces::new(self.seed)
    }
}

/// What happens to a balancer in row `hold`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Upheaval {
    /// Connections that are held.
    pub held: usize,
    /// Configurations that are reloaded.
    pub reloads: usize,
    /// Endpoints that leave or come back.
    pub changes: usize,
    /// Processes that are replaced.
    pub upgrades: usize,
    /// New connections a second.
    pub per_second: f64,
}

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Kind {
    /// Connections that ask again when they are answered.
    Closed {
        /// How many.
        connections: usize,
        /// How requests look.
        wire: Wire,
        /// A connection for each request.
        short: bool,
    },
    /// Requests at fixed times.
    Open {
        /// On how many connections.
        connections: usize,
        /// How many a second, on all together.
        rate: f64,
    },
    /// Downloads.
    Bulk {
        /// How many at once.
        streams: usize,
    },
    /// Connections that are held.
    Idle {
        /// How many at the first look at the memory.
        few: usize,
        /// How many at the second.
        many: usize,
    },
    /// Connections that are held while endpoints come and go.
    Change {
        /// How many are held.
        held: usize,
        /// How many changes.
        turns: usize,
    },
    /// Held and new connections while configurations, endpoints and the balancer's own process are replaced.
    Hold(Upheaval),
    /// New connections while endpoints leave and come back.
    Drain {
        /// How often one leaves.
        removals: usize,
        /// New connections a second.
        per_second: f64,
    },
    /// Steady traffic while thousands of services are added, and single endpoints of them replaced.
    Crowd {
        /// How many services.
        services: u16,
        /// How many replacements.
        changes: usize,
    },
    /// Datagrams from fixed sources.
    Datagrams {
        /// Sources.
        flows: usize,
        /// Unanswered ones of each.
        window: usize,
    },
    /// Datagrams, each from a source of its own.
    NewFlows {
        /// Unanswered ones.
        window: usize,
    },
}
