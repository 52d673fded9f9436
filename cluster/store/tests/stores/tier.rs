// SPDX-License-Identifier: Apache-2.0
//! How much a test tries. `BERTH_TIER` says it for all of them: `C` (every commit, the default), `N` (each night) or `R` (a release), and,
//! if wanted, for how many seconds a row may go on at most: `N:480`.

use std::time::{Duration, Instant};

/// A row of docs/reliability.md that is tried again and again, with another number each time. It ends when its goal is reached or its time is
/// over, and prints how far it came; if it fails, with the number that does it.
pub struct Row {
    name: &'static str,
    tier: String,
    goal: u64,
    done: u64,
    round: u64,
    begun: Instant,
    most: Duration,
}

impl Row {
    /// `commit` times for each commit and `night` times at night; a release has ten times that.
    pub fn new(name: &'static str, commit: u64, night: u64) -> Self {
        let told = std::env::var("BERTH_TIER").unwrap_or_else(|_| "C".into());
        let (tier, seconds) = told.split_once(':').unwrap_or((&told, ""));
        let (goal, most) = match tier {
            "C" => (commit, 60),
            "N" => (night, 1_200),
            "R" => (night * 10, u64::MAX),
            other => panic!("BERTH_TIER is C, N or R, with `:SECONDS` if wanted, not {other}"),
        };
        let most = if seconds.is_empty() { most } else { seconds.parse().expect("seconds") };
        let (begun, most, tier) = (Instant::now(), Duration::from_secs(most), tier.to_owned());
        Self { name, tier, goal, done: 0, round: 0, begun, most }
    }

    /// The number of the next round, of which each counts as one.
    pub fn next(&mut self) -> Option<u64> {
        self.next_of(1)
    }

    /// The number of the next round, of which each counts as so many.
    pub fn next_of(&mut self, count: u64) -> Option<u64> {
        let number = self.next_open()?;
        self.done += count;
        Some(number)
    }

    /// The number of the next round, of which [`Self::add`] tells how much it was.
    pub fn next_open(&mut self) -> Option<u64> {
        // A row that has tried nothing has shown nothing.
        let over = self.done > 0 && self.begun.elapsed() >= self.most;
        if self.done >= self.goal || over {
            return None;
        }
        self.round += 1;
        Some(self.round - 1)
    }

    /// So much more was tried.
    pub fn add(&mut self, count: u64) {
        self.done += count;
    }

    /// What is to be tried.
    pub fn goal(&self) -> u64 {
        self.goal
    }
}

impl Drop for Row {
    fn drop(&mut self) {
        let Self { name, tier, goal, done, round, .. } = self;
        let time = self.begun.elapsed().as_secs_f32();
        if std::thread::panicking() {
            eprintln!(
                "{name}: round {} fails (tier {tier}, after {time:.0} s)",
                round.saturating_sub(1)
            );
        } else {
            eprintln!("{name}: {done} of {goal} (tier {tier}) in {time:.1} s");
        }
    }
}
