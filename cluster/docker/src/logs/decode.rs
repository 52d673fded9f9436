// SPDX-License-Identifier: Apache-2.0
//! From the bytes of a log to its lines. Pure.
//!
//! Each record of the engine is a moment, a space, and what was written: up to a line's end, or 16 KiB of a longer line. Without a terminal
//! a record is a frame ([`crate::streams`]); with one they follow each other as they are, so that the only sign of a new record within a
//! line is that 16 KiB are over.

use crate::moment::{FIXED, Moment};
use crate::streams::{HEAD, Stream, read_head};
use bytes::{Bytes, BytesMut};

/// What of a line the engine keeps together.
const PART: usize = 16 * 1024;
/// A record with its moment; an engine's are much shorter.
const RECORD_MAX: usize = 1 << 20;

/// A line, or a part of a long one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Where it was written to.
    pub stream: Stream,
    /// When, by the engine's clock.
    pub time: Moment,
    /// What, without the line's end.
    pub bytes: Bytes,
    /// Whether the line ends with it; else the next of the same stream goes on.
    pub whole: bool,
}

/// What is wrong with a log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecodeError {
    #[error("there is no stream {0}")]
    Number(u8),
    #[error("a record has {0} bytes")]
    Length(usize),
    #[error("a record has no time")]
    Time,
    #[error("it ends within a record")]
    Short,
    /// Stream 3: the engine itself has something to say.
    #[error("{0}")]
    Engine(String),
}

/// Reads lines out of what comes.
#[derive(Debug)]
pub(crate) struct Decoder {
    tty: bool,
    buffer: BytesMut,
    /// With a terminal: the moment of the record that has begun.
    begun: Option<Moment>,
}

impl Decoder {
    pub(crate) fn new(tty: bool) -> Self {
        Self { tty, buffer: BytesMut::new(), begun: None }
    }

    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next line; none if more has to come.
    pub(crate) fn next(&mut self) -> Result<Option<LogLine>, DecodeError> {
        if self.tty { self.next_of_terminal() } else { self.next_frame() }
    }

    /// What is left when nothing more comes.
    pub(crate) fn end(&mut self) -> Result<Option<LogLine>, DecodeError> {
        if !self.tty {
            return if self.buffer.is_empty() { Ok(None) } else { Err(DecodeError::Short) };
        }
        let Some(time) = self.begun.take() else {
            return if self.buffer.is_empty() { Ok(None) } else { Err(DecodeError::Short) };
        };
        let bytes = self.buffer.split().freeze();
        let line = LogLine { stream: Stream::Stdout, time, bytes, whole: false };
        Ok(Some(line).filter(|line| !line.bytes.is_empty()))
    }

    fn next_frame(&mut self) -> Result<Option<LogLine>, DecodeError> {
        let Some(head) = self.buffer.get(..HEAD) else { return Ok(None) };
        let (number, length) = read_head(head);
        let stream = match number {
            1 => Stream::Stdout,
            2 | 3 => Stream::Stderr,
            other => return Err(DecodeError::Number(other)),
        };
        if length > RECORD_MAX {
            return Err(DecodeError::Length(length));
        }
        if self.buffer.len() < HEAD + length {
            return Ok(None);
        }
        let mut record = self.buffer.split_to(HEAD + length).split_off(HEAD);
        if number == 3 {
            return Err(DecodeError::Engine(String::from_utf8_lossy(&record).trim().to_owned()));
        }
        let space = record.iter().position(|byte| *byte == b' ').ok_or(DecodeError::Time)?;
        let time = moment(&record.split_to(space + 1)).ok_or(DecodeError::Time)?;
        let whole = record.last() == Some(&b'\n');
        record.truncate(record.len() - usize::from(whole));
        Ok(Some(LogLine { stream, time, bytes: record.freeze(), whole }))
    }

    fn next_of_terminal(&mut self) -> Result<Option<LogLine>, DecodeError> {
        let time = match self.begun {
            Some(time) => time,
            None if self.buffer.len() <= FIXED => return Ok(None),
            None => {
                let time = moment(&self.buffer.split_to(FIXED + 1)).ok_or(DecodeError::Time)?;
                *self.begun.insert(time)
            }
        };
        let line = |bytes: BytesMut, whole| {
            Ok(Some(LogLine { stream: Stream::Stdout, time, bytes: bytes.freeze(), whole }))
        };
        let part = &self.buffer[..self.buffer.len().min(PART)];
        if let Some(end) = part.iter().position(|byte| *byte == b'\n') {
            self.begun = None;
            let mut bytes = self.buffer.split_to(end + 1);
            bytes.truncate(end);
            return line(bytes, true);
        }
        if self.buffer.len() < PART {
            return Ok(None);
        }
        self.begun = None;
        line(self.buffer.split_to(PART), false)
    }
}

