// SPDX-License-Identifier: Apache-2.0
//! What the kernel is told of a table: addresses, node ports and backends in sets, local routes.
//!
//! A change of one endpoint is one element of one map. An element of a backend that is gone stays until its slot is used again:
//! connections that drain find their endpoint by it when their entry was lost.
//!
//! `change` has what is different, `own` that it is changed only as long as the rules are this process's.

mod change;
mod own;

pub(crate) use change::Removals;
pub(crate) use own::Standing;

use crate::address::{Version, from_octets};
use crate::changes::{Changes, Told};
use crate::conflict::{self, Conflict, Host};
use crate::engine::{Prepared, Takes};
use crate::nft::{Element, Found, Nft};
use crate::owner::Owner;
use crate::route::{Local, ROUTE_PROTOCOL, Routes};
use crate::rules::{self, ToUser};
use berth_balancer_core::Table;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::{BackendId, Diff};
use change::{Change, Taken, count, elements, outer, taken};
use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{IpAddr, SocketAddr};

/// Bytes of what the kernel tells of the host's changes. It is read when addresses are added; what had no room counts as a change.
const TOLD: usize = 1 << 18;

/// Why a table is not taken. The running one stays.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ApplyError {
    /// Addresses of services are the host's already, or another's.
    #[error("{}", conflict::list(.0))]
    Conflict(Vec<Conflict>),
    /// The kernel refused a change of rules.
    #[error("cannot change the rules in table {table}")]
    Rules {
        /// Its name.
        table: String,
        /// What the kernel said.
        #[source]
        source: io::Error,
    },
    /// The kernel refused a change of routes, or did not tell them.
    #[error("cannot change the routes of services' addresses")]
    Routes(#[source] io::Error),
    /// Another process of the same instance began later, and the rules are its own now.
    #[error("process {pid} has taken this instance over")]
    Overtaken {
        /// Its number.
        pid: u32,
    },
    /// The thread that decides is gone.
    #[error("the fast path has stopped")]
    Stopped,
}

/// What becomes of a table some of whose addresses are somebody else's.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Conflicts {
    /// It is refused.
    #[default]
    Refuse,
    /// It is taken without them; [`crate::Fast::retry`] looks again.
    LeaveOut,
}

/// The kernel's side of a table.
#[derive(Debug)]
pub(crate) struct Kernel {
    nft: Nft,
    routes: Routes,
    changes: Changes,
    /// The host's routes and addresses but for our own, as long as nothing of them changes.
    host: Option<Host>,
    table: String,
    metric: u32,
    /// As whom this process writes rules.
    owner: Owner,
    /// How packets get to userspace; found out when rules are first made.
    to_user: Option<ToUser>,
    /// The generation of the host's rules at which this instance's were looked at, and were this process's.
    verified: Option<u32>,
    takes: Takes,
    taken: BTreeMap<u32, Taken>,
    /// With how many frontends have them.
    addresses: BTreeMap<IpAddr, u32>,
    ports: BTreeMap<(Protocol, u16), u32>,
    backends: BTreeMap<u32, (BackendId, SocketAddr)>,
    /// Addresses that are wanted and somebody else's: no packet to them is taken.
    left_out: BTreeMap<IpAddr, Conflict>,
    sources: Vec<IpAddr>,
    installed: [Option<Found>; 2],
}

impl Kernel {
    pub(crate) fn open(table: &str, metric: u32, queue: u16, takes: Takes) -> io::Result<Self> {
        Ok(Self {
            nft: Nft::open(table)?,
            routes: Routes::open()?,
            changes: Changes::open(TOLD)?,
            host: None,
            table: table.to_owned(),
            metric,
            owner: Owner::after(None, queue, 0),
            to_user: None,
            verified: None,
            takes,
            taken: BTreeMap::new(),
            addresses: BTreeMap::new(),
            ports: BTreeMap::new(),
            backends: BTreeMap::new(),
            left_out: BTreeMap::new(),
            sources: Vec::new(),
            installed: [None; 2],
        })
    }

