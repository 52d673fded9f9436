// SPDX-License-Identifier: Apache-2.0
//! The engine alone, in this process: the same row without gRPC.

use crate::report::count;
use berth_benches::Bench;
use berth_scheduler_workload::Row;
use std::time::{Duration, Instant};

/// Turns between two looks at the clock.
const TURNS: u32 = 1_000;

/// Decisions a second: the median of rounds of [`TURNS`], over at least `time`. A turn is one decision and, where a pod was
/// placed, the release of another.
pub fn decisions_per_second(
    row: Row,
    nodes: usize,
    percent: usize,
    seed: u64,
    time: Duration,
) -> f64 {
    let mut bench = Bench::new(row, nodes, percent, seed);
    let mut rounds = Vec::new();
    let began = Instant::now();
    while rounds.is_empty() || began.elapsed() < time {
        let round = Instant::now();
        for _ in 0..TURNS {
            bench.turn();
        }
        rounds.push(round.elapsed());
    }
    rounds.sort_unstable();
    count(u64::from(TURNS)) / rounds[rounds.len() / 2].as_secs_f64()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_has_a_speed() {
        for row in [Row::Basic, Row::Unschedulable] {
            assert!(decisions_per_second(row, 20, 70, 1, Duration::ZERO) > 100.0);
        }
    }
}
