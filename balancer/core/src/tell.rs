// SPDX-License-Identifier: Apache-2.0
//! What both paths tell in the same words: reasons of refusals, and bounds of latencies.

use crate::Refusal;

/// Names of the reasons for which a flow gets no backend, each at [`Refusal::index`].
pub const REFUSALS: [&str; 9] = [
    "no_endpoint",
    "no_local_endpoint",
    "source",
    "all_tried",
    "endpoints_full",
    "service_full",
    "source_full",
    "source_rate",
    "sources_full",
];

impl Refusal {
    /// Where its name stands in [`REFUSALS`].
    #[must_use]
    pub const fn index(self) -> usize {
        match self {
            Self::NoEndpoint => 0,
            Self::NoLocalEndpoint => 1,
            Self::Source => 2,
            Self::AllTried => 3,
            Self::EndpointsFull => 4,
            Self::ServiceFull => 5,
            Self::SourceFull => 6,
            Self::SourceRate => 7,
            Self::SourcesFull => 8,
        }
    }
}

/// Buckets of latencies: one for each of [`LATENCY_BOUNDS_NS`], and one for all above.
pub const LATENCY_BUCKETS: usize = LATENCY_BOUNDS_NS.len() + 1;

/// Upper bounds of the buckets, in nanoseconds: 16 us and then twice as much each.
pub const LATENCY_BOUNDS_NS: [u64; 22] = {
    let mut bounds = [0; 22];
    let mut at = 0;
    while at < bounds.len() {
        bounds[at] = 1 << (FIRST_BIT + at);
        at += 1;
    }
    bounds
};

/// The first bound's only bit.
const FIRST_BIT: usize = 14;

/// The bucket of a latency in nanoseconds.
#[must_use]
#[inline]
pub const fn latency_bucket(latency_ns: u64) -> usize {
    // Bounds are powers of two: the position of the highest bit tells.
    let above = 64 - (latency_ns.saturating_sub(1) >> FIRST_BIT).leading_zeros() as usize;
    if above < LATENCY_BOUNDS_NS.len() { above } else { LATENCY_BOUNDS_NS.len() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_latency_is_counted_below_its_bound() {
        for (latency, bucket) in [(0, 0), (16_384, 0), (16_385, 1), (32_768, 1), (32_769, 2)] {
            assert_eq!(latency_bucket(latency), bucket, "{latency}");
        }
        for (at, bound) in LATENCY_BOUNDS_NS.iter().enumerate() {
            assert_eq!((latency_bucket(*bound), latency_bucket(bound + 1)), (at, at + 1));
        }
        assert_eq!(latency_bucket(u64::MAX), LATENCY_BOUNDS_NS.len());
    }
}
