// SPDX-License-Identifier: Apache-2.0
//! Streams of SPDY: which there are, and how much may be sent on each.
//!
//! Go's library, which kubectl uses, knows no windows: it sends none and minds none. So a window binds this side only after the client
//! has shown that it keeps them. What a client sends beyond its window is taken: reading stops while nobody takes it.

use super::Event;
use crate::error::WireError;
use crate::limits::STREAMS_MAX;
use crate::spdy::{self, Decoder, Fields, Frame, Status};
use bytes::BytesMut;
use std::collections::BTreeMap;

/// Whether a stream with these fields makes sense.
type Admit = fn(&Fields) -> bool;

/// Bytes that may be sent before the client says more.
const WINDOW: i64 = 64 << 10;
/// Bytes that are taken before the client is told so: half of a window.
const TELL: u32 = 32 << 10;
const WINDOW_MAX: i64 = 0x7fff_ffff;

/// A connection of SPDY.
#[derive(Debug)]
pub(crate) struct Multiplex {
    frames: Decoder,
    admit: Admit,
    streams: BTreeMap<u32, Windows>,
    /// The last stream that the client opened.
    last: u32,
    replied: bool,
    /// What a stream may send at its beginning.
    initial: i64,
    /// The client keeps windows of streams.
    windows: bool,
    /// What may be sent on all streams, once the client has spoken of it.
    session: Option<i64>,
    sent: i64,
    taken: u32,
    ping: u32,
}

#[derive(Debug)]
struct Windows {
    send: i64,
    taken: u32,
}

impl Multiplex {
    pub(crate) fn new(admit: Admit) -> Self {
        Self {
            frames: Decoder::new(),
            admit,
            streams: BTreeMap::new(),
            last: 0,
            replied: false,
            initial: WINDOW,
            windows: false,
            session: None,
            sent: 0,
            taken: 0,
            ping: 0,
        }
    }

    pub(crate) fn next(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, WireError> {
        let Some(frame) = self.frames.next(input)? else { return Ok(None) };
        Ok(Some(match frame {
            Frame::Open { id, end, fields } => self.open(id, end, fields, out)?,
            Frame::Data { id, bytes } => Event::Data { stream: id, bytes },
            Frame::End { id } => Event::Ended { stream: id },
            Frame::Reset { id } => Event::Reset { stream: id },
            // Even numbers are ours.
            Frame::Ping { id } if id % 2 == 0 => Event::Pong,
            Frame::Ping { id } => {
                spdy::put_ping(out, id);
                Event::Alive
            }
            Frame::InitialWindow(window) => self.begin_with(i64::from(window))?,
            Frame::Window { id: 0, more } => {
                let session = self.session.unwrap_or(WINDOW - self.sent) + i64::from(more);
                self.session = Some(checked(session)?);
                Event::Room { stream: None }
            }
            Frame::Window { id, more } => {
                self.windows = true;
                if let Some(windows) = self.streams.get_mut(&id) {
                    windows.send = checked(windows.send + i64::from(more))?;
                }
                Event::Room { stream: Some(id) }
            }
            Frame::Away | Frame::Other => Event::Alive,
        }))
    }

    fn open(
        &mut self,
        id: u32,
        end: bool,
        fields: Fields,
        out: &mut BytesMut,
    ) -> Result<Event, WireError> {
        if id.is_multiple_of(2) || id <= self.last {
            return Err(WireError::Spdy("a stream's number is not the next one"));
        }
        self.last = id;
        if self.streams.len() >= STREAMS_MAX {
            spdy::put_reset(out, id, Status::Refused);
            return Ok(Event::Alive);
        }
        if !(self.admit)(&fields) {
            spdy::put_reset(out, id, Status::Protocol);
            return Ok(Event::Alive);
        }
        spdy::put_reply(out, id, !std::mem::replace(&mut self.replied, true));
        self.streams.insert(id, Windows { send: self.initial, taken: 0 });
        Ok(Event::Opened { stream: id, fields, ended: end })
    }

    fn begin_with(&mut self, window: i64) -> Result<Event, WireError> {
        self.windows = true;
        let more = window - self.initial;
        self.initial = window;
        for windows in self.streams.values_mut() {
            windows.send = checked(windows.send + more)?;
        }
        Ok(Event::Room { stream: None })
    }

    pub(crate) fn room(&self, stream: u32) -> usize {
        let own = match self.streams.get(&stream) {
            Some(windows) if self.windows => windows.send,
            _ => i64::MAX,
        };
        usize::try_from(own.min(self.session.unwrap_or(i64::MAX))).unwrap_or(0)
    }

    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], end: bool, out: &mut BytesMut) {
        let count = i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        if let Some(windows) = self.streams.get_mut(&stream) {
            windows.send = windows.send.saturating_sub(count);
        }
        self.sent = self.sent.saturating_add(count);
        self.session = self.session.map(|session| session.saturating_sub(count));
        spdy::put_data(out, stream, bytes, end);
    }

    pub(crate) fn taken(&mut self, stream: u32, count: usize, out: &mut BytesMut) {
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        let told = |taken: &mut u32, stream, out: &mut BytesMut| {
            *taken = taken.saturating_add(count);
            if *taken >= TELL {
                spdy::put_window(out, stream, std::mem::take(taken).min(0x7fff_ffff));
            }
        };
        if let Some(windows) = self.streams.get_mut(&stream) {
            told(&mut windows.taken, stream, out);
        }
        // Not every client knows the connection's own window: only one that speaks of it hears of it.
        if self.session.is_some() {
            told(&mut self.taken, 0, out);
        }
    }

    pub(crate) fn reset(&mut self, stream: u32, out: &mut BytesMut) {
        if self.streams.remove(&stream).is_some() {
            spdy::put_reset(out, stream, Status::Cancel);
        }
    }

    pub(crate) fn forget(&mut self, stream: u32) {
        self.streams.remove(&stream);
    }

    pub(crate) fn ping(&mut self, out: &mut BytesMut) {
        self.ping = self.ping.wrapping_add(2);
        spdy::put_ping(out, self.ping);
    }

    pub(crate) fn away(&mut self, out: &mut BytesMut) {
        spdy::put_away(out, self.last);
    }
}

fn checked(window: i64) -> Result<i64, WireError> {
    if window > WINDOW_MAX { Err(WireError::Spdy("a window is too wide")) } else { Ok(window) }
}
