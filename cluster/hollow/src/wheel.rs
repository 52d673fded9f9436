// SPDX-License-Identifier: Apache-2.0
//! Whose turn it is: each of so many comes once in a while, all evenly spread. It has no table.

use std::time::Duration;
use tokio::time::Instant;

/// Turns that go round.
#[derive(Debug)]
pub(crate) struct Wheel {
    count: u32,
    every: Duration,
    start: Instant,
    turn: u64,
}

impl Wheel {
    pub(crate) fn new(count: u32, every: Duration, start: Instant) -> Self {
        Self { count, every: every.max(Duration::from_millis(1)), start, turn: 0 }
    }

    /// When the next turn is; none if there is nobody.
    pub(crate) fn at(&self) -> Option<Instant> {
        if self.count == 0 {
            return None;
        }
        let micros = self.every.as_micros() * u128::from(self.turn) / u128::from(self.count);
        let since = Duration::from_micros(u64::try_from(micros).unwrap_or(u64::MAX));
        self.start.checked_add(since)
    }

    /// Whose turn it is, if it is somebody's. Turns that are more than a round late are left out.
    pub(crate) fn next(&mut self, now: Instant) -> Option<u32> {
        let late = now.checked_duration_since(self.at()?)?;
        let rounds = late.as_micros() / self.every.as_micros();
        self.turn += u64::try_from(rounds).unwrap_or(0) * u64::from(self.count);
        let who = u32::try_from(self.turn % u64::from(self.count)).unwrap_or(0);
        self.turn += 1;
        Some(who)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_has_its_turn_at_even_times() {
        let start = Instant::now();
        let mut wheel = Wheel::new(4, Duration::from_secs(10), start);
        let mut turns = Vec::new();
        for half in 0..40 {
            let now = start + Duration::from_millis(500) * half;
            while let Some(who) = wheel.next(now) {
                turns.push((half, who));
            }
        }
        assert_eq!(turns, [(0, 0), (5, 1), (10, 2), (15, 3), (20, 0), (25, 1), (30, 2), (35, 3)]);
        assert_eq!(wheel.at(), Some(start + Duration::from_secs(20)));
    }

    #[test]
    fn who_was_held_up_leaves_rounds_out() {
        let start = Instant::now();
        let mut wheel = Wheel::new(2, Duration::from_secs(10), start);
        let mut count = 0;
        while wheel.next(start + Duration::from_secs(1_000)).is_some() {
            count += 1;
        }
        assert!(count <= 3, "{count}");
        assert!(Wheel::new(0, Duration::ZERO, start).next(start).is_none());
    }
}
