// SPDX-License-Identifier: Apache-2.0
//! Output of a container or an exec as the engine sends it: of a terminal the bytes as they are; else in frames, each with the number of
//! its stream and its length:
//!
//! ```text
//! | stream (1, 2 or 3) | 0 | 0 | 0 | length, 4 bytes, the highest first | length bytes |
//! ```
//!
//! Pure. Nothing is kept but what of a head has come: a frame may say any length.

use bytes::{Buf, Bytes, BytesMut};

/// Where output comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Standard output, and all of a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}

/// What is wrong with a stream.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum StreamError {
    #[error("there is no stream {0}")]
    Number(u8),
    /// Stream 3: the engine itself has something to say.
    #[error("{0}")]
    Engine(String),
    #[error("it ends within a frame")]
    Short,
}

/// Bytes of a head.
pub(crate) const HEAD: usize = 8;

/// The stream and the length that a head says.
pub(crate) fn read_head(mut head: &[u8]) -> (u8, usize) {
    let number = head.get_u8();
    head.advance(3);
    (number, usize::try_from(head.get_u32()).unwrap_or(usize::MAX))
}

/// Divides what comes.
#[derive(Debug)]
pub(crate) struct Divider {
    raw: bool,
    buffer: BytesMut,
    /// Of the frame that has begun: its stream, and the bytes to come.
    frame: Option<(u8, usize)>,
}

impl Divider {
    /// `raw` for a terminal.
    pub(crate) fn new(raw: bool) -> Self {
        Self { raw, buffer: BytesMut::new(), frame: None }
    }

    /// Where to put what comes.
    pub(crate) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    /// The next piece; none if more has to come.
    pub(crate) fn next(&mut self) -> Result<Option<(Stream, Bytes)>, StreamError> {
        loop {
            if self.raw {
                let all = self.buffer.split().freeze();
                return Ok((!all.is_empty()).then_some((Stream::Stdout, all)));
            }
            let Some((number, left)) = self.frame else {
                if self.buffer.len() < HEAD {
                    return Ok(None);
                }
                self.frame = Some(read_head(&self.buffer.split_to(HEAD)));
                continue;
            };
            if left == 0 {
                self.frame = None;
                continue;
            }
            if self.buffer.is_empty() {
                return Ok(None);
            }
            let piece = self.buffer.split_to(left.min(self.buffer.len())).freeze();
            self.frame = Some((number, left - piece.len()));
            return match number {
                // 0 is what an engine calls the input that it shows.
                0 | 1 => Ok(Some((Stream::Stdout, piece))),
                2 => Ok(Some((Stream::Stderr, piece))),
                3 => Err(StreamError::Engine(String::from_utf8_lossy(&piece).trim().to_owned())),
                other => Err(StreamError::Number(other)),
            };
        }
    }

    /// Whether the stream may end here.
    pub(crate) fn end(&self) -> Result<(), StreamError> {
        let whole = self.buffer.is_empty() && self.frame.is_none_or(|(_, left)| left == 0);
        if whole { Ok(()) } else { Err(StreamError::Short) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(number: u8, content: &[u8]) -> Vec<u8> {
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[number, 0, 0, 0], &length[..], content].concat()
    }

    #[test]
    fn frames_are_divided_however_they_come() {
        let bytes = [
            frame(1, b"out\x00\x01"),
            frame(2, b""),
            frame(2, b"err"),
            frame(0, b"x"),
            frame(1, b"\xff"),
        ]
        .concat();
        for step in 1..=bytes.len() {
            let mut divider = Divider::new(false);
            let mut all = [Vec::new(), Vec::new()];
            for part in bytes.chunks(step) {
                divider.buffer().extend_from_slice(part);
                while let Some((stream, piece)) = divider.next().unwrap() {
                    all[usize::from(stream == Stream::Stderr)].extend_from_slice(&piece);
                }
            }
            assert_eq!(all, [b"out\x00\x01x\xff".to_vec(), b"err".to_vec()], "in steps of {step}");
            assert_eq!(divider.end(), Ok(()));
        }
    }

    #[test]
    fn a_terminals_bytes_stay_as_they_are() {
        let mut divider = Divider::new(true);
        divider.buffer().extend_from_slice(&[1, 0, 0, 0, 255, 255]);
        let piece = divider.next().unwrap().unwrap();
        assert_eq!((piece.0, &piece.1[..]), (Stream::Stdout, &[1, 0, 0, 0, 255, 255][..]));
        assert_eq!(divider.next(), Ok(None));
        assert_eq!(divider.end(), Ok(()));
    }

    #[test]
    fn what_is_no_stream_is_an_error_and_a_length_reserves_nothing() {
        let mut divider = Divider::new(false);
        divider.buffer().extend_from_slice(&[1, 0, 0, 0, 255, 255, 255, 255, b'a']);
        assert_eq!(divider.next().unwrap().unwrap().1, "a");
        assert_eq!(divider.next(), Ok(None));
        assert!(divider.buffer().capacity() < 1 << 16);
        assert_eq!(divider.end(), Err(StreamError::Short));
        for (bytes, wanted) in [
            (frame(9, b"x"), StreamError::Number(9)),
            (frame(3, b"no space\n"), StreamError::Engine("no space".to_owned())),
        ] {
            let mut divider = Divider::new(false);
            divider.buffer().extend_from_slice(&bytes);
            assert_eq!(divider.next(), Err(wanted));
        }
        let mut divider = Divider::new(false);
        divider.buffer().extend_from_slice(&[1, 0]);
        assert_eq!((divider.next(), divider.end()), (Ok(None), Err(StreamError::Short)));
    }
}
