// SPDX-License-Identifier: Apache-2.0
//! The rules: what the kernel does with a service's packets. One table of nf_tables for each version of IP, with the instance's
//! name in its own; nobody else's table is touched.
//!
//! | chain | hook, priority | does |
//! |---|---|---|
//! | `untracked` | output, -310 | probes of this process are not tracked |
//! | `enter` | nat prerouting, -105 | to a service's address or a node port: `service` |
//! | `local` | nat output, -105 | the same for clients on this host |
//! | `service` | | a mark of ours: `answered`; else to userspace |
//! | `answered` | | by the mark: destination, RST or port unreachable, or on to other rules |
//! | `leave` | nat postrouting, 95 | masquerade where the mark asked for it; else the source stays, whatever others would do |
//! | `forward`, `reply`, `send` | filter -10: forward, input, output | RST for flows that are ended; a service's address on input: `host` |
//! | `closing` | | a packet with FIN or RST: what of the flow is told from here on |
//! | `host` | | what conntrack calls invalid is dropped; all else is refused: nothing of the host answers there |
//!
//! Chains of kind nat see the first packet of a flow only, and that until it is confirmed: so a packet is queued if it is NEW and not
//! CONFIRMED, without a rule that looks at all others. They come 5 before those of Docker (-100, 100).
//!
//! Marks of packets, from userspace to the second pass through the chain, where they are taken off again:
//!
//! ```text
//! | 31..24: 0xbe | 23..22: 0 forward, 1 forward and masquerade, 2 refuse, 3 not ours | 21..20: turn | 19..0: the backend's slot |
//! ```
//!
//! The turn is the owner's, see `owner`: a verdict of the owner before is not obeyed, and its packet waits for the new one. There are
//! two maps of backends, which owners fill in turn, for the same reason.
//!
//! Marks of flows (conntrack), five bits of 32: [`FLOW_OURS`], [`FLOW_MASQUERADE`], [`FLOW_ENDED`], [`FLOW_FINS`].
//!
//! Events of our flows: each costs the kernel some microseconds to write, whoever needs it.
//!
//! | until | told are |
//! |---|---|
//! | | the beginning, the first answer, the end of the entry |
//! | FIN from both sides | a change of the mark, which that FIN is; the end of the entry only where bytes are counted |
//! | RST | TCP's state too: not every RST ends a connection, and conntrack knows which |
//!
//! So of a connection that ends as it should two events are written that anybody reads. If both sides send FIN in the same
//! microsecond one of the two bits can be lost; then the end of the entry is the connection's.

use crate::address::{Version, octets};
use crate::nft::expression::{Expression as E, write};
use crate::nft::{Batch, Element, Hook, Set, TYPE_IPV4, TYPE_IPV6};
use crate::owner::{Owner, Turn};
use berth_balancer_core::model::Protocol;
use std::net::{IpAddr, SocketAddr};

/// Marks flows that this balancer directed: other firewalls can accept them by it.
pub const FLOW_OURS: u32 = 0x0100_0000;
/// Marks flows whose source is the node's.
pub const FLOW_MASQUERADE: u32 = 0x0200_0000;
/// Marks flows that end with RST.
pub const FLOW_ENDED: u32 = 0x0400_0000;

/// Mark flows of TCP of which a FIN was seen: from the client, from the endpoint.
pub const FLOW_FINS: u32 = FLOW_FIN[0] | FLOW_FIN[1];

const FLOW_FIN: [u32; 2] = [0x0800_0000, 0x1000_0000];

/// Events that are told of our flows: new, related, gone, answered;
const EVENTS: u32 = 1 | 1 << 1 | EVENT_GONE | 1 << 3;
/// after an RST TCP's state too;
const EVENTS_RESET: u32 = EVENTS | 1 << 5;
/// after FIN from both sides only that the mark has changed,
const EVENTS_OVER: u32 = 1 << 7;
/// and that the entry is gone, if its bytes are of use.
const EVENT_GONE: u32 = 1 << 2;

const TAG: u32 = 0xbe00_0000;
const TAG_MASK: u32 = 0xff00_0000;
const KIND_MASK: u32 = 0x00c0_0000;
const TURN_MASK: u32 = 0x0030_0000;
const SLOT_MASK: u32 = 0x000f_ffff;

