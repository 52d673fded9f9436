// SPDX-License-Identifier: Apache-2.0
//! What of a packet a decision needs: who sends to whom, and whether a TCP connection begins with it.

use berth_balancer_core::model::Protocol;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};

/// Bytes of a packet that must be seen: an IPv6 header with some extensions, and the ports and flags of TCP.
pub(crate) const SEEN: u32 = 128;

/// A packet of a flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Packet {
    pub(crate) protocol: Protocol,
    pub(crate) source: SocketAddr,
    pub(crate) destination: SocketAddr,
    pub(crate) kind: Kind,
}

/// What a packet is in its flow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// A datagram, or TCP's SYN.
    First,
    /// TCP that is no first packet.
    Middle,
    /// TCP's RST.
    Reset,
}

const TCP: u8 = 6;
const UDP: u8 = 17;

/// Reads a packet from its IP header on. `None`: it is cut short, a later fragment, or neither TCP nor UDP.
pub(crate) fn parse(bytes: &[u8]) -> Option<Packet> {
    match bytes.first()? >> 4 {
        4 => parse_v4(bytes),
        6 => parse_v6(bytes),
        _ => None,
    }
}

fn parse_v4(bytes: &[u8]) -> Option<Packet> {
    let header = usize::from(bytes[0] & 15) * 4;
    let is_later_fragment = u16_at(bytes, 6)? & 0x1fff != 0;
    if header < 20 || is_later_fragment {
        return None;
    }
    let address = |at: usize| -> Option<Ipv4Addr> {
        Some(Ipv4Addr::from(<[u8; 4]>::try_from(bytes.get(at..at + 4)?).ok()?))
    };
    let (source, destination) = (address(12)?, address(16)?);
    transport(*bytes.get(9)?, bytes.get(header..)?, |from, to| {
        ((source, from).into(), (destination, to).into())
    })
}

fn parse_v6(bytes: &[u8]) -> Option<Packet> {
    let address = |at: usize| -> Option<Ipv6Addr> {
        Some(Ipv6Addr::from(<[u8; 16]>::try_from(bytes.get(at..at + 16)?).ok()?))
    };
    let (source, destination) = (address(8)?, address(24)?);
    let (mut next, mut rest) = (*bytes.get(6)?, bytes.get(40..)?);
    // Hop-by-hop options, routing, destination options (RFC 8200, section 4); each says what follows and how long it is. A
    // fragment header is passed over by conntrack, which puts fragments together first.
    while matches!(next, 0 | 43 | 60) {
        let length = (usize::from(*rest.get(1)?) + 1) * 8;
        next = rest[0];
        rest = rest.get(length..)?;
    }
    transport(next, rest, |from, to| ((source, from).into(), (destination, to).into()))
}

fn transport(
    protocol: u8,
    bytes: &[u8],
    ends: impl Fn(u16, u16) -> (SocketAddr, SocketAddr),
) -> Option<Packet> {
    let (source, destination) = ends(u16_at(bytes, 0)?, u16_at(bytes, 2)?);
    let (protocol, kind) = match protocol {
        UDP => (Protocol::Udp, Kind::First),
        TCP => {
            let flags = *bytes.get(13)?;
            let (syn, rst, ack) = (flags & 2 != 0, flags & 4 != 0, flags & 16 != 0);
            let kind = match (syn && !ack, rst) {
                (_, true) => Kind::Reset,
                (true, _) => Kind::First,
                (false, _) => Kind::Middle,
            };
            (Protocol::Tcp, kind)
        }
        _ => return None,
    };
    Some(Packet { protocol, source, destination, kind })
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn v4(protocol: u8, flags: u8) -> Vec<u8> {
        let mut bytes = vec![0x45, 0, 0, 60, 0, 0, 0x40, 0, 64, protocol, 0, 0];
        bytes.extend([10, 0, 0, 2, 10, 96, 0, 1, 0x9c, 0x40, 0, 80]);
        bytes.extend([0, 0, 0, 1, 0, 0, 0, 0, 0x50, flags, 0, 0]);
        bytes
    }

    fn v6(extensions: &[u8], next: u8) -> Vec<u8> {
        let mut bytes = vec![0x60, 0, 0, 0, 0, 0, next, 64];
        bytes.extend("fd00::2".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend("fd00::1".parse::<Ipv6Addr>().unwrap().octets());
        bytes.extend(extensions);
        bytes.extend([0x9c, 0x40, 0, 53, 0, 9, 0, 0, 1]);
        bytes
    }

    #[test]
    fn ends_and_kind_are_read() {
        let kind = |flags| parse(&v4(TCP, flags)).unwrap().kind;
        assert_eq!(kind(2), Kind::First);
        assert_eq!(kind(2 | 16), Kind::Middle, "an answer to a connection that is not known");
        assert_eq!(kind(16), Kind::Middle);
        assert_eq!(kind(4 | 16), Kind::Reset);
        let packet = parse(&v4(UDP, 0)).unwrap();
        assert_eq!(packet.source, "10.0.0.2:40000".parse().unwrap());
        assert_eq!(packet.destination, "10.96.0.1:80".parse().unwrap());
        assert_eq!((packet.protocol, packet.kind), (Protocol::Udp, Kind::First));
        let plain = parse(&v6(&[], UDP)).unwrap();
        assert_eq!(plain.destination, "[fd00::1]:53".parse().unwrap());
        let options = [UDP, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(parse(&v6(&options, 0)), Some(plain), "behind hop-by-hop options");
    }

    #[test]
    fn what_is_no_packet_of_a_flow_is_none_and_nothing_panics() {
        assert_eq!(parse(&v4(1, 0)), None, "ICMP");
        let mut later = v4(UDP, 0);
        later[7] = 4;
        assert_eq!(parse(&later), None, "a later fragment");
        for packet in [v4(TCP, 2), v6(&[0, 1, 0, 0, 0, 0, 0, 0], 0), v6(&[], UDP)] {
            for length in 0..packet.len() {
                let _ = parse(&packet[..length]);
                let mut other = packet.clone();
                other[length] ^= 0xff;
                let _ = parse(&other);
            }
        }
    }
}
