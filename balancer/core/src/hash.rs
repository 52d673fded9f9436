// SPDX-License-Identifier: Apache-2.0
//! Two hashes. One is stable: every process on every node computes the same, so that they agree on Maglev tables and rings. The
//! other is seeded with a secret, so that no peer can choose sources that collide in the tables keyed by source.

use crate::random::mix;
use core::hash::{BuildHasher, Hash};
use core::net::{IpAddr, SocketAddr};
use foldhash::fast::FixedState;

/// The seeded hash.
#[derive(Debug, Clone)]
pub(crate) struct Seeded(FixedState);

impl Seeded {
    pub(crate) fn new(seed: u64) -> Self {
        Self(FixedState::with_seed(seed))
    }

    #[inline]
    pub(crate) fn hash<T: Hash>(&self, value: &T) -> u64 {
        self.0.hash_one(value)
    }
}

/// The stable hash of bytes: FNV-1a, then a finaliser, since Maglev uses high and low bits.
pub(crate) fn stable(bytes: &[u8], seed: u64) -> u64 {
    let mut hash = 0xcbf2_9ce4_8422_2325 ^ mix(seed);
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    }
    mix(hash)
}

/// The stable hash of two numbers.
#[inline]
pub(crate) fn stable_pair(a: u64, b: u64) -> u64 {
    mix(mix(a ^ 0x9e37_79b9_7f4a_7c15).wrapping_add(b))
}

/// An address as 128 bits; IPv4 as its mapped IPv6 address, so that both notations of one address are one.
#[inline]
pub(crate) fn bits(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(v4) => v4.to_ipv6_mapped().to_bits(),
        IpAddr::V6(v6) => v6.to_bits(),
    }
}

/// The stable hash of a client's address, for Maglev and the ring.
#[must_use]
#[inline]
pub fn source_hash(source: IpAddr) -> u64 {
    let bits = bits(source);
    #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
    stable_pair((bits >> 64) as u64, bits as u64)
}

/// The address of such bits.
pub(crate) fn address(bits: u128) -> IpAddr {
    IpAddr::V6(bits.into()).to_canonical()
}

/// The stable hash of a client's address and port: flows of one client spread.
#[must_use]
#[inline]
pub fn flow_hash(source: SocketAddr) -> u64 {
    stable_pair(source_hash(source.ip()), u64::from(source.port()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_notations_of_an_address_hash_alike() {
        let (plain, mapped) = ("10.1.2.3".parse().unwrap(), "::ffff:10.1.2.3".parse().unwrap());
        assert_eq!(source_hash(plain), source_hash(mapped));
        assert_ne!(source_hash(plain), source_hash("10.1.2.4".parse().unwrap()));
        let (one, two) = ("10.1.2.3:1".parse().unwrap(), "10.1.2.3:2".parse().unwrap());
        assert_ne!(flow_hash(one), flow_hash(two));
    }

    #[test]
    fn the_stable_hash_never_changes() {
        // Other values here would move every client of every Maglev service during a rolling upgrade.
        assert_eq!(stable(b"berth", 1), 0x1dae_48c1_74d5_4535);
        assert_eq!(source_hash("192.0.2.1".parse().unwrap()), 0x5edc_c9ad_5ee4_08e0);
    }
}
