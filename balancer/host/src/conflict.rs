// SPDX-License-Identifier: Apache-2.0
//! Addresses that a service must not take, since they are somebody's already.

use crate::address::{Network, Version};
use crate::route::{Link, ROUTE_PROTOCOL, Route, Routes, VETH_ROUTE_PROTOCOL};
use std::collections::BTreeSet;
use std::fmt;
use std::io;
use std::net::IpAddr;

/// An address or a range that is somebody's already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conflict {
    /// What was to be taken; one address is a range of one.
    pub range: Network,
    /// Whose it is.
    pub with: With,
}

/// Whose an address is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum With {
    /// An interface has it, or it lies in the interface's network.
    Interface {
        /// The interface's name.
        name: String,
        /// Its address and network.
        network: Network,
    },
    /// A route leads elsewhere.
    Route {
        /// Its destination.
        destination: Network,
        /// The name of the interface through which it leads.
        interface: String,
    },
    /// Another instance of the balancer serves it.
    Instance {
        /// That instance's route.
        address: IpAddr,
    },
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} overlaps ", self.range)?;
        match &self.with {
            With::Interface { name, network } => write!(f, "{network} of interface {name}"),
            With::Route { destination, interface } => {
                write!(f, "the route to {destination} through {interface}")
            }
            With::Instance { address } => write!(f, "{address}, which another instance serves"),
        }
    }
}

/// All in one line.
pub fn list(conflicts: &[Conflict]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = conflicts.iter().take(SHOWN).map(ToString::to_string).collect();
    let more = conflicts.len().saturating_sub(SHOWN);
    let rest = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("{}{rest}", shown.join("; "))
}

/// Addresses and routes of a host.
#[derive(Debug)]
pub struct Host {
    /// Interfaces.
    pub links: Vec<Link>,
    /// Addresses of interfaces.
    pub addresses: Vec<Route>,
    /// Routes of all tables.
    pub routes: Vec<Route>,
}

impl Host {
    /// Asks the kernel.
    ///
    /// # Errors
    /// The kernel did not tell.
    pub fn read(routes: &mut Routes) -> io::Result<Self> {
        let (links, addresses) = (routes.links()?, routes.addresses()?);
        let mut all = routes.routes(Version::V4)?;
        all.extend(routes.routes(Version::V6)?);
        Ok(Self { links, addresses, routes: all })
    }

    /// Forgets the routes of an instance: what is looked for is whose all else is.
    pub fn forget(&mut self, metric: u32) {
        self.routes.retain(|route| !is_balancers(route) || route.metric != metric);
    }

    /// Whether an address is the host's own: a plain socket may have it.
    #[must_use]
    pub fn is_own(&self, address: IpAddr) -> bool {
        let all = Network::of(address);
        // What has no prefix is policy routing's, for marked packets: it says of no address whose it is.
        let local = |route: &&Route| {
            route.local && route.prefix > 0 && !is_balancers(route) && overlap(all, network(route))
        };
        self.addresses.iter().any(|own| own.destination == address)
            || self.routes.iter().any(|route| local(&route))
    }

    /// The interface in whose network an address lies.
    #[must_use]
    pub fn link_of(&self, address: IpAddr) -> Option<u32> {
        let all = Network::of(address);
        self.addresses.iter().find(|own| overlap(all, network(own))).map(|own| own.link)
    }

    /// An interface's name.
    #[must_use]
    pub fn name(&self, link: u32) -> String {
        let found = self.links.iter().find(|other| other.index == link);
        found.map_or_else(|| format!("number {link}"), |link| link.name.clone())
    }

    /// The addresses that local clients get as their source: the node's own if they are given, else one of an interface.
    pub fn sources(&self, node: &[IpAddr]) -> Vec<IpAddr> {
        let own = |address: &&IpAddr| self.addresses.iter().any(|own| own.destination == **address);
        let mut all: Vec<IpAddr> = node.iter().filter(own).copied().collect();
        let usable = |address: &IpAddr| match address {
            IpAddr::V4(address) => !address.is_loopback() && !address.is_link_local(),
            IpAddr::V6(address) => !address.is_loopback() && !address.is_unicast_link_local(),
        };
        all.extend(self.addresses.iter().map(|own| own.destination).filter(usable));
        all.retain(|address| !address.is_loopback());
        all
    }

