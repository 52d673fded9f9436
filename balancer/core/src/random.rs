// SPDX-License-Identifier: Apache-2.0
//! SplitMix64 (Steele, Lea, Flood 2014): choices that follow from a seed alone, here and in a hundred years.

/// Where a worker's choices come from.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// Choices for `seed`. Workers get different seeds, else they all choose alike.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    #[inline]
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        mix(self.0)
    }

    /// A number below `bound`; 0 if `bound` is 0.
    #[inline]
    pub fn below(&mut self, bound: u32) -> u32 {
        scale(self.next_u64() >> 32, bound)
    }

    /// Two different numbers below `bound`, which is at least 2.
    #[inline]
    pub fn pair(&mut self, bound: u32) -> (u32, u32) {
        let bits = self.next_u64();
        let first = scale(bits >> 32, bound);
        let second = scale(bits & 0xffff_ffff, bound - 1);
        (first, second + u32::from(second >= first))
    }
}

/// 32 random bits made a number below `bound` by multiply and shift (Lemire 2019); the bias is below `bound` / 2^32.
#[inline]
fn scale(bits: u64, bound: u32) -> u32 {
    ((bits * u64::from(bound)) >> 32) as u32
}

/// The finaliser: every bit of the input changes half of the output.
#[inline]
pub(crate) fn mix(mut z: u64) -> u64 {
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_two_different_numbers_and_every_pair_comes() {
        let mut random = Random::new(1);
        let mut seen = [[0_u32; 5]; 5];
        for _ in 0..20_000 {
            let (a, b) = random.pair(5);
            seen[a as usize][b as usize] += 1;
        }
        for (a, row) in seen.iter().enumerate() {
            for (b, &count) in row.iter().enumerate() {
                if a == b {
                    assert_eq!(count, 0);
                } else {
                    assert!((850..1_150).contains(&count), "{a},{b}: {count}");
                }
            }
        }
        assert_ne!(random.pair(2), (0, 0));
    }

    #[test]
    fn a_number_is_below_its_bound() {
        let mut random = Random::new(2);
        assert_eq!(random.below(0), 0);
        assert!((0..1_000).all(|_| random.below(1) == 0 && random.below(7) < 7));
    }
}
