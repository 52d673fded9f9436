// SPDX-License-Identifier: Apache-2.0
//! What of a table the kernel is told, and what is different in a new one.

use crate::address::Version;
use crate::nft::Element;
use crate::owner::Turn;
use crate::rules;
use berth_balancer_core::Table;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::{BackendId, Frontend, Served};
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, SocketAddr};

/// What of a frontend the kernel knows.
#[derive(Debug, Default)]
pub(super) struct Taken {
    addresses: Vec<IpAddr>,
    ports: Vec<(Protocol, u16)>,
}

/// Elements to take out when the new table is in use.
#[derive(Debug, Default)]
pub(crate) struct Removals {
    pub(super) addresses: Vec<IpAddr>,
    pub(super) ports: Vec<(Protocol, u16)>,
}

pub(super) type Elements = [(&'static str, Vec<Element>); 3];

/// Elements of one version.
pub(super) fn elements(
    version: Version,
    turn: Turn,
    addresses: &[IpAddr],
    ports: &[(Protocol, u16)],
    backends: &[(BackendId, SocketAddr)],
) -> Elements {
    let same = |address: &IpAddr| Version::of(*address) == version;
    [
        (
            rules::ADDRESSES,
            addresses.iter().filter(|at| same(at)).map(|at| rules::address(*at)).collect(),
        ),
        (rules::NODE_PORTS, ports.iter().map(|(of, port)| rules::node_port(*of, *port)).collect()),
        (
            rules::backends(turn),
            backends
                .iter()
                .filter(|(_, address)| same(&address.ip()))
                .map(|(id, address)| rules::backend(id.slot, *address))
                .collect(),
        ),
    ]
}

pub(super) fn count<K: Ord>(all: &mut BTreeMap<K, u32>, key: K, more: i32) {
    let now = all.get(&key).copied().unwrap_or(0).saturating_add_signed(more);
    if now == 0 {
        all.remove(&key);
    } else {
        all.insert(key, now);
    }
}

/// Addresses of a frontend that come from outside.
fn outside(frontend: &Frontend) -> impl Iterator<Item = IpAddr> {
    frontend.served.iter().filter_map(|served| match *served {
        Served::At { address, via } if via.is_external() => Some(address.ip().to_canonical()),
        _ => None,
    })
}

/// Of some addresses those that come from outside.
pub(super) fn outer(table: &Table, of: impl Fn(IpAddr) -> bool) -> BTreeSet<IpAddr> {
    let mut all = BTreeSet::new();
    table.each(|frontend| all.extend(outside(frontend).filter(|address| of(*address))));
    all
}

pub(super) fn taken(frontend: &Frontend) -> Taken {
    let mut taken = Taken::default();
    for served in &frontend.served {
        match *served {
            Served::At { address, .. } => taken.addresses.push(address.ip().to_canonical()),
            Served::NodePort(port) => taken.ports.push((frontend.protocol, port)),
        }
    }
    taken
}

/// What is different, counted per place.
#[derive(Debug, Default)]
pub(super) struct Change {
    pub(super) addresses: BTreeMap<IpAddr, i32>,
    pub(super) ports: BTreeMap<(Protocol, u16), i32>,
    pub(super) backends: Vec<(BackendId, SocketAddr)>,
    /// Addresses from outside: they may lie in a network of the host's.
    pub(super) outer: BTreeSet<IpAddr>,
}

impl Change {
    pub(super) fn forget(&mut self, taken: Option<&Taken>) {
        for address in taken.iter().flat_map(|taken| &taken.addresses) {
            *self.addresses.entry(*address).or_default() -= 1;
        }
        for port in taken.iter().flat_map(|taken| &taken.ports) {
            *self.ports.entry(*port).or_default() -= 1;
        }
    }

    pub(super) fn take(&mut self, frontend: &Frontend) {
        let taken = taken(frontend);
        self.outer.extend(outside(frontend));
        for address in taken.addresses {
            *self.addresses.entry(address).or_default() += 1;
        }
        for port in taken.ports {
            *self.ports.entry(port).or_default() += 1;
        }
        let backends = frontend.backends.iter();
        self.backends.extend(backends.map(|backend| (backend.id, backend.address)));
    }

    /// Places that nobody had, and that nobody has any more.
    pub(super) fn places(
        &self,
        addresses: &BTreeMap<IpAddr, u32>,
        ports: &BTreeMap<(Protocol, u16), u32>,
    ) -> (Removals, Removals) {
        let (mut added, mut removed) = (Removals::default(), Removals::default());
        for (address, more) in &self.addresses {
            let before = addresses.get(address).copied().unwrap_or(0);
            match (before, before.saturating_add_signed(*more)) {
                (0, 1..) => added.addresses.push(*address),
                (1.., 0) => removed.addresses.push(*address),
                _ => (),
            }
        }
        for (port, more) in &self.ports {
            let before = ports.get(port).copied().unwrap_or(0);
            match (before, before.saturating_add_signed(*more)) {
                (0, 1..) => added.ports.push(*port),
                (1.., 0) => removed.ports.push(*port),
                _ => (),
            }
        }
        (added, removed)
    }
}
