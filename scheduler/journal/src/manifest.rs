// SPDX-License-Identifier: Apache-2.0
//! Two small files beside the log.
//!
//! ```text
//! current = magic "BERTHCUR", format u32, zero u32, id u64, start u64, end u64, chunks u64, bytes u64, crc32c u32
//! synced  = number u64, crc32c u32
//! ```

use crate::disk::Disk;
use crate::frame::{FORMAT, u32_at, u64_at};
use std::io;

/// Name of the file that says which snapshot counts.
pub const CURRENT: &str = "current";
/// Where it is written before it takes the other's place.
pub const CURRENT_NEW: &str = "current.new";
/// Name of the file that says up to where the log was synced.
pub const SYNCED: &str = "synced";

const MAGIC: &[u8; 8] = b"BERTHCUR";
const LEN: usize = 60;

/// The snapshot that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Manifest {
    /// Names the snapshot's folder.
    pub id: u64,
    /// All batches up to this number are in it.
    pub start: u64,
    /// Some batches up to this number are in it; the log has to have them.
    pub end: u64,
    /// Number of chunks.
    pub chunks: u64,
    /// Bytes of the chunks.
    pub bytes: u64,
}

/// What reading a manifest gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ReadManifest {
    /// There is none.
    Absent,
    /// It is damaged.
    Damaged,
    /// It has another format.
    Format(u32),
    /// It is good.
    Good(Manifest),
}

/// Why a manifest was not written.
#[derive(Debug)]
pub enum WriteError {
    /// The one before counts still.
    Before(io::Error),
    /// Which one counts is not known: neither's snapshot may go.
    After(io::Error),
}

impl Manifest {
    fn encode(&self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&FORMAT.to_le_bytes());
        let numbers = [self.id, self.start, self.end, self.chunks, self.bytes];
        for (place, number) in numbers.into_iter().enumerate() {
            bytes[16 + 8 * place..24 + 8 * place].copy_from_slice(&number.to_le_bytes());
        }
        let crc = crc32c::crc32c(&bytes[..LEN - 4]);
        bytes[LEN - 4..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    /// Makes this the manifest that counts, in one step that survives a power loss.
    pub fn write(&self, disk: &dyn Disk) -> Result<(), WriteError> {
        let written = (|| {
            let mut file = disk.create(CURRENT_NEW)?;
            file.write_at(0, &self.encode())?;
            file.sync()
        })();
        written.map_err(WriteError::Before)?;
        disk.rename(CURRENT_NEW, CURRENT).map_err(WriteError::After)?;
        disk.sync_folder().map_err(WriteError::After)
    }

    /// Reads the manifest that counts.
    pub fn read(disk: &dyn Disk) -> io::Result<ReadManifest> {
        let bytes = match disk.read(CURRENT) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Ok(ReadManifest::Absent);
            }
            Err(error) => return Err(error),
        };
        let crc = bytes.get(..LEN - 4).map(crc32c::crc32c);
        if bytes.len() != LEN || bytes[..8] != *MAGIC || crc != Some(u32_at(&bytes, LEN - 4)) {
            return Ok(ReadManifest::Damaged);
        }
        let format = u32_at(&bytes, 8);
        if format != FORMAT {
            return Ok(ReadManifest::Format(format));
        }
        Ok(ReadManifest::Good(Self {
            id: u64_at(&bytes, 16),
            start: u64_at(&bytes, 24),
            end: u64_at(&bytes, 32),
            chunks: u64_at(&bytes, 40),
            bytes: u64_at(&bytes, 48),
        }))
    }
}

/// Notes that all batches up to `number` are on disk. Not synced: an old note is as good, only less sharp.
pub fn write_synced(disk: &dyn Disk, number: u64) -> io::Result<()> {
    let mut bytes = [0; 12];
    bytes[..8].copy_from_slice(&number.to_le_bytes());
    let crc = crc32c::crc32c(&bytes[..8]);
    bytes[8..].copy_from_slice(&crc.to_le_bytes());
    let mut file = match disk.open(SYNCED) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => disk.create(SYNCED)?,
        other => other?,
    };
    file.write_at(0, &bytes)
}

/// Up to where the log was on disk, at least; 0 where nothing is known.
pub fn read_synced(disk: &dyn Disk) -> u64 {
    match disk.read(SYNCED) {
        Ok(bytes) if bytes.len() == 12 && crc32c::crc32c(&bytes[..8]) == u32_at(&bytes, 8) => {
            u64_at(&bytes, 0)
        }
        _ => 0,
    }
}
