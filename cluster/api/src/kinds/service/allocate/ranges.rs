// SPDX-License-Identifier: Apache-2.0
//! Where addresses and ports are taken from. Those that nobody asked for come from the upper part of a range while there are any, so
//! that the lower part stays for those who name what they want (upstream's KEP 3070 and 3668).

use core::fmt;
use core::net::Ipv4Addr;
use core::ops::RangeInclusive;
use core::str::FromStr;

/// Where addresses and ports are taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ranges {
    /// Addresses of services.
    pub cluster_ips: Network,
    /// Ports of nodes.
    pub node_ports: RangeInclusive<u16>,
}

impl Default for Ranges {
    fn default() -> Self {
        let cluster_ips = Network { first: u32::from(Ipv4Addr::new(10, 0, 0, 0)), length: 24 };
        Self { cluster_ips, node_ports: 30_000..=32_767 }
    }
}

/// A network of addresses: `10.0.0.0/24`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    first: u32,
    length: u8,
}

/// A text that is no network of IPv4 addresses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NoNetwork;

impl fmt::Display for NoNetwork {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a network of IPv4 addresses looks like 10.0.0.0/24")
    }
}

impl std::error::Error for NoNetwork {}

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let (address, length) = text.split_once('/').ok_or(NoNetwork)?;
        let address: Ipv4Addr = address.parse().map_err(|_| NoNetwork)?;
        let length: u8 = length.parse().map_err(|_| NoNetwork)?;
        if length > 32 {
            return Err(NoNetwork);
        }
        let mask = u32::MAX.checked_shl(32 - u32::from(length)).unwrap_or(0);
        Ok(Self { first: u32::from(address) & mask, length })
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", Ipv4Addr::from(self.first), self.length)
    }
}

impl Network {
    /// How many addresses there are, the first and the last one included.
    fn size(self) -> u64 {
        1 << (32 - u32::from(self.length))
    }

    /// The address at a place; 0 is the network's own.
    pub fn at(self, place: u64) -> Ipv4Addr {
        let place = u32::try_from(place).unwrap_or(u32::MAX);
        Ipv4Addr::from(self.first.saturating_add(place))
    }

    /// Whether a service may have the address: the first and the last one are the network's own.
    pub fn holds(self, address: Ipv4Addr) -> bool {
        let place = u32::from(address).checked_sub(self.first).map(u64::from);
        place.is_some_and(|place| place > 0 && place < self.size() - 1)
    }

    /// The first address that services may have; upstream gives it to `kubernetes`.
    pub fn first_host(self) -> Ipv4Addr {
        self.at(1)
    }

    /// An address that is not taken.
    pub(super) fn pick(
        self,
        taken: &dyn Fn(Ipv4Addr) -> bool,
        chance: &mut dyn FnMut(u64) -> u64,
    ) -> Option<Ipv4Addr> {
        let lower = lower(self.size(), Part { least: 16, most: 256, share: 16 });
        let all = 1..self.size() - 1;
        let place = pick(all, 1 + lower, &|place| !taken(self.at(place)), chance)?;
        Some(self.at(place))
    }
}

/// A port that is free.
pub(super) fn pick_port(
    range: &RangeInclusive<u16>,
    free: &dyn Fn(u16) -> bool,
    chance: &mut dyn FnMut(u64) -> u64,
) -> Option<u16> {
    let first = u64::from(*range.start());
    let size = (u64::from(*range.end()) + 1).saturating_sub(first);
    let lower = lower(size, Part { least: 16, most: 128, share: 32 });
    let is_free = |port: u64| u16::try_from(port).is_ok_and(free);
    let port = pick(first..first + size, first + lower, &is_free, chance)?;
    u16::try_from(port).ok()
}

/// How long the lower part of a range is.
struct Part {
    least: u64,
    most: u64,
    share: u64,
}

/// The length of the lower part of a range of `size`; a small one is not parted.
fn lower(size: u64, part: Part) -> u64 {
    if size <= part.least { 0 } else { (size / part.share).clamp(part.least, part.most) }
}

/// One that is free: from a place by chance in the part from `split` on, and then in the part before.
fn pick(
    all: core::ops::Range<u64>,
    split: u64,
    free: &dyn Fn(u64) -> bool,
    chance: &mut dyn FnMut(u64) -> u64,
) -> Option<u64> {
    [split..all.end, all.start..split].into_iter().find_map(|part| {
        let size = part.end.saturating_sub(part.start);
        if size == 0 {
            return None;
        }
        let start = chance(size) % size;
        (0..size).map(|step| part.start + (start + step) % size).find(|place| free(*place))
    })
}
