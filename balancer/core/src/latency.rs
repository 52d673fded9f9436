// SPDX-License-Identifier: Apache-2.0
//! Peak-EWMA latency, as in Finagle: a slower answer counts at once, a faster one little by little.
//!
//! Time is what weighs, not the number of answers: of what was known, half is left after a half-life. All in whole numbers, so
//! that a seed gives the same run on every machine.

/// Half-life, as a power of two: 2^31 ns are 2.1 s, a time constant of 3.1 s (Finagle: 10 s). For the slowest requests it hardly matters: of the
/// example `tail_latency` the p99 is between 17.6 and 20.2 with half-lives from 1 to 17 s. For a backend that was slow once it does: one of two
/// or three that took 500 times as long is tried again after 20 s, and not after 80.
const HALF_LIFE_BITS: u32 = 31;

/// Longest latency that is told apart: 2^46 ns, about 20 hours.
const LATENCY_NS_MAX: u64 = 1 << 46;

/// What is known of a backend's latency.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Latency {
    /// Nanoseconds; 0 is unknown.
    value: u64,
    /// When it was observed last.
    at: u64,
}

impl Latency {
    pub(crate) const UNKNOWN: Self = Self { value: 0, at: 0 };

    /// Takes an answer's latency in. Both in nanoseconds.
    pub(crate) fn observe(&mut self, sample: u64, now: u64) {
        let sample = sample.clamp(1, LATENCY_NS_MAX);
        self.value = if sample >= self.value {
            sample
        } else {
            sample + decay(self.value - sample, now.saturating_sub(self.at))
        };
        self.at = now;
    }

    /// The latency to expect at `now`. What was observed long ago says little: it goes over into `mean`, so that a backend that
    /// was slow is tried again, and one that was passed over for long is not run down for its forgotten speed.
    #[inline]
    pub(crate) fn estimate(&self, mean: u64, now: u64) -> u64 {
        if self.value == 0 {
            return mean.max(1);
        }
        let age = now.saturating_sub(self.at);
        let estimate = if self.value >= mean {
            mean + decay(self.value - mean, age)
        } else {
            mean - decay(mean - self.value, age)
        };
        estimate.max(1)
    }
}

/// What is left of `value` after `age`: a straight line between the halvings, at most 6 % above the curve.
#[inline]
fn decay(value: u64, age: u64) -> u64 {
    let halvings = age >> HALF_LIFE_BITS;
    if halvings >= 46 {
        return 0;
    }
    let value = value >> halvings;
    let part = (age >> (HALF_LIFE_BITS - 16)) & 0xffff;
    value - ((value * part) >> 17)
}

/// The mean latency of a frontend's backends, for those of which nothing is known.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Mean(u64);

impl Mean {
    pub(crate) const UNKNOWN: Self = Self(0);

    /// Takes an answer's latency in: a 32nd of the difference, so that a hundred answers tell.
    pub(crate) fn observe(&mut self, sample: u64) {
        let sample = sample.clamp(1, LATENCY_NS_MAX);
        self.0 = if self.0 == 0 {
            sample
        } else if sample >= self.0 {
            self.0 + (sample - self.0) / 32
        } else {
            self.0 - (self.0 - sample) / 32
        };
    }

    #[inline]
    pub(crate) fn get(self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HALF: u64 = 1 << HALF_LIFE_BITS;

    #[test]
    fn a_peak_counts_at_once_and_halves() {
        let mut latency = Latency::UNKNOWN;
        latency.observe(1_000, 0);
        latency.observe(9_000, 1);
        assert_eq!(latency.estimate(0, 1), 9_000);
        latency.observe(1_000, HALF + 1);
        assert_eq!(latency.estimate(0, HALF + 1), 5_000);
        assert_eq!(latency.estimate(0, 2 * HALF + 1), 2_500);
    }

    #[test]
    fn what_is_old_becomes_the_mean_from_both_sides() {
        let (mut slow, mut quick) = (Latency::UNKNOWN, Latency::UNKNOWN);
        slow.observe(9_000, 0);
        quick.observe(1_000, 0);
        assert_eq!((slow.estimate(5_000, HALF), quick.estimate(5_000, HALF)), (7_000, 3_000));
        assert_eq!(slow.estimate(5_000, 60 * HALF), 5_000);
        assert_eq!(quick.estimate(5_000, u64::MAX), 5_000);
        assert_eq!(Latency::UNKNOWN.estimate(5_000, 7), 5_000);
        assert_eq!(Latency::UNKNOWN.estimate(0, 7), 1, "never 0: loads are multiplied by it");
    }

    #[test]
    fn decay_is_near_the_curve_and_never_rises() {
        let mut before = u64::MAX;
        for step in 0..400_u32 {
            let age = HALF / 32 * u64::from(step);
            let left = decay(1 << 40, age);
            let exact = (40.0 - f64::from(step) / 32.0).exp2();
            #[expect(clippy::cast_precision_loss, reason = "below 2^53")]
            let error = left as f64 / exact;
            assert!((0.99..1.07).contains(&error), "step {step}: {error}");
            assert!(left <= before);
            before = left;
        }
        assert_eq!(decay(LATENCY_NS_MAX, u64::MAX), 0);
    }

    #[test]
    fn the_mean_follows_and_stays_between() {
        let mut mean = Mean::UNKNOWN;
        mean.observe(1_000);
        assert_eq!(mean.get(), 1_000);
        for _ in 0..500 {
            mean.observe(5_000);
        }
        assert!((4_900..=5_000).contains(&mean.get()), "{}", mean.get());
    }
}
