// SPDX-License-Identifier: Apache-2.0
//! A disk in memory that fails on command: it loses what was not synced, tears writes at sectors, runs full, and returns errors.
//!
//! It is harsher than real ones: of unsynced writes any sectors may survive and any not, in any order; of unsynced creations,
//! renames and removals any may survive; after a failed sync the unsynced writes are gone for good, though reads still show them.

mod store;

use super::{Disk, DiskFile};
use std::collections::BTreeMap;
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub use store::SimStore;

const SECTOR: usize = 512;

/// What happens at an operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It fails with this error, and nothing else.
    Error(io::ErrorKind),
    /// It and all later ones fail: the machine is gone. What it wrote may be on disk in part.
    Crash,
}

/// The disk. Clones are the same disk.
#[derive(Debug, Clone, Default)]
pub struct SimDisk(Arc<Mutex<Content>>);

#[derive(Debug, Clone, Default)]
struct Content {
    /// The folder as programs see it, and as it is on disk.
    folder: BTreeMap<String, u64>,
    folder_synced: BTreeMap<String, u64>,
    folder_pending: Vec<Entry>,
    files: BTreeMap<u64, FileContent>,
    snapshots: BTreeMap<u64, store::Kept>,
    next_file: u64,
    operations: u64,
    fault: Option<(u64, Fault)>,
    crashed: bool,
    capacity: Option<u64>,
}

#[derive(Debug, Clone)]
enum Entry {
    Set(String, u64),
    Gone(String),
    Renamed(String, String),
}

#[derive(Debug, Clone, Default)]
struct FileContent {
    now: Vec<u8>,
    synced: Vec<u8>,
    pending: Vec<Pending>,
    allocated: u64,
}

#[derive(Debug, Clone)]
enum Pending {
    Write(u64, Vec<u8>),
    Len(u64),
}

impl SimDisk {
    /// How many operations there were.
    pub fn operations(&self) -> u64 {
        self.content().operations
    }

    /// Sets what happens at the operation of this number (the first one has number 1).
    pub fn fault_at(&self, operation: u64, fault: Fault) {
        self.content().fault = Some((operation, fault));
    }

    /// Sets how many bytes it holds.
    pub fn set_capacity(&self, bytes: Option<u64>) {
        self.content().capacity = bytes;
    }

    /// Bytes in use.
    pub fn used(&self) -> u64 {
        self.content().used()
    }

    /// The snapshots kept on this disk.
    pub fn store(&self) -> SimStore {
        SimStore(self.clone())
    }

    /// Changes a file's content behind everybody's back: damage.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut content = self.content();
        if let Some(id) = content.folder.get(name).copied()
            && let Some(file) = content.files.get_mut(&id)
        {
            change(&mut file.now);
            file.synced.clone_from(&file.now);
        }
    }

    /// The disk as the machine finds it after a power loss: `chance` decides about each unsynced thing whether it is there.
    #[must_use]
    pub fn after_power_loss(&self, mut chance: impl FnMut() -> bool) -> Self {
        let mut content = self.content().clone();
        for file in content.files.values_mut() {
            let mut found = file.synced.clone();
            for pending in &file.pending {
                match pending {
                    Pending::Len(len) if chance() => resize(&mut found, *len),
                    Pending::Len(_) => {}
                    Pending::Write(offset, bytes) => {
                        for (place, sector) in bytes.chunks(SECTOR).enumerate() {
                            if chance() {
                                write(&mut found, *offset + (place * SECTOR) as u64, sector);
                            }
                        }
                    }
                }
            }
            file.now.clone_from(&found);
            file.synced = found;
            file.pending.clear();
        }
        let mut folder = content.folder_synced.clone();
        for entry in &content.folder_pending {
            if chance() {
                apply(&mut folder, entry);
            }
        }
        content.folder.clone_from(&folder);
        content.folder_synced = folder;
        content.folder_pending.clear();
        store::after_power_loss(&mut content.snapshots, &mut chance);
        content.operations = 0;
        content.fault = None;
        content.crashed = false;
        Self(Arc::new(Mutex::new(content)))
    }

    /// The disk as the next process finds it after a `kill -9`: everything written is there.
    #[must_use]
    pub fn after_kill(&self) -> Self {
        let mut content = self.content().clone();
        content.operations = 0;
        content.fault = None;
        content.crashed = false;
        Self(Arc::new(Mutex::new(content)))
    }

    fn content(&self) -> MutexGuard<'_, Content> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts an operation; `Some` if it fails, with whether its effect may be there in part.
    fn operate(content: &mut Content) -> Result<(), (io::Error, bool)> {
        let gone = || io::Error::other("the machine is gone");
        if content.crashed {
            return Err((gone(), false));
        }
        content.operations += 1;
        match content.fault {
            Some((at, Fault::Crash)) if at == content.operations => {
                content.crashed = true;
                Err((gone(), true))
            }
            Some((at, Fault::Error(kind))) if at == content.operations => Err((kind.into(), false)),
            _ => Ok(()),
        }
    }
}

