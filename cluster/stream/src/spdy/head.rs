// SPDX-License-Identifier: Apache-2.0
//! Heads of SPDY streams: fields, deflated as one stream of zlib for all heads of a direction.

use super::dictionary;
use crate::error::WireError;
use crate::limits::{FIELDS_MAX, HEAD_MAX};
use bytes::{BufMut, BytesMut};
use flate2::{Decompress, FlushDecompress, Status};

/// Names, in lower case, with their values.
pub(crate) type Fields = Vec<(String, String)>;

/// Reads heads.
#[derive(Debug)]
pub(crate) struct Inflater {
    /// None until the first head, which begins with zlib's own head.
    raw: Option<Decompress>,
}

impl Inflater {
    pub(crate) fn new() -> Self {
        Self { raw: None }
    }

    /// The fields of a head.
    pub(crate) fn fields(&mut self, block: &[u8]) -> Result<Fields, WireError> {
        let (mut raw, block) = match self.raw.take() {
            Some(raw) => (raw, block),
            None => begin(block)?,
        };
        let plain = inflate(&mut raw, block)?;
        self.raw = Some(raw);
        parse(&plain)
    }
}

/// Reads zlib's head and makes the dictionary known.
fn begin(block: &[u8]) -> Result<(Decompress, &[u8]), WireError> {
    const WRONG: WireError = WireError::Spdy("a head is not zlib");
    const PRESET: u8 = 0x20;
    let (&[method, flags], rest) = block.split_first_chunk().ok_or(WRONG)?;
    let checked = (u16::from(method) << 8 | u16::from(flags)).is_multiple_of(31);
    if method & 0x0f != 8 || method >> 4 > 7 || !checked {
        return Err(WRONG);
    }
    let mut raw = Decompress::new(false);
    if flags & PRESET == 0 {
        return Ok((raw, rest));
    }
    let (id, rest) = rest.split_first_chunk().ok_or(WRONG)?;
    if u32::from_be_bytes(*id) != dictionary::ID {
        return Err(WireError::Spdy("a head needs another dictionary"));
    }
    // The backend knows no dictionaries. A stored block that holds it is to an inflater the same: bytes that were there before.
    let dictionary = dictionary::bytes();
    let mut stored = Vec::with_capacity(dictionary.len() + 5);
    put_stored(&mut stored, &dictionary);
    inflate(&mut raw, &stored)?;
    Ok((raw, rest))
}

fn inflate(raw: &mut Decompress, mut block: &[u8]) -> Result<Vec<u8>, WireError> {
    let mut plain = Vec::new();
    let mut piece = [0; 2_048];
    loop {
        let (was_in, was_out) = (raw.total_in(), raw.total_out());
        let status = raw
            .decompress(block, &mut piece, FlushDecompress::Sync)
            .map_err(|_| WireError::Spdy("a head cannot be inflated"))?;
        let taken = usize::try_from(raw.total_in() - was_in).unwrap_or(usize::MAX);
        let made = usize::try_from(raw.total_out() - was_out).unwrap_or(usize::MAX);
        block = block.get(taken..).unwrap_or_default();
        plain.extend_from_slice(piece.get(..made).unwrap_or_default());
        if plain.len() > HEAD_MAX {
            return Err(WireError::Spdy("a head is too large"));
        }
        if status == Status::StreamEnd {
            return Err(WireError::Spdy("the heads end"));
        }
        // What does not fill the piece is all that there is.
        if made < piece.len() && (block.is_empty() || taken + made == 0) {
            return Ok(plain);
        }
    }
}

fn parse(mut plain: &[u8]) -> Result<Fields, WireError> {
    const SHORT: WireError = WireError::Spdy("a head is cut off");
    let count = number(&mut plain).ok_or(SHORT)?;
    if count as usize > FIELDS_MAX {
        return Err(WireError::Spdy("a head has too many fields"));
    }
    let mut fields = Fields::new();
    for _ in 0..count {
        let name = text(&mut plain).ok_or(SHORT)?.to_ascii_lowercase();
        let value = text(&mut plain).ok_or(SHORT)?;
        if name.is_empty() || fields.iter().any(|(have, _)| *have == name) {
            return Err(WireError::Spdy("a field's name is empty or there twice"));
        }
        fields.push((name, value));
    }
    if plain.is_empty() { Ok(fields) } else { Err(WireError::Spdy("a head goes on after its end")) }
}

fn number(plain: &mut &[u8]) -> Option<u32> {
    let (number, rest) = plain.split_first_chunk()?;
    *plain = rest;
    Some(u32::from_be_bytes(*number))
}

fn text(plain: &mut &[u8]) -> Option<String> {
    let length = usize::try_from(number(plain)?).ok()?;
    let (text, rest) = plain.split_at_checked(length)?;
    *plain = rest;
    Some(String::from_utf8_lossy(text).into_owned())
}

/// A block of deflate that holds bytes as they are.
fn put_stored(out: &mut impl BufMut, bytes: &[u8]) {
    // Only the dictionary and numbers are written so.
    let length = u16::try_from(bytes.len()).unwrap_or(0);
    out.put_u8(0);
    out.put_u16_le(length);
    out.put_u16_le(!length);
    out.put_slice(bytes);
}

/// Writes a head without fields, which is all that this side has to say. Stored blocks need no compressor, which would hold 300 KiB.
pub(crate) fn put_empty(out: &mut BytesMut, first: bool) {
    if first {
        out.put_u16(0x7801);
    }
    put_stored(out, &0_u32.to_be_bytes());
    // An empty block marks the end of what is sent at once: Go's inflater hands nothing out before it.
    put_stored(out, &[]);
}

#[cfg(test)]
pub(crate) mod tests;
