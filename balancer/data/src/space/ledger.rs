// SPDX-License-Identifier: Apache-2.0
//! What the instance's tables are to know, and how much of the shortcut was made of them.

use super::Instance;
use super::obstacle::{self, Weather};
use super::table::{self, ADDRESSES, Extent, SERVED};
use berth_balancer_host::address::{Version, from_octets, octets};
use berth_balancer_host::exception::Objections;
use berth_balancer_host::nft::{Batch, Element, Nft, from_place, place};
use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::time::Instant;

/// Ports of the shortcut's listeners, of IPv4 and of IPv6.
pub(crate) type Ports = [Option<u16>; 2];

/// What the tables are to know, and what was made.
#[derive(Debug)]
pub(super) struct Rules {
    pub(super) nft: Nft,
    instance: Instance,
    pub(super) addresses: BTreeSet<IpAddr>,
    /// Where the shortcut takes connections, once there are listeners.
    pub(super) served: BTreeSet<SocketAddr>,
    /// Of the host's rules, when these were last looked at.
    pub(super) generation: Option<u32>,
    /// There are rules of the shortcut.
    pub(super) has_shortcut: bool,
    pub(super) ports: Ports,
    sides: [Side; 2],
    weather: Weather,
    stormy: Option<String>,
}

/// One version of IP.
#[derive(Debug)]
struct Side {
    /// How much of the shortcut was made.
    extent: Extent,
    /// Why the kernel takes no rules of the shortcut.
    lacks: Option<String>,
    /// What of others' rules speaks against it.
    firewall: Option<String>,
}

impl Rules {
    pub(super) fn open(instance: &Instance) -> io::Result<Self> {
        let side = || Side { extent: Extent::None, lacks: None, firewall: None };
        Ok(Self {
            nft: Nft::open(&instance.table)?,
            instance: instance.clone(),
            addresses: BTreeSet::new(),
            served: BTreeSet::new(),
            generation: None,
            has_shortcut: false,
            ports: Ports::default(),
            sides: [side(), side()],
            weather: Weather::default(),
            stormy: None,
        })
    }

    fn side(&mut self, version: Version) -> &mut Side {
        &mut self.sides[at(version)]
    }

    /// Addresses and places of the process before.
    pub(super) fn read(&mut self) {
        for version in Version::BOTH {
            let keys = self.nft.keys(version, ADDRESSES).unwrap_or_default();
            self.addresses.extend(keys.iter().filter_map(|key| from_octets(key)));
            let keys = self.nft.keys(version, SERVED).unwrap_or_default();
            self.served.extend(keys.iter().filter_map(|key| from_place(key)));
        }
    }

    /// Looks for what speaks against the shortcut, beside what iptables told.
    pub(super) fn look(&mut self, told: Option<[Objections; 2]>) {
        let Some(told) = told else { return };
        for (version, told) in Version::BOTH.into_iter().zip(told) {
            let found = obstacle::firewall(&mut self.nft, version, told);
            let unknown = |error| Some(format!("the host's rules cannot be read: {error}"));
            self.side(version).firewall = found.unwrap_or_else(unknown);
        }
        self.stormy = self.weather.look(Instant::now());
    }

    /// Of what changes without a word.
    pub(super) fn look_at_weather(&mut self) {
        if self.has_shortcut {
            self.stormy = self.weather.look(Instant::now());
            self.settle();
        }
    }

    pub(super) fn refuses(&self, version: Version) -> Option<String> {
        let side = &self.sides[at(version)];
        let known = side.lacks.as_ref().or(side.firewall.as_ref()).or(self.stormy.as_ref());
        let none = || self.ports[at(version)].is_none().then(|| "it has no listener".to_owned());
        known.cloned().or_else(none)
    }

    /// How much of the shortcut there is to be.
    fn extent(&self, version: Version) -> Extent {
        match self.ports[at(version)] {
            _ if !self.has_shortcut || self.sides[at(version)].lacks.is_some() => Extent::None,
            Some(port) if self.refuses(version).is_none() => Extent::Taken(port),
            _ => Extent::Held,
        }
    }

    /// Makes the tables that are not as they were made, or all of them. What fails is tried again at the next change: without
    /// them some clients are seen with another address, and others are not.
    pub(super) fn put_back(&mut self, all: bool) {
        for version in Version::BOTH {
            let there = self.nft.find(version);
            let rules = self.side(version).extent.rules();
            if all || !matches!(there, Ok(Some(found)) if found.rules == rules) {
                let deletes = matches!(there, Ok(Some(_)));
                self.make(version, |rules, batch, extent| {
                    if deletes {
                        batch.delete_table(version);
                    }
                    rules.fill(batch, version);
                    table::add_rules(batch, version, &rules.instance, extent);
                });
            }
        }
        self.settle();
    }

