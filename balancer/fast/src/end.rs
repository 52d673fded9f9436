// SPDX-License-Identifier: Apache-2.0
//! Probes that make a silent TCP peer send a packet, which the rules then answer with RST.
//!
//! The kernel knows no sequence numbers that a RST would need. A SYN in the middle of a connection is answered with a challenge
//! ACK (RFC 5961, section 4), which has them; the rule that rejects it makes the RST from it. The probe itself has a mark by which
//! it is not tracked.

use crate::address::octets;
use crate::conntrack::Entry;
use crate::rules::PROBE;
use socket2::{Domain, Protocol, SockAddr, Socket, Type};
use std::io;
use std::net::SocketAddr;

/// Sends probes.
#[derive(Debug)]
pub(crate) struct Probes {
    v4: Socket,
    /// None where the host has no IPv6.
    v6: Option<Socket>,
}

/// `IPPROTO_RAW`: what is sent has its IP header.
const RAW: i32 = 255;

impl Probes {
    pub(crate) fn open() -> io::Result<Self> {
        let open = |domain| {
            let socket = Socket::new(domain, Type::RAW, Some(Protocol::from(RAW)))?;
            socket.set_mark(PROBE)?;
            socket.set_nonblocking(true)?;
            Ok::<_, io::Error>(socket)
        };
        Ok(Self { v4: open(Domain::IPV4)?, v6: open(Domain::IPV6).ok() })
    }

    /// One to each side of a connection. What cannot be sent is left: the peer's next packet is answered all the same.
    pub(crate) fn send(&self, entry: &Entry) {
        // As the endpoint and the client see each other.
        self.one(entry.reply.destination, entry.reply.source);
        self.one(entry.original.destination, entry.original.source);
    }

    fn one(&self, from: SocketAddr, to: SocketAddr) {
        let socket = if to.is_ipv4() { Some(&self.v4) } else { self.v6.as_ref() };
        let bytes = syn(from, to);
        // Raw sockets of IPv6 take no port.
        let address = SockAddr::from(SocketAddr::new(to.ip(), 0));
        if let Some(socket) = socket {
            drop(socket.send_to(&bytes, &address));
        }
    }
}

/// A SYN without options, with its IP header.
pub(crate) fn syn(from: SocketAddr, to: SocketAddr) -> Vec<u8> {
    const TCP: u8 = 6;
    const LENGTH: u16 = 20;
    let mut tcp = Vec::with_capacity(20);
    tcp.extend(from.port().to_be_bytes());
    tcp.extend(to.port().to_be_bytes());
    tcp.extend([0x5a, 0x5a, 0x5a, 0x5a, 0, 0, 0, 0]); // any sequence does
    tcp.extend([0x50, 2, 0x04, 0x00, 0, 0, 0, 0]);
    let (source, destination) = (octets(from.ip()), octets(to.ip()));
    let mut pseudo = [&source[..], &destination].concat();
    pseudo.extend([0, TCP]);
    pseudo.extend(LENGTH.to_be_bytes());
    pseudo.extend(&tcp);
    tcp[16..18].copy_from_slice(&checksum(&pseudo).to_be_bytes());
    let mut packet = if from.is_ipv4() {
        // Length, identification and checksum of the header are the kernel's to fill in.
        let mut header = vec![0x45, 0, 0, 40, 0, 0, 0x40, 0, 64, TCP, 0, 0];
        header.extend(source);
        header.extend(destination);
        header
    } else {
        let mut header = vec![0x60, 0, 0, 0, 0, 20, TCP, 64];
        header.extend(source);
        header.extend(destination);
        header
    };
    packet.extend(tcp);
    packet
}

/// The Internet's checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let mut sum: u32 = 0;
    for pair in bytes.chunks(2) {
        sum += u32::from(u16::from_be_bytes([pair[0], pair.get(1).copied().unwrap_or(0)]));
    }
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::packet::{Kind, parse};

    #[test]
    fn a_probe_is_a_syn_with_a_right_checksum() {
        for (from, to) in [("10.96.0.1:80", "10.0.0.2:4000"), ("[fd00::1]:80", "[fd00::2]:4000")] {
            let (from, to) = (from.parse().unwrap(), to.parse().unwrap());
            let bytes = syn(from, to);
            let packet = parse(&bytes).unwrap();
            assert_eq!((packet.source, packet.destination, packet.kind), (from, to, Kind::First));
            let header = bytes.len() - 20;
            let mut pseudo = [octets(from.ip()), octets(to.ip()), vec![0, 6, 0, 20]].concat();
            pseudo.extend(&bytes[header..]);
            assert_eq!(checksum(&pseudo), 0);
        }
    }
}
