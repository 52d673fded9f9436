// SPDX-License-Identifier: Apache-2.0
//! Where snapshots are kept: chunks under numbers, written once. [`sled`](mod@sled) keeps them in sled databases.

pub mod sled;

use std::fmt::Debug;
use std::io;

/// Keeps snapshots by id.
pub trait SnapshotStore: Debug + Send + Sync {
    /// The ids of all snapshots there are, finished or not.
    fn list(&self) -> io::Result<Vec<u64>>;
    /// Begins a snapshot; what was there under the id goes away.
    fn create(&self, id: u64) -> io::Result<Box<dyn WriteSnapshot>>;
    /// Opens a snapshot for reading.
    fn open(&self, id: u64) -> io::Result<Box<dyn ReadSnapshot>>;
    /// Removes a snapshot.
    fn remove(&self, id: u64) -> io::Result<()>;
}

/// A snapshot that is being written.
pub trait WriteSnapshot: Debug + Send {
    /// Writes a chunk.
    fn put(&mut self, index: u64, chunk: &[u8]) -> io::Result<()>;
    /// Waits until every chunk is on disk, to survive a power loss.
    fn seal(self: Box<Self>) -> io::Result<()>;
}

/// A snapshot that is read.
pub trait ReadSnapshot: Debug {
    /// Reads a chunk; `None` where there is none.
    fn get(&mut self, index: u64) -> io::Result<Option<Vec<u8>>>;
}

/// The name of a snapshot's folder.
pub fn snapshot_name(id: u64) -> String {
    format!("snapshot-{id:020}")
}

/// The id of the snapshot of that name.
pub fn snapshot_id(name: &str) -> Option<u64> {
    let id = name.strip_prefix("snapshot-")?.parse().ok()?;
    (snapshot_name(id) == name).then_some(id)
}
