// SPDX-License-Identifier: Apache-2.0
//! A pair of interfaces into another network namespace, and the ways through it.
//!
//! ```text
//! host       ADDRESS/32 via the inner gateway dev PAIR src NODE      one permanent neighbour: the inner gateway
//! namespace  ADDRESS is its own; all else via the host's gateway     one permanent neighbour: the host's gateway
//! ```
//!
//! Neither gateway is an address of anybody: both stand for the hardware address of the other end, and nobody is ever asked for it.
//! There is one neighbour however many addresses there are, so that the kernel's bound of neighbours (`gc_thresh3`) does not matter.

use crate::address::{Version, from_octets, octets};
use crate::netlink::{Writer, attributes, flag, ne32};
use crate::route::{Local, Routes, VETH_ROUTE_PROTOCOL};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::{AsRawFd, BorrowedFd};

const NEW_LINK: u16 = 16;
const DELETE_LINK: u16 = 17;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const DELETE_ADDRESS: u16 = 21;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const NEW_NEIGHBOUR: u16 = 28;
const DELETE_NEIGHBOUR: u16 = 29;
const GET_NEIGHBOUR: u16 = 30;

const TABLE_MAIN: u8 = 254;
const UNICAST: u8 = 1;
const ON_LINK: u32 = 4;
const PERMANENT: u16 = 0x80;
const PROXY: u8 = 8;

/// The name of a pair's end in the namespace.
pub const INNER_NAME: &str = "eth0";

/// A hardware address.
pub type Hardware = [u8; 6];

/// The gateway that stands for the host, seen from the namespace.
#[must_use]
pub const fn host_gateway(version: Version) -> IpAddr {
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::new(169, 254, 77, 1)),
        Version::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbe, 1)),
    }
}

/// The gateway that stands for the namespace, seen from the host.
#[must_use]
pub const fn inner_gateway(version: Version) -> IpAddr {
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::new(169, 254, 77, 2)),
        Version::V6 => IpAddr::V6(Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0xbe, 2)),
    }
}

/// A pair that is to be made.
#[derive(Debug, Clone, Copy)]
pub struct Pair<'a> {
    /// Name of the end that stays here.
    pub name: &'a str,
    /// Its hardware address.
    pub host: Hardware,
    /// That of the end inside.
    pub inner: Hardware,
    /// The network namespace.
    pub namespace: BorrowedFd<'a>,
}

/// A way through a pair.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Way {
    /// The interface here.
    pub link: u32,
    /// Tells instances apart.
    pub metric: u32,
}

impl Routes {
    /// Makes a pair of interfaces, one end of it in another namespace. Neither is up yet.
    pub fn add_pair(&mut self, pair: &Pair<'_>) -> io::Result<()> {
        const EXCLUSIVE: u16 = 0x200;
        let fill = |writer: &mut Writer| {
            writer.text(3, pair.name);
            writer.attribute(1, &pair.host);
            let kind = writer.open(18);
            writer.text(1, "veth");
            let data = writer.open(2);
            let peer = writer.open(1);
            writer.put(&[0; 16]);
            writer.text(3, INNER_NAME);
            writer.attribute(1, &pair.inner);
            writer.attribute(28, &pair.namespace.as_raw_fd().to_ne_bytes());
            writer.close(peer);
            writer.close(data);
            writer.close(kind);
        };
        self.ask(NEW_LINK, flag::ACK | flag::CREATE | EXCLUSIVE, &[0; 16], fill, |_| ())
    }

    /// The number of an interface, by its name.
    pub fn find_link(&mut self, name: &str) -> io::Result<Option<u32>> {
        Ok(self.links()?.into_iter().find(|link| link.name == name).map(|link| link.index))
    }

    /// Removes an interface, and with it the other end of its pair and all routes through it.
    pub fn delete_link(&mut self, link: u32) -> io::Result<()> {
        self.ask(DELETE_LINK, flag::ACK, &link_header(link, 0), |_| (), |_| ())
    }

