// SPDX-License-Identifier: Apache-2.0
//! The instance's own table of nf_tables, one for each version of IP.
//!
//! | chain | hook, priority | does |
//! |---|---|---|
//! | `enter` | prerouting -300 | what is forwarded through our pair is not tracked, either way |
//! | `send` | output -300 | nor are the answers of sockets that have services' addresses |
//! | `pick` | prerouting 300 | to a service's address: `shortcut` |
//! | `shortcut` | | what a socket of the host is to have gets the mark, all else goes on into the namespace |
//!
//! | in `shortcut` | |
//! |---|---|
//! | came over a bridge | goes on: where bridges call netfilter the packet would lose its socket (`ip_rcv` after `br_netfilter`), and where they do not it is the same clients |
//! | an ICMP error about a connection that a socket of the host has | the mark: "fragmentation needed" |
//! | TCP, no SYN, of a connection that a socket of the host has, half open ones too | the mark |
//! | a SYN to a place that is served | to the shortcut's listener, with the mark |
//!
//! A SYN never looks for a socket by itself: it would find one of the host's that listens on all addresses and is transparent, too. `pick`
//! comes after `mangle` (-150), so that no mark of others replaces ours; none of the packet's way back needs theirs.

use super::Instance;
use berth_balancer_host::address::{Version, octets};
use berth_balancer_host::netlink::Writer;
use berth_balancer_host::nft::expression::{Expression as E, write};
use berth_balancer_host::nft::{Batch, Hook, Set};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Services' addresses.
pub(super) const ADDRESSES: &str = "addresses";
/// Addresses and ports at which the shortcut takes connections.
pub(super) const SERVED: &str = "served";

/// How much of the shortcut there is in the rules of one version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extent {
    /// Nothing.
    None,
    /// Connections that there are go on, and no new ones are taken.
    Held,
    /// New ones go to this port of the loopback address.
    Taken(u16),
}

impl Extent {
    /// Rules of the whole table.
    pub(super) const fn rules(self) -> usize {
        match self {
            Self::None => 2,
            Self::Held => 7,
            Self::Taken(_) => 8,
        }
    }
}

const META_LINK: u32 = 6;
const META_PROTOCOL: u32 = 16;
const META_KIND: u32 = 26;

const TCP: &[u8] = &[6];
const SYN: u8 = 2;
const ACK: u8 = 16;

/// The loopback address of a version.
pub(crate) const fn loopback(version: Version) -> IpAddr {
    match version {
        Version::V4 => IpAddr::V4(Ipv4Addr::LOCALHOST),
        Version::V6 => IpAddr::V6(Ipv6Addr::LOCALHOST),
    }
}

/// A name as the kernel compares it.
fn padded(name: &str) -> [u8; 16] {
    let mut bytes = [0; 16];
    let length = name.len().min(15);
    bytes[..length].copy_from_slice(&name.as_bytes()[..length]);
    bytes
}

/// The table with its sets, which are empty.
pub(super) fn add_table(batch: &mut Batch, version: Version) {
    batch.add_table(version);
    batch.add_set(version, &Set::of_addresses(ADDRESSES, version));
    batch.add_set(version, &Set::of_places(SERVED, version));
}

/// Chains and rules.
pub(super) fn add_rules(batch: &mut Batch, version: Version, instance: &Instance, extent: Extent) {
    const PREROUTING: u32 = 0;
    // Before conntrack, at -200.
    let hook = Hook { kind: "filter", number: PREROUTING, priority: -300 };
    batch.add_chain(version, "enter", Some(hook));
    enter(version, &instance.link, &mut |all| {
        batch.add_rule(version, "enter", |writer| write(writer, all));
    });
    if extent != Extent::None {
        const OUTPUT: u32 = 3;
        batch.add_chain(version, "send", Some(Hook { number: OUTPUT, ..hook }));
        batch.add_chain(version, "shortcut", None);
        batch.add_chain(version, "pick", Some(Hook { priority: 300, ..hook }));
        let from = load(version.source_offset(), version);
        let to = load(version.destination_offset(), version);
        let own = E::Lookup { set: ADDRESSES, register: 4, to: None };
        let send = [&is_tcp()[..], &[from, own.clone(), E::NoTrack]].concat();
        batch.add_rule(version, "send", |writer| write(writer, &send));
        let jump = E::Jump { chain: "shortcut" };
        batch.add_rule(version, "pick", |writer| write(writer, &[to, own, jump]));
        shortcut(version, instance.mark, extent, &mut |all| {
            batch.add_rule(version, "shortcut", |writer: &mut Writer| write(writer, all));
        });
    }
}

type Rule<'a> = dyn FnMut(&[E<'_>]) + 'a;

fn load(offset: u32, version: Version) -> E<'static> {
    E::Load { base: 1, offset, length: version.bytes(), to: 4 }
}

fn is_tcp() -> [E<'static>; 2] {
    [E::Meta { key: META_PROTOCOL, to: 0 }, E::Equal { register: 0, value: TCP }]
}

fn enter(version: Version, link: &str, rule: &mut Rule<'_>) {
    /// A kind of address: the host's own.
    const LOCAL: u32 = 2;
    rule(&[
        load(version.destination_offset(), version),
        E::Lookup { set: ADDRESSES, register: 4, to: None },
        E::NoTrack,
    ]);
    rule(&[
        E::Meta { key: META_LINK, to: 0 },
        E::Equal { register: 0, value: &padded(link) },
        E::DestinationKind { to: 4 },
        E::Differs { register: 4, value: &LOCAL.to_ne_bytes() },
        E::NoTrack,
    ]);
}

fn shortcut(version: Version, mark: u32, extent: Extent, rule: &mut Rule<'_>) {
    let icmp: &[u8] = if version == Version::V4 { &[1] } else { &[58] };
    let marked = [E::Immediate { to: 0, value: mark }, E::SetMark { from: 0 }, E::Accept];
    let held = [E::SocketIsTransparent { to: 0 }, E::Equal { register: 0, value: &[1] }];
    let flags = [
        E::Load { base: 2, offset: 13, length: 1, to: 0 },
        E::Bits { register: 0, mask: u32::from_ne_bytes([SYN | ACK, 0, 0, 0]), xor: 0 },
    ];
    let bridge = padded("bridge");
    // The other way round, "is no bridge", would match no hardware: that has no kind.
    rule(&[E::Meta { key: META_KIND, to: 0 }, E::Equal { register: 0, value: &bridge }, E::Return]);
    let is_icmp = [E::Meta { key: META_PROTOCOL, to: 0 }, E::Equal { register: 0, value: icmp }];
    rule(&[&is_icmp[..], &held, &marked].concat());
    let later = [E::Differs { register: 0, value: &[SYN] }];
    rule(&[&is_tcp()[..], &flags, &later, &held, &marked].concat());
    let Extent::Taken(port) = extent else { return };
    let first = [
        E::Equal { register: 0, value: &[SYN] },
        load(version.destination_offset(), version),
        E::Load { base: 2, offset: 2, length: 2, to: 4 + version.bytes() / 4 },
        E::Lookup { set: SERVED, register: 4, to: None },
    ];
    let (address, port) = (octets(loopback(version)), port.to_be_bytes());
    let listener = [
        E::Bytes { to: 4, value: &address },
        E::Bytes { to: 8, value: &port },
        E::ToSocket { version, address: 4, port: 8 },
    ];
    rule(&[&is_tcp()[..], &flags, &first, &listener, &marked].concat());
}
