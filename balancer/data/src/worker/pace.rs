// SPDX-License-Identifier: Apache-2.0
//! Whether a worker interrupts others when it wakes up.
//!
//! Where clients and endpoints share the cores with a busy worker, it gains from letting them finish: then more lies ready for it at
//! once, and nobody changes places for a single message. Where others compute without end it would wait for a whole slice of theirs,
//! so there it is as all threads are. What tells the two apart is how long it waits for a core each time.

use crate::sys::{Waited, Waits, set_batch};

/// Events each time that it has a core, on average, from which on a worker is busy.
const BUSY_EVENTS: u64 = 8;
/// Nanoseconds of waiting for a core, on average, from which on somebody computes.
const LONG_NS: u64 = 300_000;
/// For so long after that it is as all threads are.
const SHY_NS: u64 = 3_000_000_000;
/// Times that are too few for an average.
const FEW: u64 = 32;

/// What was seen of a worker since the last look.
#[derive(Debug)]
pub(super) struct Pace {
    waits: Option<Waits>,
    before: Waited,
    events: u64,
    yields: bool,
    shy_until: u64,
}

impl Pace {
    /// Of a worker that runs elsewhere, or not yet.
    pub(super) const fn new() -> Self {
        let before = Waited { ns: 0, times: 0 };
        Self { waits: None, before, events: 0, yields: false, shy_until: 0 }
    }

    /// Of this thread from now on.
    pub(super) fn begin(&mut self) {
        self.waits = Waits::open();
        self.before = self.waits.as_ref().and_then(Waits::read).unwrap_or_default();
    }

    /// There were so many events.
    #[inline]
    pub(super) fn count(&mut self, events: usize) {
        self.events += events as u64;
    }

    /// Looks at what it was since the last look.
    pub(super) fn look(&mut self, now: u64) {
        let Some(waited) = self.waits.as_ref().and_then(Waits::read) else { return };
        let times = waited.times.saturating_sub(self.before.times);
        let ns = waited.ns.saturating_sub(self.before.ns);
        let wanted = self.decide(Waited { ns, times }, now);
        (self.before, self.events) = (waited, 0);
        if wanted != self.yields && set_batch(wanted) {
            self.yields = wanted;
        }
    }

    fn decide(&mut self, waited: Waited, now: u64) -> bool {
        // One that hardly runs waits for others' sake, and not for its own.
        if waited.times < FEW {
            return false;
        }
        if waited.ns >= waited.times * LONG_NS {
            self.shy_until = now + SHY_NS;
        }
        let is_busy = self.events >= waited.times * BUSY_EVENTS;
        is_busy && now >= self.shy_until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_busy_worker_yields_unless_others_compute() {
        let mut pace = Pace::new();
        let mut look = |events, each_ns, now| {
            pace.events = events;
            pace.decide(Waited { ns: each_ns * 100, times: 100 }, now)
        };
        assert!(!look(799, 1_000, 1), "it has little to do");
        assert!(look(800, 1_000, 2));
        assert!(!look(800, LONG_NS, 3), "it waits long");
        assert!(!look(800, 1_000, 3 + SHY_NS - 1));
        assert!(look(800, 1_000, 3 + SHY_NS));
        assert!(!pace.decide(Waited { ns: u64::MAX, times: FEW - 1 }, 4 + SHY_NS));
        pace.events = 800;
        assert!(pace.decide(Waited { ns: 0, times: 100 }, 5 + SHY_NS), "few tell nothing");
        pace.events = 1_000;
        assert!(!pace.decide(Waited { ns: 0, times: FEW - 1 }, u64::MAX), "nothing is known");
    }
}
