// SPDX-License-Identifier: Apache-2.0
//! Snapshots as sled databases: a fresh one for each, a tree for each chunk.
//!
//! Why so: sled writes a value again whenever it consolidates the page that holds it, and keeps pages in memory. With a tree for
//! each chunk no page is ever written twice (100 MiB of chunks take 101 MiB; as keys of one tree they took 145 to 290 MiB), and
//! closing the database now and then gives its memory back (it does not evict large pages by itself). sled also takes a call to
//! be durable that is not (`sync_file_range`), so sealing syncs every file by itself; and since a sealed database is never
//! written again, its crash recovery is never relied upon.

use super::{ReadSnapshot, SnapshotStore, WriteSnapshot, snapshot_id, snapshot_name};
use std::fs::{self, File};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Chunks between two openings of the database: with chunks of 1 MiB it holds some 16 MiB in memory.
const CHUNKS_AT_ONCE: u64 = 16;
/// The key of the one value in a tree.
const KEY: &[u8] = b"chunk";
/// How often, and how far apart, opening is tried while sled's own threads still hold the lock of the last opening.
const TRIES: u32 = 500;
const PAUSE: Duration = Duration::from_millis(10);

/// A folder with one sled database per snapshot.
#[derive(Debug)]
pub struct SledStore {
    folder: PathBuf,
}

impl SledStore {
    /// In this folder, which is there.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    fn path(&self, id: u64) -> PathBuf {
        self.folder.join(snapshot_name(id))
    }
}

impl SnapshotStore for SledStore {
    fn list(&self) -> io::Result<Vec<u64>> {
        let mut ids = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            ids.extend(entry?.file_name().to_str().and_then(snapshot_id));
        }
        ids.sort_unstable();
        Ok(ids)
    }

    fn create(&self, id: u64) -> io::Result<Box<dyn WriteSnapshot>> {
        let path = self.path(id);
        if path.exists() {
            fs::remove_dir_all(&path)?;
        }
        let database = Database { path, open: None, used: 0 };
        Ok(Box::new(database))
    }

    fn open(&self, id: u64) -> io::Result<Box<dyn ReadSnapshot>> {
        let path = self.path(id);
        if !path.is_dir() {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(Database { path, open: None, used: 0 }))
    }

    fn remove(&self, id: u64) -> io::Result<()> {
        fs::remove_dir_all(self.path(id))
    }
}

#[derive(Debug)]
struct Database {
    path: PathBuf,
    open: Option<sled::Db>,
    used: u64,
}

impl Database {
    /// The tree of a chunk; the database is closed and opened again when it has had many.
    fn tree(&mut self, index: u64) -> io::Result<(sled::Db, sled::Tree)> {
        if self.used.is_multiple_of(CHUNKS_AT_ONCE) {
            self.close()?;
        }
        self.used += 1;
        let database = match self.open.take() {
            Some(database) => database,
            None => open(&self.path)?,
        };
        let tree = database.open_tree(index.to_be_bytes())?;
        self.open = Some(database.clone());
        Ok((database, tree))
    }

    fn close(&mut self) -> io::Result<()> {
        if let Some(database) = self.open.take() {
            database.flush()?;
        }
        Ok(())
    }
}

impl WriteSnapshot for Database {
    fn put(&mut self, index: u64, chunk: &[u8]) -> io::Result<()> {
        guard(|| {
            let (_, tree) = self.tree(index)?;
            tree.insert(KEY, chunk)?;
            Ok(())
        })
    }

    fn seal(mut self: Box<Self>) -> io::Result<()> {
        guard(|| {
            if self.open.is_none() {
                self.open = Some(open(&self.path)?);
            }
            self.close()?;
            sync_tree(&self.path)?;
            if let Some(parent) = self.path.parent() {
                File::open(parent)?.sync_all()?;
            }
            Ok(())
        })
    }
}

impl ReadSnapshot for Database {
    fn get(&mut self, index: u64) -> io::Result<Option<Vec<u8>>> {
        guard(|| {
            let (_, tree) = self.tree(index)?;
            Ok(tree.get(KEY)?.map(|value| value.to_vec()))
        })
    }
}

fn open(path: &Path) -> io::Result<sled::Db> {
    // Nothing is written behind our back, and nothing is kept that is read once.
    let config = sled::Config::new().path(path).cache_capacity(1 << 20).flush_every_ms(None);
    let mut tries = 0;
    loop {
        match config.open() {
            Err(sled::Error::Io(error)) if is_locked(&error) && tries < TRIES => {
                tries += 1;
                std::thread::sleep(PAUSE);
            }
            other => return Ok(other?),
        }
    }
}

/// sled wraps the error of its lock into one of its own kind, so its text is all there is.
fn is_locked(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.to_string().contains("acquire lock")
}

/// sled panics on some kinds of damage; here that is an error like others.
fn guard<T>(work: impl FnOnce() -> io::Result<T>) -> io::Result<T> {
    catch_unwind(AssertUnwindSafe(work))
        .unwrap_or_else(|_| Err(io::Error::other("the snapshot's database is damaged")))
}

fn sync_tree(folder: &Path) -> io::Result<()> {
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_tree(&entry.path())?;
        } else {
            File::open(entry.path())?.sync_all()?;
        }
    }
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_are_read_as_written() {
        let folder = tempfile::tempdir().unwrap();
        let store = SledStore::new(folder.path());
        let chunk =
            |index: u64| vec![u8::try_from(index).unwrap(); 1000 * usize::try_from(index).unwrap()];
        let mut snapshot = store.create(3).unwrap();
        for index in 0..40 {
            snapshot.put(index, &chunk(index)).unwrap();
        }
        snapshot.seal().unwrap();
        assert_eq!(store.list().unwrap(), [3]);
        let mut snapshot = store.open(3).unwrap();
        for index in 0..40 {
            assert_eq!(snapshot.get(index).unwrap(), Some(chunk(index)));
        }
        assert_eq!(snapshot.get(40).unwrap(), None);
        drop(snapshot);
        store.remove(3).unwrap();
        assert_eq!(store.list().unwrap(), []);
        assert!(store.open(3).is_err());
    }
}
