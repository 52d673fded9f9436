// SPDX-License-Identifier: Apache-2.0
//! Snapshots on the simulated disk: sealed ones survive a power loss, of others anything may be left.

use super::SimDisk;
use crate::store::{ReadSnapshot, SnapshotStore, WriteSnapshot};
use std::collections::BTreeMap;
use std::io;

/// Keeps snapshots on a [`SimDisk`].
#[derive(Debug, Clone)]
pub struct SimStore(pub(super) SimDisk);

/// A snapshot that is kept.
#[derive(Debug, Clone, Default)]
pub(super) struct Kept {
    chunks: BTreeMap<u64, Vec<u8>>,
    sealed: bool,
    removed: bool,
}

impl Kept {
    pub(super) fn space(&self) -> u64 {
        if self.removed { 0 } else { self.chunks.values().map(|chunk| chunk.len() as u64).sum() }
    }
}

pub(super) fn after_power_loss(
    snapshots: &mut BTreeMap<u64, Kept>,
    chance: &mut impl FnMut() -> bool,
) {
    snapshots.retain(|_, kept| {
        if !kept.sealed {
            kept.chunks.retain(|_, _| chance());
        }
        // A removal may be undone, in part or whole.
        if kept.removed && chance() {
            kept.removed = false;
            kept.chunks.retain(|_, _| chance());
        }
        !kept.removed
    });
}

impl SimStore {
    /// Changes a chunk behind everybody's back: damage.
    pub fn damage(&self, id: u64, index: u64, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.0.content();
        if let Some(chunk) = content.snapshots.get_mut(&id).and_then(|k| k.chunks.get_mut(&index)) {
            change(chunk);
        }
    }
}

impl SnapshotStore for SimStore {
    fn list(&self) -> io::Result<Vec<u64>> {
        let content = self.0.content();
        Ok(content.snapshots.iter().filter(|(_, kept)| !kept.removed).map(|(id, _)| *id).collect())
    }

    fn create(&self, id: u64) -> io::Result<Box<dyn WriteSnapshot>> {
        let mut content = self.0.content();
        SimDisk::operate(&mut content).map_err(|failed| failed.0)?;
        content.snapshots.insert(id, Kept::default());
        Ok(Box::new(Open { disk: self.0.clone(), id }))
    }

    fn open(&self, id: u64) -> io::Result<Box<dyn ReadSnapshot>> {
        match self.0.content().snapshots.get(&id) {
            Some(kept) if !kept.removed => Ok(Box::new(Open { disk: self.0.clone(), id })),
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }

    fn remove(&self, id: u64) -> io::Result<()> {
        let mut content = self.0.content();
        SimDisk::operate(&mut content).map_err(|failed| failed.0)?;
        match content.snapshots.get_mut(&id) {
            Some(kept) => kept.removed = true,
            None => return Err(io::ErrorKind::NotFound.into()),
        }
        Ok(())
    }
}

#[derive(Debug)]
struct Open {
    disk: SimDisk,
    id: u64,
}

impl WriteSnapshot for Open {
    fn put(&mut self, index: u64, chunk: &[u8]) -> io::Result<()> {
        let mut content = self.disk.content();
        SimDisk::operate(&mut content).map_err(|failed| failed.0)?;
        content.check_space(chunk.len() as u64)?;
        let kept = content.snapshots.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        kept.chunks.insert(index, chunk.to_vec());
        Ok(())
    }

    fn seal(self: Box<Self>) -> io::Result<()> {
        let mut content = self.disk.content();
        SimDisk::operate(&mut content).map_err(|failed| failed.0)?;
        let kept = content.snapshots.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        kept.sealed = true;
        Ok(())
    }
}

impl ReadSnapshot for Open {
    fn get(&mut self, index: u64) -> io::Result<Option<Vec<u8>>> {
        let content = self.disk.content();
        Ok(content.snapshots.get(&self.id).and_then(|kept| kept.chunks.get(&index)).cloned())
    }
}
