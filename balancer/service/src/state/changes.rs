// SPDX-License-Identifier: Apache-2.0
//! What the data plane has to be told, in an order in which each change by itself is right.
//!
//! The data plane judges each change against the table that the one before it left. So what goes, goes first, a service that gives
//! a place up comes before the one that gets it, and endpoints come behind their service. Where there is no such order (two services
//! swap an address, the node has other addresses, a service gets the address of an endpoint that leaves it) it is told everything
//! anew, which it judges as a whole; what is the same stays the same for it then too.

use super::{Entry, State};
use crate::state::plan::{Entries, Summary};
use berth_balancer_core::model::{Endpoint, Name};
use berth_balancer_core::{Change, claims};
use std::collections::{BTreeMap, BTreeSet, VecDeque};

/// What the data plane is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Told {
    /// These changes, one after the other.
    Changes(Vec<Change>),
    /// Everything, as it is afterwards.
    Everything,
}

impl State {
    pub(super) fn changes(&self, entries: &Entries, node: bool) -> (Told, Summary) {
        let (mut changes, mut summary) = (Vec::new(), Summary::default());
        for (name, entry) in entries {
            if let (None, Some(old)) = (entry, self.entries.get(name)) {
                summary.services_removed += 1;
                summary.endpoints_removed += old.wish.endpoints.len();
                changes.push(Change::RemoveService(name.clone()));
            }
        }
        let order = self.order(entries);
        let mut alone = !node && order.is_some();
        for entry in order.unwrap_or_else(|| there(entries).collect()) {
            let old = self.entries.get(&entry.service.name);
            alone &= service(old.map(|old| &**old), entry, &mut changes, &mut summary);
        }
        (if alone { Told::Changes(changes) } else { Told::Everything }, summary)
    }

    /// Services in an order in which who gives a place up comes first, if there is one.
    fn order<'e>(&self, entries: &'e Entries) -> Option<Vec<&'e Entry>> {
        let mut waits: BTreeMap<&Name, BTreeSet<&Name>> = BTreeMap::new();
        let node = self.common().node;
        for entry in there(entries) {
            let name = &entry.service.name;
            let old = self.entries.get(name);
            if old.is_some_and(|old| old.service == entry.service) {
                continue;
            }
            for claim in claims(&entry.service) {
                let with = self.places.owner(claim.protocol, claim.at, &node);
                let Some(with) = with.filter(|with| *with != name) else { continue };
                // It is in the update, or this plan would have been refused; who is gone has gone first.
                if let Some((with, Some(_))) = entries.get_key_value(with) {
                    waits.entry(name).or_default().insert(with);
                }
            }
        }
        if waits.is_empty() {
            return Some(there(entries).collect());
        }
        // Who waits for nobody goes next, and those that waited for it wait for one less (Kahn 1962).
        let mut waiters: BTreeMap<&Name, Vec<&Name>> = BTreeMap::new();
        for (name, on) in &waits {
            for with in on {
                waiters.entry(*with).or_default().push(name);
            }
        }
        let mut next: VecDeque<&Entry> =
            there(entries).filter(|entry| !waits.contains_key(&entry.service.name)).collect();
        let mut order = Vec::with_capacity(entries.len());
        while let Some(entry) = next.pop_front() {
            let name = &entry.service.name;
            order.push(entry);
            for waiter in waiters.remove(name).into_iter().flatten() {
                let Some(on) = waits.get_mut(waiter) else { continue };
                on.remove(name);
                if on.is_empty() {
                    next.extend(entries.get(waiter).and_then(|entry| entry.as_deref()));
                }
            }
        }
        (order.len() == there(entries).count()).then_some(order)
    }
}

fn there(entries: &Entries) -> impl Iterator<Item = &Entry> {
    entries.values().flatten().map(|entry| &**entry)
}

/// What is different in one service; false if that cannot be told by changes.
fn service(
    old: Option<&Entry>,
    new: &Entry,
    changes: &mut Vec<Change>,
    summary: &mut Summary,
) -> bool {
    let Some(old) = old else {
        summary.services_added += 1;
        summary.endpoints_added += new.wish.endpoints.len();
        changes.push(Change::Service(Box::new(new.service.clone())));
        let set = new.endpoint_set();
        if !set.endpoints.is_empty() {
            changes.push(Change::Endpoints(set));
        }
        return true;
    };
    let endpoints = Endpoints::between(old, new);
    summary.endpoints_added += endpoints.added.len();
    summary.endpoints_changed += endpoints.changed.len();
    summary.endpoints_removed += endpoints.removed.len();
    let different = old.service != new.service;
    if different {
        summary.services_changed += 1;
        changes.push(Change::Service(Box::new(new.service.clone())));
    }
    endpoints.tell(new, changes);
    !different || !in_the_way(old, new)
}

/// Whether an endpoint that goes, or moves, has an address that the service itself gets.
fn in_the_way(old: &Entry, new: &Entry) -> bool {
    let service = &new.service;
    let lists = [&service.cluster_ips, &service.external_ips, &service.load_balancer_ips];
    let own = |endpoint: &Endpoint| {
        let address = endpoint.address.to_canonical();
        lists.into_iter().flatten().any(|ip| ip.to_canonical() == address)
    };
    old.endpoints().any(own)
}

/// What is different in the endpoints of one service.
struct Endpoints<'a> {
    added: Vec<&'a Endpoint>,
    changed: Vec<&'a Endpoint>,
    removed: Vec<&'a Endpoint>,
    /// Addresses of two endpoints moved among them: only the whole set is right at once.
    whole: bool,
}

impl<'a> Endpoints<'a> {
    fn between(old: &'a Entry, new: &'a Entry) -> Self {
        let mut all = Self { added: vec![], changed: vec![], removed: vec![], whole: false };
        if old.wish.endpoints == new.wish.endpoints && old.drained == new.drained {
            return all;
        }
        let (mut olds, mut news) = (old.endpoints().peekable(), new.endpoints().peekable());
        // Mostly they stand where they stood: one that is different among many is found by walking along.
        while let (Some(old), Some(new)) = (olds.peek().copied(), news.peek().copied())
            && old.name == new.name
        {
            if old != new {
                all.changed.push(new);
            }
            olds.next();
            news.next();
        }
        let olds: BTreeMap<&Name, &Endpoint> = olds.map(|e| (&e.name, e)).collect();
        let news: BTreeMap<&Name, &Endpoint> = news.map(|e| (&e.name, e)).collect();
        for (name, endpoint) in &news {
            match olds.get(name) {
                None => all.added.push(endpoint),
                Some(old) if old != endpoint => all.changed.push(endpoint),
                Some(_) => {}
            }
        }
        all.removed.extend(olds.iter().filter(|(n, _)| !news.contains_key(*n)).map(|(_, e)| *e));
        all.whole = all.added.len() + all.changed.len() + all.removed.len() > 1;
        all
    }

    fn tell(&self, new: &Entry, changes: &mut Vec<Change>) {
        let service = new.service.name.clone();
        if self.whole {
            changes.push(Change::Endpoints(new.endpoint_set()));
            return;
        }
        for endpoint in self.added.iter().chain(&self.changed) {
            let (service, endpoint) = (service.clone(), (*endpoint).clone());
            changes.push(Change::Endpoint { service, endpoint });
        }
        for endpoint in &self.removed {
            let (service, endpoint) = (service.clone(), endpoint.name.clone());
            changes.push(Change::RemoveEndpoint { service, endpoint });
        }
    }
}
