// SPDX-License-Identifier: Apache-2.0
//! Reads the data plane's histograms.

use berth_balancer_data::stats::{Histogram, LATENCY_BOUNDS_NS};

/// Upper bound of the bucket in which so many thousandths of all lie, in nanoseconds; 0 if there are none, and the largest number
/// where they lie above all bounds.
#[must_use]
pub fn quantile(histogram: &Histogram, thousandths: u64) -> u64 {
    let count: u64 = histogram.buckets.iter().sum();
    if count == 0 {
        return 0;
    }
    let rank = (count * thousandths).div_ceil(1_000).max(1);
    let mut seen = 0;
    for (at, bucket) in histogram.buckets.iter().enumerate() {
        seen += bucket;
        if seen >= rank {
            return LATENCY_BOUNDS_NS.get(at).copied().unwrap_or(u64::MAX);
        }
    }
    u64::MAX
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_the_bound_of_its_bucket() {
        let mut histogram = Histogram { buckets: vec![0; 23], sum_ns: 0 };
        assert_eq!(quantile(&histogram, 500), 0);
        histogram.buckets[0] = 98;
        histogram.buckets[3] = 1;
        histogram.buckets[22] = 1;
        assert_eq!(quantile(&histogram, 500), LATENCY_BOUNDS_NS[0]);
        assert_eq!(quantile(&histogram, 990), LATENCY_BOUNDS_NS[3]);
        assert_eq!(quantile(&histogram, 999), u64::MAX);
    }
}
