// SPDX-License-Identifier: Apache-2.0
//! Frames: a length, then so many bytes.

use crate::limits::FRAME_BYTES_MAX;
use std::io::{self, Read, Write};

/// Reads a frame's payload. Memory grows with the bytes that come, not with the length that is claimed.
///
/// # Errors
/// Those of the socket; `UnexpectedEof` at its end; `InvalidData` for a frame above the bound.
pub(crate) fn read_frame(from: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut length = [0; 4];
    from.read_exact(&mut length)?;
    let length = u32::from_le_bytes(length) as usize;
    if length > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame above the bound"));
    }
    let mut payload = Vec::new();
    from.take(length as u64).read_to_end(&mut payload)?;
    if payload.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(payload)
}

/// Writes a frame.
///
/// # Errors
/// Those of the socket; `InvalidData` for a frame above the bound.
pub(crate) fn write_frame(to: &mut impl Write, payload: &[u8]) -> io::Result<()> {
    if payload.len() > FRAME_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "a frame above the bound"));
    }
    let length = u32::try_from(payload.len()).unwrap_or(u32::MAX);
    if payload.len() <= 4_096 {
        // One write, so that the other side wakes once.
        let mut whole = Vec::with_capacity(4 + payload.len());
        whole.extend_from_slice(&length.to_le_bytes());
        whole.extend_from_slice(payload);
        return to.write_all(&whole);
    }
    to.write_all(&length.to_le_bytes())?;
    to.write_all(payload)
}
