// SPDX-License-Identifier: Apache-2.0
//! Base64 that comes in parts of any size.

use crate::error::WireError;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// Digits of a message that do not make three bytes yet.
#[derive(Debug, Default)]
pub(crate) struct Carry {
    digits: [u8; 4],
    have: usize,
}

impl Carry {
    /// Forgets what there was.
    pub(crate) fn clear(&mut self) {
        self.have = 0;
    }

    /// The bytes that these digits make with those before.
    pub(crate) fn decode(&mut self, part: &[u8], last: bool) -> Result<Bytes, WireError> {
        let mut digits = Vec::with_capacity(self.have + part.len());
        digits.extend_from_slice(&self.digits[..self.have]);
        digits.extend_from_slice(part);
        let whole = digits.len() / 4 * 4;
        let (whole, rest) = digits.split_at(whole);
        self.have = rest.len();
        self.digits[..rest.len()].copy_from_slice(rest);
        if last && !rest.is_empty() {
            return Err(WireError::Base64);
        }
        STANDARD.decode(whole).map(Bytes::from).map_err(|_| WireError::Base64)
    }
}

/// Bytes as digits.
pub(crate) fn encode(bytes: &[u8]) -> String {
    STANDARD.encode(bytes)
}
