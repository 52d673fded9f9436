// SPDX-License-Identifier: Apache-2.0
//! What the log needs of a disk: one folder of files. [`real`] is the operating system's, [`sim`] one that tests can make fail.

pub mod real;
pub mod sim;

use std::fmt::Debug;
use std::io;

/// A folder on a disk.
pub trait Disk: Debug + Send + Sync {
    /// Names of the files in the folder, sorted.
    fn list(&self) -> io::Result<Vec<String>>;
    /// Creates a file, emptied if it is there.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Opens a file for writing.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;
    /// Reads a whole file.
    fn read(&self, name: &str) -> io::Result<Vec<u8>>;
    /// Renames a file, over another if there is one.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, name: &str) -> io::Result<()>;
    /// Makes creations, renames and removals durable.
    fn sync_folder(&self) -> io::Result<()>;
}

/// A file that is written.
pub trait DiskFile: Debug + Send {
    /// Writes all bytes at an offset.
    fn write_at(&mut self, offset: u64, bytes: &[u8]) -> io::Result<()>;
    /// Makes what was written durable, the length included.
    fn sync(&mut self) -> io::Result<()>;
    /// Sets the length, and takes the space for it from the disk: what lies within can be written later. New bytes are zero.
    fn allocate(&mut self, len: u64) -> io::Result<()>;
    /// Cuts the file.
    fn truncate(&mut self, len: u64) -> io::Result<()>;
}