/// The mark of packets that conntrack must not see.
pub(crate) const PROBE: u32 = 0xbeff_fff0;

/// A verdict's mark.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mark {
    Forward { slot: u32, masquerade: bool },
    Refuse,
    NotOurs,
}

impl Mark {
    pub(crate) const fn bits(self, turn: Turn) -> u32 {
        let tag = tag(turn);
        match self {
            Self::Forward { slot, masquerade: false } => tag | (slot & SLOT_MASK),
            Self::Forward { slot, masquerade: true } => tag | 1 << 22 | (slot & SLOT_MASK),
            Self::Refuse => tag | 2 << 22,
            Self::NotOurs => tag | 3 << 22,
        }
    }
}

const fn tag(turn: Turn) -> u32 {
    TAG | turn.bits() << 20
}

const PROTOCOL: u32 = 12;
const PORT: u32 = 13;
const MARK: u32 = 19;

const META_MARK: u32 = 3;
const META_PROTOCOL: u32 = 16;
const FLOW_STATE: u32 = 0;
/// 0 from the client, 1 from the endpoint.
const FLOW_DIRECTION: u32 = 1;
const FLOW_MARK: u32 = 3;
/// A state of flows: the packet belongs to none.
const INVALID: u32 = 1;

pub(crate) const ADDRESSES: &str = "addresses";
pub(crate) const NODE_PORTS: &str = "node-ports";
const BACKENDS: [&str; 2] = ["backends-even", "backends-odd"];

/// The map of backends that an owner fills.
pub(crate) const fn backends(turn: Turn) -> &'static str {
    BACKENDS[turn.is_odd() as usize]
}

/// Chains of kind filter: an expression in them is paid for by each packet.
const EVERY_PACKET: [&str; 3] = ["forward", "reply", "send"];

/// Flags of TCP.
const FIN: u8 = 1;
const RST: u8 = 4;

const TCP: &[u8] = &[6];
const UDP: &[u8] = &[17];

/// How packets get to userspace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ToUser {
    pub(crate) number: u16,
    /// The kernel has a queue expression.
    pub(crate) native: bool,
    /// The kernel lets rules choose events.
    pub(crate) events: bool,
    /// It counts bytes of flows.
    pub(crate) counts: bool,
}

impl ToUser {
    fn expression(self) -> E<'static> {
        let number = self.number;
        if self.native { E::Queue { number } } else { E::QueueTarget { number } }
    }
}

/// A chain that nothing comes to, with what some kernels lack: whether this one has it.
pub(crate) fn try_out(batch: &mut Batch, to_user: ToUser) {
    batch.add_table(Version::V4);
    batch.add_chain(Version::V4, "trial", None);
    let protocol = [E::Meta { key: META_PROTOCOL, to: 0 }, E::Equal { register: 0, value: UDP }];
    let mut rule = |all: &[E<'_>]| {
        batch.add_rule(Version::V4, "trial", |writer| write(writer, all));
    };
    rule(&[&protocol[..], &[to_user.expression()]].concat());
    if to_user.events {
        rule(&events(EVENTS));
    }
    batch.delete_table(Version::V4);
}

fn events(which: u32) -> [E<'static>; 2] {
    [E::Immediate { to: 2, value: which }, E::SetFlowEvents { from: 2 }]
}

fn sets(version: Version) -> [Set; 4] {
    let address = if version == Version::V4 { TYPE_IPV4 } else { TYPE_IPV6 };
    let backends = |name| Set {
        name,
        key_type: MARK,
        key_length: 4,
        value_type: address << 6 | PORT,
        value_length: version.bytes() + 4,
    };
    [
        Set::of_addresses(ADDRESSES, version),
        Set {
            name: NODE_PORTS,
            key_type: PROTOCOL << 6 | PORT,
            key_length: 8,
            value_type: 0,
            value_length: 0,
        },
        backends(BACKENDS[0]),
        backends(BACKENDS[1]),
    ]
}

/// An element of the set of services' addresses.
pub(crate) fn address(address: IpAddr) -> Element {
    (octets(address), Vec::new())
}

