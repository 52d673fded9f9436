// SPDX-License-Identifier: Apache-2.0
//! The order of nodes with equal totals as 20-bit labels, so that a lane holds score and order in one word.
//!
//! Order: lowest hash of seed and name, then name. A new node gets a label between those of its neighbours; when there is none
//! left, a stretch of neighbours is spread out anew (order maintenance after Bender et al., "Two Simplified Algorithms for
//! Maintaining Order in a List", 2002).

use crate::Slot;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use berth_scheduler_model::Str;
use berth_scheduler_model::limits::NODES_MAX;

/// Bits of a label.
pub(crate) const TIE_BITS: u32 = 20;

/// Largest label.
pub(crate) const TIE_MAX: u32 = (1 << TIE_BITS) - 1;

const _: () = assert!(NODES_MAX == 1 << TIE_BITS);

/// The order, by hash and name.
#[derive(Debug, Default)]
pub(crate) struct Ties {
    order: BTreeMap<(u64, Str), Slot>,
}

impl Ties {
    /// Takes a node in and labels it in `labels` (by slot). Returns the other nodes whose label changed.
    pub(crate) fn insert(
        &mut self,
        hash: u64,
        name: &Str,
        slot: Slot,
        labels: &mut [u32],
    ) -> Vec<Slot> {
        let key = (hash, name.clone());
        let label = |slot: &Slot| i64::from(labels[*slot as usize]);
        let below = self.order.range(..key.clone()).next_back().map_or(-1, |(_, s)| label(s));
        let above = self
            .order
            .range(key.clone()..)
            .next()
            .map_or(i64::from(TIE_MAX) + 1, |(_, s)| label(s));
        self.order.insert(key.clone(), slot);
        if above - below > 1 {
            // Where the hash wants it, if that is between: labels then stay as evenly spread as hashes are.
            let wish = i64::try_from(hash >> (64 - TIE_BITS)).expect("20 bits");
            let label = wish.clamp(below + 1, above - 1);
            labels[slot as usize] = u32::try_from(label).expect("between two labels");
            return Vec::new();
        }
        self.spread(&key, slot, labels)
    }

    /// Forgets a node.
    pub(crate) fn remove(&mut self, hash: u64, name: &Str) {
        self.order.remove(&(hash, name.clone()));
    }

    /// Spreads the labels around `key` over the smallest stretch that is at most half full.
    fn spread(&mut self, key: &(u64, Str), slot: Slot, labels: &mut [u32]) -> Vec<Slot> {
        let near = self
            .order
            .range(..key.clone())
            .next_back()
            .map_or(0, |(_, below)| labels[*below as usize]);
        let mut bits = 5;
        loop {
            let (low, high) = if bits >= TIE_BITS {
                (0, TIE_MAX)
            } else {
                (near >> bits << bits, (near >> bits << bits) | ((1 << bits) - 1))
            };
            let inside = |s: &Slot| *s == slot || (low..=high).contains(&labels[*s as usize]);
            let back = self.order.range(..key.clone()).rev().map(|(_, s)| *s).take_while(inside);
            let mut run: Vec<Slot> = back.collect();
            run.reverse();
            run.extend(self.order.range(key.clone()..).map(|(_, s)| *s).take_while(inside));
            let width = u64::from(high - low) + 1;
            let count = run.len() as u64;
            if count * 2 <= width || (bits >= TIE_BITS && count <= width) {
                for (i, s) in (0..).zip(&run) {
                    let label = u64::from(low) + (i * width + width / 2) / count;
                    labels[*s as usize] = u32::try_from(label).expect("inside the stretch");
                }
                run.retain(|s| *s != slot);
                return run;
            }
            bits += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::mix;
    use alloc::format;
    use alloc::vec;

    fn check_order(ties: &Ties, labels: &[u32]) {
        let by_order: Vec<u32> = ties.order.values().map(|slot| labels[*slot as usize]).collect();
        assert!(by_order.windows(2).all(|w| w[0] < w[1]), "labels rise with the order");
    }

    #[test]
    fn labels_follow_the_order_however_crowded() {
        let mut ties = Ties::default();
        let mut labels = vec![0; 40_000];
        for slot in 0..40_000_u32 {
            // A third of the hashes share their upper bits.
            let hash = if slot % 3 == 0 { u64::from(slot) } else { mix(u64::from(slot)) };
            ties.insert(hash, &Str::from(format!("n{slot}")), slot, &mut labels);
            if slot.is_power_of_two() || slot % 9_973 == 0 {
                check_order(&ties, &labels);
            }
        }
        check_order(&ties, &labels);
    }

    #[test]
    fn equal_hashes_go_by_name() {
        let mut ties = Ties::default();
        let mut labels = vec![0; 4];
        for (slot, name) in ["c", "a", "d", "b"].into_iter().enumerate() {
            ties.insert(7, &Str::from(name), u32::try_from(slot).unwrap(), &mut labels);
        }
        check_order(&ties, &labels);
        assert!(labels[1] < labels[3] && labels[3] < labels[0] && labels[0] < labels[2]);
    }
}
