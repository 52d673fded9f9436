// SPDX-License-Identifier: Apache-2.0
//! Which nodes have which images (plugin imagelocality): a bigger image that is on more nodes draws more.

use crate::Slot;
use crate::hash::{Hasher, Table};
use alloc::vec::Vec;
use berth_scheduler_model::Str;

const MIB: i64 = 1 << 20;
/// Sums below this count as nothing.
const THRESHOLD_MIN: i64 = 23 * MIB;
/// Sums above this, per container, count as this.
const THRESHOLD_MAX: i64 = 1_000 * MIB;

#[derive(Debug)]
struct Image {
    name: Str,
    /// By slot, with its size there.
    nodes: Vec<(Slot, i64)>,
}

/// All images on nodes.
#[derive(Debug)]
pub(crate) struct Images {
    images: Table<Image>,
    hasher: Hasher,
    /// Changes whenever a score may have.
    epoch: u64,
}

impl Images {
    pub(crate) fn new(hasher: Hasher) -> Self {
        Self { images: Table::new(), hasher, epoch: 1 }
    }

    /// See the field.
    pub(crate) fn epoch(&self) -> u64 {
        self.epoch
    }

    /// The number of nodes changed: every fraction of nodes does.
    pub(crate) fn nodes_changed(&mut self) {
        if !self.images.is_empty() {
            self.epoch += 1;
        }
    }

    /// A node's images changed from `old` to `new`.
    pub(crate) fn update(&mut self, slot: Slot, old: &[(Str, i64)], new: &[(Str, i64)]) {
        if old == new {
            return;
        }
        self.epoch += 1;
        for (name, _) in old {
            let hash = self.hasher.hash(&**name);
            if let Ok(mut found) = self.images.find_entry(hash, |i| i.name == *name) {
                let nodes = &mut found.get_mut().nodes;
                if let Ok(at) = nodes.binary_search_by_key(&slot, |(s, _)| *s) {
                    nodes.remove(at);
                }
                if nodes.is_empty() {
                    found.remove();
                }
            }
        }
        for (name, size) in new {
            let hash = self.hasher.hash(&**name);
            let hasher = &self.hasher;
            let image = self
                .images
                .entry(hash, |i| i.name == *name, |i| hasher.hash(&*i.name))
                .or_insert_with(|| Image { name: name.clone(), nodes: Vec::new() })
                .into_mut();
            match image.nodes.binary_search_by_key(&slot, |(s, _)| *s) {
                // Of one name given twice the later stands, as in upstream's map.
                Ok(at) => image.nodes[at].1 = *size,
                Err(at) => image.nodes.insert(at, (slot, *size)),
            }
        }
    }

    /// The score of each node where it is not zero, by slot: 0..=100, before its weight.
    pub(crate) fn scores(
        &self,
        names: &[Str],
        containers: u32,
        total: u32,
        scores: &mut Vec<(Slot, i64)>,
    ) {
        scores.clear();
        for name in names {
            let hash = self.hasher.hash(&**name);
            let Some(image) = self.images.find(hash, |i| i.name == *name) else { continue };
            let spread = fraction(image.nodes.len(), total);
            for (slot, size) in &image.nodes {
                let share = share(*size, spread);
                match scores.binary_search_by_key(slot, |(s, _)| *s) {
                    Ok(at) => scores[at].1 += share,
                    Err(at) => scores.insert(at, (*slot, share)),
                }
            }
        }
        let max = THRESHOLD_MAX * i64::from(containers);
        for (_, score) in scores.iter_mut() {
            let sum = if *score > max { max } else { (*score).max(THRESHOLD_MIN) };
            *score = 100 * (sum - THRESHOLD_MIN) / (max - THRESHOLD_MIN);
        }
        scores.retain(|(_, score)| *score != 0);
    }
}

#[expect(clippy::cast_precision_loss, reason = "numbers of nodes")]
fn fraction(nodes: usize, total: u32) -> f64 {
    nodes as f64 / f64::from(total)
}

#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    reason = "as upstream computes it"
)]
fn share(size: i64, spread: f64) -> i64 {
    (size as f64 * spread) as i64
}
