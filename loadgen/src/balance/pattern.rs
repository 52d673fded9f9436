// SPDX-License-Identifier: Apache-2.0
//! The bytes of bulk streams: one long pattern without order, which each stream begins at a place that follows from its nonce. A
//! stream that lost, repeated or mixed bytes is out of step from there on.

use super::message::Nonces;

/// Bytes after which the pattern begins again.
pub const PERIOD: usize = 1 << 20;
/// Most bytes that are sent or read at once.
pub const CHUNK: usize = 256 << 10;

/// How many bytes of a chunk's ends are always compared.
const ENDS: usize = 64;
/// One chunk of so many is compared whole. Comparing all of them would make the client the bottleneck; what is lost or repeated
/// in a chunk shows at its end.
const WHOLE_EVERY: u64 = 16;

/// The pattern, with its beginning once more behind it, so that a chunk is one slice wherever it begins.
#[derive(Debug)]
pub struct Pattern(Vec<u8>);

/// A place in a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Place(usize);

impl Place {
    /// Where the stream of this nonce begins.
    pub fn of(nonce: u64) -> Self {
        let at = nonce % (PERIOD as u64);
        Self(usize::try_from(at).unwrap_or(0))
    }

    /// Goes on by so many bytes.
    pub fn advance(&mut self, bytes: usize) {
        self.0 = (self.0 + bytes) % PERIOD;
    }
}

impl Default for Pattern {
    fn default() -> Self {
        Self::new()
    }
}

impl Pattern {
    /// Makes it.
    pub fn new() -> Self {
        let mut nonces = Nonces::new(0xb17e);
        let mut bytes: Vec<u8> =
            (0..PERIOD / 8).flat_map(|_| nonces.draw().to_le_bytes()).collect();
        bytes.extend_from_within(..CHUNK);
        Self(bytes)
    }

    /// The next bytes from a place, a chunk of them.
    pub fn at(&self, place: Place) -> &[u8] {
        &self.0[place.0..place.0 + CHUNK]
    }

    /// Whether `chunk`, at most [`CHUNK`] bytes, is what comes at this place. `number` counts a stream's chunks.
    pub fn matches(&self, place: Place, chunk: &[u8], number: u64) -> bool {
        let want = &self.at(place)[..chunk.len()];
        if chunk.len() <= 2 * ENDS || number.is_multiple_of(WHOLE_EVERY) {
            return chunk == want;
        }
        let tail = chunk.len() - ENDS;
        chunk[..ENDS] == want[..ENDS] && chunk[tail..] == want[tail..]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_that_is_out_of_step_is_found() {
        let pattern = Pattern::new();
        for start in [0, 1, PERIOD as u64 - 5] {
            let place = Place::of(start);
            let chunk = pattern.at(place)[..10_000].to_vec();
            for number in 0..3 {
                assert!(pattern.matches(place, &chunk, number));
                let mut late = place;
                late.advance(1);
                assert!(!pattern.matches(late, &chunk, number));
                assert!(!pattern.matches(place, &chunk[1..], number));
            }
        }
    }

    #[test]
    fn one_wrong_byte_is_found_in_chunks_compared_whole() {
        let pattern = Pattern::new();
        let mut chunk = pattern.at(Place::default())[..5_000].to_vec();
        chunk[2_500] ^= 1;
        assert!(!pattern.matches(Place::default(), &chunk, WHOLE_EVERY));
        assert!(pattern.matches(Place::default(), &chunk, 1));
    }

    #[test]
    fn places_wrap() {
        let mut place = Place::of(7);
        place.advance(PERIOD);
        assert_eq!(place, Place::of(7));
    }
}
