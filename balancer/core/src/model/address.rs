// SPDX-License-Identifier: Apache-2.0
//! Protocols and ranges of addresses.

use core::fmt;
use core::net::IpAddr;
use core::str::FromStr;

/// A transport protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

impl fmt::Display for Protocol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Tcp => "TCP",
            Self::Udp => "UDP",
        })
    }
}

/// A range of addresses. Bits of `address` behind the prefix do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cidr {
    /// An address inside.
    pub address: IpAddr,
    /// Leading bits that all addresses inside share.
    pub prefix: u8,
}

impl Cidr {
    /// Whether the prefix is no longer than the address.
    #[must_use]
    pub fn is_valid(&self) -> bool {
        self.prefix <= if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// Whether `address` is inside. An IPv4-mapped IPv6 address is the IPv4 address that it maps, on both sides: a client does
    /// not get around a range by the notation in which a dual-stack socket reports it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(range), IpAddr::V4(one)) => {
                // A mapped range counts from the start of the IPv6 address.
                let mapped = if self.address.is_ipv6() { 96 } else { 0 };
                let prefix = u32::from(self.prefix.saturating_sub(mapped));
                let differ = range.to_bits() ^ one.to_bits();
                differ.checked_shr(32_u32.saturating_sub(prefix)).unwrap_or(0) == 0
            }
            (IpAddr::V6(range), IpAddr::V6(one)) => {
                let differ = range.to_bits() ^ one.to_bits();
                let prefix = u32::from(self.prefix);
                differ.checked_shr(128_u32.saturating_sub(prefix)).unwrap_or(0) == 0
            }
            _ => false,
        }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

/// Why a text is not a range of addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CidrError {
    /// What stands before the slash is no address.
    Address,
    /// What stands behind the slash is missing, no number, or more than the address has bits.
    Prefix,
}

impl fmt::Display for CidrError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Address => "not a range: no address before the slash (10.0.0.0/8, fd00::/8)",
            Self::Prefix => "not a range: no prefix length that the address has (10.0.0.0/8)",
        })
    }
}

impl core::error::Error for CidrError {}

impl FromStr for Cidr {
    type Err = CidrError;

    fn from_str(text: &str) -> Result<Self, CidrError> {
        let (address, prefix) = text.split_once('/').ok_or(CidrError::Prefix)?;
        let address = address.parse().map_err(|_| CidrError::Address)?;
        let digits = prefix.bytes().all(|byte| byte.is_ascii_digit());
        let prefix = prefix.parse().map_err(|_| CidrError::Prefix)?;
        let range = Self { address, prefix };
        if digits && range.is_valid() { Ok(range) } else { Err(CidrError::Prefix) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inside(range: &str, address: &str) -> bool {
        range.parse::<Cidr>().unwrap().contains(address.parse().unwrap())
    }

    #[test]
    fn a_range_holds_what_shares_its_prefix() {
        assert!(inside("10.0.0.0/8", "10.255.0.1"));
        assert!(!inside("10.0.0.0/8", "11.0.0.1"));
        assert!(inside("10.1.2.3/32", "10.1.2.3"));
        assert!(!inside("10.1.2.3/32", "10.1.2.2"));
        assert!(inside("0.0.0.0/0", "203.0.113.9"));
        assert!(!inside("0.0.0.0/0", "2001:db8::1"));
        assert!(inside("2001:db8::/32", "2001:db8:1::1"));
        assert!(!inside("2001:db8::/32", "2001:db9::1"));
        assert!(inside("::/0", "2001:db8::1"));
        assert!(inside("10.9.9.9/8", "10.0.0.1"), "bits behind the prefix do not count");
    }

    #[test]
    fn a_mapped_address_is_the_address_it_maps() {
        assert!(inside("10.0.0.0/8", "::ffff:10.1.1.1"));
        assert!(!inside("10.0.0.0/8", "::ffff:11.1.1.1"));
        assert!(inside("::ffff:10.0.0.0/104", "10.1.1.1"));
        assert!(!inside("::ffff:10.0.0.0/104", "11.1.1.1"));
        assert!(!inside("::/0", "::ffff:10.1.1.1"), "an IPv6 range is no pass for IPv4");
    }

    #[test]
    fn what_is_no_range_says_why() {
        let error = |text: &str| text.parse::<Cidr>().unwrap_err();
        assert_eq!(error("10.0.0.0"), CidrError::Prefix);
        assert_eq!(error("10.0.0.0/33"), CidrError::Prefix);
        assert_eq!(error("10.0.0.0/+8"), CidrError::Prefix);
        assert_eq!(error("10.0.0.0/"), CidrError::Prefix);
        assert_eq!(error("::/129"), CidrError::Prefix);
        assert_eq!(error("10.0.0/8"), CidrError::Address);
    }
}