    /// Switches an interface on.
    pub fn set_up(&mut self, link: u32) -> io::Result<()> {
        const UP: u32 = 1;
        self.ask(SET_LINK, flag::ACK, &link_header(link, UP), |_| (), |_| ())
    }

    /// Makes a neighbour known for good.
    pub fn add_neighbour(
        &mut self,
        link: u32,
        address: IpAddr,
        hardware: Hardware,
    ) -> io::Result<()> {
        let header = neighbour(address, link, PERMANENT, 0);
        let fill = |writer: &mut Writer| {
            writer.attribute(1, &octets(address));
            writer.attribute(2, &hardware);
        };
        let flags = flag::ACK | flag::CREATE | flag::REPLACE;
        self.ask(NEW_NEIGHBOUR, flags, &header, fill, |_| ())
    }

    /// Routes to addresses behind a pair; those that are there are replaced.
    pub fn add_ways(&mut self, way: Way, all: &[Local]) -> io::Result<()> {
        let flags = flag::CREATE | flag::REPLACE;
        self.batch((NEW_ROUTE, flags), all, io::ErrorKind::AlreadyExists, |writer, local| {
            write_way(writer, way, local);
        })
    }

    /// Removes them; those that are not there are no error.
    pub fn delete_ways(&mut self, way: Way, all: &[Local]) -> io::Result<()> {
        self.batch((DELETE_ROUTE, 0), all, io::ErrorKind::NotFound, |writer, local| {
            write_way(writer, way, local);
        })
    }

    /// Sends all else to the host.
    pub fn add_default(&mut self, link: u32, version: Version) -> io::Result<()> {
        let all = [(Some(host_gateway(version)), link)];
        let flags = flag::CREATE | flag::REPLACE;
        self.batch((NEW_ROUTE, flags), &all, io::ErrorKind::AlreadyExists, |writer, all| {
            put_route(writer, version, 0);
            gateway(writer, all.0, all.1);
        })
    }

    /// Gives an address to an interface: of one host, without waiting whether somebody else has it.
    pub fn add_address(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let flags = flag::CREATE | flag::REPLACE;
        self.batch(
            (NEW_ADDRESS, flags),
            &[address],
            io::ErrorKind::AlreadyExists,
            |writer, address| {
                write_address(writer, link, *address);
            },
        )
    }

    /// Takes an address from an interface; one that is not there is no error.
    pub fn delete_address(&mut self, link: u32, address: IpAddr) -> io::Result<()> {
        let harmless = io::ErrorKind::AddrNotAvailable;
        self.batch((DELETE_ADDRESS, 0), &[address], harmless, |writer, address| {
            write_address(writer, link, *address);
        })
    }

    /// Answers on an interface for addresses that lie in its network, and are reached through this host.
    pub fn add_proxies(&mut self, all: &[(u32, IpAddr)]) -> io::Result<()> {
        let flags = flag::CREATE | flag::REPLACE;
        self.batch((NEW_NEIGHBOUR, flags), all, io::ErrorKind::AlreadyExists, write_proxy)
    }

    /// No longer answers; what is not there is no error.
    pub fn delete_proxies(&mut self, all: &[(u32, IpAddr)]) -> io::Result<()> {
        self.batch((DELETE_NEIGHBOUR, 0), all, io::ErrorKind::NotFound, write_proxy)
    }

    /// For which addresses a balancer on this host answers, and on which interfaces.
    pub fn proxies(&mut self) -> io::Result<Vec<(u32, IpAddr)>> {
        let mut all = Vec::new();
        for version in Version::BOTH {
            let mut header = [0; 12];
            (header[0], header[10]) = (version.netfilter(), PROXY);
            let each = |message: crate::netlink::Message<'_>| {
                if message.kind == NEW_NEIGHBOUR {
                    all.extend(proxy(message.body));
                }
            };
            self.ask(GET_NEIGHBOUR, flag::DUMP, &header, |_| (), each)?;
        }
        Ok(all)
    }
}

