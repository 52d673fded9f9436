// SPDX-License-Identifier: Apache-2.0
//! A pool of addresses, and which Service has which.

use crate::queue::Key;
use std::collections::BTreeMap;
use std::net::IpAddr;

/// A range of addresses, its ends included.
pub type Range = (IpAddr, IpAddr);

/// All addresses of the range of which an offer is made are taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exhausted;

/// The pool.
#[derive(Debug)]
pub struct Pool {
    ranges: Vec<Range>,
    taken: BTreeMap<IpAddr, Key>,
    of: BTreeMap<Key, Vec<IpAddr>>,
}

/// The next address; none after the last.
fn after(address: IpAddr) -> Option<IpAddr> {
    match address {
        IpAddr::V4(four) => u32::from(four).checked_add(1).map(|next| IpAddr::V4(next.into())),
        IpAddr::V6(six) => u128::from(six).checked_add(1).map(|next| IpAddr::V6(next.into())),
    }
}

impl Pool {
    /// Of these ranges.
    pub fn new(ranges: Vec<Range>) -> Self {
        Self { ranges, taken: BTreeMap::new(), of: BTreeMap::new() }
    }

    /// Whether an address is of the pool.
    pub fn contains(&self, address: &IpAddr) -> bool {
        let within = |(first, last): &Range| {
            first.is_ipv6() == address.is_ipv6() && first <= address && address <= last
        };
        self.ranges.iter().any(within)
    }

    /// A Service has addresses: those of the pool that are nobody else's are its own.
    pub fn claim(&mut self, service: &Key, addresses: &[IpAddr]) {
        for address in addresses {
            if self.contains(address) && !self.taken.contains_key(address) {
                self.take(service, *address);
            }
        }
    }

    fn take(&mut self, service: &Key, address: IpAddr) {
        self.taken.insert(address, service.clone());
        self.of.entry(service.clone()).or_default().push(address);
    }

    /// A Service needs no address any more. True if it had one.
    pub fn release(&mut self, service: &Key) -> bool {
        let addresses = self.of.remove(service).unwrap_or_default();
        for address in &addresses {
            self.taken.remove(address);
        }
        !addresses.is_empty()
    }

    /// Addresses for a Service, one of each family that it wants (`true` is IPv6): what it has, what it wishes for, or the first that is free.
    pub fn assign(
        &mut self,
        service: &Key,
        families: &[bool],
        wish: Option<IpAddr>,
    ) -> Result<Vec<IpAddr>, Exhausted> {
        let had = self.of.remove(service).unwrap_or_default();
        for address in &had {
            self.taken.remove(address);
        }
        let mut all = Vec::new();
        for six in families {
            let fits = |address: &IpAddr| {
                address.is_ipv6() == *six
                    && self.contains(address)
                    && !self.taken.contains_key(address)
            };
            let wish = wish.filter(fits);
            let old = had.iter().copied().find(fits);
            let address = wish.or(old).or_else(|| self.first_free(*six));
            if let Some(address) = address {
                self.take(service, address);
                all.push(address);
            }
        }
        // With one of two families a Service can be reached.
        if all.is_empty() { Err(Exhausted) } else { Ok(all) }
    }

    fn first_free(&self, six: bool) -> Option<IpAddr> {
        for (first, last) in self.ranges.iter().filter(|(first, _)| first.is_ipv6() == six) {
            let mut next = Some(*first);
            // Taken addresses lie in order: the first gap is the first that is free.
            for taken in self.taken.range(*first..=*last).map(|(address, _)| *address) {
                if next != Some(taken) {
                    break;
                }
                next = after(taken);
            }
            if let Some(free) = next.filter(|free| free <= last) {
                return Some(free);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_are_given_out_once_kept_and_given_back() {
        let key = |name: &str| Key::new("n", name);
        let ranges = vec![
            (ip("10.0.0.1"), ip("10.0.0.2")),
            (ip("10.0.1.255"), ip("10.0.1.255")),
            (ip("fd00::1"), ip("fd00::1")),
        ];
        let mut pool = Pool::new(ranges);
        pool.claim(&key("old"), &[ip("10.0.0.2"), ip("1.1.1.1")]);
        pool.claim(&key("late"), &[ip("10.0.0.2")]);
        assert_eq!(
            pool.assign(&key("old"), &[false], None).unwrap(),
            [ip("10.0.0.2")],
            "it keeps what it has"
        );
        assert_eq!(pool.assign(&key("late"), &[false], None).unwrap(), [ip("10.0.0.1")]);
        assert_eq!(
            pool.assign(&key("both"), &[false, true], None).unwrap(),
            [ip("10.0.1.255"), ip("fd00::1")]
        );
        assert_eq!(pool.assign(&key("none"), &[false], None), Err(Exhausted));
        assert!(!pool.release(&key("none")) && pool.release(&key("old")));
        assert_eq!(
            pool.assign(&key("late"), &[false], Some(ip("10.0.0.2"))).unwrap(),
            [ip("10.0.0.2")],
            "its wish is free now"
        );
        assert_eq!(
            pool.assign(&key("none"), &[false], Some(ip("10.0.0.2"))).unwrap(),
            [ip("10.0.0.1")],
            "this is not"
        );
    }
}
