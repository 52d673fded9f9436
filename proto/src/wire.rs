// SPDX-License-Identifier: Apache-2.0
//! The protobuf wire format, as far as hand-written readers and writers need it.
//!
//! ```text
//! field   = key payload              key = varint(number << 3 | type)
//! type 0: varint    type 1: 8 bytes    type 2: varint length, bytes    type 5: 4 bytes
//! ```

use bytes::BufMut;

/// Bytes that are not what the wire format, or the message's definition, says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WireError {
    /// The message ends within a field.
    Truncated,
    /// A varint of more than ten bytes, or a field number or type that there is not.
    Malformed,
    /// A field has another type than its definition.
    WrongType(u32),
    /// A string field is not UTF-8.
    NotUtf8(u32),
    /// A nested message cannot be decoded.
    Nested(u32),
    /// A list has too many entries.
    TooMany(u32),
}

impl std::fmt::Display for WireError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Truncated => f.write_str("the message ends within a field"),
            Self::Malformed => f.write_str("the bytes are no protobuf message"),
            Self::WrongType(number) => write!(f, "field number {number} has another type"),
            Self::NotUtf8(number) => write!(f, "field number {number} is not UTF-8"),
            Self::Nested(number) => write!(f, "the message in field number {number} is malformed"),
            Self::TooMany(number) => write!(f, "field number {number} has too many entries"),
        }
    }
}

impl std::error::Error for WireError {}

/// Where bytes lie in a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Span {
    /// First byte.
    pub start: u32,
    /// Number of bytes.
    pub len: u32,
}

impl Span {
    /// The bytes, of the message that was read.
    pub fn of(self, message: &[u8]) -> &[u8] {
        let start = self.start as usize;
        message.get(start..start + self.len as usize).unwrap_or_default()
    }

    /// The bytes as text. Empty unless the reader has checked that they are UTF-8.
    pub fn text(self, message: &[u8]) -> &str {
        std::str::from_utf8(self.of(message)).unwrap_or_default()
    }
}

/// One field's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// A number, or a fixed-width one.
    Number(u64),
    /// Bytes, text, or a message.
    Bytes(Span),
}

/// Reads the fields of a message one after the other.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Fields<'a> {
    /// Of a whole buffer; at most 4 GiB.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0, end: bytes.len() }
    }

    /// Of a message within the buffer.
    pub fn within(bytes: &'a [u8], span: Span) -> Self {
        let at = span.start as usize;
        Self { bytes, at, end: (at + span.len as usize).min(bytes.len()) }
    }

    /// The next field: number and value. `None` at the end.
    pub fn field(&mut self) -> Result<Option<(u32, Value)>, WireError> {
        if self.at >= self.end {
            return Ok(None);
        }
        let key = self.varint()?;
        let number = u32::try_from(key >> 3).map_err(|_| WireError::Malformed)?;
        if number == 0 || number >= 1 << 29 {
            return Err(WireError::Malformed);
        }
        let value = match key & 7 {
            0 => Value::Number(self.varint()?),
            1 => Value::Number(self.fixed(8)?),
            2 => {
                let len = usize::try_from(self.varint()?).map_err(|_| WireError::Truncated)?;
                if len > self.end - self.at {
                    return Err(WireError::Truncated);
                }
                let span = Span { start: narrow(self.at)?, len: narrow(len)? };
                self.at += len;
                Value::Bytes(span)
            }
            5 => Value::Number(self.fixed(4)?),
            _ => return Err(WireError::Malformed),
        };
        Ok(Some((number, value)))
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, WireError> {
        let mut value = 0_u64;
        for shift in (0..70).step_by(7) {
            if self.at >= self.end {
                return Err(WireError::Truncated);
            }
            let byte = self.bytes[self.at];
            self.at += 1;
            value |= u64::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(WireError::Malformed)
    }

    fn fixed(&mut self, width: usize) -> Result<u64, WireError> {
        if width > self.end - self.at {
            return Err(WireError::Truncated);
        }
        let mut value = 0;
        for (place, byte) in self.bytes[self.at..self.at + width].iter().enumerate() {
            value |= u64::from(*byte) << (8 * place);
        }
        self.at += width;
        Ok(value)
    }
}

fn narrow(at: usize) -> Result<u32, WireError> {
    u32::try_from(at).map_err(|_| WireError::Truncated)
}

/// Appends a varint.
#[inline]
pub fn put_varint(out: &mut impl BufMut, mut value: u64) {
    while value >= 0x80 {
        // The cast keeps the low eight bits; the topmost is set anyway.
        #[expect(clippy::cast_possible_truncation, reason = "seven bits at a time")]
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    #[expect(clippy::cast_possible_truncation, reason = "below 0x80")]
    out.put_u8(value as u8);
}

/// How many bytes a varint takes.
#[inline]
pub fn varint_len(value: u64) -> usize {
    (64 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Appends a number field, unless it is zero.
#[inline]
pub fn put_number(out: &mut impl BufMut, number: u32, value: u64) {
    if value != 0 {
        put_varint(out, u64::from(number) << 3);
        put_varint(out, value);
    }
}

/// Appends the head of a field of so many bytes, which are to follow.
#[inline]
pub fn put_head(out: &mut impl BufMut, number: u32, len: usize) {
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, len as u64);
}

/// Appends a field of bytes, text or an encoded message.
#[inline]
pub fn put_bytes(out: &mut impl BufMut, number: u32, bytes: &[u8]) {
    put_head(out, number, bytes.len());
    out.put_slice(bytes);
}

/// Length of a number field.
#[inline]
pub fn number_len(number: u32, value: u64) -> usize {
    if value == 0 { 0 } else { varint_len(u64::from(number) << 3) + varint_len(value) }
}

/// Length of a field with so many bytes.
#[inline]
pub fn bytes_len(number: u32, len: usize) -> usize {
    varint_len(u64::from(number) << 3) + varint_len(len as u64) + len
}
