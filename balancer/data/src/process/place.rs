// SPDX-License-Identifier: Apache-2.0
//! Where a service's address is: an address of the host, at which a plain socket listens, or one that is taken into the network
//! namespace of the data plane's own.
//!
//! | address | is | because |
//! |---|---|---|
//! | a node port's | the host's | it is the node's address |
//! | loopback, an interface's own, one that a local route of somebody else makes local | the host's | a plain process may bind it |
//! | in the network of an interface, or under a route | refused, by name | it is somebody's; of outer addresses only the route counts |
//! | any other | taken | |
//!
//! An address is taken as long as a service has it, with endpoints or without: the namespace's kernel refuses what no listener takes.

mod shortcut;

use super::fast::Lane;
use super::listeners::{self, Sockets, Wanted};
use crate::control::Unserved;
use crate::options::{self, Namespace, Options};
use crate::space::{self, Begins, Instance, Keeper, Space};
use crate::stats::Addresses;
use crate::worker::Place;
use berth_balancer_core::Table;
use berth_balancer_core::model::Protocol;
use berth_balancer_core::table::Via;
use berth_balancer_host::address::Version;
use berth_balancer_host::changes::Changed;
use berth_balancer_host::conflict::Host;
use berth_balancer_host::route::{Local, Routes};
use rustix::io::Errno;
use shortcut::Shortcut;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::OwnedFd;
use std::sync::Arc;

/// What became of a place: its sockets, or why it has none.
pub(super) type Outcome = Result<Sockets, String>;

/// Whose an address is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Whose {
    Host,
    /// The namespace's. On the interface `proxy` the host answers for it.
    Ours {
        source: Option<IpAddr>,
        proxy: Option<u32>,
    },
}

/// Addresses of services.
#[derive(Debug)]
pub(crate) struct Places {
    mode: Namespace,
    instance: Instance,
    /// Places of the table that are on addresses of services.
    held: BTreeSet<Place>,
    /// The addresses of all of them, but those that are refused.
    known: BTreeMap<IpAddr, Whose>,
    space: Option<Space>,
    /// The host's routes and addresses but for our own, as long as nothing of them changes.
    host: Option<Arc<Host>>,
    keeper: Option<Keeper>,
    shortcut: Shortcut,
    /// Why there is no namespace though one was wanted.
    failed: Option<String>,
    /// The address of IPv6 in whose name refusals are sent.
    voice: Option<IpAddr>,
    /// The way into the namespace may be gone.
    lost: bool,
    /// The rules may have addresses of the process before that no service has any more.
    inherits: bool,
    /// A successor has the namespace now.
    released: bool,
}

impl Places {
    pub(super) fn new(options: &Options) -> Self {
        Self {
            mode: options.namespace,
            instance: Instance::of(&options.control),
            held: BTreeSet::new(),
            known: BTreeMap::new(),
            space: None,
            host: None,
            keeper: None,
            shortcut: Shortcut::new(options.shortcut),
            failed: None,
            voice: None,
            lost: false,
            inherits: false,
            released: false,
        }
    }

