// SPDX-License-Identifier: Apache-2.0
//! Ranges of IPv4 addresses.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::net::Ipv4Addr;
use std::str::FromStr;

/// A range of addresses, as `10.244.1.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Range {
    first: Ipv4Addr,
    prefix: u8,
}

/// What is no range.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no range of IPv4 addresses, as 10.244.1.0/24 is one: {why}")]
pub struct RangeError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub why: &'static str,
}

impl Range {
    /// The range whose addresses have their first `prefix` bits in common with `first`, which is its first one.
    pub fn new(first: Ipv4Addr, prefix: u8) -> Result<Self, RangeError> {
        let error = |why| RangeError { text: format!("{first}/{prefix}"), why };
        if prefix > 32 {
            return Err(error("a prefix has at most 32 bits"));
        }
        let range = Self { first, prefix };
        if first.to_bits() & !range.mask() != 0 {
            return Err(error("bits behind the prefix are set"));
        }
        Ok(range)
    }

    /// The first address.
    #[must_use]
    pub fn first(self) -> Ipv4Addr {
        self.first
    }

    /// The last address: the one for broadcasts.
    #[must_use]
    pub fn last(self) -> Ipv4Addr {
        Ipv4Addr::from_bits(self.first.to_bits() | !self.mask())
    }

    /// How many leading bits the addresses have in common.
    #[must_use]
    pub fn prefix(self) -> u8 {
        self.prefix
    }

    /// Whether an address is in it.
    #[must_use]
    pub fn contains(self, address: Ipv4Addr) -> bool {
        address.to_bits() & self.mask() == self.first.to_bits()
    }

    /// Whether some address is in both.
    #[must_use]
    pub fn overlaps(self, other: Self) -> bool {
        self.contains(other.first) || other.contains(self.first)
    }

    /// The bits that count.
    #[must_use]
    pub fn mask(self) -> u32 {
        u32::MAX.checked_shl(32 - u32::from(self.prefix)).unwrap_or(0)
    }
}

impl fmt::Display for Range {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.first, self.prefix)
    }
}

impl TryFrom<String> for Range {
    type Error = RangeError;

    fn try_from(text: String) -> Result<Self, RangeError> {
        text.parse()
    }
}

impl From<Range> for String {
    fn from(range: Range) -> Self {
        range.to_string()
    }
}

impl FromStr for Range {
    type Err = RangeError;

    fn from_str(text: &str) -> Result<Self, RangeError> {
        let error = |why| RangeError { text: text.chars().take(64).collect(), why };
        let (first, prefix) = text.split_once('/').ok_or_else(|| error("there is no slash"))?;
        let first = first.parse().map_err(|_| error("no address stands before the slash"))?;
        let digits = (1..=2).contains(&prefix.len()) && prefix.bytes().all(|b| b.is_ascii_digit());
        let prefix = prefix.parse().ok().filter(|_| digits);
        Self::new(first, prefix.ok_or_else(|| error("no number stands behind the slash"))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_read_and_hold_what_they_should() {
        let range: Range = "10.244.1.0/24".parse().unwrap();
        assert_eq!(
            (range.to_string(), range.last()),
            ("10.244.1.0/24".to_owned(), [10, 244, 1, 255].into())
        );
        assert!(range.contains([10, 244, 1, 9].into()) && !range.contains([10, 244, 2, 0].into()));
        let all: Range = "0.0.0.0/0".parse().unwrap();
        assert!(all.contains([1, 2, 3, 4].into()) && all.overlaps(range) && range.overlaps(all));
        assert!(!range.overlaps("10.244.2.0/24".parse().unwrap()));
        assert_eq!("1.2.3.4/32".parse::<Range>().unwrap().last(), Ipv4Addr::new(1, 2, 3, 4));
        for wrong in [
            "",
            "10.0.0.0",
            "10.0.0.0/",
            "10.0.0.0/33",
            "10.0.0.1/24",
            "10.0.0/24",
            "10.0.0.0/+8",
            "10.0.0.0/008",
            "fd00::/64",
            "10.0.0.0/8/8",
        ] {
            assert!(wrong.parse::<Range>().is_err(), "{wrong}");
        }
    }
}