/// A moment with the space behind it.
fn moment(bytes: &[u8]) -> Option<Moment> {
    let text = std::str::from_utf8(bytes).ok()?;
    Moment::parse(text.strip_suffix(' ')?)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TIME: &str = "2026-11-28T18:48:32.123456789Z ";

    fn frame(number: u8, text: &[u8]) -> Vec<u8> {
        let content = [TIME.as_bytes(), text].concat();
        let length = u32::try_from(content.len()).unwrap().to_be_bytes();
        [&[number, 0, 0, 0], &length[..], &content].concat()
    }

    fn all(tty: bool, bytes: &[u8], step: usize) -> Result<Vec<LogLine>, DecodeError> {
        let mut decoder = Decoder::new(tty);
        let mut lines = Vec::new();
        for part in bytes.chunks(step) {
            decoder.push(part);
            while let Some(line) = decoder.next()? {
                lines.push(line);
            }
        }
        lines.extend(decoder.end()?);
        Ok(lines)
    }

    fn shown(lines: &[LogLine]) -> Vec<(Stream, &[u8], bool)> {
        lines.iter().map(|line| (line.stream, &line.bytes[..], line.whole)).collect()
    }

    #[test]
    fn lines_are_read_however_they_come() {
        let bytes = [
            frame(1, b"a\n"),
            frame(2, b"b \x00 c\n"),
            frame(1, b"half"),
            frame(1, b" of it\n"),
            frame(1, b"\n"),
        ]
        .concat();
        for step in [1, 2, 3, 7, 50, 1000] {
            let lines = all(false, &bytes, step).unwrap();
            let wanted: [(Stream, &[u8], bool); 5] = [
                (Stream::Stdout, b"a", true),
                (Stream::Stderr, b"b \x00 c", true),
                (Stream::Stdout, b"half", false),
                (Stream::Stdout, b" of it", true),
                (Stream::Stdout, b"", true),
            ];
            assert_eq!(shown(&lines), wanted);
            assert!(lines.iter().all(|line| line.time.to_string() == TIME.trim_end()));
        }
    }

    #[test]
    fn a_terminals_lines_are_read_and_its_long_ones_are_not_mixed_with_times() {
        let long = vec![b'x'; PART];
        let bytes = [
            TIME.as_bytes(),
            b"\x01\x00 a\r\n",
            TIME.as_bytes(),
            &long,
            TIME.as_bytes(),
            b"end\n",
            TIME.as_bytes(),
            b"$ ",
        ]
        .concat();
        for step in [1, 5, 1000, 1 << 20] {
            let lines = all(true, &bytes, step).unwrap();
            let wanted: [(Stream, &[u8], bool); 4] = [
                (Stream::Stdout, b"\x01\x00 a\r", true),
                (Stream::Stdout, &long, false),
                (Stream::Stdout, b"end", true),
                (Stream::Stdout, b"$ ", false),
            ];
            assert_eq!(shown(&lines), wanted);
        }
    }

    #[test]
    fn what_is_no_log_is_an_error_and_never_a_panic() {
        for (tty, bytes, wanted) in [
            (false, vec![9, 0, 0, 0, 0, 0, 0, 1, 0], DecodeError::Number(9)),
            (false, vec![1, 0, 0, 0, 255, 255, 255, 255], DecodeError::Length(u32::MAX as usize)),
            (false, vec![1, 0, 0, 0, 0, 0, 0, 2, b'x', b'\n'], DecodeError::Time),
            (false, vec![1, 0, 0, 0, 0, 0, 0, 2, b' ', b'\n'], DecodeError::Time),
            (false, vec![1, 0, 0, 0, 0, 0, 0, 0], DecodeError::Time),
            (false, vec![3, 0, 0, 0, 0, 0, 0, 1, b'e'], DecodeError::Engine("e".to_owned())),
            (false, vec![1, 0], DecodeError::Short),
            (true, vec![b'x'; FIXED + 1], DecodeError::Time),
            (true, vec![0xff; FIXED + 1], DecodeError::Time),
            (true, vec![b'2'], DecodeError::Short),
        ] {
            assert_eq!(all(tty, &bytes, 3).unwrap_err(), wanted);
        }
        let mut state = 7_u64;
        for _ in 0..5_000 {
            let mut bytes = [frame(1, b"a\n"), frame(2, b"b")].concat();
            for _ in 0..3 {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                let at = usize::try_from(state >> 40).unwrap() % bytes.len();
                bytes[at] = u8::try_from((state >> 20) & 0xff).unwrap();
            }
            // Whatever it says, it says it.
            drop((all(false, &bytes, 5), all(true, &bytes, 5)));
        }
    }
}