/// An element of the set of node ports.
pub(crate) fn node_port(protocol: Protocol, port: u16) -> Element {
    let [high, low] = port.to_be_bytes();
    let protocol = if protocol == Protocol::Tcp { TCP } else { UDP };
    (vec![protocol[0], 0, 0, 0, high, low, 0, 0], Vec::new())
}

/// An element of the map of backends.
pub(crate) fn backend(slot: u32, address: SocketAddr) -> Element {
    let mut value = octets(address.ip());
    value.extend(address.port().to_be_bytes());
    value.extend([0, 0]);
    (slot.to_ne_bytes().to_vec(), value)
}

/// The key of an element of the map of backends.
pub(crate) fn backend_key(slot: u32) -> Element {
    (slot.to_ne_bytes().to_vec(), Vec::new())
}

/// Takes out what an earlier owner had, but for its map of backends: packets may be under way with its verdicts.
pub(crate) fn replace(batch: &mut Batch, version: Version, owner: &Owner) {
    batch.delete_rules(version);
    for set in [ADDRESSES, NODE_PORTS, backends(owner.turn)] {
        batch.empty_set(version, set);
    }
}

/// Chains, empty sets and rules of one version; chains and sets that are there stay.
pub(crate) fn install(batch: &mut Batch, version: Version, to_user: ToUser, owner: &Owner) {
    const PREROUTING: u32 = 0;
    const INPUT: u32 = 1;
    const FORWARD: u32 = 2;
    const OUTPUT: u32 = 3;
    const POSTROUTING: u32 = 4;
    let hook = |kind, number, priority| Some(Hook { kind, number, priority });
    for set in &sets(version) {
        batch.add_set(version, set);
    }
    for (name, hook) in [
        ("service", None),
        ("answered", None),
        ("closing", None),
        ("host", None),
        ("untracked", hook("filter", OUTPUT, -310)),
        ("enter", hook("nat", PREROUTING, -105)),
        ("local", hook("nat", OUTPUT, -105)),
        ("leave", hook("nat", POSTROUTING, 95)),
        ("forward", hook("filter", FORWARD, -10)),
        ("reply", hook("filter", INPUT, -10)),
        ("send", hook("filter", OUTPUT, -10)),
    ] {
        batch.add_chain(version, name, hook);
    }
    let probe = PROBE.to_ne_bytes();
    let is_probe = E::Equal { register: 0, value: &probe };
    let untracked = [E::Meta { key: META_MARK, to: 0 }, is_probe, E::NoTrack];
    batch.add_noted_rule(version, "untracked", &owner.to_string(), |writer| {
        write(writer, &untracked);
    });
    let mut rule = |chain: &str, all: &[E<'_>]| {
        batch.add_rule(version, chain, |writer| write(writer, all));
    };
    enter(version, &mut rule);
    service(to_user, owner.turn, &mut rule);
    answered(version, owner.turn, to_user.events, &mut rule);
    leave(version, &mut rule);
    host(version, &mut rule);
    ended(&mut rule);
    closing(to_user, &mut rule);
}

type Rule<'a> = dyn FnMut(&str, &[E<'_>]) + 'a;

fn destination(version: Version) -> E<'static> {
    E::Load { base: 1, offset: version.destination_offset(), length: version.bytes(), to: 0 }
}

fn enter(version: Version, rule: &mut Rule<'_>) {
    for chain in ["enter", "local"] {
        let known = E::Lookup { set: ADDRESSES, register: 0, to: None };
        rule(chain, &[destination(version), known, E::Jump { chain: "service" }]);
        rule(
            chain,
            &[
                E::Meta { key: META_PROTOCOL, to: 0 },
                E::Load { base: 2, offset: 2, length: 2, to: 1 },
                E::Lookup { set: NODE_PORTS, register: 0, to: None },
                E::DestinationKind { to: 4 },
                E::Equal { register: 4, value: &2_u32.to_ne_bytes() },
                E::Jump { chain: "service" },
            ],
        );
    }
}

