// SPDX-License-Identifier: Apache-2.0
//! Protobuf's wire format: fields of a message, one after the other.

/// A field's value as it is on the wire.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Wire<'a> {
    /// A number of changing length.
    Varint(u64),
    /// Eight bytes.
    Fixed64(u64),
    /// Bytes of a text, a message, or packed numbers.
    Bytes(&'a [u8]),
    /// Four bytes.
    Fixed32(u32),
}

/// The next field and what follows it; none if the bytes are no message.
pub(super) fn next(bytes: &[u8]) -> Option<(u32, Wire<'_>, &[u8])> {
    let (key, rest) = varint(bytes)?;
    let tag = u32::try_from(key >> 3).ok().filter(|tag| *tag != 0)?;
    let (value, rest) = match key & 7 {
        0 => varint(rest).map(|(number, rest)| (Wire::Varint(number), rest))?,
        1 => rest
            .split_first_chunk::<8>()
            .map(|(number, rest)| (Wire::Fixed64(u64::from_le_bytes(*number)), rest))?,
        2 => {
            let (length, rest) = varint(rest)?;
            let (value, rest) = rest.split_at_checked(usize::try_from(length).ok()?)?;
            (Wire::Bytes(value), rest)
        }
        5 => rest
            .split_first_chunk::<4>()
            .map(|(number, rest)| (Wire::Fixed32(u32::from_le_bytes(*number)), rest))?,
        _ => return None,
    };
    Some((tag, value, rest))
}

/// A number of seven bits a byte, and what follows it.
pub(super) fn varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut number = 0_u64;
    for (place, byte) in bytes.iter().enumerate().take(10) {
        number |= u64::from(byte & 0x7f) << (7 * place);
        if byte & 0x80 == 0 {
            return Some((number, &bytes[place + 1..]));
        }
    }
    None
}