    /// Why there can be no namespace.
    fn excluded(&self) -> Option<&'static str> {
        match self.mode {
            Namespace::Off => Some("it is switched off"),
            Namespace::Auto => space::lacks(),
        }
    }

    /// Removes what an earlier process of this instance left on the host.
    pub(super) fn clean(&self) {
        if self.excluded().is_none() {
            // What cannot be removed does nothing without the interface that it names.
            let _ = Routes::open().and_then(|mut routes| {
                space::clean_rules(&mut routes, &self.instance)?;
                space::clean_link(&mut routes, &self.instance)?;
                space::clean_proxies(&mut routes)
            });
        }
    }

    /// Goes on with the namespace of the process before, and with its listeners of the shortcut.
    pub(super) fn adopt(&mut self, namespace: OwnedFd, shortcut: impl Iterator<Item = SocketAddr>) {
        self.shortcut.inherit(shortcut);
        let adopted = match self.excluded() {
            Some(why) => Err(why.to_owned()),
            None => Space::adopt(&self.instance, namespace).map_err(|error| error.to_string()),
        };
        match adopted {
            Ok(space) => self.begin(space, true),
            // Its sockets are here all the same, and keep it.
            Err(why) => self.failed = Some(why),
        }
    }

    fn begin(&mut self, space: Space, goes_on: bool) {
        let shortcut = self.shortcut.mode == options::Shortcut::Auto;
        let begins = Begins { goes_on, shortcut, ports: self.shortcut.ports() };
        self.keeper = Keeper::start(&self.instance, begins).ok();
        self.inherits = goes_on;
        self.space = Some(space);
        self.failed = None;
    }

    /// The namespace, for a successor.
    pub(super) fn namespace(&self) -> io::Result<Option<OwnedFd>> {
        self.space.as_ref().map(|space| space.descriptor().try_clone()).transpose()
    }

    /// A successor serves: nothing on the host is touched any more.
    pub(super) fn let_go(&mut self) {
        self.released = true;
        self.keeper = None;
        self.space = None;
    }

    /// Removes all that was made on the host.
    pub(super) fn stop(&mut self) {
        if self.released {
            return;
        }
        self.keeper = None;
        if let Some(mut space) = self.space.take() {
            // What fails here the next start does.
            let _ = space::clean_rules(space.host(), &self.instance);
            let _ = space.host().delete_proxies(&proxies(&self.known));
            let _ = space::clean_link(space.host(), &self.instance);
        }
    }

    /// Takes the addresses of places that `table` has more, and opens those of the `wanted` places that are not the host's. What is
    /// not in the answer is the host's.
    pub(super) fn open(
        &mut self,
        table: &Table,
        lane: &Lane,
        places: &[Place],
        wanted: &[Wanted],
        threads: usize,
    ) -> BTreeMap<Place, Outcome> {
        let mut outcomes = BTreeMap::new();
        if self.released || self.excluded().is_some() {
            return outcomes;
        }
        let held: Vec<(Place, Via)> =
            places.iter().filter_map(|place| Some((*place, held(table, lane, place)?))).collect();
        let unknown = held.iter().filter(|(place, _)| !self.known.contains_key(&place.1.ip()));
        let unknown: BTreeMap<IpAddr, Via> =
            unknown.map(|(place, via)| (place.1.ip(), *via)).collect();
        let refused = self.take(&unknown, table.node_addresses());
        for (place, _) in held {
            match refused.get(&place.1.ip()) {
                Some(why) => drop(outcomes.insert(place, Err(why.clone()))),
                None => drop(self.held.insert(place)),
            }
        }
        let ours = |((_, address), _): &&Wanted| {
            matches!(self.known.get(&address.ip()), Some(Whose::Ours { .. }))
        };
        let ours: Vec<Wanted> = wanted.iter().filter(ours).cloned().collect();
        if ours.is_empty() {
            return outcomes;
        }
        let listen = || -> Vec<Outcome> {
            let opened = listeners::listen_all(&ours, threads);
            opened.into_iter().map(|opened| opened.map_err(listeners::reason)).collect()
        };
        let opened = match &self.space {
            Some(space) => space.within(listen).map_err(|error| error.to_string()),
            None => Err("its network namespace is gone".to_owned()),
        };
        match opened {
            Ok(all) => outcomes.extend(ours.iter().map(|(place, _)| *place).zip(all)),
            Err(why) => {
                outcomes.extend(ours.iter().map(|(place, _)| (*place, Err(why.clone()))));
            }
        }
        outcomes
    }

    /// Opens places that are the host's, each with its outcome.
    pub(super) fn listen(&self, places: &[Wanted], threads: usize) -> Vec<Outcome> {
        let reason = |error| {
            let reason = listeners::reason(error);
            let why = self.excluded().or(self.failed.as_deref());
            match why.filter(|_| error == Errno::ADDRNOTAVAIL) {
                Some(why) => format!("{reason}, and there is no network namespace for it: {why}"),
                None => reason,
            }
        };
        let opened = listeners::listen_all(places, threads);
        opened.into_iter().map(|opened| opened.map_err(reason)).collect()
    }

    /// Finds out whose addresses are, and takes those that are nobody's. Those that cannot be had, each with the reason.
    fn take(&mut self, all: &BTreeMap<IpAddr, Via>, node: &[IpAddr]) -> BTreeMap<IpAddr, String> {
        let mut refused = BTreeMap::new();
        let special = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified() || ip.is_multicast();
        let (plain, others): (Vec<IpAddr>, Vec<IpAddr>) = all
            .keys()
            .partition(|ip| special(**ip) || ip.to_canonical() != **ip || node.contains(ip));
        self.known.extend(plain.into_iter().map(|ip| (ip, Whose::Host)));
        if others.is_empty() {
            return refused;
        }
        let host = match self.host() {
            Ok(host) => host,
            Err(error) => {
                let why = format!("the host's routes cannot be read: {error}");
                return others.into_iter().map(|ip| (ip, why.clone())).collect();
            }
        };
        let (own, others): (Vec<IpAddr>, Vec<IpAddr>) =
            others.into_iter().partition(|ip| host.is_own(*ip));
        self.known.extend(own.into_iter().map(|ip| (ip, Whose::Host)));
        let outer = all.iter().filter(|(_, via)| via.is_external()).map(|(ip, _)| *ip);
        let outer: BTreeSet<IpAddr> = outer.collect();
        for conflict in host.conflicts(&others, &outer, self.instance.number) {
            refused.insert(conflict.range.address, conflict.to_string());
        }
        let free: Vec<IpAddr> = others.into_iter().filter(|ip| !refused.contains_key(ip)).collect();
        if free.is_empty() {
            return refused;
        }
        if self.space.is_none() {
            match Space::make(&self.instance) {
                Ok(space) => self.begin(space, false),
                // As without the capability: the address is tried as one of the host's.
                Err(error) => {
                    self.failed = Some(error.to_string());
                    return refused;
                }
            }
        }
        self.add(&host, &free, node, &mut refused);
        refused
    }

    fn add(
        &mut self,
        host: &Host,
        free: &[IpAddr],
        node: &[IpAddr],
        refused: &mut BTreeMap<IpAddr, String>,
    ) {
        let Some(space) = &mut self.space else { return };
        let sources = host.sources(node);
        for version in Version::BOTH {
            let of = |ip: &&IpAddr| Version::of(**ip) == version;
            let source = sources.iter().find(of).copied();
            let all: Vec<Local> =
                free.iter().filter(of).map(|address| Local { address: *address, source }).collect();
            if all.is_empty() {
                continue;
            }
            let near: Vec<(u32, IpAddr)> = all
                .iter()
                .filter_map(|local| Some((host.link_of(local.address)?, local.address)))
                .collect();
            let added = space.add(version, &all).and_then(|()| space.host().add_proxies(&near));
            if let Err(error) = added {
                let why = format!("the host has no way to it: {error}");
                let _ = space.host().delete_proxies(&near);
                let _ = space.remove(&all);
                refused.extend(all.iter().map(|local| (local.address, why.clone())));
                continue;
            }
            if let Some(keeper) = &self.keeper {
                keeper.add(&all);
            }
            let near: BTreeMap<IpAddr, u32> = near.iter().map(|(link, ip)| (*ip, *link)).collect();
            self.known.extend(all.iter().map(|local| {
                let proxy = near.get(&local.address).copied();
                (local.address, Whose::Ours { source, proxy })
            }));
        }
        self.speak();
    }

    /// Sees to it that refusals of IPv6 come from one of the addresses that are taken.
    fn speak(&mut self) {
        let of = |ip: &IpAddr| matches!(self.known.get(ip), Some(Whose::Ours { .. }));
        if self.voice.as_ref().is_some_and(of) {
            return;
        }
        let six = |(ip, whose): &(&IpAddr, &Whose)| ip.is_ipv6() && **whose != Whose::Host;
        let next = self.known.iter().find(six).map(|(ip, _)| *ip);
        if next != self.voice
            && let Some(space) = &mut self.space
        {
            // Without one, a client of UDP hears nothing where nobody has a port.
            let _ = space.speak_as(next);
            self.voice = next;
        }
    }

    fn host(&mut self) -> io::Result<Arc<Host>> {
        let changed = self.changed();
        if let Some(host) = self.host.as_ref().filter(|_| !changed.host) {
            return Ok(host.clone());
        }
        let host = match &mut self.space {
            Some(space) => Host::read(space.host()),
            None => Host::read(&mut Routes::open()?),
        };
        let mut host = host.inspect_err(|_| self.host = None)?;
        host.forget(self.instance.number);
        let host = Arc::new(host);
        // Without a namespace nobody tells of changes.
        self.host = self.space.is_some().then(|| host.clone());
        Ok(host)
    }

    fn changed(&mut self) -> Changed {
        let changed = self.space.as_mut().map(Space::changed).unwrap_or_default();
        self.lost |= changed.ways;
        if changed.host {
            self.host = None;
        }
        changed
    }

    /// `table` is in use: lets go of addresses of these places that no service has any more.
    pub(super) fn settle(&mut self, table: &Table, lane: &Lane, places: &[Place]) {
        let gone = |place: &&Place| held(table, lane, place).is_none() && self.held.contains(place);
        let gone: Vec<Place> = places.iter().filter(gone).copied().collect();
        let mut free = BTreeSet::new();
        for place in gone {
            self.held.remove(&place);
            free.insert(place.1.ip());
        }
        free.retain(|ip| self.of(*ip).is_empty());
        self.release(&free);
    }

    fn release(&mut self, all: &BTreeSet<IpAddr>) {
        let gone: BTreeMap<IpAddr, Whose> =
            all.iter().filter_map(|ip| Some((*ip, self.known.remove(ip)?))).collect();
        let locals = locals(&gone);
        if let Some(space) = self.space.as_mut().filter(|_| !locals.is_empty()) {
            // An address that stays behind is refused by the namespace's kernel, and goes with the process.
            let _ = space.host().delete_proxies(&proxies(&gone));
            let _ = space.remove(&locals);
            if let Some(keeper) = &self.keeper {
                keeper.remove(&locals);
            }
            self.speak();
        }
    }

    /// The places on an address.
    fn of(&self, ip: IpAddr) -> Vec<Place> {
        let on = |protocol| {
            let port = |port| (protocol, SocketAddr::new(ip, port));
            self.held.range(port(0)..=port(u16::MAX)).copied()
        };
        on(Protocol::Tcp).chain(on(Protocol::Udp)).collect()
    }

    /// Puts back what others removed. Places whose addresses the host has got in the meantime: they are to be opened anew.
    pub(super) fn tick(&mut self) -> Vec<Place> {
        if std::mem::take(&mut self.inherits)
            && let Some(keeper) = &self.keeper
        {
            keeper.retain(|ip| self.known.contains_key(&ip));
        }
        self.changed();
        if !std::mem::take(&mut self.lost) {
            return Vec::new();
        }
        let Ok(host) = self.host() else { return Vec::new() };
        let own = |(ip, whose): &(&IpAddr, &Whose)| **whose != Whose::Host && host.is_own(**ip);
        let own: BTreeSet<IpAddr> = self.known.iter().filter(own).map(|(ip, _)| *ip).collect();
        self.release(&own);
        if let Some(space) = &mut self.space {
            // What fails is tried again at the next change.
            let _ = space.repair(&locals(&self.known));
            self.shortcut.repair(space);
            let _ = space.host().add_proxies(&proxies(&self.known));
        }
        own.into_iter().flat_map(|ip| self.of(ip)).collect()
    }

    /// What is told of it.
    pub(super) fn report(&self) -> Addresses {
        let taken = self.known.iter().filter(|(_, whose)| **whose != Whose::Host);
        let taken: Vec<IpAddr> = taken.map(|(ip, _)| *ip).collect();
        let because = match (self.excluded(), &self.failed, &self.space) {
            (Some(why), _, _) => why.to_owned(),
            (None, Some(why), _) => format!("it cannot be made: {why}"),
            (None, None, None) => "all addresses are the host's own".to_owned(),
            (None, None, Some(_)) => "services have addresses that are not the host's".to_owned(),
        };
        Addresses {
            has_namespace: self.space.is_some(),
            because,
            has_shortcut: self.refusals().iter().any(Option::is_none),
            shortcut_because: self.shortcut_because(),
            taken: u64::try_from(taken.len()).unwrap_or(u64::MAX),
            warnings: self.warnings(&taken),
        }
    }

    /// What of the host keeps some clients out. Nothing of it is switched here: it is the host's decision.
    fn warnings(&self, taken: &[IpAddr]) -> Vec<String> {
        let is_off = |name: &str| {
            fs::read_to_string(format!("/proc/sys/{name}")).is_ok_and(|value| value.trim() == "0")
        };
        let forwarding =
            [(Version::V4, "net/ipv4/ip_forward"), (Version::V6, "net/ipv6/conf/all/forwarding")];
        let of = |version| taken.iter().any(|ip| Version::of(*ip) == version);
        let forwarding = forwarding.into_iter().filter(|(version, _)| of(*version));
        let mut all: Vec<String> = forwarding
            .filter(|(_, name)| is_off(name))
            .map(|(_, name)| {
                format!(
                    "{} is 0: only clients on this host reach the services' addresses",
                    name.replace('/', ".")
                )
            })
            .collect();
        let six = |link: &&(u32, IpAddr)| link.1.is_ipv6();
        let links: BTreeSet<u32> = proxies(&self.known).iter().filter(six).map(|p| p.0).collect();
        if links.is_empty() {
            return all;
        }
        let names = Routes::open().and_then(|mut routes| routes.links()).unwrap_or_default();
        let answering = names.iter().filter(|link| links.contains(&link.index));
        all.extend(
            answering
                .filter(|link| is_off(&format!("net/ipv6/conf/{}/proxy_ndp", link.name)))
                .map(|link| {
                    format!(
                        "net.ipv6.conf.{}.proxy_ndp is 0: neighbours on {0} do not find addresses of its network",
                        link.name
                    )
                }),
        );
        all
    }
}