    /// Has the rules do as much of the shortcut as they are to.
    pub(super) fn settle(&mut self) {
        for version in Version::BOTH {
            if self.extent(version) == self.side(version).extent {
                continue;
            }
            let before = self.nft.generation().ok();
            self.make(version, |rules, batch, extent| {
                batch.delete_rules(version);
                table::add_rules(batch, version, &rules.instance, extent);
            });
            self.note(before);
        }
    }

    /// Makes rules of a version; those of the shortcut only if the kernel knows how.
    fn make(&mut self, version: Version, fill: impl Fn(&Self, &mut Batch, Extent)) {
        let commit = |rules: &mut Self, extent| {
            let mut batch = rules.nft.batch();
            fill(rules, &mut batch, extent);
            rules.nft.commit(batch)?;
            rules.side(version).extent = extent;
            io::Result::Ok(())
        };
        let extent = self.extent(version);
        if let Err(error) = commit(self, extent)
            && extent != Extent::None
            && commit(self, Extent::None).is_ok()
        {
            let why = format!("the kernel takes no rules for it: {error}");
            self.side(version).lacks = Some(why);
        }
    }

    /// The table and what it knows.
    fn fill(&self, batch: &mut Batch, version: Version) {
        table::add_table(batch, version);
        let addresses = self.addresses.iter().copied().filter(|ip| Version::of(*ip) == version);
        batch.add_elements(version, ADDRESSES, &addresses.map(element).collect::<Vec<Element>>());
        let served = self.served.iter().copied().filter(|at| Version::of(at.ip()) == version);
        batch.add_elements(version, SERVED, &served.map(place).collect::<Vec<Element>>());
    }

    pub(super) fn add(&mut self, addresses: &[IpAddr], places: &[SocketAddr]) {
        let addresses: Vec<IpAddr> =
            addresses.iter().copied().filter(|ip| self.addresses.insert(*ip)).collect();
        let places: Vec<SocketAddr> =
            places.iter().copied().filter(|at| self.served.insert(*at)).collect();
        self.change(&addresses, &places, Batch::add_elements);
    }

    /// With an address all places on it go.
    pub(super) fn remove(&mut self, addresses: &[IpAddr], places: &[SocketAddr]) {
        let addresses: BTreeSet<IpAddr> =
            addresses.iter().copied().filter(|ip| self.addresses.remove(ip)).collect();
        let mut places: Vec<SocketAddr> =
            places.iter().copied().filter(|at| self.served.remove(at)).collect();
        if !addresses.is_empty() {
            let on = |at: &SocketAddr| addresses.contains(&at.ip());
            places.extend(self.served.extract_if(.., on));
        }
        let addresses: Vec<IpAddr> = addresses.into_iter().collect();
        self.change(&addresses, &places, Batch::delete_elements);
    }

    fn change(
        &mut self,
        addresses: &[IpAddr],
        places: &[SocketAddr],
        write: impl Fn(&mut Batch, Version, &str, &[Element]),
    ) {
        if addresses.is_empty() && places.is_empty() {
            return;
        }
        let before = self.nft.generation().ok();
        let mut batch = self.nft.batch();
        for version in Version::BOTH {
            let own = addresses.iter().copied().filter(|ip| Version::of(*ip) == version);
            write(&mut batch, version, ADDRESSES, &own.map(element).collect::<Vec<Element>>());
            let own = places.iter().copied().filter(|at| Version::of(at.ip()) == version);
            write(&mut batch, version, SERVED, &own.map(place).collect::<Vec<Element>>());
        }
        match self.nft.commit(batch) {
            Ok(()) => self.note(before),
            // Somebody removed the table.
            Err(_) => self.put_back(true),
        }
    }

    /// A change of our own is no reason to look at all rules; one of others is.
    fn note(&mut self, before: Option<u32>) {
        if before == self.generation {
            let next = before.map(|before| before.wrapping_add(1));
            self.generation = self.nft.generation().ok().filter(|now| Some(*now) == next);
        }
    }
}

const fn at(version: Version) -> usize {
    match version {
        Version::V4 => 0,
        Version::V6 => 1,
    }
}

fn element(address: IpAddr) -> Element {
    (octets(address), Vec::new())
}