    pub(crate) fn takes(&self) -> Takes {
        self.takes
    }

    /// Whether rules of this instance are there, from an earlier run too.
    pub(crate) fn is_installed(&mut self) -> Result<bool, ApplyError> {
        Ok(self.find(Version::V4)?.is_some() || self.find(Version::V6)?.is_some())
    }

    fn find(&mut self, version: Version) -> Result<Option<Found>, ApplyError> {
        self.nft.find(version).map_err(|source| self.rules(source))
    }

    fn rules(&self, source: io::Error) -> ApplyError {
        ApplyError::Rules { table: self.table.clone(), source }
    }

    /// Addresses that are taken, in order.
    fn served(&self) -> Vec<IpAddr> {
        let left_out = |address: &&IpAddr| !self.left_out.contains_key(address);
        self.addresses.keys().filter(left_out).copied().collect()
    }

    /// Addresses that are wanted and somebody else's.
    pub(crate) fn left_out(&self) -> Vec<Conflict> {
        self.left_out.values().cloned().collect()
    }

    /// Takes addresses that were left out and are free now.
    pub(crate) fn retry(&mut self, table: &Table) -> Result<Option<Prepared>, ApplyError> {
        let wanted: Vec<IpAddr> = self.left_out.keys().copied().collect();
        let outer = outer(table, |address| self.left_out.contains_key(&address));
        let conflicts = self.conflicts(&wanted, &outer, table)?;
        let is_free =
            |address: &IpAddr| !conflicts.iter().any(|taken| taken.range.address == *address);
        let addresses: Vec<IpAddr> = wanted.into_iter().filter(is_free).collect();
        if addresses.is_empty() {
            return Ok(None);
        }
        let added = Removals { addresses, ports: Vec::new() };
        self.add(&added, &[])?;
        added.addresses.iter().for_each(|address| drop(self.left_out.remove(address)));
        Ok(Some(Prepared { addresses_added: added.addresses, ..Prepared::default() }))
    }

    /// Tells the kernel of all that a new table has more; says what the engine must know, and what is to be taken out later.
    pub(crate) fn prepare(
        &mut self,
        table: &Table,
        diff: &Diff,
        conflicts: Conflicts,
    ) -> Result<(Prepared, Removals), ApplyError> {
        let mut change = Change::default();
        for id in &diff.frontends_removed {
            change.forget(self.taken.get(&id.slot));
        }
        for id in &diff.frontends_changed {
            change.forget(self.taken.get(&id.slot));
        }
        for id in diff.frontends_added.iter().chain(&diff.frontends_changed) {
            if let Some(frontend) = table.frontend(*id).filter(|f| (self.takes)(f)) {
                change.take(frontend);
            }
        }
        change.backends.retain(|(id, at)| self.backends.get(&id.slot) != Some(&(*id, *at)));
        let (mut added, mut removed) = change.places(&self.addresses, &self.ports);
        let left_out = self.check(&mut added, &change.outer, table, conflicts)?;
        self.add(&added, &change.backends)?;
        self.note(table, diff, &change);
        removed.addresses.retain(|address| self.left_out.remove(address).is_none());
        self.left_out.extend(left_out);
        let prepared = Prepared {
            addresses_added: added.addresses,
            addresses_removed: removed.addresses.clone(),
            backends: change.backends,
            former: Vec::new(),
        };
        Ok((prepared, removed))
    }

