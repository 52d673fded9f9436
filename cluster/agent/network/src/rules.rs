// SPDX-License-Identifier: Apache-2.0
//! The rules of a node's pods: one table of nf_tables with the agent's name in its own, and one exception in the host's firewall.
//!
//! | chain | hook, priority | does |
//! |---|---|---|
//! | `leave` | nat postrouting, 99 | what pods send out of the cluster gets the node's address; between pods, services and nodes all keep theirs |
//! | `forward` | filter forward, -10 | flows between pods, and between pods and nodes, get a mark; others reach pods through Services only |
//!
//! The exception accepts what has the mark, in both directions: Docker drops between its networks and forwards nothing from outside.
//! Containers of other networks of the engine have no mark, and Docker keeps them apart from pods as before.
//!
//! The first rule's comment is a digest of what the rules were made of: so they are known after a restart.

use crate::plan::Wanted;
use crate::range::Range;
use berth_balancer_host::address::{Version, octets};
use berth_balancer_host::exception::Exception;
use berth_balancer_host::nft::expression::{Expression as E, write};
use berth_balancer_host::nft::{Batch, Element, Hook, Set};
use std::net::IpAddr;

/// Marks flows (conntrack) of pods within the cluster. The balancer's bits are below.
pub(crate) const FLOW: u32 = 0x2000_0000;
pub(crate) const VERSION: Version = Version::V4;

const NODES: Set = Set::of_addresses("nodes", VERSION);
const SOURCE: u32 = VERSION.source_offset();
const DESTINATION: u32 = VERSION.destination_offset();
const META_COMES_BY: u32 = 6;
const META_LEAVES_BY: u32 = 7;
const FLOW_STATE: u32 = 0;
const FLOW_STATUS: u32 = 2;
const FLOW_MARK: u32 = 3;
/// A state of flows: this is the first packet.
const NEW: u32 = 8;
/// A status of flows: the destination was translated, as a Service's is on the fast path.
const TRANSLATED: u32 = 0x20;
/// How the names of the links begin by which Services on the proxy path come, and those of other agents' bridges.
const OWN_LINKS: &[u8] = b"berth";
/// Signs of a table's name, and of a comment of iptables (255 less what nft lists of it).
const NAME_MAX: usize = 100;

/// What this agent's table is called, and its exception.
pub(crate) fn name(agent: &str) -> String {
    let name = format!("berth-pods-{agent}");
    if name.len() <= NAME_MAX {
        return name;
    }
    let digest = crate::book::digest(agent.as_bytes());
    let end = name.floor_char_boundary(NAME_MAX - 17);
    format!("{}-{digest:016x}", &name[..end])
}

/// The exception in the host's firewall.
pub(crate) fn exception(table: &str) -> Exception {
    let mark = format!("{FLOW:#x}/{FLOW:#x}");
    Exception::new(table, &["-m", "connmark", "--mark", &mark])
}

/// What the first rule's comment says.
pub(crate) fn note(wanted: &Wanted) -> String {
    format!("{:016x}", wanted.digest())
}

/// How many rules are made.
pub(crate) fn count(wanted: &Wanted) -> usize {
    let (pods, services) = (wanted.pods.len(), wanted.services.len());
    // forward: flows that are known; both ways for ranges, and for nodes; the rest.
    let forward = 1 + 2 * pods + 2 + 1;
    // leave: others' packets; ranges; nodes; never; the bridge; the rest.
    let leave = 1 + pods + services + 1 + NEVER.len() + 1 + 1;
    forward + leave
}

/// Ranges that no masquerade is for, besides the cluster's: multicast, and what never leaves a link.
const NEVER: [(u32, u32); 2] = [(0xe000_0000, 0xf000_0000), (0xa9fe_0000, 0xffff_0000)];

/// Writes the table.
pub(crate) fn make(batch: &mut Batch, wanted: &Wanted) {
    batch.add_table(VERSION);
    batch.add_set(VERSION, &NODES);
    let element = |node| -> Element { (octets(IpAddr::V4(node)), Vec::new()) };
    let nodes: Vec<Element> = wanted.nodes.iter().copied().map(element).collect();
    batch.add_elements(VERSION, NODES.name, &nodes);
    forward(batch, wanted);
    leave(batch, wanted);
}

