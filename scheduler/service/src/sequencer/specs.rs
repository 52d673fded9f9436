// SPDX-License-Identifier: Apache-2.0
//! Specs as they came: found again by their bytes, read once, numbered for the journal.
//!
//! A spec that no pod has any more is kept for a while (replicas come in waves), the longest unused going first.

use super::log::Log;
use super::record::Record;
use crate::convert::{self, Names, Violation};
use berth_proto::v1;
use berth_scheduler_model::Str;
use berth_scheduler_model::pod::PodSpec;
use hashbrown::HashTable;
use prost::Message;
use std::collections::VecDeque;
use std::hash::BuildHasher;
use std::sync::Arc;

/// Bytes that unused specs may take. A spec of 348 bytes takes about 2 KiB with what was read from it: 16,000 of them.
const UNUSED_BYTES_MAX: usize = 32 << 20;
/// What the read form of a spec takes, in terms of its encoded length.
const OVERHEAD: usize = 1_500;

/// Place of a spec in the table; it holds while somebody retains it, or until the next spec is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct SpecId(u32);

impl SpecId {
    /// No spec.
    pub(super) const NONE: Self = Self(u32::MAX);
}

#[derive(Debug)]
struct Entry {
    hash: u64,
    namespace: Str,
    /// The pod it was read for; empty where that does not matter.
    name: Str,
    bytes: Box<[u8]>,
    /// `None`: pods of these bytes differ by their names, and have entries of their own.
    spec: Option<Arc<PodSpec>>,
    number: u64,
    refs: u32,
    /// Stands in the queue of unused ones.
    queued: bool,
    /// Was found since it was put there.
    again: bool,
    /// The epoch of the log, and of the snapshot, in which it is written down.
    in_log: u32,
    in_snapshot: u32,
}

/// All specs.
#[derive(Debug)]
pub(super) struct Specs {
    entries: Vec<Option<Entry>>,
    free: Vec<u32>,
    ids: HashTable<u32>,
    hasher: foldhash::fast::FixedState,
    unused: VecDeque<u32>,
    unused_bytes: usize,
    last_number: u64,
    log_epoch: u32,
    snapshot_epoch: u32,
}

impl Specs {
    pub(super) fn new(hash_seed: u64) -> Self {
        Self {
            entries: Vec::new(),
            free: Vec::new(),
            ids: HashTable::new(),
            hasher: foldhash::fast::FixedState::with_seed(hash_seed),
            unused: VecDeque::new(),
            unused_bytes: 0,
            last_number: 0,
            log_epoch: 1,
            snapshot_epoch: 0,
        }
    }

    /// The spec of these bytes, read if it is new.
    pub(super) fn resolve(&mut self, names: Names<'_>, bytes: &[u8]) -> Result<SpecId, Violation> {
        if let Some(id) = self.find(names.namespace, "", bytes) {
            if self.get(id).spec.is_some() {
                return Ok(id);
            }
            if let Some(id) = self.find(names.namespace, names.name, bytes) {
                return Ok(id);
            }
        }
        let message = v1::PodSpec::decode(bytes)
            .map_err(|error| Violation::new("spec", error.to_string()))?;
        let read = Arc::new(convert::pod_spec(&message, names)?);
        self.make_room();
        if convert::depends_on_name(&message) {
            if let Some(id) = self.find(names.namespace, names.name, bytes) {
                return Ok(id);
            }
            if self.find(names.namespace, "", bytes).is_none() {
                self.insert(names.namespace, "", bytes, None);
            }
            return Ok(self.insert(names.namespace, names.name, bytes, Some(read)));
        }
        Ok(self.insert(names.namespace, "", bytes, Some(read)))
    }

    fn hash(&self, namespace: &str, name: &str, bytes: &[u8]) -> u64 {
        self.hasher.hash_one((bytes, namespace, name))
    }

    #[inline]
    fn find(&mut self, namespace: &str, name: &str, bytes: &[u8]) -> Option<SpecId> {
        let hash = self.hash(namespace, name, bytes);
        let entries = &self.entries;
        let found = self.ids.find(hash, |id| {
            entries[*id as usize].as_ref().is_some_and(|entry| {
                *entry.bytes == *bytes && *entry.namespace == *namespace && *entry.name == *name
            })
        });
        let id = *found?;
        if let Some(entry) = &mut self.entries[id as usize] {
            entry.again = true;
        }
        Some(SpecId(id))
    }