    /// Of addresses that services want, those that are somebody's. Those of a load balancer's pool (`outer`) may lie in a network
    /// of the host's, where others look for them. `metric` is that of this instance's own routes.
    pub fn conflicts(
        &self,
        addresses: &[IpAddr],
        outer: &BTreeSet<IpAddr>,
        metric: u32,
    ) -> Vec<Conflict> {
        let conflict = |address: &IpAddr| {
            let range = Network::of(*address);
            let found = self.conflict(range, metric)?;
            let own = || self.addresses.iter().any(|own| own.destination == *address);
            let hard = match found.with {
                With::Interface { .. } => !outer.contains(address) || own(),
                With::Route { .. } => !outer.contains(address),
                With::Instance { .. } => true,
            };
            hard.then_some(found)
        };
        addresses.iter().filter_map(conflict).collect()
    }

    /// Whose a range is.
    pub fn conflict(&self, range: Network, metric: u32) -> Option<Conflict> {
        let interface = self.addresses.iter().find(|own| overlap(range, network(own)));
        let with = interface
            .map(|own| With::Interface { name: self.name(own.link), network: network(own) });
        let foreign = |route: &&Route| {
            route.prefix > 0
                && !(is_balancers(route) && route.metric == metric)
                && !is_multicast(route.destination)
                && overlap(range, network(route))
        };
        let with = with.or_else(|| {
            let route = self.routes.iter().find(foreign)?;
            Some(if is_balancers(route) {
                With::Instance { address: route.destination }
            } else {
                let interface = self.name(route.link);
                With::Route { destination: network(route), interface }
            })
        });
        with.map(|with| Conflict { range, with })
    }
}

/// Whether a balancer made it, this one or another instance.
fn is_balancers(route: &Route) -> bool {
    let protocol = if route.local { ROUTE_PROTOCOL } else { VETH_ROUTE_PROTOCOL };
    route.protocol == protocol
}

fn is_multicast(address: IpAddr) -> bool {
    address.is_multicast()
}

fn network(route: &Route) -> Network {
    Network { address: route.destination, prefix: route.prefix }
}

fn overlap(one: Network, other: Network) -> bool {
    one.address.is_ipv4() == other.address.is_ipv4()
        && (one.contains(other.address) || other.contains(one.address))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn route(destination: &str, prefix: u8, link: u32) -> Route {
        Route {
            destination: destination.parse().unwrap(),
            prefix,
            link,
            protocol: 4,
            local: false,
            metric: 0,
            source: None,
        }
    }

    fn parse(range: &str) -> Network {
        let (address, prefix) = range.split_once('/').unwrap();
        Network { address: address.parse().unwrap(), prefix: prefix.parse().unwrap() }
    }

    fn host() -> Host {
        let link =
            |index, name: &str| Link { index, name: name.into(), kind: String::new(), master: 0 };
        let mut other = route("10.96.7.7", 32, 1);
        (other.protocol, other.local, other.metric) = (ROUTE_PROTOCOL, true, 5);
        Host {
            links: vec![link(1, "lo"), link(2, "eth0")],
            addresses: vec![route("127.0.0.1", 8, 1), route("192.0.2.7", 24, 2)],
            routes: vec![route("0.0.0.0", 0, 2), route("10.96.0.0", 16, 2), other],
        }
    }

    fn check(range: &str) -> Option<String> {
        host().conflict(parse(range), 4).map(|conflict| conflict.to_string())
    }

    #[test]
    fn what_overlaps_is_named() {
        let said = |text: &str| Some(text.to_owned());
        assert_eq!(check("10.200.0.1/32"), None, "the default route is no conflict");
        assert_eq!(
            check("192.0.2.0/25"),
            said("192.0.2.0/25 overlaps 192.0.2.7/24 of interface eth0")
        );
        assert_eq!(
            check("10.0.0.0/8"),
            said("10.0.0.0/8 overlaps the route to 10.96.0.0/16 through eth0")
        );
        assert_eq!(check("fd00::/8"), None);
    }

    #[test]
    fn a_local_route_to_everything_makes_no_address_the_hosts_own() {
        let mut host = host();
        let own = "192.0.2.7".parse().unwrap();
        let [all, one] = [("0.0.0.0", 0), ("10.1.2.3", 32)]
            .map(|(to, prefix)| Route { local: true, ..route(to, prefix, 1) });
        host.routes.extend([all, one.clone()]);
        assert!(host.is_own(own) && host.is_own(one.destination));
        assert!(!host.is_own("10.1.2.4".parse().unwrap()));
    }

    #[test]
    fn an_instance_is_known_by_its_routes() {
        let mut host = host();
        host.routes.remove(1);
        let range = parse("10.96.7.7/32");
        assert_eq!(host.conflict(range, 5), None, "its own");
        let found = host.conflict(range, 6).unwrap().with;
        assert_eq!(found, With::Instance { address: range.address });
    }
}
