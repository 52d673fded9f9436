// SPDX-License-Identifier: Apache-2.0
//! Pods that wait, while the journal is read: they are queued when it has been read.

use super::super::books::Nomination;
use super::super::specs::SpecId;
use berth_scheduler_core::UidHash;
use berth_scheduler_model::Str;
use hashbrown::HashTable;

/// A pod that waits.
#[derive(Debug)]
pub(super) struct Waits {
    pub(super) uid: Str,
    pub(super) namespace: Str,
    pub(super) name: Str,
    pub(super) spec: SpecId,
    pub(super) since_revision: u64,
    pub(super) since: u64,
    pub(super) order: u64,
    pub(super) deadline: u64,
    pub(super) lease_ms: u64,
    pub(super) hold_ms: u64,
    pub(super) nomination: Option<Nomination>,
}

/// All of them.
#[derive(Debug, Default)]
pub(super) struct WaitList {
    list: Vec<Option<Waits>>,
    free: Vec<u32>,
    ids: HashTable<(UidHash, u32)>,
}

impl WaitList {
    /// A pod waits that did not.
    pub(super) fn insert(&mut self, hash: UidHash, waits: Waits) {
        let at = self.free.pop().unwrap_or_else(|| {
            self.list.push(None);
            u32::try_from(self.list.len() - 1).unwrap_or(u32::MAX)
        });
        self.list[at as usize] = Some(waits);
        self.ids.insert_unique(hash.bits(), (hash, at), |(hash, _)| hash.bits());
    }

    /// A pod that waits.
    pub(super) fn get_mut(&mut self, hash: UidHash, uid: &str) -> Option<&mut Waits> {
        let list = &self.list;
        let (_, at) = self.ids.find(hash.bits(), |(_, at)| is(list[*at as usize].as_ref(), uid))?;
        self.list[*at as usize].as_mut()
    }

    /// A pod waits no more; what it waited for.
    pub(super) fn remove(&mut self, hash: UidHash, uid: &str) -> Option<Waits> {
        if self.ids.is_empty() {
            return None;
        }
        let list = &self.list;
        let found = self
            .ids
            .find_entry(hash.bits(), |(_, at)| is(list[*at as usize].as_ref(), uid))
            .ok()?;
        let ((_, at), _) = found.remove();
        self.free.push(at);
        self.list[at as usize].take()
    }

    /// All of them, in the order in which they came.
    pub(super) fn into_sorted(self) -> Vec<Waits> {
        let mut all: Vec<Waits> = self.list.into_iter().flatten().collect();
        all.sort_by_key(|waits| (waits.since, waits.order));
        all
    }
}

fn is(waits: Option<&Waits>, uid: &str) -> bool {
    waits.is_some_and(|waits| *waits.uid == *uid)
}
