// SPDX-License-Identifier: Apache-2.0
//! Frames of SPDY/3, as far as Kubernetes' streams use them. No IO; the payload of data is passed on as it comes.
//!
//! ```text
//! control: 1|version:15  type:16  flags:8 length:24  ...      data: 0|stream:31  flags:8 length:24  bytes
//! ```

mod dictionary;
pub(crate) mod head;

use crate::error::WireError;
use crate::limits::CONTROL_MAX;
use bytes::{Buf, BufMut, Bytes, BytesMut};
pub(crate) use head::Fields;
use head::Inflater;

/// What a client says.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Frame {
    /// A new stream; `end`: the client will send nothing on it.
    Open {
        id: u32,
        end: bool,
        fields: Fields,
    },
    /// Bytes of a frame, not necessarily all of them.
    Data {
        id: u32,
        bytes: Bytes,
    },
    /// The client sends no more on this stream.
    End {
        id: u32,
    },
    Reset {
        id: u32,
    },
    Ping {
        id: u32,
    },
    Away,
    /// The window that each stream begins with.
    InitialWindow(u32),
    Window {
        id: u32,
        more: u32,
    },
    /// Has no meaning for us.
    Other,
}

/// Why a stream is reset.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Status {
    Protocol = 1,
    Refused = 3,
    Cancel = 5,
}

const FIN: u8 = 1;
const CONTROL: u16 = 0x8000 | 3;
const SYN_STREAM: u16 = 1;
const SYN_REPLY: u16 = 2;
const RST_STREAM: u16 = 3;
const SETTINGS: u16 = 4;
const PING: u16 = 6;
const GOAWAY: u16 = 7;
const HEADERS: u16 = 8;
const WINDOW_UPDATE: u16 = 9;
/// The setting that tells the initial window.
const INITIAL_WINDOW: u32 = 7;
const ID: u32 = 0x7fff_ffff;

/// Reads what a client sends.
#[derive(Debug)]
pub(crate) struct Decoder {
    heads: Inflater,
    /// A frame of data that is not all there: its stream, flags, and the bytes to come.
    data: Option<(u32, u8, usize)>,
}

impl Decoder {
    pub(crate) fn new() -> Self {
        Self { heads: Inflater::new(), data: None }
    }

    /// Takes a frame, or a part of one of data, out of what has come; `None` if more has to come.
    pub(crate) fn next(&mut self, input: &mut BytesMut) -> Result<Option<Frame>, WireError> {
        if self.data.is_none() {
            let Some(head) = input.first_chunk::<8>().copied() else { return Ok(None) };
            let [a, b, c, d, flags, ..] = head;
            let length =
                usize::from(head[5]) << 16 | usize::from(head[6]) << 8 | usize::from(head[7]);
            if a & 0x80 != 0 {
                return self.control(
                    [u16::from_be_bytes([a, b]), u16::from_be_bytes([c, d])],
                    flags,
                    length,
                    input,
                );
            }
            let id = u32::from_be_bytes([a, b, c, d]);
            if id == 0 {
                return Err(WireError::Spdy("data without a stream"));
            }
            input.advance(8);
            self.data = Some((id, flags, length));
        }
        Ok(self.data(input))
    }

    fn data(&mut self, input: &mut BytesMut) -> Option<Frame> {
        let (id, flags, left) = self.data?;
        let end = flags & FIN != 0;
        if left == 0 {
            self.data = None;
            return Some(if end { Frame::End { id } } else { Frame::Other });
        }
        if input.is_empty() {
            return None;
        }
        let bytes = input.split_to(left.min(input.len())).freeze();
        let left = left - bytes.len();
        self.data = (left > 0 || end).then_some((id, flags, left));
        Some(Frame::Data { id, bytes })
    }

    fn control(
        &mut self,
        [version, kind]: [u16; 2],
        flags: u8,
        length: usize,
        input: &mut BytesMut,
    ) -> Result<Option<Frame>, WireError> {
        if version != CONTROL {
            return Err(WireError::Spdy("not version 3"));
        }
        if length > CONTROL_MAX {
            return Err(WireError::Spdy("a control frame is too large"));
        }
        if input.len() < 8 + length {
            return Ok(None);
        }
        input.advance(8);
        let payload = input.split_to(length);
        self.whole(kind, flags, &payload).map(Some)
    }

