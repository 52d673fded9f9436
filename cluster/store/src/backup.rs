// SPDX-License-Identifier: Apache-2.0
//! Backups: one consistent revision as a stream of bytes.
//!
//! ```text
//! "berth-store 1\n"            what it is
//! length:u32 record, ...       one frame per record (module `record`): first the revision, then every object
//! 0:u32                        the end
//! checksum:u32                 CRC-32C of everything before it
//! ```

use crate::ReadMeta;
use crate::entry::Entry;
use crate::record::{self, Reader, Record};
use crate::store::OpenError;
use std::io::{self, Read, Write};
use std::sync::Arc;

const MAGIC: &[u8] = b"berth-store 1\n";
/// How far above the backup's the revisions of a restored store begin.
pub(crate) const STEP: u64 = 1_000_000_000;
/// No object is so large.
const FRAME_MAX: u32 = 64 << 20;

pub(crate) fn write(
    to: &mut dyn Write,
    revision: u64,
    entries: &[Arc<Entry>],
    version: u32,
) -> io::Result<()> {
    let mut sum = crc32c::crc32c(MAGIC);
    to.write_all(MAGIC)?;
    let mut frame = Vec::new();
    let mut emit = |frame: &mut Vec<u8>| {
        let bytes = u32::try_from(frame.len() - 4).map_err(io::Error::other)?;
        frame[..4].copy_from_slice(&bytes.to_le_bytes());
        sum = crc32c::crc32c_append(sum, frame);
        to.write_all(frame)?;
        frame.truncate(4);
        Ok::<_, io::Error>(())
    };
    frame.extend([0; 4]);
    record::revision(&mut frame, revision);
    emit(&mut frame)?;
    for entry in entries {
        record::put(&mut frame, entry, version);
        emit(&mut frame)?;
    }
    emit(&mut frame)?;
    to.write_all(&sum.to_le_bytes())?;
    to.flush()
}

/// The revision and the objects.
pub(crate) fn read(
    from: &mut dyn Read,
    meta: &ReadMeta,
    version: u32,
) -> Result<(u64, Vec<Entry>), OpenError> {
    read_whole(from, meta, version).map_err(|error| match error {
        OpenError::Read(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
            OpenError::Damaged("it ends before its end: it was cut off".to_owned())
        }
        other => other,
    })
}

fn read_whole(
    from: &mut dyn Read,
    meta: &ReadMeta,
    version: u32,
) -> Result<(u64, Vec<Entry>), OpenError> {
    let damaged = |what: &str| OpenError::Damaged(what.to_owned());
    let mut magic = [0; MAGIC.len()];
    from.read_exact(&mut magic)?;
    if magic != MAGIC {
        return Err(damaged("it does not begin as a backup does"));
    }
    let mut sum = crc32c::crc32c(&magic);
    let mut frames = Vec::new();
    loop {
        let mut length = [0; 4];
        from.read_exact(&mut length)?;
        sum = crc32c::crc32c_append(sum, &length);
        let length = u32::from_le_bytes(length);
        if length == 0 {
            break;
        }
        if length > FRAME_MAX {
            return Err(damaged("a length that cannot be"));
        }
        let mut frame = vec![0; length as usize];
        from.read_exact(&mut frame)?;
        sum = crc32c::crc32c_append(sum, &frame);
        frames.push(frame);
    }
    let mut told = [0; 4];
    from.read_exact(&mut told)?;
    if u32::from_le_bytes(told) != sum {
        return Err(damaged("its checksum does not fit"));
    }
    let (mut revision, mut entries) = (0, Vec::with_capacity(frames.len()));
    for frame in frames {
        match Reader::new(&frame, meta, version).next().map_err(OpenError::Damaged)? {
            Some(Record::Revision(told)) => revision = told,
            Some(Record::Put(entry)) => entries.push(entry),
            _ => return Err(damaged("a record that does not belong into it")),
        }
    }
    Ok((revision, entries))
}
