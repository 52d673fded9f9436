// SPDX-License-Identifier: Apache-2.0
//! Names of addresses: `7.0.1.10.in-addr.arpa`, and nibbles below `ip6.arpa`.

use crate::settings::Range;
use hickory_proto::rr::Name;
use std::net::IpAddr;

/// What a name below one of the two trees says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Reverse {
    /// With zeros for what the name does not say.
    pub(crate) address: IpAddr,
    /// How many bits it says.
    pub(crate) bits: u8,
    /// There are labels before the address, which no record has.
    pub(crate) more: bool,
}

impl Reverse {
    /// Of labels in lower case, the first first; none if it is no such name.
    pub(crate) fn of(labels: &[&str]) -> Option<Self> {
        let (above, four) = match labels {
            [above @ .., "in-addr", "arpa"] => (above, true),
            [above @ .., "ip6", "arpa"] => (above, false),
            _ => return None,
        };
        let (most, width) = if four { (4, 8) } else { (32, 4) };
        let mut number = 0_u128;
        let mut bits = 0_u8;
        for label in above.iter().rev().take(most) {
            let part = if four { octet(label)? } else { nibble(label)? };
            bits += width;
            number |= u128::from(part) << (128 - u32::from(bits));
        }
        let address = if four {
            IpAddr::V4(u32::try_from(number >> 96).ok()?.into())
        } else {
            IpAddr::V6(number.into())
        };
        Some(Self { address, bits, more: above.len() > most })
    }

    /// Whether it says a whole address.
    pub(crate) fn is_whole(&self) -> bool {
        self.bits == if self.address.is_ipv4() { 32 } else { 128 }
    }

    /// The highest name above this one, or this one, below which all is in one of the ranges: the beginning of what is answered here. None if the
    /// name is not in one.
    pub(crate) fn zone(&self, name: &Name, ranges: &[Range]) -> Option<Name> {
        let has = |range: &&Range| range.has_all(self.address, self.bits);
        let range = ranges.iter().filter(has).min_by_key(|range| range.bits())?;
        let width = if self.address.is_ipv4() { 8 } else { 4 };
        let labels = range.bits().div_ceil(width);
        Some(name.trim_to(usize::from(labels) + 2).to_lowercase())
    }
}

/// A number as it is written: without zeros before it.
fn octet(label: &str) -> Option<u8> {
    let plain = label == "0" || !label.starts_with(['0', '+']);
    label.parse().ok().filter(|_| plain)
}

fn nibble(label: &str) -> Option<u8> {
    let [byte] = label.as_bytes() else { return None };
    u8::try_from(char::from(*byte).to_digit(16)?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(name: &str) -> Option<Reverse> {
        Reverse::of(&name.split('.').collect::<Vec<_>>())
    }

    #[test]
    fn names_say_addresses_from_the_end() {
        let six = "7.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.d.f.ip6.arpa";
        for (name, want) in [
            ("7.0.1.10.in-addr.arpa", Some(("10.1.0.7", 32, false))),
            ("1.10.in-addr.arpa", Some(("10.1.0.0", 16, false))),
            ("in-addr.arpa", Some(("0.0.0.0", 0, false))),
            ("_x.7.0.1.10.in-addr.arpa", Some(("10.1.0.7", 32, true))),
            (six, Some(("fd00::7", 128, false))),
            ("d.f.ip6.arpa", Some(("fd00::", 8, false))),
            ("07.0.1.10.in-addr.arpa", None),
            ("+7.0.1.10.in-addr.arpa", None),
            ("256.10.in-addr.arpa", None),
            ("g.ip6.arpa", None),
            ("dd.ip6.arpa", None),
            ("arpa", None),
            ("7.0.1.10.in-addr.arpa.org", None),
        ] {
            let want = want.map(|(address, bits, more): (&str, _, _)| Reverse {
                address: address.parse().unwrap(),
                bits,
                more,
            });
            assert_eq!(of(name), want, "{name}");
        }
    }

    #[test]
    fn what_is_answered_here_begins_where_all_below_is_in_a_range() {
        let ranges = [
            "10.96.0.0/12".parse().unwrap(),
            "10.1.0.0/24".parse().unwrap(),
            "fd00::/8".parse().unwrap(),
        ];
        for (name, want) in [
            ("7.0.100.10.in-addr.arpa.", Some("100.10.in-addr.arpa.")),
            ("100.10.in-addr.arpa.", Some("100.10.in-addr.arpa.")),
            ("7.0.1.10.in-addr.arpa.", Some("0.1.10.in-addr.arpa.")),
            ("7.1.1.10.in-addr.arpa.", None),
            ("10.in-addr.arpa.", None),
            ("in-addr.arpa.", None),
            ("1.D.F.ip6.arpa.", Some("d.f.ip6.arpa.")),
        ] {
            let name = Name::from_ascii(name).unwrap();
            let lower = name.to_lowercase().to_ascii();
            let zone = of(lower.trim_end_matches('.')).unwrap().zone(&name, &ranges);
            assert_eq!(zone.map(|zone| zone.to_ascii()).as_deref(), want, "{name}");
        }
    }
}