impl Content {
    fn used(&self) -> u64 {
        let files: u64 =
            self.folder.values().filter_map(|id| self.files.get(id)).map(FileContent::space).sum();
        files + self.snapshots.values().map(store::Kept::space).sum::<u64>()
    }

    fn check_space(&self, more: u64) -> io::Result<()> {
        match self.capacity {
            Some(capacity) if more > 0 && self.used() + more > capacity => {
                Err(io::ErrorKind::StorageFull.into())
            }
            _ => Ok(()),
        }
    }
}

impl FileContent {
    fn space(&self) -> u64 {
        self.allocated.max(self.now.len() as u64)
    }
}

fn resize(bytes: &mut Vec<u8>, len: u64) {
    bytes.resize(usize::try_from(len).unwrap_or(usize::MAX), 0);
}

fn write(bytes: &mut Vec<u8>, offset: u64, part: &[u8]) {
    let at = usize::try_from(offset).unwrap_or(usize::MAX);
    if bytes.len() < at + part.len() {
        bytes.resize(at + part.len(), 0);
    }
    bytes[at..at + part.len()].copy_from_slice(part);
}

fn apply(folder: &mut BTreeMap<String, u64>, entry: &Entry) {
    match entry {
        Entry::Set(name, file) => {
            folder.insert(name.clone(), *file);
        }
        Entry::Gone(name) => {
            folder.remove(name);
        }
        Entry::Renamed(from, to) => {
            if let Some(file) = folder.remove(from) {
                folder.insert(to.clone(), file);
            }
        }
    }
}

impl Disk for SimDisk {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.content().folder.keys().cloned().collect())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut content = self.content();
        Self::operate(&mut content).map_err(|failed| failed.0)?;
        content.next_file += 1;
        let id = content.next_file;
        content.files.insert(id, FileContent::default());
        let entry = Entry::Set(name.to_owned(), id);
        apply(&mut content.folder, &entry);
        content.folder_pending.push(entry);
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let id = self.content().folder.get(name).copied();
        let id = id.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(SimFile { disk: self.clone(), id }))
    }

    fn read(&self, name: &str) -> io::Result<Vec<u8>> {
        let content = self.content();
        let file = content.folder.get(name).and_then(|id| content.files.get(id));
        Ok(file.ok_or(io::ErrorKind::NotFound)?.now.clone())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut content = self.content();
        let outcome = Self::operate(&mut content);
        if matches!(outcome, Err((_, false))) {
            return outcome.map_err(|failed| failed.0);
        }
        let entry = Entry::Renamed(from.to_owned(), to.to_owned());
        apply(&mut content.folder, &entry);
        content.folder_pending.push(entry);
        outcome.map_err(|failed| failed.0)
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut content = self.content();
        let outcome = Self::operate(&mut content);
        if matches!(outcome, Err((_, false))) {
            return outcome.map_err(|failed| failed.0);
        }
        if !content.folder.contains_key(name) {
            return Err(io::ErrorKind::NotFound.into());
        }
        let entry = Entry::Gone(name.to_owned());
        apply(&mut content.folder, &entry);
        content.folder_pending.push(entry);
        outcome.map_err(|failed| failed.0)
    }

    fn sync_folder(&self) -> io::Result<()> {
        let mut content = self.content();
        Self::operate(&mut content).map_err(|failed| failed.0)?;
        content.folder_synced = content.folder.clone();
        content.folder_pending.clear();
        Ok(())
    }
}

#[derive(Debug)]
struct SimFile {
    disk: SimDisk,
    id: u64,
}

impl SimFile {
    fn change(&mut self, pending: Pending, more: u64) -> io::Result<()> {
        let mut content = self.disk.content();
        let outcome = SimDisk::operate(&mut content);
        if matches!(outcome, Err((_, false))) {
            return outcome.map_err(|failed| failed.0);
        }
        content.check_space(more)?;
        let file = content.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        match &pending {
            Pending::Write(offset, bytes) => write(&mut file.now, *offset, bytes),
            Pending::Len(len) => resize(&mut file.now, *len),
        }
        file.pending.push(pending);
        outcome.map_err(|failed| failed.0)
    }

    fn space(&self) -> u64 {
        self.disk.content().files.get(&self.id).map_or(0, FileContent::space)
    }
}

impl DiskFile for SimFile {
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let more = (offset + bytes.len() as u64).saturating_sub(self.space());
        self.change(Pending::Write(offset, bytes.to_vec()), more)
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut content = self.disk.content();
        let outcome = SimDisk::operate(&mut content);
        let file = content.files.get_mut(&self.id).ok_or(io::ErrorKind::NotFound)?;
        match outcome {
            Ok(()) => {
                file.synced.clone_from(&file.now);
                file.pending.clear();
                Ok(())
            }
            Err((error, in_part)) => {
                if !in_part {
                    file.pending.clear();
                }
                Err(error)
            }
        }
    }

    fn allocate(&mut self, len: u64) -> io::Result<()> {
        let more = len.saturating_sub(self.space());
        self.change(Pending::Len(len), more)
    }

    fn truncate(&mut self, len: u64) -> io::Result<()> {
        self.change(Pending::Len(len), 0)
    }
}