/// By which way a place on a service's address is served; `None` of node ports, and of what the fast path has.
fn held(table: &Table, lane: &Lane, (protocol, address): &Place) -> Option<Via> {
    let found = table.lookup(*protocol, *address)?;
    let other = found.via == Via::NodePort || lane.is_taken(found.frontend, *address);
    (!other).then_some(found.via)
}

fn locals(known: &BTreeMap<IpAddr, Whose>) -> Vec<Local> {
    let local = |(ip, whose): (&IpAddr, &Whose)| match *whose {
        Whose::Host => None,
        Whose::Ours { source, .. } => Some(Local { address: *ip, source }),
    };
    known.iter().filter_map(local).collect()
}

fn proxies(known: &BTreeMap<IpAddr, Whose>) -> Vec<(u32, IpAddr)> {
    let proxy = |(ip, whose): (&IpAddr, &Whose)| match *whose {
        Whose::Ours { proxy: Some(link), .. } => Some((link, *ip)),
        _ => None,
    };
    known.iter().filter_map(proxy).collect()
}

/// Says that a place is not served, and why.
pub(super) fn unserved(table: &Table, place: &Place, reason: String) -> Option<Unserved> {
    let (protocol, address) = *place;
    let frontend = table.lookup(protocol, address)?.frontend;
    Some(Unserved {
        service: frontend.service.clone(),
        port: frontend.port.clone(),
        protocol,
        address,
        reason,
    })
}
