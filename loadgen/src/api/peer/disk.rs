// SPDX-License-Identifier: Apache-2.0
//! The disk alone: append, then fdatasync, as often as there is time. No durable write of one client can be faster for long.

use crate::api::storm::Latencies;
use crate::error::Error;
use rustix::fs::{FallocateFlags, StatFs, fallocate, fdatasync, statfs};
use std::fs::File;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The numbers by which Linux knows file systems that are in memory: tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// How the file is when it is written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Space {
    /// It grows with each write, so that the file system has to write its own books, too.
    Grows,
    /// Its space was taken from the disk beforehand, as a log does that wants to be fast.
    Prepared,
}

impl Space {
    /// Its name among those that ours is held against.
    pub fn name(self) -> &'static str {
        match self {
            Self::Grows => "append",
            Self::Prepared => "prepared",
        }
    }
}

/// Space that is taken beforehand at a time.
const STEP: u64 = 16 << 20;

/// Writes `bytes` behind each other to a file in `folder`, with fdatasync after each, for so long.
pub fn appends(
    folder: &Path,
    space: Space,
    bytes: &[u8],
    time: Duration,
) -> Result<Latencies, Error> {
    let path = folder.join("appended");
    let failed = |source| Error::Write { path: path.clone(), source };
    let mut file = File::create(&path).map_err(failed)?;
    let (mut at, mut prepared) = (0, 0);
    let mut latencies = Latencies::default();
    let began = Instant::now();
    while began.elapsed() < time {
        if space == Space::Prepared && at + bytes.len() as u64 > prepared {
            fallocate(&file, FallocateFlags::empty(), prepared, STEP)
                .and_then(|()| fdatasync(&file))
                .map_err(|error| failed(error.into()))?;
            prepared += STEP;
        }
        let one = Instant::now();
        file.write_all(bytes).map_err(failed)?;
        fdatasync(&file).map_err(|error| failed(error.into()))?;
        latencies.add(one.elapsed());
        at += bytes.len() as u64;
    }
    drop(file);
    std::fs::remove_file(&path).map_err(failed)?;
    Ok(latencies)
}

/// Whether what is written there is never on a disk.
pub fn is_in_memory(folder: &Path) -> bool {
    let kind = |about: StatFs| u64::try_from(about.f_type).unwrap_or_default();
    statfs(folder).is_ok_and(|about| IN_MEMORY.contains(&kind(about)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn appends_are_timed() {
        let folder = tempfile::tempdir().unwrap();
        for space in [Space::Grows, Space::Prepared] {
            let time = Duration::from_millis(20);
            let latencies = appends(folder.path(), space, &[7; 1_024], time).unwrap();
            assert!(latencies.count() > 0 && latencies.us(0.5) > 0.0);
        }
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
