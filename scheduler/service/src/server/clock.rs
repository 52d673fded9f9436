// SPDX-License-Identifier: Apache-2.0
//! The one place that asks the machine for time and randomness.

use crate::sequencer::Millis;
use std::hash::{BuildHasher, RandomState};
use std::time::{Instant, SystemTime, UNIX_EPOCH};

/// Milliseconds since the Unix epoch, from the wall clock once and then from one that never goes back.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock {
    base: Millis,
    begun: Instant,
}

impl Clock {
    pub(super) fn new() -> Self {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { base: millis(since), begun: Instant::now() }
    }

    pub(super) fn now(&self) -> Millis {
        self.base + millis(self.begun.elapsed())
    }

    pub(super) fn uptime(&self) -> Millis {
        millis(self.begun.elapsed())
    }
}

fn millis(time: std::time::Duration) -> Millis {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A number that nobody can guess.
pub(super) fn seed() -> u64 {
    RandomState::new().hash_one(std::process::id())
}
