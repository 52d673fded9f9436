// SPDX-License-Identifier: Apache-2.0
//! What is wanted by all sources together, by name, and what follows from an update of one of them. Pure.
//!
//! [`State::plan`] judges an update against everything and says what would change; [`State::commit`] makes it so once the data
//! plane has taken the changes. Nothing is different in between: a refused update leaves no trace. A plan costs what the update
//! touches, not what there is: one endpoint of one service among ten thousand looks at that service alone.

mod changes;
mod claims;
mod judge;
mod plan;

pub use changes::Told;
pub use plan::{Plan, Summary};

use crate::choose::Taken;
use crate::pool::Given;
use crate::wanted::{Common, Owner, Wish};
use berth_balancer_core::model::{Config, Endpoint, EndpointSet, Name, Service};
use claims::Places;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// A service that is wanted, and what was made of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// Whose it is.
    pub owner: Owner,
    /// As it was wanted.
    pub wish: Arc<Wish>,
    /// As the data plane has it: with its addresses out of pools, path and source address decided.
    pub service: Service,
    /// What it takes, and why.
    pub taken: Taken,
    /// Endpoints that take no new flows because somebody asked to drain them.
    pub drained: BTreeSet<Name>,
}

impl Entry {
    /// The endpoints that the data plane has.
    pub fn endpoints(&self) -> impl Iterator<Item = &Endpoint> {
        self.wish.endpoints.iter().filter(|endpoint| !self.drained.contains(&endpoint.name))
    }

    /// The same as a set.
    #[must_use]
    pub fn endpoint_set(&self) -> EndpointSet {
        let endpoints = self.endpoints().cloned().collect();
        EndpointSet { service: self.service.name.clone(), endpoints }
    }
}

/// Everything that is wanted.
#[derive(Debug, Clone, Default)]
pub struct State {
    /// What holds for all services, and who says so.
    common: Option<(Owner, Common)>,
    entries: BTreeMap<Name, Arc<Entry>>,
    places: Places,
    given: Given,
    /// Ports of all services, and ports of all endpoints.
    totals: Totals,
    /// Whose the services are that were adopted, if nobody else takes them over.
    heir: Option<Owner>,
}

/// How much a table has to hold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Totals {
    frontends: usize,
    backends: usize,
}

impl Totals {
    fn of(entry: &Entry) -> Self {
        let backends = entry.wish.endpoints.iter().map(|endpoint| endpoint.ports.len()).sum();
        Self { frontends: entry.service.ports.len(), backends }
    }
}

impl State {
    /// Nothing is wanted yet; services that are adopted go to `heir`.
    #[must_use]
    pub fn with_heir(heir: Owner) -> Self {
        Self { heir: Some(heir), ..Self::default() }
    }

    /// What holds for all services.
    #[must_use]
    pub fn common(&self) -> Common {
        self.common.as_ref().map(|(_, common)| common.clone()).unwrap_or_default()
    }

    /// The services, in the order of their names.
    #[must_use]
    pub fn entries(&self) -> &BTreeMap<Name, Arc<Entry>> {
        &self.entries
    }

    /// A service.
    #[must_use]
    pub fn entry(&self, name: &str) -> Option<&Arc<Entry>> {
        self.entries.get(name)
    }

    /// Everything that the data plane should have.
    #[must_use]
    pub fn config(&self) -> Config {
        let entries = || self.entries.values();
        Config {
            node: self.common().node,
            services: entries().map(|entry| entry.service.clone()).collect(),
            endpoints: entries().map(|entry| entry.endpoint_set()).collect(),
        }
    }

    /// The same as it is after a plan.
    #[must_use]
    pub fn config_after(&self, plan: &Plan) -> Config {
        let mut entries = self.entries.clone();
        for (name, entry) in &plan.entries {
            match entry {
                Some(entry) => entries.insert(name.clone(), Arc::clone(entry)),
                None => entries.remove(name),
            };
        }
        let common = plan.common.as_ref().map(|(_, common)| common.node.clone());
        Config {
            node: common.unwrap_or_else(|| self.common().node),
            services: entries.values().map(|entry| entry.service.clone()).collect(),
            endpoints: entries.values().map(|entry| entry.endpoint_set()).collect(),
        }
    }

    /// How many services there are, and how many endpoints' ports.
    #[must_use]
    pub fn counts(&self) -> (usize, usize) {
        (self.entries.len(), self.totals.backends)
    }

    /// Makes a plan come true.
    pub fn commit(&mut self, plan: Plan) {
        let Plan { common, entries, given, .. } = plan;
        if let Some(common) = common {
            self.common = Some(common);
        }
        for (name, entry) in entries {
            if let Some(old) = self.entries.get(&name) {
                let totals = Totals::of(old);
                self.totals.frontends -= totals.frontends;
                self.totals.backends -= totals.backends;
                self.places.forget(&old.service);
            }
            match entry {
                // A place may move from a service that comes later in this loop: it forgets only what is still its own.
                Some(entry) => {
                    let totals = Totals::of(&entry);
                    self.totals.frontends += totals.frontends;
                    self.totals.backends += totals.backends;
                    self.places.note(&entry.service);
                    self.entries.insert(name, entry);
                }
                None => {
                    self.entries.remove(&name);
                }
            }
        }
        for (name, address) in given {
            match address {
                Some(address) => self.given.give(&name, address),
                None => self.given.take(&name),
            }
        }
    }
}