    /// Installs the rules with all of a first table.
    pub(crate) fn begin(
        &mut self,
        table: &Table,
        diff: &Diff,
        conflicts: Conflicts,
    ) -> Result<Prepared, ApplyError> {
        let mut change = Change::default();
        for frontend in diff.frontends_added.iter().filter_map(|id| table.frontend(*id)) {
            if (self.takes)(frontend) {
                change.take(frontend);
            }
        }
        let (mut added, _) = change.places(&self.addresses, &self.ports);
        let left_out = self.check(&mut added, &change.outer, table, conflicts)?;
        let former = self.former()?;
        self.note(table, diff, &change);
        self.left_out = left_out;
        self.take()?;
        let locals = self.locals(&added.addresses);
        self.routes.add(self.metric, &locals).map_err(ApplyError::Routes)?;
        Ok(Prepared {
            addresses_added: added.addresses,
            addresses_removed: Vec::new(),
            backends: change.backends,
            former,
        })
    }

    /// Addresses that an earlier run had taken, in order.
    fn former(&mut self) -> Result<Vec<IpAddr>, ApplyError> {
        let mut all = Vec::new();
        for version in Version::BOTH {
            if self.find(version)?.is_some() {
                let keys = self.nft.keys(version, rules::ADDRESSES);
                let keys = keys.map_err(|source| self.rules(source))?;
                all.extend(keys.iter().filter_map(|key| from_octets(key)));
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Addresses that the host has already, or that lie where packets are routed to somebody else: refuses the table for them, or
    /// takes them out of what is added.
    fn check(
        &mut self,
        added: &mut Removals,
        outer: &BTreeSet<IpAddr>,
        table: &Table,
        conflicts: Conflicts,
    ) -> Result<BTreeMap<IpAddr, Conflict>, ApplyError> {
        let found = self.conflicts(&added.addresses, outer, table)?;
        if conflicts == Conflicts::Refuse && !found.is_empty() {
            return Err(ApplyError::Conflict(found));
        }
        let left_out: BTreeMap<IpAddr, Conflict> =
            found.into_iter().map(|conflict| (conflict.range.address, conflict)).collect();
        added.addresses.retain(|address| !left_out.contains_key(address));
        Ok(left_out)
    }

    fn conflicts(
        &mut self,
        addresses: &[IpAddr],
        outer: &BTreeSet<IpAddr>,
        table: &Table,
    ) -> Result<Vec<Conflict>, ApplyError> {
        if addresses.is_empty() {
            return Ok(Vec::new());
        }
        let metric = Some(self.metric);
        let ours = |told: &Told| told.protocol == ROUTE_PROTOCOL && told.metric == metric;
        if self.changes.read(ours).host {
            self.host = None;
        }
        if self.host.is_none() {
            let mut host = Host::read(&mut self.routes).map_err(ApplyError::Routes)?;
            host.forget(self.metric);
            self.host = Some(host);
        }
        let Some(host) = &self.host else { return Ok(Vec::new()) };
        self.sources = host.sources(table.node_addresses());
        Ok(host.conflicts(addresses, outer, self.metric))
    }

    fn add(
        &mut self,
        added: &Removals,
        backends: &[(BackendId, SocketAddr)],
    ) -> Result<(), ApplyError> {
        let replaced: Vec<(u32, SocketAddr)> = backends
            .iter()
            .filter_map(|(id, _)| self.backends.get(&id.slot).map(|(_, old)| (id.slot, *old)))
            .collect();
        let turn = self.owner.turn;
        self.change(|batch| {
            for version in Version::BOTH {
                let old: Vec<Element> = replaced
                    .iter()
                    .filter(|(_, address)| Version::of(address.ip()) == version)
                    .map(|(slot, _)| rules::backend_key(*slot))
                    .collect();
                batch.delete_elements(version, rules::backends(turn), &old);
                let Removals { addresses, ports } = added;
                for (set, elements) in elements(version, turn, addresses, ports, backends) {
                    batch.add_elements(version, set, &elements);
                }
            }
        })?;
        let locals = self.locals(&added.addresses);
        self.routes.add(self.metric, &locals).map_err(ApplyError::Routes)
    }

    fn note(&mut self, table: &Table, diff: &Diff, change: &Change) {
        for id in &diff.frontends_removed {
            self.taken.remove(&id.slot);
        }
        for id in diff.frontends_added.iter().chain(&diff.frontends_changed) {
            self.taken.remove(&id.slot);
            if let Some(frontend) = table.frontend(*id).filter(|f| (self.takes)(f)) {
                self.taken.insert(id.slot, taken(frontend));
            }
        }
        for (address, more) in &change.addresses {
            count(&mut self.addresses, *address, *more);
        }
        for (port, more) in &change.ports {
            count(&mut self.ports, *port, *more);
        }
        for (id, address) in &change.backends {
            self.backends.insert(id.slot, (*id, *address));
        }
    }

    /// Takes out what the table in use has no more.
    pub(crate) fn finish(&mut self, removals: &Removals) -> Result<(), ApplyError> {
        let turn = self.owner.turn;
        self.change(|batch| {
            for version in Version::BOTH {
                let Removals { addresses, ports } = removals;
                for (set, keys) in elements(version, turn, addresses, ports, &[]) {
                    batch.delete_elements(version, set, &keys);
                }
            }
        })?;
        let locals = self.locals(&removals.addresses);
        self.routes.delete(self.metric, &locals).map_err(ApplyError::Routes)
    }

    fn locals(&self, addresses: &[IpAddr]) -> Vec<Local> {
        let source = |address: &IpAddr| {
            self.sources.iter().copied().find(|source| source.is_ipv4() == address.is_ipv4())
        };
        addresses.iter().map(|at| Local { address: *at, source: source(at) }).collect()
    }

    /// Puts routes back that others removed, and removes those that nobody wants. True if some were missing.
    pub(crate) fn repair_routes(&mut self) -> Result<bool, ApplyError> {
        self.clean_stale_routes()?;
        let there = self.own_routes().map_err(ApplyError::Routes)?;
        let gone: Vec<IpAddr> =
            self.served().into_iter().filter(|at| there.binary_search(at).is_err()).collect();
        let locals = self.locals(&gone);
        self.routes.add(self.metric, &locals).map_err(ApplyError::Routes)?;
        Ok(!gone.is_empty())
    }

    /// Addresses of this instance's routes, in order.
    fn own_routes(&mut self) -> io::Result<Vec<IpAddr>> {
        let mut all = Vec::new();
        for version in Version::BOTH {
            for route in self.routes.routes(version)? {
                if route.protocol == ROUTE_PROTOCOL && route.metric == self.metric {
                    all.push(route.destination);
                }
            }
        }
        all.sort_unstable();
        Ok(all)
    }

    /// Removes every rule and route of this instance.
    pub(crate) fn clean(&mut self) -> Result<(), ApplyError> {
        let mut batch = self.nft.batch();
        for version in Version::BOTH {
            if self.find(version)?.is_some() {
                batch.delete_table(version);
            }
        }
        self.nft.commit(batch).map_err(|source| self.rules(source))?;
        self.clean_routes(|_| true)
    }

    /// Removes routes of an earlier run whose addresses are not wanted now.
    pub(crate) fn clean_stale_routes(&mut self) -> Result<(), ApplyError> {
        let wanted = self.served();
        self.clean_routes(|at| wanted.binary_search(at).is_err())
    }

    fn clean_routes(&mut self, which: impl Fn(&IpAddr) -> bool) -> Result<(), ApplyError> {
        let all = self.own_routes().map_err(ApplyError::Routes)?;
        let locals: Vec<Local> = all
            .into_iter()
            .filter(|at| which(at))
            .map(|address| Local { address, source: None })
            .collect();
        self.routes.delete(self.metric, &locals).map_err(ApplyError::Routes)
    }

    pub(crate) fn set_hairpin(&mut self, port: &str, on: bool) -> io::Result<()> {
        let links = self.routes.links()?;
        match links.iter().find(|link| link.name == port) {
            Some(link) => self.routes.set_hairpin(link.index, on),
            None => Ok(()), // its container is gone, and the port with it
        }
    }
}
