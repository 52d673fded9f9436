// SPDX-License-Identifier: Apache-2.0
//! Peers: what bound pods are to the rules of other pods. Pods of equal namespace, read labels and affinity terms are one peer.
//!
//! Labels that no live rule reads are left out, so a million pods with labels of their own are still one peer.

use crate::hash::{Hasher, Table};
use crate::pods::PodIx;
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::labels::Labels;
use berth_scheduler_model::pod::{PodAffinityTerm, PodSpec};

/// A peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct PeerId(pub(crate) u32);

impl PeerId {
    /// No peer.
    pub(crate) const NONE: Self = Self(u32::MAX);
}

/// The terms that a pod imposes on others.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub(crate) struct Terms {
    pub(crate) affinity_required: Vec<PodAffinityTerm>,
    pub(crate) anti_required: Vec<PodAffinityTerm>,
    pub(crate) affinity_preferred: Vec<(i32, PodAffinityTerm)>,
    pub(crate) anti_preferred: Vec<(i32, PodAffinityTerm)>,
}

impl Terms {
    /// The terms of a pod; `None` where it has none.
    pub(crate) fn of(spec: &PodSpec) -> Option<Arc<Self>> {
        let terms = Self {
            affinity_required: spec.affinity_required.clone(),
            anti_required: spec.anti_affinity_required.clone(),
            affinity_preferred: spec.affinity_preferred.clone(),
            anti_preferred: spec.anti_affinity_preferred.clone(),
        };
        (terms != Self::default()).then(|| Arc::new(terms))
    }
}

/// What makes pods one peer.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct PeerKey {
    pub(crate) namespace: u32,
    pub(crate) labels: Labels,
    pub(crate) terminating: bool,
    pub(crate) terms: Option<Arc<Terms>>,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) key: PeerKey,
    /// Pods and cached specs that refer to it.
    refs: u32,
    /// Pods of this peer that are on a node: a doubly linked list through the pod records.
    pub(crate) first: PodIx,
    /// Length of that list.
    pub(crate) pods: u32,
}

/// All peers.
#[derive(Debug)]
pub(crate) struct Peers {
    peers: Vec<Option<Peer>>,
    ids: Table<PeerId>,
    hasher: Hasher,
    /// Free ids that may be given out again.
    ready: Vec<PeerId>,
    /// Free ids that some class may still know by their old meaning.
    freed: Vec<PeerId>,
    /// Log position at which freed ids last became ready: who read less of the log rebuilds.
    recycled_at: u64,
    /// Live peers that have terms.
    with_terms: u32,
    /// Peers made so far, and the last of them in a ring.
    births: u64,
    born: Vec<PeerId>,
}

fn born_at(birth: u64) -> usize {
    usize::try_from(birth % RECYCLE as u64).expect("below RECYCLE")
}

/// So many freed ids are collected before all classes have to rebuild.
const RECYCLE: usize = 4_096;

impl Peers {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self {
            peers: Vec::new(),
            ids: Table::new(),
            hasher,
            ready: Vec::new(),
            freed: Vec::new(),
            recycled_at: 0,
            with_terms: 0,
            births: 0,
            born: Vec::new(),
        }
    }

    /// The peer with that key, with one reference more. `head` is the log's head.
    pub(crate) fn acquire(&mut self, key: PeerKey, head: u64) -> PeerId {
        let hash = self.hasher.hash(&key);
        let found = self.ids.find(hash, |id| {
            self.peers[id.0 as usize].as_ref().is_some_and(|peer| peer.key == key)
        });
        if let Some(id) = found {
            let id = *id;
            self.get_mut(id).refs += 1;
            return id;
        }
        if self.ready.is_empty() && self.freed.len() >= RECYCLE {
            core::mem::swap(&mut self.ready, &mut self.freed);
            self.recycled_at = head;
        }
        self.with_terms += u32::from(key.terms.is_some());
        let peer = Peer { key, refs: 1, first: PodIx::NONE, pods: 0 };
        let id = match self.ready.pop() {
            Some(id) => {
                self.peers[id.0 as usize] = Some(peer);
                id
            }
            None => {
                self.peers.push(Some(peer));
                PeerId(u32::try_from(self.peers.len() - 1).expect("fewer than 2^32 peers"))
            }
        };
        self.note_birth(id);
        let (peers, hasher) = (&self.peers, &self.hasher);
        self.ids.insert_unique(hash, id, |id| {
            hasher.hash(&peers[id.0 as usize].as_ref().expect("listed peers are there").key)
        });
        id
    }

    /// One reference more.
    pub(crate) fn retain(&mut self, id: PeerId) {
        self.get_mut(id).refs += 1;
    }

    /// One reference fewer.
    pub(crate) fn release(&mut self, id: PeerId) {
        let peer = self.get_mut(id);
        peer.refs -= 1;
        if peer.refs > 0 {
            return;
        }
        let peer = self.peers[id.0 as usize].take().expect("a released peer is there");
        let hash = self.hasher.hash(&peer.key);
        if let Ok(found) = self.ids.find_entry(hash, |other| *other == id) {
            found.remove();
        }
        self.with_terms -= u32::from(peer.key.terms.is_some());
        self.freed.push(id);
    }

    fn note_birth(&mut self, id: PeerId) {
        let at = born_at(self.births);
        if self.born.len() <= at {
            self.born.push(id);
        } else {
            self.born[at] = id;
        }
        self.births += 1;
    }

    /// Peers made so far: while it stays, there is none that a class has not seen.
    pub(crate) fn births(&self) -> u64 {
        self.births
    }

    /// The peers made since there were so many, some of them perhaps gone; `None`: too many to tell.
    pub(crate) fn born_since(&self, births: u64) -> Option<impl Iterator<Item = PeerId>> {
        let known = self.births - births <= RECYCLE as u64;
        known.then(|| (births..self.births).map(|at| self.born[born_at(at)]))
    }

    /// Live peers that have terms.
    pub(crate) fn with_terms(&self) -> u32 {
        self.with_terms
    }

    pub(crate) fn get(&self, id: PeerId) -> &Peer {
        self.peers[id.0 as usize].as_ref().expect("a referenced peer is there")
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> &mut Peer {
        self.peers[id.0 as usize].as_mut().expect("a referenced peer is there")
    }

    /// Whether the id still stands for a peer.
    pub(crate) fn find(&self, id: PeerId) -> Option<&Peer> {
        self.peers.get(id.0 as usize)?.as_ref()
    }

    /// All live peers, by id.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (PeerId, &Peer)> {
        (0_u32..).zip(&self.peers).filter_map(|(id, peer)| Some((PeerId(id), peer.as_ref()?)))
    }

    /// One more than the highest id.
    pub(crate) fn bound(&self) -> usize {
        self.peers.len()
    }

    /// See the field.
    pub(crate) fn recycled_at(&self) -> u64 {
        self.recycled_at
    }
}
