// SPDX-License-Identifier: Apache-2.0
//! Pod records: a slab of fixed size records, found by uid, linked into a list per node and a list per peer.

use crate::Slot;
use crate::hash::Hasher;
use crate::paged::Paged;
use crate::peers::{PeerId, Peers};
use crate::specs::SpecIx;
use crate::text::{TextAt, Texts};
use crate::uids::{UidHash, UidHasher, Uids};
use alloc::vec::Vec;

/// Index of a pod record; reused after the pod is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PodIx(pub(crate) u32);

impl PodIx {
    /// No pod.
    pub(crate) const NONE: Self = Self(u32::MAX);

    pub(crate) fn is_some(self) -> bool {
        self != Self::NONE
    }

    /// The number of its record: small, and unique among the pods there are, so that others can keep tables beside it.
    pub fn index(self) -> u32 {
        self.0
    }
}

/// No node.
pub(crate) const NO_SLOT: Slot = u32::MAX;

/// Where a pod stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PodState {
    /// Waits to be placed.
    Pending,
    /// Placed by this engine; its binding is not confirmed.
    Assumed,
    /// On its node for good.
    Bound,
}

/// A pod.
#[derive(Debug, Clone)]
pub(crate) struct PodRecord {
    text: TextAt,
    uid_len: u16,
    name_len: u16,
    pub(crate) spec: SpecIx,
    /// What it is to others while on a node; `NONE` while pending.
    pub(crate) peer: PeerId,
    /// The node it counts on; `NO_SLOT` while pending or while its node is gone.
    pub(crate) slot: Slot,
    next_on_node: PodIx,
    prev_on_node: PodIx,
    next_of_peer: PodIx,
    prev_of_peer: PodIx,
    pub(crate) started: i64,
    pub(crate) state: PodState,
    pub(crate) terminating: bool,
    pub(crate) preempted: bool,
    /// The slot it is nominated to, `NO_SLOT` if none.
    pub(crate) nominated: Slot,
    /// Free list link and liveness.
    live: bool,
}

/// `started` of a pod that has no start time.
pub(crate) const NOT_STARTED: i64 = i64::MIN;

/// All pods.
#[derive(Debug)]
pub(crate) struct Pods {
    records: Paged<PodRecord>,
    free: Vec<PodIx>,
    texts: Texts,
    by_uid: Uids,
    hasher: UidHasher,
}

