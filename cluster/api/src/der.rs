// SPDX-License-Identifier: Apache-2.0
//! Reading of DER: tag, length, contents. Nothing is copied, and nothing is believed of lengths.

/// A sequence.
pub const SEQUENCE: u8 = 0x30;
/// A set.
pub const SET: u8 = 0x31;
/// The id of an object.
pub const OBJECT_ID: u8 = 0x06;
/// Bytes.
pub const OCTETS: u8 = 0x04;
/// Bits.
pub const BITS: u8 = 0x03;
/// A flag.
pub const BOOLEAN: u8 = 0x01;
/// A number.
pub const INTEGER: u8 = 0x02;

/// Contents of the first element, which has to be of this tag, and what follows it.
pub fn expect(bytes: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag and contents of the first element, and what follows it.
pub fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&tag, rest) = bytes.split_first()?;
    let (&first, rest) = rest.split_first()?;
    let (length, rest) = if first < 0x80 {
        (usize::from(first), rest)
    } else {
        let count = usize::from(first & 0x7f);
        // What is read here is smaller than 16 MiB; more bytes of a length would overflow.
        if count == 0 || count > 3 {
            return None;
        }
        let (digits, rest) = rest.split_at_checked(count)?;
        (digits.iter().fold(0, |sum, &digit| sum << 8 | usize::from(digit)), rest)
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}