    fn insert(
        &mut self,
        namespace: &str,
        name: &str,
        bytes: &[u8],
        spec: Option<Arc<PodSpec>>,
    ) -> SpecId {
        self.last_number += 1;
        let number = self.last_number;
        self.insert_as(number, namespace, name, bytes, spec)
    }

    fn insert_as(
        &mut self,
        number: u64,
        namespace: &str,
        name: &str,
        bytes: &[u8],
        spec: Option<Arc<PodSpec>>,
    ) -> SpecId {
        let hash = self.hash(namespace, name, bytes);
        let entry = Entry {
            hash,
            namespace: namespace.into(),
            name: name.into(),
            bytes: bytes.into(),
            spec,
            number,
            refs: 0,
            queued: false,
            again: false,
            in_log: 0,
            in_snapshot: 0,
        };
        let id = match self.free.pop() {
            Some(id) => {
                self.entries[id as usize] = Some(entry);
                id
            }
            None => {
                self.entries.push(Some(entry));
                u32::try_from(self.entries.len() - 1).expect("fewer than 2^32 specs fit in memory")
            }
        };
        let entries = &self.entries;
        self.ids.insert_unique(hash, id, |id| {
            entries[*id as usize].as_ref().map_or(0, |entry| entry.hash)
        });
        self.queue(SpecId(id));
        SpecId(id)
    }

    /// Puts a spec into the queue of unused ones.
    fn queue(&mut self, id: SpecId) {
        let entry = self.get_mut(id);
        if !entry.queued {
            entry.queued = true;
            entry.again = false;
            let bytes = entry.bytes.len() + OVERHEAD;
            self.unused.push_back(id.0);
            self.unused_bytes += bytes;
        }
    }

    /// Forgets specs that were unused the longest.
    fn make_room(&mut self) {
        while self.unused_bytes > UNUSED_BYTES_MAX {
            let Some(id) = self.unused.pop_front() else { return };
            let entry = self.get_mut(SpecId(id));
            entry.queued = false;
            let bytes = entry.bytes.len() + OVERHEAD;
            let (refs, again, hash) = (entry.refs, entry.again, entry.hash);
            self.unused_bytes -= bytes;
            if refs > 0 {
                continue;
            }
            if again {
                self.queue(SpecId(id));
                continue;
            }
            if let Ok(found) = self.ids.find_entry(hash, |other| *other == id) {
                found.remove();
            }
            self.entries[id as usize] = None;
            self.free.push(id);
        }
    }

    fn get(&self, id: SpecId) -> &Entry {
        self.entries[id.0 as usize].as_ref().expect("ids of retained specs are valid")
    }

    fn get_mut(&mut self, id: SpecId) -> &mut Entry {
        self.entries[id.0 as usize].as_mut().expect("ids of retained specs are valid")
    }

    /// The spec as it was read.
    #[inline]
    pub(super) fn spec(&self, id: SpecId) -> &Arc<PodSpec> {
        self.get(id).spec.as_ref().expect("what is resolved was read")
    }

    /// One more pod has it.
    #[inline]
    pub(super) fn retain(&mut self, id: SpecId) {
        self.get_mut(id).refs += 1;
    }

    /// A pod that had it is gone.
    pub(super) fn release(&mut self, id: SpecId) {
        if id == SpecId::NONE {
            return;
        }
        let entry = self.get_mut(id);
        entry.refs = entry.refs.saturating_sub(1);
        if entry.refs == 0 {
            self.queue(id);
        }
    }

    /// Its number, written down in the log if the log does not have it yet.
    #[inline]
    pub(super) fn number(&mut self, id: SpecId, log: &mut Log) -> u64 {
        let epoch = self.log_epoch;
        let entry = self.get_mut(id);
        if entry.in_log != epoch {
            entry.in_log = epoch;
            log.push_plain(&definition(entry));
        }
        entry.number
    }

