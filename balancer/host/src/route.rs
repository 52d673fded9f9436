// SPDX-License-Identifier: Apache-2.0
//! Routes, interfaces and addresses by netlink: what the host has, and the local routes of services' addresses.
//!
//! A service's address gets a route of its own in the table `local` (`local ADDRESS dev lo src NODE`), so that a client on this host has
//! a route and the node's address as its source. Ours are known by their protocol number and, among instances, by their metric.

use crate::address::{Version, from_octets, octets};
use crate::netlink::{Family, Message, Socket, Writer, attribute, attributes, flag, ne32};
use std::io;
use std::net::IpAddr;

const NEW_LINK: u16 = 16;
const GET_LINK: u16 = 18;
const SET_LINK: u16 = 19;
const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

/// `rtm_protocol` of the routes that this balancer makes. `ip route show table local proto 190` lists them.
pub const ROUTE_PROTOCOL: u8 = 190;

/// `rtm_protocol` of the routes through the data plane's own interfaces. `ip route show proto 191` lists them.
pub const VETH_ROUTE_PROTOCOL: u8 = 191;

const TABLE_LOCAL: u8 = 255;
const KIND_LOCAL: u8 = 2;
const BRIDGE: u8 = 7;

/// An interface.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Its number.
    pub index: u32,
    /// Its name.
    pub name: String,
    /// Its kind (`bridge`, `veth`); empty for hardware and the loopback.
    pub kind: String,
    /// The bridge whose port it is; 0 for none.
    pub master: u32,
}

/// A route, or an interface's address with its prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Route {
    /// Destination.
    pub destination: IpAddr,
    /// Leading bits of the destination that count.
    pub prefix: u8,
    /// Interface.
    pub link: u32,
    /// Who made it.
    pub protocol: u8,
    /// It leads to this host.
    pub local: bool,
    /// Metric; 0 for none.
    pub metric: u32,
    /// Source that it prefers.
    pub source: Option<IpAddr>,
}

/// The way to an address.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Hop {
    /// Interface.
    pub link: u32,
    /// It is an address of this host.
    pub local: bool,
    /// Another router comes next.
    pub gateway: bool,
}

/// A local route of ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Local {
    /// The address.
    pub address: IpAddr,
    /// What clients on this host get as their own address.
    pub source: Option<IpAddr>,
}

/// Asks and tells the kernel.
#[derive(Debug)]
pub struct Routes {
    pub(crate) socket: Socket,
}

impl Routes {
    /// To the network namespace of the calling thread, for good.
    ///
    /// # Errors
    /// The kernel gives no socket.
    pub fn open() -> io::Result<Self> {
        let socket = Socket::open(Family::Route, 0)?;
        socket.set_buffers(4 << 20, 8 << 20)?;
        Ok(Self { socket })
    }

    /// Interfaces.
    ///
    /// # Errors
    /// The kernel did not tell.
    pub fn links(&mut self) -> io::Result<Vec<Link>> {
        let mut links = Vec::new();
        self.ask(
            GET_LINK,
            flag::DUMP,
            &[0; 16],
            |_| (),
            |message| {
                if message.kind == NEW_LINK {
                    links.extend(link(message.body));
                }
            },
        )?;
        Ok(links)
    }

    /// Addresses of interfaces, each as a route to its network.
    pub fn addresses(&mut self) -> io::Result<Vec<Route>> {
        let mut all = Vec::new();
        self.ask(
            GET_ADDRESS,
            flag::DUMP,
            &[0; 8],
            |_| (),
            |message| {
                if message.kind == NEW_ADDRESS {
                    all.extend(interface_address(message.body));
                }
            },
        )?;
        Ok(all)
    }

    /// Routes of all tables.
    ///
    /// # Errors
    /// The kernel did not tell.
    pub fn routes(&mut self, version: Version) -> io::Result<Vec<Route>> {
        let mut all = Vec::new();
        let mut header = [0; 12];
        header[0] = version.netfilter();
        self.ask(
            GET_ROUTE,
            flag::DUMP,
            &header,
            |_| (),
            |message| {
                if message.kind == NEW_ROUTE {
                    all.extend(route(message.body));
                }
            },
        )?;
        Ok(all)
    }

