// SPDX-License-Identifier: Apache-2.0
//! What the service shows of itself to others than its clients. [`page`] has the names.

mod page;

use super::clock::Clock;
use crate::sequencer::Counts;
use berth_proto::v1;
use berth_scheduler_core::QueueSizes;
use berth_scheduler_journal::{State, Stats};
use berth_scheduler_model::rules::Plugin;
pub(super) use page::page;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Upper bounds of an attempt's duration, in nanoseconds: a decision takes a microsecond, one over 100,000 nodes a few
/// milliseconds.
const BOUNDS_NS: [u64; 12] = [
    500,
    1_000,
    2_000,
    5_000,
    10_000,
    50_000,
    100_000,
    500_000,
    1_000_000,
    10_000_000,
    100_000_000,
    1_000_000_000,
];

/// What the sequencer's thread shows of itself.
#[derive(Debug)]
pub(super) struct Shared {
    clock: Clock,
    alive: AtomicBool,
    /// Of attempts that placed their pod, and of those that did not.
    durations: [Durations; 2],
    journal: Mutex<Option<Stats>>,
}

/// Durations of attempts with one result.
#[derive(Debug, Default)]
struct Durations {
    buckets: [AtomicU64; BOUNDS_NS.len() + 1],
    sum_ns: AtomicU64,
}

/// While it is there, the thread lives.
pub(super) struct Alive(Arc<Shared>);

impl Drop for Alive {
    fn drop(&mut self) {
        self.0.alive.store(false, Ordering::Release);
    }
}

impl Shared {
    pub(super) fn new(clock: Clock) -> Self {
        Self {
            clock,
            alive: AtomicBool::new(true),
            durations: Default::default(),
            journal: Mutex::new(None),
        }
    }

    pub(super) fn alive(self: &Arc<Self>) -> Alive {
        Alive(Arc::clone(self))
    }

    pub(super) fn is_alive(&self) -> bool {
        self.alive.load(Ordering::Acquire)
    }

    /// A message took so long in which so many pods were placed, and so many refused.
    pub(super) fn attempts(&self, took: Duration, placed: u64, refused: u64) {
        if placed + refused == 0 {
            return;
        }
        let took = u64::try_from(took.as_nanos()).unwrap_or(u64::MAX);
        let each = took / (placed + refused);
        let bucket = BOUNDS_NS.partition_point(|bound| *bound < each);
        for (durations, count) in self.durations.iter().zip([placed, refused]) {
            if count > 0 {
                durations.buckets[bucket].fetch_add(count, Ordering::Relaxed);
                durations.sum_ns.fetch_add(each * count, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn publish(&self, stats: Stats) {
        *self.journal.lock().unwrap_or_else(PoisonError::into_inner) = Some(stats);
    }

    pub(super) fn journal(&self) -> Option<Stats> {
        *self.journal.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn uptime_ms(&self) -> u64 {
        self.clock.uptime()
    }
}

/// The journal's counts as a message.
pub(super) fn journal_message(stats: &Stats) -> v1::JournalStats {
    v1::JournalStats {
        log_bytes: stats.log_bytes,
        snapshot_bytes: stats.snapshot_bytes,
        records_total: stats.durable,
        fsyncs_total: stats.frames,
        state: state_name(stats.state).to_owned(),
    }
}

fn state_name(state: State) -> &'static str {
    match state {
        State::Ok => "ok",
        State::Full => "disk full",
        State::Failed => "failed",
    }
}

/// Everything that is known at one moment.
pub(super) struct Scrape {
    pub(super) stats: v1::StatsResponse,
    pub(super) counts: Counts,
    pub(super) queue: QueueSizes,
    pub(super) unschedulable: [u64; Plugin::FILTERS],
    pub(super) inbox: usize,
    pub(super) overloaded: usize,
}
