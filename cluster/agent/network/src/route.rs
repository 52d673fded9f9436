// SPDX-License-Identifier: Apache-2.0
//! Routes to other nodes' pods, by netlink. This agent's are known by their protocol number and, among agents, by their metric.

use crate::plan::Route;
use crate::range::Range;
use berth_balancer_host::netlink::{Family, Message, Socket, Writer, attributes, flag, ne32};
use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;

/// `rtm_protocol` of agents' routes. `ip route show proto 192` lists them; the balancer has the two below.
const PROTOCOL: u8 = 192;

const NEW_ADDRESS: u16 = 20;
const GET_ADDRESS: u16 = 22;
const NEW_ROUTE: u16 = 24;
const DELETE_ROUTE: u16 = 25;
const GET_ROUTE: u16 = 26;

const IPV4: u8 = 2;
const TABLE_MAIN: u8 = 254;
const UNICAST: u8 = 1;
/// `ESRCH`: what the kernel says of a route that is not there.
const NO_ROUTE: i32 = 3;

/// An agent's routes.
#[derive(Debug)]
pub(crate) struct Routes {
    socket: Socket,
    metric: u32,
}

/// The host's addresses.
#[derive(Debug, Default)]
pub(crate) struct Addresses {
    pub(crate) own: BTreeSet<Ipv4Addr>,
    pub(crate) networks: Vec<Range>,
}

impl Routes {
    /// Those of an agent, in the network namespace of the calling thread.
    pub(crate) fn open(agent: &str) -> io::Result<Self> {
        // Behind whatever the host's owner routes himself: those have small ones.
        let digest = crate::book::digest(agent.as_bytes()).to_be_bytes();
        let metric = 0x4000_0000 | u32::from_be_bytes([0, digest[0], digest[1], digest[2]]);
        Ok(Self { socket: Socket::open(Family::Route, 0)?, metric })
    }

    /// The agent's routes.
    pub(crate) fn list(&mut self) -> io::Result<BTreeSet<Route>> {
        let mut header = [0; 12];
        header[0] = IPV4;
        let (mut all, metric) = (BTreeSet::new(), self.metric);
        self.ask(
            GET_ROUTE,
            flag::DUMP,
            |writer| writer.put(&header),
            |message| {
                if message.kind == NEW_ROUTE {
                    all.extend(read(message.body, metric));
                }
            },
        )?;
        Ok(all)
    }

    /// The host's addresses and the networks of its interfaces.
    pub(crate) fn addresses(&mut self) -> io::Result<Addresses> {
        let mut all = Addresses::default();
        let fill = |writer: &mut Writer| writer.put(&[IPV4, 0, 0, 0, 0, 0, 0, 0]);
        self.ask(GET_ADDRESS, flag::DUMP, fill, |message| {
            if message.kind == NEW_ADDRESS
                && let Some((address, network)) = read_address(message.body)
            {
                all.own.insert(address);
                all.networks.extend(network);
            }
        })?;
        Ok(all)
    }

    /// Makes a route, in place of the agent's other one to the range.
    pub(crate) fn add(&mut self, route: Route) -> io::Result<()> {
        let metric = self.metric;
        let flags = flag::ACK | flag::CREATE | flag::REPLACE;
        self.ask(NEW_ROUTE, flags, |writer| put(writer, route, metric), |_| ())
    }

    /// Removes one. One that is gone is no error.
    pub(crate) fn remove(&mut self, route: Route) -> io::Result<()> {
        let metric = self.metric;
        let gone = self.ask(DELETE_ROUTE, flag::ACK, |writer| put(writer, route, metric), |_| ());
        match gone {
            Err(error) if error.raw_os_error() == Some(NO_ROUTE) => Ok(()),
            other => other,
        }
    }

    fn ask(
        &mut self,
        kind: u16,
        flags: u16,
        fill: impl FnOnce(&mut Writer),
        each: impl FnMut(Message<'_>),
    ) -> io::Result<()> {
        let mut writer = Writer::default();
        let sequence = self.socket.next_sequence();
        writer.begin(kind, flags, sequence);
        fill(&mut writer);
        writer.end();
        self.socket.transact(writer.bytes(), (sequence, sequence), each)
    }
}

fn put(writer: &mut Writer, route: Route, metric: u32) {
    writer.put(&[IPV4, route.range.prefix(), 0, 0, TABLE_MAIN, PROTOCOL, 0, UNICAST]);
    writer.put(&[0; 4]);
    writer.attribute(1, &route.range.first().octets());
    writer.attribute(5, &route.via.octets());
    writer.attribute(6, &metric.to_ne_bytes());
}

fn address(bytes: &[u8]) -> Option<Ipv4Addr> {
    Some(<[u8; 4]>::try_from(bytes).ok()?.into())
}

/// A route, if it is of the agent with this metric.
fn read(body: &[u8], metric: u32) -> Option<Route> {
    let header = body.get(..12)?;
    if header[4] != TABLE_MAIN || header[5] != PROTOCOL {
        return None;
    }
    let (mut to, mut via, mut found) = (Ipv4Addr::UNSPECIFIED, None, 0);
    for (kind, value) in attributes(&body[12..]) {
        match kind {
            1 => to = address(value)?,
            5 => via = address(value),
            6 => found = ne32(value)?,
            _ => (),
        }
    }
    let range = Range::new(to, header[1]).ok()?;
    (found == metric).then_some(Route { range, via: via? })
}

/// An interface's address, and its network if that has more than this.
fn read_address(body: &[u8]) -> Option<(Ipv4Addr, Option<Range>)> {
    let (prefix, mut own, mut network) = (*body.get(1)?, None, None);
    for (kind, value) in attributes(body.get(8..)?) {
        match kind {
            1 => network = address(value),
            2 => own = address(value),
            _ => (),
        }
    }
    let own = own.or(network)?;
    let mask = u32::MAX.checked_shl(32_u32.saturating_sub(prefix.into())).unwrap_or(0);
    let first = Ipv4Addr::from_bits(network.unwrap_or(own).to_bits() & mask);
    Some((own, Range::new(first, prefix).ok().filter(|range| range.prefix() < 32)))
}
