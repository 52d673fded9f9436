// SPDX-License-Identifier: Apache-2.0
//! Load balancer addresses out of pools: the lowest free one, kept by a service as long as it wants one and the pools have it.

use berth_balancer_core::model::{Cidr, Name};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// Addresses of one range that are looked at. A range of IPv6 has more than anybody gives; whoever has given so many has other
/// troubles, and a search has an end.
const LOOKED_AT: u128 = 1 << 20;

/// What was given.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Given {
    by_service: BTreeMap<Name, IpAddr>,
    by_address: BTreeMap<IpAddr, Name>,
}

impl Given {
    /// What a service has.
    #[must_use]
    pub fn of(&self, service: &str) -> Option<IpAddr> {
        self.by_service.get(service).copied()
    }

    /// Who has an address.
    #[must_use]
    pub fn to(&self, address: IpAddr) -> Option<&Name> {
        self.by_address.get(&address)
    }

    /// Notes that a service has an address.
    pub fn give(&mut self, service: &Name, address: IpAddr) {
        self.take(service);
        self.by_service.insert(service.clone(), address);
        self.by_address.insert(address, service.clone());
    }

    /// A service has none any more.
    pub fn take(&mut self, service: &str) {
        if let Some(address) = self.by_service.remove(service) {
            self.by_address.remove(&address);
        }
    }

    /// The address that a service gets: the one it has, if a pool still has it, or the lowest that is free.
    /// `claimed` says whether an address is somebody's otherwise.
    #[must_use]
    pub fn find(
        &self,
        service: &str,
        pools: &[Cidr],
        claimed: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        if let Some(address) = self.of(service)
            && pools.iter().any(|pool| pool.contains(address))
            && !claimed(address)
        {
            return Some(address);
        }
        let free = |address: &IpAddr| !self.by_address.contains_key(address) && !claimed(*address);
        pools.iter().flat_map(addresses).find(free)
    }
}

/// The addresses of a range that a host may have: of IPv4 without network and broadcast, of IPv6 without the routers' anycast.
fn addresses(range: &Cidr) -> impl Iterator<Item = IpAddr> {
    let (bits, base) = match range.address.to_canonical() {
        IpAddr::V4(v4) => (32, u128::from(v4.to_bits())),
        IpAddr::V6(v6) => (128, v6.to_bits()),
    };
    let v4 = bits == 32;
    let mapped = if v4 && range.address.is_ipv6() { 96 } else { 0 };
    let host_bits = bits - u32::from(range.prefix).saturating_sub(mapped).min(bits);
    let size = 1_u128.checked_shl(host_bits).unwrap_or(0);
    let mask = size.wrapping_sub(1);
    let first = base & !mask;
    // RFC 3021: a range of two has no network and no broadcast address.
    let small = host_bits <= 1;
    let from = u128::from(!small);
    let to = if v4 && !small { mask } else { mask.saturating_add(1) };
    let to = to.min(from + LOOKED_AT);
    (from..to).map(move |offset| {
        let address = first | offset;
        if v4 {
            let low = u32::try_from(address & u128::from(u32::MAX)).unwrap_or(0);
            IpAddr::V4(low.into())
        } else {
            IpAddr::V6(address.into())
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(range: &str) -> Vec<String> {
        addresses(&range.parse().unwrap()).take(4).map(|address| address.to_string()).collect()
    }

    #[test]
    fn a_range_gives_what_a_host_may_have() {
        assert_eq!(all("203.0.113.0/30"), ["203.0.113.1", "203.0.113.2"]);
        assert_eq!(all("203.0.113.6/31"), ["203.0.113.6", "203.0.113.7"]);
        assert_eq!(all("203.0.113.9/32"), ["203.0.113.9"]);
        assert_eq!(all("203.0.113.77/24")[0], "203.0.113.1");
        assert_eq!(all("2001:db8::/126"), ["2001:db8::1", "2001:db8::2", "2001:db8::3"]);
        assert_eq!(all("2001:db8::/64").len(), 4);
        assert_eq!(all("::/0")[0], "::1");
    }

    #[test]
    fn an_address_stays_with_its_service() {
        let pools: Vec<Cidr> = vec!["203.0.113.0/30".parse().unwrap()];
        let mut given = Given::default();
        let find = |given: &Given, name: &str| given.find(name, &pools, |_| false);
        let (a, b): (Name, Name) = ("a".into(), "b".into());
        given.give(&a, find(&given, "a").unwrap());
        given.give(&b, find(&given, "b").unwrap());
        assert_eq!(given.of("b").unwrap().to_string(), "203.0.113.2");
        assert_eq!(find(&given, "c"), None, "all are given");
        given.take("a");
        assert_eq!(find(&given, "b"), given.of("b"), "it keeps what it has");
        assert_eq!(find(&given, "c").unwrap().to_string(), "203.0.113.1");
        assert_eq!(given.find("c", &pools, |_| true), None, "services claim them all");
        let other: Vec<Cidr> = vec!["198.51.100.0/24".parse().unwrap()];
        assert_eq!(given.find("b", &other, |_| false).unwrap().to_string(), "198.51.100.1");
    }
}