    /// Which way packets to an address go.
    pub fn hop(&mut self, address: IpAddr) -> io::Result<Hop> {
        let version = Version::of(address);
        let mut header = [0; 12];
        header[0] = version.netfilter();
        header[1] = u8::try_from(version.bytes() * 8).unwrap_or(0);
        let mut found = None;
        self.ask(
            GET_ROUTE,
            flag::ACK,
            &header,
            |writer| writer.attribute(1, &octets(address)),
            |message| {
                if message.kind == NEW_ROUTE {
                    found = hop(message.body);
                }
            },
        )?;
        found.ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    /// Makes local routes; those that are there are no error.
    pub fn add(&mut self, metric: u32, all: &[Local]) -> io::Result<()> {
        self.change(
            NEW_ROUTE,
            flag::CREATE | flag::REPLACE,
            metric,
            all,
            io::ErrorKind::AlreadyExists,
        )
    }

    /// Removes local routes; those that are not there are no error.
    pub fn delete(&mut self, metric: u32, all: &[Local]) -> io::Result<()> {
        self.change(DELETE_ROUTE, 0, metric, all, io::ErrorKind::NotFound)
    }

    fn change(
        &mut self,
        kind: u16,
        flags: u16,
        metric: u32,
        all: &[Local],
        harmless: io::ErrorKind,
    ) -> io::Result<()> {
        self.batch((kind, flags), all, harmless, |writer, local| {
            write_local(writer, metric, local);
        })
    }

    /// Many messages of one kind.
    pub(crate) fn batch<T>(
        &mut self,
        (kind, flags): (u16, u16),
        all: &[T],
        harmless: io::ErrorKind,
        write: impl Fn(&mut Writer, &T),
    ) -> io::Result<()> {
        // The kernel answers each message of a datagram before it reads the next one: the answers must fit the socket's buffer.
        for chunk in all.chunks(1_000) {
            let mut writer = Writer::default();
            let first = self.socket.next_sequence();
            let mut last = first;
            for (at, one) in chunk.iter().enumerate() {
                last = if at == 0 { first } else { self.socket.next_sequence() };
                writer.begin(kind, flags, last);
                write(&mut writer, one);
                writer.end();
            }
            writer.demand_answer();
            // Errors of all are looked at, not of the first one only.
            match self.socket.transact(writer.bytes(), (first, last), |_| ()) {
                Ok(()) => (),
                Err(error) if error.kind() == harmless || is_no_such_route(&error) => (),
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Switches a bridge port's hairpin mode: whether a frame may leave by the port through which it came.
    pub fn set_hairpin(&mut self, port: u32, on: bool) -> io::Result<()> {
        let mut header = [0; 16];
        header[0] = BRIDGE;
        header[4..8].copy_from_slice(&port.to_ne_bytes());
        let fill = |writer: &mut Writer| {
            let nest = writer.open(12); // IFLA_PROTINFO
            writer.attribute(4, &[u8::from(on)]); // IFLA_BRPORT_MODE
            writer.close(nest);
        };
        self.ask(SET_LINK, flag::ACK, &header, fill, |_| ())
    }

    pub(crate) fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        header: &[u8],
        fill: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let mut writer = Writer::default();
        let sequence = self.socket.next_sequence();
        writer.begin(kind, flags, sequence);
        writer.put(header);
        fill(&mut writer);
        writer.end();
        self.socket.transact(writer.bytes(), (sequence, sequence), each)
    }
}

/// `ESRCH`: what the kernel says of a route that is not there.
fn is_no_such_route(error: &io::Error) -> bool {
    error.raw_os_error() == Some(3)
}

fn write_local(writer: &mut Writer, metric: u32, local: &Local) {
    const SCOPE_HOST: u8 = 254;
    let version = Version::of(local.address);
    let bits = u8::try_from(version.bytes() * 8).unwrap_or(0);
    let scope = if version == Version::V4 { SCOPE_HOST } else { 0 };
    writer.put(&[version.netfilter(), bits, 0, 0, TABLE_LOCAL, ROUTE_PROTOCOL, scope, KIND_LOCAL]);
    writer.put(&[0; 4]);
    writer.attribute(1, &octets(local.address));
    writer.attribute(4, &LOOPBACK.to_ne_bytes());
    writer.attribute(6, &metric.to_ne_bytes());
    if let Some(source) = local.source.filter(|source| Version::of(*source) == version) {
        writer.attribute(7, &octets(source));
    }
}

/// Number of the loopback interface, in every network namespace.
const LOOPBACK: u32 = 1;

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).trim_end_matches('\0').to_owned()
}

fn link(body: &[u8]) -> Option<Link> {
    let mut link =
        Link { index: ne32(body.get(4..)?)?, name: String::new(), kind: String::new(), master: 0 };
    for (kind, value) in attributes(body.get(16..)?) {
        match kind {
            3 => link.name = text(value),
            10 => link.master = ne32(value)?,
            18 => link.kind = attribute(value, 1).map(text).unwrap_or_default(),
            _ => (),
        }
    }
    Some(link)
}

fn interface_address(body: &[u8]) -> Option<Route> {
    let prefix = *body.get(1)?;
    let attributes = body.get(8..)?;
    // The local address of a point-to-point link is another one than its network's.
    let address = attribute(attributes, 2).or_else(|| attribute(attributes, 1))?;
    Some(Route {
        destination: from_octets(address)?,
        prefix,
        link: ne32(body.get(4..)?)?,
        protocol: 0,
        local: true,
        metric: 0,
        source: None,
    })
}

fn route(body: &[u8]) -> Option<Route> {
    let (version, prefix, kind) = (*body.first()?, *body.get(1)?, *body.get(7)?);
    let none = if version == 2 { [0; 4].into() } else { [0; 16].into() };
    let mut route = Route {
        destination: none,
        prefix,
        link: 0,
        protocol: *body.get(5)?,
        local: kind == KIND_LOCAL,
        metric: 0,
        source: None,
    };
    for (kind, value) in attributes(body.get(12..)?) {
        match kind {
            1 => route.destination = from_octets(value)?,
            4 => route.link = ne32(value)?,
            6 => route.metric = ne32(value)?,
            7 => route.source = from_octets(value),
            _ => (),
        }
    }
    Some(route)
}

fn hop(body: &[u8]) -> Option<Hop> {
    let kind = *body.get(7)?;
    let attributes = body.get(12..)?;
    Some(Hop {
        link: attribute(attributes, 4).and_then(ne32).unwrap_or(0),
        local: kind == KIND_LOCAL,
        gateway: attribute(attributes, 5).is_some() || attribute(attributes, 18).is_some(),
    })
}
