// SPDX-License-Identifier: Apache-2.0
//! What clients and backends say to each other: every request names its service and carries a nonce, every answer proves that
//! the right backend read all of it.
//!
//! ```text
//! offset 0      4         8        16         20      24        32                64
//!        magic  service   nonce    endpoint   0       amount    filler            (datagrams: more filler)
//!        u32    u32       u64      u32        u32     u64       4 x u64
//! ```
//!
//! All numbers are little-endian. `endpoint` is filled in by the backend, `amount` is how many bytes of bulk are asked for. The
//! filler follows from the nonce, so that swapped, lost or repeated bytes are found.

use std::fmt::{self, Display};

/// Bytes of a message over TCP.
pub const MESSAGE: usize = 64;
/// Bytes of a datagram.
pub const DATAGRAM: usize = 512;

const REQUEST: u32 = u32::from_le_bytes(*b"brq1");
const ANSWER: u32 = u32::from_le_bytes(*b"bra1");
/// Where the filler begins.
const FILLER: usize = 32;

/// What is the matter with a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    /// It was meant for another service.
    Service {
        /// The one that it names.
        named: u32,
        /// The one that it reached, or that was asked.
        wanted: u32,
    },
    /// It answers another request.
    Nonce,
    /// Its bytes are not those that were sent.
    Bytes,
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service { named, wanted } => {
                write!(f, "a message for service {named} came to service {wanted}")
            }
            Self::Nonce => f.write_str("an answer to another request"),
            Self::Bytes => f.write_str("bytes that nobody sent"),
        }
    }
}

/// A request that was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Request {
    /// The service that it is for.
    pub service: u32,
    /// Its nonce.
    pub nonce: u64,
    /// Bytes of bulk that it asks for.
    pub amount: u64,
}

fn word(bytes: &[u8], at: usize) -> u32 {
    bytes.get(at..at + 4).and_then(|b| b.try_into().ok()).map_or(0, u32::from_le_bytes)
}

fn long(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..at + 8).and_then(|b| b.try_into().ok()).map_or(0, u64::from_le_bytes)
}

/// The filler's eight bytes at a place.
fn filler(nonce: u64, at: usize) -> u64 {
    // Odd multiples are a bijection: no two places of a message hold the same.
    nonce ^ (at as u64 + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

/// Writes a request over all of `bytes`, which are at least [`MESSAGE`] and a multiple of eight.
pub fn write_request(bytes: &mut [u8], request: &Request) {
    bytes[0..4].copy_from_slice(&REQUEST.to_le_bytes());
    bytes[4..8].copy_from_slice(&request.service.to_le_bytes());
    bytes[8..16].copy_from_slice(&request.nonce.to_le_bytes());
    bytes[16..24].fill(0);
    bytes[24..32].copy_from_slice(&request.amount.to_le_bytes());
    for (at, place) in bytes[FILLER..].chunks_exact_mut(8).enumerate() {
        place.copy_from_slice(&filler(request.nonce, at).to_le_bytes());
    }
}

/// Reads a request that reached `service`, and checks all of it.
pub fn read_request(bytes: &[u8], service: u32) -> Result<Request, Wrong> {
    let named = word(bytes, 4);
    let (nonce, amount) = (long(bytes, 8), long(bytes, 24));
    if word(bytes, 0) != REQUEST || bytes.len() < MESSAGE || !filled(bytes, nonce) {
        return Err(Wrong::Bytes);
    }
    if named != service {
        return Err(Wrong::Service { named, wanted: service });
    }
    Ok(Request { service, nonce, amount })
}

/// Turns a request into its answer, in place.
pub fn turn_into_answer(bytes: &mut [u8], endpoint: u32) {
    bytes[0..4].copy_from_slice(&ANSWER.to_le_bytes());
    bytes[16..20].copy_from_slice(&endpoint.to_le_bytes());
}

/// The nonce of what claims to be an answer.
pub fn nonce(bytes: &[u8]) -> u64 {
    long(bytes, 8)
}

/// Checks the answer to a request; gives the endpoint that answered.
pub fn read_answer(bytes: &[u8], service: u32, nonce: u64) -> Result<u32, Wrong> {
    if word(bytes, 0) != ANSWER || bytes.len() < MESSAGE {
        return Err(Wrong::Bytes);
    }
    let named = word(bytes, 4);
    if named != service {
        return Err(Wrong::Service { named, wanted: service });
    }
    if long(bytes, 8) != nonce {
        return Err(Wrong::Nonce);
    }
    if !filled(bytes, nonce) {
        return Err(Wrong::Bytes);
    }
    Ok(word(bytes, 16))
}

fn filled(bytes: &[u8], nonce: u64) -> bool {
    let tail = bytes.get(FILLER..).unwrap_or_default();
    tail.chunks_exact(8).enumerate().all(|(at, place)| long(place, 0) == filler(nonce, at))
}

/// Nonces that do not repeat within a run.
#[derive(Debug, Clone)]
pub struct Nonces(u64);

impl Nonces {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next.
    pub fn draw(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn request(service: u32, nonce: u64) -> [u8; MESSAGE] {
        let mut bytes = [0; MESSAGE];
        write_request(&mut bytes, &Request { service, nonce, amount: 7 });
        bytes
    }

    #[test]
    fn a_request_comes_back_as_its_answer() {
        let mut bytes = request(3, 99);
        let want = Request { service: 3, nonce: 99, amount: 7 };
        assert_eq!(read_request(&bytes, 3), Ok(want));
        turn_into_answer(&mut bytes, 2);
        assert_eq!(read_answer(&bytes, 3, 99), Ok(2));
    }

    #[test]
    fn the_wrong_service_and_a_foreign_answer_are_told() {
        let mut bytes = request(3, 99);
        assert_eq!(read_request(&bytes, 4), Err(Wrong::Service { named: 3, wanted: 4 }));
        turn_into_answer(&mut bytes, 0);
        assert_eq!(read_answer(&bytes, 1, 99), Err(Wrong::Service { named: 3, wanted: 1 }));
        assert_eq!(read_answer(&bytes, 3, 98), Err(Wrong::Nonce));
    }

    #[test]
    fn every_bit_but_the_endpoint_counts() {
        let mut answer = request(3, 99);
        turn_into_answer(&mut answer, 0);
        for bit in 0..MESSAGE * 8 {
            let byte = bit / 8;
            let mut wrong = answer;
            wrong[byte] ^= 1 << (bit % 8);
            // What the backend fills in, and what only a request uses.
            let free = (16..32).contains(&byte);
            assert_eq!(read_answer(&wrong, 3, 99).is_ok(), free, "bit {bit}");
        }
    }

    #[test]
    fn nonces_differ() {
        let mut nonces = Nonces::new(1);
        let mut drawn: Vec<u64> = (0..1_000).map(|_| nonces.draw()).collect();
        drawn.sort_unstable();
        drawn.dedup();
        assert_eq!(drawn.len(), 1_000);
    }
}