    fn whole(&mut self, kind: u16, flags: u8, payload: &[u8]) -> Result<Frame, WireError> {
        const SHORT: WireError = WireError::Spdy("a control frame is too short");
        let number = |at: usize| -> Result<u32, WireError> {
            let four = payload.get(at..).and_then(|rest| rest.first_chunk());
            four.map(|four| u32::from_be_bytes(*four)).ok_or(SHORT)
        };
        let end = flags & FIN != 0;
        Ok(match kind {
            SYN_STREAM => {
                let id = number(0)? & ID;
                let fields = self.heads.fields(payload.get(10..).ok_or(SHORT)?)?;
                Frame::Open { id, end, fields }
            }
            // This side opens no stream, but the fields have to be read: what comes later may refer to them.
            SYN_REPLY | HEADERS => {
                self.heads.fields(payload.get(4..).ok_or(SHORT)?)?;
                if end { Frame::End { id: number(0)? & ID } } else { Frame::Other }
            }
            RST_STREAM => Frame::Reset { id: number(0)? & ID },
            SETTINGS => settings(payload)?,
            PING => Frame::Ping { id: number(0)? },
            GOAWAY => Frame::Away,
            WINDOW_UPDATE => Frame::Window { id: number(0)? & ID, more: number(4)? & ID },
            _ => Frame::Other,
        })
    }
}

fn settings(payload: &[u8]) -> Result<Frame, WireError> {
    let (count, entries) =
        payload.split_first_chunk().ok_or(WireError::Spdy("settings are too short"))?;
    let (entries, rest) = entries.as_chunks::<8>();
    if !rest.is_empty() || u32::from_be_bytes(*count) as usize != entries.len() {
        return Err(WireError::Spdy("settings do not have their length"));
    }
    let initial = entries.iter().rev().find_map(|[_, a, b, c, value @ ..]| {
        (u32::from_be_bytes([0, *a, *b, *c]) == INITIAL_WINDOW)
            .then(|| u32::from_be_bytes(*value) & ID)
    });
    Ok(initial.map_or(Frame::Other, Frame::InitialWindow))
}

/// Says yes to a stream; `first`: no other head was written before.
pub(crate) fn put_reply(out: &mut BytesMut, id: u32, first: bool) {
    let mut head = BytesMut::with_capacity(32);
    head::put_empty(&mut head, first);
    control(out, SYN_REPLY, 4 + head.len());
    out.put_u32(id);
    out.put_slice(&head);
}

/// Sends bytes, at most 16 MiB.
pub(crate) fn put_data(out: &mut BytesMut, id: u32, bytes: &[u8], end: bool) {
    out.put_u32(id & ID);
    out.put_u8(if end { FIN } else { 0 });
    put_length(out, bytes.len());
    out.put_slice(bytes);
}

/// Ends a stream at once.
pub(crate) fn put_reset(out: &mut BytesMut, id: u32, status: Status) {
    control(out, RST_STREAM, 8);
    out.put_u32(id);
    out.put_u32(status as u32);
}

/// Asks for a sign of life, or gives one.
pub(crate) fn put_ping(out: &mut BytesMut, id: u32) {
    control(out, PING, 4);
    out.put_u32(id);
}

/// Lets the client send more on a stream.
pub(crate) fn put_window(out: &mut BytesMut, id: u32, more: u32) {
    control(out, WINDOW_UPDATE, 8);
    out.put_u32(id);
    out.put_u32(more);
}

/// Takes no new stream. `last`: the last one that was taken.
pub(crate) fn put_away(out: &mut BytesMut, last: u32) {
    control(out, GOAWAY, 8);
    out.put_u32(last);
    out.put_u32(0);
}

fn control(out: &mut BytesMut, kind: u16, length: usize) {
    out.put_u16(CONTROL);
    out.put_u16(kind);
    out.put_u8(0);
    put_length(out, length);
}

fn put_length(out: &mut BytesMut, length: usize) {
    let [.., a, b, c] = (length as u64).to_be_bytes();
    out.put_slice(&[a, b, c]);
}

#[cfg(test)]
pub(crate) mod tests;
