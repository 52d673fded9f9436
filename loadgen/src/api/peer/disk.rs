// SPDX-License-Identifier: Apache-2.0
//! The disk alone: append, then fdatasync, as often as there is time. No durable write of one client can be faster for long.

use crate::api::storm::Latencies;
use crate::error::Error;
use rustix::fs::{StatFs, fdatasync, statfs};
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::time::{Duration, Instant};

/// The numbers by which Linux knows file systems that are in memory: tmpfs and ramfs.
const IN_MEMORY: [u64; 2] = [0x0102_1994, 0x8584_58f6];

/// Appends `bytes` to a file in `folder` for so long.
pub fn appends(folder: &Path, bytes: &[u8], time: Duration) -> Result<Latencies, Error> {
    let path = folder.join("appended");
    let failed = |source| Error::Write { path: path.clone(), source };
    let mut file = OpenOptions::new().create(true).append(true).open(&path).map_err(failed)?;
    let mut latencies = Latencies::default();
    let began = Instant::now();
    while began.elapsed() < time {
        let one = Instant::now();
        file.write_all(bytes).map_err(failed)?;
        fdatasync(&file).map_err(|error| failed(error.into()))?;
        latencies.add(one.elapsed());
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
        let latencies = appends(folder.path(), &[7; 1_024], Duration::from_millis(20)).unwrap();
        assert!(latencies.count() > 0 && latencies.us(0.5) > 0.0);
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0);
    }
}
