// SPDX-License-Identifier: Apache-2.0
//! What a worker counts. One thread writes, another one reads whenever it likes: a counter is a plain store that cannot tear, and
//! no core waits for another.

use crate::stats::{Histogram, REFUSALS};
use berth_balancer_core::table::{BackendId, FrontendId};
use berth_balancer_core::{LATENCY_BUCKETS, Refusal, latency_bucket};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};

/// A count that one thread writes.
#[derive(Debug, Default)]
pub(crate) struct Count(AtomicU64);

impl Count {
    #[inline]
    pub(crate) fn add(&self, more: u64) {
        self.set(self.get().wrapping_add(more));
    }

    #[inline]
    pub(crate) fn sub(&self, less: u64) {
        self.set(self.get().saturating_sub(less));
    }

    #[inline]
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }

    #[inline]
    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Relaxed);
    }
}

/// How often which latency was seen.
#[derive(Debug)]
pub(crate) struct Latencies {
    buckets: [Count; LATENCY_BUCKETS],
    sum_ns: Count,
}

impl Default for Latencies {
    fn default() -> Self {
        Self { buckets: std::array::from_fn(|_| Count::default()), sum_ns: Count::default() }
    }
}

impl Latencies {
    #[inline]
    pub(crate) fn observe(&self, latency_ns: u64) {
        self.buckets[latency_bucket(latency_ns)].add(1);
        self.sum_ns.add(latency_ns);
    }

    pub(crate) fn add_to(&self, histogram: &mut Histogram) {
        histogram.buckets.resize(self.buckets.len(), 0);
        for (sum, bucket) in histogram.buckets.iter_mut().zip(&self.buckets) {
            *sum += bucket.get();
        }
        histogram.sum_ns += self.sum_ns.get();
    }

    fn clear(&self) {
        self.buckets.iter().for_each(|bucket| bucket.set(0));
        self.sum_ns.set(0);
    }
}

/// Of one frontend.
#[derive(Debug, Default)]
pub(crate) struct FrontendCounts {
    generation: AtomicU32,
    pub(crate) active: Count,
    pub(crate) accepted: Count,
    pub(crate) refused: [Count; REFUSALS.len()],
    pub(crate) retries: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) connect: Latencies,
    pub(crate) first_byte: Latencies,
}

/// Of one backend.
#[derive(Debug, Default)]
pub(crate) struct BackendCounts {
    generation: AtomicU32,
    pub(crate) active: Count,
    pub(crate) opened: Count,
    pub(crate) failed: Count,
    pub(crate) ejected: Count,
    pub(crate) bytes_in: Count,
    pub(crate) bytes_out: Count,
    pub(crate) latency_ns: Count,
}

impl FrontendCounts {
    /// Counts a flow that gets no endpoint.
    pub(crate) fn refuse(&self, refusal: Refusal) {
        self.refused[refusal.index()].add(1);
    }

    fn clear(&self) {
        for count in [&self.active, &self.accepted, &self.retries, &self.bytes_in, &self.bytes_out]
        {
            count.set(0);
        }
        self.refused.iter().for_each(|count| count.set(0));
        self.connect.clear();
        self.first_byte.clear();
    }
}

impl BackendCounts {
    fn clear(&self) {
        for count in [&self.active, &self.opened, &self.failed, &self.ejected] {
            count.set(0);
        }
        for count in [&self.bytes_in, &self.bytes_out, &self.latency_ns] {
            count.set(0);
        }
    }
}

/// Of the worker itself.
#[derive(Debug, Default)]
pub(crate) struct Own {
    pub(crate) connections: Count,
    pub(crate) flows: Count,
    pub(crate) accepted: Count,
    pub(crate) shortcut: Count,
    pub(crate) paused: Count,
    pub(crate) crowded: Count,
    pub(crate) evicted: Count,
    pub(crate) dropped: Count,
    pub(crate) malformed: Count,
    pub(crate) timed_out: Count,
    pub(crate) spliced_bytes: Count,
    pub(crate) talks: Count,
    pub(crate) loops: Count,
}

/// What a worker counts.
#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) own: Own,
    frontends: Pages<FrontendCounts>,
    backends: Pages<BackendCounts>,
}

impl Counters {
    /// Of a frontend, from 0 if its slot had another one before.
    #[inline]
    pub(crate) fn frontend(&self, id: FrontendId) -> &FrontendCounts {
        let counts = self.frontends.get(id.slot);
        if counts.generation.load(Relaxed) != id.generation {
            counts.clear();
            counts.generation.store(id.generation, Relaxed);
        }
        counts
    }

    /// Of a backend, from 0 if its slot had another one before.
    #[inline]
    pub(crate) fn backend(&self, id: BackendId) -> &BackendCounts {
        let counts = self.backends.get(id.slot);
        if counts.generation.load(Relaxed) != id.generation {
            counts.clear();
            counts.generation.store(id.generation, Relaxed);
        }
        counts
    }

    /// Of a frontend, if its slot has no other one since, and anything was counted.
    #[inline]
    pub(crate) fn known_frontend(&self, id: FrontendId) -> Option<&FrontendCounts> {
        self.frontends.peek(id.slot).filter(|c| c.generation.load(Relaxed) == id.generation)
    }

    /// Of a backend, if its slot has no other one since, and anything was counted.
    #[inline]
    pub(crate) fn known_backend(&self, id: BackendId) -> Option<&BackendCounts> {
        self.backends.peek(id.slot).filter(|c| c.generation.load(Relaxed) == id.generation)
    }
}

const PAGE: usize = 64;

/// Counts by slot, made a page at a time as they are used.
#[derive(Debug)]
struct Pages<T>(Box<[OnceLock<Box<[T]>>]>);

impl<T> Default for Pages<T> {
    fn default() -> Self {
        // As many as the core's largest table has slots, and as many again while a whole configuration is replaced.
        let pages = 2 * berth_balancer_core::limits::BACKENDS_MAX / PAGE;
        Self((0..pages).map(|_| OnceLock::new()).collect())
    }
}

impl<T: Default> Pages<T> {
    #[inline]
    fn get(&self, slot: u32) -> &T {
        // Slots beyond would share the last page; the core hands none out.
        let page = (slot as usize / PAGE).min(self.0.len() - 1);
        let page = self.0[page].get_or_init(|| (0..PAGE).map(|_| T::default()).collect());
        &page[slot as usize % PAGE]
    }

    #[inline]
    fn peek(&self, slot: u32) -> Option<&T> {
        self.0.get(slot as usize / PAGE)?.get().map(|page| &page[slot as usize % PAGE])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_user_of_a_slot_starts_from_nothing() {
        let counters = Counters::default();
        let id = |generation| BackendId { slot: 70, generation };
        counters.backend(id(1)).opened.add(5);
        assert_eq!(counters.backend(id(2)).opened.get(), 0);
        assert!(counters.known_backend(id(1)).is_none());
    }
}
