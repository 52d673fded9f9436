// SPDX-License-Identifier: Apache-2.0
//! Which nodes there are, and how they behave.

use berth_cluster_client::{Api, Clock};
use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// The door that a node's calls go through, by the node's name. Made for each call, so it has to be cheap: a clone of one
/// [`Api`] with another caller or header is.
#[derive(Clone)]
pub struct Identity(pub Arc<dyn Fn(&str) -> Api + Send + Sync>);

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Identity")
    }
}

/// How many times a pod's status is written until it runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Writes {
    /// Once: it runs.
    One,
    /// Twice, as an agent does: its containers are being made; it runs.
    Two,
}

/// Containers that fail without having been told to.
#[derive(Debug, Clone, Copy)]
pub struct Failures {
    /// Of how many pods out of a thousand.
    pub per_mille: u16,
    /// How long they run before.
    pub after: Duration,
    /// With which code they end.
    pub code: u8,
}

/// A crash that is planned.
#[derive(Debug, Clone)]
pub struct Outage {
    /// The nodes, by number.
    pub nodes: Range<u32>,
    /// When, since the start.
    pub from: Duration,
    /// Until when, since the start; never to recover if there is none.
    pub until: Option<Duration>,
}

/// What is simulated.
#[derive(Debug, Clone)]
pub struct Options {
    /// How many nodes.
    pub nodes: u32,
    /// Their names: this and five digits or more.
    pub prefix: String,
    /// Zones that they are spread over, one after the other.
    pub zones: Vec<String>,
    /// Labels beside the usual ones.
    pub labels: BTreeMap<String, String>,
    /// What a node has: amounts by resource.
    pub capacity: BTreeMap<String, String>,
    /// What of it pods may have; all if it is empty.
    pub allocatable: BTreeMap<String, String>,
    /// Whether nodes renew their leases and tell their conditions. Passive ones only register and run pods.
    pub active: bool,
    /// How often a lease is renewed, and how long it is good for.
    pub lease_every: Duration,
    /// See `lease_every`.
    pub lease_duration: Duration,
    /// How often a node tells its conditions though nothing has changed.
    pub status_every: Duration,
    /// How many status writes it takes until a pod runs.
    pub writes: Writes,
    /// How long a pod takes to start.
    pub start_delay: Duration,
    /// And up to how much longer.
    pub start_jitter: Duration,
    /// How long containers take to end when they are told to; not longer than the pod's grace.
    pub stop_delay: Duration,
    /// Containers that fail.
    pub failures: Option<Failures>,
    /// Crashes that are planned.
    pub outages: Vec<Outage>,
    /// Calls under way at a time, of pods and of nodes each.
    pub at_a_time: usize,
    /// What looks like chance follows from this.
    pub seed: u64,
    /// For the times in objects.
    pub clock: Clock,
    /// As whom a node calls; as the caller of [`Hollow::start`](crate::Hollow::start) if there is none.
    pub identity: Option<Identity>,
}

impl Default for Options {
    fn default() -> Self {
        let text = |text: &str| text.to_owned();
        let capacity = [("cpu", "32"), ("memory", "128Gi"), ("pods", "110")];
        let capacity = capacity.map(|(name, amount)| (text(name), text(amount)));
        Self {
            nodes: 100,
            prefix: text("sim-"),
            zones: ["zone-a", "zone-b", "zone-c"].map(text).to_vec(),
            labels: BTreeMap::new(),
            capacity: capacity.into(),
            allocatable: BTreeMap::new(),
            active: true,
            lease_every: Duration::from_secs(10),
            lease_duration: Duration::from_secs(40),
            status_every: Duration::from_mins(5),
            writes: Writes::Two,
            start_delay: Duration::from_millis(500),
            start_jitter: Duration::from_millis(500),
            stop_delay: Duration::from_millis(500),
            failures: None,
            outages: Vec::new(),
            at_a_time: 32,
            seed: 0,
            clock: Clock::Machine,
            identity: None,
        }
    }
}
