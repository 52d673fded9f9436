// SPDX-License-Identifier: Apache-2.0
//! Token buckets in one number (GCRA, ITU-T I.371): the time at which the bucket would be full again.

use crate::model::Rate;

/// Takes a token from a bucket at `now`: its state afterwards, or `None` if there is none. State 0 is a full bucket. Times are
/// nanoseconds.
#[inline]
#[must_use]
pub fn take(bucket: u64, rate: Rate, now: u64) -> Option<u64> {
    let interval = 1_000_000_000 / u64::from(rate.per_second.max(1));
    let full = bucket.max(now) + interval;
    let depth = interval.saturating_mul(u64::from(rate.burst));
    (full <= now.saturating_add(depth)).then_some(full)
}

/// Whether a bucket is full at `now`: it says no more than none at all.
#[inline]
#[must_use]
pub fn is_full(bucket: u64, now: u64) -> bool {
    bucket <= now
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: u64 = 1_000_000_000;

    /// Tokens that can be had when one is tried for every millisecond.
    fn taken(rate: Rate, from: u64, seconds: u64) -> u32 {
        let (mut bucket, mut count) = (0, 0);
        for millisecond in 0..seconds * 1_000 {
            if let Some(after) = take(bucket, rate, from + millisecond * 1_000_000) {
                bucket = after;
                count += 1;
            }
        }
        count
    }

    #[test]
    fn a_bucket_gives_its_burst_and_then_its_rate() {
        let rate = Rate { per_second: 100, burst: 50 };
        assert_eq!(taken(rate, 0, 10), 50 + 1_000 - 1);
        assert_eq!(taken(rate, 77 * SECOND, 10), 50 + 1_000 - 1, "whenever it begins");
        let strict = Rate { per_second: 10, burst: 1 };
        assert_eq!(taken(strict, SECOND, 1), 10);
    }

    #[test]
    fn at_one_moment_there_is_the_burst() {
        let rate = Rate { per_second: 7, burst: 3 };
        let (mut bucket, now) = (0, 5 * SECOND);
        for _ in 0..3 {
            assert!(is_full(bucket, now) == (bucket == 0));
            bucket = take(bucket, rate, now).expect("the burst");
        }
        assert_eq!(take(bucket, rate, now), None);
        assert_eq!(take(bucket, rate, now + SECOND / 7 - 1), None);
        assert!(take(bucket, rate, now + SECOND / 7).is_some());
    }
}
