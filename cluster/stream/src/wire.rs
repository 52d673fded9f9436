// SPDX-License-Identifier: Apache-2.0
//! The three ways in which streams share a connection, seen as one: numbered streams that are opened, carry bytes, and end. No IO, no clock.

mod base64;
mod channels;
mod multiplex;

use crate::error::WireError;
use crate::spdy::Fields;
use crate::websocket::{self, Opcode};
use bytes::{Bytes, BytesMut};
pub(crate) use channels::{Channels, Coding};
pub(crate) use multiplex::Multiplex;

/// What a client did.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Event {
    Opened {
        stream: u32,
        fields: Fields,
        ended: bool,
    },
    Data {
        stream: u32,
        bytes: Bytes,
    },
    /// It sends no more on this stream.
    Ended {
        stream: u32,
    },
    Reset {
        stream: u32,
    },
    /// More may be sent, on one stream or on all.
    Room {
        stream: Option<u32>,
    },
    /// A sign of life.
    Alive,
    /// A sign of life that was asked for.
    Pong,
    /// It closed the connection in due form.
    Closed,
}

/// How streams share the connection.
#[derive(Debug)]
pub(crate) enum Wire {
    /// One stream for each number that messages of WebSocket begin with.
    Channels(Channels),
    /// Streams of SPDY.
    Spdy(Multiplex),
    /// The same, whose bytes are the content of messages of WebSocket.
    Tunnel(Tunnel),
}

/// A SPDY connection in a WebSocket.
#[derive(Debug)]
pub(crate) struct Tunnel {
    spdy: Multiplex,
    frames: websocket::Decoder,
    /// What came and is no whole frame of SPDY: at most the largest of them, and one read.
    input: BytesMut,
    /// What is put together for the next message.
    output: BytesMut,
}

impl Tunnel {
    pub(crate) fn new(spdy: Multiplex) -> Self {
        let frames = websocket::Decoder::default();
        Self { spdy, frames, input: BytesMut::new(), output: BytesMut::new() }
    }

    fn next(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, WireError> {
        loop {
            let event = self.spdy.next(&mut self.input, &mut self.output);
            self.wrap(out);
            if let Some(event) = event? {
                return Ok(Some(event));
            }
            match self.frames.next(input)? {
                None => return Ok(None),
                Some(websocket::Frame::Part { bytes, .. }) => self.input.extend_from_slice(&bytes),
                Some(frame) => return Ok(Some(control(&frame, out))),
            }
        }
    }

    /// Sends what was put together as one message.
    fn wrap(&mut self, out: &mut BytesMut) {
        if !self.output.is_empty() {
            websocket::put(out, Opcode::Binary, &[&self.output]);
            self.output.clear();
        }
    }
}

/// Answers a frame of WebSocket that is no part of a message.
fn control(frame: &websocket::Frame, out: &mut BytesMut) -> Event {
    match frame {
        websocket::Frame::Ping(bytes) => {
            websocket::put(out, Opcode::Pong, &[bytes]);
            Event::Alive
        }
        websocket::Frame::Close(code) => {
            let code = code.map(u16::to_be_bytes);
            websocket::put(out, Opcode::Close, &[code.as_ref().map_or(&[], <[u8; 2]>::as_slice)]);
            Event::Closed
        }
        websocket::Frame::Pong | websocket::Frame::Part { .. } => Event::Pong,
    }
}

fn put_close(out: &mut BytesMut, code: u16) {
    websocket::put(out, Opcode::Close, &[&code.to_be_bytes()]);
}

impl Wire {
    /// What the client did next, as far as it has come. Answers that need no decision are written at once.
    pub(crate) fn next(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, WireError> {
        match self {
            Self::Channels(channels) => channels.next(input, out),
            Self::Spdy(spdy) => spdy.next(input, out),
            Self::Tunnel(tunnel) => tunnel.next(input, out),
        }
    }

    /// How many bytes may be sent on a stream.
    pub(crate) fn room(&self, stream: u32) -> usize {
        match self {
            Self::Channels(_) => usize::MAX,
            Self::Spdy(spdy) => spdy.room(stream),
            Self::Tunnel(tunnel) => tunnel.spdy.room(stream),
        }
    }

    /// Sends bytes on a stream. `end`: the last ones.
    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], end: bool, out: &mut BytesMut) {
        match self {
            // There is no sign for the end of what a server sends.
            Self::Channels(_) if bytes.is_empty() && end => {}
            Self::Channels(channels) => channels.data(stream, bytes, out),
            Self::Spdy(spdy) => spdy.data(stream, bytes, end, out),
            Self::Tunnel(tunnel) => {
                tunnel.spdy.data(stream, bytes, end, &mut tunnel.output);
                tunnel.wrap(out);
            }
        }
    }

    /// The reader of a stream took so much.
    pub(crate) fn taken(&mut self, stream: u32, count: usize, out: &mut BytesMut) {
        match self {
            Self::Channels(_) => {}
            Self::Spdy(spdy) => spdy.taken(stream, count, out),
            Self::Tunnel(tunnel) => {
                tunnel.spdy.taken(stream, count, &mut tunnel.output);
                tunnel.wrap(out);
            }
        }
    }

    /// Ends a stream both ways at once, where there is a sign for it.
    pub(crate) fn reset(&mut self, stream: u32, out: &mut BytesMut) {
        match self {
            Self::Channels(_) => {}
            Self::Spdy(spdy) => spdy.reset(stream, out),
            Self::Tunnel(tunnel) => {
                tunnel.spdy.reset(stream, &mut tunnel.output);
                tunnel.wrap(out);
            }
        }
    }

    /// A stream is over, both ways.
    pub(crate) fn forget(&mut self, stream: u32) {
        match self {
            Self::Channels(_) => {}
            Self::Spdy(spdy) => spdy.forget(stream),
            Self::Tunnel(tunnel) => tunnel.spdy.forget(stream),
        }
    }

    /// Asks for a sign of life.
    pub(crate) fn ping(&mut self, out: &mut BytesMut) {
        match self {
            Self::Spdy(spdy) => spdy.ping(out),
            Self::Channels(_) | Self::Tunnel(_) => websocket::put(out, Opcode::Ping, &[]),
        }
    }

    /// The last thing that is sent. `code`: what WebSocket calls the reason.
    pub(crate) fn close(&mut self, code: u16, out: &mut BytesMut) {
        match self {
            Self::Channels(_) => put_close(out, code),
            Self::Spdy(spdy) => spdy.away(out),
            Self::Tunnel(tunnel) => {
                tunnel.spdy.away(&mut tunnel.output);
                tunnel.wrap(out);
                put_close(out, code);
            }
        }
    }
}

#[cfg(test)]
mod tests;
