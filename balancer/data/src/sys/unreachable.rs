// SPDX-License-Identifier: Apache-2.0
//! Telling a client that its datagram reached nobody: the ICMP message that its kernel would get from an endpoint that has no such
//! port (RFC 792, RFC 4443, section 3.1). Needs `CAP_NET_RAW`; without it a client learns nothing, and its datagrams are lost.

use rustix::io::Errno;
use rustix::net::{
    AddressFamily, SendFlags, SocketFlags, SocketType, bind, ipproto, sendto, sockopt,
};
use std::net::{IpAddr, SocketAddr};

/// Says to `client` that nobody has the port of `service`, in the service's name. The address may be one that this host's kernel does
/// not know as its own: it is the network namespace's.
pub(crate) fn unreachable(client: SocketAddr, service: SocketAddr) -> Result<(), Errno> {
    let (family, protocol) = match service.ip() {
        // With it the head of the packet is ours, and so is its source.
        IpAddr::V4(_) => (AddressFamily::INET, ipproto::RAW),
        IpAddr::V6(_) => (AddressFamily::INET6, ipproto::ICMPV6),
    };
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = rustix::net::socket_with(family, SocketType::RAW, flags, Some(protocol))?;
    let mut packet = Vec::new();
    match (service.ip(), client.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            // The kernel writes length, number and checksum.
            packet.extend([0x45, 0, 0, 0, 0, 0, 0, 0, 64, 1, 0, 0]);
            packet.extend(from.octets());
            packet.extend(to.octets());
        }
        (from, _) => {
            sockopt::set_ipv6_freebind(&socket, true)?;
            bind(&socket, &SocketAddr::new(from, 0))?;
        }
    }
    packet.extend(message(client, service));
    let to = SocketAddr::new(client.ip(), 0);
    sendto(&socket, &packet, SendFlags::empty(), &to)?;
    Ok(())
}

/// The message: its head, then the head of the datagram that it is about.
fn message(client: SocketAddr, service: SocketAddr) -> Vec<u8> {
    let udp =
        [client.port().to_be_bytes(), service.port().to_be_bytes(), 8_u16.to_be_bytes(), [0, 0]]
            .concat();
    match (client.ip(), service.ip()) {
        (IpAddr::V4(from), IpAddr::V4(to)) => {
            let mut head = vec![0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, 17, 0, 0];
            head.extend(from.octets());
            head.extend(to.octets());
            let sum = checksum(&head).to_be_bytes();
            head[10..12].copy_from_slice(&sum);
            let mut all = [vec![3, 3, 0, 0, 0, 0, 0, 0], head, udp].concat();
            let sum = checksum(&all).to_be_bytes();
            all[2..4].copy_from_slice(&sum);
            all
        }
        (from, to) => {
            let six = |ip: IpAddr| match ip {
                IpAddr::V4(v4) => v4.to_ipv6_mapped().octets(),
                IpAddr::V6(v6) => v6.octets(),
            };
            // The kernel writes the checksum, which covers addresses too.
            let mut all = vec![1, 4, 0, 0, 0, 0, 0, 0, 0x60, 0, 0, 0, 0, 8, 17, 64];
            all.extend(six(from));
            all.extend(six(to));
            all.extend(udp);
            all
        }
    }
}

/// The Internet checksum (RFC 1071).
fn checksum(bytes: &[u8]) -> u16 {
    let words =
        bytes.chunks(2).map(|two| u32::from(two[0]) << 8 | u32::from(*two.get(1).unwrap_or(&0)));
    let mut sum: u32 = words.sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_of_a_whole_message_is_zero() {
        let all = message("192.0.2.7:4000".parse().unwrap(), "10.96.0.1:53".parse().unwrap());
        assert_eq!(all.len(), 36);
        assert_eq!(checksum(&all), 0);
        assert_eq!(checksum(&all[8..28]), 0);
    }
}
