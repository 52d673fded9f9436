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
    /// `claimed` says whether an address is somebody's otherwise; `free` where the last search of the same plan ended, so that ten
    /// thousand services do not each look at the addresses of all before them.
    #[must_use]
    pub fn find(
        &self,
        service: &str,
        pools: &[Cidr],
        free: &mut Free,
        claimed: impl Fn(IpAddr) -> bool,
    ) -> Option<IpAddr> {
        if let Some(address) = self.of(service)
            && pools.iter().any(|pool| pool.contains(address))
            && !claimed(address)
        {
            return Some(address);
        }
        let is_free =
            |address: &IpAddr| !self.by_address.contains_key(address) && !claimed(*address);
        // What others gave up since lies behind: it is looked at before somebody gets none.
        for _ in 0..2 {
            while let Some(pool) = pools.get(free.pool) {
                let left = || addresses(pool).skip(free.looked_at);
                if let Some((at, address)) = left().enumerate().find(|(_, one)| is_free(one)) {
                    free.looked_at += at + 1;
                    return Some(address);
                }
                *free = Free { pool: free.pool + 1, looked_at: 0 };
            }
            *free = Free::default();
        }
        None
    }
}

/// Where the search for free addresses goes on.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Free {
    pool: usize,
    looked_at: usize,
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
    fn a_search_goes_on_where_the_last_one_ended_and_finds_what_was_given_up_behind_it() {
        let pools: Vec<Cidr> =
            vec!["10.0.0.0/16".parse().unwrap(), "203.0.113.0/31".parse().unwrap()];
        let (mut given, mut free) = (Given::default(), Free::default());
        let looked_at = std::cell::Cell::new(0);
        let claimed = |_| {
            looked_at.set(looked_at.get() + 1);
            false
        };
        for number in 0..65_534_u32 + 2 {
            let name: Name = number.to_string().into();
            let address = given.find(&name, &pools, &mut free, claimed).unwrap();
            given.give(&name, address);
        }
        assert_eq!(given.of("65534").unwrap().to_string(), "203.0.113.0");
        assert!(looked_at.get() <= 65_600, "{} looked at", looked_at.get());
        given.take("7");
        let got = given.find("late", &pools, &mut free, claimed);
        assert_eq!(got.unwrap().to_string(), "10.0.0.8");
    }

    #[test]
    fn an_address_stays_with_its_service() {
        let pools: Vec<Cidr> = vec!["203.0.113.0/30".parse().unwrap()];
        let mut given = Given::default();
        let find =
            |given: &Given, name: &str| given.find(name, &pools, &mut Free::default(), |_| false);
        let (a, b): (Name, Name) = ("a".into(), "b".into());
        given.give(&a, find(&given, "a").unwrap());
        given.give(&b, find(&given, "b").unwrap());
        assert_eq!(given.of("b").unwrap().to_string(), "203.0.113.2");
        assert_eq!(find(&given, "c"), None, "all are given");
        given.take("a");
        assert_eq!(find(&given, "b"), given.of("b"), "it keeps what it has");
        assert_eq!(find(&given, "c").unwrap().to_string(), "203.0.113.1");
        let mut free = Free::default();
        assert_eq!(given.find("c", &pools, &mut free, |_| true), None, "services claim them all");
        let other: Vec<Cidr> = vec!["198.51.100.0/24".parse().unwrap()];
        let got = given.find("b", &other, &mut free, |_| false);
        assert_eq!(got.unwrap().to_string(), "198.51.100.1");
    }
}
