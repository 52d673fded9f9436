// SPDX-License-Identifier: Apache-2.0
//! Who owns which address and port: sorted runs, chosen by a hash, in a persistent array.

use crate::hash::{bits, stable_pair};
use crate::model::Protocol;
use crate::table::Via;
use crate::trie::Trie;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Runs: 1,024. With 10,000 services of three addresses one has 30 entries, a kilobyte to copy when it changes.
const RUN_BITS: u32 = 10;

/// An address, port and protocol, with IPv4 as mapped IPv6.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Key {
    address: u128,
    /// The port, and in the lowest bit the protocol.
    port: u32,
}

impl Key {
    #[inline]
    pub(crate) fn new(protocol: Protocol, address: SocketAddr) -> Self {
        let port = u32::from(address.port()) << 1 | u32::from(protocol == Protocol::Udp);
        Self { address: bits(address.ip()), port }
    }

    /// The run it lies in.
    #[inline]
    fn run(self) -> u32 {
        #[expect(clippy::cast_possible_truncation, reason = "the two halves")]
        let half = (self.address >> 64) as u64 ^ self.address as u64;
        let hash = stable_pair(half, u64::from(self.port));
        u32::try_from(hash >> (64 - RUN_BITS)).unwrap_or(0)
    }
}

/// Who owns a place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Owner {
    /// Slot of the frontend.
    pub(crate) slot: u32,
    pub(crate) via: Via,
}

type Run = Arc<[(Key, Owner)]>;

/// All places.
#[derive(Debug, Clone)]
pub(crate) struct Addresses {
    runs: Trie<Run, 2>,
    /// Owners of node ports, TCP and UDP, by port.
    ports: [Trie<u32, 4>; 2],
    /// Addresses on which node ports are served: canonical, in order.
    pub(crate) node: Arc<[IpAddr]>,
}

impl Default for Addresses {
    fn default() -> Self {
        Self { runs: Trie::default(), ports: Default::default(), node: Arc::from([]) }
    }
}

impl Addresses {
    /// Who owns an address and port. Its own entry goes before a node port.
    #[inline]
    pub(crate) fn find(&self, protocol: Protocol, destination: SocketAddr) -> Option<Owner> {
        self.exact(Key::new(protocol, destination)).or_else(|| {
            let slot = self.node_port(protocol, destination.port())?;
            let address = destination.ip().to_canonical();
            self.node.binary_search(&address).ok()?;
            Some(Owner { slot, via: Via::NodePort })
        })
    }

    #[inline]
    pub(crate) fn exact(&self, key: Key) -> Option<Owner> {
        let run = self.runs.get(key.run())?;
        let at = run.binary_search_by_key(&key, |(key, _)| *key).ok()?;
        Some(run[at].1)
    }

    /// Slot of the frontend that owns a node port.
    #[inline]
    pub(crate) fn node_port(&self, protocol: Protocol, port: u16) -> Option<u32> {
        self.ports[usize::from(protocol == Protocol::Udp)].get(port.into()).copied()
    }

    /// Gives a place to an owner, whoever had it.
    pub(crate) fn give(&mut self, key: Key, owner: Owner) {
        let run = self.runs.get(key.run()).map(AsRef::as_ref).unwrap_or_default();
        let at = run.partition_point(|(other, _)| *other < key);
        let behind = at + usize::from(run.get(at).is_some_and(|(other, _)| *other == key));
        let new: Run = chain(&run[..at], Some((key, owner)), &run[behind..]);
        self.runs.set(key.run(), Some(new));
    }

    /// Takes a place from an owner, if it still has it.
    pub(crate) fn take(&mut self, key: Key, slot: u32) {
        let Some(run) = self.runs.get(key.run()) else { return };
        let Ok(at) = run.binary_search_by_key(&key, |(key, _)| *key) else { return };
        if run[at].1.slot == slot {
            let new = (run.len() > 1).then(|| chain(&run[..at], None, &run[at + 1..]));
            self.runs.set(key.run(), new);
        }
    }

    /// Gives a node port to an owner.
    pub(crate) fn give_port(&mut self, protocol: Protocol, port: u16, slot: u32) {
        self.ports[usize::from(protocol == Protocol::Udp)].set(port.into(), Some(slot));
    }

    /// Takes a node port from an owner, if it still has it.
    pub(crate) fn take_port(&mut self, protocol: Protocol, port: u16, slot: u32) {
        if self.node_port(protocol, port) == Some(slot) {
            self.ports[usize::from(protocol == Protocol::Udp)].set(port.into(), None);
        }
    }
}

fn chain(before: &[(Key, Owner)], new: Option<(Key, Owner)>, behind: &[(Key, Owner)]) -> Run {
    let mut run = Vec::with_capacity(before.len() + 1 + behind.len());
    run.extend_from_slice(before);
    run.extend(new);
    run.extend_from_slice(behind);
    run.into()
}
