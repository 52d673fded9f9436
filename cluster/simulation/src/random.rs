// SPDX-License-Identifier: Apache-2.0
//! Chance that a seed decides.

/// A small generator: one seed, one sequence (splitmix64).
#[derive(Debug)]
pub struct Random(pub u64);

impl Random {
    /// A number below a bound.
    pub fn below(&mut self, bound: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(bound)).expect("it is below a u32")
    }

    /// True once in so many times.
    pub fn one_in(&mut self, bound: u32) -> bool {
        self.below(bound) == 0
    }
}
