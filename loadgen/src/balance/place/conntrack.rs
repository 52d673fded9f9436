// SPDX-License-Identifier: Apache-2.0
//! The kernel's table of flows (conntrack) by netlink: emptied between trials, so that none begins with the entries of the one before,
//! and asked whether it was the kernel that directed a flow.
//!
//! Both act on the network namespace of the calling thread. Only IPv4 is asked about: all of a run is.

use rustix::io::Errno;
use rustix::net::netlink::{self, SocketAddrNetlink};
use rustix::net::sockopt::{Timeout, set_socket_timeout};
use rustix::net::{
    AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType, recv, sendto, socket_with,
};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, SocketAddrV4};
use std::os::fd::OwnedFd;
use std::time::Duration;

// linux/netfilter/nfnetlink_conntrack.h
const GET: u16 = 1 << 8 | 1;
const DELETE: u16 = 1 << 8 | 2;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;
const TUPLE_IP: u16 = 1;
const TUPLE_PROTOCOL: u16 = 2;
const IP_SOURCE: u16 = 1;
const IP_DESTINATION: u16 = 2;
const PROTOCOL_NUMBER: u16 = 1;
const PROTOCOL_SOURCE: u16 = 2;
const PROTOCOL_DESTINATION: u16 = 3;

// linux/netlink.h
const REQUEST: u16 = 1;
const ACK: u16 = 4;
const ERROR: u16 = 2;
const NESTED: u16 = 0x8000;
const KIND: u16 = 0x3fff;
const HEADER: usize = 16;
/// The header of netfilter's messages.
const FAMILY_HEADER: usize = 4;
const INET: u8 = 2;

/// Protocol numbers of IP.
pub const TCP: u8 = 6;
/// As above.
pub const UDP: u8 = 17;

/// How long the kernel may take.
const PATIENCE: Duration = Duration::from_secs(5);

/// Removes all entries.
pub fn flush() -> io::Result<()> {
    exchange(&message(DELETE, REQUEST | ACK, 0, &[])).map(drop)
}

/// Where the kernel sends what `client` sends to `service`: the source of the reply that it waits for. Nothing if it keeps no entry of
/// that flow.
pub fn directed_to(
    protocol: u8,
    client: SocketAddrV4,
    service: SocketAddrV4,
) -> io::Result<Option<SocketAddr>> {
    let mut ip = Vec::new();
    attribute(&mut ip, IP_SOURCE, &client.ip().octets());
    attribute(&mut ip, IP_DESTINATION, &service.ip().octets());
    let mut numbers = Vec::new();
    attribute(&mut numbers, PROTOCOL_NUMBER, &[protocol]);
    attribute(&mut numbers, PROTOCOL_SOURCE, &client.port().to_be_bytes());
    attribute(&mut numbers, PROTOCOL_DESTINATION, &service.port().to_be_bytes());
    let mut tuple = Vec::new();
    attribute(&mut tuple, TUPLE_IP | NESTED, &ip);
    attribute(&mut tuple, TUPLE_PROTOCOL | NESTED, &numbers);
    let mut body = Vec::new();
    attribute(&mut body, TUPLE_ORIGINAL | NESTED, &tuple);
    match exchange(&message(GET, REQUEST, INET, &body)) {
        Ok(answer) => Ok(reply_source(&answer)),
        Err(error) if error.raw_os_error() == Some(Errno::NOENT.raw_os_error()) => Ok(None),
        Err(error) => Err(error),
    }
}

fn message(kind: u16, flags: u16, family: u8, body: &[u8]) -> Vec<u8> {
    let length = u32::try_from(HEADER + FAMILY_HEADER + body.len()).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    bytes.extend_from_slice(&length.to_ne_bytes());
    bytes.extend_from_slice(&kind.to_ne_bytes());
    bytes.extend_from_slice(&flags.to_ne_bytes());
    bytes.extend_from_slice(&[0; 8]);
    bytes.extend_from_slice(&[family, 0, 0, 0]);
    bytes.extend_from_slice(body);
    bytes
}

fn attribute(out: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(value);
    out.resize(out.len().next_multiple_of(4), 0);
}

/// Sends a message; gives the attributes of the first answer, or the error that it is.
fn exchange(message: &[u8]) -> io::Result<Vec<u8>> {
    let socket: OwnedFd = socket_with(
        AddressFamily::NETLINK,
        SocketType::RAW,
        SocketFlags::CLOEXEC,
        Some(netlink::NETFILTER),
    )?;
    set_socket_timeout(&socket, Timeout::Recv, Some(PATIENCE))?;
    sendto(&socket, message, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut room = vec![0; 8_192];
    let (length, _) = recv(&socket, room.as_mut_slice(), RecvFlags::empty())?;
    let answer = &room[..length];
    let kind = answer.get(4..6).and_then(|b| b.try_into().ok()).map(u16::from_ne_bytes);
    if kind == Some(ERROR) {
        let code = answer.get(HEADER..HEADER + 4).and_then(|b| b.try_into().ok());
        return match code.map_or(0, i32::from_ne_bytes) {
            0 => Ok(Vec::new()),
            code => Err(io::Error::from_raw_os_error(-code)),
        };
    }
    Ok(answer.get(HEADER + FAMILY_HEADER..).unwrap_or_default().to_vec())
}

/// An attribute's value.
fn find(mut bytes: &[u8], wanted: u16) -> Option<&[u8]> {
    while let [a, b, c, d, ..] = *bytes {
        let length = usize::from(u16::from_ne_bytes([a, b]));
        let value = bytes.get(4..length)?;
        if u16::from_ne_bytes([c, d]) & KIND == wanted {
            return Some(value);
        }
        bytes = bytes.get(length.next_multiple_of(4)..)?;
    }
    None
}

fn reply_source(entry: &[u8]) -> Option<SocketAddr> {
    let reply = find(entry, TUPLE_REPLY)?;
    let address: [u8; 4] = find(find(reply, TUPLE_IP)?, IP_SOURCE)?.try_into().ok()?;
    let port = find(find(reply, TUPLE_PROTOCOL)?, PROTOCOL_SOURCE)?.try_into().ok()?;
    Some((Ipv4Addr::from(address), u16::from_be_bytes(port)).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_found_behind_others_that_are_padded() {
        let mut inner = Vec::new();
        attribute(&mut inner, PROTOCOL_NUMBER, &[TCP]);
        attribute(&mut inner, PROTOCOL_SOURCE, &7_001_u16.to_be_bytes());
        let mut ip = Vec::new();
        attribute(&mut ip, IP_SOURCE, &[10, 0, 0, 9]);
        let mut reply = Vec::new();
        attribute(&mut reply, TUPLE_IP | NESTED, &ip);
        attribute(&mut reply, TUPLE_PROTOCOL | NESTED, &inner);
        let mut entry = Vec::new();
        attribute(&mut entry, TUPLE_ORIGINAL | NESTED, &[]);
        attribute(&mut entry, TUPLE_REPLY | NESTED, &reply);
        assert_eq!(reply_source(&entry), Some("10.0.0.9:7001".parse().unwrap()));
        assert_eq!(reply_source(&entry[..entry.len() - 4]), None, "cut short");
        assert_eq!(find(&[0, 0, 0, 0], 1), None, "a length that does not move on");
    }
}
