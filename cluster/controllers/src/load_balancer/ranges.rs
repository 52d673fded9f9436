// SPDX-License-Identifier: Apache-2.0
//! A pool's ranges as people write them, and what a pool may not be made of. What follows from a range is in [`pool`](super::pool).

use super::pool::Range;
use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Addresses of one range: a network has fewer for load balancers, so more of them are a slip of the pen (`10.0.0.0/8` for `/28`).
pub const ADDRESSES_MAX: u128 = 1 << 16;

/// Why a text is no range, or a range cannot be in a pool.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RangeError {
    /// It is not of the form that ranges have.
    Form(String),
    /// The network's address has bits that are not the network's.
    Host {
        /// What was given.
        text: String,
        /// The network that was meant, perhaps.
        network: String,
    },
    /// The last address comes before the first.
    Order(Range),
    /// There are more than [`ADDRESSES_MAX`].
    Size(Range),
    /// No Service can be reached there.
    Special {
        /// The range.
        range: Range,
        /// What its addresses are for.
        what: &'static str,
    },
    /// Somebody else gives these addresses.
    Clash {
        /// The range.
        range: Range,
        /// Theirs.
        with: Range,
        /// Who they are.
        of: &'static str,
    },
}

/// A range in words.
struct Words(Range);

impl fmt::Display for Words {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            (first, last) if first == last => write!(f, "{first}"),
            (first, last) => write!(f, "{first}-{last}"),
        }
    }
}

impl fmt::Display for RangeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Form(text) => write!(
                f,
                "{text:?} is no range of addresses: 198.19.0.0/24, 192.168.7.10-192.168.7.20 and 192.168.7.9 are"
            ),
            Self::Host { text, network } => write!(
                f,
                "{text} is an address within a network: the network is {network}, one address is given without a slash"
            ),
            Self::Order(range) => {
                write!(f, "{}: the last address comes before the first", Words(*range))
            }
            Self::Size(range) => {
                write!(f, "{} has more than {ADDRESSES_MAX} addresses", Words(*range))
            }
            Self::Special { range, what } => {
                write!(f, "{} cannot be given to Services: there are {what} in it", Words(*range))
            }
            Self::Clash { range, with, of } => {
                write!(f, "{} overlaps {}, {of}", Words(*range), Words(*with))
            }
        }
    }
}

impl std::error::Error for RangeError {}

/// Reads a range: a network (`198.19.0.0/24`: of one of IPv4 the first and the last address are the network's own, and are left out), two
/// ends (`192.168.7.10-192.168.7.20`, both included), or one address.
///
/// # Errors
/// What is no range, is too large, or has addresses at which no Service can be reached.
pub fn read(text: &str) -> Result<Range, RangeError> {
    let text = text.trim();
    let ip = |part: &str| part.trim().parse::<IpAddr>().map_err(|_| RangeError::Form(text.into()));
    let range = if let Some((address, length)) = text.split_once('/') {
        let wrong = |_| RangeError::Form(text.into());
        network(text, ip(address)?, length.trim().parse().map_err(wrong)?)?
    } else if let Some((first, last)) = text.split_once('-') {
        (ip(first)?, ip(last)?)
    } else {
        (ip(text)?, ip(text)?)
    };
    let (first, last) = range;
    if first.is_ipv6() != last.is_ipv6() {
        return Err(RangeError::Form(text.into()));
    }
    if first > last {
        return Err(RangeError::Order(range));
    }
    if number(last) - number(first) >= ADDRESSES_MAX {
        return Err(RangeError::Size(range));
    }
    match special().into_iter().find(|(block, _)| overlap(*block, range)) {
        Some((_, what)) => Err(RangeError::Special { range, what }),
        None => Ok(range),
    }
}

