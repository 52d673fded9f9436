// SPDX-License-Identifier: Apache-2.0
//! How much of a disk or of memory a folder takes.

use super::dir::Dir;
use super::walk::walk;
use std::collections::BTreeSet;
use std::io;
use std::ops::Add;

/// Files with several names that are told apart; beyond, each name counts.
const LINKED_MAX: usize = 1 << 16;
/// Bytes of a block of stat(2), whatever the file system's own is.
const BLOCK: u64 = 512;

/// What a folder takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Usage {
    /// Bytes, in whole blocks, as du(1) counts; what is mounted below is not in it.
    pub bytes: u64,
    /// Files, folders and links.
    pub inodes: u64,
    /// Whether there is more, which lies too deep to be seen: that is nobody's honest use.
    pub more: bool,
}

impl Add for Usage {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self {
            bytes: self.bytes.saturating_add(other.bytes),
            inodes: self.inodes.saturating_add(other.inodes),
            more: self.more || other.more,
        }
    }
}

/// Of all that lies in the folder.
pub(super) fn measure(folder: &Dir) -> io::Result<Usage> {
    let mut usage = Usage::default();
    let mut linked = BTreeSet::new();
    let all = walk(folder, &mut |_, _, stat| {
        let several = stat.st_nlink > 1 && stat.st_mode & libc::S_IFMT != libc::S_IFDIR;
        if several && linked.len() < LINKED_MAX && !linked.insert((stat.st_dev, stat.st_ino)) {
            return Ok(());
        }
        let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
        usage.bytes = usage.bytes.saturating_add(blocks.saturating_mul(BLOCK));
        usage.inodes += 1;
        Ok(())
    })?;
    usage.more = !all;
    Ok(usage)
}