fn service(to_user: ToUser, turn: Turn, rule: &mut Rule<'_>) {
    let (tag, not_ours) = (tag(turn).to_ne_bytes(), Mark::NotOurs.bits(turn).to_ne_bytes());
    let mark = E::Meta { key: META_MARK, to: 0 };
    let zero = E::Immediate { to: 0, value: 0 };
    let is_not_ours = E::Equal { register: 0, value: &not_ours };
    rule("service", &[mark.clone(), is_not_ours, zero, E::SetMark { from: 0 }, E::Accept]);
    rule(
        "service",
        &[
            mark,
            E::Bits { register: 0, mask: TAG_MASK | TURN_MASK, xor: 0 },
            E::Equal { register: 0, value: &tag },
            E::Jump { chain: "answered" },
        ],
    );
    let queue = to_user.expression();
    for protocol in [TCP, UDP] {
        let same = E::Equal { register: 0, value: protocol };
        rule("service", &[E::Meta { key: META_PROTOCOL, to: 0 }, same, queue.clone()]);
    }
}

/// What a mark says is done. Nothing falls through to the host.
fn answered(version: Version, turn: Turn, narrow: bool, rule: &mut Rule<'_>) {
    let refuse = (2_u32 << 22).to_ne_bytes();
    let kind = |value| {
        [
            E::Meta { key: META_MARK, to: 0 },
            E::Bits { register: 0, mask: KIND_MASK, xor: 0 },
            E::Equal { register: 0, value },
        ]
    };
    let protocol = |value| [E::Meta { key: META_PROTOCOL, to: 1 }, E::Equal { register: 1, value }];
    let reset = [&kind(&refuse)[..], &protocol(TCP), &[E::Reset]].concat();
    rule("answered", &reset);
    let unreachable = [&kind(&refuse)[..], &[E::Unreachable { version }]].concat();
    rule("answered", &unreachable);
    let kinds = [(0_u32.to_ne_bytes(), 0), ((1_u32 << 22).to_ne_bytes(), FLOW_MASQUERADE)];
    for (value, masquerade) in &kinds {
        let flow = FLOW_OURS | masquerade;
        let narrowed: &[E<'_>] = if narrow { &events(EVENTS) } else { &[] };
        let find = [
            E::Meta { key: META_MARK, to: 1 },
            E::Bits { register: 1, mask: SLOT_MASK, xor: 0 },
            E::Lookup { set: backends(turn), register: 1, to: Some(4) },
        ];
        let forward = [
            E::Flow { key: FLOW_MARK, to: 0 },
            E::Bits { register: 0, mask: !(flow | FLOW_ENDED | FLOW_FINS), xor: flow },
            E::SetFlowMark { from: 0 },
            E::Immediate { to: 0, value: 0 },
            E::SetMark { from: 0 },
            E::Destination { version, address: 4, port: 4 + version.bytes() / 4 },
        ];
        rule("answered", &[&kind(value)[..], &find, narrowed, &forward].concat());
    }
    // The backend is gone in between: TCP's SYN comes again, and a datagram may be lost.
    rule("answered", &[E::Drop]);
}

fn leave(version: Version, rule: &mut Rule<'_>) {
    let has = |bits: u32| {
        [E::Flow { key: FLOW_MARK, to: 0 }, E::Bits { register: 0, mask: bits, xor: 0 }]
    };
    let ours = FLOW_OURS.to_ne_bytes();
    let both = (FLOW_OURS | FLOW_MASQUERADE).to_ne_bytes();
    let is = |value| [E::Equal { register: 0, value }];
    let mask = FLOW_OURS | FLOW_MASQUERADE;
    rule("leave", &[&has(mask)[..], &is(&both), &[E::Masquerade]].concat());
    let source =
        E::Load { base: 1, offset: version.source_offset(), length: version.bytes(), to: 4 };
    let keep = [source, E::Source { version, address: 4 }];
    rule("leave", &[&has(mask)[..], &is(&ours), &keep].concat());
}

/// Flows that are ended, all of TCP. These chains see every packet of the host.
fn ended(rule: &mut Rule<'_>) {
    let ended = (FLOW_OURS | FLOW_ENDED).to_ne_bytes();
    // The RST that a rule sends passes the rules itself.
    let is_no_reset = [
        E::Load { base: 2, offset: 13, length: 1, to: 2 },
        E::Bits { register: 2, mask: u32::from_ne_bytes([RST, 0, 0, 0]), xor: 0 },
        E::Equal { register: 2, value: &[0; 4] },
    ];
    for chain in EVERY_PACKET {
        let is_ended = [
            E::Flow { key: FLOW_MARK, to: 0 },
            E::Bits { register: 0, mask: FLOW_OURS | FLOW_ENDED, xor: 0 },
            E::Equal { register: 0, value: &ended },
        ];
        rule(chain, &[&is_ended[..], &is_no_reset, &[E::Reset]].concat());
    }
}

/// Which packets say that a connection ends.
fn closing(to_user: ToUser, rule: &mut Rule<'_>) {
    let flags = |mask: u8| {
        [
            E::Load { base: 2, offset: 13, length: 1, to: 2 },
            E::Bits { register: 2, mask: u32::from_ne_bytes([mask, 0, 0, 0]), xor: 0 },
            E::Differs { register: 2, value: &[0; 4] },
        ]
    };
    // Of other protocols these are any bytes: they are told apart behind the jump, which few packets come to.
    for chain in EVERY_PACKET {
        rule(chain, &[&flags(FIN | RST)[..], &[E::Jump { chain: "closing" }]].concat());
    }
    let has = |mask: u32, value| {
        [
            E::Flow { key: FLOW_MARK, to: 0 },
            E::Bits { register: 0, mask, xor: 0 },
            E::Equal { register: 0, value },
        ]
    };
    let told = |which| if to_user.events { events(which).to_vec() } else { Vec::new() };
    rule("closing", &[&has(FLOW_OURS, &[0; 4])[..], &[E::Accept]].concat());
    let is_other = [E::Meta { key: META_PROTOCOL, to: 1 }, E::Differs { register: 1, value: TCP }];
    rule("closing", &[&is_other[..], &[E::Accept]].concat());
    for (direction, seen) in [[0], [1]].iter().zip(FLOW_FIN) {
        let comes_from =
            [E::Flow { key: FLOW_DIRECTION, to: 1 }, E::Equal { register: 1, value: direction }];
        let mark = [
            E::Flow { key: FLOW_MARK, to: 0 },
            E::Bits { register: 0, mask: !seen, xor: seen },
            E::SetFlowMark { from: 0 },
        ];
        rule("closing", &[&comes_from[..], &flags(FIN), &mark].concat());
    }
    let over = FLOW_FINS.to_ne_bytes();
    let events = EVENTS_OVER | if to_user.counts { EVENT_GONE } else { 0 };
    // The packet's events are told when it has passed all rules: its own change of the mark is one of them.
    rule("closing", &[&has(FLOW_FINS, &over)[..], &told(events), &[E::Accept]].concat());
    if to_user.events {
        rule("closing", &[&flags(RST)[..], &told(EVENTS_RESET)].concat());
    }
}

/// Nothing of the host answers on a service's address, whatever listens on all of its addresses.
fn host(version: Version, rule: &mut Rule<'_>) {
    let protocol = |value| [E::Meta { key: META_PROTOCOL, to: 1 }, E::Equal { register: 1, value }];
    let known = [destination(version), E::Lookup { set: ADDRESSES, register: 0, to: None }];
    rule("reply", &[&known[..], &[E::Jump { chain: "host" }]].concat());
    // What conntrack calls invalid (out of its window, a wrong checksum) is not translated, and so comes here. An RST would end a
    // connection that is well; at the end of one it says that there is nothing left.
    let is_invalid = [
        E::Flow { key: FLOW_STATE, to: 0 },
        E::Bits { register: 0, mask: INVALID, xor: 0 },
        E::Equal { register: 0, value: &INVALID.to_ne_bytes() },
    ];
    let goes_on = [
        E::Load { base: 2, offset: 13, length: 1, to: 2 },
        E::Bits { register: 2, mask: u32::from_ne_bytes([FIN | RST, 0, 0, 0]), xor: 0 },
        E::Equal { register: 2, value: &[0; 4] },
    ];
    rule("host", &[&is_invalid[..], &protocol(TCP), &goes_on, &[E::Drop]].concat());
    rule("host", &[&is_invalid[..], &protocol(UDP), &[E::Drop]].concat());
    rule("host", &[&protocol(TCP)[..], &[E::Reset]].concat());
    rule("host", &[&protocol(UDP)[..], &[E::Unreachable { version }]].concat());
}