/// Holds the ranges of a pool against each other, and against those from which others give addresses.
///
/// # Errors
/// The first two that overlap.
pub fn check(pool: &[Range], others: &[(Range, &'static str)]) -> Result<(), RangeError> {
    for (place, range) in pool.iter().enumerate() {
        let own = pool[..place].iter().map(|with| (*with, "another range of the pool"));
        let clash = own.chain(others.iter().copied()).find(|(with, _)| overlap(*with, *range));
        if let Some((with, of)) = clash {
            return Err(RangeError::Clash { range: *range, with, of });
        }
    }
    Ok(())
}

/// All addresses of a network of IPv4.
pub fn whole(address: Ipv4Addr, length: u8) -> Range {
    let host = u32::MAX.checked_shr(u32::from(length)).unwrap_or(0);
    let first = u32::from(address) & !host;
    (IpAddr::V4(first.into()), IpAddr::V4((first | host).into()))
}

fn network(text: &str, address: IpAddr, length: u8) -> Result<Range, RangeError> {
    let (bits, build): (u32, fn(u128) -> IpAddr) = match address {
        IpAddr::V4(_) => {
            (32, |number| IpAddr::V4(Ipv4Addr::from(u32::try_from(number).unwrap_or(u32::MAX))))
        }
        IpAddr::V6(_) => (128, |number| IpAddr::V6(Ipv6Addr::from(number))),
    };
    let rest = bits.checked_sub(u32::from(length)).ok_or_else(|| RangeError::Form(text.into()))?;
    let host = 1_u128.checked_shl(rest).unwrap_or(0).wrapping_sub(1);
    let first = number(address) & !host;
    if first != number(address) {
        let network = format!("{}/{length}", build(first));
        return Err(RangeError::Host { text: text.into(), network });
    }
    let own = u128::from(address.is_ipv4() && rest > 1);
    Ok((build(first + own), build((first | host) - own)))
}

fn number(address: IpAddr) -> u128 {
    match address {
        IpAddr::V4(four) => u32::from(four).into(),
        IpAddr::V6(six) => six.into(),
    }
}

fn overlap(a: Range, b: Range) -> bool {
    a.0.is_ipv6() == b.0.is_ipv6() && a.0 <= b.1 && b.0 <= a.1
}

/// Blocks whose addresses are no host's, or this host's own (RFC 6890, RFC 4291).
fn special() -> [(Range, &'static str); 9] {
    let four = |a, b, length| whole(Ipv4Addr::new(a, b, 0, 0), length);
    let six = |first: u128, last: u128| {
        (IpAddr::V6(Ipv6Addr::from(first)), IpAddr::V6(Ipv6Addr::from(last)))
    };
    [
        (four(0, 0, 8), "addresses of no host"),
        (four(127, 0, 8), "loopback addresses"),
        (four(169, 254, 16), "link-local addresses"),
        (four(224, 0, 4), "multicast addresses"),
        (four(240, 0, 4), "reserved addresses"),
        (six(0, 0), "addresses of no host"),
        (six(1, 1), "loopback addresses"),
        (six(0xfe80 << 112, (0xfec0 << 112) - 1), "link-local addresses"),
        (six(0xff00 << 112, u128::MAX), "multicast addresses"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ends(first: &str, last: &str) -> Range {
        (first.parse().unwrap(), last.parse().unwrap())
    }

    #[test]
    fn a_range_is_a_network_two_ends_or_one_address() {
        for (text, first, last) in [
            ("198.19.0.0/24", "198.19.0.1", "198.19.0.254"),
            ("192.168.7.8/30", "192.168.7.9", "192.168.7.10"),
            ("192.168.7.8/31", "192.168.7.8", "192.168.7.9"),
            ("192.168.7.8/32", "192.168.7.8", "192.168.7.8"),
            (" 10.1.0.0 - 10.1.255.255 ", "10.1.0.0", "10.1.255.255"),
            ("203.0.113.7", "203.0.113.7", "203.0.113.7"),
            ("fd00::/112", "fd00::", "fd00::ffff"),
            ("fd00::1-fd00::9", "fd00::1", "fd00::9"),
        ] {
            assert_eq!(read(text), Ok(ends(first, last)), "{text}");
        }
    }

    #[test]
    fn what_cannot_be_a_range_is_refused_in_words_that_help() {
        for (text, words) in [
            ("", "\"\" is no range of addresses: 198.19.0.0/24,"),
            ("web", "\"web\" is no range"),
            ("10.0.0.0/33", "no range"),
            ("10.0.0.0/x", "no range"),
            ("10.0.0.1-fd00::1", "no range"),
            ("10.0.0.1-", "no range"),
            ("192.168.7.9/28", "the network is 192.168.7.0/28"),
            ("fd00::1/64", "the network is fd00::/64"),
            ("10.1.0.9-10.1.0.1", "10.1.0.9-10.1.0.1: the last address comes before the first"),
            ("10.1.0.0-10.2.0.0", "has more than 65536 addresses"),
            ("10.0.0.0/8", "has more than 65536 addresses"),
            ("0.0.0.0/0", "has more than 65536 addresses"),
            ("::/0", "has more than 65536 addresses"),
            ("127.0.0.5", "127.0.0.5 cannot be given to Services: there are loopback addresses"),
            ("126.255.255.0-127.0.0.0", "loopback"),
            ("0.0.0.1", "addresses of no host"),
            ("169.254.1.0/24", "link-local"),
            ("239.0.0.0/24", "multicast"),
            ("255.255.255.255", "reserved"),
            ("::-::ff", "addresses of no host"),
            ("fe80::1", "link-local"),
            ("ff02::1", "multicast"),
        ] {
            let error = read(text).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn ranges_of_a_pool_lie_apart_and_apart_from_what_others_give() {
        let pool =
            |texts: &[&str]| texts.iter().map(|text| read(text).unwrap()).collect::<Vec<_>>();
        let services = (whole(Ipv4Addr::new(10, 0, 0, 0), 24), "the addresses of Services");
        assert_eq!(services.0, ends("10.0.0.0", "10.0.0.255"));
        assert_eq!(check(&pool(&["10.0.1.0/24", "9.255.255.255", "fd00::1"]), &[services]), Ok(()));
        let error = check(&pool(&["10.0.0.200-10.0.1.5"]), &[services]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "10.0.0.200-10.0.1.5 overlaps 10.0.0.0-10.0.0.255, the addresses of Services"
        );
        let error = check(&pool(&["10.1.0.0/24", "10.1.0.254"]), &[services]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "10.1.0.254 overlaps 10.1.0.1-10.1.0.254, another range of the pool"
        );
    }
}
