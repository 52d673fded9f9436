// SPDX-License-Identifier: Apache-2.0
//! Names and addresses of nodes and pods. All follow from the node's number, so a program that begins anew finds them again.

use std::net::Ipv4Addr;

/// The name of a node.
pub(crate) fn name(prefix: &str, node: u32) -> String {
    format!("{prefix}{node:05}")
}

/// The number of a node with this name, if it is one of so many.
pub(crate) fn number(prefix: &str, nodes: u32, text: &str) -> Option<u32> {
    let digits = text.strip_prefix(prefix)?;
    let node = digits.parse().ok().filter(|node| *node < nodes)?;
    (name(prefix, node) == text).then_some(node)
}

/// A node's own address: in 172.16.0.0/12, which holds a million.
pub(crate) fn host(node: u32) -> Ipv4Addr {
    let base = u32::from(Ipv4Addr::new(172, 16, 0, 0));
    Ipv4Addr::from(base + (node + 1) % (1 << 20))
}

/// The network of a node's pods, where none was given to it: one of the 32,768 in 10.128.0.0/9.
pub(crate) fn network(node: u32) -> Ipv4Addr {
    let base = u32::from(Ipv4Addr::new(10, 128, 0, 0));
    Ipv4Addr::from(base + (node % (1 << 15)) * 256)
}

/// The first 256 addresses of a network in CIDR form; none if it has fewer, or is of IPv6.
pub(crate) fn first_addresses(cidr: &str) -> Option<Ipv4Addr> {
    let (address, length) = cidr.split_once('/')?;
    let address: Ipv4Addr = address.parse().ok()?;
    let length: u8 = length.parse().ok()?;
    (length <= 24).then(|| Ipv4Addr::from(u32::from(address) & !0xff))
}

/// Which of a node's addresses its pods have: by the last byte.
#[derive(Debug, Clone, Default)]
pub(crate) struct Taken([u64; 4]);

impl Taken {
    /// A pod has this address.
    pub(crate) fn take(&mut self, address: Ipv4Addr) {
        let last = usize::from(address.octets()[3]);
        self.0[last / 64] |= 1 << (last % 64);
    }

    /// A pod does not have it any more.
    pub(crate) fn free(&mut self, address: Ipv4Addr) {
        let last = usize::from(address.octets()[3]);
        self.0[last / 64] &= !(1 << (last % 64));
    }

    /// One that is free, and is not any more. The last one is given again and again when there is none.
    pub(crate) fn next(&mut self, network: Ipv4Addr) -> Ipv4Addr {
        let free = (1..255_u32).find(|last| {
            let place = *last as usize;
            self.0[place / 64] & (1 << (place % 64)) == 0
        });
        let address = Ipv4Addr::from(u32::from(network) + free.unwrap_or(255));
        self.take(address);
        address
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_again_and_others_are_not() {
        assert_eq!(name("sim-", 7), "sim-00007");
        assert_eq!(number("sim-", 10, "sim-00007"), Some(7));
        assert_eq!(number("sim-", 200_000, "sim-123456"), Some(123_456));
        for other in ["sim-00010", "sim-7", "sim-000007", "sim-", "node-00007", "sim-+0007"] {
            assert_eq!(number("sim-", 10, other), None, "{other}");
        }
    }

    #[test]
    fn addresses_are_given_once_until_they_are_free() {
        let mut taken = Taken::default();
        let network = network(3);
        assert_eq!(network, Ipv4Addr::new(10, 128, 3, 0));
        taken.take(Ipv4Addr::new(10, 128, 3, 1));
        assert_eq!(taken.next(network), Ipv4Addr::new(10, 128, 3, 2));
        taken.free(Ipv4Addr::new(10, 128, 3, 1));
        assert_eq!(taken.next(network), Ipv4Addr::new(10, 128, 3, 1));
        for _ in 0..300 {
            taken.next(network);
        }
        assert_eq!(taken.next(network), Ipv4Addr::new(10, 128, 3, 255));
    }

    #[test]
    fn a_network_that_was_given_has_room_for_the_pods() {
        assert_eq!(first_addresses("10.4.7.0/24"), Some(Ipv4Addr::new(10, 4, 7, 0)));
        assert_eq!(first_addresses("10.4.0.0/16"), Some(Ipv4Addr::new(10, 4, 0, 0)));
        assert_eq!(first_addresses("10.4.7.0/26"), None);
        assert_eq!(first_addresses("fd00::/64"), None);
        assert_ne!(host(0), host(1));
    }
}
