// SPDX-License-Identifier: Apache-2.0
//! A hash ring (Karger et al., STOC'97): each backend has many points, and a hash belongs to the next point.

use crate::hash::stable_pair;
use crate::limits::{RING_POINTS, RING_POINTS_MAX};
use alloc::boxed::Box;
use alloc::vec::Vec;

/// A point, and the place of its backend.
pub(crate) type Point = (u64, u32);

/// The ring for backends of which the stable hash and the weight are given.
pub(crate) fn ring(backends: &[(u64, u32)]) -> Box<[Point]> {
    let lightest = backends.iter().map(|(_, weight)| *weight).min().unwrap_or(1).max(1);
    let points = |weight: u32| u64::from(weight) * u64::from(RING_POINTS) / u64::from(lightest);
    let all: u64 = backends.iter().map(|(_, weight)| points(*weight)).sum();
    let most = RING_POINTS_MAX as u64;
    let mut ring = Vec::new();
    for (at, (hash, weight)) in (0..).zip(backends) {
        let count = points(*weight);
        let count = if all > most { (count * most / all).max(1) } else { count };
        ring.extend((0..count).map(|number| (stable_pair(*hash, number), at)));
    }
    ring.sort_unstable();
    ring.into_boxed_slice()
}

/// The place on the ring at which a hash begins to look for its backend.
#[inline]
pub(crate) fn start(ring: &[Point], hash: u64) -> usize {
    let at = ring.partition_point(|(point, _)| *point < hash);
    if at == ring.len() { 0 } else { at }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    #[test]
    fn points_follow_weights_and_stay_below_their_bound() {
        let count = |backends: &[(u64, u32)], at: u32| {
            ring(backends).iter().filter(|point| point.1 == at).count()
        };
        assert_eq!((count(&[(1, 5), (2, 10)], 0), count(&[(1, 5), (2, 10)], 1)), (160, 320));
        let large = ring(&vec![(3, 1); 100_000]);
        assert!(large.len() <= RING_POINTS_MAX && large.len() >= 100_000);
        assert!(ring(&[(1, 1), (2, 65_535)]).len() <= RING_POINTS_MAX + 2);
    }

    #[test]
    fn the_last_hash_belongs_to_the_first_point() {
        let ring = ring(&[(1, 1), (2, 1)]);
        assert_eq!(start(&ring, 0), 0);
        assert_eq!(start(&ring, ring[10].0), 10);
        assert_eq!(start(&ring, ring[10].0 + 1), 11);
        assert_eq!(start(&ring, u64::MAX), if ring[319].0 == u64::MAX { 319 } else { 0 });
    }
}