    /// Its number, written down in the snapshot through `write` if that does not have it yet.
    pub(super) fn number_in_snapshot(
        &mut self,
        id: SpecId,
        write: impl FnOnce(&Record<'_>),
    ) -> u64 {
        let epoch = self.snapshot_epoch;
        let entry = self.get_mut(id);
        if entry.in_snapshot != epoch {
            entry.in_snapshot = epoch;
            write(&definition(entry));
        }
        entry.number
    }

    /// A snapshot begins. What follows in the log may be read without what went before: every spec has to be told again.
    pub(super) fn begin_snapshot(&mut self) {
        self.log_epoch += 1;
        self.snapshot_epoch += 1;
    }

    /// Takes a spec back from the journal, under its number.
    pub(super) fn restore(
        &mut self,
        number: u64,
        namespace: &str,
        name: &str,
        bytes: &[u8],
    ) -> Result<SpecId, Violation> {
        self.last_number = self.last_number.max(number);
        if let Some(id) = self.find(namespace, name, bytes)
            && self.get(id).number == number
        {
            return Ok(id);
        }
        let message = v1::PodSpec::decode(bytes)
            .map_err(|error| Violation::new("spec", error.to_string()))?;
        // Where it does not matter, any name will do.
        let of = if name.is_empty() { "-" } else { name };
        let read = convert::pod_spec(&message, Names { namespace, name: of })?;
        Ok(self.insert_as(number, namespace, name, bytes, Some(Arc::new(read))))
    }

    /// The highest number given.
    pub(super) fn last_number(&self) -> u64 {
        self.last_number
    }

    /// Numbers up to this are taken.
    pub(super) fn skip_to(&mut self, number: u64) {
        self.last_number = self.last_number.max(number);
    }

    /// How many specs there are, unused ones included.
    pub(super) fn held(&self) -> usize {
        self.entries.len() - self.free.len()
    }
}

fn definition(entry: &Entry) -> Record<'_> {
    Record::Spec {
        number: entry.number,
        namespace: &entry.namespace,
        name: &entry.name,
        bytes: &entry.bytes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: Names<'static> = Names { namespace: "ns", name: "web-0" };

    fn spec(priority: i32) -> Vec<u8> {
        v1::PodSpec { priority, ..Default::default() }.encode_to_vec()
    }

    #[test]
    fn equal_bytes_are_one_spec_and_namespaces_differ() {
        let mut specs = Specs::new(1);
        let first = specs.resolve(NAMES, &spec(1)).unwrap();
        assert_eq!(specs.resolve(NAMES, &spec(1)).unwrap(), first);
        assert_ne!(specs.resolve(NAMES, &spec(2)).unwrap(), first);
        let other = Names { namespace: "other", ..NAMES };
        assert_ne!(specs.resolve(other, &spec(1)).unwrap(), first);
        assert_eq!(specs.spec(first).priority, 1);
    }

    #[test]
    fn a_spec_is_told_once_to_the_log_and_again_after_a_snapshot_began() {
        let mut specs = Specs::new(1);
        let mut log = Log::new(0);
        let id = specs.resolve(NAMES, &spec(1)).unwrap();
        let count = |log: &mut Log| log.take(Vec::new()).len();
        let number = specs.number(id, &mut log);
        assert!(count(&mut log) > 0);
        assert_eq!(specs.number(id, &mut log), number);
        assert_eq!(count(&mut log), 0);
        specs.begin_snapshot();
        assert_eq!(specs.number(id, &mut log), number);
        assert!(count(&mut log) > 0);
    }

    #[test]
    fn unused_specs_go_and_used_ones_stay() {
        let mut specs = Specs::new(1);
        let kept = specs.resolve(NAMES, &spec(-1)).unwrap();
        specs.retain(kept);
        let many = i32::try_from(2 * UNUSED_BYTES_MAX / OVERHEAD).unwrap();
        for priority in 0..many {
            specs.resolve(NAMES, &spec(priority)).unwrap();
        }
        assert!(specs.held() < 3 * UNUSED_BYTES_MAX / OVERHEAD / 2);
        assert_eq!(specs.spec(kept).priority, -1);
        assert_eq!(specs.resolve(NAMES, &spec(-1)).unwrap(), kept);
    }

    #[test]
    fn specs_that_read_the_name_are_apart() {
        let source = Some(v1::volume::Source::Ephemeral(v1::EphemeralVolumeSource {}));
        let volumes = vec![v1::Volume { name: "scratch".into(), source }];
        let bytes = v1::PodSpec { volumes, ..Default::default() }.encode_to_vec();
        let mut specs = Specs::new(1);
        let first = specs.resolve(NAMES, &bytes).unwrap();
        let second = specs.resolve(Names { name: "web-1", ..NAMES }, &bytes).unwrap();
        assert_ne!(first, second);
        assert_eq!(specs.resolve(NAMES, &bytes).unwrap(), first);
    }
}
