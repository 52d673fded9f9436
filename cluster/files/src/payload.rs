// SPDX-License-Identifier: Apache-2.0
//! The contents of a volume that is made of objects: which files, with which bytes and modes. No IO.

mod objects;
mod projected;

pub(crate) use projected::of_volume;

use crate::error::Cause;
use crate::names;
use std::collections::BTreeMap;
use std::fmt;

/// The mode of a file where nothing is said.
pub(crate) const MODE: u32 = 0o644;
/// What a mode may hold: permissions, and the bits that go with them.
const MODE_BITS: u32 = 0o7777;

/// Files by path, which is simple and relative.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub(crate) struct Payload {
    pub(crate) files: BTreeMap<String, File>,
    /// Whether it is not to reach a disk.
    pub(crate) secret: bool,
}

/// A file of a volume.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct File {
    pub(crate) bytes: Vec<u8>,
    pub(crate) mode: u32,
    /// `None` for who writes it.
    pub(crate) owner: Option<u32>,
}

impl fmt::Debug for File {
    /// Without the bytes, for they may be secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "File({} bytes, {:o}, {:?})", self.bytes.len(), self.mode, self.owner)
    }
}

impl Payload {
    /// Puts a file in. Of two with one path the later one stays, as upstream has it.
    pub(crate) fn put(&mut self, path: &str, bytes: Vec<u8>, mode: u32) -> Result<(), Cause> {
        let path = names::file("path", path)?;
        self.files.insert(path, File { bytes, mode: mode & MODE_BITS, owner: None });
        Ok(())
    }

    /// Everything of another one goes over this.
    pub(crate) fn append(&mut self, mut other: Self) {
        self.files.append(&mut other.files);
        self.secret |= other.secret;
    }

    /// Refuses a path that is to be a file and a folder.
    pub(crate) fn check(&self) -> Result<(), Cause> {
        for path in self.files.keys() {
            let mut above = path.as_str();
            while let Some((parent, _)) = above.rsplit_once('/') {
                if self.files.contains_key(parent) {
                    return Err(Cause::Conflict { path: parent.to_owned() });
                }
                above = parent;
            }
        }
        Ok(())
    }

    /// The names in the volume's own folder.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.files.keys().map(|path| path.split('/').next().unwrap_or(path))
    }
}

#[cfg(test)]
mod tests;