impl Pods {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self {
            records: Paged::default(),
            free: Vec::new(),
            texts: Texts::default(),
            by_uid: Uids::default(),
            hasher: UidHasher(hasher),
        }
    }

    /// Number of pods.
    pub(crate) fn len(&self) -> usize {
        self.by_uid.len()
    }

    /// The pod with that uid.
    #[inline]
    pub(crate) fn find(&self, uid: &str) -> Option<PodIx> {
        self.find_hashed(self.hasher.hash(uid), uid)
    }

    /// The same, with the uid's hash at hand.
    #[inline]
    pub(crate) fn find_hashed(&self, hash: UidHash, uid: &str) -> Option<PodIx> {
        self.by_uid.find(hash, |ix| self.uid_bytes(ix) == uid.as_bytes())
    }

    /// What hashes uids.
    pub(crate) fn hasher(&self) -> &UidHasher {
        &self.hasher
    }

    /// A new pending pod; its uid must not be known.
    pub(crate) fn insert(&mut self, uid: &str, name: &str, spec: SpecIx) -> PodIx {
        self.insert_hashed(self.hasher.hash(uid), uid, name, spec)
    }

    /// The same, with the uid's hash at hand.
    pub(crate) fn insert_hashed(
        &mut self,
        hash: UidHash,
        uid: &str,
        name: &str,
        spec: SpecIx,
    ) -> PodIx {
        let text = self.texts.insert(&[uid, name]);
        let length = |s: &str| u16::try_from(s.len()).expect("names are at most TEXT_MAX long");
        let record = PodRecord {
            text,
            uid_len: length(uid),
            name_len: length(name),
            spec,
            peer: PeerId::NONE,
            slot: NO_SLOT,
            next_on_node: PodIx::NONE,
            prev_on_node: PodIx::NONE,
            next_of_peer: PodIx::NONE,
            prev_of_peer: PodIx::NONE,
            started: NOT_STARTED,
            state: PodState::Pending,
            terminating: false,
            preempted: false,
            nominated: NO_SLOT,
            live: true,
        };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.records[ix.0 as usize] = record;
                ix
            }
            None => {
                self.records.push(record);
                PodIx(u32::try_from(self.records.len() - 1).expect("fewer than 2^32 pods"))
            }
        };
        self.by_uid.insert(hash, ix);
        ix
    }

    /// Forgets a pod that is in no list; `hash` is its uid's.
    pub(crate) fn remove(&mut self, ix: PodIx, hash: UidHash) {
        self.by_uid.remove(hash, ix);
        let record = &mut self.records[ix.0 as usize];
        record.live = false;
        let (text, len) = (record.text, usize::from(record.uid_len) + usize::from(record.name_len));
        self.texts.remove(text, len);
        self.free.push(ix);
    }

    #[inline]
    pub(crate) fn get(&self, ix: PodIx) -> &PodRecord {
        &self.records[ix.0 as usize]
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, ix: PodIx) -> &mut PodRecord {
        &mut self.records[ix.0 as usize]
    }

    fn uid_bytes(&self, ix: PodIx) -> &[u8] {
        let record = self.get(ix);
        self.texts.bytes(record.text, 0, usize::from(record.uid_len))
    }

    /// A pod's uid.
    pub(crate) fn uid(&self, ix: PodIx) -> &str {
        let record = self.get(ix);
        self.texts.get(record.text, 0, usize::from(record.uid_len))
    }

    /// A pod's name.
    pub(crate) fn name(&self, ix: PodIx) -> &str {
        let record = self.get(ix);
        self.texts.get(record.text, usize::from(record.uid_len), usize::from(record.name_len))
    }

    /// The number of records, those of pods that are gone included.
    pub(crate) fn records(&self) -> u32 {
        u32::try_from(self.records.len()).expect("fewer than 2^32 pods")
    }

    /// The pod that has this record.
    pub(crate) fn at(&self, index: u32) -> Option<PodIx> {
        self.records.get(index as usize).filter(|record| record.live).map(|_| PodIx(index))
    }

    /// All pods, in the order of their records.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PodIx, &PodRecord)> {
        (0..).zip(self.records.iter()).filter(|(_, r)| r.live).map(|(ix, r)| (PodIx(ix), r))
    }

    /// Puts a pod at the head of its node's list.
    pub(crate) fn link_node(&mut self, ix: PodIx, first: &mut PodIx) {
        let old = *first;
        let record = self.get_mut(ix);
        record.next_on_node = old;
        record.prev_on_node = PodIx::NONE;
        if old.is_some() {
            self.get_mut(old).prev_on_node = ix;
        }
        *first = ix;
    }

    /// Takes a pod out of its node's list.
    pub(crate) fn unlink_node(&mut self, ix: PodIx, first: &mut PodIx) {
        let (next, prev) = (self.get(ix).next_on_node, self.get(ix).prev_on_node);
        if next.is_some() {
            self.get_mut(next).prev_on_node = prev;
        }
        if prev.is_some() {
            self.get_mut(prev).next_on_node = next;
        } else {
            *first = next;
        }
    }

    /// The pods of a node, given its first one.
    pub(crate) fn on_node(&self, first: PodIx) -> impl Iterator<Item = PodIx> {
        let mut next = first;
        core::iter::from_fn(move || {
            let now = next;
            next = if now.is_some() { self.get(now).next_on_node } else { now };
            now.is_some().then_some(now)
        })
    }

    /// Puts a pod at the head of its peer's list.
    pub(crate) fn link_peer(&mut self, ix: PodIx, peers: &mut Peers) {
        let peer = peers.get_mut(self.get(ix).peer);
        let old = core::mem::replace(&mut peer.first, ix);
        peer.pods += 1;
        let record = self.get_mut(ix);
        record.next_of_peer = old;
        record.prev_of_peer = PodIx::NONE;
        if old.is_some() {
            self.get_mut(old).prev_of_peer = ix;
        }
    }

    /// Takes a pod out of its peer's list.
    pub(crate) fn unlink_peer(&mut self, ix: PodIx, peers: &mut Peers) {
        let record = self.get(ix);
        let (next, prev, peer) =
            (record.next_of_peer, record.prev_of_peer, peers.get_mut(record.peer));
        peer.pods -= 1;
        if next.is_some() {
            self.get_mut(next).prev_of_peer = prev;
        }
        if prev.is_some() {
            self.get_mut(prev).next_of_peer = next;
        } else {
            peer.first = next;
        }
    }

    /// The pods of a peer that are on a node, given the first one.
    pub(crate) fn of_peer(&self, first: PodIx) -> impl Iterator<Item = PodIx> {
        let mut next = first;
        core::iter::from_fn(move || {
            let now = next;
            next = if now.is_some() { self.get(now).next_of_peer } else { now };
            now.is_some().then_some(now)
        })
    }

    /// Bytes held.
    pub(crate) fn resident(&self) -> usize {
        self.records.resident() + self.texts.resident() + self.by_uid.resident()
    }
}
