// SPDX-License-Identifier: Apache-2.0
//! The fuzzers' targets on random bytes, for machines without a fuzzer.

use berth_balancer_core::Random;
use berth_balancer_service::fuzz;

/// One edit, some, or very many. Most of what is written is a character that means something.
fn bytes(seed: u64) -> Vec<u8> {
    let mut random = Random::new(seed);
    let edits = [1, 2, 8, 100][random.below(4) as usize];
    let mut bytes = Vec::new();
    for _ in 0..edits {
        bytes.extend([random.below(256), random.below(4)].map(|b| u8::try_from(b).unwrap_or(0)));
        let meaning = b"0123456789abcxyz:/.,-[]{}' \n&*";
        bytes.push(meaning[random.below(30) as usize]);
    }
    bytes
}

#[test]
fn configurations() {
    (0..4_000).for_each(|seed| fuzz::configuration(&bytes(seed)));
}

#[test]
fn requests() {
    (0..10_000).for_each(|seed| fuzz::request(&bytes(seed)));
}
