// SPDX-License-Identifier: Apache-2.0
//! Maglev hashing (Eisenbud et al., NSDI'16, section 3.4), with weights as Envoy has them.

use crate::hash::stable_pair;
use crate::limits::{MAGLEV_SIZES, MAGLEV_SIZES_LARGE};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;

/// No backend yet.
const FREE: u32 = u32::MAX;

/// The table for backends of which the stable hash and the weight are given: a backend's place in each slot.
pub(crate) fn table(backends: &[(u64, u32)]) -> Box<[u32]> {
    let size = size(backends.len());
    let mut slots = vec![FREE; size as usize];
    let heaviest = backends.iter().map(|(_, weight)| *weight).max().map_or(1, u64::from);
    let mut walks: Vec<Walk> = backends.iter().map(|(hash, _)| Walk::new(*hash, size)).collect();
    // Each backend walks through all slots in an order of its own and takes the next free one whenever it is its turn; the
    // heaviest has a turn in each round, others in as many as their share of its weight.
    let mut free = if backends.is_empty() { 0 } else { size };
    let mut round = 0_u64;
    while free > 0 {
        round += 1;
        for (at, (walk, (_, weight))) in (0..).zip(walks.iter_mut().zip(backends)) {
            if round * u64::from(*weight) < walk.due {
                continue;
            }
            walk.due += heaviest;
            let mut slot = walk.next(size);
            while slots[slot as usize] != FREE {
                slot = walk.next(size);
            }
            slots[slot as usize] = at;
            free -= 1;
            if free == 0 {
                break;
            }
        }
    }
    slots.into_boxed_slice()
}

/// Slots for so many backends.
fn size(backends: usize) -> u32 {
    let at_least =
        |each: u64| move |size: &u32| u64::from(*size) >= each.saturating_mul(backends as u64);
    let [.., largest] = MAGLEV_SIZES;
    let [.., limit] = MAGLEV_SIZES_LARGE;
    let usual = MAGLEV_SIZES.into_iter().find(at_least(100));
    let usual = usual.or_else(|| Some(largest).filter(at_least(10)));
    usual.or_else(|| MAGLEV_SIZES_LARGE.into_iter().find(at_least(10))).unwrap_or(limit)
}

/// A backend's way through the slots: `offset`, `offset + skip`, ... A prime number of slots makes it pass through all.
struct Walk {
    at: u32,
    skip: u32,
    /// The weight that its rounds must have summed up to before its next turn.
    due: u64,
}

impl Walk {
    fn new(hash: u64, size: u32) -> Self {
        let modulo = |hash: u64, by: u32| u32::try_from(hash % u64::from(by)).unwrap_or(0);
        let skip = modulo(stable_pair(hash, 1), size - 1) + 1;
        Self { at: modulo(stable_pair(hash, 2), size), skip, due: 0 }
    }

    fn next(&mut self, size: u32) -> u32 {
        let at = self.at;
        // Both are below `size`: one subtraction is the remainder.
        let next = at + self.skip;
        self.at = if next >= size { next - size } else { next };
        at
    }
}

/// The slot of a hash.
#[inline]
pub(crate) fn slot(hash: u64, size: usize) -> usize {
    // Multiply and shift: cheaper than the remainder, and as even.
    usize::try_from((u128::from(hash) * size as u128) >> 64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hash::stable;
    use alloc::format;

    fn backends(count: usize) -> Vec<(u64, u32)> {
        (0..count).map(|at| (stable(format!("pod-{at}").as_bytes(), 0), 1)).collect()
    }

    #[test]
    fn sizes_are_primes_of_about_a_hundred_times_the_backends() {
        for size in MAGLEV_SIZES.into_iter().chain(MAGLEV_SIZES_LARGE) {
            assert!((2..=size.isqrt()).all(|divisor| size % divisor != 0), "{size} is no prime");
        }
        assert_eq!((size(1), size(2), size(3), size(20)), (251, 251, 2_039, 2_039));
        assert_eq!((size(100), size(655), size(1_000)), (16_381, 65_537, 65_537));
        assert_eq!((size(10_000), size(100_000), size(1 << 20)), (655_373, 5_000_011, 5_000_011));
    }

    #[test]
    fn every_backend_has_its_share_of_slots() {
        for count in [1, 2, 3, 10, 100, 600] {
            let table = table(&backends(count));
            let mut shares = vec![0_usize; count];
            for at in &table {
                shares[*at as usize] += 1;
            }
            let (least, most) = (shares.iter().min().unwrap(), shares.iter().max().unwrap());
            assert!(most - least <= 1, "{count} backends: {least} to {most} slots");
        }
    }

    #[test]
    fn slots_follow_weights() {
        let mut weighed = backends(3);
        (weighed[0].1, weighed[1].1, weighed[2].1) = (100, 200, 700);
        let table = table(&weighed);
        for (at, percent) in [(0, 10), (1, 20), (2, 70)] {
            let share = 100 * table.iter().filter(|slot| **slot == at).count() / table.len();
            assert!(share.abs_diff(percent) <= 1, "{at}: {share} % of {percent} %");
        }
    }

    #[test]
    fn no_backends_leave_all_slots_free() {
        assert!(table(&[]).iter().all(|slot| *slot == FREE));
    }
}
