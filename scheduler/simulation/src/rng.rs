// SPDX-License-Identifier: Apache-2.0
//! A small random number generator: a seed must give the same run in a hundred years, so no library's may change it.

/// Where choices come from.
#[derive(Debug, Clone)]
pub struct Rng(Source);

#[derive(Debug, Clone)]
enum Source {
    /// SplitMix64 (Steele, Lea, Flood 2014).
    Seed(u64),
    /// Given bytes, the last of them first; then zeros.
    Bytes(Vec<u8>),
}

impl Rng {
    /// Random choices for `seed`.
    #[must_use]
    pub fn new(seed: u64) -> Self {
        Self(Source::Seed(seed))
    }

    /// Choices that follow from bytes, one or two for each: what a fuzzer plays on.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(Source::Bytes(bytes.iter().rev().copied().collect()))
    }

    /// Whether all given bytes are used up.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        matches!(&self.0, Source::Bytes(left) if left.is_empty())
    }

    /// The next 64 bits.
    pub fn next_u64(&mut self) -> u64 {
        match &mut self.0 {
            Source::Seed(state) => {
                *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
                let mut z = *state;
                z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
                z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
                z ^ (z >> 31)
            }
            Source::Bytes(left) => {
                let bytes = [(); 8].map(|()| left.pop().unwrap_or(0));
                u64::from_be_bytes(bytes)
            }
        }
    }

    /// As many bits as a choice among `bound` needs, the highest first.
    fn bits(&mut self, bound: usize) -> u64 {
        let Source::Bytes(left) = &mut self.0 else { return self.next_u64() };
        if bound > 1 << 16 {
            return self.next_u64();
        }
        let mut next = || u64::from(left.pop().unwrap_or(0));
        let first = next() << 56;
        if bound > 1 << 8 { first | next() << 48 } else { first }
    }

    /// A number below `bound`, which must not be 0.
    ///
    /// # Panics
    /// Not on machines whose addresses have up to 64 bits.
    pub fn below(&mut self, bound: usize) -> usize {
        // Multiply and shift (Lemire 2019); the bias is below 2^-32 for the sizes used here.
        let wide = u128::from(self.bits(bound)) * bound as u128;
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
    fn bytes_make_choices_until_they_are_spent() {
        let mut rng = Rng::from_bytes(&[0x80, 0xff, 0xff]);
        assert_eq!((rng.below(100), rng.below(1_000)), (50, 999));
        assert!(rng.is_spent());
        assert_eq!(rng.below(7), 0);
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
