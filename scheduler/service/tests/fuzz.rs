// SPDX-License-Identifier: Apache-2.0
//! The fuzzers' targets on random bytes, for machines without a fuzzer.

use berth_scheduler_service::fuzz;

/// A small generator: one seed, one sequence of bytes, most of them few.
fn bytes(seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state
    };
    // One edit, some, or very many.
    let count = [3, 9, 30, 600][usize::try_from(next() % 4).unwrap_or(0)];
    (0..count).map(|_| next().to_le_bytes()[3]).collect()
}

#[test]
fn requests() {
    (0..6_000).for_each(|seed| fuzz::requests(&bytes(seed)));
}

#[test]
fn changes() {
    (0..6_000).for_each(|seed| fuzz::changes(&bytes(seed)));
}

#[test]
fn records() {
    (0..6_000).for_each(|seed| fuzz::records(&bytes(seed)));
}
