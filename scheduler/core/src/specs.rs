// SPDX-License-Identifier: Apache-2.0
//! Pod specs as they were given, each once per namespace, with what was worked out from them.

use crate::class::ClassId;
use crate::hash::{Hasher, Table};
use crate::nodes::Usage;
use crate::peers::PeerId;
use alloc::collections::VecDeque;
use alloc::sync::Arc;
use alloc::vec::Vec;
use berth_scheduler_model::pod::PodSpec;

/// Index of a spec; valid while something refers to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SpecIx(pub(crate) u32);

/// A spec in a namespace.
#[derive(Debug)]
pub(crate) struct SpecEntry {
    pub(crate) spec: Arc<PodSpec>,
    pub(crate) namespace: u32,
    pub(crate) usage: Usage,
    /// Of namespace and spec: a spec is large, and tables ask for this again when they grow.
    hash: u64,
    /// Pods and users that hold it.
    refs: u32,
    /// What a pod of it that is not terminating is to others; `NONE` if not worked out under `label_epoch`.
    pub(crate) peer: PeerId,
    /// Its class; `NONE` if not worked out under the epochs.
    pub(crate) class: ClassId,
    /// Epoch of the set of read labels under which `peer` and `class` hold.
    pub(crate) label_epoch: u32,
    /// Epoch of the namespace's Services and controllers under which `class` holds.
    pub(crate) group_epoch: u32,
    /// Stands in the queue of unused specs.
    queued: bool,
}

/// All specs.
#[derive(Debug)]
pub(crate) struct Specs {
    entries: Vec<Option<SpecEntry>>,
    free: Vec<SpecIx>,
    ids: Table<SpecIx>,
    hasher: Hasher,
    /// Specs that nothing refers to, oldest first (some may be in use again).
    unused: VecDeque<SpecIx>,
}

/// So many unused specs are kept: a spec that comes back soon needs no work.
const UNUSED_MAX: usize = 4_096;

impl Specs {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            ids: Table::new(),
            hasher,
            unused: VecDeque::new(),
        }
    }

    /// The hash that [`Specs::find`] and [`Specs::insert`] want.
    pub(crate) fn hash(&self, namespace: u32, spec: &PodSpec) -> u64 {
        self.hasher.hash(&(namespace, spec))
    }

    /// The spec's index, if it is known.
    pub(crate) fn find(&self, hash: u64, namespace: u32, spec: &PodSpec) -> Option<SpecIx> {
        self.ids
            .find(hash, |ix| {
                let entry = self.get(*ix);
                entry.hash == hash && entry.namespace == namespace && *entry.spec == *spec
            })
            .copied()
    }

    /// Takes a spec in that is not known, held by nobody yet.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        namespace: u32,
        spec: &Arc<PodSpec>,
        usage: Usage,
    ) -> SpecIx {
        let entry = SpecEntry {
            spec: spec.clone(),
            namespace,
            usage,
            hash,
            refs: 0,
            peer: PeerId::NONE,
            class: ClassId::NONE,
            label_epoch: 0,
            group_epoch: 0,
            queued: true,
        };
        let ix = match self.free.pop() {
            Some(ix) => {
                self.entries[ix.0 as usize] = Some(entry);
                ix
            }
            None => {
                self.entries.push(Some(entry));
                SpecIx(u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 specs"))
            }
        };
        let entries = &self.entries;
        self.ids.insert_unique(hash, ix, |ix| {
            entries[ix.0 as usize].as_ref().expect("listed specs are there").hash
        });
        self.unused.push_back(ix);
        ix
    }

    #[inline]
    pub(crate) fn get(&self, ix: SpecIx) -> &SpecEntry {
        self.entries[ix.0 as usize].as_ref().expect("a held spec is there")
    }

    #[inline]
    pub(crate) fn get_mut(&mut self, ix: SpecIx) -> &mut SpecEntry {
        self.entries[ix.0 as usize].as_mut().expect("a held spec is there")
    }

    /// One holder more.
    #[inline]
    pub(crate) fn retain(&mut self, ix: SpecIx) {
        self.get_mut(ix).refs += 1;
    }

    /// One holder fewer.
    #[inline]
    pub(crate) fn release(&mut self, ix: SpecIx) {
        let entry = self.get_mut(ix);
        entry.refs -= 1;
        if entry.refs == 0 && !entry.queued {
            entry.queued = true;
            self.unused.push_back(ix);
        }
    }

    /// A spec that has been unused for long, taken out; to be called until it gives none.
    pub(crate) fn evict(&mut self) -> Option<SpecEntry> {
        while self.unused.len() > UNUSED_MAX {
            let ix = self.unused.pop_front()?;
            let entry = self.get_mut(ix);
            entry.queued = false;
            if entry.refs > 0 {
                continue;
            }
            let hash = entry.hash;
            if let Ok(found) = self.ids.find_entry(hash, |other| *other == ix) {
                found.remove();
            }
            self.free.push(ix);
            return self.entries[ix.0 as usize].take();
        }
        None
    }

    /// All specs that are held or remembered.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (SpecIx, &mut SpecEntry)> {
        (0..).zip(&mut self.entries).filter_map(|(ix, entry)| Some((SpecIx(ix), entry.as_mut()?)))
    }
}
