// SPDX-License-Identifier: Apache-2.0
//! Active health checks: which endpoints are checked (`Targets`), who does it (`checker`), how (`probe`), and what was found
//! (`Found`, `Verdicts`).

mod checker;
mod probe;

pub(crate) use checker::Checker;

use crate::state::Entry;
use berth_balancer_core::model::Name;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// What a check turned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Found {
    pub(crate) service: Name,
    pub(crate) endpoint: Name,
    pub(crate) port: Name,
    /// Whose address was checked: another one under the same name is another endpoint.
    pub(crate) address: IpAddr,
    pub(crate) healthy: bool,
}

/// Counts of all checks.
#[derive(Debug, Default)]
pub struct Counts {
    passed: AtomicU64,
    failed: AtomicU64,
    late: AtomicU64,
    machines: AtomicU64,
}

impl Counts {
    /// Checks that passed, that failed, and that began late since too many ran; endpoints' ports that are checked.
    #[must_use]
    pub fn read(&self) -> [u64; 4] {
        [&self.passed, &self.failed, &self.late, &self.machines]
            .map(|count| count.load(Ordering::Relaxed))
    }
}

/// Tells the checker what to check.
#[derive(Debug, Clone)]
pub(crate) struct Targets(UnboundedSender<Target>);

/// The checker's end.
pub(crate) type TargetsEnd = UnboundedReceiver<Target>;

/// A service whose checks may be different.
#[derive(Debug)]
pub(crate) struct Target {
    pub(crate) name: Name,
    pub(crate) entry: Option<Arc<Entry>>,
    /// Endpoints and ports that are unhealthy now: a check that begins begins there.
    pub(crate) unhealthy: BTreeSet<(Name, Name)>,
}

impl Targets {
    pub(crate) fn new() -> (Self, TargetsEnd) {
        // What waits here are pointers to what is kept anyway, one for each service that an update touched.
        let (sender, receiver) = unbounded_channel();
        (Self(sender), receiver)
    }

    pub(crate) fn set(&self, name: &Name, entry: Option<&Arc<Entry>>, verdicts: &Verdicts) {
        let of_service = verdicts.0.get(name).into_iter().flat_map(BTreeMap::keys);
        let unhealthy = of_service.cloned().collect();
        // Only at the end nobody listens.
        drop(self.0.send(Target { name: name.clone(), entry: entry.cloned(), unhealthy }));
    }
}

/// Who is unhealthy: by service, then by endpoint and port.
#[derive(Debug, Default)]
pub(crate) struct Verdicts(BTreeMap<Name, BTreeMap<(Name, Name), IpAddr>>);

impl Verdicts {
    /// Notes what was found; whether that is news.
    pub(crate) fn note(&mut self, found: &Found) -> bool {
        let key = (found.endpoint.clone(), found.port.clone());
        if found.healthy {
            let Some(of_service) = self.0.get_mut(&found.service) else { return false };
            let known = of_service.remove(&key).is_some();
            if of_service.is_empty() {
                self.0.remove(&found.service);
            }
            return known;
        }
        let of_service = self.0.entry(found.service.clone()).or_default();
        of_service.insert(key, found.address) != Some(found.address)
    }

    /// Forgets those that are other endpoints than before, and gives those back that are no longer checked: they count as healthy.
    pub(crate) fn keep(&mut self, service: &Name, entry: Option<&Entry>) -> Vec<(Name, Name)> {
        let Some(of_service) = self.0.get_mut(service) else { return Vec::new() };
        let Some(entry) = entry else {
            self.0.remove(service);
            return Vec::new();
        };
        let addresses: BTreeMap<&Name, IpAddr> =
            entry.endpoints().map(|endpoint| (&endpoint.name, endpoint.address)).collect();
        of_service.retain(|(endpoint, port), address| {
            addresses.get(endpoint) == Some(address)
                && entry.service.ports.iter().any(|own| own.name == *port)
        });
        let mut free = Vec::new();
        if entry.service.settings.health_check.is_none() {
            free.extend(std::mem::take(of_service).into_keys());
        }
        if of_service.is_empty() {
            self.0.remove(service);
        }
        free
    }

    /// How many there are.
    pub(crate) fn count(&self) -> usize {
        self.0.values().map(BTreeMap::len).sum()
    }

    /// All of them: service, endpoint, port.
    pub(crate) fn unhealthy(&self) -> impl Iterator<Item = (&Name, &Name, &Name)> {
        self.0.iter().flat_map(|(service, of_service)| {
            of_service.keys().map(move |(endpoint, port)| (service, endpoint, port))
        })
    }
}