fn forward(batch: &mut Batch, wanted: &Wanted) {
    const CHAIN: &str = "forward";
    batch.add_chain(VERSION, CHAIN, Some(Hook { kind: "filter", number: 2, priority: -10 }));
    let old = [
        E::Flow { key: FLOW_STATE, to: 0 },
        E::Bits { register: 0, mask: NEW, xor: 0 },
        E::Equal { register: 0, value: &[0; 4] },
        E::Accept,
    ];
    batch.add_noted_rule(VERSION, CHAIN, &note(wanted), |writer| write(writer, &old));
    let mark = [
        E::Flow { key: FLOW_MARK, to: 0 },
        E::Bits { register: 0, mask: !FLOW, xor: FLOW },
        E::SetFlowMark { from: 0 },
        E::Accept,
    ];
    for (own, other) in [(SOURCE, DESTINATION), (DESTINATION, SOURCE)] {
        let own = Inside::new(own, wanted.own);
        for range in &wanted.pods {
            let range = Inside::new(other, *range);
            let rule = [&own.is_in()[..], &range.is_in(), &mark].concat();
            batch.add_rule(VERSION, CHAIN, |writer| write(writer, &rule));
        }
        let rule = [&own.is_in()[..], &is_node(other), &mark].concat();
        batch.add_rule(VERSION, CHAIN, |writer| write(writer, &rule));
    }
    // A neighbour that routes here would get past the source ranges of Services, and to ports that are published nowhere.
    let past = [
        E::Flow { key: FLOW_STATUS, to: 0 },
        E::Bits { register: 0, mask: TRANSLATED, xor: 0 },
        E::Equal { register: 0, value: &[0; 4] },
        E::Meta { key: META_COMES_BY, to: 0 },
        E::Differs { register: 0, value: OWN_LINKS },
        E::Drop,
    ];
    let own = Inside::new(DESTINATION, wanted.own);
    let rule = [&own.is_in()[..], &past].concat();
    batch.add_rule(VERSION, CHAIN, |writer| write(writer, &rule));
}

fn leave(batch: &mut Batch, wanted: &Wanted) {
    const CHAIN: &str = "leave";
    // Before Docker, at 100.
    batch.add_chain(VERSION, CHAIN, Some(Hook { kind: "nat", number: 4, priority: 99 }));
    let mut rule = |all: &[E<'_>]| batch.add_rule(VERSION, CHAIN, |writer| write(writer, all));
    let own = Inside::new(SOURCE, wanted.own);
    rule(&[&own.is_not_in()[..], &[E::Accept]].concat());
    for range in wanted.pods.iter().chain(&wanted.services) {
        rule(&[&Inside::new(DESTINATION, *range).is_in()[..], &[E::Accept]].concat());
    }
    rule(&[&is_node(DESTINATION)[..], &[E::Accept]].concat());
    for (first, mask) in NEVER {
        let never = Inside { offset: DESTINATION, first: first.to_be_bytes(), mask };
        rule(&[&never.is_in()[..], &[E::Accept]].concat());
    }
    let mut bridge = [0; 16];
    let length = wanted.bridge.len().min(15);
    bridge[..length].copy_from_slice(&wanted.bridge.as_bytes()[..length]);
    let by_bridge = E::Equal { register: 0, value: &bridge };
    rule(&[E::Meta { key: META_LEAVES_BY, to: 0 }, by_bridge, E::Accept]);
    rule(&[E::Masquerade]);
}

fn is_node<'a>(offset: u32) -> [E<'a>; 2] {
    [
        E::Load { base: 1, offset, length: VERSION.bytes(), to: 4 },
        E::Lookup { set: NODES.name, register: 4, to: None },
    ]
}

/// An address of the packet, held against a range.
struct Inside {
    offset: u32,
    first: [u8; 4],
    mask: u32,
}

impl Inside {
    fn new(offset: u32, range: Range) -> Self {
        Self { offset, first: range.first().octets(), mask: range.mask() }
    }

    fn masked<'a>(&self) -> [E<'a>; 2] {
        // As it stands in the packet, whatever the machine's order.
        let mask = u32::from_ne_bytes(self.mask.to_be_bytes());
        [
            E::Load { base: 1, offset: self.offset, length: VERSION.bytes(), to: 4 },
            E::Bits { register: 4, mask, xor: 0 },
        ]
    }

    fn is_in(&self) -> [E<'_>; 3] {
        let [load, bits] = self.masked();
        [load, bits, E::Equal { register: 4, value: &self.first }]
    }

    fn is_not_in(&self) -> [E<'_>; 3] {
        let [load, bits] = self.masked();
        [load, bits, E::Differs { register: 4, value: &self.first }]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_short_and_of_one_agent() {
        assert_eq!(name("node-1"), "berth-pods-node-1");
        let [a, b] = ["a", "b"].map(|end| name(&format!("{}{end}", "n".repeat(252))));
        assert!(a != b && a.len() <= NAME_MAX && b.len() <= NAME_MAX, "{a} {b}");
    }
}