fn link_header(link: u32, flags: u32) -> [u8; 16] {
    let mut header = [0; 16];
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..12].copy_from_slice(&flags.to_ne_bytes());
    header[12..].copy_from_slice(&flags.to_ne_bytes());
    header
}

fn neighbour(address: IpAddr, link: u32, state: u16, flags: u8) -> [u8; 12] {
    let mut header = [0; 12];
    header[0] = Version::of(address).netfilter();
    header[4..8].copy_from_slice(&link.to_ne_bytes());
    header[8..10].copy_from_slice(&state.to_ne_bytes());
    header[10] = flags;
    header
}

fn bits(version: Version) -> u8 {
    u8::try_from(version.bytes() * 8).unwrap_or(0)
}

fn put_route(writer: &mut Writer, version: Version, prefix: u8) {
    let protocol = VETH_ROUTE_PROTOCOL;
    writer.put(&[version.netfilter(), prefix, 0, 0, TABLE_MAIN, protocol, 0, UNICAST]);
    writer.put(&ON_LINK.to_ne_bytes());
}

fn gateway(writer: &mut Writer, gateway: Option<IpAddr>, link: u32) {
    writer.attribute(4, &link.to_ne_bytes());
    if let Some(gateway) = gateway {
        writer.attribute(5, &octets(gateway));
    }
}

fn write_way(writer: &mut Writer, way: Way, local: &Local) {
    let version = Version::of(local.address);
    put_route(writer, version, bits(version));
    writer.attribute(1, &octets(local.address));
    gateway(writer, Some(inner_gateway(version)), way.link);
    writer.attribute(6, &way.metric.to_ne_bytes());
    if let Some(source) = local.source.filter(|source| Version::of(*source) == version) {
        writer.attribute(7, &octets(source));
    }
}

fn write_address(writer: &mut Writer, link: u32, address: IpAddr) {
    // No detection of duplicates, and no route to the network.
    const FLAGS: u32 = 0x02 | 0x200;
    let version = Version::of(address);
    writer.put(&[version.netfilter(), bits(version), 0, 0]);
    writer.put(&link.to_ne_bytes());
    writer.attribute(2, &octets(address));
    writer.attribute(1, &octets(address));
    writer.attribute(8, &FLAGS.to_ne_bytes());
}

fn write_proxy(writer: &mut Writer, (link, address): &(u32, IpAddr)) {
    writer.put(&neighbour(*address, *link, PERMANENT, PROXY));
    writer.attribute(1, &octets(*address));
    writer.attribute(12, &[VETH_ROUTE_PROTOCOL]);
}

fn proxy(body: &[u8]) -> Option<(u32, IpAddr)> {
    let link = ne32(body.get(4..)?)?;
    let (mut address, mut is_ours) = (None, false);
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            1 => address = from_octets(value),
            12 => is_ours = value.first() == Some(&VETH_ROUTE_PROTOCOL),
            _ => (),
        }
    }
    address.filter(|_| is_ours).map(|address| (link, address))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::netlink::messages;

    #[test]
    fn of_proxies_only_a_balancers_are_read() {
        let ours = "192.0.2.9".parse().unwrap();
        let mut writer = Writer::default();
        writer.begin(NEW_NEIGHBOUR, 0, 1);
        write_proxy(&mut writer, &(7, ours));
        writer.end();
        let read = |writer: &Writer| messages(writer.bytes()).find_map(|one| proxy(one.body));
        assert_eq!(read(&writer), Some((7, ours)));
        let mut others = Writer::default();
        others.begin(NEW_NEIGHBOUR, 0, 1);
        others.put(&neighbour(ours, 7, PERMANENT, PROXY));
        others.attribute(1, &octets(ours));
        others.end();
        assert_eq!(read(&others), None);
    }
}
