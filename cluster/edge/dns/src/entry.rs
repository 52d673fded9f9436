// SPDX-License-Identifier: Apache-2.0
//! What the zone has of one service. It is made whole and never changed.

use crate::view::{Port, Reach, Service, Slice};
use compact_str::CompactString as Text;
use hickory_proto::rr::Name;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// A service that has records.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Entry {
    pub(crate) kind: Kind,
    /// Of the service itself, sorted: its own, or those of its endpoints.
    pub(crate) v4: Vec<Ipv4Addr>,
    pub(crate) v6: Vec<Ipv6Addr>,
    /// Those that have names, by name and address, each once for each slice that has it.
    endpoints: Vec<Named>,
    /// Ports of the endpoints, for each slice.
    slices: Vec<Vec<Port>>,
}

/// What a service is.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Kind {
    /// It has addresses and ports of its own.
    Own(Vec<Port>),
    /// It has those of its endpoints.
    Headless,
    /// It is another name.
    Alias(Name),
}

/// An endpoint with its name below the service's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    pub(crate) host: Text,
    pub(crate) address: IpAddr,
    /// Its name is its own, not made of its address.
    pub(crate) chosen: bool,
    slice: usize,
}

/// Where a port is served.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Target<'e> {
    /// The endpoint's name; none for the service itself.
    pub(crate) host: Option<&'e Text>,
    pub(crate) number: u16,
}

/// An address as a label: `10-1-0-7`, `fd00--7`.
pub(crate) fn label(address: IpAddr) -> Text {
    let text = address.to_string();
    text.chars().map(|c| if matches!(c, '.' | ':') { '-' } else { c }).collect()
}

impl Entry {
    /// Of a service and its slices; none if it has no record. A headless service without an endpoint has none (NXDOMAIN, says the specification).
    pub(crate) fn of<'s>(
        service: &Service,
        slices: impl Iterator<Item = &'s Slice>,
    ) -> Option<Self> {
        let own: &[IpAddr] = match &service.reach {
            Reach::Nowhere => return None,
            Reach::Elsewhere(name) => return Some(Self::alias(name)),
            Reach::At(addresses) => addresses,
            Reach::Headless => &[],
        };
        let (mut endpoints, mut ports) = (Vec::new(), Vec::new());
        for (index, slice) in slices.enumerate() {
            for endpoint in slice.endpoints.iter().filter(|one| one.ready || service.not_ready_too)
            {
                let address = endpoint.address;
                let host = endpoint.hostname.clone().unwrap_or_else(|| label(address));
                let chosen = endpoint.hostname.is_some();
                endpoints.push(Named { host, address, chosen, slice: index });
            }
            ports.push(slice.ports.clone());
        }
        endpoints.sort_unstable();
        let kind = match &service.reach {
            Reach::Headless if endpoints.is_empty() => return None,
            Reach::Headless => Kind::Headless,
            _ => Kind::Own(service.ports.clone()),
        };
        let all: BTreeSet<IpAddr> = match kind {
            Kind::Headless => endpoints.iter().map(|one| one.address).collect(),
            _ => own.iter().copied().collect(),
        };
        let (v4, v6) = families(all.into_iter());
        Some(Self { kind, v4, v6, endpoints, slices: ports })
    }

    fn alias(name: &Name) -> Self {
        let (v4, v6, endpoints, slices) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        Self { kind: Kind::Alias(name.clone()), v4, v6, endpoints, slices }
    }

    /// Its own addresses: whoever asks for one of these by number is told the service.
    pub(crate) fn own(&self) -> impl Iterator<Item = IpAddr> {
        let own = matches!(self.kind, Kind::Own(_));
        let v4 = self.v4.iter().copied().map(IpAddr::V4);
        v4.chain(self.v6.iter().copied().map(IpAddr::V6)).filter(move |_| own)
    }

    /// Endpoints that have names of their own.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = &Named> {
        self.endpoints.iter().filter(|endpoint| endpoint.chosen)
    }

    /// Addresses of the endpoints with this name; none if there is no such name.
    pub(crate) fn host(&self, host: &str) -> Option<(Vec<Ipv4Addr>, Vec<Ipv6Addr>)> {
        let from = self.endpoints.partition_point(|one| one.host.as_str() < host);
        let mut all: Vec<IpAddr> = self.endpoints[from..]
            .iter()
            .take_while(|one| one.host == host)
            .map(|one| one.address)
            .collect();
        all.dedup();
        (!all.is_empty()).then(|| families(all.into_iter()))
    }

    /// Where ports are served of which this holds, each once, sorted.
    pub(crate) fn targets<'e>(&'e self, holds: impl Fn(&Port) -> bool) -> Vec<Target<'e>> {
        let mut targets: Vec<Target<'e>> = match &self.kind {
            Kind::Alias(_) => Vec::new(),
            Kind::Own(ports) => {
                let of = |port: &Port| Target { host: None, number: port.number };
                ports.iter().filter(|port| holds(port)).map(of).collect()
            }
            Kind::Headless => {
                let wanted = |ports: &Vec<Port>| -> Vec<u16> {
                    ports.iter().filter(|port| holds(port)).map(|port| port.number).collect()
                };
                let numbers: Vec<Vec<u16>> = self.slices.iter().map(wanted).collect();
                let of = |one: &'e Named| {
                    let Named { host, slice, .. } = one;
                    numbers[*slice].iter().map(move |number| (host, *number))
                };
                let all = self.endpoints.iter().flat_map(of);
                all.map(|(host, number)| Target { host: Some(host), number }).collect()
            }
        };
        targets.sort_unstable();
        targets.dedup();
        targets
    }

    /// Whether it has a port of which this holds.
    pub(crate) fn has_port(&self, holds: impl Fn(&Port) -> bool) -> bool {
        match &self.kind {
            Kind::Alias(_) => false,
            Kind::Own(ports) => ports.iter().any(holds),
            Kind::Headless => {
                let served = |one: &Named| self.slices[one.slice].iter().any(&holds);
                self.endpoints.iter().any(served)
            }
        }
    }
}

fn families(all: impl Iterator<Item = IpAddr>) -> (Vec<Ipv4Addr>, Vec<Ipv6Addr>) {
    let (mut v4, mut v6) = (Vec::new(), Vec::new());
    for address in all {
        match address {
            IpAddr::V4(address) => v4.push(address),
            IpAddr::V6(address) => v6.push(address),
        }
    }
    (v4, v6)
}
