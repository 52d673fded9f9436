// SPDX-License-Identifier: Apache-2.0
//! Frames of WebSocket (RFC 6455), the server's side. No IO. A message is passed on part by part: clients send any amount of standard
//! input as one message, which nobody has to hold.

use crate::error::WireError;
use bytes::{Buf, BufMut, Bytes, BytesMut};

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A part of a message. Text is the same as binary: Python's client sends standard input as text.
    Part {
        bytes: Bytes,
        first: bool,
        last: bool,
    },
    Ping(Bytes),
    Pong,
    Close(Option<u16>),
}

/// What a server sends.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Opcode {
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

/// The ordinary end. kubectl takes a close without it for a fault.
pub(crate) const NORMAL: u16 = 1_000;
/// The client sent what has no meaning.
pub(crate) const PROTOCOL: u16 = 1_002;
/// The server leaves.
pub(crate) const AWAY: u16 = 1_001;

const CONTROL_BYTES: u64 = 125;

/// Reads what a client sends.
#[derive(Debug, Default)]
pub(crate) struct Decoder {
    /// A message is under way.
    open: bool,
    frame: Option<Open>,
}

/// A frame of a message that is not all there.
#[derive(Debug)]
struct Open {
    left: u64,
    mask: [u8; 4],
    /// Where in the mask the next byte is.
    at: usize,
    first: bool,
    last: bool,
}

/// A frame's head.
struct Head {
    opcode: u8,
    last: bool,
    length: u64,
    mask: [u8; 4],
    size: usize,
}

impl Decoder {
    /// Takes a frame, or a part of one of a message, out of what has come; `None` if more has to come.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        const WRONG: fn(&'static str) -> WireError = WireError::WebSocket;
        if self.frame.is_some() {
            return Ok(self.part(input));
        }
        let Some(head) = head(input)? else { return Ok(None) };
        let open =
            |first| Open { left: head.length, mask: head.mask, at: 0, first, last: head.last };
        match head.opcode {
            0 if !self.open => return Err(WRONG("a message goes on that did not begin")),
            1 | 2 if self.open => return Err(WRONG("a message begins in another one")),
            opcode @ 0..=2 => {
                input.advance(head.size);
                self.open = !head.last;
                self.frame = Some(open(opcode != 0));
                return Ok(self.part(input));
            }
            8..=10 => {}
            _ => return Err(WRONG("an unknown opcode")),
        }
        if !head.last || head.length > CONTROL_BYTES {
            return Err(WRONG("a control frame is too long or in parts"));
        }
        // At most 125, as was just seen.
        let length = usize::try_from(head.length).unwrap_or(0);
        if input.len() < head.size + length {
            return Ok(None);
        }
        input.advance(head.size);
        let mut payload = input.split_to(length);
        unmask(&mut payload, head.mask, 0);
        Ok(Some(match head.opcode {
            8 => Frame::Close(payload.first_chunk().map(|code| u16::from_be_bytes(*code))),
            9 => Frame::Ping(payload.freeze()),
            _ => Frame::Pong,
        }))
    }

    fn part(&mut self, input: &mut BytesMut) -> Option<Frame> {
        let open = self.frame.as_mut()?;
        if open.left > 0 && input.is_empty() {
            return None;
        }
        let count = usize::try_from(open.left).unwrap_or(usize::MAX).min(input.len());
        let mut bytes = input.split_to(count);
        unmask(&mut bytes, open.mask, open.at);
        open.at = (open.at + count) % 4;
        open.left -= count as u64;
        let (first, whole) = (std::mem::take(&mut open.first), open.left == 0);
        let last = whole && open.last;
        if whole {
            self.frame = None;
        }
        Some(Frame::Part { bytes: bytes.freeze(), first, last })
    }
}

fn head(input: &[u8]) -> Result<Option<Head>, WireError> {
    let Some(&[a, b]) = input.first_chunk() else { return Ok(None) };
    if a & 0x70 != 0 {
        return Err(WireError::WebSocket("reserved bits"));
    }
    if b & 0x80 == 0 {
        return Err(WireError::WebSocket("a client has to mask"));
    }
    let (length, at) = match b & 0x7f {
        126 => match input.get(2..).and_then(|rest| rest.first_chunk()) {
            Some(two) => (u64::from(u16::from_be_bytes(*two)), 4),
            None => return Ok(None),
        },
        127 => match input.get(2..).and_then(|rest| rest.first_chunk()) {
            Some(eight) => (u64::from_be_bytes(*eight), 10),
            None => return Ok(None),
        },
        short => (u64::from(short), 2),
    };
    if length >> 63 != 0 {
        return Err(WireError::WebSocket("a frame is too long"));
    }
    let mask = input.get(at..).and_then(|rest| rest.first_chunk());
    let found = |mask: &[u8; 4]| Head {
        opcode: a & 0x0f,
        last: a & 0x80 != 0,
        length,
        mask: *mask,
        size: at + 4,
    };
    Ok(mask.map(found))
}

fn unmask(bytes: &mut [u8], mut mask: [u8; 4], at: usize) {
    mask.rotate_left(at % 4);
    let (words, rest) = bytes.as_chunks_mut::<4>();
    let all = u32::from_ne_bytes(mask);
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ all).to_ne_bytes();
    }
    for (byte, mask) in rest.iter_mut().zip(mask) {
        *byte ^= mask;
    }
}

/// Sends a frame whose payload is these parts.
pub(crate) fn put(out: &mut BytesMut, opcode: Opcode, parts: &[&[u8]]) {
    let length: usize = parts.iter().map(|part| part.len()).sum();
    out.put_u8(0x80 | opcode as u8);
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short), _) if short < 126 => out.put_u8(short),
        (_, Ok(middle)) => {
            out.put_u8(126);
            out.put_u16(middle);
        }
        _ => {
            out.put_u8(127);
            out.put_u64(length as u64);
        }
    }
    for part in parts {
        out.put_slice(part);
    }
}

#[cfg(test)]
pub(crate) mod tests;
