// SPDX-License-Identifier: Apache-2.0
//! Streams as numbers that messages begin with (`v5.channel.k8s.io` and those before it).

use super::{Event, base64, control};
use crate::error::WireError;
use crate::websocket::{self, Decoder, Frame, Opcode};
use bytes::{Buf, BytesMut};

/// How a message is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Coding {
    /// The number is a byte, and so is the rest.
    Binary,
    /// As binary; a message that begins with 255 ends the stream whose number follows.
    Closing,
    /// The number is a digit, the rest base64.
    Base64,
}

/// Messages that carry streams.
#[derive(Debug)]
pub(crate) struct Channels {
    frames: Decoder,
    coding: Coding,
    /// Numbers on which the client sends; what it sends on others is dropped.
    readable: Vec<u8>,
    message: Message,
    carry: base64::Carry,
}

/// What the message under way is for.
#[derive(Debug, Clone, Copy)]
enum Message {
    /// Its first byte is still to come.
    New,
    Stream(u8),
    /// The next byte tells which stream ends.
    Ends,
    Nothing,
}

const ENDS: u8 = 255;

impl Channels {
    pub(crate) fn new(coding: Coding, readable: Vec<u8>) -> Self {
        let carry = base64::Carry::default();
        Self { frames: Decoder::default(), coding, readable, message: Message::New, carry }
    }

    pub(crate) fn next(
        &mut self,
        input: &mut BytesMut,
        out: &mut BytesMut,
    ) -> Result<Option<Event>, WireError> {
        match self.frames.next(input)? {
            None => Ok(None),
            Some(Frame::Part { bytes, first, last }) => self.part(bytes, first, last).map(Some),
            Some(frame) => Ok(Some(control(&frame, out))),
        }
    }

    fn part(
        &mut self,
        mut bytes: bytes::Bytes,
        first: bool,
        last: bool,
    ) -> Result<Event, WireError> {
        if first {
            self.message = Message::New;
            self.carry.clear();
        }
        if matches!(self.message, Message::New) && !bytes.is_empty() {
            self.message = self.begin(bytes.get_u8());
        }
        match self.message {
            Message::Stream(number) => {
                let based = self.coding == Coding::Base64;
                let bytes = if based { self.carry.decode(&bytes, last)? } else { bytes };
                let stream = u32::from(number);
                Ok(if bytes.is_empty() { Event::Alive } else { Event::Data { stream, bytes } })
            }
            Message::Ends if !bytes.is_empty() => {
                let number = bytes.get_u8();
                self.message = Message::Nothing;
                let stream = u32::from(number);
                Ok(if self.readable.contains(&number) {
                    Event::Ended { stream }
                } else {
                    Event::Alive
                })
            }
            Message::New | Message::Ends | Message::Nothing => Ok(Event::Alive),
        }
    }

    fn begin(&self, byte: u8) -> Message {
        if byte == ENDS && self.coding == Coding::Closing {
            return Message::Ends;
        }
        let number = match self.coding {
            Coding::Base64 => byte.checked_sub(b'0'),
            Coding::Binary | Coding::Closing => Some(byte),
        };
        match number.filter(|number| self.readable.contains(number)) {
            Some(number) => Message::Stream(number),
            None => Message::Nothing,
        }
    }

    pub(crate) fn data(&mut self, stream: u32, bytes: &[u8], out: &mut BytesMut) {
        // Numbers are those of PORTS_MAX at most.
        let number = u8::try_from(stream).unwrap_or(ENDS);
        if self.coding == Coding::Base64 {
            let digits = base64::encode(bytes);
            websocket::put(out, Opcode::Binary, &[&[b'0'.wrapping_add(number)], digits.as_bytes()]);
        } else {
            websocket::put(out, Opcode::Binary, &[&[number], bytes]);
        }
    }
}
