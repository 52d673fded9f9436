// SPDX-License-Identifier: Apache-2.0
//! A small random number generator: a seed must give the same run in a hundred years, so no library's may change it.

/// SplitMix64 (Steele, Lea, Flood 2014).
#[derive(Debug, Clone)]
pub struct Rng(u64);

impl Rng {
    /// A generator for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, which must not be 0.
    ///
    /// # Panics
    /// Not on machines whose addresses have up to 64 bits.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and shift (Lemire 2019); the bias is below 2^-32 for the sizes used here.
        let wide = u128::from(self.next_u64()) * bound as u128;
        usize::try_from(wide >> 64).expect("below a usize")
    }

    /// A number from `low` to `high`, both included.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high - low + 1)
    }

    /// As `between`, for amounts.
    ///
    /// # Panics
    /// If `low` is above `high`.
    pub fn amount(&mut self, low: i64, high: i64) -> i64 {
        let span = usize::try_from(high - low + 1).expect("low is not above high");
        low + i64::try_from(self.below(span)).expect("inside the span")
    }

    /// True with the probability `percent / 100`.
    pub fn percent(&mut self, percent: usize) -> bool {
        self.below(100) < percent
    }

    /// One of the things, of which there must be one.
    pub fn pick<'a, T>(&mut self, things: &'a [T]) -> &'a T {
        &things[self.below(things.len())]
    }

    /// One of the things by place, the more likely the heavier; `None` if all weights are 0.
    pub fn weighed(&mut self, weights: &[usize]) -> Option<usize> {
        let sum: usize = weights.iter().sum();
        if sum == 0 {
            return None;
        }
        let mut at = self.below(sum);
        weights.iter().position(|weight| match at.checked_sub(*weight) {
            Some(rest) => {
                at = rest;
                false
            }
            None => true,
        })
    }

    /// Puts things in random order.
    pub fn shuffle<T>(&mut self, things: &mut [T]) {
        for at in (1..things.len()).rev() {
            things.swap(at, self.below(at + 1));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weights_decide_and_nothing_is_left_out() {
        let mut rng = Rng::new(1);
        let mut seen = [0; 3];
        for _ in 0..1_000 {
            seen[rng.weighed(&[1, 0, 3]).expect("weights are there")] += 1;
        }
        assert_eq!(seen[1], 0);
        assert!(seen[0] > 150 && seen[2] > 600, "{seen:?}");
        assert_eq!(rng.weighed(&[0, 0]), None);
    }

    #[test]
    fn a_shuffle_keeps_everything() {
        let mut things: Vec<usize> = (0..100).collect();
        Rng::new(2).shuffle(&mut things);
        assert_ne!(things[..10], [0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        things.sort_unstable();
        assert_eq!(things, (0..100).collect::<Vec<_>>());
    }
}
